#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""U-Boot's `tpm2` commands on tpm-tis-device, in an unpatched QEMU's machine virt, over the serial
line. What each prints is compared to the letter. As TAP.

The device's node comes into the device tree by the plugin, or stands in a tree of the user's own
(-dtb). With QEMU's own device, which has a node of QEMU's making, all must be the same.
"""
import argparse
import hashlib
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time

# The tests leave nothing in the source tree.
sys.dont_write_bytecode = True
import sanitizer  # noqa: E402
from guest_run import (Failure, on_terminate, Process, PROCESS_DEADLINE_S, Swtpm,  # noqa: E402
                       Tap)

# A command takes a fraction of a second, a boot two; a deadline is for what hangs.
DEADLINE_S = 120

UBOOT = "/usr/lib/u-boot/qemu_arm64/u-boot.bin"
MACHINE = ["-machine", "virt", "-cpu", "cortex-a57", "-m", "256", "-accel", "tcg", "-display",
           "none", "-nodefaults", "-no-user-config"]

# Where the plugin maps the device, and guest memory for digests.
BASE = 0x0B000000
DIGEST, PCR = 0x40200000, 0x40200100

INDEX = 10
MEASURED = hashlib.sha256(b"libtpmdev").digest()
ZERO = bytes(32)


class Console(Process):
    """A QEMU at whose serial line there is U-Boot's prompt."""

    def __init__(self, command, environment, errors):
        super().__init__(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                         env=environment)
        self.transcript = ""
        self._unread = ""
        self._count = 0
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.child.stdout, selectors.EVENT_READ)

    def until(self, pattern):
        """What comes until the pattern matches, and the match."""
        end = time.monotonic() + DEADLINE_S
        while not (match := re.search(pattern, self._unread)):
            left = end - time.monotonic()
            if left <= 0 or not self._selector.select(left):
                raise Failure(f"U-Boot did not say {pattern} within {DEADLINE_S} s")
            data = os.read(self.child.stdout.fileno(), 65536).decode(errors="replace")
            if not data:
                raise Failure(f"QEMU ended before U-Boot said {pattern}")
            self.transcript += data
            self._unread += data
        before, self._unread = self._unread[:match.start()], self._unread[match.end():]
        return before, match

    def say(self, text):
        self.child.stdin.write(text.encode())
        self.child.stdin.flush()

    def wait_boot(self):
        """Stop it from booting anything; should it be too late, the prompt comes all the same."""
        self.until("Hit any key")
        self.say("\n")
        self.until("=> ")

    def command(self, text):
        """The command's status and the lines it printed."""
        self._count += 1
        mark = f"end {self._count} "
        # The line comes back as it was typed, where the mark is not followed by a number.
        self.say(f"{text}; echo {mark}$?\n")
        self.until(re.escape(f"{mark}$?"))
        printed, match = self.until(rf"{mark}(\d+)\r?\n")
        return int(match[1]), [line.strip() for line in printed.split("\n") if line.strip()]


def pcr_lines(value, updates):
    """What `tpm2 pcr_read` prints."""
    rows = [value[at:at + 16].hex(" ") for at in (0, 16)]
    return [f"PCR #{INDEX} content ({updates} known updates):"] + rows


def dump_lines(address, value):
    """What `md.b` prints, without the characters at the end of its lines."""
    return [f"{address + at:08x}: {value[at:at + 16].hex(' ')}" for at in (0, 16)]


class Board:
    """One life of QEMU: the checks, each with U-Boot's own words."""

    def __init__(self, tap, console, node):
        self.tap = tap
        self.console = console
        self.node = node

    def expect(self, name, command, lines=(), status=0):
        got, printed = self.console.command(command)
        good = got == status and printed == list(lines)
        self.tap.result(good, name)
        if not good:
            self.tap.comment(f"{command}: status {got}, wanted {status}; it printed {printed}, "
                             f"wanted {list(lines)}")

    def read_pcr(self, name, value):
        """Reads the PCR and returns how often the TPM's were updated."""
        status, printed = self.console.command(f"tpm2 pcr_read {INDEX} {PCR:#x}")
        updates = re.search(r"\((\d+) known", " ".join(printed))
        updates = int(updates[1]) if updates else -1
        _, dump = self.console.command(f"md.b {PCR:#x} 20")
        good = (status == 0 and printed == pcr_lines(value, updates) and
                [line[:57] for line in dump] == dump_lines(PCR, value))
        self.tap.result(good, name)
        if not good:
            self.tap.comment(f"status {status}, printed {printed}, in memory {dump}")
        return updates

    def check_start(self):
        self.expect("init", "tpm2 init")
        self.expect("before startup a command is refused", f"tpm2 pcr_read {INDEX} {PCR:#x}",
                    ["Error: 256"], 1)
        self.expect("startup", "tpm2 startup TPM2_SU_CLEAR")

    def check_all(self):
        self.check_start()
        self.expect("a second startup does no harm", "tpm2 startup TPM2_SU_CLEAR")
        self.expect("self test", "tpm2 self_test full")
        self.expect("info has the device's identity", "tpm2 info",
                    [f"{self.node} v2.0: VendorID 0x1014, DeviceID 0x0001, RevisionID 0x01 [open]"])
        self.expect("the TPM's vendor string",
                    f"tpm2 get_capability 0x6 0x106 {DIGEST:#x} 2",
                    ["Capabilities read from TPM:", "Property 0x00000106: 0x53572020",
                     "Property 0x00000107: 0x2054504d"])
        before = self.read_pcr("a PCR is zero at first", ZERO)
        self.console.command("; ".join(
            f"mw.l {DIGEST + at:#x} {int.from_bytes(MEASURED[at:at + 4], 'little'):#x}"
            for at in range(0, 32, 4)))
        self.expect("a PCR is extended", f"tpm2 pcr_extend {INDEX} {DIGEST:#x}")
        after = self.read_pcr("and has the value computed",
                              hashlib.sha256(ZERO + MEASURED).digest())
        self.tap.result(after == before + 1, "the TPM counted one update")
        self.expect("a wrong password is refused", "tpm2 change_auth TPM2_RH_OWNER new wrong",
                    ["Error: 2466"], 1)
        self.expect("clear", "tpm2 clear TPM2_RH_LOCKOUT")

    def check_reset(self):
        self.console.say("reset\n")
        self.console.wait_boot()
        self.tap.comment("after a reset of the board")
        self.check_start()
        self.read_pcr("the PCR is zero again", ZERO)


class Run:
    """QEMU's command line for one way to have a TPM, and what comes of it."""

    def __init__(self, args, tap, directory):
        self.args = args
        self.tap = tap
        self.directory = directory
        self.statistics = os.path.join(directory, "statistics")
        self.swtpm = None

    def tpm_arguments(self):
        if self.args.own_device:
            return ["-chardev", f"socket,id=chr,path={self.swtpm.socket}", "-tpmdev",
                    "emulator,id=tpm0,chardev=chr", "-device", "tpm-tis-device,tpmdev=tpm0"]
        options = f"tpmdev=libtpms,dir={self.directory}"
        if self.swtpm:
            options = f"tpmdev=emulator,path={self.swtpm.socket}"
        return ["-plugin", f"{self.args.plugin},{options},stats={self.statistics}"]

    def tree_arguments(self):
        """A device tree of the user's own: QEMU's, and the node."""
        if self.args.tree != "dtb":
            return []
        tree = os.path.join(self.directory, "virt.dtb")
        path = f"/tpm@{BASE:x}"
        for command in ([self.args.qemu, *MACHINE, "-machine", f"dumpdtb={tree}"],
                        ["fdtput", "-c", tree, path],
                        ["fdtput", "-t", "s", tree, path, "compatible", "tcg,tpm-tis-mmio"],
                        ["fdtput", "-t", "x", tree, path, "reg", "0", f"{BASE:x}", "0", "5000"]):
            subprocess.run(command, check=True, timeout=DEADLINE_S, stdin=subprocess.DEVNULL,
                           capture_output=True)
        return ["-dtb", tree]

    def guest(self, errors):
        command = [self.args.qemu, *MACHINE, "-serial", "stdio", "-bios", self.args.uboot]
        environment = dict(os.environ)
        if not self.args.own_device:
            environment = sanitizer.environment(self.args.plugin)
        node = "tpm_tis@0" if self.args.own_device else f"tpm@{BASE:x}"
        with Console(command + self.tree_arguments() + self.tpm_arguments(), environment,
                     errors) as console:
            failed = self.tap.failed
            try:
                console.wait_boot()
                board = Board(self.tap, console, node)
                board.check_all()
                board.check_reset()
                console.say("poweroff\n")
                self.tap.result(console.wait(PROCESS_DEADLINE_S) == 0,
                                "QEMU ended with status 0")
            except Failure as failure:
                self.tap.result(False, str(failure))
            if self.tap.failed > failed:
                for line in console.transcript.splitlines()[-100:]:
                    self.tap.comment(f"serial: {line}")

    def report_end(self):
        if self.swtpm:
            self.tap.result(self.swtpm.wait(PROCESS_DEADLINE_S) == 0,
                            "swtpm was shut down in an orderly way")
        if not self.args.own_device and os.path.exists(self.statistics):
            with open(self.statistics, encoding="ascii") as file:
                counted = {name: int(value) for name, value in map(str.split, file)}
            self.tap.comment(" ".join(f"{name}={value}" for name, value in counted.items()))
            self.tap.result(counted["commands"] > 10 and counted["failures"] == 0,
                            "the commands went through our device")

    def run(self):
        errors_path = os.path.join(self.directory, "stderr")
        if self.args.tpmdev == "emulator":
            self.swtpm = Swtpm(self.directory, "2.0")
        try:
            with open(errors_path, "wb") as errors:
                self.guest(errors)
            self.report_end()
        finally:
            if self.swtpm:
                self.swtpm.close()
        with open(errors_path, encoding="utf-8", errors="replace") as errors:
            for line in errors:
                self.tap.comment(f"stderr: {line.rstrip()}")


def cannot_run(args):
    """What is missing on this machine, or None."""
    needed = [(shutil.which(args.qemu), args.qemu, "qemu-system-arm"),
              (os.path.exists(args.uboot), args.uboot, "u-boot-qemu"),
              (args.tree != "dtb" or shutil.which("fdtput"), "fdtput", "device-tree-compiler"),
              (args.tpmdev != "emulator" or shutil.which("swtpm"), "swtpm", "swtpm")]
    for there, name, package in needed:
        if not there:
            return f"there is no {name}; install {package}"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--plugin", required=True, help="libtpmdev-qemu.so")
    parser.add_argument("--tpmdev", choices=("libtpms", "emulator"), default="libtpms")
    parser.add_argument("--tree", choices=("plugin", "dtb"), default="plugin",
                        help="where the device tree has the TPM's node from")
    parser.add_argument("--own-device", action="store_true",
                        help="QEMU's own device, which makes its node itself; with emulator")
    parser.add_argument("--qemu", default="qemu-system-aarch64")
    parser.add_argument("--uboot", default=UBOOT)
    args = parser.parse_args()
    if args.own_device and (args.tpmdev != "emulator" or args.tree != "plugin"):
        parser.error("--own-device needs --tpmdev emulator and no --tree")
    signal.signal(signal.SIGTERM, on_terminate)
    reason = cannot_run(args)
    if reason:
        print(f"1..0 # SKIP {reason}")
        return 0
    tap = Tap()
    with tempfile.TemporaryDirectory(prefix="tpmdev-uboot-", dir="/tmp") as directory:
        Run(args, tap, directory).run()
    return tap.finish()


if __name__ == "__main__":
    sys.exit(main())
