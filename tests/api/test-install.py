#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The library as installed: what is there, and the programs of docs/examples built against it.

usage: test-install.py SOURCE_ROOT BUILD_ROOT PREFIX LIBDIR CFLAGS...

CC, MESON, READELF and VERSION come from the environment.
"""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

from tap import HEADERS, Tap, run

SOURCE_ROOT, BUILD_ROOT, PREFIX, LIBDIR, *CFLAGS = sys.argv[1:]
VERSION = os.environ["VERSION"]
CC = shlex.split(os.environ["CC"])
MESON = shlex.split(os.environ["MESON"])
EXAMPLES = pathlib.Path(SOURCE_ROOT) / "docs/examples"
EXAMPLE = EXAMPLES / "hello-tpm.c"
MOVE_EXAMPLE = EXAMPLES / "move-tpm.c"
LEVELS = ["interrupt line of tpm0 is high", "interrupt line of tpm0 is low"]


class Installation:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.root = self.folder / "root"
        self.prefix = self.root / PREFIX.lstrip("/")
        self.libdir = self.prefix / LIBDIR
        self.environment = dict(os.environ, PKG_CONFIG_PATH=str(self.folder),
                                LD_LIBRARY_PATH=str(self.libdir))

    def install(self):
        return run([*MESON, "install", "-C", BUILD_ROOT, "--no-rebuild", "--quiet",
                    "--destdir", self.root])[1]

    def move_pkg_config_file(self):
        """As a package manager's chroot would: DESTDIR is not where the file says it is."""
        text = (self.libdir / "pkgconfig/libtpmdev.pc").read_text()
        assert f"prefix={PREFIX}\n" in text
        text = text.replace(f"prefix={PREFIX}\n", f"prefix={self.prefix}\n")
        (self.folder / "libtpmdev.pc").write_text(text)

    def pkg_config(self, *arguments):
        output, problems = run(["pkg-config", *arguments, "libtpmdev"], env=self.environment)
        return shlex.split(output) if not problems else problems

    def build(self, output, libs, example=EXAMPLE):
        return run([*CC, *CFLAGS, "-Wall", "-Werror", example, *libs, "-o", output])[1]


def check_files(installation):
    wanted = [installation.prefix / "include/tpmdev" / header for header in HEADERS]
    wanted += [installation.libdir / name for name in
               ("libtpmdev.so", "libtpmdev.so.0", f"libtpmdev.so.{VERSION}", "libtpmdev.a",
                "pkgconfig/libtpmdev.pc")]
    found = {path for path in installation.root.rglob("*") if not path.is_dir()}
    return ([f"{path} is missing" for path in sorted(set(wanted) - found)] +
            [f"{path} does not belong there" for path in sorted(found - set(wanted))])


def check_pkg_config(installation):
    version = installation.pkg_config("--modversion")
    libs = installation.pkg_config("--libs")
    problems = [] if version == [VERSION] else [f"the version is {version}"]
    problems += [f"a program would link {lib}, which is the library's own affair"
                 for lib in libs if "tpms" in lib]
    return problems + ([] if "-ltpmdev" in libs else [f"the libraries are {libs}"])


def run_example(installation, program, *arguments):
    result = subprocess.run([program, *arguments], env=installation.environment, timeout=120,
                            capture_output=True, text=True, check=False)
    return result.returncode, result.stdout, result.stderr


def check_output(output):
    """One line of random bytes; and the line's levels in turn, which come on any thread."""
    lines = output.splitlines()
    levels = [line for line in lines if line in LEVELS]
    random = [line for line in lines if re.fullmatch("random: [0-9a-f]{16}", line)]
    if len(random) != 1 or len(lines) != len(levels) + 1:
        return [f"the output is {lines}"]
    if any(level != LEVELS[i % 2] for i, level in enumerate(levels)):
        return [f"the levels are {levels}"]
    return []


def check_example(installation, program):
    """Random bytes, twice, and others the second time: a new TPM first, its saved state then."""
    problems = []
    seen = set()
    state = installation.folder / f"{program.name}-state"
    state.mkdir()
    for _ in range(2):
        status, output, errors = run_example(installation, program, state)
        problems += check_output(output)
        if status != 0 or errors:
            problems.append(f"status {status}, errors {errors!r}")
        seen |= {line for line in output.splitlines() if line.startswith("random")}
    if len(seen) != 2 or "random: " + 16 * "f" in seen:
        problems.append(f"these are not random: {seen}")
    return problems


def check_example_errors(installation, program):
    cases = [((), "directory is empty; give an existing directory"),
             ((installation.folder / "nowhere",), "nowhere")]
    problems = []
    for arguments, wanted in cases:
        status, output, errors = run_example(installation, program, *arguments)
        if status != 1 or output or wanted not in errors:
            problems.append(f"{arguments}: status {status}, {output!r}, {errors!r}")
    return problems


def last_words(output):
    """{where: how the response to TPM2_PCR_Read ends} of what move-tpm prints."""
    return dict(re.findall("^(.*), TPM2_PCR_Read: (.*)$", output, re.M))


def check_move(installation, program, directory, wanted_status, wanted_at, wanted_error):
    """The PCR is the same at the end, and has a value, wherever the TPM is then."""
    source = installation.folder / f"{program.name}-{wanted_status}-source"
    source.mkdir()
    status, output, errors = run_example(installation, program, source, directory)
    seen = last_words(output)
    problems = []
    if status != wanted_status or wanted_error not in errors or bool(errors) != bool(wanted_error):
        problems.append(f"status {status}, errors {errors!r}")
    if list(seen) != ["source", wanted_at] or len(set(seen.values())) != 1:
        problems.append(f"the PCR is {seen}")
    if set(seen.values()) & {"...00000000", "...ffffffff"}:
        problems.append("nothing was measured into the PCR")
    return problems


def check_needed(program, wanted):
    output, problems = run([os.environ["READELF"], "-d", program])
    found = "[libtpmdev.so.0]" in output
    return problems or ([] if found == wanted else [f"needs libtpmdev.so.0: {found}"])


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory() as folder:
        installation = Installation(folder)
        tap.result("the library installs below DESTDIR", installation.install())
        tap.result("what is installed is all there and nothing else", check_files(installation))
        installation.move_pkg_config_file()
        tap.result("pkg-config knows it", check_pkg_config(installation))

        lines = len(EXAMPLE.read_text().splitlines())
        tap.result("the embedding program has at most 40 lines",
                   [] if lines <= 40 else [f"it has {lines}"])
        shared = installation.folder / "hello-shared"
        tap.result("it builds with pkg-config --cflags --libs libtpmdev",
                   installation.build(shared, installation.pkg_config("--cflags", "--libs")))
        tap.result("it needs the shared library", check_needed(shared, True))
        tap.result("it prints random bytes", check_example(installation, shared))
        tap.result("it says what is wrong", check_example_errors(installation, shared))

        move = installation.folder / "move"
        target = installation.folder / "move-target"
        target.mkdir()
        tap.result("the program that moves a TPM builds",
                   installation.build(move, installation.pkg_config("--cflags", "--libs"),
                                      MOVE_EXAMPLE))
        tap.result("it moves the TPM to another process",
                   check_move(installation, move, target, 0, "destination", ""))
        tap.result("when the destination cannot load, the TPM goes on at the source",
                   check_move(installation, move, installation.folder / "nowhere", 1,
                              "source again", "nowhere"))

        static = installation.folder / "hello-static"
        libs = installation.pkg_config("--cflags", "--libs", "--static")
        libs = ["-l:libtpmdev.a" if lib == "-ltpmdev" else lib for lib in libs]
        tap.result("it builds with the static library and pkg-config --static",
                   installation.build(static, libs))
        tap.result("then it does not need the shared one", check_needed(static, False))
        tap.result("and prints random bytes as well", check_example(installation, static))
    tap.done()


main()
