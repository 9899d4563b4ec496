// Parsing and validation of config.json.
#include "ecq/model/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

namespace ecq {
namespace {

using Json = nlohmann::json;

constexpr std::array kArchitectures{
    ArchitectureDescription{"LlamaForCausalLM", ArchitectureDescription::Biases::kFromConfig},
    ArchitectureDescription{"Qwen2ForCausalLM", ArchitectureDescription::Biases::kQkv},
};

// Several times the largest published models; small enough that no product of sizes overflows.
constexpr uint32_t kMaxHiddenSize = 1u << 17;
constexpr uint32_t kMaxIntermediateSize = 1u << 20;
constexpr uint32_t kMaxLayers = 1024;
constexpr uint32_t kMaxHeads = 1024;
constexpr uint32_t kMaxHeadDim = 1024;
constexpr uint32_t kMaxVocabSize = 1u << 22;
constexpr uint32_t kMaxPositions = 1u << 24;
constexpr size_t kMaxJsonBytes = size_t{16} << 20;

// A value for a message: short, on one line.
std::string Shown(const Json& value) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

Error FieldError(std::string_view key, const Json& value, std::string_view expected) {
  return Error{ErrorCode::kBadHeader,
               fmt::format("config.json: \"{}\" is {}, expected {}", key, Shown(value), expected)};
}

Error Unsupported(std::string_view key, const Json& value, std::string_view supported) {
  return Error{ErrorCode::kUnsupportedArchitecture,
               fmt::format("config.json: \"{}\" is {}, which is not supported; supported: {}", key,
                           Shown(value), supported)};
}

// The member `key`, or nullptr if it is absent or null.
const Json* Find(const Json& object, std::string_view key) {
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

Result<uint32_t> GetCount(const Json& config, std::string_view key, uint32_t max,
                          std::optional<uint32_t> absent = std::nullopt) {
  const Json* value = Find(config, key);
  if (value == nullptr) {
    if (absent) return *absent;
    return Error{ErrorCode::kBadHeader, fmt::format("config.json: \"{}\" is missing", key)};
  }
  if (!value->is_number_unsigned() || value->get<uint64_t>() == 0 || value->get<uint64_t>() > max) {
    return FieldError(key, *value, fmt::format("an integer in [1, {}]", max));
  }
  return static_cast<uint32_t>(value->get<uint64_t>());
}

Result<double> GetNumber(const Json& config, std::string_view key, double min, double max,
                         double absent) {
  const Json* value = Find(config, key);
  if (value == nullptr) return absent;
  // Written so that NaN fails.
  if (!value->is_number() || !(value->get<double>() >= min && value->get<double>() <= max)) {
    return FieldError(key, *value, fmt::format("a number in [{}, {}]", min, max));
  }
  return value->get<double>();
}

Result<bool> GetBool(const Json& config, std::string_view key, bool absent) {
  const Json* value = Find(config, key);
  if (value == nullptr) return absent;
  if (!value->is_boolean()) return FieldError(key, *value, "true or false");
  return value->get<bool>();
}

Result<uint32_t> ToTokenId(std::string_view key, const Json& value, uint32_t vocab_size) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() >= vocab_size) {
    return FieldError(key, value, fmt::format("a token id below {}", vocab_size));
  }
  return static_cast<uint32_t>(value.get<uint64_t>());
}

Result<const ArchitectureDescription*> FindArchitecture(const Json& config) {
  const Json* names = Find(config, "architectures");
  if (names == nullptr || !names->is_array() || names->empty() || !names->front().is_string()) {
    return Error{ErrorCode::kBadHeader,
                 "config.json: \"architectures\" is missing or not a list of names"};
  }
  const auto& name = names->front().get_ref<const std::string&>();
  const auto it = std::find_if(kArchitectures.begin(), kArchitectures.end(),
                               [&](const auto& known) { return known.name == name; });
  if (it != kArchitectures.end()) return &*it;
  std::string known;
  for (const auto& architecture : kArchitectures) {
    known += known.empty() ? "" : ", ";
    known += architecture.name;
  }
  return Error{
      ErrorCode::kUnsupportedArchitecture,
      fmt::format("architecture {} is not known; known: {}", Shown(names->front()), known)};
}

// Refuses what would change the computation in a way the shared blocks do not have.
Status CheckFeatures(const Json& config) {
  if (const Json* activation = Find(config, "hidden_act")) {
    if (*activation != "silu") return Unsupported("hidden_act", *activation, "silu");
  }
  for (const std::string_view key : {"mlp_bias", "use_sliding_window"}) {
    ECQ_TRY(const bool set, GetBool(config, key, false));
    if (set) return Unsupported(key, true, "false");
  }
  return OkStatus();
}

// Rotary parameters: "rope_theta" and "rope_scaling", or both inside "rope_parameters".
Status ParseRope(const Json& config, ModelConfig* out) {
  constexpr double kDefaultTheta = 10000;
  ECQ_TRY(out->rope_theta, GetNumber(config, "rope_theta", 1, 1e12, kDefaultTheta));
  for (const std::string_view key : {"rope_scaling", "rope_parameters"}) {
    const Json* rope = Find(config, key);
    if (rope == nullptr) continue;
    if (!rope->is_object()) return FieldError(key, *rope, "an object or null");
    for (const std::string_view type_key : {"rope_type", "type"}) {
      const Json* type = Find(*rope, type_key);
      if (type != nullptr && *type != "default") {
        return Unsupported(fmt::format("{}.{}", key, type_key), *type, "default");
      }
    }
    ECQ_TRY(out->rope_theta, GetNumber(*rope, "rope_theta", 1, 1e12, out->rope_theta));
  }
  return OkStatus();
}

Status ParseSpecialTokens(const Json& config, ModelConfig* out) {
  if (const Json* bos = Find(config, "bos_token_id")) {
    ECQ_TRY(out->bos_id, ToTokenId("bos_token_id", *bos, out->vocab_size));
  }
  if (const Json* eos = Find(config, "eos_token_id")) {
    for (const Json& id : eos->is_array() ? *eos : Json::array({*eos})) {
      ECQ_TRY(const uint32_t token, ToTokenId("eos_token_id", id, out->vocab_size));
      out->eos_ids.push_back(token);
    }
  }
  return OkStatus();
}

Status ParseSizes(const Json& config, ModelConfig* out) {
  ECQ_TRY(out->hidden_size, GetCount(config, "hidden_size", kMaxHiddenSize));
  ECQ_TRY(out->intermediate_size, GetCount(config, "intermediate_size", kMaxIntermediateSize));
  ECQ_TRY(out->num_layers, GetCount(config, "num_hidden_layers", kMaxLayers));
  ECQ_TRY(out->num_heads, GetCount(config, "num_attention_heads", kMaxHeads));
  ECQ_TRY(out->num_kv_heads, GetCount(config, "num_key_value_heads", kMaxHeads, out->num_heads));
  ECQ_TRY(out->vocab_size, GetCount(config, "vocab_size", kMaxVocabSize));
  ECQ_TRY(out->max_positions, GetCount(config, "max_position_embeddings", kMaxPositions, 2048));

  const bool has_head_dim = Find(config, "head_dim") != nullptr;
  if (!has_head_dim && out->hidden_size % out->num_heads != 0) {
    return Error{ErrorCode::kBadLayout,
                 fmt::format("config.json: hidden_size {} is not a multiple of "
                             "num_attention_heads {} and there is no head_dim",
                             out->hidden_size, out->num_heads)};
  }
  ECQ_TRY(out->head_dim,
          GetCount(config, "head_dim", kMaxHeadDim, out->hidden_size / out->num_heads));
  if (out->head_dim % 2 != 0 || out->head_dim > kMaxHeadDim) {
    return Error{ErrorCode::kBadLayout,
                 fmt::format("config.json: a head has {} dimensions, expected an even number of "
                             "at most {}",
                             out->head_dim, kMaxHeadDim)};
  }
  if (out->num_heads % out->num_kv_heads != 0) {
    return Error{ErrorCode::kBadLayout,
                 fmt::format("config.json: num_attention_heads {} is not a multiple of "
                             "num_key_value_heads {}",
                             out->num_heads, out->num_kv_heads)};
  }
  return OkStatus();
}

}  // namespace

std::span<const ArchitectureDescription> KnownArchitectures() { return kArchitectures; }

Result<ModelConfig> ParseModelConfig(std::string_view json) {
  if (json.size() > kMaxJsonBytes) {
    return Error{ErrorCode::kBadHeader, fmt::format("config.json has {} bytes, expected at most {}",
                                                    json.size(), kMaxJsonBytes)};
  }
  const Json config = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) {
    return Error{ErrorCode::kBadHeader, "config.json is not a JSON object"};
  }
  ECQ_TRY(const ArchitectureDescription* architecture, FindArchitecture(config));
  ECQ_RETURN_IF_ERROR(CheckFeatures(config));

  ModelConfig out;
  out.architecture = architecture->name;
  ECQ_RETURN_IF_ERROR(ParseSizes(config, &out));
  ECQ_RETURN_IF_ERROR(ParseRope(config, &out));
  ECQ_RETURN_IF_ERROR(ParseSpecialTokens(config, &out));
  ECQ_TRY(out.rms_norm_eps, GetNumber(config, "rms_norm_eps", 0, 1, 1e-6));
  ECQ_TRY(out.tie_word_embeddings, GetBool(config, "tie_word_embeddings", false));

  using Biases = ArchitectureDescription::Biases;
  ECQ_TRY(const bool bias, GetBool(config, "attention_bias", false));
  out.attention_output_bias = architecture->attention_biases == Biases::kFromConfig && bias;
  out.qkv_bias = architecture->attention_biases == Biases::kQkv || out.attention_output_bias;
  return out;
}

}  // namespace ecq
