#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The machine's command line: each mistake has a text of its own and status 1, each form that
QEMU's versions have starts a machine, and every way to end it ends it with status 0."""
import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading

import harness
from harness import ARCHES, DEADLINE_S, Machine, Swtpm, Tap, Tis, TIS_BASE

NULL = ['-tpmdev', 'null,id=tpm0']
TIS = ['-device', 'tpm-tis,tpmdev=tpm0']

# What is wrong, the arguments, and what the text must say. @DIR@ is a directory of the test's own.
MISTAKES = [
    ('unknown option', ['-frob'], ['-frob: invalid option', 'known are:', '-tpmdev']),
    ('unknown option with two dashes', ['--frob=1'], ['--frob=1: invalid option']),
    ('option of QEMU that would be missed', ['-daemonize'], ['-daemonize: invalid option']),
    ('two disk images', ['a.img', 'b.img'], ["b.img: a second disk image, after 'a.img'; is a dash"]),
    ('value without its option', ['null,id=tpm0'],
     ['null,id=tpm0: this is no disk image, and the value of no option; is a dash missing?']),
    ('empty word', [''], [': invalid option']),
    ('option without its value', ['-tpmdev'], ['-tpmdev: requires an argument']),
    ('option of what is not there, without its value', ['-bios'], ['-bios: requires an argument']),
    ('property of all TPM devices', ['-global', 'tpm-tis.ppi=off'],
     ['-global tpm-tis.ppi=off: has no effect here; give it to -device']),
    ('memory size', ['-m', 'many'], ["-m many: Parameter 'size' expects a number"]),
    ('more memory than any host has', ['-m', '1000000T'],
     ['-m: no 1099511627776000000 bytes of memory: Cannot allocate memory']),
    ('snapshot and migration', ['-loadvm', 'one', '-incoming', 'defer'],
     ["'incoming' and 'loadvm' options are mutually exclusive"]),
    ('snapshot of nowhere', ['-loadvm', 'one'],
     ['-loadvm one: there is no place for snapshots; start the machine with -snapshot-dir DIR']),
    ('snapshot that is not there', ['-loadvm', 'one', '-snapshot-dir', '@DIR@'],
     ["-loadvm one: Snapshot 'one' does not exist"]),
    ('run-with value', ['-run-with', 'exit-with-parent=maybe'],
     ["-run-with exit-with-parent=maybe: Parameter 'exit-with-parent' expects 'on' or 'off'"]),

    ('unknown TPM type', ['-tpmdev', 'zz,id=tpm0'],
     ["-tpmdev zz,id=tpm0: parameter 'type' is 'zz'",
      'expects a TPM backend type: libtpms, emulator, passthrough, null, fault']),
    ("host's TPM that is not there", ['-tpmdev', 'passthrough,id=tpm0,path=@DIR@/none'],
     ["-tpmdev passthrough,id=tpm0,path=@DIR@/none: TPM backend 'tpm0': cannot open the TPM device "
      "'@DIR@/none'", 'No such file']),
    ('missing TPM type', ['-tpmdev', 'id=tpm0'],
     ["-tpmdev id=tpm0: parameter 'type' is missing", 'libtpms, emulator, passthrough, null, fault']),
    ('missing id', ['-tpmdev', 'emulator,path=@DIR@/none'],
     ["-tpmdev emulator,path=@DIR@/none: emulator: parameter 'id' is missing"]),
    ('unknown parameter of a TPM', ['-tpmdev', 'null,id=tpm0,colour=red'],
     ["invalid parameter 'colour'; it takes type, id, version"]),
    ('empty parameter', ['-tpmdev', 'null,,id=tpm0,=3'], ['-tpmdev null,,id=tpm0,=3: ']),
    ('unknown TPM version', ['-tpmdev', 'null,id=tpm0,version=3.0'],
     ["parameter 'version' is '3.0'; it must be 1.2 or 2.0"]),
    ('second TPM', NULL + ['-tpmdev', 'null,id=tpm1'],
     ['-tpmdev null,id=tpm1: Only one TPM is allowed.']),

    ('missing chardev', ['-tpmdev', 'emulator,id=tpm0'], ["parameter 'chardev' is missing"]),
    ('unknown chardev', ['-tpmdev', 'emulator,id=tpm0,chardev=X'],
     ["-tpmdev emulator,id=tpm0,chardev=X: ", "tpm chardev 'X' not found"]),
    ('chardev that listens', ['-chardev', 'socket,id=X,path=@DIR@/s,server=on', '-tpmdev',
                              'emulator,id=tpm0,chardev=X'],
     ["tpm chardev 'X' is a server; it must be a socket that connects to swtpm"]),
    ('chardev that is no socket', ['-chardev', 'stdio,id=X', '-tpmdev',
                                   'emulator,id=tpm0,chardev=X'],
     ["tpm chardev 'X' is no socket"]),
    ('chardev and path', ['-chardev', 'socket,id=X,path=@DIR@/s', '-tpmdev',
                          'emulator,id=tpm0,chardev=X,path=@DIR@/s'],
     ["parameters 'path' and 'chardev' are both given"]),
    ('no such socket', ['-tpmdev', 'emulator,id=tpm0,path=@DIR@/none'],
     ["there is no socket '@DIR@/none'", 'start swtpm']),
    ('no such socket by chardev', ['-chardev', 'socket,id=X,path=@DIR@/none', '-tpmdev',
                                   'emulator,id=tpm0,chardev=X'],
     ["-tpmdev emulator,id=tpm0,chardev=X: ", "there is no socket '@DIR@/none'"]),
    ('file that is no socket', ['-tpmdev', 'emulator,id=tpm0,path=@DIR@/file'],
     ["'@DIR@/file' is a file and no socket"]),
    ('socket nobody listens on', ['-tpmdev', 'emulator,id=tpm0,path=@DIR@/dead'],
     ["nobody listens on the socket '@DIR@/dead'"]),
    ('socket whose peer hangs up', ['-tpmdev', 'emulator,id=tpm0,path=@DIR@/rude'],
     ["swtpm at '@DIR@/rude'", 'is it swtpm?']),
    ('socket of a web server', ['-tpmdev', 'emulator,id=tpm0,path=@DIR@/web'],
     ["swtpm at '@DIR@/web'", 'is it swtpm?']),
    ('socket of a web server by chardev', ['-chardev', 'socket,id=X,path=@DIR@/web', '-tpmdev',
                                           'emulator,id=tpm0,chardev=X'],
     ["swtpm at '@DIR@/web'", 'is it swtpm?']),
    ('socket whose peer is mute', ['-tpmdev', 'emulator,id=tpm0,path=@DIR@/mute'],
     ["swtpm at '@DIR@/mute' did not answer", 'is it swtpm']),

    ('missing state directory', ['-tpmdev', 'libtpms,id=tpm0'],
     ["parameter 'dir' is missing; give dir=DIRECTORY"]),
    ('no such state directory', ['-tpmdev', 'libtpms,id=tpm0,dir=@DIR@/none'],
     ["cannot use TPM state directory '@DIR@/none': No such file or directory"]),
    ('state directory that is a file', ['-tpmdev', 'libtpms,id=tpm0,dir=@DIR@/file'],
     ["cannot use TPM state directory '@DIR@/file': Not a directory"]),
    ('unreadable state directory', ['-tpmdev', 'libtpms,id=tpm0,dir=@DIR@/loop'],
     ["cannot use TPM state directory '@DIR@/loop': Too many levels of symbolic links"]),
    ('unreadable state', ['-tpmdev', 'libtpms,id=tpm0,dir=@DIR@/unreadable'],
     ["cannot read TPM state file '@DIR@/unreadable/permall'"]),
    ('state that was cut off', ['-tpmdev', 'libtpms,id=tpm0,dir=@DIR@/short'],
     ["TPM state file '@DIR@/short/permall' is damaged", 'restore the directory from a backup']),
    ('state with one bit wrong', ['-tpmdev', 'libtpms,id=tpm0,dir=@DIR@/flipped'],
     ["TPM state file '@DIR@/flipped/permall' is damaged", 'digest does not fit']),
    ('state that is empty', ['-tpmdev', 'libtpms,id=tpm0,dir=@DIR@/empty'],
     ["TPM state file '@DIR@/empty/permall' is damaged: it is empty"]),
    ('state of something else', ['-tpmdev', 'libtpms,id=tpm0,dir=@DIR@/other'],
     ["TPM state file '@DIR@/other/permall' is damaged"]),
    ('state of another version', ['-tpmdev', 'libtpms,id=tpm0,version=1.2,dir=@DIR@/good'],
     ["TPM state file '@DIR@/good/permall' is that of a TPM 2.0, and 'version' is 1.2"]),

    ('device without tpmdev', ['-device', 'tpm-tis'],
     ["-device tpm-tis: tpm-tis: 'tpmdev' property is required"]),
    ('device with an unknown tpmdev', NULL + ['-device', 'tpm-tis,tpmdev=zz'],
     ["-device tpm-tis,tpmdev=zz: Property 'tpm-tis.tpmdev' can't find value 'zz'"]),
    ('device with no tpmdev at all', TIS, ["Property 'tpm-tis.tpmdev' can't find value 'tpm0'"]),
    ('two devices on one tpmdev', NULL + TIS + TIS,
     ["-device tpm-tis,tpmdev=tpm0: TPM backend 'tpm0' is already initialized"]),
    ('unknown device', NULL + ['-device', 'tpm-zz,tpmdev=tpm0'],
     ["'tpm-zz' is not a valid device model name", 'tpm-tis']),
    ('device whose name has lost a letter', NULL + ['-device', 'pm-tis,tpmdev=tpm0'],
     ["'pm-tis' is not a valid device model name"]),
    ('unknown property of a device', NULL + ['-device', 'tpm-tis,tpmdev=tpm0,colour=red'],
     ["tpm-tis: invalid parameter 'colour'; it takes"]),
    ('interrupt out of range', NULL + ['-device', 'tpm-tis,tpmdev=tpm0,irq=20'],
     ['IRQ 20 is outside valid range of 0 to 15']),
    ('interrupt that is no number', NULL + ['-device', 'tpm-tis,tpmdev=tpm0,irq=five'],
     ["parameter 'irq' is 'five'; it must be a number"]),
    ('window out of range', NULL + ['-device', 'tpm-tis,tpmdev=tpm0,window=1001'],
     ["parameter 'window' is '1001'; it must be a number from 0 to 1000"]),
    ('TPM 1.2 behind a CRB device', ['-tpmdev', 'null,id=tpm0,version=1.2', '-device',
                                     'tpm-crb,tpmdev=tpm0'],
     ['-device tpm-crb,tpmdev=tpm0: ',
      'tpm-crb is for TPM 2.0 and its TPM is a 1.2; use tpm-tis, or a TPM 2.0']),
    ('CRB device without tpmdev', ['-device', 'tpm-crb'],
     ["-device tpm-crb: tpm-crb: 'tpmdev' property is required"]),
    ('unknown property of a CRB device', NULL + ['-device', 'tpm-crb,tpmdev=tpm0,colour=red'],
     ["tpm-crb: invalid parameter 'colour'; it takes"]),
    ('localities of a TIS device', NULL + ['-device', 'tpm-tis,tpmdev=tpm0,localities=on'],
     ["'localities'"]),
    ('chunks of a CRB device', NULL + ['-device', 'tpm-crb,tpmdev=tpm0,chunk=4k'],
     ["parameter 'chunk' is '4k'; it must be on or off"]),
    ('page without an address', NULL + ['-device', 'tpm-crb,tpmdev=tpm0,buffer=page'],
     ["parameters 'buffer=page' and 'buffer-address' go together; give both"]),
    ('physical presence memory that is neither there nor not',
     NULL + ['-device', 'tpm-tis,tpmdev=tpm0,ppi=perhaps'],
     ["Parameter 'ppi' expects 'on' or 'off', not 'perhaps'"]),
    ('an address of physical presence memory that is not there',
     NULL + ['-device', 'tpm-tis,tpmdev=tpm0,ppi=off,ppi-address=0xfed45000'],
     ["parameter 'ppi-address' needs 'ppi=on'; give both"]),
    ('physical presence memory inside the device',
     NULL + ['-device', 'tpm-tis,tpmdev=tpm0,ppi-address=0xfed44c00'],
     ['ppi_address 0xfed44c00 is inside the device at 0xfed40000']),

    ('chardev without id', ['-chardev', 'socket,path=@DIR@/s'], ['chardev: no id specified']),
    ('chardev without path', ['-chardev', 'socket,id=c'],
     ["-chardev socket,id=c: Parameter 'path' is missing"]),
    ('unknown kind of chardev', ['-chardev', 'pigeon,id=c'],
     ["'pigeon' is not a valid char driver name; known are: socket, stdio"]),
    ('unknown parameter of a chardev', ['-chardev', 'socket,id=c,path=@DIR@/s,colour=red'],
     ["Invalid parameter 'colour'; known are: "]),
    ('switch of a chardev', ['-chardev', 'socket,id=c,path=@DIR@/s,server=perhaps'],
     ["Parameter 'server' expects 'on' or 'off', not 'perhaps'"]),
    ('chardev twice', ['-chardev', 'stdio,id=c', '-chardev', 'stdio,id=c'],
     ["Duplicate ID 'c' for chardev"]),
    ('monitor on no chardev', ['-mon', 'chardev=zz,mode=control'],
     ['-mon chardev=zz,mode=control: chardev "zz" not found']),
    ('monitor for people', ['-chardev', 'stdio,id=c', '-mon', 'chardev=c'],
     ["Parameter 'mode' must be 'control'"]),
    ('monitor object on no chardev', ['-object', 'monitor-qmp,id=q,chardev=zz'],
     ['chardev "zz" not found']),
    ('monitor object without chardev', ['-object', 'monitor-qmp,id=q'],
     ["Parameter 'chardev' is missing"]),
    ('monitor object without id', ['-object', 'monitor-qmp,chardev=c'],
     ["Parameter 'id' is missing"]),
    ('unknown object', ['-object', 'rng,id=r'],
     ["Parameter 'qom-type' does not accept value 'rng'; known are: monitor-qmp, qtest"]),
    ('qtest object without chardev', ['-object', 'qtest,id=q'],
     ["-object qtest,id=q: Parameter 'chardev' is missing"]),
    ('two of qtest', ['-object', 'qtest,id=q,chardev=c', '-chardev', 'stdio,id=c', '-qtest', 'stdio'],
     ['-qtest stdio: Only one instance of qtest can be created']),
    ('qtest on no socket', ['-qtest', 'unix:@DIR@/none'],
     ["-qtest unix:@DIR@/none: Failed to connect to '@DIR@/none': No such file or directory"]),
    ('qtest on something else', ['-qtest', 'tcp:1'], ["'tcp:1' is not a valid char driver"]),
    ('qtest on no chardev', ['-qtest', 'chardev:zz'], ['chardev "zz" not found']),
    ('socket path that is too long', ['-qtest', 'unix:/' + 'x' * 200], ['is too long']),
    ('qtest log', ['-qtest', 'stdio', '-qtest-log', '@DIR@/none/log'],
     ['-qtest-log @DIR@/none/log: No such file or directory']),
    ('QMP on no socket', ['-qmp', 'unix:@DIR@/none'],
     ["-qmp unix:@DIR@/none: Failed to connect to '@DIR@/none'"]),
]

# The same of the machine of another architecture, and which.
MISTAKES_ELSEWHERE = [
    ('aarch64', 'a device for a PC', NULL + TIS,
     ["-device tpm-tis,tpmdev=tpm0: 'tpm-tis' has no place in the aarch64 machine; "
      'it takes one of: tpm-tis-device, tpm-crb']),
    ('x86_64', 'a device that is not for a PC', NULL + ['-device', 'tpm-tis-device,tpmdev=tpm0'],
     ["'tpm-tis-device' has no place in the x86_64 machine; it takes one of: tpm-tis, tpm-crb"]),
    ('aarch64', 'unknown device', NULL + ['-device', 'tpm-zz,tpmdev=tpm0'],
     ["'tpm-zz' is not a valid device model name", 'tpm-tis-device']),
    ('aarch64', 'device without tpmdev', ['-device', 'tpm-tis-device'],
     ["-device tpm-tis-device: tpm-tis-device: 'tpmdev' property is required"]),
    ('aarch64', 'address within a page', NULL + ['-device',
                                                 'tpm-tis-device,tpmdev=tpm0,base=0xb000800'],
     ['tpm-tis-device: base 0xb000800 is not a multiple of 0x1000']),
    ('aarch64', 'interrupt out of range', NULL + ['-device', 'tpm-tis-device,tpmdev=tpm0,irq=112'],
     ['IRQ 112 is outside valid range of 0 to 15']),
]

# What libqtest of each QEMU version puts around a test's own options, which go to EXTRA.
FORMS = {
    '7.2': harness.LIBQTEST_7_2 + ['-accel', 'qtest'],
    '7.2 with a trace': ['-trace', 'tpm*'] + harness.LIBQTEST_7_2 + ['-accel', 'qtest'],
    '8.2': ('-qtest unix:@QTEST@ -qtest-log /dev/null -chardev socket,path=@QMP@,id=char0 '
            '-mon chardev=char0,mode=control -display none -audio none EXTRA -accel qtest'
            ).split(),
    '10.2': ('-qtest unix:@QTEST@ -qtest-log /dev/fd/2 -chardev socket,path=@QMP@,id=char0 '
             '-mon chardev=char0,mode=control -display none -audio none '
             '-run-with exit-with-parent=on EXTRA -accel qtest').split(),
    '11.1': ('-qtest unix:@QTEST@ -qtest-log /dev/null -chardev socket,path=@QMP@,id=char0 '
             '-object monitor-qmp,id=qmp0,chardev=char0 -display none -audio none '
             '-run-with exit-with-parent=on -M pc EXTRA -accel qtest').split(),
    'people': ('EXTRA -nodefaults -nographic -machine q35,accel=kvm -cpu max -smp 2 -m 64M '
               '-name vm -no-reboot -qmp unix:@QMP@ -accel tcg --accel qtest -S '
               '-chardev socket,id=q,path=@QTEST@ -qtest chardev:q').split(),
    # None of the files is there: what the machine does not have, it has no use for.
    'people with a whole PC': (
        'EXTRA none.img -drive file=none.img,if=virtio -hdb none.img -cdrom none.iso -snapshot '
        '-blockdev driver=file,filename=none.img,node-name=f0 -bios none.bin -kernel none '
        '-initrd none -append root=/dev/sda1 -smbios type=1 -L /none -fw_cfg opt/none,string=x '
        '-netdev user,id=n -device virtio-net-pci,netdev=n -nic none -usb -device usb-tablet '
        '-vga std -display sdl -vnc :1 -k de -serial null -parallel none -rtc base=utc '
        '-global kvm-pit.lost_tick_policy=delay -mem-path /none -mem-prealloc -sandbox on '
        '-uuid 00000000-0000-0000-0000-000000000000 -qmp unix:@QMP@ '
        '-chardev socket,id=q,path=@QTEST@ -object qtest,id=q0,chardev=q').split(),
}


def prepare(directory, program):
    """The directories and sockets the mistakes need; returns what serves the sockets."""
    good = os.path.join(directory, 'good')
    os.mkdir(good)
    with Machine([program, '-tpmdev', f'libtpms,id=tpm0,dir={good}'] + TIS) as machine:
        tis = Tis(machine.qtest)
        tis.request()
        tis.command(bytes.fromhex('80010000000c000001440000'))
    with open(os.path.join(good, 'permall'), 'rb') as file:
        state = file.read()
    states = {'short': state[:-100], 'empty': b'', 'other': b'#!/bin/sh\n' + state,
              'flipped': state[:-5] + bytes([state[-5] ^ 1]) + state[-4:]}
    for name, content in states.items():
        os.mkdir(os.path.join(directory, name))
        with open(os.path.join(directory, name, 'permall'), 'wb') as file:
            file.write(content)
    # Not by permissions: the suite may run as root.
    os.mkdir(os.path.join(directory, 'unreadable'))
    os.symlink('permall', os.path.join(directory, 'unreadable', 'permall'))
    os.symlink('loop', os.path.join(directory, 'loop'))
    with open(os.path.join(directory, 'file'), 'wb'):
        pass
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(os.path.join(directory, 'dead'))
    dead.close()
    return [serve(os.path.join(directory, name), answer)
            for name, answer in (('rude', b''), ('web', b'HTTP/1.1 400 Bad Request\r\n\r\n'),
                                 ('mute', None))]


def serve(path, answer):
    """Listen; to the first words of every peer give an answer and hang up, or keep silent."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(4)
    if answer is None:
        return listener

    def loop():
        while True:
            try:
                peer = listener.accept()[0]
            except OSError:
                return  # closed
            with contextlib.suppress(OSError), peer:
                peer.recv(4096)
                peer.sendall(answer)
    threading.Thread(target=loop, daemon=True).start()
    return listener


def mistake(program, directory, arguments, texts):
    arguments = [argument.replace('@DIR@', directory) for argument in arguments]
    result = subprocess.run([program] + arguments, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE_S,
                            check=False)
    text = result.stderr.decode()
    assert result.returncode == 1, f'status {result.returncode}: {text}'
    assert text.startswith(os.path.basename(program) + ': '), text
    for wanted in texts:
        wanted = wanted.replace('@DIR@', directory)
        assert wanted in text, f'no {wanted!r} in {text!r}'


def swtpm_with_damaged_state(program):
    """swtpm answers its first questions and then cannot start: neither does the machine."""
    with harness.temporary_directory() as directory:
        os.mkdir(os.path.join(directory, 'state'))
        with open(os.path.join(directory, 'state', 'tpm2-00.permall'), 'wb') as file:
            file.write(b'x' * 1000)
        with Swtpm('2.0', directory) as swtpm:
            mistake(program, directory,
                    ['-tpmdev', f'emulator,id=tpm0,path={swtpm.socket}'] + TIS,
                    ['-device tpm-tis,tpmdev=tpm0: ', f"swtpm at '{swtpm.socket}'"])


def works(machine, base=TIS_BASE):
    """Both sockets answer, and the registers are there."""
    assert machine.qtest.request('endianness') == 'OK little'
    assert machine.qtest.number(f'readl {base + Tis.DID_VID:#x}') == 0x11014
    reply = machine.qmp.execute('query-tpm')
    assert reply['return'][0]['id'] == 'tpm0', reply


def form(program, words):
    with Machine([program] + NULL + TIS, form=words) as machine:
        works(machine)


def memory_of_a_pc(program):
    """As much as -m says; what of it is beyond 3 GiB is at 4 GiB."""
    places = ((0, True), (0xBFFFFFF8, True), (0xC0000000, False), (0xFFFFFFF8, False),
              (0x100000000, True), (0x17FFFFFF8, True), (0x180000000, False))
    with Machine([program, '-m', '5G']) as machine:
        for address, _ in places:
            machine.qtest.ok(f'writeq {address:#x} {address + 5:#x}')
        for address, is_there in places:
            value = machine.qtest.number(f'readq {address:#x}')
            assert value == (address + 5 if is_there else 0), f'{address:#x}: {value:#x}'


def form_elsewhere(program, arch, words):
    """With the options by which QEMU's own test of the device starts it."""
    with Machine(arch.machine(program) + NULL + ['-device', f'{arch.tis},tpmdev=tpm0'],
                 form=words) as machine:
        works(machine, arch.tpm_base)


def order_does_not_matter(program):
    with harness.temporary_directory() as directory, Swtpm('2.0', directory) as swtpm:
        extra = ['-device', 'tpm-tis,tpmdev=tpm0', '-tpmdev', 'emulator,id=tpm0,chardev=chr',
                 '-chardev', f'socket,id=chr,path={swtpm.socket}']
        with Machine([program] + extra) as machine:
            works(machine)


def as_libqtest_starts_it(program):
    """Through a shell, as one command line."""
    line = ' '.join([f'exec {program}'] + harness.LIBQTEST_7_2 + ['-accel', 'qtest'])
    words = [line.replace('EXTRA', ' '.join(NULL + TIS))]
    with Machine(['/bin/sh'], form=['-c'] + words) as machine:
        works(machine)


def help_text(program, arguments, texts):
    result = subprocess.run([program] + arguments, stdout=subprocess.PIPE, timeout=DEADLINE_S,
                            check=True)
    for text in texts:
        assert text in result.stdout.decode(), result.stdout.decode()


def ends(program, how):
    with Machine([program] + NULL + TIS) as machine:
        works(machine)
        how(machine)
        status = machine.process.wait(DEADLINE_S)
        assert status == 0, f'status {status}: {machine.stderr()}'


def stdio(program):
    """Requests on standard input, replies on standard output; the end of the input is the end."""
    result = subprocess.run([program, '-qtest', 'stdio'] + NULL + TIS, timeout=DEADLINE_S,
                            input=b'endianness\n\nreadl 0xfed40f00\nreadb 0xfed40000',
                            stdout=subprocess.PIPE, check=True)
    lines = result.stdout.decode().splitlines()
    assert lines == ['OK little', 'OK 0x0000000000011014'], lines


def swtpm_is_shut_down(program):
    """SIGTERM to the machine reaches swtpm as an orderly SHUTDOWN, upon which it ends."""
    with harness.temporary_directory() as directory, Swtpm('2.0', directory) as swtpm:
        extra = ['-tpmdev', f'emulator,id=tpm0,path={swtpm.socket}'] + TIS
        with Machine([program] + extra) as machine:
            works(machine)
        assert swtpm.process.wait(DEADLINE_S) == 0


def qtest_server(program):
    """server=on: one client after the other, and the machine stays as it is in between."""
    with harness.temporary_directory() as directory:
        path = os.path.join(directory, 'q')
        process = harness.start_process(
            [program, '-qtest', f'unix:{path},server=on,wait=off'] + NULL + TIS)
        try:
            harness.wait_for(lambda: harness.is_listening(path), 'socket of the machine')
            for expected in (0x81, 0xA1, 0xA1):
                client = socket.socket(socket.AF_UNIX)
                client.connect(path)
                qtest = harness.QTest(client)
                access = qtest.number('readb 0xfed40000')
                assert access == expected, hex(access)
                qtest.ok('writeb 0xfed40000 0x2')
                client.close()
            process.terminate()
            assert process.wait(DEADLINE_S) == 0
            assert not os.path.exists(path), 'the socket was left behind'
        finally:
            harness.end_process(process)


def qtest_log(program):
    with harness.temporary_directory() as directory:
        path = os.path.join(directory, 'log')
        subprocess.run([program, '-qtest', 'stdio', '-qtest-log', path], input=b'endianness\n',
                       stdout=subprocess.DEVNULL, timeout=DEADLINE_S, check=True)
        with open(path, encoding='ascii') as file:
            lines = file.read().splitlines()
        assert [line[:4] for line in lines] == ['[R +', '[S +'], lines
        assert lines[0].endswith('] endianness') and lines[1].endswith('] OK little'), lines


def exits_with_parent(program):
    """The parent is a shell that starts the machine in the background and is then killed."""
    with harness.temporary_directory() as directory:
        path = os.path.join(directory, 'q')
        script = (f'{program} -qtest unix:{path},server=on -run-with exit-with-parent=on & '
                  'echo $!; wait')
        shell = harness.start_process(['/bin/sh', '-c', script], stdout=subprocess.PIPE)
        pid = 0
        try:
            pid = int(shell.stdout.readline())
            harness.wait_for(lambda: harness.is_listening(path), 'socket of the machine')
            harness.end_process(shell)
            harness.wait_for(lambda: not os.path.exists(path), 'end of the machine')
        finally:
            harness.end_process(shell)
            if pid and os.path.exists(path):
                os.kill(pid, signal.SIGKILL)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--machine', required=True, help='our tpmdev-system-x86_64')
    program = os.path.abspath(parser.parse_args().machine)
    tap = Tap()
    with harness.temporary_directory() as directory:
        servers = prepare(directory, program)
        for name, arguments, texts in MISTAKES:
            tap.run(f'mistake: {name}', mistake, program, directory, arguments, texts)
        for server in servers:
            server.close()
        for arch, name, arguments, texts in MISTAKES_ELSEWHERE:
            tap.run(f'mistake on {arch}: {name}', mistake, ARCHES[arch].machine(program)[0],
                    directory, arguments, texts)
    tap.run('mistake: swtpm with a damaged state', swtpm_with_damaged_state, program)
    for version, words in FORMS.items():
        tap.run(f'starts in the form of {version}', form, program, words)
    for version in ('7.2', '11.1'):
        tap.run(f'aarch64 starts in the form of {version}', form_elsewhere, program,
                ARCHES['aarch64'], FORMS[version])
    tap.run('starts as libqtest starts it', as_libqtest_starts_it, program)
    tap.run('a PC has as much memory as -m says', memory_of_a_pc, program)
    tap.run('options can stand in any order', order_does_not_matter, program)
    for arguments, texts in ((['-tpmdev', 'help'], ['libtpms', 'emulator', 'passthrough', 'null', 'fault']),
                             (['-device', 'help'], ['tpm-tis']),
                             (['-help'], ['-tpmdev', '-qtest']),
                             (['-version'], ['libtpmdev'])):
        tap.run(f'{" ".join(arguments)} is printed, status 0', help_text, program, arguments, texts)
    tap.run('SIGTERM ends it with status 0', ends, program,
            lambda machine: machine.process.terminate())
    tap.run('SIGINT ends it with status 0', ends, program,
            lambda machine: machine.process.send_signal(signal.SIGINT))
    tap.run('quit ends it with status 0', ends, program, lambda machine: machine.qmp.execute('quit'))
    tap.run('the end of the qtest connection ends it with status 0', ends, program,
            lambda machine: machine.qtest.lines.close())
    tap.run('qtest on stdio', stdio, program)
    tap.run('qtest as a server', qtest_server, program)
    tap.run('the protocol goes to the log', qtest_log, program)
    tap.run('it ends with its parent when told to', exits_with_parent, program)
    tap.run('swtpm is shut down in an orderly way', swtpm_is_shut_down, program)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
