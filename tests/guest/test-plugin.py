#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Wrong plugin arguments and machines, each with its own message. No guest runs here. As TAP."""
import argparse
import collections
import os
import shutil
import subprocess
import sys
import tempfile

# The tests leave nothing in the source tree.
sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "qtest"))
import harness  # noqa: E402
import sanitizer  # noqa: E402

DEADLINE_S = 60

NO_TABLES = ("this machine has no ACPI tables for its firmware; use -machine virt or "
             "-machine q35, with ACPI on")

# (name, plugin arguments, more of QEMU's arguments, what it must say); {dir} is an empty directory.
CASES_X86 = (
    ("a TPM must be named", "device=tpm-tis", [],
     "there is no tpmdev; give tpmdev=libtpms,dir=DIRECTORY or tpmdev=emulator,path=SOCKET"),
    ("an unknown TPM is refused", "tpmdev=wrong", [], "wrong"),
    ("an unknown device is refused", "tpmdev=null,device=tpm-wrong", [], "tpm-wrong"),
    ("an unknown option is refused", "tpmdev=null,wrong=1", [], "wrong"),
    ("a CRB device needs a TPM 2.0", "tpmdev=null,version=1.2,device=tpm-crb", [],
     "tpm-crb is for TPM 2.0 and its TPM is a 1.2; use tpm-tis, or a TPM 2.0"),
    ("a device on an I2C bus has no place here", "tpmdev=null,device=tpm-tis-i2c", [],
     "device=tpm-tis-i2c is not for this QEMU; use device=tpm-tis or device=tpm-crb"),
    ("localities are a CRB device's option", "tpmdev=null,localities=on", [], "localities"),
    ("a page is a CRB device's option", "tpmdev=null,buffer=page,buffer-address=0xfed60000", [],
     "tpm-tis: invalid parameter 'buffer'"),
    ("a page needs an address", "tpmdev=null,device=tpm-crb,buffer=page", [],
     "parameters 'buffer=page' and 'buffer-address' go together; give both"),
    ("a page is beside the device",
     "tpmdev=null,device=tpm-crb,localities=on,buffer=page,buffer-address=0xfed41000", [],
     "buffer_address is inside the device; give a page beside it"),
    ("chunks are on or off", "tpmdev=null,device=tpm-crb,chunk=1k", [],
     "parameter 'chunk' is '1k'; it must be on or off"),
    ("a TPM of libtpms needs a directory", "tpmdev=libtpms", [], "'dir'"),
    ("the directory must exist", "tpmdev=libtpms,dir={dir}/none", [], "{dir}/none"),
    ("an emulator needs a socket", "tpmdev=emulator", [], "path="),
    ("the socket must exist", "tpmdev=emulator,path={dir}/none", [], "{dir}/none"),
    ("the host's TPM must exist", "tpmdev=passthrough,path={dir}/none,cancel-path={dir}/none", [],
     "cannot open the TPM device '{dir}/none': No such file or directory"),
    ("an interrupt must be one there is", "tpmdev=null,irq=16", [],
     "IRQ 16 is outside valid range of 0 to 15"),
    ("an interrupt must be a number", "tpmdev=null,irq=x", [],
     "parameter 'irq' is 'x'"),
    ("the interrupt in the tables is there or not", "tpmdev=null,acpi-irq=10", [],
     "acpi-irq=10 is neither on nor off"),
    ("the tables cannot name no interrupt", "tpmdev=null,irq=0,acpi-irq=on", [],
     "acpi-irq=on needs an interrupt; give irq=1 to 15"),
    ("the window must be a number", "tpmdev=null,window=x", [], "window"),
    ("the version must be one there is", "tpmdev=null,version=3.0", [], "version"),
    ("an address must be a number", "tpmdev=null,base=here", [],
     "base=here is no number; give an address such as 0xfed40000"),
    ("the address must be page-aligned", "tpmdev=null,base=0xfed40100", [],
     "tpm-tis: base 0xfed40100 is not a multiple of 0x1000"),
    ("the device must end within 64 bits", "tpmdev=null,base=0xffffffffffffe000", [],
     "tpm-tis: base 0xffffffffffffe000 puts its 0x5000 bytes beyond 64 bits"),
    ("the log must have an address", "tpmdev=null,log=0xffffffffffffff00", [], "log_address"),
    ("tables go to the guest on one of two ways", "tpmdev=null,tables=on", [],
     "tables=on is no way to the guest; give tables=qemu or, for OVMF, tables=loader"),
    ("the loader's log has no address of ours", "tpmdev=null,tables=loader,log=0xfed60000", [],
     "log= is for tables=qemu; with tables=loader firmware has its log where it likes"),
    ("the loader needs ACPI", "tpmdev=null,tables=loader", ["-machine", "q35,acpi=off"],
     NO_TABLES),
    ("a machine needs an ISA bus", "tpmdev=null", ["-machine", "none"],
     "this machine has no ISA bus; use -machine q35 or -machine pc"),
    ("a PC has no device for other machines", "tpmdev=null,device=tpm-tis-device", [],
     "device=tpm-tis-device is not for this QEMU; use device=tpm-tis or device=tpm-crb"),
    ("a PC has no virtual I/O", "tpmdev=null,device=tpm-spapr", [],
     "device=tpm-spapr is not for this QEMU; use device=tpm-tis or device=tpm-crb"),
)

CASES_AARCH64 = (
    ("a PC's device is refused", "tpmdev=null,device=tpm-tis", [],
     "device=tpm-tis is not for this QEMU; use device=tpm-tis-device or device=tpm-crb"),
    ("an unknown device is refused", "tpmdev=null,device=tpm-wrong", [], "tpm-wrong"),
    ("there is no log area", "tpmdev=null,log=0xfed50000", [],
     "log= is for a PC; firmware on virt has its log in memory of its own"),
    ("there is no physical presence memory", "tpmdev=null,ppi=on", [],
     "ppi= is for a PC; virt has no firmware that knows of such memory"),
    ("an address must be a number", "tpmdev=null,base=here", [],
     "base=here is no number; give an address such as 0xb000000"),
    ("the address must be page-aligned", "tpmdev=null,base=0xb000100", [],
     "tpm-tis-device: base 0xb000100 is not a multiple of 0x1000"),
    ("an interrupt must be one there is", "tpmdev=null,irq=112", [],
     "IRQ 112 is outside valid range of 0 to 15"),
    ("no tables name an interrupt", "tpmdev=null,acpi-irq=on", [],
     "acpi-irq= is for a PC; drivers on virt poll"),
    ("the device says how it is found", "tpmdev=null,tables=loader", [],
     "tables= is for a PC; on virt the device says how it is found: tpm-crb by ACPI"),
    ("a CRB device needs a TPM 2.0", "tpmdev=null,version=1.2,device=tpm-crb", [],
     "tpm-crb is for TPM 2.0 and its TPM is a 1.2"),
    ("a CRB device needs ACPI", "tpmdev=null,device=tpm-crb", ["-machine", "virt,acpi=off"],
     NO_TABLES),
    ("a CRB device's machine must be virt", "tpmdev=null,device=tpm-crb",
     ["-machine", "raspi3b"], "this machine is not virt; use -machine virt"),
    ("the machine must be virt", "tpmdev=null", ["-machine", "raspi3b"],
     "this machine is not virt; use -machine virt"),
    ("there must be a machine", "tpmdev=null", ["-machine", "none"],
     "this machine is not virt; use -machine virt"),
)

NO_REGISTERS = "is for a device with registers, and tpm-spapr has none; leave it out"

CASES_PPC64 = (
    ("a TPM must be named", "device=tpm-spapr", [],
     "there is no tpmdev; give tpmdev=libtpms,dir=DIRECTORY or tpmdev=emulator,path=SOCKET"),
    ("pseries has no device with registers", "tpmdev=null,device=tpm-tis", [],
     "device=tpm-tis is not for this QEMU; use device=tpm-spapr"),
    ("an unknown option is refused", "tpmdev=null,wrong=1", [], "wrong"),
    ("the window must be a number", "tpmdev=null,window=x", [], "window"),
    *((f"{name}= is refused", f"tpmdev=null,{name}=1", [], f"{name}= {NO_REGISTERS}")
      for name in ("base", "log", "irq", "acpi-irq", "localities", "interrupts", "buffer",
                   "buffer-address", "chunk", "tables")),
    ("a machine needs virtual I/O", "tpmdev=null", ["-machine", "powernv9"],
     "this machine has no bus for virtual I/O; use -machine pseries"),
    ("there need not be a machine", "tpmdev=null", ["-machine", "none"],
     "this machine has no bus for virtual I/O; use -machine pseries"),
    ("-device does not make one", "tpmdev=null", ["-device", "tpmdev-spapr"],
     "-plugin makes a tpmdev-spapr; leave out its -device"),
)


def run(qemu, machine, plugin, options, more):
    """Start QEMU, which must end by itself; returns its status and what it said."""
    machine = [] if "-machine" in more else ["-machine", machine]
    command = [qemu, "-display", "none", "-nodefaults", "-S", *machine, *more, "-plugin",
               f"{plugin},{options}"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True,
                          env=sanitizer.environment(plugin)) as child:
        try:
            _, said = child.communicate(timeout=DEADLINE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            return None, child.communicate()[1]
        return child.returncode, said


def tree_has_node(qemu, plugin, options, base, has=True):
    """The device tree a guest of virt will get, by QEMU's own option to see it; or it has none."""
    with tempfile.TemporaryDirectory(prefix="tpmdev-plugin-", dir="/tmp") as directory:
        tree = os.path.join(directory, "virt.dtb")
        command = [qemu, "-display", "none", "-nodefaults", "-smp", "2", "-machine",
                   f"virt,dumpdtb={tree}", "-plugin", f"{plugin},tpmdev=null{options}"]
        dumped = subprocess.run(command, capture_output=True, text=True, check=False,
                                timeout=DEADLINE_S, env=sanitizer.environment(plugin))
        got = [subprocess.run(["fdtget", "-t", kind, tree, f"/tpm@{base:x}", name],
                              capture_output=True, text=True, check=False).stdout.strip()
               for kind, name in (("s", "compatible"), ("x", "reg"))]
    node = ["tcg,tpm-tis-mmio", f"{base >> 32:x} {base & 0xFFFFFFFF:x} 0 5000"]
    good = dumped.returncode == 0 and got == (node if has else ["", ""])
    return good, f"{dumped.stderr}\n{got}"


def registers_and_interrupt(qemu, gic, plugin, options, base, line):
    """No CPU runs: QEMU's qtest protocol plays it."""
    os.environ.update(sanitizer.environment(plugin))
    command = [qemu, "-accel", "tcg", "-S", "-nodefaults", "-machine", f"virt,gic-version={gic}",
               "-plugin", f"{plugin},tpmdev=null{options}"]
    with harness.Machine(command) as machine:
        machine.qtest.ok("irq_intercept_in " + harness.ARCHES["aarch64"].irq_controller)
        tis = harness.Tis(machine.qtest, base=base)
        found = [tis.read(tis.DID_VID, "l"), tis.read(tis.RID + 0x4000)]
        tis.request()
        tis.write(tis.INT_ENABLE, 0x80000080, "l")
        tis.write(tis.STS, tis.READY)
        tis.write(tis.INT_STATUS, 0x80)
        raised = machine.qtest.irqs
    expected = [f"IRQ raise {line}", f"IRQ lower {line}"] if line else []
    return found == [0x11014, 1] and raised == expected, f"{found} {raised}"


def virt_checks(qemu, plugin):
    """What the plugin makes of virt: (name, whether it is so, what was seen)."""
    for name, options, base in (("the device tree has the node", "", 0x0B000000),
                                ("the node is where the device is", ",base=0x8080000000",
                                 0x8080000000)):
        yield name, *tree_has_node(qemu, plugin, options, base)
    yield ("a CRB device has no node",
           *tree_has_node(qemu, plugin, ",device=tpm-crb", 0x0B000000, False))
    for gic in (2, 3):
        yield (f"registers, and the line a device of QEMU's has, on a GICv{gic}",
               *registers_and_interrupt(qemu, gic, plugin, "", 0x0B000000, 112))
    yield ("no line with irq=0, and registers beyond 4 GiB",
           *registers_and_interrupt(qemu, 3, plugin, ",irq=0,base=0x8080000000", 0x8080000000,
                                    None))


def no_checks(*_):
    return ()


# For every program of QEMU: the package that has it, the machine, the cases and what else is seen.
Program = collections.namedtuple("Program", "package machine cases checks")

PROGRAMS = {
    "qemu-system-x86_64": Program("qemu-system-x86", "q35", CASES_X86, no_checks),
    "qemu-system-aarch64": Program("qemu-system-arm", "virt", CASES_AARCH64, virt_checks),
    "qemu-system-ppc64": Program("qemu-system-ppc", "pseries", CASES_PPC64, no_checks),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plugin", required=True)
    parser.add_argument("--qemu", choices=PROGRAMS, default="qemu-system-x86_64")
    args = parser.parse_args()
    program = PROGRAMS[args.qemu]
    if not shutil.which(args.qemu):
        print(f"1..0 # SKIP there is no {args.qemu}; install {program.package}")
        return 0
    tap = harness.Tap()

    with tempfile.TemporaryDirectory(prefix="tpmdev-plugin-", dir="/tmp") as directory:
        for name, options, more, expected in program.cases:
            status, said = run(args.qemu, program.machine, args.plugin,
                               options.format(dir=directory), more)
            expected = expected.format(dir=directory)
            # QEMU reports what is wrong with a -device.
            prefix = f"{args.qemu}: -device" if "-device" in more else "libtpmdev-qemu: "
            prefixed = any(line.startswith(prefix) and expected in line
                           for line in said.splitlines())
            tap.ok(name, status == 1 and prefixed,
                   f"status {status}, expected to say: {expected}; it said:\n{said}")
    for name, good, detail in program.checks(args.qemu, args.plugin):
        tap.ok(name, good, detail)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
