// What `ecq quantize` has done so far, in a part file beside its output, so that --resume can go on
// from there.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "app/source_guard.h"
#include "ecq/base/result.h"
#include "ecq/format/ecq_writer.h"
#include "ecq/format/part_file.h"
#include "ecq/import/model_source.h"
#include "ecq/pack/packed_tensor.h"

namespace ecq {

struct QuantizeOptions;

// The log holds the outcomes of the passes that missed the size asked for, then the matrices of the
// pass at work, in the order of the source. Everything else is done again: it is quick.
class ConversionLog {
 public:
  // A matrix as it lies in the log, which must outlive it.
  struct Matrix {
    PackedTensor packed;
    double relative_error;
    StoredBytes stored;
  };
  struct PassSize {
    uint64_t file_bytes;
    uint64_t matrix_bytes;
  };

  // Opens the part file of `output`. Without `resume`, an earlier run's work is refused, or with
  // `force` given up. Errors: those of ResolveOutput() and PartFile::Open().
  static Result<ConversionLog> Open(const std::string& output, bool resume, bool force);

  // To be called once, before all below. `source_guard` must outlive this object.
  // Errors: those of PartFile::Begin().
  Status Begin(std::string_view fingerprint, const SourceGuard& source_guard);

  // The outcome of the next pass, if it ended with this rate and missed its size.
  std::optional<PassSize> NextPass(double bpw);
  // Replaces the matrices of the pass by its outcome. Errors: kNoSpace, kIo.
  Status EndPass(double bpw, PassSize size);

  // From now on Append() fails with this error.
  void ExpectComplete(Error otherwise) { incomplete_ = std::move(otherwise); }

  // The matrix of `tensor`, if it is the next one in the log.
  std::optional<Matrix> Next(const SourceTensor& tensor);
  // Writes the next matrix. Errors: that of ExpectComplete(), those of SourceGuard::Check(),
  // kInvalidArgument for a name that is no UTF-8, kNoSpace, kIo.
  Result<Matrix> Append(const std::string& name, const PackedTensor& packed, double relative_error);

  // Matrices that Next() gave.
  uint64_t num_taken() const { return num_taken_; }
  bool continued() const { return part_.continued(); }

  // The error with what to do about it. Nothing stays of a run that would fail again.
  Error Explain(Error error);
  // The output is there: nothing is left to resume.
  void Remove() { part_.Remove(); }

 private:
  explicit ConversionLog(PartFile part) : part_(std::move(part)) {}

  PartFile part_;
  PartFile::Mark pass_{};  // where the pass at work begins
  const SourceGuard* source_guard_ = nullptr;
  std::optional<Error> incomplete_;
  uint64_t num_taken_ = 0;
};

// The part file of an output: "OUT.part". Errors: those of ResolveOutput().
Result<std::string> PartFilePath(const std::string& output);

// A text of lines that differs if anything differs on which the bytes of the output depend.
// Errors: kInvalidArgument if a name is no UTF-8.
Result<std::string> ConversionFingerprint(const EcqFileInfo& info, const ModelSource& source,
                                          const QuantizeOptions& options,
                                          std::optional<uint64_t> size_bytes);

}  // namespace ecq
