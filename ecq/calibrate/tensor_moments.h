// Which moments belong to a tensor, by its Hugging Face name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "ecq/calibrate/calibration_pass.h"
#include "ecq/model/config.h"

namespace ecq {

enum class MomentsKind : uint8_t { kAttention, kValue, kOutput, kUp, kDown, kHead };

struct TensorMoments {
  MomentsKind kind = MomentsKind::kHead;
  size_t layer = 0;  // of all kinds but kHead

  bool operator==(const TensorMoments&) const = default;
};

// Of the matrix `name`, such as "model.layers.3.self_attn.v_proj.weight", with the root of the
// names or without. Nothing for a tensor that no product meets: norms, biases, learned positions,
// an embedding that is not also the head, layers that the model does not have.
std::optional<TensorMoments> FindTensorMoments(const ModelConfig& config, std::string_view name);

// Pre: kind is not kHead.
const InputMoments& SelectMoments(const LayerMoments& layer, MomentsKind kind);
InputMoments& SelectMoments(LayerMoments& layer, MomentsKind kind);

// Inputs that moments of this kind are about: the K of their matrices.
uint32_t MomentsCols(const ModelConfig& config, MomentsKind kind);

}  // namespace ecq
