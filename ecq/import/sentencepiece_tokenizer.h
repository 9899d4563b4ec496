// The tokenizer.json of a SentencePiece vocabulary (Llama 2, Mistral, Phi-3, Gemma) as a
// sentencepiece.json.
#pragma once

#include <optional>
#include <vector>

#include "ecq/import/model_source.h"

namespace ecq {

// Such a tokenizer.json is BPE with byte_fallback; its merges, in order, become scores. `files` are
// the side files of a model. Nothing if there is no such tokenizer among them, or if it has a step
// that sentencepiece.json cannot express.
std::optional<SideFile> SentencePieceFromTokenizerJson(const std::vector<SideFile>& files);

}  // namespace ecq
