#!/usr/bin/env python3
"""Makes data/calibration.txt, the text that `ecq` calibrates with by default.

    tools/make_calibration_text.py TEXT_DIRECTORY [--output data/calibration.txt]

TEXT_DIRECTORY holds wikitext2-valid-unk.txt, tinyshakespeare.txt and tinystories-sample.txt (data/README.md says where
they come from). Code is taken from this repository at CODE_REVISION. Chunks of the four are interleaved in proportion
to their sizes, so that every part of the result has all of them.
"""
import argparse
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
CODE_REVISION = "bc1dc8e2b04c5953cade5627024b02f3f100b29f"
CHUNK_BYTES = 4000
WIKI_BYTES = 256_000
SHAKESPEARE_BYTES = 130_000  # of its end: evaluations take its front
STORIES_BYTES = 43_000  # what follows has broken quotation marks
CPP_BYTES = 150_000
PYTHON_BYTES = 80_000
# Mixed kinds of code, and no tables of numbers.
CPP_FILES = ["ecq/base/*.cc", "ecq/base/*.h", "ecq/format/*.cc", "ecq/chat/*.cc", "ecq/model/*.cc"]
PYTHON_FILES = ["tools/*.py", "tests/cli/*.py"]


def detokenize(line):
    """Undoes the spaces that WikiText puts around punctuation."""
    line = re.sub(r" @([-,.])@ ", r"\1", line.strip())
    line = re.sub(r" (n't|'(?:s|m|d|re|ve|ll)?)\b", r"\1", line)
    line = re.sub(r" ' ?", "' ", line)
    line = re.sub(r" ([,.;:!?%)\]])", r"\1", line)
    line = re.sub(r"([(\[£$#]) ", r"\1", line)
    line = re.sub(r'" ([^"]*?) ?"', r'"\1"', line)
    line = re.sub(r"(\d) – (\d)", r"\1–\2", line)
    return re.sub(r"  +", " ", line)


def wiki_paragraphs(text):
    for line in text.splitlines():
        title = re.fullmatch(r"\s*(?:= )+(.*?)(?: =)+\s*", line)
        if title:
            heading = detokenize(title.group(1))
            if "<unk>" not in heading:
                yield heading + "\n"
            continue
        sentences = re.split(r'(?<=[.!?])(?<!\b[A-Z]\.)(?<!\bSt\.)(?<!\bMr\.)(?<!\bDr\.) (?=[A-Z"])', detokenize(line))
        # A word that WikiText left out takes its sentence with it.
        kept = [s for s in sentences if "<unk>" not in s and s.count('"') % 2 == 0]
        if sum(map(len, kept)) >= 80:
            yield " ".join(kept) + "\n"


def read_code(patterns, limit):
    names = subprocess.run(["git", "ls-tree", "-r", "--name-only", CODE_REVISION], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split()
    files = [n for p in patterns for n in sorted(names) if pathlib.PurePath(n).match(p)]
    out = ""
    for name in files:
        if len(out.encode()) >= limit:
            break
        out += subprocess.run(["git", "show", f"{CODE_REVISION}:{name}"], cwd=ROOT, check=True, capture_output=True,
                              text=True).stdout + "\n"
    return out


def chunks(text, limit):
    """Chunks of whole lines of about CHUNK_BYTES, `limit` bytes in all."""
    out, chunk, total = [], "", 0
    for line in text.splitlines(keepends=True):
        size = len(line.encode())
        if total + size > limit:
            break
        chunk, total = chunk + line, total + size
        if len(chunk.encode()) >= CHUNK_BYTES:
            out.append(chunk)
            chunk = ""
    return out


def last_lines(text, size):
    """The end of a text, from a paragraph on."""
    return text[text.index("\n\n", len(text) - size) + 2 :]


def interleave(sources):
    """Keeps the order within each source and spreads each evenly."""
    keyed = [((i + 0.5) / len(source), number, chunk) for number, source in enumerate(sources)
             for i, chunk in enumerate(source)]
    return "\n".join(chunk for _, _, chunk in sorted(keyed, key=lambda k: k[:2]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=pathlib.Path, metavar="TEXT_DIRECTORY")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "data/calibration.txt")
    args = parser.parse_args()
    read = lambda name: (args.texts / name).read_text(encoding="utf-8")
    sources = [
        chunks("\n".join(wiki_paragraphs(read("wikitext2-valid-unk.txt"))), WIKI_BYTES),
        chunks(last_lines(read("tinyshakespeare.txt"), SHAKESPEARE_BYTES), SHAKESPEARE_BYTES),
        chunks(read("tinystories-sample.txt"), STORIES_BYTES),
        chunks(read_code(CPP_FILES, CPP_BYTES), CPP_BYTES),
        chunks(read_code(PYTHON_FILES, PYTHON_BYTES), PYTHON_BYTES),
    ]
    args.output.write_text(interleave(sources), encoding="utf-8")


if __name__ == "__main__":
    main()
