# SPDX-License-Identifier: BSD-3-Clause
"""One file of one of Debian's packages, of any architecture: downloaded by apt-get and unpacked,
never installed.

apt-get works on lists and a status of its own, in the directory it is given: the machine's package
database, its lists and its architectures are neither used nor changed, and no root is needed. The
sources and the proxy are those of the machine.
"""
import os
import shutil
import subprocess
import tarfile

# What a fetch may take: 70 MB over a slow line.
DEADLINE_S = 900

# Read behind the machine's own configuration. Hooks are for the machine's lists, so they are not
# run for these. As root, apt-get would drop to a user that may not write here.
CONFIGURATION = """
#clear APT::Architectures;
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Acquire::Languages "none";
Dir::State "{directory}/state";
Dir::State::status "{directory}/status";
Dir::Cache "{directory}/cache";
"""


class PackageError(Exception):
    """The package cannot be had; the text says why."""


def _run(command, directory):
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=directory,
                              timeout=DEADLINE_S).stdout
    except FileNotFoundError as missing:
        raise PackageError(f"there is no {missing.filename} here") from missing
    except subprocess.CalledProcessError as failed:
        said = (failed.stderr or "").splitlines()
        reason = next((line for line in said if line.startswith("E: ")), "no reason given")
        raise PackageError(f"{' '.join(command)} failed ({reason})") from failed
    except subprocess.TimeoutExpired as late:
        raise PackageError(f"{' '.join(command)} did not end within {DEADLINE_S} s") from late


class Archive:
    """Debian's packages of one architecture, in an empty directory of the caller's."""

    def __init__(self, directory, architecture):
        # apt-get runs there, and its configuration names paths below it.
        directory = os.path.abspath(directory)
        self._directory = directory
        self._configuration = os.path.join(directory, "apt.conf")
        self._update_error = None
        for name in ("state/lists/partial", "cache/archives/partial"):
            os.makedirs(os.path.join(directory, name))
        with open(os.path.join(directory, "status"), "wb"):
            pass
        with open(self._configuration, "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(directory=directory, architecture=architecture))
        try:
            self._apt("apt-get", "update")
        except PackageError as error:
            # One of several sources may be away; what is wanted may be in another.
            self._update_error = error

    def _apt(self, program, *arguments):
        return _run([program, "-q", "-c", self._configuration, *arguments], self._directory)

    def dependency(self, package, prefix):
        """The package beginning with `prefix` on which `package` depends."""
        try:
            told = self._apt("apt-cache", "depends", "--important", package)
        except PackageError as error:
            raise self._update_error or error
        for line in told.splitlines():
            kind, _, name = line.strip().partition(": ")
            if kind == "Depends" and name.startswith(prefix):
                return name
        raise PackageError(f"{package} depends on no {prefix}")

    def extract(self, package, prefix, target):
        """Write the file of `package` whose name begins with `prefix` to `target`."""
        try:
            self._apt("apt-get", "download", package)
        except PackageError as error:
            raise self._update_error or error
        name = next(name for name in os.listdir(self._directory)
                    if name.startswith(f"{package}_") and name.endswith(".deb"))
        path = os.path.join(self._directory, name)
        try:
            _extract(path, prefix, target)
        finally:
            os.unlink(path)


def _extract(path, prefix, target):
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", path], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as unpacker:
        try:
            with tarfile.open(fileobj=unpacker.stdout, mode="r|") as archive:
                for member in archive:
                    if member.name.startswith(prefix):
                        with open(target, "wb") as file:
                            shutil.copyfileobj(archive.extractfile(member), file)
                        return
        finally:
            unpacker.kill()
    raise PackageError(f"{os.path.basename(path)} holds no {prefix}")
