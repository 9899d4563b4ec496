// Synthetic weights with known distributions, to hold measurements against theory.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "ecq/base/aligned_buffer.h"
#include "ecq/base/thread_pool.h"

namespace ecq {

enum class SyntheticKind : uint8_t {
  kGaussian,
  kLaplace,
  kStudent5,  // Student's t with 5 degrees of freedom
};

// "gaussian", "laplace" or "student5"; nothing otherwise.
std::optional<SyntheticKind> SyntheticKindFromName(std::string_view name);

// Independent weights of variance 1. The result does not depend on the number of threads.
AlignedBuffer<float> MakeSyntheticWeights(SyntheticKind kind, uint32_t rows, uint32_t cols,
                                          uint64_t seed, ThreadPool& pool);

}  // namespace ecq
