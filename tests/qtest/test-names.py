#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""A guest goes to a host that has a name, which is in /etc/hosts or is known to a name server; that may
take its time to answer, or never do. The machine is there for its guest and its monitors all the
while. It is tested in a network namespace, with such files and such a server in it."""
import argparse
import contextlib
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys

import harness
import tpm2
from harness import DEADLINE_S, Tap, Tis, wait_for
from machines import (execute, human, Machines, moved, refused, run_status, started, status,
                      wait_status)

NAMESPACE = ['unshare', '--user', '--map-root-user', '--net', '--mount', '--kill-child', '--fork']

FILES = {
    '/etc/hosts': '127.0.0.1 localhost\n::1 localhost\n127.0.0.1 tpm-host tpm-host.example\n',
    '/etc/nsswitch.conf': 'hosts: files dns\n',
    # As patient as a resolver can be.
    '/etc/resolv.conf': 'nameserver 127.0.0.1\noptions timeout:30 attempts:5\n',
}


class NameServer:
    """On port 53 of this machine. It answers when it is told to."""

    TYPE_A = 1

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(('127.0.0.1', 53))
        self.kept = []

    def receive(self):
        """The name that a question is for, and the rest that its answer takes."""
        assert select.select([self.socket], [], [], DEADLINE_S)[0], 'nobody asks the server'
        question, peer = self.socket.recvfrom(512)
        labels, at = [], 12
        while question[at]:
            labels.append(question[at + 1:at + 1 + question[at]].decode())
            at += 1 + question[at]
        return '.'.join(labels), question[:at + 5], peer

    def wait(self, name):
        """Until somebody asks for it, who then waits for answer()."""
        while not self.kept or self.kept[-1][0] != name:
            self.kept.append(self.receive())

    def answer(self, name, address):
        """All who ask for the name, once one has asked; None: there is none."""
        self.wait(name)
        for asked, question, peer in self.kept:
            if asked == name:
                is_a = question[-4:] == struct.pack('>HH', self.TYPE_A, 1)
                flags = 0x8180 if address else 0x8183
                count = int(bool(address and is_a))
                record = (b'\xc0\x0c' + struct.pack('>HHIH', self.TYPE_A, 1, 60, 4)
                          + socket.inet_aton(address)) if count else b''
                self.socket.sendto(question[:2] + struct.pack('>HHHHH', flags, 1, count, 0, 0)
                                   + question[12:] + record, peer)
        self.kept = []

    @contextlib.contextmanager
    def answering(self, name, address):
        """To whoever asks for it meanwhile, each question for itself."""
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                while True:
                    self.answer(name, address)
            os._exit(0)
        try:
            yield
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def port_of(machine):
    """Where it listens, once it does."""
    def check():
        now = execute(machine, 'query-migrate')
        assert now['status'] == 'setup', now
        return 'socket-address' in now and now['socket-address'][0]['port']
    return wait_for(check, 'port of the destination')


def by_name(program, incoming, host):
    with Machines(program) as machines:
        source, destination = machines.start('a'), machines.start('b', '-incoming', incoming)
        value = tpm2.pcr_read(started(source).command, 0)
        execute(source, 'migrate', uri=f'tcp:{host}:{port_of(destination)}')
        moved(source, destination)
        assert tpm2.pcr_read(Tis(destination.qtest).command, 0) == value


def is_served(machine, driver):
    """By monitor and TPM, while it waits for an answer."""
    assert (status(machine), run_status(machine)) == ('setup', 'running')
    tpm2.pcr_extend(driver.command, 10, 'meanwhile')
    return tpm2.pcr_read(driver.command, 10)


def slow_server(program, server):
    """The guest runs until it is known where it goes to."""
    with Machines(program) as machines:
        source = machines.start('a')
        destination = machines.start('b', '-incoming', 'tcp:127.0.0.1:0')
        driver = started(source)
        execute(source, 'migrate', uri=f'tcp:slow.example:{port_of(destination)}')
        server.wait('slow.example')
        value = is_served(source, driver)
        with server.answering('slow.example', '127.0.0.1'):
            server.answer('slow.example', '127.0.0.1')
            moved(source, destination)
        assert tpm2.pcr_read(Tis(destination.qtest).command, 10) == value


def slow_server_of_destination(program, server):
    """It waits at the address that its name turns out to have, and monitors can ask meanwhile."""
    with Machines(program) as machines:
        destination = machines.start('b', '-incoming', 'tcp:slow.example:0')
        server.wait('slow.example')
        now = execute(destination, 'query-migrate')
        assert now['status'] == 'setup' and 'socket-address' not in now, now
        refused(destination, 'already been started', 'migrate-incoming', uri='tcp:slow.example:0')
        with server.answering('slow.example', '127.0.0.1'):
            server.answer('slow.example', '127.0.0.1')
            port = port_of(destination)
        source = machines.start('a')
        started(source)
        execute(source, 'migrate', uri=f'tcp:127.0.0.1:{port}')
        moved(source, destination)


def silent_server(program, server):
    """Cancelled, out of time, ended: neither waits for the server, and another host can be tried."""
    with Machines(program) as machines:
        source = machines.start('a')
        driver = started(source)
        execute(source, 'migrate', uri='tcp:silent.example:4444')
        server.wait('silent.example')
        value = is_served(source, driver)
        execute(source, 'migrate_cancel')
        assert (status(source), run_status(source)) == ('cancelled', 'running')
        execute(source, 'migrate-set-parameters', **{'x-timeout': 100})
        execute(source, 'migrate', uri='tcp:quiet.example:4444')
        wait_status(source, 'failed')
        assert 'nothing has happened for 100 ms' in human(source, 'info migrate')
        server.wait('quiet.example')
        assert tpm2.pcr_read(driver.command, 10) == value
        execute(source, 'migrate-set-parameters', **{'x-timeout': 60000})
        destination = machines.start('b', '-incoming', 'tcp:localhost:0')
        execute(source, 'migrate', uri=f'tcp:localhost:{port_of(destination)}')
        moved(source, destination)
        waiting = machines.start('c', '-incoming', 'tcp:mute.example:0')
        server.wait('mute.example')
        execute(waiting, 'quit')
        assert waiting.process.wait(DEADLINE_S) == 0


def unknown_name(program, server):
    """The error has host and port, on either side."""
    reason = 'address resolution failed for none.example:4444: Name or service not known'
    with Machines(program) as machines, server.answering('none.example', None):
        source = machines.start('a')
        execute(source, 'migrate', uri='tcp:none.example:4444')
        now = wait_status(source, 'failed')
        assert now['error-desc'] == f'tcp:none.example:4444: {reason}', now
        assert run_status(source) == 'running'
        said = machines.fails('b', '-incoming', 'tcp:none.example:4444')
        assert f'load of migration failed: tcp:none.example:4444: {reason}' in said, said


def nobody_there(program):
    with Machines(program) as machines:
        source = machines.start('a')
        execute(source, 'migrate', uri='tcp:localhost:1')
        now = wait_status(source, 'failed')
        assert now['error-desc'] == 'tcp:localhost:1: Connection refused', now


def lack_of_namespace():
    """Why it cannot be had, or None."""
    for program in ('unshare', 'ip', 'mount'):
        if not shutil.which(program):
            return f'no {program}; install the packages iproute2, mount and util-linux'
    for path in FILES:
        if not os.path.exists(path):
            return f'no {path}'
    script = 'ip link set lo up && mount --bind /etc/hosts /etc/hosts'
    result = subprocess.run(NAMESPACE + ['sh', '-c', script], stderr=subprocess.PIPE, check=False)
    return result.stderr.decode().strip() if result.returncode else None


def furnish(directory):
    """The namespace: a loopback interface, and the files."""
    subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
    for number, (path, text) in enumerate(FILES.items()):
        own = os.path.join(directory, str(number))
        with open(own, 'w', encoding='ascii') as file:
            file.write(text)
        subprocess.run(['mount', '--bind', own, path], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--machine', required=True, help='the machine under test')
    parser.add_argument('--inside', action='store_true', help='within a network namespace')
    arguments = parser.parse_args()
    program = os.path.abspath(arguments.machine)
    lack = None if arguments.inside else lack_of_namespace()
    if not arguments.inside and not lack:
        os.execvp(NAMESPACE[0], NAMESPACE + [sys.executable, os.path.abspath(__file__), '--machine',
                                             program, '--inside'])
    tap = Tap()
    with harness.temporary_directory() as directory:
        if arguments.inside:
            furnish(directory)
        server = NameServer() if arguments.inside else None
        for name, function, *rest in (
                ('to localhost', by_name, 'tcp:localhost:0', 'localhost'),
                ('to localhost by its address', by_name, 'tcp:localhost:0', '127.0.0.1'),
                ('to localhost where all is listened to', by_name, 'tcp::0', 'localhost'),
                ('to localhost, and nobody is there', nobody_there)):
            tap.run(name, function, program, *rest)
        for name, function, *rest in (
                ('to a name of /etc/hosts', by_name, 'tcp:tpm-host:0', 'tpm-host.example'),
                ('a name server that is slow', slow_server, server),
                ('a name server that is slow for a destination', slow_server_of_destination, server),
                ('a name server that does not answer', silent_server, server),
                ('a name that nobody has', unknown_name, server)):
            if lack:
                tap.skip(name, f'no network namespace: {lack}')
            else:
                tap.run(name, function, program, *rest)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
