#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Wrong plugin arguments and machines, each with its own message, and what QEMU is not allowed to
do with ours. No guest runs here. As TAP."""
import argparse
import subprocess
import sys
import tempfile

# The tests leave nothing in the source tree.
sys.dont_write_bytecode = True
import sanitizer  # noqa: E402

DEADLINE_S = 60

# (name, plugin arguments, more of QEMU's arguments, what it must say); {dir} is an empty directory.
CASES = (
    ("a TPM must be named", "device=tpm-tis", [],
     "there is no tpmdev; give tpmdev=libtpms,dir=DIRECTORY or tpmdev=emulator,path=SOCKET"),
    ("an unknown TPM is refused", "tpmdev=wrong", [], "wrong"),
    ("an unknown device is refused", "tpmdev=null,device=tpm-wrong", [], "tpm-wrong"),
    ("an unknown option is refused", "tpmdev=null,wrong=1", [], "wrong"),
    ("a CRB device needs a TPM 2.0", "tpmdev=null,version=1.2,device=tpm-crb", [],
     "tpm-crb is for TPM 2.0 and its TPM is a 1.2; use tpm-tis, or a TPM 2.0"),
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
    ("the address must be below 4 GiB", "tpmdev=null,base=0x100000000", [], "beyond 4 GiB"),
    ("the log must have an address", "tpmdev=null,log=0xffffffffffffff00", [], "log_address"),
    ("a machine needs an ISA bus", "tpmdev=null", ["-machine", "none"],
     "this machine has no ISA bus; use -machine q35 or -machine pc"),
)


def run(qemu, plugin, options, more):
    """Start QEMU, which must end by itself; returns its status and what it said."""
    machine = [] if "-machine" in more else ["-machine", "q35"]
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


MIGRATE = """{"execute": "qmp_capabilities"}
{"execute": "migrate", "arguments": {"uri": "exec:cat >/dev/null"}}
{"execute": "quit"}
"""


def migration_is_refused(qemu, plugin):
    """A machine whose TPM would come back without its registers must not be saved."""
    command = [qemu, "-display", "none", "-nodefaults", "-machine", "q35", "-qmp", "stdio",
               "-plugin", f"{plugin},tpmdev=null"]
    ended = subprocess.run(command, input=MIGRATE, capture_output=True, text=True, check=False,
                           timeout=DEADLINE_S, env=sanitizer.environment(plugin))
    said = "libtpmdev-qemu does not save its TPM device"
    return ended.returncode == 0 and said in ended.stdout, ended.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plugin", required=True)
    parser.add_argument("--qemu", default="qemu-system-x86_64")
    args = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory(prefix="tpmdev-plugin-", dir="/tmp") as directory:
        for number, (name, options, more, expected) in enumerate(CASES, 1):
            status, said = run(args.qemu, args.plugin, options.format(dir=directory), more)
            expected = expected.format(dir=directory)
            prefixed = any(line.startswith("libtpmdev-qemu: ") and expected in line
                           for line in said.splitlines())
            good = status == 1 and prefixed
            failed += not good
            print(f"{'ok' if good else 'not ok'} {number} - {name}", flush=True)
            if not good:
                print(f"# status {status}, expected to say: {expected}")
            for line in said.splitlines():
                print(f"#   {line}")
    good, said = migration_is_refused(args.qemu, args.plugin)
    failed += not good
    print(f"{'ok' if good else 'not ok'} {len(CASES) + 1} - migration is refused")
    for line in said.splitlines():
        print(f"#   {line}")
    print(f"1..{len(CASES) + 1}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
