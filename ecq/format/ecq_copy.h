// Copies an .ecq file with other side files, without decoding or coding anything.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "ecq/base/result.h"

namespace ecq {

struct NamedContents {
  std::string name;  // "config.json"
  std::vector<uint8_t> bytes;
};

// Writes `target` with the matrices and plain tensors of `source` and with `files` as its only side
// files. Tensors keep their order: files that were there their places, new ones come last. So a
// file that EcqWriter made, copied with the side files it has, is equal to the last byte.
// Returns the size of the copy. `target` may be `source`.
// Pre: the hashes of `source` were verified; the copy has hashes of its own.
// Errors: those of EcqFile::Open and EcqWriter.
Result<uint64_t> CopyEcq(const std::filesystem::path& source, std::span<const NamedContents> files,
                         const std::filesystem::path& target, bool overwrite);

}  // namespace ecq
