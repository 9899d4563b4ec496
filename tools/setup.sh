#!/usr/bin/env bash
# Installs the Debian packages that ECQ builds with, if any of them is missing.
set -euo pipefail
packages=(g++ cmake ninja-build pkg-config python3 python3-pip libcli11-dev nlohmann-json3-dev libfmt-dev
  libxxhash-dev libssl-dev libpcre2-dev libutf8proc-dev libopenblas-pthread-dev libgtest-dev
  libbenchmark-dev)
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
