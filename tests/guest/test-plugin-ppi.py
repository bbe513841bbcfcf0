#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Physical presence memory of the plugin's device, in a QEMU in which no CPU runs: QEMU's qtest
protocol plays the guest. As TAP."""
import argparse
import os
import struct
import subprocess
import sys

# The tests leave nothing in the source tree.
sys.dont_write_bytecode = True
sys.path.insert(1, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "qtest"))
import harness  # noqa: E402
import sanitizer  # noqa: E402

PPI = 0xFED45000
PPI_SIZE = 0x400
MOVV = 0x15A
CLEAR_MEMORY = 1

LOG = 0xFED50000
FIRMWARE = 0xFFFC0000
RESET_VECTOR = 0xFFFFFFF0

# QEMU's firmware configuration device: a selector and a byte of data.
FW_CFG = 0x510
FW_CFG_DIRECTORY = 0x19

# The host bridge's registers by which firmware has memory shown in its place, q35.
PCI_ADDRESS, PCI_DATA = 0xCF8, 0xCFC
PAM_READ_ONLY, PAM_READ_WRITE = 1, 3
OPTION_ROMS = 0xC0000
SHADOW, SHADOW_TO_FIRMWARE = 0xE0000, 0xFFF00000

# Where `-device loader` puts things at every reset: a number, and a file.
NUMBER_AT, NUMBER = 0x300000, 0x4D4F5221
FILE_AT, FILE = 0x400000, bytes(range(1, 251)) * 20

# Main memory below the legacy hole, and from the first to the last byte above it.
MEMORY_SIZE = 32 << 20
PLACES = (0x0, 0x7C00, 0x9FFF8, 0x100000, 0x200000, MEMORY_SIZE - 8)
PATTERN = 0x5A5AA5A5C3C33C3C


class Guest:
    """A machine with the plugin, and what a guest would do in it."""

    def __init__(self, args, options, more=()):
        os.environ.update(sanitizer.environment(args.plugin))
        command = [args.qemu, "-accel", "tcg", "-S", "-nodefaults", "-m",
                   str(MEMORY_SIZE >> 20), "-machine", "q35", *more, "-plugin",
                   f"{args.plugin},{options}"]
        self.machine = harness.Machine(command)
        self.qtest = self.machine.qtest

    def __enter__(self):
        self.machine.__enter__()
        return self

    def __exit__(self, *exception):
        return self.machine.__exit__(*exception)

    def read(self, address, size):
        return bytes.fromhex(self.qtest.request(f"read {address:#x} {size}")[5:])

    def number(self, address, width="q"):
        return self.qtest.number(f"read{width} {address:#x}")

    def write(self, address, value, width="q"):
        self.qtest.ok(f"write{width} {address:#x} {value:#x}")

    def reset(self):
        self.machine.qmp.execute("system_reset")
        self.machine.qmp.wait_event()

    def fw_cfg_bytes(self, key, count):
        self.qtest.ok(f"outw {FW_CFG:#x} {key:#x}")
        return bytes(self.qtest.number(f"inb {FW_CFG + 1:#x}") for _ in range(count))

    def fw_cfg_file(self, name):
        """A file's bytes, or None."""
        count, = struct.unpack(">I", self.fw_cfg_bytes(FW_CFG_DIRECTORY, 4))
        entries = self.fw_cfg_bytes(FW_CFG_DIRECTORY, 4 + 64 * count)[4:]
        for at in range(0, len(entries), 64):
            size, key, _, found = struct.unpack(">IHH56s", entries[at:at + 64])
            if found.rstrip(b"\0").decode() == name:
                return self.fw_cfg_bytes(key, size)
        return None

    def show_memory(self, access):
        """Between 768 KiB and 1 MiB, of main memory, with this access."""
        for register in (0x90, 0x94):
            value = access * 0x11111111 if register == 0x94 else access * 0x11111110
            self.qtest.ok(f"outl {PCI_ADDRESS:#x} {0x80000000 | register:#x}")
            self.qtest.ok(f"outl {PCI_DATA:#x} {value & 0xFFFFFFFF:#x}")

    def fill_memory(self):
        for place in PLACES:
            self.write(place, PATTERN)

    def memory(self):
        return [self.number(place) for place in PLACES]


def config_is(args, options, expected):
    with Guest(args, options) as guest:
        found = [guest.fw_cfg_file("etc/tpm/config")]
        guest.reset()
        found.append(guest.fw_cfg_file("etc/tpm/config"))
    return found == [expected, expected], str(found)


def memory_is_where(args, options, address):
    """All of it can be written, in the way of nothing else, and survives a reset."""
    wanted = bytes((at * 7 + 1) % 251 for at in range(PPI_SIZE))
    wanted = wanted[:MOVV] + b"\0" + wanted[MOVV + 1:]
    with Guest(args, options) as guest:
        found = [guest.read(address, PPI_SIZE) == bytes(PPI_SIZE)]
        guest.qtest.ok(f"write {address:#x} {PPI_SIZE} 0x{wanted.hex()}")
        guest.reset()
        found.append(guest.read(address, PPI_SIZE) == wanted)
        found.append(guest.number(address + PPI_SIZE - 4))
        found.append(guest.number(0xFED40F00, "l") == 0x11014)
    last = int.from_bytes(wanted[-4:], "little")
    return found == [True, True, last, True], str(found)


def no_memory(args, options):
    with Guest(args, options) as guest:
        guest.write(PPI + MOVV, CLEAR_MEMORY, "b")
        guest.fill_memory()
        guest.reset()
        found = [guest.number(PPI + MOVV, "b"), guest.memory() == [PATTERN] * len(PLACES),
                 guest.fw_cfg_file("etc/tpm/config")]
    return found == [0, True, None], str(found)


def clearing(args, options, directory):
    """One reset for which the guest has asked, between two for which it has not: (name, whether
    it is so, what was seen)."""
    file = os.path.join(directory, "file")
    with open(file, "wb") as out:
        out.write(FILE)
    more = ["-device", f"loader,addr={NUMBER_AT:#x},data={NUMBER:#x},data-len=4",
            "-device", f"loader,addr={FILE_AT:#x},file={file},force-raw=on"]
    with Guest(args, options, more) as guest:
        firmware = guest.read(FIRMWARE, 0x40000)
        guest.qtest.ok(f"memset {PPI:#x} {MOVV:#x} 0x33")
        guest.qtest.ok(f"memset {LOG:#x} 0x100 0x44")
        guest.fill_memory()
        guest.reset()
        found = guest.memory()
        yield ("nothing is cleared unasked", found == [PATTERN] * len(PLACES), str(found))
        guest.write(PPI + MOVV, CLEAR_MEMORY, "b")
        guest.write(NUMBER_AT + 4, PATTERN, "l")
        guest.reset()
        found = guest.memory()
        yield ("all of main memory is cleared", found == [0] * len(PLACES), str(found))
        found = [guest.number(LOG), guest.number(NUMBER_AT + 4, "l")]
        yield ("the firmware's log and what is beside a loaded number are cleared",
               found == [0, 0], str(found))
        found = [guest.number(NUMBER_AT, "l"), guest.read(FILE_AT, len(FILE)) == FILE]
        yield ("what QEMU loads at a reset is there", found == [NUMBER, True], str(found))
        yield ("firmware's read-only memory is as it was",
               guest.read(FIRMWARE, 0x40000) == firmware and guest.number(RESET_VECTOR) != 0, "")
        yield ("the physical presence memory is as it was but for the request",
               guest.read(PPI, MOVV + 1) == b"\x33" * MOVV + b"\0", guest.read(PPI, 16).hex())
        guest.fill_memory()
        guest.reset()
        found = guest.memory()
        yield ("the request was carried out once", found == [PATTERN] * len(PLACES), str(found))


def flash_is_kept(args, directory):
    """Variables of OVMF: flash, which a guest can read as memory."""
    images = []
    for name in ("OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"):
        images.append(os.path.join(directory, name))
        subprocess.run(["cp", os.path.join(args.ovmf, name), images[-1]], check=True)
    more = ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={images[0]}",
            "-drive", f"if=pflash,format=raw,unit=1,file={images[1]}"]
    start = (4 << 30) - sum(os.path.getsize(image) for image in images)
    with Guest(args, "tpmdev=null", more) as guest:
        before = guest.read(start, 0x1000), guest.read(RESET_VECTOR, 16)
        guest.fill_memory()
        guest.write(PPI + MOVV, CLEAR_MEMORY, "b")
        guest.reset()
        after = guest.read(start, 0x1000), guest.read(RESET_VECTOR, 16)
        cleared = guest.memory() == [0] * len(PLACES)
    with open(images[1], "rb") as file:
        kept = file.read(0x1000) == before[0]
    return (cleared and kept and before == after and any(before[0]),
            f"cleared {cleared}, in the file {kept}\n{before[0][:64].hex()}\n{after[0][:64].hex()}")


def shadow(args, access):
    """Firmware's copy of itself below 1 MiB, in memory the chipset shows there, is firmware again;
    memory for option ROMs is cleared."""
    with Guest(args, "tpmdev=null") as guest:
        guest.show_memory(PAM_READ_WRITE)
        for at in (OPTION_ROMS, SHADOW, RESET_VECTOR - SHADOW_TO_FIRMWARE):
            guest.write(at, PATTERN)
        guest.show_memory(access)
        guest.write(PPI + MOVV, CLEAR_MEMORY, "b")
        guest.reset()
        guest.show_memory(access)
        found = [guest.number(OPTION_ROMS),
                 guest.read(SHADOW, 0x20000) == guest.read(SHADOW + SHADOW_TO_FIRMWARE, 0x20000)]
        # It is memory that shows this, not the chipset's return to what stands below 4 GiB.
        guest.show_memory(PAM_READ_WRITE)
        guest.write(SHADOW, PATTERN)
        found.append(guest.number(SHADOW) == PATTERN)
    return found == [0, True, True], str(found)


def is_refused(args, options, expected):
    command = [args.qemu, "-display", "none", "-nodefaults", "-S", "-machine", "q35", "-plugin",
               f"{args.plugin},tpmdev=null,{options}"]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           check=False, timeout=harness.DEADLINE_S,
                           env=sanitizer.environment(args.plugin))
    return ended.returncode == 1 and expected in ended.stderr, ended.stderr


def checks(args, directory):
    yield ("fw_cfg tells where the memory is, also after a reset",
           *config_is(args, "tpmdev=null", bytes((0x00, 0x50, 0xD4, 0xFE, 2, 1))))
    yield ("fw_cfg tells of a TPM 1.2",
           *config_is(args, "tpmdev=null,version=1.2,ppi=on",
                      bytes((0x00, 0x50, 0xD4, 0xFE, 1, 1))))
    yield ("the memory is beside the device, and survives a reset",
           *memory_is_where(args, "tpmdev=null", PPI))
    yield ("the memory is where ppi-address= says",
           *memory_is_where(args, "tpmdev=null,ppi-address=0xfed46c00", 0xFED46C00))
    yield ("with ppi=off there is none, and no file", *no_memory(args, "tpmdev=null,ppi=off"))
    yield from clearing(args, "tpmdev=null", directory)
    for name, good, detail in clearing(args, "tpmdev=null,device=tpm-crb,buffer=page,"
                                       "buffer-address=0xfed60000", directory):
        yield f"CRB with a page: {name}", good, detail
    yield ("flash keeps what it has when memory is cleared", *flash_is_kept(args, directory))
    for name, access in (("read-only", PAM_READ_ONLY), ("writable", PAM_READ_WRITE)):
        yield f"firmware's {name} copy below 1 MiB is firmware again", *shadow(args, access)
    yield ("the memory is beside the device or refused",
           *is_refused(args, "ppi-address=0xfed44000",
                            "ppi_address 0xfed44000 is inside the device"))
    yield ("an address is for memory that is there",
           *is_refused(args, "ppi=off,ppi-address=0xfed45000",
                            "parameter 'ppi-address' needs 'ppi=on'; give both"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plugin", required=True)
    parser.add_argument("--qemu", default="qemu-system-x86_64")
    parser.add_argument("--ovmf", default="/usr/share/OVMF")
    args = parser.parse_args()
    tap = harness.Tap()

    with harness.temporary_directory() as directory:
        for name, good, detail in checks(args, directory):
            tap.ok(name, good, detail)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
