// Writes F32 safetensors, one tensor in memory at a time.
#include "app/dense_checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "ecq/base/atomic_file.h"
#include "ecq/base/bytes.h"
#include "ecq/format/ecq_format.h"
#include "ecq/import/gpt2_layout.h"

namespace ecq {
namespace {

using Json = nlohmann::ordered_json;

// Tensors are copied as they lie in memory.
static_assert(std::endian::native == std::endian::little);

bool IsGpt2(const ModelSource& source) {
  for (const SideFile& file : source.side_files()) {
    if (file.name != kConfigFile) continue;
    const Json config = Json::parse(file.contents, nullptr, /*allow_exceptions=*/false);
    const auto names = config.find("architectures");
    return names != config.end() && names->is_array() && !names->empty() &&
           names->front() == "GPT2LMHeadModel";
  }
  return false;
}

// The length of the header and the header, padded so that the data section is aligned.
std::vector<uint8_t> Header(const std::vector<SourceTensor>& tensors,
                            const std::vector<bool>& transposed) {
  Json header = {{"__metadata__", {{"format", "pt"}}}};
  uint64_t at = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    Shape shape = tensors[i].shape;
    const uint64_t end = at + NumElements(shape).value_or(0) * sizeof(float);
    if (transposed[i]) std::swap(shape[0], shape[1]);
    header[tensors[i].name] = {{"dtype", "F32"}, {"shape", shape}, {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  std::vector<uint8_t> bytes(sizeof(uint64_t));
  StoreLe<uint64_t>(bytes.data(), text.size());
  bytes.insert(bytes.end(), text.begin(), text.end());
  return bytes;
}

}  // namespace

Status WriteDenseCheckpoint(const ModelSource& source, const std::filesystem::path& path,
                            bool overwrite) {
  const std::vector<SourceTensor>& tensors = source.tensors();
  const bool is_gpt2 = IsGpt2(source);
  std::vector<bool> transposed;
  for (const SourceTensor& tensor : tensors) {
    transposed.push_back(is_gpt2 && tensor.shape.size() == 2 && IsGpt2Conv1d(tensor.name));
  }
  ECQ_TRY(AtomicFile file, AtomicFile::Create(path, overwrite));
  ECQ_RETURN_IF_ERROR(file.Append(Header(tensors, transposed)));
  for (size_t i = 0; i < tensors.size(); ++i) {
    const Shape& shape = tensors[i].shape;
    std::vector<float> values(NumElements(shape).value_or(0));
    ECQ_RETURN_IF_ERROR(source.ReadF32(i, values));
    if (transposed[i]) {
      std::vector<float> turned(values.size());
      Transpose(values.data(), shape[0], shape[1], turned.data());
      values = std::move(turned);
    }
    const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
    ECQ_RETURN_IF_ERROR(file.Append({bytes, values.size() * sizeof(float)}));
  }
  return file.Commit();
}

}  // namespace ecq
