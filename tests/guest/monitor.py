# SPDX-License-Identifier: BSD-3-Clause
"""QEMU's monitor, for what a guest's user would do, press a key, and what its host would."""
import json
import os
import socket
import time

DEADLINE_S = 120


class MonitorError(Exception):
    """QEMU refuses a command, for the reason it gives."""


class Monitor:
    """QMP on a socket in `directory`; QEMU makes it, with `arguments`."""

    def __init__(self, directory):
        self.path = os.path.join(directory, "qmp.sock")
        self.arguments = ["-qmp", f"unix:{self.path},server=on,wait=off"]

    def _connect(self, end):
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(self.path)
                return connection
            except OSError:
                connection.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.01)

    @staticmethod
    def _execute(stream, command, arguments):
        print(json.dumps({"execute": command, "arguments": arguments}), file=stream, flush=True)
        reply = {"event": None}
        while "event" in reply:
            reply = json.loads(stream.readline())
        if "return" not in reply:
            raise MonitorError(f"{command}: {reply['error']['desc']}")
        return reply["return"]

    def execute(self, command, **arguments):
        """A command of QMP's, whose name may be written with _ for -; returns what it returns."""
        arguments = {name.replace("_", "-"): value for name, value in arguments.items()}
        with self._connect(time.monotonic() + DEADLINE_S) as connection:
            connection.settimeout(DEADLINE_S)
            with connection.makefile("rw", encoding="ascii") as stream:
                stream.readline()  # the greeting
                self._execute(stream, "qmp_capabilities", {})
                return self._execute(stream, command.replace("_", "-"), arguments)

    def press(self, key):
        """Press and release a key, by QEMU's name of it."""
        self.execute("send_key", keys=[{"type": "qcode", "data": key}])
