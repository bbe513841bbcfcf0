/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages of swtpm's control channel: how they are written, how long their replies are, what
 * they are called. No I/O and no state here.
 *
 * Source: swtpm's manual page swtpm_ioctls(3).
 * Neighbours: emulator-io.c sends these and reads the replies.
 */
#include "swtpm-protocol.h"

#include "command.h"

typedef struct SwtpmMessage {
    SwtpmCommand command;
    const char *name;
    size_t payload_size; /* 0 or 4 */
    size_t reply_size;
} SwtpmMessage;

static const SwtpmMessage messages[] = {
    { SWTPM_GET_CAPABILITY, "GET_CAPABILITY", 0, 8 },
    { SWTPM_INIT, "INIT", 4, 4 },
    { SWTPM_SHUTDOWN, "SHUTDOWN", 0, 4 },
    { SWTPM_GET_TPMESTABLISHED, "GET_TPMESTABLISHED", 0, 8 },
    { SWTPM_SET_LOCALITY, "SET_LOCALITY", 4, 4 },
    { SWTPM_HASH_START, "HASH_START", 0, 4 },
    { SWTPM_HASH_DATA, "HASH_DATA", 4, 4 }, /* the number of bytes that follow */
    { SWTPM_HASH_END, "HASH_END", 0, 4 },
    { SWTPM_CANCEL_TPM_CMD, "CANCEL_TPM_CMD", 0, 4 },
    { SWTPM_STORE_VOLATILE, "STORE_VOLATILE", 0, 4 },
    { SWTPM_RESET_TPMESTABLISHED, "RESET_TPMESTABLISHED", 4, 4 },
    { SWTPM_STOP, "STOP", 0, 4 },
    { SWTPM_SET_DATAFD, "SET_DATAFD", 0, 4 },
    { SWTPM_SET_BUFFERSIZE, "SET_BUFFERSIZE", 4, 16 },
};

static const SwtpmMessage *find_message(SwtpmCommand command)
{
    static const SwtpmMessage none = { SWTPM_NONE, "nothing", 0, 4 };

    for (size_t i = 0; i < G_N_ELEMENTS(messages); i++) {
        if (messages[i].command == command) {
            return &messages[i];
        }
    }
    return &none;
}

size_t tpm_swtpm_message(SwtpmCommand command, uint32_t argument,
                         uint8_t message[SWTPM_MESSAGE_MAX])
{
    tpm_put_be32(message, (uint32_t)command);
    tpm_put_be32(message + 4, argument);
    return 4 + find_message(command)->payload_size;
}

size_t tpm_swtpm_reply_size(SwtpmCommand command)
{
    return find_message(command)->reply_size;
}

const char *tpm_swtpm_command_name(SwtpmCommand command)
{
    return find_message(command)->name;
}

const char *tpm_swtpm_result_name(uint32_t result)
{
    switch (result) {
    case 0x03:
        return "bad parameter";
    case 0x09:
        return "operation failed; is its state in use by another swtpm?";
    case 0x0A:
        return "unknown message, or not possible in the TPM's present state";
    case 0x0D:
        return "the state is encrypted and it has no key";
    case 0x1F:
        return "input or output failed";
    case 0x21:
        return "the state cannot be decrypted with its key";
    case 0x26:
        return "not possible before TPM_Startup";
    case 0x3D:
        return "bad locality";
    case 0x101:
        return "the TPM is in failure mode; its state may be unreadable";
    default:
        return "a TPM return code";
    }
}

char *tpm_swtpm_missing(uint32_t capabilities, TPMVersion version)
{
    static const struct {
        uint32_t bit;
        SwtpmCommand command;
    } required[] = {
        { SWTPM_CAP_INIT, SWTPM_INIT },
        { SWTPM_CAP_SHUTDOWN, SWTPM_SHUTDOWN },
        { SWTPM_CAP_GET_TPMESTABLISHED, SWTPM_GET_TPMESTABLISHED },
        { SWTPM_CAP_SET_LOCALITY, SWTPM_SET_LOCALITY },
        { SWTPM_CAP_STOP, SWTPM_STOP },
        { SWTPM_CAP_SET_DATAFD, SWTPM_SET_DATAFD },
        { SWTPM_CAP_SET_BUFFERSIZE, SWTPM_SET_BUFFERSIZE },
        { SWTPM_CAP_RESET_TPMESTABLISHED, SWTPM_RESET_TPMESTABLISHED }, /* 2.0 alone */
    };
    gsize n = G_N_ELEMENTS(required) - (version == TPM_VERSION_1_2 ? 1 : 0);
    GString *names = g_string_new(NULL);

    for (gsize i = 0; i < n; i++) {
        if (!(capabilities & required[i].bit)) {
            g_string_append_printf(names, "%s%s", names->len ? ", " : "",
                                   tpm_swtpm_command_name(required[i].command));
        }
    }
    return g_string_free(names, names->len == 0);
}
