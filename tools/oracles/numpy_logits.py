#!/usr/bin/env python3
"""Reference logits of Llama and Qwen2 models, in numpy, as JSON test vectors.

The forward pass is written from the published model descriptions: RMS norm, rotary positions,
grouped-query attention, SwiGLU, residual sums, final norm and head. Weights are dequantized to
float32 and everything after them is float64; a second pass in float32 shows what single precision
costs. It is slow, small and shares no code with the C++ implementation.

    numpy_logits.py MODEL.gguf    --tokens T.u32 [--llama-cpp L.bin] -o VECTOR.json
    numpy_logits.py MODEL.bin     --tokens T.u16 --count 32 --top 0  -o VECTOR.json

MODEL is a GGUF file (needs the PyPI package `gguf`) or a llama2.c legacy checkpoint (`.bin`).
`--tokens` is a file of little-endian ids, 16 bits (`.u16`) or 32 bits (`.u32`) each.
`--llama-cpp` adds llama.cpp's logits of the same tokens to the vector. Its layout: int32 tokens,
int32 vocabulary, the token ids (int32), then float32 logits [tokens][vocabulary].
Exit status: 0 on success, 1 on refused input, 2 on wrong usage.
"""

import argparse
import hashlib
import json
import os
import struct
import sys
from dataclasses import dataclass

import numpy as np

HEAD_ROWS_PER_STEP = 8192  # bounds the float64 copy of a large head


class InputError(Exception):
    """A file that this program refuses; the message is one line for the user."""


@dataclass(frozen=True)
class Config:
    """Shape of a decoder. Rotation pairs are (2i, 2i+1) if `interleaved`, else (i, i + half)."""

    architecture: str
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    rope_base: float
    norm_eps: float
    interleaved: bool


class GgufModel:
    """Weights of a GGUF file, dequantized one tensor at a time."""

    # The GGUF converter reorders the rows of Llama's q and k so that pairs are adjacent.
    INTERLEAVED = {"llama": True, "qwen2": False}

    def __init__(self, path):
        try:
            import gguf
        except ImportError as error:
            raise InputError("the Python package gguf is missing: pip install gguf") from error
        self._dequantize = gguf.quants.dequantize
        reader = gguf.GGUFReader(path)
        self._tensors = {tensor.name: tensor for tensor in reader.tensors}
        arch = reader.fields["general.architecture"].contents()
        if arch not in self.INTERLEAVED:
            known = ", ".join(sorted(self.INTERLEAVED))
            raise InputError(f"{path}: architecture {arch!r}; known: {known}")

        def value(key, default=None):
            field = reader.fields.get(f"{arch}.{key}")
            if field is None and default is None:
                raise InputError(f"{path}: key {arch}.{key} is missing")
            return default if field is None else field.contents()

        heads = value("attention.head_count")
        self.config = Config(
            architecture=arch,
            layers=value("block_count"),
            heads=heads,
            kv_heads=value("attention.head_count_kv", heads),
            head_dim=value("embedding_length") // heads,
            rope_base=value("rope.freq_base", 10000.0),
            norm_eps=value("attention.layer_norm_rms_epsilon"),
            interleaved=self.INTERLEAVED[arch],
        )

    def get(self, name, rows=slice(None)):
        """Float32 array [rows, cols] (or [n]) of tensor `name`; None if there is none."""
        tensor = self._tensors.get(name)
        if tensor is None:
            return None
        return self._dequantize(tensor.data[rows], tensor.tensor_type)

    def rows(self, name):
        return int(self._tensors[name].shape[-1])

    def head(self):
        return "output.weight" if "output.weight" in self._tensors else "token_embd.weight"


class Llama2cModel:
    """Weights of a llama2.c legacy checkpoint: seven int32, then float32 arrays in fixed order."""

    def __init__(self, path):
        with open(path, "rb") as file:
            data = file.read()
        dim, hidden, layers, heads, kv_heads, vocab, seq_len = struct.unpack_from("<7i", data)
        head_dim = dim // heads
        tied, vocab = vocab > 0, abs(vocab)
        kv_dim = kv_heads * head_dim
        self.config = Config("llama", layers, heads, kv_heads, head_dim, 10000.0, 1e-5, True)
        layout = [
            ("token_embd.weight", (vocab, dim)),
            ("attn_norm.weight", (layers, dim)),
            ("attn_q.weight", (layers, dim, dim)),
            ("attn_k.weight", (layers, kv_dim, dim)),
            ("attn_v.weight", (layers, kv_dim, dim)),
            ("attn_output.weight", (layers, dim, dim)),
            ("ffn_norm.weight", (layers, dim)),
            ("ffn_gate.weight", (layers, hidden, dim)),
            ("ffn_down.weight", (layers, dim, hidden)),
            ("ffn_up.weight", (layers, hidden, dim)),
            ("output_norm.weight", (dim,)),
            ("rope_tables", (2, seq_len, head_dim // 2)),
        ]
        if not tied:
            layout.append(("output.weight", (vocab, dim)))
        self._arrays, offset = {}, 28
        for name, shape in layout:
            count = int(np.prod(shape))
            if offset + 4 * count > len(data):
                raise InputError(f"{path}: ends inside {name}, at byte {len(data)}")
            array = np.frombuffer(data, "<f4", count, offset).reshape(shape)
            offset += 4 * count
            if len(shape) > 1 and shape[0] == layers and name.startswith(("attn", "ffn")):
                self._arrays.update({f"blk.{i}.{name}": array[i] for i in range(layers)})
            else:
                self._arrays[name] = array
        if offset != len(data):
            raise InputError(f"{path}: expected {offset} bytes, got {len(data)}")

    def get(self, name, rows=slice(None)):
        array = self._arrays.get(name)
        return None if array is None else array[rows]

    def rows(self, name):
        return self._arrays[name].shape[0]

    def head(self):
        return "output.weight" if "output.weight" in self._arrays else "token_embd.weight"


def rms_norm(x, weight, eps):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + x.dtype.type(eps)) * weight


def rotate(x, config):
    """Rotary positions on x [time, heads, head_dim]; row t is position t."""
    half = config.head_dim // 2
    frequency = config.rope_base ** (-np.arange(half) / half)
    angle = (np.arange(x.shape[0])[:, None] * frequency)[:, None, :]
    cos, sin = np.cos(angle).astype(x.dtype), np.sin(angle).astype(x.dtype)
    first = np.s_[..., 0::2] if config.interleaved else np.s_[..., :half]
    second = np.s_[..., 1::2] if config.interleaved else np.s_[..., half:]
    out = np.empty_like(x)
    out[first] = x[first] * cos - x[second] * sin
    out[second] = x[first] * sin + x[second] * cos
    return out


def attention(q, k, v):
    """Causal grouped-query attention; q [time, heads, d], k and v [time, kv_heads, d]."""
    time, heads, dim = q.shape
    group = heads // k.shape[1]
    mask = np.triu(np.ones((time, time), dtype=bool), 1)
    out = np.empty_like(q)
    for head in range(heads):
        key, val = k[:, head // group], v[:, head // group]
        scores = q[:, head] @ key.T / q.dtype.type(np.sqrt(dim))
        scores[mask] = -np.inf
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        out[:, head] = weights / weights.sum(axis=-1, keepdims=True) @ val
    return out.reshape(time, heads * dim)


def forward(model, tokens, positions, dtype):
    """Logits [len(positions), vocab] of the model after each of `positions` in `tokens`."""
    config = model.config

    def weight(name):
        array = model.get(name)
        if array is None:
            raise InputError(f"tensor {name} is missing")
        return array.astype(dtype)

    def linear(x, name):
        bias = model.get(f"{name}.bias")
        y = x @ weight(f"{name}.weight").T
        return y if bias is None else y + bias.astype(dtype)

    def heads(y):
        return y.reshape(len(tokens), -1, config.head_dim)

    x = model.get("token_embd.weight", np.asarray(tokens)).astype(dtype)
    for layer in range(config.layers):
        block = f"blk.{layer}"
        h = rms_norm(x, weight(f"{block}.attn_norm.weight"), config.norm_eps)
        q = rotate(heads(linear(h, f"{block}.attn_q")), config)
        k = rotate(heads(linear(h, f"{block}.attn_k")), config)
        v = heads(linear(h, f"{block}.attn_v"))
        x = x + linear(attention(q, k, v), f"{block}.attn_output")
        h = rms_norm(x, weight(f"{block}.ffn_norm.weight"), config.norm_eps)
        gate = linear(h, f"{block}.ffn_gate")
        gate = gate / (1 + np.exp(-gate))
        x = x + linear(gate * linear(h, f"{block}.ffn_up"), f"{block}.ffn_down")
    x = rms_norm(x[positions], weight("output_norm.weight"), config.norm_eps)
    head, vocab = model.head(), model.rows(model.head())
    steps = [slice(i, i + HEAD_ROWS_PER_STEP) for i in range(0, vocab, HEAD_ROWS_PER_STEP)]
    return np.concatenate([x @ model.get(head, s).astype(dtype).T for s in steps], axis=1)


def logsumexp(row):
    row = row.astype(np.float64)
    return float(row.max() + np.log(np.exp(row - row.max()).sum()))


def summary(logits, top):
    """One entry per position: all logits if `top` is 0, else the largest with their ids."""
    entries = []
    for row in logits:
        rms = np.sqrt(np.mean(row.astype(np.float64) ** 2))
        entry = {"logsumexp": short(logsumexp(row)), "rms": short(rms)}
        if top:
            ids = np.argsort(-row, kind="stable")[:top]
            entry["top"] = [[int(i), short(row[i])] for i in ids]
        else:
            entry["logits"] = [short(v) for v in row]
        entries.append(entry)
    return entries


def short(value):
    """Seven significant digits: below the error of any float32 forward pass."""
    return float(f"{float(value):.7g}")


def read_llama_cpp(path, tokens, positions):
    """Logits of `positions` from a dump described in this file's first comment."""
    with open(path, "rb") as file:
        count, vocab = struct.unpack("<2i", file.read(8))
        ids = np.frombuffer(file.read(4 * count), "<i4")
        if count < len(tokens) or list(ids[: len(tokens)]) != list(tokens):
            raise InputError(f"{path}: holds other tokens than the vector")
        rows = []
        for position in positions:
            file.seek(8 + 4 * count + 4 * vocab * position)
            rows.append(np.frombuffer(file.read(4 * vocab), "<f4"))
    return np.stack(rows)


def read_tokens(path, count):
    dtype = {".u16": "<u2", ".u32": "<u4"}.get(os.path.splitext(path)[1])
    if dtype is None:
        raise InputError(f"{path}: expected a name ending in .u16 or .u32")
    tokens = np.fromfile(path, dtype, count)
    if len(tokens) < count:
        raise InputError(f"{path}: expected {count} tokens, got {len(tokens)}")
    return [int(t) for t in tokens]


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def difference(a, b):
    """Statistics of b - a over the whole vocabulary, and the KL divergence in nats."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    log_p = a - np.array([[logsumexp(row)] for row in a])
    log_q = b - np.array([[logsumexp(row)] for row in b])
    kl = (np.exp(log_p) * (log_p - log_q)).sum(axis=1)
    same = int((a.argmax(axis=1) == b.argmax(axis=1)).sum())
    return (f"max |d| {np.abs(b - a).max():.3g}, rms d {np.sqrt(np.mean((b - a) ** 2)):.3g}, "
            f"max KL {kl.max():.3g}, same first {same}/{len(a)}")


def parse_args():
    parser = argparse.ArgumentParser(description="Writes reference logits as a JSON vector.")
    parser.add_argument("model", help="GGUF file or llama2.c .bin")
    parser.add_argument("--tokens", required=True, help="file of token ids (.u16 or .u32)")
    parser.add_argument("--count", type=int, default=64, help="tokens to read (default 64)")
    parser.add_argument("--positions", default="", help="comma-separated; default from --count")
    parser.add_argument("--top", type=int, default=64, help="logits kept; 0 keeps all")
    parser.add_argument("--llama-cpp", help="llama.cpp logits of the same tokens")
    parser.add_argument("--name", help="model name in the vector (default: the file's)")
    parser.add_argument("-o", "--output", help="JSON vector to write")
    return parser.parse_args()


def run(args):
    tokens = read_tokens(args.tokens, args.count)
    if args.positions:
        positions = [int(p) for p in args.positions.split(",")]
    else:
        positions = [1, args.count // 8 - 1, args.count // 2 - 1, args.count - 1]
    if not all(0 <= p < len(tokens) for p in positions):
        raise InputError(f"--positions: expected 0 to {len(tokens) - 1}, got {positions}")
    model = (Llama2cModel if args.model.endswith(".bin") else GgufModel)(args.model)
    vocab = model.rows("token_embd.weight")
    if max(tokens) >= vocab:
        raise InputError(f"{args.tokens}: token {max(tokens)}, but the vocabulary has {vocab}")
    logits = forward(model, tokens, positions, np.dtype("float64"))
    name = args.name or os.path.splitext(os.path.basename(args.model))[0]
    vector = {"model": name, "architecture": model.config.architecture,
              "sha256": sha256(args.model), "tokens": tokens, "positions": positions,
              "numpy": summary(logits, args.top)}
    single = forward(model, tokens, positions, np.dtype("float32"))
    print(f"numpy float32 against float64: {difference(logits, single)}")
    if args.llama_cpp:
        other = read_llama_cpp(args.llama_cpp, tokens, positions)
        print(f"llama.cpp against numpy float64: {difference(logits, other)}")
        vector["llama_cpp"] = summary(other, args.top)
    if args.output:
        write_vector(args.output, vector)


def write_vector(path, vector):
    """One line per field and per position, so that a changed vector diffs well."""
    lines = []
    for key, value in vector.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = ",\n".join("  " + json.dumps(v, separators=(",", ":")) for v in value)
            lines.append(f" {json.dumps(key)}: [\n{rows}\n ]")
        else:
            lines.append(f" {json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}")
    with open(path, "w", encoding="ascii") as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")


def main():
    args = parse_args()
    try:
        run(args)
    except (InputError, OSError, ValueError, struct.error) as error:
        print(f"numpy_logits.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
