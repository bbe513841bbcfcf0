/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The TPM's fw_cfg files, and the linker-loader commands: their bytes, and what comes out when
 * firmware carries them out. The firmware here is an interpreter of its own, written from the
 * description of the commands.
 */
#include "loader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <tpmdev/tpmdev.h>

/* ---- a firmware ---- */

#define FILES_MAX 4

typedef struct File {
    char name[TPM_FW_CFG_NAME_SIZE];
    const uint8_t *content;
    size_t size;
    uint8_t *memory; /* NULL until it is allocated */
    uint64_t address;
} File;

typedef struct Firmware {
    File files[FILES_MAX];
    unsigned file_count;
    uint64_t next_address;
} Firmware;

static void firmware_has(Firmware *firmware, const char *name, GBytes *content)
{
    File *file = &firmware->files[firmware->file_count++];

    assert_true(firmware->file_count <= FILES_MAX);
    g_strlcpy(file->name, name, sizeof(file->name));
    file->content = g_bytes_get_data(content, &file->size);
}

static File *find_file(Firmware *firmware, const uint8_t *name)
{
    assert_non_null(memchr(name, 0, TPM_FW_CFG_NAME_SIZE));
    for (unsigned i = 0; i < firmware->file_count; i++) {
        if (strcmp(firmware->files[i].name, (const char *)name) == 0) {
            return &firmware->files[i];
        }
    }
    fail_msg("no file %s", (const char *)name);
    return NULL;
}

static uint64_t get_le(const uint8_t *bytes, unsigned size)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= (uint64_t)bytes[i] << 8 * i;
    }
    return value;
}

static void put_le(uint8_t *bytes, unsigned size, uint64_t value)
{
    for (unsigned i = 0; i < size; i++) {
        bytes[i] = (uint8_t)(value >> 8 * i);
    }
}

static void allocate(Firmware *firmware, const uint8_t *operands)
{
    File *file = find_file(firmware, operands);
    uint64_t alignment = get_le(operands + 56, 4);

    assert_null(file->memory);
    assert_true(alignment && (alignment & (alignment - 1)) == 0);
    assert_true(operands[60] == TPM_LOADER_HIGH || operands[60] == TPM_LOADER_F_SEGMENT);
    file->address = (firmware->next_address + alignment - 1) & ~(alignment - 1);
    file->memory = g_memdup2(file->content, file->size);
    firmware->next_address = file->address + file->size;
}

static void add_pointer(Firmware *firmware, const uint8_t *operands)
{
    File *file = find_file(firmware, operands);
    File *pointee = find_file(firmware, operands + 56);
    uint64_t offset = get_le(operands + 112, 4);
    unsigned size = operands[116];

    assert_non_null(file->memory);
    assert_non_null(pointee->memory);
    assert_true(size == 1 || size == 2 || size == 4 || size == 8);
    assert_true(offset + size <= file->size);
    uint64_t value = get_le(file->memory + offset, size);

    assert_true(value < pointee->size); /* as EDK2 wants it */
    put_le(file->memory + offset, size, value + pointee->address);
}

static void add_checksum(Firmware *firmware, const uint8_t *operands)
{
    File *file = find_file(firmware, operands);
    uint64_t offset = get_le(operands + 56, 4);
    uint64_t start = get_le(operands + 60, 4);
    uint64_t length = get_le(operands + 64, 4);
    uint8_t sum = 0;

    assert_non_null(file->memory);
    assert_true(start <= offset && offset < start + length && start + length <= file->size);
    assert_int_equal(file->memory[offset], 0);
    for (uint64_t i = start; i < start + length; i++) {
        sum = (uint8_t)(sum + file->memory[i]);
    }
    file->memory[offset] = (uint8_t)-sum;
}

static void carry_out(Firmware *firmware, GBytes *commands)
{
    gsize size;
    const uint8_t *bytes = g_bytes_get_data(commands, &size);

    assert_int_equal(size % TPM_FW_CFG_COMMAND_SIZE, 0);
    for (gsize at = 0; at < size; at += TPM_FW_CFG_COMMAND_SIZE) {
        switch (get_le(bytes + at, 4)) {
        case 1:
            allocate(firmware, bytes + at + 4);
            break;
        case 2:
            add_pointer(firmware, bytes + at + 4);
            break;
        case 3:
            add_checksum(firmware, bytes + at + 4);
            break;
        default:
            fail_msg("command %u", (unsigned)get_le(bytes + at, 4));
        }
    }
}

static void firmware_clear(Firmware *firmware)
{
    for (unsigned i = 0; i < firmware->file_count; i++) {
        g_free(firmware->files[i].memory);
    }
}

/* ---- devices and tables ---- */

static void clear_memory(void *opaque)
{
    (void)opaque;
}

static TPMDevice *new_device_with(const TPMDeviceConfig *config, TPMVersion version)
{
    TPMHost host = TPM_HOST_INIT;
    g_autoptr(GError) error = NULL;
    TPMBackend *backend = tpmdev_backend_null_new("tpm0", version, NULL);

    host.clear_memory = clear_memory;
    TPMDevice *device = tpmdev_device_new(config, backend, &host, NULL, &error);

    assert_null(error);
    tpmdev_backend_unref(backend);
    return device;
}

static TPMDevice *new_device_of(TPMInterface interface, TPMVersion version)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;

    config.interface = interface;
    return new_device_with(&config, version);
}

static void assert_bytes(GBytes *bytes, const uint8_t *expected, size_t expected_size)
{
    gsize size;
    const uint8_t *data = g_bytes_get_data(bytes, &size);

    assert_int_equal(size, expected_size);
    assert_memory_equal(data, expected, expected_size);
}

static void assert_refused(GBytes *bytes, GError **error, const char *message)
{
    assert_null(bytes);
    assert_true(g_error_matches(*error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION));
    assert_string_equal((*error)->message, message);
    g_clear_error(error);
}

/* ---- etc/tpm/config ---- */

static void test_config_file_is_six_bytes(void **state)
{
    static const struct {
        TPMVersion version;
        uint64_t ppi_address;
        uint8_t bytes[TPM_FW_CFG_CONFIG_SIZE];
    } cases[] = {
        { TPM_VERSION_2_0, 0xFED45000, { 0x00, 0x50, 0xD4, 0xFE, 2, 1 } },
        { TPM_VERSION_1_2, 0xFED45000, { 0x00, 0x50, 0xD4, 0xFE, 1, 1 } },
        { TPM_VERSION_2_0, 0, { 0, 0, 0, 0, 2, 0 } },
        { TPM_VERSION_1_2, 0, { 0, 0, 0, 0, 1, 0 } },
        { TPM_VERSION_2_0, 0xFFFFFC00, { 0x00, 0xFC, 0xFF, 0xFF, 2, 1 } },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        TPMDeviceConfig device_config = TPM_DEVICE_CONFIG_INIT;

        device_config.ppi_address = cases[i].ppi_address;
        TPMDevice *device = new_device_with(&device_config, cases[i].version);
        GBytes *config = tpmdev_fw_cfg_config(device);

        assert_bytes(config, cases[i].bytes, sizeof(cases[i].bytes));
        g_bytes_unref(config);
        tpmdev_device_free(device);
    }
}

/* ---- etc/tpm/log ---- */

static void test_log_file_is_zeros_of_the_size_asked_for(void **state)
{
    TPMDevice *device = new_device_of(TPM_INTERFACE_TIS, TPM_VERSION_2_0);
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;
    const uint32_t sizes[] = { TPM_LOG_AREA_SIZE, TPM_LOG_AREA_SIZE + 1, 0x40000 };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        config.log_size = sizes[i];
        GBytes *log = tpmdev_fw_cfg_log(device, &config, NULL);
        gsize size;
        const uint8_t *data = g_bytes_get_data(log, &size);

        assert_int_equal(size, sizes[i]);
        for (gsize at = 0; at < size; at++) {
            assert_int_equal(data[at], 0);
        }
        g_bytes_unref(log);
    }
    tpmdev_device_free(device);
}

static void test_log_file_of_no_log_is_none(void **state)
{
    TPMDevice *device = new_device_of(TPM_INTERFACE_TIS, TPM_VERSION_2_0);
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;
    GError *error = NULL;

    (void)state;
    config.no_log = true;
    assert_refused(tpmdev_fw_cfg_log(device, &config, &error), &error,
                   "TPM fw_cfg files: no_log is set; leave 'etc/tpm/log' out");
    tpmdev_device_free(device);
}

static void test_log_file_is_64_kib_by_default(void **state)
{
    TPMDevice *device = new_device_of(TPM_INTERFACE_TIS, TPM_VERSION_2_0);
    GBytes *log = tpmdev_fw_cfg_log(device, NULL, NULL);

    (void)state;
    assert_int_equal(g_bytes_get_size(log), TPM_LOG_AREA_SIZE);
    g_bytes_unref(log);
    tpmdev_device_free(device);
}

/* ---- the encoding of a command ---- */

static void assert_command(GByteArray *commands, const uint8_t *head, size_t head_size)
{
    uint8_t expected[TPM_FW_CFG_COMMAND_SIZE] = { 0 };

    memcpy(expected, head, head_size);
    assert_int_equal(commands->len, sizeof(expected));
    assert_memory_equal(commands->data, expected, sizeof(expected));
    g_byte_array_unref(commands);
}

static void test_allocate_is_name_alignment_zone(void **state)
{
    uint8_t head[4 + TPM_FW_CFG_NAME_SIZE + 5] = { 1, 0, 0, 0, 'e', 't', 'c', '/', 'a' };
    GByteArray *commands = g_byte_array_new();

    (void)state;
    head[60] = 0x40;
    head[64] = 2;
    tpm_loader_allocate(commands, "etc/a", 64, TPM_LOADER_F_SEGMENT);
    assert_command(commands, head, sizeof(head));
}

static void test_add_pointer_is_two_names_offset_size(void **state)
{
    uint8_t head[4 + 2 * TPM_FW_CFG_NAME_SIZE + 5] = { 2, 0, 0, 0, 'e', 't', 'c', '/', 'a' };
    GByteArray *commands = g_byte_array_new();

    (void)state;
    memcpy(head + 60, "etc/bc", 6);
    memcpy(head + 116, "\x78\x56\x34\x12\x08", 5);
    tpm_loader_add_pointer(commands, "etc/a", "etc/bc", 0x12345678, 8);
    assert_command(commands, head, sizeof(head));
}

static void test_add_checksum_is_name_offset_start_length(void **state)
{
    uint8_t head[4 + TPM_FW_CFG_NAME_SIZE + 12] = { 3, 0, 0, 0, 'e', 't', 'c', '/', 'a' };
    GByteArray *commands = g_byte_array_new();

    (void)state;
    memcpy(head + 60, "\x09\x01\0\0\0\x01\0\0\x4C\0\0", 11);
    tpm_loader_add_checksum(commands, "etc/a", 0x109, 0x100, 0x4C);
    assert_command(commands, head, sizeof(head));
}

static void test_the_longest_name_is_ended_by_its_nul(void **state)
{
    g_autofree char *longest = g_strnfill(TPM_FW_CFG_NAME_SIZE - 1, 'n');
    GByteArray *commands = g_byte_array_new();

    (void)state;
    assert_true(tpm_loader_is_name(longest));
    tpm_loader_allocate(commands, longest, 1, TPM_LOADER_HIGH);
    assert_int_equal(commands->data[4 + TPM_FW_CFG_NAME_SIZE - 2], 'n');
    assert_int_equal(commands->data[4 + TPM_FW_CFG_NAME_SIZE - 1], 0);
    g_byte_array_unref(commands);
}

/* ---- commands for a file of the hypervisor's own ---- */

#define TABLE_OFFSET 0x123u

/* Its tables, with the log table somewhere in the middle. */
static GBytes *tables_with(GBytes *table)
{
    GByteArray *file = g_byte_array_new();

    g_byte_array_set_size(file, TABLE_OFFSET);
    memset(file->data, 0xA5, file->len);
    g_byte_array_append(file, g_bytes_get_data(table, NULL), (guint)g_bytes_get_size(table));
    g_byte_array_append(file, (const uint8_t *)"more", 4);
    return g_byte_array_free_to_bytes(file);
}

static GBytes *allocate_tables(void)
{
    GByteArray *commands = g_byte_array_new();

    tpm_loader_allocate(commands, TPM_FW_CFG_ACPI_TABLES_FILE, 64, TPM_LOADER_HIGH);
    return g_byte_array_free_to_bytes(commands);
}

/* After the commands the table is what tpmdev_acpi_log_table() makes of the log's address. */
static void check_log_commands(TPMVersion version)
{
    TPMDevice *device = new_device_of(TPM_INTERFACE_TIS, version);
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;
    Firmware firmware = { .next_address = 0x7FE01234 };
    g_autoptr(GBytes) table = tpmdev_acpi_log_table(device, &config, NULL);
    g_autoptr(GBytes) linkable = tpmdev_acpi_linkable(table);
    g_autoptr(GBytes) tables = tables_with(linkable);
    g_autoptr(GBytes) log = tpmdev_fw_cfg_log(device, NULL, NULL);
    g_autoptr(GBytes) before = allocate_tables();
    g_autoptr(GBytes) commands = tpmdev_fw_cfg_log_commands(device, NULL, TABLE_OFFSET, NULL);

    firmware_has(&firmware, TPM_FW_CFG_ACPI_TABLES_FILE, tables);
    firmware_has(&firmware, TPM_FW_CFG_LOG_FILE, log);
    carry_out(&firmware, before);
    carry_out(&firmware, commands);
    config.log_address = firmware.files[1].address;
    g_autoptr(GBytes) expected = tpmdev_acpi_log_table(device, &config, NULL);

    assert_memory_equal(firmware.files[0].memory + TABLE_OFFSET, g_bytes_get_data(expected, NULL),
                        g_bytes_get_size(expected));
    assert_int_equal(firmware.files[0].memory[TABLE_OFFSET - 1], 0xA5);
    firmware_clear(&firmware);
    tpmdev_device_free(device);
}

static void test_log_commands_finish_a_tpm2_table(void **state)
{
    (void)state;
    check_log_commands(TPM_VERSION_2_0);
}

static void test_log_commands_finish_a_tcpa_table(void **state)
{
    (void)state;
    check_log_commands(TPM_VERSION_1_2);
}

static void test_log_commands_name_the_file_they_are_told(void **state)
{
    TPMDevice *device = new_device_of(TPM_INTERFACE_TIS, TPM_VERSION_2_0);
    GBytes *commands = tpmdev_fw_cfg_log_commands(device, "opt/mine", 0, NULL);
    const uint8_t *bytes = g_bytes_get_data(commands, NULL);

    (void)state;
    assert_string_equal((const char *)bytes + 4, TPM_FW_CFG_LOG_FILE);
    assert_string_equal((const char *)bytes + TPM_FW_CFG_COMMAND_SIZE + 4, "opt/mine");
    assert_string_equal((const char *)bytes + 2 * TPM_FW_CFG_COMMAND_SIZE + 4, "opt/mine");
    g_bytes_unref(commands);
    tpmdev_device_free(device);
}

static void test_bad_places_are_refused(void **state)
{
    TPMDevice *device = new_device_of(TPM_INTERFACE_TIS, TPM_VERSION_2_0);
    g_autofree char *too_long = g_strnfill(TPM_FW_CFG_NAME_SIZE, 'n');
    g_autofree char *message =
        g_strdup_printf("TPM fw_cfg files: file '%s' is no name for a command; give 1 to 55 "
                        "characters",
                        too_long);
    GError *error = NULL;

    (void)state;
    assert_refused(tpmdev_fw_cfg_log_commands(device, too_long, 0, &error), &error, message);
    assert_refused(tpmdev_fw_cfg_log_commands(device, "", 0, &error), &error,
                   "TPM fw_cfg files: file '' is no name for a command; give 1 to 55 characters");
    assert_refused(tpmdev_fw_cfg_log_commands(device, NULL, UINT32_MAX - 75, &error), &error,
                   "TPM fw_cfg files: offset 0xffffffb4 leaves no room for a table; give where in "
                   "'etc/acpi/tables' the log table begins");
    g_bytes_unref(tpmdev_fw_cfg_log_commands(device, NULL, UINT32_MAX - 76, &error));
    assert_null(error);
    tpmdev_device_free(device);
}

static void test_only_a_log_table_is_made_linkable(void **state)
{
    TPMDevice *device = new_device_of(TPM_INTERFACE_TIS, TPM_VERSION_2_0);
    GBytes *ssdt = tpmdev_acpi_ssdt(device, NULL, NULL);
    GBytes *nothing = g_bytes_new(NULL, 0);

    (void)state;
    assert_null(tpmdev_acpi_linkable(ssdt));
    assert_null(tpmdev_acpi_linkable(nothing));
    g_bytes_unref(nothing);
    g_bytes_unref(ssdt);
    tpmdev_device_free(device);
}

static void test_linkable_forgets_a_log_address(void **state)
{
    TPMDevice *device = new_device_of(TPM_INTERFACE_TIS, TPM_VERSION_2_0);
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;
    GBytes *plain = tpmdev_acpi_log_table(device, &config, NULL);

    (void)state;
    config.log_address = 0xFED50000;
    GBytes *placed = tpmdev_acpi_log_table(device, &config, NULL);
    GBytes *linkable = tpmdev_acpi_linkable(plain);
    GBytes *same = tpmdev_acpi_linkable(placed);

    assert_true(g_bytes_equal(linkable, same));
    assert_false(g_bytes_equal(plain, linkable)); /* the checksum */
    g_bytes_unref(plain);
    g_bytes_unref(placed);
    g_bytes_unref(linkable);
    g_bytes_unref(same);
    tpmdev_device_free(device);
}

/* ---- a file of our own ---- */

static void check_tables(TPMInterface interface, TPMVersion version)
{
    TPMDevice *device = new_device_of(interface, version);
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;
    Firmware firmware = { .next_address = 0x7FE00001 };
    g_autoptr(GBytes) commands = NULL;
    g_autoptr(GBytes) log = tpmdev_fw_cfg_log(device, NULL, NULL);
    g_autoptr(GBytes) tables = tpmdev_fw_cfg_tables(device, &config, &commands, NULL);
    g_autoptr(GBytes) ssdt = tpmdev_acpi_ssdt(device, &config, NULL);

    firmware_has(&firmware, TPM_FW_CFG_LOG_FILE, log);
    firmware_has(&firmware, TPM_FW_CFG_TABLES_FILE, tables);
    carry_out(&firmware, commands);
    config.log_address = firmware.files[0].address;
    g_autoptr(GBytes) table = tpmdev_acpi_log_table(device, &config, NULL);
    const File *file = &firmware.files[1];
    uint64_t ssdt_at = get_le(file->memory, 8) - file->address;
    uint64_t table_at = get_le(file->memory + 8, 8) - file->address;

    assert_int_equal(file->address % 64, 0);
    assert_true(table_at + g_bytes_get_size(table) <= file->size);
    assert_memory_equal(file->memory + ssdt_at, g_bytes_get_data(ssdt, NULL),
                        g_bytes_get_size(ssdt));
    assert_memory_equal(file->memory + table_at, g_bytes_get_data(table, NULL),
                        g_bytes_get_size(table));
    firmware_clear(&firmware);
    tpmdev_device_free(device);
}

static void test_own_file_leads_to_both_tables(void **state)
{
    (void)state;
    check_tables(TPM_INTERFACE_TIS, TPM_VERSION_2_0);
    check_tables(TPM_INTERFACE_TIS, TPM_VERSION_1_2);
    check_tables(TPM_INTERFACE_CRB, TPM_VERSION_2_0);
}

static void test_own_file_without_a_log_is_placed_by_three_commands(void **state)
{
    TPMDevice *device = new_device_of(TPM_INTERFACE_CRB, TPM_VERSION_2_0);
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;
    Firmware firmware = { .next_address = 0x7FE00001 };
    g_autoptr(GBytes) commands = NULL;

    (void)state;
    config.no_log = true;
    g_autoptr(GBytes) tables = tpmdev_fw_cfg_tables(device, &config, &commands, NULL);
    g_autoptr(GBytes) table = tpmdev_acpi_log_table(device, &config, NULL);

    assert_int_equal(g_bytes_get_size(commands), 3 * TPM_FW_CFG_COMMAND_SIZE);
    firmware_has(&firmware, TPM_FW_CFG_TABLES_FILE, tables);
    carry_out(&firmware, commands);
    const File *file = &firmware.files[0];
    uint64_t table_at = get_le(file->memory + 8, 8) - file->address;

    assert_int_equal(table_at + g_bytes_get_size(table), file->size);
    assert_memory_equal(file->memory + table_at, g_bytes_get_data(table, NULL),
                        g_bytes_get_size(table));
    firmware_clear(&firmware);
    tpmdev_device_free(device);
}

static void test_own_file_takes_no_log_address(void **state)
{
    TPMDevice *device = new_device_of(TPM_INTERFACE_TIS, TPM_VERSION_2_0);
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;
    GBytes *commands = (GBytes *)device;
    GError *error = NULL;

    (void)state;
    config.log_address = 0xFED50000;
    assert_refused(tpmdev_fw_cfg_tables(device, &config, &commands, &error), &error,
                   "TPM fw_cfg files: log_address is set; leave it 0, for firmware to place the "
                   "log");
    assert_null(commands);
    tpmdev_device_free(device);
}

static void test_own_file_refuses_what_its_tables_refuse(void **state)
{
    TPMDevice *device = new_device_of(TPM_INTERFACE_TIS, TPM_VERSION_2_0);
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;
    GBytes *commands = (GBytes *)device;
    GError *error = NULL;

    (void)state;
    config.name = "tpm";
    assert_null(tpmdev_fw_cfg_tables(device, &config, &commands, &error));
    assert_non_null(strstr(error->message, "name 'tpm' is no ACPI device name"));
    assert_null(commands);
    g_clear_error(&error);
    tpmdev_device_free(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_file_is_six_bytes),
        cmocka_unit_test(test_log_file_is_zeros_of_the_size_asked_for),
        cmocka_unit_test(test_log_file_of_no_log_is_none),
        cmocka_unit_test(test_log_file_is_64_kib_by_default),
        cmocka_unit_test(test_allocate_is_name_alignment_zone),
        cmocka_unit_test(test_add_pointer_is_two_names_offset_size),
        cmocka_unit_test(test_add_checksum_is_name_offset_start_length),
        cmocka_unit_test(test_the_longest_name_is_ended_by_its_nul),
        cmocka_unit_test(test_log_commands_finish_a_tpm2_table),
        cmocka_unit_test(test_log_commands_finish_a_tcpa_table),
        cmocka_unit_test(test_log_commands_name_the_file_they_are_told),
        cmocka_unit_test(test_bad_places_are_refused),
        cmocka_unit_test(test_only_a_log_table_is_made_linkable),
        cmocka_unit_test(test_linkable_forgets_a_log_address),
        cmocka_unit_test(test_own_file_leads_to_both_tables),
        cmocka_unit_test(test_own_file_without_a_log_is_placed_by_three_commands),
        cmocka_unit_test(test_own_file_takes_no_log_address),
        cmocka_unit_test(test_own_file_refuses_what_its_tables_refuse),
    };

    return cmocka_run_group_tests_name("fw-cfg", tests, NULL, NULL);
}
