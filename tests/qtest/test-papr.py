#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The machine as a POWER platform, tpmdev-system-ppc64: its command line, its QMP, and a guest that
empties its queue late."""
import argparse
import os
import subprocess
import sys

from harness import DEADLINE_S, Machine, Spapr, Tap

NULL = ['-tpmdev', 'null,id=tpm0']
SPAPR = ['-device', 'tpm-spapr,tpmdev=tpm0']
H_PARAMETER = (1 << 64) - 4

MISTAKES = [
    ('device of a PC', NULL + ['-device', 'tpm-tis,tpmdev=tpm0'],
     ["'tpm-tis' has no place in the ppc64 machine; it takes one of: tpm-spapr"]),
    ('unit address that is none', NULL + ['-device', 'tpm-spapr,tpmdev=tpm0,reg=here'],
     ["Parameter 'reg' expects a unit address of 32 bits such as 0x71000000, not 'here'"]),
    ('unit address that is too large', NULL + ['-device', 'tpm-spapr,tpmdev=tpm0,reg=0x100000000'],
     ["Parameter 'reg' expects", "not '0x100000000'"]),
    ('unit address below 0', NULL + ['-device', 'tpm-spapr,tpmdev=tpm0,reg=-1'],
     ["Parameter 'reg' expects", "not '-1'"]),
    ('empty unit address', NULL + ['-device', 'tpm-spapr,tpmdev=tpm0,reg='],
     ["Parameter 'reg' expects", "not ''"]),
    ('unknown parameter', NULL + ['-device', 'tpm-spapr,tpmdev=tpm0,color=red'],
     ["tpm-spapr: invalid parameter 'color'"]),
    ('two devices of one TPM', NULL + SPAPR + SPAPR, ['-device tpm-spapr,tpmdev=tpm0: ']),
]


def mistake(program, arguments, texts):
    result = subprocess.run([program] + arguments, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE_S,
                            check=False)
    text = result.stderr.decode()
    assert result.returncode == 1, f'status {result.returncode}: {text}'
    for wanted in texts:
        assert wanted in text, f'no {wanted!r} in {text!r}'


def not_in_a_pc(program):
    mistake(program, NULL + SPAPR, ["'tpm-spapr' has no place in the x86_64 machine; it takes one "
                                    'of: tpm-tis, tpm-crb'])
    with Machine([program] + NULL + ['-device', 'tpm-tis,tpmdev=tpm0']) as machine:
        reply = machine.qtest.request('hcall 0xfc')
        assert reply == 'FAIL This machine has no device that takes hypercalls', reply


def query_tpm(program):
    with Machine([program] + NULL + SPAPR) as machine:
        reply = machine.qmp.execute('query-tpm')['return']
        assert [tpm['model'] for tpm in reply] == ['tpm-spapr'], reply
        assert machine.qmp.execute('query-tpm-models') == {'return': ['tpm-spapr']}


def without_a_device(program):
    with Machine([program]) as machine:
        assert machine.qtest.request('endianness') == 'OK big'
        assert machine.qtest.request('hcall 0xfc').startswith('FAIL '), 'a hypercall to nobody'


def unit_address(program):
    for text, unit in (('0x30000003', 0x30000003), ('0', 0), ('4294967295', 0xFFFFFFFF)):
        device = ['-device', f'tpm-spapr,tpmdev=tpm0,reg={text}']
        with Machine([program] + NULL + device) as machine:
            spapr = Spapr(machine.qtest)
            assert spapr.hcall(spapr.REG_CRQ, 0x10000, 0x1000) == H_PARAMETER
            spapr.UNIT = unit
            spapr.open()
            assert spapr.post(b'\xc0\x01') == 0
            assert spapr.take() == b'\xc0\x01'.ljust(16, b'\0')


def queue_goes_round(program):
    """Three times round a queue of one page, and through one of two."""
    with Machine([program] + NULL + SPAPR) as machine:
        spapr = Spapr(machine.qtest)
        for size, messages in ((0x1000, 3 * 256 + 2), (0x2000, 2 * 256 + 2)):
            spapr.hcall(spapr.FREE_CRQ)
            spapr.QUEUE_SIZE = size
            spapr.open()
            for i in range(messages):
                message = bytes([0xC0, 1 + i % 2])
                assert spapr.post(message) == 0
                assert spapr.take() == message.ljust(16, b'\0')
            assert spapr.next == messages * 16 % size


def queue_is_emptied_late(program):
    """256 places and eight answers that wait; all come, in order, when there is room."""
    with Machine([program] + NULL + SPAPR) as machine:
        spapr = Spapr(machine.qtest)
        spapr.open()
        sent = 0
        while spapr.post(bytes([0xC0, 1 + sent % 2])) == 0:
            sent += 1
        assert sent == 256 + 8, sent
        for i in range(sent):
            assert spapr.take()[:2] == bytes([0xC0, 1 + i % 2]), i
            spapr.hcall(spapr.ENABLE_CRQ)
        assert spapr.read(spapr.QUEUE + spapr.next, 1) == b'\0'
        response = spapr.command(bytes.fromhex('80010000000c000001440000'))
        assert response == bytes.fromhex('80010000000a00000101'), response.hex()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--machine', required=True, help='our tpmdev-system-x86_64')
    pc = os.path.abspath(parser.parse_args().machine)
    program = f'{pc.rpartition("-")[0]}-ppc64'
    tap = Tap()
    for name, arguments, texts in MISTAKES:
        tap.run(f'mistake: {name}', mistake, program, arguments, texts)
    tap.run('a PC takes no tpm-spapr and no hypercalls', not_in_a_pc, pc)
    tap.run('query-tpm and query-tpm-models', query_tpm, program)
    tap.run('a machine without a device', without_a_device, program)
    tap.run('the unit address is the one of reg=', unit_address, program)
    tap.run('the queue goes round', queue_goes_round, program)
    tap.run('a queue that is emptied late loses nothing', queue_is_emptied_late, program)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
