#!/usr/bin/env python3
"""Small random models as llama.cpp's own converter writes them to GGUF, and their logits.

    gguf_models.py LLAMA_CPP_DIR OUTPUT_DIR [NAME ...]

LLAMA_CPP_DIR holds the sources of llama.cpp: its Python packages `conversion` and `gguf` turn the
models of transformers_logits.py into OUTPUT_DIR/NAME.gguf, with a toy vocabulary. Where GGUF has no
key for what a config says, the model is changed to what a reader of the file must assume.
OUTPUT_DIR/NAME.json holds the logits of transformers as in transformers_logits.py. Needs the PyPI
packages torch and transformers. Exit status: 0 on success, 2 on wrong usage.
"""

import json
import pathlib
import shutil
import sys
import tempfile

from transformers_logits import MODELS, VOCAB, write_model

# What replaces fields of the config of the same name.
VARIANTS = {
    "qwen3": {},
    "llama3-rope": {"mlp_bias": False},
    "llama-linear-rope": {},
    "phi3": {},
    "phi3-longrope-short": {},
    "phi3-longrope-long": {},
    "gemma3": {"query_pre_attn_scalar": 16},
    "gpt2": {},
}


def toy_vocabulary():
    """Texts of VOCAB tokens; the first three are the special ones."""
    return ["<unk>", "<s>", "</s>"] + [f"t{i}" for i in range(VOCAB - 3)]


def convert(converters, directory, target):
    """Writes the model in `directory` as `target`, in BF16."""
    import gguf

    architecture = json.loads((directory / "config.json").read_text())["architectures"][0]
    converter = converters.get_model_class(architecture)

    class WithToyVocabulary(converter):
        model_arch = converter.model_arch

        def set_vocab(self):
            self.gguf_writer.add_tokenizer_model("gpt2")
            self.gguf_writer.add_tokenizer_pre("gpt-2")
            self.gguf_writer.add_token_list(toy_vocabulary())
            self.gguf_writer.add_token_types([2, 3, 3] + [1] * (VOCAB - 3))
            self.gguf_writer.add_token_merges([])
            self.gguf_writer.add_bos_token_id(1)
            self.gguf_writer.add_eos_token_id(2)

    vocab = {text: i for i, text in enumerate(toy_vocabulary())}
    (directory / "tokenizer.json").write_text(
        json.dumps({"model": {"vocab": vocab}, "added_tokens": []}))
    WithToyVocabulary(directory, gguf.LlamaFileType.MOSTLY_BF16, target).write()


def main():
    if len(sys.argv) < 3 or any(name not in VARIANTS for name in sys.argv[3:]):
        print(__doc__, file=sys.stderr)
        print("names: " + " ".join(VARIANTS), file=sys.stderr)
        return 2
    llama_cpp, output = (pathlib.Path(arg).resolve() for arg in sys.argv[1:3])
    sys.path[:0] = [str(llama_cpp), str(llama_cpp / "gguf-py")]
    import conversion

    output.mkdir(parents=True, exist_ok=True)
    for seed, (name, changes) in enumerate(VARIANTS.items(), 101):
        if sys.argv[3:] and name not in sys.argv[3:]:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            write_model(pathlib.Path(scratch), name, {**MODELS[name], **changes}, seed)
            directory = pathlib.Path(scratch) / name
            convert(conversion, directory, output / f"{name}.gguf")
            shutil.copy(directory / "logits.json", output / f"{name}.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
