// Names, limits and shared types of the .ecq container (docs/format.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ecq {

// Highest version of the format that is read, and the version a file needs for its contents.
inline constexpr uint32_t kEcqVersion = 3;
inline constexpr uint32_t kEcqBaseVersion = 1;
inline constexpr uint32_t kEcqSecondVersion = 2;      // with window, rans16 or a rotation
inline constexpr uint32_t kEcqThirdVersion = 3;       // with short fixes or orders of columns
inline constexpr uint64_t kEcqDataAlignment = 16384;  // of the data section in the file
inline constexpr uint64_t kEcqTensorAlignment = 16;   // of codestreams in the data section

// Metadata keys.
inline constexpr std::string_view kFormatKey = "format";
inline constexpr std::string_view kFormatValue = "ecq";
inline constexpr std::string_view kVersionKey = "ecq.version";
inline constexpr std::string_view kMinReaderKey = "ecq.min_reader";
inline constexpr std::string_view kProducerKey = "ecq.producer";
inline constexpr std::string_view kSourceKey = "ecq.source";
inline constexpr std::string_view kMatricesKey = "ecq.matrices";
inline constexpr std::string_view kHashesKey = "ecq.hashes";

// Tensor names.
inline constexpr std::string_view kReservedPrefix = "ecq.";
inline constexpr std::string_view kFilePrefix = "ecq.file/";
inline constexpr std::string_view kTablesName = "ecq.tables";
inline constexpr std::string_view kConfigFile = "config.json";
inline constexpr std::string_view kDataSuffix = ".ecq_data";
inline constexpr std::string_view kIndexSuffix = ".ecq_index";
inline constexpr std::string_view kScaleSuffix = ".ecq_scale";
inline constexpr std::string_view kBiasSuffix = ".ecq_bias";
inline constexpr std::string_view kFixesSuffix = ".ecq_fixes";
inline constexpr std::string_view kColScaleSuffix = ".ecq_col_scale";
inline constexpr std::string_view kColOrderSuffix = ".ecq_col_order";
inline constexpr std::string_view kColClassSuffix = ".ecq_col_class";

// Limits that bound what a small hostile file can make a reader allocate.
inline constexpr uint64_t kMaxTables = 65536;
inline constexpr uint64_t kMaxSpans = 262144;  // of all matrices together
inline constexpr uint64_t kMaxWeights = (uint64_t{1} << 40) - 1;
inline constexpr uint32_t kMaxDimension = 0x7fffffff;

// A file that the .ecq was made from.
struct EcqSourceFile {
  std::string name;
  uint64_t bytes = 0;
  std::string sha256;  // 64 lower-case hex digits

  bool operator==(const EcqSourceFile&) const = default;
};

struct EcqFileInfo {
  std::string producer;     // program and version
  std::string source_kind;  // "gguf", "safetensors", ...
  std::vector<EcqSourceFile> source_files;

  bool operator==(const EcqFileInfo&) const = default;
};

// True for names that a matrix or plain tensor may have: not empty, outside "ecq.", the last part
// not "ecq_...".
bool IsModelTensorName(std::string_view name);
// True for 1 to 255 letters, digits, '.', '_' and '-' that do not start with '.': safe to create
// as a file anywhere.
bool IsSideFileName(std::string_view name);

}  // namespace ecq
