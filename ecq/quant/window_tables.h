// The tables of the window code that ship with the library.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "ecq/portable/window.h"

namespace ecq {

// Levels that make up one standard deviation of the weights in these tables.
inline constexpr float kWindowLevelsPerSigma = 32;

// The kinds of codes by rate, and their bits a weight.
struct WindowRate {
  uint32_t code_bits;
  uint32_t raw_bits;

  constexpr double bits() const { return (code_bits + raw_bits) / double{kTupleCols}; }
};
inline constexpr std::array<WindowRate, 7> kWindowRates{
    {{4, 0}, {6, 0}, {8, 0}, {8, 2}, {8, 4}, {8, 6}, {8, 8}}};

// The table for weights of a unit Gaussian at a rate (an index into kWindowRates), trained by
// tools/train_window_tables.cc. Distances to the rate-distortion bound:
// docs/experiments/window_code.md.
const WindowTable& GaussianWindowTable(size_t rate, bool has_memory);

}  // namespace ecq
