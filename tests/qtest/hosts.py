# SPDX-License-Identifier: BSD-3-Clause
"""Two hosts with a wire between them: network namespaces, in one of which a test runs itself."""
import argparse
import dataclasses
import os
import secrets
import shutil
import subprocess
import sys
import time

import harness
from harness import Skip, Tap, wait_for

# Of its own a test has the network, and what it mounts.
NAMESPACES = ['unshare', '--user', '--map-root-user', '--net', '--mount']
INSIDE = 'TPMDEV_TEST_INSIDE'


def enter():
    """Start this program anew in namespaces of its own, unless it is there."""
    if INSIDE in os.environ:
        return
    for tool, package in (('unshare', 'util-linux'), ('nsenter', 'util-linux'), ('ip', 'iproute2')):
        if not shutil.which(tool):
            raise Skip(f'no {tool}; install the package {package}')
    if subprocess.run(NAMESPACES + ['true'], stderr=subprocess.DEVNULL, check=False).returncode:
        raise Skip('no namespaces; they need a kernel with user namespaces, or root')
    os.environ[INSIDE] = '1'
    os.execvp(NAMESPACES[0], NAMESPACES + [sys.executable] + sys.argv)


def _run(line):
    result = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if result.returncode:
        raise Skip(f'{" ".join(line)}: {result.stdout.decode().strip()}')


@dataclasses.dataclass(frozen=True)
class Host:
    """Where programs run, and how the other host reaches them."""

    name: str
    address: str
    prefix: tuple  # of a command line that is to run there


class Hosts:
    """Both of them. The first is where the test itself runs."""

    def __init__(self):
        self.holder = harness.start_process(['unshare', '--net', 'sleep', '1000'])
        try:
            own = os.readlink('/proc/self/ns/net')
            other = f'/proc/{self.holder.pid}/ns/net'
            wait_for(lambda: os.readlink(other) != own, 'second namespace')
            there = ('nsenter', '-t', str(self.holder.pid), '-n')
            self.all = (Host('a', '10.77.0.1', ()), Host('b', '10.77.0.2', there))
            _run(['ip', 'link', 'add', 'w0', 'type', 'veth', 'peer', 'name', 'w1', 'netns',
                  str(self.holder.pid)])
            for host, end in zip(self.all, ('w0', 'w1')):
                _run([*host.prefix, 'ip', 'address', 'add', f'{host.address}/24', 'dev', end])
                _run([*host.prefix, 'ip', 'link', 'set', end, 'up'])
        except BaseException:
            self.close()
            raise

    def cut(self):
        """What the first host sends from now on does not arrive, and it is not told so."""
        _run([*self.all[1].prefix, 'ip', 'link', 'set', 'w1', 'down'])

    def mend(self):
        _run([*self.all[1].prefix, 'ip', 'link', 'set', 'w1', 'up'])

    def close(self):
        harness.end_process(self.holder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def main(description, tests):
    """Run tests, each a name, a function of the machine's program, the hosts and a seed, and more
    arguments of it. Returns the status."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--machine', required=True, help='the machine under test')
    parser.add_argument('--only', help='of which tests the name has this in it')
    arguments = parser.parse_args()
    try:
        enter()
        both = Hosts()
    except Skip as skip:
        print(f'1..0 # SKIP {skip}')
        return 0
    program = os.path.abspath(arguments.machine)
    seed = os.environ.get('TPMDEV_TEST_SEED') or str(secrets.randbits(32))
    print(f'# TPMDEV_TEST_SEED={seed} repeats it')
    tap = Tap()
    with both as hosts:
        for name, function, *rest in tests:
            if not arguments.only or arguments.only in name:
                begin = time.monotonic()
                tap.run(name, function, program, hosts, seed, *rest)
                print(f'# {time.monotonic() - begin:.2f} s')
    return tap.done()
