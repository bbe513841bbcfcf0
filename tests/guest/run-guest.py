#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Boot Debian's kernel in an unpatched QEMU with one of our TPM devices, and report as TAP what
the guest's own checks say on its serial line. README.rst describes the modes.

What a run consists of is in guest_run.py.
"""
import argparse
import os
import shutil
import signal
import sys
import tempfile

# The tests leave nothing in the source tree.
sys.dont_write_bytecode = True
import guest_kernel  # noqa: E402
from guest_moves import run_move, run_show_move  # noqa: E402
from guest_run import Failure, on_terminate, PLATFORMS, PROCESS_DEADLINE_S, Run, Tap  # noqa: E402

# The interrupt of mode irq, unless one is given.
IRQ_DEFAULT = 10


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
         "move": run_move, "show": run_show, "show-move": run_show_move,
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
