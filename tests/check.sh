#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Builds and runs every suite: on a fresh Debian 12 this one command does all there is to do.
# Ends with one line: N passed, N failed, N skipped.
#
# usage: tests/check.sh [--fast] [--build DIRECTORY]
set -euo pipefail

source_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build_root=${BUILD:-$source_root/build}
fast=false

usage()
{
    cat <<END
usage: tests/check.sh [--fast] [--build DIRECTORY]

Installs what is missing, builds with -Wall -Wextra -Werror, runs every suite, and runs them again
under AddressSanitizer with UndefinedBehaviorSanitizer and under ThreadSanitizer.

  --fast             the plain build only, without the guests and the sanitizers
  --build DIRECTORY  build there instead of in build/
  --help             this text
END
}

while [ $# -gt 0 ]; do
    case $1 in
    --fast) fast=true ;;
    --build)
        [ $# -ge 2 ] || { echo "check.sh: --build needs a directory" >&2; exit 2; }
        build_root=$2
        shift
        ;;
    --help) usage; exit 0 ;;
    *)
        echo "check.sh: unknown option '$1'; --help lists what it takes" >&2
        exit 2
        ;;
    esac
    shift
done

# shellcheck source=tests/install.sh
. "$source_root/tests/install.sh"

say()
{
    printf '\n== %s (%d s)\n' "$*" "$SECONDS"
}

# Configure and build one variant: build NAME [MESON OPTION...]
build()
{
    local directory=$build_root/$1
    shift
    # What was installed since an earlier run is to be found now.
    if [ -f "$directory/build.ninja" ]; then
        set -- --reconfigure "$@"
    else
        rm -rf "$directory"
    fi
    meson setup --wrap-mode=nofallback --werror "$@" "$directory" "$source_root" \
        > "$directory.log" 2>&1 || { cat "$directory.log"; return 1; }
    ninja -C "$directory" --quiet
}

logs=()

# Run suites of a variant; what fails is counted at the end: run VARIANT LOG SUITE... What the plain
# build has run and a sanitizer has nothing to see in is of the suite `once`, and what has only one
# thread, and takes its time, is of the suite `alone`.
run()
{
    local variant=$1 log=$2 suites=()
    shift 2
    [ "$variant" = plain ] || suites+=(--no-suite once)
    [ "$variant" != tsan ] || suites+=(--no-suite alone)
    for suite in "$@"; do
        suites+=(--suite "$suite")
    done
    # One more than there are processors: many a test waits for a guest or for a process to end.
    meson test -C "$build_root/$variant" --no-rebuild --logbase "$log" \
        --num-processes $(($(nproc) + 1)) "${suites[@]}" || true
    logs+=("$log=$build_root/$variant/meson-logs/$log.json")
}

say "installing what is missing"
install_packages "$check_packages"

mkdir -p "$build_root"
results=()

say "style"
mapfile -t sources < <(cd "$source_root" && git ls-files '*.c' '*.h')
if ! (cd "$source_root" && clang-format --dry-run --Werror "${sources[@]}"); then
    results+=(--failed "style: the sources are not as clang-format would have them")
fi

say "plain build"
build plain
run plain plain unit api docs fuzz qtest acpi bench

if ! $fast; then
    say "guests"
    run plain guests guest

    say "AddressSanitizer and UndefinedBehaviorSanitizer"
    build asan -Db_sanitize=address,undefined -Db_lundef=false
    run asan asan unit api fuzz qtest acpi bench guest

    say "ThreadSanitizer"
    build tsan -Db_sanitize=thread -Db_lundef=false
    run tsan tsan unit fuzz qtest bench
fi

say "results"
python3 "$source_root/tests/tally.py" ${CI:+--no-skips} "${results[@]}" "${logs[@]}"
