// Lays Hugging Face names over the arrays of a llama2.c checkpoint.
#include "ecq/import/llama2c_source.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <utility>

#include "ecq/base/bytes.h"
#include "ecq/import/llama2c_tokenizer.h"
#include "ecq/import/rotary_rows.h"

namespace ecq {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kHeaderInts = 7;
constexpr size_t kHeaderBytes = kHeaderInts * sizeof(int32_t);
constexpr int32_t kMaxSize = (1 << 22) - 1;
constexpr int32_t kMaxLayers = 1 << 12;

// One array of the file: `per_layer` copies of `shape` for the layers, or one for the model.
struct Block {
  std::string_view name;  // below "model.layers.N." if per_layer
  Shape shape;
  bool per_layer = false;
  bool interleaved_rotary = false;
};

// The arrays in file order. "" marks the rotary tables, which Hugging Face does not store.
std::vector<Block> FileLayout(const Llama2cHeader& h) {
  const uint64_t dim = h.hidden_size;
  const uint64_t kv_dim = h.num_kv_heads * h.head_dim();
  const uint64_t hidden = h.intermediate_size;
  const Shape rotary_table{h.context_length, h.head_dim() / 2};
  std::vector<Block> blocks{
      {"model.embed_tokens.weight", {h.vocab_size, dim}},
      {"input_layernorm.weight", {dim}, true},
      {"self_attn.q_proj.weight", {dim, dim}, true, true},
      {"self_attn.k_proj.weight", {kv_dim, dim}, true, true},
      {"self_attn.v_proj.weight", {kv_dim, dim}, true},
      {"self_attn.o_proj.weight", {dim, dim}, true},
      {"post_attention_layernorm.weight", {dim}, true},
      {"mlp.gate_proj.weight", {hidden, dim}, true},
      {"mlp.down_proj.weight", {dim, hidden}, true},
      {"mlp.up_proj.weight", {hidden, dim}, true},
      {"model.norm.weight", {dim}},
      {"", rotary_table},
      {"", rotary_table},
  };
  if (h.separate_classifier) blocks.push_back({"lm_head.weight", {h.vocab_size, dim}});
  return blocks;
}

// At most two sizes below 2^22, times 2^12 layers, times 4 bytes: the sum over all blocks fits
// 64 bits by far.
uint64_t BlockBytes(const Block& block, const Llama2cHeader& h) {
  return *NumElements(block.shape) * sizeof(float) * (block.per_layer ? h.num_layers : 1);
}

SideFile ConfigJson(const Llama2cHeader& h) {
  const Json json = {
      {"architectures", Json::array({"LlamaForCausalLM"})},
      {"model_type", "llama"},
      {"hidden_act", "silu"},
      {"hidden_size", h.hidden_size},
      {"intermediate_size", h.intermediate_size},
      {"num_hidden_layers", h.num_layers},
      {"num_attention_heads", h.num_heads},
      {"num_key_value_heads", h.num_kv_heads},
      {"vocab_size", h.vocab_size},
      {"max_position_embeddings", h.context_length},
      {"rms_norm_eps", 1e-5},
      {"rope_theta", 10000.0},
      {"tie_word_embeddings", !h.separate_classifier},
      {"bos_token_id", 1},
      {"eos_token_id", 2},
      {"torch_dtype", "float32"},
  };
  return {"config.json", json.dump(2)};
}

class Llama2cSource final : public ModelSource {
 public:
  Llama2cSource(MappedFile file, const Llama2cHeader& header)
      : file_(std::move(file)), header_(header), weight_paths_{file_.path()} {}

  Status Init() {
    const std::vector<Block> blocks = FileLayout(header_);
    uint64_t expected = kHeaderBytes;
    for (const Block& block : blocks) expected += BlockBytes(block, header_);
    const uint64_t size = file_.bytes().size();
    if (size != expected) {
      return Error{size < expected ? ErrorCode::kTruncated : ErrorCode::kBadLayout,
                   fmt::format("{}: llama2.c: expected {} bytes ({} layers, hidden size {}, "
                               "vocabulary {}), got {}",
                               file_.path(), expected, header_.num_layers, header_.hidden_size,
                               header_.vocab_size, size)};
    }
    AddTensors(blocks);
    side_files_.push_back(ConfigJson(header_));
    const auto directory = std::filesystem::path(file_.path()).parent_path();
    ECQ_TRY(SideFile tokenizer, ReadLlama2cTokenizer(directory, header_.vocab_size));
    side_files_.push_back(std::move(tokenizer));
    return OkStatus();
  }

  std::string_view kind() const override { return "llama2.c"; }
  const std::vector<SourceTensor>& tensors() const override { return tensors_; }
  const std::vector<SideFile>& side_files() const override { return side_files_; }
  const std::vector<std::string>& weight_paths() const override { return weight_paths_; }

  Status ReadF32(size_t index, std::span<float> out) const override {
    if (index >= tensors_.size() || NumElements(tensors_[index].shape) != out.size()) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("{}: llama2.c: no tensor {} of {} elements", file_.path(), index,
                               out.size())};
    }
    const uint8_t* bytes = file_.bytes().data() + stored_[index].offset;
    if (!stored_[index].interleaved_rotary) {
      std::memcpy(out.data(), bytes, out.size_bytes());
      return OkStatus();
    }
    const uint64_t rows = tensors_[index].shape[0];
    const uint64_t columns = tensors_[index].shape[1];
    for (uint64_t row = 0; row < rows; ++row) {
      const uint64_t from = InterleavedRow(row, header_.head_dim());
      std::memcpy(out.data() + row * columns, bytes + from * columns * sizeof(float),
                  columns * sizeof(float));
    }
    return OkStatus();
  }

 private:
  // Where tensors_[i] lies in the file, in bytes.
  struct Stored {
    uint64_t offset;
    bool interleaved_rotary;
  };

  void AddTensor(std::string name, const Block& block, uint64_t offset) {
    const uint64_t bytes = *NumElements(block.shape) * sizeof(float);
    tensors_.push_back({std::move(name), block.shape, "F32", bytes});
    stored_.push_back({offset, block.interleaved_rotary});
  }

  // Pre: the file has exactly these blocks.
  void AddTensors(const std::vector<Block>& blocks) {
    uint64_t offset = kHeaderBytes;
    for (const Block& block : blocks) {
      const uint64_t copies = block.per_layer ? header_.num_layers : 1;
      const uint64_t bytes = BlockBytes(block, header_) / copies;
      for (uint64_t i = 0; i < copies && !block.name.empty(); ++i) {
        AddTensor(block.per_layer ? fmt::format("model.layers.{}.{}", i, block.name)
                                  : std::string(block.name),
                  block, offset + i * bytes);
      }
      offset += copies * bytes;
    }
  }

  MappedFile file_;
  Llama2cHeader header_;
  std::vector<std::string> weight_paths_;
  std::vector<SourceTensor> tensors_;
  std::vector<Stored> stored_;  // parallel to tensors_
  std::vector<SideFile> side_files_;
};

}  // namespace

std::optional<Llama2cHeader> ParseLlama2cHeader(std::span<const uint8_t> file) {
  if (file.size() < kHeaderBytes) return std::nullopt;
  std::array<int32_t, kHeaderInts> v;
  std::memcpy(v.data(), file.data(), kHeaderBytes);
  auto& [dim, hidden, layers, heads, kv_heads, vocab, context] = v;
  const bool separate_classifier = vocab < 0;
  if (separate_classifier && vocab >= -kMaxSize) vocab = -vocab;
  for (const int32_t size : v) {
    if (size < 1 || size > kMaxSize) return std::nullopt;
  }
  if (layers > kMaxLayers || dim % heads != 0 || dim / heads % 2 != 0 || heads % kv_heads != 0) {
    return std::nullopt;
  }
  const auto u = [](int32_t value) { return static_cast<uint64_t>(value); };
  return Llama2cHeader{u(dim),      u(hidden), u(layers),  u(heads),
                       u(kv_heads), u(vocab),  u(context), separate_classifier};
}

Result<std::unique_ptr<ModelSource>> OpenLlama2c(MappedFile file) {
  const auto header = ParseLlama2cHeader(file.bytes());
  if (!header) {
    return Error{ErrorCode::kBadMagic, file.path() + ": not a llama2.c checkpoint"};
  }
  auto source = std::make_unique<Llama2cSource>(std::move(file), *header);
  ECQ_RETURN_IF_ERROR(source->Init());
  return std::unique_ptr<ModelSource>(std::move(source));
}

}  // namespace ecq
