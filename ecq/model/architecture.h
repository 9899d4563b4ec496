// The known architectures, and the parts of config.json that several of them share.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "ecq/base/result.h"
#include "ecq/model/config.h"
#include "ecq/model/config_reader.h"

namespace ecq {

// Fills in what config.json says and how this architecture differs from the defaults of
// ModelConfig, and refuses what the shared blocks cannot compute.
struct Architecture {
  std::string_view name;  // as in "architectures" of config.json
  Status (*read)(const ConfigReader& in, ModelConfig* out);
};

std::span<const Architecture> KnownArchitectures();

// One line each in the table of architecture.cc; docs/adding_a_model.md.
Status ReadLlama(const ConfigReader& in, ModelConfig* out);
Status ReadMistral(const ConfigReader& in, ModelConfig* out);
Status ReadQwen2(const ConfigReader& in, ModelConfig* out);
Status ReadQwen3(const ConfigReader& in, ModelConfig* out);
Status ReadPhi3(const ConfigReader& in, ModelConfig* out);
Status ReadGemma3(const ConfigReader& in, ModelConfig* out);
Status ReadGpt2(const ConfigReader& in, ModelConfig* out);

// Sizes of the whole and of a head, under the names that Llama gave them; "head_dim" as below.
Status ReadSizes(const ConfigReader& in, std::optional<uint32_t> default_head_dim,
                 ModelConfig* out);
// Also for sizes read in another way. Errors: kBadLayout.
Status CheckSizes(const ModelConfig& config);

// All that Llama and its relatives write in the same way: sizes, rotary positions, norm epsilon,
// the SiLU-gated MLP and its biases, tied embeddings. "head_dim" defaults to default_head_dim, if
// given, else to hidden_size / num_attention_heads.
Status ReadLlamaLike(const ConfigReader& in, std::optional<uint32_t> default_head_dim,
                     ModelConfig* out);

// "rope_theta" and "rope_scaling", or both inside "rope_parameters", after the sizes are known.
Status ReadRope(const ConfigReader& in, const ModelConfig& config, double default_theta,
                RopeConfig* out);
// The same from one object of rotary parameters of `in`; keeps what it does not name.
Status ReadRopeParameters(const ConfigReader& in, const ConfigReader& parameters,
                          const ModelConfig& config, RopeConfig* out);

// Gives a window to the layers that "layer_types" calls "sliding_attention" or, without that list,
// to those for which is_sliding(layer). A window of 0 gives none.
Status ReadWindows(const ConfigReader& in, uint32_t window,
                   const std::function<bool(size_t)>& is_sliding, ModelConfig* out);

// The windows of Qwen: of the layers from "max_window_layers" on, if "use_sliding_window" is set.
Status ReadQwenWindows(const ConfigReader& in, ModelConfig* out);

}  // namespace ecq
