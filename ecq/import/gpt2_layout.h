// Where checkpoints of Hugging Face differ from what a ModelSource presents.
#pragma once

#include <cstddef>
#include <string_view>

namespace ecq {

// GPT-2 keeps its linear layers as Conv1D: (in, out), where every other model has (out, in).
bool IsGpt2Conv1d(std::string_view name);

// Constants that old checkpoints carry along: causal masks (GPT-2) and lists of positions.
bool IsBuffer(std::string_view name, bool is_gpt2);

// out (cols, rows) = the transpose of in (rows, cols).
void Transpose(const float* in, size_t rows, size_t cols, float* out);

}  // namespace ecq
