// ecq analyze: what the weights of a model hold, grid by grid.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "app/analyze/analysis_charts.h"
#include "app/analyze/model_analysis.h"
#include "app/analyze/synthetic_weights.h"
#include "app/commands.h"
#include "app/json_text.h"
#include "app/opened_model.h"
#include "app/progress.h"
#include "app/units.h"
#include "ecq/base/atomic_file.h"
#include "ecq/quant/baseline_grids.h"

namespace ecq {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr uint64_t kSyntheticColumns = 4096;
constexpr uint64_t kSyntheticSeed = 1;

struct Named {
  std::string title;
  ModelAnalysis analysis;
};

Result<Named> AnalyzeSynthetic(const AnalyzeArgs& args, ThreadPool& pool) {
  const auto kind = SyntheticKindFromName(args.synthetic);
  if (!kind) {
    return Error{ErrorCode::kInvalidArgument,
                 "--synthetic " + args.synthetic + ": expected gaussian, laplace or student5"};
  }
  const uint32_t rows =
      static_cast<uint32_t>(std::max<uint64_t>(1, args.weights / kSyntheticColumns));
  const AlignedBuffer<float> weights =
      MakeSyntheticWeights(*kind, rows, kSyntheticColumns, kSyntheticSeed, pool);
  ECQ_TRY(WeightAnalysis analysis, AnalyzeWeights({weights.data(), rows, kSyntheticColumns}, pool));
  Named out;
  out.title = args.synthetic;
  out.analysis.total = analysis;
  out.analysis.types.emplace_back(args.synthetic, std::move(analysis));
  return out;
}

Result<Named> AnalyzeSource(const AnalyzeArgs& args, ThreadPool& pool) {
  ECQ_TRY(const OpenedModel model, OpenedModel::Open(args.source));
  Named out;
  const fs::path path = fs::path(args.source).lexically_normal();
  out.title = (path.has_filename() ? path : path.parent_path()).filename().string();
  Progress progress("Analyzing", "weights");
  Result<ModelAnalysis> analysis =
      AnalyzeModel(model.source(), pool, [&](uint64_t done, uint64_t all, const std::string& name) {
        progress.Update(done, all, name);
      });
  if (!analysis.ok()) {
    return Error{analysis.error().code, args.source + ": " + analysis.error().message};
  }
  out.analysis = *std::move(analysis);
  return out;
}

// The share of `before` that `after` saves.
double Saved(double before, double after) { return before > 0 ? 1 - after / before : 0; }

Json DescribeWeights(const std::string& type, const WeightAnalysis& weights) {
  Json json;
  json["type"] = type;
  json["matrices"] = weights.matrices;
  json["weights"] = weights.weights;
  json["excess_kurtosis"] = weights.excess_kurtosis;
  json["max_over_sd"] = weights.max_over_sd;
  for (const GridAnalysis& grid : weights.grids) {
    json["grids"].push_back({{"grid", grid.grid},
                             {"entropy_bits", grid.entropy},
                             {"snr_db", grid.snr_db},
                             {"stored_bits", grid.stored},
                             {"coded_bits", grid.coded},
                             {"coded_saves", Saved(grid.stored, grid.coded)},
                             {"bound_bits", GaussianBoundBits(grid.snr_db)},
                             {"ecq_bits", grid.ecq},
                             {"ecq_saves", Saved(grid.stored, grid.ecq)}});
  }
  for (const RatePoint& point : weights.curve) {
    json["ecq_curve"].push_back(
        {{"relative_step", point.relative_step}, {"bits", point.bits}, {"snr_db", point.snr_db}});
  }
  return json;
}

void PrintJson(const Named& named) {
  const ModelAnalysis& analysis = named.analysis;
  Json json;
  json["source"] = named.title;
  json["other_bytes"] = analysis.other_bytes;
  for (const auto& [type, weights] : analysis.types) {
    json["types"].push_back(DescribeWeights(type, weights));
  }
  json["total"] = DescribeWeights("all", analysis.total);
  for (const GridAnalysis& grid : analysis.total.grids) {
    const double stored = analysis.FileBytes(grid.stored);
    const double coded = analysis.FileBytes(grid.coded);
    const double ecq = analysis.FileBytes(grid.ecq);
    json["whole_file"].push_back({{"grid", grid.grid},
                                  {"stored_bytes", std::llround(stored)},
                                  {"coded_bytes", std::llround(coded)},
                                  {"coded_saves", Saved(stored, coded)},
                                  {"ecq_bytes", std::llround(ecq)},
                                  {"ecq_saves", Saved(stored, ecq)}});
  }
  fmt::print("{}\n", JsonText(json));
}

void PrintGridRow(std::string_view name, const GridAnalysis& grid) {
  fmt::print(
      "  {:<24} {:>7.3f} {:>7.2f} {:>7.3f} {:>7.3f} {:>6.1f} % {:>7.3f} {:>7.3f} {:>6.1f} %\n",
      name, grid.entropy, grid.snr_db, grid.stored, grid.coded,
      100 * Saved(grid.stored, grid.coded), GaussianBoundBits(grid.snr_db), grid.ecq,
      100 * Saved(grid.stored, grid.ecq));
}

void PrintGridHeader(std::string_view title) {
  fmt::print("\n{}\n  {:<24} {:>7} {:>7} {:>7} {:>7} {:>8} {:>7} {:>7} {:>8}\n", title, "",
             "entropy", "SNR dB", "stored", "coded", "saves", "bound", "ECQ", "saves");
}

void PrintText(const Named& named) {
  const ModelAnalysis& analysis = named.analysis;
  const WeightAnalysis& total = analysis.total;
  const bool several = analysis.types.size() > 1;
  fmt::print("{}: {} matrices, {} weights; other tensors and files {}\n", Printable(named.title),
             total.matrices, total.weights, FormatBytes(analysis.other_bytes));
  fmt::print("  {:<24} {:>8} {:>12} {:>9} {:>7}\n", "weights", "matrices", "weights", "kurtosis",
             "max/sd");
  const auto print_weights = [](const std::string& name, const WeightAnalysis& w) {
    fmt::print("  {:<24} {:>8} {:>12} {:>9.2f} {:>7.1f}\n", name, w.matrices, w.weights,
               w.excess_kurtosis, w.max_over_sd);
  };
  for (const auto& [type, weights] : analysis.types) print_weights(Printable(type), weights);
  if (several) print_weights("all", total);

  const auto grids = BaselineGrids();
  for (size_t i = 0; several && i < grids.size(); ++i) {
    PrintGridHeader(fmt::format("{}, {}", grids[i].name, grids[i].description));
    for (const auto& [type, weights] : analysis.types) {
      PrintGridRow(Printable(type), weights.grids[i]);
    }
    PrintGridRow("all", total.grids[i]);
  }

  PrintGridHeader("all matrices, bits per weight");
  for (const GridAnalysis& grid : total.grids) PrintGridRow(grid.grid, grid);
  fmt::print(
      "  entropy: of the symbols. stored: with a fixed width and scales. coded: the same integers\n"
      "  losslessly coded. bound: of a Gaussian at that SNR. ECQ: at the same squared error.\n");
  fmt::print("\nwhole file{:16} {:>12} {:>12} {:>8} {:>12} {:>8}\n", "", "stored", "coded", "saves",
             "ECQ", "saves");
  for (const GridAnalysis& grid : total.grids) {
    const double stored = analysis.FileBytes(grid.stored);
    const double coded = analysis.FileBytes(grid.coded);
    const double ecq = analysis.FileBytes(grid.ecq);
    const auto bytes = [](double b) { return FormatBytes(static_cast<uint64_t>(b)); };
    fmt::print("  {:<24} {:>12} {:>12} {:>6.1f} % {:>12} {:>6.1f} %\n", grid.grid, bytes(stored),
               bytes(coded), 100 * Saved(stored, coded), bytes(ecq), 100 * Saved(stored, ecq));
  }
}

Status WriteChart(const fs::path& path, const Chart& chart) {
  const std::string svg = RenderSvg(chart);
  ECQ_TRY(AtomicFile file, AtomicFile::Create(path, true));
  ECQ_RETURN_IF_ERROR(file.Append({reinterpret_cast<const uint8_t*>(svg.data()), svg.size()}));
  return file.Commit();
}

Status WriteCharts(const fs::path& directory, const Named& named) {
  const WeightAnalysis& total = named.analysis.total;
  ECQ_RETURN_IF_ERROR(WriteChart(directory / "weights.svg", WeightChart(named.title, total)));
  ECQ_RETURN_IF_ERROR(WriteChart(directory / "integers.svg", LevelChart(named.title, total)));
  return WriteChart(directory / "rate-distortion.svg", RateDistortionChart(named.title, total));
}

// Before minutes of work.
Status MakeDirectory(const fs::path& directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (!error && fs::is_directory(directory, error)) return OkStatus();
  return Error{ErrorCode::kIo, fmt::format("{}: cannot make this directory ({})",
                                           directory.string(), error.message())};
}

}  // namespace

Status RunAnalyze(const AnalyzeArgs& args) {
  if (!args.plot.empty()) ECQ_RETURN_IF_ERROR(MakeDirectory(args.plot));
  ThreadPool pool(args.threads > 0 ? args.threads : DefaultThreadCount());
  ECQ_TRY(const Named named,
          args.synthetic.empty() ? AnalyzeSource(args, pool) : AnalyzeSynthetic(args, pool));
  if (!args.plot.empty()) ECQ_RETURN_IF_ERROR(WriteCharts(args.plot, named));
  if (args.json) {
    PrintJson(named);
  } else {
    PrintText(named);
  }
  return OkStatus();
}

}  // namespace ecq
