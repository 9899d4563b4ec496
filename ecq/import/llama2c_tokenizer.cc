// File: int32 longest piece, then per piece f32 score, int32 length and that many bytes.
#include "ecq/import/llama2c_tokenizer.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <system_error>
#include <utility>

#include "ecq/base/bytes.h"
#include "ecq/base/mapped_file.h"
#include "ecq/import/sentencepiece_json.h"
#include "ecq/import/text.h"

namespace ecq {
namespace {

constexpr uint64_t kUnknownId = 0;
constexpr uint64_t kBosId = 1;
constexpr uint64_t kEosId = 2;
constexpr size_t kPieceHeaderBytes = 8;

// "<0x0A>" and the like, which llama2.c writes for the 256 bytes.
bool IsBytePiece(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text.back() != '>') return false;
  unsigned value;
  const auto [end, error] = std::from_chars(text.data() + 3, text.data() + 5, value, 16);
  return error == std::errc() && end == text.data() + 5;
}

int32_t TypeOf(uint64_t id, std::string_view text) {
  if (id == kUnknownId) return kPieceUnknown;
  if (id == kBosId || id == kEosId) return kPieceControl;
  return IsBytePiece(text) ? kPieceByte : kPieceNormal;
}

// llama2.c stores the space of a piece as ' ' and frames the begin and end tokens with newlines.
std::string SentencePieceText(uint64_t id, std::string_view stored) {
  if (id == kBosId) return "<s>";
  if (id == kEosId) return "</s>";
  std::string text;
  for (const char c : stored) {
    if (c == ' ') {
      text += "\u2581";
    } else {
      text += c;
    }
  }
  return text;
}

Result<MappedFile> OpenTokenizer(const std::filesystem::path& directory, uint64_t vocab_size) {
  const std::string specific = fmt::format("tok{}.bin", vocab_size);
  for (const std::string& name : {specific, std::string("tokenizer.bin")}) {
    std::error_code error;
    if (std::filesystem::is_regular_file(directory / name, error)) {
      return MappedFile::Open(directory / name);
    }
  }
  return Error{ErrorCode::kNotFound,
               fmt::format("{}: expected the tokenizer {} or tokenizer.bin beside the model",
                           directory.string(), specific)};
}

}  // namespace

Result<SideFile> ReadLlama2cTokenizer(const std::filesystem::path& directory, uint64_t vocab_size) {
  ECQ_TRY(const MappedFile file, OpenTokenizer(directory, vocab_size));
  const auto fail = [&](ErrorCode code, uint64_t piece, std::string_view what) {
    return Error{code, fmt::format("{}: piece {} of {}: {}", file.path(), piece, vocab_size, what)};
  };
  const auto bytes = file.bytes();
  size_t at = sizeof(int32_t);
  VocabularyPieces model;
  for (uint64_t id = 0; id < vocab_size; ++id) {
    if (bytes.size() < at + kPieceHeaderBytes) {
      return fail(ErrorCode::kTruncated, id, "file ends before it");
    }
    const float score = LoadLe<float>(bytes.data() + at);
    const int32_t length = LoadLe<int32_t>(bytes.data() + at + sizeof(float));
    at += kPieceHeaderBytes;
    if (length < 0) return fail(ErrorCode::kBadHeader, id, "negative length");
    if (static_cast<size_t>(length) > bytes.size() - at) {
      return fail(ErrorCode::kTruncated, id,
                  fmt::format("{} bytes announced, {} left", length, bytes.size() - at));
    }
    const std::string_view text(reinterpret_cast<const char*>(bytes.data() + at),
                                static_cast<size_t>(length));
    at += text.size();
    if (!IsUtf8(text) || !std::isfinite(score)) {
      return fail(ErrorCode::kBadHeader, id, "expected UTF-8 text and a finite score");
    }
    model.pieces.push_back({SentencePieceText(id, text), score, TypeOf(id, text)});
  }
  if (at != bytes.size()) {
    return fail(ErrorCode::kBadLayout, vocab_size,
                fmt::format("{} bytes follow the last piece", bytes.size() - at));
  }
  return SentencePieceJson(model);
}

}  // namespace ecq
