#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Run .qtest scripts: requests of the qtest protocol with the replies they must get.

README.rst describes the format. A script runs against our machine with a TPM of libtpms or of a
real swtpm behind it, or against a stock QEMU's own device, which must give the same replies.
"""
import argparse
import os
import re
import shlex
import sys
import time

import harness
import i2c
from harness import ARCHES, Crb, DEADLINE_S, Machine, Skip, Spapr, Swtpm, Tap, Tis

REGISTERS = {
    'ACCESS': 0x00, 'INT_ENABLE': 0x08, 'INT_VECTOR': 0x0C, 'INT_STATUS': 0x10,
    'INTF_CAPABILITY': 0x14, 'STS': 0x18, 'DATA_FIFO': 0x24, 'INTERFACE_ID': 0x30,
    'XDATA_FIFO': 0x80, 'DID_VID': 0xF00, 'RID': 0xF04,
    'HASH_END': 0x20, 'HASH_DATA': 0x24, 'HASH_START': 0x28,

    'LOC_STATE': 0x00, 'LOC_CTRL': 0x08, 'LOC_STS': 0x0C, 'INTF_ID': 0x30, 'CTRL_EXT': 0x38,
    'CTRL_REQ': 0x40, 'CTRL_STS': 0x44, 'CTRL_CANCEL': 0x48, 'CTRL_START': 0x4C,
    'CRB_INT_ENABLE': 0x50, 'CRB_INT_STS': 0x54, 'CMD_SIZE': 0x58, 'CMD_LADDR': 0x5C,
    'CMD_HADDR': 0x60, 'RSP_SIZE': 0x64, 'RSP_LADDR': 0x68, 'RSP_HADDR': 0x6C,
    'DATA_BUFFER': 0x80,
}
HEADERS = ('arch', 'tpm', 'on', 'machine', 'device')
SUBJECTS = ('libtpms', 'swtpm', 'qemu')


class ScriptError(Exception):
    """The script itself is wrong, or a reply is not the expected one."""


class Statement:
    def __init__(self, line, text):
        self.line = line
        # `[2.0]`, `[1.2]`, `[ARCH]` and `[!qemu REASON]` before a statement say where it holds.
        self.conditions = []
        while match := re.match(r'\[([^\]]*)\]\s*', text):
            self.conditions.append(match[1])
            text = text[match.end():]
        self.word, _, self.rest = text.partition(' ')
        self.rest = self.rest.strip()

    def applies(self, arch, version, subject):
        for condition in self.conditions:
            if condition in ('1.2', '2.0'):
                if condition != version:
                    return False
            elif condition in ARCHES:
                if condition != arch.name:
                    return False
            elif re.match(r'!qemu \w', condition):
                if subject == 'qemu':
                    return False
            else:
                raise ScriptError(f'unknown condition [{condition}]; write [1.2], [2.0], '
                                  f'[{"], [".join(ARCHES)}] or [!qemu REASON]')
        return True


class Script:
    """A parsed script: headers, then named sections of statements."""

    def __init__(self, path):
        self.path = path
        self.headers = {'arch': 'x86_64', 'on': ' '.join(SUBJECTS), 'device': '@TIS,tpmdev=tpm0',
                        'machine': ''}
        self.sections = []
        with open(path, encoding='utf-8') as file:
            for number, text in self._logical_lines(file):
                self._add(number, text)

    @staticmethod
    def _logical_lines(file):
        """Lines without comments; one that begins with a blank continues the one before."""
        pending = None
        for number, raw in enumerate(file, 1):
            text = re.sub(r'(^|\s)#.*', '', raw.rstrip('\n')).rstrip()
            if not text:
                continue
            if text[0].isspace() and pending:
                pending = (pending[0], pending[1] + ' ' + text.strip())
                continue
            if pending:
                yield pending
            pending = (number, text)
        if pending:
            yield pending

    def _add(self, number, text):
        if text.startswith('== '):
            self.sections.append((text[3:], []))
        elif self.sections:
            self.sections[-1][1].append(Statement(number, text))
        else:
            name, colon, value = text.partition(':')
            if not colon or name not in HEADERS:
                raise ScriptError(f'{self.path}:{number}: unknown header {text!r}; known are: '
                                  + ', '.join(HEADERS))
            self.headers[name] = value.strip()

    def arches(self):
        names = self.headers['arch'].split()
        for name in names:
            if name not in ARCHES:
                raise ScriptError(f'{self.path}: unknown arch {name!r}; known are: '
                                  + ' '.join(ARCHES))
        return [ARCHES[name] for name in names]

    def device(self, arch):
        return self.headers['device'].replace('@TIS', arch.tis)

    def irq(self, arch):
        """The line of the device's interrupt."""
        match = re.search(r',irq=(\d+)', self.headers['device'])
        return arch.irq or (int(match[1]) if match else 5)

    def base(self, arch):
        """Where the device is: where its options say, or where the machine has it."""
        match = re.search(r',base=(\w+)', self.headers['device'])
        return int(match[1], 0) if match else arch.tpm_base


def expand_addresses(text, base):
    """@LOCALITY.REGISTER[+N] is an address; REGISTER is a name or a number."""
    def address(match):
        name = match[2]
        offset = REGISTERS[name] if name in REGISTERS else int(name, 0)
        return hex(base + (int(match[1]) << 12) + offset + int(match[3] or '0', 0))
    try:
        return re.sub(r'@(\d)\.(\w+)(?:\+(\w+))?', address, text)
    except ValueError as error:
        raise ScriptError(f'{text}: no such register ({error})') from None


def same_reply(wanted, got):
    """Equal, but for the leading zeros of numbers."""
    def normal(text):
        return re.sub(r'\b0x0*(?=[0-9a-f])', '0x', text)
    return normal(wanted) == normal(got)


def parse_bytes(text):
    """Hex bytes; XX*N is a byte N times."""
    return bytes.fromhex(re.sub(r'([0-9a-fA-F]{2})\*(\d+)',
                                lambda match: match[1] * int(match[2]), text))


def match_bytes(pattern, data):
    """Hex bytes; `..` stands for any byte, a final `...` for any number of them."""
    parts = pattern.split()
    rest = parts and parts[-1] == '...'
    parts = parts[:-1] if rest else parts
    if len(data) < len(parts) or (len(data) > len(parts) and not rest):
        return False
    return all(part == '..' or int(part, 16) == byte for part, byte in zip(parts, data))


class Run:
    """A script on one machine."""

    def __init__(self, machine, script, arch, version, subject):
        self.machine = machine
        self.arch = arch
        self.base = script.base(arch)
        self.irq = script.irq(arch)
        self.version = version
        self.subject = subject
        self.spapr = Spapr(machine.qtest)
        self.last = None  # the reply to the last request, until an expectation used it

    def statement(self, statement):
        if not statement.applies(self.arch, self.version, self.subject):
            return
        words = {
            '>': self.send, '<': self.expect, '<=': self.expect_exactly,
            '<~': self.expect_regex, '<&': self.expect_masked, '?': self.poll,
            'tis-request': self.tis_request, 'tis-send': self.tis_send, 'tis-go': self.tis_go,
            'tis-recv': self.tis_recv, 'tis-command': self.tis_command, 'qmp': self.qmp,
            'crb-request': self.crb_request, 'crb-send': self.crb_send,
            'crb-start': self.crb_start, 'crb-recv': self.crb_recv,
            'crb-command': self.crb_command,
            'i2c-read': self.i2c_read, 'i2c-write': self.i2c_write,
            'i2c-request': self.i2c_request, 'i2c-send': self.i2c_send, 'i2c-go': self.i2c_go,
            'i2c-recv': self.i2c_recv, 'i2c-command': self.i2c_command,
            'spapr-open': self.spapr_open, 'spapr-post': self.spapr_post,
            'spapr-take': self.spapr_take, 'spapr-send': self.spapr_send,
            'spapr-recv': self.spapr_recv, 'spapr-command': self.spapr_command,
        }
        if statement.word not in words:
            raise ScriptError(f'unknown statement {statement.word!r}; known are: '
                              + ' '.join(words))
        words[statement.word](statement.rest)

    def section_end(self):
        if self.machine.qtest.irqs:
            raise ScriptError(f'unexpected {self.machine.qtest.irqs}')

    def send(self, text):
        text = text.replace('@IRQ_CONTROLLER', self.arch.irq_controller)
        self.last = self.machine.qtest.request(expand_addresses(text, self.base))

    def expect(self, text):
        text = text.replace('@IRQ', str(self.irq))
        got = self.machine.qtest.wait_irq() if text.startswith('IRQ ') else self.last
        if not same_reply(text, got):
            raise ScriptError(f'wanted {text!r}, got {got!r}')

    def expect_exactly(self, text):
        if self.last != text:
            raise ScriptError(f'wanted exactly {text!r}, got {self.last!r}')

    def expect_regex(self, text):
        if not re.fullmatch(text, self.last):
            raise ScriptError(f'wanted a match of {text!r}, got {self.last!r}')

    def expect_masked(self, text):
        mask, value = (int(word, 0) for word in text.split())
        if not self.last.startswith('OK 0x') or int(self.last[3:], 0) & mask != value:
            raise ScriptError(f'wanted a number that gives {value:#x} under {mask:#x}, got '
                              f'{self.last!r}')

    def poll(self, text):
        match = re.fullmatch(r'(read\w \S+) & (\w+) = (\w+)', text)
        if not match:
            raise ScriptError('a poll is written: ? readX ADDRESS & MASK = VALUE')
        mask, value = int(match[2], 0), int(match[3], 0)
        deadline = time.monotonic() + DEADLINE_S
        while True:
            self.send(match[1])
            if self.last.startswith('OK 0x') and int(self.last[3:], 0) & mask == value:
                return
            if time.monotonic() > deadline:
                raise ScriptError(f'{text} not reached within {DEADLINE_S} s: {self.last!r}')

    def _tis(self, text):
        locality, _, rest = text.partition(' ')
        return Tis(self.machine.qtest, int(locality), self.base), rest

    def tis_request(self, text):
        self._tis(text)[0].request()

    def tis_send(self, text):
        tis, rest = self._tis(text)
        tis.send(parse_bytes(rest))

    def tis_go(self, text):
        self._tis(text)[0].go()

    def tis_recv(self, text):
        tis, rest = self._tis(text)
        response = tis.receive()
        if not match_bytes(rest, response):
            raise ScriptError(f'wanted response {rest}, got {response.hex(" ")}')

    def tis_command(self, text):
        request, arrow, response = text.partition(' -> ')
        if not arrow:
            raise ScriptError('a command is written: tis-command LOCALITY HEX -> PATTERN')
        self.tis_send(request)
        self.tis_go(request[0])
        self.tis_recv(f'{request[0]} {response}')
        tis = self._tis(request)[0]
        tis.write(tis.STS, tis.READY)

    def _crb(self, text):
        locality, _, rest = text.partition(' ')
        return Crb(self.machine.qtest, int(locality), self.base), rest

    def crb_request(self, text):
        self._crb(text)[0].request()

    def crb_send(self, text):
        crb, rest = self._crb(text)
        crb.send(parse_bytes(rest))

    def crb_start(self, text):
        self._crb(text)[0].start()

    def crb_recv(self, text):
        crb, rest = self._crb(text)
        response = crb.receive()
        if not match_bytes(rest, response):
            raise ScriptError(f'wanted response {rest}, got {response.hex(" ")}')

    def crb_command(self, text):
        request, arrow, response = text.partition(' -> ')
        if not arrow:
            raise ScriptError('a command is written: crb-command LOCALITY HEX -> PATTERN')
        self.crb_send(request)
        self.crb_start(request[0])
        self.crb_recv(f'{request[0]} {response}')

    @staticmethod
    def _i2c_register(text):
        name, _, offset = text.partition('+')
        try:
            number = i2c.REGISTERS[name] if name in i2c.REGISTERS else int(name, 0)
            return number + int(offset or '0', 0)
        except ValueError:
            raise ScriptError(f'{text}: no such register; known are: '
                              + ' '.join(i2c.REGISTERS)) from None

    def _i2c(self, text):
        """The driver at the locality that the statement begins with, and the rest of it."""
        locality, _, rest = text.partition(' ')
        driver = i2c.I2c(self.machine.qtest)
        driver.select(int(locality))
        return driver, rest

    def i2c_read(self, text):
        register, _, pattern = text.partition(' ')
        got = i2c.I2c(self.machine.qtest).read(self._i2c_register(register), len(pattern.split()))
        if not match_bytes(pattern, got):
            raise ScriptError(f'wanted {pattern} of {register}, got {got.hex(" ")}')

    def i2c_write(self, text):
        register, _, data = text.partition(' ')
        i2c.I2c(self.machine.qtest).write(self._i2c_register(register), bytes.fromhex(data))

    def i2c_request(self, text):
        self._i2c(text)[0].request()

    def i2c_send(self, text):
        driver, rest = self._i2c(text)
        driver.send(bytes.fromhex(rest))

    def i2c_go(self, text):
        self._i2c(text)[0].go()

    def i2c_recv(self, text):
        driver, rest = self._i2c(text)
        response = driver.receive()
        if not match_bytes(rest, response):
            raise ScriptError(f'wanted response {rest}, got {response.hex(" ")}')

    def i2c_command(self, text):
        request, arrow, response = text.partition(' -> ')
        if not arrow:
            raise ScriptError('a command is written: i2c-command LOCALITY HEX -> PATTERN')
        self.i2c_send(request)
        self.i2c_go(request[0])
        self.i2c_recv(f'{request[0]} {response}')
        driver = self._i2c(request)[0]
        driver.set('STS', driver.READY)

    def spapr_open(self, _):
        self.spapr.open()

    def _accept(self, code):
        if code != 0:
            raise ScriptError(f'wanted H_SUCCESS, got {code:#x}')

    def spapr_post(self, text):
        self._accept(self.spapr.post(bytes.fromhex(text)))

    def spapr_take(self, text):
        message = self.spapr.take()
        if not match_bytes(text, message):
            raise ScriptError(f'wanted message {text}, got {message.hex(" ")}')

    def spapr_send(self, text):
        self._accept(self.spapr.send(bytes.fromhex(text)))

    def spapr_recv(self, text):
        response = self.spapr.receive()
        if not match_bytes(text, response):
            raise ScriptError(f'wanted response {text}, got {response.hex(" ")}')

    def spapr_command(self, text):
        request, arrow, response = text.partition(' -> ')
        if not arrow:
            raise ScriptError('a command is written: spapr-command HEX -> PATTERN')
        self.spapr_send(request)
        self.spapr_recv(response)

    def qmp(self, text):
        reply = self.machine.qmp.execute(text)
        if reply != {'return': {}}:
            raise ScriptError(f'{text}: {reply}')


def machine_argv(program, script, arch, version, subject, directory):
    """The machine's command line; a swtpm it needs must be running already."""
    ctrl = os.path.join(directory, 'ctrl')
    state = os.path.join(directory, 'libtpms')
    extra = shlex.split(script.headers['machine'].replace('@STATE@', state))
    argv = arch.stock_qemu() if subject == 'qemu' else arch.machine(program)
    if not version:
        return argv + extra
    if subject == 'libtpms':
        os.mkdir(state)
        argv += ['-tpmdev', f'libtpms,id=tpm0,dir={state},version={version}']
    else:
        argv += ['-chardev', f'socket,id=chr,path={ctrl}', '-tpmdev',
                 'emulator,id=tpm0,chardev=chr']
    return argv + ['-device', script.device(arch)] + extra


def prefix_of(script, arch, version):
    """What tells the results of one machine from those of another, in front of their names."""
    several = script.headers['arch'] != 'x86_64'
    return ''.join(f'{word} ' for word in (arch.name if several else '', version) if word)


def run_sections(tap, script, machine, arch, version, subject):
    run = Run(machine, script, arch, version, subject)
    for name, statements in script.sections:
        at = None
        try:
            for at in statements:
                run.statement(at)
            run.section_end()
            failure = ''
        except (ScriptError, AssertionError, EOFError, OSError) as error:
            failure = f'{script.path}:{at.line if at else 0}: {error}\n{machine.stderr()}'
            machine.qtest.irqs.clear()
        tap.ok(prefix_of(script, arch, version) + name, not failure, failure)


def run_on(tap, program, script, arch, version, subject):
    """A script on one machine with a new TPM."""
    prefix = prefix_of(script, arch, version)
    with harness.temporary_directory() as directory:
        swtpm = None
        try:
            if subject == 'qemu':
                harness.require_qemu(arch)
                # It does not clear its physical presence memory, where poison would be seen.
                os.environ.pop('MALLOC_PERTURB_', None)
            if version and subject != 'libtpms':
                swtpm = Swtpm(version, directory)
            argv = machine_argv(program, script, arch, version, subject, directory)
            with Machine(argv) as machine:
                run_sections(tap, script, machine, arch, version, subject)
            tap.ok(f'{prefix}ends with status 0 on SIGTERM')
        except Skip as skip:
            tap.skip(prefix + os.path.basename(script.path), str(skip))
        except (AssertionError, OSError) as error:
            tap.ok(f'{prefix}machine', False, f'{script.path}: {error}')
        finally:
            if swtpm:
                swtpm.stop()


def run_script(tap, program, script, subject):
    for arch in script.arches():
        for version in script.headers.get('tpm', '').split() or ['']:
            run_on(tap, program, script, arch, version, subject)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--machine', required=True,
                        help='our tpmdev-system-x86_64, or another beside it')
    parser.add_argument('--on', choices=SUBJECTS, default='libtpms',
                        help='the TPM behind our machine, or a stock QEMU with swtpm')
    parser.add_argument('scripts', nargs='+')
    args = parser.parse_args()
    tap = Tap()
    for path in args.scripts:
        try:
            script = Script(path)
            script.arches()
        except ScriptError as error:
            tap.ok(path, False, str(error))
            continue
        if args.on in script.headers['on'].split():
            run_script(tap, os.path.abspath(args.machine), script, args.on)
        else:
            tap.skip(os.path.basename(path), f'not for {args.on}')
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
