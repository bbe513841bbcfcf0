# SPDX-License-Identifier: BSD-3-Clause
"""A guest's processor, which does not notice that it is moved: each of its accesses is carried out
once, on the machine where the guest is. Drivers use it as they use a machine's qtest socket."""
import collections
import select
import time

import harness
from harness import DEADLINE_S, Crb, Tis

# What a guest may be at when it is stopped, as far as it can know.
STEPS = ('between two commands', 'a command is half written', 'a command is to be started',
         'a command is carried out', 'a response is half read', 'a response has been read')
IDLE, HALF_WRITTEN, WRITTEN, EXECUTING, HALF_READ, READ = STEPS


class Processor:
    """It stands still when its guest does, and then goes on where that goes on: on the machine
    where it was, or on `destination`."""

    def __init__(self, machine):
        machine.qtest.ok('vcpu')
        self.machine = machine
        self.destination = None
        self.step = IDLE
        self.stops = 0             # of this machine's guest that were counted
        self.accesses = 0          # at this step, of this command
        self.before_access = None  # a function that may begin a migration
        self.stopped_at = collections.Counter()

    def at(self, step):
        if step != self.step:
            self.step, self.accesses = step, 0

    def request(self, text):
        if self.before_access:
            self.before_access()
        self.accesses += 1
        self.machine.qtest.lines.send(text)
        return self._reply(text)

    number, ok = harness.QTest.number, harness.QTest.ok

    def _reply(self, text):
        """A request that a machine has done before its guest was stopped has its reply there."""
        deadline = time.monotonic() + 2 * DEADLINE_S
        while True:
            self._hear(self.machine.qmp)
            if self.destination:
                self._hear(self.destination.qmp)
            lines = self.machine.qtest.lines
            if self._has_come() and not select.select([lines.sock], [], [], 0)[0]:
                self._arrive(text)
                lines = self.machine.qtest.lines
            sockets = [lines.sock] + [machine.qmp.lines.sock for machine
                                      in (self.machine, self.destination) if machine]
            ready = select.select(sockets, [], [], max(deadline - time.monotonic(), 0))[0]
            if not ready:
                raise TimeoutError(f'{text}: no reply, and the guest goes on nowhere')
            if lines.sock in ready:
                return lines.receive()

    def _hear(self, monitor):
        """What a monitor tells by itself. That of a destination that fails is closed."""
        lines = monitor.lines
        try:
            while b'\n' in lines.buffer or select.select([lines.sock], [], [], 0)[0]:
                monitor.events.append(monitor.receive())
        except (EOFError, ConnectionError):
            if monitor is self.machine.qmp:
                raise
            self.destination = None
        stops = sum(event['event'] == 'STOP' for event in self.machine.qmp.events)
        if stops > self.stops:
            self.stops = stops
            self.stopped_at[self.step] += 1

    def _has_come(self):
        return self.destination and any(event['event'] == 'RESUME'
                                        for event in self.destination.qmp.events)

    def _arrive(self, text):
        self.machine, self.destination, self.stops = self.destination, None, 0
        self.machine.qtest.ok('vcpu')
        self.machine.qtest.lines.send(text)


class MovingTis(Tis):
    """A driver that tells the processor what it is at. The FIFO is accessed by four bytes, and by
    one at the end."""

    STEPS = STEPS

    def __init__(self, processor, width=4):
        super().__init__(processor)
        self.processor = processor
        self.width = width

    def _fifo(self, size):
        """How many bytes each access is about."""
        whole = size // self.width
        return [self.width] * whole + [1] * (size - whole * self.width)

    def _put(self, data):
        for size in self._fifo(len(data)):
            self.write(self.DATA_FIFO, int.from_bytes(data[:size], 'little'), ' bwxl'[size])
            data = data[size:]

    def _get(self, size):
        return b''.join(self.read(self.DATA_FIFO, ' bwxl'[part]).to_bytes(part, 'little')
                        for part in self._fifo(size))

    def send(self, command):
        self.write(self.STS, self.READY)
        self.wait_sts(self.READY, self.READY)
        self.processor.at(HALF_WRITTEN)
        self._put(command[:-1])
        self.wait_sts(self.VALID | self.EXPECT, self.VALID | self.EXPECT)
        self._put(command[-1:])
        self.processor.at(WRITTEN)
        self.wait_sts(self.VALID | self.EXPECT, self.VALID)

    def receive(self):
        self.wait_response()
        self.processor.at(HALF_READ)
        response = self._get(6)
        size = int.from_bytes(response[2:], 'big')
        assert 10 <= size <= 4096, f'a response of {size} bytes'
        response += self._get(size - 6)
        self.processor.at(READ)
        self.wait_sts(self.VALID | self.DATA_AVAIL, self.VALID)
        return response

    def command(self, command):
        self.send(command)
        self.go()
        self.processor.at(EXECUTING)
        response = self.receive()
        self.write(self.STS, self.READY)
        self.processor.at(IDLE)
        return response


class MovingCrb(Crb):
    """The same for a CRB device, whose driver does nothing more when it has read a response."""

    STEPS = STEPS[:-1]

    def __init__(self, processor):
        super().__init__(processor)
        self.processor = processor

    def _write_buffer(self, address, data):
        self.processor.at(HALF_WRITTEN)
        super()._write_buffer(address, data)
        self.processor.at(WRITTEN)

    def read_buffer(self, size):
        """Four bytes at a time."""
        self.processor.at(HALF_READ)
        address = self.window()[0]
        words = [self.qtest.number(f'readl {address + at:#x}').to_bytes(4, 'little')
                 for at in range(0, size, 4)]
        return b''.join(words)[:size]

    def command(self, command):
        self.send(command)
        self.start()
        self.processor.at(EXECUTING)
        response = self.receive()
        self.processor.at(IDLE)
        return response
