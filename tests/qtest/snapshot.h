/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Snapshots of the machine, each a file of the directory that `-snapshot-dir` names: memory, device
 * and TPM as one, so that the TPM of that moment comes back with the memory of that moment.
 *
 * A file has its name when it is whole and on the disk, and not before; NAME.tpmdev is a stream of
 * machine-state.h.
 */
#ifndef TESTS_QTEST_SNAPSHOT_H
#define TESTS_QTEST_SNAPSHOT_H

#include "migration.h"

typedef struct Snapshots Snapshots;

/* Without a directory, NULL, everything fails and says what is missing. */
Snapshots *snapshots_new(Machine *machine, Migration *migration, const char *directory);
void snapshots_free(Snapshots *snapshots);

/* What it is to whoever saves or deletes one that there is one of that name. */
typedef enum SnapshotPresence {
    SNAPSHOT_MAY_BE, /* it is replaced, or there is nothing to do */
    SNAPSHOT_MUST_BE,
    SNAPSHOT_MUST_NOT_BE,
} SnapshotPresence;

/*
 * Save the machine, which goes on as it was. Be the machine that was saved, running or not as
 * before. Both block while the TPM carries out a command. A guest that runs stops and goes on, and
 * monitors hear of it.
 */
bool snapshot_save(Snapshots *snapshots, const char *name, SnapshotPresence presence,
                   GError **error);
bool snapshot_load(Snapshots *snapshots, const char *name, GError **error);

bool snapshot_delete(Snapshots *snapshots, const char *name, SnapshotPresence presence,
                     GError **error);

/* Their names in order, NULL-terminated; free with g_strfreev(). */
char **snapshot_list(Snapshots *snapshots, GError **error);

/* The file's size and when it was made, in seconds; 0 and 0 when it is not there. */
void snapshot_describe(Snapshots *snapshots, const char *name, uint64_t *size, int64_t *time);

#endif /* TESTS_QTEST_SNAPSHOT_H */
