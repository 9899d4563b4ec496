#include "ecq/format/ecq_copy.h"

#include <map>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "ecq/base/bytes.h"
#include "ecq/base/mapped_file.h"
#include "ecq/format/ecq_format.h"
#include "ecq/format/ecq_reader.h"
#include "ecq/format/ecq_writer.h"

namespace ecq {
namespace {

// Tensor names in the order of the header, which is the order in which they were added.
Result<std::vector<std::string>> NamesInHeader(const std::filesystem::path& path) {
  ECQ_TRY(const MappedFile file, MappedFile::Open(path));
  const auto bytes = file.bytes();
  const uint64_t size = bytes.size() < sizeof(uint64_t) ? 0 : LoadLe<uint64_t>(bytes.data());
  if (size == 0 || size > bytes.size() - sizeof(uint64_t)) {
    return Error{ErrorCode::kTruncated, file.path() + ": the header ends early"};
  }
  const uint8_t* const text = bytes.data() + sizeof(uint64_t);
  const auto header =
      nlohmann::ordered_json::parse(text, text + size, nullptr, /*allow_exceptions=*/false);
  if (!header.is_object()) {
    return Error{ErrorCode::kBadHeader, file.path() + ": the header is not a JSON object"};
  }
  std::vector<std::string> names;
  for (const auto& [name, value] : header.items()) names.push_back(name);
  return names;
}

}  // namespace

Result<uint64_t> CopyEcq(const std::filesystem::path& source, std::span<const NamedContents> files,
                         const std::filesystem::path& target, bool overwrite) {
  ECQ_TRY(const EcqFile file, EcqFile::Open(source));
  ECQ_TRY(const std::vector<std::string> names, NamesInHeader(source));
  std::map<std::string_view, const NamedContents*> new_files;
  for (const NamedContents& side_file : files) new_files.emplace(side_file.name, &side_file);

  ECQ_TRY(EcqWriter writer, EcqWriter::Create(target, file.info(), overwrite));
  for (const std::string_view name : names) {
    if (name.starts_with(kFilePrefix)) {
      const auto side_file = new_files.find(name.substr(kFilePrefix.size()));
      if (side_file == new_files.end()) continue;
      ECQ_RETURN_IF_ERROR(writer.AddFile(side_file->first, side_file->second->bytes));
      new_files.erase(side_file);
    } else if (name.ends_with(kDataSuffix)) {
      const std::string_view matrix_name = name.substr(0, name.size() - kDataSuffix.size());
      ECQ_TRY(const PackedTensor matrix, file.matrix(matrix_name));
      ECQ_RETURN_IF_ERROR(writer.AddMatrix(matrix_name, matrix));
    } else if (IsModelTensorName(name) && name != "__metadata__") {
      ECQ_TRY(const TensorView tensor, file.plain_tensor(name));
      ECQ_RETURN_IF_ERROR(writer.AddPlain(name, tensor.dtype, tensor.shape, tensor.bytes));
    }
  }
  for (const auto& [name, side_file] : new_files) {
    ECQ_RETURN_IF_ERROR(writer.AddFile(name, side_file->bytes));
  }
  return writer.Finish();
}

}  // namespace ecq
