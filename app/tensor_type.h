// The layer type in a tensor's name.
#pragma once

#include <string>
#include <string_view>

namespace ecq {

// "q_proj" of "model.layers.3.self_attn.q_proj.weight"; "embedding" and "head"; where the last word
// does not say what it is, as in "encoder.layer.0.output.dense.weight", all behind the number.
std::string TensorTypeOf(std::string_view name);

}  // namespace ecq
