#!/usr/bin/env python3
"""The table of demo.sh: stories260K in fp32, in fixed-width grids and coded by ECQ.

Perplexity: the first 60 documents of the embedded token file, each cut at 512 tokens. Bytes are those
of the whole file; total bpw counts everything the weight matrices need, embedding included.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = ROOT / "data/models/stories260K/stories260K.bin"
TOKENS = ROOT / "data/text/tinystories-sample.tok512.u16"
PROMPT = "Once upon a time"
ROWS = [
    ("fp32 (source)", None),
    ("Q4_0", ["--grid", "q4_0", "--codec", "raw"]),
    ("Q4_0, coded losslessly", ["--grid", "q4_0"]),
    ("MLX 4-bit g64", ["--grid", "mlx4-g64", "--codec", "raw"]),
    ("4-bit per tensor, min-max", ["--grid", "tensor-minmax4", "--codec", "raw"]),
    ("the same, coded losslessly", ["--grid", "tensor-minmax4"]),
    ("ECQ 5.0", ["--bpw", "5.0"]),
    ("ECQ 4.5", ["--bpw", "4.5"]),
    ("ECQ 4.0", ["--bpw", "4.0"]),
    ("ECQ 3.5", ["--bpw", "3.5"]),
]


def run(*args):
    return subprocess.run(args, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True).stdout


def main():
    ecq = sys.argv[1]
    print(f"{'':<27} {'file bytes':>10} {'total bpw':>9} {'perplexity':>17}  greedy continuation of "
          f"\"{PROMPT}\"")
    with tempfile.TemporaryDirectory() as folder:
        for name, flags in ROWS:
            model = str(MODEL)
            if flags is not None:
                model = str(pathlib.Path(folder) / "model.ecq")
                run(ecq, "quantize", str(MODEL), "-o", model, "--force", *flags)
            result = json.loads(run(ecq, "eval", model, "--tokens", str(TOKENS), "--documents", "60",
                                    "--ctx", "512", "--json"))
            text = run(ecq, "run", model, "-p", PROMPT, "-n", "24").split("\n")[0]
            line = text[len(PROMPT):].strip()
            quality = f"{result['perplexity']:.3f} ± {result['perplexity_stderr']:.3f}"
            print(f"{name:<27} {result['file_bytes']:>10} {result['bits_per_weight']:>9.3f} "
                  f"{quality:>17}  {line[:60]}", flush=True)
    print("\nECQ at 4.5 bits keeps more quality than 4-bit groups with their scales; one 4-bit code for a "
          "whole tensor\nholds few bits because it has thrown the model away. docs/benchmarks.md has real "
          "models.")


if __name__ == "__main__":
    main()
