/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TPM whose process is killed under the running kernel, and comes back while that runs on: it
 * answers with failures for so long, and then serves again. Where its volatile state had been
 * stored it is what it was. Else it was reset, and cannot be taken for one that was not: what is
 * zero after a reset was extended with the digest of a text that everybody may know.
 *
 * Neighbours: guest-check.c runs these; docs/backends.rst tells what the library does.
 */
#include "event-log.h"
#include "guest-check.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What is asked for again until the TPM is back: every so often, and for so long. */
#define AGAIN_US   20000u
#define DEADLINE_S 60

/* The event that PCRs 0 to 16 and 23 of a TPM that was reset begin with. */
#define CAP_EVENT "libtpmdev: this TPM was reset while its guest was running"

#define PCRS         24u
#define BANKS_MAX    2u
#define PCR_DRTM     17u /* from here on all ones after a reset, without a D-RTM */
#define PCR_APP      23u
#define TPM2_ECC     0x0023u
#define TPM2_FAILURE 0x101u
#define TPM2_NULL    0x0010u
#define TPM2_P256    0x0003u
/* fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, sign */
#define TPM2_SIGNING_KEY 0x00040072u

/* What there was before the TPM died. */
static struct {
    uint8_t pcrs[BANKS_MAX][PCRS][DIGEST_MAX];
    int manager;  /* /dev/tpmrm0, whose objects go when it is closed */
    uint32_t key; /* an object of the resource manager's */
} before;

/* ---- before ---- */

static char *read_pcrs(Guest *guest, uint8_t pcrs[BANKS_MAX][PCRS][DIGEST_MAX])
{
    unsigned count;
    const Bank *banks = guest_banks(guest, &count);
    char *wrong = NULL;

    for (unsigned i = 0; i < count * PCRS && !wrong; i++) {
        wrong = guest_pcr_read(guest, &banks[i / PCRS], i % PCRS, pcrs[i / PCRS][i % PCRS]);
    }
    return wrong;
}

/* Run the command in guest->command by way of the resource manager. */
static char *run_managed(Guest *guest, const char *what)
{
    int device = guest->fd;

    guest->fd = before.manager;
    char *wrong = guest_run(guest, what);

    guest->fd = device;
    return wrong;
}

/* TPM2_CreatePrimary of a signing key; the resource manager keeps it outside the TPM from then on.
 */
static char *make_key(Guest *guest)
{
    tpm_command(&guest->command, TPM2_SESSIONS, TPM2_CREATE_PRIMARY);
    tpm_put_u32(&guest->command, TPM2_RH_OWNER);
    tpm_put_empty_password(&guest->command);
    tpm_put_u16(&guest->command, 4); /* bytes of inSensitive: no password, no data */
    tpm_put_u32(&guest->command, 0);
    tpm_put_u16(&guest->command, 2 + 2 + 4 + 2 + 2 + 2 + 2 + 2 + 2 + 2); /* of inPublic */
    tpm_put_u16(&guest->command, TPM2_ECC);
    tpm_put_u16(&guest->command, TPM2_ALG_SHA256);
    tpm_put_u32(&guest->command, TPM2_SIGNING_KEY);
    tpm_put_u16(&guest->command, 0);         /* policy */
    tpm_put_u16(&guest->command, TPM2_NULL); /* symmetric, scheme, curve, kdf */
    tpm_put_u16(&guest->command, TPM2_NULL);
    tpm_put_u16(&guest->command, TPM2_P256);
    tpm_put_u16(&guest->command, TPM2_NULL);
    tpm_put_u32(&guest->command, 0); /* x and y */
    tpm_put_u16(&guest->command, 0); /* outsideInfo */
    tpm_put_u32(&guest->command, 0); /* creationPCR */
    char *wrong = run_managed(guest, "CreatePrimary");

    if (!wrong) {
        before.key = tpm_get_u32(&guest->response);
    }
    return wrong;
}

char *check_death_prepared(Guest *guest)
{
    before.manager = tpm_char_open("/dev/tpmrm0");
    if (before.manager < 0) {
        return g_strdup_printf("open: %s", g_strerror(errno));
    }
    char *wrong = make_key(guest);

    return wrong ? wrong : read_pcrs(guest, before.pcrs);
}

/* ---- meanwhile ---- */

char *check_dead_tpm(Guest *guest)
{
    for (unsigned i = 0; i < 3; i++) {
        tpm_command(&guest->command, TPM2_NO_SESSIONS, TPM2_GET_RANDOM);
        tpm_put_u16(&guest->command, 16);
        uint32_t code = tpm_char_run(guest->fd, &guest->command, &guest->response);

        if (code == TPM_CHAR_NO_RESPONSE) {
            return g_strdup_printf("command %u: no response: %s", i, g_strerror(errno));
        }
        guest->response.at = 0;
        if (code != TPM2_FAILURE || tpm_get_u16(&guest->response) != TPM2_NO_SESSIONS ||
            guest->response.size != 10) {
            return g_strdup_printf("command %u: code 0x%x in %u bytes", i, code,
                                   guest->response.size);
        }
    }
    return NULL;
}

/* ---- after ---- */

/* Until then every command is answered, with a failure. */
char *check_return(Guest *guest)
{
    time_t deadline = time(NULL) + DEADLINE_S;
    uint8_t random[16];
    unsigned failures = 0;
    char *wrong;

    while ((wrong = guest_random(guest, random, sizeof(random))) && time(NULL) < deadline) {
        g_free(wrong);
        failures++;
        usleep(AGAIN_US);
    }
    printf("note: it was back after %u commands that failed\n", failures);
    return wrong;
}

char *check_pcrs_kept(Guest *guest)
{
    static uint8_t pcrs[BANKS_MAX][PCRS][DIGEST_MAX];
    char *wrong = read_pcrs(guest, pcrs);

    if (!wrong && memcmp(pcrs, before.pcrs, sizeof(pcrs)) != 0) {
        wrong = g_strdup("they differ from what they were");
    }
    return wrong;
}

/* What a PCR is in a TPM that was reset under its guest. */
static void capped_pcr(const Bank *bank, unsigned pcr, uint8_t digest[DIGEST_MAX])
{
    GChecksum *checksum = g_checksum_new(bank->checksum);
    uint8_t event[DIGEST_MAX];
    gsize size = sizeof(event);

    g_checksum_update(checksum, (const uint8_t *)CAP_EVENT, sizeof(CAP_EVENT) - 1);
    g_checksum_get_digest(checksum, event, &size);
    g_checksum_free(checksum);
    memset(digest, pcr < PCR_DRTM || pcr == PCR_APP ? 0 : 0xFF, DIGEST_MAX);
    if (pcr < PCR_DRTM || pcr == PCR_APP) {
        event_log_extend(bank->checksum, digest, event);
    }
}

char *check_pcrs_capped(Guest *guest)
{
    static uint8_t pcrs[BANKS_MAX][PCRS][DIGEST_MAX];
    unsigned count;
    const Bank *banks = guest_banks(guest, &count);
    uint8_t expected[DIGEST_MAX];
    char *wrong = read_pcrs(guest, pcrs);

    for (unsigned i = 0; i < count * PCRS && !wrong; i++) {
        const Bank *bank = &banks[i / PCRS];

        capped_pcr(bank, i % PCRS, expected);
        if (memcmp(pcrs[i / PCRS][i % PCRS], expected, bank_digest_size(bank)) != 0) {
            wrong = g_strdup_printf("PCR %u of bank %u is another", i % PCRS, i / PCRS);
        }
    }
    return wrong;
}

/* The resource manager loads the key into the TPM again, for which that must know it. */
char *check_object_kept(Guest *guest)
{
    tpm_command(&guest->command, TPM2_NO_SESSIONS, TPM2_READ_PUBLIC);
    tpm_put_u32(&guest->command, before.key);
    return run_managed(guest, "ReadPublic");
}
