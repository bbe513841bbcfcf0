/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hostile TPM of the fuzz targets that need commands of it and no more: it answers when the
 * input says so, at once, late, unasked or never, and looks at every command that comes.
 *
 * fuzz-machine.h has one that lingers and hashes besides, and shares what both have.
 */
#ifndef FUZZ_TPM_H
#define FUZZ_TPM_H

#include "input.h"
#include <tpmdev/tpmdev.h>

typedef struct FuzzTPM {
    TPMBackend *backend;
    TPMVersion version;
    size_t agreed;     /* bytes of the largest command, as start() was told */
    bool start_inline; /* start() is answered from within */
    bool starting;     /* it has not been answered */
    bool executing;

    /* A well-formed command has come; it may complete it. */
    void (*submitted)(void *owner, const TPMCommand *command);
    void *owner;
} FuzzTPM;

/* Make its backend; the rest has been set, or is zero. */
void fuzz_tpm_new(FuzzTPM *tpm, size_t buffer_size);

/* A response of about so many bytes, whether there was a command or not. */
void fuzz_tpm_complete(FuzzTPM *tpm, size_t size);
void fuzz_tpm_started(FuzzTPM *tpm);
void fuzz_tpm_fail(FuzzTPM *tpm);

/* It answers all it has been asked, as a slow one does in the end. */
void fuzz_tpm_settle(FuzzTPM *tpm);

/* ---- what every hostile TPM has ---- */

/* A response that any device must take, its size as near to `size` as can be; returns that. */
size_t fuzz_response(TPMVersion version, size_t agreed, uint8_t *response, size_t size);

/* As long as it says, and no longer than was agreed on. */
void fuzz_check_command(const TPMCommand *command, size_t agreed);

/* For set_irq() of a device that can have no interrupt. */
void fuzz_no_irq(void *opaque, bool level);

/* Big-endian, into four bytes. */
void put_be32(uint8_t *p, size_t value);

#endif /* FUZZ_TPM_H */
