#include "app/bench_model.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <fstream>
#include <numeric>
#include <string>
#include <utility>

#include "ecq/base/aligned_buffer.h"

namespace ecq {
namespace {

double WallSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Processor seconds that the whole machine has been busy; 0 if that is not to be had.
double MachineBusySeconds() {
  std::ifstream stat("/proc/stat");
  std::string name;
  double user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0;
  if (!(stat >> name >> user >> nice >> system >> idle >> iowait >> irq >> softirq)) return 0;
  return (user + nice + system + irq + softirq) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double OwnBusySeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Any ids do: the work of a token does not depend on which it is.
std::vector<uint32_t> SomeTokens(const Model& model, size_t count) {
  std::vector<uint32_t> tokens(count);
  for (size_t i = 0; i < count; ++i) {
    tokens[i] = static_cast<uint32_t>(i * 7919 % model.config().vocab_size);
  }
  return tokens;
}

}  // namespace

double Rates::median() const { return values[values.size() / 2]; }

double Rates::mean() const {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double Rates::standard_deviation() const {
  if (values.size() < 2) return 0;
  const double m = mean();
  double sum = 0;
  for (const double v : values) sum += (v - m) * (v - m);
  return std::sqrt(sum / static_cast<double>(values.size() - 1));
}

Result<Rates> MeasureRates(double amount, size_t repetitions, const std::function<Status()>& run) {
  Rates rates;
  ECQ_RETURN_IF_ERROR(run());
  for (size_t i = 0; i < repetitions; ++i) {
    const double start = WallSeconds();
    ECQ_RETURN_IF_ERROR(run());
    rates.values.push_back(amount / (WallSeconds() - start));
  }
  std::sort(rates.values.begin(), rates.values.end());
  return rates;
}

double MeasureReadBandwidth(ThreadPool& pool) {
  constexpr size_t kBytes = size_t{512} << 20;
  constexpr size_t kTaskWords = size_t{1} << 17;
  constexpr size_t kRepetitions = 5;
  AlignedBuffer<uint64_t> buffer(kBytes / sizeof(uint64_t));
  buffer.Fill(1);
  std::atomic<uint64_t> total{0};  // keeps the reads alive
  const auto rates = MeasureRates(kBytes, kRepetitions, [&] {
    pool.Run(buffer.size() / kTaskWords, [&](size_t task, size_t) {
      const uint64_t* const words = buffer.data() + task * kTaskWords;
      uint64_t sums[8] = {};
      for (size_t i = 0; i < kTaskWords; i += 8) {
        for (size_t j = 0; j < 8; ++j) sums[j] += words[i + j];
      }
      total += std::accumulate(sums, sums + 8, uint64_t{0});
    });
    return OkStatus();
  });
  return rates->max();
}

uint64_t WeightBytesPerToken(const OpenedModel& opened, const Model& model) {
  uint64_t bytes = 0;
  for (const SourceTensor& tensor : opened.source().tensors()) {
    if (!IsWeightMatrix(tensor)) continue;
    const bool looked_up =
        !model.config().tie_word_embeddings && tensor.name == "model.embed_tokens.weight";
    if (looked_up) continue;
    const bool coded = opened.coded() && opened.ecq()->matrix(tensor.name).ok();
    bytes += coded ? tensor.source_bytes : sizeof(float) * tensor.shape[0] * tensor.shape[1];
  }
  return bytes;
}

Result<Rates> MeasurePrompt(const Model& model, Session& session, size_t tokens,
                            size_t repetitions) {
  const std::vector<uint32_t> ids = SomeTokens(model, tokens);
  std::vector<float> hidden(tokens * model.config().hidden_size);
  return MeasureRates(static_cast<double>(tokens), repetitions, [&]() -> Status {
    session.Clear();
    return model.Forward(session, ids, hidden.data());
  });
}

Result<Rates> MeasureGeneration(const Model& model, Session& session, size_t depth, size_t tokens,
                                size_t repetitions) {
  const std::vector<uint32_t> ids = SomeTokens(model, depth + tokens);
  std::vector<float> hidden(std::max<size_t>(1, depth) * model.config().hidden_size);
  std::vector<float> logits(model.config().vocab_size);
  session.Clear();
  ECQ_RETURN_IF_ERROR(model.Forward(session, std::span(ids).first(depth), hidden.data()));
  return MeasureRates(static_cast<double>(tokens), repetitions, [&]() -> Status {
    session.Truncate(depth);
    for (const uint32_t& id : std::span(ids).subspan(depth)) {
      ECQ_RETURN_IF_ERROR(model.Forward(session, {&id, 1}, hidden.data()));
      ECQ_RETURN_IF_ERROR(model.Logits(session, 1, hidden.data(), logits.data()));
    }
    return OkStatus();
  });
}

ForeignLoad::ForeignLoad()
    : start_machine_seconds_(MachineBusySeconds()),
      start_own_seconds_(OwnBusySeconds()),
      start_wall_seconds_(WallSeconds()) {}

double ForeignLoad::BusyProcessors() const {
  const double wall = WallSeconds() - start_wall_seconds_;
  const double others =
      (MachineBusySeconds() - start_machine_seconds_) - (OwnBusySeconds() - start_own_seconds_);
  return wall > 0 ? std::max(0.0, others / wall) : 0;
}

Result<std::vector<KernelRate>> MeasureKernels(const Matrix& matrix, ThreadPool& pool,
                                               size_t repetitions) {
  std::vector<float> x(matrix.cols(), 0.5f);
  std::vector<float> y(matrix.rows());
  const double weights = static_cast<double>(matrix.rows() * matrix.cols());
  const CpuTarget active = ActiveCpuTarget();
  std::vector<KernelRate> rates;
  for (const CpuTarget target : kAllCpuTargets) {
    if (!CpuTargetSupported(target)) continue;
    ECQ_RETURN_IF_ERROR(SetActiveCpuTarget(target));
    for (const ActivationMode mode : {ActivationMode::kF32, ActivationMode::kI8}) {
      const size_t products = target == CpuTarget::kScalar ? 1 : 20;
      auto rate =
          MeasureRates(weights * static_cast<double>(products),
                       target == CpuTarget::kScalar ? 1 : repetitions, [&]() -> Status {
                         for (size_t i = 0; i < products; ++i) {
                           ECQ_RETURN_IF_ERROR(matrix.Multiply(pool, mode, 1, x.data(), y.data()));
                         }
                         return OkStatus();
                       });
      if (!rate.ok()) {
        ECQ_RETURN_IF_ERROR(SetActiveCpuTarget(active));
        return std::move(rate).error();
      }
      rates.push_back({target, mode, std::move(rate).value()});
    }
  }
  ECQ_RETURN_IF_ERROR(SetActiveCpuTarget(active));
  return rates;
}

}  // namespace ecq
