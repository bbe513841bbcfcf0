#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The tables of every combination are the golden ones, byte for byte; the text beside each says
what it is, and iasl takes it apart and puts it together again without an error or a warning."""
import argparse
import os
import re
import sys

import golden

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'qtest'))

from harness import Tap  # pylint: disable=wrong-import-position

HEADER_SIZE = 36

# All of the header that iasl takes from the text: not the length, the checksum and the creator.
KEPT = list(range(4)) + [8] + list(range(10, 28))

# What iasl remarks of _DSM: a region of its own for every operation, which Windows needs.
REMARKS = {'2173'}


# iasl compiles no TPM2 table that ends before this.
REST_OF_TPM2 = """
[034h 0052  12]            Method Parameters : 00 00 00 00 00 00 00 00 00 00 00 00
[040h 0064   4]           Minimum Log Length : 00010000
[044h 0068   8]                  Log Address : 0000000000000000
"""


def is_golden(table, program):
    made = table.make(program)
    wanted = table.read()
    assert made == wanted, (f'is {made.hex()}\nnot {wanted.hex()}\n'
                            'if that is meant, run tests/update-golden.sh')


def has_a_good_header(table):
    data = table.read()
    assert sum(data) % 256 == 0
    assert int.from_bytes(data[4:8], 'little') == len(data)


def makes(text, table):
    data = table.read()
    if table.is_brief:
        text += REST_OF_TPM2
    made, output = golden.compile_text(text)
    if table.is_brief:
        made = made[:len(data)]
    assert set(re.findall(r'^Remark\s+(\d+)', output, re.M)) <= REMARKS, output
    assert [made[i] for i in KEPT] == [data[i] for i in KEPT], f'{made.hex()} is not {data.hex()}'
    assert made[HEADER_SIZE:] == data[HEADER_SIZE:], f'{made.hex()} is not {data.hex()}'


def text_says_what_it_is(table):
    """The text that is kept makes the table, with iasl as its creator."""
    makes(table.read('.dsl').decode('ascii'), table)


def iasl_disassembles_and_compiles(table):
    """What iasl of this machine says today, not only what was kept."""
    makes(golden.disassemble(table.read()), table)


def nothing_else_is_kept():
    wanted = {table.name + suffix for table in golden.TABLES for suffix in ('.aml', '.dsl')}
    assert set(os.listdir(golden.DATA)) == wanted | {'README.rst'}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--machine', required=True, help='our tpmdev-system-x86_64')
    program = os.path.abspath(parser.parse_args().machine)
    tap = Tap()
    for table in golden.TABLES:
        tap.run(f'{table.name}: is golden', is_golden, table, program)
        tap.run(f'{table.name}: header', has_a_good_header, table)
        tap.run(f'{table.name}: text', text_says_what_it_is, table)
        tap.run(f'{table.name}: iasl', iasl_disassembles_and_compiles, table)
    tap.run('nothing else is kept', nothing_else_is_kept)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
