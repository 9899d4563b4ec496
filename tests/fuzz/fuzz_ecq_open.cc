// Fuzz entry: any bytes as an .ecq file. Opening must end in an error or in a file whose every part
// can be read.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "ecq/base/thread_pool.h"
#include "ecq/format/ecq_reader.h"
#include "ecq/format/stored_matrix.h"

namespace {

// Reads every byte, so that AddressSanitizer sees a view that is too long.
template <typename T>
void Touch(std::span<const T> values) {
  const auto* bytes = reinterpret_cast<const volatile uint8_t*>(values.data());
  for (size_t i = 0; i < values.size_bytes(); ++i) (void)bytes[i];
}

void Require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> bytes(data, data + size);
  bytes.resize(size + ecq::kPayloadReadPadding);
  const auto file =
      ecq::EcqFile::Parse(std::span(bytes).first(size), "fuzz", {.check_records_hash = false});
  if (!file.ok()) {
    Require(!file.error().message.empty());
    return 0;
  }
  for (const std::string& name : file->matrices()) {
    const auto matrix = file->matrix(name);
    Require(matrix.ok() && ecq::ValidateStoredMatrix(*matrix, name).ok());
    Touch(matrix->payload);
    Touch(matrix->index);
    Touch(matrix->scales);
    Touch(matrix->biases);
    Touch(matrix->fixes);
    Touch(matrix->col_scales);
    Touch(matrix->col_order);
  }
  for (const auto& tensor : file->plain_tensors()) {
    Require(file->plain_tensor(tensor.name).ok());
    Touch(tensor.view.bytes);
  }
  for (const std::string& name : file->side_files()) Touch(*file->side_file(name));
  ecq::ThreadPool pool(1);
  (void)file->VerifyHashes(pool).ok();
  return 0;
}
