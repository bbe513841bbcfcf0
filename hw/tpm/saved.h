/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What saved state says of a device's request and of its hash sequence, as plain state: read and
 * checked by request-state.c, asked by the front ends, whose own states have to agree with it.
 */
#ifndef TPM_SAVED_H
#define TPM_SAVED_H

#include "hash.h"

typedef struct TPMSavedRequest {
    bool waits; /* a command has not been sent to the TPM yet */
    uint8_t locality;
    size_t size;
    const uint8_t *command;
    bool start_wanted;
    bool reset_established_wanted;
    uint8_t reset_established_locality;

    /* The hash sequence; without D-RTM there is none. */
    TPMHashState hash;
    bool begun;
    bool spoilt;
    bool marked;
    bool tpm_open;
    size_t hash_size;
    const uint8_t *hash_data; /* what waits for the TPM */
} TPMSavedRequest;

#endif /* TPM_SAVED_H */
