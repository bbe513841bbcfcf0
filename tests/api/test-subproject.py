#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The library inside another project: subprojects/libtpmdev and dependency('libtpmdev').

usage: test-subproject.py SOURCE_ROOT

MESON and NINJA come from the environment.
"""

import json
import os
import pathlib
import shlex
import sys
import tempfile

from tap import Tap, run

SOURCE_ROOT = sys.argv[1]
MESON = shlex.split(os.environ["MESON"])
NINJA = os.environ["NINJA"]

PROJECT = """project('hypervisor', 'c', default_options: ['c_std=c11', 'werror=true'])
executable('hypervisor', 'hypervisor.c', dependencies: dependency('libtpmdev'), install: true)
"""
PROGRAM = """#include <tpmdev/tpmdev.h>

int main(void)
{
    TPMBackend *backend = tpmdev_backend_null_new("tpm0", TPM_VERSION_2_0, NULL);
    TPMDevice *tpm = tpmdev_device_new(NULL, backend, NULL, NULL, NULL);

    g_print("%s in %s\\n", tpmdev_device_get_model(tpm), tpmdev_version_string());
    tpmdev_device_free(tpm);
    tpmdev_backend_unref(backend);
    return 0;
}
"""


def check_installed(build):
    """The library is part of that project: its headers and itself are not installed by it."""
    output, problems = run([*MESON, "introspect", "--installed", build])
    if problems:
        return problems
    return [f"{path} would be installed" for path in json.loads(output) if "tpmdev" in path]


def main():
    tap = Tap()
    with tempfile.TemporaryDirectory() as folder:
        project = pathlib.Path(folder) / "hypervisor"
        build = project / "build"
        (project / "subprojects").mkdir(parents=True)
        (project / "subprojects/libtpmdev").symlink_to(pathlib.Path(SOURCE_ROOT).resolve())
        (project / "meson.build").write_text(PROJECT)
        (project / "hypervisor.c").write_text(PROGRAM)

        # Without this one that is installed on the machine would do as well.
        tap.result("a project finds it as its subproject",
                   run([*MESON, "setup", "--force-fallback-for=libtpmdev", build, project])[1])
        tap.result("builds with it", run([NINJA, "-C", build, "-j2"])[1])
        # meson leads the tests of this tree to the library of this tree; here that of the project.
        environment = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
        output, problems = run([build / "hypervisor"], env=environment)
        wanted = f"tpm-tis in {os.environ['VERSION']}\n"
        tap.result("and runs", problems or ([] if output == wanted else [repr(output)]))
        tap.result("and does not install it", check_installed(build))
    tap.done()


main()
