/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands of the program's own: small ones, the largest a transport carries, and long data that
 * the TPM hashes or keeps, so that one lost or doubled byte shows.
 *
 * What "4 KiB-class" can be with libtpms 0.9.2. A TPM 1.2 hashes 4032 bytes in one command of 4046.
 * A TPM 2.0 takes at most 1024 bytes of data (TPM2B_MAX_BUFFER) in any command, and gives no more
 * in any response; there is no valid command of 4096 bytes, nor of the 3968 that a CRB device
 * takes. So one that long is sent, and what is checked is that the TPM answers it with the code for
 * too long a parameter list.
 *
 * Neighbours: guest-check.c runs these.
 */
#include "event-log.h"
#include "guest-check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TPM2_CAP_COMMANDS   2u
#define TPM2_FIRST_COMMAND  0x11Fu
#define TPM2_COMMANDS_LEAST 100u

char *check_random(Guest *guest)
{
    uint8_t first[16];
    uint8_t second[16];
    char *wrong = guest_random(guest, first, sizeof(first));

    if (!wrong) {
        wrong = guest_random(guest, second, sizeof(second));
    }
    if (!wrong && memcmp(first, second, sizeof(first)) == 0) {
        wrong = g_strdup("twice the same");
    }
    return wrong;
}

char *check_extend(Guest *guest)
{
    unsigned count;
    const Bank *bank = guest_banks(guest, &count);
    uint8_t digest[DIGEST_MAX];
    uint8_t expected[DIGEST_MAX];
    uint8_t found[DIGEST_MAX];

    guest_fill_pattern(digest, sizeof(digest), 1);
    char *wrong = guest_pcr_read(guest, bank, PCR_DEBUG, expected);

    if (!wrong) {
        event_log_extend(bank->checksum, expected, digest);
        wrong = guest_pcr_extend(guest, bank, PCR_DEBUG, digest);
    }
    if (!wrong) {
        wrong = guest_pcr_read(guest, bank, PCR_DEBUG, found);
    }
    if (!wrong && memcmp(expected, found, bank_digest_size(bank)) != 0) {
        wrong = g_strdup("the PCR is not what was computed");
    }
    return wrong;
}

/* ---- sizes ---- */

/* TPM_RC_SIZE of a parameter list that is too long; TPM_BAD_PARAM_SIZE */
#define OVERSIZED_CODE(guest) ((guest)->tpm2 ? 0x095u : 0x19u)

/* Bytes of a command of check_bulk(). */
#define BULK_SIZE 3072u

/* GetRandom with so many bytes too much behind it that the command is `size` bytes long. */
static void oversized_command(Guest *guest, unsigned size)
{
    static const uint8_t padding[TPM_CHAR_MAX + 1];

    tpm_command(&guest->command, guest->tpm2 ? TPM2_NO_SESSIONS : TPM12_REQUEST,
                guest->tpm2 ? TPM2_GET_RANDOM : TPM12_GET_RANDOM);
    tpm_put_bytes(&guest->command, padding, size - guest->command.size);
}

char *check_largest_command(Guest *guest)
{
    oversized_command(guest, guest->largest);
    uint32_t code = tpm_char_run(guest->fd, &guest->command, &guest->response);

    if (code == TPM_CHAR_NO_RESPONSE) {
        return g_strdup_printf("no response: %s", g_strerror(errno));
    }
    return code == OVERSIZED_CODE(guest) ? NULL : g_strdup_printf("the TPM answers 0x%x", code);
}

char *check_too_large_command(Guest *guest)
{
    oversized_command(guest, guest->largest + 1);
    uint32_t code = tpm_char_run(guest->fd, &guest->command, &guest->response);

    if (code != TPM_CHAR_NO_RESPONSE || errno != E2BIG) {
        return g_strdup("the kernel did not refuse it with E2BIG");
    }
    uint8_t random[16];

    return guest_random(guest, random, sizeof(random));
}

/* ---- long data, hashed by the TPM ---- */

static char *hash_2_0(Guest *guest, const uint8_t *data, unsigned size)
{
    tpm_command(&guest->command, TPM2_NO_SESSIONS, TPM2_HASH);
    tpm_put_u16(&guest->command, size);
    tpm_put_bytes(&guest->command, data, size);
    tpm_put_u16(&guest->command, TPM2_ALG_SHA1);
    tpm_put_u32(&guest->command, TPM2_RH_NULL);
    char *wrong = guest_run(guest, "Hash");

    tpm_get_u16(&guest->response); /* the digest's size */
    return wrong;
}

/* As much as the TPM says it takes in one TPM_SHA1Update. */
static char *hash_1_2(Guest *guest, const uint8_t *data, unsigned *size)
{
    tpm_command(&guest->command, TPM12_REQUEST, TPM12_SHA1_START);
    char *wrong = guest_run(guest, "SHA1Start");

    if (!wrong) {
        uint32_t most = tpm_get_u32(&guest->response);

        *size = MIN(*size, most);
        tpm_command(&guest->command, TPM12_REQUEST, TPM12_SHA1_UPDATE);
        tpm_put_u32(&guest->command, *size);
        tpm_put_bytes(&guest->command, data, *size);
        wrong = guest_run(guest, "SHA1Update");
    }
    if (!wrong) {
        tpm_command(&guest->command, TPM12_REQUEST, TPM12_SHA1_COMPLETE);
        tpm_put_u32(&guest->command, 0);
        wrong = guest_run(guest, "SHA1Complete");
    }
    return wrong;
}

char *check_large_valid_command(Guest *guest)
{
    static uint8_t data[TPM_CHAR_MAX];
    unsigned size = guest->tpm2 ? TPM2_BUFFER_MAX : (sizeof(data) - 64) / 64 * 64;
    uint8_t expected[20];
    gsize expected_size = sizeof(expected);

    guest_fill_pattern(data, sizeof(data), 2);
    char *wrong = guest->tpm2 ? hash_2_0(guest, data, size) : hash_1_2(guest, data, &size);

    if (!wrong && size < TPM2_BUFFER_MAX) {
        wrong = g_strdup_printf("the TPM takes no more than %u bytes", size);
    }
    if (wrong) {
        return wrong;
    }
    printf("size: %u bytes hashed by one command\n", size);
    GChecksum *checksum = g_checksum_new(G_CHECKSUM_SHA1);

    g_checksum_update(checksum, data, size);
    g_checksum_get_digest(checksum, expected, &expected_size);
    g_checksum_free(checksum);
    const uint8_t *found = tpm_get_bytes(&guest->response, sizeof(expected));

    if (!found || memcmp(found, expected, sizeof(expected)) != 0) {
        return g_strdup_printf("the digest of %u bytes is wrong", size);
    }
    return NULL;
}

char *check_large_response(Guest *guest)
{
    tpm_command(&guest->command, TPM2_NO_SESSIONS, TPM2_GET_CAPABILITY);
    tpm_put_u32(&guest->command, TPM2_CAP_COMMANDS);
    tpm_put_u32(&guest->command, TPM2_FIRST_COMMAND);
    tpm_put_u32(&guest->command, 0xFFFF);
    char *wrong = guest_run(guest, "GetCapability");

    if (wrong) {
        return wrong;
    }
    tpm_get_bytes(&guest->response, 1 + 4); /* more data, capability */
    uint32_t count = tpm_get_u32(&guest->response);
    uint32_t last = 0;

    /* The list is in order: an attribute word a command, its code in the low 16 bits. */
    for (uint32_t i = 0; i < count; i++) {
        uint32_t code = tpm_get_u32(&guest->response) & 0xFFFF;

        if (code <= last) {
            return g_strdup_printf("command %u of %u is out of order", i, count);
        }
        last = code;
    }
    return count >= TPM2_COMMANDS_LEAST ? NULL : g_strdup_printf("only %u commands", count);
}

/* Each a command of 3 KiB, which the TPM refuses quickly for the bytes that are too many. */
char *check_bulk(Guest *guest, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        oversized_command(guest, BULK_SIZE);
        uint32_t code = tpm_char_run(guest->fd, &guest->command, &guest->response);

        if (code == TPM_CHAR_NO_RESPONSE) {
            return g_strdup_printf("command %u: no response: %s", i, g_strerror(errno));
        }
        if (code != OVERSIZED_CODE(guest)) {
            return g_strdup_printf("command %u: the TPM answers 0x%x", i, code);
        }
    }
    return NULL;
}
