// Presents a GGUF file under Hugging Face names and layout.
#include "ecq/import/gguf_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>
#include <utility>

#include "ecq/import/gguf_config.h"
#include "ecq/import/gguf_file.h"
#include "ecq/import/gguf_names.h"
#include "ecq/import/gguf_tokenizer.h"
#include "ecq/import/rotary_rows.h"

namespace ecq {
namespace {

std::string_view TorchType(const GgmlType& type) {
  return type.name == "F32" ? "float32" : type.name == "BF16" ? "bfloat16" : "float16";
}

// What rotary frequencies are divided by, (rotary_dims / 2). Errors: kBadLayout.
Result<std::vector<float>> ReadDivisors(const GgufFile& file, const GgufTensor& tensor,
                                        uint64_t rotary_dims) {
  if (tensor.type->name != "F32" || tensor.shape != Shape{rotary_dims / 2}) {
    return file.Fail(
        ErrorCode::kBadLayout,
        fmt::format("tensor {}: expected F32 of {} elements, got {} of {}", tensor.name,
                    rotary_dims / 2, tensor.type->name, ShapeToString(tensor.shape)));
  }
  std::vector<float> divisors(rotary_dims / 2);
  tensor.type->dequantize(tensor.bytes.data(), divisors.size(), divisors.data());
  for (const float divisor : divisors) {
    if (!std::isfinite(divisor) || divisor <= 0) {
      return file.Fail(ErrorCode::kBadHeader,
                       fmt::format("tensor {}: expected positive numbers", tensor.name));
    }
  }
  return divisors;
}

class GgufSource final : public ModelSource {
 public:
  explicit GgufSource(MappedFile mapped, GgufFile file)
      : mapped_(std::move(mapped)), file_(std::move(file)), weight_paths_{mapped_.path()} {}

  Status Init() {
    ECQ_RETURN_IF_ERROR(CheckNotSplit());
    ECQ_TRY(const GgufArchitecture* arch, FindGgufArchitecture(file_));
    ECQ_TRY(const GgufShape shape, ReadGgufShape(file_, *arch));
    GgufTensorFacts facts;
    for (const GgufTensor& tensor : file_.tensors()) {
      ECQ_RETURN_IF_ERROR(AddTensor(tensor, *arch, shape, &facts));
    }
    ECQ_RETURN_IF_ERROR(CollectFacts(*arch, &facts));
    ECQ_TRY(std::string config, GgufConfigJson(file_, *arch, shape, facts));
    side_files_.push_back({"config.json", std::move(config)});
    ECQ_TRY(auto tokenizer_files, GgufTokenizerFiles(file_, facts.vocab_size));
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
      if (stored.offset != 0) {
        for (float& value : out) value -= stored.offset;
      }
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
    float offset;                   // of the stored values; only where rows are in order
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

  Status AddTensor(const GgufTensor& tensor, const GgufArchitecture& arch, const GgufShape& shape,
                   GgufTensorFacts* facts) {
    std::optional<MappedName> mapped = MapGgufName(*arch.names, tensor.name, shape.num_layers);
    if (!mapped) {
      return file_.Fail(ErrorCode::kUnsupportedArchitecture,
                        fmt::format("tensor {} is not part of {} with {} layers", tensor.name,
                                    arch.name, shape.num_layers));
    }
    if (mapped->name.empty()) return AddDivisors(tensor, mapped->role, shape, facts);
    uint64_t interleaved_head_dim = 0;
    if (mapped->role == GgufRole::kQuery || mapped->role == GgufRole::kKey) {
      const bool is_query = mapped->role == GgufRole::kQuery;
      ECQ_RETURN_IF_ERROR(
          CheckHeads(tensor, is_query ? shape.num_heads : shape.num_kv_heads, shape.head_dim));
      if (arch.interleaved_rotary) interleaved_head_dim = shape.head_dim;
    }
    tensors_.push_back({std::move(mapped->name), tensor.shape, std::string(tensor.type->name),
                        tensor.bytes.size()});
    stored_.push_back(
        {&tensor, interleaved_head_dim, mapped->role == GgufRole::kNorm ? arch.norm_offset : 0});
    return OkStatus();
  }

  // A matrix or a bias with a row for each dimension of each head.
  Status CheckHeads(const GgufTensor& tensor, uint64_t heads, uint64_t head_dim) const {
    const bool is_bias = tensor.shape.size() == 1 && tensor.type->block_elements == 1;
    if ((tensor.shape.size() == 2 || is_bias) && tensor.shape[0] == heads * head_dim) {
      return OkStatus();
    }
    return file_.Fail(
        ErrorCode::kBadLayout,
        fmt::format("tensor {}: expected {} rows ({} heads of {}), got shape {}", tensor.name,
                    heads * head_dim, heads, head_dim, ShapeToString(tensor.shape)));
  }

  Status AddDivisors(const GgufTensor& tensor, GgufRole role, const GgufShape& shape,
                     GgufTensorFacts* facts) const {
    ECQ_TRY(std::vector<float> divisors, ReadDivisors(file_, tensor, shape.rotary_dims));
    if (role == GgufRole::kShortRopeDivisors) {
      facts->short_rope_divisors = std::move(divisors);
    } else if (role == GgufRole::kLongRopeDivisors) {
      facts->long_rope_divisors = std::move(divisors);
    } else if (std::any_of(divisors.begin(), divisors.end(), [](float d) { return d != 1; })) {
      facts->rope_divisors = std::move(divisors);
    }
    return OkStatus();
  }

  const SourceTensor* FindTensor(std::string_view name) const {
    const auto it = std::find_if(tensors_.begin(), tensors_.end(),
                                 [&](const SourceTensor& t) { return t.name == name; });
    return it == tensors_.end() ? nullptr : &*it;
  }

  // Once all tensors are there.
  Status CollectFacts(const GgufArchitecture& arch, GgufTensorFacts* facts) const {
    const SourceTensor* embedding = FindTensor(arch.embedding());
    if (embedding == nullptr || embedding->shape.size() != 2) {
      return file_.Fail(ErrorCode::kBadLayout, "expected a matrix token_embd.weight");
    }
    const GgufTensor& stored = *stored_[static_cast<size_t>(embedding - tensors_.data())].tensor;
    facts->vocab_size = embedding->shape[0];
    facts->torch_dtype = TorchType(*stored.type);
    facts->has_output_head = FindTensor("lm_head.weight") != nullptr;
    facts->has_query_bias = FindTensor("model.layers.0.self_attn.q_proj.bias") != nullptr;
    facts->has_mlp_bias = FindTensor("model.layers.0.mlp.up_proj.bias") != nullptr;
    return OkStatus();
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
