/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TPM whose every response depends on all that it was ever asked: a chain of digests. Its state
 * can be saved and loaded, so that a test sees whether a TPM is the one it was.
 *
 * It answers a start, a command, a step of a hash sequence, a save and a load at once, or when it
 * is told; a poll counts as being told.
 */
#ifndef CHAIN_TPM_H
#define CHAIN_TPM_H

#include <tpmdev/backend.h>

#define CHAIN_SIZE 32u

typedef struct ChainTPM {
    TPMBackend *backend; /* a reference, until chain_tpm_free() */
    TPMVersion version;
    bool at_once;
    bool deaf;    /* also a poll does not make it answer */
    bool refuses; /* a save or load */
    bool fails;   /* in a save or load */

    uint8_t chain[CHAIN_SIZE];
    uint32_t power_cycles;
    uint32_t commands;
    bool sequence; /* a hash sequence is open */

    /* What it was asked and has not answered. */
    bool starting;
    bool executing;
    bool hashing;
    TPMHashStep step;
    bool saving;
    bool loading;
    uint8_t incoming[CHAIN_SIZE + 13]; /* what load() brought */
    bool incoming_good;
    TPMCommand command;
    size_t response_size; /* of all responses; 0: of a size that depends on the chain */

    unsigned starts;
    unsigned saves;
    unsigned loads;
    unsigned resumes;
    bool handed_out; /* its state was, so that it must not be asked anything */
    const char *breach;
} ChainTPM;

ChainTPM *chain_tpm_new(TPMVersion version, size_t buffer_size, bool at_once);

/* Drop the reference, which must be the last one; fails the test for a breach of the contract. */
void chain_tpm_free(ChainTPM *tpm);

/* Answer what was not answered yet, if there is something. */
void chain_tpm_answer(ChainTPM *tpm);

/* Is there? */
bool chain_tpm_is_due(const ChainTPM *tpm);

#endif /* CHAIN_TPM_H */
