// Which geometry and which way of turning entries lets the window code run at memory speed.
//
// Usage: bench_window RESULT.json [COMMIT [DATE]]
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <random>

#include "bench/gpu/harness.cuh"
#include "bench/gpu/nibble_kernel.cuh"
#include "bench/gpu/turned_kernel.cuh"
#include "bench/gpu/window_kernel.cuh"
#include "bench/gpu/window_reference.h"

namespace ecq::gpu {
namespace {

constexpr size_t kPoolBytes = size_t{640} << 20;  // random weights, many times the L2 cache
constexpr uint32_t kMaxCols = 14336;

struct Shape {
  const char* name;
  uint32_t rows, cols;
  double weights() const { return double{1} * rows * cols; }
};
constexpr Shape kLarge = {"large", 262144, 4096};
constexpr Shape kLayers[] = {
    {"4096x4096", 4096, 4096}, {"4096x14336", 4096, 14336}, {"14336x4096", 14336, 4096}};

__global__ void FillRandom(uint32_t* words, size_t count) {
  const size_t stride = size_t{gridDim.x} * blockDim.x;
  for (size_t i = size_t{blockIdx.x} * blockDim.x + threadIdx.x; i < count; i += stride) {
    uint64_t z = (i + 1) * 0x9e3779b97f4a7c15ull;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    words[i] = static_cast<uint32_t>(z >> 32);
  }
}

// fp16 scales: small powers of two, so that float sums are exact in any order.
__global__ void FillScales(__half* scales, size_t count) {
  const size_t i = size_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < count) scales[i] = __float2half(static_cast<float>(1u << (i * 2654435761u >> 13 & 1u)));
}

struct Entries {
  int8_t values[kWindowEntries][kTupleCols];
};

// The plain product of a row: on the GPU for every row, on the CPU for some.
__host__ __device__ double RowProduct(const WindowGeometry& geometry, const Entries& entries,
                                      const uint8_t* payload, const int8_t* x,
                                      const float* x_scales, uint32_t cols, uint32_t row) {
  const uint8_t* block = payload + size_t{row / kBlockRows} * (cols / 32) * geometry.GroupBytes();
  double total = 0;
  for (uint32_t g = 0; g < cols / 32; ++g) {
    int32_t sum = 0;
    for (uint32_t c = 0; c < 32; ++c) {
      sum += x[g * 32 + c] * LevelAt(geometry, entries.values, block + g * geometry.GroupBytes(),
                                     row % kBlockRows, c);
    }
    total += double{x_scales[g]} * sum;
  }
  return total;
}

__global__ void ReferenceProduct(WindowGeometry geometry, Entries entries, const uint8_t* payload,
                                 const int8_t* x, const float* x_scales, uint32_t rows,
                                 uint32_t cols, float* y) {
  const uint32_t row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= rows) return;
  y[row] = static_cast<float>(RowProduct(geometry, entries, payload, x, x_scales, cols, row));
}

struct Variant {
  const char* name;
  Turning turning;
  uint32_t raw_bits;
  uint32_t replicas;
};

// Named as sass_count.py names kernels, then " x" and the copies.
constexpr Variant kVariants[] = {
    {"A expanded x1", Turning::kExpanded, 0, 1},
    {"A expanded x4", Turning::kExpanded, 0, 4},
    {"A expanded x8", Turning::kExpanded, 0, 8},
    {"A selector LDS", Turning::kSelectorLds, 0, 32},
    {"A selector ALU", Turning::kSelectorAlu, 0, 32},
    {"A selector mixed", Turning::kSelectorMixed, 0, 32},
    {"A turned LDS", Turning::kTurned, 0, 32},
    {"A partial x16", Turning::kPartial, 0, 16},
    {"B expanded x4", Turning::kRowsExpanded, 0, 4},
    {"B expanded x8", Turning::kRowsExpanded, 0, 8},
    {"B folded x16", Turning::kRowsFolded, 0, 16},
    {"B folded x32", Turning::kRowsFolded, 0, 32},
    {"C no memory", Turning::kFree, 0, 32},
    {"A expanded x1", Turning::kExpanded, 4, 1},
    {"A expanded x4", Turning::kExpanded, 4, 4},
    {"A expanded x8", Turning::kExpanded, 4, 8},
    {"A selector LDS", Turning::kSelectorLds, 4, 32},
    {"B expanded x4", Turning::kRowsExpanded, 4, 4},
    {"B expanded x8", Turning::kRowsExpanded, 4, 8},
    {"C no memory", Turning::kFree, 4, 32},
};

WindowGeometry GeometryOf(const Variant& v) {
  return {IsColumnTuple(v.turning), v.turning != Turning::kFree, v.raw_bits};
}

struct Config {
  const char* name;  // steps of a task : steps loaded ahead, warps of a multiprocessor
  uint32_t steps, threads;
  void (*kernel)(const WindowArgs);
};

template <Turning kTurning, uint32_t kRaw>
std::vector<Config> ConfigsOf() {
  return {{"4:4, 24 warps", 4, 768, WindowProduct<kTurning, kRaw, 4, 4, 768, 1>},
          {"4:2, 24 warps", 4, 768, WindowProduct<kTurning, kRaw, 4, 2, 768, 1>},
          {"4:4, 16 warps", 4, 512, WindowProduct<kTurning, kRaw, 4, 4, 512, 1>},
          {"4:2, 2x16 warps", 4, 512, WindowProduct<kTurning, kRaw, 4, 2, 512, 2>},
          {"2:2, 2x16 warps", 2, 512, WindowProduct<kTurning, kRaw, 2, 2, 512, 2>},
          {"1:1, 2x16 warps", 1, 512, WindowProduct<kTurning, kRaw, 1, 1, 512, 2>}};
}

std::vector<Config> ConfigsOf(const Variant& v) {
  const bool raw = v.raw_bits == 4;
  switch (v.turning) {
    case Turning::kFree:
      return raw ? ConfigsOf<Turning::kFree, 4>() : ConfigsOf<Turning::kFree, 0>();
    case Turning::kExpanded:
      return raw ? ConfigsOf<Turning::kExpanded, 4>() : ConfigsOf<Turning::kExpanded, 0>();
    case Turning::kPartial:
      return ConfigsOf<Turning::kPartial, 0>();
    case Turning::kSelectorLds:
      return raw ? ConfigsOf<Turning::kSelectorLds, 4>() : ConfigsOf<Turning::kSelectorLds, 0>();
    case Turning::kSelectorAlu:
      return ConfigsOf<Turning::kSelectorAlu, 0>();
    case Turning::kSelectorMixed:
      return ConfigsOf<Turning::kSelectorMixed, 0>();
    case Turning::kRowsExpanded:
      return raw ? ConfigsOf<Turning::kRowsExpanded, 4>() : ConfigsOf<Turning::kRowsExpanded, 0>();
    case Turning::kRowsFolded:
      return ConfigsOf<Turning::kRowsFolded, 0>();
    case Turning::kTurned:
      return {{"8:8, 24 warps", 8, 768, TurnedProduct<8, 8, 768, 1>},
              {"8:4, 24 warps", 8, 768, TurnedProduct<8, 4, 768, 1>},
              {"8:8, 2x16 warps", 8, 512, TurnedProduct<8, 8, 512, 2>},
              {"8:4, 2x16 warps", 8, 512, TurnedProduct<8, 4, 512, 2>},
              {"4:4, 2x16 warps", 4, 512, TurnedProduct<4, 4, 512, 2>},
              {"2:2, 2x16 warps", 2, 512, TurnedProduct<2, 2, 512, 2>}};
  }
  return {};
}

// Grid sizes worth trying: every resident block, and one block for each multiprocessor.
std::vector<uint32_t> Grids(uint32_t resident, uint32_t processors) {
  if (resident <= 1) return {resident * processors};
  return {resident * processors, processors};
}

class Bench {
 public:
  Bench();
  void MeasureCeiling();
  void MeasureRival();
  void MeasureVariant(const Variant& v);
  bool Write(const char* path, const char* commit, const char* date) const;

 private:
  void Report(Row row);
  double RivalSeconds(const std::string& shape) const;
  WindowArgs ArgsOf(const Variant& v, const Shape& shape, const Config& config,
                    const DeviceArray<uint32_t>& entries, const TurnTables& tables) const;
  bool IsExact(const Variant& v, const Shape& shape, const Config& config, uint32_t grid,
               const WindowArgs& args);
  const std::vector<float>& Reference(const Variant& v, const Shape& shape);
  Row TimeConfig(const Variant& v, const Shape& shape, const Config& config, uint32_t grid,
                 const WindowArgs& args, bool dependent, bool is_full);
  std::vector<float> RivalReference(const Shape& shape, const std::vector<uint32_t>& rows) const;
  template <uint32_t kRows, uint32_t kThreads, uint32_t kCtas>
  void TimeRival(const Shape& shape, std::vector<Row>* rows);

  cudaDeviceProp device_ = {};
  Entries entries_ = {};
  WindowTable tables_[2];  // raw_bits 0 and 4
  std::vector<int8_t> x_host_;
  std::vector<float> x_scales_host_;
  std::unique_ptr<DeviceArray<uint32_t>> pool_;
  std::unique_ptr<DeviceArray<int8_t>> x_;
  std::unique_ptr<DeviceArray<float>> x_scales_;
  std::unique_ptr<DeviceArray<float>> y_;
  std::unique_ptr<DeviceArray<__half>> nibble_scales_;
  std::map<std::string, std::vector<float>> references_;
  std::vector<Row> results_;
  Stopwatch stopwatch_;
  double ceiling_ = 1;  // bytes/s
  bool all_exact_ = true;
};

Bench::Bench() {
  ECQ_CUDA(cudaGetDeviceProperties(&device_, 0));
  std::mt19937 random(20261125);
  for (auto& entry : entries_.values) {
    for (int8_t& level : entry) level = static_cast<int8_t>(static_cast<int>(random() % 255) - 127);
  }
  for (uint32_t i = 0; i < 2; ++i) {
    tables_[i] = {};
    tables_[i].raw_bits = 4 * i;
    std::memcpy(tables_[i].entries, entries_.values, sizeof(entries_.values));
  }
  x_host_.resize(kMaxCols);
  for (int8_t& v : x_host_) v = static_cast<int8_t>(static_cast<int>(random() % 255) - 127);
  x_scales_host_.resize(kMaxCols / 32);
  for (float& s : x_scales_host_) s = 0.5f * static_cast<float>(1u << random() % 3);
  pool_ = std::make_unique<DeviceArray<uint32_t>>(kPoolBytes / 4);
  FillRandom<<<1024, 256>>>(pool_->get(), pool_->count());
  x_ = std::make_unique<DeviceArray<int8_t>>(x_host_);
  x_scales_ = std::make_unique<DeviceArray<float>>(x_scales_host_);
  y_ = std::make_unique<DeviceArray<float>>(kLarge.rows);
  nibble_scales_ = std::make_unique<DeviceArray<__half>>(kPoolBytes / 32);
  FillScales<<<static_cast<uint32_t>((nibble_scales_->count() + 255) / 256), 256>>>(
      nibble_scales_->get(), nibble_scales_->count());
  ECQ_CUDA(cudaDeviceSynchronize());
}

void Bench::MeasureCeiling() {
  const uint4* data = reinterpret_cast<const uint4*>(pool_->get());
  const uint32_t processors = static_cast<uint32_t>(device_.multiProcessorCount);
  Row best;
  for (const size_t bytes : {size_t{256} << 20, kPoolBytes}) {
    for (const uint32_t per_processor : {2u, 4u, 8u, 16u, 64u}) {
      const Timing timing = stopwatch_.Time(4, [&] {
        for (int i = 0; i < 4; ++i) {
          ReadAll<256><<<per_processor * processors, 256, 0, stopwatch_.stream()>>>(
              data, bytes / 16, y_->get());
        }
      });
      const double rate = static_cast<double>(bytes) / timing.median;
      if (rate <= ceiling_) continue;
      ceiling_ = rate;
      best = Row{"read",
                 "",
                 "large",
                 std::to_string(per_processor) + " blocks of 256",
                 0,
                 0,
                 static_cast<double>(bytes),
                 timing,
                 true};
    }
  }
  results_.push_back(best);
  std::printf("read ceiling %.0f GB/s\n", ceiling_ * 1e-9);
}

double Bench::RivalSeconds(const std::string& shape) const {
  for (const Row& r : results_) {
    if (r.variant == "R 4-bit g64" && r.shape == shape) return r.timing.median;
  }
  return 0;
}

void Bench::Report(Row row) {
  all_exact_ = all_exact_ && row.correct;
  results_.push_back(row);
  PrintRow(row, ceiling_, RivalSeconds(row.shape));
}

std::vector<float> Bench::RivalReference(const Shape& shape,
                                         const std::vector<uint32_t>& rows) const {
  std::vector<float> sums;
  for (const uint32_t row : rows) {
    const std::vector<uint32_t> words =
        pool_->ToHost(size_t{row} * (shape.cols / 8), shape.cols / 8);
    const std::vector<__half> scales =
        nibble_scales_->ToHost(size_t{row} * (shape.cols / 64), shape.cols / 64);
    double total = 0;
    for (uint32_t c = 0; c < shape.cols; ++c) {
      const uint32_t nibble = words[c / 8] >> (8 * (c % 4) + (c % 8 < 4 ? 0 : 4)) & 15u;
      total += (static_cast<double>(nibble) - 8) * x_host_[c] * x_scales_host_[c / 32] *
               __half2float(scales[c / 64]);
    }
    sums.push_back(static_cast<float>(total));
  }
  return sums;
}

template <uint32_t kRows, uint32_t kThreads, uint32_t kCtas>
void Bench::TimeRival(const Shape& shape, std::vector<Row>* rows) {
  const auto kernel = NibbleProduct<kRows, kThreads, kCtas>;
  NibbleArgs args{reinterpret_cast<const uint4*>(pool_->get()),
                  nibble_scales_->get(),
                  reinterpret_cast<const uint4*>(x_->get()),
                  x_scales_->get(),
                  y_->get(),
                  shape.rows,
                  shape.cols};
  const uint32_t grid = kCtas * static_cast<uint32_t>(device_.multiProcessorCount);
  y_->Clear();
  Launch(+kernel, grid, kThreads, 0, stopwatch_.stream(), false, args);
  ECQ_CUDA(cudaDeviceSynchronize());
  std::vector<uint32_t> sampled = {0, 1, shape.rows - 1};
  for (uint32_t i = 0; i < 29; ++i) sampled.push_back((i * 2654435761u) % shape.rows);
  const std::vector<float> wanted = RivalReference(shape, sampled);
  bool correct = true;
  for (size_t i = 0; i < sampled.size(); ++i) {
    correct = correct && y_->ToHost(sampled[i], 1)[0] == wanted[i];
  }
  const size_t words = size_t{shape.rows} * shape.cols / 32;
  const double bytes = shape.weights() * 4.25 / 8;
  const bool is_large = shape.rows == kLarge.rows;
  const size_t copies = kPoolBytes / 16 / words;
  const int launches = is_large ? 4 : 64;
  const std::string config =
      std::to_string(kRows) + " rows, " + std::to_string(kCtas * kThreads / 32) + " warps";
  for (const bool dependent : {false, true}) {
    if (is_large && dependent) continue;
    const Timing timing = stopwatch_.TimeGraph(launches, [&](int i) {
      NibbleArgs now = args;
      now.payload += words * (static_cast<size_t>(i) % copies);
      now.scales += words / 2 * (static_cast<size_t>(i) % copies);
      Launch(+kernel, grid, kThreads, 0, stopwatch_.stream(), dependent && i > 0, now);
    });
    rows->push_back(Row{"R 4-bit g64", "rows", shape.name, config + (dependent ? ", PDL" : ""),
                        4.25, shape.weights(), bytes, timing, correct});
  }
}

void Bench::MeasureRival() {
  for (const Shape& shape : {kLarge, kLayers[0], kLayers[1], kLayers[2]}) {
    std::vector<Row> rows;
    TimeRival<4, 512, 1>(shape, &rows);
    TimeRival<4, 768, 1>(shape, &rows);
    TimeRival<2, 512, 2>(shape, &rows);
    TimeRival<1, 512, 2>(shape, &rows);
    TimeRival<2, 256, 4>(shape, &rows);
    Report(*std::min_element(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
      return a.timing.median < b.timing.median;
    }));
  }
}

WindowArgs Bench::ArgsOf(const Variant& v, const Shape& shape, const Config& config,
                         const DeviceArray<uint32_t>& entries, const TurnTables& tables) const {
  WindowArgs args = {};
  args.payload = reinterpret_cast<const uint4*>(pool_->get());
  args.x = reinterpret_cast<const uint32_t*>(x_->get());
  args.x_scales = x_scales_->get();
  args.entries = entries.get();
  args.y = y_->get();
  args.cols = shape.cols;
  args.tasks_per_block = shape.cols / 128 / config.steps;
  if (v.turning == Turning::kTurned) {
    const uint32_t short_slice = shape.cols % 4096 == 0 ? 1024 : 2048;  // less to fill for a layer
    args.slice_cols = shape.rows == kLarge.rows ? 4096 : short_slice;
    args.tasks_per_block = args.slice_cols / 64 / config.steps;
  }
  args.block_of_task = static_cast<uint32_t>(((uint64_t{1} << 32) + args.tasks_per_block - 1) /
                                             args.tasks_per_block);
  args.tasks = shape.rows / kBlockRows * args.tasks_per_block;
  args.entry_count = static_cast<uint32_t>(entries.count());
  args.replicas = v.replicas;
  std::memcpy(args.selectors, tables.selectors, sizeof(args.selectors));
  args.bytes = tables.bytes;
  return args;
}

const std::vector<float>& Bench::Reference(const Variant& v, const Shape& shape) {
  const WindowGeometry geometry = GeometryOf(v);
  const std::string key = std::string(shape.name) + (geometry.tuple_is_column ? "B" : "A") +
                          (geometry.has_memory ? "m" : "f") + std::to_string(v.raw_bits);
  const auto found = references_.find(key);
  if (found != references_.end()) return found->second;
  ReferenceProduct<<<shape.rows / 128, 128>>>(
      geometry, entries_, reinterpret_cast<const uint8_t*>(pool_->get()), x_->get(),
      x_scales_->get(), shape.rows, shape.cols, y_->get());
  ECQ_CUDA(cudaDeviceSynchronize());
  std::vector<float> sums = y_->ToHost(0, shape.rows);
  const size_t block_words = size_t{shape.cols / 32} * geometry.GroupBytes() / 4;
  for (const uint32_t block : {0u, shape.rows / 64 + 3, shape.rows / 32 - 1}) {
    const std::vector<uint32_t> payload = pool_->ToHost(block * block_words, block_words);
    for (uint32_t r = 0; r < kBlockRows; ++r) {
      const float wanted = static_cast<float>(
          RowProduct(geometry, entries_, reinterpret_cast<const uint8_t*>(payload.data()),
                     x_host_.data(), x_scales_host_.data(), shape.cols, r));
      if (sums[block * kBlockRows + r] == wanted) continue;
      std::fprintf(stderr, "bench_window: reference %s: row %u: GPU %g, CPU %g\n", key.c_str(),
                   block * kBlockRows + r, sums[block * kBlockRows + r], wanted);
      all_exact_ = false;
    }
  }
  return references_.emplace(key, std::move(sums)).first->second;
}

bool Bench::IsExact(const Variant& v, const Shape& shape, const Config& config, uint32_t grid,
                    const WindowArgs& args) {
  const std::vector<float>& wanted = Reference(v, shape);
  y_->Clear();
  Launch(config.kernel, grid, config.threads, PlanShared(args).bytes, stopwatch_.stream(), false,
         args);
  ECQ_CUDA(cudaDeviceSynchronize());
  const std::vector<float> got = y_->ToHost(0, shape.rows);
  for (uint32_t row = 0; row < shape.rows; ++row) {
    if (got[row] == wanted[row]) continue;
    std::fprintf(stderr, "bench_window: %s, %u raw bits, %s, %s: row %u: expected %g, got %g\n",
                 v.name, v.raw_bits, config.name, shape.name, row, wanted[row], got[row]);
    return false;
  }
  return true;
}

Row Bench::TimeConfig(const Variant& v, const Shape& shape, const Config& config, uint32_t grid,
                      const WindowArgs& args, bool dependent, bool is_full) {
  const bool is_large = shape.rows == kLarge.rows;
  const double bits = 2 + v.raw_bits / 4.0;
  const size_t words =
      size_t{shape.rows} / 32 * (shape.cols / 32) * GeometryOf(v).GroupBytes() / 16;
  const size_t copies = kPoolBytes / 16 / words;
  const Timing timing = stopwatch_.TimeGraph(is_large ? 4 : 64, [&](int i) {
    WindowArgs now = args;
    now.payload += words * (static_cast<size_t>(i) % copies);
    Launch(config.kernel, grid, config.threads, PlanShared(args).bytes, stopwatch_.stream(),
           dependent && i > 0, now);
  });
  const std::string name =
      std::string(config.name) + (is_full ? "" : ", 1 block") + (dependent ? ", PDL" : "");
  return Row{v.name,
             IsColumnTuple(v.turning) ? "4 rows x 1 column" : "4 columns x 1 row",
             shape.name,
             name,
             bits,
             shape.weights(),
             shape.weights() * bits / 8,
             timing,
             true};
}

void Bench::MeasureVariant(const Variant& v) {
  const TurnTables tables = BuildTurnTables(tables_[v.raw_bits / 4], v.turning);
  const DeviceArray<uint32_t> entries(tables.entries);
  const uint32_t processors = static_cast<uint32_t>(device_.multiProcessorCount);
  for (const Shape& shape : {kLarge, kLayers[0], kLayers[1], kLayers[2]}) {
    const bool is_large = shape.rows == kLarge.rows;
    std::vector<Row> rows;
    bool correct = true;
    for (const Config& config : ConfigsOf(v)) {
      const WindowArgs args = ArgsOf(v, shape, config, entries, tables);
      const uint32_t shared = PlanShared(args).bytes;
      if (shared > device_.sharedMemPerBlockOptin) continue;
      ECQ_CUDA(cudaFuncSetAttribute(config.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(shared)));
      int resident = 0;
      ECQ_CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(
          &resident, config.kernel, static_cast<int>(config.threads), shared));
      if (resident == 0) continue;
      for (const uint32_t grid : Grids(static_cast<uint32_t>(resident), processors)) {
        correct = IsExact(v, shape, config, grid, args) && correct;
        const bool is_full = grid == static_cast<uint32_t>(resident) * processors;
        rows.push_back(TimeConfig(v, shape, config, grid, args, false, is_full));
        if (!is_large) rows.push_back(TimeConfig(v, shape, config, grid, args, true, is_full));
      }
    }
    if (rows.empty()) continue;
    Row best = *std::min_element(rows.begin(), rows.end(), [](const Row& a, const Row& b) {
      return a.timing.median < b.timing.median;
    });
    best.correct = correct;
    Report(best);
  }
}

bool Bench::Write(const char* path, const char* commit, const char* date) const {
  std::FILE* file = std::fopen(path, "w");
  if (file == nullptr) return false;
  std::fprintf(file,
               "{\n  \"gpu\": \"%s\",\n  \"multiprocessors\": %d,\n  \"commit\": \"%s\",\n"
               "  \"date\": \"%s\",\n  \"ceiling_gb_per_s\": %.1f,\n  \"samples\": %d,\n"
               "  \"all_exact\": %s,\n  \"results\": [\n",
               device_.name, device_.multiProcessorCount, commit, date, ceiling_ * 1e-9, kSamples,
               all_exact_ ? "true" : "false");
  for (size_t i = 0; i < results_.size(); ++i) {
    WriteRow(file, results_[i], ceiling_, RivalSeconds(results_[i].shape));
    std::fprintf(file, i + 1 < results_.size() ? ",\n" : "\n");
  }
  std::fprintf(file, "  ]\n}\n");
  std::fclose(file);
  return all_exact_;
}

}  // namespace
}  // namespace ecq::gpu

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench_window RESULT.json [COMMIT [DATE]]\n");
    return 2;
  }
  const char* commit = argc > 2 ? argv[2] : "unknown";
  const char* date = argc > 3 ? argv[3] : "unknown";
  ecq::gpu::Bench bench;
  bench.MeasureCeiling();
  std::printf("%-11s %-22s %-18s %5s %9s %6s %6s %6s %6s %6s\n", "shape", "variant", "config",
              "bpw", "us", "Tw/s", "GB/s", "read", "x R", "spread");
  bench.MeasureRival();
  bool is_good = true;
  for (const ecq::gpu::Variant& v : ecq::gpu::kVariants) {
    bench.MeasureVariant(v);
    is_good = bench.Write(argv[1], commit, date);  // each time: a stopped run leaves what it has
  }
  if (is_good) return 0;
  std::fprintf(stderr, "bench_window: some result was wrong, or %s could not be written\n",
               argv[1]);
  return 1;
}
