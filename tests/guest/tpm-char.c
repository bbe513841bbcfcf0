/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands and responses as byte strings (TPM 2.0 Part 1, "Command/Response Structure"; TPM 1.2
 * Part 3), and the character device that carries them: one write() is a command, one read() its
 * response.
 *
 * Neighbours: guest-check.c, which runs it inside the guest.
 */
#include "tpm-char.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define HEADER_SIZE   10u
#define HEADER_LENGTH 2u /* where the size field is */

#define TPM_RS_PW 0x40000009u

void tpm_put_bytes(TPMMessage *message, const void *data, unsigned size)
{
    g_assert(size <= sizeof(message->data) - message->size);
    memcpy(message->data + message->size, data, size);
    message->size += size;
}

void tpm_put_u8(TPMMessage *message, unsigned value)
{
    tpm_put_bytes(message, &(uint8_t){ (uint8_t)value }, 1);
}

void tpm_put_u16(TPMMessage *message, unsigned value)
{
    tpm_put_u8(message, value >> 8);
    tpm_put_u8(message, value & 0xFF);
}

void tpm_put_u32(TPMMessage *message, uint32_t value)
{
    tpm_put_u16(message, value >> 16);
    tpm_put_u16(message, value & 0xFFFF);
}

void tpm_command(TPMMessage *command, unsigned tag, uint32_t ordinal)
{
    command->size = 0;
    tpm_put_u16(command, tag);
    tpm_put_u32(command, 0);
    tpm_put_u32(command, ordinal);
}

void tpm_put_empty_password(TPMMessage *command)
{
    tpm_put_u32(command, 9); /* bytes that follow */
    tpm_put_u32(command, TPM_RS_PW);
    tpm_put_u16(command, 0); /* nonce */
    tpm_put_u8(command, 0);  /* session attributes */
    tpm_put_u16(command, 0); /* password */
}

const uint8_t *tpm_get_bytes(TPMMessage *response, unsigned size)
{
    if (size > response->size - response->at) {
        response->at = response->size;
        return NULL;
    }
    response->at += size;
    return response->data + response->at - size;
}

static uint32_t get_number(TPMMessage *response, unsigned width)
{
    const uint8_t *bytes = tpm_get_bytes(response, width);
    uint32_t value = 0;

    for (unsigned i = 0; bytes && i < width; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

unsigned tpm_get_u8(TPMMessage *response)
{
    return get_number(response, 1);
}

unsigned tpm_get_u16(TPMMessage *response)
{
    return get_number(response, 2);
}

uint32_t tpm_get_u32(TPMMessage *response)
{
    return get_number(response, 4);
}

int tpm_char_open(const char *path)
{
    return open(path, O_RDWR | O_CLOEXEC);
}

static void set_length(TPMMessage *command)
{
    unsigned size = command->size;

    command->size = HEADER_LENGTH;
    tpm_put_u32(command, size);
    command->size = size;
}

uint32_t tpm_char_run(int fd, TPMMessage *command, TPMMessage *response)
{
    set_length(command);
    response->at = 0;
    response->size = 0;
    ssize_t done = write(fd, command->data, command->size);

    if (done >= 0) {
        done = read(fd, response->data, sizeof(response->data));
    }
    if (done < 0) {
        return TPM_CHAR_NO_RESPONSE;
    }
    response->size = (unsigned)done;
    tpm_get_u16(response); /* tag */
    if (done < (ssize_t)HEADER_SIZE || tpm_get_u32(response) != response->size) {
        errno = EPROTO;
        return TPM_CHAR_NO_RESPONSE;
    }
    return tpm_get_u32(response);
}
