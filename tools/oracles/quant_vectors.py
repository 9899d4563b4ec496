#!/usr/bin/env python3
"""Writes tests/vectors/quant: weights and what other projects' 4- and 3-bit grids make of them.

weights.f32 holds (ROWS, COLS) float32 values. q4_0.blocks is what the gguf package quantizes them to
(ggml's Q4_0). mlxB.levels (u8), mlxB.scales and mlxB.biases (f16) are MLX's affine quantization in
groups of 64 with B bits, from its formula in float32, with scales and biases rounded to f16 before
the levels are chosen. Needs the PyPI packages gguf and numpy. Usage: quant_vectors.py OUTPUT_DIRECTORY
"""

import pathlib
import sys

import gguf
import numpy as np

SEED = 20240301
COLS = 256
GROUP = 64


def weights(rng):
    """Ordinary rows first, then one row for each odd case."""
    ramp = np.linspace(-1, 1, COLS)
    spike = rng.normal(size=COLS) * 0.01
    spike[100] = 30.0
    rows = [rng.normal(size=COLS) * 0.02 for _ in range(12)]
    rows += [rng.laplace(size=COLS) * 0.02 for _ in range(6)]
    rows += [np.zeros(COLS), np.full(COLS, 0.25), np.full(COLS, -0.25), ramp, -ramp, ramp + 2, ramp - 2]
    rows += [spike, -spike, rng.normal(size=COLS) * 1e-6, rng.normal(size=COLS) * 1e3]
    rows += [rng.integers(-8, 8, COLS) / 16.0, rng.integers(0, 2, COLS) * 1.0]
    return np.array(rows, np.float32)


def mlx_affine(w, bits):
    """mlx/ops.cpp, affine_quantize, mode affine."""
    bins = np.float32((1 << bits) - 1)
    groups = w.reshape(w.shape[0], -1, GROUP)
    low, high = groups.min(-1), groups.max(-1)
    scales = np.maximum((high - low) / bins, np.float32(1e-7))
    low_end = np.abs(low) > np.abs(high)
    scales = np.where(low_end, scales, -scales)
    edge = np.where(low_end, low, high)
    q0 = np.rint(edge / scales)
    nonzero = q0 != 0
    scales = np.where(nonzero, edge / np.where(nonzero, q0, 1), scales).astype(np.float16)
    biases = np.where(nonzero, edge, 0).astype(np.float16)
    wide_scales = scales.astype(np.float32)[..., None]
    steps = np.divide(groups - biases.astype(np.float32)[..., None], wide_scales,
                      out=np.zeros_like(groups), where=wide_scales != 0)
    return np.clip(np.rint(steps), 0, bins).astype(np.uint8).reshape(w.shape), scales, biases


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    w = weights(np.random.default_rng(SEED))
    w.tofile(out / "weights.f32")
    gguf.quants.quantize(w, gguf.GGMLQuantizationType.Q4_0).tofile(out / "q4_0.blocks")
    for bits in (4, 3):
        levels, scales, biases = mlx_affine(w, bits)
        levels.tofile(out / f"mlx{bits}.levels")
        scales.tofile(out / f"mlx{bits}.scales")
        biases.tofile(out / f"mlx{bits}.biases")


if __name__ == "__main__":
    main()
