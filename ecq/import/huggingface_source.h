// A Hugging Face model directory as a ModelSource.
#pragma once

#include <filesystem>
#include <memory>

#include "ecq/import/model_source.h"

namespace ecq {

// config.json, model.safetensors or the shards of model.safetensors.index.json, tokenizer files.
// Integer checkpoints of MLX, AWQ and GPTQ are presented as the dense model: "<path>.weight" in
// [out, in] layout, config.json without its quantization keys.
// Errors: kNotFound (config.json, weights or a shard), kBadHeader and kBadLayout (JSON, index),
// those of ParseQuantizationConfig, CombineQuantizedTensors and Safetensors::Parse.
Result<std::unique_ptr<ModelSource>> OpenHuggingFace(const std::filesystem::path& directory);

}  // namespace ecq
