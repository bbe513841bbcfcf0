#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Everything in a public header has a comment that says what it is.

usage: test-comments.py SOURCE_ROOT

Functions, types and macros have one right before them; of a run of macros the first one has it.
A function's and a type's begins with its name. A member of a struct or a value of an enum is in
the @list of its type or has a comment of its own. An @name that is no longer there is an error.
"""

import re
import sys

from tap import HEADERS, Tap, header_text

SOURCE_ROOT = sys.argv[1]
COMMENT = r"(?:/\*\*(?P<doc>(?:[^*]|\*(?!/))*)\*/\n)?"


def listed(doc):
    return set(re.findall(r"^\s*\*?\s*@(\w+):", doc or "", re.M))


def begins_with(doc, name):
    return re.match(rf"[\s*]*{name}:", doc or "") is not None


def bare(text):
    """Without comments."""
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


def check_macros(text):
    wrong = []
    documented = False
    lines = text.split("\n")
    for before, line in zip([""] + lines, lines):
        match = re.match(r"#define (\w+)", line)
        if not match or re.fullmatch(r"TPMDEV_\w+_H", match[1]):
            continue
        # Of a run of macros without an empty line between them the first one counts.
        documented = before.endswith("*/") or (before.startswith("#define") and documented)
        if not documented:
            wrong.append(f"macro {match[1]} has no comment")
    return wrong


def check_functions(text):
    wrong = []
    pattern = COMMENT + r"TPMDEV_EXPORT\n(?P<declaration>[^;]*);"
    for match in re.finditer(pattern, text):
        declaration = " ".join(match["declaration"].split())
        name = re.search(r"(\w+)\(", declaration)[1]
        parameters = set(re.findall(r"(\w+)(?:\[\w*\])?(?=[,)])", declaration))
        if not begins_with(match["doc"], name):
            wrong.append(f"{name}() has no comment that begins with its name")
        for stale in sorted(listed(match["doc"]) - parameters):
            wrong.append(f"{name}() has no parameter '{stale}', which its comment names")
    return wrong


def members_of(body):
    """(comment of its own, name) of each member of a struct."""
    for match in re.finditer(r"(/\*\*(?:[^*]|\*(?!/))*\*/\s*)?([^;/]+);", body):
        declaration = match[2].strip()
        name = (re.search(r"\(\*(\w+)\)", declaration) or
                re.search(r"(\w+)(?:\[\w*\])?$", declaration))[1]
        yield match[1], name, declaration


def check_structs(text):
    wrong = []
    pattern = COMMENT + r"typedef struct (?P<name>\w+) \{(?P<body>.*?)\n\} \w+;"
    for match in re.finditer(pattern, text, re.S):
        type_name, in_list = match["name"], listed(match["doc"])
        names = set()
        if not begins_with(match["doc"], type_name):
            wrong.append(f"struct {type_name} has no comment that begins with its name")
        for doc, name, declaration in members_of(match["body"]):
            names.add(name)
            if not doc and name not in in_list:
                wrong.append(f"{type_name}.{name} is not described")
            if doc and "(*" in declaration:
                parameters = set(re.findall(r"(\w+)(?:\[\w*\])?(?=[,)])", declaration))
                if not begins_with(doc.strip()[3:], name):
                    wrong.append(f"{type_name}.{name}() has a comment without its name")
                for stale in sorted(listed(doc) - parameters):
                    wrong.append(f"{type_name}.{name}() has no parameter '{stale}'")
        for stale in sorted(in_list - names):
            wrong.append(f"{type_name} has no member '{stale}', which its comment names")
    return wrong


def check_enums(text):
    wrong = []
    pattern = COMMENT + r"typedef enum (?P<name>\w+) \{(?P<body>.*?)\n\} \w+;"
    for match in re.finditer(pattern, text, re.S):
        in_list = listed(match["doc"])
        values = set(re.findall(r"(\w+)\s*(?:=[^,]*)?,", bare(match["body"])))
        if not begins_with(match["doc"], match["name"]):
            wrong.append(f"enum {match['name']} has no comment that begins with its name")
        for value in sorted(values ^ in_list):
            wrong.append(f"{match['name']}: {value} is described or there, not both")
    return wrong


def check_other_types(text):
    wrong = []
    for match in re.finditer(COMMENT + r"typedef (?P<rest>[^{};]+);", text):
        rest = " ".join(match["rest"].split())
        name = (re.search(r"\(\*(\w+)\)", rest) or re.search(r"(\w+)$", rest))[1]
        parameters = set(re.findall(r"(\w+)(?=[,)])", rest))
        if not begins_with(match["doc"], name):
            wrong.append(f"type {name} has no comment that begins with its name")
        for stale in sorted(listed(match["doc"]) - parameters):
            wrong.append(f"{name} has no parameter '{stale}'")
    return wrong


def check_beginning(text):
    lines = text.split("\n")
    wrong = [] if lines[0] == "/* SPDX-License-Identifier: BSD-3-Clause */" else ["no licence"]
    return wrong + ([] if lines[1] == "/*" else ["no comment that says what the header is for"])


def main():
    tap = Tap()
    checks = [
        ("says its licence and what it is for", check_beginning),
        ("describes every macro", check_macros),
        ("describes every function", check_functions),
        ("describes every struct and member", check_structs),
        ("describes every enum and value", check_enums),
        ("describes every other type", check_other_types),
    ]
    for header in HEADERS:
        text = header_text(SOURCE_ROOT, header)
        for what, check in checks:
            tap.result(f"<tpmdev/{header}> {what}", check(text))
    tap.done()


main()
