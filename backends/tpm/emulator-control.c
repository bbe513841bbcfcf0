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
#include "tpm-info.h"

typedef struct SwtpmMessage {
    SwtpmCommand command;
    const char *name;
    size_t payload_size; /* 0 or 4; 12 for a blob's, 16 for what a TPM is */
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
    { SWTPM_GET_STATEBLOB, "GET_STATEBLOB", 12, 16 },
    { SWTPM_SET_STATEBLOB, "SET_STATEBLOB", 12, 4 },
    { SWTPM_STOP, "STOP", 0, 4 },
    { SWTPM_SET_DATAFD, "SET_DATAFD", 0, 4 },
    { SWTPM_SET_BUFFERSIZE, "SET_BUFFERSIZE", 4, 16 },
    { SWTPM_GET_INFO, "GET_INFO", 16, 12 },
    { SWTPM_LOCK_STORAGE, "LOCK_STORAGE", 4, 4 },
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

void tpm_swtpm_blob_message(SwtpmCommand command, uint32_t flags, uint32_t type, uint32_t last,
                            uint8_t message[SWTPM_BLOB_MESSAGE_SIZE])
{
    tpm_put_be32(message, (uint32_t)command);
    tpm_put_be32(message + 4, flags);
    tpm_put_be32(message + 8, type);
    tpm_put_be32(message + 12, last);
}

void tpm_swtpm_info_message(uint32_t what, uint32_t offset,
                            uint8_t message[SWTPM_INFO_MESSAGE_SIZE])
{
    tpm_put_be32(message, SWTPM_GET_INFO);
    tpm_put_be32(message + 4, 0);
    tpm_put_be32(message + 8, what);
    tpm_put_be32(message + 12, offset);
    tpm_put_be32(message + 16, 0);
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
        return "operation failed; is its state in use by another swtpm, or its disk full?";
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

const char *tpm_swtpm_state_words(uint32_t result)
{
    switch (result) {
    case 0x0D:
        return "it is encrypted and this swtpm has no key; give it the --key, or --migration-key, "
               "of the one that wrote it";
    case 0x20:
    case 0x21:
        return "it cannot be decrypted with this swtpm's key; give it the --key, or "
               "--migration-key, of the one that wrote it";
    case 0x1F:
        return "its storage cannot be had; another swtpm may still have it locked";
    default: {
        const char *words = tpm_info_result_words(result);

        return words ? words : tpm_swtpm_result_name(result);
    }
    }
}

TPMError tpm_swtpm_state_error(uint32_t result)
{
    switch (result) {
    case 0x0D:
    case 0x20:
    case 0x21:
        return TPM_ERROR_STATE_MISMATCH;
    case 0x1F:
        return TPM_ERROR_IO;
    default:
        return tpm_info_result_error(result);
    }
}

typedef struct Required {
    uint32_t bit;
    SwtpmCommand command;
} Required;

static char *name_missing(uint32_t capabilities, const Required *required, gsize n)
{
    GString *names = g_string_new(NULL);

    for (gsize i = 0; i < n; i++) {
        if (!(capabilities & required[i].bit)) {
            g_string_append_printf(names, "%s%s", names->len ? ", " : "",
                                   tpm_swtpm_command_name(required[i].command));
        }
    }
    return g_string_free(names, names->len == 0);
}

char *tpm_swtpm_missing_for_state(uint32_t capabilities)
{
    static const Required required[] = {
        { SWTPM_CAP_GET_STATEBLOB, SWTPM_GET_STATEBLOB },
        { SWTPM_CAP_SET_STATEBLOB, SWTPM_SET_STATEBLOB },
        { SWTPM_CAP_STOP, SWTPM_STOP },
    };

    return name_missing(capabilities, required, G_N_ELEMENTS(required));
}

char *tpm_swtpm_missing(uint32_t capabilities, TPMVersion version)
{
    static const Required required[] = {
        { SWTPM_CAP_INIT, SWTPM_INIT },
        { SWTPM_CAP_SHUTDOWN, SWTPM_SHUTDOWN },
        { SWTPM_CAP_GET_TPMESTABLISHED, SWTPM_GET_TPMESTABLISHED },
        { SWTPM_CAP_SET_LOCALITY, SWTPM_SET_LOCALITY },
        { SWTPM_CAP_STOP, SWTPM_STOP },
        { SWTPM_CAP_SET_DATAFD, SWTPM_SET_DATAFD },
        { SWTPM_CAP_SET_BUFFERSIZE, SWTPM_SET_BUFFERSIZE },
        { SWTPM_CAP_RESET_TPMESTABLISHED, SWTPM_RESET_TPMESTABLISHED }, /* 2.0 alone */
    };

    return name_missing(capabilities, required,
                        G_N_ELEMENTS(required) - (version == TPM_VERSION_1_2 ? 1 : 0));
}
