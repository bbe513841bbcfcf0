#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Snapshots give a guest back as it was, its TPM with it: by the human monitor's words and by QMP."""
import argparse
import itertools
import os
import re
import signal
import sys

import harness
import tpm2
from harness import ARCHES, Machine, Spapr, Swtpm, Tap, Tis
from machines import (emulator, execute, human, Machines, refused, run_status, started, two_tpms)


def snapshots(program, kind):
    """The secret that only the TPM of that moment gives is there again, whatever was done since."""
    with Machines(program) as machines:
        os.mkdir(machines.path('shots'))
        tpm = two_tpms(machines, kind)[0]
        machine = machines.start(tpm, '-snapshot-dir', machines.path('shots'))
        run = started(machine).command
        made = tpm2.fill(run)
        seen = tpm2.look(run, made)
        machine.qtest.ok('write 0x1000 2 0x1234')
        assert 'no snapshot available' in human(machine, 'info snapshots')
        assert human(machine, 'savevm one') == ''
        assert run_status(machine) == 'running'
        execute(machine, 'x-snapshot-save', name='two')
        assert tpm2.unseal(run, made['sealed'], 7) == tpm2.SECRET
        tpm2.pcr_extend(run, 7, 'later')
        tpm2.nv_write(run, b'otherone')
        assert tpm2.unseal(run, made['sealed'], 7) is None
        tpm2.flush(run, made['sealed'])
        machine.qtest.ok('write 0x1000 2 0x4321')
        assert human(machine, 'loadvm one') == ''
        assert machine.qtest.request('read 0x1000 2') == 'OK 0x1234'
        assert tpm2.look(run, made) == seen
        assert tpm2.unseal(run, made['sealed'], 7) == tpm2.SECRET
        assert [line.split()[1] for line in human(machine, 'info snapshots').splitlines()[2:]] == [
            'one', 'two']
        assert execute(machine, 'x-query-snapshots') == ['one', 'two']
        assert human(machine, 'delvm one') == ''
        assert 'does not exist' in human(machine, 'loadvm one')
        refused(machine, 'does not exist', 'x-snapshot-delete', name='one')
        for name in ('', '.', '../two', '-x', 'a/b', 'x' * 65):
            refused(machine, "cannot be a snapshot's name", 'x-snapshot-load', name=name)
        with open(os.path.join(machines.path('shots'), 'bad.tpmdev'), 'wb') as file:
            file.write(b'TPMDEVMM')
        refused(machine, 'bad.tpmdev: saved machine: ', 'x-snapshot-load', name='bad')
        assert tpm2.look(run, made) == seen
        execute(machine, 'x-snapshot-load', name='two')
        assert sorted(os.listdir(machines.path('shots'))) == ['bad.tpmdev', 'two.tpmdev']


def snapshot_of_a_command(program):
    """Each time it is loaded the guest waits for the same response."""
    with Machines(program) as machines:
        os.mkdir(machines.path('shots'))
        machine = machines.start('a', '-snapshot-dir', machines.path('shots'))
        driver = started(machine)
        driver.send(tpm2.CREATE_PRIMARY_RSA)
        driver.go()
        assert human(machine, 'savevm at-work') == ''
        first = driver.receive()
        driver.write(Tis.STS, Tis.READY)
        assert human(machine, 'loadvm at-work') == ''
        assert driver.receive() == first
        without = machines.start('b')
        refused(without, 'start the machine with -snapshot-dir DIR', 'x-snapshot-save', name='x')


def begin_with_one(program):
    """-loadvm: the machine is the one that was saved, whatever its TPM was before; -S keeps it still."""
    with Machines(program) as machines:
        os.mkdir(machines.path('shots'))
        options = ['-snapshot-dir', machines.path('shots')]
        with machines.start('a', *options) as first:
            run = started(first).command
            made = tpm2.fill(run)
            seen = tpm2.look(run, made)
            first.qtest.ok('write 0x1000 2 0x1234')
            assert human(first, 'savevm one') == ''
            tpm2.nv_write(run, b'otherone')
        for tpm, extra, status in (('a', [], 'running'), ('b', ['-S'], 'prelaunch')):
            with machines.start(tpm, *options, '-loadvm', 'one', *extra) as machine:
                assert run_status(machine) == status
                assert machine.qtest.request('read 0x1000 2') == 'OK 0x1234'
                assert tpm2.look(Tis(machine.qtest).command, made) == seen
        said = machines.fails('a', *options, '-loadvm', 'two')
        assert "-loadvm two: Snapshot 'two' does not exist" in said, said


def memory_across_pages(program):
    """A page that only a device has written to, and with the end of something, is saved as well."""
    with Machines(ARCHES['ppc64'].machine(program)[0]) as machines:
        machine = machines.start('a', '-snapshot-dir', machines.directory,
                                 device=['-device', 'tpm-spapr,tpmdev=t'])
        driver = Spapr(machine.qtest)
        driver.BUFFER = 0x20FF0
        driver.open()
        tpm2.startup(driver.command)
        assert tpm2.code_of(driver.command(bytes.fromhex('80010000000c0000017b0010'))) == 0
        seen = driver.read(driver.BUFFER, 32)
        assert human(machine, 'savevm one') == ''
        machine.qtest.ok(f'memset {driver.BUFFER:#x} 32 0x0')
        assert human(machine, 'loadvm one') == ''
        assert driver.read(driver.BUFFER, 32) == seen


# ---- jobs, and the words of the human monitor, as QEMU has them ----

def concluded(machine):
    """What monitors heard until the job was; the events are gone then."""
    seen = []
    while not seen or seen[-1] != 'concluded':
        event = machine.qmp.wait_event()
        seen.append(event.get('data', {}).get('status', event['event']))
    return seen


def job(machine, command, name, **arguments):
    """Begin it, wait for its end, dismiss it: what a script does. Returns all that was told."""
    reply = machine.qmp.execute(command, arguments={'job-id': name, **arguments})
    if 'error' in reply:
        return reply['error']
    seen = concluded(machine)
    jobs = execute(machine, 'query-jobs')
    execute(machine, 'job-dismiss', id=name)
    assert machine.qmp.wait_event()['data'] == {'status': 'null', 'id': name}
    return seen, jobs


def errors_of_jobs(machine):
    """Of commands that no job comes of, and of some to one that is concluded."""
    good = {'tag': 'x', 'vmstate': 'disk0', 'devices': ['disk0']}
    execute(machine, 'snapshot-delete', **{'job-id': 'there', 'tag': 'x', 'devices': ['disk0']})
    concluded(machine)
    for command, arguments in (
            ('snapshot-save', {'job-id': '', **good}), ('snapshot-save', {'job-id': '0a', **good}),
            ('snapshot-save', {'job-id': 'a b', **good}),
            ('snapshot-save', {'job-id': 'there', **good}), ('snapshot-save', good),
            ('snapshot-load', {'job-id': 'z', 'tag': 'x', 'devices': ['disk0']}),
            ('snapshot-load', {'job-id': 'z', 'tag': 'x', 'vmstate': 'disk0'}),
            ('snapshot-save', {'job-id': 'z', **good, 'devices': 'disk0'}),
            ('snapshot-save', {'job-id': 'z', **good, 'devices': ['disk0', 1]}),
            ('snapshot-save', {'job-id': 'z', **good, 'tag': 1}),
            ('snapshot-delete', {'job-id': 'z', **good}),
            ('job-cancel', {'id': 'there'}), ('job-cancel', {'id': 'none'}),
            ('job-dismiss', {'id': 'none'}), ('job-dismiss', {'id': 'there', 'force': True})):
        yield command, machine.qmp.execute(command, arguments=arguments)
    execute(machine, 'job-dismiss', id='there')
    machine.qmp.wait_event()


def what_is_told(machine):
    """By a machine with a place for snapshots that QEMU has in its `disk0`."""
    where = {'vmstate': 'disk0', 'devices': ['disk0']}
    execute(machine, 'cont')
    machine.qmp.events.clear()
    for command, arguments in (
            ('snapshot-save', {'tag': 'one', **where}), ('snapshot-save', {'tag': 'one', **where}),
            ('snapshot-save', {'tag': 'two', 'vmstate': 'other', 'devices': ['disk0']}),
            ('snapshot-save', {'tag': 'two', 'vmstate': 'disk0', 'devices': []}),
            ('snapshot-load', {'tag': 'one', **where}),
            ('snapshot-delete', {'tag': 'one', 'devices': ['disk0']}),
            ('snapshot-delete', {'tag': 'one', 'devices': ['disk0']}),
            ('snapshot-delete', {'tag': 'one', 'devices': []})):
        yield command, arguments, job(machine, command, 'job-1.a_b', **arguments)
    yield from errors_of_jobs(machine)
    for line in ('info snapshots', 'savevm one', 'savevm one', 'loadvm one', 'info snapshots',
                 'savevm', 'loadvm', 'delvm', 'savevm a b', 'delvm none', 'delvm one', 'frobnicate',
                 'info frobnicate', 'info status', 'quit now', 'loadvm none'):
        text = human(machine, line).replace('\r', '').partition('Try "help')[0]
        events = [event['event'] for event in machine.qmp.events]
        machine.qmp.events.clear()
        # QEMU has found out too late that it has none, and its guest stands still for ever.
        events = [] if line == 'loadvm none' else events
        for pattern, mask in ((r' +\d[\d.]* [KM]iB', ' SIZE'), (r'\d{4}-\d\d-\d\d', 'DATE'),
                              (r'\d\d:\d\d:\d\d ', 'TIME '), (r'\d\d:\d\d:\d\d\.\d+', 'CLOCK'),
                              (r'quit\|q: ', 'quit: '), (r'vm-\d{14}', 'vm-NOW')):
            text = re.sub(pattern, mask, text)
        yield line, text, events


def add_disk(machine, directory):
    """To a stock QEMU: an image that takes snapshots."""
    path = os.path.join(directory, 'disk0')
    for name, options in (('file', {'driver': 'file', 'filename': path, 'size': 0}),
                          ('qcow2', {'driver': 'qcow2', 'file': 'file0', 'size': 1 << 20})):
        execute(machine, 'blockdev-create', **{'job-id': name, 'options': options})
        concluded(machine)
        execute(machine, 'job-dismiss', id=name)
        machine.qmp.wait_event()
        if name == 'file':
            execute(machine, 'blockdev-add', **{'driver': 'file', 'filename': path,
                                                'node-name': 'file0'})
    execute(machine, 'blockdev-add', **{'driver': 'qcow2', 'file': 'file0', 'node-name': 'disk0'})


def as_qemu(program):
    """Jobs, their states and their errors; the human monitor's words: all as a stock QEMU's."""
    harness.require_qemu()
    with Machines(program) as machines:
        options = ['-m', '16', '-snapshot-dir', machines.directory]
        qemu = machines.enter_context(Machine(harness.STOCK_QEMU + ['-m', '16']))
        add_disk(qemu, machines.directory)
        for ours, theirs in itertools.zip_longest(what_is_told(machines.start('a', *options, '-S')),
                                                  what_is_told(qemu)):
            assert ours == theirs, f'\nours   {ours}\ntheirs {theirs}'


def job_of_a_command(program):
    """A job waits while the TPM carries out a command; then all of that is saved."""
    with Machines(program) as machines:
        swtpm = machines.enter_context(Swtpm('2.0', machines.directory))
        machine = machines.start(emulator(swtpm), '-snapshot-dir', machines.directory)
        where = {'tag': 'one', 'vmstate': 'disk0', 'devices': ['disk0']}
        driver = started(machine)
        swtpm.process.send_signal(signal.SIGSTOP)
        driver.send(tpm2.CREATE_PRIMARY_RSA)
        driver.go()

        execute(machine, 'snapshot-save', **{'job-id': 'a', **where})
        running = execute(machine, 'query-jobs')
        assert running == [{'id': 'a', 'type': 'snapshot-save', 'status': 'running',
                            'current-progress': 0, 'total-progress': 1}], running
        refused(machine, "Job 'a' in state 'running' cannot accept command verb 'dismiss'",
                'job-dismiss', id='a')
        execute(machine, 'job-cancel', id='a')
        assert concluded(machine) == ['created', 'running', 'aborting', 'concluded']
        assert execute(machine, 'query-jobs')[0]['error'] == 'Operation canceled'

        execute(machine, 'migrate-set-parameters', **{'x-timeout': 50})
        seen, jobs = job(machine, 'snapshot-load', 'b', **where)
        assert seen[-2:] == ['aborting', 'concluded'] and 'does not end' in jobs[1]['error'], jobs
        execute(machine, 'migrate-set-parameters', **{'x-timeout': 60000})

        execute(machine, 'snapshot-save', **{'job-id': 'c', **where})
        swtpm.process.send_signal(signal.SIGCONT)
        seen = concluded(machine)
        assert seen[-3:] == ['waiting', 'pending', 'concluded'], seen
        response = driver.receive()
        driver.write(Tis.STS, Tis.READY)
        seen, jobs = job(machine, 'snapshot-load', 'd', **where)
        assert seen[-1] == 'concluded' and 'error' not in jobs[-1], jobs
        assert driver.receive() == response


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--machine', required=True, help='the machine under test')
    program = os.path.abspath(parser.parse_args().machine)
    tap = Tap()
    for kind in ('libtpms', 'swtpm'):
        tap.run(f'snapshots, {kind}', snapshots, program, kind)
    tap.run('a snapshot of a command under way', snapshot_of_a_command, program)
    tap.run('memory across pages', memory_across_pages, program)
    tap.run('a machine begins with a snapshot', begin_with_one, program)
    tap.run('jobs and the human monitor are as QEMU has them', as_qemu, program)
    tap.run('a job waits for the end of a command', job_of_a_command, program)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
