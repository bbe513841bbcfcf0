/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * QMP: the machine's operator. Enough of it to ask about the TPM, to stop, save, migrate and
 * reset the machine and to quit, in the form of QEMU 7.2. One JSON object a line.
 */
#ifndef TESTS_QTEST_QMP_H
#define TESTS_QTEST_QMP_H

#include "chardev.h"
#include "jobs.h"
#include "migration.h"
#include "snapshot.h"

/* All monitors of a machine. */
typedef struct Qmp Qmp;

/* What a monitor asks for that is the program's to do. The texts are those of the options. */
typedef struct QmpProgram {
    void (*quit)(void *opaque);
    bool (*add_chardev)(void *opaque, const char *text, GError **error);
    bool (*add_object)(void *opaque, const char *text, GError **error);
} QmpProgram;

Qmp *qmp_new(Machine *machine, Migration *migration, Snapshots *snapshots,
             const QmpProgram *program, void *opaque);
void qmp_free(Qmp *qmp);

/* One more monitor. */
bool qmp_add(Qmp *qmp, const Chardev *chardev, GError **error);

/* What its commands work on. */
Migration *qmp_migration(Qmp *qmp);
Snapshots *qmp_snapshots(Qmp *qmp);
Jobs *qmp_jobs(Qmp *qmp);

/* The migration's capabilities that are on, one bit each. */
uint32_t *qmp_capability_bits(Qmp *qmp);

/* What both monitors or one of them have: a reset, the end, what options would have added, and a
 * guest to wait for after `-incoming defer`. */
void qmp_reset(Qmp *qmp);
void qmp_quit(Qmp *qmp);
bool qmp_add_chardev(Qmp *qmp, const char *text, GError **error);
bool qmp_add_object(Qmp *qmp, const char *text, GError **error);
bool qmp_migrate_incoming(Qmp *qmp, const char *uri, GError **error);

/* Tell all clients that the machine ends, and why: host-signal or host-qmp-quit. */
void qmp_announce_shutdown(Qmp *qmp, const char *reason);

#endif /* TESTS_QTEST_QMP_H */
