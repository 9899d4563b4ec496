#!/usr/bin/env bash
# Cross-compiles for AArch64 and runs tests under qemu-user, so that the NEON kernels are tested on x86-64 too.
# Installs nothing: tools/setup.sh --aarch64 does.
#
#   tools/test_aarch64.sh         the kernels, every codec through each of them
#   tools/test_aarch64.sh --all   every C++ test; the command as a whole is tested natively only
set -euo pipefail
cd "$(dirname "$0")/.."
for need in aarch64-linux-gnu-g++ qemu-aarch64-static build-aarch64-sysroot/usr/include; do
  command -v "$need" > /dev/null || [ -e "$need" ] || {
    echo "tools/test_aarch64.sh: $need is missing; run tools/setup.sh --aarch64" >&2
    exit 1
  }
done
jobs=$(nproc)
cmake --preset aarch64
if [ "${1:-}" = "--all" ]; then
  cmake --build --preset aarch64 -j "$jobs"
  ctest --preset aarch64 -j "$jobs"
  exit
fi
programs=(kernels_test backend_test differential_test)
cmake --build --preset aarch64 -j "$jobs" --target "${programs[@]}"
# Left out: programs that were not built, rows of other targets, which would only say that they are skipped, and
# widths and precisions between those that differ in kind.
ctest --preset aarch64 -j "$jobs" \
  -E '_NOT_BUILT|[_/](avx2|avx512|scalar)( |$)|^ecq_|PaddingDoesNotMatter|rans_m(9|10|11|13|14)_|raw_b[25678]_|EcqMutationTest'
