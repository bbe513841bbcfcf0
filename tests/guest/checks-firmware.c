/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What Linux got from the firmware: the measurement log, by way of the ACPI table or the device
 * tree, and on pseries the device tree's node of the TPM.
 *
 * Neighbours: guest-check.c runs these; event-log.c replays the log.
 */
#include "event-log.h"
#include "guest-check.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MEASUREMENT_LOG "/sys/kernel/security/tpm0/binary_bios_measurements"

/* The first digits of a log tell where it ends; no sane firmware writes more. */
#define MEASUREMENT_LOG_MAX (1u << 20)

#define DEVICE_NODE TPM_SYSFS "device/of_node/"

/* Bytes of a line that run-guest.py reads. */
#define PRINT_WIDTH 32u

/* ---- the firmware's log ---- */

static uint8_t *read_measurement_log(size_t *size)
{
    uint8_t *log = g_malloc(MEASUREMENT_LOG_MAX);
    FILE *file = fopen(MEASUREMENT_LOG, "re");

    *size = file ? fread(log, 1, MEASUREMENT_LOG_MAX, file) : 0;
    if (file) {
        fclose(file);
    }
    return log;
}

/*
 * PCRs 0 to 15 begin as zeros and only ever get extended. PCR 10 is IMA's: Debian's kernel extends
 * it at every boot and there is no switch to stop it, and the firmware's log knows nothing of it.
 */
static char *compare_replay(Guest *guest, const Bank *bank, const uint8_t *log, size_t size)
{
    static EventLogReplay replay;
    const char *fault = event_log_replay(log, size, bank->checksum, &replay);

    if (fault) {
        return g_strdup_printf("%s (log of %zu bytes)", fault, size);
    }
    if (replay.events == 0) {
        return g_strdup_printf("the log of %zu bytes holds no measurement", size);
    }
    for (unsigned pcr = 0; pcr < PCR_DEBUG; pcr++) {
        uint8_t digest[DIGEST_MAX];
        char *wrong = pcr == PCR_IMA ? NULL : guest_pcr_read(guest, bank, pcr, digest);

        if (wrong) {
            return wrong;
        }
        if (pcr != PCR_IMA && memcmp(digest, replay.pcrs[pcr], bank_digest_size(bank)) != 0) {
            return g_strdup_printf("PCR %u differs after %u events", pcr, replay.count[pcr]);
        }
    }
    return NULL;
}

char *check_measurement_log(Guest *guest)
{
    unsigned count;
    const Bank *banks = guest_banks(guest, &count);
    size_t size;
    uint8_t *log = read_measurement_log(&size);
    char *wrong = NULL;

    for (unsigned i = 0; i < count && !wrong; i++) {
        wrong = compare_replay(guest, &banks[i], log, size);
    }
    g_free(log);
    return wrong;
}

/* Linux itself starts a TPM that firmware left alone. */
char *check_nothing_measured(Guest *guest)
{
    static const uint8_t zeros[DIGEST_MAX];
    unsigned count;
    const Bank *banks = guest_banks(guest, &count);

    for (unsigned i = 0; i < count * PCR_IMA; i++) {
        const Bank *bank = &banks[i / PCR_IMA];
        uint8_t digest[DIGEST_MAX];
        char *wrong = guest_pcr_read(guest, bank, i % PCR_IMA, digest);

        if (wrong) {
            return wrong;
        }
        if (memcmp(digest, zeros, bank_digest_size(bank)) != 0) {
            return g_strdup_printf("PCR %u was extended", i % PCR_IMA);
        }
    }
    return access(MEASUREMENT_LOG, F_OK) == 0 ? g_strdup("there is a log") : NULL;
}

/* ---- the device tree ---- */

/* A property of the TPM's node as its bytes; NULL when there is none. */
static char *tree_property(const char *name, size_t *size)
{
    char *path = g_strdup_printf(DEVICE_NODE "%s", name);
    char *value = NULL;

    g_file_get_contents(path, &value, size, NULL);
    g_free(path);
    return value;
}

/* A property must be `expected`, or with NULL any number of so many bytes but zero. */
static char *check_property(const char *name, const char *expected, size_t expected_size)
{
    static const char zeros[8];
    size_t size = 0;
    char *value = tree_property(name, &size);
    char *wrong = NULL;

    if (!value || size != expected_size) {
        wrong = g_strdup_printf("%s: %zu bytes, not %zu", name, size, expected_size);
    } else if (expected ? memcmp(value, expected, size) != 0 : memcmp(value, zeros, size) == 0) {
        wrong = expected ? g_strdup_printf("%s is not %s", name, expected)
                         : g_strdup_printf("%s is 0", name);
    }
    g_free(value);
    return wrong;
}

/* PAPR names the device; the firmware adds where its log is. */
char *check_device_tree(Guest *guest)
{
    const char *compatible = guest->tpm2 ? "IBM,vtpm20" : "IBM,vtpm";
    const struct {
        const char *name;
        const char *expected;
        size_t size;
    } properties[] = {
        { "name", "vtpm", sizeof("vtpm") },
        { "device_type", "IBM,vtpm", sizeof("IBM,vtpm") },
        { "compatible", compatible, strlen(compatible) + 1 },
        { "linux,sml-base", NULL, 8 },
        { "linux,sml-size", NULL, 4 },
    };
    char *wrong = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(properties) && !wrong; i++) {
        wrong = check_property(properties[i].name, properties[i].expected, properties[i].size);
    }
    return wrong;
}

/* ---- for a comparison outside of the guest ---- */

static void print_log(void)
{
    size_t size;
    uint8_t *log = read_measurement_log(&size);

    for (size_t at = 0; at < size; at += PRINT_WIDTH) {
        printf("firmware log %zu ", at);
        guest_print_hex(log + at, (unsigned)MIN(PRINT_WIDTH, size - at));
    }
    g_free(log);
}

/* The node's properties but for its phandle, which numbers all nodes of the tree. */
static int is_property(const struct dirent *entry)
{
    return entry->d_type == DT_REG && strcmp(entry->d_name, "phandle") != 0;
}

static void print_tree(void)
{
    struct dirent **entries;
    int count = scandir(DEVICE_NODE, &entries, is_property, alphasort);

    for (int i = 0; i < count; i++) {
        size_t size = 0;
        char *value = tree_property(entries[i]->d_name, &size);

        printf("firmware property %s ", entries[i]->d_name);
        guest_print_hex((uint8_t *)value, (unsigned)size);
        g_free(value);
        free(entries[i]);
    }
    if (count >= 0) {
        free(entries);
    }
}

/* All that the firmware left, a line each; NULL, or what is wrong. */
char *print_firmware(Guest *guest)
{
    unsigned count;
    const Bank *banks = guest_banks(guest, &count);

    for (unsigned i = 0; i < count * EVENT_LOG_PCRS; i++) {
        const Bank *bank = &banks[i / EVENT_LOG_PCRS];
        unsigned pcr = i % EVENT_LOG_PCRS;
        uint8_t digest[DIGEST_MAX];
        char *wrong = guest_pcr_read(guest, bank, pcr, digest);

        if (wrong) {
            return wrong;
        }
        printf("firmware pcr %s %u ", bank->directory ? bank->directory : "pcrs", pcr);
        guest_print_hex(digest, bank_digest_size(bank));
    }
    print_log();
    print_tree();
    return NULL;
}
