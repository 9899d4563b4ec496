// sentencepiece.json: ECQ's side file for SentencePiece BPE vocabularies.
//
// {"type": "sentencepiece-bpe", "add_bos": bool, "bos_id": int, "eos_id": int or [int, ...],
//  "unk_id": int, "add_space_prefix": bool, "pieces": [[text, score, type], ...]}
// The index of a piece is its id. A space is written as U+2581 in a piece. Types as in GGUF:
// 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ecq/import/model_source.h"

namespace ecq {

enum VocabularyPieceType : int32_t {
  kPieceNormal = 1,
  kPieceUnknown = 2,
  kPieceControl = 3,
  kPieceUserDefined = 4,
  kPieceUnused = 5,
  kPieceByte = 6,
};

struct VocabularyPiece {
  std::string text;  // valid UTF-8
  float score;       // finite
  int32_t type;
};

struct VocabularyPieces {
  bool add_bos = true;
  bool add_space_prefix = true;
  uint64_t bos_id = 1;
  std::vector<uint64_t> eos_ids{2};
  uint64_t unk_id = 0;
  std::vector<VocabularyPiece> pieces;
};

SideFile SentencePieceJson(const VocabularyPieces& model);

}  // namespace ecq
