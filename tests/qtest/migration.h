/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether the guest runs, and how it goes to another machine or comes from one: stop-and-copy, in
 * one piece. QEMU's states and their names.
 *
 *     source                                   destination
 *     setup      the transport is opened       setup      waits
 *     active     the guest is stopped, the     active     the stream comes; it is loaded when it
 *                TPM ends its command, all                has come wholly
 *                is saved and sent
 *     completed  it was sent, and taken        completed  the guest goes on here
 *
 * Where the transport is a socket the destination says whether it has loaded, and the source then
 * tells it to go on: until that the source can have the guest back, and never do both have it.
 *
 * monitors (qmp-migration.c, hmp.c) ask for it, transport.c carries it, machine-state.c makes it.
 */
#ifndef TESTS_QTEST_MIGRATION_H
#define TESTS_QTEST_MIGRATION_H

#include "fd-names.h"
#include "machine.h"

/* QEMU's RunState, those that there are here. */
typedef enum RunStatus {
    RUN_PRELAUNCH,
    RUN_RUNNING,
    RUN_PAUSED,
    RUN_INMIGRATE,
    RUN_FINISH_MIGRATE,
    RUN_POSTMIGRATE,
} RunStatus;

/* QEMU's MigrationStatus, likewise. */
typedef enum MigrationStatus {
    MIGRATION_NONE,
    MIGRATION_SETUP,
    MIGRATION_ACTIVE,
    MIGRATION_COMPLETED,
    MIGRATION_FAILED,
    MIGRATION_CANCELLING,
    MIGRATION_CANCELLED,
} MigrationStatus;

/* Their names, which are QEMU's. */
const char *run_status_name(RunStatus status);
const char *move_status_name(MigrationStatus status);

typedef struct Migration Migration;

/* The guest of the machine, which runs unless it is stopped. */
Migration *migration_new(Machine *machine, bool stopped);
void migration_free(Migration *migration);

/* Hear of STOP, RESUME and MIGRATION, whose status is the present one; NULL ends it. */
void migration_watch_events(Migration *migration, void (*event)(void *opaque, const char *event),
                            void *opaque);
/* Hear that the guest that was to come will not. To be called before one is waited for. */
void migration_watch_failure(Migration *migration,
                             void (*failed)(void *opaque, const GError *error), void *opaque);

/* Hear whenever the guest has stopped, and whenever it goes on; NULL ends it. */
void migration_watch_run(Migration *migration, void (*changed)(void *opaque, bool runs),
                         void *opaque);

RunStatus migration_run_status(const Migration *migration);
const char *migration_run_status_name(const Migration *migration);

/* STOP and CONT of a monitor. */
bool migration_stop(Migration *migration, GError **error);
bool migration_cont(Migration *migration, GError **error);

/* Begin to send the guest away. False with error set when that cannot even begin. */
bool migration_start(Migration *migration, const char *uri, GError **error);
void migration_cancel(Migration *migration);

/* Wait for a guest from there; `defer`: once this is called again. Its device is made for it. */
bool migration_incoming(Migration *migration, const char *uri, GError **error);

MigrationStatus migration_status(const Migration *migration);
const char *migration_status_name(const Migration *migration);

/* Is one under way? */
bool migration_is_active(const Migration *migration);

/* Why it failed, or NULL; the port a tcp: destination waits at, or 0; the bytes that went. */
const char *migration_failure(const Migration *migration);
unsigned migration_port(const Migration *migration);
uint64_t migration_moved(const Migration *migration);

/* A migration in which nothing happens for so long fails. Milliseconds. */
int64_t migration_timeout(const Migration *migration);
void migration_set_timeout(Migration *migration, int64_t timeout_ms);

/* The descriptors it can be told to use. */
FdNames *migration_fds(Migration *migration);

#endif /* TESTS_QTEST_MIGRATION_H */
