#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Tables that the plugin gives by commands of the linker-loader, in a QEMU in which no CPU runs:
QEMU's qtest protocol plays the firmware, and a QEMU without the plugin says what QEMU's own
commands are. As TAP."""
import argparse
import collections
import os
import shutil
import struct
import sys

# The tests leave nothing in the source tree.
sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "qtest"))
import harness  # noqa: E402
import sanitizer  # noqa: E402

# QEMU's firmware configuration device: a selector and a byte of data. On Arm both are memory.
PORT = 0x510
MEMORY = 0x09020000
DIRECTORY = 0x19

COMMAND = 128
TABLES, LOG, LOADER = b"etc/tpmdev/tables", b"etc/tpm/log", b"etc/table-loader"
ALLOCATE, ADD_POINTER, ADD_CHECKSUM = 1, 2, 3

# What firmware of q35 does before it asks for the tables: the window for PCI's configuration is
# set, after which QEMU has one table more.
PCI_WINDOW = ("outl 0xcf8 0x80000060", "outl 0xcfc 0xb0000001")

Target = collections.namedtuple("Target", "package machine options set_up more")

TARGETS = {
    "qemu-system-x86_64": Target("qemu-system-x86", "q35", "device=tpm-crb,tables=loader",
                                 PCI_WINDOW, 2),
    "qemu-system-aarch64": Target("qemu-system-arm", "virt", "device=tpm-crb", (), 0),
}


class Firmware:
    """A machine, with the plugin or without, and what firmware would do in it."""

    def __init__(self, args, target, with_plugin):
        os.environ.update(sanitizer.environment(args.plugin))
        command = [args.qemu, "-accel", "tcg", "-S", "-nodefaults", "-machine", target.machine]
        if with_plugin:
            command += ["-plugin", f"{args.plugin},tpmdev=null,{target.options}"]
        self.on_arm = target.machine == "virt"
        self.machine = harness.Machine(command)
        self.qtest = self.machine.qtest
        self.keys = {}

    def __enter__(self):
        self.machine.__enter__()
        return self

    def __exit__(self, *exception):
        return self.machine.__exit__(*exception)

    def _bytes(self, key, count):
        if self.on_arm:
            self.qtest.ok(f"writew {MEMORY + 8:#x} {key >> 8 | (key & 0xff) << 8:#x}")
            return bytes(self.qtest.number(f"readb {MEMORY:#x}") for _ in range(count))
        self.qtest.ok(f"outw {PORT:#x} {key:#x}")
        return bytes(self.qtest.number(f"inb {PORT + 1:#x}") for _ in range(count))

    def read_directory(self):
        """Name to size; firmware reads it once."""
        count, = struct.unpack(">I", self._bytes(DIRECTORY, 4))
        entries = self._bytes(DIRECTORY, 4 + 64 * count)[4:]
        sizes = {}
        for at in range(0, len(entries), 64):
            size, key, _, name = struct.unpack(">IHH56s", entries[at:at + 64])
            self.keys[name.rstrip(b"\0")] = key, size
            sizes[name.rstrip(b"\0")] = size
        return sizes

    def file(self, name):
        """As long as the directory said."""
        return self._bytes(*self.keys[name])

    def set_up(self, commands):
        for command in commands:
            self.qtest.ok(command)

    def reset(self):
        self.machine.qmp.execute("system_reset")
        self.machine.qmp.wait_event()


def commands_of(file):
    """The commands, without the zeros behind the last."""
    commands = [file[at:at + COMMAND] for at in range(0, len(file), COMMAND)]
    while commands and not any(commands[-1]):
        commands.pop()
    return commands


def told(command):
    """A command as its kind and the names in it."""
    kind, = struct.unpack("<I", command[:4])
    names = [command[4:60].rstrip(b"\0")]
    if kind == ADD_POINTER:
        names.append(command[60:116].rstrip(b"\0"))
    return kind, *names


OURS = [(ALLOCATE, LOG), (ALLOCATE, TABLES), (ADD_POINTER, TABLES, TABLES),
        (ADD_POINTER, TABLES, TABLES), (ADD_POINTER, TABLES, LOG), (ADD_CHECKSUM, TABLES)]


def qemus_commands(args, target):
    """QEMU's own, before the firmware has done anything and after it."""
    with Firmware(args, target, False) as firmware:
        firmware.read_directory()
        before = commands_of(firmware.file(LOADER))
        firmware.reset()
        firmware.set_up(target.set_up)
        return before, commands_of(firmware.file(LOADER))


def checks_of_files(firmware, sizes):
    tables = firmware.file(TABLES)
    ssdt, tpm2 = struct.unpack("<QQ", tables[:16])
    yield ("the file has an SSDT and a TPM2 table, whose checksum is firmware's to make",
           tables[ssdt:ssdt + 4] == b"SSDT" and tables[tpm2:tpm2 + 4] == b"TPM2" and
           tables[tpm2 + 9] == 0, tables.hex())
    yield "the log has 64 KiB", sizes[LOG] == 0x10000, str(sizes)


def checks_of_commands(firmware, when, qemus):
    commands = commands_of(firmware.file(LOADER))
    seen = "\n".join(str(told(command)) for command in commands)
    yield f"{when}, QEMU's commands are there", commands[:len(qemus)] == qemus, seen
    yield (f"{when}, ours are behind them",
           [told(command) for command in commands[len(qemus):]] == OURS, seen)
    yield (f"{when}, they are the same when selected again",
           commands_of(firmware.file(LOADER)) == commands, seen)


def checks(args, target):
    """(name, whether it is so, what was seen)"""
    before, after = qemus_commands(args, target)
    yield ("QEMU itself has as many commands more as are tried here",
           len(after) == len(before) + target.more, f"{len(before)} {len(after)}")
    with Firmware(args, target, True) as firmware:
        sizes = firmware.read_directory()
        yield from checks_of_files(firmware, sizes)
        yield from checks_of_commands(firmware, "at first", before)
        for when in ("when QEMU has made its tables anew", "after another reset"):
            firmware.reset()
            firmware.set_up(target.set_up)
            yield from checks_of_commands(firmware, when, after)
        yield "the directory is as it was", firmware.read_directory() == sizes, str(sizes)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plugin", required=True)
    parser.add_argument("--qemu", choices=TARGETS, default="qemu-system-aarch64")
    args = parser.parse_args()
    target = TARGETS[args.qemu]
    if not shutil.which(args.qemu):
        print(f"1..0 # SKIP there is no {args.qemu}; install {target.package}")
        return 0
    tap = harness.Tap()
    for name, good, seen in checks(args, target):
        tap.ok(name, good, "" if good else seen)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
