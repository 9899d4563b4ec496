// ecq quantize: a model in, an .ecq file out.
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/opened_model.h"
#include "app/progress.h"
#include "app/quantize_model.h"
#include "app/units.h"
#include "ecq/format/sha256.h"
#include "ecq/kernels/cpu_target.h"

namespace ecq {
namespace {

constexpr char kProducer[] = "ecq 0.1.0";
// A size target is met to half a percent; a second pass with the measured overhead is exact.
constexpr double kSizeTolerance = 0.005;
constexpr int kMaxSizePasses = 4;

Result<EcqFileInfo> DescribeSource(const OpenedModel& model) {
  EcqFileInfo info;
  info.producer = kProducer;
  info.source_kind = model.source().kind();
  for (const std::string& path : model.source().weight_paths()) {
    ECQ_TRY(std::string digest, Sha256OfFile(path));
    const std::filesystem::path file(path);
    info.source_files.push_back(
        {file.filename().string(), std::filesystem::file_size(file), std::move(digest)});
  }
  return info;
}

struct Outcome {
  QuantizeReport report;
  uint64_t file_bytes = 0;
  double seconds = 0;
};

class Quantization {
 public:
  Quantization(const QuantizeArgs& args, const OpenedModel& model, QuantizeOptions options)
      : args_(args),
        model_(model),
        options_(std::move(options)),
        pool_(args.threads > 0 ? args.threads : DefaultThreadCount()) {}

  Result<Outcome> Run() {
    const auto start = std::chrono::steady_clock::now();
    ECQ_TRY(const EcqFileInfo info, DescribeSource(model_));
    Result<Outcome> outcome = args_.size_bytes ? ToSize(info) : Once(info, true);
    if (outcome.ok()) {
      outcome->seconds =
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    return outcome;
  }

 private:
  // One pass. A pass that must not be kept writes to a file that never gets its name.
  Result<Outcome> Once(const EcqFileInfo& info, bool keep) {
    Outcome outcome;
    std::optional<EcqWriter> writer;
    if (!args_.dry_run) {
      ECQ_TRY(EcqWriter created, EcqWriter::Create(args_.output, info, args_.force));
      writer.emplace(std::move(created));
    }
    Progress progress(args_.dry_run ? "Measuring" : "Quantizing", 1000);
    ECQ_TRY(outcome.report,
            QuantizeModel(model_.source(), options_, pool_, writer ? &*writer : nullptr,
                          [&](uint64_t done, uint64_t all, const std::string& name) {
                            progress.Update(done * 1000 / all, name);
                          }));
    const uint64_t overhead = AlignUp(HeaderEstimate(outcome.report), kEcqDataAlignment);
    outcome.file_bytes =
        outcome.report.matrix_bytes() + outcome.report.other_bytes + overhead;
    const bool fits = !args_.size_bytes || MeetsSize(outcome.file_bytes);
    if (writer && (keep || fits)) {
      ECQ_TRY(outcome.file_bytes, writer->Finish());
    }
    return outcome;
  }

  // Header text of the tensors and matrix records; about 700 bytes a matrix.
  uint64_t HeaderEstimate(const QuantizeReport& report) const {
    uint64_t bytes = 1024;
    for (const MatrixReport& m : report.matrices) bytes += 420 + 7 * m.name.size();
    const size_t plain = model_.source().tensors().size() - report.matrices.size();
    return bytes + plain * 200 + model_.source().side_files().size() * 150;
  }

  bool MeetsSize(uint64_t file_bytes) const {
    const double target = static_cast<double>(*args_.size_bytes);
    return std::abs(static_cast<double>(file_bytes) - target) <= kSizeTolerance * target;
  }

  // Secant on the bits per weight: what is not matrices hardly depends on them.
  Result<Outcome> ToSize(const EcqFileInfo& info) {
    const double target = static_cast<double>(*args_.size_bytes);
    for (int pass = 1;; ++pass) {
      ECQ_TRY(Outcome outcome, Once(info, pass == kMaxSizePasses));
      if (MeetsSize(outcome.file_bytes) || pass == kMaxSizePasses) return outcome;
      const double missing = target - static_cast<double>(outcome.file_bytes);
      options_.bpw += 8 * missing / static_cast<double>(outcome.report.num_weights());
      if (options_.bpw <= 0.5) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("--size {}: norms, tokenizer and header alone take {}; ask for more",
                                 FormatBytes(*args_.size_bytes),
                                 FormatBytes(outcome.file_bytes - outcome.report.matrix_bytes()))};
      }
    }
  }

  const QuantizeArgs& args_;
  const OpenedModel& model_;
  QuantizeOptions options_;
  ThreadPool pool_;
};

// "q_proj" of "model.layers.3.self_attn.q_proj.weight".
std::string TypeOf(const std::string& name) {
  const size_t end = name.rfind('.');
  const size_t begin = name.rfind('.', end - 1);
  return name.substr(begin == std::string::npos ? 0 : begin + 1, end - (begin + 1));
}

void PrintTable(const QuantizeArgs& args, const OpenedModel& model, const Outcome& outcome) {
  struct Row {
    uint64_t count = 0;
    uint64_t weights = 0;
    uint64_t bytes = 0;
    double error = 0;
    std::string codec;
  };
  std::map<std::string, Row> rows;
  for (const MatrixReport& m : outcome.report.matrices) {
    Row& row = rows[TypeOf(m.name)];
    ++row.count;
    row.weights += m.rows * m.cols;
    row.bytes += m.bytes;
    row.error += m.relative_error;
    if (row.codec.find(m.codec) == std::string::npos) {
      row.codec += (row.codec.empty() ? "" : "+") + m.codec;
    }
  }
  fmt::print("{:<14} {:>8} {:>12} {:>8} {:>7} {:>10}\n", "tensors", "matrices", "weights", "bpw",
             "codec", "rel. error");
  for (const auto& [name, row] : rows) {
    fmt::print("{:<14} {:>8} {:>12} {:>8.3f} {:>7} {:>10.4f}\n", name, row.count, row.weights,
               8.0 * static_cast<double>(row.bytes) / static_cast<double>(row.weights), row.codec,
               row.error / static_cast<double>(row.count));
  }
  const QuantizeReport& report = outcome.report;
  fmt::print("{:<14} {:>8} {:>12} {:>8.3f}\n", "all matrices", report.matrices.size(),
             report.num_weights(), report.bits_per_weight());
  fmt::print("{} ({}) -> {}: {} in {:.1f} s{}\n", model.path(), FormatBytes(model.file_bytes()),
             args.dry_run ? "nothing written" : args.output, FormatBytes(outcome.file_bytes),
             outcome.seconds, args.dry_run ? " (dry run; size within 1 %)" : "");
}

void PrintJson(const QuantizeArgs& args, const Outcome& outcome) {
  nlohmann::ordered_json json;
  json["output"] = args.dry_run ? "" : args.output;
  json["file_bytes"] = outcome.file_bytes;
  json["bits_per_weight"] = outcome.report.bits_per_weight();
  json["seconds"] = outcome.seconds;
  for (const MatrixReport& m : outcome.report.matrices) {
    json["matrices"].push_back({{"name", m.name},
                                {"shape", {m.rows, m.cols}},
                                {"codec", m.codec},
                                {"bytes", m.bytes},
                                {"bits_per_weight", m.bits_per_weight()},
                                {"relative_error", m.relative_error}});
  }
  fmt::print("{}\n", json.dump(2));
}

}  // namespace

Status RunQuantize(const QuantizeArgs& args) {
  QuantizeOptions options;
  options.grid = args.grid;
  options.embedding_bpw = args.embedding_bpw;
  if (args.bpw) options.bpw = *args.bpw;
  if (args.codec != "auto") {
    ECQ_TRY(options.pack.codec, CodecFromName(args.codec));
  }
  // Refuse early what must not be done, before minutes of work.
  if (!args.dry_run && !args.force && std::filesystem::exists(args.output)) {
    return Error{ErrorCode::kAlreadyExists,
                 args.output + ": exists already; use --force to replace it"};
  }
  ECQ_TRY(const OpenedModel model, OpenedModel::Open(args.source));
  for (const SideFile& file : model.source().side_files()) {
    if (file.name == "config.json") ECQ_RETURN_IF_ERROR(ParseModelConfig(file.contents));
  }
  ECQ_TRY(const Outcome outcome, Quantization(args, model, options).Run());
  if (args.json) {
    PrintJson(args, outcome);
  } else {
    PrintTable(args, model, outcome);
  }
  return OkStatus();
}

}  // namespace ecq
