// Where checkpoints of Hugging Face differ from what a ModelSource presents.
#include "ecq/import/gpt2_layout.h"

namespace ecq {

bool IsGpt2Conv1d(std::string_view name) {
  for (const std::string_view end :
       {"attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"}) {
    if (name.ends_with(end)) return true;
  }
  return false;
}

bool IsBuffer(std::string_view name, bool is_gpt2) {
  if (is_gpt2 && (name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias"))) return true;
  return name.ends_with("embeddings.position_ids");
}

void Transpose(const float* in, size_t rows, size_t cols, float* out) {
  for (size_t c = 0; c < cols; ++c) {
    for (size_t r = 0; r < rows; ++r) out[c * rows + r] = in[r * cols + c];
  }
}

}  // namespace ecq
