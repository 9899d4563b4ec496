#!/usr/bin/env python3
"""Writes tests/vectors/gguf: raw ggml blocks and what the gguf package dequantizes them to.

For each type T the file T.blocks holds blocks back to back and T.f32 the expected float32 values.
Needs the PyPI packages gguf and numpy. Usage: gguf_vectors.py OUTPUT_DIRECTORY
"""

import pathlib
import sys

import gguf
import numpy as np

SEED = 20240229

# Byte offsets of the f16 scales in a block of each type.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "Q2_K": [80, 82], "Q3_K": [108], "IQ4_NL": [0], "IQ4_XS": [0],
}
# Zero, negative zero, smallest and largest subnormal, smallest normal, one, largest, infinity, NaN.
EXTREME_HALVES = [0x0000, 0x8000, 0x0001, 0x83FF, 0x0400, 0x3C00, 0x7BFF, 0xFBFF, 0x7C00, 0x7E00]


def quantized_blocks(rng, name):
    elements, size = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    num_random = 4 if elements == 256 else 24
    blocks = rng.integers(0, 256, (num_random + len(EXTREME_HALVES), size), dtype=np.uint8)
    blocks[0], blocks[1] = 0, 255
    for i, block in enumerate(blocks):
        for offset in SCALES[name]:
            if i < num_random:
                bits = np.float16(rng.normal() * 0.05).view(np.uint16)
            else:
                bits = np.uint16(EXTREME_HALVES[i - num_random])
            block[offset:offset + 2] = np.frombuffer(bits.tobytes(), np.uint8)
    return blocks.reshape(-1)


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    raw = {
        "F32": rng.normal(size=64).astype(np.float32).view(np.uint8),
        "F16": np.concatenate([rng.normal(size=54).astype(np.float16).view(np.uint16),
                               np.array(EXTREME_HALVES, np.uint16)]).view(np.uint8),
        "BF16": rng.integers(0, 0x7F00, 512, dtype=np.uint16).view(np.uint8),
    }
    raw |= {name: quantized_blocks(rng, name) for name in SCALES}
    for name, blocks in raw.items():
        with np.errstate(all="ignore"):
            values = gguf.dequantize(blocks, gguf.GGMLQuantizationType[name])
        (out / f"{name}.blocks").write_bytes(blocks.tobytes())
        (out / f"{name}.f32").write_bytes(values.astype("<f4", copy=False).tobytes())


if __name__ == "__main__":
    main()
