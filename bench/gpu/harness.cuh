// Timing, checking and reporting for the GPU benches.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

namespace ecq::gpu {

// A bench has nobody to report an error to: it stops.
inline void CheckCuda(cudaError_t error, const char* what, int line) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "bench_window: line %d: %s: %s\n", line, what, cudaGetErrorString(error));
  std::exit(1);
}
#define ECQ_CUDA(call) ::ecq::gpu::CheckCuda((call), #call, __LINE__)

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t count) : count_(count) {
    ECQ_CUDA(cudaMalloc(&data_, count * sizeof(T)));
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    ECQ_CUDA(cudaMemcpy(data_, values.data(), count_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* get() const { return data_; }
  size_t count() const { return count_; }
  void Clear() { ECQ_CUDA(cudaMemset(data_, 0, count_ * sizeof(T))); }
  std::vector<T> ToHost(size_t first, size_t count) const {
    std::vector<T> values(count);
    ECQ_CUDA(cudaMemcpy(values.data(), data_ + first, count * sizeof(T), cudaMemcpyDeviceToHost));
    return values;
  }

 private:
  T* data_ = nullptr;
  size_t count_;
};

// Seconds of one launch.
struct Timing {
  double median = 0;
  double low = 0;   // second smallest
  double high = 0;  // second largest
};

inline Timing Summarize(std::vector<double> seconds) {
  std::sort(seconds.begin(), seconds.end());
  return Timing{seconds[seconds.size() / 2], seconds[1], seconds[seconds.size() - 2]};
}

constexpr int kSamples = 21;

class Stopwatch {
 public:
  Stopwatch() {
    ECQ_CUDA(cudaStreamCreate(&stream_));
    ECQ_CUDA(cudaEventCreate(&begin_));
    ECQ_CUDA(cudaEventCreate(&end_));
  }
  ~Stopwatch() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
    cudaStreamDestroy(stream_);
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

  cudaStream_t stream() const { return stream_; }

  // `enqueue` puts `launches` launches into the stream.
  Timing Time(int launches, const std::function<void()>& enqueue, int samples = kSamples) {
    std::vector<double> seconds;
    enqueue();
    for (int i = 0; i < samples; ++i) {
      ECQ_CUDA(cudaEventRecord(begin_, stream_));
      enqueue();
      ECQ_CUDA(cudaEventRecord(end_, stream_));
      ECQ_CUDA(cudaEventSynchronize(end_));
      float ms = 0;
      ECQ_CUDA(cudaEventElapsedTime(&ms, begin_, end_));
      seconds.push_back(ms * 1e-3 / launches);
    }
    ECQ_CUDA(cudaGetLastError());
    return Summarize(seconds);
  }

  // As Time, with the launches captured in a graph. `launch(i)` enqueues launch i.
  Timing TimeGraph(int launches, const std::function<void(int)>& launch, int samples = kSamples) {
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    ECQ_CUDA(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
    for (int i = 0; i < launches; ++i) launch(i);
    ECQ_CUDA(cudaStreamEndCapture(stream_, &graph));
    ECQ_CUDA(cudaGraphInstantiate(&executable, graph, 0));
    const Timing timing = Time(
        launches, [&] { ECQ_CUDA(cudaGraphLaunch(executable, stream_)); }, samples);
    ECQ_CUDA(cudaGraphExecDestroy(executable));
    ECQ_CUDA(cudaGraphDestroy(graph));
    return timing;
  }

 private:
  cudaStream_t stream_ = nullptr;
  cudaEvent_t begin_ = nullptr;
  cudaEvent_t end_ = nullptr;
};

// Launches a kernel of one argument, as a programmatic dependent if `dependent`.
template <typename Args>
void Launch(void (*kernel)(const Args), uint32_t grid, uint32_t threads, size_t shared_bytes,
            cudaStream_t stream, bool dependent, const Args& args) {
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(grid);
  config.blockDim = dim3(threads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = dependent ? 1 : 0;
  ECQ_CUDA(cudaLaunchKernelEx(&config, kernel, args));
}

// One line of the result.
struct Row {
  std::string variant;
  std::string geometry;
  std::string shape;   // "large" or rows x columns
  std::string config;  // the fastest configuration
  double bits_per_weight = 0;
  double weights = 0;
  double bytes = 0;
  Timing timing;
  bool correct = false;
};

inline void PrintRow(const Row& r, double ceiling, double rival_seconds) {
  const double rate = r.bytes / r.timing.median;
  std::printf("%-11s %-22s %-18s %5.2f %9.2f %6.2f %6.0f %5.1f%% %6.3f %5.1f%% %s\n",
              r.shape.c_str(), r.variant.c_str(), r.config.c_str(), r.bits_per_weight,
              r.timing.median * 1e6, r.weights / r.timing.median * 1e-12, rate * 1e-9,
              100 * rate / ceiling, rival_seconds / r.timing.median,
              100 * (r.timing.high - r.timing.low) / r.timing.median,
              r.correct ? "exact" : "WRONG");
  std::fflush(stdout);
}

inline void WriteRow(std::FILE* file, const Row& r, double ceiling, double rival_seconds) {
  std::fprintf(file,
               "    {\"shape\": \"%s\", \"variant\": \"%s\", \"geometry\": \"%s\", "
               "\"config\": \"%s\", \"bits_per_weight\": %.4f, \"us\": %.4f, \"us_low\": %.4f, "
               "\"us_high\": %.4f, \"tera_weights_per_s\": %.4f, \"gb_per_s\": %.1f, "
               "\"of_ceiling\": %.4f, \"times_rival\": %.4f, \"correct\": %s}",
               r.shape.c_str(), r.variant.c_str(), r.geometry.c_str(), r.config.c_str(),
               r.bits_per_weight, r.timing.median * 1e6, r.timing.low * 1e6, r.timing.high * 1e6,
               r.weights / r.timing.median * 1e-12, r.bytes / r.timing.median * 1e-9,
               r.bytes / r.timing.median / ceiling, rival_seconds / r.timing.median,
               r.correct ? "true" : "false");
}

}  // namespace ecq::gpu
