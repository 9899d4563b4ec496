#!/usr/bin/env bash
# Unpacks the AArch64 libraries that ECQ builds with into a folder, for cross-compiling.
#
#   tools/aarch64_sysroot.sh FOLDER
#
# Needs no root and leaves the machine's own packages alone: apt runs with a state of its own, as on an empty
# arm64 system. A folder that is complete is kept as it is.
set -euo pipefail
sysroot=${1:?usage: tools/aarch64_sysroot.sh FOLDER}
packages=(libcli11-dev nlohmann-json3-dev libfmt-dev libxxhash-dev libssl-dev libpcre2-dev libutf8proc-dev
  libopenblas-pthread-dev libgtest-dev libbenchmark-dev)
[ "$(cat "$sysroot/.packages" 2>/dev/null)" != "${packages[*]}" ] || exit 0

state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
mkdir -p "$state"/{lists,archives}/partial
: > "$state/status"
apt=(apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o Dir::State="$state"
  -o Dir::State::status="$state/status" -o Dir::Cache="$state" -o Dir::Log="$state" -o APT::Sandbox::User="$(id -un)")
"${apt[@]}" update
"${apt[@]}" install -y --no-install-recommends --download-only "${packages[@]}" > /dev/null

rm -rf "$sysroot"
mkdir -p "$sysroot"
for archive in "$state"/archives/*.deb; do dpkg-deb -x "$archive" "$sysroot"; done
rm -rf "$sysroot"/usr/share/{doc,man,locale}
# What leads to / must lead to the sysroot.
find "$sysroot" -type l -lname '/*' | while read -r link; do
  ln -sfnr "$sysroot$(readlink "$link")" "$link"
done
# Debian chooses the OpenBLAS in use when its package is configured.
libraries=$sysroot/usr/lib/aarch64-linux-gnu
for name in libopenblas.so libopenblas.so.0; do ln -sfnr "$libraries/openblas-pthread/$name" "$libraries/$name"; done
echo "${packages[*]}" > "$sysroot/.packages"
