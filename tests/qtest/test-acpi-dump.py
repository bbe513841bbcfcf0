#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""-acpi-dump: which files there are of which device, what each option does to them, and each mistake
with its text. The bytes of the tables are held by tests/acpi."""
import argparse
import os
import struct
import subprocess
import sys

from harness import DEADLINE_S, Tap, temporary_directory

TIS = 'tpm-tis,tpmdev=tpm0'
TABLES = {'ssdt.aml', 'tpm2.aml', 'tpm.dtb', 'etc-tpm-config.bin', 'etc-tpm-log.bin',
          'etc-tpmdev-tables.bin', 'etc-table-loader.bin'}
I2C = 'tpm-tis-i2c,tpmdev=tpm0,bus=aspeed.i2c.bus.3,address=0x2e'

# What is wrong, the machine, its device, what stands behind the directory, and the text.
MISTAKES = [
    ('unknown option', 'x86_64', TIS, ',colour=red', "'colour'"),
    ('platform', 'x86_64', TIS, ',platform=riscv',
     "Parameter 'platform' must be x86 or arm, not 'riscv'"),
    ('irq that is no number', 'x86_64', TIS, ',irq=five',
     "Parameter 'irq' expects a number from 0 to 0xffffffff, not 'five'"),
    ('irq beyond 32 bits', 'x86_64', TIS, ',irq=0x100000000', "not '0x100000000'"),
    ('irq that Arm has not', 'aarch64', 'tpm-tis-device,tpmdev=tpm0', ',irq=5',
     'irq 5 is no shared peripheral interrupt'),
    ('log that is no switch', 'x86_64', TIS, ',log=some', "'log'"),
    ('log address', 'x86_64', TIS, ',log-address=-1',
     "Parameter 'log-address' expects a number from 0 to 0xffffffffffffffff, not '-1'"),
    ('log size', 'x86_64', TIS, ',log-size=0x8000',
     'log_size 0x8000 is less than the log of a PC client takes; give 0x10000 bytes or more'),
    ('log and none', 'x86_64', TIS, ',log=off,log-address=0x70000000',
     'no_log is set and log_address is 0x70000000'),
    ('log over the device', 'x86_64', TIS, ',log-address=0xfed40000',
     'log_address 0xfed40000 puts the log over the device at 0xfed40000'),
    ('scope', 'x86_64', TIS, ',scope=_SB', "scope '_SB' is no absolute ACPI path"),
    ('name', 'x86_64', TIS, ',name=tpm', "name 'tpm' is no ACPI device name"),
    ('OEM', 'x86_64', TIS, ',oem-id=ACME', "oem_id 'ACME' is not 6 printable ASCII characters"),
    ('OEM table', 'x86_64', TIS, ',oem-table-id=ACME', "oem_table_id 'ACME' is not 8"),
    ('creator', 'x86_64', TIS, ',creator-id=ACME1', "creator_id 'ACME1' is not 4"),
    ('OEM revision', 'x86_64', TIS, ',oem-revision=x', "Parameter 'oem-revision' expects"),
    ('creator revision', 'x86_64', TIS, ',creator-revision=x',
     "Parameter 'creator-revision' expects"),
    ('name on a bus', 'arm', I2C, ',name=TPM', "'name'"),
    ('log on pSeries', 'ppc64', 'tpm-spapr,tpmdev=tpm0', ',log-address=0x1000',
     'log_address is set; leave it 0'),
]


class Dumper:
    """Runs the machines, by the path of one of them."""

    def __init__(self, program):
        self.program = program

    def run(self, arch, device, value, version='2.0'):
        program = self.program.replace('-x86_64', '-' + arch)
        devices = ['-tpmdev', f'null,id=tpm0,version={version}', '-device', device]
        return subprocess.run([program] + (devices if device else []) + ['-acpi-dump', value],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=DEADLINE_S, check=False)

    def dump(self, arch, device, options='', version='2.0'):
        """The files by their names."""
        with temporary_directory() as directory:
            result = self.run(arch, device, directory + options, version)
            assert result.returncode == 0, result.stderr.decode()
            assert not result.stdout and not result.stderr, result
            files = {}
            for name in os.listdir(directory):
                with open(os.path.join(directory, name), 'rb') as file:
                    files[name] = file.read()
            return files


def is_refused(dumper, arch, device, value, text):
    result = dumper.run(arch, device, value)
    error = result.stderr.decode()
    assert result.returncode == 1, f'status {result.returncode}: {error}'
    assert f'-acpi-dump {value}: ' in error and text in error, error


def mistake(dumper, arch, device, options, text):
    """Nothing is written, not even what was right."""
    with temporary_directory() as directory:
        is_refused(dumper, arch, device, directory + options, text)
        assert os.listdir(directory) == [], os.listdir(directory)


def files_of_each_device(dumper):
    def expect(names, *arguments, **more):
        assert dumper.dump(*arguments, **more).keys() == names, arguments

    expect(TABLES, 'x86_64', TIS)
    expect(TABLES - {'tpm2.aml'} | {'tcpa.aml'}, 'x86_64', TIS, version='1.2')
    expect(TABLES - {'tpm.dtb'}, 'x86_64', 'tpm-crb,tpmdev=tpm0')
    expect(TABLES - {'etc-tpm-log.bin'}, 'x86_64', TIS, ',log=off')
    expect(TABLES, 'aarch64', 'tpm-tis-device,tpmdev=tpm0')
    expect({'tpm.dtb'}, 'arm', I2C)
    expect({'tpm.dtb'}, 'ppc64', 'tpm-spapr,tpmdev=tpm0')


def options_reach_the_tables(dumper):
    files = dumper.dump('x86_64', TIS, ',log-address=0x70000000,log-size=0x20000,oem-id=ACME1 ,'
                        'oem-table-id=ACMETPM1,oem-revision=0x01020304,creator-id=LTPM,'
                        'creator-revision=5,scope=\\_SB.PCI0,name=TCM,irq=10')
    for name in ('ssdt.aml', 'tpm2.aml'):
        assert files[name][10:36] == b'ACME1 ACMETPM1\4\3\2\1LTPM\5\0\0\0', files[name][:36]
    assert struct.unpack('<LQ', files['tpm2.aml'][64:]) == (0x20000, 0x70000000)
    assert b'\\\x2e_SB_PCI0' in files['ssdt.aml'] and b'TCM_' in files['ssdt.aml']
    assert b'\x89\6\0\x09\1\x0a\0\0\0' in files['ssdt.aml']
    assert files['etc-tpm-log.bin'] == bytes(0x20000)
    assert b'linux,sml-base' in files['tpm.dtb']
    assert dumper.dump('x86_64', TIS, ',log=off')['tpm2.aml'][4:8] == b'\x34\0\0\0'


def platform_is_the_machines_unless_given(dumper):
    def is_arm(*arguments):
        ssdt = dumper.dump(*arguments)['ssdt.aml']
        assert (b'TPM0' in ssdt) == (b'_STA' not in ssdt) == (ssdt[8] == 2)
        return b'TPM0' in ssdt

    assert not is_arm('x86_64', TIS)
    assert is_arm('x86_64', TIS, ',platform=arm')
    assert is_arm('aarch64', 'tpm-tis-device,tpmdev=tpm0')
    assert not is_arm('aarch64', 'tpm-tis-device,tpmdev=tpm0', ',platform=x86')


def fw_cfg_files_tell_of_the_device(dumper):
    files = dumper.dump('x86_64', TIS, ',log-address=0x70000000')
    assert files['etc-tpm-config.bin'].hex() == '0050d4fe0201'
    assert files['etc-tpm-log.bin'] == bytes(0x10000)
    assert len(files['etc-table-loader.bin']) == 6 * 128
    assert files['etc-tpmdev-tables.bin'].endswith(bytes(8)), 'firmware has the log'
    assert files['ssdt.aml'] in files['etc-tpmdev-tables.bin']
    files = dumper.dump('x86_64', TIS + ',ppi=off', version='1.2')
    assert files['etc-tpm-config.bin'].hex() == '000000000100'
    files = dumper.dump('x86_64', TIS, ',log=off')
    assert len(files['etc-table-loader.bin']) == 3 * 128
    assert files['etc-tpmdev-tables.bin'].endswith(files['tpm2.aml'])


def fdtget(tree, node, name):
    with temporary_directory() as directory:
        path = os.path.join(directory, 'tpm.dtb')
        with open(path, 'wb') as file:
            file.write(tree)
        result = subprocess.run(['fdtget', '-tx', path, node, name], stdout=subprocess.PIPE,
                                timeout=DEADLINE_S, check=True)
        return result.stdout.decode().split()


def trees_have_the_place_of_the_device(dumper):
    virt = 'tpm-tis-device,tpmdev=tpm0,base=0x812340000'
    tree = dumper.dump('aarch64', virt, ',irq=144')['tpm.dtb']
    assert fdtget(tree, '/tpm@812340000', 'reg') == ['8', '12340000', '0', '5000']
    assert fdtget(tree, '/tpm@812340000', 'interrupts') == ['0', '70', '4']
    tree = dumper.dump('aarch64', virt, ',irq=4097')['tpm.dtb']
    assert fdtget(tree, '/tpm@812340000', 'interrupts') == ['2', '1', '4']
    tree = dumper.dump('arm', I2C, ',log-address=0x70000000,log-size=0x20000')['tpm.dtb']
    assert fdtget(tree, '/i2c/tpm@2e', 'reg') == ['2e']
    assert fdtget(tree, '/i2c/tpm@2e', 'linux,sml-size') == ['20000']
    tree = dumper.dump('ppc64', 'tpm-spapr,tpmdev=tpm0,reg=0x71000003')['tpm.dtb']
    assert fdtget(tree, '/vdevice/vtpm@71000003', 'reg') == ['71000003']
    assert fdtget(tree, '/vdevice/vtpm@71000003', 'ibm,my-dma-window') == [
        '71000003', '0', '0', '0', '10000000']


def file_that_cannot_be_written_is_named(dumper):
    """A directory has the name of one; those before it are whole."""
    with temporary_directory() as directory:
        os.mkdir(os.path.join(directory, 'tpm2.aml'))
        is_refused(dumper, 'x86_64', TIS, directory, os.path.join(directory, 'tpm2.aml'))
        assert sorted(os.listdir(directory)) == ['ssdt.aml', 'tpm2.aml'], os.listdir(directory)
        with open(os.path.join(directory, 'ssdt.aml'), 'rb') as file:
            assert sum(file.read()) % 256 == 0


def earlier_files_are_replaced(dumper):
    with temporary_directory() as directory:
        path = os.path.join(directory, 'tpm2.aml')
        with open(path, 'wb') as file:
            file.write(bytes(1000))
        assert dumper.run('x86_64', TIS, directory).returncode == 0
        assert os.path.getsize(path) == 76


def directory_must_be_there(dumper):
    with temporary_directory() as directory:
        path = os.path.join(directory, 'none')
        is_refused(dumper, 'x86_64', TIS, path,
                   f"Parameter 'dir' expects a directory that is there, not '{path}'")
        with open(path, 'wb'):
            pass
        is_refused(dumper, 'x86_64', TIS, path, 'expects a directory that is there')
        is_refused(dumper, 'x86_64', TIS, 'irq=10', 'expects a directory that is there')
        is_refused(dumper, 'x86_64', None, directory, 'there is no TPM; give -tpmdev and -device')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--machine', required=True, help='our tpmdev-system-x86_64')
    dumper = Dumper(os.path.abspath(parser.parse_args().machine))
    tap = Tap()
    for name, arch, device, options, text in MISTAKES:
        tap.run(f'mistake: {name}', mistake, dumper, arch, device, options, text)
    for test in (directory_must_be_there, files_of_each_device, options_reach_the_tables,
                 platform_is_the_machines_unless_given, fw_cfg_files_tell_of_the_device,
                 trees_have_the_place_of_the_device, file_that_cannot_be_written_is_named,
                 earlier_files_are_replaced):
        tap.run(test.__name__.replace('_', ' '), test, dumper)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
