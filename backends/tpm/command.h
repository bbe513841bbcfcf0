/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ten bytes every TPM command and response begins with: tag, size, and ordinal or code, all
 * big-endian. What can be said of a command without knowing what it does is said here.
 *
 * Used by hw/tpm/request.c (stages 3 and 5) and by every backend.
 */
#ifndef TPM_COMMAND_H
#define TPM_COMMAND_H

#include <tpmdev/backend.h>

/* Offsets of the header's fields, in bytes. */
#define TPM_HEADER_TAG  0u /* 2 bytes: TPM_ST_* or TPM_TAG_* */
#define TPM_HEADER_LEN  2u /* 4 bytes: size of the whole, header included */
#define TPM_HEADER_CODE 6u /* 4 bytes: ordinal of a command, return code of a response */

/* Tags: TPM 2.0 Part 2 "TPM_ST"; TPM 1.2 Part 2 "Command Tags". */
#define TPM2_ST_NO_SESSIONS 0x8001u
#define TPM2_ST_SESSIONS    0x8002u
#define TPM12_TAG_RQU       0x00C1u
#define TPM12_TAG_RQU_AUTH1 0x00C2u
#define TPM12_TAG_RQU_AUTH2 0x00C3u
#define TPM12_TAG_RSP       0x00C4u

/* Return codes: TPM 2.0 Part 2 "TPM_RC"; TPM 1.2 Part 2 "Return Codes". */
#define TPM2_RC_SUCCESS        0x000u
#define TPM2_RC_VALUE          0x084u
#define TPM2_RC_INITIALIZE     0x100u
#define TPM2_RC_FAILURE        0x101u
#define TPM2_RC_COMMAND_SIZE   0x142u
#define TPM2_RC_CANCELED       0x909u
#define TPM12_SUCCESS          0x00u
#define TPM12_FAIL             0x09u
#define TPM12_BAD_PARAM_SIZE   0x19u
#define TPM12_BADTAG           0x1Eu
#define TPM12_INVALID_POSTINIT 0x26u

static inline uint16_t tpm_get_be16(const uint8_t *p)
{
    return (uint16_t)((uint16_t)p[0] << 8 | p[1]);
}

static inline uint32_t tpm_get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void tpm_put_be16(uint8_t *p, uint16_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void tpm_put_be32(uint8_t *p, uint32_t value)
{
    tpm_put_be16(p, (uint16_t)(value >> 16));
    tpm_put_be16(p + 2, (uint16_t)value);
}

/* Fields of a header; the caller has seen to it that TPM_HEADER_SIZE bytes are there. */
static inline uint16_t tpm_header_tag(const uint8_t *header)
{
    return tpm_get_be16(header + TPM_HEADER_TAG);
}

static inline uint32_t tpm_header_len(const uint8_t *header)
{
    return tpm_get_be32(header + TPM_HEADER_LEN);
}

static inline uint32_t tpm_header_code(const uint8_t *header)
{
    return tpm_get_be32(header + TPM_HEADER_CODE);
}

/* Write a response that is nothing but a header with this return code. */
void tpm_error_response(TPMVersion version, uint32_t code, uint8_t response[TPM_HEADER_SIZE]);

/*
 * May these bytes go to a TPM of this version? If not, *ret_code is the return code a real one
 * answers them with. The tag is checked because swtpm takes a first word of 8 as a prefix by
 * which the sender chooses its locality.
 */
bool tpm_command_check(TPMVersion version, const uint8_t *command, size_t size, uint32_t *ret_code);

/* Is this a whole response of at most max bytes, as its own size field says? */
bool tpm_response_check(const uint8_t *response, size_t size, size_t max);

/* Does a TPM answer commands of this ordinal within microseconds, so that waiting pays? */
bool tpm_command_is_short(TPMVersion version, uint32_t ordinal);

/*
 * Has the TPM tested itself in full with this command? TPM_SelfTestFull, TPM_ContinueSelfTest or
 * TPM2_SelfTest that succeeded; TPM2_IncrementalSelfTest when it left nothing to be done. A TPM
 * that goes on testing meanwhile says TPM_RC_TESTING, which is no success.
 */
bool tpm_command_ends_selftest(TPMVersion version, const uint8_t *command, size_t size,
                               const uint8_t *response, size_t response_size);

/* Is it TPM_ContinueSelfTest, after which alone QEMU's devices show that? */
bool tpm_command_continues_selftest(TPMVersion version, const uint8_t *command, size_t size);

#endif /* TPM_COMMAND_H */
