/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What may be asked of the ACPI tables (acpi/acpi-config.c), each mistake with a message of its
 * own, and what each member that is not at its default does to their bytes. The default tables are
 * in test-acpi.c, byte by byte.
 */
#include "table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <tpmdev/tpmdev.h>

#define LOG_ADDRESS UINT64_C(0x123456789ABCDE00)

#define NO_PLACE 0

typedef GBytes *(*TableFunction)(const TPMDevice *device, const TPMAcpiConfig *config,
                                 GError **error);

static const TableFunction table_functions[] = { tpmdev_acpi_log_table, tpmdev_acpi_ssdt };

static void clear_memory(void *opaque)
{
    (void)opaque;
}

static TPMDevice *new_device_at(TPMInterface interface, TPMVersion version, uint64_t page,
                                uint64_t ppi)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    TPMHost host = TPM_HOST_INIT;
    TPMBackend *backend = tpmdev_backend_null_new("tpm0", version, NULL);

    config.interface = interface;
    config.buffer_address = page;
    config.ppi_address = ppi;
    host.clear_memory = clear_memory;
    TPMDevice *device = tpmdev_device_new(&config, backend, &host, NULL, NULL);

    assert_non_null(device);
    tpmdev_backend_unref(backend);
    return device;
}

static TPMDevice *new_device(TPMInterface interface, TPMVersion version)
{
    return new_device_at(interface, version, NO_PLACE, NO_PLACE);
}

/* Both tables of this device refuse it so. Frees the device. */
static void assert_device_refused(TPMDevice *device, const TPMAcpiConfig *config,
                                  const char *message)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(table_functions); i++) {
        g_autoptr(GError) error = NULL;

        assert_null(table_functions[i](device, config, &error));
        assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION));
        assert_string_equal(error->message, message);
    }
    tpmdev_device_free(device);
}

static void assert_refused(const TPMAcpiConfig *config, const char *message)
{
    assert_device_refused(new_device(TPM_INTERFACE_TIS, TPM_VERSION_2_0), config, message);
}

/* Both tables of this device take it. Frees the device. */
static void assert_device_taken(TPMDevice *device, const TPMAcpiConfig *config)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(table_functions); i++) {
        GError *error = NULL;
        GBytes *table = table_functions[i](device, config, &error);

        if (!table) {
            fail_msg("%s", error->message);
        }
        g_bytes_unref(table);
    }
    tpmdev_device_free(device);
}

static void assert_taken(const TPMAcpiConfig *config)
{
    assert_device_taken(new_device(TPM_INTERFACE_TIS, TPM_VERSION_2_0), config);
}

/* Frees the device; free the bytes. */
static GBytes *table_of(TableFunction function, TPMDevice *device, const TPMAcpiConfig *config)
{
    GBytes *table = function(device, config, NULL);
    gsize size;
    uint8_t sum = 0;

    assert_non_null(table);
    const uint8_t *data = g_bytes_get_data(table, &size);

    for (gsize i = 0; i < size; i++) {
        sum = (uint8_t)(sum + data[i]);
    }
    assert_int_equal(sum, 0);
    assert_int_equal(data[4] | data[5] << 8 | data[6] << 16 | data[7] << 24, size);
    tpmdev_device_free(device);
    return table;
}

static GBytes *ssdt_of(const TPMAcpiConfig *config)
{
    return table_of(tpmdev_acpi_ssdt, new_device(TPM_INTERFACE_TIS, TPM_VERSION_2_0), config);
}

/* How often these bytes are in the table; frees it. */
static unsigned count_in(GBytes *table, const void *bytes, size_t size)
{
    gsize table_size;
    const uint8_t *data = g_bytes_get_data(table, &table_size);
    unsigned count = 0;

    for (gsize i = 0; i + size <= table_size; i++) {
        count += memcmp(data + i, bytes, size) == 0;
    }
    g_bytes_unref(table);
    return count;
}

/* ---- what a caller has of it ---- */

static void test_config_must_have_a_size(void **state)
{
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    (void)state;
    config.size = 0;
    assert_refused(&config, "TPM ACPI tables: size is 0; begin with TPM_ACPI_CONFIG_INIT, which "
                            "sets it");
}

static void test_config_of_an_older_caller_has_defaults_behind_its_end(void **state)
{
    static const size_t ends[] = { offsetof(TPMAcpiConfig, log_size), offsetof(TPMAcpiConfig, irq),
                                   offsetof(TPMAcpiConfig, platform) };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(ends); i++) {
        TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;
        TPMDevice *device = new_device(TPM_INTERFACE_TIS, TPM_VERSION_2_0);

        memset((uint8_t *)&config + ends[i], 0x5A, sizeof(config) - ends[i]);
        config.size = ends[i];
        for (unsigned j = 0; j < G_N_ELEMENTS(table_functions); j++) {
            g_autoptr(GBytes) table = table_functions[j](device, &config, NULL);
            g_autoptr(GBytes) standard = table_functions[j](device, NULL, NULL);

            assert_non_null(table);
            assert_true(g_bytes_equal(table, standard));
        }
        tpmdev_device_free(device);
    }
}

static void test_device_that_takes_no_memory_has_no_tables(void **state)
{
    static const TPMInterface interfaces[] = { TPM_INTERFACE_TIS_I2C, TPM_INTERFACE_TIS_SPI };

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        TPMDevice *device = new_device(interfaces[i % 2], TPM_VERSION_2_0);
        g_autoptr(GError) error = NULL;

        assert_null(table_functions[i / 2](device, NULL, &error));
        assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED));
        assert_string_equal(error->message,
                            "TPM ACPI tables: they describe a device in memory, and this one is on "
                            "a bus of its own; describe it in the machine's device tree");
        tpmdev_device_free(device);
    }
}

/* ---- base ---- */

static void test_base_must_be_page_aligned(void **state)
{
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    (void)state;
    config.base = 0xFED40800;
    assert_refused(&config, "TPM ACPI tables: base 0xfed40800 is not page-aligned; give a multiple "
                            "of 0x1000, such as 0xfed40000");
}

static void test_base_must_leave_room_within_64_bits(void **state)
{
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    (void)state;
    config.base = UINT64_MAX - 0x4FFF;
    assert_taken(&config);
    config.base = UINT64_MAX - 0x3FFF;
    assert_refused(&config,
                   "TPM ACPI tables: base 0xffffffffffffc000 puts the device's 0x5000 bytes beyond "
                   "64 bits; give 0xffffffffffffb000 or less, such as 0xfed40000");
}

/* What ends at 4 GiB has the descriptor that can say no more; what ends behind it has the other. */
static void test_window_beyond_4_gib_is_a_qword_memory(void **state)
{
    static const uint8_t memory32[] = { 0x86, 9, 0, 1, 0x00, 0xB0, 0xFF, 0xFF, 0x00, 0x50, 0, 0 };
    static const struct {
        uint64_t base;
        uint8_t bytes[24]; /* from the flags to the last address's end */
    } cases[] = {
        { 0xFFFFC000, { 0x0D, 1,    0, 0, 0, 0, 0,    0,    0,    0,    0x00, 0xC0,
                        0xFF, 0xFF, 0, 0, 0, 0, 0xFF, 0x0F, 0x00, 0x00, 1,    0 } },
        { 0x100000000, { 0x0D, 1,    0, 0, 0, 0, 0,    0,    0,    0,    0x00, 0x00,
                         0x00, 0x00, 1, 0, 0, 0, 0xFF, 0x4F, 0x00, 0x00, 1,    0 } },
    };
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    (void)state;
    config.base = 0xFFFFB000;
    assert_int_equal(count_in(ssdt_of(&config), memory32, sizeof(memory32)), 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        config.base = cases[i].base;
        assert_int_equal(count_in(ssdt_of(&config), cases[i].bytes, sizeof(cases[i].bytes)), 1);
        assert_int_equal(count_in(ssdt_of(&config), memory32, 4), 0);
    }
}

static void test_control_area_is_beyond_4_gib_with_its_device(void **state)
{
    static const uint8_t control_area[] = { 0x40, 0x30, 0x12, 0x00, 0x08, 0, 0, 0, 7, 0, 0, 0 };
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    (void)state;
    config.base = UINT64_C(0x800123000);
    GBytes *table =
        table_of(tpmdev_acpi_log_table, new_device(TPM_INTERFACE_CRB, TPM_VERSION_2_0), &config);

    assert_memory_equal((const uint8_t *)g_bytes_get_data(table, NULL) + 40, control_area,
                        sizeof(control_area));
    g_bytes_unref(table);
}

/* ---- the log ---- */

static void test_log_is_of_64_kib_at_least(void **state)
{
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        config.log_address = i ? LOG_ADDRESS : 0;
        config.log_size = 0xFFFF;
        assert_refused(&config,
                       "TPM ACPI tables: log_size 0xffff is less than the log of a PC client "
                       "takes; give 0x10000 bytes or more, or set no_log");
        config.log_size = 0;
        assert_refused(&config,
                       "TPM ACPI tables: log_size 0x0 is less than the log of a PC client takes; "
                       "give 0x10000 bytes or more, or set no_log");
        config.log_size = 0x10000;
        assert_taken(&config);
        config.log_size = 0x10001;
        assert_taken(&config);
    }
}

static void test_log_must_end_within_64_bits(void **state)
{
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    (void)state;
    config.log_address = UINT64_MAX - 0x10000;
    assert_taken(&config);
    config.log_address = UINT64_MAX - 0xFFFE;
    assert_refused(&config,
                   "TPM ACPI tables: log_address 0xffffffffffff0001 and log_size 0x10000 reach "
                   "beyond 64 bits; give an address of guest memory");
}

static void test_no_log_ends_the_table_behind_the_start_method(void **state)
{
    static const TPMInterface interfaces[] = { TPM_INTERFACE_TIS, TPM_INTERFACE_CRB };
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    (void)state;
    config.no_log = true;
    config.log_size = 0; /* of none */
    for (unsigned i = 0; i < G_N_ELEMENTS(interfaces); i++) {
        GBytes *brief =
            table_of(tpmdev_acpi_log_table, new_device(interfaces[i], TPM_VERSION_2_0), &config);
        GBytes *whole =
            table_of(tpmdev_acpi_log_table, new_device(interfaces[i], TPM_VERSION_2_0), NULL);
        const uint8_t *bytes = g_bytes_get_data(brief, NULL);
        const uint8_t *wanted = g_bytes_get_data(whole, NULL);

        assert_int_equal(g_bytes_get_size(brief), 52);
        assert_int_equal(bytes[8], 4);
        assert_memory_equal(bytes + 10, wanted + 10, 52 - 10);
        assert_null(tpmdev_acpi_linkable(brief));
        g_bytes_unref(brief);
        g_bytes_unref(whole);
    }
}

static void test_no_log_leaves_the_ssdt_as_it_is(void **state)
{
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;
    g_autoptr(GBytes) standard = ssdt_of(NULL);

    (void)state;
    config.no_log = true;
    g_autoptr(GBytes) without = ssdt_of(&config);

    assert_true(g_bytes_equal(standard, without));
}

static void test_no_log_and_a_log_exclude_each_other(void **state)
{
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    (void)state;
    config.no_log = true;
    config.log_address = 0x80000000;
    assert_refused(&config, "TPM ACPI tables: no_log is set and log_address is 0x80000000; leave "
                            "log_address 0, or no_log unset");
}

static void test_no_log_leaves_a_tpm_1_2_without_a_table(void **state)
{
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;
    TPMDevice *device = new_device(TPM_INTERFACE_TIS, TPM_VERSION_1_2);
    g_autoptr(GError) error = NULL;

    (void)state;
    config.no_log = true;
    assert_null(tpmdev_acpi_log_table(device, &config, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED));
    assert_string_equal(error->message,
                        "TPM ACPI tables: no_log is set, and the TCPA table of a TPM 1.2 tells of "
                        "the log alone; leave no_log unset, or the table out");
    g_bytes_unref(table_of(tpmdev_acpi_ssdt, device, &config));
}

/* ---- one thing over another ---- */

/* At these addresses; NULL: taken. The first and the last that lie over something are refused. */
static void check_places(uint64_t page, uint64_t ppi, uint64_t base, uint64_t log,
                         const char *message)
{
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;
    TPMDevice *device =
        new_device_at(page ? TPM_INTERFACE_CRB : TPM_INTERFACE_TIS, TPM_VERSION_2_0, page, ppi);

    config.base = base;
    config.log_address = log;
    if (message) {
        g_autofree char *whole =
            g_strdup_printf("TPM ACPI tables: %s; give each a place of its own", message);

        assert_device_refused(device, &config, whole);
    } else {
        assert_device_taken(device, &config);
    }
}

static void test_device_must_not_lie_over_its_physical_presence_memory(void **state)
{
    (void)state;
    check_places(0, 0x80005000, 0x80000000, 0, NULL);
    check_places(0, 0x80004C00, 0x80000000, 0,
                 "base 0x80000000 puts the device over the physical presence memory at 0x80004c00");
    check_places(0, 0x80000C00, 0x80001000, 0, NULL);
    check_places(0, 0x80001000, 0x80001000, 0,
                 "base 0x80001000 puts the device over the physical presence memory at 0x80001000");
}

static void test_device_must_not_lie_over_the_page_of_its_buffer(void **state)
{
    (void)state;
    check_places(0x80001000, 0, 0x80000000, 0, NULL);
    check_places(0x80001000, 0, 0x80002000, 0, NULL);
    check_places(0x80001000, 0, 0x80001000, 0,
                 "base 0x80001000 puts the device over the page of its buffer at 0x80001000");
}

static void test_log_must_not_lie_over_the_device(void **state)
{
    (void)state;
    check_places(0, 0, 0x80010000, 0x80000000, NULL);
    check_places(0, 0, 0x80010000, 0x80000001,
                 "log_address 0x80000001 puts the log over the device at 0x80010000");
    check_places(0, 0, 0x80010000, 0x80014FFF,
                 "log_address 0x80014fff puts the log over the device at 0x80010000");
    check_places(0, 0, 0x80010000, 0x80015000, NULL);
    /* Nothing is special about a device at 0; a log at 0 is one that nobody has placed yet. */
    check_places(0, 0, 0, 0x4FFF, "log_address 0x4fff puts the log over the device at 0x0");
    check_places(0, 0, 0, 0x5000, NULL);
    check_places(0, 0, 0, 0, NULL);
}

static void test_log_must_not_lie_over_the_page_of_the_buffer(void **state)
{
    (void)state;
    check_places(0x80010000, 0, 0xFED40000, 0x80000000, NULL);
    check_places(0x80010000, 0, 0xFED40000, 0x80000001,
                 "log_address 0x80000001 puts the log over the page of its buffer at 0x80010000");
    check_places(0x80010000, 0, 0xFED40000, 0x80010FFF,
                 "log_address 0x80010fff puts the log over the page of its buffer at 0x80010000");
    check_places(0x80010000, 0, 0xFED40000, 0x80011000, NULL);
}

static void test_log_must_not_lie_over_the_physical_presence_memory(void **state)
{
    (void)state;
    check_places(0, 0x80010000, 0xFED40000, 0x80000000, NULL);
    check_places(
        0, 0x80010000, 0xFED40000, 0x80000001,
        "log_address 0x80000001 puts the log over the physical presence memory at 0x80010000");
    check_places(
        0, 0x80010000, 0xFED40000, 0x800103FF,
        "log_address 0x800103ff puts the log over the physical presence memory at 0x80010000");
    check_places(0, 0x80010000, 0xFED40000, 0x80010400, NULL);
}

/* ---- scope and name ---- */

static void test_scope_must_be_an_absolute_path(void **state)
{
    static const char *const wrong[] = { "_SB",         "",           "^", "\\sb", "\\_SB.",
                                         "\\_SB..PCI0", "\\_SB.PCI00" };
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    (void)state;
    for (unsigned i = 0; i <= G_N_ELEMENTS(wrong); i++) {
        config.scope = i < G_N_ELEMENTS(wrong) ? wrong[i] : NULL;
        g_autofree char *message = g_strdup_printf(
            "TPM ACPI tables: scope '%s' is no absolute ACPI path; give a backslash and names of "
            "one to four of A-Z, 0-9 and _ with dots between them, such as \\_SB or \\_SB.PCI0",
            config.scope ? config.scope : "(null)");

        assert_refused(&config, message);
    }
}

static void test_name_must_be_a_device_name(void **state)
{
    static const char *const wrong[] = { "", "TPM00", "tpm", "0TPM", "_TPM", "T.M", "TP M" };
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *message = g_strdup_printf(
            "TPM ACPI tables: name '%s' is no ACPI device name; give one to four of A-Z, 0-9 and "
            "_, beginning with a letter, such as TPM",
            wrong[i]);

        config.name = wrong[i];
        assert_refused(&config, message);
    }
}

/* ---- the platform ---- */

static void test_platform_must_be_one_there_is(void **state)
{
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    (void)state;
    config.platform = (TPMAcpiPlatform)2;
    assert_refused(&config, "TPM ACPI tables: platform is 2; it must be one of TPMAcpiPlatform's, "
                            "0 to 1");
}

/* The device that QEMU's virt has: its name, _UID 0, no _STA, integers of 64 bits. */
static void test_arm_has_the_object_of_qemus_virt(void **state)
{
    static const uint8_t uid_then_crs[] = { 0x08, '_', 'U', 'I', 'D', 0, 0x08, '_', 'C', 'R', 'S' };
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    (void)state;
    config.platform = TPM_ACPI_PLATFORM_ARM;
    config.base = 0x0C000000;
    GBytes *ssdt = ssdt_of(&config);

    assert_int_equal(((const uint8_t *)g_bytes_get_data(ssdt, NULL))[8], 2);
    assert_int_equal(count_in(ssdt, uid_then_crs, sizeof(uid_then_crs)), 1);
    assert_int_equal(count_in(ssdt_of(&config), "TPM0", 4), 1);
    assert_int_equal(count_in(ssdt_of(&config), "_STA", 4), 0);
    config.name = "TCM";
    assert_int_equal(count_in(ssdt_of(&config), "TPM0", 4), 0);
    assert_int_equal(count_in(ssdt_of(&config), "TCM_", 4), 1);
}

static void test_interrupt_on_arm_is_the_devices_own(void **state)
{
    static const uint8_t exclusive[] = { 0x89, 6, 0, 0x01, 1, 144, 0, 0, 0, 0x79 };
    static const uint8_t shared[] = { 0x89, 6, 0, 0x09, 1, 144, 0, 0, 0, 0x79 };
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    (void)state;
    config.irq = 144;
    assert_int_equal(count_in(ssdt_of(&config), shared, sizeof(shared)), 1);
    config.platform = TPM_ACPI_PLATFORM_ARM;
    assert_int_equal(count_in(ssdt_of(&config), exclusive, sizeof(exclusive)), 1);
}

static void test_interrupt_on_arm_must_be_a_shared_peripheral_one(void **state)
{
    static const uint32_t good[] = { 0, 32, 1019, 4096, 5119 };
    static const uint32_t wrong[] = { 1, 5, 31, 1020, 4095, 5120, UINT32_MAX };
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *message = g_strdup_printf(
            "TPM ACPI tables: irq %u is no shared peripheral interrupt; give 32 to 1019 or 4096 to "
            "5119, 32 more than its number in a device tree, or 0 for none",
            wrong[i]);

        config.irq = wrong[i];
        config.platform = TPM_ACPI_PLATFORM_X86;
        assert_taken(&config);
        config.platform = TPM_ACPI_PLATFORM_ARM;
        assert_refused(&config, message);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        config.irq = good[i];
        assert_taken(&config);
    }
}

/* ---- whose tables they are ---- */

static void test_oem_and_creator_are_in_every_header(void **state)
{
    static const uint8_t header[] = "ACME1 ACMETPM1\x04\x03\x02\x01LTPM\x08\x07\x06\x05";
    static const TPMVersion versions[] = { TPM_VERSION_1_2, TPM_VERSION_2_0 };
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    (void)state;
    config.oem_id = "ACME1 ";
    config.oem_table_id = "ACMETPM1";
    config.oem_revision = 0x01020304;
    config.creator_id = "LTPM";
    config.creator_revision = 0x05060708;
    for (unsigned i = 0; i < 4; i++) {
        GBytes *table = table_of(table_functions[i / 2],
                                 new_device(TPM_INTERFACE_TIS, versions[i % 2]), &config);

        assert_memory_equal((const uint8_t *)g_bytes_get_data(table, NULL) + 10, header,
                            TPM_TABLE_HEADER_SIZE - 10);
        g_bytes_unref(table);
    }
}

/* Each of the three with a length that is wrong, or what cannot be printed. */
static void test_identifications_must_fill_their_fields(void **state)
{
    static const struct {
        size_t member;
        const char *id;
        const char *message;
    } cases[] = {
        { offsetof(TPMAcpiConfig, oem_id), "BOCHS",
          "oem_id 'BOCHS' is not 6 printable ASCII characters; fill it up with spaces, as in "
          "'BOCHS '" },
        { offsetof(TPMAcpiConfig, oem_id), "BOCHS  ",
          "oem_id 'BOCHS  ' is not 6 printable ASCII characters; fill it up with spaces, as in "
          "'BOCHS '" },
        { offsetof(TPMAcpiConfig, oem_id), "",
          "oem_id '' is not 6 printable ASCII characters; fill it up with spaces, as in 'BOCHS '" },
        { offsetof(TPMAcpiConfig, oem_id), "BOCH\x7FS",
          "oem_id 'BOCH\x7FS' is not 6 printable ASCII characters; fill it up with spaces, as in "
          "'BOCHS '" },
        { offsetof(TPMAcpiConfig, oem_id), NULL,
          "oem_id '(null)' is not 6 printable ASCII characters; fill it up with spaces, as in "
          "'BOCHS '" },
        { offsetof(TPMAcpiConfig, oem_table_id), "BXPC",
          "oem_table_id 'BXPC' is not 8 printable ASCII characters; fill it up with spaces, as in "
          "'BXPC    '" },
        { offsetof(TPMAcpiConfig, oem_table_id), "BXPC     ",
          "oem_table_id 'BXPC     ' is not 8 printable ASCII characters; fill it up with spaces, "
          "as in 'BXPC    '" },
        { offsetof(TPMAcpiConfig, creator_id), "BXP",
          "creator_id 'BXP' is not 4 printable ASCII characters; fill it up with spaces, as in "
          "'BXPC'" },
        { offsetof(TPMAcpiConfig, creator_id), "BXPCX",
          "creator_id 'BXPCX' is not 4 printable ASCII characters; fill it up with spaces, as in "
          "'BXPC'" },
        { offsetof(TPMAcpiConfig, creator_id), "\xC3\xA4XP",
          "creator_id '\xC3\xA4XP' is not 4 printable ASCII characters; fill it up with spaces, as "
          "in 'BXPC'" },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;
        g_autofree char *message = g_strdup_printf("TPM ACPI tables: %s", cases[i].message);

        memcpy((uint8_t *)&config + cases[i].member, &cases[i].id, sizeof(cases[i].id));
        assert_refused(&config, message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_must_have_a_size),
        cmocka_unit_test(test_config_of_an_older_caller_has_defaults_behind_its_end),
        cmocka_unit_test(test_device_that_takes_no_memory_has_no_tables),
        cmocka_unit_test(test_base_must_be_page_aligned),
        cmocka_unit_test(test_base_must_leave_room_within_64_bits),
        cmocka_unit_test(test_window_beyond_4_gib_is_a_qword_memory),
        cmocka_unit_test(test_control_area_is_beyond_4_gib_with_its_device),
        cmocka_unit_test(test_log_is_of_64_kib_at_least),
        cmocka_unit_test(test_log_must_end_within_64_bits),
        cmocka_unit_test(test_no_log_ends_the_table_behind_the_start_method),
        cmocka_unit_test(test_no_log_leaves_the_ssdt_as_it_is),
        cmocka_unit_test(test_no_log_and_a_log_exclude_each_other),
        cmocka_unit_test(test_no_log_leaves_a_tpm_1_2_without_a_table),
        cmocka_unit_test(test_device_must_not_lie_over_its_physical_presence_memory),
        cmocka_unit_test(test_device_must_not_lie_over_the_page_of_its_buffer),
        cmocka_unit_test(test_log_must_not_lie_over_the_device),
        cmocka_unit_test(test_log_must_not_lie_over_the_page_of_the_buffer),
        cmocka_unit_test(test_log_must_not_lie_over_the_physical_presence_memory),
        cmocka_unit_test(test_scope_must_be_an_absolute_path),
        cmocka_unit_test(test_name_must_be_a_device_name),
        cmocka_unit_test(test_platform_must_be_one_there_is),
        cmocka_unit_test(test_arm_has_the_object_of_qemus_virt),
        cmocka_unit_test(test_interrupt_on_arm_is_the_devices_own),
        cmocka_unit_test(test_interrupt_on_arm_must_be_a_shared_peripheral_one),
        cmocka_unit_test(test_oem_and_creator_are_in_every_header),
        cmocka_unit_test(test_identifications_must_fill_their_fields),
    };

    return cmocka_run_group_tests_name("acpi-config", tests, NULL, NULL);
}
