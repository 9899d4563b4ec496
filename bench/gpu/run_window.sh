#!/usr/bin/env bash
# Builds the GPU bench of the window code, checks every kernel, measures, prints the tables.
#
# Usage: [OUT=folder] [ECQ_COMMIT=hash] [NVCC=nvcc] bench/gpu/run_window.sh
# Leaves in OUT (default: the current folder) window.json, window_sass.json, window.md, window.log.
set -euo pipefail

OUT=$(realpath "${OUT:-.}")
cd "$(dirname "$0")/../.."
export PATH="$PATH:/usr/local/cuda/bin"
NVCC=${NVCC:-nvcc}
COMMIT=${ECQ_COMMIT:-$(git rev-parse --short HEAD 2>/dev/null || echo unknown)}
BUILD=$(mktemp -d)
trap 'rm -rf "$BUILD"' EXIT
mkdir -p "$OUT"

"$NVCC" -O3 -arch=sm_90 -std=c++20 --split-compile=0 -I. -o "$BUILD/bench_window" \
  bench/gpu/bench_window.cu

SASS=()
if command -v cuobjdump >/dev/null; then
  cuobjdump -sass "$BUILD/bench_window" |
    python3 bench/gpu/sass_count.py "$OUT/window_sass.json" >"$OUT/window_sass.txt"
  SASS=("$OUT/window_sass.json")
else
  echo "run_window.sh: no cuobjdump, instructions are not counted" >&2
fi

status=0
timeout 270 "$BUILD/bench_window" "$OUT/window.json" "$COMMIT" "$(date -u +%Y-%m-%d)" \
  > >(tee "$OUT/window.log") 2> >(tee "$OUT/window.err" >&2) || status=$?
if [ -f "$OUT/window.json" ]; then
  python3 bench/gpu/table.py "$OUT/window.json" "${SASS[@]}" | tee "$OUT/window.md"
fi
exit "$status"
