/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * NV storage of a TPM 2.0: long data that the TPM keeps, for a moment and across a reboot. The
 * owner's password is empty in a fresh TPM, and firmware leaves it so.
 *
 * A TPM 1.2 lets nobody define NV storage before it has an owner, so it is left out here.
 *
 * Neighbours: guest-check.c runs these.
 */
#include "guest-check.h"

#include <string.h>

#define NV_INDEX      0x01500100u
#define NV_INDEX_KEPT 0x01500101u /* across a reboot */
#define NV_SIZE       2048u
/* owner and index authorization for reading and writing, no dictionary attack protection */
#define NV_ATTRIBUTES 0x02060006u

static char *nv_define(Guest *guest, uint32_t index, unsigned size)
{
    tpm_command(&guest->command, TPM2_SESSIONS, TPM2_NV_DEFINE_SPACE);
    tpm_put_u32(&guest->command, TPM2_RH_OWNER);
    tpm_put_empty_password(&guest->command);
    tpm_put_u16(&guest->command, 0);                 /* authorization value */
    tpm_put_u16(&guest->command, 4 + 2 + 4 + 2 + 2); /* size of the public area */
    tpm_put_u32(&guest->command, index);
    tpm_put_u16(&guest->command, TPM2_ALG_SHA256);
    tpm_put_u32(&guest->command, NV_ATTRIBUTES);
    tpm_put_u16(&guest->command, 0); /* policy */
    tpm_put_u16(&guest->command, size);
    return guest_run(guest, "NV_DefineSpace");
}

static char *nv_undefine(Guest *guest, uint32_t index)
{
    tpm_command(&guest->command, TPM2_SESSIONS, TPM2_NV_UNDEFINE_SPACE);
    tpm_put_u32(&guest->command, TPM2_RH_OWNER);
    tpm_put_u32(&guest->command, index);
    tpm_put_empty_password(&guest->command);
    return guest_run(guest, "NV_UndefineSpace");
}

static char *nv_write(Guest *guest, uint32_t index, unsigned offset, const uint8_t *data,
                      unsigned size)
{
    tpm_command(&guest->command, TPM2_SESSIONS, TPM2_NV_WRITE);
    tpm_put_u32(&guest->command, TPM2_RH_OWNER);
    tpm_put_u32(&guest->command, index);
    tpm_put_empty_password(&guest->command);
    tpm_put_u16(&guest->command, size);
    tpm_put_bytes(&guest->command, data, size);
    tpm_put_u16(&guest->command, offset);
    return guest_run(guest, "NV_Write");
}

static char *nv_read(Guest *guest, uint32_t index, unsigned offset, uint8_t *data, unsigned size)
{
    tpm_command(&guest->command, TPM2_SESSIONS, TPM2_NV_READ);
    tpm_put_u32(&guest->command, TPM2_RH_OWNER);
    tpm_put_u32(&guest->command, index);
    tpm_put_empty_password(&guest->command);
    tpm_put_u16(&guest->command, size);
    tpm_put_u16(&guest->command, offset);
    char *wrong = guest_run(guest, "NV_Read");

    if (wrong) {
        return wrong;
    }
    tpm_get_u32(&guest->response); /* size of the parameters */
    tpm_get_u16(&guest->response); /* size of the data */
    const uint8_t *bytes = tpm_get_bytes(&guest->response, size);

    if (!bytes) {
        return g_strdup("NV_Read: the response is too short");
    }
    memcpy(data, bytes, size);
    return NULL;
}

static char *nv_write_all(Guest *guest, uint32_t index, const uint8_t *data)
{
    char *wrong = NULL;

    for (unsigned at = 0; at < NV_SIZE && !wrong; at += TPM2_BUFFER_MAX) {
        wrong = nv_write(guest, index, at, data + at, TPM2_BUFFER_MAX);
    }
    return wrong;
}

static char *nv_compare_all(Guest *guest, uint32_t index, const uint8_t *data)
{
    uint8_t found[TPM2_BUFFER_MAX];
    char *wrong = NULL;

    for (unsigned at = 0; at < NV_SIZE && !wrong; at += TPM2_BUFFER_MAX) {
        wrong = nv_read(guest, index, at, found, TPM2_BUFFER_MAX);
        if (!wrong && memcmp(found, data + at, TPM2_BUFFER_MAX) != 0) {
            wrong = g_strdup_printf("the bytes from %u on differ", at);
        }
    }
    return wrong;
}

char *check_nv_of_two_kib(Guest *guest)
{
    static uint8_t data[NV_SIZE];

    guest_fill_pattern(data, sizeof(data), 3);
    char *wrong = nv_define(guest, NV_INDEX, NV_SIZE);

    if (wrong) {
        return wrong;
    }
    wrong = nv_write_all(guest, NV_INDEX, data);
    if (!wrong) {
        wrong = nv_compare_all(guest, NV_INDEX, data);
    }
    char *undefined = nv_undefine(guest, NV_INDEX);

    if (wrong) {
        g_free(undefined);
        return wrong;
    }
    return undefined;
}

/* ---- across a reboot ---- */

bool persistence_has_begun(Guest *guest)
{
    tpm_command(&guest->command, TPM2_NO_SESSIONS, TPM2_NV_READ_PUBLIC);
    tpm_put_u32(&guest->command, NV_INDEX_KEPT);
    return tpm_char_run(guest->fd, &guest->command, &guest->response) == 0;
}

char *check_persistence_begin(Guest *guest)
{
    static uint8_t data[NV_SIZE];

    guest_fill_pattern(data, sizeof(data), 4);
    char *wrong = nv_define(guest, NV_INDEX_KEPT, NV_SIZE);

    return wrong ? wrong : nv_write_all(guest, NV_INDEX_KEPT, data);
}

char *check_persistence_end(Guest *guest)
{
    static uint8_t data[NV_SIZE];

    guest_fill_pattern(data, sizeof(data), 4);
    return nv_compare_all(guest, NV_INDEX_KEPT, data);
}

/* TPM2_Clear takes what the owner has defined (TPM 2.0 Part 3, "TPM2_Clear"). */
char *check_persistence_is_gone(Guest *guest)
{
    return persistence_has_begun(guest) ? g_strdup("the NV index is still defined") : NULL;
}
