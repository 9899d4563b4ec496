// Who wants to see the inputs of a layer's matrices while the layer runs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ecq {

// The four inputs of a layer that matrices meet.
enum class InputSite : uint8_t {
  kAttention,  // of query, key and value: (t, hidden)
  kOutput,     // of the output projection: (t, num_heads * head_dim)
  kUp,         // of gate and up: (t, hidden)
  kDown,       // (t, intermediate)
};

class InputObserver {
 public:
  virtual ~InputObserver() = default;

  // x (t, cols) belongs to the positions [first, first + t) of the sequence at hand and stays valid
  // until the call returns. Called from the thread that runs the layer, outside of the pool's
  // loops.
  virtual void Observe(InputSite site, size_t first, size_t t, size_t cols, const float* x) = 0;
};

}  // namespace ecq
