// Text to calibrate with: the one that travels with the program, or the user's; and its windows.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/runtime/evaluate.h"
#include "ecq/runtime/tokenizer.h"

namespace ecq {

// 650 KB of mixed English prose, drama, stories and code; any part of some 20 KB has all of
// them (data/README.md).
std::string_view DefaultCalibrationText();

// More text would be tokenized for nothing.
inline constexpr size_t kMaxCalibrationBytes = size_t{64} << 20;
// Moments of fewer tokens would tell noise from noise.
inline constexpr size_t kMinCalibrationTokens = 2048;
// OpenBLAS has other kernels for small products, and whether a product of fewer tokens is small
// depends on how many threads share it.
inline constexpr size_t kMinCalibrationWindow = 64;

// The text of a file, or of all *.txt files of a directory in the order of their names, with a line
// break between two of them. Errors: kNotFound, kIo; kInvalidArgument for a directory without such
// files, more than kMaxCalibrationBytes, and what CheckCalibrationText() refuses, by file name.
Result<std::string> ReadCalibrationText(const std::filesystem::path& path);

// kInvalidArgument if `text` is empty, not UTF-8 or binary, with the offset of the first such byte;
// `place` starts the message.
Status CheckCalibrationText(std::string_view text, std::string_view place);

struct CalibrationWindowOptions {
  size_t max_tokens = 131072;  // at least kMinCalibrationTokens
  size_t context = 1024;       // tokens of a window, at least kMinCalibrationWindow
};

// Windows of `text`, each starting with the begin token if the model expects one. If the text has
// more than max_tokens, they are spread evenly over it and the last one is cut off; a last one of
// fewer than kMinCalibrationWindow tokens is left out.
// Errors: kInvalidArgument, for what CheckCalibrationText() refuses, too.
Result<std::vector<TokenWindow>> MakeCalibrationWindows(const Tokenizer& tokenizer,
                                                        std::string_view text,
                                                        const CalibrationWindowOptions& options);

}  // namespace ecq
