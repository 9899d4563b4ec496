// A GGUF file as a ModelSource.
#pragma once

#include <memory>

#include "ecq/base/mapped_file.h"
#include "ecq/import/model_source.h"

namespace ecq {

// The architectures of FindGgufArchitecture().
// Errors: those of GgufFile::Parse, kUnsupportedArchitecture, kUnsupportedTokenizer.
Result<std::unique_ptr<ModelSource>> OpenGguf(MappedFile file);

}  // namespace ecq
