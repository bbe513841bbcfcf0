#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest's TPM moves with it: by every transport, with a command under way, and not at all where
something fails."""
import argparse
import array
import os
import resource
import socket
import sys
import time

import tpm2
from harness import ARCHES, Crb, DEADLINE_S, Skip, Spapr, Tap, Tis, wait_for
from i2c import I2c
from machines import (execute, human, Machines, moved, refusal, refused, run_status, started, status,
                      stays, TIS, two_tpms, wait_status)

# For so long a monitor is asked while the TPM carries out its command: longer than the machine lets
# pass before it looks whether that has ended.
WHILE_NS = 20_000_000

# What the last section of a stream begins with, where that is when the stream is whole, and more
# bytes than it has.
STREAM_END, STREAM_END_BYTES, ALL = b'END \x20\0\0\0', 40, 1 << 30


# ---- transports ----

def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(('::1', 0))
    except OSError:
        return False
    return True


def by_transport(program, incoming, uri, two_way):
    """@DIR@ stands for the directory, @PORT@ for the port the destination says it has."""
    if '::1' in uri and not has_ipv6():
        raise Skip('no IPv6 on the loopback interface')
    with Machines(program) as machines:
        incoming, uri = (text.replace('@DIR@', machines.directory) for text in (incoming, uri))
        source = machines.start('a')
        driver = started(source)
        tpm2.pcr_extend(driver.command, 10, uri)
        value = tpm2.pcr_read(driver.command, 10)
        assert status(source) == 'none'
        if two_way:
            destination = machines.start('b', '-incoming', incoming)
            assert run_status(destination) == 'inmigrate'
            now = execute(destination, 'query-migrate')
            assert now['status'] == 'setup', now
            if '@PORT@' in uri:
                uri = uri.replace('@PORT@', now['socket-address'][0]['port'])
        assert execute(source, 'migrate', uri=uri) == {}
        if not two_way:
            wait_status(source, 'completed')
            destination = machines.start('b', '-incoming', incoming)
        moved(source, destination)
        assert tpm2.pcr_read(Tis(destination.qtest).command, 10) == value
        assert machines.left() == (['vm'] if not two_way else []), machines.left()


def deferred(program):
    with Machines(program) as machines:
        source, destination = machines.start('a'), machines.start('b', '-incoming', 'defer')
        started(source)
        uri = f'unix:{machines.path("socket")}'
        assert (run_status(destination), status(destination)) == ('inmigrate', 'none')
        refused(source, "'-incoming' was not specified", 'migrate-incoming', uri=uri)
        refused(destination, 'Guest is waiting for an incoming migration', 'migrate', uri=uri)
        refused(destination, 'unknown migration protocol: pigeon', 'migrate-incoming', uri='pigeon')
        execute(destination, 'migrate-incoming', uri=uri)
        refused(destination, 'already been started', 'migrate-incoming', uri=uri)
        execute(source, 'migrate', uri=uri)
        moved(source, destination)
        assert machines.left() == [], machines.left()


def pass_fd(machine, name, fd):
    line = b'{"execute":"getfd","arguments":{"fdname":"%s"}}\n' % name.encode()
    machine.qmp.lines.sock.sendmsg(
        [line], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fd]))])
    reply = machine.qmp.receive()
    assert reply == {'return': {}}, reply


def by_descriptor(program, pair):
    """By a name the source's monitor was given it under, and by its number at the destination."""
    with Machines(program) as machines:
        reader, writer = pair()
        source = machines.start('a')
        value = tpm2.pcr_read(started(source).command, 0)
        pass_fd(source, 'way', writer)
        os.close(writer)
        refused(source, "File descriptor named 'none' not found", 'closefd', fdname='none')
        refused(source, "named 'none' has not been found", 'migrate', uri='fd:none')
        refused(source, 'No file descriptor supplied', 'getfd', fdname='empty')
        destination = machines.start('b', '-incoming', f'fd:{reader}', pass_fds=[reader])
        os.close(reader)
        execute(source, 'migrate', uri='fd:way')
        moved(source, destination)
        assert tpm2.pcr_read(Tis(destination.qtest).command, 0) == value


def socket_pair():
    return [end.detach() for end in socket.socketpair()]


def events(program):
    with Machines(program) as machines:
        path = machines.path('socket')
        source, destination = machines.start('a'), machines.start('b', '-incoming', f'unix:{path}')
        started(source)
        execute(source, 'migrate-set-capabilities',
                capabilities=[{'capability': 'events', 'state': True}])
        refused(source, "'multifd' is not there", 'migrate-set-capabilities',
                capabilities=[{'capability': 'multifd', 'state': True}])
        assert {'capability': 'events', 'state': True} in execute(source,
                                                                  'query-migrate-capabilities')
        execute(source, 'migrate-set-parameters', **{'max-bandwidth': 1 << 30})
        refused(source, "'speed' is unexpected", 'migrate-set-parameters', speed=1)
        execute(source, 'migrate', uri=f'unix:{path}')
        moved(source, destination)
        seen = [event['data'].get('status', event['event']) for event in source.qmp.events]
        assert seen == ['setup', 'active', 'STOP', 'completed'], seen
        seen = [event['data'].get('status', event['event']) for event in destination.qmp.events]
        assert seen == ['active', 'RESUME', 'completed'], seen


def stopped_stays_stopped(program):
    """As in QEMU: a guest that was stopped is so where it comes to, until `cont`."""
    with Machines(program) as machines:
        source = machines.start('a')
        value = tpm2.pcr_read(started(source).command, 0)
        execute(source, 'stop')
        assert run_status(source) == 'paused'
        execute(source, 'migrate', uri=f'file:{machines.path("vm")}')
        wait_status(source, 'completed')
        destination = machines.start('b', '-incoming', f'file:{machines.path("vm")}')
        wait_status(destination, 'completed')
        assert run_status(destination) == 'paused'
        execute(destination, 'cont')
        assert run_status(destination) == 'running'
        assert tpm2.pcr_read(Tis(destination.qtest).command, 0) == value


# ---- all of a TPM ----

def all_is_equal(program, kind):
    with Machines(program) as machines:
        first, second = two_tpms(machines, kind)
        path = machines.path('socket')
        source = machines.start(first)
        destination = machines.start(second, '-incoming', f'unix:{path}')
        run = started(source).command
        made = tpm2.fill(run)
        seen = tpm2.look(run, made)
        source.qtest.ok('write 0x12345 4 0xdeadbeef')
        execute(source, 'migrate', uri=f'unix:{path}')
        moved(source, destination)
        run = Tis(destination.qtest).command
        assert tpm2.look(run, made) == seen
        assert tpm2.unseal(run, made['sealed'], 7) == tpm2.SECRET
        assert destination.qtest.request('read 0x12345 4') == 'OK 0xdeadbeef'
        assert machines.left() == [], machines.left()


def command_under_way(program, kind):
    """It is begun at the source, and its response is read at the destination."""
    with Machines(program) as machines:
        first, second = two_tpms(machines, kind)
        uri = f'unix:{machines.path("s")}'
        source, destination = machines.start(first), machines.start(second, '-incoming', uri)
        driver = started(source)
        driver.send(tpm2.CREATE_PRIMARY_RSA)
        driver.go()
        execute(source, 'migrate', uri=uri)
        moved(source, destination)
        driver = Tis(destination.qtest)
        response = driver.receive()
        assert tpm2.code_of(response) == 0, response.hex()
        driver.write(Tis.STS, Tis.READY)
        public = tpm2.read_public(driver.command, int.from_bytes(response[10:14], 'big'))
        assert public[2:14] in response, public.hex()


# ---- other devices ----

def device_moves(program, arch, options, device):
    program = program if arch == 'x86_64' else ARCHES[arch].machine(program)[0]
    with Machines(program) as machines:
        path = machines.path('s')
        device_options = ['-device', options]
        source = machines.start('a', device=device_options)
        destination = machines.start('b', '-incoming', f'unix:{path}', device=device_options)
        driver = device(source.qtest)
        if isinstance(driver, Spapr):
            driver.open()
        else:
            driver.request()
        tpm2.startup(driver.command)
        tpm2.pcr_extend(driver.command, 3, options)
        value = tpm2.pcr_read(driver.command, 3)
        execute(source, 'migrate', uri=f'unix:{path}')
        moved(source, destination)
        if isinstance(driver, I2c):
            bus = driver.bus
            enabled = destination.qtest.number(f'readl {bus.base + bus.FUN_CTRL:#x}')
            assert enabled == 1, f'FUN_CTRL is {enabled:#x}'
        there = device(destination.qtest)
        if isinstance(driver, Spapr):
            there.next = driver.next
        assert tpm2.pcr_read(there.command, 3) == value


def hypercall_under_way(program):
    """What the queue is told at the destination is of a command that was sent at the source."""
    program = ARCHES['ppc64'].machine(program)[0]
    with Machines(program) as machines:
        path = machines.path('s')
        device = ['-device', 'tpm-spapr,tpmdev=t']
        source = machines.start('a', device=device)
        destination = machines.start('b', '-incoming', f'unix:{path}', device=device)
        driver = Spapr(source.qtest)
        driver.open()
        tpm2.startup(driver.command)
        assert driver.send(tpm2.CREATE_PRIMARY_RSA) == 0
        execute(source, 'migrate', uri=f'unix:{path}')
        moved(source, destination)
        there = Spapr(destination.qtest)
        there.next = driver.next
        assert tpm2.code_of(there.receive()) == 0


# ---- what fails ----

def prepared(machines, *options):
    """A source with something in its memory that no socket takes at once."""
    source = machines.start('a', *options)
    driver = started(source)
    tpm2.pcr_extend(driver.command, 10, 'measured')
    source.qtest.ok(f'memset 0x100000 {4 << 20} 0x5a')
    return source, driver, tpm2.pcr_read(driver.command, 10)


def failures(program):
    with Machines(program) as machines:
        source, driver, value = prepared(machines)
        missing = machines.path('none')
        with socket.socket() as closed:
            closed.bind(('127.0.0.1', 0))
            port = closed.getsockname()[1]
            for uri, text in ((f'unix:{missing}', 'No such file or directory'),
                              (f'tcp:127.0.0.1:{port}', 'Connection refused'),
                              ('exec:exit 3', 'Child process exited with code 3'),
                              ('exec:cat > /dev/full', 'Child process exited with code 1'),
                              ('file:/dev/full', 'No space left on device')):
                execute(source, 'migrate', uri=uri)
                stays(source, driver, value, text)
        for uri, text in (('pigeon:home', 'unknown migration protocol'),
                          ('tcp:localhost', 'write tcp:HOST:PORT'),
                          ('tcp:127.0.0.1:http', 'the port as a number'),
                          ('unix:' + 'x' * 200, 'the path of a UNIX socket has 1 to 107 bytes'),
                          (f'file:{missing}/vm', 'No such file or directory'),
                          ('fd:999', 'is not open'), ('fd:2', 'none of the standard descriptors')):
            refused(source, text, 'migrate', uri=uri)
            assert run_status(source) == 'running'
        assert tpm2.pcr_read(driver.command, 10) == value
        assert machines.left() == [], machines.left()


def full_disk(program):
    """A file that cannot be written whole does not take the place of one that is."""
    with Machines(program) as machines:
        source, driver, value = prepared(machines, '-snapshot-dir', machines.directory)
        with open(machines.path('vm'), 'w', encoding='ascii') as file:
            file.write('old')
        limits = resource.prlimit(source.process.pid, resource.RLIMIT_FSIZE, (1 << 20, -1))
        execute(source, 'migrate', uri=f'file:{machines.path("vm")}')
        stays(source, driver, value, 'File too large')
        assert 'File too large' in human(source, 'savevm one')
        assert machines.left() == ['vm'], machines.left()
        with open(machines.path('vm'), encoding='ascii') as file:
            assert file.read() == 'old'
        resource.prlimit(source.process.pid, resource.RLIMIT_FSIZE, limits)
        execute(source, 'migrate', uri=f'file:{machines.path("vm")}')
        wait_status(source, 'completed')
        assert machines.left() == ['vm'], machines.left()


def destination_does_not_read(program):
    """QMP goes on; the migration ends when it is cancelled, or by its timeout."""
    with Machines(program) as machines, socket.socket(socket.AF_UNIX) as listener:
        source, driver, value = prepared(machines, '-snapshot-dir', machines.directory)
        listener.bind(machines.path('s'))
        listener.listen(8)
        execute(source, 'migrate', uri=f'unix:{machines.path("s")}')
        wait_for(lambda: execute(source, 'query-migrate')['ram']['transferred'], 'bytes')
        assert run_status(source) == 'finish-migrate'
        refused(source, "There's a migration process in progress", 'migrate', uri='exec:true')
        refused(source, 'use migrate_cancel', 'cont')
        refused(source, 'a migration has it', 'x-snapshot-load', name='any')
        execute(source, 'migrate_cancel')
        assert (status(source), run_status(source)) == ('cancelled', 'running')
        assert tpm2.pcr_read(driver.command, 10) == value
        seen = [event['data'].get('status', event['event']) for event in source.qmp.events]
        assert seen[-3:] == ['cancelling', 'RESUME', 'cancelled'], seen
        # In which the TPM is saved as well, on a machine that is busy.
        execute(source, 'migrate-set-parameters', **{'x-timeout': 1000})
        assert execute(source, 'query-migrate-parameters')['x-timeout'] == 1000
        execute(source, 'migrate', uri=f'unix:{machines.path("s")}')
        stays(source, driver, value, 'nothing has happened for 1000 ms')


def destination_goes(program):
    """Whether it has read nothing, a part, or all, as long as it has not said that it has loaded."""
    with Machines(program) as machines, socket.socket(socket.AF_UNIX) as listener:
        source, driver, value = prepared(machines)
        listener.bind(machines.path('s'))
        listener.listen(8)
        for size, answer, text in ((0, b'', ''), (1 << 20, b'', ''), (ALL, b'', 'not loaded'),
                                   (ALL, b'failed no room\n', 'has not loaded it: no room'),
                                   (ALL, b'what?\n', 'means nothing'),
                                   (0, b'loaded\n', 'means nothing')):
            execute(source, 'migrate', uri=f'unix:{machines.path("s")}')
            peer = listener.accept()[0]
            peer.settimeout(DEADLINE_S)
            stream = b''
            while len(stream) < size and stream[-STREAM_END_BYTES:][:8] != STREAM_END:
                data = peer.recv(1 << 20)
                assert data, 'the source has closed the connection'
                stream += data
            peer.sendall(answer)
            if answer:
                wait_status(source, 'failed')
            peer.close()
            stays(source, driver, value, text)


def cancelled_command(program):
    """Monitors are served while the TPM is at work; cancelled then, its command goes on as if
    nothing had been. A key is found at once now and then, so there is more than one attempt."""
    with Machines(program) as machines:
        source, driver, value = prepared(machines)

        def executing_ns():
            backend = execute(source, 'x-query-tpm-stats')[0]['backend']
            return backend.get('executing', {}).get('for-ns')

        def attempt():
            driver.send(tpm2.CREATE_PRIMARY_RSA)
            driver.go()
            execute(source, 'migrate', uri='exec:cat > /dev/null')
            wait_for(lambda: run_status(source) != 'running', 'end of the run')
            first = now_ns = executing_ns()
            while now_ns is not None and now_ns < first + WHILE_NS:
                now_ns = executing_ns()
            execute(source, 'migrate_cancel')
            now = status(source), run_status(source)
            if now[0] == 'completed':
                execute(source, 'cont')
            response = driver.receive()
            assert tpm2.code_of(response) == 0
            driver.write(Tis.STS, Tis.READY)
            tpm2.flush(driver.command, int.from_bytes(response[10:14], 'big'))
            return now_ns is not None and now == ('cancelled', 'running')
        assert any(attempt() for _ in range(20))
        assert tpm2.pcr_read(driver.command, 10) == value


def other_destination(program):
    """One that is not the same refuses, says so on both sides, and has changed nothing."""
    with Machines(program) as machines:
        source, driver, value = prepared(machines)
        for options, device, text in (([], ['-device', 'tpm-crb,tpmdev=t'], 'state is that of a '
                                       'tpm-tis and this device is a tpm-crb'),
                                      (['-m', '32'], TIS, 'give the same -m')):
            process = machines.refusing('b', 's', *options, device=device)
            before = machines.state_of('b')
            execute(source, 'migrate', uri=f'unix:{machines.path("s")}')
            stays(source, driver, value, text)
            said = refusal(process)
            assert 'load of migration failed: ' in said and text in said, said
            assert machines.state_of('b') == before
        assert machines.left() == [], machines.left()


def bad_streams(program):
    """Each ends the destination with status 1 and a text; its TPM's state is as it was."""
    with Machines(program) as machines:
        with machines.start('b') as once:
            started(once)
        before = machines.state_of('b')
        source, _, _ = prepared(machines)
        execute(source, 'migrate', uri=f'file:{machines.path("vm")}')
        wait_status(source, 'completed')
        with open(machines.path('vm'), 'rb') as file:
            good = file.read()
        # A section's content comes behind its name and size.
        tpm, page = good.rindex(b'TPMDEVST') - 8, good.index(b'PAGE')
        assert good[tpm:tpm + 4] == b'TPM '
        cases = [
            (b'', 'ended before it was whole'), (good[:-1], 'ended before it was whole'),
            (good[:1000], 'ended before it was whole'), (b'QEVM' * 10, 'must begin with TPMDEVMM'),
            (good[:8] + b'\x02' + good[9:], 'version 2'),
            (good[:tpm + 4] + b'\xff' * 4 + good[tpm + 8:], "section 'TPM ' of 4294967295 bytes"),
            (good[:tpm] + b'WHAT' + good[tpm + 4:], "section 'WHAT'"),
            (good[:tpm + 100] + bytes([good[tpm + 100] ^ 1]) + good[tpm + 101:], ''),
            (good[:20] + good[20:].replace(b'x86_64', b'x86_65', 1), ''),
            (good[:page + 20] + bytes([good[page + 20] ^ 1]) + good[page + 21:],
             'its digest is another'),
            (good.replace(b'PAGE', b'PAPR', 1), "section 'PAPR' of 4104 bytes; it can have 25")]
        for number, (content, text) in enumerate(cases):
            with open(machines.path('bad'), 'wb') as file:
                file.write(content)
            said = machines.fails('b', '-incoming', f'exec:cat < {machines.path("bad")}')
            assert 'load of migration failed: ' in said and text in said, f'{number}: {said}'
            assert machines.state_of('b') == before, number
        for uri, text in (('unix:/', ''), ('exec:exit 3', 'exited with code 3'),
                          ('file:/nowhere/vm', 'No such file or directory'),
                          ('fd:999', 'is not open'), ('pigeon', 'unknown migration protocol')):
            said = machines.fails('b', '-incoming', uri)
            assert text in said, said
        machines.start('b')


TRANSPORTS = {
    'unix': ('unix:@DIR@/s', 'unix:@DIR@/s', True),
    'tcp': ('tcp:127.0.0.1:0', 'tcp:127.0.0.1:@PORT@', True),
    'tcp without a host, over IPv6': ('tcp::0', 'tcp:[::1]:@PORT@', True),
    'exec to a file': ('exec:cat < @DIR@/vm', 'exec:cat > @DIR@/vm', False),
    'file': ('file:@DIR@/vm', 'file:@DIR@/vm', False),
}

DEVICES = {
    'tpm-crb': ('x86_64', 'tpm-crb,tpmdev=t', Crb),
    'tpm-crb with its buffer on a page':
        ('x86_64', 'tpm-crb,tpmdev=t,buffer=page,buffer-address=0xfed60000,localities=on', Crb),
    'tpm-spapr': ('ppc64', 'tpm-spapr,tpmdev=t', Spapr),
    'tpm-tis-i2c': ('arm', 'tpm-tis-i2c,tpmdev=t,bus=aspeed.i2c.bus.10,address=0x2e', I2c),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--machine', required=True, help='the machine under test')
    parser.add_argument('--only', help='of which tests the name has this in it')
    arguments = parser.parse_args()
    program = os.path.abspath(arguments.machine)
    tap = Tap()
    tests = [(f'by {name}', by_transport, *how) for name, how in TRANSPORTS.items()]
    tests += [
        ('by defer and migrate-incoming', deferred),
        ('by a socket that was handed over', by_descriptor, socket_pair),
        ('by a pipe that was handed over', by_descriptor, os.pipe),
        ('events, capabilities and parameters', events),
        ('a stopped guest stays stopped', stopped_stays_stopped),
    ]
    for kind in ('libtpms', 'swtpm'):
        tests += [(f'PCRs, NV, objects and sessions are equal, {kind}', all_is_equal, kind),
                  (f'a command under way, {kind}', command_under_way, kind)]
    tests += [(name + ' moves', device_moves, *how) for name, how in DEVICES.items()]
    tests += [
        ('a hypercall under way', hypercall_under_way),
        ('failures leave the guest where it is', failures),
        ('a full disk', full_disk),
        ('a destination that does not read', destination_does_not_read),
        ('a destination that goes', destination_goes),
        ('cancelled while the TPM is at work', cancelled_command),
        ('a destination that is not the same', other_destination),
        ('streams that are none', bad_streams),
    ]
    for name, function, *rest in tests:
        if not arguments.only or arguments.only in name:
            begin = time.monotonic()
            tap.run(name, function, program, *rest)
            if arguments.only or os.environ.get('TIMES'):
                print(f'# {time.monotonic() - begin:.2f} s')
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
