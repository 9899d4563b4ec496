// Row order of query and key projections: interleaved rotary pairs and Hugging Face's half split.
#pragma once

#include <cstdint>

namespace ecq {

// Rotary embedding turns pairs of a head's rows. Hugging Face pairs row i with row i + head_dim /
// 2; GGUF's llama and llama2.c pair row 2 i with row 2 i + 1. Returns the interleaved row that
// holds the Hugging Face row `row`. Pre: head_dim is even and not 0.
constexpr uint64_t InterleavedRow(uint64_t row, uint64_t head_dim) {
  const uint64_t half = head_dim / 2;
  const uint64_t in_head = row % head_dim;
  return row - in_head + 2 * (in_head % half) + in_head / half;
}

}  // namespace ecq
