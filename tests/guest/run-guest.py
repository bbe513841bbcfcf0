#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Boot Debian's kernel in an unpatched QEMU with one of our TPM devices, and report as TAP what
the guest's own checks say on its serial line. README.rst describes the modes.

Nothing here waits for a time to pass: every wait is for a line, a file or the end of a process,
with a deadline. Whatever was started is ended by its process id, however the run goes.
"""
import argparse
import collections
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time

# The tests leave nothing in the source tree.
sys.dont_write_bytecode = True
import guest_kernel  # noqa: E402
import initramfs  # noqa: E402
import monitor  # noqa: E402
import sanitizer  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))

# A boot takes three to seven seconds under emulation on an idle machine; a deadline is for what
# hangs, so it is generous.
BOOT_DEADLINE_S = 240
PROCESS_DEADLINE_S = 30

# The guest of mode irq takes a second or two, more on a busy machine, and tells of its progress;
# when an interrupt is lost it halts for ever.
IRQ_DEADLINE_S = 60
IRQ_DEFAULT = 10

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

    def qemu(self, mode):
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
                        self._tpm_arguments() + self.monitor.arguments, environment, errors,
                        deadline_s)

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


def follow_guest(run, qemu, on_ready=None, on_line=None):
    """Report the guest's lines until QEMU ends. Returns how each boot ended, as guest-init says."""
    endings = []
    boot = 0
    for line in qemu.lines():
        if line.startswith("GUEST-BEGIN"):
            boot += 1
            qemu.new_deadline()
            run.tap.comment(line)
        elif line.startswith(("ok ", "not ok ")):
            good, name = not line.startswith("not"), line.split("ok ", 1)[1]
            run.tap.result(good, name if boot == 1 else f"boot {boot}: {name}")
        elif line.startswith(("bench ", "size: ", "irq: ", "note: ")):
            run.tap.comment(line)
        elif line.startswith("progress: "):
            qemu.new_deadline()
        elif line == "READY" and on_ready:
            on_ready()
        elif line.startswith("GUEST-END"):
            endings.append(line.split()[1])
        elif on_line:
            on_line(line)
    return endings


def report_end(run, qemu, endings, expected):
    """What holds of every run once the guest is done."""
    tap = run.tap
    status = qemu.wait(PROCESS_DEADLINE_S)
    tap.result(endings == expected, "every boot of the guest ended as it should")
    tap.result(status == 0, "QEMU ended with status 0")
    if status:
        tap.comment(f"its status was {status}")
    if run.args.own_device:
        return
    counted = run.statistics()
    tap.comment(" ".join(f"{name}={value}" for name, value in counted.items()))
    tap.result(counted.get("commands", 0) > 20, "the commands went through our device")


def report_swtpm_end(run):
    if run.swtpm:
        status = run.swtpm.wait(PROCESS_DEADLINE_S)
        run.tap.result(status == 0, "swtpm was shut down in an orderly way")


def attempt(run, mode, expected, on_ready=None, on_line=None):
    """One life of QEMU; returns the lines of its serial line."""
    with run.qemu(mode) as qemu:
        failed_before = run.tap.failed
        try:
            report_end(run, qemu, follow_guest(run, qemu, on_ready, on_line), expected)
        except Failure as failure:
            run.tap.result(False, str(failure))
        if run.tap.failed > failed_before:
            run.show_failure(qemu)
        return qemu.serial


# ---- modes ----


def run_once(run):
    """check, bench, nested: the guest does its work and powers off."""
    run.start_swtpm()
    attempt(run, run.args.mode, ["0"])
    report_swtpm_end(run)


def run_irq(run):
    """A guest that works by interrupt alone; what it was interrupted for is what we raised."""
    run.start_swtpm()
    with run.qemu("irq") as qemu:
        failed_before = run.tap.failed
        try:
            report_end(run, qemu, follow_guest(run, qemu), ["0"])
            counted = run.statistics()
            run.tap.result(f"irq: {counted.get('interrupts')} interrupts" in qemu.serial,
                           "the guest took as many interrupts as the device raised")
            if run.args.window == 0:
                run.tap.result(counted.get("inline_completions") == 0,
                               "every command ended on another thread")
        except Failure as failure:
            run.tap.result(False, str(failure))
        if run.tap.failed > failed_before:
            run.show_failure(qemu)
    report_swtpm_end(run)


def run_reboot(run):
    """Storage is written, the guest reboots, and everything holds."""
    run.start_swtpm()
    attempt(run, "persist", ["3", "0"])
    report_swtpm_end(run)


def run_persist(run):
    """The same, and later a new QEMU runs on the same state."""
    run_reboot(run)
    run.start_swtpm()
    run.tap.comment("a new QEMU on the same state")
    attempt(run, "persist", ["0"])
    report_swtpm_end(run)


def what_firmware_left(run, name, **changes):
    """The lines about it of a guest with a fresh TPM, by what they are about."""
    args = argparse.Namespace(**{**vars(run.args), **changes})
    directory = os.path.join(run.directory, name)
    os.makedirs(directory)
    run.tap.comment(f"with {name}")
    one = Run(args, directory, run.tap)
    left = {"pcr": [], "log": [], "property": []}
    try:
        one.start_swtpm()
        for line in attempt(one, "firmware", ["0"]):
            if line.startswith("firmware "):
                left[line.split()[1]].append(line)
        report_swtpm_end(one)
    finally:
        one.close()
    return left


def run_compare(run):
    """What firmware measures, logs and tells must be the same with QEMU's own device."""
    ours = what_firmware_left(run, "our device")
    own = what_firmware_left(run, "QEMU's own device", own_device=True, tpmdev="emulator")
    measured = [line for line in ours["pcr"]
                if int(line.split()[3]) < 8 and line.split()[4].strip("0")]
    run.tap.result(bool(measured), "the firmware measured something")
    names = {"pcr": "all PCRs are", "log": "the measurement log is"}
    if run.args.architecture == "ppc64el":
        names["property"] = "the device tree's node is"
    for what, name in names.items():
        run.tap.result(bool(ours[what]) and ours[what] == own[what],
                       f"{name} the same with QEMU's own device")
        for line in ours[what]:
            if line not in own[what]:
                run.tap.comment(f"ours:  {line}")
        for line in own[what]:
            if line not in ours[what]:
                run.tap.comment(f"QEMU's: {line}")


def run_dead(run):
    """swtpm is killed under the guest and comes back while that runs, then the guest reboots."""
    run.start_swtpm()
    with run.qemu(run.args.mode) as qemu:

        def kill_swtpm():
            run.swtpm.kill()
            qemu.say("\n")

        def restart_swtpm():
            run.start_swtpm()
            qemu.say("\n")

        steps = iter((kill_swtpm, restart_swtpm))
        failed_before = run.tap.failed
        try:
            endings = follow_guest(run, qemu, lambda: next(steps)())
            report_end(run, qemu, endings, ["3", "0"])
        except Failure as failure:
            run.tap.result(False, str(failure))
        if run.tap.failed > failed_before:
            run.show_failure(qemu)
    report_swtpm_end(run)


def run_mor(run):
    """A guest that asks for its memory to be cleared, between two resets at which it does not."""
    run.start_swtpm()
    attempt(run, "mor", ["3", "3", "3", "0"])
    report_swtpm_end(run)


def run_mor_linux(run):
    """The same by Linux, once it has rebooted without asking."""
    run.start_swtpm()
    attempt(run, "mor-linux", ["3", "3", "0"])
    report_swtpm_end(run)


# How OVMF asks whether the TPM is to be cleared; after it, it waits for one of the keys for ever.
PPI_QUESTION = "Press ESC to reject this change request"
PPI_KEYS = {"ppi": "f12", "ppi-reject": "esc"}


def run_ppi(run):
    """The guest asks for the TPM to be cleared and reboots; whoever sits before it is asked."""
    mode = run.args.mode if run.args.firmware == "ovmf" else "ppi-none"
    questions = []

    def answer(line):
        if PPI_QUESTION in line:
            questions.append(line)
            run.monitor.press(PPI_KEYS[mode])

    run.start_swtpm()
    if mode == "ppi-none":
        attempt(run, mode, ["0"], on_line=answer)
    else:
        attempt(run, mode, ["3", "0"], on_line=answer)
        run.tap.result(len(questions) == 1, "firmware asked once")
    report_swtpm_end(run)


def run_fetch(run):
    """Only have the kernel there."""
    print(f"kernel: {guest_kernel.ensure(run.args.cache, run.args.architecture).kernel}")
    return 0


def run_show(run):
    """For people: what the guest prints, as it comes. No TAP."""
    run.start_swtpm()
    endings = []
    with run.qemu("show") as qemu:
        try:
            for line in qemu.lines():
                if line.startswith("GUEST-BEGIN"):
                    print("The guest is up:" + line.split(",", 1)[1], flush=True)
                elif line.startswith("GUEST-END"):
                    endings.append(line)
                elif "reboot: Power down" not in line:
                    print(line, flush=True)
        except Failure as failure:
            print(failure)
        good = qemu.wait(PROCESS_DEADLINE_S) == 0 and endings == ["GUEST-END 0"]
    counted = run.statistics()
    if counted:
        print("The device counted " + ", ".join(
            f"{value} {name.replace('_', ' ')}" for name, value in counted.items() if value))
    for line in run.stderr():
        print(line)
    print("The guest found its TPM well." if good else "The guest did not find its TPM well.")
    return 0 if good else 1


# What a command costs in exits when its bytes cost none: TPM_LOC_CTRL, TPM_LOC_STATE,
# TPM_CRB_CTRL_REQ, _CANCEL, _START and _STS, some twice, and the times the kernel looks whether it
# is done; 3 KiB through the device would be 384 exits at the very least.
BULK_EXITS_MAX = 40


def run_bulk(run):
    """Commands of 3 KiB, whose bytes must cost no exits: with the buffer on a page."""
    run.start_swtpm()
    attempt(run, "bulk", ["0"])
    counted = run.statistics()
    commands = max(counted.get("commands", 0), 1)
    each = (counted.get("reads", 0) + counted.get("writes", 0)) / commands
    run.tap.comment(f"{each:.1f} exits a command, those of the firmware with them")
    run.tap.result(commands >= run.args.count, "all of them went through our device")
    run.tap.result(0 < each < BULK_EXITS_MAX, "a command costs no exits for its bytes")
    report_swtpm_end(run)


MODES = {"check": run_once, "bench": run_once, "nested": run_once, "irq": run_irq,
         "reboot": run_reboot, "persist": run_persist, "dead": run_dead, "resume": run_dead,
         "compare": run_compare, "bulk": run_bulk,
         "ppi": run_ppi, "ppi-reject": run_ppi, "mor": run_mor, "mor-linux": run_mor_linux,
         "show": run_show,
         "fetch": run_fetch}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--plugin", required=True, help="libtpmdev-qemu.so")
    parser.add_argument("--guest-check", help="the static program for the guest; without one, "
                        "nothing is run")
    parser.add_argument("--guest-nested", help="the static program of mode nested; without one, "
                        "nothing is run in that mode")
    parser.add_argument("--irq-guest", help="the kernel of mode irq")
    parser.add_argument("--mor-guest", help="the kernel of mode mor")
    parser.add_argument("--architecture", choices=PLATFORMS, default="amd64",
                        help="the guest's, as Debian calls it")
    parser.add_argument("--cache", required=True,
                        help="where the guest's kernel is kept, unless TPMDEV_GUEST_CACHE says")
    parser.add_argument("--device", help="one of the architecture's")
    parser.add_argument("--properties", default="", help="more properties of our device")
    parser.add_argument("--firmware", help="one of the architecture's")
    parser.add_argument("--flash", help="where OVMF_CODE_4M.fd or AAVMF_CODE.fd is")
    parser.add_argument("--tpmdev", choices=("libtpms", "emulator"), default="libtpms")
    parser.add_argument("--tpm", choices=("1.2", "2.0"), default="2.0", help="the TPM's version")
    parser.add_argument("--machine", help="on amd64 q35 (default) or pc")
    parser.add_argument("--smp", type=int, default=1, help="virtual CPUs")
    parser.add_argument("--state", help="an existing directory for the TPM's state; kept")
    parser.add_argument("--window", type=int, help="the completion window in microseconds")
    parser.add_argument("--irq", type=int, default=0,
                        help="the device's interrupt, which ACPI names; for mode irq without that")
    parser.add_argument("--count", type=int, default=1000,
                        help="commands for irq and bulk, and of each kind for bench")
    parser.add_argument("--own-device", action="store_true",
                        help="QEMU's own device and tpmdev emulator instead of ours")
    parser.add_argument("--qemu", help="instead of the one in PATH")
    parser.add_argument("--busybox", default="/bin/busybox")
    args = parser.parse_args()
    args.cache = os.environ.get("TPMDEV_GUEST_CACHE") or args.cache
    platform = PLATFORMS[args.architecture]
    for name, choices in (("device", platform.devices), ("firmware", platform.firmwares),
                          ("qemu", ()), ("machine", ())):
        if getattr(args, name) is None:
            setattr(args, name, choices[0] if choices else getattr(platform, name))
        elif choices and getattr(args, name) not in choices:
            parser.error(f"--{name} {getattr(args, name)}: there is none for "
                         f"{args.architecture}; use {' or '.join(choices)}")
    if args.own_device and args.tpmdev != "emulator":
        parser.error("--own-device needs --tpmdev emulator")
    if args.mode == "irq":
        args.irq = args.irq or IRQ_DEFAULT
        if not args.irq_guest:
            parser.error("irq needs --irq-guest")
        if args.architecture != "amd64":
            parser.error("irq is for --architecture amd64: its kernel is for a PC")
    if args.mode == "mor":
        if not args.mor_guest:
            parser.error("mor needs --mor-guest")
        if args.architecture != "amd64":
            parser.error("mor is for --architecture amd64: its kernel is for a PC")
    if args.mode in ("dead", "resume") and args.tpmdev != "emulator":
        parser.error(f"{args.mode} needs --tpmdev emulator: there is no other process to kill")
    if args.mode == "resume":
        args.properties += ("," if args.properties else "") + "checkpoint=on"
    return args


def cannot_run(args):
    """What is missing on this machine for guests of the architecture, or None."""
    platform = PLATFORMS[args.architecture]
    if not args.guest_check:
        return f"there is no cross compiler for {args.architecture}; install {platform.compiler}"
    if not shutil.which(args.qemu):
        return f"there is no {args.qemu}; install {platform.package}"
    if args.mode == "nested" and not args.guest_nested:
        return "there are no static libraries for guest-nested; install libtpms-dev, libssl-dev " \
               "and libfdt-dev"
    return None


def on_terminate(*_):
    """Leave by the way on which everything that was started is ended."""
    sys.exit("terminated")


def main():
    args = parse_arguments()
    signal.signal(signal.SIGTERM, on_terminate)
    reason = cannot_run(args)
    if reason:
        print(f"1..0 # SKIP {reason}")
        return 0
    tap = Tap()
    # The default directory may have too long a name for a socket's path.
    with tempfile.TemporaryDirectory(prefix="tpmdev-guest-", dir="/tmp") as directory:
        run = Run(args, directory, tap)
        try:
            status = MODES[args.mode](run)
        except (Failure, guest_kernel.KernelError) as failure:
            print(f"Bail out! {failure}")
            return 1
        finally:
            run.close()
    return tap.finish() if status is None else status


if __name__ == "__main__":
    sys.exit(main())
