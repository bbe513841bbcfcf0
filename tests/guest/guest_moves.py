# SPDX-License-Identifier: BSD-3-Clause
"""Mode move: a guest whose machine is saved, loaded and migrated by QEMU's own commands, with its TPM.

The guest's program, guest-check, does what a line on its serial line says and answers with READY:
`begin` (seal a secret, keep sessions, keys and PCRs), `check` (that all of it is there), `spoil`
(what a snapshot must undo) and `load` (commands one after the other, until the next line comes). A
guest that was moved goes on at the line it was waiting for, or amid its load.
"""
import argparse
import contextlib
import os
import socket
import time

from guest_run import Failure, PROCESS_DEADLINE_S, Run

DEADLINE_S = 120
LOOK_INTERVAL_S = 0.02

# A migration that is over, one way or the other.
ENDED = ("completed", "failed", "cancelled")

# What ends QEMU's stream of a machine describes all that it has sent, the TPM last: by then that is
# saved, and held.
STREAM_END = b'"libtpmdev"'


def wait_for(condition, what, deadline_s=DEADLINE_S):
    """Until it returns something that is true, which is returned."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"{what} within {deadline_s} s")
        time.sleep(LOOK_INTERVAL_S)


class Machine:
    """A QEMU with a TPM, perhaps one that waits for a machine to come."""

    def __init__(self, base, name, more=(), **changes):
        directory = os.path.join(base.directory, name)
        os.makedirs(directory)
        args = argparse.Namespace(**{**vars(base.args), **changes})
        self.run = Run(args, directory, base.tap)
        self.execute = self.run.monitor.execute
        self.name = name
        self.run.start_swtpm()
        try:
            self.qemu = self.run.qemu("move", more)
        except BaseException:
            self.run.close()
            raise
        self._lines = self.qemu.lines()
        self._failed_before = self.run.tap.failed

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind or self.run.tap.failed > self._failed_before:
            self.run.tap.comment(f"{self.name}:")
            self.run.show_failure(self.qemu)
        self.qemu.close()
        self.run.close()

    # ---- the guest ----

    def _line(self):
        line = next(self._lines, None)
        if line is None:
            raise Failure(f"{self.name}: QEMU has ended")
        return line

    def say(self, text):
        self.qemu.new_deadline()
        self.qemu.say(text + "\n")

    def ready(self, when):
        """Report what the guest does until it waits for a line again."""
        line = self._line()
        while line != "READY":
            if line.startswith(("ok ", "not ok ")):
                good, name = not line.startswith("not"), line.split("ok ", 1)[1]
                self.run.tap.result(good, f"{when}: {name}")
            line = self._line()

    def do(self, text, when):
        self.say(text)
        self.ready(when)

    def progress(self):
        """The load is under way here: it has done something since this was asked."""
        self.qemu.new_deadline()
        while not self._line().startswith("progress: "):
            pass

    def end(self):
        """The guest powers off."""
        self.say("end")
        line = self._line()
        while not line.startswith("GUEST-END"):
            line = self._line()
        self.run.tap.result(line == "GUEST-END 0", "the guest ended as it should")
        self.ended()

    # ---- QEMU ----

    def ended(self):
        """QEMU has ended, as it was told, and so has its TPM."""
        for _ in self._lines:
            pass
        tap = self.run.tap
        tap.result(self.qemu.wait(PROCESS_DEADLINE_S) == 0, f"{self.name}: QEMU ended with status 0")
        if self.run.swtpm:
            tap.result(self.run.swtpm.wait(PROCESS_DEADLINE_S) == 0,
                       f"{self.name}: swtpm was shut down in an orderly way")

    def quit(self):
        self.execute("quit")
        self.ended()

    def migrate(self, uri, return_path=False):
        """Returns QEMU's status of the migration when it is over."""
        self.execute("migrate_set_capabilities",
                     capabilities=[{"capability": "return-path", "state": return_path}])
        self.execute("migrate", uri=uri)
        return self.migrated()

    def migrated(self):
        def look():
            status = self.execute("query_migrate")
            return status if status.get("status") in ENDED else None
        return wait_for(look, "the migration was not over")

    def running(self):
        wait_for(lambda: self.execute("query_status")["running"], f"{self.name} did not run")

    def job(self, command, **arguments):
        """Run a job of QEMU's; returns its error, or None."""
        self.execute(command, job_id="job", **arguments)
        job = wait_for(lambda: next((job for job in self.execute("query_jobs")
                                     if job["status"] == "concluded"), None), f"{command} not done")
        self.execute("job_dismiss", id="job")
        return job.get("error")


# ---- what is done to the guest ----


def snapshot(machine):
    """QEMU's snapshots are in an image of its own format."""
    image = os.path.join(machine.run.directory, "image")
    tap = machine.run.tap
    with open(image, "wb"):
        pass
    machine.execute("blockdev_add", driver="file", node_name="file", filename=image)
    errors = [machine.job("blockdev_create",
                          options={"driver": "qcow2", "file": "file", "size": 1 << 20})]
    machine.execute("blockdev_add", driver="qcow2", node_name="image", file="file")
    where = {"tag": "moment", "vmstate": "image", "devices": ["image"]}
    errors.append(machine.job("snapshot_save", **where))
    tap.result(errors == [None, None], "a snapshot is taken")
    machine.do("check", "after the snapshot")
    machine.do("spoil", "then")
    error = machine.job("snapshot_load", **where)
    tap.result(error is None, "the snapshot is loaded in the same QEMU")
    if error:
        raise Failure(error)
    machine.running()
    machine.do("check", "after the snapshot was loaded")


@contextlib.contextmanager
def through_a_file(run, machine):
    """As in QEMU's documents: saved, QEMU and swtpm ended, and restored by new ones."""
    path = os.path.join(run.directory, "testvm.bin")
    status = machine.migrate(f"exec:cat > {path}")
    run.tap.result(status["status"] == "completed", "the machine is saved to a file")
    machine.quit()
    with Machine(run, "restored", ["-incoming", f"exec:cat < {path}"],
                 state=machine.run.state) as restored:
        restored.running()
        restored.do("check", "after a restore from a file")
        yield restored


def live(run, source, destination):
    """
    Both QEMUs and their TPMs run; the guest changes over between two commands, or in one.

    But not on pseries, where QEMU 7.2 loses an interrupt that a CPU it emulates has not taken yet, be
    it that of the CPU's timer; a guest at rest is woken by the line that is sent to it next.
    """
    path = os.path.join(run.directory, "migration.sock")
    loaded = run.args.architecture != "ppc64el"
    destination.execute("migrate_incoming", uri=f"unix:{path}")
    if loaded:
        source.say("load")
        source.progress()
    status = source.migrate(f"unix:{path}", return_path=True)
    run.tap.result(status["status"] == "completed",
                   f"the machine migrates{' under load' if loaded else ''}")
    run.tap.comment(f"{status.get('total-time')} ms, of these {status.get('downtime')} ms standing")
    source.quit()
    destination.running()
    if loaded:
        destination.progress()
    destination.say("check")
    if loaded:
        destination.ready("amid a migration")
    destination.ready("after the migration")


def goes_on(machine, status, when):
    tap = machine.run.tap
    tap.result(status["status"] == "failed", f"{when}: the migration failed")
    tap.comment(f"QEMU says: {status.get('error-desc')}")
    machine.running()
    machine.do("check", f"{when}, the guest goes on at the source")


def destination_gone(run, machine):
    """It takes all there is and does not say that it has loaded it, as if its host had died."""
    path = os.path.join(run.directory, "gone.sock")
    received = b""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(DEADLINE_S)
        listener.bind(path)
        listener.listen()
        machine.execute("migrate_set_capabilities",
                        capabilities=[{"capability": "return-path", "state": True}])
        machine.execute("migrate", uri=f"unix:{path}")
        with listener.accept()[0] as connection:
            connection.settimeout(DEADLINE_S)
            while STREAM_END not in received:
                data = connection.recv(1 << 20)
                if not data:
                    raise Failure("the source ended its stream early")
                received = received[-len(STREAM_END):] + data
            stopped = not machine.execute("query_status")["running"]
    run.tap.result(stopped, "all of the machine was sent, with its TPM")
    goes_on(machine, machine.migrated(), "the destination is gone")


def destination_refuses(run, machine):
    """Its TPM is of the other version; for a CRB device, which has one alone, the device differs."""
    path = os.path.join(run.directory, "other.sock")
    changes = {"tpm": "1.2" if run.args.tpm == "2.0" else "2.0"}
    what = f"TPM {run.args.tpm} and this device has a TPM {changes['tpm']}"
    if run.args.device == "tpm-crb":
        changes = {"properties": f"{run.args.properties},localities=on".strip(",")}
        what = "device with localities="
    expected = f"saved TPM device state is that of a {what}"
    with Machine(run, "other", ["-incoming", "defer"], state=None, **changes) as other:
        other.execute("migrate_incoming", uri=f"unix:{path}")
        status = machine.migrate(f"unix:{path}", return_path=True)
        refused = other.qemu.wait(PROCESS_DEADLINE_S) == 1
        said = any(expected in line for line in other.run.stderr())
        run.tap.result(refused and said, "the destination says what is wrong and ends")
        for line in other.run.stderr():
            run.tap.comment(f"the destination: {line}")
    goes_on(machine, status, "the destination refuses")


def run_move(run):
    """One boot, and then all of it."""
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(Machine(run, "source"))
        source.ready("the guest is up")
        source.do("begin", "at first")
        snapshot(source)
        restored = stack.enter_context(through_a_file(run, source))
        destination = stack.enter_context(Machine(run, "destination", ["-incoming", "defer"],
                                                  state=None))
        live(run, restored, destination)
        destination_gone(run, destination)
        destination_refuses(run, destination)
        destination.end()


# ---- for people ----


class Told:
    """In place of a Tap: what is done, and what became of it, as it comes."""

    def __init__(self):
        self.failed = 0

    def result(self, good, name):
        self.failed += not good
        print(f"    {'' if good else 'WRONG: '}{name}", flush=True)

    @staticmethod
    def comment(text):
        print(f"    {text}", flush=True)


def run_show_move(run):
    """A guest seals a secret, its QEMU ends, and the guest unseals it in another one. No TAP."""
    run.tap = told = Told()
    path = os.path.join(run.directory, "testvm.bin")
    print("Linux boots in QEMU.", flush=True)
    with Machine(run, "the first QEMU") as source:
        source.ready("the guest")
        print("The guest seals a secret.", flush=True)
        source.do("begin", "the guest")
        print(f'(qemu) migrate "exec:cat > {path}"', flush=True)
        status = source.migrate(f"exec:cat > {path}")
        print(f"    {status['status']}, {os.path.getsize(path) >> 20} MiB", flush=True)
        print("(qemu) quit", flush=True)
        source.quit()
        print(f'qemu-system-... -incoming "exec:cat < {path}"', flush=True)
        with Machine(run, "another QEMU", ["-incoming", f"exec:cat < {path}"],
                     state=source.run.state) as restored:
            restored.running()
            print("The guest goes on there.", flush=True)
            restored.do("check", "the guest")
            restored.end()
    print("The guest has its secret." if not told.failed else "That did not go well.")
    return 1 if told.failed else 0
