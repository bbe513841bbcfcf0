#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest that works with its TPM without a pause is moved between two hosts, each with a network,
a swtpm and a machine of its own; and stays, working, where a move fails at any of its steps."""
import argparse
import contextlib
import os
import random
import secrets
import select
import sys
import time

import harness
import tpm2
from harness import DEADLINE_S, Machine, Skip, Swtpm, Tap, wait_for
from hosts import Hosts, enter
from machines import emulator, execute, run_status, wait_status
from processor import EXECUTING, HALF_READ, HALF_WRITTEN, IDLE, MovingCrb, MovingTis, Processor
from workload import Workload

DEVICES = {'tpm-tis': MovingTis, 'tpm-crb': MovingCrb}

# Which access of a step it is at the latest at which a move begins; else the first.
REACH = {IDLE: 2, HALF_WRITTEN: 12, HALF_READ: 12}


class Station(contextlib.ExitStack):
    """A swtpm and a machine on a host, with a directory."""

    def __init__(self, program, host, path, options):
        super().__init__()
        with contextlib.ExitStack() as undo:
            undo.push(self)
            self.path = path
            os.makedirs(path, exist_ok=True)
            self.swtpm = self.enter_context(Swtpm('2.0', path, host.prefix))
            self.machine = self.enter_context(
                Machine([program, *emulator(self.swtpm), *options], prefix=host.prefix))
            undo.pop_all()
        self.host = host

    def uri(self):
        port = execute(self.machine, 'query-migrate')['socket-address'][0]['port']
        return f'tcp:{self.host.address}:{port}'


class Journey(contextlib.ExitStack):
    """A guest under load, and where it is."""

    def __init__(self, program, hosts, model, seed):
        super().__init__()
        self.program = program
        self.hosts = hosts
        self.device = ['-device', f'{model},tpmdev=t']
        self.rng = random.Random(f'{model} {seed}')
        self.directory = self.enter_context(harness.temporary_directory())
        self.here = self.enter_context(self.station(hosts.all[0]))
        self.processor = Processor(self.here.machine)
        self.driver = DEVICES[model](self.processor)
        self.driver.request()
        tpm2.startup(self.driver.command)
        self.workload = Workload(self.driver.command, self.rng)

    def station(self, host, *options):
        path = os.path.join(self.directory, host.name)
        return Station(self.program, host, path, self.device + list(options))

    def destination(self):
        """On the other host, with the directory that its last swtpm has left."""
        host = next(host for host in self.hosts.all if host != self.here.host)
        return self.enter_context(self.station(host, '-incoming', f'tcp:{host.address}:0'))

    def begin(self, uri, step, stand_still=True):
        """Migrate at one of the next accesses of a step; `stand_still`: which is not made until the
        guest is stopped, else the guest goes on meanwhile."""
        nth = self.rng.randrange(REACH.get(step, 1))

        def before_access():
            if self.processor.step != step or self.processor.accesses < nth:
                return
            self.processor.before_access = None
            execute(self.here.machine, 'migrate', uri=uri)
            if stand_still:
                wait_for(lambda: run_status(self.here.machine) != 'running', 'end of the run')
        self.workload.wants_slow_command = step == EXECUTING
        self.processor.before_access = before_access

    def work_until(self, condition, what):
        """`nth` may not be reached by a command; a later one is longer."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f'no {what}'
            self.workload.go_on()

    def work(self, things=8):
        for _ in range(things):
            self.workload.go_on()

    def move(self, destination, step, stand_still=True):
        self.work(self.rng.randrange(20))
        self.processor.destination = destination.machine
        self.begin(destination.uri(), step, stand_still)
        self.work_until(lambda: self.processor.machine is destination.machine, 'arrival')
        self.work()
        wait_status(self.here.machine, 'completed')
        wait_status(destination.machine, 'completed')
        assert run_status(self.here.machine) == 'postmigrate'
        assert run_status(destination.machine) == 'running'
        self.here.close()
        self.here = destination


# ---- the processor ----

def stands_still(program, hosts):
    """What a guest asks for while it is stopped is done once, when it goes on."""
    with Machine([program, '-S'], prefix=hosts.all[0].prefix) as machine:
        lines = machine.qtest.lines
        machine.qtest.ok('vcpu')
        for _ in range(2):
            lines.send('writeb 0x1000 0x11')
            lines.send('readb 0x1000')
            assert run_status(machine) in ('prelaunch', 'paused')
            assert not select.select([lines.sock], [], [], 0)[0], lines.receive()
            execute(machine, 'cont')
            replies = [lines.receive(), lines.receive()]
            assert replies == ['OK', 'OK 0x0000000000000011'], replies
            execute(machine, 'stop')


# ---- moves ----

def moves(program, hosts, model, seed):
    """There and back again, until each step was hit; then as it comes, while the guest goes on."""
    with Journey(program, hosts, model, seed) as journey:
        steps = list(journey.driver.STEPS)
        journey.rng.shuffle(steps)
        for step in steps:
            stopped = journey.processor.stopped_at[step]
            journey.move(journey.destination(), step)
            assert journey.processor.stopped_at[step] == stopped + 1, journey.processor.stopped_at
            journey.workload.check_all()
        for step in journey.rng.sample(steps, 3):
            journey.move(journey.destination(), step, stand_still=False)
        journey.workload.check_all()
        print(f'# {model}: {journey.workload.commands} things were done, and the guest moved while')
        for step in journey.driver.STEPS:
            print(f'# {journey.processor.stopped_at[step]:3} times {step}')
        journey.here.close()
        left = {name: sorted(os.listdir(os.path.join(journey.directory, name, 'state')))
                for name in sorted(os.listdir(journey.directory))}
        assert all(set(names) <= {'.lock', 'tpm2-00.permall'} for names in left.values()), left


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--machine', required=True, help='the machine under test')
    parser.add_argument('--only', help='of which tests the name has this in it')
    arguments = parser.parse_args()
    try:
        enter()
    except Skip as skip:
        print(f'1..0 # SKIP {skip}')
        return 0
    program = os.path.abspath(arguments.machine)
    seed = os.environ.get('TPMDEV_TEST_SEED') or str(secrets.randbits(32))
    print(f'# TPMDEV_TEST_SEED={seed} repeats it')
    tap = Tap()
    tests = [('a processor stands still with its guest', stands_still)]
    tests += [(f'a guest with a {model} moves between two hosts and works', moves, model, seed)
              for model in DEVICES]
    with Hosts() as hosts:
        for name, function, *rest in tests:
            if not arguments.only or arguments.only in name:
                begin = time.monotonic()
                tap.run(name, function, program, hosts, *rest)
                print(f'# {time.monotonic() - begin:.2f} s')
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
