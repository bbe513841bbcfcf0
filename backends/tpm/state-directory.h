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
 * One user at a time: whoever takes the directory into use holds its lock, state-lock.h. It can let
 * go of it, and take it again: in between nothing in it is read or changed by this user.
 *
 * One thread at a time. Used by libtpms-engine.c, libtpms-state.c and libtpms-storage.c.
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
 * Find a directory for a TPM of this version, and leave it as it is: it is to be taken into use
 * before anything else. Returns NULL with error set, TPM_ERROR_NOT_FOUND or TPM_ERROR_IO.
 */
TPMStateDirectory *tpm_state_directory_new(const char *path, TPMVersion version,
                                           const TPMStateAccess *access, GError **error);

/*
 * Take the directory into use and check every file of state in it, so that what is there can be
 * loaded. An empty directory is that of a TPM not yet made. No state is changed.
 *
 * Fails with TPM_ERROR_NOT_FOUND, TPM_ERROR_IO, TPM_ERROR_IN_USE while somebody else has it,
 * TPM_ERROR_STATE_DAMAGED, TPM_ERROR_STATE_MISMATCH for state of another version, program or key,
 * or for state that was rolled back; TPM_ERROR_MISSING_OPTION for encrypted state and no key. It is
 * not in use then.
 */
bool tpm_state_directory_take(TPMStateDirectory *directory, GError **error);

/*
 * Remove what was left of temporary files. State that is protected otherwise than it is to be is
 * stored anew, each file as a whole, permall last. Whatever comes in between, the same access takes
 * the directory again; and once this has returned true, nothing in it is protected in the former
 * way, and nothing that is will be taken.
 */
bool tpm_state_directory_settle(TPMStateDirectory *directory, GError **error);

/* Find a directory, take it into use and settle. Returns NULL with error set as these have it. */
TPMStateDirectory *tpm_state_directory_open(const char *path, TPMVersion version,
                                            const TPMStateAccess *access, GError **error);

/*
 * See to it that all that was stored is on the disk, keep in mind what that is, and let others have
 * the directory. On an error it stays in use.
 */
bool tpm_state_directory_let_go(TPMStateDirectory *directory, GError **error);

/* Let others have it, and keep in mind what was there when it was let go of before, if it was. */
void tpm_state_directory_give_back(TPMStateDirectory *directory);

/*
 * It was let go of and taken again: is each file as it was? A user that has stored a state, be it
 * the same, makes it another. Fails with TPM_ERROR_STATE_MISMATCH or TPM_ERROR_IO.
 */
bool tpm_state_directory_is_as_left(const TPMStateDirectory *directory, GError **error);

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
 * All below fail with TPM_ERROR_IN_USE while the directory is not in use by this user.
 *
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
