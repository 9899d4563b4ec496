// Measures how fast a model runs: prompt processing, generation, kernels, memory bandwidth.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "app/opened_model.h"
#include "ecq/base/cpu_target.h"
#include "ecq/base/result.h"
#include "ecq/base/thread_pool.h"
#include "ecq/model/model.h"

namespace ecq {

// Repeated rates of one measurement, after one warm-up that does not count.
struct Rates {
  std::vector<double> values;  // per second, ascending

  double median() const;
  double min() const { return values.front(); }
  double max() const { return values.back(); }
  double mean() const;
  double standard_deviation() const;
};

// amount / seconds of run(), `repetitions` times.
Result<Rates> MeasureRates(double amount, size_t repetitions, const std::function<Status()>& run);

// Bytes per second that the threads of `pool` read from a buffer far larger than any cache.
double MeasureReadBandwidth(ThreadPool& pool);

// Bytes of weights that one generated token reads: all matrices, of an untied embedding one row.
uint64_t WeightBytesPerToken(const OpenedModel& opened, const Model& model);

// Tokens per second of a prompt of `tokens` tokens, and of `tokens` tokens generated one by one
// behind `depth` tokens.
Result<Rates> MeasurePrompt(const Model& model, Session& session, size_t tokens,
                            size_t repetitions);
Result<Rates> MeasureGeneration(const Model& model, Session& session, size_t depth, size_t tokens,
                                size_t repetitions);

// Share of this machine's processors that other processes kept busy while this object lived: on a
// machine that is not quiet, rates are lower bounds.
class ForeignLoad {
 public:
  ForeignLoad();
  // Processors, 0 for none. Linux only; 0 elsewhere.
  double BusyProcessors() const;

 private:
  double start_machine_seconds_;
  double start_own_seconds_;
  double start_wall_seconds_;
};

// Weights per second of y = W x with one matrix of the model, by target and activation type.
struct KernelRate {
  CpuTarget target;
  ActivationMode activations;
  Rates weights_per_second;
};
// The targets that this machine supports. The scalar reference is measured once only.
Result<std::vector<KernelRate>> MeasureKernels(const Matrix& matrix, ThreadPool& pool,
                                               size_t repetitions);

}  // namespace ecq
