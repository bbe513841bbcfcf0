# SPDX-License-Identifier: BSD-3-Clause
"""Debian's own kernel for the guest: downloaded by apt-get, unpacked, never installed.

It is kept in a directory of the caller's and fetched once. Every boot driver of this project's
TPM devices is built into it, so that no module is needed.
"""
import fcntl
import os
import shutil
import subprocess
import tarfile
import tempfile

META_PACKAGE = "linux-image-amd64"

# What a fetch may take: 70 MB over a slow line.
DOWNLOAD_DEADLINE_S = 900


class KernelError(Exception):
    """The kernel is not there and cannot be fetched; the text says what would help."""


def _run(command, **options):
    return subprocess.run(command, check=True, capture_output=True, text=True,
                          timeout=DOWNLOAD_DEADLINE_S, **options).stdout


def _package_name():
    """The package that has the kernel: what the meta package depends on."""
    for line in _run(["apt-cache", "depends", "--important", META_PACKAGE]).splitlines():
        kind, _, name = line.strip().partition(": ")
        if kind == "Depends" and name.startswith("linux-image-"):
            return name
    raise KernelError(f"apt-get knows no package {META_PACKAGE}")


def _update_lists():
    """Package lists may be missing or name what the mirror no longer has."""
    command = ["apt-get", "update"]
    if os.geteuid() != 0:
        command = ["sudo", "-n"] + command
    _run(command)


def _download(directory):
    """Download the package into `directory` and return its path."""
    # As root, apt-get would drop to a user that may not write there.
    sandbox = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    _run(["apt-get", "download"] + sandbox + [_package_name()], cwd=directory)
    return os.path.join(directory, next(f for f in os.listdir(directory) if f.endswith(".deb")))


def _download_with_fresh_lists(directory):
    try:
        return _download(directory)
    except (KernelError, subprocess.CalledProcessError):
        _update_lists()
        return _download(directory)


def _extract_kernel(package, target):
    """Write the one file that is needed of the package to `target`."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as unpacker:
        try:
            with tarfile.open(fileobj=unpacker.stdout, mode="r|") as archive:
                for member in archive:
                    if member.name.startswith("./boot/vmlinuz-"):
                        with open(target, "wb") as kernel:
                            shutil.copyfileobj(archive.extractfile(member), kernel)
                        return
        finally:
            unpacker.kill()
    raise KernelError(f"{package} holds no kernel")


def _fetch(directory, kernel):
    with tempfile.TemporaryDirectory(dir=directory) as work:
        package = _download_with_fresh_lists(work)
        unpacked = os.path.join(work, "vmlinuz")
        _extract_kernel(package, unpacked)
        os.replace(unpacked, kernel)


def ensure(directory):
    """Return the path of the kernel in `directory`, fetched if it is not there."""
    os.makedirs(directory, exist_ok=True)
    kernel = os.path.join(directory, "vmlinuz-amd64")
    with open(os.path.join(directory, "lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(kernel):
            try:
                _fetch(directory, kernel)
            except FileNotFoundError as missing:
                raise KernelError(f"there is no {missing.filename} here to fetch {META_PACKAGE}; "
                                  f"put a kernel at {kernel}") from missing
            except subprocess.CalledProcessError as failed:
                said = (failed.stderr or "").strip().splitlines() or ["no reason given"]
                raise KernelError(f"{' '.join(failed.cmd)} failed ({said[-1]}); make the network "
                                  f"available, or put a kernel at {kernel}") from failed
            except subprocess.TimeoutExpired as late:
                raise KernelError(f"{' '.join(late.cmd)} did not end within "
                                  f"{DOWNLOAD_DEADLINE_S} s") from late
    return kernel
