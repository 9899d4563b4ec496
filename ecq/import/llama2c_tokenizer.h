// The tokenizer.bin of llama2.c.
#pragma once

#include <cstdint>
#include <filesystem>

#include "ecq/base/result.h"
#include "ecq/import/model_source.h"

namespace ecq {

// sentencepiece.json from tok<vocab_size>.bin or, without one, tokenizer.bin in `directory`.
// Errors: kNotFound, kTruncated, kBadHeader, kBadLayout (more or fewer pieces than vocab_size).
Result<SideFile> ReadLlama2cTokenizer(const std::filesystem::path& directory, uint64_t vocab_size);

}  // namespace ecq
