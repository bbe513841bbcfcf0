# SPDX-License-Identifier: BSD-3-Clause
"""What the qtest scripts share: a machine under test with its two sockets, swtpm, TAP output.

Everything a test starts is ended by its pid when the test is over, however it ends, and every
wait is for a condition and has a deadline.
"""
import contextlib
import ctypes
import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

# Long enough for a sanitizer's build on a busy machine; nothing ever waits for it in vain but a
# test that fails.
DEADLINE_S = 30

# Where a PC has its TPM.
TIS_BASE = 0xFED40000


class Skip(Exception):
    """Raised by a test that cannot be run here; says why."""


# ---- TAP ----

class Tap:
    """Prints one line a test and, at the end, the plan."""

    def __init__(self):
        self.count = 0
        self.failures = 0
        # The runner's deadline comes as SIGTERM; let `finally` do its work then.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    def _print(self, line, detail=''):
        for text in detail.splitlines():
            print('# ' + text)
        print(line, flush=True)

    def ok(self, name, passed=True, detail=''):
        self.count += 1
        self.failures += not passed
        self._print(f"{'ok' if passed else 'not ok'} {self.count} - {name}", detail)

    def skip(self, name, reason):
        self.count += 1
        self._print(f'ok {self.count} - {name} # SKIP {reason}')

    def run(self, name, function, *args):
        """A test is a function that raises when it fails."""
        try:
            function(*args)
        except Skip as skip:
            self.skip(name, str(skip))
        except Exception:  # pylint: disable=broad-except
            self.ok(name, False, traceback.format_exc())
        else:
            self.ok(name)

    def done(self):
        print(f'1..{self.count}', flush=True)
        return 1 if self.failures else 0


# ---- waiting ----

def wait_for(condition, what, deadline_s=DEADLINE_S):
    """Poll a condition that has no other way to tell; returns its first true value."""
    deadline = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f'no {what} within {deadline_s} s')
        time.sleep(0.002)


def is_listening(path, process='self'):
    """The file of a unix socket is there a moment before one can connect to it. The sockets of
    another network namespace are those that a process there sees."""
    with open(f'/proc/{process}/net/unix', encoding='utf-8', errors='replace') as sockets:
        for line in sockets:
            words = line.split()
            if words[-1] == path and int(words[3], 16) & 0x10000:  # __SO_ACCEPTCON
                return True
    return False


# ---- processes ----

def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def start_process(argv, **kwargs):
    return subprocess.Popen(argv, preexec_fn=_die_with_parent, **kwargs)


def end_process(process):
    """Make sure that it is gone; returns its status."""
    if process.poll() is None:
        process.kill()
    return process.wait(DEADLINE_S)


@contextlib.contextmanager
def temporary_directory():
    # Short, because the path of a unix socket has 107 bytes at most.
    path = tempfile.mkdtemp(prefix='tq')
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Swtpm:
    """A real swtpm with its state and control socket in a directory of its own. What runs it in
    another place than this, and more options, can be given."""

    def __init__(self, version, directory, prefix=(), options=()):
        if not shutil.which('swtpm'):
            raise Skip('no swtpm; install the package swtpm')
        self.socket = os.path.join(directory, 'ctrl')
        self.state = os.path.join(directory, 'state')
        self.log = os.path.join(directory, 'swtpm.log')
        os.makedirs(self.state, exist_ok=True)
        argv = [*prefix, 'swtpm', 'socket', '--tpmstate', f'dir={self.state}', '--ctrl',
                f'type=unixio,path={self.socket}', *options]
        with open(self.log, 'wb') as log:
            self.process = start_process(argv + (['--tpm2'] if version == '2.0' else []),
                                         stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            wait_for(self._is_there, 'socket of swtpm')
        except BaseException:
            self.stop()
            raise

    def _is_there(self):
        status = self.process.poll()
        if status is not None:
            with open(self.log, encoding='utf-8', errors='replace') as log:
                raise AssertionError(f'swtpm ended with {status}: {log.read()}')
        return is_listening(self.socket, self.process.pid)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        end_process(self.process)


# ---- the machines, ours and stock QEMU's ----

@dataclasses.dataclass(frozen=True)
class Arch:
    """What differs between the machines, which are as QEMU has them."""

    name: str            # as in tpmdev-system-NAME and qemu-system-NAME
    options: tuple       # by which QEMU's own tests choose the machine; ours takes them too
    package: str         # where a stock QEMU is
    tis: str             # the TIS device it has a place for
    tpm_base: int        # where that is
    irq_controller: str  # what irq_intercept_in names
    irq: int             # the TPM's line there; 0: the one the device's irq= names

    def machine(self, program):
        """Our program for it, which is beside the given one."""
        return [program.rpartition('-')[0] + '-' + self.name, *self.options]

    def stock_qemu(self):
        # Debian's has no qtest accelerator; stopped under TCG it does as well.
        return [f'qemu-system-{self.name}', '-accel', 'tcg', '-S', '-nodefaults', '-display',
                'none', *self.options]


# The interrupt controller of `virt` has no name of its own: it is the second of the devices that
# are children of nothing, after the one CPU.
ARCHES = {arch.name: arch for arch in (
    Arch('x86_64', (), 'qemu-system-x86', 'tpm-tis', TIS_BASE, 'ioapic', 0),
    Arch('aarch64', ('-machine', 'virt,gic-version=max', '-accel', 'tcg'), 'qemu-system-arm',
         'tpm-tis-device', 0x0C000000, '/machine/unattached/device[1]', 112),
    Arch('ppc64', ('-machine', 'pseries'), 'qemu-system-ppc', 'tpm-spapr', 0, 'ics', 0),
    Arch('arm', ('-machine', 'rainier-bmc'), 'qemu-system-arm', 'tpm-tis-i2c', 0, 'gic', 0),
)}
X86 = ARCHES['x86_64']
STOCK_QEMU = X86.stock_qemu()


def require_qemu(arch=X86):
    program = arch.stock_qemu()[0]
    if not shutil.which(program):
        raise Skip(f'no {program}; install the package {arch.package}')
    text = subprocess.run([program, '--version'], stdout=subprocess.PIPE,
                          check=True).stdout.decode()
    version = re.search(r'version (\d+)\.(\d+)', text)
    if not version or (int(version[1]), int(version[2])) < (7, 2):
        raise Skip(f'{program} is older than 7.2: {text.splitlines()[0]}')


# ---- the machine's sockets ----

class Lines:
    """Lines over a socket, with deadlines."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = b''

    def send(self, text):
        self.sock.settimeout(DEADLINE_S)
        self.sock.sendall(text.encode() + b'\n')

    def receive(self, deadline_s=DEADLINE_S):
        deadline = time.monotonic() + deadline_s
        while b'\n' not in self.buffer:
            self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
            data = self.sock.recv(65536)
            if not data:
                raise EOFError('the machine closed the connection')
            self.buffer += data
        line, self.buffer = self.buffer.split(b'\n', 1)
        return line.rstrip(b'\r').decode()

    def close(self):
        self.sock.close()


class QTest:
    """The qtest protocol's client side; interrupts that come in between are kept in order."""

    def __init__(self, sock):
        self.lines = Lines(sock)
        self.irqs = []

    def request(self, text):
        self.lines.send(text)
        while True:
            line = self.lines.receive()
            if not line.startswith('IRQ '):
                return line
            self.irqs.append(line)

    def wait_irq(self):
        while not self.irqs:
            line = self.lines.receive()
            if not line.startswith('IRQ '):
                raise AssertionError(f'a reply without a request: {line}')
            self.irqs.append(line)
        return self.irqs.pop(0)

    def number(self, text):
        reply = self.request(text)
        if not reply.startswith('OK 0x'):
            raise AssertionError(f'{text}: {reply}')
        return int(reply[3:], 16)

    def ok(self, text):
        reply = self.request(text)
        if reply != 'OK':
            raise AssertionError(f'{text}: {reply}')


class Qmp:
    """QMP's client side; events that come in between are kept in order."""

    def __init__(self, sock, negotiate=True):
        self.lines = Lines(sock)
        self.events = []
        self.greeting = self.receive()
        if negotiate:
            reply = self.execute('qmp_capabilities')
            assert reply == {'return': {}}, reply

    def receive(self):
        return json.loads(self.lines.receive())

    def raw(self, text):
        self.lines.send(text)
        while True:
            message = self.receive()
            if 'event' not in message:
                return message
            self.events.append(message)

    def execute(self, command, **members):
        return self.raw(json.dumps({'execute': command, **members}))

    def wait_event(self):
        if not self.events:
            message = self.receive()
            assert 'event' in message, message
            self.events.append(message)
        return self.events.pop(0)


# How the two sockets stand on a command line; the other options go to EXTRA.
LIBQTEST_7_2 = ('-qtest unix:@QTEST@ -qtest-log /dev/null -chardev socket,path=@QMP@,id=char0 '
                '-mon chardev=char0,mode=control -display none EXTRA').split()


class Machine:
    """A program with QEMU's command line whose qtest and QMP sockets we listen on, as libqtest
    does. Ends with SIGTERM, and its status must then be 0. What runs it in another place than this
    can be given."""

    def __init__(self, argv, negotiate=True, form=None, pass_fds=(), prefix=()):
        self.directory = tempfile.mkdtemp(prefix='tq')
        self.process = None
        self.stderr_path = os.path.join(self.directory, 'stderr')
        paths = {'@QTEST@': os.path.join(self.directory, 'qtest'),
                 '@QMP@': os.path.join(self.directory, 'qmp')}
        listeners = []
        try:
            for path in paths.values():
                listener = socket.socket(socket.AF_UNIX)
                listener.bind(path)
                listener.listen(1)
                listeners.append(listener)
            options = []
            for word in form or LIBQTEST_7_2:
                for name, path in paths.items():
                    word = word.replace(name, path)
                options += argv[1:] if word == 'EXTRA' else [word]
            with open(self.stderr_path, 'wb') as stderr:
                self.process = start_process([*prefix, *argv[:1], *options], stderr=stderr,
                                             stdin=subprocess.DEVNULL, pass_fds=pass_fds)
            self.qtest = QTest(self._accept(listeners[0]))
            self.qmp = Qmp(self._accept(listeners[1]), negotiate)
        except BaseException:
            self.kill()
            raise
        finally:
            for listener in listeners:
                listener.close()

    def _accept(self, listener):
        listener.settimeout(0.02)

        def try_accept():
            try:
                return listener.accept()[0]
            except TimeoutError:
                if self.process.poll() is not None:
                    raise AssertionError(
                        f'the machine ended with {self.process.returncode}: {self.stderr()}'
                    ) from None
                return None
        return wait_for(try_accept, 'connection from the machine')

    def stderr(self):
        with open(self.stderr_path, encoding='utf-8', errors='replace') as stderr:
            return stderr.read()

    def kill(self):
        if self.process:
            end_process(self.process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def terminate(self):
        """Ask it to end and return its status."""
        self.process.terminate()
        return self.process.wait(DEADLINE_S)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None and self.process.poll() is None:
                status = self.terminate()
                assert status == 0, f'status {status} after SIGTERM: {self.stderr()}'
        finally:
            self.kill()


# ---- the guest's driver ----

class Tis:
    """A locality's registers, and the steps by which a driver carries out a command."""

    ACCESS, INT_ENABLE, INT_VECTOR, INT_STATUS = 0x00, 0x08, 0x0C, 0x10
    INTF_CAPABILITY, STS, DATA_FIFO, INTERFACE_ID = 0x14, 0x18, 0x24, 0x30
    XDATA_FIFO, DID_VID, RID = 0x80, 0xF00, 0xF04

    REQUEST_USE, ACTIVE = 0x02, 0x20
    VALID, READY, GO, DATA_AVAIL, EXPECT = 0x80, 0x40, 0x20, 0x10, 0x08

    def __init__(self, qtest, locality=0, base=TIS_BASE):
        self.qtest = qtest
        self.base = base + (locality << 12)

    def read(self, register, width='b'):
        return self.qtest.number(f'read{width} {self.base + register:#x}')

    def write(self, register, value, width='b'):
        self.qtest.ok(f'write{width} {self.base + register:#x} {value:#x}')

    def wait_sts(self, mask, value):
        def check():
            sts = self.read(self.STS)
            return sts != 0xFF and sts & mask == value
        wait_for(check, f'STS & {mask:#x} == {value:#x} (it is {self.read(self.STS):#x})')

    def request(self):
        self.write(self.ACCESS, self.REQUEST_USE)
        wait_for(lambda: self.read(self.ACCESS) & 0xA2 == 0xA0, 'grant of the locality')

    def relinquish(self):
        self.write(self.ACCESS, self.ACTIVE)

    def send(self, command):
        self.write(self.STS, self.READY)
        self.wait_sts(self.READY, self.READY)
        for byte in command[:-1]:
            self.write(self.DATA_FIFO, byte)
        self.wait_sts(self.VALID | self.EXPECT, self.VALID | self.EXPECT)
        self.write(self.DATA_FIFO, command[-1])
        self.wait_sts(self.VALID | self.EXPECT, self.VALID)

    def go(self):
        self.write(self.STS, self.GO)

    def wait_response(self):
        self.wait_sts(self.VALID | self.DATA_AVAIL, self.VALID | self.DATA_AVAIL)

    def receive(self):
        self.wait_response()
        response = bytearray()
        while self.read(self.STS) & self.DATA_AVAIL:
            response.append(self.read(self.DATA_FIFO))
        return bytes(response)

    def command(self, command):
        self.send(command)
        self.go()
        response = self.receive()
        self.write(self.STS, self.READY)
        return response


class Crb:
    """A locality of a CRB device, and the steps by which a driver carries out a command."""

    LOC_STATE, LOC_CTRL, LOC_STS, INTF_ID, CTRL_EXT = 0x00, 0x08, 0x0C, 0x30, 0x38
    CTRL_REQ, CTRL_STS, CTRL_CANCEL, CTRL_START = 0x40, 0x44, 0x48, 0x4C
    INT_ENABLE, INT_STS = 0x50, 0x54
    CMD_SIZE, CMD_LADDR, CMD_HADDR = 0x58, 0x5C, 0x60
    RSP_SIZE, RSP_LADDR, RSP_HADDR, DATA_BUFFER = 0x64, 0x68, 0x6C, 0x80

    REQUEST_ACCESS, RELINQUISH, CMD_READY, GO_IDLE, START, CANCEL = 1, 2, 1, 2, 1, 1
    NEXT_CHUNK = 4

    def __init__(self, qtest, locality=0, base=TIS_BASE):
        self.qtest = qtest
        self.base = base + (locality << 12)

    def read(self, register, width='l'):
        return self.qtest.number(f'read{width} {self.base + register:#x}')

    def write(self, register, value, width='l'):
        self.qtest.ok(f'write{width} {self.base + register:#x} {value:#x}')

    def request(self):
        self.write(self.LOC_CTRL, self.REQUEST_ACCESS)
        wait_for(lambda: self.read(self.LOC_STS) & 1, 'grant of the locality')

    def relinquish(self):
        self.write(self.LOC_CTRL, self.RELINQUISH)

    def window(self):
        """Where the buffer is, and how large, as the registers tell."""
        low, high = self.read(self.CMD_LADDR), self.read(self.CMD_HADDR)
        return high << 32 | low, self.read(self.CMD_SIZE)

    def _write_buffer(self, address, data):
        """Four bytes at a time, and what is left byte by byte, as memcpy_toio() might."""
        whole = len(data) // 4 * 4
        for at in range(0, whole, 4):
            value = int.from_bytes(data[at:at + 4], 'little')
            self.qtest.ok(f'writel {address + at:#x} {value:#x}')
        for at in range(whole, len(data)):
            self.qtest.ok(f'writeb {address + at:#x} {data[at]:#x}')

    def next_chunk(self):
        self.write(self.CTRL_START, self.NEXT_CHUNK)
        wait_for(lambda: self.read(self.CTRL_START) == 0, 'end of nextChunk')

    def send(self, command):
        """All of the command into the buffer; of a larger one all pieces, the last one too."""
        address, size = self.window()
        self.write(self.CTRL_REQ, self.CMD_READY)
        wait_for(lambda: self.read(self.CTRL_REQ) == 0, 'end of cmdReady')
        while len(command) > size:
            self._write_buffer(address, command[:size])
            self.next_chunk()
            command = command[size:]
        self._write_buffer(address, command)

    def start(self):
        self.write(self.CTRL_START, self.START)

    def wait_response(self):
        wait_for(lambda: self.read(self.CTRL_START) == 0, 'end of the command')

    def read_buffer(self, size):
        reply = self.qtest.request(f'read {self.window()[0]:#x} {size}')
        return bytes.fromhex(reply.removeprefix('OK 0x'))

    def receive(self):
        self.wait_response()
        window = self.window()[1]
        size = int.from_bytes(self.read_buffer(6)[2:], 'big')
        assert 10 <= size <= 2 * window, f'a response of {size} bytes'
        response = self.read_buffer(min(size, window))
        while len(response) < size:
            self.next_chunk()
            response += self.read_buffer(min(size - len(response), window))
        return response

    def command(self, command):
        self.send(command)
        self.start()
        return self.receive()


class Spapr:
    """A guest of POWER's hypervisor with a tpm-spapr device: its queue and its one buffer."""

    UNIT = 0x71000000
    QUEUE, QUEUE_SIZE, BUFFER = 0x10000, 0x1000, 0x20000
    REG_CRQ, FREE_CRQ, VIO_SIGNAL, SEND_CRQ, ENABLE_CRQ = 0xFC, 0x100, 0x104, 0x108, 0x2B0

    def __init__(self, qtest):
        self.qtest = qtest
        self.next = 0

    def hcall(self, opcode, *arguments):
        words = ' '.join(f'{word:#x}' for word in (opcode, self.UNIT, *arguments))
        return self.qtest.number(f'hcall {words}')

    def read(self, address, size):
        return bytes.fromhex(self.qtest.request(f'read {address:#x} {size}').removeprefix('OK 0x'))

    def open(self):
        """Register an empty queue, and ask for no interrupt."""
        self.qtest.ok(f'memset {self.QUEUE:#x} {self.QUEUE_SIZE} 0x0')
        code = self.hcall(self.REG_CRQ, self.QUEUE, self.QUEUE_SIZE)
        assert code == 0, f'H_REG_CRQ: {code:#x}'
        self.next = 0

    def post(self, message):
        """H_SEND_CRQ; the rest of the 16 bytes is zero. Returns its code."""
        message = message.ljust(16, b'\0')
        return self.hcall(self.SEND_CRQ, int.from_bytes(message[:8], 'big'),
                          int.from_bytes(message[8:], 'big'))

    def send(self, command):
        """The command to the buffer, and the message that says so. Returns the code."""
        self.qtest.ok(f'write {self.BUFFER:#x} {len(command)} 0x{command.hex()}')
        return self.post(b'\x80\x02' + len(command).to_bytes(2, 'big')
                         + self.BUFFER.to_bytes(4, 'big'))

    def take(self):
        """The next message of the queue, waited for; its place is free then."""
        place = self.QUEUE + self.next
        wait_for(lambda: self.read(place, 1) != b'\0', 'message in the queue')
        message = self.read(place, 16)
        self.qtest.ok(f'writeb {place:#x} 0x0')
        self.next = (self.next + 16) % self.QUEUE_SIZE
        return message

    def receive(self):
        """The response the next message announces."""
        message = self.take()
        size = int.from_bytes(message[2:4], 'big')
        announced = b'\x80\x82' + message[2:4] + self.BUFFER.to_bytes(4, 'big') + bytes(8)
        assert message == announced, f'an answer of {message.hex(" ")}'
        return self.read(self.BUFFER, size)

    def command(self, command):
        code = self.send(command)
        assert code == 0, f'H_SEND_CRQ: {code:#x}'
        return self.receive()
