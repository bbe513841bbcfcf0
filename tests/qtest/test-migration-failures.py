#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest that works with its TPM without a pause is to be moved to another host, and that fails:
it goes on where it is, nothing of its TPM is lost, and the TPM of the other host is what it was."""
import contextlib
import dataclasses
import errno
import os
import random
import signal
import subprocess
import sys
import typing

import harness
import tpm2
from harness import DEADLINE_S, Crb, Tis, wait_for
from hosts import main
from journey import DEVICES, Journey
from machines import execute, files_of, run_status, status
from processor import EXECUTING

MARK = b'destined'
# For what never happens; meanwhile a swtpm has its state saved, on a machine that is busy.
PATIENCE_MS = 2000
# So much memory that no connection takes it at once.
MUCH = 24 << 20


def nothing(*_):
    pass


def stop(process):
    process.send_signal(signal.SIGSTOP)


def go_on(process):
    process.send_signal(signal.SIGCONT)


def set_timeout(machine, milliseconds=PATIENCE_MS):
    execute(machine, 'migrate-set-parameters', **{'x-timeout': milliseconds})


def is_sent(journey):
    """The guest is stopped, and some of it is on its way."""
    journey.is_stopped()
    wait_for(lambda: execute(journey.here.machine, 'query-migrate')['ram']['transferred'], 'bytes')


def is_taken(journey, destination):
    """The destination has all of it, and the TPM there, which is stopped, something to read."""
    def unread():
        rows = subprocess.run([*destination.host.prefix, 'ss', '-x'], stdout=subprocess.PIPE,
                              check=True).stdout.decode().splitlines()
        return [int(row.split()[2]) for row in rows if f' {destination.swtpm.socket} ' in row]
    is_sent(journey)
    wait_for(lambda: any(unread()), 'message to swtpm')


# ---- what can happen ----

@dataclasses.dataclass(frozen=True)
class Case:
    """Long `before` the migration, `at` its begin, when it has `begun`, and `after` it has failed:
    what is done then with a journey and a destination."""

    name: str
    reason: str                       # why it failed, as the source tells; '': it was cancelled
    before: typing.Callable = nothing
    at: typing.Callable = nothing
    begun: typing.Callable = nothing
    after: typing.Callable = nothing
    said: str = ''                    # what the destination ends with, if it does by itself
    version: str = '2.0'              # of the destination's TPM
    models: tuple = tuple(DEVICES)    # devices of which the guest may have one
    has_other_key: bool = False       # does its swtpm encrypt with another key than the source's?
    is_full: bool = False             # is there no room for the TPM's state?
    is_copied: bool = False           # has the destination's TPM become the guest's?


def gone(_, destination):
    destination.close()


def stopped(_, destination):
    stop(destination.machine.process)


def killed_unread(journey, destination):
    is_sent(journey)
    harness.end_process(destination.machine.process)


def tpm_stopped(_, destination):
    stop(destination.swtpm.process)


def killed_in_load(journey, destination):
    is_taken(journey, destination)
    harness.end_process(destination.machine.process)


def tpm_goes_on(_, destination):
    go_on(destination.swtpm.process)


def tpm_gone(_, destination):
    destination.swtpm.stop()


def tpm_killed_in_load(journey, destination):
    is_taken(journey, destination)
    destination.swtpm.stop()


def tpm_hangs(_, destination):
    set_timeout(destination.machine)
    stop(destination.swtpm.process)


def impatient(journey, destination):
    set_timeout(journey.here.machine)
    stop(destination.machine.process)


def goes_on(_, destination):
    go_on(destination.machine.process)


def cancelled(journey, _):
    is_sent(journey)
    execute(journey.here.machine, 'migrate_cancel')


def cancelled_in_load(journey, destination):
    is_taken(journey, destination)
    execute(journey.here.machine, 'migrate_cancel')


def cut(journey, _):
    set_timeout(journey.here.machine)
    journey.hosts.cut()


def full_of_memory(journey, destination):
    journey.here.machine.qtest.ok(f'memset 0x100000 {MUCH} 0x5a')
    impatient(journey, destination)


def cut_within(journey, destination):
    is_sent(journey)
    journey.hosts.cut()
    go_on(destination.machine.process)


def mended(journey, _):
    journey.hosts.mend()


def unmount(path, check=True):
    """Even while a swtpm is there."""
    subprocess.run(['umount', '--lazy', path], check=check,
                   stderr=None if check else subprocess.DEVNULL)


def unwritable(journey, _):
    path = os.path.join(journey.here.path, 'state')
    journey.callback(unmount, path, check=False)  # should the test end before it is writable again
    for options in (['--bind', path], ['-o', 'remount,bind,ro']):
        subprocess.run(['mount', *options, path], check=True)


def writable_again(journey, _):
    """Before the guest has its TPM write to it."""
    wait_for(lambda: status(journey.here.machine) == 'failed', 'failure')
    unmount(os.path.join(journey.here.path, 'state'))


LEFT = 'the source has left and kept its guest'
COPIED = LEFT + ', after its TPM was loaded: the TPM here is a copy of that now'
HUNG = f'nothing has happened for {PATIENCE_MS} ms'

CASES = [
    Case('the disk of the source cannot be written', 'or its disk full?', at=unwritable,
         begun=writable_again, said='the stream has ended before it was whole'),
    Case('the destination is gone', 'Connection refused', before=gone),
    Case('the destination is killed before it has read', 'Connection reset', before=stopped,
         begun=killed_unread),
    Case('the destination is killed while its TPM takes the state', 'closed the connection',
         before=tpm_stopped, begun=killed_in_load, after=tpm_goes_on),
    Case('the TPM of the destination is gone', 'has not loaded it: ', before=tpm_gone,
         said='closed the control channel'),
    Case('the TPM of the destination is killed while it takes the state', 'has not loaded it: ',
         before=tpm_stopped, begun=tpm_killed_in_load, said='channel while STOP was under way'),
    Case('the TPM of the destination hangs', 'has not loaded it: ', before=tpm_hangs,
         after=tpm_goes_on, said='within the time given'),
    Case('the TPM of the destination is another version', 'has not loaded it: ', version='1.2',
         models=('tpm-tis',), said='that of a TPM 2.0 and this device has a TPM 1.2'),
    Case('the TPM of the destination has another key', 'has not loaded it: ', has_other_key=True,
         said='cannot be decrypted'),
    Case('the disk of the destination is full', 'has not loaded it: ', is_full=True,
         said="could not store the TPM's state"),
    Case('the destination hangs', HUNG, before=impatient, after=goes_on, said=LEFT + '\n'),
    Case('it is cancelled while the destination hangs', '', before=stopped, begun=cancelled,
         after=goes_on, said=LEFT + '\n'),
    Case('it is cancelled while the TPM of the destination takes the state', '',
         before=tpm_stopped, begun=cancelled_in_load, after=tpm_goes_on, said=COPIED,
         is_copied=True),
    Case('the wire is cut before', HUNG, before=cut, after=mended),
    Case('the wire is cut within', HUNG, before=full_of_memory, begun=cut_within, after=mended,
         said='the stream has ended before it was whole'),
]


# ---- the TPM of the destination ----

@contextlib.contextmanager
def guest_on(journey, how):
    """What carries out commands of another guest, which has the TPM there while it runs."""
    with journey.station(journey.hosts.all[1], **how) as station:
        driver = {'tpm-tis': Tis, 'tpm-crb': Crb}[journey.model](station.machine.qtest)
        driver.request()
        if how['version'] == '2.0':
            tpm2.startup(driver.command)
        yield driver.command


def mark(journey, how):
    with guest_on(journey, how) as run:
        if how['version'] == '2.0':
            tpm2.nv_define(run, len(MARK))
            tpm2.nv_write(run, MARK)


def check_mark(journey, how, is_copied):
    """A copy has the counter of the guest. Of a TPM 1.2 its files tell enough."""
    if how['version'] == '2.0':
        with guest_on(journey, how) as run:
            if is_copied:
                index, name, _ = journey.workload.counter
                assert tpm2.nv_name(run, index) == name
            else:
                assert tpm2.nv_read(run, len(MARK)) == MARK


@contextlib.contextmanager
def small_disk(path):
    """The directory of a swtpm's state, on a file system of its own."""
    os.makedirs(path)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=64k', 'none', path], check=True)
    try:
        yield
    finally:
        unmount(path)


def fill(path):
    with open(path, 'wb', buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC, error


def key_options(directory, byte):
    """Of a swtpm that encrypts its state."""
    path = os.path.join(directory, byte)
    with open(path, 'w', encoding='ascii') as file:
        file.write(32 * byte)
    return ['--key', f'file={path},format=hex,mode=aes-256-cbc']


# ---- a case ----

def has_failed(journey):
    return (journey.processor.before_access is None
            and status(journey.here.machine) in ('failed', 'cancelled'))


def check_failure(journey, case):
    machine = journey.here.machine
    reply = execute(machine, 'query-migrate')
    wanted = 'failed' if case.reason else 'cancelled'
    assert reply['status'] == wanted and case.reason in reply.get('error-desc', ''), reply
    assert run_status(machine) == 'running'


def check_destination(destination, case):
    """It ends by itself when it knows that no guest will come, and says why."""
    if case.said:
        code = destination.machine.process.wait(DEADLINE_S)
        said = destination.machine.stderr()
        assert code == 1 and case.said in said, f'status {code}: {said}'


def fails(program, hosts, seed, case):
    with contextlib.ExitStack() as stack:
        keys = stack.enter_context(harness.temporary_directory())
        how = {'name': 'b', 'version': case.version, 'swtpm_options': ()}
        own_options = ()
        if case.has_other_key:
            own_options, how['swtpm_options'] = key_options(keys, '5a'), key_options(keys, 'a5')
        seed = f'{case.name} {seed}'
        model = random.Random(seed).choice(case.models)
        journey = stack.enter_context(Journey(program, hosts, model, seed, own_options))
        if case.is_full:
            stack.enter_context(small_disk(os.path.join(journey.directory, 'b', 'state')))
        mark(journey, how)
        filler = os.path.join(journey.directory, 'b', 'state', 'filler')
        if case.is_full:
            fill(filler)
        destination = journey.destination(**how)
        before = files_of(destination.swtpm.state)
        uri = destination.uri()
        case.before(journey, destination)
        steps = [step for step in journey.driver.STEPS if step != EXECUTING or case.reason != HUNG]
        journey.begin(uri, journey.rng.choice(steps),
                      lambda: case.at(journey, destination),
                      lambda: case.begun(journey, destination))
        journey.work_until(lambda: has_failed(journey), 'end of the migration')
        check_failure(journey, case)
        journey.work()
        case.after(journey, destination)
        set_timeout(journey.here.machine, 60000)
        check_destination(destination, case)
        destination.close()
        left = files_of(destination.swtpm.state)
        assert case.is_copied or left == before, f'{sorted(before)}, then {sorted(left)}'
        if case.is_full:
            os.unlink(filler)
        check_mark(journey, how, case.is_copied)
        journey.workload.check_all()
        journey.move(journey.destination(name='c'), journey.rng.choice(journey.driver.STEPS))
        journey.workload.check_all()


if __name__ == '__main__':
    sys.exit(main(__doc__, [(case.name, fails, case) for case in CASES]))
