// Trains the tables of the window code on a Gaussian source and writes them as C++.
//
//   train_window_tables [--tuples N] [--passes N] [--threads N] [-o ecq/quant/window_tables.cc]
//
// Generalized Lloyd: search the codes of all tuples with the current table, then move every entry
// to the mean of the weights that use it, turned back to where the entry stands. Source: Linde,
// Buzo and Gray, IEEE Trans. Comm. 28(1), 1980.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "ecq/base/rng.h"
#include "ecq/base/thread_pool.h"
#include "ecq/portable/layout.h"
#include "ecq/quant/window_search.h"
#include "ecq/quant/window_tables.h"

namespace ecq {
namespace {

struct Options {
  uint32_t tuples = 1 << 18;
  uint32_t passes = 60;
  uint32_t threads = static_cast<uint32_t>(DefaultThreadCount());
  std::string output;
};

std::vector<WeightTuple> GaussianTuples(uint32_t count, uint64_t seed) {
  Rng rng(seed);
  std::vector<WeightTuple> tuples(count / kMaxLanes * kMaxLanes);
  for (WeightTuple& tuple : tuples) {
    for (float& w : tuple.w) w = static_cast<float>(rng.Gaussian());
  }
  return tuples;
}

// What one pass learns about a table.
struct Statistics {
  double error = 0;
  double sums[kWindowEntries][kTupleCols] = {};
  double counts[kWindowEntries] = {};
  double step_sum = 0;  // of weight - entry where the low bit is set
  double step_count = 0;

  void Add(const Statistics& other) {
    error += other.error;
    step_sum += other.step_sum;
    step_count += other.step_count;
    for (uint32_t i = 0; i < kWindowEntries; ++i) {
      counts[i] += other.counts[i];
      for (uint32_t j = 0; j < kTupleCols; ++j) sums[i][j] += other.sums[i][j];
    }
  }
};

// Where the weights of a tuple with this code come from: sign * (entry[source] + low bit * step).
void Collect(const WindowCodebook& book, const WeightTuple& tuple, TupleCode code, uint32_t above,
             Statistics& statistics) {
  const uint32_t raw = code.raw;
  const uint32_t probe = 0x04030201u;
  WindowTuple turned = TurnEntry(WindowTuple{probe}, code.byte, above, book.raw_bits);
  turned = ApplyRawBits(turned, book.raw_bits == 8 ? raw & 15u : raw, book.raw_bits, 0);
  const uint32_t entry = code.byte % kWindowEntries;
  statistics.counts[entry] += 1;
  for (uint32_t j = 0; j < kTupleCols; ++j) {
    const int32_t weight = WeightOf(turned, j);
    const uint32_t source = static_cast<uint32_t>(std::abs(weight)) - 1;
    double value = weight < 0 ? -tuple.w[j] : tuple.w[j];
    if (book.raw_bits == 8 && (raw >> (4 + j) & 1u)) {
      statistics.step_sum += value - book.entries[entry][source];
      statistics.step_count += 1;
      value -= book.low_step;
    }
    statistics.sums[entry][source] += value;
  }
}

Statistics Pass(const WindowCodebook& book, bool has_memory, const std::vector<WeightTuple>& tuples,
                ThreadPool& pool) {
  constexpr size_t kTasks = 64;
  std::vector<Statistics> parts(kTasks);
  const size_t chains = tuples.size() / kMaxLanes;
  pool.Run(kTasks, [&](size_t task, size_t) {
    WindowSearch search(book, has_memory);
    TupleCode codes[kMaxLanes];
    for (size_t chain = task; chain < chains; chain += kTasks) {
      const WeightTuple* const chain_tuples = &tuples[chain * kMaxLanes];
      parts[task].error += search.Find(chain_tuples, kMaxLanes, codes);
      for (uint32_t row = 0; row < kMaxLanes; ++row) {
        const uint32_t above = has_memory && row > 0 ? codes[row - 1].byte : 0;
        Collect(book, chain_tuples[row], codes[row], above, parts[task]);
      }
    }
  });
  for (size_t task = 1; task < kTasks; ++task) parts[0].Add(parts[task]);
  return parts[0];
}

void Improve(const Statistics& statistics, Rng& rng, WindowCodebook& book) {
  if (statistics.step_count > 0) {
    book.low_step = static_cast<float>(statistics.step_sum / statistics.step_count);
  }
  const auto busiest = std::max_element(std::begin(statistics.counts), std::end(statistics.counts));
  for (uint32_t i = 0; i < kWindowEntries; ++i) {
    for (uint32_t j = 0; j < kTupleCols; ++j) {
      if (statistics.counts[i] > 0) {
        book.entries[i][j] = static_cast<float>(statistics.sums[i][j] / statistics.counts[i]);
      } else {  // an entry that nobody uses splits the busiest one
        book.entries[i][j] = book.entries[busiest - std::begin(statistics.counts)][j] *
                             static_cast<float>(1 + 0.1 * rng.Gaussian());
      }
    }
  }
}

WindowTable Round(const WindowCodebook& book) {
  WindowTable table{};
  table.raw_bits = book.raw_bits;
  table.low_step = static_cast<uint32_t>(std::lround(book.low_step * kWindowLevelsPerSigma));
  const long limit = 127 - static_cast<long>(table.low_step);
  for (uint32_t i = 0; i < kWindowEntries; ++i) {
    for (uint32_t j = 0; j < kTupleCols; ++j) {
      table.entries[i][j] = static_cast<int8_t>(
          std::clamp(std::lround(book.entries[i][j] * kWindowLevelsPerSigma), -127L, limit));
    }
  }
  return table;
}

double GapBits(double error, size_t tuples, uint32_t raw_bits) {
  return 2 + raw_bits / 4.0 + 0.5 * std::log2(error / static_cast<double>(kTupleCols * tuples));
}

WindowTable Train(uint32_t raw_bits, bool has_memory, const Options& options, ThreadPool& pool) {
  Rng rng(raw_bits * 2 + has_memory);
  const std::vector<WeightTuple> train = GaussianTuples(options.tuples, 1);
  const std::vector<WeightTuple> test = GaussianTuples(options.tuples / 2, 2);
  WindowCodebook book;
  book.raw_bits = raw_bits;
  book.low_step = raw_bits == 8 ? 0.45f : 0;
  for (auto& entry : book.entries) {
    for (float& w : entry) {
      w = static_cast<float>(rng.Gaussian());
      if (raw_bits >= 4) w = std::max(0.0f, std::abs(w) - book.low_step / 2);
    }
  }
  double gap = 0;
  for (uint32_t pass = 0; pass < options.passes; ++pass) {
    const Statistics statistics = Pass(book, has_memory, train, pool);
    gap = GapBits(statistics.error, train.size(), raw_bits);
    Improve(statistics, rng, book);
  }
  const WindowTable table = Round(book);
  const WindowCodebook rounded = WindowCodebook::Of(table, 1 / kWindowLevelsPerSigma);
  const double held_out =
      GapBits(Pass(rounded, has_memory, test, pool).error, test.size(), raw_bits);
  fmt::print(stderr,
             "{:.1f} bits, {:>2} bits of window: {:.4f} bit above the bound in training, "
             "{:.4f} held out, low step {}\n",
             2 + raw_bits / 4.0, has_memory ? 12 : 8, gap, held_out, table.low_step);
  return table;
}

std::string TableText(const WindowTable& table) {
  std::string text = fmt::format("    {{{}, {}, {{", table.raw_bits, table.low_step);
  for (uint32_t i = 0; i < kWindowEntries; ++i) {
    text += fmt::format("{}{{{}, {}, {}, {}}}", i == 0 ? "" : ", ", table.entries[i][0],
                        table.entries[i][1], table.entries[i][2], table.entries[i][3]);
  }
  return text + "}},\n";
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Trains the tables of the window code on a Gaussian source.");
  app.add_option("--tuples", options.tuples, "training tuples of four weights")
      ->capture_default_str();
  app.add_option("--passes", options.passes, "passes over them")->capture_default_str();
  app.add_option("--threads", options.threads)->capture_default_str();
  app.add_option("-o", options.output, "C++ file to write; none: only the gaps are printed");
  CLI11_PARSE(app, argc, argv);
  ThreadPool pool(std::max(1u, options.threads));
  std::string text =
      "// Tables of the window code for a unit Gaussian; written by tools/train_window_tables.cc.\n"
      "#include \"ecq/quant/window_tables.h\"\n\nnamespace ecq {\nnamespace {\n\n"
      "// clang-format off\n"
      "constexpr WindowTable kTables[2][kNumWindowRates] = {\n";
  for (const bool has_memory : {false, true}) {
    text += "  {\n";
    for (const uint32_t raw_bits : kWindowRawBits) {
      text += TableText(Train(raw_bits, has_memory, options, pool));
    }
    text += "  },\n";
  }
  text +=
      "};\n// clang-format on\n\n}  // namespace\n\n"
      "const WindowTable& GaussianWindowTable(size_t rate, bool has_memory) {\n"
      "  return kTables[has_memory][rate];\n}\n\n}  // namespace ecq\n";
  if (options.output.empty()) return 0;
  std::FILE* const file = std::fopen(options.output.c_str(), "w");
  if (file == nullptr || std::fputs(text.c_str(), file) < 0 || std::fclose(file) != 0) {
    fmt::print(stderr, "{}: cannot write\n", options.output);
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace ecq

int main(int argc, char** argv) { return ecq::Main(argc, argv); }
