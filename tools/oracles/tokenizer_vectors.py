#!/usr/bin/env python3
"""Makes tokenizer test vectors with the PyPI package `tokenizers` as the oracle.

  tokenizer_vectors.py reduced --smollm2 tokenizer.json --gpt2 DIR --qwen2 FILE.gguf --out DIR
  tokenizer_vectors.py full    (the same arguments) --text FILE

`reduced` writes tests/vectors/tokenizers/: texts.jsonl (one JSON string a line) and, for each
tokenizer, NAME.json (a tokenizer.json cut to its first merges) and NAME.ids (line i: the ids of
text i with special tokens parsed; after a "|" those without, where they differ).
`full` writes the whole tokenizers, the same texts, and FILE as one more text.
--gpt2 holds vocab.json and merges.txt; --qwen2 needs the PyPI package `gguf`.
"""
import argparse
import json
import pathlib
import random
import unicodedata

import tokenizers

SEED = 20240611
REDUCED_MERGES = 4000
SMALL_MERGES = 600

QWEN2_REGEX = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+"
               r"[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3_REGEX = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
                r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def added(token_id, content, special=True, **flags):
    entry = {"id": token_id, "content": content, "single_word": False, "lstrip": False,
             "rstrip": False, "normalized": False, "special": special}
    return entry | flags


def byte_level(prefix_space=False, use_regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix_space, "trim_offsets": True,
            "use_regex": use_regex}


def split(pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def sequence(*steps):
    return {"type": "Sequence", "pretokenizers": list(steps)}


def tokenizer_json(vocab, merges, added_tokens, pre_tokenizer, normalizer=None, post=None, **model):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added_tokens,
            "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": post,
            "decoder": byte_level(),
            "model": {"type": "BPE", "dropout": None, "unk_token": None,
                      "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": vocab, "merges": merges} | model}


def load_smollm2(path):
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


def load_gpt2(folder):
    folder = pathlib.Path(folder)
    vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    merges = [line for line in lines[1:] if line]
    name = "<|endoftext|>"
    return tokenizer_json(vocab, merges, [added(vocab[name], name, normalized=True)], byte_level())


def load_qwen2(path):
    import gguf
    fields = gguf.GGUFReader(path).fields

    def strings(name):
        field = fields[name]
        return [bytes(field.parts[i]).decode("utf-8") for i in field.data]

    tokens = strings("tokenizer.ggml.tokens")
    field = fields["tokenizer.ggml.token_type"]
    types = [int(field.parts[i][0]) for i in field.data]
    special = {3: True, 4: False}
    vocab = {t: i for i, (t, kind) in enumerate(zip(tokens, types)) if kind == 1}
    added_tokens = [added(i, t, special[kind])
                    for i, (t, kind) in enumerate(zip(tokens, types)) if kind in special]
    pre = sequence(split({"Regex": QWEN2_REGEX}), byte_level(use_regex=False))
    return tokenizer_json(vocab, strings("tokenizer.ggml.merges"), added_tokens, pre,
                          normalizer={"type": "NFC"})


def reduce(full, count):
    """Keeps the bytes, the first `count` merges and the added tokens, in the order of their ids."""
    pairs = [m.split(" ") if isinstance(m, str) else m for m in full["model"]["merges"]]
    merges = pairs[:count]
    keep = {token for token in full["model"]["vocab"] if len(token) == 1}
    keep |= {a + b for a, b in merges}
    ids = {t: i for t, i in full["model"]["vocab"].items() if t in keep}
    ids |= {t["content"]: t["id"] for t in full["added_tokens"]}
    new_id = {t: i for i, t in enumerate(sorted(ids, key=ids.get))}
    in_vocab = [t for t in new_id if t in full["model"]["vocab"]]
    small = dict(full)
    small["added_tokens"] = [t | {"id": new_id[t["content"]]} for t in full["added_tokens"]]
    small["model"] = full["model"] | {"vocab": {t: new_id[t] for t in in_vocab},
                                      "merges": [f"{a} {b}" for a, b in merges]}
    return small


def llama3_style(gpt2):
    """ignore_merges, merges as pairs, a template with a begin token, and every added-token flag."""
    small = reduce(gpt2, SMALL_MERGES)
    vocab = small["model"]["vocab"]
    del vocab["<|endoftext|>"]
    for word in ("Ġquantization", "hello", "Ġworld", "Ã©", "123", "ĠĠĠĠĠ", "!!!!"):
        vocab.setdefault(word, max(vocab.values()) + 1)
    base = max(vocab.values()) + 1
    tokens = [added(base, "<|begin_of_text|>"), added(base + 1, "<|eot_id|>"),
              added(base + 2, "<L>", lstrip=True), added(base + 3, "<R>", rstrip=True),
              added(base + 4, "<LR>", special=False, lstrip=True, rstrip=True, normalized=True),
              added(base + 5, "<x>", special=False), added(base + 6, "<x>y", special=False),
              added(base + 7, "cafe\u0301", special=False, normalized=True),
              added(base + 8, "\u00c5ngstr\u00f6m", special=False),
              added(base + 9, "<x", special=True)]
    template = {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 0}},
                           {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                         {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"<|begin_of_text|>": {"id": "<|begin_of_text|>", "ids": [base],
                                                         "tokens": ["<|begin_of_text|>"]}}}
    post = {"type": "Sequence", "processors": [byte_level(), template]}
    pre = sequence(split({"Regex": LLAMA3_REGEX}), byte_level(use_regex=False))
    pairs = [m.split(" ") for m in small["model"]["merges"]]
    return tokenizer_json(vocab, pairs, tokens, pre, {"type": "NFC"}, post, ignore_merges=True)


def odd_style(gpt2):
    """Prefix spaces, removed separators, kept matches, digit runs, unknown bytes."""
    small = reduce(gpt2, SMALL_MERGES)
    vocab = {t: i for t, i in small["model"]["vocab"].items() if t not in ("ð", "Ģ", "#", "@")}
    merges = [m for m in small["model"]["merges"]
              if all(t in vocab for t in m.split(" ") + [m.replace(" ", "")])]
    pre = sequence(split({"String": "--"}, "Removed"),
                   split({"Regex": r"[^;\t]+"}, "Removed", invert=True),
                   {"type": "Digits", "individual_digits": False}, byte_level(prefix_space=True))
    return tokenizer_json(vocab, merges, small["added_tokens"], pre,
                          unk_token="<|endoftext|>", fuse_unk=True)


def random_code_point(rng):
    while True:
        c = chr(rng.choice((rng.randrange(0x250), rng.randrange(0x3000), rng.randrange(0x10000),
                            rng.randrange(0x20000), rng.randrange(0x110000))))
        # Unassigned characters differ with the Unicode version of the library. So does the order of
        # marks newer than Unicode 12, the version of the oracle's NFC; SEED draws none of them.
        if unicodedata.category(c) not in ("Cs", "Cn"):
            return c


def by_category():
    groups = {}
    for i in range(0x20000):
        groups.setdefault(unicodedata.category(chr(i)), []).append(chr(i))
    del groups["Cs"], groups["Cn"]
    return groups


FIXED = [
    "", " ", "  ", "\n", "\r\n", "\t", "\0", "\u00a0", "\u3000", "\u180e", " \u180e a", "\u200b",
    "\ufeff", "a", " a", "a ", "  a", "a  b", "a   \n  b", "\n\n\n", " \n \n", "\r\r\n\n",
    "x\u0085y",
    "don't", "DON'T", "we'll they've I'd I'm you're it's", "'S 'LL 'Ve", "'\u017f \u212a 'ſs",
    "''s",
    "hello world", "Hello, World!", "123", "1234567890", "3.14159", "1,234,567",
    "\u0661\u0662\u0663",
    "½ ² Ⅷ ① 〇", "٣٫١٤", "cafe\u0301 caf\u00e9", "A\u030angstro\u0308m Ångström \u212b",
    "\u1100\u1161\u11a8 각 \uac00\u11a8", "q\u0307\u0323 q\u0323\u0307",
    "\u0958 \u2adc \ufb1d \u0344",
    "👨‍👩‍👧‍👦", "🏳️‍🌈 🇩🇪🇫🇷", "👍🏽", "🫠", "e\u0301\u0302\u0303\u0304\u0305", "日本語のテキスト", "你好,世界!",
    "한국어 텍스트", "العربية مع تشكيل: مُحَمَّد", "עברית שלום", "हिन्दी में पाठ", "ไทยไม่มีช่องว่าง",
    "Ελληνικά ΑΒΓ",
    "Привет, мир!", "mixed русский english 中文 عربي", "<|endoftext|>",
    "<|im_start|>user\nhi<|im_end|>",
    "a<|endoftext|>b", "<|endoftext|", "<|endoftext|><|endoftext|>", "< |endoftext|>",
    "<|im_start|",
    "  <|im_start|>  ", "<repo_name>x<reponame>", "<x>y<x>z<xx>", "a <L> b <R> c <LR> d",
    "<L><R> <LR>",
    " \t<L>\u3000<R>\n\nx", "cafe\u0301 x caf\u00e9", "<|begin_of_text|>a<|eot_id|>",
    "a--b---c----d",
    "a;b\tc;;d", "--", ";", "#@##@ 😀", "{\"key\": [1, 2.5, null]}",
    "for (int i = 0; i < n; ++i) {\n\t\tx[i] += y;\n}",
    "def f(x):\n    return x**2  # comment\n", "https://example.org/a?b=c&d=%20e#f",
    "\\n \\t \\\\ \"q\" 'q'",
    "C:\\path\\to\\file.txt", "<html><body class=\"a\">&nbsp;</body></html>", "▁▁a▁b", "Ġhello Ċ",
    "<0x0A>",
    "a" * 1200, "ab" * 400, " " * 700 + "x", "\n" * 300, "0" * 500, "!" * 400, "é" * 300, "😀" * 100,
    "the quantization of hello world", "supercalifragilisticexpialidocious" * 8,
]


def texts():
    rng = random.Random(SEED)
    out = list(FIXED)
    groups = by_category()
    for name in sorted(groups):
        for _ in range(12):
            chars = [rng.choice(groups[name]) for _ in range(rng.randrange(1, 6))]
            before, after = rng.choice(("", " ", "a", "1 ")), rng.choice(("", " ", "b", "\n"))
            out.append(before + "".join(chars) + after)
    spaces = [" ", "  ", "\t", "\n", "\r\n", "\r", "\u00a0", "\u3000", "\u2009", "\u2028", "\u0085",
              "\u000b", "\u000c", "\u001c", "\u200b", "\u180e"]
    words = ["the", "The", "hello", "don't", "I'll", "YOU'RE", "x1y2", "42", "2024", "naïve",
             "cafe\u0301", "日本", "мир", "سلام", "한글", "😀", "🇩🇪", "!?", "...", "--", "__init__",
             "->", "==", "</s>", "<s>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im", "<x>",
             "<L>", "<R>", "<LR>", "<file_sep>", "'s", "’s", "'", "\"", "(", ")", "a" * 30,
             "quantization", "\u0301", "\u200d", "½", "Ⅷ", "#", ";"]
    for _ in range(900):
        parts = []
        for _ in range(rng.randrange(1, 7)):
            parts.append(rng.choice(words))
            if rng.random() < 0.7:
                parts.append(rng.choice(spaces) * rng.choice((1, 1, 1, 2, 3)))
        if rng.random() < 0.2:
            parts.insert(0, rng.choice(spaces))
        out.append("".join(parts))
    for _ in range(500):
        out.append("".join(random_code_point(rng) for _ in range(rng.randrange(1, 9))))
    marks = [chr(c) for c in range(0x300, 0x370)]
    marks += list("\u05b0\u05b4\u0591\u0651\u064e\u093c\u094d\u3099")
    bases = list("aeiouAEOUnsSzqkK가한か\u05d0\u0627\u0915")
    for _ in range(250):
        syllables = (rng.choice(bases) + "".join(rng.choice(marks) for _ in range(rng.randrange(4)))
                     for _ in range(rng.randrange(1, 5)))
        out.append("".join(syllables))
    controls = [chr(c) for c in list(range(32)) + list(range(127, 160))]
    for _ in range(150):
        size = rng.randrange(1, 10)
        out.append("".join(rng.choice(controls + ["a", " ", "1"]) for _ in range(size)))
    ascii_chars = [chr(c) for c in range(32, 127)] + ["\n", "\t", "  "]
    for _ in range(400):
        out.append("".join(rng.choice(ascii_chars) for _ in range(rng.randrange(1, 24))))
    return out


def encode(tokenizer, text):
    tokenizer.encode_special_tokens = False
    parsed = tokenizer.encode(text, add_special_tokens=False).ids
    tokenizer.encode_special_tokens = True
    spelled = tokenizer.encode(text, add_special_tokens=False).ids
    line = " ".join(map(str, parsed))
    return line if parsed == spelled else line + "|" + " ".join(map(str, spelled))


def write(folder, name, spec, all_texts):
    text = json.dumps(spec, ensure_ascii=False, separators=(",", ":"))
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    tokenizer = tokenizers.Tokenizer.from_str(text)
    lines = "".join(encode(tokenizer, t) + "\n" for t in all_texts)
    (folder / f"{name}.ids").write_text(lines, encoding="ascii")
    print(f"{name}: {len(text)} bytes of JSON, {len(lines)} bytes of ids")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mode", choices=("reduced", "full"))
    parser.add_argument("--smollm2", required=True)
    parser.add_argument("--gpt2", required=True)
    parser.add_argument("--qwen2", required=True)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--text", type=pathlib.Path)
    args = parser.parse_args()

    specs = {"smollm2": load_smollm2(args.smollm2), "gpt2": load_gpt2(args.gpt2),
             "qwen2": load_qwen2(args.qwen2)}
    all_texts = texts()
    if args.mode == "reduced":
        gpt2 = specs["gpt2"]
        specs = {name: reduce(spec, REDUCED_MERGES) for name, spec in specs.items()}
        specs |= {"llama3_style": llama3_style(gpt2), "odd_style": odd_style(gpt2)}
    elif args.text:
        all_texts.append(args.text.read_text(encoding="utf-8"))
    args.out.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(t) + "\n" for t in all_texts)
    (args.out / "texts.jsonl").write_text(lines, encoding="ascii")
    for name, spec in specs.items():
        write(args.out, name, spec, all_texts)


if __name__ == "__main__":
    main()
