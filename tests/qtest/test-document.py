#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What QEMU's TPM document (docs/specs/tpm.rst) has a user type, word for word: but for the name of
the program, and a directory that stands for /tmp/mytpm1 and the one it is typed in."""
import argparse
import os
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

import harness
import tpm2
from harness import ARCHES, DEADLINE_S, QTest, Skip, Spapr, Tap, Tis, wait_for
from i2c import I2c
from machines import Machines

SWTPM = '''
  swtpm socket --tpmstate dir=/tmp/mytpm1 \\
    --ctrl type=unixio,path=/tmp/mytpm1/swtpm-sock \\
    --log level=20 --tpm2
'''

START = '''
  qemu-system-x86_64 -display sdl -accel kvm \\
    -m 1024 -boot d -bios bios-256k.bin -boot menu=on \\
    -chardev socket,id=chrtpm,path=/tmp/mytpm1/swtpm-sock \\
    -tpmdev emulator,id=tpm0,chardev=chrtpm \\
    -device tpm-tis,tpmdev=tpm0 \\
    -monitor stdio \\
    test.img
'''

RESTORE = '''
  qemu-system-x86_64 -display sdl -accel kvm \\
    -m 1024 -boot d -bios bios-256k.bin -boot menu=on \\
    -chardev socket,id=chrtpm,path=/tmp/mytpm1/swtpm-sock \\
    -tpmdev emulator,id=tpm0,chardev=chrtpm \\
    -device tpm-tis,tpmdev=tpm0 \\
    -incoming "exec:cat < testvm.bin" \\
    test.img
'''

# The same, where somebody wants to see how it goes.
RESTORE_WITH_MONITOR = RESTORE.replace('    -incoming', '    -monitor stdio \\\n    -incoming')

PSERIES = '''
  qemu-system-ppc64 -display sdl -machine pseries,accel=kvm \\
    -m 1024 -bios slof.bin -boot menu=on \\
    -nodefaults -device VGA -device pci-ohci -device usb-kbd \\
    -chardev socket,id=chrtpm,path=/tmp/mytpm1/swtpm-sock \\
    -tpmdev emulator,id=tpm0,chardev=chrtpm \\
    -device tpm-spapr,tpmdev=tpm0 \\
    -device spapr-vscsi,id=scsi0,reg=0x00002000 \\
    -device virtio-blk-pci,scsi=off,bus=pci.0,addr=0x3,drive=drive-virtio-disk0,id=virtio-disk0 \\
    -drive file=test.img,format=raw,if=none,id=drive-virtio-disk0
'''

VIRT = '''
  qemu-system-aarch64 -machine virt,gic-version=3,accel=kvm \\
    -cpu host -m 4G \\
    -nographic -no-acpi \\
    -chardev socket,id=chrtpm,path=/tmp/mytpm1/swtpm-sock \\
    -tpmdev emulator,id=tpm0,chardev=chrtpm \\
    -device tpm-tis-device,tpmdev=tpm0 \\
    -device virtio-blk-pci,drive=drv0 \\
    -drive format=qcow2,file=hda.qcow2,if=none,id=drv0 \\
    -drive if=pflash,format=raw,file=flash0.img,readonly=on \\
    -drive if=pflash,format=raw,file=flash1.img
'''

AST2600 = '''
  qemu-system-arm -M ast2600-evb -nographic \\
    -kernel arch/arm/boot/zImage \\
    -dtb arch/arm/boot/dts/aspeed-ast2600-evb.dtb \\
    -initrd rootfs.cpio \\
    -chardev socket,id=chrtpm,path=/tmp/mytpm1/swtpm-sock \\
    -tpmdev emulator,id=tpm0,chardev=chrtpm \\
    -device tpm-tis-i2c,tpmdev=tpm0,bus=aspeed.i2c.bus.12,address=0x2e
'''

PASSTHROUGH = '''
  qemu-system-x86_64 -display sdl -accel kvm \\
  -m 1024 -boot d -bios bios-256k.bin -boot menu=on \\
  -tpmdev passthrough,id=tpm0,path=/dev/tpm0 \\
  -device tpm-tis,tpmdev=tpm0 test.img
'''

# In the log of swtpm, the command with which a TPM begins, upon what it was given or has kept.
SWTPM_INIT = re.compile(r'Ctrl Cmd: length 8\n 00 00 00 02 ')

# All that a stream of a guest with a few pages in use may have.
SMALL = 1 << 20

# What of a machine's memory may be in use that has a gigabyte and has used a few pages of it.
RESIDENT_KIB = 128 << 10


class Terminal:
    """A program that is started in a directory, and the human monitor on its standard input."""

    def __init__(self, desk, line):
        line = line.replace('\\\n', '').replace('/tmp/mytpm1', desk.path('mytpm1'))
        words = shlex.split(line)
        words[0] = desk.programs.get(words[0], words[0])
        self.process = harness.start_process(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                             stderr=desk.log, cwd=desk.directory)
        desk.callback(self.end)
        self.output = b''

    def end(self):
        harness.end_process(self.process)
        self.process.stdin.close()
        self.process.stdout.close()

    def read_to_prompt(self):
        """What is printed up to the next prompt, without it."""
        prompt = b'(qemu) '
        deadline = time.monotonic() + DEADLINE_S
        while prompt not in self.output:
            ready = select.select([self.process.stdout], [], [],
                                  max(deadline - time.monotonic(), 0))[0]
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b''
            assert data, f'no prompt after: {self.output.decode()}'
            self.output += data
        text, self.output = self.output.split(prompt, 1)
        return text.decode()

    def type(self, line):
        self.process.stdin.write(line.encode() + b'\n')
        self.process.stdin.flush()

    def ask(self, line):
        self.type(line)
        return self.read_to_prompt()

    def wait(self):
        """Its status, once it has ended by itself."""
        return self.process.wait(DEADLINE_S)


class Desk(Machines):
    """The user's: a directory with the programs in it by which they are started."""

    def __init__(self, program):
        super().__init__(program)
        os.mkdir(self.path('mytpm1'))
        self.log = self.enter_context(open(self.path('log'), 'w+b'))  # of all that is started
        self.programs = {'qemu-system-' + name: arch.machine(program)[0]
                         for name, arch in ARCHES.items()}

    def said(self):
        with open(self.path('log'), 'rb') as log:
            return log.read().decode(errors='replace')

    def start_swtpm(self):
        if not shutil.which('swtpm'):
            raise Skip('no swtpm; install the package swtpm')
        terminal = Terminal(self, SWTPM)
        wait_for(lambda: harness.is_listening(self.path('mytpm1/swtpm-sock')), 'socket of swtpm')
        return terminal

    def start_machine(self, line):
        terminal = Terminal(self, line)
        if '-monitor' in line:
            terminal.read_to_prompt()
        return terminal

    def play_cpu(self, terminal):
        """There is no -qtest on these lines; QEMU's monitor can add what it would have been."""
        path = self.path('q')
        assert terminal.ask(f'chardev-add socket,id=q,path={path},server=on,wait=off') == ''
        assert terminal.ask('object_add qtest,id=qtest0,chardev=q') == ''
        sock = self.enter_context(socket.socket(socket.AF_UNIX))
        sock.connect(path)
        return QTest(sock)


def resident_kib(process):
    with open(f'/proc/{process.pid}/status', encoding='ascii') as status:
        return int(next(line for line in status if line.startswith('VmRSS')).split()[1])


def quit_and_look(machine, swtpm):
    """All is over, in good order."""
    machine.type('quit')
    assert machine.wait() == 0
    assert swtpm.wait() == 0


def save_and_restore(program):
    with Desk(program) as desk:
        # 1st and 2nd terminal
        swtpm, machine = desk.start_swtpm(), desk.start_machine(START)
        qtest = desk.play_cpu(machine)
        driver = Tis(qtest)
        driver.request()
        tpm2.startup(driver.command)
        made = tpm2.fill(driver.command)
        seen = tpm2.look(driver.command, made)
        for address in (0x1000, 0x3FFFFFFC):
            qtest.ok(f'writel {address:#x} {address ^ 0x5a5a5a5a:#x}')
        qtest.ok('writel 0x40000000 0x1')
        assert qtest.number('readl 0x40000000') == 0, 'more memory than 1024 MiB'
        assert machine.ask('migrate "exec:cat > testvm.bin"') == ''
        assert 'Migration status: completed\n' in machine.ask('info migrate')
        assert resident_kib(machine.process) < RESIDENT_KIB, resident_kib(machine.process)
        quit_and_look(machine, swtpm)
        assert os.path.getsize(desk.path('testvm.bin')) < SMALL

        # without a monitor, as it stands there: swtpm tells that it has begun with what was saved
        swtpm, before = desk.start_swtpm(), len(SWTPM_INIT.findall(desk.said()))
        machine = desk.start_machine(RESTORE)
        wait_for(lambda: len(SWTPM_INIT.findall(desk.said())) > before, 'INIT of swtpm')
        machine.process.send_signal(signal.SIGTERM)
        assert machine.wait() == 0, desk.said()
        assert swtpm.wait() == 0

        swtpm, machine = desk.start_swtpm(), desk.start_machine(RESTORE_WITH_MONITOR)
        wait_for(lambda: 'VM status: running' in machine.ask('info status'), 'guest')
        qtest = desk.play_cpu(machine)
        driver = Tis(qtest)
        assert driver.read(Tis.ACCESS) & 0xA0 == 0xA0, 'the locality of the guest'
        assert tpm2.look(driver.command, made) == seen
        assert tpm2.unseal(driver.command, made['sealed'], 7) == tpm2.SECRET
        for address in (0x1000, 0x3FFFFFFC):
            assert qtest.number(f'readl {address:#x}') == address ^ 0x5a5a5a5a
        assert resident_kib(machine.process) < RESIDENT_KIB, resident_kib(machine.process)
        quit_and_look(machine, swtpm)

        assert desk.left() == ['log', 'testvm.bin'], desk.left()
        extra = set(os.listdir(desk.path('mytpm1'))) - {'tpm2-00.permall', '.lock'}
        assert not extra, f"left in swtpm's directory: {extra}"


def spapr(qtest):
    driver = Spapr(qtest)
    driver.open()
    return driver


def tis_of_virt(qtest):
    driver = Tis(qtest, base=ARCHES['aarch64'].tpm_base)
    driver.request()
    return driver


def i2c(qtest):
    driver = I2c(qtest, bus=12)
    driver.request()
    return driver


def other_machine(program, line, device):
    """The line is taken, and the TPM is there; device(qtest) is a driver of it."""
    with Desk(program) as desk:
        swtpm = desk.start_swtpm()
        machine = desk.start_machine(line + ' -monitor stdio')
        tpm2.startup(device(desk.play_cpu(machine)).command)
        quit_and_look(machine, swtpm)


def passthrough(program):
    """The line is taken, but for the TPM of the host that there may be none of."""
    with Desk(program) as desk:
        line = PASSTHROUGH.replace('/dev/tpm0', desk.path('tpm0'))
        machine = desk.start_machine(line)
        assert machine.wait() == 1
        assert f"cannot open the TPM device '{desk.path('tpm0')}'" in desk.said(), desk.said()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--machine', required=True, help='the machine under test')
    program = os.path.abspath(parser.parse_args().machine)
    tap = Tap()
    tap.run('a VM is saved and restored', save_and_restore, program)
    tap.run('the line of a pSeries machine', other_machine, program, PSERIES, spapr)
    tap.run('the line of an Arm virt machine', other_machine, program, VIRT, tis_of_virt)
    tap.run('the line of an AST2600 board', other_machine, program, AST2600, i2c)
    tap.run("the line of a machine with the host's TPM", passthrough, program)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
