#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest moves between two machines that share its TPM's directory: there and back again, not at
all where something fails, and never so that both go on with the TPM."""
import argparse
import contextlib
import os
import select
import socket
import subprocess
import sys
import time

import harness
import tpm2
from harness import DEADLINE_S, Swtpm, Tap, Tis, wait_for
from machines import (emulator, execute, human, Machines, moved, refusal, run_status, started,
                      wait_status)

SOURCE, DESTINATION = 'release-lock-outgoing=on', 'incoming=on,release-lock-outgoing=on'
IN_USE = 'was let go of when its TPM was saved, and is in use by another TPM now'
CHANGED = 'another TPM has gone on with it; only one of the two may ever be resumed'


# ---- machines ----

class Shared(Machines):
    """Machines whose TPM is in the same directory."""

    def __init__(self, program):
        super().__init__(program)
        os.mkdir(self.path('tpm'))

    def tpm(self, how):
        return ['-tpmdev', f'libtpms,id=t,dir={self.path("tpm")}' + (',' + how if how else '')]

    def source(self, *options, how=SOURCE):
        """A machine with a guest, and what its TPM is known by."""
        machine = self.start(self.tpm(how), *options)
        run = started(machine).command
        tpm2.nv_define(run, 8)
        tpm2.nv_write(run, b'nonsense')
        tpm2.pcr_extend(run, 10, 'measured')
        return machine, self.look(machine)

    def destination(self, name='s', how=DESTINATION, options=()):
        """One that waits for a guest at unix:NAME."""
        return self.start(self.tpm(how), '-incoming', self.uri(name), *options)

    def uri(self, name):
        return f'unix:{self.path(name)}'

    def stored(self):
        """The bytes of its permanent state."""
        with open(os.path.join(self.path('tpm'), 'permall'), 'rb') as file:
            return file.read()

    @staticmethod
    def look(machine):
        run = Tis(machine.qtest).command
        return tpm2.pcr_read(run, 10), tpm2.nv_read(run, 8)


def goes_on(machine, seen, data=b'later on'):
    """The guest runs here, with its TPM, whose state can be stored."""
    assert run_status(machine) == 'running', run_status(machine)
    assert Shared.look(machine) == seen
    run = Tis(machine.qtest).command
    tpm2.nv_write(run, data)
    assert tpm2.nv_read(run, 8) == data
    return Shared.look(machine)


def does_not_go_on(machine, why):
    """Its TPM has failed and answers so, and the host is told why."""
    response = Tis(machine.qtest).command(tpm2.STARTUP)
    assert tpm2.code_of(response) == 0x101, response.hex()
    backend = execute(machine, 'x-query-tpm-stats')[0]['backend']
    assert backend['link'] == 'gone' and backend['failed'], backend
    events = machine.qmp.events
    while not any(event['event'] == 'X_TPM_LINK_CHANGED' for event in events):
        events.append(machine.qmp.receive())
    assert why in events[-1]['data']['message'], events


class Relay(contextlib.ExitStack):
    """Between a source and a destination, which is kept from hearing more than it should."""

    def __init__(self, machines, source, name):
        super().__init__()
        listener = self.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(machines.path('relay'))
        self.callback(os.unlink, machines.path('relay'))
        listener.listen(1)
        listener.settimeout(DEADLINE_S)
        self.below = self.enter_context(socket.socket(socket.AF_UNIX))
        self.below.connect(machines.path(name))
        execute(source, 'migrate', uri=machines.uri('relay'))
        self.above = self.enter_context(listener.accept()[0])

    def until_loaded(self):
        """All of the stream goes down; what the destination answers stays here."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            ready = select.select([self.above, self.below], [], [], deadline - time.monotonic())[0]
            assert ready, 'the destination has not loaded'
            if self.below in ready:
                answer = self.below.recv(1024)
                assert answer == b'loaded\n', answer
                return
            self.below.sendall(self.above.recv(1 << 16))


# ---- it goes well ----

def there_and_back(program):
    """Two machines that run at the same time, and then two more."""
    with Shared(program) as machines:
        machine, seen = machines.source()
        for number in range(3):
            other = machines.destination(f's{number}')
            execute(machine, 'migrate', uri=machines.uri(f's{number}'))
            moved(machine, other)
            seen = goes_on(other, seen, b'moved %2d' % number)
            machine.terminate()
            assert Shared.look(other) == seen
            machine = other
        assert sorted(os.listdir(machines.path('tpm'))) == ['.lock', 'permall']


def command_under_way(program):
    with Shared(program) as machines:
        source, _ = machines.source()
        destination = machines.destination()
        driver = Tis(source.qtest)
        driver.send(tpm2.CREATE_PRIMARY_RSA)
        driver.go()
        execute(source, 'migrate', uri=machines.uri('s'))
        moved(source, destination)
        response = Tis(destination.qtest).receive()
        assert tpm2.code_of(response) == 0, response.hex()


def through_a_file(program):
    """The source stands still all the while; and it leaves the directory alone when it ends."""
    with Shared(program) as machines:
        source, seen = machines.source()
        file = f'file:{machines.path("vm")}'
        execute(source, 'migrate', uri=file)
        wait_status(source, 'completed')
        destination = machines.start(machines.tpm(DESTINATION), '-incoming', file)
        wait_status(destination, 'completed')
        seen = goes_on(destination, seen)
        stored = machines.stored()
        source.terminate()
        assert machines.stored() == stored
        assert Shared.look(destination) == seen


def killed_source(program, how):
    """With its end the kernel lets go of the lock, and the destination waits for that."""
    with Shared(program) as machines:
        source, seen = machines.source(how=how)
        file = f'file:{machines.path("vm")}'
        execute(source, 'migrate', uri=file)
        wait_status(source, 'completed')
        destination = machines.start(machines.tpm(DESTINATION), '-incoming', 'defer')
        source.kill()
        execute(destination, 'migrate-incoming', uri=file)
        wait_status(destination, 'completed')
        goes_on(destination, seen)


def without_a_guest(program):
    """A destination that is given nothing, and runs, takes what is there."""
    with Shared(program) as machines:
        source, seen = machines.source()
        source.terminate()
        machine = machines.start(machines.tpm(DESTINATION))
        run = started(machine).command
        assert tpm2.nv_read(run, 8) == seen[1]
        text = machines.fails(machines.tpm(SOURCE))
        assert 'is in use by another TPM' in text, text


def snapshots(program):
    with Shared(program) as machines:
        os.mkdir(machines.path('shots'))
        machine, seen = machines.source('-snapshot-dir', machines.path('shots'))
        assert human(machine, 'savevm one') == ''
        later = goes_on(machine, seen)
        assert human(machine, 'loadvm one') == ''
        assert later != seen
        goes_on(machine, seen)


# ---- it does not go well, and the source has its TPM ----

def stays(machines, source, seen, text):
    """The migration has failed, the guest goes on where it was, and can go another time."""
    wait_status(source, 'failed')
    reason = execute(source, 'query-migrate')['error-desc']
    assert text in reason, reason
    seen = goes_on(source, seen)
    destination = machines.destination('again')
    execute(source, 'migrate', uri=machines.uri('again'))
    moved(source, destination)
    goes_on(destination, seen, b'the end.')


def destination_refuses(program):
    """A load that fails gives the directory back before the source hears of it."""
    with Shared(program) as machines:
        source, seen = machines.source()
        key = machines.path('key')
        with open(key, 'wb') as file:
            file.write(bytes(range(32)))
        process = machines.refusing(machines.tpm(f'{DESTINATION},key-file={key}'), 's')
        execute(source, 'migrate', uri=machines.uri('s'))
        said = refusal(process)
        assert 'is not encrypted' in said, said
        stays(machines, source, seen, 'is not encrypted')


def source_keeps_its_lock(program):
    """One without the option is told what would be right, and has lost nothing."""
    with Shared(program) as machines:
        source, seen = machines.source(how='')
        process = machines.refusing(machines.tpm(DESTINATION), 's')
        execute(source, 'migrate', uri=machines.uri('s'))
        said = refusal(process)
        assert 'end that first, or have it made with release-lock-outgoing=on' in said, said
        wait_status(source, 'failed')
        goes_on(source, seen)


def destination_is_killed(program):
    """It had loaded, and nobody had told it to go on: the directory is as the source left it."""
    with Shared(program) as machines:
        source, seen = machines.source()
        destination = machines.destination()
        with Relay(machines, source, 's') as relay:
            stored = machines.stored()
            relay.until_loaded()
            destination.kill()
            assert machines.stored() == stored
        stays(machines, source, seen, 'has closed the connection and not loaded')


def destination_ends_late(program):
    """The source hears of the end first, and waits for the lock."""
    with Shared(program) as machines:
        source, seen = machines.source()
        destination = machines.destination()
        with Relay(machines, source, 's') as relay:
            relay.until_loaded()
            relay.above.close()
            wait_status(source, 'failed')
            destination.kill()
        stays(machines, source, seen, 'has closed the connection and not loaded')


def cancelled(program):
    with Shared(program) as machines:
        source, seen = machines.source()
        source.qtest.ok(f'memset 0x100000 {4 << 20} 0x5a')
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(machines.path('mute'))
            listener.listen(1)
            execute(source, 'migrate', uri=machines.uri('mute'))
            wait_for(lambda: execute(source, 'query-migrate')['ram']['transferred'], 'bytes')
            execute(source, 'migrate_cancel')
        assert execute(source, 'query-migrate')['status'] == 'cancelled'
        goes_on(source, seen)


# ---- never both ----

def both_resumed(program):
    """The operator lets the source go on, too: it has no TPM, and the destination keeps its own."""
    with Shared(program) as machines:
        source, seen = machines.source()
        destination = machines.destination()
        execute(source, 'migrate', uri=machines.uri('s'))
        moved(source, destination)
        execute(source, 'cont')
        does_not_go_on(source, IN_USE)
        seen = goes_on(destination, seen)

        # Nor when the other has ended in the meantime; a reset begins with what that has left.
        destination.terminate()
        assert tpm2.code_of(Tis(source.qtest).command(tpm2.STARTUP)) == 0x101
        execute(source, 'system_reset')
        run = started(source).command
        assert tpm2.nv_read(run, 8) == seen[1]
        assert tpm2.pcr_read(run, 10) == '00' * 32


def destination_went_on_and_ended(program):
    """The lock is free, and what is stored says that somebody else had it."""
    with Shared(program) as machines:
        source, seen = machines.source()
        destination = machines.destination()
        execute(source, 'migrate', uri=machines.uri('s'))
        moved(source, destination)
        assert Shared.look(destination) == seen  # which changes nothing in its TPM
        destination.kill()
        execute(source, 'cont')
        does_not_go_on(source, CHANGED)


def source_went_on(program):
    """The other way round: a destination that was saved on, and then resumed after all."""
    with Shared(program) as machines:
        source, seen = machines.source()
        destination = machines.destination()
        with Relay(machines, source, 's') as relay:
            relay.until_loaded()
            relay.below.sendall(b'go\n')
            wait_status(destination, 'completed')
            execute(destination, 'stop')
            execute(destination, 'migrate', uri=f'file:{machines.path("vm")}')
            wait_status(destination, 'completed')
        wait_status(source, 'failed')
        seen = goes_on(source, seen)
        source.terminate()
        execute(destination, 'cont')
        does_not_go_on(destination, CHANGED)


# ---- swtpm ----

def swtpm_without_the_capability(program):
    """Before 0.8 swtpm keeps its lock: a second one in the directory refuses, and says so; the
    guest goes on where it was."""
    with Shared(program) as machines:
        first = machines.enter_context(Swtpm('2.0', machines.path('tpm')))
        if 'cmdarg-migration' in subprocess.run(['swtpm', 'socket', '--print-capabilities'],
                                                stdout=subprocess.PIPE, check=True,
                                                timeout=DEADLINE_S).stdout.decode():
            raise harness.Skip('swtpm lets go of its lock by itself; this is about one before 0.8')
        os.rename(first.socket, machines.path('first'))
        second = machines.enter_context(Swtpm('2.0', machines.path('tpm')))
        first.socket = machines.path('first')
        source = machines.start(emulator(first))
        run = started(source).command
        tpm2.pcr_extend(run, 10, 'measured')
        value = tpm2.pcr_read(run, 10)
        process = machines.refusing(emulator(second), 's')
        execute(source, 'migrate', uri=machines.uri('s'))
        said = refusal(process)
        text = 'INIT with result 9h (operation failed; is its state in use by another swtpm'
        assert text in said, said
        wait_status(source, 'failed')
        assert text in execute(source, 'query-migrate')['error-desc']
        assert run_status(source) == 'running'
        assert tpm2.pcr_read(Tis(source.qtest).command, 10) == value


TESTS = [
    ('there and back again', there_and_back),
    ('a command under way', command_under_way),
    ('through a file, the source still there', through_a_file),
    ('a source that was killed when it had let go', killed_source, SOURCE),
    ('a source that was killed and had not let go', killed_source, ''),
    ('a destination that is given nothing', without_a_guest),
    ('snapshots', snapshots),
    ('a destination that refuses', destination_refuses),
    ('a source that keeps its lock', source_keeps_its_lock),
    ('a destination that is killed before it goes on', destination_is_killed),
    ('a destination that ends late', destination_ends_late),
    ('cancelled', cancelled),
    ('both are resumed', both_resumed),
    ('a destination that went on and ended', destination_went_on_and_ended),
    ('a source that went on', source_went_on),
    ('swtpm that keeps its lock', swtpm_without_the_capability),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--machine', required=True, help='the machine under test')
    parser.add_argument('--only', help='of which tests the name has this in it')
    arguments = parser.parse_args()
    tap = Tap()
    for name, function, *rest in TESTS:
        if not arguments.only or arguments.only in name:
            begin = time.monotonic()
            tap.run(name, function, os.path.abspath(arguments.machine), *rest)
            if arguments.only or os.environ.get('TIMES'):
                print(f'# {time.monotonic() - begin:.2f} s')
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
