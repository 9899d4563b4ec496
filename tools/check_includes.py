#!/usr/bin/env python3
"""Checks that the modules of ecq/ include each other only along the allowed edges.

The edges are those of CMakeLists.txt (ecq_module ... LINKS), closed transitively; portable/ may be
included by everyone and includes nothing but itself.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def allowed_edges():
    text = (ROOT / "CMakeLists.txt").read_text()
    direct = {}
    for name, links in re.findall(r"ecq_module\((\w+) LINKS ([^)]*)\)", text):
        direct[name] = set(re.findall(r"\becq_(\w+)", links))
    closed = {}

    def close(name):
        if name not in closed:
            closed[name] = {name} | {m for d in direct[name] for m in close(d)}
        return closed[name]

    for name in direct:
        close(name)
    return closed


def main():
    edges = allowed_edges()
    edges["portable"] = {"portable"}
    errors = []
    for path in sorted((ROOT / "ecq").rglob("*")):
        if path.suffix not in {".h", ".cc", ".cu", ".cuh", ".metal"}:
            continue
        module = path.relative_to(ROOT / "ecq").parts[0]
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#include "ecq/(\w+)/', line)
            if not match:
                continue
            target = match.group(1)
            if target != "portable" and target not in edges[module]:
                errors.append(f"{path.relative_to(ROOT)}:{number}: {module} must not include {target}")
    print("\n".join(errors) if errors else "include directions: ok")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
