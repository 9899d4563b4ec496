// Presents the llama, qwen2 and qwen3 architectures of GGUF under Hugging Face names and layout.
#include "ecq/import/gguf_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "ecq/base/bytes.h"
#include "ecq/import/gguf_file.h"
#include "ecq/import/gguf_names.h"
#include "ecq/import/gguf_tokenizer.h"
#include "ecq/import/rotary_rows.h"

namespace ecq {
namespace {

using Json = nlohmann::ordered_json;

struct Architecture {
  std::string_view name;  // of general.architecture and of model_type
  std::string_view hugging_face_class;
  bool interleaved_rotary;  // query and key rows are stored as rotary pairs
  bool head_norms;          // of queries and keys
};
constexpr std::array<Architecture, 3> kArchitectures{{
    {"llama", "LlamaForCausalLM", true, false},
    {"qwen2", "Qwen2ForCausalLM", false, false},
    {"qwen3", "Qwen3ForCausalLM", false, true},
}};

constexpr std::string_view kEmbedding = "model.embed_tokens.weight";

struct Hyperparameters {
  uint64_t hidden_size;
  uint64_t intermediate_size;
  uint64_t num_layers;
  uint64_t num_heads;
  uint64_t num_kv_heads;
  uint64_t context_length;
  uint64_t head_dim;
  bool has_head_dim;  // the file states it
  float rms_norm_eps;
  float rope_theta;
};

Result<const Architecture*> FindArchitecture(const GgufFile& file) {
  ECQ_TRY(const auto name, file.GetString("general.architecture"));
  std::string known;
  for (const Architecture& architecture : kArchitectures) {
    if (name == architecture.name) return &architecture;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", architecture.name);
  }
  return file.Fail(ErrorCode::kUnsupportedArchitecture,
                   fmt::format("general.architecture is {}; ECQ reads {}",
                               name ? Json(*name).dump() : "missing", known));
}

// Reads the keys below one architecture's prefix.
class ArchitectureKeys {
 public:
  ArchitectureKeys(const GgufFile& file, std::string_view prefix) : file_(file), prefix_(prefix) {}

  std::string Key(std::string_view suffix) const { return fmt::format("{}.{}", prefix_, suffix); }

  Result<std::optional<uint64_t>> Optional(std::string_view suffix) const {
    return file_.GetUnsigned(Key(suffix));
  }

  // A count from 1 to 2^32 - 1. Errors: kBadHeader if it is missing or outside.
  Result<uint64_t> Count(std::string_view suffix, std::optional<uint64_t> fallback = {}) const {
    ECQ_TRY(auto value, Optional(suffix));
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
    ECQ_TRY(const auto value, Optional(suffix));
    if (!value || *value == expected) return OkStatus();
    return file_.Fail(ErrorCode::kUnsupportedArchitecture,
                      fmt::format("{} is {}; ECQ reads only {}", Key(suffix), *value, expected));
  }

  Status ExpectNoRopeScaling() const {
    ECQ_TRY(const auto type, file_.GetString(Key("rope.scaling.type")));
    ECQ_TRY(const auto linear, file_.GetFloat(Key("rope.scale_linear")));
    if (type.value_or("none") == "none" && linear.value_or(1.0f) == 1.0f) return OkStatus();
    return file_.Fail(ErrorCode::kUnsupportedArchitecture,
                      fmt::format("{}: scaled rotary positions are not supported",
                                  Key(type ? "rope.scaling.type" : "rope.scale_linear")));
  }

 private:
  const GgufFile& file_;
  std::string_view prefix_;
};

Result<Hyperparameters> ReadHyperparameters(const GgufFile& file, const Architecture& arch) {
  const ArchitectureKeys keys(file, arch.name);
  Hyperparameters h{};
  ECQ_TRY(h.hidden_size, keys.Count("embedding_length"));
  ECQ_TRY(h.intermediate_size, keys.Count("feed_forward_length"));
  ECQ_TRY(h.num_layers, keys.Count("block_count"));
  ECQ_TRY(h.num_heads, keys.Count("attention.head_count"));
  ECQ_TRY(h.num_kv_heads, keys.Count("attention.head_count_kv", h.num_heads));
  ECQ_TRY(h.context_length, keys.Count("context_length"));
  ECQ_TRY(h.rms_norm_eps, keys.Positive("attention.layer_norm_rms_epsilon"));
  ECQ_TRY(h.rope_theta, keys.Positive("rope.freq_base", 10000.0f));
  h.has_head_dim = file.Has(keys.Key("attention.key_length"));
  ECQ_TRY(h.head_dim,
          keys.Count("attention.key_length", std::max<uint64_t>(1, h.hidden_size / h.num_heads)));
  if (h.head_dim % 2 != 0 || (!h.has_head_dim && h.hidden_size % h.num_heads != 0) ||
      h.num_heads % h.num_kv_heads != 0) {
    return file.Fail(ErrorCode::kBadLayout,
                     fmt::format("{} heads of {}, {} key-value heads and {} hidden channels do not "
                                 "fit together",
                                 h.num_heads, h.head_dim, h.num_kv_heads, h.hidden_size));
  }
  ECQ_RETURN_IF_ERROR(keys.ExpectIfPresent("attention.value_length", h.head_dim));
  ECQ_RETURN_IF_ERROR(keys.ExpectIfPresent("rope.dimension_count", h.head_dim));
  ECQ_RETURN_IF_ERROR(keys.ExpectIfPresent("expert_count", 0));
  ECQ_RETURN_IF_ERROR(keys.ExpectNoRopeScaling());
  return h;
}

// The decimal with the fewest digits that reads back as `value`: 1e-05, not 9.999999747378752e-06.
double Shortest(float value) { return std::strtod(fmt::format("{}", value).c_str(), nullptr); }

std::string_view TorchType(const GgmlType& type) {
  return type.name == "F32" ? "float32" : type.name == "BF16" ? "bfloat16" : "float16";
}

// rope_freqs.weight divides the rotary frequencies. All ones say nothing; anything else is the
// scaling of Llama 3.1 and later.
Status CheckRopeFrequencies(const GgufFile& file, const GgufTensor& tensor) {
  const uint32_t one = std::bit_cast<uint32_t>(1.0f);
  bool all_one = tensor.type->name == "F32";
  for (size_t i = 0; all_one && i < tensor.bytes.size(); i += sizeof(one)) {
    all_one = LoadLe<uint32_t>(tensor.bytes.data() + i) == one;
  }
  if (all_one) return OkStatus();
  return file.Fail(ErrorCode::kUnsupportedArchitecture,
                   "rope_freqs.weight: scaled rotary positions are not supported");
}

class GgufSource final : public ModelSource {
 public:
  explicit GgufSource(MappedFile mapped, GgufFile file)
      : mapped_(std::move(mapped)), file_(std::move(file)), weight_paths_{mapped_.path()} {}

  Status Init() {
    ECQ_RETURN_IF_ERROR(CheckNotSplit());
    ECQ_TRY(const Architecture* arch, FindArchitecture(file_));
    ECQ_TRY(const Hyperparameters h, ReadHyperparameters(file_, *arch));
    for (const GgufTensor& tensor : file_.tensors()) {
      ECQ_RETURN_IF_ERROR(AddTensor(tensor, *arch, h));
    }
    ECQ_TRY(SideFile config, ConfigJson(*arch, h));
    side_files_.push_back(std::move(config));
    const uint64_t vocab_size = FindTensor(kEmbedding)->shape[0];
    ECQ_TRY(auto tokenizer_files, GgufTokenizerFiles(file_, vocab_size));
    std::move(tokenizer_files.begin(), tokenizer_files.end(), std::back_inserter(side_files_));
    return OkStatus();
  }

  std::string_view kind() const override { return "gguf"; }
  const std::vector<SourceTensor>& tensors() const override { return tensors_; }
  const std::vector<SideFile>& side_files() const override { return side_files_; }
  const std::vector<std::string>& weight_paths() const override { return weight_paths_; }

  Status ReadF32(size_t index, std::span<float> out) const override {
    if (index >= tensors_.size() || NumElements(tensors_[index].shape) != out.size()) {
      return file_.Fail(ErrorCode::kInvalidArgument,
                        fmt::format("no tensor {} of {} elements", index, out.size()));
    }
    const Stored& stored = stored_[index];
    const GgmlType& type = *stored.tensor->type;
    const uint8_t* bytes = stored.tensor->bytes.data();
    if (stored.interleaved_head_dim == 0) {
      type.dequantize(bytes, out.size() / type.block_elements, out.data());
      return OkStatus();
    }
    const Shape& shape = stored.tensor->shape;
    const uint64_t row_elements = shape.size() == 1 ? 1 : shape.back();
    const uint64_t row_blocks = row_elements / type.block_elements;
    for (uint64_t row = 0; row < shape[0]; ++row) {
      const uint64_t from = InterleavedRow(row, stored.interleaved_head_dim);
      type.dequantize(bytes + from * row_blocks * type.block_bytes, row_blocks,
                      out.data() + row * row_elements);
    }
    return OkStatus();
  }

 private:
  // Where tensors_[i] comes from.
  struct Stored {
    const GgufTensor* tensor;
    uint64_t interleaved_head_dim;  // 0: rows are in order
  };

  Status CheckNotSplit() const {
    ECQ_TRY(const auto parts, file_.GetUnsigned("split.count"));
    if (parts.value_or(1) <= 1) return OkStatus();
    return file_.Fail(
        ErrorCode::kBadLayout,
        fmt::format("one of {} parts of a split model; merge them into one file first "
                    "(llama-gguf-split --merge)",
                    *parts));
  }

  Status AddTensor(const GgufTensor& tensor, const Architecture& arch, const Hyperparameters& h) {
    std::optional<MappedName> mapped = MapGgufName(tensor.name, h.num_layers);
    if (!mapped || (mapped->role == GgufRole::kHeadNorm && !arch.head_norms)) {
      return file_.Fail(ErrorCode::kUnsupportedArchitecture,
                        fmt::format("tensor {} is not part of {} with {} layers", tensor.name,
                                    arch.name, h.num_layers));
    }
    if (mapped->role == GgufRole::kIgnored) return CheckRopeFrequencies(file_, tensor);
    uint64_t interleaved_head_dim = 0;
    if (mapped->role == GgufRole::kQuery || mapped->role == GgufRole::kKey) {
      const uint64_t heads = mapped->role == GgufRole::kQuery ? h.num_heads : h.num_kv_heads;
      const bool is_bias = tensor.shape.size() == 1 && tensor.type->block_elements == 1;
      if ((tensor.shape.size() != 2 && !is_bias) || tensor.shape[0] != heads * h.head_dim) {
        return file_.Fail(
            ErrorCode::kBadLayout,
            fmt::format("tensor {}: expected {} rows ({} heads of {}), got shape {}", tensor.name,
                        heads * h.head_dim, heads, h.head_dim, ShapeToString(tensor.shape)));
      }
      if (arch.interleaved_rotary) interleaved_head_dim = h.head_dim;
    }
    tensors_.push_back({std::move(mapped->name), tensor.shape, std::string(tensor.type->name),
                        tensor.bytes.size()});
    stored_.push_back({&tensor, interleaved_head_dim});
    return OkStatus();
  }

  const SourceTensor* FindTensor(std::string_view name) const {
    const auto it = std::find_if(tensors_.begin(), tensors_.end(),
                                 [&](const SourceTensor& t) { return t.name == name; });
    return it == tensors_.end() ? nullptr : &*it;
  }

  Result<SideFile> ConfigJson(const Architecture& arch, const Hyperparameters& h) const {
    const SourceTensor* embedding = FindTensor(kEmbedding);
    if (embedding == nullptr || embedding->shape.size() != 2) {
      return file_.Fail(ErrorCode::kBadLayout, "expected a matrix token_embd.weight");
    }
    Json json = {
        {"architectures", Json::array({arch.hugging_face_class})},
        {"model_type", arch.name},
        {"hidden_act", "silu"},
        {"hidden_size", h.hidden_size},
        {"intermediate_size", h.intermediate_size},
        {"num_hidden_layers", h.num_layers},
        {"num_attention_heads", h.num_heads},
        {"num_key_value_heads", h.num_kv_heads},
        {"vocab_size", embedding->shape[0]},
        {"max_position_embeddings", h.context_length},
        {"rms_norm_eps", Shortest(h.rms_norm_eps)},
        {"rope_theta", Shortest(h.rope_theta)},
        {"tie_word_embeddings", FindTensor("lm_head.weight") == nullptr},
        {"attention_bias", FindTensor("model.layers.0.self_attn.q_proj.bias") != nullptr},
        {"mlp_bias", FindTensor("model.layers.0.mlp.up_proj.bias") != nullptr},
        {"torch_dtype",
         TorchType(*stored_[static_cast<size_t>(embedding - tensors_.data())].tensor->type)},
    };
    if (h.has_head_dim) json["head_dim"] = h.head_dim;
    ECQ_TRY(const auto bos, file_.GetUnsigned("tokenizer.ggml.bos_token_id"));
    ECQ_TRY(const auto eos, file_.GetUnsigned("tokenizer.ggml.eos_token_id"));
    ECQ_TRY(const auto end_of_turn, file_.GetUnsigned("tokenizer.ggml.eot_token_id"));
    if (bos) json["bos_token_id"] = *bos;
    if (eos) json["eos_token_id"] = *eos;
    if (eos && end_of_turn && *end_of_turn != *eos) {
      json["eos_token_id"] = Json::array({*eos, *end_of_turn});
    }
    return SideFile{"config.json", json.dump(2)};
  }

  MappedFile mapped_;
  GgufFile file_;
  std::vector<std::string> weight_paths_;
  std::vector<SourceTensor> tensors_;
  std::vector<Stored> stored_;  // parallel to tensors_
  std::vector<SideFile> side_files_;
};

}  // namespace

Result<std::unique_ptr<ModelSource>> OpenGguf(MappedFile file) {
  ECQ_TRY(GgufFile parsed, GgufFile::Parse(file.bytes(), file.path()));
  auto source = std::make_unique<GgufSource>(std::move(file), std::move(parsed));
  ECQ_RETURN_IF_ERROR(source->Init());
  return std::unique_ptr<ModelSource>(std::move(source));
}

}  // namespace ecq
