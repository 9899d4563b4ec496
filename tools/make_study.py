#!/usr/bin/env python3
"""Regenerates the tables and charts of docs/study.md.

    make_study.py ECQ [--models DIR] [--text wikitext2-test.raw] [--only KEY,...] [--work DIR]

ECQ is the built command. Models that are not in DIR are fetched by tools/get_model.py. Results are kept
in the work folder, one JSON file for each measurement; delete it to measure again. Rows that cannot
be measured (no text given, or left out by --only) stay as the page has them if no result is kept.
"""
import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/study.md"
CHARTS = ROOT / "docs/study"
STORIES = "data/models/stories260K/stories260K.bin"
TOKENS = "data/text/tinystories-sample.tok512.u16"

# key: (title, arguments of `ecq analyze`, charts that the page shows)
SOURCES = {
    "gaussian": ("Gaussian, 2 M", ["--synthetic", "gaussian", "--weights", "2M"],
                 ["rate-distortion"]),
    "laplace": ("Laplacian, 2 M", ["--synthetic", "laplace", "--weights", "2M"], []),
    "student5": ("Student's t (5), 2 M", ["--synthetic", "student5", "--weights", "2M"], []),
    "stories260k": ("stories260K, fp32", [STORIES], []),
    "minilm": ("MiniLM-L6, fp32", ["models/minilm-l6"], ["weights", "rate-distortion"]),
    "smollm2": ("SmolLM2-135M, Q4_1", ["models/smollm2-135m.gguf"], []),
    "qwen05": ("Qwen2.5-Coder-0.5B, Q4_K_M", ["models/qwen2.5-coder-0.5b.gguf"],
               ["weights", "integers", "rate-distortion"]),
    "qwen15": ("Qwen2.5-Coder-1.5B, Q4_K_M", ["models/qwen2.5-coder-1.5b.gguf"], []),
}
GRIDS = ["tensor-minmax4", "tensor-absmax4", "row4", "q4_0", "mlx4-g64", "mlx3-g64"]
# Models whose perplexity is measured, and on what.
EVALUATED = {
    "stories260k": ["--tokens", TOKENS, "--documents", "60", "--ctx", "512"],
    "smollm2": ["--max-tokens", "2048", "--ctx", "1024"],
    "qwen05": ["--max-tokens", "1024", "--ctx", "1024"],
}


class Study:

    def __init__(self, args):
        self.ecq = str(pathlib.Path(args.ecq).resolve())
        self.models = args.models.resolve()
        self.text = args.text.resolve() if args.text else None
        self.work = args.work.resolve()
        self.only = args.only.split(",") if args.only else list(SOURCES)

    def source_path(self, argument):
        """Where a source is; fetches a model that is not there."""
        if not argument.startswith("models/"):
            return argument
        path = self.models / argument.removeprefix("models/")
        if not path.exists():
            subprocess.run([sys.executable, str(ROOT / "tools/get_model.py"), path.stem, "-o",
                            str(self.models)], check=True, stdout=subprocess.DEVNULL)
        return str(path)

    def run_json(self, *arguments):
        print("ecq", *arguments, file=sys.stderr, flush=True)
        done = subprocess.run([self.ecq, *arguments, "--json"], check=True, stdout=subprocess.PIPE,
                              cwd=ROOT)
        return json.loads(done.stdout)

    def kept(self, name, measure):
        """The result kept as NAME.json, else that of measure(), which may be None."""
        path = self.work / f"{name}.json"
        if path.exists():
            return json.loads(path.read_text())
        result = measure()
        if result is not None:
            path.write_text(json.dumps(result, indent=1))
        return result

    def analysis(self, key):
        def measure():
            if key not in self.only:
                return None
            _, arguments, _ = SOURCES[key]
            charts = self.work / f"{key}-charts"
            if not arguments[0].startswith("--"):
                arguments = [self.source_path(arguments[0])]
            return self.run_json("analyze", *arguments, "--plot", str(charts))
        return self.kept(key, measure)

    def perplexity(self, key, name, flags):
        """(bits per weight, perplexity, its standard error) of a model quantized with `flags`."""
        def measure():
            if key not in self.only or (key != "stories260k" and self.text is None):
                return None
            source = self.source_path(SOURCES[key][1][0])
            how = EVALUATED[key] if key == "stories260k" else ["--text", str(self.text),
                                                               *EVALUATED[key]]
            with tempfile.TemporaryDirectory(dir=self.work) as folder:
                model, bits = source, None
                if flags:
                    model = str(pathlib.Path(folder) / "model.ecq")
                    bits = self.run_json("quantize", source, "-o", model, *flags)["bits_per_weight"]
                result = self.run_json("eval", model, *how)
            return [bits, result["perplexity"], result["perplexity_stderr"]]
        return self.kept(f"{key}-{name}", measure)


def grids_of(description):
    return {grid["grid"]: grid for grid in description["grids"]}


def command(arguments):
    return "`ecq analyze " + " ".join(arguments) + "`"


def row(*cells):
    return "| " + " | ".join(cells) + " |"


def header(*cells):
    return [row(*cells), "|" + "---|" * len(cells)]


def percent(share):
    return f"{100 * share:.1f} %"


def entropy_table(results):
    """Entropy of the symbols and SNR for every grid."""
    lines = header("source", *GRIDS, "command")
    for key, result in results.items():
        grids = grids_of(result["total"])
        lines.append(row(SOURCES[key][0], *(
            f"{grids[g]['entropy_bits']:.2f} / {grids[g]['snr_db']:.1f}" for g in GRIDS),
                         command(SOURCES[key][1])))
    return lines


def saving_table(results):
    """What lossless coding of every grid saves of the whole file."""
    lines = header("source", *GRIDS, "command")
    for key, result in results.items():
        saved = {entry["grid"]: entry["coded_saves"] for entry in result["whole_file"]}
        lines.append(row(SOURCES[key][0], *(percent(saved[g]) for g in GRIDS),
                         command(SOURCES[key][1])))
    return lines


def equal_error_table(results):
    """Bits of ECQ for the error of a grid, beside those of the grid stored and coded."""
    shown = ["mlx4-g64", "q4_0", "mlx3-g64"]
    lines = header("source", *(f"{g}: stored, coded → ECQ" for g in shown),
                   "ECQ saves of stored", "of coded", "command")
    for key, result in results.items():
        grids = grids_of(result["total"])
        cells = [f"{grids[g]['stored_bits']:.2f}, {grids[g]['coded_bits']:.2f} → "
                 f"{grids[g]['ecq_bits']:.2f}" for g in shown]
        of_stored = ", ".join(percent(grids[g]["ecq_saves"]) for g in shown)
        of_coded = ", ".join(percent(1 - grids[g]["ecq_bits"] / grids[g]["coded_bits"])
                             for g in shown)
        lines.append(row(SOURCES[key][0], *cells, of_stored, of_coded, command(SOURCES[key][1])))
    return lines


def type_table(key, result):
    """One model by tensor type."""
    lines = header("tensors", "weights", "kurtosis", "max/sd", "tensor-minmax4: bits / dB",
                   "mlx4-g64: bits / dB", "ECQ at the error of mlx4-g64")
    for entry in [*result["types"], result["total"]]:
        grids = grids_of(entry)
        minmax, mlx = grids["tensor-minmax4"], grids["mlx4-g64"]
        lines.append(row(entry["type"], f"{entry['weights']:,}", f"{entry['excess_kurtosis']:.2f}",
                         f"{entry['max_over_sd']:.1f}",
                         f"{minmax['entropy_bits']:.2f} / {minmax['snr_db']:.1f}",
                         f"{mlx['entropy_bits']:.2f} / {mlx['snr_db']:.1f}",
                         f"{mlx['ecq_bits']:.2f}"))
    return [*lines, "", command(SOURCES[key][1])]


def perplexity_table(study, results):
    lines = header("model", "weights as", "total bits per weight", "perplexity", "command")
    for key in EVALUATED:
        if key not in results:
            continue
        equal = grids_of(results[key]["total"])["mlx4-g64"]["ecq_bits"]
        for name, title, flags in [
                ("source", "the source", []),
                ("mlx4", "mlx4-g64, stored", ["--grid", "mlx4-g64", "--codec", "raw"]),
                ("ecq", "ECQ at the error of mlx4-g64", ["--bpw", f"{equal:.2f}"]),
                ("minmax", "tensor-minmax4, coded", ["--grid", "tensor-minmax4"])]:
            measured = study.perplexity(key, name, flags)
            if measured is None:
                continue
            bits, perplexity, error = measured
            source = SOURCES[key][1][0]
            number = f"{perplexity:.2f} ± {error:.2f}" if perplexity < 1e4 else f"{perplexity:.2g}"
            how = f"`ecq quantize {source} {' '.join(flags)} -o m.ecq`" if flags else ""
            lines.append(row(SOURCES[key][0], title, f"{bits:.2f}" if bits else "", number, how))
    return lines


def replace_table(page, name, lines):
    """Puts the table between its two marks."""
    pattern = re.compile(rf"(<!-- table {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not pattern.search(page):
        raise SystemExit(f"make_study.py: {PAGE} has no place for table {name}")
    return pattern.sub(lambda m: m[1] + "\n".join(lines) + "\n" + m[2], page)


def main():
    parser = argparse.ArgumentParser(description="Regenerates docs/study.md and its charts.")
    parser.add_argument("ecq", metavar="ECQ", help="the built command")
    parser.add_argument("--models", type=pathlib.Path, default=ROOT / "models", metavar="DIR")
    parser.add_argument("--text", type=pathlib.Path, metavar="FILE",
                        help="WikiText-2 test, raw: for the perplexities of the larger models")
    parser.add_argument("--only", metavar="KEY,...", help="measure only: " + ", ".join(SOURCES))
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "models/study", metavar="DIR")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    study = Study(args)

    results = {}
    for key, (_, _, charts) in SOURCES.items():
        result = study.analysis(key)
        if result is None:
            continue
        results[key] = result
        CHARTS.mkdir(exist_ok=True)
        for chart in charts:
            shutil.copyfile(study.work / f"{key}-charts/{chart}.svg", CHARTS / f"{key}-{chart}.svg")
    missing = [key for key in SOURCES if key not in results]
    if missing:
        print(f"not measured, so the page stays as it is: {', '.join(missing)}", file=sys.stderr)
        return 0
    page = PAGE.read_text()
    page = replace_table(page, "entropy", entropy_table(results))
    page = replace_table(page, "saving", saving_table(results))
    page = replace_table(page, "equal-error", equal_error_table(results))
    page = replace_table(page, "types", type_table("qwen05", results["qwen05"]))
    page = replace_table(page, "perplexity", perplexity_table(study, results))
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
