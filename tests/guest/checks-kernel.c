/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What Linux tells of the TPM: its log, its interrupts, sysfs and the resource manager's device.
 *
 * Neighbours: guest-check.c runs these; checks-firmware.c has what Linux got from the firmware.
 */
#include "event-log.h"
#include "guest-check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WITHOUT_INTERRUPT "TPM interrupt not working, polling instead"
#define SEND_REFUSED      "tpm_try_transmit: send(): error -7\n"
#define NOT_STARTED       "TPM error (256) occurred attempting the self test\n"

/* ---- the kernel's log ---- */

/* All of the kernel's log so far, a record a line; to be freed. */
static char *kernel_log(void)
{
    GString *log = g_string_new(NULL);
    char record[8192];
    int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ssize_t got;

    /* A record that was overwritten while it was to be read is EPIPE; the next one follows. */
    while (fd >= 0 && ((got = read(fd, record, sizeof(record))) > 0 || errno == EPIPE)) {
        if (got > 0) {
            g_string_append_len(log, record, got);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    return g_string_free(log, FALSE);
}

/* The driver bound to the device, as sysfs says. */
static char *check_driver(const char *expected)
{
    char *target = g_file_read_link(TPM_SYSFS "device/driver", NULL);
    char *name = target ? g_path_get_basename(target) : g_strdup("none");
    char *wrong = strcmp(name, expected) == 0
                      ? NULL
                      : g_strdup_printf("the driver is %s, not %s", name, expected);

    g_free(name);
    g_free(target);
    return wrong;
}

/* tpm_tis prints a line about its device, the others nothing that names one. */
char *check_kernel_driver(Guest *guest)
{
    const char *line =
        guest->tpm2 ? "2.0 TPM (device-id 0x1, rev-id 1)" : "1.2 TPM (device-id 0x1, rev-id 1)";

    switch (guest->device) {
    case GUEST_TIS:
        break;
    case GUEST_CRB:
    case GUEST_CRB_PAGE:
    case GUEST_CRB_ARM:
        return check_driver("tpm_crb");
    case GUEST_SPAPR:
        return check_driver("tpm_ibmvtpm");
    }
    char *log = kernel_log();
    char *wrong = strstr(log, line) ? NULL : g_strdup_printf("no \"%s\" in its log", line);

    g_free(log);
    return wrong;
}

/*
 * tpm_tis of Linux 6.1 does without an interrupt that works: see check_interrupts(). tpm_crb itself
 * refuses a command that is too large, and Linux says so; it was asked for here. A TPM that
 * firmware left alone fails the first self test, and Linux starts it. A line of tpm_ibmvtpm's
 * begins with its name: two say that the device was found.
 */
static bool is_expected(const Guest *guest, const char *complaint)
{
    switch (guest->device) {
    case GUEST_TIS:
        return guest->irq && g_str_has_prefix(complaint, WITHOUT_INTERRUPT);
    case GUEST_CRB:
    case GUEST_CRB_PAGE:
        return g_str_has_prefix(complaint, SEND_REFUSED);
    case GUEST_CRB_ARM:
        return g_str_has_prefix(complaint, SEND_REFUSED) ||
               g_str_has_prefix(complaint, NOT_STARTED);
    case GUEST_SPAPR:
        complaint += strcspn(complaint, ":\n");
        return g_str_has_prefix(complaint, ": CRQ initialized\n") ||
               g_str_has_prefix(complaint, ": CRQ initialization completed\n");
    }
    return false;
}

/* What Linux's TPM drivers say when a device does not behave. */
char *check_kernel_complaints(Guest *guest)
{
    static const char *const complaints[] = {
        "invalid TPM_STS",     "Operation Timed out",
        WITHOUT_INTERRUPT,     "Error left over data",
        "Operation Canceled",  "tpm_try_transmit: ",
        "TPM error",           "TPM self test failed",
        "TPM: tpm_relinquish", "tpm_tis: probe",
        "tpm_crb: probe",      "ACPI region does not cover",
        "tpm_ibmvtpm ",
    };
    char *log = kernel_log();
    char *wrong = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(complaints) && !wrong; i++) {
        const char *at = strstr(log, complaints[i]);

        while (at && is_expected(guest, at)) {
            at = strstr(at + 1, complaints[i]);
        }
        if (at) {
            wrong = g_strdup_printf("\"%.*s\"", (int)strcspn(at, "\n"), at);
        }
    }
    g_free(log);
    return wrong;
}

/* ---- its interrupts ---- */

/*
 * The line of /proc/interrupts with `key` in it, or NULL: how often that interrupt came, on
 * whichever CPU, and who handles it. To be freed.
 */
static char *interrupt_line(const char *key, unsigned long *count)
{
    char *table = NULL;
    char *line = NULL;

    *count = 0;
    g_file_get_contents("/proc/interrupts", &table, NULL, NULL);
    char *at = table ? strstr(table, key) : NULL;

    if (at) {
        while (at > table && at[-1] != '\n') {
            at--;
        }
        at[strcspn(at, "\n")] = '\0';
        line = g_strdup(at);
        at += strcspn(at, ":");
        at += *at == ':';
        /* A column a CPU, then words. */
        for (char *next; strtoul(at, &next, 10), next != at; at = next) {
            *count += strtoul(at, NULL, 10);
        }
    }
    g_free(table);
    return line;
}

/*
 * tpm_tis takes the interrupt, and its handler has something to do. What Linux 6.1 makes of that
 * is the same for every device: its probe asks for a flag that is only set after it, says that the
 * interrupt does not work, and gives it back; the count stays. A later Linux keeps it. tpm_crb
 * takes none.
 */
static char *compare_interrupts(const Guest *guest, const char *line, unsigned long count)
{
    char *log = kernel_log();
    bool without = strstr(log, WITHOUT_INTERRUPT) != NULL;
    bool handled = line && g_str_has_suffix(line, "tpm0");
    char *wrong = NULL;

    g_free(log);
    if (!guest->irq || guest->device != GUEST_TIS) {
        return count == 0 && !without && !handled ? NULL : g_strdup("it should not be");
    }
    if (count == 0) {
        wrong = g_strdup_printf("interrupt %u never came", guest->irq);
    } else if (without == handled) {
        wrong = g_strdup_printf("it %s, and /proc/interrupts has: %s",
                                without ? "says it polls" : "does not say it polls", line);
    } else {
        printf("irq: %lu interrupts, then the kernel %s\n", count,
               without ? "polls" : "goes on with it");
    }
    return wrong;
}

char *check_interrupts(Guest *guest)
{
    unsigned long count = 0;
    char *key = g_strdup_printf(" %u:", guest->irq);
    char *line = guest->irq ? interrupt_line(key, &count) : NULL;
    char *wrong = compare_interrupts(guest, line, count);

    g_free(line);
    g_free(key);
    return wrong;
}

/*
 * tpm_ibmvtpm waits for the interrupt of a response, and does not poll. The kernel may ask for
 * random bytes at any time for its own pool, so some command in a row shows one interrupt and no
 * more; a device that raised two for each would never.
 */
char *check_interrupt_of_command(Guest *guest)
{
    static const char key[] = "tpm_ibmvtpm";
    enum { COMMANDS_MAX = 50 };
    unsigned long before = 0;
    unsigned long after = 0;
    uint8_t random[16];

    for (unsigned i = 0; i < COMMANDS_MAX; i++) {
        g_free(interrupt_line(key, &before));
        char *wrong = guest_random(guest, random, sizeof(random));

        g_free(interrupt_line(key, &after));
        if (wrong || (before != 0 && after == before + 1)) {
            return wrong;
        }
        if (before == 0 || after <= before) {
            break;
        }
    }
    return g_strdup_printf("%lu before a command, %lu after it", before, after);
}

/* ---- sysfs ---- */

char *check_version(Guest *guest)
{
    char *text = NULL;
    const char *expected = guest->tpm2 ? "2\n" : "1\n";

    if (!g_file_get_contents(TPM_SYSFS "tpm_version_major", &text, NULL, NULL)) {
        return g_strdup("there is no tpm_version_major");
    }
    char *wrong = strcmp(text, expected) == 0 ? NULL
                                              : g_strdup_printf("tpm_version_major is %.*s",
                                                                (int)strcspn(text, "\n"), text);

    g_free(text);
    return wrong;
}

/* The device object of our SSDT, as Linux shows it; `what` is one of its files. */
static char *acpi_device_file(Guest *guest, const char *what)
{
    char *path = g_strdup_printf("/sys/bus/acpi/devices/%s:00/%s",
                                 guest->tpm2 ? "MSFT0101" : "PNP0C31", what);
    char *text = NULL;

    g_file_get_contents(path, &text, NULL, NULL);
    g_free(path);
    return text ? g_strchomp(text) : g_strdup("missing");
}

char *check_acpi_device(Guest *guest)
{
    char *path = acpi_device_file(guest, "path");
    char *description = acpi_device_file(guest, "description");
    bool good = g_str_has_suffix(path, guest->device == GUEST_CRB_ARM ? ".TPM0" : ".TPM_") &&
                strcmp(description, guest->tpm2 ? "TPM 2.0 Device" : "missing") == 0;
    char *wrong = good ? NULL : g_strdup_printf("path %s, description %s", path, description);

    g_free(path);
    g_free(description);
    return wrong;
}

/* The digest in `text`, pairs of hexadecimal digits, blanks allowed between them. */
static bool parse_digest(const char *text, uint8_t *digest, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        while (*text == ' ') {
            text++;
        }
        int high = g_ascii_xdigit_value(text[0]);
        int low = high < 0 ? -1 : g_ascii_xdigit_value(text[1]);

        if (low < 0) {
            return false;
        }
        digest[i] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    return true;
}

/* TPM 2.0 has a file a PCR, TPM 1.2 one file with a line a PCR. */
static bool sysfs_pcr(const Bank *bank, unsigned pcr, uint8_t *digest)
{
    char *path = bank->directory ? g_strdup_printf(TPM_SYSFS "%s/%u", bank->directory, pcr)
                                 : g_strdup(TPM_SYSFS "pcrs");
    char *label = g_strdup_printf("PCR-%02u:", pcr);
    char *text = NULL;
    bool good = g_file_get_contents(path, &text, NULL, NULL);
    const char *value = text;

    if (good && !bank->directory) {
        value = strstr(text, label);
        good = value != NULL;
        value = good ? value + strlen(label) : NULL;
    }
    good = good && parse_digest(value, digest, bank_digest_size(bank));
    g_free(text);
    g_free(label);
    g_free(path);
    return good;
}

char *check_sysfs_pcrs(Guest *guest)
{
    unsigned count;
    const Bank *banks = guest_banks(guest, &count);
    char *wrong = NULL;

    for (unsigned i = 0; i < count * EVENT_LOG_PCRS && !wrong; i++) {
        const Bank *bank = &banks[i / EVENT_LOG_PCRS];
        unsigned pcr = i % EVENT_LOG_PCRS;
        uint8_t in_sysfs[DIGEST_MAX];
        uint8_t in_tpm[DIGEST_MAX];

        if (!sysfs_pcr(bank, pcr, in_sysfs)) {
            return g_strdup_printf("PCR %u cannot be read there", pcr);
        }
        wrong = guest_pcr_read(guest, bank, pcr, in_tpm);
        if (!wrong && memcmp(in_sysfs, in_tpm, bank_digest_size(bank)) != 0) {
            wrong = g_strdup_printf("PCR %u differs", pcr);
        }
    }
    return wrong;
}

/* ---- the resource manager ---- */

char *check_resource_manager(Guest *guest)
{
    int device = guest->fd;
    uint8_t random[16];

    guest->fd = tpm_char_open("/dev/tpmrm0");
    char *wrong = guest->fd < 0 ? g_strdup_printf("open: %s", g_strerror(errno))
                                : guest_random(guest, random, sizeof(random));

    if (guest->fd >= 0) {
        close(guest->fd);
    }
    guest->fd = device;
    return wrong;
}
