#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The same random register accesses to our machine and to a stock QEMU's tpm-tis or, on aarch64,
tpm-tis-device.

Each has a real swtpm behind it. Every reply and every interrupt must be the same. What is left
out is what QEMU does wrong: its vendor register; commands whose size field lies, which it hands
to swtpm as they are; its interrupt line, which one locality lowers though another has something
pending, and which a reset leaves as it is; and what localities do to each other's half commands
and responses in the buffer they share. The accesses come from a seed; a failure prints it with the last
accesses before the difference.
"""
import argparse
import collections
import random
import sys

import harness
from harness import ARCHES, Machine, Swtpm, Tap

# A command that is never complete: its size field asks for more than is ever written.
ENDLESS = bytes.fromhex('80010000 0f00')
# Two whose response does not depend on what was before: PCR_Read of PCR 0, and a command code
# that does not exist. In TPM 1.2 form: PCRRead of PCR 0.
COMMANDS = {
    '2.0': [bytes.fromhex('8001000000140000017e00000001000b03010000'),
            bytes.fromhex('80010000000a0000ffff')],
    '1.2': [bytes.fromhex('00c10000000e0000001500000000'),
            bytes.fromhex('00c10000000a0000ffff')],
}
STARTUP = {'2.0': bytes.fromhex('80010000000c000001440000'),
           '1.2': bytes.fromhex('00c10000000c000000990001')}

REGISTERS = [0x00] * 6 + [0x08] * 3 + [0x0C] + [0x10] * 3 + [0x14] + [0x18] * 8 + [0x24] * 6 + [
    0x30, 0x80, 0xBC, 0xF00, 0xF04, 0x20, 0x28, 0x34, 0xC0, 0xFFC]
VALUES = {
    0x00: [0x02, 0x02, 0x02, 0x08, 0x20, 0x20, 0x10, 0x22, 0x0A, 0x2A, 0x30, 0xFF, 0x00],
    0x08: [0x8000009F, 0xFFFFFFFF, 0x80000080, 0x80000004, 0x8000008F, 0x0000008F, 0x0],
    0x10: [0x80, 0x01, 0x02, 0x04, 0x87, 0xFF, 0xFFFFFFFF, 0x0],
    0x18: [0x40, 0x40, 0x40, 0x02, 0x20, 0x60, 0x62, 0x42, 0x00, 0x04000040, 0x80],
    0x30: [0x0, 0x80000, 0x60000],
}
RESET = 'system_reset'
GO = 'go'


def width_letter(width):
    return {1: 'b', 2: 'w', 4: 'l', 8: 'q'}[width]


class Accesses:
    """The random walk. What it does depends on the seed alone."""

    def __init__(self, seed, version, base):
        self.random = random.Random(seed)
        self.version = version
        self.base = base
        # Only one locality has interrupts enabled.
        self.interrupts = self.random.choice([0, 0, 0, 1])

    def address(self, register, width):
        locality = self.random.choice([0, 0, 0, 0, 1, 1, 2, 3, 4])
        offset = self.random.choice([0] * 8 + [1, 2, 3])
        # An access that crosses a register's end would touch the next, which may be the FIFO.
        offset = offset if offset + width <= 4 else 0
        return locality, self.base + (locality << 12) + register + offset

    def read(self):
        register = self.random.choice(REGISTERS)
        width = self.random.choice([1, 1, 2, 4, 4])
        _, address = self.address(register, width)
        return [f'read{width_letter(width)} {address:#x}']

    def settle(self):
        """The active locality drops what it has in the buffer, before another may come."""
        return [f'writeb {self.base + (locality << 12) + 0x18:#x} 0x40' for locality in range(4)]

    def write(self):
        register = self.random.choice(list(VALUES))
        value = self.random.choice(VALUES[register])
        width = self.random.choice([1, 1, 2, 4, 4])
        locality, address = self.address(register, width)
        if register == 0x08 and locality != self.interrupts:
            return []
        before = self.settle() if register == 0x00 else []
        return before + [f'write{width_letter(width)} {address:#x} '
                         f'{value & (1 << 8 * width) - 1:#x}']

    def fifo(self):
        """A piece of the endless command; zeros after its beginning."""
        locality = self.random.choice([0, 0, 0, 1, 2])
        register = self.random.choice([0x24, 0x24, 0x80, 0xBC])
        base = self.base + (locality << 12)
        begin = [f'writeb {base + register:#x} {byte:#x}' for byte in ENDLESS]
        more = [f'write{width_letter(width)} {base + register:#x} 0x0'
                for width in self.random.choices([1, 2, 4], k=self.random.randrange(4))]
        return [f'writeb {base + 0x18:#x} 0x40'] + begin + more

    def command(self):
        """A whole command at one locality, then some of its response."""
        locality = self.random.choice([0, 0, 0, 1, 3])
        base = self.base + (locality << 12)
        command = self.random.choice(COMMANDS[self.version])
        # Two times out of three whoever is active makes way first.
        lines = self.settle() + [f'writeb {self.base + (other << 12):#x} 0x20'
                                 for other in (0, 1, 2, 3)] * self.random.randrange(3)
        lines += [f'writeb {base:#x} 0x2', f'writeb {base + 0x18:#x} 0x40',
                  f'writeb {base + 0x18:#x} 0x40']
        lines += [f'writeb {base + 0x24:#x} {byte:#x}' for byte in command]
        lines += [f'readl {base + 0x18:#x}', (GO, base + 0x18), f'readl {base + 0x18:#x}']
        width = self.random.choice([1, 2, 4])
        lines += [f'read{width_letter(width)} {base + 0x24:#x}'] * self.random.randrange(16)
        return lines + [f'readl {base + 0x18:#x}']

    def enable(self):
        """All interrupts on and none pending, as far as the locality can say so now."""
        base = self.base + (self.interrupts << 12)
        return [f'writel {base + 0x08:#x} 0x8000008f', f'writel {base + 0x10:#x} 0xff']

    def reset(self):
        """With no interrupt pending: QEMU's line would stay high across it. Only the active
        locality can clear its interrupts."""
        bases = [self.base + (locality << 12) for locality in range(4)]
        lines = self.settle() + [f'writeb {base:#x} 0x20' for base in bases + bases]
        for base in bases:
            lines += [f'writeb {base:#x} 0x2', f'writel {base + 0x10:#x} 0xff',
                      f'writeb {base:#x} 0x20']
        return lines + [RESET]

    def step(self):
        kind = self.random.choices(
            [self.read, self.write, self.fifo, self.command, self.enable, self.reset],
            [50, 50, 6, 4, 10, 0.3])[0]
        return kind()


def go(machine, sts):
    """Start a command, if there is one, and wait for its end; QEMU's comes a little later, and
    so do its interrupts. Execution looks like a complete Reception or Completion, but of the
    three only Completion shows data again after responseRetry."""
    reply = machine.qtest.request(f'writeb {sts:#x} 0x20')

    def over():
        if machine.qtest.number(f'readb {sts:#x}') & 0x90 != 0x80:
            return True
        machine.qtest.ok(f'writeb {sts:#x} 0x2')
        return machine.qtest.number(f'readb {sts:#x}') & 0x90 == 0x90
    harness.wait_for(over, f'end of the command at {sts:#x}')
    return reply


def perform(machine, access):
    if access == RESET:
        return str(machine.qmp.execute('system_reset'))
    if access[0] == GO:
        return go(machine, access[1])
    return machine.qtest.request(access)


def start_up(machine, arch, version):
    tis = harness.Tis(machine.qtest, base=arch.tpm_base)
    tis.request()
    response = tis.command(STARTUP[version])
    assert response[6:] == bytes(4), response.hex()
    tis.relinquish()
    machine.qtest.ok('irq_intercept_in ' + arch.irq_controller)


def compare(ours, qemu, arch, seed, version, count):
    """Returns how many responses and interrupts there were, so that one can see it was no idle
    walk."""
    accesses = Accesses(seed, version, arch.tpm_base)
    line = str(arch.irq or 5)
    history = collections.deque(maxlen=60)
    done = responses = interrupts = 0
    for machine in (ours, qemu):
        start_up(machine, arch, version)
    while done < count:
        for access in accesses.step():
            done += 1
            replies = [perform(machine, access) for machine in (ours, qemu)]
            # QEMU has other devices, whose lines move at a reset.
            irqs = [[irq for irq in machine.qtest.irqs if irq.split()[2] == line]
                    for machine in (ours, qemu)]
            history.append(f'{access} -> {replies[1]} {irqs[1]}')
            if replies[0] != replies[1] or irqs[0] != irqs[1]:
                raise AssertionError(
                    f'seed {seed}: after {done} accesses ours says {replies[0]} {irqs[0]}, '
                    f'QEMU {replies[1]} {irqs[1]}\n' + '\n'.join(history))
            interrupts += len(irqs[0])
            responses += access[0] == GO and ours.qtest.number(f'readb {access[1]:#x}') == 0x90
            for machine in (ours, qemu):
                machine.qtest.irqs.clear()
    return responses, interrupts


def run(program, arch, seed, version, count):
    harness.require_qemu(arch)
    with harness.temporary_directory() as one, harness.temporary_directory() as two, \
            Swtpm(version, one) as swtpm_one, Swtpm(version, two) as swtpm_two:
        def tpm(swtpm):
            return ['-chardev', f'socket,id=chr,path={swtpm.socket}', '-tpmdev',
                    'emulator,id=tpm0,chardev=chr', '-device', f'{arch.tis},tpmdev=tpm0']
        with Machine(arch.machine(program) + tpm(swtpm_one)) as ours, \
                Machine(arch.stock_qemu() + tpm(swtpm_two)) as qemu:
            responses, interrupts = compare(ours, qemu, arch, seed, version, count)
            print(f'# {responses} responses, {interrupts} edges of the interrupt line')
            assert responses and interrupts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--machine', required=True,
                        help='our tpmdev-system-x86_64, or another beside it')
    parser.add_argument('--arch', choices=('x86_64', 'aarch64'), default='x86_64')
    parser.add_argument('--count', type=int, default=5000, help='accesses for each seed')
    parser.add_argument('--seeds', type=int, nargs='*', default=[1, 2])
    args = parser.parse_args()
    tap = Tap()
    for version in ('2.0', '1.2'):
        for seed in args.seeds:
            tap.run(f'{version} {args.count} accesses of seed {seed} have the same replies', run,
                    args.machine, ARCHES[args.arch], seed, version, args.count)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
