/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The streams of tests/data/state, which no later library may fail to load, or take for another
 * thing: each is loaded, and what a guest finds then is what the text beside it says.
 *
 * With TPMDEV_WRITE_STATE=DIRECTORY in the environment the program writes those of the present
 * version there in place of looking at them: tests/update-state.sh.
 */
#include "moving-guest.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- what is written ---- */

typedef struct Moment {
    const char *subjects; /* by spaces */
    const char *name;
    const char *when; /* section, path and value; as test-state-stream.c has them */
    bool held;
} Moment;

#define TIS_IN_MEMORY "tis-1.2 tis-2.0 tis-device-1.2 tis-device-2.0"
#define TIS_WITH_LINE TIS_IN_MEMORY " tis-spi-1.2 tis-spi-2.0"
#define TIS           TIS_WITH_LINE " tis-i2c-2.0"
#define CRB_BY_WRITES "crb-2.0 crb-localities-2.0 crb-chunk-2.0"
#define CRB           CRB_BY_WRITES " crb-page-2.0"
#define CRB_WITH_LINE "crb-localities-2.0 crb-page-2.0"
#define SPAPR         "spapr-1.2 spapr-2.0"

/* clang-format off */
static const Moment moments[] = {
    { TIS, "idle", "", false },
    { TIS_WITH_LINE, "ready", "tis 0.0.0 0x01", false },
    { "tis-i2c-2.0", "ready", "tis 0.1.0 0x01", false },
    { TIS, "half-written", "tis 7 uint64 5", false },
    { TIS_WITH_LINE, "half-read", "tis 0.0.0 0x04", false },
    { "tis-i2c-2.0", "half-read", "tis 0.1.0 0x04", false },
    { TIS, "command-waits", "request 0 true", true },
    { TIS_IN_MEMORY, "locality-pending", "tis 0.1.1 uint32 130", false },
    { TIS_WITH_LINE, "interrupt", "tis 0.0.4 uint32 131", false },
    { "tis-drtm-1.2 tis-drtm-2.0", "measuring", "hash 1 true", false },
    { "tis-i2c-2.0", "writing", "i2c 2 0x03", false },
    { "tis-i2c-2.0", "reading", "i2c 2 0x04", false },
    { "tis-spi-1.2 tis-spi-2.0", "header", "spi 0 0x01", false },
    { "tis-spi-2.0", "wait", "spi 0 0x02", false },
    { "tis-spi-1.2 tis-spi-2.0", "data", "spi 8 0x01", false },
    { CRB, "idle", "", false },
    { CRB, "ready", "crb 0 0x01", false },
    { CRB_BY_WRITES, "half-written", "crb 0 0x02", false },
    { "crb-page-2.0", "half-written", "crb 0 0x01", false },
    { CRB, "response", "crb 0 0x04", false },
    { CRB, "command-waits", "request 0 true", true },
    { "crb-localities-2.0", "locality-pending", "crb 7.1.0 true", false },
    { CRB_WITH_LINE, "interrupt", "crb 7.0.3 uint32 3", false },
    { "crb-chunk-2.0", "command", "crb 9 0x01", false },
    { SPAPR, "idle", "", false },
    { SPAPR, "command-waits", "spapr 0 0x01", true },
    { SPAPR, "response-waits", "spapr 0 0x03", false },
};
/* clang-format on */

static GBytes *stream_of(const Moment *moment, const Subject *subject)
{
    g_auto(GStrv) when = g_strsplit(moment->when, " ", 3);

    if (!when[0]) {
        return guest_stream_when(subject, NULL, NULL, NULL);
    }
    /* GVariant prints no types here. */
    const char *value = g_str_has_prefix(when[2], "uint") ? strchr(when[2], ' ') + 1 : when[2];

    return moment->held ? guest_stream_of_held(subject, when[0], when[1], value)
                        : guest_stream_when(subject, when[0], when[1], value);
}

/* ---- what a guest finds ---- */

static void look_at_registers(GString *text, TPMDevice *device)
{
    for (uint64_t locality = 0; locality < tpmdev_device_get_size(device); locality += 0x1000) {
        static const uint16_t registers[] = { 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x30,
                                              0x34, 0x40, 0x44, 0x4C, 0x50, 0x54, 0x58, 0x5C };

        g_string_append_printf(text, "%04x:", (unsigned)locality);
        for (size_t i = 0; i < G_N_ELEMENTS(registers); i++) {
            uint64_t value;

            tpmdev_device_read(device, locality + registers[i], 4, &value);
            g_string_append_printf(text, " %08x", (unsigned)value);
        }
        g_string_append_c(text, '\n');
        for (unsigned i = 0; i < 40; i++) {
            bool is_crb = tpmdev_device_get_interface(device) == TPM_INTERFACE_CRB;
            uint64_t value;

            tpmdev_device_read(device, locality + (is_crb ? 0x80 + i : 0x24), 1, &value);
            g_string_append_printf(text, "%02x", (unsigned)value);
        }
        g_string_append_c(text, '\n');
    }
}

/* The transfer at hand goes on for a while, then the registers follow. */
static void look_at_i2c(GString *text, TPMDevice *device)
{
    static const uint8_t numbers[] = { 0x00, 0x04, 0x08, 0x18, 0x40, 0x44, 0x24, 0x24 };

    for (unsigned i = 0; i < 4; i++) {
        g_string_append_printf(text, "%02x ", tpmdev_device_i2c_receive(device));
    }
    tpmdev_device_i2c_event(device, TPM_I2C_STOP);
    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
        tpmdev_device_i2c_event(device, TPM_I2C_START_SEND);
        tpmdev_device_i2c_send(device, numbers[i]);
        tpmdev_device_i2c_event(device, TPM_I2C_STOP);
        tpmdev_device_i2c_event(device, TPM_I2C_START_RECEIVE);
        g_string_append_printf(text, "\n%02x:", numbers[i]);
        for (unsigned j = 0; j < 4; j++) {
            g_string_append_printf(text, " %02x", tpmdev_device_i2c_receive(device));
        }
        tpmdev_device_i2c_event(device, TPM_I2C_STOP);
    }
    g_string_append_c(text, '\n');
}

static void look_at_spi(GString *text, TPMDevice *device)
{
    static const uint16_t registers[] = { 0x00, 0x08, 0x10, 0x18, 0x24, 0x24, 0x1000, 0x1018 };
    uint8_t bytes[16] = { 0 };

    tpmdev_device_spi_transfer(device, NULL, bytes, sizeof(bytes));
    for (size_t i = 0; i <= G_N_ELEMENTS(registers); i++) {
        for (unsigned j = 0; j < sizeof(bytes); j++) {
            g_string_append_printf(text, "%02x ", bytes[j]);
        }
        g_string_append_c(text, '\n');
        tpmdev_device_spi_select(device, false);
        if (i < G_N_ELEMENTS(registers)) {
            const uint8_t header[16] = { 0x83, 0xD4, (uint8_t)(registers[i] >> 8),
                                         (uint8_t)registers[i] };

            tpmdev_device_spi_select(device, true);
            tpmdev_device_spi_transfer(device, header, bytes, sizeof(bytes));
        }
    }
    tpmdev_device_spi_select(device, false);
}

static void look_at_memory(GString *text, const uint8_t *memory, size_t size)
{
    if (memory) {
        g_autofree char *digest = g_compute_checksum_for_data(G_CHECKSUM_SHA256, memory, size);

        g_string_append_printf(text, "memory %s\n", digest);
    }
}

static void look(GString *text, Guest *guest)
{
    TPMDevice *device = guest->device;

    g_string_append_printf(text, "line %d, TPM %s\n", tpmdev_device_get_irq_level(device),
                           chain_tpm_is_due(guest->chain) ? "asked" : "idle");
    switch (guest->subject->interface) {
    case TPM_INTERFACE_TIS:
    case TPM_INTERFACE_TIS_SYSBUS:
    case TPM_INTERFACE_CRB:
        look_at_registers(text, device);
        break;
    case TPM_INTERFACE_TIS_I2C:
        look_at_i2c(text, device);
        break;
    case TPM_INTERFACE_TIS_SPI:
        look_at_spi(text, device);
        break;
    case TPM_INTERFACE_SPAPR:
        g_string_append(text, guest->messages->str);
        g_string_truncate(guest->messages, 0);
        look_at_memory(text, guest->memory, sizeof(guest->memory));
        break;
    }
    look_at_memory(text, tpmdev_device_get_ppi(device), TPM_PPI_SIZE);
    look_at_memory(text, tpmdev_device_get_page(device), TPM_CRB_PAGE_SIZE);
}

/* Right after the load, and once the TPM has answered what it is asked then. */
static char *text_of(const Subject *subject, GBytes *stream)
{
    GString *text = g_string_new(NULL);
    Guest *guest = guest_new(subject, NULL);

    guest_plug(guest, true);
    guest_load(guest, stream);
    guest->silent = false;
    look(text, guest);
    guest_resume(guest);
    look(text, guest);
    while (chain_tpm_is_due(guest->chain)) {
        chain_tpm_answer(guest->chain);
    }
    look(text, guest);
    guest_free(guest);
    return g_string_free(text, FALSE);
}

/* ---- writing and comparing ---- */

static bool write_one(const char *directory, const Moment *moment, const Subject *subject)
{
    g_autofree char *base = g_strdup_printf("%s/%s--%s", directory, subject->name, moment->name);
    g_autofree char *stream_path = g_strconcat(base, ".state", NULL);
    g_autofree char *text_path = g_strconcat(base, ".txt", NULL);
    g_autoptr(GBytes) stream = stream_of(moment, subject);

    if (!stream) {
        fprintf(stderr, "%s is never %s\n", subject->name, moment->name);
        return false;
    }
    g_autofree char *text = text_of(subject, stream);
    gsize size;
    const char *bytes = g_bytes_get_data(stream, &size);

    if (!g_file_set_contents(stream_path, bytes, (gssize)size, NULL) ||
        !g_file_set_contents(text_path, text, -1, NULL)) {
        fprintf(stderr, "cannot write %s\n", base);
        return false;
    }
    return true;
}

static int write_all(const char *directory)
{
    for (size_t i = 0; i < G_N_ELEMENTS(moments); i++) {
        g_auto(GStrv) names = g_strsplit(moments[i].subjects, " ", -1);

        for (char **name = names; *name; name++) {
            if (!write_one(directory, &moments[i], subject_named(*name))) {
                return 1;
            }
        }
    }
    return 0;
}

/* One that is there may be of an earlier list. */
static bool is_any_missing(void)
{
    bool missing = false;

    for (size_t i = 0; i < G_N_ELEMENTS(moments); i++) {
        g_auto(GStrv) names = g_strsplit(moments[i].subjects, " ", -1);

        for (char **name = names; *name; name++) {
            g_autofree char *path =
                g_strdup_printf(STATE_DATA "/v1/%s--%s.state", *name, moments[i].name);

            if (!g_file_test(path, G_FILE_TEST_EXISTS)) {
                fprintf(stderr, "%s is missing; tests/update-state.sh writes it\n", path);
                missing = true;
            }
        }
    }
    return missing;
}

static void test_it_loads_as_it_did(void **state)
{
    const char *path = *state;
    g_autofree char *text_path = g_strndup(path, strlen(path) - strlen("state"));
    g_autofree char *full = g_strconcat(text_path, "txt", NULL);
    g_autofree char *name = g_path_get_basename(path);
    g_autofree char *wanted = NULL;
    char *content;
    gsize size;

    *strstr(name, "--") = '\0';
    assert_true(g_file_get_contents(path, &content, &size, NULL));
    assert_true(g_file_get_contents(full, &wanted, NULL, NULL));
    g_autoptr(GBytes) stream = g_bytes_new_take(content, size);
    g_autofree char *found = text_of(subject_named(name), stream);

    assert_string_equal(found, wanted);
}

/* Those of a version, in the order of their names. */
static void add_directory(GPtrArray *paths, const char *directory)
{
    GDir *dir = g_dir_open(directory, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        if (g_str_has_suffix(name, ".state") && strstr(name, "--")) {
            g_ptr_array_add(paths, g_build_filename(directory, name, NULL));
        }
    }
    if (dir) {
        g_dir_close(dir);
    }
}

static gint compare_paths(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int main(void)
{
    const char *directory = g_getenv("TPMDEV_WRITE_STATE");
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);

    if (directory) {
        return write_all(directory);
    }
    add_directory(paths, STATE_DATA "/v1");
    g_ptr_array_sort(paths, compare_paths);
    if (is_any_missing()) {
        return 1;
    }
    g_autofree struct CMUnitTest *tests = g_new0(struct CMUnitTest, paths->len);

    for (guint i = 0; i < paths->len; i++) {
        const char *path = g_ptr_array_index(paths, i);

        tests[i] = (struct CMUnitTest){ strrchr(path, '/') + 1, test_it_loads_as_it_did, NULL, NULL,
                                        (void *)path };
    }
    return _cmocka_run_group_tests("state-fixtures", tests, paths->len, NULL, NULL);
}
