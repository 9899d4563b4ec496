#!/usr/bin/env python3
"""Writes tests/vectors/{awq,awq_column,gptq,gptq_v2}: small model directories in the layouts of AutoAWQ ("gemm") and
AutoGPTQ, and the weights that they stand for (expected.safetensors).

Integers, zero-points and scales are drawn first. The packed tensors and the expected weights are both made from them, so
what reads one is checked by the other. Weights are (integer - zero-point) * scale, rounded to the type of the scales.
Needs numpy. Usage: int4_vectors.py TESTS_VECTORS_DIRECTORY
"""

import json
import pathlib
import struct
import sys

import numpy as np

SEED = 20261124
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]  # which of eight neighbours each nibble holds, from the lowest on
IN_ORDER = list(range(8))
DTYPES = {np.dtype("<i4"): "I32", np.dtype("<f4"): "F32", np.dtype("<f2"): "F16", np.dtype("<u2"): "BF16"}


def pack(values, axis, order):
    """Eight neighbours along `axis` into one int32."""
    values = np.moveaxis(values.astype(np.uint32), axis, -1)
    eights = values.reshape(*values.shape[:-1], -1, 8)[..., order]
    words = np.bitwise_or.reduce(eights << np.arange(0, 32, 4, dtype=np.uint32), axis=-1)
    return np.ascontiguousarray(np.moveaxis(words, -1, axis)).view("<i4")


def to_bf16(values):
    """Bits of bfloat16, nearest, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")


def from_bf16(bits):
    return (bits.astype(np.uint32) << 16).view(np.float32)


def draw_scales(rng, shape, name):
    """(as stored, as float32)"""
    values = (rng.normal(size=shape) * 0.02).astype(np.float32)
    if name == "BF16":
        return to_bf16(values), from_bf16(to_bf16(values))
    stored = values.astype({"F16": "<f2", "F32": "<f4"}[name])
    return stored, stored.astype(np.float32)


def round_to(values, name):
    """From float32, in which the products of small integers and half scales are exact."""
    if name == "BF16":
        return from_bf16(to_bf16(values))
    return values.astype(np.float16).astype(np.float32) if name == "F16" else values


def layer(rng, inputs, outputs, group_of_input, scale_type, zeros):
    """(integers [in, out], scales as stored [groups, out], weights [out, in])"""
    integers = rng.integers(0, 16, (inputs, outputs))
    stored, scales = draw_scales(rng, zeros.shape, scale_type)
    levels = (integers - zeros[group_of_input]).astype(np.float32)
    weights = round_to(levels * scales[group_of_input], scale_type)
    return integers, stored, np.ascontiguousarray(weights.T)


def write_safetensors(path, tensors):
    header, body = {}, b""
    for name, values in tensors.items():
        data = values.tobytes()
        header[name] = {"dtype": DTYPES[values.dtype], "shape": list(values.shape),
                        "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def write_model(folder, quantization, tensors, expected):
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_type": "vectors", "quantization_config": quantization}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    write_safetensors(folder / "model.safetensors", tensors)
    write_safetensors(folder / "expected.safetensors", expected)


def awq(rng, folder, inputs, outputs, group):
    tensors, expected = {}, {}
    size = group if group > 0 else inputs
    for name in ("F16", "BF16", "F32"):
        zeros = rng.integers(0, 16, (inputs // size, outputs))
        integers, scales, weights = layer(rng, inputs, outputs, np.arange(inputs) // size, name, zeros)
        tensors |= {f"{name}.qweight": pack(integers, 1, AWQ_ORDER), f"{name}.qzeros": pack(zeros, 1, AWQ_ORDER),
                    f"{name}.scales": scales}
        expected[f"{name}.weight"] = weights.astype("<f4")
    tensors["F16.bias"] = expected["F16.bias"] = rng.normal(size=outputs).astype("<f4")
    write_model(folder, {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True,
                         "version": "gemm", "modules_to_not_convert": None}, tensors, expected)


def gptq(rng, folder, inputs, outputs, group, checkpoint_format):
    tensors, expected = {}, {}
    groups = -(-inputs // group)
    offset = 1 if checkpoint_format == "gptq" else 0
    for name in ("F16", "BF16", "F32"):
        for order in ("plain", "indexed", "shuffled"):
            group_of_input = np.arange(inputs) // group
            if order == "shuffled":
                rng.shuffle(group_of_input)
            zeros = rng.integers(offset, 16 + offset, (groups, outputs))
            integers, scales, weights = layer(rng, inputs, outputs, group_of_input, name, zeros)
            path = f"{name}.{order}"
            tensors |= {f"{path}.qweight": pack(integers, 0, IN_ORDER),
                        f"{path}.qzeros": pack(zeros - offset, 1, IN_ORDER), f"{path}.scales": scales}
            if order != "plain":
                tensors[f"{path}.g_idx"] = group_of_input.astype("<i4")
            expected[f"{path}.weight"] = weights.astype("<f4")
    quantization = {"quant_method": "gptq", "bits": 4, "group_size": group, "desc_act": False, "sym": False}
    if checkpoint_format != "gptq":
        quantization["checkpoint_format"] = checkpoint_format
    write_model(folder, quantization, tensors, expected)


def main():
    out = pathlib.Path(sys.argv[1])
    rng = np.random.default_rng(SEED)
    awq(rng, out / "awq", 96, 24, 32)
    awq(rng, out / "awq_column", 40, 16, -1)
    gptq(rng, out / "gptq", 72, 24, 32, "gptq")
    gptq(rng, out / "gptq_v2", 64, 16, 32, "gptq_v2")


if __name__ == "__main__":
    main()
