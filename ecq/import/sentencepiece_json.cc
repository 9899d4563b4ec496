// Writes sentencepiece.json.
#include "ecq/import/sentencepiece_json.h"

#include <nlohmann/json.hpp>

namespace ecq {

SideFile SentencePieceJson(const VocabularyPieces& model) {
  using Json = nlohmann::ordered_json;
  const auto& ends = model.eos_ids;
  Json json = {
      {"type", "sentencepiece-bpe"}, {"add_bos", model.add_bos},
      {"bos_id", model.bos_id},      {"eos_id", ends.size() == 1 ? Json(ends[0]) : Json(ends)},
      {"unk_id", model.unk_id},      {"add_space_prefix", model.add_space_prefix},
      {"pieces", Json::array()},
  };
  Json& pieces = json["pieces"];
  for (const VocabularyPiece& piece : model.pieces) {
    pieces.push_back(Json::array({piece.text, piece.score, piece.type}));
  }
  return {"sentencepiece.json", json.dump()};
}

}  // namespace ecq
