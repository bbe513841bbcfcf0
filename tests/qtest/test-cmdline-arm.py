#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The command line of tpmdev-system-arm: where on which I2C bus the TPM is, as QEMU's rainier-bmc
machine is told it. Each mistake has a text of its own and status 1."""
import argparse
import os
import subprocess
import sys

import harness
from harness import DEADLINE_S, Machine, Swtpm, Tap
from i2c import Bus, I2c

NULL = ['-tpmdev', 'null,id=tpm0']
PLACE = 'bus=aspeed.i2c.bus.10,address=0x2e'
MACHINE = ['-machine', 'rainier-bmc', '-accel', 'tcg']

# What is wrong, the value of -device, and what the text must say.
MISTAKES = [
    ('no bus', 'tpm-tis-i2c,tpmdev=tpm0,address=0x2e',
     "Parameter 'bus' is missing; give bus=aspeed.i2c.bus.N, N from 0 to 15"),
    ('bus there is not', 'tpm-tis-i2c,tpmdev=tpm0,bus=aspeed.i2c.bus.16,address=0x2e',
     "Bus 'aspeed.i2c.bus.16' not found; there are aspeed.i2c.bus.0 to 15"),
    ('bus of another kind', 'tpm-tis-i2c,tpmdev=tpm0,bus=pci.0,address=0x2e',
     "Bus 'pci.0' not found"),
    ('no address', 'tpm-tis-i2c,tpmdev=tpm0,bus=aspeed.i2c.bus.10',
     "Parameter 'address' is missing; give an I2C address such as 0x2e"),
    ('address that is no number', 'tpm-tis-i2c,tpmdev=tpm0,bus=aspeed.i2c.bus.10,address=here',
     "Parameter 'address' expects an I2C address from 0x08 to 0x77, not 'here'"),
    ('address with something behind it',
     'tpm-tis-i2c,tpmdev=tpm0,bus=aspeed.i2c.bus.10,address=0x2ez', "not '0x2ez'"),
    ('address below the first', 'tpm-tis-i2c,tpmdev=tpm0,bus=aspeed.i2c.bus.10,address=7',
     "not '7'"),
    ('address above the last', 'tpm-tis-i2c,tpmdev=tpm0,bus=aspeed.i2c.bus.10,address=0x78',
     "not '0x78'"),
    ('empty address', 'tpm-tis-i2c,tpmdev=tpm0,bus=aspeed.i2c.bus.10,address=', "not ''"),
    ('unknown property', f'tpm-tis-i2c,tpmdev=tpm0,{PLACE},colour=red',
     "tpm-tis-i2c: invalid parameter 'colour'; it takes driver, tpmdev, window, incoming, selftest"),
    ('interrupt', f'tpm-tis-i2c,tpmdev=tpm0,{PLACE},irq=5',
     "tpm-tis-i2c: invalid parameter 'irq'; it takes driver, tpmdev, window, incoming, selftest"),
    ('no tpmdev', f'tpm-tis-i2c,{PLACE}', "tpm-tis-i2c: 'tpmdev' property is required"),
    ('unknown tpmdev', f'tpm-tis-i2c,tpmdev=zz,{PLACE}',
     "Property 'tpm-tis-i2c.tpmdev' can't find value 'zz'"),
    ('physical presence memory', f'tpm-tis-i2c,tpmdev=tpm0,{PLACE},ppi=on',
     "tpm-tis-i2c: invalid parameter 'ppi'; it takes driver, tpmdev, window, incoming, selftest"),
    ('device in memory', 'tpm-tis,tpmdev=tpm0',
     "'tpm-tis' has no place in the arm machine; it takes one of: tpm-tis-i2c"),
]


def fails(program, arguments, wanted):
    result = subprocess.run([program] + arguments, stdin=subprocess.DEVNULL,
                            stderr=subprocess.PIPE, timeout=DEADLINE_S, check=False)
    text = result.stderr.decode()
    assert result.returncode == 1, f'status {result.returncode}: {text}'
    assert text.startswith(f'{os.path.basename(program)}: -device {arguments[-1]}: '), text
    assert wanted in text, f'no {wanted!r} in {text!r}'


def works(machine, number=10, address=0x2E):
    """The TPM is in its place and in no other; query-tpm has a name for its registers."""
    for other in range(16):
        bus = Bus(machine.qtest, other)
        bus.start(address=address)
        bus.send(0x48)
        found = bytes(bus.receive() for _ in range(4))
        bus.stop()
        wanted = '14100100' if other == number else 'ffffffff'
        assert found.hex() == wanted, f'bus {other}: {found.hex()}'
    bus = Bus(machine.qtest, number)
    for other in range(128):
        bus.start(receive=True, address=other)
        assert (bus.receive() != 0xFF) == (other == address), f'address {other:#x}'
        bus.stop()
    reply = machine.qmp.execute('query-tpm')
    assert reply['return'][0]['model'] == 'tpm-tis', reply


def starts(program, form):
    with Machine([program] + MACHINE + NULL + ['-device', f'tpm-tis-i2c,tpmdev=tpm0,{PLACE}'],
                 form=form) as machine:
        works(machine)


def other_places(program):
    for number, address in ((0, 0x08), (15, 0x77)):
        device = f'tpm-tis-i2c,tpmdev=tpm0,address={address},bus=aspeed.i2c.bus.{number},ppi=off'
        with Machine([program] + MACHINE + NULL + ['-device', device]) as machine:
            works(machine, number, address)


def without_device(program):
    """All buses are there, and idle."""
    with Machine([program] + MACHINE) as machine:
        bus = Bus(machine.qtest)
        bus.start()
        bus.send(0x48)
        assert bus.receive() == 0xFF
        bus.stop()


def with_swtpm(program):
    """Whole commands, by TPM and device whose id is not tpm0."""
    with harness.temporary_directory() as directory, Swtpm('2.0', directory) as swtpm:
        extra = ['-chardev', f'socket,id=chr,path={swtpm.socket}', '-tpmdev',
                 'emulator,id=mine,chardev=chr', '-device', f'tpm-tis-i2c,tpmdev=mine,{PLACE}']
        with Machine([program] + MACHINE + extra) as machine:
            driver = I2c(machine.qtest)
            driver.request()
            driver.send(bytes.fromhex('80010000000c000001440000'))
            driver.go()
            assert driver.receive().hex() == '80010000000a00000000'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--machine', required=True, help='our tpmdev-system-arm')
    program = os.path.abspath(parser.parse_args().machine)
    tap = Tap()
    for name, device, wanted in MISTAKES:
        tap.run(f'mistake: {name}', fails, program, NULL + ['-device', device], wanted)
    tap.run('mistake: TPM 1.2', fails, program,
            ['-tpmdev', 'null,id=tpm0,version=1.2', '-device', f'tpm-tis-i2c,tpmdev=tpm0,{PLACE}'],
            'tpm-tis-i2c is for TPM 2.0 and its TPM is a 1.2; use a TPM 2.0')
    tap.run('mistake: I2C in a PC', fails, program.replace('-arm', '-x86_64'),
            NULL + ['-device', f'tpm-tis-i2c,tpmdev=tpm0,{PLACE}'],
            "'tpm-tis-i2c' has no place in the x86_64 machine; it takes one of: tpm-tis, tpm-crb")
    tap.run('starts as libqtest starts it', starts, program,
            harness.LIBQTEST_7_2 + ['-accel', 'qtest'])
    tap.run('other buses and addresses', other_places, program)
    tap.run('no device', without_device, program)
    tap.run('swtpm, by another id than tpm0', with_swtpm, program)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
