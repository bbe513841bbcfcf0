#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The host's own TPM behind the machine's device, without such a TPM: swtpm serves a terminal, which
is a character device like /dev/tpm0, and was started by its Startup, as firmware starts a host's."""
import argparse
import contextlib
import hashlib
import os
import subprocess
import sys

import harness
from harness import Machine, Tap, Tis
from terminal import Terminal

GET_RANDOM = {'2.0': bytes.fromhex('80010000000c0000017b0008'),
              '1.2': bytes.fromhex('00c10000000e0000004600000008')}
STARTUP = {'2.0': bytes.fromhex('80010000000c000001440000'),
           '1.2': bytes.fromhex('00c10000000c000000990001')}
# What a TPM says that has been started.
STARTED = {'2.0': bytes.fromhex('80010000000a00000100'),
           '1.2': bytes.fromhex('00c40000000a00000026')}
BAD_LOCALITY = {'2.0': bytes.fromhex('80010000000a00000907'),
                '1.2': bytes.fromhex('00c40000000a0000003d')}
FAILURE = {'2.0': bytes.fromhex('80010000000a00000101'),
           '1.2': bytes.fromhex('00c40000000a00000009')}
CAPABILITIES = bytes.fromhex('8001000000160000017a000000020000011f000000ff')
READ_PCR_16 = bytes.fromhex('8001000000140000017e00000001000b03000001')
DIGEST = hashlib.sha256(b'measured by the guest').digest()
EXTEND_PCR_16 = bytes.fromhex('80020000004100000182000000100000000940000009000000000000000001000b'
                              ) + DIGEST


@contextlib.contextmanager
def host_tpm(version):
    with harness.temporary_directory() as directory, Terminal(version, directory) as terminal:
        cancel = os.path.join(directory, 'cancel')
        with open(cancel, 'wb'):
            pass
        yield terminal, cancel


def start(program, options, *more):
    return Machine([program, *more, '-tpmdev', f'passthrough,id=tpm0,{options}', '-device',
                    'tpm-tis,tpmdev=tpm0'])


def refused(program, options, *texts, more=(), pass_fds=()):
    """The machine ends, and says all of this."""
    result = subprocess.run([program, *more, '-tpmdev', f'passthrough,id=tpm0,{options}'],
                            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
                            timeout=harness.DEADLINE_S, pass_fds=pass_fds)
    message = result.stderr.decode()
    assert result.returncode == 1, (result.returncode, message)
    for text in texts:
        assert text in message, message


def inherited(*descriptors):
    """A child of this process is to have them."""
    for descriptor in descriptors:
        os.set_inheritable(descriptor, True)
    return descriptors


# ---- commands ----

def commands(program, version):
    with host_tpm(version) as (terminal, cancel), \
            start(program, f'path={terminal.path},cancel-path={cancel}') as machine:
        tis = Tis(machine.qtest)
        tis.request()
        assert tis.command(STARTUP[version]) == STARTED[version]
        response = tis.command(GET_RANDOM[version])
        assert response[6:10] == bytes(4), response.hex()
        assert response != tis.command(GET_RANDOM[version])
        if version == '2.0':
            # Several hundred bytes, which a terminal hands over in pieces.
            response = tis.command(CAPABILITIES)
            assert len(response) > 400 and response[6:10] == bytes(4), response.hex()


def locality(program, version):
    """A command of locality 1 is answered as a TPM does that does not take it from there."""
    with host_tpm(version) as (terminal, cancel), \
            start(program, f'path={terminal.path},cancel-path={cancel}') as machine:
        tis = Tis(machine.qtest, locality=1)
        tis.request()
        assert tis.command(GET_RANDOM[version]) == BAD_LOCALITY[version]


def reset(program):
    """A reset of the machine is none of the TPM: a PCR keeps what it has."""
    with host_tpm('2.0') as (terminal, _), start(program, f'path={terminal.path}') as machine:
        tis = Tis(machine.qtest)
        for _ in range(2):
            tis.request()
            assert tis.command(EXTEND_PCR_16)[6:10] == bytes(4)
            assert machine.qmp.execute('system_reset') == {'return': {}}
        tis.request()
        assert tis.command(STARTUP['2.0']) == STARTED['2.0']
        once = hashlib.sha256(bytes(32) + DIGEST).digest()
        assert tis.command(READ_PCR_16).endswith(hashlib.sha256(once + DIGEST).digest())


def query(program):
    with host_tpm('2.0') as (terminal, cancel), \
            start(program, f'path={terminal.path},cancel-path={cancel}') as machine:
        assert machine.qmp.execute('query-tpm') == {'return': [
            {'id': 'tpm0', 'model': 'tpm-tis',
             'options': {'type': 'passthrough',
                         'data': {'path': terminal.path, 'cancel-path': cancel}}}]}
        assert machine.stderr() == '', machine.stderr()


def not_migrated(program):
    """What is in the host's own TPM cannot go; the guest stays, and its TPM with it."""
    with host_tpm('2.0') as (terminal, cancel), harness.temporary_directory() as directory, \
            start(program, f'path={terminal.path},cancel-path={cancel}', '-snapshot-dir',
                  directory) as machine:
        for command, arguments in (('migrate', {'uri': f'file:{directory}/vm'}),
                                   ('x-snapshot-save', {'name': 'one'})):
            reply = machine.qmp.execute(command, arguments=arguments)
            assert "is the host's own TPM" in reply.get('error', {}).get('desc', ''), reply
        assert machine.qmp.execute('query-migrate')['return']['status'] == 'none'
        assert machine.qmp.execute('query-status')['return']['status'] == 'running'
        assert os.listdir(directory) == []
        tis = Tis(machine.qtest)
        tis.request()
        assert tis.command(STARTUP['2.0']) == STARTED['2.0']


def hung_up(program):
    with host_tpm('2.0') as (terminal, _), start(program, f'path={terminal.path}') as machine:
        tis = Tis(machine.qtest)
        tis.request()
        assert tis.command(GET_RANDOM['2.0'])[6:10] == bytes(4)
        terminal.hang_up()
        for _ in range(2):
            assert tis.command(GET_RANDOM['2.0']) == FAILURE['2.0']
        assert 'backend error: ' in machine.stderr(), machine.stderr()


# ---- cancels ----

def cancel_a_command(terminal, cancel, machine, version):
    tis = Tis(machine.qtest)
    tis.request()
    tis.send(GET_RANDOM[version])
    terminal.stop()
    tis.go()
    assert tis.read(tis.STS) == tis.VALID
    terminal.wait_command()
    tis.write(tis.STS, tis.READY)  # cancels
    harness.wait_for(lambda: os.path.getsize(cancel), 'byte in the file for cancels')
    with open(cancel, 'rb') as file:
        assert file.read().strip(b'-') == b''
    terminal.go_on()
    tis.wait_sts(tis.READY, tis.READY)
    assert tis.command(GET_RANDOM[version])[6:10] == bytes(4)


def cancelled(program, version):
    """The byte is written while the command runs, and no access waits for either."""
    with host_tpm(version) as (terminal, cancel), \
            start(program, f'path={terminal.path},cancel-path={cancel}') as machine:
        cancel_a_command(terminal, cancel, machine, version)


def no_file_for_cancels(program):
    """What a terminal has no file for, a TPM 1.2 must be given, and a TPM 2.0 does without."""
    with host_tpm('1.2') as (terminal, _):
        refused(program, f'path={terminal.path}', 'there is no file for cancels of this TPM 1.2',
                'looked for: none', 'give cancel-path=FILE')
        with start(program, f'path={terminal.path},cancel-path=/dev/null') as machine:
            assert machine.stderr() == '', machine.stderr()
    with host_tpm('2.0') as (terminal, _), start(program, f'path={terminal.path}') as machine:
        assert "warning: TPM backend 'tpm0' cannot cancel a command" in machine.stderr(), \
            machine.stderr()


# ---- sets of descriptors ----

def descriptors(program):
    """By descriptors alone, and the terminal's path is in no option."""
    with host_tpm('2.0') as (terminal, cancel), open(cancel, 'wb') as file, \
            open(cancel, 'rb') as wrong:
        fds = inherited(terminal.slave, file.fileno(), wrong.fileno())
        sets = []
        for fd, number in zip(fds, (3, 4, 4)):
            sets += ['-add-fd', f'fd={fd},set={number},opaque=test']
        argv = [program, *sets, '-tpmdev',
                'passthrough,id=tpm0,path=/dev/fdset/3,cancel-path=/dev/fdset/4', '-device',
                'tpm-tis,tpmdev=tpm0']
        with Machine(argv, pass_fds=fds) as machine:
            cancel_a_command(terminal, cancel, machine, '2.0')
            data = machine.qmp.execute('query-tpm')['return'][0]['options']['data']
            assert data == {'path': '/dev/fdset/3', 'cancel-path': '/dev/fdset/4'}, data


def wrong_descriptors(program):
    """As QEMU has it: none in the set, or none with just the access that is needed."""
    with host_tpm('2.0') as (terminal, _), contextlib.ExitStack() as stack:
        # Or it would become the terminal of this process, which would end with it.
        fd, = fds = inherited(os.open(terminal.path, os.O_RDONLY | os.O_NOCTTY))
        stack.callback(os.close, fd)
        read_only = ('-add-fd', f'fd={fd},set=3')
        for options, texts in (
                ('path=/dev/fdset/3', ("'/dev/fdset/3' for path", 'Permission denied', 'O_RDWR')),
                ('path=/dev/fdset/4', ("'/dev/fdset/4' for path", 'No such file')),
                ('path=/dev/fdset/x', ("'/dev/fdset/x' for path", 'No such file')),
                (f'path={terminal.path},cancel-path=/dev/fdset/3',
                 ("'/dev/fdset/3' for cancel-path", 'Permission denied', 'O_WRONLY'))):
            refused(program, options, 'Could not open ', *texts, more=read_only, pass_fds=fds)
        for option, text in (('fd=1,set=1', 'fd cannot be a standard I/O stream'),
                             ('fd=999,set=1', 'fd is not valid or already in use'),
                             ('set=1', "Parameter 'fd' is required"),
                             (f'fd={fd}', "Parameter 'set' is required"),
                             (f'fd={fd},set=-1', "Parameter 'set' is required"),
                             (f'fd={fd},set=1,colour=red', "'colour'")):
            refused(program, 'path=/dev/null', f'-add-fd {option}: ', text,
                    more=('-add-fd', option), pass_fds=fds)
        refused(program, 'path=/dev/null', 'fd is not valid or already in use',
                more=read_only * 2, pass_fds=fds)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--machine', required=True)
    program = parser.parse_args().machine
    tap = Tap()
    for version in ('2.0', '1.2'):
        tap.run(f'{version}: commands go through', commands, program, version)
        tap.run(f'{version}: another locality than 0 is refused', locality, program, version)
        tap.run(f'{version}: a cancel is written while the command runs', cancelled, program,
                version)
    tap.run('a reset of the machine resets no PCR', reset, program)
    tap.run('query-tpm shows the paths', query, program)
    tap.run('it is neither migrated nor saved', not_migrated, program)
    tap.run('a TPM that hangs up fails', hung_up, program)
    tap.run('no file for cancels', no_file_for_cancels, program)
    tap.run('descriptors of a set', descriptors, program)
    tap.run('descriptors that cannot be', wrong_descriptors, program)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
