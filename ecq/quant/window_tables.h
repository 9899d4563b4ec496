// The tables of the window code that ship with the library.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "ecq/portable/window.h"

namespace ecq {

// Levels that make up one standard deviation of the weights in these tables.
inline constexpr float kWindowLevelsPerSigma = 32;

// Raw bits of a tuple for each rate, 2 + raw_bits / 4 bits a weight.
inline constexpr std::array<uint32_t, 4> kWindowRawBits{0, 2, 4, 8};
inline constexpr size_t kNumWindowRates = kWindowRawBits.size();
inline constexpr double WindowRate(size_t rate) { return 2 + kWindowRawBits[rate] / 4.0; }

// The table for weights of a unit Gaussian at a rate (an index into kWindowRawBits), trained by
// tools/train_window_tables.cc. Distances to the rate-distortion bound:
// docs/experiments/window_code.md.
const WindowTable& GaussianWindowTable(size_t rate, bool has_memory);

}  // namespace ecq
