/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a TPM is to keep, whatever happens to it meanwhile: its PCRs, and a key that the kernel's
 * resource manager has outside of it, which only this very TPM can load again.
 *
 * Neighbours: guest-check.c runs these, around a TPM that dies or a machine that moves.
 */
#include "guest-check.h"

#include <errno.h>
#include <string.h>

static struct {
    PcrValues pcrs;
    int manager;  /* /dev/tpmrm0, whose objects go when it is closed */
    uint32_t key; /* an object of the resource manager's */
} kept;

/* By way of the resource manager. */
static char *make_key(Guest *guest)
{
    return guest_create_primary(guest, GUEST_SIGNING_KEY, &kept.key);
}

static char *read_key(Guest *guest)
{
    tpm_command(&guest->command, TPM2_NO_SESSIONS, TPM2_READ_PUBLIC);
    tpm_put_u32(&guest->command, kept.key);
    return guest_run(guest, "ReadPublic");
}

static char *managed(Guest *guest, char *(*run)(Guest *guest))
{
    int device = guest->fd;

    guest->fd = kept.manager;
    char *wrong = run(guest);

    guest->fd = device;
    return wrong;
}

char *check_object_begin(Guest *guest)
{
    kept.manager = tpm_char_open("/dev/tpmrm0");
    return kept.manager < 0 ? g_strdup_printf("open: %s", g_strerror(errno))
                            : managed(guest, make_key);
}

/* The resource manager loads the key into the TPM again, for which that must know it. */
char *check_object_kept(Guest *guest)
{
    return managed(guest, read_key);
}

char *check_pcrs_begin(Guest *guest)
{
    return guest_read_pcrs(guest, kept.pcrs);
}

char *check_pcrs_kept(Guest *guest)
{
    static PcrValues pcrs;
    char *wrong = guest_read_pcrs(guest, pcrs);

    if (!wrong && memcmp(pcrs, kept.pcrs, sizeof(pcrs)) != 0) {
        wrong = g_strdup("they differ from what they were");
    }
    return wrong;
}
