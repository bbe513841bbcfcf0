# SPDX-License-Identifier: BSD-3-Clause
"""A golden device object in acpiexec, an interpreter of AML whose system memory is simulated: the
part of the operating system, and, by a second table, that of firmware, which knows the memory only
by its addresses."""
import os
import re
import subprocess
import tempfile

import golden

# The memory behind the operations' bytes, up to the memory overwrite request, which the device
# object has as one region (hw/tpm/ppi-layout.h); acpiexec keeps memory by region.
TAIL = 0x100
TAIL_SIZE = 0x5A

FIRMWARE = '''
DefinitionBlock ("", "SSDT", 2, "TEST  ", "FIRMWARE", 1)
{{
    OperationRegion (TAIR, SystemMemory, {tail:#x}, {tail_size:#x})
    Field (TAIR, ByteAcc, NoLock, Preserve) {{ TAIL, {tail_bits} }}
    Method (LOOK, 0, Serialized)
    {{
        Return (TAIL)
    }}
    Method (FILL, 1, Serialized)
    {{
        Store (Arg0, TAIL)
        Return (0)
    }}
    Method (POKE, 2, Serialized)
    {{
        OperationRegion (REGB, SystemMemory, Add ({base:#x}, Arg0), One)
        Field (REGB, ByteAcc, NoLock, Preserve) {{ BYTE, 8 }}
        Store (Arg1, BYTE)
        Return (0)
    }}
    Method (PEEK, 1, Serialized)
    {{
        OperationRegion (REGB, SystemMemory, Add ({base:#x}, Arg0), One)
        Field (REGB, ByteAcc, NoLock, Preserve) {{ BYTE, 8 }}
        Return (BYTE)
    }}
}}
'''


class Failed(Exception):
    """The interpreter gave up on a method; says why."""


def _argument(value):
    """As acpiexec's `evaluate` reads it."""
    if isinstance(value, bytes):
        return f'({value.hex(" ")})'
    if isinstance(value, list):
        return f'[{" ".join(_argument(element) for element in value)}]'
    return f'{value:#x}'


def _value(lines):
    """An object from the lines that print it."""
    line = lines.pop(0).strip()
    if match := re.match(r'\[Integer\] = ([0-9A-F]+)$', line):
        return int(match.group(1), 16)
    if match := re.match(r'\[String\] Length [0-9A-F]+ = "(.*)"$', line):
        return match.group(1)
    if match := re.match(r'\[Package\] Contains (\d+) Elements:$', line):
        return [_value(lines) for _ in range(int(match.group(1)))]
    match = re.match(r'\[Buffer\] Length ([0-9A-F]+) = *(.*)$', line)
    if not match:
        raise ValueError(f'what is {line!r}?')
    size, rest, data = int(match.group(1), 16), match.group(2), b''
    while len(data) < size:
        row = rest or lines.pop(0)
        rest = ''
        data += bytes.fromhex(re.match(r'\s*[0-9A-F]+: ((?:[0-9A-F]{2} )+)', row).group(1))
    return data


class Interpreter:
    """Collects evaluations, makes them in one run, in order, and checks what each returned."""

    def __init__(self, table):
        self.table = table
        self.device = r'\_SB.TPM' if table.platform == 'x86' else r'\_SB.TPM0'
        self.base = golden.PPI_BASES[table.platform]
        self.commands = []
        self.wanted = []
        self.answers = []

    def evaluate(self, path, *arguments, returns):
        self.commands.append(' '.join(['evaluate', path] + [_argument(a) for a in arguments]))
        self.wanted.append(returns)

    def dsm(self, uuid, revision, function, argument, returns):
        self.evaluate(self.device + '._DSM', uuid, revision, function, argument, returns=returns)

    # What firmware does.

    def poke(self, offset, value):
        self.evaluate(r'\POKE', offset, value, returns=0)

    def peek(self, offset, returns):
        self.evaluate(r'\PEEK', offset, returns=returns)

    def fill(self, tail):
        assert len(tail) == TAIL_SIZE
        self.evaluate(r'\FILL', bytes(tail), returns=0)

    def look(self, returns):
        assert len(returns) == TAIL_SIZE
        self.evaluate(r'\LOOK', returns=bytes(returns))

    def run(self):
        text = FIRMWARE.format(base=self.base, tail=self.base + TAIL, tail_size=TAIL_SIZE,
                               tail_bits=TAIL_SIZE * 8)
        firmware, _ = golden.compile_text(text)
        with tempfile.TemporaryDirectory(prefix='tpmdev-dsm-') as directory:
            for name, data in (('ssdt.aml', self.table.read()), ('firmware.aml', firmware)):
                with open(os.path.join(directory, name), 'wb') as file:
                    file.write(data)
            result = subprocess.run(['acpiexec', 'ssdt.aml', 'firmware.aml'], cwd=directory,
                                    input='\n'.join(self.commands + ['quit', '']).encode(),
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                    timeout=golden.DEADLINE_S, check=False)
        # A prompt and what was typed stand before each answer.
        self.answers = re.split(r'^- ', result.stdout.decode(errors='replace'), flags=re.M)[1:]

    def check(self, first, end):
        """The evaluations of these numbers."""
        assert len(self.answers) == len(self.commands) + 1, '\n'.join(self.answers[-2:])
        for i in range(first, end):
            command, wanted, answer = self.commands[i], self.wanted[i], self.answers[i]
            lines = [line for line in answer.splitlines() if line.strip()]
            starts = [i for i, line in enumerate(lines) if ' returned object ' in line]
            if not starts or 'ACPI Error' in answer:
                raise Failed(answer)
            found = _value(lines[starts[0] + 1:])
            assert found == wanted and isinstance(found, type(wanted)), (
                f'{command}\nreturned {found!r}\nnot      {wanted!r}')
