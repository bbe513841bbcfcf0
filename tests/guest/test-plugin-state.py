#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Saved state of the plugin's device where it cannot be saved or loaded: QEMU is told before anything
is lost, and the machine goes on. No guest runs here; guest_moves.py has those. As TAP."""
import argparse
import contextlib
import os
import shutil
import subprocess
import sys

# The tests leave nothing in the source tree.
sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "qtest"))
import harness  # noqa: E402
import monitor  # noqa: E402
import sanitizer  # noqa: E402
from terminal import Terminal  # noqa: E402

# The machine of each program, and Debian's package of it. The capabilities are those that emulation
# does not have.
PROGRAMS = {
    "qemu-system-x86_64": ("q35", "qemu-system-x86"),
    "qemu-system-aarch64": ("virt", "qemu-system-arm"),
    "qemu-system-ppc64": ("pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,"
                          "cap-ccf-assist=off", "qemu-system-ppc"),
}

BOUND = "is the host's own TPM, whose keys and PCRs cannot be taken out of it"


class Qemu:
    """A QEMU with the plugin, whose CPUs wait for `cont`."""

    def __init__(self, args, directory, options, *more):
        self.monitor = monitor.Monitor(directory)
        self.execute = self.monitor.execute
        self._stderr = os.path.join(directory, "stderr")
        command = [args.qemu, "-display", "none", "-nodefaults", "-S", "-machine",
                   PROGRAMS[args.qemu][0], "-m", "256", "-plugin", f"{args.plugin},{options}",
                   *self.monitor.arguments, *more]
        with open(self._stderr, "wb") as errors:
            self.child = harness.start_process(command, stdin=subprocess.DEVNULL,
                                               stdout=subprocess.DEVNULL, stderr=errors,
                                               env=sanitizer.environment(args.plugin))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        harness.end_process(self.child)

    def ended(self):
        """It ends by itself; returns its status and what it said."""
        status = self.child.wait(harness.DEADLINE_S)
        with open(self._stderr, encoding="utf-8", errors="replace") as errors:
            return status, errors.read()

    def quit(self):
        self.execute("quit")
        return self.ended()

    def migrate(self, uri):
        """Returns QEMU's status of it when it is over."""
        self.execute("migrate", uri=uri)

        def look():
            status = self.execute("query_migrate")
            return status if status["status"] in ("completed", "failed") else None
        return harness.wait_for(look, "end of the migration")


@contextlib.contextmanager
def host_tpm(directory):
    """The options of a TPM that cannot be taken along."""
    cancel = os.path.join(directory, "cancel")
    with Terminal("2.0", directory) as terminal, open(cancel, "wb"):
        yield f"tpmdev=passthrough,path={terminal.path},cancel-path={cancel}"


def check(good, detail):
    if not good:
        raise AssertionError(detail)


# ---- the checks; each has a directory of its own ----


def refused_at_once(args, directory):
    with host_tpm(directory) as options, Qemu(args, directory, options) as qemu:
        for uri in ("exec:cat >/dev/null", f"unix:{directory}/none"):
            try:
                qemu.execute("migrate", uri=uri)
                said = "nothing"
            except monitor.MonitorError as error:
                said = str(error)
            check(BOUND in said, said)
        status = qemu.execute("query_migrate")
        check("status" not in status and BOUND in status["blocked-reasons"][0], status)
        check(qemu.quit()[0] == 0, "it did not end in an orderly way")


def refused_before_it_starts(args, directory):
    with host_tpm(directory) as options, \
            Qemu(args, directory, options, "-only-migratable") as qemu:
        status, said = qemu.ended()
        check(status == 1 and "libtpmdev-qemu: " in said and "--only-migratable" in said, said)


def dead_tpm(args, directory):
    """The source's TPM has gone: there is nothing to save, and QEMU hears why."""
    with harness.Swtpm("2.0", directory) as swtpm, \
            Qemu(args, directory, f"tpmdev=emulator,path={swtpm.socket}") as qemu:
        qemu.execute("cont")
        swtpm.stop()
        status = qemu.migrate(f"exec:cat >{directory}/saved")
        check(status["status"] == "failed", status)
        check("TPM backend 'tpm0'" in status.get("error-desc", ""), status)
        harness.wait_for(lambda: qemu.execute("query_status")["running"], "machine that runs")
        said = qemu.quit()[1]
        check("libtpmdev-qemu: TPM backend 'tpm0'" in said, said)


def another_tpm(args, directory):
    """A machine of a TPM 1.2 is not loaded with a TPM 2.0."""
    saved = os.path.join(directory, "saved")
    with Qemu(args, directory, "tpmdev=null,version=1.2") as source:
        check(source.migrate(f"exec:cat >{saved}")["status"] == "completed", "not saved")
        source.quit()
    with Qemu(args, directory, "tpmdev=null", "-incoming", f"exec:cat <{saved}") as destination:
        status, said = destination.ended()
        expected = "libtpmdev-qemu: saved TPM device state is that of a TPM 1.2 and this device has a TPM"
        check(status == 1 and expected in said, f"{status}: {said}")


def cut_short(args, directory):
    """A file that ends within the TPM's state."""
    saved = os.path.join(directory, "saved")
    with Qemu(args, directory, "tpmdev=null") as source:
        check(source.migrate(f"exec:cat >{saved}")["status"] == "completed", "not saved")
        source.quit()
    with open(saved, "r+b") as file:
        file.truncate(file.read().index(b"libtpmdev") + 200)
    with Qemu(args, directory, "tpmdev=null", "-incoming", f"exec:cat <{saved}") as destination:
        status, said = destination.ended()
        expected = "libtpmdev-qemu: the saved machine ends within its TPM's state"
        check(status == 1 and expected in said, f"{status}: {said}")


def untouched(args, directory):
    """While QEMU waits for a machine its TPM is not started, which would leave traces in its state."""
    with harness.Swtpm("2.0", directory) as swtpm, \
            Qemu(args, directory, f"tpmdev=emulator,path={swtpm.socket}", "-incoming",
                 "defer") as qemu:
        check(qemu.execute("query_status")["status"] == "inmigrate", "it does not wait")
        check(qemu.quit()[0] == 0, "it did not end in an orderly way")
        found = [name for name in os.listdir(swtpm.state) if name != ".lock"]
        check(not found, f"swtpm has written {found}")


CHECKS = (
    ("a TPM that cannot be taken along: every migration is refused, with the reason",
     refused_at_once),
    ("a TPM that cannot be taken along: -only-migratable wants no such machine",
     refused_before_it_starts),
    ("a TPM that has gone: the migration fails, with the reason, and the machine runs on", dead_tpm),
    ("a saved machine with another TPM is not loaded", another_tpm),
    ("a saved machine that ends early is not loaded", cut_short),
    ("a TPM is left alone until its machine has come", untouched),
)


def run(check_it, args):
    with harness.temporary_directory() as directory:
        check_it(args, directory)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plugin", required=True)
    parser.add_argument("--qemu", choices=PROGRAMS, default="qemu-system-x86_64")
    args = parser.parse_args()
    if not shutil.which(args.qemu):
        print(f"1..0 # SKIP there is no {args.qemu}; install {PROGRAMS[args.qemu][1]}")
        return 0
    tap = harness.Tap()
    for name, function in CHECKS:
        tap.run(name, run, function, args)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
