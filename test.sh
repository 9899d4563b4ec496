#!/usr/bin/env bash
# Sets up a fresh Debian or Ubuntu machine, builds, and runs every test.
set -euo pipefail
cd "$(dirname "$0")"
tools/setup.sh
jobs=$(nproc)

cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DECQ_WERROR=ON
cmake --build build -j "$jobs"
python3 tools/check_includes.py
ctest --test-dir build --output-on-failure -j "$jobs"
