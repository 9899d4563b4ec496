// Writes .ecq files tensor by tensor (docs/format.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ecq/base/atomic_file.h"
#include "ecq/base/result.h"
#include "ecq/format/ecq_format.h"
#include "ecq/format/table_record.h"
#include "ecq/pack/packed_tensor.h"
#include "ecq/tensor/tensor.h"

namespace ecq {

// Bytes in memory that also lie in a file, which must stay as it is until the writer is done.
struct StoredBytes {
  std::span<const uint8_t> bytes;
  FileRange range;  // as long
};

// Tensors go to disk as they come, so memory holds one tensor at a time and the small ones whose
// size would break the alignment of the next. The file appears in Finish(), whole; if anything
// fails before, a file that was there stays. The bytes depend on the input alone.
//
// Names must be unique, UTF-8 and not reserved (IsModelTensorName, IsSideFileName); otherwise
// kInvalidArgument. After an error the writer is good for destruction only.
class EcqWriter {
 public:
  // Errors: those of AtomicFile::Create; kInvalidArgument for text that is no UTF-8 or a malformed
  // SHA-256.
  static Result<EcqWriter> Create(const std::filesystem::path& path, const EcqFileInfo& info,
                                  bool overwrite);
  // A writer that writes nothing and only tells, by Seal(), how large the file would be.
  // Errors: kInvalidArgument as above.
  static Result<EcqWriter> CreateMeasuring(const EcqFileInfo& info);

  // What of the matrix lies in `stored` is taken from that file in Finish() and not written before.
  // Errors: those of ValidatePackedTensor, kNoSpace, kIo.
  Status AddMatrix(std::string_view name, const PackedTensor& matrix,
                   const StoredBytes& stored = {});
  // F32, F16 or BF16; other types: kUnsupportedType. Errors: kNoSpace, kIo.
  Status AddPlain(std::string_view name, DType dtype, const Shape& shape,
                  std::span<const uint8_t> bytes);
  // A side file such as "config.json", which every model needs. Errors: kNoSpace, kIo.
  Status AddFile(std::string_view name, std::span<const uint8_t> contents);

  // Ends the contents and returns the size of the file; nothing can be added afterwards. Called a
  // second time it only returns the size. Errors: kInvalidArgument without config.json, kNoSpace,
  // kIo.
  Result<uint64_t> Seal();
  // Whether `path` holds what Finish() would write, going by its size and its header, which has the
  // hash of everything. Pre: Seal() succeeded.
  bool IsAt(const std::filesystem::path& path) const;
  // Seals the file if that was not done, and gives it its name; returns its size.
  // Pre: not a measuring writer. Errors: those of Seal() and AtomicFile::Commit.
  Result<uint64_t> Finish();

 private:
  struct Entry {
    std::string name;
    DType dtype;
    Shape shape;
    uint64_t begin;  // in the data section
    uint64_t bytes;
    uint64_t hash;
  };
  struct Deferred {
    size_t entry;
    std::vector<uint8_t> bytes;
  };

  EcqWriter() = default;

  Status AppendData(std::span<const uint8_t> bytes, const StoredBytes& stored);
  Status AddTensor(std::string name, DType dtype, Shape shape, std::span<const uint8_t> bytes,
                   const StoredBytes& stored = {});
  Status WriteDeferred();
  uint32_t TableNumber(TableRecord table);
  Result<std::string> HeaderText() const;
  std::vector<uint8_t> Front() const;

  std::optional<AtomicFile> file_;   // nothing when measuring
  std::optional<ScratchFile> data_;  // what is not stored elsewhere; nothing when measuring
  std::vector<FileRange> ranges_;    // the data section, in order; empty when measuring
  uint64_t data_bytes_ = 0;
  std::string header_;  // empty until Seal()
  std::string producer_;
  std::string source_text_;
  std::string matrices_text_ = "{";
  std::vector<Entry> entries_;
  std::vector<Deferred> deferred_;
  std::set<std::string, std::less<>> names_;  // of matrices, plain tensors and, prefixed, files
  std::vector<TableRecord> tables_;
  uint32_t version_ = kEcqBaseVersion;  // lowest reader that knows all of the contents
  uint64_t num_spans_ = 0;
};

}  // namespace ecq
