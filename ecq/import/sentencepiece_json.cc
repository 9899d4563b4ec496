// Writes sentencepiece.json.
#include "ecq/import/sentencepiece_json.h"

#include <nlohmann/json.hpp>

namespace ecq {

SideFile SentencePieceJson(const VocabularyPieces& model) {
  nlohmann::ordered_json json = {
      {"type", "sentencepiece-bpe"},
      {"add_bos", model.add_bos},
      {"bos_id", model.bos_id},
      {"eos_id", model.eos_id},
      {"unk_id", model.unk_id},
      {"add_space_prefix", model.add_space_prefix},
      {"pieces", nlohmann::ordered_json::array()},
  };
  nlohmann::ordered_json& pieces = json["pieces"];
  for (const VocabularyPiece& piece : model.pieces) {
    pieces.push_back(nlohmann::ordered_json::array({piece.text, piece.score, piece.type}));
  }
  return {"sentencepiece.json", json.dump()};
}

}  // namespace ecq
