// From token windows to the moments of all inputs of a model, one layer in memory at a time.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/base/thread_pool.h"
#include "ecq/model/model.h"
#include "ecq/quant/input_moments.h"
#include "ecq/runtime/evaluate.h"

namespace ecq {

// What the matrices of one layer meet.
struct LayerMoments {
  InputMoments attention;  // query, key; or query, key and value in one matrix
  InputMoments value;   // the same inputs, position 0 weighted up; empty if there is no such matrix
  InputMoments output;  // output projection
  InputMoments up;      // gate, up
  InputMoments down;
};

inline constexpr double kMaxSinkWeight = 1e6;

struct CalibrationOptions {
  // Weight of position 0 of each window in LayerMoments::value, 1 to kMaxSinkWeight: heads that
  // have nothing to say attend to that position, so that an error in its value shows everywhere.
  double sink_weight = 1000;
  // Called after each window of each layer, for a display.
  std::function<void(size_t layer, size_t done_windows, size_t num_windows)> progress{};
};

// The hidden states of all windows stay in memory, 4 * hidden_size bytes for a token. Results do
// not depend on the number of threads.
class CalibrationPass {
 public:
  // `model` and `pool` must outlive the pass. Errors: kInvalidArgument (no windows, one that is
  // empty, longer than the model's context, or with a token outside its vocabulary; a sink
  // weight out of its range), kOutOfMemory, kCorrupt from the weights.
  static Result<CalibrationPass> Create(const Model& model, ThreadPool& pool,
                                        std::vector<TokenWindow> windows,
                                        const CalibrationOptions& options);
  CalibrationPass(CalibrationPass&&) noexcept;
  CalibrationPass& operator=(CalibrationPass&&) noexcept;
  ~CalibrationPass();

  size_t num_layers() const;
  size_t num_tokens() const;  // of all windows
  size_t next_layer() const;  // num_layers() after the last one

  // Runs all windows through the next layer. After an error the pass is of no further use.
  // Errors: kInvalidArgument if there is none left; kCorrupt from the weights, or for inputs that
  // are not finite, with layer and site; kOutOfMemory.
  Result<LayerMoments> Next();

  // Moments of what the output head meets. Errors: as Next(); kInvalidArgument before the last
  // layer.
  Result<InputMoments> Head();

 private:
  class Impl;
  explicit CalibrationPass(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace ecq
