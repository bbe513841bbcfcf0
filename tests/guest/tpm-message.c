/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands and responses as byte strings (TPM 2.0 Part 1, "Command/Response Structure"; TPM 1.2
 * Part 3).
 *
 * Neighbours: guest-tpm.c and the checks, which put them together and take them apart.
 */
#include "tpm-char.h"

#include <string.h>

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

void tpm_command_end(TPMMessage *command)
{
    unsigned size = command->size;

    command->size = HEADER_LENGTH;
    tpm_put_u32(command, size);
    command->size = size;
}
