#!/usr/bin/env python3
"""Writes tests/vectors/mlx: a model directory as MLX saves it, and what MLX dequantizes it to.

model.safetensors holds a matrix for each number of bits, group size and element type of the scales,
expected.safetensors mx.dequantize of each, cast to float32. Of the rows of a matrix one half comes from
mx.quantize, the other holds random integers with scales up to overflow of the element type.
Needs the PyPI packages mlx[cpu] and numpy. Usage: mlx_vectors.py OUTPUT_DIRECTORY
"""

import json
import pathlib
import sys

import mlx.core as mx
import numpy as np

SEED = 20261124
INPUTS = 128
BITS = (2, 3, 4, 5, 6, 8)
GROUPS = (32, 64, 128)
TYPES = {"F32": mx.float32, "F16": mx.float16, "BF16": mx.bfloat16}


def quantized_rows(rng, outputs, bits, group, dtype):
    """(words, scales, biases) of `outputs` rows."""
    weights = mx.array(rng.normal(size=(outputs, INPUTS)).astype(np.float32) * 0.05).astype(dtype)
    return mx.quantize(weights, group_size=group, bits=bits)


def random_rows(rng, outputs, bits, group, dtype):
    words = mx.array(rng.integers(0, 2**32, (outputs, INPUTS * bits // 32), dtype=np.uint32))
    shape = (outputs, INPUTS // group)
    scales = rng.normal(size=shape) * 10.0 ** rng.integers(-8, 5, shape)
    biases = rng.normal(size=shape) * 10.0 ** rng.integers(-8, 5, shape)
    return (words, *(mx.array(v.astype(np.float32)).astype(dtype) for v in (scales, biases)))


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    mx.set_default_device(mx.cpu)
    rng = np.random.default_rng(SEED)
    tensors, expected = {}, {}
    quantization = {"group_size": 64, "bits": 4, "mode": "affine"}

    def add(path, bits, group, words, scales, biases):
        tensors.update({f"{path}.weight": words, f"{path}.scales": scales, f"{path}.biases": biases})
        values = mx.dequantize(words, scales, biases, group_size=group, bits=bits)
        expected[f"{path}.weight"] = values.astype(mx.float32)
        if (bits, group) != (4, 64):
            quantization[path] = {"group_size": group, "bits": bits}

    for name, dtype in TYPES.items():
        for bits in BITS:
            for group in GROUPS:
                parts = [rows(rng, 2, bits, group, dtype) for rows in (quantized_rows, random_rows)]
                add(f"{name}.bits{bits}.group{group}", bits, group, *map(mx.concatenate, zip(*parts)))
    experts = [quantized_rows(rng, 2, 4, 64, mx.float16) for _ in range(3)]
    add("experts", 4, 64, *map(mx.stack, zip(*experts)))
    dense = mx.array(rng.normal(size=8).astype(np.float32)).astype(mx.bfloat16)
    tensors["norm.weight"] = dense
    expected["norm.weight"] = dense.astype(mx.float32)
    quantization["norm"] = False

    config = {"model_type": "vectors", "quantization": quantization, "quantization_config": quantization}
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    mx.save_safetensors(str(out / "model.safetensors"), tensors, metadata={"format": "mlx"})
    mx.save_safetensors(str(out / "expected.safetensors"), expected)


if __name__ == "__main__":
    main()
