#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Writes tests/data/acpi anew, from what -acpi-dump makes today, with iasl's disassembly. Look at what
# git says has changed, and commit it by itself, with the reason.
#
# usage: tests/update-golden.sh [BUILD]
#
# BUILD is a build directory, build/plain unless given.
set -euo pipefail

source_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=${1:-$source_root/build/plain}

if ! [ -f "$build/build.ninja" ]; then
    echo "update-golden.sh: '$build' is no build directory; make one: meson setup $build" >&2
    exit 2
fi
if ! command -v iasl >/dev/null; then
    echo "update-golden.sh: iasl is missing; install the package acpica-tools" >&2
    exit 2
fi
ninja -C "$build" --quiet tests/qtest/tpmdev-system-x86_64 tests/qtest/tpmdev-system-aarch64
python3 "$source_root/tests/acpi/golden.py" --machine "$build/tests/qtest/tpmdev-system-x86_64"
cd "$source_root"
git status --short -- tests/data/acpi
