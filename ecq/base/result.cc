#include "ecq/base/result.h"

namespace ecq {

const char* ErrorCodeName(ErrorCode code) {
  switch (code) {
    case ErrorCode::kBadMagic:
      return "bad magic";
    case ErrorCode::kBadHeader:
      return "bad header";
    case ErrorCode::kBadLayout:
      return "bad layout";
    case ErrorCode::kBadTable:
      return "bad table";
    case ErrorCode::kCorrupt:
      return "corrupt";
    case ErrorCode::kTruncated:
      return "truncated";
    case ErrorCode::kUnsupportedVersion:
      return "unsupported version";
    case ErrorCode::kUnsupportedCodec:
      return "unsupported codec";
    case ErrorCode::kUnsupportedArchitecture:
      return "unsupported architecture";
    case ErrorCode::kUnsupportedTokenizer:
      return "unsupported tokenizer";
    case ErrorCode::kUnsupportedType:
      return "unsupported type";
    case ErrorCode::kInvalidArgument:
      return "invalid argument";
    case ErrorCode::kNotFound:
      return "not found";
    case ErrorCode::kAlreadyExists:
      return "already exists";
    case ErrorCode::kIo:
      return "I/O error";
    case ErrorCode::kOutOfMemory:
      return "out of memory";
    case ErrorCode::kNoSpace:
      return "no space left";
    case ErrorCode::kDevice:
      return "device error";
    case ErrorCode::kInternal:
      return "internal error";
  }
  return "unknown error";
}

}  // namespace ecq
