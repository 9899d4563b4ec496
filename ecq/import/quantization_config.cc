// Parsing of the quantization keys of config.json.
#include "ecq/import/quantization_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace ecq {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

constexpr std::string_view kMlxKey = "quantization";
constexpr std::string_view kHuggingFaceKey = "quantization_config";
constexpr std::string_view kKnownMethods =
    "awq and gptq of 4 bits, and the key \"quantization\" of MLX in mode affine";

std::string Shown(const Json& value) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

// The member `key`, or nullptr if it is absent or null.
const Json* Find(const Json& object, std::string_view key) {
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

// One JSON object inside config.json; `where` is its path: "quantization.lm_head".
class Section {
 public:
  Section(const Json& json, std::string_view path, std::string where)
      : json_(json), path_(path), where_(std::move(where)) {}

  const Json& json() const { return json_; }

  Error Bad(std::string_view key, const Json& value, std::string_view expected) const {
    return Refuse(ErrorCode::kBadHeader, key, value, fmt::format("expected {}", expected));
  }
  Error Unsupported(std::string_view key, const Json& value, std::string_view supported) const {
    return Refuse(ErrorCode::kUnsupportedType, key, value, fmt::format("supported: {}", supported));
  }
  Error Missing(std::string_view key) const {
    return Error{ErrorCode::kBadHeader, fmt::format("{}: {}.{} is missing", path_, where_, key)};
  }

  // Nothing if the key is absent.
  Result<std::optional<bool>> Bool(std::string_view key) const {
    const Json* value = Find(json_, key);
    if (value == nullptr) return std::optional<bool>();
    if (!value->is_boolean()) return Bad(key, *value, "true or false");
    return std::optional<bool>(value->get<bool>());
  }
  Result<std::optional<std::string>> Text(std::string_view key) const {
    const Json* value = Find(json_, key);
    if (value == nullptr) return std::optional<std::string>();
    if (!value->is_string()) return Bad(key, *value, "a text");
    return std::optional<std::string>(value->get<std::string>());
  }
  // An integer of `allowed`, or `absent`, or an error.
  template <size_t kCount>
  Result<uint32_t> OneOf(std::string_view key, const std::array<uint32_t, kCount>& allowed,
                         std::optional<uint32_t> absent) const {
    const Json* value = Find(json_, key);
    if (value == nullptr && absent) return *absent;
    if (value == nullptr) return Missing(key);
    if (!value->is_number_integer()) return Bad(key, *value, "an integer");
    for (const uint32_t number : allowed) {
      if (*value == number) return number;
    }
    return Unsupported(key, *value, fmt::format("{}", fmt::join(allowed, ", ")));
  }

 private:
  Error Refuse(ErrorCode code, std::string_view key, const Json& value,
               std::string_view rest) const {
    return Error{code, fmt::format("{}: {}.{} is {}; {}", path_, where_, key, Shown(value), rest)};
  }

  const Json& json_;
  std::string_view path_;
  std::string where_;
};

Result<MlxFormat> ParseMlxFormat(const Section& section, std::optional<MlxFormat> absent) {
  constexpr std::array<uint32_t, 6> kBits{2, 3, 4, 5, 6, 8};
  constexpr std::array<uint32_t, 3> kGroupSizes{32, 64, 128};
  ECQ_TRY(const auto mode, section.Text("mode"));
  if (mode && *mode != "affine") return section.Unsupported("mode", *mode, "affine");
  const auto absent_bits = absent ? std::optional(absent->bits) : std::nullopt;
  const auto absent_group = absent ? std::optional(absent->group_size) : std::nullopt;
  MlxFormat format;
  ECQ_TRY(format.bits, section.OneOf("bits", kBits, absent_bits));
  ECQ_TRY(format.group_size, section.OneOf("group_size", kGroupSizes, absent_group));
  return format;
}

// {"group_size", "bits", "mode", "<module path>": an object like this one, true or false}. What an
// override leaves out has the default of MLX, not that of the file, as in mlx-lm.
Result<QuantizationConfig> ParseMlx(const Json& json, std::string_view path) {
  QuantizationConfig config;
  config.method = QuantizationConfig::Method::kMlx;
  ECQ_TRY(config.mlx, ParseMlxFormat(Section(json, path, std::string(kMlxKey)), std::nullopt));
  for (const auto& [key, value] : json.items()) {
    if (value.is_boolean()) {
      config.mlx_overrides[key] = value.get<bool>() ? std::optional(config.mlx) : std::nullopt;
    } else if (value.is_object()) {
      const Section section(value, path, fmt::format("{}[{}]", kMlxKey, Shown(key)));
      ECQ_TRY(config.mlx_overrides[key], ParseMlxFormat(section, MlxFormat{}));
    }
  }
  return config;
}

// "group_size" of AWQ and GPTQ: positive, or -1 for one group, which is 0 here.
Result<uint64_t> ParseGroupSize(const Section& section) {
  const Json* value = Find(section.json(), "group_size");
  if (value == nullptr) return section.Missing("group_size");
  if (*value == -1) return uint64_t{0};
  if (!value->is_number_unsigned() || *value == 0) {
    return section.Bad("group_size", *value, "a positive integer or -1");
  }
  return value->get<uint64_t>();
}

Result<QuantizationConfig> ParseAwq(const Section& section) {
  QuantizationConfig config;
  config.method = QuantizationConfig::Method::kAwq;
  ECQ_TRY(auto version, section.Text("version"));
  if (version) {
    std::transform(version->begin(), version->end(), version->begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    if (*version != "gemm") return section.Unsupported("version", *version, "gemm");
  }
  ECQ_TRY(const auto zero_point, section.Bool("zero_point"));
  if (!zero_point.value_or(true)) return section.Unsupported("zero_point", false, "true");
  return config;
}

// GPTQModel's "dynamic" gives modules other formats ("+:pattern") or leaves them dense
// ("-:pattern"); the latter shows in the tensors.
Status CheckGptqDynamic(const Section& section) {
  const Json* dynamic = Find(section.json(), "dynamic");
  if (dynamic == nullptr || *dynamic == false) return OkStatus();
  if (!dynamic->is_object()) return section.Bad("dynamic", *dynamic, "an object");
  for (const auto& [pattern, rule] : dynamic->items()) {
    if (!pattern.starts_with("-:")) {
      return section.Unsupported("dynamic", pattern, "patterns that start with \"-:\"");
    }
  }
  return OkStatus();
}

Result<QuantizationConfig> ParseGptq(const Section& section) {
  QuantizationConfig config;
  config.method = QuantizationConfig::Method::kGptq;
  ECQ_TRY(const auto format, section.Text("checkpoint_format"));
  if (format && *format != "gptq" && *format != "gptq_v2") {
    return section.Unsupported("checkpoint_format", *format, "gptq, gptq_v2");
  }
  config.zero_offset = format == "gptq_v2" ? 0 : 1;
  ECQ_TRY(const auto marlin, section.Bool("is_marlin_format"));
  if (marlin.value_or(false)) return section.Unsupported("is_marlin_format", true, "false");
  ECQ_TRY(const auto pack_type, section.Text("pack_dtype"));
  if (pack_type && *pack_type != "int32") {
    return section.Unsupported("pack_dtype", *pack_type, "int32");
  }
  ECQ_RETURN_IF_ERROR(CheckGptqDynamic(section));
  ECQ_TRY(const auto desc_act, section.Bool("desc_act"));
  config.needs_group_index = desc_act.value_or(false);
  return config;
}

Result<QuantizationConfig> ParseHuggingFace(const Json& json, std::string_view path) {
  constexpr std::array<uint32_t, 1> kBits{4};
  const Section section(json, path, std::string(kHuggingFaceKey));
  ECQ_TRY(const auto method, section.Text("quant_method"));
  if (!method) return section.Missing("quant_method");
  if (*method != "awq" && *method != "gptq") {
    return section.Unsupported("quant_method", *method,
                               fmt::format("{}; or import the unquantized model", kKnownMethods));
  }
  ECQ_TRY(QuantizationConfig config, *method == "awq" ? ParseAwq(section) : ParseGptq(section));
  ECQ_RETURN_IF_ERROR(section.OneOf("bits", kBits, std::nullopt));
  ECQ_TRY(config.group_size, ParseGroupSize(section));
  return config;
}

}  // namespace

std::string_view QuantizationConfig::method_name() const {
  constexpr std::array<std::string_view, 3> kNames{"mlx", "awq", "gptq"};
  return kNames[static_cast<size_t>(method)];
}

Result<std::optional<QuantizationConfig>> ParseQuantizationConfig(std::string_view config_json,
                                                                  std::string_view path) {
  const Json config = Json::parse(config_json, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) {
    return Error{ErrorCode::kBadHeader, fmt::format("{}: expected one JSON object", path)};
  }
  // Files of MLX repeat "quantization" under the other key; mlx-lm asks for this one first.
  const Json* mlx = Find(config, kMlxKey);
  const Json* quantization = mlx != nullptr ? mlx : Find(config, kHuggingFaceKey);
  if (quantization == nullptr) return std::optional<QuantizationConfig>();
  if (!quantization->is_object()) {
    return Error{ErrorCode::kBadHeader,
                 fmt::format("{}: \"{}\" is {}, expected an object", path,
                             mlx != nullptr ? kMlxKey : kHuggingFaceKey, Shown(*quantization))};
  }
  ECQ_TRY(QuantizationConfig parsed,
          mlx != nullptr ? ParseMlx(*quantization, path) : ParseHuggingFace(*quantization, path));
  return std::optional<QuantizationConfig>(std::move(parsed));
}

std::string ConfigWithoutQuantization(std::string_view config_json) {
  OrderedJson config = OrderedJson::parse(config_json, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return {};
  config.erase(std::string(kMlxKey));
  config.erase(std::string(kHuggingFaceKey));
  return config.dump(2, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

}  // namespace ecq
