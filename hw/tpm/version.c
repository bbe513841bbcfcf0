/* SPDX-License-Identifier: BSD-3-Clause */
/* Which libtpmdev is running, and the error domain: what <tpmdev/version.h> and error.h declare. */
#include <tpmdev/error.h>
#include <tpmdev/version.h>

const char *tpmdev_version_string(void)
{
    return TPMDEV_VERSION_STRING;
}

gboolean tpmdev_version_check(unsigned major, unsigned minor, unsigned micro)
{
    const unsigned running[] = { TPMDEV_VERSION_MAJOR, TPMDEV_VERSION_MINOR, TPMDEV_VERSION_MICRO };
    const unsigned wanted[] = { major, minor, micro };

    for (gsize i = 0; i < G_N_ELEMENTS(running); i++) {
        if (running[i] != wanted[i]) {
            return running[i] > wanted[i];
        }
    }
    return TRUE;
}

GQuark tpmdev_error_quark(void)
{
    return g_quark_from_static_string("tpmdev-error");
}
