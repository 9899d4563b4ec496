// Tokenizer side files from the tokenizer.ggml.* keys of a GGUF file.
#pragma once

#include <cstdint>
#include <vector>

#include "ecq/base/result.h"
#include "ecq/import/gguf_file.h"
#include "ecq/import/model_source.h"

namespace ecq {

// tokenizer.json for byte-level BPE ("gpt2") or sentencepiece.json for SentencePiece BPE ("llama"),
// then tokenizer_config.json; the layout of sentencepiece.json is in sentencepiece_json.h.
// `vocab_size` is the number of embedding rows: the file may name fewer tokens, never more.
// Errors: kUnsupportedTokenizer (model or pre-tokenizer), kBadHeader (keys contradict each other).
Result<std::vector<SideFile>> GgufTokenizerFiles(const GgufFile& file, uint64_t vocab_size);

// The tokens that end a text or a turn of a chat: those that the file names, else the usual ones.
// Errors: kBadHeader.
Result<std::vector<uint64_t>> GgufEndTokens(const GgufFile& file);

}  // namespace ecq
