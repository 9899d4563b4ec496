// Trains the tables of the window code on a Gaussian source and writes them as C++.
//
//   train_window_tables [--bits B...] [--tuples N] [--passes N] [--threads N]
//                       [-o ecq/quant/window_tables.cc]
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
  std::vector<double> bits;  // empty: all rates
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

// Where the weights of a tuple with this code come from: sign * (entry[source] + low bit * step),
// read off from what the definition does to an entry 16, 32, 48, 64, where a low bit adds 1.
void Collect(const WindowCodebook& book, const WeightTuple& tuple, TupleCode code, uint32_t above,
             Statistics& statistics) {
  const WindowTuple turned = DecodeEntry(WindowTuple{0x40302010u}, code.byte, above, code.raw,
                                         book.code_bits, book.raw_bits, 1);
  const uint32_t entry = code.byte % NumWindowEntries(book.code_bits);
  statistics.counts[entry] += 1;
  for (uint32_t j = 0; j < kTupleCols; ++j) {
    const int32_t weight = WeightOf(turned, j);
    const uint32_t source = static_cast<uint32_t>(std::abs(weight)) / 16 - 1;
    double value = weight < 0 ? -tuple.w[j] : tuple.w[j];
    if (weight % 16 != 0) {
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
  for (uint32_t i = 0; i < NumWindowEntries(book.code_bits); ++i) {
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
  table.code_bits = book.code_bits;
  table.raw_bits = book.raw_bits;
  table.low_step = static_cast<uint32_t>(std::lround(book.low_step * kWindowLevelsPerSigma));
  const long limit = 127 - static_cast<long>(table.low_step);
  for (uint32_t i = 0; i < NumWindowEntries(book.code_bits); ++i) {
    for (uint32_t j = 0; j < kTupleCols; ++j) {
      table.entries[i][j] = static_cast<int8_t>(
          std::clamp(std::lround(book.entries[i][j] * kWindowLevelsPerSigma), -127L, limit));
    }
  }
  return table;
}

double GapBits(double error, size_t tuples, WindowRate rate) {
  return rate.bits() + 0.5 * std::log2(error / static_cast<double>(kTupleCols * tuples));
}

WindowTable Train(WindowRate rate, bool has_memory, const Options& options, ThreadPool& pool) {
  const uint32_t raw_bits = rate.raw_bits;
  Rng rng(raw_bits * 2 + has_memory);
  const std::vector<WeightTuple> train = GaussianTuples(options.tuples, 1);
  const std::vector<WeightTuple> test = GaussianTuples(options.tuples / 2, 2);
  WindowCodebook book;
  book.code_bits = rate.code_bits;
  book.raw_bits = raw_bits;
  book.low_step = HasLowBits(raw_bits) ? 0.45f : 0;
  for (auto& entry : book.entries) {
    for (float& w : entry) {
      w = static_cast<float>(rng.Gaussian());
      if (raw_bits >= 4) w = std::max(0.0f, std::abs(w) - book.low_step / 2);
    }
  }
  double gap = 0;
  for (uint32_t pass = 0; pass < options.passes; ++pass) {
    const Statistics statistics = Pass(book, has_memory, train, pool);
    gap = GapBits(statistics.error, train.size(), rate);
    Improve(statistics, rng, book);
  }
  const WindowTable table = Round(book);
  const WindowCodebook rounded = WindowCodebook::Of(table, 1 / kWindowLevelsPerSigma);
  const double held_out = GapBits(Pass(rounded, has_memory, test, pool).error, test.size(), rate);
  fmt::print(stderr,
             "{:.1f} bits, {:>2} bits of window: {:.4f} bit above the bound in training, "
             "{:.4f} held out, low step {}\n",
             rate.bits(), has_memory ? 12 : 8, gap, held_out, table.low_step);
  return table;
}

std::string TableText(const WindowTable& table) {
  std::string text = fmt::format("    {{{}, {}, {{", table.raw_bits, table.low_step);
  for (uint32_t i = 0; i < NumWindowEntries(table.code_bits); ++i) {
    text += fmt::format("{}{{{}, {}, {}, {}}}", i == 0 ? "" : ", ", table.entries[i][0],
                        table.entries[i][1], table.entries[i][2], table.entries[i][3]);
  }
  return text + (table.code_bits == kWindowByteBits
                     ? "}},\n"
                     : fmt::format("}}, {}}},\n", table.code_bits));
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Trains the tables of the window code on a Gaussian source.");
  app.add_option("--bits", options.bits, "bits a weight to train for; the other tables stay");
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
      "constexpr WindowTable kTables[2][kWindowRates.size()] = {\n";
  for (const bool has_memory : {false, true}) {
    text += "  {\n";
    for (size_t i = 0; i < kWindowRates.size(); ++i) {
      const WindowRate rate = kWindowRates[i];
      const bool stays = !options.bits.empty() &&
                         std::count(options.bits.begin(), options.bits.end(), rate.bits()) == 0;
      text += TableText(stays ? GaussianWindowTable(i, has_memory)
                              : Train(rate, has_memory, options, pool));
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
