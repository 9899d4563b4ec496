// Strict reader of the safetensors container: a JSON header over one data section.
//
// File: u64 little-endian header length, that many bytes of JSON, then the data section. Offsets in
// the header count from the start of the data section. Accepted files have unique names, known
// element types, and tensors that tile the data section exactly: no overlap, no gap, no rest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/tensor/tensor.h"

namespace ecq {

struct SafetensorsEntry {
  std::string name;
  TensorView view;  // points into the parsed file
};

// The parsed header. Views point into the bytes that Parse was given and live as long as they do.
class Safetensors {
 public:
  static constexpr uint64_t kMaxHeaderBytes = 100'000'000;
  static constexpr size_t kMaxDims = 16;

  // `path` names the file in messages.
  // Errors: kTruncated (file ends early), kBadHeader (length or JSON), kUnsupportedType (element
  // type), kBadLayout (shapes, offsets and sizes contradict each other).
  static Result<Safetensors> Parse(std::span<const uint8_t> file, std::string_view path);

  // In data-offset order.
  const std::vector<SafetensorsEntry>& tensors() const { return tensors_; }
  // Nothing if there is no such tensor. O(log n).
  const SafetensorsEntry* Find(std::string_view name) const;
  // The "__metadata__" object; empty if the file has none.
  const std::map<std::string, std::string, std::less<>>& metadata() const { return metadata_; }
  // Offset in the file where the data section starts.
  uint64_t data_offset() const { return data_offset_; }

 private:
  Safetensors() = default;

  std::vector<SafetensorsEntry> tensors_;
  std::vector<uint32_t> by_name_;  // indexes into tensors_, sorted by name
  std::map<std::string, std::string, std::less<>> metadata_;
  uint64_t data_offset_ = 0;
};

}  // namespace ecq
