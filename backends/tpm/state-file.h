/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A file of TPM state as bytes in memory: what is written, and what of it is believed.
 *
 * The form of a file, version 2; numbers are big-endian, offsets and sizes in bytes:
 *
 *      0   8   magic: "TPMSTATE"
 *      8   4   version of this form: 2
 *     12   4   version of the TPM: 1 for 1.2, 2 for 2.0
 *     16   4   kind of state: 1 permall, 2 volatilestate, 3 savestate
 *     20   4   protection of the payload: 0 none, 1 AES-256-GCM
 *     24   4   reserved: 0
 *     28   4   size of the payload: 1 to 524288
 *     32   8   counter: of permall, one more with each store; of the others, permall's when they
 *              were stored
 *     40  32   protection 0: SHA-256 of bytes 0 to 39 and the payload
 *              protection 1: salt, new random bytes for each store
 *     72  16   protection 0: 0
 *              protection 1: key check, bytes 44 to 59 of the derived ones
 *     88  16   protection 0: 0
 *              protection 1: GCM's tag
 *    104   n   payload: the TPM's state as libtpms gives it, encrypted in protection 1
 *
 * In protection 1 the host's key of 32 bytes gives, by HKDF-SHA256 with that salt and the info
 * "libtpmdev TPM state 2", 60 bytes: the key of AES-256-GCM in bytes 0 to 31, its nonce in 32 to
 * 43, the key check in 44 to 59. Bytes 0 to 87 of the header are its additional data.
 *
 * Version 1 is read as well. It ends with a digest at 32, of bytes 0 to 31 and the payload, which
 * begins at 64; the counter is 0, the protection none.
 *
 * The digest finds accidents, which libtpms itself would not: it takes permanent state with a
 * flipped bit as good, and an empty one as a TPM whose seeds everybody knows. It is no secret; it
 * does not keep out one who may write the directory. GCM does, save for older files of the same
 * TPM, which the counter is for, and files of another TPM with the same key.
 *
 * Used by state-directory.c.
 */
#ifndef TPM_STATE_FILE_H
#define TPM_STATE_FILE_H

#include "state-key.h"

#include <stdbool.h>
#include <stddef.h>
#include <tpmdev/backend.h>

/* The most a payload can be: libtpms' largest state is below 260 KiB. */
#define TPM_STATE_SIZE_MAX (512u * 1024u)

#define TPM_STATE_HEADER_SIZE 104u

/* The most a file can be. */
#define TPM_STATE_FILE_SIZE_MAX (TPM_STATE_HEADER_SIZE + TPM_STATE_SIZE_MAX)

/* The kinds, with the numbers they have in a file. */
typedef enum TPMStateKind {
    TPM_STATE_PERMANENT = 1,
    TPM_STATE_VOLATILE = 2,
    TPM_STATE_SAVED = 3,
} TPMStateKind;

/*
 * TPMStateFile: which file it is, and how it is protected
 * @path:    for messages
 * @key:     what it is encrypted with, or NULL: it is not
 * @old_key: or NULL; one it may still be encrypted with when it is read
 * @convert: it may still not be encrypted when it is read
 */
typedef struct TPMStateFile {
    const char *path;
    TPMVersion version;
    TPMStateKind kind;
    const TPMStateKey *key;
    const TPMStateKey *old_key;
    bool convert;
} TPMStateFile;

/*
 * What was in a file; clear it with tpm_state_content_clear(), which leaves nothing of a payload
 * that was encrypted.
 */
typedef struct TPMStateContent {
    GBytes *payload;
    uint64_t counter;
    bool is_old; /* protected in another way than it would be written now */
} TPMStateContent;

void tpm_state_content_clear(TPMStateContent *content);

/*
 * The bytes of a file with this payload, of 1 to TPM_STATE_SIZE_MAX bytes; free them with g_free().
 * Returns NULL with error set, TPM_ERROR_IO, when there is no randomness or no cipher.
 */
uint8_t *tpm_state_file_make(const TPMStateFile *file, uint64_t counter, const void *payload,
                             size_t size, size_t *file_size, GError **error);

/*
 * Check the bytes of a file wholly and tell what is in them. Returns false with error set:
 * TPM_ERROR_STATE_DAMAGED; TPM_ERROR_STATE_MISMATCH for state of another version, with another key
 * or with none; TPM_ERROR_MISSING_OPTION for encrypted state and no key.
 */
bool tpm_state_file_parse(const TPMStateFile *file, const uint8_t *bytes, size_t size,
                          TPMStateContent *content, GError **error);

/* Fail with TPM_ERROR_STATE_DAMAGED; what: the end of a sentence that begins with the file. */
bool tpm_state_file_damaged(const TPMStateFile *file, GError **error, const char *what, ...)
    G_GNUC_PRINTF(3, 4);

#endif /* TPM_STATE_FILE_H */
