// Sizes, durations and foreign text as people read them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ecq {

// "60MB", "4.2 GiB", "123456": KB, MB, GB count in thousands, KiB, MiB, GiB in 1024s. Nothing if it
// is not a size.
std::optional<uint64_t> ParseSize(std::string_view text);

std::string FormatBytes(uint64_t bytes);     // "60.1 MB"
std::string FormatDuration(double seconds);  // "1:05"

// "12.3 M" of 12345678: for rates.
std::string FormatCount(double count);

// `program` and its arguments as one would type them in a shell.
std::string ShellCommand(std::string_view program, const std::vector<std::string>& arguments);

// `text` with '?' for control characters: what a file calls things must not steer a terminal.
std::string Printable(std::string_view text);

}  // namespace ecq
