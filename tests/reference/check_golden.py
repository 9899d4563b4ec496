#!/usr/bin/env python3
"""Decodes every golden .ecq file with ecq_ref.py; compares with manifest and worked example.

    check_golden.py REPOSITORY
"""

import pathlib
import re
import sys

import ecq_ref


def check_files(directory):
    """Every matrix against the manifest: integers, weights where listed. Returns the failures."""
    expected = {}
    for line in (directory / "manifest.txt").read_text(encoding="ascii").splitlines():
        file, matrix, *shas = line.split()
        expected.setdefault(file, {})[matrix] = shas
    # Files that other tools saved again, or older writers made, hold the same matrices.
    for path in directory.glob("*-*.ecq"):
        expected[path.name] = expected[re.sub("-.*", ".ecq", path.name)]
    failures, hashed = 0, True
    for name, shas in expected.items():
        ecq = ecq_ref.EcqFile(directory / name)
        hashed &= ecq.check_hashes()
        found = {matrix: [ecq_ref.integers_sha256(ecq.integers(matrix))] for matrix in ecq.records}
        for matrix, listed in shas.items():
            if len(listed) > 1:
                found[matrix].append(ecq_ref.weights_sha256(ecq.weights(matrix)))
        good = found == shas
        failures += not good
        print("ok  " if good else "FAIL", name, f"{len(found)} matrices")
    if not hashed:
        print("NOTE: hashes NOT checked: the Python module xxhash is missing")
    listed = {path.name for path in directory.glob("*.ecq")}
    if listed != set(expected):
        failures += 1
        print("FAIL files and manifest differ:", sorted(listed ^ set(expected)))
    return failures


def check_worked_example(page, path):
    """Section 7 of the page quotes the data section of example.ecq as hex dump lines."""
    ecq = ecq_ref.EcqFile(path)
    section = page.read_text(encoding="utf-8").split("## 7. ")[1].split("\n## ")[0]
    quoted = {}
    for offset, data in re.findall(r"^([0-9a-f]{4})  ((?:[0-9a-f]{2} ?)+)", section, re.MULTILINE):
        quoted[int(offset, 16)] = bytes.fromhex(data)
    data = ecq.data[ecq.section :]
    good = b"".join(quoted[at] for at in sorted(quoted)) == data and all(
        data[at:].startswith(part) for at, part in quoted.items()
    )
    print("ok  " if good else "FAIL", "worked example of", page.name)
    return not good


def main(arguments):
    if len(arguments) != 1:
        sys.exit(__doc__)
    root = pathlib.Path(arguments[0])
    files = root / "tests/golden/files"
    failures = check_files(files)
    failures += check_worked_example(root / "docs/format.md", files / "example.ecq")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main(sys.argv[1:])
