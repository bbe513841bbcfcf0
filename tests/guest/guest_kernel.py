# SPDX-License-Identifier: BSD-3-Clause
"""Debian's own kernel for the guest, of the guest's architecture, and a static busybox where this
machine's own is none for the guest.

They are kept in a directory of the caller's and fetched once. Every boot driver of this project's
TPM devices is built into the kernels, so that no module is needed.
"""
import collections
import fcntl
import os
import tempfile

import debian_package

# What is fetched for an architecture, by Debian's name of it: the package that depends on the
# present kernel, what the kernel's file is called, and whether busybox is fetched as well.
Guest = collections.namedtuple("Guest", "package kernel busybox")
GUESTS = {
    "amd64": Guest("linux-image-amd64", "vmlinuz", False),
    "arm64": Guest("linux-image-arm64", "vmlinuz", True),
    "ppc64el": Guest("linux-image-powerpc64le", "vmlinux", True),
}

# The paths of the files; busybox is None where it is not fetched.
Files = collections.namedtuple("Files", "kernel busybox")


class KernelError(Exception):
    """A file is not there and cannot be fetched; the text says what would help."""


def _extract_kernel(archive, guest, target):
    package = archive.dependency(guest.package, "linux-image-")
    archive.extract(package, f"./boot/{guest.kernel}-", target)


def _fetch(architecture, files):
    """Put those of the files where they belong that are not there yet, each whole or not at all."""
    with tempfile.TemporaryDirectory(dir=os.path.dirname(files.kernel)) as work:
        archive = debian_package.Archive(work, architecture)
        unpacked = os.path.join(work, "unpacked")
        if not os.path.exists(files.kernel):
            _extract_kernel(archive, GUESTS[architecture], unpacked)
            os.replace(unpacked, files.kernel)
        if files.busybox and not os.path.exists(files.busybox):
            archive.extract("busybox-static", "./bin/busybox", unpacked)
            os.replace(unpacked, files.busybox)


def ensure(directory, architecture):
    """Return the Files in `directory`, fetched if they are not there."""
    guest = GUESTS[architecture]
    files = Files(os.path.join(directory, f"{guest.kernel}-{architecture}"),
                  os.path.join(directory, f"busybox-{architecture}") if guest.busybox else None)
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [path for path in files if path and not os.path.exists(path)]
        if missing:
            try:
                _fetch(architecture, files)
            except debian_package.PackageError as error:
                raise KernelError(f"{error}; make the network available, or put the file of "
                                  f"{architecture} at {' and '.join(missing)}") from error
    return files
