# SPDX-License-Identifier: BSD-3-Clause
"""The guest's initial file system, as the kernel unpacks it: a gzip'ed "newc" cpio archive.

Written here rather than by cpio(1), so that every byte depends on the files alone: the modes are
given, the owner is root, the times are 0.
"""
import gzip
import os
import stat

MAGIC = b"070701"


class Archive:
    """An archive that is being made; add directories before what is in them."""

    def __init__(self):
        self._bytes = bytearray()
        self._inode = 0

    def _entry(self, name, mode, data):
        self._inode += 1
        encoded = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(encoded), 0)
        self._bytes += MAGIC + b"".join(b"%08X" % field for field in fields) + encoded
        self._pad()
        self._bytes += data
        self._pad()

    def _pad(self):
        self._bytes += bytes(-len(self._bytes) % 4)

    def directory(self, name):
        self._entry(name, stat.S_IFDIR | 0o755, b"")

    def program(self, name, path):
        with open(path, "rb") as source:
            self._entry(name, stat.S_IFREG | 0o755, source.read())

    def finish(self):
        self._entry("TRAILER!!!", 0, b"")
        return bytes(self._bytes)


def make(path, init, guest_check, busybox, guest_nested=None):
    """Write the guest's initramfs to `path`, whole or not at all."""
    archive = Archive()
    archive.directory("bin")
    archive.program("init", init)
    archive.program("bin/busybox", busybox)
    archive.program("bin/guest-check", guest_check)
    if guest_nested:
        archive.program("bin/guest-nested", guest_nested)
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as target:
        # The guest unpacks it under emulation: the quickest level is the quickest boot.
        target.write(gzip.compress(archive.finish(), compresslevel=1, mtime=0))
    os.replace(temporary, path)
