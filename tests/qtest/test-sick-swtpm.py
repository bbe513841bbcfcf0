#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A swtpm that is stopped, killed and started again under a running machine: the guest's accesses
go on, its commands fail in the form of the TPM's version, and the TPM comes back without a reset, or
with one where swtpm itself has to be mended first."""
import argparse
import os
import shutil
import signal
import socket
import sys
import time

import harness
from harness import Machine, Swtpm, Tap, Tis

STARTUP = {'2.0': bytes.fromhex('80010000000c000001440000'),
           '1.2': bytes.fromhex('00c10000000c000000990001')}
READ_PCR = {'2.0': bytes.fromhex('8001000000140000017e00000001000b03010000'),
            '1.2': bytes.fromhex('00c10000000e0000001500000000')}
SUCCESS = {'2.0': bytes.fromhex('80010000000a00000000'),
           '1.2': bytes.fromhex('00c40000000a00000000')}
FAILURE = {'2.0': bytes.fromhex('80010000000a00000101'),
           '1.2': bytes.fromhex('00c40000000a00000009')}


def start(program, swtpm):
    return Machine([program, '-tpmdev', f'emulator,id=tpm0,path={swtpm.socket}', '-device',
                    'tpm-tis,tpmdev=tpm0'])


def stopped(program, version):
    """All accesses go through while swtpm is stopped in a command; then that completes."""
    with harness.temporary_directory() as directory, Swtpm(version, directory) as swtpm, \
            start(program, swtpm) as machine:
        tis = Tis(machine.qtest)
        tis.request()
        assert tis.command(STARTUP[version]) == SUCCESS[version]
        tis.send(READ_PCR[version])
        swtpm.process.send_signal(signal.SIGSTOP)
        tis.go()
        slowest = 0
        for register in [tis.ACCESS, tis.STS, tis.DATA_FIFO, tis.INT_STATUS] * 50:
            begin = time.monotonic()
            tis.read(register)
            tis.write(register, 0)
            slowest = max(slowest, time.monotonic() - begin)
        assert tis.read(tis.STS) == tis.VALID, hex(tis.read(tis.STS))
        print(f'# a read and a write while it is stopped: {slowest * 1e6:.0f} us at most, '
              'with the protocol')
        swtpm.process.send_signal(signal.SIGCONT)
        response = tis.receive()
        assert response[6:10] == bytes(4), response.hex()


def stopped_at_reset(program, version):
    """A reset while swtpm is stopped does not wait; the TPM is back when swtpm is."""
    with harness.temporary_directory() as directory, Swtpm(version, directory) as swtpm, \
            start(program, swtpm) as machine:
        tis = Tis(machine.qtest)
        tis.request()
        swtpm.process.send_signal(signal.SIGSTOP)
        assert machine.qmp.execute('system_reset') == {'return': {}}
        assert tis.read(tis.ACCESS) == 0x81
        tis.request()
        tis.send(STARTUP[version])
        tis.go()
        assert tis.read(tis.STS) == tis.VALID
        swtpm.process.send_signal(signal.SIGCONT)
        assert tis.receive() == SUCCESS[version]


def killed(program, version):
    """Commands fail in the version's form, before and after a reset, and the machine lives."""
    with harness.temporary_directory() as directory, Swtpm(version, directory) as swtpm, \
            start(program, swtpm) as machine:
        tis = Tis(machine.qtest)
        tis.request()
        assert tis.command(STARTUP[version]) == SUCCESS[version]
        swtpm.stop()
        for _ in range(2):
            assert tis.command(READ_PCR[version]) == FAILURE[version]
        assert machine.qmp.execute('system_reset') == {'return': {}}
        tis.request()
        assert tis.command(STARTUP[version]) == FAILURE[version]
        assert 'backend error: ' in machine.stderr(), machine.stderr()


def killed_in_a_command(program, version):
    with harness.temporary_directory() as directory, Swtpm(version, directory) as swtpm, \
            start(program, swtpm) as machine:
        tis = Tis(machine.qtest)
        tis.request()
        assert tis.command(STARTUP[version]) == SUCCESS[version]
        tis.send(READ_PCR[version])
        swtpm.process.send_signal(signal.SIGSTOP)
        tis.go()
        assert tis.read(tis.STS) == tis.VALID
        swtpm.stop()
        assert tis.receive() == FAILURE[version]


def until_back(tis, version):
    """The guest asks again and again; all answers before the right one are failures."""
    def is_back():
        response = tis.command(READ_PCR[version])
        assert response == FAILURE[version] or response[6:10] == bytes(4), response.hex()
        return response[6:10] == bytes(4)
    harness.wait_for(is_back, 'the return of the TPM')


def running(program, version, swtpm):
    """A machine whose guest has started its TPM, and the guest's registers."""
    machine = start(program, swtpm)
    try:
        tis = Tis(machine.qtest)
        tis.request()
        assert tis.command(STARTUP[version]) == SUCCESS[version]
    except BaseException:
        machine.__exit__(*sys.exc_info())
        raise
    return machine, tis


def started_again(program, version, how):
    """A new swtpm at the old place serves the guest that runs, and after a reset the next one."""
    with harness.temporary_directory() as directory:
        swtpm = Swtpm(version, directory)
        try:
            machine, tis = running(program, version, swtpm)
            with machine:
                swtpm.process.send_signal(how)
                swtpm.process.wait(harness.DEADLINE_S)
                assert tis.command(READ_PCR[version]) == FAILURE[version]
                if os.path.exists(swtpm.socket):
                    os.unlink(swtpm.socket)
                swtpm = Swtpm(version, directory)
                until_back(tis, version)
                assert machine.qmp.execute('system_reset') == {'return': {}}
                tis.request()
                assert tis.command(STARTUP[version]) == SUCCESS[version]
        finally:
            swtpm.stop()


def busy_when_back(program, version):
    """Another client has the new swtpm first, which takes one at a time; we wait in its queue."""
    with harness.temporary_directory() as directory:
        swtpm = Swtpm(version, directory)
        try:
            machine, tis = running(program, version, swtpm)
            with machine, socket.socket(socket.AF_UNIX) as other:
                # The old one cannot be heard before the new one is busy.
                machine.process.send_signal(signal.SIGSTOP)
                swtpm.stop()
                os.unlink(swtpm.socket)
                swtpm = Swtpm(version, directory)
                other.connect(swtpm.socket)
                other.sendall(bytes.fromhex('00000001'))
                assert len(other.recv(8)) == 8
                machine.process.send_signal(signal.SIGCONT)
                for _ in range(3):
                    assert tis.command(READ_PCR[version]) == FAILURE[version]
                other.close()
                until_back(tis, version)
        finally:
            swtpm.stop()


def without_directory(program, version):
    """Without its state's directory INIT fails at a reset; with it, at the next one, it does not."""
    with harness.temporary_directory() as directory, Swtpm(version, directory) as swtpm:
        machine, tis = running(program, version, swtpm)
        with machine:
            aside = swtpm.state + '.aside'
            os.rename(swtpm.state, aside)
            assert machine.qmp.execute('system_reset') == {'return': {}}
            tis.request()
            assert tis.command(STARTUP[version]) == FAILURE[version]
            assert 'refused INIT' in machine.stderr(), machine.stderr()
            shutil.rmtree(swtpm.state, ignore_errors=True)
            os.rename(aside, swtpm.state)
            assert machine.qmp.execute('system_reset') == {'return': {}}
            tis.request()
            assert tis.command(STARTUP[version]) == SUCCESS[version]


def another_version(program, version):
    """A swtpm of the other version is not taken, and the right one is when it comes."""
    other = {'2.0': '1.2', '1.2': '2.0'}[version]
    with harness.temporary_directory() as directory, harness.temporary_directory() as elsewhere:
        swtpm = Swtpm(version, directory)
        try:
            machine, tis = running(program, version, swtpm)
            with machine:
                swtpm.stop()
                os.unlink(swtpm.socket)
                wrong = Swtpm(other, elsewhere)
                try:
                    os.symlink(wrong.socket, swtpm.socket)
                    harness.wait_for(lambda: f'is a TPM {other} now' in machine.stderr(),
                                     'word of the version')
                    assert tis.command(READ_PCR[version]) == FAILURE[version]
                finally:
                    wrong.stop()
                os.unlink(swtpm.socket)
                swtpm = Swtpm(version, directory)
                until_back(tis, version)
        finally:
            swtpm.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--machine', required=True, help='our tpmdev-system-x86_64')
    program = os.path.abspath(parser.parse_args().machine)
    tap = Tap()
    for version in ('2.0', '1.2'):
        tap.run(f'{version} stopped in a command', stopped, program, version)
        tap.run(f'{version} stopped at a reset', stopped_at_reset, program, version)
        tap.run(f'{version} killed', killed, program, version)
        tap.run(f'{version} killed in a command', killed_in_a_command, program, version)
        tap.run(f'{version} killed and started again', started_again, program, version,
                signal.SIGKILL)
        tap.run(f'{version} ended and started again', started_again, program, version,
                signal.SIGTERM)
        tap.run(f'{version} busy when it is back', busy_when_back, program, version)
        tap.run(f'{version} without its directory', without_directory, program, version)
        tap.run(f'{version} replaced by another version', another_version, program, version)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
