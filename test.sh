#!/usr/bin/env bash
# Sets up a fresh Debian or Ubuntu machine, builds, and runs every test: first a release build, then the
# same tests under AddressSanitizer and UndefinedBehaviorSanitizer, then the kernels for AArch64 under qemu-user.
#
#   ./test.sh              everything (about 35 minutes on two cores from a clean checkout)
#   ./test.sh --fast       the release build only
set -euo pipefail
cd "$(dirname "$0")"
tools/setup.sh
jobs=$(nproc)

python3 tools/check_includes.py
# Tests on a real model run where it can be fetched; without it they say so and are skipped.
python3 tools/get_model.py smollm2-135m || echo "SmolLM2 could not be fetched: tests on it are skipped"

cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DECQ_WERROR=ON
cmake --build build -j "$jobs"
ctest --test-dir build --output-on-failure -j "$jobs"

if [ "${1:-}" != "--fast" ]; then
  cmake -S . -B build-sanitize -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DECQ_SANITIZE=ON -DECQ_BENCH=OFF
  cmake --build build-sanitize -j "$jobs"
  # Without widths and precisions between those that differ in kind, which the release build has run.
  ctest --test-dir build-sanitize --output-on-failure -j "$jobs" -E 'rans_m(9|10|11|13|14)_|raw_b[25678]_'

  if [ "$(uname -m)" = x86_64 ]; then
    if tools/setup.sh --aarch64; then
      tools/test_aarch64.sh
    else
      echo "##### SKIPPED: the AArch64 tools or libraries could not be installed; NEON kernels were NOT tested #####" >&2
    fi
  fi
fi
