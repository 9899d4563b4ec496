#include "ecq/format/ecq_writer.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "ecq/base/bytes.h"
#include "ecq/base/mapped_file.h"
#include "ecq/format/metadata.h"
#include "ecq/format/stored_matrix.h"
#include "ecq/pack/stored_form.h"

namespace ecq {
namespace {

template <typename T>
std::span<const uint8_t> AsBytes(std::span<const T> values) {
  return {reinterpret_cast<const uint8_t*>(values.data()), values.size_bytes()};
}

Error InvalidName(std::string_view name, const char* why) {
  return Error{ErrorCode::kInvalidArgument,
               "ecq writer: name \"" + std::string(name) + "\" " + why};
}

// One tensor of a matrix.
struct Part {
  std::string_view suffix;
  DType dtype;
  Shape shape;
  std::span<const uint8_t> bytes;
  uint32_t version = kEcqBaseVersion;  // lowest reader that knows it
};

// Parts that lie in a file otherwise than in memory.
struct StoredForms {
  std::optional<std::vector<uint16_t>> fixes;
  std::optional<std::vector<uint8_t>> col_classes;
  std::vector<uint16_t> col_order;

  explicit StoredForms(const PackedTensor& m) {
    if (!m.fixes.empty()) fixes = ShortFixes(m.fixes, m.desc.cols);
    if (!m.col_order.empty()) col_classes = ColumnClasses(m.col_order);
    if (!col_classes && m.desc.cols <= kMaxShortOrderCols) {
      col_order.assign(m.col_order.begin(), m.col_order.end());
    }
  }
};

// `forms` must outlive the parts.
std::vector<Part> PartsOf(const PackedTensor& m, const StoredForms& forms) {
  Shape scale_shape{m.scales.size()};
  if (m.scale_kind == ScaleKind::kGroup) scale_shape = {m.desc.scale_groups, m.desc.rows};
  std::vector<Part> parts{
      {kDataSuffix, DType::kU8, {m.payload.size()}, m.payload},
      {kIndexSuffix, DType::kU32, {m.index.size()}, AsBytes(m.index)},
      {kScaleSuffix, DType::kF16, scale_shape, AsBytes(m.scales)},
  };
  if (!m.biases.empty())
    parts.push_back({kBiasSuffix, DType::kF16, scale_shape, AsBytes(m.biases)});
  if (forms.fixes) {
    const std::span<const uint16_t> pairs(*forms.fixes);
    parts.push_back(
        {kFixesSuffix, DType::kU16, {pairs.size() / 2, 2}, AsBytes(pairs), kEcqThirdVersion});
  } else if (!m.fixes.empty()) {
    parts.push_back({kFixesSuffix, DType::kI32, {m.fixes.size(), 3}, AsBytes(m.fixes)});
  }
  if (!m.col_scales.empty()) {
    parts.push_back({kColScaleSuffix, DType::kF16, {m.desc.cols}, AsBytes(m.col_scales)});
  }
  if (forms.col_classes) {
    const std::span<const uint8_t> classes(*forms.col_classes);
    parts.push_back({kColClassSuffix, DType::kU8, {classes.size()}, classes, kEcqThirdVersion});
  } else if (!forms.col_order.empty()) {
    parts.push_back({kColOrderSuffix,
                     DType::kU16,
                     {m.desc.cols},
                     AsBytes(std::span<const uint16_t>(forms.col_order)),
                     kEcqThirdVersion});
  } else if (!m.col_order.empty()) {
    parts.push_back({kColOrderSuffix, DType::kU32, {m.desc.cols}, AsBytes(m.col_order)});
  }
  return parts;
}

// Where `bytes` lie in the file of `stored`; nothing if they are not among them.
std::optional<FileRange> Locate(std::span<const uint8_t> bytes, const StoredBytes& stored) {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(bytes.data());
  const uintptr_t first = reinterpret_cast<uintptr_t>(stored.bytes.data());
  if (begin < first || begin - first > stored.bytes.size() ||
      bytes.size() > stored.bytes.size() - (begin - first)) {
    return std::nullopt;
  }
  return FileRange{stored.range.fd, stored.range.offset + (begin - first), bytes.size()};
}

std::string TensorText(const std::string& quoted_name, DType dtype, const Shape& shape,
                       uint64_t begin, uint64_t end) {
  return fmt::format(R"(,{}:{{"dtype":"{}","shape":[{}],"data_offsets":[{},{}]}})", quoted_name,
                     DTypeName(dtype), fmt::join(shape, ","), begin, end);
}

}  // namespace

Result<EcqWriter> EcqWriter::Create(const std::filesystem::path& path, const EcqFileInfo& info,
                                    bool overwrite) {
  ECQ_TRY(EcqWriter writer, CreateMeasuring(info));
  ECQ_TRY(writer.file_, AtomicFile::Create(path, overwrite));
  ECQ_TRY(writer.data_, ScratchFile::CreateBeside(path));
  return writer;
}

Result<EcqWriter> EcqWriter::CreateMeasuring(const EcqFileInfo& info) {
  ECQ_RETURN_IF_ERROR(JsonString(info.producer));
  EcqWriter writer;
  ECQ_TRY(writer.source_text_, SourceText(info));
  writer.producer_ = info.producer;
  return writer;
}

Status EcqWriter::AppendData(std::span<const uint8_t> bytes, const StoredBytes& stored) {
  if (data_) {
    std::optional<FileRange> range = Locate(bytes, stored);
    if (!range) {
      range = data_->range(data_->size(), bytes.size());
      ECQ_RETURN_IF_ERROR(data_->Append(bytes));
    }
    ranges_.push_back(*range);
  }
  data_bytes_ += bytes.size();
  return OkStatus();
}

Status EcqWriter::AddTensor(std::string name, DType dtype, Shape shape,
                            std::span<const uint8_t> bytes, const StoredBytes& stored) {
  Entry entry{std::move(name), dtype,        std::move(shape),
              data_bytes_,     bytes.size(), XXH3_64bits(bytes.data(), bytes.size())};
  if (bytes.size() % kEcqTensorAlignment == 0) {
    ECQ_RETURN_IF_ERROR(AppendData(bytes, stored));
  } else {
    deferred_.push_back({entries_.size(), {bytes.begin(), bytes.end()}});
  }
  entries_.push_back(std::move(entry));
  return OkStatus();
}

uint32_t EcqWriter::TableNumber(TableRecord table) {
  const auto it = std::find(tables_.begin(), tables_.end(), table);
  const uint32_t number = static_cast<uint32_t>(it - tables_.begin());
  if (it == tables_.end()) tables_.push_back(std::move(table));
  return number;
}

Status EcqWriter::AddMatrix(std::string_view name, const PackedTensor& matrix,
                            const StoredBytes& stored) {
  const std::string owned(name);
  if (!IsModelTensorName(name)) return InvalidName(name, "is reserved");
  ECQ_TRY(const std::string quoted, JsonString(name));
  ECQ_RETURN_IF_ERROR(JsonString(matrix.grid));
  if (!names_.insert(owned).second) return InvalidName(name, "was added before");
  ECQ_RETURN_IF_ERROR(ValidateStoredMatrix(matrix, owned));

  MatrixRecord record = RecordOf(matrix);
  if (HasTables(matrix.desc.codec)) {
    for (size_t i = 0; i < record.spans.size(); ++i) {
      record.spans[i].table = TableNumber(TableOfSpan(matrix, i));
    }
    num_spans_ += record.spans.size();
  }
  if (matrix.desc.codec == CodecId::kWindow || matrix.desc.codec == CodecId::kRans16 ||
      matrix.desc.rotation != 0) {
    version_ = std::max(version_, kEcqSecondVersion);
  }
  if (tables_.size() > kMaxTables || num_spans_ > kMaxSpans) {
    return Error{ErrorCode::kInvalidArgument, owned + ": too many tables or column spans"};
  }
  const StoredForms forms(matrix);
  for (const Part& part : PartsOf(matrix, forms)) {
    version_ = std::max(version_, part.version);
    ECQ_RETURN_IF_ERROR(
        AddTensor(owned + std::string(part.suffix), part.dtype, part.shape, part.bytes, stored));
  }
  if (matrices_text_.size() > 1) matrices_text_ += ',';
  matrices_text_ += quoted + ":" + MatrixRecordText(record);
  return OkStatus();
}

Status EcqWriter::AddPlain(std::string_view name, DType dtype, const Shape& shape,
                           std::span<const uint8_t> bytes) {
  if (!IsModelTensorName(name)) return InvalidName(name, "is reserved");
  ECQ_RETURN_IF_ERROR(JsonString(name));
  if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16) {
    return Error{ErrorCode::kUnsupportedType,
                 fmt::format("{}: expected F32, F16 or BF16, got {}", name, DTypeName(dtype))};
  }
  const auto elements = NumElements(shape);
  if (!elements || CheckedMul(*elements, DTypeBytes(dtype)) != bytes.size()) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{}: shape {} does not fit {} bytes", name, ShapeToString(shape),
                             bytes.size())};
  }
  if (!names_.emplace(name).second) return InvalidName(name, "was added before");
  return AddTensor(std::string(name), dtype, shape, bytes);
}

Status EcqWriter::AddFile(std::string_view name, std::span<const uint8_t> contents) {
  if (!IsSideFileName(name)) return InvalidName(name, "cannot name a side file");
  const std::string tensor = std::string(kFilePrefix) + std::string(name);
  if (!names_.insert(tensor).second) return InvalidName(name, "was added before");
  return AddTensor(tensor, DType::kU8, {contents.size()}, contents);
}

// Every tensor so far ends at a multiple of 16. Wider elements first keeps all of them aligned.
Status EcqWriter::WriteDeferred() {
  const auto element_bytes = [&](const Deferred& d) { return DTypeBytes(entries_[d.entry].dtype); };
  std::stable_sort(deferred_.begin(), deferred_.end(), [&](const Deferred& a, const Deferred& b) {
    return element_bytes(a) > element_bytes(b);
  });
  for (const Deferred& tensor : deferred_) {
    entries_[tensor.entry].begin = data_bytes_;
    ECQ_RETURN_IF_ERROR(AppendData(tensor.bytes, {}));
  }
  deferred_.clear();
  return OkStatus();
}

Result<std::string> EcqWriter::HeaderText() const {
  const std::string matrices = matrices_text_ + "}";
  std::string hashes = fmt::format(R"({{"{}":"{}")", kMatricesKey,
                                   HashText(XXH3_64bits(matrices.data(), matrices.size())));
  std::string tensors;
  for (const Entry& entry : entries_) {
    ECQ_TRY(const std::string name, JsonString(entry.name));
    hashes += fmt::format(R"(,{}:"{}")", name, HashText(entry.hash));
    tensors += TensorText(name, entry.dtype, entry.shape, entry.begin, entry.begin + entry.bytes);
  }
  hashes += '}';

  const std::string version = std::to_string(version_);
  const std::pair<std::string_view, std::string_view> metadata[] = {
      {kFormatKey, kFormatValue}, {kVersionKey, version},     {kMinReaderKey, version},
      {kProducerKey, producer_},  {kSourceKey, source_text_}, {kMatricesKey, matrices},
      {kHashesKey, hashes},
  };
  std::string header = R"({"__metadata__":{)";
  for (const auto& [key, value] : metadata) {
    ECQ_TRY(const std::string text, JsonString(value));
    header += fmt::format(R"({}"{}":{})", key == kFormatKey ? "" : ",", key, text);
  }
  header += "}" + tensors + "}";
  header.resize(AlignUp(sizeof(uint64_t) + header.size(), kEcqDataAlignment) - sizeof(uint64_t),
                ' ');
  return header;
}

Result<uint64_t> EcqWriter::Seal() {
  if (!header_.empty()) return sizeof(uint64_t) + header_.size() + data_bytes_;
  if (names_.count(std::string(kFilePrefix) + std::string(kConfigFile)) == 0) {
    return Error{ErrorCode::kInvalidArgument, "ecq writer: config.json is missing"};
  }
  if (!tables_.empty()) {
    std::vector<uint8_t> records;
    for (const TableRecord& table : tables_) AppendTableRecord(table, records);
    ECQ_RETURN_IF_ERROR(AddTensor(std::string(kTablesName), DType::kU8, {records.size()}, records));
  }
  ECQ_RETURN_IF_ERROR(WriteDeferred());
  ECQ_TRY(header_, HeaderText());
  return sizeof(uint64_t) + header_.size() + data_bytes_;
}

// What precedes the data section.
std::vector<uint8_t> EcqWriter::Front() const {
  std::vector<uint8_t> front(sizeof(uint64_t) + header_.size());
  StoreLe<uint64_t>(front.data(), header_.size());
  std::copy(header_.begin(), header_.end(), front.begin() + sizeof(uint64_t));
  return front;
}

bool EcqWriter::IsAt(const std::filesystem::path& path) const {
  const auto file = MappedFile::Open(path);
  const std::vector<uint8_t> front = Front();
  return file.ok() && file->bytes().size() == front.size() + data_bytes_ &&
         std::equal(front.begin(), front.end(), file->bytes().begin());
}

Result<uint64_t> EcqWriter::Finish() {
  ECQ_RETURN_IF_ERROR(Seal());
  ECQ_RETURN_IF_ERROR(file_->Append(Front()));
  for (const FileRange& range : ranges_) ECQ_RETURN_IF_ERROR(file_->Append(range));
  ECQ_RETURN_IF_ERROR(file_->Commit());
  return file_->size();
}

}  // namespace ecq
