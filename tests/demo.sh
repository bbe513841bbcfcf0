#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# One command from a fresh Debian 12 machine to a Linux guest that uses our TPM: installs what is
# missing, builds, and boots firmware and Debian's kernel in Debian's own QEMU.

set -eu

here=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$here")
# shellcheck source=tests/install.sh
. "$here/install.sh"

usage()
{
    cat <<HELP
usage: tests/demo.sh [options]

Boots a Linux guest with a TPM of libtpmdev in Debian's own, unpatched QEMU and shows what it
says of its TPM. Everything that is needed is installed, built and fetched first.

  --device MODEL   what the guest sees: tpm-tis (default) or tpm-crb, registers in a PC; tpm-spapr,
                   the virtual TPM of a POWER machine
  --firmware NAME  seabios (default) or ovmf; slof, and no other, with tpm-spapr
  --tpmdev TYPE    the TPM behind them: libtpms, in QEMU's process (default), or emulator, which
                   is swtpm in a process of its own
  --migrate        show another thing: the guest seals a secret in its TPM and is written to a file,
                   QEMU ends, another QEMU restores it, and the guest unseals its secret
  --keep           keep the TPM's state for the next run with --keep; see its resets count up
  --help           this text

In the environment: BUILD, the directory to build in (default: build/ in the source tree);
TPMDEV_GUEST_CACHE, where the guest's kernel is kept (default: in that directory).
HELP
}

die()
{
    echo "demo.sh: $*" >&2
    exit 2
}

device=tpm-tis firmware= tpmdev=libtpms keep= show=show
while [ $# -gt 0 ]; do
    case $1 in
    --device=* | --firmware=* | --tpmdev=*) option=${1%%=*} value=${1#*=} ;;
    --device | --firmware | --tpmdev)
        option=$1
        [ $# -ge 2 ] || die "option $1 needs a value; see --help"
        value=$2
        shift
        ;;
    --keep | --migrate | --help) option=$1 ;;
    *) die "unknown option '$1'; see --help" ;;
    esac
    shift
    case $option in
    --device) device=$value ;;
    --firmware) firmware=$value ;;
    --tpmdev) tpmdev=$value ;;
    --keep) keep=1 ;;
    --migrate) show=show-move ;;
    --help)
        usage
        exit 0
        ;;
    esac
done
architecture=amd64 program=guest-check packages=$demo_packages
case $device in
tpm-tis | tpm-crb) ;;
tpm-spapr)
    architecture=ppc64el program=guest-check-ppc64el packages="$demo_packages $ppc64el_packages"
    ;;
*) die "unknown device '$device'; --device takes tpm-tis, tpm-crb or tpm-spapr" ;;
esac
case $architecture-$firmware in
amd64- | amd64-seabios) firmware=seabios firmware_name=SeaBIOS ;;
amd64-ovmf) firmware_name=OVMF ;;
ppc64el- | ppc64el-slof) firmware=slof firmware_name=SLOF ;;
*) die "no firmware '$firmware' for $device; it is seabios or ovmf, with tpm-spapr slof" ;;
esac
case $tpmdev in
libtpms | emulator) ;;
*) die "unknown TPM '$tpmdev'; --tpmdev takes libtpms or emulator" ;;
esac

# The same build as that of check.sh, so that neither does anew what the other has done.
build_root=${BUILD:-$top/build}
build=$build_root/plain
times=

# Run a part, tell what it is, and note how long it took.
part()
{
    title=$1
    shift
    printf '\n==> %s\n' "$title"
    start=$(date +%s%N)
    "$@"
    took=$((($(date +%s%N) - start) / 10000000))
    times="$times$(printf '%4d.%02d s  %s' $((took / 100)) $((took % 100)) "$title")
"
}

install_part()
{
    install_packages "$packages"
}

# What a tool prints is only of interest when it fails.
quietly()
{
    if ! "$@" >"$build_root/demo.log" 2>&1; then
        cat "$build_root/demo.log" >&2
        echo "demo.sh: '$*' failed" >&2
        return 1
    fi
}

build_part()
{
    mkdir -p "$build_root"
    if [ ! -f "$build/build.ninja" ]; then
        rm -rf "$build"
        quietly meson setup --werror "$build" "$top"
    elif ! grep -q "tests/guest/$program" "$build/build.ninja"; then
        # Set up when there was no compiler for it.
        quietly meson setup --reconfigure "$build" "$top"
    fi
    if [ -t 1 ]; then
        ninja -C "$build" tests/guest/libtpmdev-qemu.so "tests/guest/$program"
    else
        quietly ninja -C "$build" tests/guest/libtpmdev-qemu.so "tests/guest/$program"
    fi
}

run_guest()
{
    mode=$1
    shift
    python3 "$here/guest/run-guest.py" "$mode" \
        --plugin "$build/tests/guest/libtpmdev-qemu.so" \
        --guest-check "$build/tests/guest/$program" --architecture "$architecture" \
        --cache "$build/tests/guest/cache" "$@"
}

boot_part()
{
    if [ -n "$keep" ]; then
        mkdir -p "$build_root/demo-state/$tpmdev"
        set -- --state "$build_root/demo-state/$tpmdev"
    else
        set --
    fi
    run_guest "$show" --device "$device" --firmware "$firmware" --tpmdev "$tpmdev" "$@"
}

part 'Debian packages' install_part
part 'The library, the plugin for QEMU and the program for the guest' build_part
part "Debian's kernel for the guest" run_guest fetch
part "$firmware_name and Linux with $device, TPM by $tpmdev" boot_part

printf '\n==> Done. How long each part took:\n%s' "$times"
