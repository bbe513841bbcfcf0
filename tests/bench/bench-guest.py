#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Short commands per second inside a Linux guest: our device and QEMU's own in the same stock QEMU.

Each variant is a boot of tests/guest's guest in its bench mode. The boots of a round come one
after the other and the rounds alternate, so that what slows the machine for a while slows all.
Aim: ten times the commands of QEMU's own tpm-tis with the same swtpm. No number is asserted;
--quick only shows that it works, as TAP.
"""
import argparse
import re
import statistics
import subprocess
import sys

BENCH_LINE = re.compile(r"# bench (\S+) \d+ commands \S+ s (\d+) per second")
COUNTER = re.compile(r"(\w+)=(\d+)")

# QEMU's device completes some 900 commands a second, ours many times that.
OWN_COUNT = 1000
OUR_COUNT = 10000
QUICK_COUNT = 100
ROUNDS = 5

# The deadline of one boot; run-guest.py has a finer one of its own.
BOOT_DEADLINE_S = 600

BASE = "QEMU's tpm-tis, swtpm"
VARIANTS = {
    BASE: ["--own-device", "--tpmdev", "emulator"],
    "ours, swtpm": ["--tpmdev", "emulator"],
    "ours, swtpm, window 50 us": ["--tpmdev", "emulator", "--window", "50"],
    "ours, swtpm, window off": ["--tpmdev", "emulator", "--window", "0"],
    "ours, libtpms": ["--tpmdev", "libtpms"],
    "ours, libtpms, window off": ["--tpmdev", "libtpms", "--window", "0"],
}
QUICK_VARIANTS = (BASE, "ours, libtpms")


class BenchError(Exception):
    """A boot did not give its numbers."""


def boot(runner, name, quick):
    """Boot one variant. Returns its commands per second by name, and its device's counters."""
    count = QUICK_COUNT if quick else OWN_COUNT if name == BASE else OUR_COUNT
    command = runner[:1] + ["bench"] + runner[1:] + VARIANTS[name] + ["--count", str(count)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False,
                           timeout=BOOT_DEADLINE_S)
    rates = {what: int(rate) for what, rate in BENCH_LINE.findall(ended.stdout)}
    if ended.returncode != 0 or not rates:
        raise BenchError(f"{name}: status {ended.returncode}\n{ended.stdout}")
    return rates, {what: int(number) for what, number in COUNTER.findall(ended.stdout)}


def measure(runner, names, rounds, quick):
    """All boots. Returns {name: [(rates, counters), ...]}."""
    results = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            results[name].append(boot(runner, name, quick))
    return results


def table(results):
    """The lines of the table, one for each kind of command and variant."""
    for what in results[BASE][0][0]:
        base = [rates[what] for rates, _ in results[BASE]]
        yield (f"{what:<28} {'per second':>10} {'lowest':>8} {'highest':>8} {'ratio':>7} "
               f"{'inline':>7}")
        for name, boots in results.items():
            rates = [rates[what] for rates, _ in boots]
            ratio = statistics.median(ours / its for ours, its in zip(rates, base))
            line = (f"  {name:<26} {statistics.median(rates):>10.0f} {min(rates):>8} "
                    f"{max(rates):>8} {ratio:>7.1f}")
            counted = [c for _, c in boots if c.get("commands")]
            if counted:
                share = statistics.median(c["inline_completions"] / c["commands"] for c in counted)
                line += f" {100 * share:>5.1f} %"
            yield line


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="only show that it works, as TAP")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("runner", nargs="+", metavar="RUN-GUEST ARGUMENTS",
                        help="tests/guest/run-guest.py and its --plugin, --guest-check, --cache")
    args = parser.parse_args()
    names = QUICK_VARIANTS if args.quick else tuple(VARIANTS)
    prefix = "# " if args.quick else ""
    try:
        results = measure(args.runner, names, 1 if args.quick else args.rounds, args.quick)
    except (BenchError, subprocess.TimeoutExpired) as failure:
        for line in str(failure).splitlines():
            print(f"# {line}")
        print("not ok 1 - commands inside a guest\n1..1")
        return 1
    print(f"{prefix}medians of {len(results[BASE])} boots; ratio to {BASE}; inline: in the window")
    for line in table(results):
        print(prefix + line)
    if args.quick:
        print("ok 1 - commands inside a guest\n1..1")
    return 0


if __name__ == "__main__":
    sys.exit(main())
