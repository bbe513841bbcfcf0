# SPDX-License-Identifier: BSD-3-Clause
"""A terminal with swtpm at its other end: a character device like /dev/tpm0, without such a TPM."""
import os
import select
import shutil
import signal
import subprocess
import tty

import harness
from harness import Skip


class Terminal:
    """A TPM of swtpm at the other end of a terminal."""

    def __init__(self, version, directory):
        if not shutil.which('swtpm'):
            raise Skip('no swtpm; install the package swtpm')
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        self.path = os.ttyname(self.slave)
        argv = ['swtpm', 'chardev', '--fd', str(self.master), '--tpmstate', f'dir={directory}',
                '--flags', 'startup-clear'] + (['--tpm2'] if version == '2.0' else [])
        with open(os.path.join(directory, 'swtpm.log'), 'wb') as log:
            self.swtpm = harness.start_process(argv, pass_fds=[self.master], stdout=log, stderr=log,
                                               stdin=subprocess.DEVNULL)

    def stop(self):
        """It takes nothing from the terminal any more."""
        self.swtpm.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.swtpm.pid, os.WSTOPPED)

    def go_on(self):
        self.swtpm.send_signal(signal.SIGCONT)

    def wait_command(self):
        """The command has been written, and is there to be taken."""
        harness.wait_for(lambda: select.select([self.master], [], [], 0)[0], 'command')

    def hang_up(self):
        harness.end_process(self.swtpm)
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hang_up()
        os.close(self.slave)
