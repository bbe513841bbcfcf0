#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The same random register accesses to our machine and to a stock QEMU's tpm-crb.

Each has a real swtpm behind it, and every reply must be the same. What is left out is what QEMU
does wrong: it hands commands whose size field lies to swtpm as they are. Nor is the buffer
compared behind a response, where ours has zeros and QEMU what was there before. The accesses come
from a seed; a failure prints it with the last accesses before the difference.
"""
import argparse
import collections
import os
import random
import sys

import harness
from harness import Crb, Machine, Swtpm, Tap, TIS_BASE

STARTUP = bytes.fromhex('80010000000c000001440000')
# What is answered the same by both, or differs only in time: Startup again, GetCapability of the
# manufacturer, PCR_Read of PCRs 0 and 1, and a command code that does not exist.
COMMANDS = [STARTUP,
            bytes.fromhex('8001000000160000017a000000060000010500000001'),
            bytes.fromhex('8001000000140000017e00000001000b03030000'),
            bytes.fromhex('80010000000a0000ffff')]

REGISTERS = [0x00, 0x04, 0x08, 0x0C, 0x10, 0x30, 0x34, 0x38, 0x40, 0x44, 0x48, 0x4C, 0x50, 0x54,
             0x58, 0x5C, 0x60, 0x64, 0x68, 0x6C, 0x70, 0x7C]
READ_ONLY = [0x00, 0x0C, 0x30, 0x34, 0x38, 0x50, 0x54, 0x58, 0x5C, 0x60, 0x64, 0x68, 0x6C]
LETTERS = {1: 'b', 2: 'w', 4: 'l', 8: 'q'}


class Pair:
    """Both machines, to which the same is done."""

    def __init__(self, ours, qemu):
        self.machines = (ours, qemu)
        self.history = collections.deque(maxlen=60)
        self.done = 0

    def request(self, access):
        self.done += 1
        replies = [machine.qtest.request(access) for machine in self.machines]
        self.history.append(f'{access} -> {replies[1]}')
        if replies[0] != replies[1]:
            raise AssertionError(f'after {self.done} accesses ours says {replies[0]}, QEMU '
                                 f'{replies[1]}\n' + '\n'.join(self.history))
        return replies[0]

    def write(self, offset, width, value):
        value &= (1 << 8 * width) - 1
        self.request(f'write{LETTERS[width]} {TIS_BASE + offset:#x} {value:#x}')

    def read(self, offset, width):
        return int(self.request(f'read{LETTERS[width]} {TIS_BASE + offset:#x}')[3:], 16)

    def wait_response(self):
        """QEMU's comes a little later, so that the polls are not compared."""
        for machine in self.machines:
            Crb(machine.qtest).wait_response()


class Walk:
    """The random walk. What it does depends on the seed alone."""

    def __init__(self, pair, seed):
        self.pair = pair
        self.random = random.Random(seed)
        self.responses = 0

    def read(self):
        width = self.random.choice([1, 1, 2, 4, 4, 8])
        offset = self.random.choice(REGISTERS) + self.random.choice([0, 0, 1, 2, 3])
        if offset + width <= Crb.DATA_BUFFER:
            self.pair.read(offset, width)

    def locality(self):
        self.pair.write(Crb.LOC_CTRL + self.random.choice([0, 0, 0, 0, 1]),
                        self.random.choice([1, 2, 4]), self.random.choice([1, 1, 1, 2, 4, 8, 3, 0]))

    def control(self):
        self.pair.write(Crb.CTRL_REQ + self.random.choice([0, 0, 0, 1]),
                        self.random.choice([1, 4, 4]), self.random.choice([1, 1, 2, 3, 0]))

    def read_only(self):
        self.pair.write(self.random.choice(READ_ONLY), self.random.choice([1, 2, 4]),
                        self.random.getrandbits(8))

    def cancel(self):
        """Where nothing runs."""
        self.pair.write(Crb.CTRL_CANCEL, 4, self.random.choice([0, 1, 2]))

    def buffer_end(self):
        """The last bytes of the buffer are memory too."""
        self.pair.write(0xFF8, 8, self.random.getrandbits(64))
        self.pair.read(0xFFC, 4)
        self.pair.read(0xFFF, 1)

    def send(self, command):
        at = 0
        while at < len(command):
            width = self.random.choice([1, 2, 4, 8])
            if at + width <= len(command):
                self.pair.write(Crb.DATA_BUFFER + at, width,
                                int.from_bytes(command[at:at + width], 'little'))
                at += width

    def command(self):
        """A whole command and the beginning of its response; nothing happens without access."""
        self.send(self.random.choice(COMMANDS) if self.responses else STARTUP)
        has_access = self.pair.read(Crb.LOC_STATE, 4) & 2
        value = self.random.choice([1, 1, 1, 3, 2])
        self.pair.write(Crb.CTRL_START, self.random.choice([1, 4]), value)
        self.pair.wait_response()
        self.responses += bool(has_access and value == 1)
        size = int.from_bytes(Crb(self.pair.machines[0].qtest).read_buffer(6)[2:], 'big')
        for at in range(min(size, 64)):
            self.pair.read(Crb.DATA_BUFFER + at, 1)
        self.pair.read(Crb.CTRL_STS, 4)
        self.pair.read(Crb.CTRL_START, 4)

    def step(self):
        self.random.choices([self.read, self.locality, self.control, self.read_only, self.cancel,
                             self.command, self.buffer_end],
                            [35, 15, 10, 10, 5, 20, 5])[0]()


def run(program, seed, count):
    harness.require_qemu()
    with harness.temporary_directory() as one, harness.temporary_directory() as two, \
            Swtpm('2.0', one) as swtpm_one, Swtpm('2.0', two) as swtpm_two:
        def tpm(swtpm):
            return ['-chardev', f'socket,id=chr,path={swtpm.socket}', '-tpmdev',
                    'emulator,id=tpm0,chardev=chr', '-device', 'tpm-crb,tpmdev=tpm0']
        with Machine([program] + tpm(swtpm_one)) as ours, \
                Machine(harness.STOCK_QEMU + tpm(swtpm_two)) as qemu:
            pair = Pair(ours, qemu)
            walk = Walk(pair, seed)
            while pair.done < count:
                walk.step()
            print(f'# {walk.responses} responses')
            assert walk.responses > 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--machine', required=True, help='our tpmdev-system-x86_64')
    parser.add_argument('--count', type=int, default=8000, help='accesses for each seed')
    parser.add_argument('--seeds', type=int, nargs='*', default=[1, 2, 3, 4])
    args = parser.parse_args()
    tap = Tap()
    for seed in args.seeds:
        tap.run(f'{args.count} accesses of seed {seed} have the same replies', run,
                os.path.abspath(args.machine), seed, args.count)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
