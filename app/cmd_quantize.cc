// ecq quantize: a model in, an .ecq file out.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/conversion_log.h"
#include "app/json_text.h"
#include "app/model_card.h"
#include "app/model_moments.h"
#include "app/opened_model.h"
#include "app/presets.h"
#include "app/progress.h"
#include "app/quantize_model.h"
#include "app/source_guard.h"
#include "app/tensor_rules.h"
#include "app/tensor_type.h"
#include "app/units.h"
#include "ecq/base/cpu_target.h"
#include "ecq/format/sha256.h"

namespace ecq {
namespace {

constexpr char kProducer[] = "ecq " ECQ_VERSION;
// A file may be smaller than asked for by this share, and never larger.
constexpr double kSizeTolerance = 0.005;
constexpr double kTypicalHeaderBytes = 1300;  // of one matrix; for a first guess
constexpr int kMaxSizePasses = 6;

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

// The hashes of all files that the weights come from.
std::string IdentityOf(const EcqFileInfo& info) {
  std::string text;
  for (const auto& file : info.source_files) text += file.sha256 + '\n';
  return text;
}

CalibrationSource CalibrationSourceOf(const QuantizeArgs& args) {
  return {args.calibrate, args.calibration_tokens, args.calibration_cache};
}

Error ExistsError(const std::string& output) {
  return {ErrorCode::kAlreadyExists, output + ": exists already; use --force to replace it"};
}

struct Outcome {
  QuantizeReport report;
  uint64_t file_bytes = 0;
  uint64_t num_resumed = 0;  // matrices that an earlier run had done
  double seconds = 0;
};

class Quantization {
 public:
  // `log` is null for a dry run, `moments` where no mode needs them.
  Quantization(const QuantizeArgs& args, const OpenedModel& model, QuantizeOptions options,
               ConversionLog* log, MomentsProvider* moments, ThreadPool& pool)
      : args_(args),
        model_(model),
        guard_(
            args.source, model.source().weight_paths(),
            log ? "put it back; the same command with --resume goes on from here" : "put it back"),
        log_(log),
        moments_(moments),
        options_(std::move(options)),
        pool_(pool) {}

  Result<Outcome> Run(const EcqFileInfo& info) {
    const auto start = std::chrono::steady_clock::now();
    if (log_) {
      ECQ_TRY(const std::string fingerprint,
              ConversionFingerprint(info, model_.source(), options_, args_.size_bytes));
      ECQ_RETURN_IF_ERROR(log_->Begin(fingerprint, guard_));
      // An earlier run may have ended between giving the output its name and removing the log.
      std::error_code ignored;
      may_be_done_ = !args_.force && std::filesystem::exists(args_.output, ignored);
      if (may_be_done_) log_->ExpectComplete(ExistsError(args_.output));
    }
    Result<Outcome> outcome = args_.size_bytes ? ToSize(info) : Once(info);
    if (!outcome.ok()) return log_ ? log_->Explain(outcome.error()) : outcome.error();
    if (log_) {
      log_->Remove();
      outcome->num_resumed = log_->num_taken();
    }
    outcome->seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return outcome;
  }

 private:
  // One pass. A file that misses the size never gets its name.
  Result<Outcome> Once(const EcqFileInfo& info) {
    Outcome outcome;
    ECQ_TRY(EcqWriter writer,
            args_.dry_run ? EcqWriter::CreateMeasuring(info)
                          : EcqWriter::Create(args_.output, info, args_.force || may_be_done_));
    Progress progress(args_.dry_run ? "Measuring" : "Quantizing", "weights");
    ECQ_TRY(outcome.report,
            QuantizeModel(model_.source(), options_, pool_, writer,
                          [&](uint64_t done, uint64_t all, const std::string& name) {
                            progress.Update(done, all, name);
                          },
                          {log_, moments_}));
    ECQ_TRY(outcome.file_bytes, writer.Seal());
    if (args_.dry_run || !MeetsSize(outcome.file_bytes)) return outcome;
    ECQ_RETURN_IF_ERROR(guard_.Check());
    if (may_be_done_ && !writer.IsAt(args_.output)) return ExistsError(args_.output);
    if (!may_be_done_) ECQ_RETURN_IF_ERROR(writer.Finish());
    return outcome;
  }

  bool MeetsSize(uint64_t file_bytes) const {
    if (!args_.size_bytes) return true;
    const double target = static_cast<double>(*args_.size_bytes);
    const double size = static_cast<double>(file_bytes);
    return size <= target && size >= (1 - kSizeTolerance) * target;
  }

  double NumWeights() const {
    double weights = 0;
    for (const SourceTensor& tensor : model_.source().tensors()) {
      if (!IsWeightMatrix(tensor)) continue;
      weights += static_cast<double>(tensor.shape[0]) * static_cast<double>(tensor.shape[1]);
    }
    return weights;
  }

  // A rate that roughly meets a size; without rules, in the range where all models can go.
  double GuessRate(double file_bytes) const {
    for (const SideFile& file : model_.source().side_files()) {
      file_bytes -= static_cast<double>(file.contents.size());
    }
    for (const SourceTensor& tensor : model_.source().tensors()) {
      if (IsWeightMatrix(tensor)) file_bytes -= kTypicalHeaderBytes;
    }
    const double rate = 8 * file_bytes / NumWeights();
    return options_.rules.empty() ? std::clamp(rate, 1.0, 6.0) : rate;
  }

  // Secant on the bits per weight: what is not matrices hardly depends on them.
  Result<Outcome> ToSize(const EcqFileInfo& info) {
    const double target = (1 - kSizeTolerance / 2) * static_cast<double>(*args_.size_bytes);
    options_.bpw = GuessRate(target);
    uint64_t nearest = 0;
    uint64_t last = 0;
    for (int pass = 1; pass <= kMaxSizePasses; ++pass) {
      std::optional<ConversionLog::PassSize> missed;  // by an earlier run, or by this one
      if (log_) missed = log_->NextPass(options_.bpw);
      if (!missed) {
        Result<Outcome> attempt = Once(info);
        if (!attempt.ok()) return Unreachable(std::move(attempt).error());
        if (MeetsSize(attempt->file_bytes)) return attempt;
        missed = {attempt->file_bytes, attempt->report.matrix_bytes()};
        if (log_) ECQ_RETURN_IF_ERROR(log_->EndPass(options_.bpw, *missed));
      }
      if (missed->file_bytes == last) {
        return Unreachable({ErrorCode::kInvalidArgument,
                            fmt::format("the --tensor rules settle every matrix, and the file "
                                        "takes {} bytes; drop --size",
                                        last)});
      }
      last = missed->file_bytes;
      if (std::abs(static_cast<double>(missed->file_bytes) - target) <
          std::abs(static_cast<double>(nearest) - target)) {
        nearest = missed->file_bytes;
      }
      const double missing = target - static_cast<double>(missed->file_bytes);
      options_.bpw += 8 * missing / NumWeights();
      if (options_.bpw <= 0.5) {
        return Unreachable({ErrorCode::kInvalidArgument,
                            fmt::format("norms, tokenizer and header alone take {}; ask for more",
                                        FormatBytes(missed->file_bytes - missed->matrix_bytes))});
      }
    }
    return Unreachable({ErrorCode::kInvalidArgument,
                        fmt::format("the nearest size is {}; ask for that", nearest)});
  }

  // Failures of the target, not of the disk, name the option that set it.
  Error Unreachable(Error error) const {
    if (error.code == ErrorCode::kInvalidArgument) {
      error.message = fmt::format("--size {}: {}", FormatBytes(*args_.size_bytes), error.message);
    }
    return error;
  }

  const QuantizeArgs& args_;
  const OpenedModel& model_;
  const SourceGuard guard_;
  ConversionLog* const log_;        // or null
  MomentsProvider* const moments_;  // or null
  bool may_be_done_ = false;        // there is an output that this run may not replace
  QuantizeOptions options_;
  ThreadPool& pool_;
};

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
    Row& row = rows[TensorTypeOf(m.name)];
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
    fmt::print("{:<14} {:>8} {:>12} {:>8.3f} {:>7} {:>10.4f}\n", Printable(name), row.count,
               row.weights, 8.0 * static_cast<double>(row.bytes) / static_cast<double>(row.weights),
               row.codec, row.error / static_cast<double>(row.count));
  }
  const QuantizeReport& report = outcome.report;
  fmt::print("{:<14} {:>8} {:>12} {:>8.3f}\n", "all matrices", report.matrices.size(),
             report.num_weights(), report.bits_per_weight());
  fmt::print("{} ({}) -> {}: {} in {:.1f} s{}\n", model.path(), FormatBytes(model.file_bytes()),
             args.dry_run ? "nothing written" : args.output, FormatBytes(outcome.file_bytes),
             outcome.seconds, args.dry_run ? " (dry run)" : "");
  if (outcome.num_resumed > 0) {
    fmt::print("{} matrices were done before\n", outcome.num_resumed);
  }
  if (!args.card.empty()) fmt::print("model card: {}\n", args.card);
}

void PrintJson(const QuantizeArgs& args, const Outcome& outcome) {
  nlohmann::ordered_json json;
  json["output"] = args.dry_run ? "" : args.output;
  json["file_bytes"] = outcome.file_bytes;
  json["bits_per_weight"] = outcome.report.bits_per_weight();
  json["seconds"] = outcome.seconds;
  json["resumed_matrices"] = outcome.num_resumed;
  for (const MatrixReport& m : outcome.report.matrices) {
    json["matrices"].push_back({{"name", m.name},
                                {"shape", {m.rows, m.cols}},
                                {"codec", m.codec},
                                {"bytes", m.bytes},
                                {"bits_per_weight", m.bits_per_weight()},
                                {"relative_error", m.relative_error}});
  }
  fmt::print("{}\n", JsonText(json));
}

// What the command line says, but for the rules.
Result<QuantizeOptions> ReadOptions(const QuantizeArgs& args) {
  ECQ_RETURN_IF_ERROR(CheckGrid(args.grid));
  QuantizeOptions options;
  options.grid = args.grid;
  options.embedding_bpw = args.embedding_bpw;
  const Preset* const preset = FindPreset(args.preset);
  if (preset != nullptr) options.bpw = preset->bpw;
  if (args.bpw) options.bpw = *args.bpw;
  options.bpw_must_be_met = !args.size_bytes && (args.bpw || preset != nullptr);
  options.window_memory = args.window == 12;
  if (!args.mode.empty()) {
    ECQ_TRY(options.mode, ParseQuantizeMode(args.mode));
  } else if (!args.calibrate.empty()) {
    options.mode = QuantizeMode::kZsic;
  }
  const std::string_view codec =
      preset != nullptr && args.codec == "auto" ? preset->codec : args.codec;
  if (codec != "auto") {
    ECQ_TRY(options.pack.codec, CodecFromName(codec));
  }
  return options;
}

Status WriteCardOf(const QuantizeArgs& args, const OpenedModel& source, const Outcome& outcome) {
  const std::filesystem::path path = std::filesystem::path(args.source).lexically_normal();
  const std::filesystem::path name = path.has_filename() ? path : path.parent_path();
  ECQ_TRY(const OpenedModel made, OpenedModel::Open(args.output));
  ECQ_TRY(const std::string card, ModelCard(made, {name.stem().string(), args.command_line,
                                                   ReadOrigin(source), outcome.report.matrices}));
  return WriteCard(args.card, card);
}

}  // namespace

Status RunQuantize(const QuantizeArgs& args) {
  ECQ_TRY(QuantizeOptions options, ReadOptions(args));
  // Refuse early what must not be done, before minutes of work.
  std::error_code ignored;  // the writer will tell
  if (!args.dry_run && !args.force && std::filesystem::exists(args.output, ignored)) {
    const auto part = PartFilePath(args.output);
    if (!args.resume || !part.ok() || !std::filesystem::exists(*part, ignored)) {
      return ExistsError(args.output);
    }
  }
  std::optional<ConversionLog> log;
  if (!args.dry_run) {
    ECQ_TRY(log, ConversionLog::Open(args.output, args.resume, args.force));
  }
  if (!args.card.empty()) ECQ_RETURN_IF_ERROR(CheckCardPath(args.card));
  ECQ_TRY(const OpenedModel model, OpenedModel::Open(args.source));
  ECQ_RETURN_IF_ERROR(model.CheckQuantizable());
  if (!args.tensor_rules.empty()) {
    ECQ_TRY(options.rules, AssignTensorRules(args.tensor_rules, model.source().tensors()));
  }
  ECQ_TRY(const EcqFileInfo info, DescribeSource(model));
  ThreadPool pool(args.threads > 0 ? args.threads : DefaultThreadCount());
  std::unique_ptr<ModelMoments> moments;
  if (options.mode != QuantizeMode::kDataFree) {
    ECQ_TRY(moments,
            ModelMoments::Create(model, IdentityOf(info), CalibrationSourceOf(args), pool));
    options.calibration = moments->Fingerprint();
  }
  ECQ_TRY(const Outcome outcome,
          Quantization(args, model, std::move(options), log ? &*log : nullptr, moments.get(), pool)
              .Run(info));
  if (!args.card.empty()) ECQ_RETURN_IF_ERROR(WriteCardOf(args, model, outcome));
  if (args.json) {
    PrintJson(args, outcome);
  } else {
    PrintTable(args, model, outcome);
  }
  return OkStatus();
}

}  // namespace ecq
