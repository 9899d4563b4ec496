#!/usr/bin/env bash
# Sets up a fresh Debian or Ubuntu machine, builds, and runs the main job on the embedded model:
# quantize at several rates, generate, and show what each costs in bytes and quality.
set -euo pipefail
cd "$(dirname "$0")"
tools/setup.sh
cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF -DECQ_BENCH=OFF >/dev/null
cmake --build build -j "$(nproc)" --target ecq
exec python3 tools/demo_table.py build/ecq
