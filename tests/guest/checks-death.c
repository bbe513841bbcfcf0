/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TPM whose process is killed under the running kernel, and comes back while that runs on: it
 * answers with failures for so long, and then serves again. Where its volatile state had been
 * stored it is what it was. Else it was reset, and cannot be taken for one that was not: what is
 * zero after a reset was extended with the digest of a text that everybody may know.
 *
 * Neighbours: guest-check.c runs these; checks-kept.c has what it was; docs/backends.rst tells what
 * the library does.
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

#define PCR_DRTM     17u /* from here on all ones after a reset, without a D-RTM */
#define PCR_APP      23u
#define TPM2_FAILURE 0x101u

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
    static PcrValues pcrs;
    unsigned count;
    const Bank *banks = guest_banks(guest, &count);
    uint8_t expected[DIGEST_MAX];
    char *wrong = guest_read_pcrs(guest, pcrs);

    for (unsigned i = 0; i < count * PCRS && !wrong; i++) {
        const Bank *bank = &banks[i / PCRS];

        capped_pcr(bank, i % PCRS, expected);
        if (memcmp(pcrs[i / PCRS][i % PCRS], expected, bank_digest_size(bank)) != 0) {
            wrong = g_strdup_printf("PCR %u of bank %u is another", i % PCRS, i / PCRS);
        }
    }
    return wrong;
}
