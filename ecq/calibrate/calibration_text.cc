// Reading, checking and cutting of calibration text.
#include "ecq/calibrate/calibration_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <system_error>

#include "ecq/base/bytes.h"
#include "ecq/base/mapped_file.h"
#include "ecq/runtime/unicode_text.h"

namespace ecq {
namespace {

// Control characters that text has.
constexpr std::string_view kTextControls = "\t\n\v\f\r\x1b";

bool IsBinary(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && kTextControls.find(c) == std::string_view::npos) || byte == 0x7f;
}

Error TooLarge(std::string_view place) {
  return Error{ErrorCode::kInvalidArgument,
               fmt::format("{}: the calibration text has more than {} MiB; 1 MiB is enough, give a "
                           "smaller choice of it",
                           place, kMaxCalibrationBytes >> 20)};
}

// Appends the text of one file.
Status AppendFile(const std::filesystem::path& path, std::string* out) {
  ECQ_TRY(const MappedFile file, MappedFile::Open(path));
  if (file.bytes().size() + out->size() > kMaxCalibrationBytes) return TooLarge(path.string());
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size());
  ECQ_RETURN_IF_ERROR(CheckCalibrationText(text, path.string()));
  out->append(text);
  return OkStatus();
}

Result<std::vector<std::filesystem::path>> TextFilesIn(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  std::filesystem::directory_iterator at(directory, error);
  for (; !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
    std::error_code ignored;  // a link that leads nowhere is no file
    if (at->path().extension() == ".txt" && at->is_regular_file(ignored)) {
      files.push_back(at->path());
    }
  }
  if (error) {
    return Error{ErrorCode::kIo,
                 fmt::format("{}: cannot list: {}", directory.string(), error.message())};
  }
  if (files.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 directory.string() + ": expected *.txt files to calibrate with, found none"};
  }
  std::sort(files.begin(), files.end());
  return files;
}

// As many of `windows` as hold `max_tokens`, evenly spread, the last one cut off.
std::vector<TokenWindow> Choose(std::vector<TokenWindow> windows, size_t max_tokens,
                                size_t context) {
  const size_t n = std::min<size_t>(windows.size(), DivideRoundUp(max_tokens, context));
  std::vector<TokenWindow> chosen;
  size_t left = max_tokens;
  for (size_t i = 0; i < n; ++i) {
    TokenWindow& window = windows[i * windows.size() / n];
    if (window.size() > left) window.resize(left);
    if (window.size() < kMinCalibrationWindow) continue;
    left -= window.size();
    chosen.push_back(std::move(window));
  }
  return chosen;
}

Status CheckOptions(const CalibrationWindowOptions& options) {
  if (options.max_tokens < kMinCalibrationTokens) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("calibration with {} tokens was asked for; the least is {}",
                             options.max_tokens, kMinCalibrationTokens)};
  }
  if (options.context < kMinCalibrationWindow) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("calibration in windows of {} tokens was asked for; the least is {}",
                             options.context, kMinCalibrationWindow)};
  }
  return OkStatus();
}

}  // namespace

Status CheckCalibrationText(std::string_view text, std::string_view place) {
  if (text.empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{}: the calibration text is empty", place)};
  }
  const auto binary = std::find_if(text.begin(), text.end(), IsBinary);
  const auto binary_at = static_cast<size_t>(binary - text.begin());
  const size_t valid = ValidUtf8Prefix(text.substr(0, binary_at));
  if (valid < binary_at) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{}: expected UTF-8 text to calibrate with, byte {} (0x{:02x}) is not "
                             "UTF-8",
                             place, valid, static_cast<unsigned char>(text[valid]))};
  }
  if (binary != text.end()) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("{}: expected text to calibrate with, got binary data: byte {} is "
                             "0x{:02x}",
                             place, binary_at, static_cast<unsigned char>(*binary))};
  }
  return OkStatus();
}

Result<std::string> ReadCalibrationText(const std::filesystem::path& path) {
  std::error_code ignored;  // whatever is there, opening it will tell
  std::vector<std::filesystem::path> files{path};
  if (std::filesystem::is_directory(path, ignored)) {
    ECQ_TRY(files, TextFilesIn(path));
  }
  std::string text;
  for (const std::filesystem::path& file : files) {
    if (!text.empty()) text += '\n';
    ECQ_RETURN_IF_ERROR(AppendFile(file, &text));
  }
  return text;
}

Result<std::vector<TokenWindow>> MakeCalibrationWindows(const Tokenizer& tokenizer,
                                                        std::string_view text,
                                                        const CalibrationWindowOptions& options) {
  ECQ_RETURN_IF_ERROR(CheckOptions(options));
  if (text.size() > kMaxCalibrationBytes) return TooLarge("calibration");
  ECQ_RETURN_IF_ERROR(CheckCalibrationText(text, "calibration"));
  const std::vector<uint32_t> ids = tokenizer.Encode(text, /*parse_special=*/false);
  if (ids.size() < kMinCalibrationTokens) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("the calibration text has {} tokens, at least {} are needed; give a "
                             "longer one",
                             ids.size(), kMinCalibrationTokens)};
  }
  const auto bos = tokenizer.add_bos() ? tokenizer.bos_id() : std::nullopt;
  ECQ_TRY(EvaluationSet set, SplitIntoWindows(ids, options.context, bos, WindowProtocol::kFull));
  return Choose(std::move(set.windows), options.max_tokens, options.context);
}

}  // namespace ecq
