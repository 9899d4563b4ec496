// A model as the plain safetensors file that Hugging Face transformers loads.
#pragma once

#include <filesystem>

#include "ecq/base/result.h"
#include "ecq/import/model_source.h"

namespace ecq {

// Writes all tensors as F32, in the layout of their architecture: GPT-2's linear layers (in, out).
// Errors: those of AtomicFile and of reading the source.
Status WriteDenseCheckpoint(const ModelSource& source, const std::filesystem::path& path,
                            bool overwrite);

}  // namespace ecq
