// ecq bench: tokens per second, bytes per second, and how close that is to the memory.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "app/bench_model.h"
#include "app/commands.h"
#include "app/json_text.h"
#include "app/model_options.h"
#include "app/source_weights.h"
#include "app/tensor_type.h"
#include "ecq/model/ecq_weights.h"

namespace ecq {
namespace {

struct TestRow {
  std::string test;  // "pp512", "tg128", "tg128 @ d4096"
  size_t threads = 0;
  Rates tokens_per_second;
  double weight_bytes_per_second = 0;  // generation only
  double bandwidth = 0;                // bytes per second that memory gave in the same run
};

struct KernelRow {
  std::string matrix;
  uint64_t rows = 0;
  uint64_t cols = 0;
  double bits_per_weight = 0;
  size_t threads = 0;
  KernelRate rate;
};

struct Report {
  std::string model;
  uint64_t file_bytes = 0;
  uint64_t parameters = 0;
  double bits_per_weight = 0;
  std::string target;
  std::vector<TestRow> tests;
  std::vector<KernelRow> kernels;
  double foreign_processors = 0;
};

// Largest matrix of each type ("q_proj", "lm_head", ...).
std::vector<SourceTensor> LargestOfEachType(const OpenedModel& opened) {
  std::map<std::string, SourceTensor> largest;
  for (const SourceTensor& tensor : opened.source().tensors()) {
    if (!IsWeightMatrix(tensor)) continue;
    SourceTensor& best = largest[TensorTypeOf(tensor.name)];
    const bool larger = best.shape.empty() || *NumElements(tensor.shape) > *NumElements(best.shape);
    if (larger) best = tensor;
  }
  std::vector<SourceTensor> tensors;
  for (auto& [type, tensor] : largest) tensors.push_back(std::move(tensor));
  return tensors;
}

Result<std::unique_ptr<Matrix>> LoadMatrix(const OpenedModel& opened, const SourceTensor& tensor) {
  if (opened.coded()) {
    EcqWeights weights(*opened.ecq());
    return weights.GetMatrix(tensor.name, tensor.shape[0], tensor.shape[1]);
  }
  SourceWeights weights(opened.source());
  return weights.GetMatrix(tensor.name, tensor.shape[0], tensor.shape[1]);
}

Status MeasureModel(const BenchArgs& args, const OpenedModel& opened, ActivationMode mode,
                    KvFormat kv, Report* report) {
  ECQ_TRY(const Model model, opened.LoadModel());
  const size_t context = std::max(args.prompt, args.depth + args.generate);
  for (const size_t threads : args.threads) {
    ThreadPool pool(threads);
    const double bandwidth = MeasureReadBandwidth(pool);
    ECQ_TRY(Session session, model.NewSession(pool, {context, mode, kv}));
    if (args.prompt > 0) {
      ECQ_TRY(Rates rates, MeasurePrompt(model, session, args.prompt, args.repetitions));
      report->tests.push_back(
          {fmt::format("pp{}", args.prompt), threads, std::move(rates), 0, bandwidth});
    }
    if (args.generate > 0) {
      ECQ_TRY(Rates rates,
              MeasureGeneration(model, session, args.depth, args.generate, args.repetitions));
      const double bytes = static_cast<double>(WeightBytesPerToken(opened, model));
      const double bytes_per_second = bytes * rates.median();
      const std::string depth = args.depth > 0 ? fmt::format(" @ d{}", args.depth) : "";
      report->tests.push_back({fmt::format("tg{}{}", args.generate, depth), threads,
                               std::move(rates), bytes_per_second, bandwidth});
    }
  }
  return OkStatus();
}

Status MeasureAllKernels(const BenchArgs& args, const OpenedModel& opened, Report* report) {
  for (const SourceTensor& tensor : LargestOfEachType(opened)) {
    ECQ_TRY(const std::unique_ptr<Matrix> matrix, LoadMatrix(opened, tensor));
    const double weights = static_cast<double>(matrix->rows() * matrix->cols());
    for (const size_t threads : args.threads) {
      ThreadPool pool(threads);
      ECQ_TRY(const auto rates, MeasureKernels(*matrix, pool, args.repetitions));
      for (const KernelRate& rate : rates) {
        report->kernels.push_back({tensor.name, matrix->rows(), matrix->cols(),
                                   8.0 * static_cast<double>(matrix->resident_bytes()) / weights,
                                   threads, rate});
      }
    }
  }
  return OkStatus();
}

std::string Percent(const TestRow& row) {
  if (row.weight_bytes_per_second == 0) return "";
  return fmt::format("{:.0f} %", 100 * row.weight_bytes_per_second / row.bandwidth);
}

std::string GigabytesPerSecond(double bytes) {
  return bytes == 0 ? "" : fmt::format("{:.2f}", bytes / 1e9);
}

const char* ModeName(ActivationMode mode) { return mode == ActivationMode::kF32 ? "f32" : "i8"; }

void PrintMarkdown(const Report& report) {
  constexpr double kMebibyte = 1024.0 * 1024;
  if (!report.tests.empty()) {
    fmt::print(
        "| model | size | params | bits/w | backend | threads | test | t/s | GB/s | % of memory |\n"
        "| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |\n");
  }
  for (const TestRow& row : report.tests) {
    fmt::print(
        "| {} | {:.2f} MiB | {:.2f} M | {:.3f} | CPU {} | {} | {} | {:.2f} ± {:.2f} | {} | {} |\n",
        report.model, static_cast<double>(report.file_bytes) / kMebibyte,
        static_cast<double>(report.parameters) / 1e6, report.bits_per_weight, report.target,
        row.threads, row.test, row.tokens_per_second.mean(),
        row.tokens_per_second.standard_deviation(), GigabytesPerSecond(row.weight_bytes_per_second),
        Percent(row));
  }
  if (!report.kernels.empty()) {
    fmt::print(
        "| matrix | shape | bits/w | target | activations | threads | Gw/s | GB/s |\n"
        "| --- | ---: | ---: | --- | --- | ---: | ---: | ---: |\n");
  }
  for (const KernelRow& row : report.kernels) {
    const double weights = row.rate.weights_per_second.median();
    fmt::print("| {} | {} x {} | {:.3f} | {} | {} | {} | {:.3f} | {:.3f} |\n", row.matrix, row.rows,
               row.cols, row.bits_per_weight, CpuTargetName(row.rate.target),
               ModeName(row.rate.activations), row.threads, weights / 1e9,
               weights * row.bits_per_weight / 8e9);
  }
}

nlohmann::ordered_json RatesJson(const Rates& rates) {
  return {{"median", rates.median()},
          {"min", rates.min()},
          {"max", rates.max()},
          {"mean", rates.mean()},
          {"stddev", rates.standard_deviation()},
          {"repetitions", rates.values.size()}};
}

void PrintJson(const Report& report) {
  nlohmann::ordered_json json;
  json["model"] = report.model;
  json["file_bytes"] = report.file_bytes;
  json["parameters"] = report.parameters;
  json["bits_per_weight"] = report.bits_per_weight;
  json["target"] = report.target;
  json["foreign_processors"] = report.foreign_processors;
  json["tests"] = nlohmann::json::array();
  for (const TestRow& row : report.tests) {
    json["tests"].push_back({{"test", row.test},
                             {"threads", row.threads},
                             {"tokens_per_second", RatesJson(row.tokens_per_second)},
                             {"weight_bytes_per_second", row.weight_bytes_per_second},
                             {"memory_bytes_per_second", row.bandwidth}});
  }
  json["kernels"] = nlohmann::json::array();
  for (const KernelRow& row : report.kernels) {
    json["kernels"].push_back({{"matrix", row.matrix},
                               {"shape", {row.rows, row.cols}},
                               {"bits_per_weight", row.bits_per_weight},
                               {"target", CpuTargetName(row.rate.target)},
                               {"activations", ModeName(row.rate.activations)},
                               {"threads", row.threads},
                               {"weights_per_second", RatesJson(row.rate.weights_per_second)}});
  }
  fmt::print("{}\n", JsonText(json));
}

void PrintCsv(const Report& report) {
  fmt::print("model,bits_per_weight,threads,test,unit,median,min,max,bytes_per_second\n");
  for (const TestRow& row : report.tests) {
    fmt::print("{},{:.4f},{},{},tokens/s,{:.4f},{:.4f},{:.4f},{:.0f}\n", report.model,
               report.bits_per_weight, row.threads, row.test, row.tokens_per_second.median(),
               row.tokens_per_second.min(), row.tokens_per_second.max(),
               row.weight_bytes_per_second);
  }
  for (const KernelRow& row : report.kernels) {
    const Rates& rates = row.rate.weights_per_second;
    fmt::print("{},{:.4f},{},{}/{}/{},weights/s,{:.0f},{:.0f},{:.0f},{:.0f}\n", report.model,
               row.bits_per_weight, row.threads, row.matrix, CpuTargetName(row.rate.target),
               ModeName(row.rate.activations), rates.median(), rates.min(), rates.max(),
               rates.median() * row.bits_per_weight / 8);
  }
}

}  // namespace

Status RunBench(const BenchArgs& args) {
  ECQ_TRY(const ActivationMode mode, ParseActivationMode(args.activations));
  ECQ_TRY(const KvFormat kv, ParseKvFormat(args.kv));
  ECQ_TRY(const OpenedModel opened, OpenedModel::Open(args.model));
  Report report;
  report.model = std::filesystem::path(args.model).filename().string();
  report.file_bytes = opened.file_bytes();
  report.bits_per_weight = opened.bits_per_weight();
  report.target = CpuTargetName(ActiveCpuTarget());
  for (const SourceTensor& tensor : opened.source().tensors()) {
    report.parameters += NumElements(tensor.shape).value_or(0);
  }
  BenchArgs filled = args;
  if (filled.threads.empty()) filled.threads = {DefaultThreadCount()};

  const ForeignLoad load;
  ECQ_RETURN_IF_ERROR(args.kernels ? MeasureAllKernels(filled, opened, &report)
                                   : MeasureModel(filled, opened, mode, kv, &report));
  report.foreign_processors = load.BusyProcessors();
  constexpr double kNoticeable = 0.1;
  if (report.foreign_processors > kNoticeable) {
    fmt::print(
        stderr,
        "ecq: other processes kept {:.1f} processors busy meanwhile: these rates are too low\n",
        report.foreign_processors);
  }
  if (args.output == "json") {
    PrintJson(report);
  } else if (args.output == "csv") {
    PrintCsv(report);
  } else {
    PrintMarkdown(report);
  }
  return OkStatus();
}

}  // namespace ecq
