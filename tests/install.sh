# shellcheck shell=sh
# SPDX-License-Identifier: BSD-3-Clause
#
# For demo.sh and check.sh to source: Debian packages, by name. A machine that has them all is not
# touched and needs no network.
#
#     . "$here/install.sh"
#     install_packages "$demo_packages"

# To build the library and everything in tests/.
build_packages='meson ninja-build gcc libc6-dev pkg-config libglib2.0-dev libtpms-dev
    libssl-dev libfdt-dev libcmocka-dev libjson-glib-dev'

# To boot guests: QEMU with SeaBIOS and OVMF, a TPM in a process of its own, what goes into the
# guest, and apt-get to fetch its kernel.
guest_packages='qemu-system-x86 seabios ovmf swtpm busybox-static python3 apt dpkg
    ca-certificates'

# The same for POWER: QEMU, which brings SLOF along, and a compiler for what goes into the guest.
ppc64el_packages='qemu-system-ppc qemu-system-data gcc-powerpc64le-linux-gnu
    libc6-dev-ppc64el-cross'

# What the other suites take: a C++ compiler for the headers, real TPM software, iasl to judge our
# AML, hosts that are network namespaces, and the checks of the style and of the documents.
suite_packages='g++ git clang-format tpm2-tools libtss2-tcti-cmd0 acpica-tools binutils
    iproute2 mount util-linux python3-sphinx'

# What Arm takes: QEMU, for guests and for its own device to compare ours with; U-Boot and EDK2 for
# it; fdtput and fdtget for device trees; a compiler for what goes into a guest with Linux.
arm_packages='qemu-system-arm u-boot-qemu qemu-efi-aarch64 device-tree-compiler
    gcc-aarch64-linux-gnu libc6-dev-arm64-cross'

# shellcheck disable=SC2034 # for those who source this
demo_packages="$build_packages $guest_packages"
# shellcheck disable=SC2034
check_packages="$build_packages $guest_packages $suite_packages $arm_packages $ppc64el_packages"

# Print those of the packages given that are not installed.
missing_packages()
{
    for package; do
        case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
        installed) ;;
        *) printf '%s ' "$package" ;;
        esac
    done
}

# Run as root: directly, or by sudo, which may ask for a password where there is a terminal.
as_root()
{
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif [ -t 0 ]; then
        sudo "$@"
    else
        sudo -n "$@"
    fi
}

explain_packages()
{
    printf '%s: %s\n' "${0##*/}" "$1" >&2
    printf 'Needed are these Debian packages; please install them, then start again:\n' >&2
    printf '  %s\n' "$2" >&2
}

# Install what is missing of the packages named, in one argument or several; false, with the
# reason said, when that cannot be.
install_packages()
{
    if [ -n "${TPMDEV_NO_INSTALL:-}" ]; then
        return 0
    fi
    # shellcheck disable=SC2048,SC2086 # one argument may name several
    set -- $*
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        explain_packages 'this is no Debian system; TPMDEV_NO_INSTALL=1 in the environment skips
the installation and takes the counterparts of all packages to be there' "$*"
        return 1
    fi
    missing=$(missing_packages "$@")
    if [ -z "$missing" ]; then
        return 0
    fi
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        explain_packages 'packages are missing, this is not root, and there is no sudo' "$missing"
        return 1
    fi
    echo "installing $missing"
    # The package lists of an image may be missing or old. A mirror that is away shows right after.
    as_root apt-get -q update >&2 || true
    # shellcheck disable=SC2086 # a list of names
    if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y \
        --no-install-recommends $missing >&2; then
        explain_packages 'apt-get did not install the packages that are missing' "$missing"
        return 1
    fi
}
