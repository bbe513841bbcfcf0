#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Snapshots give a guest back as it was, its TPM with it: by the human monitor's words and by QMP."""
import argparse
import os
import sys

import tpm2
from harness import Tap, Tis
from machines import (execute, human, Machines, refused, run_status, started, two_tpms)


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
        assert human(machine, 'info snapshots') == 'one\ntwo\n'
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


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--machine', required=True, help='the machine under test')
    program = os.path.abspath(parser.parse_args().machine)
    tap = Tap()
    for kind in ('libtpms', 'swtpm'):
        tap.run(f'snapshots, {kind}', snapshots, program, kind)
    tap.run('a snapshot of a command under way', snapshot_of_a_command, program)
    tap.run('a machine begins with a snapshot', begin_with_one, program)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
