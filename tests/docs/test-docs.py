#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The documentation against the tree.

usage: test-docs.py SOURCE_ROOT

README.rst shows docs/examples/hello-tpm.c to the letter; every path the documents and the head
comments name exists; Sphinx builds docs/ without a warning, and what looks like a heading there is
one; every source file says its licence and what it is for, and nothing of a merge is left in any.
"""

import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(sys.argv[1])
SPDX = "SPDX-License-Identifier: BSD-3-Clause"
TOP = "include|hw|backends|acpi|tests|docs|subprojects"
PATH = re.compile(rf"(?<![\w/.-])(?:{TOP})/[\w./+-]*\w")
BUILT = re.compile(r"tests/(qtest/tpmdev-system-|guest/libtpmdev-qemu\.so|bench/tpmdev-bench$)")


def sources():
    for folder in TOP.split("|"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def check_readme():
    text = (ROOT / "README.rst").read_text()
    example = (ROOT / "docs/examples/hello-tpm.c").read_text().rstrip("\n")
    indented = "\n".join("    " + line if line else "" for line in example.split("\n"))
    if indented not in text:
        return ["README.rst does not show docs/examples/hello-tpm.c as it is"]
    return []


def check_paths():
    wrong = []
    documents = [ROOT / "README.rst"] + [p for p in sources() if p.suffix in (".rst", ".h", ".c")]
    for path in documents:
        for name in PATH.findall(path.read_text(errors="replace")):
            if BUILT.match(name) or (ROOT / name).exists() or (ROOT / "include" / name).exists():
                continue
            # "hw/tpm/irq" stands for its files, "tests/data/state/" for a folder to come.
            if not list(ROOT.glob(name + ".*")) and not list(ROOT.glob(name + "*")):
                wrong.append(f"{path.relative_to(ROOT)} names {name}, which is not there")
    return wrong


def check_sphinx():
    with tempfile.TemporaryDirectory() as out:
        result = subprocess.run(["sphinx-build", "-q", "-W", "-b", "html", str(ROOT / "docs"), out],
                                capture_output=True, text=True, check=False)
    return [] if result.returncode == 0 else result.stderr.splitlines()


def check_headings():
    """A line under a text of several lines is a part of it to Sphinx, which says nothing."""
    wrong = []
    for path in [ROOT / "README.rst"] + sorted((ROOT / "docs").glob("*.rst")):
        lines = ["", ""] + path.read_text().split("\n")
        for number, (above, title, line) in enumerate(zip(lines, lines[1:], lines[2:]), 1):
            if re.fullmatch(r"=+|-{3,}", line) and title and (above or len(line) != len(title)):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: no title stands over this line")
    return wrong


def check_headers():
    wrong = []
    for path in sources():
        if path.suffix not in (".c", ".h", ".py", ".sh"):
            continue
        text = path.read_text()
        if SPDX not in text[:200]:
            wrong.append(f"{path.relative_to(ROOT)} does not begin with its licence")
        elif (path.suffix in (".c", ".h") and "examples" not in path.parts
              and text.count("/*", 0, 400) < 2):
            wrong.append(f"{path.relative_to(ROOT)} does not say at its head what it is for")
    return wrong


def check_conflicts():
    """Within a comment or a page no compiler minds them."""
    wrong = []
    for path in [ROOT / "README.rst", ROOT / "meson.build"] + list(sources()):
        if path.suffix not in (".c", ".h", ".py", ".sh", ".rst", ".build", ".S", ".qtest"):
            continue
        for number, line in enumerate(path.read_text(errors="replace").split("\n"), 1):
            if re.match(r"(<{7}|>{7}|\|{7}) ", line) or (line == "=" * 7 and path.suffix != ".rst"):
                wrong.append(f"{path.relative_to(ROOT)}:{number}: a line of a conflict")
    return wrong


def main():
    checks = [
        ("README.rst shows the embedding program as it is compiled", check_readme, None),
        ("every path that is named exists", check_paths, None),
        ("every source file begins with its licence and its purpose", check_headers, None),
        ("nothing of a merge is left", check_conflicts, None),
        ("Sphinx builds the pages without a warning", check_sphinx, "sphinx-build"),
        ("every line of a heading is under its title", check_headings, None),
    ]
    failed = False
    print(f"1..{len(checks)}")
    for number, (name, check, program) in enumerate(checks, 1):
        if program and not shutil.which(program):
            print(f"ok {number} - {name} # SKIP missing: {program}")
            continue
        wrong = check()
        failed = failed or bool(wrong)
        print(f"{'not ok' if wrong else 'ok'} {number} - {name}")
        for line in wrong:
            print(f"# {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
