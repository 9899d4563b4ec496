// Codestreams of the window codec (docs/format.md, 4.3). The quantizer chose every byte; here they
// go where kernels find them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/base/thread_pool.h"
#include "ecq/portable/layout.h"
#include "ecq/tensor/quantized_tensor.h"

namespace ecq {

// Bytes of a row; tables[i] belongs to spans[i]. A tile takes those of its rows, rounded up to
// kIndexUnitBytes.
uint64_t WindowRowBytes(std::span<const ColumnSpan> spans, std::span<const WindowTable> tables);

// Spans begin at whole groups. Errors: kBadLayout, after `where`.
Status CheckWindowSpans(std::span<const ColumnSpan> spans, std::string_view where);

// The codes of a tensor fit its shape and spans and decode to its levels.
// Pre: tensor.window; the tensor has its rows * cols levels. Errors: kInvalidArgument.
Status CheckWindowCodes(const QuantizedTensor& tensor, std::span<const ColumnSpan> spans,
                        ThreadPool& pool);

// Rows [row_begin, row_end) as one tile, in blocks of kMaxLanes rows. Pre: CheckWindowCodes().
std::vector<uint8_t> EncodeWindowTile(const WindowCodes& codes, std::span<const ColumnSpan> spans,
                                      uint32_t row_begin, uint32_t row_end);

}  // namespace ecq
