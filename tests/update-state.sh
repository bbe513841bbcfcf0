#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Writes the streams of tests/data/state that are missing, from what the library saves today. What is
# there is never written again: a library of any later time has to load it. A new version of the form
# gets a new folder.
#
# usage: tests/update-state.sh [BUILD]
#
# BUILD is a build directory, build/plain unless given.
set -euo pipefail

source_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${1:-$source_root/build/plain}
target=$source_root/tests/data/state/v1

if ! [ -f "$build/build.ninja" ]; then
    echo "update-state.sh: '$build' is no build directory; make one: meson setup $build" >&2
    exit 2
fi
ninja -C "$build" --quiet tests/unit/test-state-fixtures
fresh=$(mktemp -d)
trap 'rm -r "$fresh"' EXIT
TPMDEV_WRITE_STATE=$fresh "$build/tests/unit/test-state-fixtures"
mkdir -p "$target"
for file in "$fresh"/*; do
    if ! [ -e "$target/$(basename "$file")" ]; then
        cp "$file" "$target/"
    fi
done
cd "$source_root"
git status --short -- tests/data/state
