/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The D-RTM hash sequence: what the processor writes to TPM_HASH_START, TPM_HASH_DATA and
 * TPM_HASH_END, collected in memory of a fixed size and handed to the TPM step by step.
 *
 * A write only takes note, as all a guest does: the TPM may have a command to end first, and may
 * be slow, or dead. A measurement of anything but all the bytes that were written must not come of
 * that. So bytes for which there is no room spoil the sequence: it ends with a value in the PCR
 * that nobody can foresee. So does one that is begun anew before its end, for a TPM may insist on
 * the end. And where the TPM fails in it, it has failed altogether.
 *
 * A part of TPMRequest: request.c makes the steps (stage 3) and hears of their end (stage 5).
 */
#ifndef TPM_HASH_H
#define TPM_HASH_H

#include <tpmdev/device.h>

/* Bytes that can wait for the TPM; a number of whole chunks, so that no chunk wraps around. */
#define TPM_HASH_MEMORY (4 * TPM_HASH_CHUNK_MAX)

/* Random bytes that no guest and no user of its TPM learns. */
#define TPM_HASH_SECRET_SIZE 32u

typedef enum TPMHashState {
    HASH_NONE,    /* there is no sequence */
    HASH_OPEN,    /* it has begun and takes data */
    HASH_CLOSING, /* its end was written; the TPM has not been told of all of it */
} TPMHashState;

typedef struct TPMHash {
    TPMHashState state;
    TPMHashStep step; /* what the TPM was asked last */
    bool begun;       /* that was a step of this sequence, not of one before */
    bool spoilt;      /* bytes came for which there was no room */
    bool marked;      /* the TPM has been given the secret in the place of what is missing */
    bool tpm_open;    /* it has a sequence open, be it one of before */

    size_t first; /* of the bytes that wait; a multiple of TPM_HASH_CHUNK_MAX */
    size_t used;
    uint8_t *memory; /* of TPM_HASH_MEMORY bytes; NULL where there is no D-RTM */

    uint64_t marks; /* hashed with the secret: no two of them are alike */
    uint8_t secret[TPM_HASH_SECRET_SIZE];
} TPMHash;

/* Make it possible; fails when there are no random bytes to be had. */
bool tpm_hash_enable(TPMHash *hash, GError **error);
void tpm_hash_clear(TPMHash *hash);

/* ---- with the device's lock held: what was written ---- */

void tpm_hash_start(TPMDevice *device);
void tpm_hash_data(TPMDevice *device, uint8_t byte);
void tpm_hash_end(TPMDevice *device);

/* So many more bytes can be taken right now. */
size_t tpm_hash_room(const TPMHash *hash);

/* Forget the sequence: the TPM is power-cycled. */
void tpm_hash_reset(TPMDevice *device);

/* ---- the same: what request.c does about it ---- */

/* Is there a step for the TPM to take? */
bool tpm_hash_is_due(const TPMHash *hash);

/* Load the backend with it. */
void tpm_hash_load(TPMDevice *device);

/* It was taken, or the TPM has failed. The front end hears of the end of the sequence. */
void tpm_hash_stepped(TPMDevice *device, const GError *error);

#endif /* TPM_HASH_H */
