/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * QMP: the machine's operator. Enough of it to ask about the TPM, to reset and to quit, in the
 * form of QEMU 7.2. One JSON object a line.
 */
#ifndef TESTS_QTEST_QMP_H
#define TESTS_QTEST_QMP_H

#include "chardev.h"
#include "machine.h"

/* All monitors of a machine. */
typedef struct Qmp Qmp;

/* quit() is called when a client asks for it; stopped is what -S said. */
Qmp *qmp_new(Machine *machine, bool stopped, void (*quit)(void *opaque), void *opaque);
void qmp_free(Qmp *qmp);

/* One more monitor. */
bool qmp_add(Qmp *qmp, const Chardev *chardev, GError **error);

/* Tell all clients that the machine ends, and why: host-signal or host-qmp-quit. */
void qmp_announce_shutdown(Qmp *qmp, const char *reason);

#endif /* TESTS_QTEST_QMP_H */
