// An .ecq file as a source of f32 tensors (dequantized).
#pragma once

#include <memory>
#include <string>

#include "ecq/format/ecq_reader.h"
#include "ecq/import/model_source.h"

namespace ecq {

// Presents an .ecq as one more model format, so that every command takes it as a source. `file`
// must outlive the source.
Result<std::unique_ptr<ModelSource>> MakeEcqSource(const EcqFile& file, std::string path);

}  // namespace ecq
