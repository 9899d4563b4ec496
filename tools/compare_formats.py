#!/usr/bin/env python3
"""Quality, size and speed of ECQ and of fixed-width formats on one model, in one run.

  tools/compare_formats.py models/smollm2-135m.gguf --text wiki.test.raw -o bench/results/smollm2.json

For each format: total bits per weight and bytes of the .ecq file; perplexity, KL to the source and top-1
agreement on the text (and on a second text with --other-text); tokens per second of pp512 and tg128. All
formats go through the same program, so the numbers differ by the format alone. With --llama-bench PATH the
source GGUF is timed with llama.cpp's own benchmark as well. Rows that are in the output file already are not
measured again.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FORMATS = [
    ("Q4_0", ["--grid", "q4_0", "--codec", "raw"]),
    ("MLX 4-bit g64", ["--grid", "mlx4-g64", "--codec", "raw"]),
    ("MLX 3-bit g64", ["--grid", "mlx3-g64", "--codec", "raw"]),
    ("4-bit per tensor", ["--grid", "tensor-minmax4", "--codec", "rans"]),
    ("ECQ 5.0", ["--bpw", "5"]),
    ("ECQ 4.5", ["--bpw", "4.5"]),
    ("ECQ 4.0", ["--bpw", "4"]),
    ("ECQ 3.6", ["--bpw", "3.6"]),
    ("ECQ 3.5", ["--bpw", "3.5"]),
    ("ECQ 3.0", ["--bpw", "3"]),
]


def run(*command):
    return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True).stdout


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


class Comparison:
    def __init__(self, args):
        self.args = args
        self.build = pathlib.Path(args.build)
        self.result = {"rows": {}}
        if args.output.exists():
            self.result = json.loads(args.output.read_text())
        commit = run("git", "-C", ROOT, "rev-parse", "--short", "HEAD").strip()
        self.result.update({
            "model": args.model.name, "date": datetime.date.today().isoformat(), "commit": commit,
            "cpu": cpu_name(), "cores": os.cpu_count(), "context": args.ctx,
            "max_tokens": args.max_tokens, "text": args.text.name,
            "command": "tools/compare_formats.py " + " ".join(sys.argv[1:]),
        })

    def save(self):
        self.args.output.parent.mkdir(parents=True, exist_ok=True)
        self.args.output.write_text(json.dumps(self.result, indent=1) + "\n")

    def evaluate(self, model, text, with_base):
        base = ["--base", self.args.model] if with_base else []
        return json.loads(run(self.build / "ecq", "eval", model, "--text", text, "--ctx", self.args.ctx,
                              "--max-tokens", self.args.max_tokens, "-t", self.args.threads, "--json", *base))

    def speed(self, model):
        report = json.loads(run(self.build / "ecq", "bench", model, "-r", 3, "-t", self.args.threads, "-o", "json"))
        return {test["test"]: test["tokens_per_second"] for test in report["tests"]}

    def measure(self, name, flags):
        model = self.args.model
        row = {}
        if flags is not None:
            model = self.args.work / "model.ecq"
            row["quantize"] = {"flags": flags}
            report = json.loads(run(self.build / "ecq", "quantize", self.args.model, "-o", model, "--force",
                                    "--json", *flags))
            row["quantize"]["seconds"] = report["seconds"]
        if self.args.what != "speed":
            row["eval"] = self.evaluate(model, self.args.text, flags is not None)
            if self.args.other_text:
                row["eval_other"] = self.evaluate(model, self.args.other_text, flags is not None)
        if self.args.what != "quality":
            row["speed"] = self.speed(model)
        return row

    def run(self):
        for name, flags in [("source", None)] + FORMATS:
            wanted = {"quality": ["eval"], "speed": ["speed"], "all": ["eval", "speed"]}[self.args.what]
            have = self.result["rows"].get(name, {})
            if all(key in have for key in wanted):
                continue
            have.update(self.measure(name, flags))
            self.result["rows"][name] = have
            self.save()
            print(self.line(name, have), flush=True)
        if self.args.llama_bench and self.args.what != "quality":
            out = run(self.args.llama_bench, "-m", self.args.model, "-t", os.cpu_count(), "-p", 512, "-n", 128,
                      "-r", 3, "-o", "json")
            self.result["llama_bench"] = [
                {k: r[k] for k in ("n_prompt", "n_gen", "n_threads", "avg_ts", "stddev_ts")}
                for r in json.loads(out)]
            self.save()

    @staticmethod
    def line(name, row):
        cells = [name]
        if "eval" in row:
            e = row["eval"]
            kl = "-" if e["kl"] is None else f"{e['kl']:.4f} ± {e['kl_stderr']:.4f}"
            cells += [f"{e['bits_per_weight']:.3f}", f"{e['file_bytes']:,}",
                      f"{e['perplexity']:.3f} ± {e['perplexity_stderr']:.3f}", kl]
        if "eval_other" in row:
            kl = row["eval_other"]["kl"]
            cells.append("-" if kl is None else f"{kl:.4f}")
        if "speed" in row:
            cells += [f"{row['speed']['pp512']['median']:.0f}", f"{row['speed']['tg128']['median']:.1f}"]
        return "| " + " | ".join(cells) + " |"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--text", type=pathlib.Path, required=True)
    parser.add_argument("--other-text", type=pathlib.Path)
    parser.add_argument("-o", "--output", type=pathlib.Path, required=True)
    parser.add_argument("--ctx", type=int, default=1024)
    parser.add_argument("--max-tokens", type=int, default=16384)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--what", choices=["all", "quality", "speed"], default="all")
    parser.add_argument("--build", default=ROOT / "build")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("/tmp"))
    parser.add_argument("--llama-bench", type=pathlib.Path)
    args = parser.parse_args()
    Comparison(args).run()


if __name__ == "__main__":
    main()
