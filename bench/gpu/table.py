#!/usr/bin/env python3
"""Turns the results of bench_window into markdown tables.

Usage: table.py window.json [window_sass.json]
"""
import json
import sys

LAYERS = ["4096x4096", "4096x14336", "14336x4096"]


def instructions(sass, row):
    """Lane instructions a weight of the kernel and configuration of a row, or a dash."""
    kernel = row["variant"].rsplit(" x", 1)[0]
    rate = f"{row['bits_per_weight']:.1f}"
    config = row["config"].split(", 1 block")[0].split(", PDL")[0]
    for entry in sass:
        if entry["kernel"] == f"{kernel} {rate}" and entry["config"] == config:
            return f"{entry['instructions']:.2f}"
    return "-"


def print_large(data, sass):
    print("| kernel | bpw | instr/w | Tw/s | GB/s | of read | x R | spread | configuration |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in data["results"]:
        if row["shape"] != "large" or row["variant"] == "read":
            continue
        spread = (row["us_high"] - row["us_low"]) / row["us"]
        mark = "" if row["correct"] else " WRONG"
        print(f"| {row['variant']}{mark} | {row['bits_per_weight']:.2f} | {instructions(sass, row)} "
              f"| {row['tera_weights_per_s']:.2f} | {row['gb_per_s']:.0f} "
              f"| {100 * row['of_ceiling']:.1f} % | {row['times_rival']:.3f} "
              f"| {100 * spread:.1f} % | {row['config']} |")


def print_layers(data):
    by_kernel = {}
    for row in data["results"]:
        if row["shape"] in LAYERS:
            by_kernel.setdefault((row["variant"], row["bits_per_weight"]), {})[row["shape"]] = row
    print("| kernel | bpw | " + " | ".join(LAYERS) + " |")
    print("|---|---|" + "---|" * len(LAYERS))
    for (variant, bits), rows in by_kernel.items():
        cells = []
        for shape in LAYERS:
            row = rows.get(shape)
            if row is None:
                cells.append("-")
                continue
            mark = "" if row["correct"] else " WRONG"
            cells.append(f"{row['us']:.2f} us ({row['times_rival']:.2f}x; {row['config']}){mark}")
        print(f"| {variant} | {bits:.2f} | " + " | ".join(cells) + " |")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__.strip())
    with open(sys.argv[1], encoding="utf-8") as file:
        data = json.load(file)
    sass = []
    if len(sys.argv) > 2:
        with open(sys.argv[2], encoding="utf-8") as file:
            sass = json.load(file)
    exact = "every product exact" if data["all_exact"] else "SOME PRODUCTS WRONG"
    print(f"{data['gpu']}, {data['multiprocessors']} multiprocessors, {data['date']}, commit "
          f"{data['commit']}. Read ceiling {data['ceiling_gb_per_s']:.0f} GB/s. Medians of "
          f"{data['samples']} timings; spread: second largest minus second smallest; {exact}.\n")
    print("1.07e9 weights (262144 x 4096), steady state:\n")
    print_large(data, sass)
    print("\nOne launch a layer, 64 launches in a graph, rows x columns; times R in brackets:\n")
    print_layers(data)


if __name__ == "__main__":
    main()
