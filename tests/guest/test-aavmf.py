#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""EDK2 for Arm (Debian's AAVMF) on tpm-tis-device: what it measures into the TPM on its way to its
shell. As TAP.

The firmware finds the device by the node in the device tree. At its shell it waits for a key and
leaves the TPM alone: then the PCRs are read through the same registers, by QEMU's qtest protocol,
which works while a guest runs.
"""
import argparse
import hashlib
import os
import shutil
import sys

# The tests leave nothing in the source tree.
sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "qtest"))
import harness  # noqa: E402
import sanitizer  # noqa: E402

# A boot takes five to twenty seconds; a deadline is for what hangs.
BOOT_DEADLINE_S = 240

PCRS = range(24)
FIRMWARE_PCRS = range(8)
ZERO = bytes(32)
# What a PCR is when the firmware has put nothing but its separator there.
SEPARATOR = hashlib.sha256(ZERO + hashlib.sha256(bytes(4)).digest()).digest()

# Where the plugin maps the device, and where QEMU has its own.
BASE = 0x0B000000
OWN_BASE = harness.ARCHES["aarch64"].tpm_base


def read_pcr(tis, index):
    """TPM2_PCR_Read of the SHA-256 bank; fails before a Startup."""
    selection = (1 << index).to_bytes(3, "little")
    response = tis.command(bytes.fromhex("8001000000140000017e00000001000b03") + selection)
    assert response[6:10] == bytes(4), f"PCR_Read: {response.hex()}"
    return response[-32:]


class Boot:
    """One life of QEMU, with whatever TPM the arguments give it."""

    def __init__(self, args, directory, tpm_arguments, base):
        self.base = base
        self.serial = os.path.join(directory, "serial")
        variables = os.path.join(directory, "AAVMF_VARS.fd")
        shutil.copyfile(os.path.join(args.aavmf, "AAVMF_VARS.fd"), variables)
        code = os.path.join(args.aavmf, "AAVMF_CODE.fd")
        self.command = [
            args.qemu, "-machine", "virt", "-cpu", "cortex-a57", "-m", "512", "-accel", "tcg",
            "-nodefaults", "-no-user-config", "-serial", f"file:{self.serial}",
            "-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}",
            "-drive", f"if=pflash,format=raw,unit=1,file={variables}", *tpm_arguments]

    def shells(self):
        """How often the shell has come up."""
        if not os.path.exists(self.serial):
            return 0
        with open(self.serial, "rb") as serial:
            return serial.read().count(b"UEFI Interactive Shell")

    def pcrs(self, machine, boot):
        harness.wait_for(lambda: self.shells() >= boot, "shell of the firmware", BOOT_DEADLINE_S)
        tis = harness.Tis(machine.qtest, base=self.base)
        tis.request()
        return [read_pcr(tis, index) for index in PCRS]

    def show(self, tap_failed):
        if tap_failed and os.path.exists(self.serial):
            with open(self.serial, encoding="utf-8", errors="replace") as serial:
                for line in serial.read().splitlines()[-50:]:
                    print(f"# serial: {line}")


def check_measured(tap, pcrs):
    for index in FIRMWARE_PCRS:
        print(f"# PCR {index} {pcrs[index].hex()}")
    tap.ok("the firmware measured into PCRs 0 to 7",
           all(pcrs[index] != ZERO for index in FIRMWARE_PCRS))
    tap.ok("PCRs 0, 1, 4 and 7 have more than a separator",
           all(pcrs[index] != SEPARATOR for index in (0, 1, 4, 7)))
    tap.ok("PCRs 2, 3 and 6 have just that", all(pcrs[index] == SEPARATOR for index in (2, 3, 6)))
    tap.ok("PCRs 8 to 16 are as the TPM started",
           all(pcrs[index] == ZERO for index in range(8, 17)))


def check_statistics(tap, path):
    with open(path, encoding="ascii") as file:
        counted = {name: int(value) for name, value in map(str.split, file)}
    print("# " + " ".join(f"{name}={value}" for name, value in counted.items()))
    # All but the reads of PCRs are the firmware's.
    tap.ok("its commands went through our device, and none failed",
           counted["commands"] > len(PCRS) + 10 and counted["failures"] == 0 and
           counted["rejected_commands"] == 0)


def run_ours(args, tap, directory):
    """Our device; returns the PCRs of the first boot."""
    swtpm = harness.Swtpm("2.0", directory) if args.tpmdev == "emulator" else None
    statistics = os.path.join(directory, "statistics")
    options = f"tpmdev=libtpms,dir={directory}"
    if swtpm:
        options = f"tpmdev=emulator,path={swtpm.socket}"
    boot = Boot(args, directory, ["-plugin", f"{args.plugin},{options},stats={statistics}"], BASE)
    try:
        with harness.Machine(boot.command) as machine:
            pcrs = boot.pcrs(machine, 1)
            check_measured(tap, pcrs)
            if args.reset:
                machine.qmp.execute("system_reset")
                tap.ok("after a reset of the machine the same is measured",
                       boot.pcrs(machine, 2) == pcrs)
        check_statistics(tap, statistics)
        if swtpm:
            tap.ok("swtpm was shut down in an orderly way",
                   swtpm.process.wait(harness.DEADLINE_S) == 0)
        return pcrs
    finally:
        boot.show(tap.failures)
        if swtpm:
            swtpm.stop()


def run_own(args, tap, directory, pcrs):
    """QEMU's own device, into which the same must be measured."""
    with harness.Swtpm("2.0", directory) as swtpm:
        boot = Boot(args, directory,
                    ["-chardev", f"socket,id=chr,path={swtpm.socket}", "-tpmdev",
                     "emulator,id=tpm0,chardev=chr", "-device", "tpm-tis-device,tpmdev=tpm0"],
                    OWN_BASE)
        with harness.Machine(boot.command) as machine:
            own = boot.pcrs(machine, 1)
        different = [index for index in PCRS if own[index] != pcrs[index]]
        tap.ok("all PCRs are the same with QEMU's own device", not different,
               "\n".join(f"PCR {index}: ours {pcrs[index].hex()} QEMU's {own[index].hex()}"
                         for index in different))


def run(args, tap):
    with harness.temporary_directory() as directory:
        pcrs = run_ours(args, tap, directory)
    if args.compare:
        with harness.temporary_directory() as directory:
            run_own(args, tap, directory, pcrs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--plugin", required=True, help="libtpmdev-qemu.so")
    parser.add_argument("--tpmdev", choices=("libtpms", "emulator"), default="libtpms")
    parser.add_argument("--reset", action="store_true", help="reset the machine, and look again")
    parser.add_argument("--compare", action="store_true",
                        help="boot it on QEMU's own device too; needs swtpm")
    parser.add_argument("--qemu", default="qemu-system-aarch64")
    parser.add_argument("--aavmf", default="/usr/share/AAVMF", help="where AAVMF_CODE.fd is")
    args = parser.parse_args()
    for there, name, package in ((shutil.which(args.qemu), args.qemu, "qemu-system-arm"),
                                 (os.path.exists(args.aavmf), args.aavmf, "qemu-efi-aarch64")):
        if not there:
            print(f"1..0 # SKIP there is no {name}; install {package}")
            return 0
    os.environ.update(sanitizer.environment(args.plugin))
    tap = harness.Tap()
    try:
        run(args, tap)
    except harness.Skip as skip:
        tap.skip("AAVMF", str(skip))
    except (AssertionError, OSError, EOFError) as error:
        tap.ok("the firmware came to its shell and its PCRs could be read", False, str(error))
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
