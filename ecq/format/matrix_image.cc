#include "ecq/format/matrix_image.h"

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "ecq/base/bytes.h"
#include "ecq/format/metadata.h"
#include "ecq/format/stored_matrix.h"
#include "ecq/format/table_record.h"

namespace ecq {
namespace {

// An image is the sizes of its sections as u64, then the sections, each at a multiple of 16.
enum Section : size_t {
  kNote,
  kRecord,  // the JSON text {name: record}, as in an .ecq file
  kTables,
  kPayload,
  kIndex,
  kScales,
  kBiases,
  kFixes,
  kColScales,
  kColOrder,
  kNumSections
};
using Sections = std::array<std::span<const uint8_t>, kNumSections>;
constexpr uint64_t kAlignment = kPayloadAlignment;
constexpr uint64_t kFrontBytes = kNumSections * sizeof(uint64_t);
static_assert(kFrontBytes % kAlignment == 0 && kCacheLineBytes % kAlignment == 0);

template <typename T>
std::span<const uint8_t> AsBytes(std::span<const T> values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()};
}

Result<Sections> Split(std::span<const uint8_t> image, const std::string& where) {
  const Error wrong{ErrorCode::kBadLayout, where + ": sections do not fit their record"};
  if (image.size() < kFrontBytes) return wrong;
  Sections sections;
  uint64_t offset = kFrontBytes;
  for (size_t i = 0; i < kNumSections; ++i) {
    const uint64_t bytes = LoadLe<uint64_t>(image.data() + i * sizeof(uint64_t));
    if (offset > image.size() || bytes > image.size() - offset) return wrong;
    sections[i] = image.subspan(offset, bytes);
    offset = AlignUp(offset + bytes, kAlignment);
  }
  if (offset != image.size()) return wrong;
  return sections;
}

// Pre: the section starts at a multiple of alignof(T), as all do.
template <typename T>
Status View(std::span<const uint8_t> section, const std::string& where, std::span<const T>* out) {
  if (section.size() % sizeof(T) != 0) {
    return Error{ErrorCode::kBadLayout, where + ": a section ends inside an element"};
  }
  *out = {reinterpret_cast<const T*>(section.data()), section.size() / sizeof(T)};
  return OkStatus();
}

Status ReadTables(std::span<const uint8_t> section, const std::string& where,
                  PackedTensor* matrix) {
  if (!HasTables(matrix->desc.codec)) return OkStatus();
  for (size_t i = 0; i < matrix->spans.size(); ++i) {
    ECQ_TRY(const TableRecord table, ParseTableRecord(section));
    if (matrix->spans[i].table != i) {
      return Error{ErrorCode::kBadTable, where + ": tables out of order"};
    }
    ECQ_RETURN_IF_ERROR(AddTable(table, where, matrix));
  }
  return OkStatus();
}

}  // namespace

Result<AlignedBuffer<uint8_t>> EncodeMatrixImage(std::string_view name,
                                                 std::span<const uint8_t> note,
                                                 const PackedTensor& matrix) {
  ECQ_TRY(const std::string quoted, JsonString(name));
  ECQ_RETURN_IF_ERROR(JsonString(matrix.grid));
  const std::string record = "{" + quoted + ":" + MatrixRecordText(RecordOf(matrix)) + "}";
  std::vector<uint8_t> tables;
  if (HasTables(matrix.desc.codec)) {
    for (size_t i = 0; i < matrix.spans.size(); ++i) {
      AppendTableRecord(TableOfSpan(matrix, i), tables);
    }
  }

  Sections sections;
  sections[kNote] = note;
  sections[kRecord] = {reinterpret_cast<const uint8_t*>(record.data()), record.size()};
  sections[kTables] = tables;
  sections[kPayload] = matrix.payload;
  sections[kIndex] = AsBytes(matrix.index);
  sections[kScales] = AsBytes(matrix.scales);
  sections[kBiases] = AsBytes(matrix.biases);
  sections[kFixes] = AsBytes(matrix.fixes);
  sections[kColScales] = AsBytes(matrix.col_scales);
  sections[kColOrder] = AsBytes(matrix.col_order);

  uint64_t size = kFrontBytes;
  for (const auto& section : sections) size += AlignUp(section.size(), kAlignment);
  AlignedBuffer<uint8_t> image(size + kPayloadReadPadding);
  image.Fill(0);
  uint64_t offset = kFrontBytes;
  for (size_t i = 0; i < kNumSections; ++i) {
    const auto& section = sections[i];
    StoreLe<uint64_t>(image.data() + i * sizeof(uint64_t), section.size());
    if (!section.empty()) std::memcpy(image.data() + offset, section.data(), section.size());
    offset += AlignUp(section.size(), kAlignment);
  }
  return image;
}

Result<MatrixImage> DecodeMatrixImage(std::shared_ptr<const AlignedBuffer<uint8_t>> buffer,
                                      size_t size, const std::string& where) {
  ECQ_TRY(const Sections sections, Split(buffer->span().first(size), where));
  const std::string_view text(reinterpret_cast<const char*>(sections[kRecord].data()),
                              sections[kRecord].size());
  ECQ_TRY(const MatrixRecords records, ParseMatrixRecords(text, where));
  if (records.size() != 1) {
    return Error{ErrorCode::kBadHeader, where + ": expected the record of one matrix"};
  }
  const auto& [name, record] = *records.begin();
  MatrixImage image{name, sections[kNote], {}};
  PackedTensor& matrix = image.matrix;
  matrix.grid = record.grid;
  matrix.desc = record.desc;
  matrix.spans = record.spans;
  matrix.scale_kind = record.scale_kind;
  matrix.scale_exponent = record.scale_exponent;
  ECQ_RETURN_IF_ERROR(ReadTables(sections[kTables], where, &matrix));
  matrix.payload = sections[kPayload];
  ECQ_RETURN_IF_ERROR(View(sections[kIndex], where, &matrix.index));
  ECQ_RETURN_IF_ERROR(View(sections[kScales], where, &matrix.scales));
  ECQ_RETURN_IF_ERROR(View(sections[kBiases], where, &matrix.biases));
  ECQ_RETURN_IF_ERROR(View(sections[kFixes], where, &matrix.fixes));
  ECQ_RETURN_IF_ERROR(View(sections[kColScales], where, &matrix.col_scales));
  ECQ_RETURN_IF_ERROR(View(sections[kColOrder], where, &matrix.col_order));
  matrix.desc.has_bias = !matrix.biases.empty();
  // The storage is empty; what keeps it alive is the buffer.
  struct Owner {
    std::shared_ptr<const AlignedBuffer<uint8_t>> buffer;
    PackedTensor::Storage storage;
  };
  auto owner = std::make_shared<Owner>();
  owner->buffer = std::move(buffer);
  matrix.storage = std::shared_ptr<const PackedTensor::Storage>(owner, &owner->storage);
  ECQ_RETURN_IF_ERROR(ValidateStoredMatrix(matrix, where));
  return image;
}

}  // namespace ecq
