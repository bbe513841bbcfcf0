#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Debian's tpm2-tools on the machine's TPM, through the registers: each tool's commands go by
way of tss2's `cmd` TCTI to a program that plays the guest's TIS or CRB driver."""
import argparse
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys

import harness
from harness import DEADLINE_S, Skip, Swtpm, Tap

TOOLS = ('tpm2_startup', 'tpm2_getrandom', 'tpm2_createprimary', 'tpm2_pcrextend',
         'tpm2_pcrread', 'tpm2_nvdefine', 'tpm2_nvwrite', 'tpm2_nvread', 'tpm2_create',
         'tpm2_load', 'tpm2_unseal')
NV_INDEX = '0x1500016'


class Bench:
    """A machine that serves one tool after the other, and a directory for what they leave."""

    def __init__(self, args, backend, directory):
        self.program = os.path.abspath(args.machine)
        self.tcti = os.path.abspath(args.tcti)
        self.device = args.device
        if self.device.startswith('tpm-crb'):
            self.tcti += ' --crb'
        self.backend = backend
        self.directory = directory
        self.socket = os.path.join(directory, 'qtest')
        self.stack = contextlib.ExitStack()
        self.process = None

    def start(self):
        if self.backend == 'swtpm':
            swtpm = self.stack.enter_context(Swtpm('2.0', self.directory))
            tpm = f'emulator,id=tpm0,path={swtpm.socket}'
        else:
            state = os.path.join(self.directory, 'state')
            os.makedirs(state, exist_ok=True)
            tpm = f'libtpms,id=tpm0,dir={state}'
        self.process = harness.start_process(
            [self.program, '-qtest', f'unix:{self.socket},server=on,wait=off', '-tpmdev', tpm,
             '-device', f'{self.device},tpmdev=tpm0'])
        self.stack.callback(harness.end_process, self.process)
        harness.wait_for(lambda: harness.is_listening(self.socket), 'socket of the machine')

    def stop(self):
        """The orderly end of a power-down."""
        self.tool('tpm2_shutdown -c')
        self.process.terminate()
        assert self.process.wait(DEADLINE_S) == 0
        self.stack.close()

    def close(self):
        self.stack.close()

    def tool(self, line, error=None):
        """Run a tool in the directory; returns what it prints. With error, it must fail so."""
        environment = dict(os.environ, TPM2TOOLS_TCTI=f'cmd:exec {self.tcti} {self.socket}')
        result = subprocess.run(line.split(), cwd=self.directory, env=environment,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, timeout=120, check=False)
        text = (result.stdout + result.stderr).decode(errors='replace')
        assert (result.returncode != 0) == (error is not None), f'{line}: {text}'
        assert not error or error in text, f'{line}: wanted {error}: {text}'
        return result.stdout

    def key_tool(self, line, error=None):
        """A tool that leaves keys in the TPM, where there is room for three."""
        try:
            return self.tool(line, error)
        finally:
            self.tool('tpm2_flushcontext -t')

    def file(self, name, content=None):
        path = os.path.join(self.directory, name)
        if content is not None:
            with open(path, 'wb') as file:
                file.write(content)
        with open(path, 'rb') as file:
            return file.read()


def startup(bench):
    bench.tool('tpm2_getrandom --hex 8', error='TPM not initialized by TPM2_Startup')
    bench.tool('tpm2_startup -c')
    bench.tool('tpm2_selftest -f')


def family(bench):
    text = bench.tool('tpm2_getcap properties-fixed').decode()
    assert re.search(r'TPM2_PT_FAMILY_INDICATOR:\s+raw: 0x322E3000', text), text


def getrandom(bench):
    numbers = [bench.tool('tpm2_getrandom --hex 16').decode() for _ in range(2)]
    assert all(re.fullmatch('[0-9a-f]{32}', number) for number in numbers), numbers
    assert numbers[0] != numbers[1]


def pcr(bench):
    expected = bytes(32)
    for event in (b'kernel', b'initrd'):
        digest = hashlib.sha256(event).digest()
        bench.tool(f'tpm2_pcrextend 10:sha256={digest.hex()}')
        expected = hashlib.sha256(expected + digest).digest()
        bench.tool('tpm2_pcrread sha256:10 -o pcr10')
        assert bench.file('pcr10') == expected, bench.file('pcr10').hex()


def createprimary(bench):
    """An RSA key takes a while, which is what makes it worth having here."""
    text = bench.key_tool('tpm2_createprimary -C o -G rsa2048 -c rsa.ctx').decode()
    assert 'value: rsa' in text and len(re.search(r'rsa: ([0-9a-f]+)', text)[1]) == 512, text


NV_DATA = bytes(range(256)) * 2


def nv(bench):
    bench.file('nv', NV_DATA)
    bench.tool(f'tpm2_nvdefine {NV_INDEX} -C o -s {len(NV_DATA)} -a ownerread|ownerwrite')
    bench.tool(f'tpm2_nvwrite {NV_INDEX} -C o -i nv')
    nv_read(bench)


def nv_read(bench):
    bench.tool(f'tpm2_nvread {NV_INDEX} -C o -s {len(NV_DATA)} -o nv.out')
    assert bench.file('nv.out') == NV_DATA


SECRET = b'the secret that was sealed, and nobody else may see'


def seal(bench):
    bench.file('secret', SECRET)
    bench.key_tool('tpm2_createprimary -C o -G ecc -c primary.ctx')
    bench.key_tool('tpm2_create -C primary.ctx -i secret -u seal.pub -r seal.priv')
    assert SECRET not in bench.file('seal.priv')


def unseal(bench):
    bench.key_tool('tpm2_createprimary -C o -G ecc -c primary.ctx')
    bench.key_tool('tpm2_load -C primary.ctx -u seal.pub -r seal.priv -c seal.ctx')
    text = bench.key_tool('tpm2_unseal -c seal.ctx')
    assert text == SECRET, text


def damaged_seal(bench):
    private = bytearray(bench.file('seal.priv'))
    private[-1] ^= 1
    bench.file('bad.priv', private)
    bench.key_tool('tpm2_load -C primary.ctx -u seal.pub -r bad.priv -c bad.ctx',
                   error='integrity check failed')


def restart(bench):
    """Power-cycle: the TPM's state is kept, its PCRs are not."""
    bench.stop()
    bench.start()
    bench.tool('tpm2_startup -c')
    bench.tool('tpm2_pcrread sha256:10 -o pcr10')
    assert bench.file('pcr10') == bytes(32)
    nv_read(bench)


def require_tools():
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        raise Skip(f'no {missing[0]}; install the packages tpm2-tools and libtss2-tcti-cmd0')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--machine', required=True, help='our tpmdev-system-x86_64')
    parser.add_argument('--tcti', required=True, help='our tpmdev-tcti')
    parser.add_argument('--device', default='tpm-tis', help='the device and its properties')
    args = parser.parse_args()
    tap = Tap()
    for backend in ('libtpms', 'swtpm'):
        with harness.temporary_directory() as directory:
            bench = Bench(args, backend, directory)
            try:
                require_tools()
                bench.start()
            except Skip as skip:
                tap.skip(f'{backend}: tpm2-tools', str(skip))
                continue
            try:
                for name, test in (
                        ('commands are refused before startup, not after', startup),
                        ('getcap tells the family', family),
                        ('getrandom', getrandom),
                        ('pcrextend gives the PCR it must', pcr),
                        ('createprimary of an RSA key', createprimary),
                        ('nvdefine, nvwrite, nvread', nv),
                        ('create seals a secret', seal),
                        ('load and unseal give it back', unseal),
                        ('a damaged seal is refused', damaged_seal),
                        ('all that is kept survives the machine', restart),
                        ('unseal after that', unseal)):
                    tap.run(f'{backend}: {name}', test, bench)
            finally:
                bench.close()
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
