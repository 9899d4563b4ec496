#!/usr/bin/env python3
"""Checks an installed ECQ: its files, its symbols, and the C example built with pkg-config and with CMake.

    check_install.py --build BUILD_DIR     installs from a build tree to a temporary prefix, moves it, checks it
    check_install.py --prefix PREFIX       checks a tree that is there, such as an unpacked package
"""
import argparse
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MODEL = ROOT / "data/models/stories260K/stories260K.bin"
EXAMPLE = ROOT / "examples/c"
PROMPT = "Once upon a time"
EXPECTED = "Once upon a time, there was a little girl named Lily. She loved to play"
FILES = [
    "bin/ecq", "include/ecq.h", "lib*/libecq.so", "lib*/libecq.so.[0-9]", "lib*/pkgconfig/ecq.pc",
    "lib*/cmake/ecq/ecqConfig.cmake", "lib*/cmake/ecq/ecqConfigVersion.cmake", "lib*/cmake/ecq/ecqTargets.cmake",
    "share/man/man1/ecq.1*", "share/bash-completion/completions/ecq", "share/zsh/site-functions/_ecq",
    "share/fish/vendor_completions.d/ecq.fish", "share/doc/ecq/README.md",
]


def run(*args, **env):
    """Runs a command, which must succeed; returns its standard output."""
    done = subprocess.run([str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, **env}, timeout=200, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, args))}\nfailed with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def find(prefix, pattern):
    found = sorted(prefix.glob(pattern)) or sorted(prefix.glob(pattern.replace("lib*/", "lib/*/")))
    if not found:
        sys.exit(f"{prefix}: {pattern} is not installed")
    return found[0]


def check_equal(what, got, expected):
    if got != expected:
        sys.exit(f"{what}: got {got!r}, expected {expected!r}")


def check_symbols(library):
    names = [line.split()[-1].split("@")[0] for line in run("nm", "-D", "--defined-only", library).splitlines()]
    header = (ROOT / "ecq/c/ecq.h").read_text()
    declared = re.findall(r"^ECQ_API [^;(]*?\b(ecq_\w+)\(", header, re.M)
    check_equal("exported symbols", sorted(n for n in names if n != "ECQ_0"), sorted(declared))


def check_example(program, model, library_dir, how):
    text = run(program, model, PROMPT, "20", LD_LIBRARY_PATH=str(library_dir))
    if not text.startswith(EXPECTED):
        sys.exit(f"the example built with {how} printed {text!r}, expected {EXPECTED!r}...")
    print(f"example built with {how}: ok")


def check_tree(prefix, work):
    for pattern in FILES:
        find(prefix, pattern)
    ecq = prefix / "bin/ecq"
    version = run(ecq, "--version").split("\n")[0]
    pc = find(prefix, "lib*/pkgconfig/ecq.pc")
    pkg_config = {"PKG_CONFIG_PATH": str(pc.parent)}
    check_equal("pkg-config --modversion", run("pkg-config", "--modversion", "ecq", **pkg_config).strip(),
                version.removeprefix("ecq "))
    library = find(prefix, "lib*/libecq.so").resolve()
    check_symbols(library)

    model = work / "stories.ecq"
    run(ecq, "quantize", MODEL, "-o", model, "--bpw", "6")
    flags = shlex.split(run("pkg-config", "--cflags", "--libs", "ecq", **pkg_config))
    strict = ["-std=c11", "-Wall", "-Wextra", "-pedantic", "-Werror"]
    run("cc", *strict, EXAMPLE / "generate.c", "-o", work / "generate", *flags)
    check_example(work / "generate", model, library.parent, "pkg-config")

    run("cmake", "-S", EXAMPLE, "-B", work / "cmake", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", work / "cmake")
    check_example(work / "cmake/generate", model, "", "find_package")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--build", type=pathlib.Path)
    where.add_argument("--prefix", type=pathlib.Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ecq-install-") as folder:
        work = pathlib.Path(folder)
        prefix = args.prefix
        if prefix is None:
            run("cmake", "--install", args.build, "--prefix", work / "first")
            prefix = work / "moved to"
            shutil.move(work / "first", prefix)
        check_tree(prefix.resolve(), work)
    print("installed tree: ok")


if __name__ == "__main__":
    main()
