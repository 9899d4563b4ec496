// What calibration knows of the inputs that a matrix meets.
#pragma once

#include <cstdint>

#include "ecq/base/aligned_buffer.h"

namespace ecq {

// Second moments of the inputs x (K) of a matrix W (N, K): the sum over the tokens of a text of
// weight * x x^T, not centred. With weights of 1 and E = W - W', the squared error of the outputs
// summed over those tokens is trace(E sums E^T).
struct InputMoments {
  uint32_t cols = 0;          // K
  double weight = 0;          // sum of the weights of the tokens
  AlignedBuffer<float> sums;  // (K, K), symmetric, both triangles filled
};

}  // namespace ecq
