# SPDX-License-Identifier: BSD-3-Clause
"""A plugin built with AddressSanitizer in a QEMU that was not."""
import os
import re
import subprocess

RUNTIME = re.compile(r"\s(/\S*libasan\.so\S*)")


def environment(plugin):
    """The environment for a QEMU with this plugin: the sanitizer's runtime must come first."""
    result = dict(os.environ)
    libraries = subprocess.run(["ldd", plugin], capture_output=True, text=True, check=False).stdout
    runtime = RUNTIME.search(libraries)
    if runtime:
        result["LD_PRELOAD"] = runtime[1]
        # QEMU leaves memory behind when it ends; that is not what is looked for.
        result["ASAN_OPTIONS"] = "detect_leaks=0"
        result["UBSAN_OPTIONS"] = "halt_on_error=1:print_stacktrace=1"
    return result
