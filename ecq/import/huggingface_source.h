// A Hugging Face model directory as a ModelSource.
#pragma once

#include <filesystem>
#include <memory>

#include "ecq/import/model_source.h"

namespace ecq {

// config.json, model.safetensors or the shards of model.safetensors.index.json, tokenizer files.
// Errors: kNotFound (config.json, weights or a shard), kBadHeader and kBadLayout (JSON, index),
// kUnsupportedType (already quantized), and those of Safetensors::Parse.
Result<std::unique_ptr<ModelSource>> OpenHuggingFace(const std::filesystem::path& directory);

}  // namespace ecq
