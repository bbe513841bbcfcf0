/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What keeps TPM state secret on a disk: what is made of the host's key for one file.
 *
 * Each file has keys of its own, by HKDF-SHA256 (RFC 5869) from the host's key and 32 random bytes
 * of the file's header, so no two files are encrypted under one key and nonce, however many a TPM
 * stores. It is encrypted by AES-256-GCM (NIST SP 800-38D) with its header as additional data.
 *
 * All of it is OpenSSL's. Used by state-file.c, by hw/tpm/state-stream.c for its digest, and by
 * whatever has a TPM's state to wipe.
 */
#ifndef TPM_STATE_CRYPT_H
#define TPM_STATE_CRYPT_H

#include "state-key.h"

#include <stdbool.h>
#include <stddef.h>

#define TPM_STATE_DIGEST_SIZE 32u
#define TPM_STATE_SALT_SIZE   32u
#define TPM_STATE_NONCE_SIZE  12u
#define TPM_STATE_CHECK_SIZE  16u
#define TPM_STATE_TAG_SIZE    16u

/* What one file is encrypted with, and by what one knows that the host's key is the right one. */
typedef struct TPMStateSecrets {
    uint8_t key[TPM_STATE_KEY_SIZE];
    uint8_t nonce[TPM_STATE_NONCE_SIZE];
    uint8_t check[TPM_STATE_CHECK_SIZE]; /* no secret: it is in the header */
} TPMStateSecrets;

/* Wipe them after use. False when OpenSSL cannot. */
bool tpm_state_secrets_derive(const TPMStateKey *key, const uint8_t salt[TPM_STATE_SALT_SIZE],
                              TPMStateSecrets *secrets);
void tpm_state_secrets_wipe(TPMStateSecrets *secrets);

/* False when OpenSSL cannot, and for decrypt() when the tag does not fit: then plain is wiped. */
bool tpm_state_encrypt(const TPMStateSecrets *secrets, const uint8_t *header, size_t header_size,
                       const uint8_t *plain, size_t size, uint8_t *cipher,
                       uint8_t tag[TPM_STATE_TAG_SIZE]);
bool tpm_state_decrypt(const TPMStateSecrets *secrets, const uint8_t *header, size_t header_size,
                       const uint8_t *cipher, size_t size, const uint8_t tag[TPM_STATE_TAG_SIZE],
                       uint8_t *plain);

/* SHA-256 over a header and what comes behind it. False when OpenSSL cannot. */
bool tpm_state_digest(const uint8_t *header, size_t header_size, const uint8_t *payload,
                      size_t size, uint8_t digest[TPM_STATE_DIGEST_SIZE]);

/* Random bytes; the comparison of equal time; wiping. */
bool tpm_state_random(uint8_t *bytes, size_t size);
bool tpm_state_equal(const void *a, const void *b, size_t size);
void tpm_state_wipe(void *bytes, size_t size);

#endif /* TPM_STATE_CRYPT_H */
