/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The TPM under test as the checks see it: a few commands that many of them need, and how a check
 * reports. See guest-check.h.
 *
 * Neighbours: tpm-message.c builds commands; tpm-char.c or nested-tpm.c carries them.
 */
#include "guest-check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TPM2_ALG_AES  0x0006u
#define TPM2_ALG_ECC  0x0023u
#define TPM2_ALG_CFB  0x0043u
#define TPM2_ECC_P256 0x0003u

bool guest_report(const char *name, char *wrong)
{
    if (wrong) {
        printf("not ok %s - %s\n", name, wrong);
    } else {
        printf("ok %s\n", name);
    }
    g_free(wrong);
    return !wrong;
}

void guest_print_hex(const uint8_t *bytes, unsigned size)
{
    while (size--) {
        printf("%02x", *bytes++);
    }
    putchar('\n');
}

const Bank *guest_banks(const Guest *guest, unsigned *count)
{
    static const Bank of_2_0[] = {
        { G_CHECKSUM_SHA256, TPM2_ALG_SHA256, "pcr-sha256" },
        { G_CHECKSUM_SHA1, TPM2_ALG_SHA1, "pcr-sha1" },
    };
    static const Bank of_1_2[] = { { G_CHECKSUM_SHA1, TPM2_ALG_SHA1, NULL } };

    if (!guest->tpm2) {
        *count = 1;
        return of_1_2;
    }
    /* A TPM 2.0 need not have a SHA-1 bank. */
    *count = access(TPM_SYSFS "pcr-sha1", F_OK) == 0 ? 2 : 1;
    return of_2_0;
}

unsigned bank_digest_size(const Bank *bank)
{
    return (unsigned)g_checksum_type_get_length(bank->checksum);
}

char *guest_run(Guest *guest, const char *what)
{
    uint32_t code = tpm_char_run(guest->fd, &guest->command, &guest->response);

    if (code == TPM_CHAR_NO_RESPONSE) {
        return g_strdup_printf("%s: %s", what, g_strerror(errno));
    }
    return code == 0 ? NULL : g_strdup_printf("%s: the TPM answers 0x%x", what, code);
}

char *guest_pcr_read(Guest *guest, const Bank *bank, unsigned pcr, uint8_t digest[DIGEST_MAX])
{
    unsigned size = bank_digest_size(bank);

    if (guest->tpm2) {
        tpm_command(&guest->command, TPM2_NO_SESSIONS, TPM2_PCR_READ);
        tpm_put_u32(&guest->command, 1); /* selections */
        tpm_put_u16(&guest->command, bank->algorithm);
        tpm_put_u8(&guest->command, 3); /* bytes of bits, one a PCR */
        for (unsigned byte = 0; byte < 3; byte++) {
            tpm_put_u8(&guest->command, pcr / 8 == byte ? 1u << pcr % 8 : 0);
        }
    } else {
        tpm_command(&guest->command, TPM12_REQUEST, TPM12_PCR_READ);
        tpm_put_u32(&guest->command, pcr);
    }
    char *wrong = guest_run(guest, "PCR_Read");

    if (wrong) {
        return wrong;
    }
    if (guest->tpm2) {
        /* update counter, the selection again, count of digests and the digest's size */
        tpm_get_bytes(&guest->response, 4 + 4 + 2 + 1 + 3 + 4 + 2);
    }
    const uint8_t *bytes = tpm_get_bytes(&guest->response, size);

    if (!bytes) {
        return g_strdup("PCR_Read: the response holds no digest");
    }
    memcpy(digest, bytes, size);
    return NULL;
}

char *guest_read_pcrs(Guest *guest, PcrValues pcrs)
{
    unsigned count;
    const Bank *banks = guest_banks(guest, &count);
    char *wrong = NULL;

    for (unsigned i = 0; i < count * PCRS && !wrong; i++) {
        wrong = guest_pcr_read(guest, &banks[i / PCRS], i % PCRS, pcrs[i / PCRS][i % PCRS]);
    }
    return wrong;
}

char *guest_pcr_extend(Guest *guest, const Bank *bank, unsigned pcr, const uint8_t *digest)
{
    if (guest->tpm2) {
        tpm_command(&guest->command, TPM2_SESSIONS, TPM2_PCR_EXTEND);
        tpm_put_u32(&guest->command, pcr);
        tpm_put_empty_password(&guest->command);
        tpm_put_u32(&guest->command, 1); /* digests */
        tpm_put_u16(&guest->command, bank->algorithm);
    } else {
        tpm_command(&guest->command, TPM12_REQUEST, TPM12_EXTEND);
        tpm_put_u32(&guest->command, pcr);
    }
    tpm_put_bytes(&guest->command, digest, bank_digest_size(bank));
    return guest_run(guest, "PCR_Extend");
}

/* A key that signs has no symmetric cipher; one that stores has AES. */
char *guest_create_primary(Guest *guest, uint32_t attributes, uint32_t *handle)
{
    bool stores = attributes == GUEST_STORAGE_KEY;

    tpm_command(&guest->command, TPM2_SESSIONS, TPM2_CREATE_PRIMARY);
    tpm_put_u32(&guest->command, TPM2_RH_OWNER);
    tpm_put_empty_password(&guest->command);
    tpm_put_u16(&guest->command, 4); /* bytes of inSensitive: no password, no data */
    tpm_put_u32(&guest->command, 0);
    tpm_put_u16(&guest->command, 2 + 2 + 4 + 2 + 2 + 2 + 2 + 2 + 2 + 2 + (stores ? 4 : 0));
    tpm_put_u16(&guest->command, TPM2_ALG_ECC);
    tpm_put_u16(&guest->command, TPM2_ALG_SHA256);
    tpm_put_u32(&guest->command, attributes);
    tpm_put_u16(&guest->command, 0); /* policy */
    tpm_put_u16(&guest->command, stores ? TPM2_ALG_AES : TPM2_ALG_NULL);
    if (stores) {
        tpm_put_u16(&guest->command, 128);
        tpm_put_u16(&guest->command, TPM2_ALG_CFB);
    }
    tpm_put_u16(&guest->command, TPM2_ALG_NULL); /* scheme, curve, kdf */
    tpm_put_u16(&guest->command, TPM2_ECC_P256);
    tpm_put_u16(&guest->command, TPM2_ALG_NULL);
    tpm_put_u32(&guest->command, 0); /* x and y */
    tpm_put_u16(&guest->command, 0); /* outsideInfo */
    tpm_put_u32(&guest->command, 0); /* creationPCR */
    char *wrong = guest_run(guest, "CreatePrimary");

    if (!wrong) {
        *handle = tpm_get_u32(&guest->response);
    }
    return wrong;
}

char *guest_random(Guest *guest, uint8_t *bytes, unsigned size)
{
    if (guest->tpm2) {
        tpm_command(&guest->command, TPM2_NO_SESSIONS, TPM2_GET_RANDOM);
        tpm_put_u16(&guest->command, size);
    } else {
        tpm_command(&guest->command, TPM12_REQUEST, TPM12_GET_RANDOM);
        tpm_put_u32(&guest->command, size);
    }
    char *wrong = guest_run(guest, "GetRandom");

    if (wrong) {
        return wrong;
    }
    unsigned given = guest->tpm2 ? tpm_get_u16(&guest->response) : tpm_get_u32(&guest->response);
    const uint8_t *random = tpm_get_bytes(&guest->response, size);

    if (given != size || !random) {
        return g_strdup_printf("GetRandom: %u bytes asked for, %u given", size, given);
    }
    memcpy(bytes, random, size);
    return NULL;
}

void guest_fill_pattern(uint8_t *data, unsigned size, unsigned seed)
{
    uint32_t state = seed;

    for (unsigned i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        data[i] = (uint8_t)(state >> 24);
    }
}
