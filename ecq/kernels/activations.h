// Activations rounded to int8 with one scale per 32 values.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ecq/base/bytes.h"

namespace ecq {

inline constexpr size_t kActivationBlock = 32;

constexpr size_t NumActivationBlocks(size_t k) { return DivideRoundUp(k, kActivationBlock); }
constexpr size_t PaddedActivations(size_t k) { return NumActivationBlocks(k) * kActivationBlock; }

// Rows of x in one panel of a PackedBatch, and values of a row that lie together in it.
inline constexpr size_t kPanelRows = 4;
inline constexpr size_t kPanelValues = 4;

// Where a block of 32 values of a row has its scale in the panels of a batch of rows (k).
constexpr size_t PanelBlockIndex(size_t k, size_t row, size_t block) {
  return (row / kPanelRows * NumActivationBlocks(k) + block) * kPanelRows + row % kPanelRows;
}
// Where value i of a row lies.
constexpr size_t PanelIndex(size_t k, size_t row, size_t i) {
  const size_t first = row / kPanelRows * PaddedActivations(k) * kPanelRows;
  return first + (i / kPanelValues * kPanelRows + row % kPanelRows) * kPanelValues +
         i % kPanelValues;
}

// Blocks with a smaller maximum count as zero: 127 / max would overflow.
inline constexpr float kSmallestBlockMax = 0x1p-118f;

// Per block of 32 values: scale = max|x| / 127 and q = x / scale rounded to nearest, ties to even,
// so that q * scale approximates x. Blocks whose maximum is zero (or too small to have a
// reciprocal) get scale 0; blocks with an infinity or NaN get scale NaN and q = 0, which poisons
// every product.
//
// Shapes: x (k); q (PaddedActivations(k)), zeros after k; scales (NumActivationBlocks(k)).
// Source: the rule of ggml's Q8_0, with the scale kept in f32.
void QuantizeActivations(const float* x, size_t k, int8_t* q, float* scales);
// The same for one block of n values; returns its scale.
float QuantizeBlock(const float* x, size_t n, int8_t* q);

// The order in which products with window codes take q: within each 16 values, value 4 i + j is at
// 4 j + i, so that weight j of four tuples meets four neighbouring bytes.
// Shapes: q, q_tuples (PaddedActivations(k)).
void TransposeTuples(const int8_t* q, size_t k, int8_t* q_tuples);
// Where it puts value i.
constexpr size_t TupleIndex(size_t i) { return i / 16 * 16 + i % 4 * 4 + i % 16 / 4; }

// Puts q (PaddedActivations(k)) in its places as row `row` of the panels at `panels`.
void StoreInPanel(const int8_t* q, size_t k, size_t row, int8_t* panels);

// out[i] = QuantizeActivations(x)[i] as a number: what a product over rounded activations sees.
// out (k) may be x.
void RoundActivations(const float* x, size_t k, float* out);

}  // namespace ecq
