/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * At which locality the `emulator` backend's commands run.
 *
 * swtpm keeps a locality for all commands; SET_LOCALITY sets it, a message and its reply. A swtpm
 * that has SEND_COMMAND_HEADER takes a command with its locality in front, which it keeps for those
 * that follow, so that costs no message at all. Either is done only when the locality changes.
 *
 *     command     BE32 8, u8 locality, BE32 size, command
 *     response    BE32 size, response, BE32 0
 *
 * swtpm does not look whether the locality is one (measured, 0.7.1); here it is 0 to 4, as the
 * device had it. A peer that says it takes the header and does not answers it as the malformed
 * command it then is; it gets SET_LOCALITY from there on, and the command once more.
 *
 * Source: TPM simulator protocol of the TPM 2.0 Library Specification, Part 4, as swtpm speaks it.
 * Neighbours: emulator-io.c sends and receives.
 */
#include "emulator-internal.h"

#include "command.h"

#include <string.h>

#define HEADER_COMMAND 8u /* TPM_SEND_COMMAND */
#define HEADER_SIZE    9u

/* Where the response is, and what comes after it. */
#define RESPONSE_OFFSET 4u
#define TRAILER_SIZE    4u

bool tpm_emulator_needs_locality(const Emulator *emulator)
{
    return emulator->command.locality != emulator->locality &&
           !(emulator->capabilities & SWTPM_CAP_SEND_COMMAND_HEADER &&
             emulator->version == TPM_VERSION_2_0);
}

void tpm_emulator_send_at_locality(Emulator *emulator)
{
    const TPMCommand *command = &emulator->command;
    uint8_t message[HEADER_SIZE + TPM_BUFFER_SIZE_MAX];

    emulator->prefixed = command->locality != emulator->locality;
    if (!emulator->prefixed) {
        tpm_emulator_send_command(emulator, command->data, command->size, DATA_SENT);
        return;
    }
    emulator->locality = command->locality;
    tpm_put_be32(message, HEADER_COMMAND);
    message[4] = command->locality;
    tpm_put_be32(message + 5, (uint32_t)command->size);
    memcpy(message + HEADER_SIZE, command->data, command->size);
    tpm_emulator_send_command(emulator, message, HEADER_SIZE + command->size, DATA_SENT);
}

/* An answer of ten bytes with an error, as to any command with this tag. */
static bool is_header_refused(const Emulator *emulator)
{
    return tpm_header_tag(emulator->response) == TPM2_ST_NO_SESSIONS &&
           emulator->response_size == TPM_HEADER_SIZE &&
           tpm_header_len(emulator->response) == TPM_HEADER_SIZE &&
           tpm_header_code(emulator->response) != 0;
}

static void use_set_locality(Emulator *emulator)
{
    emulator->capabilities &= ~SWTPM_CAP_SEND_COMMAND_HEADER;
    emulator->locality = EMULATOR_NO_LOCALITY;
    emulator->data = DATA_WAITING;
    emulator->data_deadline = 0;
    tpm_emulator_advance(emulator);
}

static void broken(Emulator *emulator)
{
    tpm_emulator_break(emulator,
                       tpm_emulator_error(emulator, TPM_ERROR_PROTOCOL,
                                          "sent a response that begins with %08Xh to a command "
                                          "with a header for its locality",
                                          tpm_get_be32(emulator->response)));
}

bool tpm_emulator_unwrap(Emulator *emulator)
{
    uint32_t size = tpm_get_be32(emulator->response);
    size_t whole = RESPONSE_OFFSET + (size_t)size + TRAILER_SIZE;

    if (is_header_refused(emulator)) {
        emulator->prefixed = false;
        if (emulator->data == DATA_SENT) {
            use_set_locality(emulator);
            return false;
        }
        return true; /* its device is gone: any response will do */
    } else if (size < TPM_HEADER_SIZE || size > emulator->tpm_buffer_size ||
               emulator->response_size > whole) {
        broken(emulator);
    } else if (emulator->response_size == whole) {
        if (tpm_header_len(emulator->response + RESPONSE_OFFSET) != size ||
            tpm_get_be32(emulator->response + whole - TRAILER_SIZE) != 0) {
            broken(emulator);
            return false;
        }
        memmove(emulator->response, emulator->response + RESPONSE_OFFSET, size);
        emulator->response_size = size;
        emulator->prefixed = false;
        return true;
    }
    return false;
}
