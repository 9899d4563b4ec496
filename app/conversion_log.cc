#include "app/conversion_log.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <array>
#include <memory>
#include <utility>

#include "app/quantize_model.h"
#include "ecq/base/bytes.h"
#include "ecq/codec/codec.h"
#include "ecq/format/matrix_image.h"
#include "ecq/format/metadata.h"

namespace ecq {
namespace {

constexpr uint32_t kMatrixKind = 1;
constexpr uint32_t kPassKind = 2;

static_assert(PartFile::kReadPadding >= kPayloadReadPadding);

// The body of a pass: its rate, its bytes and those of its matrices.
using PassBody = std::array<uint8_t, 24>;

PassBody EncodePass(double bpw, ConversionLog::PassSize size) {
  PassBody body;
  StoreLe(body.data(), bpw);
  StoreLe(body.data() + 8, size.file_bytes);
  StoreLe(body.data() + 16, size.matrix_bytes);
  return body;
}

// Everything the source hands over but its weights, which have a SHA-256.
uint64_t HashOfStructure(const ModelSource& source) {
  std::string text;
  const auto add = [&](std::string_view part) { text += fmt::format("{}:{}", part.size(), part); };
  for (const SourceTensor& tensor : source.tensors()) {
    add(tensor.name);
    add(ShapeToString(tensor.shape));
    add(tensor.source_type);
  }
  for (const SideFile& file : source.side_files()) {
    add(file.name);
    add(file.contents);
  }
  return XXH3_64bits(text.data(), text.size());
}

}  // namespace

Result<std::string> PartFilePath(const std::string& output) {
  ECQ_TRY(const std::filesystem::path target, ResolveOutput(output));
  return target.string() + ".part";
}

Result<ConversionLog> ConversionLog::Open(const std::string& output, bool resume, bool force) {
  ECQ_TRY(const std::string path, PartFilePath(output));
  const auto existing = resume  ? PartFile::Existing::kContinue
                        : force ? PartFile::Existing::kDiscard
                                : PartFile::Existing::kRefuse;
  auto part = PartFile::Open(path, existing);
  if (part.ok()) return ConversionLog(std::move(part).value());
  Error error = std::move(part).error();
  if (error.code == ErrorCode::kAlreadyExists) {
    error.message += "; continue it with --resume, or give it up with --force";
  }
  return error;
}

Status ConversionLog::Begin(std::string_view fingerprint, const SourceGuard& source_guard) {
  source_guard_ = &source_guard;
  Status status = part_.Begin(fingerprint);
  pass_ = part_.mark();
  if (status.ok() || status.error().code != ErrorCode::kInvalidArgument) return status;
  return Error{status.error().code,
               status.error().message +
                   "; repeat the source and options of that run, or give it up with --force "
                   "instead of --resume"};
}

std::optional<ConversionLog::PassSize> ConversionLog::NextPass(double bpw) {
  const auto record = part_.Read();
  if (record && record->kind == kPassKind && record->body().size() == sizeof(PassBody)) {
    const uint8_t* const body = record->body().data();
    const PassSize size{LoadLe<uint64_t>(body + 8), LoadLe<uint64_t>(body + 16)};
    if (LoadLe<double>(body) == bpw && size.matrix_bytes <= size.file_bytes) {
      pass_ = part_.mark();
      return size;
    }
  }
  part_.Seek(pass_);
  return std::nullopt;
}

Status ConversionLog::EndPass(double bpw, PassSize size) {
  part_.Seek(pass_);
  ECQ_RETURN_IF_ERROR(part_.Append(kPassKind, EncodePass(bpw, size)));
  pass_ = part_.mark();
  return OkStatus();
}

std::optional<ConversionLog::Matrix> ConversionLog::Next(const SourceTensor& tensor) {
  const PartFile::Mark here = part_.mark();
  const auto record = part_.Read();
  if (record && record->kind == kMatrixKind) {
    auto image = DecodeMatrixImage(record->buffer, record->body().size(), part_.path());
    if (image.ok() && image->name == tensor.name && image->note.size() == sizeof(double) &&
        tensor.shape == Shape{image->matrix.desc.rows, image->matrix.desc.cols}) {
      ++num_taken_;
      const double error = LoadLe<double>(image->note.data());
      return Matrix{std::move(image->matrix), error, {record->body(), record->range}};
    }
  }
  part_.Seek(here);
  return std::nullopt;
}

Result<ConversionLog::Matrix> ConversionLog::Append(const std::string& name,
                                                    const PackedTensor& packed,
                                                    double relative_error) {
  if (incomplete_) return *incomplete_;
  ECQ_RETURN_IF_ERROR(source_guard_->Check());
  std::array<uint8_t, sizeof(double)> note;
  StoreLe(note.data(), relative_error);
  ECQ_TRY(AlignedBuffer<uint8_t> encoded, EncodeMatrixImage(name, note, packed));
  const auto image = std::make_shared<const AlignedBuffer<uint8_t>>(std::move(encoded));
  const size_t size = image->size() - kPayloadReadPadding;
  ECQ_TRY(const FileRange range, part_.Append(kMatrixKind, image->span().first(size)));
  // From here on as if the log had been read.
  ECQ_TRY(MatrixImage decoded, DecodeMatrixImage(image, size, part_.path()));
  return Matrix{std::move(decoded.matrix), relative_error, {image->span().first(size), range}};
}

Error ConversionLog::Explain(Error error) {
  if (error.code == ErrorCode::kInvalidArgument) {
    part_.Remove();
  } else if (part_.worth_keeping()) {
    error.message += "; the same command with --resume goes on from here";
  }
  return error;
}

Result<std::string> ConversionFingerprint(const EcqFileInfo& info, const ModelSource& source,
                                          const QuantizeOptions& options,
                                          std::optional<uint64_t> size_bytes) {
  // Named one by one, so that a new option does not compile until it is in the text.
  // bpw_must_be_met is not: it changes no byte.
  const auto& [grid, bpw, bpw_must_be_met, embedding_bpw, pack, window_memory, mode, calibration,
               rules] = options;
  const auto& [codec, max_prob_bits] = pack;
  ECQ_TRY(const std::string source_text, SourceText(info));
  std::string text = fmt::format("producer {}\nsource {}\nmodel {}\ngrid {}\n", info.producer,
                                 source_text, HashText(HashOfStructure(source)), grid);
  text += size_bytes ? fmt::format("size {}\n", *size_bytes) : fmt::format("bpw {}\n", bpw);
  text += fmt::format("embedding-bpw {}\n",
                      embedding_bpw ? fmt::format("{}", *embedding_bpw) : "by default");
  text += fmt::format("codec {}\nprob-bits {}\nwindow {}\n", codec ? GetCodec(*codec).name : "auto",
                      max_prob_bits, window_memory ? 12 : 8);
  text += fmt::format("mode {}\ncalibration {}\n", QuantizeModeName(mode), calibration);
  for (size_t i = 0; i < rules.size(); ++i) {
    const auto& [keep, rule_bpw, rule_grid, rule_codec] = rules[i];
    if (rules[i] == MatrixRule()) continue;
    text += fmt::format("rule {} keep {} bpw {} grid {} codec {}\n", i, keep,
                        rule_bpw ? fmt::format("{}", *rule_bpw) : "shared", rule_grid, rule_codec);
  }
  return text;
}

}  // namespace ecq
