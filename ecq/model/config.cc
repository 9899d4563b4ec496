// Parsing of config.json: which architecture it is, and who reads the rest.
#include "ecq/model/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "ecq/model/architecture.h"

namespace ecq {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxJsonBytes = size_t{16} << 20;
constexpr size_t kMaxNameBytes = 60;

// Models without a decoder: nothing to generate with, but weights to quantize.
constexpr std::array<std::string_view, 12> kEncoders{
    "BertModel",          "BertForMaskedLM",       "BertForSequenceClassification",
    "DistilBertModel",    "DistilBertForMaskedLM", "RobertaModel",
    "RobertaForMaskedLM", "XLMRobertaModel",       "XLMRobertaForMaskedLM",
    "MPNetModel",         "MPNetForMaskedLM",      "ModernBertModel",
};

Result<Json> ParseObject(std::string_view json) {
  if (json.size() > kMaxJsonBytes) {
    return Error{ErrorCode::kBadHeader, fmt::format("config.json has {} bytes, expected at most {}",
                                                    json.size(), kMaxJsonBytes)};
  }
  Json config = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) {
    return Error{ErrorCode::kBadHeader, "config.json is not a JSON object"};
  }
  return config;
}

// The first of "architectures".
Result<std::string> ArchitectureName(const Json& config) {
  const auto names = config.find("architectures");
  if (names == config.end() || !names->is_array() || names->empty() ||
      !names->front().is_string()) {
    return Error{ErrorCode::kBadHeader,
                 "config.json: \"architectures\" is missing or not a list of names"};
  }
  return names->front().get<std::string>();
}

bool IsEncoder(std::string_view name) {
  return std::find(kEncoders.begin(), kEncoders.end(), name) != kEncoders.end();
}

Result<const Architecture*> FindArchitecture(const std::string& name) {
  std::string known;
  for (const Architecture& architecture : KnownArchitectures()) {
    if (architecture.name == name) return &architecture;
    known += known.empty() ? "" : ", ";
    known += architecture.name;
  }
  if (IsEncoder(name)) {
    return Error{ErrorCode::kUnsupportedArchitecture,
                 fmt::format("{} is an encoder, which generates no text; quantize, inspect and "
                             "verify work with it",
                             name)};
  }
  std::string shown = Json(name).dump(-1, ' ', true, Json::error_handler_t::replace);
  if (shown.size() > kMaxNameBytes) shown = shown.substr(0, kMaxNameBytes - 3) + "...";
  return Error{ErrorCode::kUnsupportedArchitecture,
               fmt::format("architecture {} is not known; known: {}", shown, known)};
}

}  // namespace

Result<ModelConfig> ParseModelConfig(std::string_view json) {
  ECQ_TRY(const Json config, ParseObject(json));
  ECQ_TRY(const std::string name, ArchitectureName(config));
  ECQ_TRY(const Architecture* architecture, FindArchitecture(name));
  const ConfigReader in(config);
  ModelConfig out;
  out.architecture = name;
  ECQ_RETURN_IF_ERROR(architecture->read(in, &out));
  ECQ_TRY(const auto bos_ids, in.TokenIds("bos_token_id", out.vocab_size));
  if (!bos_ids.empty()) out.bos_id = bos_ids.front();
  ECQ_TRY(out.eos_ids, in.TokenIds("eos_token_id", out.vocab_size));
  return out;
}

Status CheckQuantizable(std::string_view json) {
  ECQ_TRY(const Json config, ParseObject(json));
  ECQ_TRY(const std::string name, ArchitectureName(config));
  if (IsEncoder(name)) return OkStatus();
  ECQ_RETURN_IF_ERROR(ParseModelConfig(json));
  return OkStatus();
}

}  // namespace ecq
