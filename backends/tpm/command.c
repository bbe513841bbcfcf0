/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What can be said of a TPM command by its header: is it well formed, is it short, what does a
 * TPM answer that has failed.
 *
 * Sources: TPM 2.0 Library Part 2 (TPM_ST, TPM_RC); TPM Main 1.2 Part 2 (command tags, return
 * codes). The codes for malformed commands are those libtpms answers.
 *
 * Neighbours: ordinals.c has the commands; hw/tpm/request.c asks before a command leaves the device
 * and after its response has come.
 */
#include "command.h"
#include "ordinals.h"

/* TPM 2.0 Part 3 "Testing"; TPM 1.2 Part 3 "Admin Testing". */
#define TPM12_ORD_SELF_TEST_FULL      0x50u
#define TPM12_ORD_CONTINUE_SELF_TEST  0x53u
#define TPM2_CC_INCREMENTAL_SELF_TEST 0x142u
#define TPM2_CC_SELF_TEST             0x143u

void tpm_error_response(TPMVersion version, uint32_t code, uint8_t response[TPM_HEADER_SIZE])
{
    uint16_t tag = version == TPM_VERSION_1_2 ? TPM12_TAG_RSP : TPM2_ST_NO_SESSIONS;

    tpm_put_be16(response + TPM_HEADER_TAG, tag);
    tpm_put_be32(response + TPM_HEADER_LEN, TPM_HEADER_SIZE);
    tpm_put_be32(response + TPM_HEADER_CODE, code);
}

void tpmdev_failure_response(TPMVersion version, uint8_t response[TPM_HEADER_SIZE])
{
    tpm_error_response(version, version == TPM_VERSION_1_2 ? TPM12_FAIL : TPM2_RC_FAILURE,
                       response);
}

static bool command_tag_is_valid(TPMVersion version, uint16_t tag)
{
    if (version == TPM_VERSION_1_2) {
        return tag == TPM12_TAG_RQU || tag == TPM12_TAG_RQU_AUTH1 || tag == TPM12_TAG_RQU_AUTH2;
    }
    return tag == TPM2_ST_NO_SESSIONS || tag == TPM2_ST_SESSIONS;
}

bool tpm_command_check(TPMVersion version, const uint8_t *command, size_t size, uint32_t *ret_code)
{
    bool is_1_2 = version == TPM_VERSION_1_2;

    if (size < TPM_HEADER_SIZE) {
        *ret_code = is_1_2 ? TPM12_BAD_PARAM_SIZE : TPM2_RC_COMMAND_SIZE;
        return false;
    }
    /*
     * The tag before the size, as libtpms does. OVMF tells a TPM 1.2 from a 2.0 by the answer to
     * a command with a 1.2 tag: a 2.0 TPM answers in its own shape, with TPM_RC_VALUE.
     */
    if (!command_tag_is_valid(version, tpm_header_tag(command))) {
        *ret_code = is_1_2 ? TPM12_BADTAG : TPM2_RC_VALUE;
        return false;
    }
    if (tpm_header_len(command) != size) {
        *ret_code = is_1_2 ? TPM12_BAD_PARAM_SIZE : TPM2_RC_COMMAND_SIZE;
        return false;
    }
    return true;
}

bool tpm_response_check(const uint8_t *response, size_t size, size_t max)
{
    return size >= TPM_HEADER_SIZE && size <= max && tpm_header_len(response) == size;
}

bool tpm_command_is_short(TPMVersion version, uint32_t ordinal)
{
    size_t n;
    const TPMOrdinal *ordinals = tpm_ordinals(version, &n);
    size_t row = tpm_ordinal_find(version, ordinal);

    return row < n && ordinals[row].is_short;
}

/*
 * TPM2_IncrementalSelfTest answers with the algorithms that are still to be tested: a list, which
 * begins with their number, behind the size of the parameters if there are sessions.
 */
static bool nothing_is_to_do(const uint8_t *response, size_t size)
{
    size_t at = tpm_header_tag(response) == TPM2_ST_SESSIONS ? TPM_HEADER_SIZE + sizeof(uint32_t)
                                                             : TPM_HEADER_SIZE;

    return size >= at + sizeof(uint32_t) && tpm_get_be32(response + at) == 0;
}

bool tpm_command_ends_selftest(TPMVersion version, const uint8_t *command, size_t size,
                               const uint8_t *response, size_t response_size)
{
    if (size < TPM_HEADER_SIZE || response_size < TPM_HEADER_SIZE ||
        tpm_header_code(response) != 0) {
        return false;
    }
    uint32_t ordinal = tpm_header_code(command);

    if (version == TPM_VERSION_1_2) {
        return ordinal == TPM12_ORD_CONTINUE_SELF_TEST || ordinal == TPM12_ORD_SELF_TEST_FULL;
    }
    return ordinal == TPM2_CC_SELF_TEST ||
           (ordinal == TPM2_CC_INCREMENTAL_SELF_TEST && nothing_is_to_do(response, response_size));
}

bool tpm_command_continues_selftest(TPMVersion version, const uint8_t *command, size_t size)
{
    return version == TPM_VERSION_1_2 && size >= TPM_HEADER_SIZE &&
           tpm_header_code(command) == TPM12_ORD_CONTINUE_SELF_TEST;
}
