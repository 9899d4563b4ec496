// Reads .ecq files: everything is validated once, at Open() (docs/format.md).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ecq/base/mapped_file.h"
#include "ecq/base/result.h"
#include "ecq/base/thread_pool.h"
#include "ecq/format/ecq_format.h"
#include "ecq/pack/packed_tensor.h"
#include "ecq/tensor/safetensors.h"
#include "ecq/tensor/tensor.h"

namespace ecq {

struct EcqReadOptions {
  // Compare the hash of the matrix records. Off for fuzzing, which could not get past it.
  bool check_records_hash = true;
};

// An open .ecq file. All that docs/format.md lets a reader check without touching the codestreams
// has been checked; every accessor is total, and only looking up a name can fail (kNotFound).
class EcqFile {
 public:
  // Maps the file. Cost: reads the header, indexes and side tensors, no codestream (unless one lies
  // misaligned: that one is copied). Errors: those of MappedFile::Open and docs/format.md, 8.
  static Result<EcqFile> Open(const std::filesystem::path& path);
  // The same for bytes in memory; `path` names them in messages. Pre: they outlive the EcqFile and
  // its matrices, and kPayloadReadPadding readable bytes follow them.
  static Result<EcqFile> Parse(std::span<const uint8_t> bytes, std::string_view path,
                               EcqReadOptions options = {});

  // Names of the coded matrices, in the order of their codestreams in the file.
  const std::vector<std::string>& matrices() const { return matrix_names_; }
  // Points into the file, and keeps the mapping alive if Open() made it.
  Result<PackedTensor> matrix(std::string_view name) const;

  // Plain tensors in file order. Views live as long as this object.
  const std::vector<SafetensorsEntry>& plain_tensors() const { return plain_; }
  Result<TensorView> plain_tensor(std::string_view name) const;

  // Names of the side files in file order; "config.json" is always there.
  const std::vector<std::string>& side_files() const { return side_file_names_; }
  Result<std::span<const uint8_t>> side_file(std::string_view name) const;

  const EcqFileInfo& info() const { return info_; }
  uint64_t file_bytes() const { return file_bytes_; }
  uint64_t header_bytes() const { return tensors_->data_offset(); }
  uint64_t table_bytes() const { return table_bytes_; }

  // Reads the whole file. Errors: kCorrupt, naming the first tensor whose hash differs.
  Status VerifyHashes(ThreadPool& pool) const;

 private:
  friend class EcqParser;
  EcqFile() = default;

  std::shared_ptr<const MappedFile> mapping_;  // nothing if the bytes are somebody else's
  std::optional<Safetensors> tensors_;         // always there
  std::string path_;
  EcqFileInfo info_;
  uint64_t file_bytes_ = 0;
  uint64_t table_bytes_ = 0;
  std::vector<std::string> matrix_names_;
  std::map<std::string, PackedTensor, std::less<>> matrices_;
  std::vector<SafetensorsEntry> plain_;
  std::vector<std::string> side_file_names_;
  std::vector<uint64_t> hashes_;  // of tensors_->tensors(), in that order
};

}  // namespace ecq
