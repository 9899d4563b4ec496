// The JSON side files of a model, checked once and turned into tokenizer tables.
#pragma once

#include <span>
#include <string_view>

#include "ecq/base/result.h"
#include "ecq/runtime/byte_level_bpe.h"
#include "ecq/runtime/sentencepiece_bpe.h"
#include "ecq/runtime/tokenizer.h"

namespace ecq {

// Bounds the memory that a file can ask for by naming a large id.
inline constexpr uint32_t kMaxVocabularySize = 1u << 22;

// tokenizer.json of Hugging Face tokenizers with a byte-level BPE model. Errors as LoadTokenizer.
Result<ByteLevelBpeSpec> ParseTokenizerJson(std::string_view contents);

// Begin token: tokenizer_config.json, else generation_config.json, else config.json, else the
// token that the post-processor of tokenizer.json puts in front. End tokens: the one of
// tokenizer_config.json and those of generation_config.json, or of config.json if that has none.
// Whether to add the begin token: add_bos_token, else whether the post-processor does.
Result<SpecialIds> ParseSpecialIds(std::span<const NamedFile> files, const ByteLevelBpeSpec& spec);

// sentencepiece.json: {"type": "sentencepiece-bpe", "add_bos": bool, "bos_id": id, "eos_id": id or
// list, "unk_id": id, "add_space_prefix": bool, "pieces": [[text, score, type], ...]}; ids may be
// null or absent, U+2581 in a text stands for a space.
Result<SentencePieceSpec> ParseSentencePieceJson(std::string_view contents);

}  // namespace ecq
