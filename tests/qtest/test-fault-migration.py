#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A migration that fails at the TPM, by a `fault` backend: the source's guest goes on with its TPM,
or finds a dead one until its machine is reset, and the host is told which; and another attempt
moves it."""
import argparse
import os
import sys

import harness
import tpm2
from harness import Swtpm, Tap, Tis
from machines import (execute, Machines, moved, refused, run_status, started, status, stays,
                      wait_status)

FAILURE = 0x101
HAS_DIED = "TPM backend 't' has died, as it was told to"


def fault(inner, what):
    """-tpmdev for a fault around what `inner`, options of another backend, says."""
    doubled = inner.replace(',', ',,')
    return ['-tpmdev', f'fault,id=t,backend={doubled},{what}']


def libtpms(machines, name):
    os.makedirs(machines.path(name), exist_ok=True)
    return f'libtpms,id=inner,dir={machines.path(name)}'


def measured(machines, tpm):
    """A source whose guest has measured something; its driver, and the value."""
    source = machines.start(tpm)
    driver = started(source)
    tpm2.pcr_extend(driver.command, 10, 'measured')
    return source, driver, tpm2.pcr_read(driver.command, 10)


def migrate(machines, source):
    execute(source, 'migrate', uri=f'file:{machines.path("vm")}')


def arrives(machines, source, value, tpm):
    """All is well this time: the guest is in another machine, with its TPM."""
    destination = machines.start(tpm, '-incoming', f'unix:{machines.path("s")}')
    execute(source, 'migrate', uri=f'unix:{machines.path("s")}')
    moved(source, destination)
    assert tpm2.pcr_read(Tis(destination.qtest).command, 10) == value


def is_dead_until_reset(machine, driver):
    assert tpm2.code_of(driver.command(tpm2.STARTUP)) == FAILURE
    execute(machine, 'system_reset')
    tpm2.pcr_read(started(machine).command, 10)


# ---- at the source ----

def save_refused(program, kind):
    """And then out of the fault into a machine without, and back into one with another."""
    with Machines(program) as machines:
        if kind == 'swtpm':
            swtpms = [machines.enter_context(Swtpm('2.0', machines.enter_context(
                harness.temporary_directory()))) for _ in range(3)]
            inner = [f'emulator,id=inner,path={swtpm.socket}' for swtpm in swtpms]
        else:
            inner = [libtpms(machines, name) for name in 'abc']
        source, driver, value = measured(machines,
                                         fault(inner[0], 'what=refuse,on=save,nth=1'))
        migrate(machines, source)
        stays(source, driver, value, 'refuses its state to be saved, as it was told to')
        assert not os.path.exists(machines.path('vm')), machines.left()
        plain = ['-tpmdev', inner[1].replace('id=inner', 'id=t')]
        destination = machines.start(plain, '-incoming', f'unix:{machines.path("s")}')
        execute(source, 'migrate', uri=f'unix:{machines.path("s")}')
        moved(source, destination)
        arrives(machines, destination, value, fault(inner[2], 'what=death,on=save'))


def save_hangs(program):
    """Whether the TPM is the first to give up, or the machine."""
    with Machines(program) as machines:
        source, driver, value = measured(
            machines, fault(libtpms(machines, 'a'), 'what=hang,on=save,delay=300000'))
        migrate(machines, source)
        stays(source, driver, value, 'has not answered within 300 ms, as it was told to')
        execute(source, 'migrate-set-parameters', **{'x-timeout': 20})
        migrate(machines, source)
        stays(source, driver, value, '')


def save_late(program):
    with Machines(program) as machines:
        source, _, value = measured(
            machines, fault(libtpms(machines, 'a'), 'what=delay,on=save,delay=50000'))
        arrives(machines, source, value,
                fault(libtpms(machines, 'b'), 'what=delay,on=load,delay=9000'))


def save_dies(program):
    with Machines(program) as machines:
        source, driver, _ = measured(
            machines, fault(libtpms(machines, 'a'), 'what=death,on=save,nth=1'))
        migrate(machines, source)
        wait_status(source, 'failed')
        assert execute(source, 'query-migrate')['error-desc'] == HAS_DIED
        assert run_status(source) == 'running'
        is_dead_until_reset(source, driver)
        driver = Tis(source.qtest)
        tpm2.pcr_extend(driver.command, 10, 'measured once more')
        arrives(machines, source, tpm2.pcr_read(driver.command, 10), 'b')


def cannot_migrate(program):
    """It is told before the guest is stopped."""
    with Machines(program) as machines:
        source, driver, value = measured(
            machines, fault(libtpms(machines, 'a'), 'what=refuse,on=can-migrate'))
        refused(source, 'cannot be saved or migrated, as it was told to', 'migrate',
                uri=f'file:{machines.path("vm")}')
        assert (status(source), run_status(source)) == ('none', 'running')
        assert not [event for event in source.qmp.events if event['event'] == 'STOP']
        assert tpm2.pcr_read(driver.command, 10) == value


def cannot_go_on(program):
    """The TPM was handed out, the migration failed, and then the TPM cannot be had back."""
    with Machines(program) as machines:
        source, driver, _ = measured(
            machines, fault(libtpms(machines, 'a'), 'what=death,on=resume,nth=1'))
        execute(source, 'migrate', uri='file:/dev/full')
        wait_status(source, 'failed')
        assert run_status(source) == 'running'
        is_dead_until_reset(source, driver)


# ---- at the destination ----

def load_fails(program, what, text):
    with Machines(program) as machines:
        source, driver, value = measured(machines, 'a')
        destination = machines.start(fault(libtpms(machines, 'b'), what), '-incoming',
                                     f'unix:{machines.path("s")}')
        execute(source, 'migrate', uri=f'unix:{machines.path("s")}')
        stays(source, driver, value, text)
        assert destination.process.wait(harness.DEADLINE_S) == 1
        arrives(machines, source, value, 'c')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--machine', required=True, help='the machine under test')
    program = os.path.abspath(parser.parse_args().machine)
    tap = Tap()
    tap.run('a save that is refused, libtpms', save_refused, program, 'libtpms')
    tap.run('a save that is refused, swtpm', save_refused, program, 'swtpm')
    tap.run('a save that hangs', save_hangs, program)
    tap.run('a save and a load that are late', save_late, program)
    tap.run('a TPM that dies in a save', save_dies, program)
    tap.run('a TPM that cannot migrate', cannot_migrate, program)
    tap.run('a TPM that cannot go on after a migration that failed', cannot_go_on, program)
    tap.run('a load that is refused', load_fails, program, 'what=refuse,on=load',
            'refuses its state to be loaded, as it was told to')
    tap.run('a load that hangs', load_fails, program, 'what=hang,on=load,delay=100000',
            'has not answered within 100 ms, as it was told to')
    tap.run('a TPM that dies in a load', load_fails, program, 'what=death,on=load', HAS_DIED)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
