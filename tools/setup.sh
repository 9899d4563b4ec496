#!/usr/bin/env bash
# Installs the Debian packages that ECQ builds with, if any of them is missing.
#
#   tools/setup.sh             for this machine
#   tools/setup.sh --aarch64   also what tools/test_aarch64.sh needs: a cross compiler, qemu and the libraries
set -euo pipefail
cd "$(dirname "$0")/.."
packages=(g++ cmake ninja-build pkg-config python3 python3-pip libcli11-dev nlohmann-json3-dev libfmt-dev
  libxxhash-dev libssl-dev libpcre2-dev libutf8proc-dev libopenblas-pthread-dev libgtest-dev
  libbenchmark-dev)
[ "${1:-}" != "--aarch64" ] || packages+=(g++-aarch64-linux-gnu qemu-user-static)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "Installing: ${missing[*]}"
  sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
[ "${1:-}" != "--aarch64" ] || tools/aarch64_sysroot.sh build-aarch64-sysroot
