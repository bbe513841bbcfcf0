/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * swtpm's control channel: what goes over its unix socket, in numbers and in words.
 *
 * A message is a command number and a payload, a reply is a result and a payload; all fields are
 * big-endian and nothing carries a length, so both sides know the sizes. One message is answered
 * before the next is sent. TPM commands go over a second socket, the data channel, which
 * SET_DATAFD hands over.
 *
 * Source: swtpm's manual page swtpm_ioctls(3), and what swtpm 0.7.1 was seen to send.
 * Used by emulator-control.c, which knows the sizes, and by emulator.c and emulator-start.c.
 */
#ifndef SWTPM_PROTOCOL_H
#define SWTPM_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>
#include <tpmdev/backend.h>

/* The messages this library sends. */
typedef enum SwtpmCommand {
    SWTPM_NONE = 0x00, /* no message has this number */
    SWTPM_GET_CAPABILITY = 0x01,
    SWTPM_INIT = 0x02,
    SWTPM_SHUTDOWN = 0x03,
    SWTPM_GET_TPMESTABLISHED = 0x04,
    SWTPM_SET_LOCALITY = 0x05,
    SWTPM_HASH_START = 0x06,
    SWTPM_HASH_DATA = 0x07,
    SWTPM_HASH_END = 0x08,
    SWTPM_CANCEL_TPM_CMD = 0x09,
    SWTPM_STORE_VOLATILE = 0x0A,
    SWTPM_RESET_TPMESTABLISHED = 0x0B,
    SWTPM_GET_STATEBLOB = 0x0C,
    SWTPM_SET_STATEBLOB = 0x0D,
    SWTPM_STOP = 0x0E,
    SWTPM_SET_DATAFD = 0x10,
    SWTPM_SET_BUFFERSIZE = 0x11,
    SWTPM_GET_INFO = 0x12,
    SWTPM_LOCK_STORAGE = 0x13,
} SwtpmCommand;

/* Bits of GET_CAPABILITY's reply: which messages it takes. */
#define SWTPM_CAP_INIT                 (1u << 0)
#define SWTPM_CAP_SHUTDOWN             (1u << 1)
#define SWTPM_CAP_GET_TPMESTABLISHED   (1u << 2)
#define SWTPM_CAP_SET_LOCALITY         (1u << 3)
#define SWTPM_CAP_HASHING              (1u << 4)
#define SWTPM_CAP_CANCEL_TPM_CMD       (1u << 5)
#define SWTPM_CAP_STORE_VOLATILE       (1u << 6)
#define SWTPM_CAP_RESET_TPMESTABLISHED (1u << 7)
#define SWTPM_CAP_GET_STATEBLOB        (1u << 8)
#define SWTPM_CAP_SET_STATEBLOB        (1u << 9)
#define SWTPM_CAP_STOP                 (1u << 10)
#define SWTPM_CAP_SET_DATAFD           (1u << 12)
#define SWTPM_CAP_SET_BUFFERSIZE       (1u << 13)
#define SWTPM_CAP_GET_INFO             (1u << 14)
#define SWTPM_CAP_SEND_COMMAND_HEADER  (1u << 15) /* commands with their locality in front */
#define SWTPM_CAP_LOCK_STORAGE         (1u << 16) /* 0.8 and later: sends TPM2_Shutdown by itself */

/* Flags of INIT. */
#define SWTPM_INIT_DELETE_VOLATILE (1u << 0) /* delete stored volatile state once it is resumed */

/* The result word every reply begins with; anything but 0 is a TPM 1.2 return code. */
#define SWTPM_RESULT_OFFSET 0u
#define SWTPM_RESULT_SIZE   4u

/* GET_CAPABILITY: u32 result, u32 capabilities. */
#define SWTPM_CAPABILITY_OFFSET 4u
/* GET_TPMESTABLISHED: u32 result, u8 flag, 3 bytes of padding. */
#define SWTPM_ESTABLISHED_OFFSET 4u
/* SET_BUFFERSIZE: u32 result, u32 size in force, u32 smallest, u32 largest. */
#define SWTPM_BUFFERSIZE_OFFSET     4u
#define SWTPM_BUFFERSIZE_MAX_OFFSET 12u

/*
 * GET_STATEBLOB: u32 flags, u32 type, u32 offset; its reply: u32 result, u32 flags, u32 totlength,
 * u32 length, and length bytes. SET_STATEBLOB: u32 flags, u32 type, u32 length, and length bytes.
 */
#define SWTPM_BLOB_PERMANENT        1u
#define SWTPM_BLOB_VOLATILE         2u
#define SWTPM_BLOB_SAVESTATE        3u
#define SWTPM_BLOB_MESSAGE_SIZE     16u
#define SWTPM_BLOB_FLAGS_OFFSET     4u
#define SWTPM_BLOB_TOTLENGTH_OFFSET 8u
#define SWTPM_BLOB_LENGTH_OFFSET    12u
#define SWTPM_BLOB_FLAG_ENCRYPTED   (1u << 1) /* by the key of the storage */
#define SWTPM_RESULT_NO_SUCH_STATE  0x800u

/*
 * GET_INFO: u64 what, u32 offset, u32 of padding; its reply: u32 result, u32 totlength, u32 length,
 * and length bytes.
 */
#define SWTPM_INFO_MESSAGE_SIZE     20u
#define SWTPM_INFO_TOTLENGTH_OFFSET 4u
#define SWTPM_INFO_LENGTH_OFFSET    8u

/* What a blob begins with: u8 version, u8 least version, u16 size of this, u16 flags, u32 size. */
#define SWTPM_BLOB_HEADER_SIZE        10u
#define SWTPM_BLOB_VERSION            2u
#define SWTPM_BLOB_VERSION_OFFSET     0u
#define SWTPM_BLOB_LEAST_OFFSET       1u
#define SWTPM_BLOB_HEADER_SIZE_OFFSET 2u
#define SWTPM_BLOB_HEADER_TOTAL       6u

/* Bytes of the largest message, but for what HASH_DATA brings along, and of the largest reply. */
#define SWTPM_MESSAGE_MAX 8u
#define SWTPM_REPLY_MAX   16u

/* The argument of the messages whose payload is a locality and three bytes of padding. */
#define SWTPM_LOCALITY_ARGUMENT(locality) ((uint32_t)(locality) << 24)

/* Write a message; returns its size. argument is its payload of four bytes, if it has one. */
size_t tpm_swtpm_message(SwtpmCommand command, uint32_t argument,
                         uint8_t message[SWTPM_MESSAGE_MAX]);

/* Write GET_STATEBLOB or SET_STATEBLOB; `last` is the offset, or the length of what follows. */
void tpm_swtpm_blob_message(SwtpmCommand command, uint32_t flags, uint32_t type, uint32_t last,
                            uint8_t message[SWTPM_BLOB_MESSAGE_SIZE]);

/* Write GET_INFO; `what` is as libtpms has it. */
void tpm_swtpm_info_message(uint32_t what, uint32_t offset,
                            uint8_t message[SWTPM_INFO_MESSAGE_SIZE]);

/* Bytes of the reply when its result is 0. Else there may be nothing behind the result. */
size_t tpm_swtpm_reply_size(SwtpmCommand command);

/* The message's name, for people. */
const char *tpm_swtpm_command_name(SwtpmCommand command);

/* What a result means, for people. */
const char *tpm_swtpm_result_name(uint32_t result);

/* What a result of SET_STATEBLOB means of the state, for people; and which error it is. */
const char *tpm_swtpm_state_words(uint32_t result);
TPMError tpm_swtpm_state_error(uint32_t result);

/* The names of the messages that saved state needs and are not there, or NULL for none. */
char *tpm_swtpm_missing_for_state(uint32_t capabilities);

/* The names of the messages a TPM of this version must take and does not, or NULL for none. */
char *tpm_swtpm_missing(uint32_t capabilities, TPMVersion version);

#endif /* SWTPM_PROTOCOL_H */
