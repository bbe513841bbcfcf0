#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest that works with its TPM without a pause is moved between two hosts, each with a network,
a swtpm and a machine of its own, and goes on wherever it is."""
import os
import select
import sys

from harness import Machine
from hosts import main
from journey import DEVICES, Journey
from machines import execute, run_status

# ---- the processor ----

def stands_still(program, hosts, _):
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

def moves(program, hosts, seed, model):
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


TESTS = [('a processor stands still with its guest', stands_still)]
TESTS += [(f'a guest with a {model} moves between two hosts and works', moves, model)
          for model in DEVICES]


if __name__ == '__main__':
    sys.exit(main(__doc__, TESTS))
