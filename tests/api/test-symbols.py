#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the shared library exports, what the headers declare and what touch.c touches are one set.

usage: test-symbols.py SOURCE_ROOT LIBRARY TOUCH_PROGRAM

NM and READELF come from the environment.
"""

import os
import re
import sys

from tap import Tap, exported_declarations, header_text, HEADERS, run

SOURCE_ROOT, LIBRARY, TOUCH = sys.argv[1:]


def symbols(arguments):
    output, problems = run([os.environ["NM"], "-D", *arguments])
    if problems:
        raise SystemExit("Bail out! " + "; ".join(problems))
    # Without the version (name@@LIBTPMDEV_0), and without the name of that version itself.
    found = [(line.split()[-2], line.split()[-1].split("@")[0]) for line in output.splitlines()]
    return {name for kind, name in found if kind != "A"}


def difference(left, left_name, right, right_name):
    return ([f"{name} is in {left_name}, not in {right_name}" for name in sorted(left - right)] +
            [f"{name} is in {right_name}, not in {left_name}" for name in sorted(right - left)])


def dynamic(path, tag):
    output, problems = run([os.environ["READELF"], "-d", path])
    return problems or re.findall(rf"\({tag}\).*\[(.*)\]", output)


def main():
    tap = Tap()
    exported = symbols(["--defined-only", LIBRARY])
    declared = exported_declarations(SOURCE_ROOT)
    touched = {name for name in symbols(["--undefined-only", TOUCH]) if name.startswith("tpmdev_")}
    prototypes = set()
    for header in HEADERS:
        prototypes |= set(re.findall(r"\b(tpmdev_\w+)\([^)]*\);",
                                     re.sub(r"/\*.*?\*/", "", header_text(SOURCE_ROOT, header),
                                            flags=re.S)))

    tap.result("the headers declare something", [] if declared else ["no TPMDEV_EXPORT found"])
    tap.result("every prototype carries TPMDEV_EXPORT",
               difference(prototypes, "a prototype", declared, "the exported declarations"))
    tap.result("the library exports what the headers declare",
               difference(exported, "the library", declared, "the headers"))
    tap.result("a program that links only the library touches all of it",
               difference(touched, "touch.c", declared, "the headers"))
    tap.result("every exported name begins with tpmdev_",
               [name for name in sorted(exported) if not name.startswith("tpmdev_")])
    tap.result("the library's SONAME is libtpmdev.so.0",
               [] if dynamic(LIBRARY, "SONAME") == ["libtpmdev.so.0"] else
               [f"it is {dynamic(LIBRARY, 'SONAME')}"])
    tap.result("the program needs the shared library",
               [] if "libtpmdev.so.0" in dynamic(TOUCH, "NEEDED") else
               [f"it needs {dynamic(TOUCH, 'NEEDED')}"])
    tap.done()


main()
