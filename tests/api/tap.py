# SPDX-License-Identifier: BSD-3-Clause
"""What the scripts of this folder share: TAP lines, and running a tool."""

import pathlib
import re
import shlex
import subprocess
import sys

HEADERS = ["acpi.h", "backend.h", "device.h", "device_tree.h", "error.h", "fw_cfg.h", "host.h",
           "i2c.h", "spapr.h", "spi.h", "state.h", "statistics.h", "tpmdev.h",
           "version.h"]


class Tap:
    """One line a test; `problems` is what is wrong, empty when nothing is."""

    def __init__(self):
        self.count = 0
        self.failed = 0

    def result(self, name, problems):
        self.count += 1
        if problems:
            self.failed += 1
            print(f"not ok {self.count} - {name}")
            for problem in problems:
                print(f"# {problem}")
        else:
            print(f"ok {self.count} - {name}")
        sys.stdout.flush()

    def skip(self, name, reason):
        self.count += 1
        print(f"ok {self.count} - {name} # SKIP {reason}")

    def done(self):
        print(f"1..{self.count}")
        sys.exit(1 if self.failed else 0)


def run(command, **options):
    """Run a tool; returns its output and, as a list of lines, what went wrong."""
    result = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                            timeout=300, **options)
    if result.returncode == 0:
        return result.stdout, []
    words = " ".join(shlex.quote(str(word)) for word in command)
    return result.stdout, [f"{words}: status {result.returncode}"] + result.stdout.splitlines()


def header_text(source_root, name):
    return (pathlib.Path(source_root) / "include/tpmdev" / name).read_text()


def exported_declarations(source_root):
    """The names of all functions that the headers declare with TPMDEV_EXPORT."""
    names = set()
    for header in HEADERS:
        for name in re.findall(r"^TPMDEV_EXPORT\n[^;{]*?\b(\w+)\(", header_text(source_root, header),
                               re.M):
            names.add(name)
    return names
