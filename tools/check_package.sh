#!/usr/bin/env bash
# Builds the Debian package and checks it: contents and dependencies, then the command and the C example
# from its unpacked files.
#
#   tools/check_package.sh [BUILD_DIR]     (default: build; configured already)
set -euo pipefail
cd "$(dirname "$0")/.."
build=$(realpath "${1:-build}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --build "$build" --target ecq libecq ecq_docs
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH
for attempt in first second; do
  (cd "$build" && cpack -G DEB -B "$work/$attempt" >/dev/null)
done
package=$(echo "$work"/first/ecq_*.deb)
cmp "$package" "$work/second/$(basename "$package")"  # the same files give the same package

dpkg-deb -I "$package" | tee "$work/info"
dpkg-deb -c "$package" | tee "$work/contents"
for field in 'Package: ecq' 'Architecture:' 'Depends:.*libc6' 'Depends:.*libstdc++6' 'Depends:.*libopenblas0' \
  'Depends:.*libfmt'; do
  grep -q "$field" "$work/info" || { echo "$package: no '$field' in its control file" >&2; exit 1; }
done
# Everything is owned by root and writable by nobody else.
if awk '$2 != "root/root" || ($1 ~ /^[-d]/ && (substr($1, 6, 1) == "w" || substr($1, 9, 1) == "w"))' \
  "$work/contents" | grep .; then
  echo "$package: wrong owner or mode of the files above" >&2
  exit 1
fi

dpkg-deb -x "$package" "$work/root"
"$work/root/usr/bin/ecq" --version
python3 tests/package/check_install.py --prefix "$work/root/usr"
if command -v lintian >/dev/null; then
  lintian --fail-on error "$package"
fi
cp "$package" "$build/"
echo "package: $build/$(basename "$package")"
