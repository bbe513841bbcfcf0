/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What can be said of a TPM command by its header: is it well formed, is it short, what does a
 * TPM answer that has failed.
 *
 * Sources: TPM 2.0 Library Part 2 (TPM_ST, TPM_RC, TPM_CC); TPM Main 1.2 Part 2 (command tags,
 * return codes, ordinals). The codes for malformed commands are those libtpms answers.
 *
 * Neighbours: hw/tpm/request.c asks before a command leaves the device and after its response
 * has come.
 */
#include "command.h"

/*
 * Commands a TPM answers within microseconds: they hash, look up or copy. Those that write to
 * non-volatile memory or compute with asymmetric keys are not here.
 */
static const uint32_t short_commands_2_0[] = {
    0x13D, /* PCR_Reset */
    0x146, /* StirRandom */
    0x14E, /* NV_Read */
    0x15C, /* SequenceUpdate */
    0x165, /* FlushContext */
    0x169, /* NV_ReadPublic */
    0x16B, /* PolicyAuthValue */
    0x16C, /* PolicyCommandCode */
    0x16F, /* PolicyLocality */
    0x171, /* PolicyOR */
    0x173, /* ReadPublic */
    0x178, /* ECC_Parameters */
    0x17A, /* GetCapability */
    0x17B, /* GetRandom */
    0x17C, /* GetTestResult */
    0x17D, /* Hash */
    0x17E, /* PCR_Read */
    0x17F, /* PolicyPCR */
    0x180, /* PolicyRestart */
    0x181, /* ReadClock */
    0x182, /* PCR_Extend */
    0x186, /* HashSequenceStart */
    0x189, /* PolicyGetDigest */
    0x18A, /* TestParms */
    0x18C, /* PolicyPassword */
};

static const uint32_t short_commands_1_2[] = {
    0x0A, /* TPM_OIAP */
    0x0B, /* TPM_OSAP */
    0x14, /* TPM_Extend */
    0x15, /* TPM_PCRRead */
    0x46, /* TPM_GetRandom */
    0x47, /* TPM_StirRandom */
    0x65, /* TPM_GetCapability */
    0xC8, /* TPM_PCR_Reset */
    0xCF, /* TPM_NV_ReadValue */
    0xF1, /* TPM_GetTicks */
};

#define TPM12_ORD_CONTINUE_SELF_TEST 0x53u

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

static bool ordinal_is_in(uint32_t ordinal, const uint32_t *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i] == ordinal) {
            return true;
        }
    }
    return false;
}

bool tpm_command_is_short(TPMVersion version, uint32_t ordinal)
{
    if (version == TPM_VERSION_1_2) {
        return ordinal_is_in(ordinal, short_commands_1_2, G_N_ELEMENTS(short_commands_1_2));
    }
    return ordinal_is_in(ordinal, short_commands_2_0, G_N_ELEMENTS(short_commands_2_0));
}

bool tpm_command_ends_selftest(TPMVersion version, const uint8_t *command, size_t size,
                               const uint8_t *response, size_t response_size)
{
    return version == TPM_VERSION_1_2 && size >= TPM_HEADER_SIZE &&
           tpm_header_code(command) == TPM12_ORD_CONTINUE_SELF_TEST &&
           response_size >= TPM_HEADER_SIZE && tpm_header_code(response) == TPM12_SUCCESS;
}
