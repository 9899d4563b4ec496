#!/usr/bin/env python3
"""Vectors of a SentencePiece-like tokenizer.json, with the PyPI package `tokenizers` as the oracle.

    sentencepiece_vectors.py TEXT TEXTS.jsonl OUTPUT_DIR

Trains a BPE of 600 pieces on the first 200 KB of TEXT, gives it the merges that a converter from
SentencePiece writes (every split of a piece into two pieces, best piece first), and writes two
kinds, llama2.json (a space in front of a text) and gemma.json (none, and user-defined tokens), with
NAME.ids: line i has the ids of line i of TEXTS.jsonl, special tokens not parsed.
"""

import json
import pathlib
import sys

import tokenizers
from tokenizers import models, normalizers, trainers

MARK = "\u2581"


def train(text):
    """Pieces in order of their merges."""
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Replace(" ", MARK)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(prepend_scheme="never")
    tokenizer.train_from_iterator([text], trainers.BpeTrainer(vocab_size=600, show_progress=False))
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return ["".join(merge) for merge in merges]


def tokenizer_json(pieces, normalizer, user_defined):
    special = ["<unk>", "<s>", "</s>"]
    singles = sorted({c for piece in pieces for c in piece})
    tokens = special + [f"<0x{b:02X}>" for b in range(256)] + user_defined + pieces + singles
    vocab = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    merges = [[piece[:i], piece[i:]] for piece in pieces for i in range(1, len(piece))
              if piece[:i] in vocab and piece[i:] in vocab]
    added = [{"id": vocab[t], "content": t, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": t in special} for t in special + user_defined]
    front = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
            "normalizer": normalizer, "pre_tokenizer": None,
            "post_processor": {"type": "TemplateProcessing", "single": front, "pair": front,
                               "special_tokens": {"<s>": {"id": "<s>", "ids": [1],
                                                          "tokens": ["<s>"]}}},
            "decoder": None,
            "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>",
                      "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
                      "vocab": vocab, "merges": merges}}


def main():
    if len(sys.argv) != 4:
        print(__doc__, file=sys.stderr)
        return 2
    pieces = train(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")[:200_000])
    texts = [json.loads(line) for line in pathlib.Path(sys.argv[2]).read_text().splitlines()]
    output = pathlib.Path(sys.argv[3])
    output.mkdir(parents=True, exist_ok=True)
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": MARK}
    prepend = {"type": "Prepend", "prepend": MARK}
    kinds = {"llama2": ({"type": "Sequence", "normalizers": [prepend, replace]}, []),
             "gemma": (replace, ["\n\n", "\n\n\n", "[multimodal]"])}
    for name, (normalizer, user_defined) in kinds.items():
        text = json.dumps(tokenizer_json(pieces, normalizer, user_defined), ensure_ascii=False)
        (output / f"{name}.json").write_text(text, encoding="utf-8")
        tokenizer = tokenizers.Tokenizer.from_str(text)
        tokenizer.encode_special_tokens = True
        lines = [" ".join(map(str, tokenizer.encode(t, add_special_tokens=False).ids))
                 for t in texts]
        (output / f"{name}.ids").write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
