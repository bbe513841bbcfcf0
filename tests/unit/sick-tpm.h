/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a swtpm that is well answers: the bytes of its replies, and as much of a TPM as a client can
 * see of one that is started, shut down, resumed or lost.
 *
 * Part of sick-swtpm.c, which has the sockets, and what goes wrong.
 */
#ifndef SICK_TPM_H
#define SICK_TPM_H

#include "sick-swtpm.h"

#define SICK_REPLY_MAX 512u

typedef struct SickBytes {
    size_t size;
    uint8_t data[SICK_REPLY_MAX];
} SickBytes;

typedef struct SickTPM {
    TPMVersion version;
    bool headers; /* it takes commands with their locality in front */

    /* What a process keeps. */
    bool running;      /* INIT came last, not STOP */
    bool started;      /* TPM2_Startup */
    uint32_t session;  /* which of them it was */
    uint32_t extended; /* PCRs, a bit each */
    bool locked;
    bool established;
    uint32_t buffer_size;

    /* What is in files. */
    bool stored; /* volatile state of a TPM that was started */
    uint32_t stored_session;
    uint32_t starts;  /* TPM2_Startup, in all lives */
    uint8_t identity; /* which TPM it is */
} SickTPM;

/* Which exchange is this? */
SickExchange sick_tpm_message(const uint8_t *message, size_t size);
SickExchange sick_tpm_command(const uint8_t *command);

/* The reply to a message; result is that of SET_DATAFD, else 0. */
void sick_tpm_reply(SickTPM *tpm, SickExchange exchange, const uint8_t *message, uint32_t result,
                    SickBytes *reply);

/* Bytes of what is in front of such a command; 0: it is an ordinary one. */
size_t sick_tpm_header(const SickTPM *tpm, const uint8_t *command);

/* The response to a command that was sent so. */
void sick_tpm_wrap(SickBytes *response);

/* The response to a command. */
void sick_tpm_respond(SickTPM *tpm, SickExchange exchange, const uint8_t *command,
                      SickBytes *response);

/* The process has ended. */
void sick_tpm_forget(SickTPM *tpm);

#endif /* SICK_TPM_H */
