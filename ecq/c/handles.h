// What the handles of the C interface hold, and how a call becomes a status.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <vector>

#include "ecq/backend/packed_matrix.h"
#include "ecq/base/result.h"
#include "ecq/base/thread_pool.h"
#include "ecq/c/ecq.h"
#include "ecq/format/ecq_reader.h"
#include "ecq/model/model.h"
#include "ecq/model/session.h"
#include "ecq/runtime/tokenizer.h"

namespace ecq::c {

struct Pool {
  explicit Pool(size_t num_threads) : threads(num_threads) {}

  ThreadPool threads;
  std::atomic<bool> in_use{false};
};

struct LoadedModel {
  Model model;
  Result<std::unique_ptr<Tokenizer>> tokenizer;
  std::vector<uint32_t> end_tokens;
};

// Takes an object for the time of one call; refuses if another call has it.
class Use {
 public:
  explicit Use(std::atomic<bool>& in_use) : in_use_(in_use), mine_(!in_use.exchange(true)) {}
  ~Use() {
    if (mine_) in_use_.store(false);
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

  Status status(std::string_view what) const;

 private:
  std::atomic<bool>& in_use_;
  bool mine_;
};

// Makes `message` that of this thread. Never fails.
ecq_status SetError(ecq_status status, std::string_view function,
                    std::string_view message) noexcept;

// Runs the body of the entry point `function`, which returns a Status.
template <typename Body>
ecq_status Call(std::string_view function, const Body& body) noexcept {
  try {
    const Status status = body();
    if (status.ok()) return ECQ_OK;
    const Error& error = status.error();
    const bool of_caller = error.code == ErrorCode::kInvalidArgument;
    return SetError(static_cast<ecq_status>(error.code), of_caller ? function : "", error.message);
  } catch (const std::bad_alloc&) {
    return SetError(ECQ_OUT_OF_MEMORY, function, "out of memory");
  } catch (const std::length_error&) {
    return SetError(ECQ_OUT_OF_MEMORY, function, "more than any memory holds was asked for");
  } catch (const std::system_error& error) {
    return SetError(ECQ_IO, function, error.what());
  } catch (const std::exception& error) {
    return SetError(ECQ_INTERNAL, function, error.what());
  } catch (...) {
    return SetError(ECQ_INTERNAL, function, "an exception of an unknown type");
  }
}

// Errors of these two: kInvalidArgument.
Status NotNull(const void* pointer, std::string_view name);
// `length` of a buffer must be a * b, and its address set unless that is 0.
Status CheckBuffer(const void* buffer, size_t length, std::string_view name, uint64_t a,
                   uint64_t b);

Result<ActivationMode> ParseActivations(ecq_activations activations);

// Hands `info` to a caller compiled against a header at least as new as the first.
// Errors: kInvalidArgument.
template <typename Info>
Status FillInfo(Info info, Info* out) {
  static_assert(std::is_trivially_copyable_v<Info>);
  ECQ_RETURN_IF_ERROR(NotNull(out, "info"));
  if (out->struct_size < sizeof(Info)) {
    return Error{ErrorCode::kInvalidArgument, "struct_size is " + std::to_string(out->struct_size) +
                                                  ", expected " + std::to_string(sizeof(Info)) +
                                                  "; set it to sizeof of the struct"};
  }
  info.struct_size = out->struct_size;
  *out = info;
  return OkStatus();
}

}  // namespace ecq::c

struct ecq_pool {
  std::shared_ptr<ecq::c::Pool> pool;
};

struct ecq_file {
  std::string path;
  ecq::EcqFile file;
  std::vector<std::string> grids;         // of the matrices
  std::vector<ecq_matrix_info> matrices;  // names point into `file` and `grids`
};

struct ecq_matrix {
  ecq::PackedMatrix matrix;
};

struct ecq_model {
  std::shared_ptr<const ecq::c::LoadedModel> loaded;
};

struct ecq_session {
  std::shared_ptr<ecq::c::Pool> pool;
  std::shared_ptr<const ecq::c::LoadedModel> loaded;
  ecq::Session session;
  std::atomic<bool> in_use{false};
};
