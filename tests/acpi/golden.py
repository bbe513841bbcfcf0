#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The golden tables: which there are, how -acpi-dump makes each, and their disassembly.

usage: golden.py --machine PROGRAM

writes tests/data/acpi anew; tests/update-golden.sh calls it so. The tests of this folder import it.
"""
import argparse
import dataclasses
import os
import re
import subprocess
import sys
import tempfile

DEADLINE_S = 120

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'data', 'acpi')

# Where each platform has its TPM and its physical presence memory, and the interrupt that is named.
BASES = {'x86': 0xFED40000, 'arm': 0x0C000000}
PPI_BASES = {'x86': 0xFED45000, 'arm': 0x0C005000}
INTERRUPTS = {'x86': 10, 'arm': 144}

ARCHES = {'x86': 'x86_64', 'arm': 'aarch64'}
MODELS = {('x86', 'tis'): 'tpm-tis', ('arm', 'tis'): 'tpm-tis-device',
          ('x86', 'crb'): 'tpm-crb', ('arm', 'crb'): 'tpm-crb'}

# A CRB device is for TPM 2.0 alone.
TPMS = [('tis', '1.2'), ('tis', '2.0'), ('crb', '2.0')]


@dataclasses.dataclass
class Table:
    """One golden table: what it is of, and the file of -acpi-dump it is."""
    name: str
    file: str
    platform: str
    interface: str
    version: str
    device: str = ''
    dump: str = ''
    ppi: bool = False
    irq: bool = False

    def make(self, program):
        """Its bytes, by the machine one of whose names is given."""
        program = program.replace('-x86_64', '-' + ARCHES[self.platform])
        model = MODELS[self.platform, self.interface]
        ppi = f'ppi=on,ppi-address={PPI_BASES[self.platform]:#x}' if self.ppi else 'ppi=off'
        irq = f',irq={INTERRUPTS[self.platform]}' if self.irq else ''
        with tempfile.TemporaryDirectory(prefix='tpmdev-golden-') as directory:
            subprocess.run([program, '-tpmdev', f'null,id=tpm0,version={self.version}',
                            '-device', f'{model},tpmdev=tpm0,{ppi}{self.device}',
                            '-acpi-dump', directory + irq + self.dump],
                           stdin=subprocess.DEVNULL, timeout=DEADLINE_S, check=True)
            with open(os.path.join(directory, self.file), 'rb') as file:
                return file.read()

    @property
    def is_brief(self):
        """A TPM2 table that ends before the parameters of its start method."""
        return self.name.endswith('-no-log')

    def path(self, suffix):
        return os.path.join(DATA, self.name + suffix)

    def read(self, suffix='.aml'):
        with open(self.path(suffix), 'rb') as file:
            return file.read()


def device_objects():
    for platform in BASES:
        for interface, version in TPMS:
            for ppi in (False, True):
                for irq in (False, True):
                    name = f'ssdt-{platform}-{interface}-{version}'
                    yield Table(name + '-ppi' * ppi + '-irq' * irq, 'ssdt.aml', platform, interface,
                                version, ppi=ppi, irq=irq)
    for platform in BASES:
        yield Table(f'ssdt-{platform}-crb-2.0-high', 'ssdt.aml', platform, 'crb', '2.0',
                    ',base=0x812340000,buffer=page,buffer-address=0x900000000')


def log_tables():
    log = ',log-address=0x70000000'
    for platform in BASES:
        yield Table(f'tcpa-{platform}', 'tcpa.aml', platform, 'tis', '1.2', dump=log)
        for interface in ('tis', 'crb'):
            name = f'tpm2-{platform}-{interface}'
            yield Table(name, 'tpm2.aml', platform, interface, '2.0', dump=log)
            yield Table(name + '-no-log', 'tpm2.aml', platform, interface, '2.0', dump=',log=off')
        yield Table(f'tpm2-{platform}-crb-high', 'tpm2.aml', platform, 'crb', '2.0',
                    ',base=0x812340000', log)


TABLES = list(device_objects()) + list(log_tables())


# ---- iasl ----

def run_iasl(directory, *arguments):
    """Its output. A warning is as bad as an error; remarks are not."""
    result = subprocess.run(['iasl', *arguments], cwd=directory, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE_S,
                            check=False)
    output = result.stdout.decode(errors='replace')
    if result.returncode or re.search(r'^(Error|Warning)\b|ACPI (Error|Warning)', output, re.M):
        raise RuntimeError(f'iasl {" ".join(arguments)}: status {result.returncode}\n{output}')
    return output


def disassemble(data):
    """The text of a table, without what tells of iasl's version and of the day."""
    with tempfile.TemporaryDirectory(prefix='tpmdev-golden-') as directory:
        with open(os.path.join(directory, 'table.aml'), 'wb') as file:
            file.write(data)
        run_iasl(directory, '-d', 'table.aml')
        with open(os.path.join(directory, 'table.dsl'), encoding='ascii') as file:
            lines = [line.rstrip() for line in file]
    unwanted = re.compile(r'Intel ACPI Comp|Disassembler version|Copyright|Disassembly of|'
                          r'Disassembling to')
    text = '\n'.join(line for line in lines if not unwanted.search(line)) + '\n'
    # It knows TPM2 with the parameters of a start method alone, and says so where they would be.
    text = re.sub(r'\n/\*+ ACPI table terminates.*', '', text, flags=re.S)
    return re.sub(r'^/\*\n( \*\n)+', '/*\n', text)


def compile_text(text):
    """The table that a text makes, and what iasl says."""
    with tempfile.TemporaryDirectory(prefix='tpmdev-golden-') as directory:
        with open(os.path.join(directory, 'text.dsl'), 'w', encoding='ascii') as file:
            file.write(text)
        output = run_iasl(directory, '-p', 'made', 'text.dsl')
        with open(os.path.join(directory, 'made.aml'), 'rb') as file:
            return file.read(), output


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--machine', required=True, help='our tpmdev-system-x86_64')
    program = os.path.abspath(parser.parse_args().machine)
    made = {table.name: table.make(program) for table in TABLES}
    texts = {name: disassemble(data) for name, data in made.items()}
    for name in os.listdir(DATA):
        if name.endswith(('.aml', '.dsl')):
            os.unlink(os.path.join(DATA, name))
    for table in TABLES:
        with open(table.path('.aml'), 'wb') as file:
            file.write(made[table.name])
        with open(table.path('.dsl'), 'w', encoding='ascii') as file:
            file.write(texts[table.name])
    print(f'{len(TABLES)} tables in {os.path.relpath(DATA)}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
