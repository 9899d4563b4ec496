// A model in somebody else's format, seen as what a Hugging Face directory would hold.
//
// Every importer presents the same picture: tensors under their Hugging Face names and in Hugging
// Face layout (q and k rows in half-split rotary order), a config.json, and tokenizer files. Every
// matrix of a linear layer is (out, in), also where Hugging Face stores the transpose (GPT-2). What
// is downstream never learns where a model came from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/tensor/tensor.h"

namespace ecq {

struct SourceTensor {
  std::string name;         // "model.layers.0.self_attn.q_proj.weight"
  Shape shape;              // row-major, outermost first
  std::string source_type;  // as the source names it: "BF16", "Q4_1"
  uint64_t source_bytes;    // bytes it occupies there
};

// A small text file that travels with the weights.
struct SideFile {
  std::string name;  // "config.json", "tokenizer.json", "generation_config.json", ...
  std::string contents;
};

class ModelSource {
 public:
  virtual ~ModelSource() = default;

  // "huggingface", "mlx", "awq", "gptq", "gguf" or "llama2.c"
  virtual std::string_view kind() const = 0;
  virtual const std::vector<SourceTensor>& tensors() const = 0;      // in the model's own order
  virtual const std::vector<SideFile>& side_files() const = 0;       // config.json is always there
  virtual const std::vector<std::string>& weight_paths() const = 0;  // the files that hold weights

  // Dequantizes tensor `index` to f32, exactly as the source format defines it.
  // Pre: out.size() equals the number of elements. Thread-safe.
  virtual Status ReadF32(size_t index, std::span<float> out) const = 0;
};

// Opens a Hugging Face or MLX directory, a .gguf file or a llama2.c .bin (its tokenizer beside it).
// Errors: kNotFound, kBadMagic for none of these, and those of the format at hand.
Result<std::unique_ptr<ModelSource>> OpenModelSource(const std::filesystem::path& path);

}  // namespace ecq
