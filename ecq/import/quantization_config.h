// What a config.json says about how the weights beside it are quantized: MLX, AWQ, GPTQ.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "ecq/base/result.h"

namespace ecq {

// MLX's mode "affine".
struct MlxFormat {
  uint32_t bits = 4;         // 2, 3, 4, 5, 6 or 8
  uint32_t group_size = 64;  // 32, 64 or 128

  bool operator==(const MlxFormat&) const = default;
};

struct QuantizationConfig {
  enum class Method { kMlx, kAwq, kGptq };

  Method method = Method::kMlx;

  // MLX: the format of the layer with a module path, or nothing for a layer that stays dense.
  MlxFormat mlx;
  std::map<std::string, std::optional<MlxFormat>, std::less<>> mlx_overrides;

  // AWQ and GPTQ, both of 4 bits.
  uint64_t group_size = 0;         // 0: all inputs share one group
  uint32_t zero_offset = 0;        // GPTQ: a zero-point is this more than what is stored
  bool needs_group_index = false;  // GPTQ with desc_act

  std::string_view method_name() const;  // "mlx", "awq" or "gptq"
};

// Reads "quantization" (MLX) or "quantization_config" (AWQ, GPTQ) of `config_json`, a JSON object.
// Nothing if neither is there. `path` names the file in messages.
// Errors: kBadHeader, kUnsupportedType (method, bits, mode or layout that ECQ does not read).
Result<std::optional<QuantizationConfig>> ParseQuantizationConfig(std::string_view config_json,
                                                                  std::string_view path);

// The same JSON object without those two keys: the config.json of the dense model.
// Pre: ParseQuantizationConfig has accepted `config_json`.
std::string ConfigWithoutQuantization(std::string_view config_json);

}  // namespace ecq
