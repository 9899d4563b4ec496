// The table of presets. Its numbers are those of docs/benchmarks.md, section 1.
#include "app/presets.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace ecq {
namespace {

constexpr std::array<Preset, 5> kPresets{{
    {"small", 3.6, "auto",
     "the quality of 4-bit groups (Q4_0, MLX) in 80 % of their bytes;\n"
     "KL 0.412 on SmolLM2-135M (Q4_0: 0.415), 0.106 on Qwen2.5-Coder-0.5B (Q4_0: 0.143)"},
    {"fast", 4.0, "window",
     "generates ten times as fast as rANS, from fewer bytes than Q4_0 and better than it;\n"
     "KL 0.277 and 0.078"},
    {"medium", 4.0, "auto", "89 % of the bytes of Q4_0 and better than it; KL 0.272 and 0.060"},
    {"balanced", 4.5, "auto",
     "the bytes of Q4_0, a third to a fifth of its loss; KL 0.132 and 0.031; as without a preset"},
    {"quality", 5.0, "auto",
     "close to the source; KL 0.064 and 0.014, same top token for 84 % and 93 % of the tokens"},
}};

}  // namespace

std::span<const Preset> Presets() { return kPresets; }

std::vector<std::string> PresetNames() {
  std::vector<std::string> names;
  for (const Preset& preset : kPresets) names.emplace_back(preset.name);
  return names;
}

const Preset* FindPreset(std::string_view name) {
  const auto found = std::find_if(kPresets.begin(), kPresets.end(),
                                  [&](const Preset& preset) { return preset.name == name; });
  return found == kPresets.end() ? nullptr : &*found;
}

std::string DescribePresets() {
  constexpr int kWidth = 24;  // of what a preset sets
  std::string text = fmt::format("{:<9} {:<{}}  {}\n", "preset", "sets", kWidth, "when");
  for (const Preset& preset : kPresets) {
    std::string sets = fmt::format("--bpw {:.1f}", preset.bpw);
    if (preset.codec != "auto") sets += fmt::format(" --codec {}", preset.codec);
    text += fmt::format("{:<9} {:<{}}  ", preset.name, sets, kWidth);
    for (const char c : preset.use)
      text += c == '\n' ? "\n" + std::string(kWidth + 12, ' ') : std::string(1, c);
    text += '\n';
  }
  return text +
         "KL is to the source on WikiText-2, in nats per token: docs/benchmarks.md, section 1.\n"
         "--bpw, --size or --codec beside a preset count instead of what it sets.\n";
}

}  // namespace ecq
