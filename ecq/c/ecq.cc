// The C interface: versions, errors, pools, files and matrices.
#include "ecq/c/ecq.h"

#include <fmt/format.h>

#include <array>
#include <limits>
#include <span>
#include <utility>

#include "ecq/base/bytes.h"
#include "ecq/c/handles.h"
#include "ecq/codec/codec.h"
#include "ecq/tensor/dtype.h"

namespace ecq::c {
namespace {

constexpr size_t kMaxThreads = 1024;

template <ErrorCode code, int32_t number>
constexpr bool kSame = static_cast<int32_t>(code) == number;
static_assert(
    kSame<ErrorCode::kBadMagic, ECQ_BAD_MAGIC> && kSame<ErrorCode::kBadHeader, ECQ_BAD_HEADER> &&
    kSame<ErrorCode::kBadLayout, ECQ_BAD_LAYOUT> && kSame<ErrorCode::kBadTable, ECQ_BAD_TABLE> &&
    kSame<ErrorCode::kCorrupt, ECQ_CORRUPT> && kSame<ErrorCode::kTruncated, ECQ_TRUNCATED> &&
    kSame<ErrorCode::kUnsupportedVersion, ECQ_UNSUPPORTED_VERSION> &&
    kSame<ErrorCode::kUnsupportedCodec, ECQ_UNSUPPORTED_CODEC> &&
    kSame<ErrorCode::kUnsupportedArchitecture, ECQ_UNSUPPORTED_ARCHITECTURE> &&
    kSame<ErrorCode::kUnsupportedTokenizer, ECQ_UNSUPPORTED_TOKENIZER> &&
    kSame<ErrorCode::kUnsupportedType, ECQ_UNSUPPORTED_TYPE> &&
    kSame<ErrorCode::kInvalidArgument, ECQ_INVALID_ARGUMENT> &&
    kSame<ErrorCode::kNotFound, ECQ_NOT_FOUND> &&
    kSame<ErrorCode::kAlreadyExists, ECQ_ALREADY_EXISTS> && kSame<ErrorCode::kIo, ECQ_IO> &&
    kSame<ErrorCode::kOutOfMemory, ECQ_OUT_OF_MEMORY> && kSame<ErrorCode::kNoSpace, ECQ_NO_SPACE> &&
    kSame<ErrorCode::kDevice, ECQ_DEVICE> && kSame<ErrorCode::kInternal, ECQ_INTERNAL>);

thread_local std::array<char, 1024> error_message{};

// Errors: kNotFound.
Status CheckIndex(size_t index, size_t count, std::string_view what) {
  if (index < count) return OkStatus();
  return Error{ErrorCode::kNotFound, fmt::format("there is no {} {}, only {}", what, index, count)};
}

// What ecq_file_matrix_info() will say, in file order.
Status DescribeMatrices(ecq_file& handle) {
  const std::vector<std::string>& names = handle.file.matrices();
  handle.grids.reserve(names.size());
  for (const std::string& name : names) {
    ECQ_TRY(const PackedTensor tensor, handle.file.matrix(name));
    handle.grids.push_back(tensor.grid);
    ecq_matrix_info info{};
    info.name = name.c_str();
    info.codec = GetCodec(tensor.desc.codec).name.data();
    info.grid = handle.grids.back().c_str();
    info.rows = tensor.desc.rows;
    info.cols = tensor.desc.cols;
    info.bytes = tensor.total_bytes();
    info.bits_per_weight =
        8.0 * static_cast<double>(info.bytes) / static_cast<double>(tensor.num_weights());
    handle.matrices.push_back(info);
  }
  return OkStatus();
}

}  // namespace

Status Use::status(std::string_view what) const {
  if (mine_) return OkStatus();
  return Error{ErrorCode::kInvalidArgument,
               fmt::format("the {} is in use by another call; wait for it or make one more", what)};
}

ecq_status SetError(ecq_status status, std::string_view function,
                    std::string_view message) noexcept {
  size_t size = 0;
  for (const std::string_view part :
       {function, std::string_view(function.empty() ? "" : ": "), message}) {
    const size_t n = std::min(part.size(), error_message.size() - 1 - size);
    std::copy_n(part.data(), n, error_message.data() + size);
    size += n;
  }
  error_message[size] = '\0';
  return status;
}

Status NotNull(const void* pointer, std::string_view name) {
  if (pointer != nullptr) return OkStatus();
  return Error{ErrorCode::kInvalidArgument, fmt::format("{} is NULL", name)};
}

Status CheckBuffer(const void* buffer, size_t length, std::string_view name, uint64_t a,
                   uint64_t b) {
  const auto expected = CheckedMul(a, b);
  if (!expected || length != *expected) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{} has {} elements, expected {} * {}", name, length, a, b)};
  }
  return length == 0 ? OkStatus() : NotNull(buffer, name);
}

Result<ActivationMode> ParseActivations(ecq_activations activations) {
  if (activations == ECQ_ACTIVATIONS_F32) return ActivationMode::kF32;
  if (activations == ECQ_ACTIVATIONS_I8) return ActivationMode::kI8;
  return Error{ErrorCode::kInvalidArgument,
               fmt::format("activations are {}, expected an ECQ_ACTIVATIONS_ value", activations)};
}

}  // namespace ecq::c

using ecq::Error;
using ecq::ErrorCode;
using ecq::OkStatus;
using ecq::Status;
using ecq::c::Call;
using ecq::c::NotNull;

int32_t ecq_api_version(void) { return ECQ_API_VERSION; }

const char* ecq_version(void) { return ECQ_VERSION; }

const char* ecq_status_name(ecq_status status) {
  return status == ECQ_OK ? "ok" : ecq::ErrorCodeName(static_cast<ErrorCode>(status));
}

const char* ecq_error_message(void) { return ecq::c::error_message.data(); }

ecq_status ecq_pool_create(size_t num_threads, ecq_pool** pool) {
  if (pool != nullptr) *pool = nullptr;
  return Call(__func__, [&]() -> Status {
    ECQ_RETURN_IF_ERROR(NotNull(pool, "pool"));
    if (num_threads > ecq::c::kMaxThreads) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("num_threads is {}, at most {} are possible", num_threads,
                               ecq::c::kMaxThreads)};
    }
    const size_t n = num_threads > 0 ? num_threads : ecq::DefaultThreadCount();
    *pool = new ecq_pool{std::make_shared<ecq::c::Pool>(n)};
    return OkStatus();
  });
}

void ecq_pool_free(ecq_pool* pool) { delete pool; }

ecq_status ecq_file_open(const char* path, ecq_file** file) {
  if (file != nullptr) *file = nullptr;
  return Call(__func__, [&]() -> Status {
    ECQ_RETURN_IF_ERROR(NotNull(path, "path"));
    ECQ_RETURN_IF_ERROR(NotNull(file, "file"));
    ECQ_TRY(ecq::EcqFile opened, ecq::EcqFile::Open(path));
    auto handle = std::make_unique<ecq_file>(ecq_file{path, std::move(opened), {}, {}});
    ECQ_RETURN_IF_ERROR(ecq::c::DescribeMatrices(*handle));
    *file = handle.release();
    return OkStatus();
  });
}

void ecq_file_free(ecq_file* file) { delete file; }

ecq_status ecq_file_verify(const ecq_file* file, ecq_pool* pool) {
  return Call(__func__, [&]() -> Status {
    ECQ_RETURN_IF_ERROR(NotNull(file, "file"));
    ECQ_RETURN_IF_ERROR(NotNull(pool, "pool"));
    const ecq::c::Use use(pool->pool->in_use);
    ECQ_RETURN_IF_ERROR(use.status("pool"));
    return file->file.VerifyHashes(pool->pool->threads);
  });
}

size_t ecq_file_num_matrices(const ecq_file* file) {
  return file == nullptr ? 0 : file->matrices.size();
}

size_t ecq_file_num_tensors(const ecq_file* file) {
  return file == nullptr ? 0 : file->file.plain_tensors().size();
}

size_t ecq_file_num_side_files(const ecq_file* file) {
  return file == nullptr ? 0 : file->file.side_files().size();
}

ecq_status ecq_file_matrix_info(const ecq_file* file, size_t index, ecq_matrix_info* info) {
  return Call(__func__, [&]() -> Status {
    ECQ_RETURN_IF_ERROR(NotNull(file, "file"));
    ECQ_RETURN_IF_ERROR(ecq::c::CheckIndex(index, file->matrices.size(), "matrix"));
    return ecq::c::FillInfo(file->matrices[index], info);
  });
}

ecq_status ecq_file_tensor_info(const ecq_file* file, size_t index, ecq_tensor_info* info) {
  return Call(__func__, [&]() -> Status {
    ECQ_RETURN_IF_ERROR(NotNull(file, "file"));
    const auto& tensors = file->file.plain_tensors();
    ECQ_RETURN_IF_ERROR(ecq::c::CheckIndex(index, tensors.size(), "tensor"));
    const ecq::SafetensorsEntry& tensor = tensors[index];
    ecq_tensor_info filled{};
    filled.name = tensor.name.c_str();
    filled.type = ecq::DTypeName(tensor.view.dtype).data();
    filled.shape = tensor.view.shape.data();
    filled.rank = tensor.view.shape.size();
    filled.num_elements = tensor.view.bytes.size() / ecq::DTypeBytes(tensor.view.dtype);
    return ecq::c::FillInfo(filled, info);
  });
}

const char* ecq_file_side_file_name(const ecq_file* file, size_t index) {
  return index < ecq_file_num_side_files(file) ? file->file.side_files()[index].c_str() : nullptr;
}

ecq_status ecq_file_side_file(const ecq_file* file, const char* name, const uint8_t** bytes,
                              size_t* size) {
  return Call(__func__, [&]() -> Status {
    ECQ_RETURN_IF_ERROR(NotNull(file, "file"));
    ECQ_RETURN_IF_ERROR(NotNull(name, "name"));
    ECQ_RETURN_IF_ERROR(NotNull(bytes, "bytes"));
    ECQ_RETURN_IF_ERROR(NotNull(size, "size"));
    ECQ_TRY(const std::span<const uint8_t> contents, file->file.side_file(name));
    *bytes = contents.data();
    *size = contents.size();
    return OkStatus();
  });
}

ecq_status ecq_file_read_tensor(const ecq_file* file, const char* name, float* out,
                                size_t out_len) {
  return Call(__func__, [&]() -> Status {
    ECQ_RETURN_IF_ERROR(NotNull(file, "file"));
    ECQ_RETURN_IF_ERROR(NotNull(name, "name"));
    ECQ_TRY(const ecq::TensorView view, file->file.plain_tensor(name));
    const uint64_t elements = view.bytes.size() / ecq::DTypeBytes(view.dtype);
    ECQ_RETURN_IF_ERROR(ecq::c::CheckBuffer(out, out_len, "out", elements, 1));
    return ecq::ConvertToF32(view, {out, out_len});
  });
}

ecq_status ecq_matrix_open(const ecq_file* file, const char* name, ecq_matrix** matrix) {
  if (matrix != nullptr) *matrix = nullptr;
  return Call(__func__, [&]() -> Status {
    ECQ_RETURN_IF_ERROR(NotNull(file, "file"));
    ECQ_RETURN_IF_ERROR(NotNull(name, "name"));
    ECQ_RETURN_IF_ERROR(NotNull(matrix, "matrix"));
    ECQ_TRY(ecq::PackedTensor tensor, file->file.matrix(name));
    *matrix = new ecq_matrix{ecq::PackedMatrix(std::move(tensor))};
    return OkStatus();
  });
}

void ecq_matrix_free(ecq_matrix* matrix) { delete matrix; }

ecq_status ecq_matrix_get_rows(const ecq_matrix* matrix, ecq_pool* pool, const uint32_t* rows,
                               size_t num_rows, float* out, size_t out_len) {
  return Call(__func__, [&]() -> Status {
    ECQ_RETURN_IF_ERROR(NotNull(matrix, "matrix"));
    ECQ_RETURN_IF_ERROR(NotNull(pool, "pool"));
    if (num_rows > std::numeric_limits<uint32_t>::max()) {
      return Error{ErrorCode::kInvalidArgument,
                   fmt::format("num_rows is {}, at most 2^32 - 1 are possible", num_rows)};
    }
    const ecq::PackedMatrix& w = matrix->matrix;
    ECQ_RETURN_IF_ERROR(ecq::c::CheckBuffer(rows, num_rows, "rows", num_rows, 1));
    ECQ_RETURN_IF_ERROR(ecq::c::CheckBuffer(out, out_len, "out", num_rows, w.cols()));
    const std::span<const uint32_t> ids(rows, num_rows);
    for (const uint32_t id : ids) {
      if (id >= w.rows()) {
        return Error{ErrorCode::kInvalidArgument,
                     fmt::format("row {} is asked for of a matrix of {} rows", id, w.rows())};
      }
    }
    const ecq::c::Use use(pool->pool->in_use);
    ECQ_RETURN_IF_ERROR(use.status("pool"));
    return ids.empty() ? OkStatus() : w.GatherRows(pool->pool->threads, ids, out);
  });
}

ecq_status ecq_matrix_multiply(const ecq_matrix* matrix, ecq_pool* pool,
                               ecq_activations activations, size_t m, const float* x, size_t x_len,
                               float* y, size_t y_len) {
  return Call(__func__, [&]() -> Status {
    ECQ_RETURN_IF_ERROR(NotNull(matrix, "matrix"));
    ECQ_RETURN_IF_ERROR(NotNull(pool, "pool"));
    ECQ_TRY(const ecq::ActivationMode mode, ecq::c::ParseActivations(activations));
    const ecq::PackedMatrix& w = matrix->matrix;
    ECQ_RETURN_IF_ERROR(ecq::c::CheckBuffer(x, x_len, "x", m, w.cols()));
    ECQ_RETURN_IF_ERROR(ecq::c::CheckBuffer(y, y_len, "y", m, w.rows()));
    const ecq::c::Use use(pool->pool->in_use);
    ECQ_RETURN_IF_ERROR(use.status("pool"));
    return m == 0 ? OkStatus() : w.Multiply(pool->pool->threads, mode, m, x, y);
  });
}
