#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The machine's ways to swtpm: it starts one itself, which lives no longer than it does and comes
back when it is killed; over TCP; over sockets that it is given."""
import argparse
import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys

import harness
from harness import Machine, Tap, Tis

STARTUP = {'2.0': bytes.fromhex('80010000000c000001440000'),
           '1.2': bytes.fromhex('00c10000000c000000990001')}
READ_PCR = {'2.0': bytes.fromhex('8001000000140000017e00000001000b03010000'),
            '1.2': bytes.fromhex('00c10000000e0000001500000000')}
SUCCESS = {'2.0': bytes.fromhex('80010000000a00000000'),
           '1.2': bytes.fromhex('00c40000000a00000000')}


def machine(program, options, **kwargs):
    return Machine([program, '-tpmdev', f'emulator,id=tpm0,{options}', '-device',
                    'tpm-tis,tpmdev=tpm0'], **kwargs)


def children(pid):
    """The children of a process, dead ones that nobody has waited for among them."""
    found = []
    for name in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError), \
                open(f'/proc/{name}/stat', encoding='utf-8', errors='replace') as stat:
            if int(stat.read().rpartition(')')[2].split()[1]) == pid:
                found.append(int(name))
    return found


def only_child(pid):
    found = children(pid)
    assert len(found) == 1, found
    return found[0]


def has_ended(pid_fd):
    """A pidfd is readable when its process has ended, whoever waits for that."""
    return bool(select.select([pid_fd], [], [], 0)[0])


def measure(tis, version):
    """A command that a TPM answers as one that is started."""
    return tis.command(READ_PCR[version])[6:10]


def spawned(program, version):
    """It works, its log is written, and nothing of it is left when the machine has ended."""
    with harness.temporary_directory() as directory:
        state = os.path.join(directory, 'state, of it')
        log = os.path.join(directory, 'log')
        os.mkdir(state)
        options = f'spawn=on,state-dir={state.replace(",", ",,")},version={version},log={log}'
        with machine(program, options + ',log-level=1') as running:
            tis = Tis(running.qtest)
            tis.request()
            assert tis.command(STARTUP[version]) == SUCCESS[version]
            assert measure(tis, version) == bytes(4)
            pid_fd = os.pidfd_open(only_child(running.process.pid))
            assert running.qmp.execute('system_reset') == {'return': {}}
            tis.request()
            assert tis.command(STARTUP[version]) == SUCCESS[version]
            running.terminate()
            assert has_ended(pid_fd), 'swtpm has not ended before the machine'
            os.close(pid_fd)
        with open(log, encoding='utf-8') as text:
            assert text.read().endswith('has ended with status 0\n')


def killed(program, version):
    """swtpm is killed time and again: commands fail for a moment, and no access waits."""
    with harness.temporary_directory() as directory, \
            machine(program, f'spawn=on,state-dir={directory},version={version}') as running:
        tis = Tis(running.qtest)
        tis.request()
        assert tis.command(STARTUP[version]) == SUCCESS[version]
        for _ in range(3):
            pid = only_child(running.process.pid)
            os.kill(pid, signal.SIGKILL)
            harness.wait_for(lambda pid=pid: children(running.process.pid) not in ([], [pid]),
                             'new swtpm')
            harness.wait_for(lambda: measure(tis, version) == bytes(4), 'TPM that is back')
        assert 'was ended by signal 9 (Killed)' in running.stderr(), running.stderr()


def orphaned(program, version):
    """The machine is killed: swtpm ends with it, in a command and in none."""
    for in_command in (False, True):
        with harness.temporary_directory() as directory:
            running = machine(program, f'spawn=on,state-dir={directory},version={version}')
            try:
                tis = Tis(running.qtest)
                tis.request()
                assert tis.command(STARTUP[version]) == SUCCESS[version]
                pid = only_child(running.process.pid)
                pid_fd = os.pidfd_open(pid)
                if in_command:
                    tis.send(READ_PCR[version])
                    os.kill(pid, signal.SIGSTOP)
                    tis.go()
            finally:
                running.kill()
            harness.wait_for(lambda pid_fd=pid_fd: has_ended(pid_fd), 'end of swtpm')
            os.close(pid_fd)


def refused(program, _version):
    """A second machine on the same state says so, and who has it."""
    with harness.temporary_directory() as directory, \
            machine(program, f'spawn=on,state-dir={directory}'):
        second = subprocess.run(
            [program, '-tpmdev', f'emulator,id=tpm0,spawn=on,state-dir={directory}', '-device',
             'tpm-tis,tpmdev=tpm0'], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        assert second.returncode == 1, second
        assert b'is in use by another backend' in second.stderr, second.stderr


def free_ports():
    with socket.socket() as first, socket.socket() as second:
        first.bind(('127.0.0.1', 0))
        second.bind(('127.0.0.1', 0))
        return first.getsockname()[1], second.getsockname()[1]


def is_listening(port):
    """Without a connection, which would be swtpm's one client."""
    with open('/proc/net/tcp', encoding='utf-8') as sockets:
        return any(line.split()[1] == f'0100007F:{port:04X}' and line.split()[3] == '0A'
                   for line in sockets)


def over_tcp(program, version):
    with harness.temporary_directory() as directory:
        while True:
            data, ctrl = free_ports()
            swtpm = harness.start_process(
                ['swtpm', 'socket', '--tpmstate', f'dir={directory}', '--server',
                 f'type=tcp,port={data}', '--ctrl', f'type=tcp,port={ctrl}'] +
                (['--tpm2'] if version == '2.0' else []), stderr=subprocess.DEVNULL)
            harness.wait_for(lambda swtpm=swtpm, ports=(data, ctrl): swtpm.poll() is not None or
                             all(map(is_listening, ports)), 'swtpm over TCP')
            if swtpm.poll() is None:
                break  # else somebody was quicker to take a port
        try:
            options = f'host=127.0.0.1,port={data},control-port={ctrl}'
            with machine(program, options) as running:
                tis = Tis(running.qtest)
                tis.request()
                assert tis.command(STARTUP[version]) == SUCCESS[version]
                assert measure(tis, version) == bytes(4)
            assert swtpm.wait(harness.DEADLINE_S) == 0
        finally:
            harness.end_process(swtpm)


def handed_in(program, version):
    for both in (False, True):
        with harness.temporary_directory() as directory, contextlib.ExitStack() as stack:
            pairs = [socket.socketpair() for _ in range(1 + both)]
            ours, theirs = zip(*([end.detach() for end in pair] for pair in pairs))
            argv = ['swtpm', 'socket', '--tpmstate', f'dir={directory}', '--ctrl',
                    f'type=unixio,clientfd={theirs[0]}']
            argv += ['--fd', str(theirs[1])] if both else []
            argv += ['--tpm2'] if version == '2.0' else []
            swtpm = harness.start_process(argv, pass_fds=theirs, stderr=subprocess.DEVNULL)
            stack.callback(harness.end_process, swtpm)
            options = f'fd={ours[0]}' + (f',data-fd={ours[1]}' if both else '')
            with machine(program, options, pass_fds=ours) as running:
                for fd in ours + theirs:
                    os.close(fd)
                tis = Tis(running.qtest)
                tis.request()
                assert tis.command(STARTUP[version]) == SUCCESS[version]
                assert measure(tis, version) == bytes(4)
            assert swtpm.wait(harness.DEADLINE_S) == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--machine', required=True, help='our tpmdev-system-x86_64')
    program = os.path.abspath(parser.parse_args().machine)
    tap = Tap()
    if not shutil.which('swtpm'):
        tap.skip('swtpm', 'no swtpm; install the package swtpm')
        return tap.done()
    for version in ('2.0', '1.2'):
        tap.run(f'{version} started by the machine', spawned, program, version)
        tap.run(f'{version} started and killed', killed, program, version)
        tap.run(f'{version} started by a machine that is killed', orphaned, program, version)
        tap.run(f'{version} over TCP', over_tcp, program, version)
        tap.run(f'{version} over sockets handed in', handed_in, program, version)
    tap.run('a second one on the same state', refused, program, '2.0')
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
