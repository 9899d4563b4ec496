// Architectures of GGUF and what their keys mean in config.json.
#include "ecq/import/gguf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>

#include "ecq/import/gguf_tokenizer.h"

namespace ecq {
namespace {

using Json = nlohmann::ordered_json;

// Reads the keys below one architecture's prefix.
class ArchitectureKeys {
 public:
  ArchitectureKeys(const GgufFile& file, std::string_view prefix) : file_(file), prefix_(prefix) {}

  std::string Key(std::string_view suffix) const { return fmt::format("{}.{}", prefix_, suffix); }

  Result<std::optional<uint64_t>> Unsigned(std::string_view suffix) const {
    return file_.GetUnsigned(Key(suffix));
  }

  // A count from 1 to 2^32 - 1. Errors: kBadHeader if it is missing or outside.
  Result<uint64_t> Count(std::string_view suffix, std::optional<uint64_t> fallback = {}) const {
    ECQ_TRY(auto value, Unsigned(suffix));
    if (!value) value = fallback;
    if (!value || *value == 0 || *value > 0xffffffffu) {
      return file_.Fail(ErrorCode::kBadHeader,
                        fmt::format("{}: expected 1 to 2^32 - 1, got {}", Key(suffix),
                                    value ? std::to_string(*value) : "nothing"));
    }
    return *value;
  }

  // Errors: kBadHeader if it is missing, not finite or not positive.
  Result<float> Positive(std::string_view suffix, std::optional<float> fallback = {}) const {
    ECQ_TRY(auto value, file_.GetFloat(Key(suffix)));
    if (!value) value = fallback;
    if (!value || !std::isfinite(*value) || *value <= 0) {
      return file_.Fail(ErrorCode::kBadHeader,
                        fmt::format("{}: expected a positive number", Key(suffix)));
    }
    return *value;
  }

  // Errors: kUnsupportedArchitecture, naming `suffix`, if a key of that name has another value.
  Status ExpectIfPresent(std::string_view suffix, uint64_t expected) const {
    ECQ_TRY(const auto value, Unsigned(suffix));
    if (!value || *value == expected) return OkStatus();
    return file_.Fail(ErrorCode::kUnsupportedArchitecture,
                      fmt::format("{} is {}; ECQ reads only {}", Key(suffix), *value, expected));
  }

 private:
  const GgufFile& file_;
  std::string_view prefix_;
};

// The decimal with the fewest digits that reads back as `value`: 1e-05, not 9.999999747378752e-06.
double Shortest(float value) { return std::strtod(fmt::format("{}", value).c_str(), nullptr); }

Json ShortestList(const std::vector<float>& values) {
  Json list = Json::array();
  for (const float value : values) list.push_back(Shortest(value));
  return list;
}

// The share of `whole` that a reader who rounds down to an integer takes for `part`.
double Share(uint64_t part, uint64_t whole) {
  const double share = static_cast<double>(part) / static_cast<double>(whole);
  const bool is_short = share * static_cast<double>(whole) < static_cast<double>(part);
  return is_short ? std::nextafter(share, 1.0) : share;
}

}  // namespace

// Fills in one config.json.
class GgufConfigWriter {
 public:
  GgufConfigWriter(const GgufFile& file, const GgufArchitecture& architecture,
                   const GgufShape& shape, const GgufTensorFacts& facts)
      : file_(file),
        keys_(file, architecture.name),
        architecture_(architecture),
        shape_(shape),
        facts_(facts) {}

  Result<std::string> Run() {
    json_["architectures"] = Json::array({architecture_.hugging_face_class});
    json_["model_type"] = architecture_.model_type;
    ECQ_RETURN_IF_ERROR((this->*architecture_.write)());
    json_["vocab_size"] = facts_.vocab_size;
    json_["tie_word_embeddings"] = !facts_.has_output_head;
    ECQ_RETURN_IF_ERROR(AddTokenIds());
    return json_.dump(2);
  }

  Status WriteLlama() {
    json_["hidden_act"] = "silu";
    json_["torch_dtype"] = facts_.torch_dtype;
    return AddLlamaLike();
  }

  Status WritePhi3() {
    ECQ_RETURN_IF_ERROR(WriteLlama());
    json_["pad_token_id"] = nullptr;  // absent, it would be a token of Phi-3's own vocabulary
    ECQ_TRY(const auto window, keys_.Unsigned("attention.sliding_window"));
    json_["sliding_window"] = window.value_or(0) > 0 ? Json(*window) : Json(nullptr);
    ECQ_TRY(json_["original_max_position_embeddings"],
            keys_.Count("rope.scaling.original_context_length", shape_.context_length));
    return OkStatus();
  }

  Status WriteGemma3() {
    json_["hidden_activation"] = "gelu_pytorch_tanh";
    // The embedding is scaled by the root of hidden_size in single precision, whatever the weights.
    json_["torch_dtype"] = "float32";
    ECQ_RETURN_IF_ERROR(AddLlamaLike());
    // Only the largest of the family scales scores by something else than the size of a head.
    constexpr uint64_t kLayersOf27b = 62;
    json_["query_pre_attn_scalar"] =
        shape_.num_layers == kLayersOf27b ? shape_.hidden_size / shape_.num_heads : shape_.head_dim;
    for (const std::string_view name : {"attn", "final"}) {
      ECQ_TRY(const auto cap, file_.GetFloat(keys_.Key(fmt::format("{}_logit_softcapping", name))));
      if (cap.value_or(0) != 0) json_[fmt::format("{}_logit_softcapping", name)] = *cap;
    }
    ECQ_TRY(const float local_base, keys_.Positive("rope.freq_base_swa", 10000.0f));
    json_["rope_local_base_freq"] = Shortest(local_base);
    return AddGemma3Windows();
  }

  Status WriteGpt2() {
    json_["activation_function"] = "gelu_new";
    json_["torch_dtype"] = facts_.torch_dtype;
    json_["n_embd"] = shape_.hidden_size;
    json_["n_inner"] = shape_.intermediate_size;
    json_["n_layer"] = shape_.num_layers;
    json_["n_head"] = shape_.num_heads;
    json_["n_positions"] = shape_.context_length;
    ECQ_TRY(const float epsilon, keys_.Positive("attention.layer_norm_epsilon"));
    json_["layer_norm_epsilon"] = Shortest(epsilon);
    return OkStatus();
  }

 private:
  Status AddLlamaLike() {
    json_["hidden_size"] = shape_.hidden_size;
    json_["intermediate_size"] = shape_.intermediate_size;
    json_["num_hidden_layers"] = shape_.num_layers;
    json_["num_attention_heads"] = shape_.num_heads;
    json_["num_key_value_heads"] = shape_.num_kv_heads;
    json_["max_position_embeddings"] = shape_.context_length;
    ECQ_TRY(const float epsilon, keys_.Positive("attention.layer_norm_rms_epsilon"));
    json_["rms_norm_eps"] = Shortest(epsilon);
    json_["attention_bias"] = facts_.has_query_bias;
    json_["mlp_bias"] = facts_.has_mlp_bias;
    if (shape_.has_head_dim) json_["head_dim"] = shape_.head_dim;
    return AddRope();
  }

  Status AddRope() {
    ECQ_TRY(const float base, keys_.Positive("rope.freq_base", 10000.0f));
    json_["rope_theta"] = Shortest(base);
    if (shape_.rotary_dims != shape_.head_dim) {
      json_["partial_rotary_factor"] = Share(shape_.rotary_dims, shape_.head_dim);
    }
    ECQ_TRY(const auto stated, file_.GetString(keys_.Key("rope.scaling.type")));
    const bool has_new_key = file_.Has(keys_.Key("rope.scaling.factor"));
    const std::string_view factor_key = has_new_key ? "rope.scaling.factor" : "rope.scale_linear";
    ECQ_TRY(const float factor, keys_.Positive(factor_key, 1.0f));
    // Files older than the type state a factor alone.
    const std::string_view type = stated.value_or("linear");
    const bool has_divisors = !facts_.rope_divisors.empty() || !facts_.long_rope_divisors.empty();
    if (type == "none" || type == "longrope" || (type == "linear" && factor == 1)) {
      if (type == "longrope" && !has_divisors) {
        return Unsupported("rope.scaling.type is longrope, but there is no rope_factors_long");
      }
      return has_divisors ? AddRopeDivisors() : OkStatus();
    }
    if (type == "linear" && !has_divisors) {
      json_["rope_scaling"] = {{"rope_type", "linear"}, {"factor", Shortest(factor)}};
      return OkStatus();
    }
    return Unsupported(
        fmt::format("{} is {}{}; ECQ reads none, linear, longrope, and "
                    "rope_freqs.weight",
                    keys_.Key("rope.scaling.type"), Json(type).dump(),
                    has_divisors ? " beside a tensor of divisors" : ""));
  }

  // One list of divisors (Llama 3.1 and later) is a LongRoPE whose two lists are the same.
  Status AddRopeDivisors() {
    const bool has_two = !facts_.long_rope_divisors.empty();
    if (has_two != !facts_.short_rope_divisors.empty() ||
        has_two == !facts_.rope_divisors.empty()) {
      return file_.Fail(ErrorCode::kBadLayout,
                        "expected rope_freqs.weight or both of rope_factors_long.weight and "
                        "rope_factors_short.weight");
    }
    const auto& short_divisors = has_two ? facts_.short_rope_divisors : facts_.rope_divisors;
    const auto& long_divisors = has_two ? facts_.long_rope_divisors : facts_.rope_divisors;
    ECQ_TRY(const uint64_t original,
            keys_.Count("rope.scaling.original_context_length", shape_.context_length));
    ECQ_TRY(const float magnitude, keys_.Positive("rope.scaling.attn_factor", 1.0f));
    json_["original_max_position_embeddings"] = original;
    Json& scaling = json_["rope_scaling"] = {{"type", "longrope"},
                                             {"short_factor", ShortestList(short_divisors)},
                                             {"long_factor", ShortestList(long_divisors)}};
    if (std::abs(magnitude - LongRopeMagnitude(original)) > 1e-5) {
      scaling["attention_factor"] = Shortest(magnitude);
    }
    return OkStatus();
  }

  // What readers of config.json take if it does not say.
  double LongRopeMagnitude(uint64_t original) const {
    const double context = static_cast<double>(shape_.context_length);
    const double stretch = context / static_cast<double>(original);
    if (stretch <= 1 || original == 1) return 1;
    return std::sqrt(1 + std::log(stretch) / std::log(static_cast<double>(original)));
  }

  // Without a window all layers are alike, and so are their rotary bases.
  Status AddGemma3Windows() {
    ECQ_TRY(const auto window, keys_.Unsigned("attention.sliding_window"));
    ECQ_TRY(const auto period, keys_.Unsigned("attention.sliding_window_pattern"));
    const bool has_windows = window.value_or(0) > 0;
    if (has_windows) json_["sliding_window"] = *window;
    Json types = Json::array();
    for (uint64_t layer = 0; layer < shape_.num_layers; ++layer) {
      const bool is_full = !has_windows || (period != 0 && (layer + 1) % period.value_or(6) == 0);
      types.push_back(is_full ? "full_attention" : "sliding_attention");
    }
    json_["layer_types"] = std::move(types);
    return OkStatus();
  }

  Status AddTokenIds() {
    ECQ_TRY(const auto bos, file_.GetUnsigned("tokenizer.ggml.bos_token_id"));
    ECQ_TRY(const auto pad, file_.GetUnsigned("tokenizer.ggml.padding_token_id"));
    ECQ_TRY(const std::vector<uint64_t> ends, GgufEndTokens(file_));
    if (bos) json_["bos_token_id"] = *bos;
    if (pad) json_["pad_token_id"] = *pad;
    if (!ends.empty()) json_["eos_token_id"] = ends.size() == 1 ? Json(ends[0]) : Json(ends);
    return OkStatus();
  }

  Error Unsupported(const std::string& what) const {
    return file_.Fail(ErrorCode::kUnsupportedArchitecture, what);
  }

  const GgufFile& file_;
  ArchitectureKeys keys_;
  const GgufArchitecture& architecture_;
  const GgufShape& shape_;
  const GgufTensorFacts& facts_;
  Json json_;
};

namespace {

// num_layers is written out one by one below; the models of ECQ have fewer.
constexpr uint64_t kMaxLayers = 1024;

constexpr std::array<GgufArchitecture, 6> kArchitectures{{
    {"llama", "LlamaForCausalLM", "llama", &kLlamaGgufNames, true, 0,
     &GgufConfigWriter::WriteLlama},
    {"qwen2", "Qwen2ForCausalLM", "qwen2", &kLlamaGgufNames, false, 0,
     &GgufConfigWriter::WriteLlama},
    {"qwen3", "Qwen3ForCausalLM", "qwen3", &kQwen3GgufNames, false, 0,
     &GgufConfigWriter::WriteLlama},
    {"phi3", "Phi3ForCausalLM", "phi3", &kPhi3GgufNames, false, 0, &GgufConfigWriter::WritePhi3},
    {"gemma3", "Gemma3ForCausalLM", "gemma3_text", &kGemma3GgufNames, false, 1,
     &GgufConfigWriter::WriteGemma3},
    {"gpt2", "GPT2LMHeadModel", "gpt2", &kGpt2GgufNames, false, 0, &GgufConfigWriter::WriteGpt2},
}};

}  // namespace

Result<const GgufArchitecture*> FindGgufArchitecture(const GgufFile& file) {
  ECQ_TRY(const auto name, file.GetString("general.architecture"));
  std::string known;
  for (const GgufArchitecture& architecture : kArchitectures) {
    if (name == architecture.name) return &architecture;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", architecture.name);
  }
  return file.Fail(ErrorCode::kUnsupportedArchitecture,
                   fmt::format("general.architecture is {}; ECQ reads {}",
                               name ? Json(*name).dump() : "missing", known));
}

Result<GgufShape> ReadGgufShape(const GgufFile& file, const GgufArchitecture& architecture) {
  const ArchitectureKeys keys(file, architecture.name);
  GgufShape s{};
  ECQ_TRY(s.hidden_size, keys.Count("embedding_length"));
  ECQ_TRY(s.intermediate_size, keys.Count("feed_forward_length"));
  ECQ_TRY(s.num_layers, keys.Count("block_count"));
  ECQ_TRY(s.num_heads, keys.Count("attention.head_count"));
  ECQ_TRY(s.num_kv_heads, keys.Count("attention.head_count_kv", s.num_heads));
  ECQ_TRY(s.context_length, keys.Count("context_length"));
  s.has_head_dim = file.Has(keys.Key("attention.key_length"));
  ECQ_TRY(s.head_dim,
          keys.Count("attention.key_length", std::max<uint64_t>(1, s.hidden_size / s.num_heads)));
  ECQ_TRY(s.rotary_dims, keys.Count("rope.dimension_count", s.head_dim));
  const bool heads_fit = s.head_dim % 2 == 0 && s.num_heads % s.num_kv_heads == 0 &&
                         (s.has_head_dim || s.hidden_size % s.num_heads == 0) &&
                         s.rotary_dims % 2 == 0 && s.rotary_dims <= s.head_dim;
  if (!heads_fit || s.num_layers > kMaxLayers) {
    return file.Fail(ErrorCode::kBadLayout,
                     fmt::format("{} layers of {} heads of {} with {} rotary dimensions, {} "
                                 "key-value heads and {} hidden channels do not fit together",
                                 s.num_layers, s.num_heads, s.head_dim, s.rotary_dims,
                                 s.num_kv_heads, s.hidden_size));
  }
  ECQ_RETURN_IF_ERROR(keys.ExpectIfPresent("attention.value_length", s.head_dim));
  ECQ_RETURN_IF_ERROR(keys.ExpectIfPresent("expert_count", 0));
  if (architecture.interleaved_rotary) {
    ECQ_RETURN_IF_ERROR(keys.ExpectIfPresent("rope.dimension_count", s.head_dim));
  }
  return s;
}

Result<std::string> GgufConfigJson(const GgufFile& file, const GgufArchitecture& architecture,
                                   const GgufShape& shape, const GgufTensorFacts& facts) {
  return GgufConfigWriter(file, architecture, shape, facts).Run();
}

}  // namespace ecq
