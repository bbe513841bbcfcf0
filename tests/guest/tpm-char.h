/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The TPM's character device, and commands built by hand: what a guest program needs to talk to
 * its TPM without a TSS.
 *
 * Used by guest-check.c and its parts, inside the guest.
 */
#ifndef TPM_CHAR_H
#define TPM_CHAR_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* What Linux's character device takes and gives at most, in bytes. */
#define TPM_CHAR_MAX 4096u

/* What tpm_char_run() returns when the device gave no response at all. */
#define TPM_CHAR_NO_RESPONSE UINT32_MAX

/* A command being built, or a response being read. */
typedef struct TPMMessage {
    uint8_t data[TPM_CHAR_MAX + 1]; /* one more, to try one too large */
    unsigned size;
    unsigned at; /* of a response: what was read so far */
} TPMMessage;

void tpm_put_u8(TPMMessage *message, unsigned value);
void tpm_put_u16(TPMMessage *message, unsigned value);
void tpm_put_u32(TPMMessage *message, uint32_t value);
void tpm_put_bytes(TPMMessage *message, const void *data, unsigned size);

/* Start a command; its size field is filled in when it is sent, which the second does. */
void tpm_command(TPMMessage *command, unsigned tag, uint32_t ordinal);
void tpm_command_end(TPMMessage *command);

/* The authorization area of one empty password (TPM 2.0 Part 1, "Password Authorizations"). */
void tpm_put_empty_password(TPMMessage *command);

/* Numbers of a response in order; 0 beyond its end. */
unsigned tpm_get_u8(TPMMessage *response);
unsigned tpm_get_u16(TPMMessage *response);
uint32_t tpm_get_u32(TPMMessage *response);

/* The next bytes of a response, or NULL when it is too short. */
const uint8_t *tpm_get_bytes(TPMMessage *response, unsigned size);

/* Open the device, such as /dev/tpm0; -1 and errno when that fails. */
int tpm_char_open(const char *path);

/*
 * Send the command and read its response, which is left right behind the header. Returns the
 * response's code, or TPM_CHAR_NO_RESPONSE with errno set.
 */
uint32_t tpm_char_run(int fd, TPMMessage *command, TPMMessage *response);

#endif /* TPM_CHAR_H */
