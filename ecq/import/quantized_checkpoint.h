// The tensors of a quantized safetensors checkpoint as those of the dense model.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/import/integer_matrix.h"
#include "ecq/import/model_source.h"
#include "ecq/import/quantization_config.h"
#include "ecq/tensor/safetensors.h"

namespace ecq {

struct CheckpointTensor {
  SourceTensor description;
  std::variant<TensorView, IntegerMatrix> data;
};

// Makes one tensor "<path>.weight" of the parts of each quantized layer, checked against each other
// and against `config`; all other tensors stay as they are. In the order of `stored`. `directory`
// names the model in messages.
// Errors: kBadLayout (a part is missing, left over or of the wrong shape or type).
Result<std::vector<CheckpointTensor>> CombineQuantizedTensors(
    std::span<const SafetensorsEntry> stored, const QuantizationConfig& config,
    std::string_view directory);

// A tensor that is stored as it is.
CheckpointTensor DenseTensor(const SafetensorsEntry& entry);

}  // namespace ecq
