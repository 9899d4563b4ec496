#!/usr/bin/env python3
"""One table over several models: size, quality and speed of ECQ and of llama.cpp's formats.

  tools/compare_models.py models/smollm2-135m.gguf models/qwen2.5-coder-0.5b.gguf --text wiki.test.raw \\
      --llama BUILD/bin --work WORK -o bench/results/models.json

Every model is a GGUF file, the *source*. From it llama.cpp's llama-quantize makes Q4_0 and Q4_K_M, and
`ecq quantize` the rows of FORMATS, in WORK, where files that are there already are used again. Quality of
every file, llama.cpp's too, comes from `ecq eval` (weights dequantized exactly, f32 arithmetic; ours also with
activations in int8); speed from `ecq bench` for .ecq files and from `llama-bench` for GGUF files, all files of
a model one after the other, and that --rounds times. Rows that the output file has are not measured again. With
--what quality or speed, files that are not there yet are left out.
"""
import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess

from compare_formats import ROOT, cpu_name, run

FORMATS = [
    ("rANS 4.0", ["--codec", "rans", "--bpw", "4"]),
    ("rANS 3.0", ["--codec", "rans", "--bpw", "3"]),
    ("rANS16 4.0", ["--codec", "rans16", "--bpw", "4"]),
    ("window 4.0", ["--codec", "window", "--bpw", "4"]),
    ("window 3.0", ["--codec", "window", "--bpw", "3"]),
    ("rANS 3.0 calibrated", ["--codec", "rans", "--bpw", "3", "--mode", "zsic"]),
    ("window 3.0 calibrated", ["--codec", "window", "--bpw", "3", "--mode", "zsic"]),
]
LLAMA_FORMATS = ["Q4_0", "Q4_K_M"]


class Model:
    """The files of one source, and what was measured of them."""

    def __init__(self, args, source, rows):
        self.args, self.source, self.rows = args, source, rows
        self.ecq = pathlib.Path(args.build) / "ecq"
        self.prefix = args.quiet.split() if args.quiet else []
        self.files = {"source": source}
        for name in LLAMA_FORMATS:
            self.files[name] = args.work / f"{source.stem}-{name}.gguf"
        for name, _ in FORMATS:
            self.files[name] = args.work / f"{source.stem}-{name.replace(' ', '-').lower()}.ecq"

    def made(self):
        return [name for name, path in self.files.items() if path.exists()]

    def make_files(self):
        for name in LLAMA_FORMATS:
            if not self.files[name].exists():
                run(self.args.llama / "llama-quantize", "--allow-requantize", self.source, self.files[name], name)
        for name, flags in FORMATS:
            if not self.files[name].exists():
                run(self.ecq, "quantize", self.source, "-o", self.files[name], "--json", "-j", self.args.threads,
                    *flags)

    def evaluate(self, name, tokens):
        def ppl(*flags):
            return json.loads(run(self.ecq, "eval", self.files[name], "--text", self.args.text, "--ctx", self.args.ctx,
                                  "--max-tokens", tokens, "-t", self.args.threads, "--json", *flags))

        row = self.rows.setdefault(name, {})
        row["file_bytes"] = self.files[name].stat().st_size
        if "perplexity" in row:
            return
        result = ppl(*([] if name == "source" else ["--base", self.source]))
        row.update({key: result[key] for key in ("perplexity", "perplexity_stderr", "kl", "kl_stderr", "top1")})
        row["tokens"] = result["tokens"]
        if self.files[name].suffix == ".ecq":
            row["perplexity_int8"] = ppl("--activations", "i8")["perplexity"]

    def time(self, name, prompt, generate):
        """One round: tokens per second of the prompt and of generation."""
        path = self.files[name]
        if path.suffix == ".ecq":
            out = json.loads(run(*self.prefix, self.ecq, "bench", path, "-p", prompt, "-n", generate, "-r", 2, "-t",
                                 self.args.threads, "-o", "json"))
            speeds = [test["tokens_per_second"]["median"] for test in out["tests"]]
        else:
            out = json.loads(run(*self.prefix, self.args.llama / "llama-bench", "-m", path, "-t", self.args.threads, "-p",
                                 prompt, "-n", generate, "-r", 2, "-o", "json"))
            speeds = [test["avg_ts"] for test in out]
        row = self.rows.setdefault(name, {"file_bytes": path.stat().st_size})
        row.setdefault("prompt_speeds", []).append(round(speeds[0], 2))
        row.setdefault("generation_speeds", []).append(round(speeds[1], 2))


def cell(value, form):
    return "" if value is None else format(value, form)


def table(model):
    lines = ["| file | bytes | perplexity | KL | same top token | int8 | pp512 | tg128 |", "|---|---|---|---|---|---|---|---|"]
    for name, row in model["rows"].items():
        kl = "" if row.get("kl") is None else f"{row['kl']:.4f} ± {row['kl_stderr']:.4f}"
        int8 = row.get("perplexity_int8")
        change = "" if int8 is None else f"{100 * (int8 / row['perplexity'] - 1):+.2f} %"
        top1 = "" if row.get("top1") is None else f"{100 * row['top1']:.1f} %"
        speeds = [statistics.median(row[key]) if row.get(key) else None for key in ("prompt_speeds", "generation_speeds")]
        lines.append(f"| {name} | {row['file_bytes']:,} | {cell(row.get('perplexity'), '.2f')} | {kl} | {top1} | {change} "
                     f"| {cell(speeds[0], '.0f')} | {cell(speeds[1], '.1f')} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--text", type=pathlib.Path, required=True)
    parser.add_argument("--llama", type=pathlib.Path, required=True, help="directory of llama-quantize and llama-bench")
    parser.add_argument("--work", type=pathlib.Path, required=True, help="directory for the files made")
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--what", choices=["files", "quality", "speed", "table", "all"], default="all")
    parser.add_argument("--ctx", type=int, default=1024)
    parser.add_argument("--max-tokens", type=int, default=4096)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--build", default=ROOT / "build")
    parser.add_argument("--quiet", default="", help="a command that runs each timing")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    result = json.loads(args.output.read_text()) if args.output.exists() else {"models": {}}
    result.update({"date": datetime.date.today().isoformat(), "cpu": cpu_name(), "threads": args.threads,
                   "commit": run("git", "-C", ROOT, "rev-parse", "--short", "HEAD").strip()})

    def save():
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(result, indent=1) + "\n")

    for source in args.models:
        entry = result["models"].setdefault(source.name, {"rows": {}})
        model = Model(args, source, entry["rows"])
        if args.what in ("files", "all"):
            model.make_files()
        if args.what in ("quality", "all"):
            for name in model.made():
                model.evaluate(name, args.max_tokens)
                save()
        if args.what in ("speed", "all"):
            for _ in range(args.rounds):
                for name in model.made():
                    model.time(name, args.prompt, args.generate)
                    save()
        print(f"\n{source.name}\n\n{table(entry)}", flush=True)


if __name__ == "__main__":
    main()
