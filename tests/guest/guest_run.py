# SPDX-License-Identifier: BSD-3-Clause
"""A guest with one of our TPM devices in an unpatched QEMU: the processes it consists of, what goes
to their command lines, and the report as TAP.

Nothing here waits for a time to pass: every wait is for a line, a file or the end of a process,
with a deadline. Whatever was started is ended by its process id, however the run goes.
"""
import collections
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time

import guest_kernel
import initramfs
import monitor
import sanitizer

HERE = os.path.dirname(os.path.abspath(__file__))

# A boot takes three to seven seconds under emulation on an idle machine; a deadline is for what
# hangs, so it is generous.
BOOT_DEADLINE_S = 240
PROCESS_DEADLINE_S = 30

# The guest of mode irq takes a second or two, more on a busy machine, and tells of its progress;
# when an interrupt is lost it halts for ever.
IRQ_DEADLINE_S = 60

# What mode mor-linux keeps from the kernel, and so fills with a pattern.
MOR_KEPT = " memmap=4M$0x10000000"

# What QEMU loads at every reset, as the guest of mode mor knows.
MOR_LOADED = "loader,addr=0x3000000,data=0x4d4f5221,data-len=4"

# Firmware that is in flash, with variables it may write: its directory, the files of both, and
# Debian's package. The others are QEMU's defaults.
Flash = collections.namedtuple("Flash", "directory code variables package")

FLASHES = {
    "ovmf": Flash("/usr/share/OVMF", "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd", "ovmf"),
    "aavmf": Flash("/usr/share/AAVMF", "AAVMF_CODE.fd", "AAVMF_VARS.fd", "qemu-efi-aarch64"),
}

# How the guests of an architecture run: QEMU's program, Debian's packages of it and of the compiler
# for guest-check, the machine and what goes with it, the console, and the devices and firmwares
# there are, the first of each by default.
Platform = collections.namedtuple(
    "Platform", "qemu package compiler machine arguments memory console devices firmwares")

PLATFORMS = {
    # The CPU is one of Intel's since Linux leaves a TPM's random numbers alone on AMD's.
    "amd64": Platform("qemu-system-x86_64", "qemu-system-x86", "gcc", "q35", ["-cpu", "Westmere"],
                      256, "ttyS0", ("tpm-tis", "tpm-crb"), ("seabios", "ovmf")),
    "arm64": Platform("qemu-system-aarch64", "qemu-system-arm",
                      "gcc-aarch64-linux-gnu and libc6-dev-arm64-cross", "virt",
                      ["-cpu", "cortex-a57"], 512, "ttyAMA0", ("tpm-crb",), ("aavmf",)),
    # The capabilities are those that emulation does not have; QEMU would warn of each.
    "ppc64el": Platform("qemu-system-ppc64", "qemu-system-ppc",
                        "gcc-powerpc64le-linux-gnu and libc6-dev-ppc64el-cross",
                        "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off",
                        [], 256, "hvc0", ("tpm-spapr",), ("slof",)),
}


def on_terminate(*_):
    """Leave by the way on which everything that was started is ended."""
    sys.exit("terminated")


class Failure(Exception):
    """What was expected did not happen in time."""


class Tap:
    """The report: one line a check, the plan at the end."""

    def __init__(self):
        self.count = 0
        self.failed = 0

    def result(self, good, name):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}", flush=True)

    @staticmethod
    def comment(text):
        print(f"# {text}", flush=True)

    def finish(self):
        print(f"1..{self.count}", flush=True)
        return 1 if self.failed or self.count == 0 else 0


class Process:
    """A child that is certain to be ended."""

    def __init__(self, command, **options):
        self.child = subprocess.Popen(command, **options)  # ended by close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.child.poll() is None:
            self.child.kill()
        self.child.wait()
        for stream in (self.child.stdin, self.child.stdout):
            if stream:
                stream.close()

    def wait(self, deadline_s):
        """The exit status, or None when it does not end in time."""
        try:
            return self.child.wait(deadline_s)
        except subprocess.TimeoutExpired:
            return None


class Swtpm(Process):
    """A real swtpm with its state in `directory`."""

    def __init__(self, directory, version):
        self.socket = os.path.join(directory, "swtpm.sock")
        self.log = os.path.join(directory, "swtpm.log")
        command = ["swtpm", "socket", "--tpmstate", f"dir={directory}", "--ctrl",
                   f"type=unixio,path={self.socket}", "--log", f"file={self.log},level=1"]
        if version == "2.0":
            command.append("--tpm2")
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        super().__init__(command, stdin=subprocess.DEVNULL)
        end = time.monotonic() + PROCESS_DEADLINE_S
        while not os.path.exists(self.socket):
            if self.child.poll() is not None or time.monotonic() > end:
                self.close()
                raise Failure("swtpm did not make its socket")
            time.sleep(0.01)

    def kill(self):
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()


class Qemu(Process):
    """A QEMU whose serial line is read line by line, and can be written to."""

    def __init__(self, command, environment, errors, deadline_s):
        super().__init__(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                         env=environment)
        self.serial = []
        self._partial = b""
        self._deadline_s = deadline_s
        self.new_deadline()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.child.stdout, selectors.EVENT_READ)

    def new_deadline(self):
        self._end = time.monotonic() + self._deadline_s

    def lines(self):
        """The lines of the serial line as they come, until QEMU ends."""
        while True:
            left = self._end - time.monotonic()
            if left <= 0 or not self._selector.select(left):
                raise Failure(f"the guest was not done within {self._deadline_s} s")
            data = os.read(self.child.stdout.fileno(), 65536)
            if not data:
                return
            *whole, self._partial = (self._partial + data).split(b"\n")
            for line in whole:
                text = line.decode(errors="replace").rstrip("\r")
                self.serial.append(text)
                yield text

    def say(self, text):
        self.child.stdin.write(text.encode())
        self.child.stdin.flush()


class Run:
    """One guest run: its files, its TPM and what became of it."""

    def __init__(self, args, directory, tap):
        self.args = args
        self.directory = directory
        self.state = args.state or os.path.join(directory, "state")
        self.tap = tap
        self.statistics_file = os.path.join(directory, "statistics")
        self.swtpm = None
        self.monitor = monitor.Monitor(directory)
        os.makedirs(self.state, exist_ok=True)

    def start_swtpm(self):
        self.close()
        if self.args.tpmdev == "emulator":
            self.swtpm = Swtpm(self.state, self.args.tpm)

    def _tpm_arguments(self):
        """Ours by the plugin, or for comparison QEMU's own device."""
        if self.args.own_device:
            return ["-chardev", f"socket,id=chr,path={self.swtpm.socket}", "-tpmdev",
                    "emulator,id=tpm0,chardev=chr", "-device", f"{self.args.device},tpmdev=tpm0"]
        options = f"device={self.args.device},tpmdev={self.args.tpmdev}"
        if self.args.tpmdev == "emulator":
            options += f",path={self.swtpm.socket}"
        else:
            options += f",version={self.args.tpm},dir={self.state}"
        if self.args.properties:
            options += f",{self.args.properties}"
        if self.args.window is not None:
            options += f",window={self.args.window}"
        if self.args.irq:
            options += f",irq={self.args.irq}"
        if self.args.irq and self.args.mode != "irq":
            options += ",acpi-irq=on"
        elif self.args.irq and self.args.device == "tpm-crb":
            options += ",localities=on,interrupts=on"
        return ["-plugin", f"{self.args.plugin},{options},stats={self.statistics_file}"]

    def _device_of_guest(self):
        """As the guest has it: with a page the kernel takes larger commands; on Arm the device has
        another name, and the firmware does not know it."""
        if self.args.architecture == "arm64":
            return self.args.device + "-arm"
        return self.args.device + ("-page" if "buffer=page" in self.args.properties else "")

    def _firmware_arguments(self):
        """The flash of firmware that is in one."""
        flash = FLASHES.get(self.args.firmware)
        if not flash:
            return []
        directory = self.args.flash or flash.directory
        code = os.path.join(directory, flash.code)
        variables = os.path.join(self.directory, flash.variables)
        if not os.path.exists(code):
            raise Failure(f"there is no {code}; install the package {flash.package}")
        if not os.path.exists(variables):
            shutil.copyfile(os.path.join(directory, flash.variables), variables)
        return ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}",
                "-drive", f"if=pflash,format=raw,unit=1,file={variables}"]

    def _guest_arguments(self, mode):
        """The kernel and what it is told: Debian's, or for mode irq our own."""
        if mode == "irq":
            return ["-kernel", self.args.irq_guest, "-append",
                    f"device={self.args.device} irq={self.args.irq} count={self.args.count}"]
        if mode == "mor":
            return ["-kernel", self.args.mor_guest, "-device", MOR_LOADED]
        files = guest_kernel.ensure(self.args.cache, self.args.architecture)
        initrd = os.path.join(self.directory, "initramfs.gz")
        initramfs.make(initrd, os.path.join(HERE, "guest-init"), self.args.guest_check,
                       files.busybox or self.args.busybox,
                       self.args.guest_nested if mode == "nested" else None)
        # nokaslr: moving the kernel costs half a second under emulation. loglevel=1: a message of
        # the kernel's must not break a line of ours; guest-init shows them when all is not well.
        return ["-kernel", files.kernel, "-initrd", initrd, "-append",
                f"console={PLATFORMS[self.args.architecture].console} loglevel=1 nokaslr panic=-1 "
                f"guest.mode={mode} guest.version={self.args.tpm} "
                f"guest.device={self._device_of_guest()} guest.count={self.args.count} "
                f"guest.irq={self.args.irq}{MOR_KEPT if mode == 'mor-linux' else ''}"]

    def qemu(self, mode, more=()):
        """Start it, with more arguments of QEMU's."""
        platform = PLATFORMS[self.args.architecture]
        large = self.args.firmware == "ovmf" or mode == "mor-linux"
        memory = "512" if large else str(platform.memory)
        command = [self.args.qemu, "-machine", self.args.machine, "-accel", "tcg",
                   *platform.arguments, "-smp", str(self.args.smp), "-m", memory, "-display",
                   "none", "-nodefaults", "-no-user-config", "-serial", "stdio"]
        environment = dict(os.environ)
        if not self.args.own_device:
            environment = sanitizer.environment(self.args.plugin)
        deadline_s = IRQ_DEADLINE_S if mode in ("irq", "mor") else BOOT_DEADLINE_S
        with open(os.path.join(self.directory, "stderr"), "ab") as errors:
            return Qemu(command + self._guest_arguments(mode) + self._firmware_arguments() +
                        self._tpm_arguments() + self.monitor.arguments + list(more), environment,
                        errors, deadline_s)

    def stderr(self):
        with open(os.path.join(self.directory, "stderr"), encoding="utf-8",
                  errors="replace") as errors:
            return errors.read().splitlines()

    def statistics(self):
        """The device's counters as the plugin left them when QEMU ended."""
        try:
            with open(self.statistics_file, encoding="ascii") as file:
                return {name: int(value) for name, value in (line.split() for line in file)}
        except FileNotFoundError:
            return {}

    def close(self):
        if self.swtpm:
            self.swtpm.close()

    def show_failure(self, qemu):
        self.tap.comment("serial line:")
        for line in qemu.serial[-200:]:
            self.tap.comment(f"  {line}")
        for line in self.stderr()[-50:]:
            self.tap.comment(f"stderr: {line}")
