# SPDX-License-Identifier: BSD-3-Clause
"""Machines in a directory of their own, each with a TPM, and what a monitor of theirs is asked about
the run of a guest and its way from one to the other."""
import contextlib
import os
import subprocess

import harness
import tpm2
from harness import DEADLINE_S, Machine, Swtpm, Tis, wait_for

TIS = ['-device', 'tpm-tis,tpmdev=t']


def libtpms(directory, name):
    path = os.path.join(directory, name)
    os.makedirs(path, exist_ok=True)
    return ['-tpmdev', f'libtpms,id=t,dir={path}']


def emulator(swtpm):
    return ['-chardev', f'socket,id=chr,path={swtpm.socket}', '-tpmdev',
            'emulator,id=t,chardev=chr']


def execute(machine, command, **arguments):
    reply = machine.qmp.execute(command, arguments=arguments)
    assert 'return' in reply, f'{command}: {reply}'
    return reply['return']


def refused(machine, text, command, **arguments):
    reply = machine.qmp.execute(command, arguments=arguments)
    assert 'error' in reply and text in reply['error']['desc'], f'{command}: {reply}'


def human(machine, line):
    return execute(machine, 'human-monitor-command', **{'command-line': line})


def status(machine):
    return execute(machine, 'query-migrate')['status']


def run_status(machine):
    return execute(machine, 'query-status')['status']


def wait_status(machine, wanted):
    def check():
        now = execute(machine, 'query-migrate')
        assert now['status'] in ('none', 'setup', 'active', 'cancelling', wanted), now
        return now['status'] == wanted and now
    return wait_for(check, f'migration status {wanted}')


def started(machine, device=Tis):
    """A driver whose TPM has had its Startup; returns what carries a command out."""
    driver = device(machine.qtest)
    driver.request()
    tpm2.startup(driver.command)
    return driver


class Machines(contextlib.ExitStack):
    """A directory, and machines in it."""

    def __init__(self, program):
        super().__init__()
        self.program = program
        self.directory = self.enter_context(harness.temporary_directory())

    def path(self, name):
        return os.path.join(self.directory, name)

    def start(self, tpm, *options, device=TIS, pass_fds=()):
        tpm = libtpms(self.directory, tpm) if isinstance(tpm, str) else tpm
        return self.enter_context(Machine([self.program] + tpm + list(device) + list(options),
                                          pass_fds=pass_fds))

    def fails(self, tpm, *options, device=TIS):
        """Start one that ends by itself; returns what it says."""
        tpm = libtpms(self.directory, tpm) if isinstance(tpm, str) else tpm
        result = subprocess.run([self.program] + tpm + list(device) + list(options),
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, timeout=DEADLINE_S, check=False)
        text = result.stderr.decode()
        assert result.returncode == 1, f'status {result.returncode}: {text}'
        return text

    def refusing(self, tpm, name, *options, device=TIS):
        """One that waits for a guest at unix:NAME, and is going to end with status 1; a process,
        whose standard error is a pipe."""
        tpm = libtpms(self.directory, tpm) if isinstance(tpm, str) else tpm
        process = harness.start_process(
            [self.program] + tpm + list(device) + list(options)
            + ['-incoming', f'unix:{self.path(name)}'], stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL)
        self.callback(harness.end_process, process)
        wait_for(lambda: harness.is_listening(self.path(name)), 'destination')
        return process

    def left(self):
        """What is in the directory but TPMs' state."""
        return sorted(name for name in os.listdir(self.directory)
                      if not os.path.isdir(self.path(name)))

    def state_of(self, name):
        return files_of(self.path(name))


def files_of(path):
    """All there is of a TPM's state in a directory, to be compared."""
    files = {}
    for name in sorted(os.listdir(path)):
        with open(os.path.join(path, name), 'rb') as file:
            files[name] = file.read()
    return files


def refusal(process):
    """What it says, once it has ended."""
    said = process.communicate(timeout=DEADLINE_S)[1].decode()
    assert process.returncode == 1, f'status {process.returncode}: {said}'
    return said


def moved(source, destination):
    """After a migration: the guest is there and not here, and its TPM is the same."""
    wait_status(source, 'completed')
    wait_status(destination, 'completed')
    assert run_status(source) == 'postmigrate', run_status(source)
    assert run_status(destination) == 'running', run_status(destination)


def stays(source, driver, value, text):
    """The migration has failed, and the guest has its TPM."""
    wait_status(source, 'failed')
    reason = execute(source, 'query-migrate')['error-desc']
    assert text in reason, reason
    assert run_status(source) == 'running', run_status(source)
    assert tpm2.pcr_read(driver.command, 10) == value
    assert f'failed ({reason})' in human(source, 'info migrate')


def two_tpms(machines, kind):
    if kind == 'libtpms':
        return 'a', 'b'
    swtpms = []
    for name in ('a', 'b'):
        os.makedirs(machines.path(name), exist_ok=True)
        swtpms.append(machines.enter_context(Swtpm('2.0', machines.path(name))))
    return [emulator(swtpm) for swtpm in swtpms]
