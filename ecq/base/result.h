// Errors as values: ErrorCode, Error, Result<T>, Status and the two macros that pass them on.
//
// Everything that data, files, devices or users can cause is reported through these types; nothing
// in the library throws, prints or exits for such a reason.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <variant>

namespace ecq {

// Stable numbers, grouped by family; never renumbered. docs/format.md lists when a reader reports
// which of the format and corruption codes.
enum class ErrorCode : int32_t {
  kBadMagic = 10,            // not a file of the expected kind
  kBadHeader = 11,           // header cannot be parsed
  kBadLayout = 12,           // sizes, offsets or shapes contradict each other
  kBadTable = 13,            // a symbol table violates its invariants
  kCorrupt = 20,             // checksum or final decoder state does not match
  kTruncated = 21,           // the file ends before the data it announces
  kUnsupportedVersion = 30,  // written for a newer reader
  kUnsupportedCodec = 31,
  kUnsupportedArchitecture = 32,
  kUnsupportedTokenizer = 33,
  kUnsupportedType = 34,
  kInvalidArgument = 40,
  kNotFound = 41,
  kAlreadyExists = 42,
  kIo = 50,
  kOutOfMemory = 51,
  kNoSpace = 52,
  kDevice = 60,
  kInternal = 70,  // a bug in ECQ
};

// "bad header", "truncated", ...
const char* ErrorCodeName(ErrorCode code);

// One line: what, where, expected, got, and what to do.
struct [[nodiscard]] Error {
  ErrorCode code;
  std::string message;
};

// Either a T or an Error. Access to the wrong alternative is a bug of the caller and aborts.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & { return Checked(std::get_if<0>(&state_)); }
  const T& value() const& { return Checked(std::get_if<0>(&state_)); }
  T&& value() && { return std::move(Checked(std::get_if<0>(&state_))); }
  const Error& error() const& { return Checked(std::get_if<1>(&state_)); }
  Error&& error() && { return std::move(Checked(std::get_if<1>(&state_))); }

  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  template <typename P>
  static P& Checked(P* p) {
    if (p == nullptr) {
      std::fputs("ecq: Result accessed in the wrong state\n", stderr);
      std::abort();
    }
    return *p;
  }

  std::variant<T, Error> state_;
};

struct Ok {};
using Status = Result<Ok>;
inline Status OkStatus() { return Ok{}; }

}  // namespace ecq

#define ECQ_CONCAT_(a, b) a##b
#define ECQ_CONCAT(a, b) ECQ_CONCAT_(a, b)

// Returns the error of `expr` (a Status or any Result) from the enclosing function, if it has one.
#define ECQ_RETURN_IF_ERROR(expr)                       \
  do {                                                  \
    if (auto ecq_status_ = (expr); !ecq_status_.ok()) { \
      return std::move(ecq_status_).error();            \
    }                                                   \
  } while (false)

// ECQ_TRY(auto x, F()); declares x from the value of F() or returns its error.
#define ECQ_TRY(declaration, expr) \
  ECQ_TRY_IMPL_(ECQ_CONCAT(ecq_result_, __LINE__), declaration, expr)
#define ECQ_TRY_IMPL_(tmp, declaration, expr)   \
  auto tmp = (expr);                            \
  if (!tmp.ok()) return std::move(tmp).error(); \
  declaration = std::move(tmp).value()
