/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Lines of the plugin's, by which they can be told from QEMU's own.
 *
 * Neighbours: libtpmdev-qemu.c and its parts.
 */
#include "qemu-say.h"

#include <stdio.h>

#define PREFIX "libtpmdev-qemu: "

void qemu_say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    char *message = g_strdup_vprintf(format, arguments);

    va_end(arguments);
    fprintf(stderr, PREFIX "%s\n", message);
    g_free(message);
}
