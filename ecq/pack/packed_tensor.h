// A coded weight matrix: codestreams, index, tables and scales.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/codec/frequency_table.h"
#include "ecq/portable/layout.h"
#include "ecq/tensor/quantized_tensor.h"

namespace ecq {

// Bytes that must be readable after the payload, whatever they contain, so that a kernel may load
// one step's worth of words from any position inside it. A mapped file has them (MappedFile), and
// so has PackedTensor::Storage.
inline constexpr uint64_t kPayloadReadPadding = 64;
inline constexpr uint64_t kPayloadAlignment = 16;  // payload sizes are multiples of this
inline constexpr uint64_t kIndexUnitBytes = 4;

// Immutable. Either owns its bytes (fresh from the encoder) or points into a mapped file that
// outlives it. Invariant: Validate() returned OK; everything after it relies on that.
struct PackedTensor {
  std::string grid;
  PackedDesc desc{};
  std::vector<ColumnSpan> spans;       // cover [0, K) in order; spans[i].table == i
  std::vector<FrequencyTable> tables;  // rans, rans16: one for each span
  std::vector<WindowTable> windows;    // window: one for each span

  std::span<const uint8_t> payload;  // tiles, then zeros up to the alignment
  std::span<const uint32_t> index;   // num_tiles + 1 offsets, in kIndexUnitBytes

  ScaleKind scale_kind = ScaleKind::kRow;
  int32_t scale_exponent = 0;
  std::span<const uint16_t> scales;  // as QuantizedTensor has them
  std::span<const uint16_t> biases;
  std::span<const Fix> fixes;
  std::span<const uint16_t> col_scales;
  std::span<const uint32_t> col_order;

  // Storage behind the spans where the tensor owns them.
  struct Storage {
    std::vector<uint8_t> payload;  // with kPayloadReadPadding bytes more
    std::vector<uint32_t> index;
    std::vector<uint16_t> scales;
    std::vector<uint16_t> biases;
    std::vector<Fix> fixes;
    std::vector<uint16_t> col_scales;
    std::vector<uint32_t> col_order;
  };
  std::shared_ptr<const Storage> storage;

  uint64_t num_weights() const { return uint64_t{desc.rows} * desc.cols; }
  // Payload, index, scales, biases, fixes and tables: what this matrix costs in a file of its own.
  uint64_t total_bytes() const;
};

// What matrices cost in a file that they share: it stores a window table once, whoever has it, and
// the first matrix with it pays.
class FileCost {
 public:
  // Bytes that the next matrix adds.
  uint64_t Add(const PackedTensor& tensor);

 private:
  std::vector<WindowTable> windows_;  // paid for
};

// Checks everything a kernel will rely on: geometry, spans, table precision, window tables, index
// monotone and inside the payload, sizes of tiles, scale counts, fix positions, column order.
// `where` starts every message.
// Errors: kBadLayout, kBadTable, kUnsupportedCodec.
Status ValidatePackedTensor(const PackedTensor& tensor, std::string_view where);

}  // namespace ecq
