// Decoding shared by all tokenizers, and the choice of implementation by file name.
#include "ecq/runtime/tokenizer.h"

#include <algorithm>

#include "ecq/runtime/byte_level_bpe.h"
#include "ecq/runtime/sentencepiece_bpe.h"
#include "ecq/runtime/tokenizer_json.h"

namespace ecq {

std::string Tokenizer::Decode(std::span<const uint32_t> ids) const {
  std::string text;
  for (size_t i = 0; i < ids.size(); ++i) {
    const bool is_first = i == 0 || (bos_id().has_value() && ids[i - 1] == *bos_id());
    text += DecodePiece(ids[i], is_first);
  }
  return text;
}

bool Tokenizer::IsEos(uint32_t id) const {
  return std::binary_search(special_ids_.eos.begin(), special_ids_.eos.end(), id);
}

Result<std::unique_ptr<Tokenizer>> LoadTokenizer(std::span<const NamedFile> files) {
  // Of a model that has both, tokenizer.json is of a kind that only the other one expresses.
  for (const NamedFile& file : files) {
    if (file.name != "sentencepiece.json") continue;
    ECQ_TRY(SentencePieceSpec spec, ParseSentencePieceJson(file.contents));
    return std::unique_ptr<Tokenizer>(std::make_unique<SentencePieceBpe>(std::move(spec)));
  }
  for (const NamedFile& file : files) {
    if (file.name != "tokenizer.json") continue;
    ECQ_TRY(ByteLevelBpeSpec spec, ParseTokenizerJson(file.contents));
    ECQ_TRY(SpecialIds special_ids, ParseSpecialIds(files, spec));
    return std::unique_ptr<Tokenizer>(
        std::make_unique<ByteLevelBpe>(std::move(spec), std::move(special_ids)));
  }
  return Error{
      ErrorCode::kNotFound,
      "model: no tokenizer; expected a file tokenizer.json or sentencepiece.json beside the "
      "weights; add it and try again"};
}

}  // namespace ecq
