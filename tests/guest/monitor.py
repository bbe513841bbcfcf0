# SPDX-License-Identifier: BSD-3-Clause
"""QEMU's monitor, for what a guest's user would do: press a key."""
import json
import os
import socket
import time

DEADLINE_S = 30


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
    def _execute(stream, command, **arguments):
        print(json.dumps({"execute": command, "arguments": arguments}), file=stream, flush=True)
        reply = {"event": None}
        while "event" in reply:
            reply = json.loads(stream.readline())
        if "return" not in reply:
            raise OSError(f"{command}: {reply}")

    def press(self, key):
        """Press and release a key, by QEMU's name of it."""
        with self._connect(time.monotonic() + DEADLINE_S) as connection:
            connection.settimeout(DEADLINE_S)
            with connection.makefile("rw", encoding="ascii") as stream:
                stream.readline()  # the greeting
                self._execute(stream, "qmp_capabilities")
                self._execute(stream, "send-key", keys=[{"type": "qcode", "data": key}])
