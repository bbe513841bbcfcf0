#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Every public header compiles alone, as strict C11 and as C++17, without a warning.

usage: test-headers.py SOURCE_ROOT

CC and CXX, which may be empty, come from the environment.
"""

import os
import pathlib
import shlex
import sys
import tempfile

from tap import HEADERS, Tap, run

SOURCE_ROOT = sys.argv[1]
CC, CXX = os.environ["CC"], os.environ["CXX"]
STRICT = ["-pedantic", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
LANGUAGES = [("C11", CC, ["-x", "c", "-std=c11"]), ("C++17", CXX, ["-x", "c++", "-std=c++17"])]

GLIB = shlex.split(run(["pkg-config", "--cflags", "glib-2.0"])[0])

# The macros of the headers are compiled where they are used, so they are used here.
MACROS = """
#include <tpmdev/tpmdev.h>
void use(TPMHost *, TPMDeviceConfig *, TPMAcpiConfig *);
void use(TPMHost *h, TPMDeviceConfig *d, TPMAcpiConfig *a)
{
    TPMHost host = TPM_HOST_INIT;
    TPMDeviceConfig device = TPM_DEVICE_CONFIG_INIT;
    TPMAcpiConfig acpi = TPM_ACPI_CONFIG_INIT;
    *h = host, *d = device, *a = acpi;
}
#if !TPMDEV_CHECK_VERSION(0, 1, 0)
#error "version"
#endif
"""


def compile_text(compiler, arguments, text):
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "alone.txt"
        source.write_text(text)
        command = shlex.split(compiler) + arguments + STRICT
        command += [f"-I{SOURCE_ROOT}/include"] + GLIB + [source]
        return run(command)[1]


def main():
    tap = Tap()
    found = {p.name for p in (pathlib.Path(SOURCE_ROOT) / "include/tpmdev").glob("*.h")}
    tap.result("the headers are those the tests know", sorted(found ^ set(HEADERS)))
    for language, compiler, arguments in LANGUAGES:
        for header in HEADERS:
            name = f"<tpmdev/{header}> compiles alone as {language}"
            if compiler:
                # Twice: the second time its guard must make it empty.
                text = f"#include <tpmdev/{header}>\n" * 2 + "extern int not_empty;\n"
                tap.result(name, compile_text(compiler, arguments, text))
            else:
                tap.skip(name, "no C++ compiler")
        name = f"the macros of the headers compile as {language}"
        if compiler:
            tap.result(name, compile_text(compiler, arguments, MACROS))
        else:
            tap.skip(name, "no C++ compiler")
    tap.done()


main()
