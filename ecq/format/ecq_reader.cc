// EcqParser turns bytes into a validated EcqFile; the accessors follow.
#include "ecq/format/ecq_reader.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

#include "ecq/base/bytes.h"
#include "ecq/format/metadata.h"
#include "ecq/format/stored_matrix.h"
#include "ecq/format/table_record.h"
#include "ecq/pack/stored_form.h"

namespace ecq {
namespace {

bool IsAligned(std::span<const uint8_t> bytes, size_t alignment) {
  return reinterpret_cast<uintptr_t>(bytes.data()) % alignment == 0;
}

// The tensor as values of type T: in place if it is aligned, else copied into `storage`.
template <typename T>
std::span<const T> ViewOrCopy(const TensorView& tensor, std::vector<T>& storage) {
  const size_t size = tensor.bytes.size() / sizeof(T);
  if (IsAligned(tensor.bytes, alignof(T))) {
    return {reinterpret_cast<const T*>(tensor.bytes.data()), size};
  }
  storage.resize(size);
  std::memcpy(storage.data(), tensor.bytes.data(), size * sizeof(T));
  return storage;
}

// What a PackedTensor of a file keeps alive.
struct MatrixOwner {
  std::shared_ptr<const MappedFile> mapping;
  PackedTensor::Storage storage;
};

}  // namespace

class EcqParser {
 public:
  EcqParser(std::span<const uint8_t> bytes, std::shared_ptr<const MappedFile> mapping,
            std::string_view path, EcqReadOptions options)
      : bytes_(bytes), options_(options) {
    file_.mapping_ = std::move(mapping);
    file_.path_ = path;
    file_.file_bytes_ = bytes.size();
  }

  Result<EcqFile> Run() && {
    ECQ_RETURN_IF_ERROR(CheckMagic());
    ECQ_TRY(file_.tensors_, Safetensors::Parse(bytes_, file_.path_));
    claimed_.resize(tensors().size());
    ECQ_RETURN_IF_ERROR(CheckVersion());
    ECQ_RETURN_IF_ERROR(ReadInfo());
    ECQ_RETURN_IF_ERROR(ReadHashes());
    ECQ_RETURN_IF_ERROR(ReadTables());
    ECQ_RETURN_IF_ERROR(ReadMatrices());
    ECQ_RETURN_IF_ERROR(ReadOtherTensors());
    return std::move(file_);
  }

 private:
  const std::vector<SafetensorsEntry>& tensors() const { return file_.tensors_->tensors(); }

  Error Fail(ErrorCode code, std::string_view what) const {
    return Error{code, fmt::format("{}: {}", file_.path_, what)};
  }

  Status CheckMagic() const {
    if (bytes_.size() <= sizeof(uint64_t)) return OkStatus();  // truncated, as Safetensors will say
    const uint64_t header_bytes = LoadLe<uint64_t>(bytes_.data());
    if (header_bytes == 0 || header_bytes > Safetensors::kMaxHeaderBytes ||
        bytes_[sizeof(uint64_t)] != '{') {
      return Fail(ErrorCode::kBadMagic, "expected an .ecq file, got something else");
    }
    return OkStatus();
  }

  Result<std::string_view> Metadata(std::string_view key) const {
    const auto it = file_.tensors_->metadata().find(key);
    if (it == file_.tensors_->metadata().end()) {
      return Fail(ErrorCode::kBadHeader, fmt::format("metadata \"{}\" is missing", key));
    }
    return std::string_view(it->second);
  }

  Result<uint32_t> VersionNumber(std::string_view key) const {
    ECQ_TRY(const std::string_view text, Metadata(key));
    uint32_t number = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || number == 0) {
      return Fail(ErrorCode::kBadHeader,
                  fmt::format("metadata \"{}\": expected a version number, got \"{}\"", key, text));
    }
    return number;
  }

  Status CheckVersion() const {
    const auto format = Metadata(kFormatKey);
    if (!format.ok() || *format != kFormatValue) {
      return Fail(ErrorCode::kBadMagic,
                  "a safetensors file, but metadata \"format\" is not \"ecq\"");
    }
    ECQ_TRY(const uint32_t min_reader, VersionNumber(kMinReaderKey));
    if (min_reader > kEcqVersion) {
      return Fail(ErrorCode::kUnsupportedVersion,
                  fmt::format("needs a reader of version {}, this one has version {}; update ecq",
                              min_reader, kEcqVersion));
    }
    ECQ_RETURN_IF_ERROR(VersionNumber(kVersionKey));
    return OkStatus();
  }

  std::string Where(std::string_view key) const { return fmt::format("{}: {}", file_.path_, key); }

  Status ReadInfo() {
    ECQ_TRY(const std::string_view producer, Metadata(kProducerKey));
    ECQ_TRY(const std::string_view source, Metadata(kSourceKey));
    file_.info_.producer = producer;
    return ParseSource(source, Where(kSourceKey), &file_.info_);
  }

  Status ReadHashes() {
    ECQ_TRY(const std::string_view text, Metadata(kHashesKey));
    ECQ_TRY(const TensorHashes hashes, ParseHashes(text, Where(kHashesKey)));
    for (const SafetensorsEntry& tensor : tensors()) {
      const auto it = hashes.find(tensor.name);
      if (it == hashes.end()) {
        return Fail(ErrorCode::kBadHeader, "tensor \"" + tensor.name + "\" has no hash");
      }
      file_.hashes_.push_back(it->second);
    }
    ECQ_TRY(const std::string_view records, Metadata(kMatricesKey));
    const auto it = hashes.find(kMatricesKey);
    if (it == hashes.end()) {
      return Fail(ErrorCode::kBadHeader, fmt::format("\"{}\" has no hash", kMatricesKey));
    }
    if (options_.check_records_hash && it->second != XXH3_64bits(records.data(), records.size())) {
      return Fail(ErrorCode::kCorrupt,
                  fmt::format("the hash of metadata \"{}\" differs", kMatricesKey));
    }
    if (hashes.size() != tensors().size() + 1) {
      return Fail(ErrorCode::kBadHeader, "a hash belongs to no tensor");
    }
    return OkStatus();
  }

  // Finds a tensor and notes that it has a meaning; null if there is none.
  const SafetensorsEntry* Claim(std::string_view name) {
    const SafetensorsEntry* entry = file_.tensors_->Find(name);
    if (entry != nullptr) claimed_[static_cast<size_t>(entry - tensors().data())] = true;
    return entry;
  }

  Status ReadTables() {
    const SafetensorsEntry* entry = Claim(kTablesName);
    if (entry == nullptr) return OkStatus();
    ECQ_RETURN_IF_ERROR(CheckTensor(*entry, DType::kU8, {entry->view.bytes.size()}));
    file_.table_bytes_ = entry->view.bytes.size();
    std::span<const uint8_t> rest = entry->view.bytes;
    while (!rest.empty()) {
      const std::string place = fmt::format("{} record {}", kTablesName, tables_.size());
      if (tables_.size() == kMaxTables) {
        return Fail(ErrorCode::kBadTable, fmt::format("more than {} tables", kMaxTables));
      }
      auto table = ParseTableRecord(rest);
      if (!table.ok()) return Fail(ErrorCode::kBadTable, place + ": " + table.error().message);
      tables_.push_back(*std::move(table));
    }
    return OkStatus();
  }

  Status CheckTensor(const SafetensorsEntry& entry, DType dtype, const Shape& shape) const {
    if (entry.view.dtype != dtype || entry.view.shape != shape) {
      return Fail(ErrorCode::kBadLayout,
                  fmt::format("tensor \"{}\": expected {} {}, got {} {}", entry.name,
                              DTypeName(dtype), ShapeToString(shape), DTypeName(entry.view.dtype),
                              ShapeToString(entry.view.shape)));
    }
    return OkStatus();
  }

  // The tensor `matrix` + `suffix`, which must have this type and shape. Null if it is optional
  // and not there.
  Result<const TensorView*> Part(const std::string& matrix, std::string_view suffix, DType dtype,
                                 const Shape& shape, bool optional) {
    const SafetensorsEntry* entry = Claim(matrix + std::string(suffix));
    if (entry == nullptr) {
      if (optional) return static_cast<const TensorView*>(nullptr);
      return Fail(ErrorCode::kBadLayout, fmt::format("tensor \"{}{}\" is missing", matrix, suffix));
    }
    ECQ_RETURN_IF_ERROR(CheckTensor(*entry, dtype, shape));
    return &entry->view;
  }

  // Whether a part is there and of this type.
  bool PartIs(const std::string& matrix, std::string_view suffix, DType dtype) const {
    const SafetensorsEntry* entry = file_.tensors_->Find(matrix + std::string(suffix));
    return entry != nullptr && entry->view.dtype == dtype;
  }

  // The length of a part whose first dimension only the part itself tells; 0 if it is not there.
  uint64_t PartLength(const std::string& matrix, std::string_view suffix) const {
    const SafetensorsEntry* entry = file_.tensors_->Find(matrix + std::string(suffix));
    return entry == nullptr || entry->view.shape.empty() ? 0 : entry->view.shape[0];
  }

  Status ReadMatrices() {
    ECQ_TRY(const std::string_view text, Metadata(kMatricesKey));
    ECQ_TRY(const MatrixRecords records, ParseMatrixRecords(text, Where(kMatricesKey)));
    std::vector<std::pair<const uint8_t*, std::string>> order;
    for (const auto& [name, record] : records) {
      ECQ_TRY(PackedTensor matrix, ReadMatrix(name, record));
      order.emplace_back(file_.tensors_->Find(name + std::string(kDataSuffix))->view.bytes.data(),
                         name);
      file_.matrices_.emplace(name, std::move(matrix));
    }
    std::sort(order.begin(), order.end());
    for (auto& [data, name] : order) file_.matrix_names_.push_back(std::move(name));
    return OkStatus();
  }

  Result<PackedTensor> ReadMatrix(const std::string& name, const MatrixRecord& record) {
    auto owner = std::make_shared<MatrixOwner>();
    owner->mapping = file_.mapping_;
    PackedTensor matrix;
    matrix.grid = record.grid;
    matrix.desc = record.desc;
    matrix.scale_kind = record.scale_kind;
    matrix.scale_exponent = record.scale_exponent;
    ECQ_RETURN_IF_ERROR(ResolveTables(name, record, &matrix));
    ECQ_RETURN_IF_ERROR(ReadCodestreams(name, owner->storage, &matrix));
    ECQ_RETURN_IF_ERROR(ReadScales(name, owner->storage, &matrix));
    ECQ_RETURN_IF_ERROR(ReadFixesAndColumns(name, owner->storage, &matrix));
    matrix.storage = std::shared_ptr<const PackedTensor::Storage>(owner, &owner->storage);
    ECQ_RETURN_IF_ERROR(ValidateStoredMatrix(matrix, file_.path_ + ": " + name));
    return matrix;
  }

  Status ResolveTables(const std::string& name, const MatrixRecord& record, PackedTensor* matrix) {
    matrix->spans = record.spans;
    if (!HasTables(record.desc.codec)) return OkStatus();
    for (const ColumnSpan& span : record.spans) {
      if (span.table >= tables_.size()) {
        return Fail(ErrorCode::kBadTable,
                    fmt::format("{}: table {} of {}", name, span.table, tables_.size()));
      }
      ECQ_RETURN_IF_ERROR(AddTable(tables_[span.table], Where(name), matrix));
    }
    return OkStatus();
  }

  Status ReadCodestreams(const std::string& name, PackedTensor::Storage& storage,
                         PackedTensor* matrix) {
    ECQ_TRY(const TensorView* data, Part(name, kDataSuffix, DType::kU8,
                                         {PartLength(name, kDataSuffix)}, /*optional=*/false));
    ECQ_TRY(const TensorView* index,
            Part(name, kIndexSuffix, DType::kU32, {uint64_t{matrix->desc.num_tiles} + 1},
                 /*optional=*/false));
    matrix->index = ViewOrCopy(*index, storage.index);
    matrix->payload = data->bytes;
    if (!IsAligned(data->bytes, kPayloadAlignment)) {
      storage.payload.reserve(data->bytes.size() + kPayloadReadPadding);
      storage.payload.assign(data->bytes.begin(), data->bytes.end());
      storage.payload.resize(data->bytes.size() + kPayloadReadPadding);
      matrix->payload = std::span(storage.payload).first(data->bytes.size());
    }
    return OkStatus();
  }

  Status ReadScales(const std::string& name, PackedTensor::Storage& storage, PackedTensor* matrix) {
    PackedDesc& desc = matrix->desc;
    Shape shape;
    switch (matrix->scale_kind) {
      case ScaleKind::kTensor:
        shape = {1};
        break;
      case ScaleKind::kRow:
        shape = {desc.rows};
        break;
      case ScaleKind::kGroup:
        shape = {desc.scale_groups, desc.rows};
        break;
    }
    ECQ_TRY(const TensorView* scales, Part(name, kScaleSuffix, DType::kF16, shape, false));
    ECQ_TRY(const TensorView* biases, Part(name, kBiasSuffix, DType::kF16, shape, true));
    matrix->scales = ViewOrCopy(*scales, storage.scales);
    if (biases != nullptr) matrix->biases = ViewOrCopy(*biases, storage.biases);
    desc.has_bias = biases != nullptr;
    return OkStatus();
  }

  Status ReadFixesAndColumns(const std::string& name, PackedTensor::Storage& storage,
                             PackedTensor* matrix) {
    const Shape columns{matrix->desc.cols};
    ECQ_TRY(const TensorView* scales, Part(name, kColScaleSuffix, DType::kF16, columns, true));
    if (scales != nullptr) matrix->col_scales = ViewOrCopy(*scales, storage.col_scales);
    ECQ_RETURN_IF_ERROR(ReadFixes(name, storage, matrix));
    return ReadOrder(name, storage, matrix);
  }

  Status ReadFixes(const std::string& name, PackedTensor::Storage& storage, PackedTensor* matrix) {
    static_assert(sizeof(Fix) == 3 * sizeof(int32_t));
    const uint64_t num_fixes = PartLength(name, kFixesSuffix);
    if (!PartIs(name, kFixesSuffix, DType::kU16)) {
      ECQ_TRY(const TensorView* fixes,
              Part(name, kFixesSuffix, DType::kI32, {num_fixes, 3}, /*optional=*/true));
      if (fixes != nullptr) matrix->fixes = ViewOrCopy(*fixes, storage.fixes);
      return OkStatus();
    }
    ECQ_TRY(const TensorView* pairs,
            Part(name, kFixesSuffix, DType::kU16, {num_fixes, 2}, /*optional=*/false));
    ECQ_TRY(storage.fixes,
            ParseShortFixes(pairs->bytes, matrix->desc.rows, matrix->desc.cols, Where(name)));
    matrix->fixes = storage.fixes;
    return OkStatus();
  }

  Status ReadOrder(const std::string& name, PackedTensor::Storage& storage, PackedTensor* matrix) {
    const uint32_t cols = matrix->desc.cols;
    const bool is_short = PartIs(name, kColOrderSuffix, DType::kU16);
    ECQ_TRY(const TensorView* order,
            Part(name, kColOrderSuffix, is_short ? DType::kU16 : DType::kU32, {cols}, true));
    ECQ_TRY(const TensorView* classes,
            Part(name, kColClassSuffix, DType::kU8, {DivideRoundUp(uint64_t{cols}, 2)}, true));
    if (order != nullptr && classes != nullptr) {
      return Fail(ErrorCode::kBadLayout, name + ": has both classes and an order of columns");
    }
    if (classes != nullptr) {
      ECQ_TRY(storage.col_order, ParseColumnClasses(classes->bytes, cols, Where(name)));
      matrix->col_order = storage.col_order;
    } else if (order != nullptr && is_short) {
      for (uint32_t i = 0; i < cols; ++i) {
        storage.col_order.push_back(LoadLe<uint16_t>(order->bytes.data() + sizeof(uint16_t) * i));
      }
      matrix->col_order = storage.col_order;
    } else if (order != nullptr) {
      matrix->col_order = ViewOrCopy(*order, storage.col_order);
    }
    return OkStatus();
  }

  // What is left must be side files and plain tensors.
  Status ReadOtherTensors() {
    for (size_t i = 0; i < tensors().size(); ++i) {
      if (claimed_[i]) continue;
      const SafetensorsEntry& tensor = tensors()[i];
      if (tensor.name.starts_with(kFilePrefix)) {
        const std::string name = tensor.name.substr(kFilePrefix.size());
        if (!IsSideFileName(name)) {
          return Fail(ErrorCode::kBadLayout, "\"" + name + "\" cannot name a side file");
        }
        ECQ_RETURN_IF_ERROR(CheckTensor(tensor, DType::kU8, {tensor.view.bytes.size()}));
        file_.side_file_names_.push_back(name);
        continue;
      }
      if (!IsModelTensorName(tensor.name) || file_.matrices_.contains(tensor.name)) {
        return Fail(ErrorCode::kBadLayout,
                    "tensor \"" + tensor.name + "\" belongs to no matrix and its name is reserved");
      }
      const DType dtype = tensor.view.dtype;
      if (dtype != DType::kF32 && dtype != DType::kF16 && dtype != DType::kBF16) {
        return Fail(ErrorCode::kUnsupportedType,
                    fmt::format("tensor \"{}\": expected F32, F16 or BF16, got {}", tensor.name,
                                DTypeName(dtype)));
      }
      file_.plain_.push_back(tensor);
    }
    if (!file_.side_file(kConfigFile).ok()) {
      return Fail(ErrorCode::kBadLayout, "the side file \"config.json\" is missing");
    }
    return OkStatus();
  }

  std::span<const uint8_t> bytes_;
  EcqReadOptions options_;
  EcqFile file_;
  std::vector<bool> claimed_;  // by tensor: belongs to a matrix or holds the tables
  std::vector<TableRecord> tables_;
};

Result<EcqFile> EcqFile::Open(const std::filesystem::path& path) {
  ECQ_TRY(MappedFile mapped, MappedFile::Open(path));
  static_assert(MappedFile::kReadPadding >= kPayloadReadPadding);
  auto mapping = std::make_shared<const MappedFile>(std::move(mapped));
  const std::span<const uint8_t> bytes = mapping->bytes();
  return EcqParser(bytes, std::move(mapping), path.string(), {}).Run();
}

Result<EcqFile> EcqFile::Parse(std::span<const uint8_t> bytes, std::string_view path,
                               EcqReadOptions options) {
  return EcqParser(bytes, nullptr, path, options).Run();
}

Result<PackedTensor> EcqFile::matrix(std::string_view name) const {
  const auto it = matrices_.find(name);
  if (it == matrices_.end()) {
    return Error{ErrorCode::kNotFound, fmt::format("{}: there is no matrix \"{}\"", path_, name)};
  }
  return it->second;
}

Result<TensorView> EcqFile::plain_tensor(std::string_view name) const {
  const SafetensorsEntry* entry = tensors_->Find(name);
  if (entry == nullptr || !IsModelTensorName(name)) {
    return Error{ErrorCode::kNotFound,
                 fmt::format("{}: there is no plain tensor \"{}\"", path_, name)};
  }
  return entry->view;
}

Result<std::span<const uint8_t>> EcqFile::side_file(std::string_view name) const {
  const SafetensorsEntry* entry = tensors_->Find(std::string(kFilePrefix) + std::string(name));
  if (entry == nullptr) {
    return Error{ErrorCode::kNotFound,
                 fmt::format("{}: there is no side file \"{}\"", path_, name)};
  }
  return entry->view.bytes;
}

Status EcqFile::VerifyHashes(ThreadPool& pool) const {
  const std::vector<SafetensorsEntry>& tensors = tensors_->tensors();
  std::vector<uint8_t> matches(tensors.size());
  pool.Run(tensors.size(), [&](size_t i, size_t) {
    const std::span<const uint8_t> bytes = tensors[i].view.bytes;
    matches[i] = XXH3_64bits(bytes.data(), bytes.size()) == hashes_[i];
  });
  const auto bad = std::find(matches.begin(), matches.end(), 0);
  if (bad == matches.end()) return OkStatus();
  return Error{ErrorCode::kCorrupt,
               fmt::format("{}: the hash of tensor \"{}\" differs: the file is damaged", path_,
                           tensors[static_cast<size_t>(bad - matches.begin())].name)};
}

}  // namespace ecq
