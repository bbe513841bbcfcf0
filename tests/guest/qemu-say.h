/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the plugin tells whoever runs QEMU: a line on standard error.
 */
#ifndef QEMU_SAY_H
#define QEMU_SAY_H

#include <glib.h>

void qemu_say(const char *format, ...) G_GNUC_PRINTF(1, 2);

#endif /* QEMU_SAY_H */
