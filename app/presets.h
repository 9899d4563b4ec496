// Named settings of `ecq quantize`.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ecq {

struct Preset {
  std::string_view name;
  double bpw;
  std::string_view codec;  // as --codec takes it
  std::string_view use;  // when to take it, and the measurements that say so; may have line breaks
};

std::span<const Preset> Presets();  // by rising rate
std::vector<std::string> PresetNames();
// Null if there is no such preset.
const Preset* FindPreset(std::string_view name);
// A table of all, for --list-presets; ends with a line break.
std::string DescribePresets();

}  // namespace ecq
