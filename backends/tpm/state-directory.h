/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A directory that holds the state of one TPM, a file for each kind of state:
 *
 *     permall         what a TPM keeps without power: seeds, NV, persistent keys, counters
 *     volatilestate   what it has in its memory, for a resume
 *     savestate       TPM 1.2 only: what TPM_SaveState keeps for the next TPM_Startup
 *
 * The form of a file, version 1; numbers are big-endian, offsets and sizes in bytes:
 *
 *      0   8   magic: "TPMSTATE"
 *      8   4   version of this form: 1
 *     12   4   version of the TPM: 1 for 1.2, 2 for 2.0
 *     16   4   kind of state: 1 permall, 2 volatilestate, 3 savestate
 *     20   4   protection of the payload: 0, none
 *     24   4   reserved: 0
 *     28   4   size of the payload: 1 to 524288
 *     32  32   SHA-256 of bytes 0 to 31 and the payload
 *     64   n   payload: the TPM's state as libtpms gives it
 *
 * The digest finds accidents, which libtpms itself would not: it takes permanent state with a
 * flipped bit as good, and an empty one as a TPM whose seeds everybody knows. It is no secret; it
 * does not keep out one who may write the directory.
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

#include <tpmdev/backend.h>

/* The most a payload can be: libtpms' largest state is below 260 KiB. */
#define TPM_STATE_SIZE_MAX (512u * 1024u)

/* The kinds, with the numbers they have in a file. */
typedef enum TPMStateKind {
    TPM_STATE_PERMANENT = 1,
    TPM_STATE_VOLATILE = 2,
    TPM_STATE_SAVED = 3,
} TPMStateKind;

typedef struct TPMStateDirectory TPMStateDirectory;

/*
 * Take the directory into use for a TPM of this version and check every file of state in it, so
 * that what is there can be loaded. An empty directory is that of a TPM not yet made.
 *
 * Returns NULL with error set: TPM_ERROR_NOT_FOUND, TPM_ERROR_IO, TPM_ERROR_IN_USE while somebody
 * else has it, TPM_ERROR_STATE_DAMAGED, or TPM_ERROR_STATE_MISMATCH for state of another version
 * or program. No state was changed then.
 */
TPMStateDirectory *tpm_state_directory_open(const char *path, TPMVersion version, GError **error);

/* Returns NULL; takes NULL. */
TPMStateDirectory *tpm_state_directory_close(TPMStateDirectory *directory);

/* As it was opened; for messages. */
const char *tpm_state_directory_get_path(const TPMStateDirectory *directory);

/*
 * The state of a kind, checked wholly before it is returned. Returns NULL with error set:
 * TPM_ERROR_NOT_FOUND when there is none, TPM_ERROR_STATE_DAMAGED also when there was permanent
 * state and it has gone, or as tpm_state_directory_open().
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
