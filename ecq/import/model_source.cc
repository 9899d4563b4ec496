// Picks the importer by what a path holds, never by its name.
#include "ecq/import/model_source.h"

#include <cstring>
#include <system_error>
#include <utility>

#include "ecq/base/bytes.h"
#include "ecq/base/mapped_file.h"
#include "ecq/import/gguf_source.h"
#include "ecq/import/huggingface_source.h"
#include "ecq/import/llama2c_source.h"

namespace ecq {
namespace {

constexpr std::string_view kGgufMagic = "GGUF";
constexpr uint32_t kLlama2cVersionedMagic = 0x616b3432;  // "ak42"

bool StartsWith(std::span<const uint8_t> bytes, std::string_view magic) {
  return bytes.size() >= magic.size() && std::memcmp(bytes.data(), magic.data(), magic.size()) == 0;
}

// A header length that fits in the file, then a JSON object.
bool LooksLikeSafetensors(std::span<const uint8_t> bytes) {
  return bytes.size() > 8 && bytes[8] == '{' && LoadLe<uint64_t>(bytes.data()) <= bytes.size() - 8;
}

}  // namespace

Result<std::unique_ptr<ModelSource>> OpenModelSource(const std::filesystem::path& path) {
  const auto fail = [&](ErrorCode code, const char* what) {
    return Error{code, path.string() + ": " + what};
  };
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::not_found) {
    return fail(ErrorCode::kNotFound, "no such file or directory");
  }
  if (std::filesystem::is_directory(status)) return OpenHuggingFace(path);
  if (!std::filesystem::is_regular_file(status)) {
    return fail(ErrorCode::kInvalidArgument, "expected a regular file or a directory");
  }
  ECQ_TRY(MappedFile file, MappedFile::Open(path));
  const auto bytes = file.bytes();
  if (bytes.empty()) return fail(ErrorCode::kTruncated, "the file is empty");
  if (StartsWith(bytes, kGgufMagic)) return OpenGguf(std::move(file));
  if (LooksLikeSafetensors(bytes)) {
    return fail(ErrorCode::kBadMagic,
                "a safetensors file alone is not a model; give the directory with its config.json");
  }
  if (bytes.size() >= 4 && LoadLe<uint32_t>(bytes.data()) == kLlama2cVersionedMagic) {
    return fail(ErrorCode::kUnsupportedVersion,
                "llama2.c checkpoint of version 1 or later; expected a version 0 export");
  }
  if (ParseLlama2cHeader(bytes)) return OpenLlama2c(std::move(file));
  return fail(ErrorCode::kBadMagic,
              "expected a Hugging Face directory, a GGUF file or a llama2.c checkpoint");
}

}  // namespace ecq
