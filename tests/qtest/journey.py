# SPDX-License-Identifier: BSD-3-Clause
"""A guest that works with its TPM, and the hosts between which it moves: each has a swtpm and a
machine of its own."""
import contextlib
import os
import random
import time

import harness
import tpm2
from harness import DEADLINE_S, Machine, Swtpm, wait_for
from machines import emulator, execute, run_status, wait_status
from processor import EXECUTING, HALF_READ, HALF_WRITTEN, IDLE, MovingCrb, MovingTis, Processor
from workload import Workload

DEVICES = {'tpm-tis': MovingTis, 'tpm-crb': MovingCrb}

# Which access of a step it is at the latest at which a move begins; else the first.
REACH = {IDLE: 2, HALF_WRITTEN: 12, HALF_READ: 12}


class Station(contextlib.ExitStack):
    """A swtpm and a machine on a host, with a directory."""

    def __init__(self, program, host, path, options, version='2.0', swtpm_options=()):
        super().__init__()
        with contextlib.ExitStack() as undo:
            undo.push(self)
            self.path = path
            os.makedirs(path, exist_ok=True)
            self.swtpm = self.enter_context(Swtpm(version, path, host.prefix, swtpm_options))
            self.machine = self.enter_context(
                Machine([program, *emulator(self.swtpm), *options], prefix=host.prefix))
            undo.pop_all()
        self.host = host

    def uri(self):
        """Of one that waits for a guest."""
        port = execute(self.machine, 'query-migrate')['socket-address'][0]['port']
        return f'tcp:{self.host.address}:{port}'


class Journey(contextlib.ExitStack):
    """A guest under load, and where it is."""

    def __init__(self, program, hosts, model, seed, swtpm_options=()):
        super().__init__()
        self.program = program
        self.hosts = hosts
        self.swtpm_options = swtpm_options
        self.model = model
        self.device = ['-device', f'{model},tpmdev=t']
        self.rng = random.Random(f'{model} {seed}')
        with contextlib.ExitStack() as undo:
            undo.push(self)
            self.directory = self.enter_context(harness.temporary_directory())
            self.here = self.station(hosts.all[0])
            self.processor = Processor(self.here.machine)
            self.driver = DEVICES[model](self.processor)
            self.driver.request()
            tpm2.startup(self.driver.command)
            self.workload = Workload(self.driver.command, self.rng)
            undo.pop_all()

    def station(self, host, *options, name=None, version='2.0', swtpm_options=None):
        path = os.path.join(self.directory, name or host.name)
        if swtpm_options is None:
            swtpm_options = self.swtpm_options
        return self.enter_context(Station(self.program, host, path, self.device + list(options),
                                          version, swtpm_options))

    def destination(self, **how):
        """On the other host, with the directory that its last swtpm has left."""
        host = next(host for host in self.hosts.all if host != self.here.host)
        return self.station(host, '-incoming', f'tcp:{host.address}:0', **how)

    def begin(self, uri, step, first=None, then=None):
        """Migrate at one of the next accesses of a step, and do something before and after that,
        all before the access."""
        nth = self.rng.randrange(REACH.get(step, 1))

        def before_access():
            if self.processor.step != step or self.processor.accesses < nth:
                return
            self.processor.before_access = None
            if first:
                first()
            execute(self.here.machine, 'migrate', uri=uri)
            if then:
                then()
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

    def is_stopped(self):
        wait_for(lambda: run_status(self.here.machine) != 'running', 'end of the run')

    def move(self, destination, step, stand_still=True):
        """`stand_still`: until the guest is stopped, else it goes on meanwhile."""
        self.work(self.rng.randrange(20))
        self.processor.destination = destination.machine
        self.begin(destination.uri(), step, then=self.is_stopped if stand_still else None)
        self.work_until(lambda: self.processor.machine is destination.machine, 'arrival')
        self.work()
        wait_status(self.here.machine, 'completed')
        wait_status(destination.machine, 'completed')
        assert run_status(self.here.machine) == 'postmigrate'
        assert run_status(destination.machine) == 'running'
        self.here.close()
        self.here = destination
