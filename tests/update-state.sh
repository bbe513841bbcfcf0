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

if ! [ -f "$build/build.ninja" ]; then
    echo "update-state.sh: '$build' is no build directory; make one: meson setup $build" >&2
    exit 2
fi
fresh=$(mktemp -d)
trap 'rm -r "$fresh"' EXIT

# write TEST FOLDER: what the test makes goes to this folder, where it is missing there.
write() {
    local target=$source_root/tests/data/state/$2

    ninja -C "$build" --quiet "tests/unit/$1"
    mkdir -p "$fresh/$2" "$target"
    TPMDEV_WRITE_STATE=$fresh/$2 "$build/tests/unit/$1"
    # A stream and its text are of one TPM: a text alone would be that of another.
    for file in "$fresh/$2"/*.state; do
        if ! [ -e "$target/$(basename "$file")" ]; then
            cp "$file" "${file%.state}.txt" "$target/"
        fi
    done
}

write test-state-fixtures v1
write test-state-real v1-real
cd "$source_root"
git status --short -- tests/data/state
