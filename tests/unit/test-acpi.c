/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The bytes firmware gets: the finished tables beside the ASL they say. What may be asked of them
 * is in test-acpi-config.c. Where iasl is installed it judges them too: it takes our bytes apart,
 * puts them together again, and compiles the ASL that stands here to the same bytes.
 */
#include "table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <glib/gstdio.h>
#include <tpmdev/tpmdev.h>

#define LOG_ADDRESS UINT64_C(0x123456789ABCDE00)

/* The members of TPMAcpiConfig behind irq, as QEMU's tables are. */
#define CONFIG_TAIL TPM_ACPI_PLATFORM_X86, "BOCHS ", "BXPC    ", 1, "BXPC", 1, false

/* ---- tables ---- */

static const TPMAcpiConfig golden_config = {
    sizeof(TPMAcpiConfig), TPM_BASE_ADDRESS, LOG_ADDRESS, TPM_LOG_AREA_SIZE, "\\_SB", "TPM", 0,
    CONFIG_TAIL,
};

static void test_table_numbers_are_little_endian(void **state)
{
    static const uint8_t expected[] = { 1, 3, 2, 7, 6, 5, 4, 15, 14, 13, 12, 11, 10, 9, 8, 0, 0 };
    TPMTable table;

    (void)state;
    tpm_table_begin(&table, "TEST", 9, &golden_config);
    tpm_table_u8(&table, 0x01);
    tpm_table_u16(&table, 0x0203);
    tpm_table_u32(&table, 0x04050607);
    tpm_table_u64(&table, UINT64_C(0x08090A0B0C0D0E0F));
    tpm_table_zeros(&table, 2);
    GBytes *bytes = tpm_table_end(&table);
    gsize size;
    const uint8_t *data = g_bytes_get_data(bytes, &size);

    assert_int_equal(size, TPM_TABLE_HEADER_SIZE + sizeof(expected));
    assert_memory_equal(data + TPM_TABLE_HEADER_SIZE, expected, sizeof(expected));
    g_bytes_unref(bytes);
}

/* One device for each version, with the tables of a given configuration. */
typedef GBytes *(*TableFunction)(const TPMDevice *device, const TPMAcpiConfig *config,
                                 GError **error);

static TPMDevice *new_device_of(TPMInterface interface, TPMVersion version)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    TPMBackend *backend = tpmdev_backend_null_new("tpm0", version, NULL);

    config.interface = interface;
    TPMDevice *device = tpmdev_device_new(&config, backend, NULL, NULL, NULL);

    assert_non_null(device);
    tpmdev_backend_unref(backend);
    return device;
}

static TPMDevice *new_device(TPMVersion version)
{
    return new_device_of(TPM_INTERFACE_TIS, version);
}

static GBytes *table_of(TableFunction function, TPMDevice *device, const TPMAcpiConfig *config)
{
    GError *error = NULL;
    GBytes *table = function(device, config, &error);

    assert_null(error);
    assert_non_null(table);
    tpmdev_device_free(device);
    return table;
}

static GBytes *new_table(TableFunction function, TPMVersion version, const TPMAcpiConfig *config)
{
    return table_of(function, new_device(version), config);
}

static GBytes *new_crb_table(TableFunction function, const TPMAcpiConfig *config)
{
    return table_of(function, new_device_of(TPM_INTERFACE_CRB, TPM_VERSION_2_0), config);
}

static uint8_t sum_of(GBytes *table)
{
    gsize size;
    const uint8_t *data = g_bytes_get_data(table, &size);
    uint8_t sum = 0;

    while (size--) {
        sum = (uint8_t)(sum + *data++);
    }
    return sum;
}

static void assert_table(GBytes *table, const uint8_t *expected, size_t expected_size)
{
    gsize size;
    const uint8_t *data = g_bytes_get_data(table, &size);

    assert_int_equal(sum_of(table), 0);
    assert_int_equal(size, expected_size);
    assert_memory_equal(data, expected, expected_size);
    g_bytes_unref(table);
}

static const uint8_t golden_tpm2[] = {
    'T',  'P',  'M',  '2',  76,   0,    0,    0,                /* signature, length */
    4,    0xD3, 'B',  'O',  'C',  'H',  'S',  ' ',              /* revision, checksum, OEM id */
    'B',  'X',  'P',  'C',  ' ',  ' ',  ' ',  ' ',              /* OEM table id */
    1,    0,    0,    0,    'B',  'X',  'P',  'C',              /* OEM revision, creator id */
    1,    0,    0,    0,                                        /* creator revision */
    0,    0,    0,    0,                                        /* platform class, reserved */
    0,    0,    0,    0,    0,    0,    0,    0,                /* control area */
    6,    0,    0,    0,                                        /* start method: FIFO */
    0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0, 0, /* its parameters */
    0,    0,    1,    0,                                        /* LAML: 64 KiB */
    0x00, 0xDE, 0xBC, 0x9A, 0x78, 0x56, 0x34, 0x12,             /* LASA */
};

/* The same with the Command Response Buffer. */
static const uint8_t golden_tpm2_crb[] = {
    'T',  'P',  'M',  '2',  76,   0,    0,    0,                /* signature, length */
    4,    0xC0, 'B',  'O',  'C',  'H',  'S',  ' ',              /* revision, checksum, OEM id */
    'B',  'X',  'P',  'C',  ' ',  ' ',  ' ',  ' ',              /* OEM table id */
    1,    0,    0,    0,    'B',  'X',  'P',  'C',              /* OEM revision, creator id */
    1,    0,    0,    0,                                        /* creator revision */
    0,    0,    0,    0,                                        /* platform class, reserved */
    0x40, 0x00, 0xD4, 0xFE, 0,    0,    0,    0,                /* control area */
    7,    0,    0,    0,                                        /* start method: CRB */
    0,    0,    0,    0,    0,    0,    0,    0,    0, 0, 0, 0, /* its parameters */
    0,    0,    1,    0,                                        /* LAML: 64 KiB */
    0x00, 0xDE, 0xBC, 0x9A, 0x78, 0x56, 0x34, 0x12,             /* LASA */
};

static const uint8_t golden_tcpa[] = {
    'T',  'C',  'P',  'A',  50,   0,    0,    0,    /* signature, length */
    2,    0xF0, 'B',  'O',  'C',  'H',  'S',  ' ',  /* revision, checksum, OEM id */
    'B',  'X',  'P',  'C',  ' ',  ' ',  ' ',  ' ',  /* OEM table id */
    1,    0,    0,    0,    'B',  'X',  'P',  'C',  /* OEM revision, creator id */
    1,    0,    0,    0,                            /* creator revision */
    0,    0,                                        /* platform class */
    0,    0,    1,    0,                            /* LAML: 64 KiB */
    0x00, 0xDE, 0xBC, 0x9A, 0x78, 0x56, 0x34, 0x12, /* LASA */
};

static void test_log_table_of_tpm_2_0_is_tpm2(void **state)
{
    (void)state;
    assert_table(new_table(tpmdev_acpi_log_table, TPM_VERSION_2_0, &golden_config), golden_tpm2,
                 sizeof(golden_tpm2));
}

static void test_log_table_of_a_crb_device_names_its_control_area(void **state)
{
    (void)state;
    assert_table(new_crb_table(tpmdev_acpi_log_table, &golden_config), golden_tpm2_crb,
                 sizeof(golden_tpm2_crb));
}

static void test_log_table_of_tpm_1_2_is_tcpa(void **state)
{
    (void)state;
    assert_table(new_table(tpmdev_acpi_log_table, TPM_VERSION_1_2, &golden_config), golden_tcpa,
                 sizeof(golden_tcpa));
}

/* The body of each SSDT, and the ASL it says. */
/* clang-format off */
static const uint8_t golden_ssdt_2_0[] = {
    /* Scope (\_SB) { */
    0x10, 0x49, 0x06, '\\', '_', 'S', 'B', '_',
    /* Device (TPM) { */
    0x5B, 0x82, 0x40, 0x06, 'T', 'P', 'M', '_',
    /* Name (_HID, "MSFT0101") */
    0x08, '_', 'H', 'I', 'D', 0x0D, 'M', 'S', 'F', 'T', '0', '1', '0',
    '1', 0x00,
    /* Name (_STR, Unicode ("TPM 2.0 Device")) */
    0x08, '_', 'S', 'T', 'R', 0x11, 0x21, 0x0A, 0x1E, 'T', 0x00, 'P', 0x00, 'M',
    0x00, ' ', 0x00, '2', 0x00, '.', 0x00, '0', 0x00, ' ', 0x00, 'D', 0x00, 'e',
    0x00, 'v', 0x00, 'i', 0x00, 'c', 0x00, 'e', 0x00, 0x00, 0x00,
    /* Name (_UID, One) */
    0x08, '_', 'U', 'I', 'D', 0x01,
    /* Name (_STA, 0x0F) */
    0x08, '_', 'S', 'T', 'A', 0x0A, 0x0F,
    /* Name (_CRS, ResourceTemplate () { */
    0x08, '_', 'C', 'R', 'S', 0x11, 0x11, 0x0A, 0x0E,
    /* Memory32Fixed (ReadWrite, 0xFED40000, 0x5000) */
    0x86, 0x09, 0x00, 0x01, 0x00, 0x00, 0xD4, 0xFE, 0x00, 0x50, 0x00, 0x00,
    /* }) */
    0x79, 0x00,
};
/* clang-format on */

static const char asl_2_0[] = "DefinitionBlock (\"\", \"SSDT\", 1, \"BOCHS \", \"BXPC    \", 1)\n"
                              "{\n"
                              "    Scope (\\_SB)\n"
                              "    {\n"
                              "        Device (TPM)\n"
                              "        {\n"
                              "            Name (_HID, \"MSFT0101\")\n"
                              "            Name (_STR, Unicode (\"TPM 2.0 Device\"))\n"
                              "            Name (_UID, One)\n"
                              "            Name (_STA, 0x0F)\n"
                              "            Name (_CRS, ResourceTemplate ()\n"
                              "            {\n"
                              "                Memory32Fixed (ReadWrite, 0xFED40000, 0x5000)\n"
                              "            })\n"
                              "        }\n"
                              "    }\n"
                              "}\n";

/* clang-format off */
static const uint8_t golden_ssdt_1_2[] = {
    /* Scope (\_SB.PCI0.SF8) { */
    0x10, 0x46, 0x04, '\\', 0x2F, 0x03, '_', 'S', 'B', '_', 'P', 'C', 'I', '0',
    'S', 'F', '8', '_',
    /* Device (TPM0) { */
    0x5B, 0x82, 0x33, 'T', 'P', 'M', '0',
    /* Name (_HID, EisaId ("PNP0C31")) */
    0x08, '_', 'H', 'I', 'D', 0x0C, 0x41, 0xD0, 0x0C, 0x31,
    /* Name (_UID, One) */
    0x08, '_', 'U', 'I', 'D', 0x01,
    /* Name (_STA, 0x0F) */
    0x08, '_', 'S', 'T', 'A', 0x0A, 0x0F,
    /* Name (_CRS, ResourceTemplate () { */
    0x08, '_', 'C', 'R', 'S', 0x11, 0x11, 0x0A, 0x0E,
    /* Memory32Fixed (ReadWrite, 0xFFFFB000, 0x5000) */
    0x86, 0x09, 0x00, 0x01, 0x00, 0xB0, 0xFF, 0xFF, 0x00, 0x50, 0x00, 0x00,
    /* }) */
    0x79, 0x00,
};
/* clang-format on */

static const char asl_1_2[] = "DefinitionBlock (\"\", \"SSDT\", 1, \"BOCHS \", \"BXPC    \", 1)\n"
                              "{\n"
                              "    External (\\_SB.PCI0.SF8, DeviceObj)\n"
                              "    Scope (\\_SB.PCI0.SF8)\n"
                              "    {\n"
                              "        Device (TPM0)\n"
                              "        {\n"
                              "            Name (_HID, EisaId (\"PNP0C31\"))\n"
                              "            Name (_UID, One)\n"
                              "            Name (_STA, 0x0F)\n"
                              "            Name (_CRS, ResourceTemplate ()\n"
                              "            {\n"
                              "                Memory32Fixed (ReadWrite, 0xFFFFB000, 0x5000)\n"
                              "            })\n"
                              "        }\n"
                              "    }\n"
                              "}\n";

/* The highest base there is, and a scope and a name other than the default. */
static const TPMAcpiConfig elsewhere_config = {
    sizeof(TPMAcpiConfig), 0xFFFFB000, 0, TPM_LOG_AREA_SIZE,
    "\\_SB.PCI0.SF8",      "TPM0",     0, CONFIG_TAIL,
};

/* With an interrupt. */
/* clang-format off */
static const uint8_t golden_ssdt_irq[] = {
    /* Scope (\_SB) { */
    0x10, 0x45, 0x04, '\\', '_', 'S', 'B', '_',
    /* Device (TPM) { */
    0x5B, 0x82, 0x3C, 'T', 'P', 'M', '_',
    /* Name (_HID, EisaId ("PNP0C31")) */
    0x08, '_', 'H', 'I', 'D', 0x0C, 0x41, 0xD0, 0x0C, 0x31,
    /* Name (_UID, One) */
    0x08, '_', 'U', 'I', 'D', 0x01,
    /* Name (_STA, 0x0F) */
    0x08, '_', 'S', 'T', 'A', 0x0A, 0x0F,
    /* Name (_CRS, ResourceTemplate () { */
    0x08, '_', 'C', 'R', 'S', 0x11, 0x1A, 0x0A, 0x17,
    /* Memory32Fixed (ReadWrite, 0xFED40000, 0x5000) */
    0x86, 0x09, 0x00, 0x01, 0x00, 0x00, 0xD4, 0xFE, 0x00, 0x50, 0x00, 0x00,
    /* Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 10 } */
    0x89, 0x06, 0x00, 0x09, 0x01, 0x0A, 0x00, 0x00, 0x00,
    /* }) */
    0x79, 0x00,
};
/* clang-format on */

static const char asl_irq[] = "DefinitionBlock (\"\", \"SSDT\", 1, \"BOCHS \", \"BXPC    \", 1)\n"
                              "{\n"
                              "    Scope (\\_SB)\n"
                              "    {\n"
                              "        Device (TPM)\n"
                              "        {\n"
                              "            Name (_HID, EisaId (\"PNP0C31\"))\n"
                              "            Name (_UID, One)\n"
                              "            Name (_STA, 0x0F)\n"
                              "            Name (_CRS, ResourceTemplate ()\n"
                              "            {\n"
                              "                Memory32Fixed (ReadWrite, 0xFED40000, 0x5000)\n"
                              "                Interrupt (ResourceConsumer, Level, ActiveHigh,\n"
                              "                           Shared) { 10 }\n"
                              "            })\n"
                              "        }\n"
                              "    }\n"
                              "}\n";

static const TPMAcpiConfig irq_config = {
    sizeof(TPMAcpiConfig), TPM_BASE_ADDRESS, 0, TPM_LOG_AREA_SIZE, "\\_SB", "TPM", 10, CONFIG_TAIL,
};

static void assert_ssdt(GBytes *table, const uint8_t *body, size_t body_size)
{
    static const uint8_t header_without_sum[] = "SSDT????\x01?BOCHS BXPC    \1\0\0\0BXPC\1\0\0";
    gsize size;
    const uint8_t *data = g_bytes_get_data(table, &size);

    assert_int_equal(sum_of(table), 0);
    assert_int_equal(size, TPM_TABLE_HEADER_SIZE + body_size);
    assert_int_equal(data[4] | data[5] << 8 | data[6] << 16 | data[7] << 24, size);
    assert_memory_equal(data, header_without_sum, 4);
    assert_int_equal(data[8], header_without_sum[8]);
    assert_memory_equal(data + 10, header_without_sum + 10, TPM_TABLE_HEADER_SIZE - 10);
    assert_memory_equal(data + TPM_TABLE_HEADER_SIZE, body, body_size);
    g_bytes_unref(table);
}

static void test_ssdt_of_tpm_2_0_describes_msft0101(void **state)
{
    (void)state;
    assert_ssdt(new_table(tpmdev_acpi_ssdt, TPM_VERSION_2_0, NULL), golden_ssdt_2_0,
                sizeof(golden_ssdt_2_0));
}

/* All as with TIS, but for the second byte of the window's size. */
static void test_ssdt_of_a_crb_device_has_a_window_of_a_page(void **state)
{
    uint8_t body[sizeof(golden_ssdt_2_0)];
    uint8_t *window_size = body + sizeof(body) - 2 - 4; /* before EndTag and its sum */

    (void)state;
    memcpy(body, golden_ssdt_2_0, sizeof(body));
    assert_int_equal(window_size[1], 0x50);
    window_size[1] = 0x10;
    assert_ssdt(new_crb_table(tpmdev_acpi_ssdt, NULL), body, sizeof(body));
}

static void test_ssdt_of_tpm_1_2_describes_pnp0c31(void **state)
{
    (void)state;
    assert_ssdt(new_table(tpmdev_acpi_ssdt, TPM_VERSION_1_2, &elsewhere_config), golden_ssdt_1_2,
                sizeof(golden_ssdt_1_2));
}

static void test_ssdt_names_the_interrupt_it_is_given(void **state)
{
    (void)state;
    assert_ssdt(new_table(tpmdev_acpi_ssdt, TPM_VERSION_1_2, &irq_config), golden_ssdt_irq,
                sizeof(golden_ssdt_irq));
}

/* A caller that was built before there was the member has none named, whatever lies behind. */
static void test_ssdt_of_an_older_caller_names_no_interrupt(void **state)
{
    TPMAcpiConfig config = irq_config;

    (void)state;
    config.size = offsetof(TPMAcpiConfig, irq);
    assert_ssdt(new_table(tpmdev_acpi_ssdt, TPM_VERSION_2_0, &config), golden_ssdt_2_0,
                sizeof(golden_ssdt_2_0));
}

/* ---- the judgement of iasl ---- */

/* Run iasl in the directory and fail the test if it complains. */
static void run_iasl(const char *directory, const char *const *arguments)
{
    char *output = NULL;
    int status = -1;

    g_spawn_sync(directory, (char **)arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output,
                 NULL, &status, NULL);
    if (!g_spawn_check_wait_status(status, NULL)) {
        print_error("%s", output);
        fail_msg("iasl failed");
    }
    g_free(output);
}

static void skip_without_iasl(void)
{
    char *path = g_find_program_in_path("iasl");

    g_free(path);
    if (!path) {
        skip();
    }
}

static char *path_in(const char *directory, const char *file)
{
    return g_build_filename(directory, file, NULL);
}

static void write_file(const char *directory, const char *file, const void *data, size_t size)
{
    char *path = path_in(directory, file);

    assert_true(g_file_set_contents(path, data, (gssize)size, NULL));
    g_free(path);
}

/*
 * What iasl made must end with the expected bytes: its header names iasl as the creator, and it
 * puts declarations of external names first.
 */
static void assert_file_ends_with(const char *directory, const char *file, const uint8_t *expected,
                                  size_t expected_size)
{
    char *path = path_in(directory, file);
    char *data = NULL;
    gsize size;

    assert_true(g_file_get_contents(path, &data, &size, NULL));
    assert_true(size >= TPM_TABLE_HEADER_SIZE + expected_size);
    assert_memory_equal(data + size - expected_size, expected, expected_size);
    g_free(data);
    g_free(path);
}

static int make_directory(void **state)
{
    *state = g_dir_make_tmp("tpmdev-acpi-XXXXXX", NULL);
    return *state ? 0 : -1;
}

static int remove_directory(void **state)
{
    GDir *directory = g_dir_open(*state, 0, NULL);
    const char *file;

    while (directory && (file = g_dir_read_name(directory))) {
        char *path = path_in(*state, file);

        g_unlink(path);
        g_free(path);
    }
    g_clear_pointer(&directory, g_dir_close);
    g_rmdir(*state);
    g_free(*state);
    return 0;
}

/* Our bytes, taken apart and put together again. */
static void round_trip(const char *directory, GBytes *table)
{
    gsize size;
    const uint8_t *data = g_bytes_get_data(table, &size);

    write_file(directory, "table.dat", data, size);
    run_iasl(directory, (const char *const[]){ "iasl", "-d", "table.dat", NULL });
    run_iasl(directory, (const char *const[]){ "iasl", "-p", "again", "table.dsl", NULL });
    assert_file_ends_with(directory, "again.aml", data + TPM_TABLE_HEADER_SIZE,
                          size - TPM_TABLE_HEADER_SIZE);
}

static void test_iasl_rebuilds_every_table(void **state)
{
    static const TableFunction functions[] = { tpmdev_acpi_log_table, tpmdev_acpi_ssdt };
    static const TPMVersion versions[] = { TPM_VERSION_1_2, TPM_VERSION_2_0 };

    skip_without_iasl();
    for (unsigned i = 0; i < 8; i++) {
        GBytes *table =
            new_table(functions[i / 2 % 2], versions[i % 2], i < 4 ? &golden_config : &irq_config);

        round_trip(*state, table);
        g_bytes_unref(table);
    }
}

static void assert_asl_compiles_to(const char *directory, const char *asl, const uint8_t *body,
                                   size_t body_size)
{
    write_file(directory, "ssdt.asl", asl, strlen(asl));
    run_iasl(directory, (const char *const[]){ "iasl", "-p", "ssdt", "ssdt.asl", NULL });
    assert_file_ends_with(directory, "ssdt.aml", body, body_size);
}

static void test_iasl_compiles_the_asl_of_tpm_2_0_to_our_bytes(void **state)
{
    skip_without_iasl();
    assert_asl_compiles_to(*state, asl_2_0, golden_ssdt_2_0, sizeof(golden_ssdt_2_0));
}

static void test_iasl_compiles_the_asl_of_tpm_1_2_to_our_bytes(void **state)
{
    skip_without_iasl();
    assert_asl_compiles_to(*state, asl_1_2, golden_ssdt_1_2, sizeof(golden_ssdt_1_2));
}

static void test_iasl_compiles_the_asl_of_an_interrupt_to_our_bytes(void **state)
{
    skip_without_iasl();
    assert_asl_compiles_to(*state, asl_irq, golden_ssdt_irq, sizeof(golden_ssdt_irq));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_numbers_are_little_endian),
        cmocka_unit_test(test_log_table_of_tpm_2_0_is_tpm2),
        cmocka_unit_test(test_log_table_of_a_crb_device_names_its_control_area),
        cmocka_unit_test(test_log_table_of_tpm_1_2_is_tcpa),
        cmocka_unit_test(test_ssdt_of_tpm_2_0_describes_msft0101),
        cmocka_unit_test(test_ssdt_of_a_crb_device_has_a_window_of_a_page),
        cmocka_unit_test(test_ssdt_of_tpm_1_2_describes_pnp0c31),
        cmocka_unit_test(test_ssdt_names_the_interrupt_it_is_given),
        cmocka_unit_test(test_ssdt_of_an_older_caller_names_no_interrupt),
        cmocka_unit_test_setup_teardown(test_iasl_rebuilds_every_table, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(test_iasl_compiles_the_asl_of_tpm_2_0_to_our_bytes,
                                        make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_iasl_compiles_the_asl_of_tpm_1_2_to_our_bytes,
                                        make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(test_iasl_compiles_the_asl_of_an_interrupt_to_our_bytes,
                                        make_directory, remove_directory),
    };

    return cmocka_run_group_tests_name("acpi", tests, NULL, NULL);
}
