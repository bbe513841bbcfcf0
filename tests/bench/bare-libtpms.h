/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libtpms as bare as it can be called: its storage is a piece of memory, and nothing is checked.
 * What it takes is what no device with a TPM of libtpms can be faster than. One in a process.
 */
#ifndef BARE_LIBTPMS_H
#define BARE_LIBTPMS_H

#include "bench.h"

typedef struct BareLibtpms {
    unsigned char *response;
    uint32_t size;
    uint32_t capacity;
} BareLibtpms;

/* Power on, and Startup. */
bool bare_libtpms_open(void *tpm);

/* A BenchRun. */
bool bare_libtpms_run(void *tpm, const BenchCommand *command);

#endif /* BARE_LIBTPMS_H */
