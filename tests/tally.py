#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Count the results of one or more meson test runs.

usage: tally.py [--no-skips] [--failed WHAT] ... LABEL=TESTLOG.json ...

Every line a test printed in the Test Anything Protocol counts as one result; a test program that
broke off counts as one failure more, and so does WHAT, which is no test of meson's. Prints what failed and what was skipped, each with its
reason, and at the very end `N passed, N failed, N skipped`. The exit status is 1 when anything
failed, when nothing passed, or, with --no-skips, when anything was skipped.
"""

import argparse
import json
import re
import sys

LINE = re.compile(r"^(not )?ok\b[ \t]*\d*[ \t]*-?[ \t]*([^#\n]*)(?:#[ \t]*(SKIP\S*)[ \t]*(.*))?$",
                  re.IGNORECASE)
PLAN_SKIP = re.compile(r"^1\.\.0\s*#\s*SKIP\S*\s*(.*)$", re.IGNORECASE)


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []

    def add_test(self, label, test):
        """One entry of meson's test log, which is one test program."""
        name = f"{label}: {test['name']}"
        failed_before = len(self.failed)
        seen = 0
        for line in test.get("stdout", "").splitlines():
            match = LINE.match(line)
            plan = PLAN_SKIP.match(line)
            if plan:
                self.skipped.append((name, plan.group(1) or "no reason given"))
                seen += 1
            elif match:
                seen += 1
                self.add_line(name, match)
        ended_well = test["result"] in ("OK", "SKIP", "EXPECTEDFAIL")
        if seen == 0 and ended_well:
            self.passed += 1
        elif not ended_well and len(self.failed) == failed_before:
            self.failed.append((name, f"ended with {test['result']}", test))

    def add_line(self, name, match):
        negated, what, skip, reason = match.groups()
        what = what.strip()
        if skip:
            self.skipped.append((f"{name}: {what}", reason.strip() or "no reason given"))
        elif negated:
            self.failed.append((f"{name}: {what}", "not ok", None))
        else:
            self.passed += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--no-skips", action="store_true", help="nothing may be skipped")
    parser.add_argument("--failed", action="append", default=[], metavar="WHAT",
                        help="something else that failed")
    parser.add_argument("logs", nargs="+", metavar="LABEL=TESTLOG.json")
    args = parser.parse_args()
    tally = Tally()
    tally.failed += [(what, "not ok", None) for what in args.failed]
    for argument in args.logs:
        label, _, path = argument.partition("=")
        with open(path, encoding="utf-8", errors="replace") as log:
            for line in log:
                tally.add_test(label, json.loads(line))
    for name, reason in tally.skipped:
        print(f"skipped: {name}: {reason}")
    for name, reason, test in tally.failed:
        print(f"FAILED: {name}: {reason}")
        if test:
            print((test.get("stdout", "") + test.get("stderr", ""))[-4000:])
    if args.no_skips and tally.skipped:
        print("here everything can be installed, so nothing may be skipped")
    print(f"{tally.passed} passed, {len(tally.failed)} failed, {len(tally.skipped)} skipped")
    bad = tally.failed or not tally.passed or (args.no_skips and tally.skipped)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
