/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A directory that holds the state of one TPM, a file for each kind of state:
 *
 *     permall         what a TPM keeps without power: seeds, NV, persistent keys, counters
 *     volatilestate   what it has in its memory, for a resume
 *     savestate       TPM 1.2 only: what TPM_SaveState keeps for the next TPM_Startup
 *
 * state-file.h has the form of a file.
 *
 * A file is replaced as a whole: written under a temporary name beside it, synced, renamed, and
 * the directory synced. Whatever ends the process, and when, the last state that was stored whole
 * is there. The next user removes what is left of a temporary file.
 *
 * One user at a time: whoever takes the directory into use holds an exclusive lock on the file
 * `.lock` in it. It is a lock of the open file (F_OFD_SETLK), so that nothing else this process
 * does loses it, a second user in this process is refused like one in another, and the end of the
 * process, however it comes, lets go of it. The empty file stays and blocks nobody. It has the
 * name and the kind of lock of swtpm's, which so keeps away, too.
 *
 * One thread at a time. Used by libtpms-engine.c.
 */
#ifndef TPM_STATE_DIRECTORY_H
#define TPM_STATE_DIRECTORY_H

#include "state-file.h"

typedef struct TPMStateDirectory TPMStateDirectory;

/*
 * TPMStateAccess: what a host gives to a directory besides its path; all of it may be 0
 * @key:     what the state is encrypted with; NULL: it is not
 * @old_key: what it may be encrypted with so far: it is encrypted with @key then
 * @convert: it may not be encrypted so far: it is encrypted with @key then
 * @counter: the counter of the state that was used last, as far as the host knows
 */
typedef struct TPMStateAccess {
    TPMStateKey *key;
    TPMStateKey *old_key;
    bool convert;
    uint64_t counter;
} TPMStateAccess;

/*
 * Take the directory into use for a TPM of this version and check every file of state in it, so
 * that what is there can be loaded. An empty directory is that of a TPM not yet made.
 *
 * State that is protected otherwise than it is to be is stored anew, each file as a whole, permall
 * last. Whatever comes in between, the same access opens the directory again; and once it is open,
 * nothing in it is protected in the former way.
 *
 * Returns NULL with error set: TPM_ERROR_NOT_FOUND, TPM_ERROR_IO, TPM_ERROR_IN_USE while somebody
 * else has it, TPM_ERROR_STATE_DAMAGED, TPM_ERROR_STATE_MISMATCH for state of another version,
 * program or key, or for state that was rolled back; TPM_ERROR_MISSING_OPTION for encrypted state
 * and no key. No state was changed then, or some was stored anew with the same content.
 */
TPMStateDirectory *tpm_state_directory_open(const char *path, TPMVersion version,
                                            const TPMStateAccess *access, GError **error);

/* Returns NULL; takes NULL. */
TPMStateDirectory *tpm_state_directory_close(TPMStateDirectory *directory);

/* As it was opened; for messages. */
const char *tpm_state_directory_get_path(const TPMStateDirectory *directory);

/*
 * The counter of permanent state: how many times it was stored, 0 for none. It may leave some out
 * where a store failed.
 */
uint64_t tpm_state_directory_get_counter(const TPMStateDirectory *directory);

/*
 * The state of a kind, checked wholly before it is returned. Returns NULL with error set:
 * TPM_ERROR_NOT_FOUND when there is none, TPM_ERROR_STATE_DAMAGED also when there was permanent
 * state and it has gone, or as tpm_state_directory_open().
 *
 * Volatile and saved state belong to the permanent state beside which they were stored. When that
 * was stored again since, they are stale and as good as none.
 */
GBytes *tpm_state_directory_load(TPMStateDirectory *directory, TPMStateKind kind, GError **error);

/*
 * Put this in place of the state of a kind; it is on the disk when this returns true. On an error,
 * TPM_ERROR_IO or TPM_ERROR_INVALID_OPTION for a size, what was there before is there still, unless
 * only the last step failed, the sync of the directory: then it is the one or the other.
 */
bool tpm_state_directory_store(TPMStateDirectory *directory, TPMStateKind kind, const void *data,
                               size_t size, GError **error);

/* Remove the state of a kind. Fails with TPM_ERROR_NOT_FOUND or TPM_ERROR_IO. */
bool tpm_state_directory_remove(TPMStateDirectory *directory, TPMStateKind kind, GError **error);

#endif /* TPM_STATE_DIRECTORY_H */
