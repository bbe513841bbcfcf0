#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""_DSM of every golden device object that has one, function by function, in acpiexec: what it
returns and what it leaves in the physical presence memory. The table of what is expected is the
specifications' (TCG PC Client Platform Physical Presence Interface 1.30; TCG Platform Reset Attack
Mitigation), and QEMU's where they leave room."""
import concurrent.futures
import os
import sys
import uuid

import golden
from interpreter import TAIL_SIZE, Interpreter

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'qtest'))

from harness import Tap  # pylint: disable=wrong-import-position

PPI = uuid.UUID('3dddfaa6-361b-4eb4-a424-8d10089d1653').bytes_le
MOR = uuid.UUID('376054ed-cc13-4675-901c-4756d7f2d45d').bytes_le

NO_SUCH_FUNCTION = b'\0'

# Where numbers stand in the part of the memory that Interpreter.look() shows: from 100h on.
PPRP, PPRQ, PPRM, LPPR = 0x05, 0x09, 0x0D, 0x11
MOVV = 0x15A

# What firmware says of an operation (QEMU's specification of its TPM devices), and what function 2
# and function 7 answer then.
STATUSES = [
    # status, function 2, function 7
    (0, 1, 1),  # not implemented
    (1, 0, 0),  # firmware only
    (2, 0, 3),  # blocked
    (3, 0, 0),  # allowed, the user is asked
    (4, 0, 0),  # allowed, the user is not asked
]

# Bits beside the status, which are firmware's own.
OTHER_BITS = 0xF8

OPERATION = 0x17
PARAMETER = 0x5B
PACKAGE, BUFFER = 'package', 'buffer'


def arg3(form, *elements):
    """As Windows gave it once: the bytes of its elements."""
    return list(elements) if form == PACKAGE else bytes(elements)


def memory(**numbers):
    """The memory with a pattern in it, and these numbers."""
    tail = bytearray(0xA0 + i % 0x50 for i in range(TAIL_SIZE))
    offsets = {'pprp': PPRP, 'pprq': PPRQ, 'pprm': PPRM, 'lppr': LPPR}
    for name, number in numbers.items():
        tail[offsets[name]:offsets[name] + 4] = number.to_bytes(4, 'little')
    return bytes(tail)


def asked(operation, parameter=0):
    return memory(pprq=operation, pprm=parameter)


# ---- functions that only tell ----

def tells_which_functions_there_are(machine):
    for revision in (1, 2):
        for empty in ([0], b'\0'):
            machine.dsm(PPI, revision, 0, empty, b'\xff\x01')
            machine.dsm(MOR, revision, 0, empty, b'\x03')


def tells_its_version_action_and_language(machine):
    for revision in (1, 2):
        for argument in ([0], b'\0'):
            machine.dsm(PPI, revision, 1, argument, '1.3')
            machine.dsm(PPI, revision, 4, argument, 2)
            machine.dsm(PPI, revision, 6, argument, 3)


def knows_no_other_function(machine):
    for revision in (1, 2):
        for argument in ([OPERATION, PARAMETER], bytes([OPERATION, PARAMETER])):
            for function in (9, 255, 256, 0xFFFFFFFF):
                machine.dsm(PPI, revision, function, argument, NO_SUCH_FUNCTION)
            for function in (2, 3, 7, 8, 255, 0xFFFFFFFF):
                machine.dsm(MOR, revision, function, argument, NO_SUCH_FUNCTION)


def knows_no_other_interface(machine):
    machine.fill(memory())
    machine.poke(OPERATION, 4)
    machine.poke(MOVV, 0x55)
    others = [bytes(16), bytes([0xFF] * 16), PPI[:15] + b'\x52', b'\xa7' + PPI[1:],
              uuid.UUID(bytes_le=PPI).bytes, MOR[:15] + b'\0', PPI[:15]]
    for other in others:
        for revision in (1, 2):
            for function in range(10):
                machine.dsm(other, revision, function, [OPERATION, PARAMETER], NO_SUCH_FUNCTION)
    machine.look(memory())
    machine.peek(MOVV, 0x55)


# ---- functions that ask for an operation ----

def submits(function, column, form, machine):
    """Functions 2 and 7 by every status, with and without the other bits, by both revisions."""
    for revision in (1, 2):
        takes_parameter = function == 7 and revision == 2
        for row in STATUSES:
            for bits in (0, OTHER_BITS):
                machine.fill(memory())
                machine.poke(OPERATION, row[0] | bits)
                elements = [OPERATION, PARAMETER] if takes_parameter else [OPERATION]
                machine.dsm(PPI, revision, function, arg3(form, *elements), row[column])
                machine.look(memory() if row[column] else
                             asked(OPERATION, PARAMETER if takes_parameter else 0))


def submits_the_first_and_the_last_operation(machine):
    """255 is the last that has a byte. That of 256 would be firmware's own; it has none."""
    for function in (2, 7):
        for operation in (0, 255):
            machine.poke(operation, 4)
            for form in (PACKAGE, BUFFER):
                machine.fill(memory())
                machine.dsm(PPI, 1, function, arg3(form, operation), 0)
                machine.look(asked(operation))
        behind = b'\4\4' + memory()[2:]
        machine.fill(behind)
        for operation in (256, 257, 0xFFFF, 0x80000000, 0xFFFFFFFF):
            machine.dsm(PPI, 1, function, [operation], 1)
        machine.look(behind)


def submits_a_parameter_of_32_bits(machine):
    machine.poke(OPERATION, 3)
    machine.fill(memory())
    machine.dsm(PPI, 2, 7, [OPERATION, 0x87654321], 0)
    machine.look(asked(OPERATION, 0x87654321))
    # a request without one takes the last one's away
    machine.dsm(PPI, 1, 7, [OPERATION], 0)
    machine.look(asked(OPERATION, 0))


def tells_an_operations_status(machine):
    for form in (PACKAGE, BUFFER):
        for revision in (1, 2):
            for operation in (0, OPERATION, 255):
                for row in STATUSES:
                    for bits in (0, OTHER_BITS):
                        machine.poke(operation, row[0] | bits)
                        machine.dsm(PPI, revision, 8, arg3(form, operation), row[0])
    machine.fill(b'\4\4' + memory()[2:])
    for operation in (256, 257, 0xFFFFFFFF):
        machine.dsm(PPI, 1, 8, [operation], 0)


# ---- functions that tell of an operation ----

def tells_what_is_pending(machine):
    for argument in ([0], b'\0'):
        machine.fill(memory(pprq=0x01020304, pprm=0xF5060708))
        machine.dsm(PPI, 1, 3, argument, [0, 0x01020304])
        machine.dsm(PPI, 2, 3, argument, [0, 0x01020304, 0xF5060708])
        # of no revision there is
        machine.dsm(PPI, 0, 3, argument, NO_SUCH_FUNCTION)
        machine.dsm(PPI, 3, 3, argument, NO_SUCH_FUNCTION)
        machine.fill(memory(pprq=0, pprm=0))
        machine.dsm(PPI, 2, 3, argument, [0, 0, 0])
        machine.dsm(PPI, 1, 3, argument, [0, 0])


def tells_what_became_of_the_last(machine):
    for revision in (1, 2):
        for argument in ([0], b'\0'):
            for response in (0, 1, 0xFFFFFFF0, 0xFFFFFFF1):
                machine.fill(memory(lppr=OPERATION, pprp=response))
                machine.dsm(PPI, revision, 5, argument, [0, OPERATION, response])


def answers_share_no_elements(machine):
    """Packages are named objects, and filled in anew each time."""
    machine.fill(memory(pprq=5, pprm=6, lppr=7, pprp=8))
    for _ in range(2):
        machine.dsm(PPI, 2, 3, [0], [0, 5, 6])
        machine.dsm(PPI, 2, 5, [0], [0, 7, 8])
        machine.dsm(PPI, 1, 3, [0], [0, 5])


def goes_through_a_whole_request(machine):
    """The system asks for a clear; firmware carries it out; the system hears of it."""
    machine.fill(bytes(TAIL_SIZE))
    machine.poke(5, 3)
    machine.dsm(PPI, 1, 8, [5], 3)
    machine.dsm(PPI, 1, 7, [5], 0)
    machine.dsm(PPI, 1, 3, [0], [0, 5])
    machine.dsm(PPI, 1, 4, [0], 2)
    done = bytearray(TAIL_SIZE)
    done[LPPR] = 5
    machine.fill(done)
    machine.dsm(PPI, 1, 5, [0], [0, 5, 0])
    machine.dsm(PPI, 1, 3, [0], [0, 0])


# ---- memory ----

def asks_for_memory_to_be_cleared(machine):
    machine.fill(memory())
    for revision in (1, 2):
        for form in (PACKAGE, BUFFER):
            for value in (1, 0, 0x11, 0xFF):
                machine.dsm(MOR, revision, 1, arg3(form, value), 0)
                machine.peek(MOVV, value)
    machine.look(memory())


TESTS = [
    tells_which_functions_there_are,
    tells_its_version_action_and_language,
    knows_no_other_function,
    knows_no_other_interface,
    submits_the_first_and_the_last_operation,
    submits_a_parameter_of_32_bits,
    tells_an_operations_status,
    tells_what_is_pending,
    tells_what_became_of_the_last,
    answers_share_no_elements,
    goes_through_a_whole_request,
    asks_for_memory_to_be_cleared,
]


def tests_with_names():
    for test in TESTS:
        yield test.__name__.replace('_', ' '), test, ()
    for form in (PACKAGE, BUFFER):
        for function, column in ((2, 1), (7, 2)):
            yield f'submits by function {function}, {form}', submits, (function, column, form)


def run_table(table):
    """All tests in one run: each sets up the memory it needs. Returns whose evaluations are which."""
    machine = Interpreter(table)
    parts = []
    for name, test, arguments in tests_with_names():
        first = len(machine.commands)
        test(*arguments, machine)
        parts.append((name, first, len(machine.commands)))
    machine.run()
    return machine, parts


def main():
    tap = Tap()
    tables = [table for table in golden.TABLES if table.ppi]
    # acpiexec sleeps for a while after every evaluation.
    with concurrent.futures.ThreadPoolExecutor(len(tables)) as pool:
        for table, (machine, parts) in zip(tables, pool.map(run_table, tables)):
            for name, first, end in parts:
                tap.run(f'{table.name}: {name}', machine.check, first, end)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
