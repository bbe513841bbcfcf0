/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The promise of the size members: a program built with the headers of version 0.1 works with
 * this library, and so does one built with headers to come.
 *
 * Every struct handed over ends where a page without access begins, so that a byte read or
 * written beyond its size ends the test, in a sanitizer's build and in every other.
 */
#include "abi-0.1.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- the members of 0.1 are where they were ---- */

#define SAME_PLACE(type, old, member)                                                              \
    G_STATIC_ASSERT(offsetof(type, member) == offsetof(old, member));                              \
    G_STATIC_ASSERT(sizeof(((type *)NULL)->member) == sizeof(((old *)NULL)->member))

SAME_PLACE(TPMHost, Host_0_1, size);
SAME_PLACE(TPMHost, Host_0_1, set_irq);
SAME_PLACE(TPMHost, Host_0_1, guest_error);
SAME_PLACE(TPMHost, Host_0_1, backend_error);
SAME_PLACE(TPMHost, Host_0_1, now_ns);
SAME_PLACE(TPMHost, Host_0_1, context);
SAME_PLACE(TPMDeviceConfig, DeviceConfig_0_1, size);
SAME_PLACE(TPMDeviceConfig, DeviceConfig_0_1, interface);
SAME_PLACE(TPMDeviceConfig, DeviceConfig_0_1, irq);
SAME_PLACE(TPMDeviceConfig, DeviceConfig_0_1, completion_window_ns);
SAME_PLACE(TPMDeviceStatistics, DeviceStatistics_0_1, size);
SAME_PLACE(TPMDeviceStatistics, DeviceStatistics_0_1, reads);
SAME_PLACE(TPMDeviceStatistics, DeviceStatistics_0_1, writes);
SAME_PLACE(TPMDeviceStatistics, DeviceStatistics_0_1, commands);
SAME_PLACE(TPMDeviceStatistics, DeviceStatistics_0_1, inline_completions);
SAME_PLACE(TPMDeviceStatistics, DeviceStatistics_0_1, rejected_commands);
SAME_PLACE(TPMDeviceStatistics, DeviceStatistics_0_1, failures);
SAME_PLACE(TPMDeviceStatistics, DeviceStatistics_0_1, cancels);
SAME_PLACE(TPMDeviceStatistics, DeviceStatistics_0_1, resets);
SAME_PLACE(TPMDeviceStatistics, DeviceStatistics_0_1, guest_errors);
SAME_PLACE(TPMDeviceStatistics, DeviceStatistics_0_1, interrupts);
SAME_PLACE(TPMCommand, Command_0_1, locality);
SAME_PLACE(TPMCommand, Command_0_1, size);
SAME_PLACE(TPMCommand, Command_0_1, data);
SAME_PLACE(TPMBackendClass, BackendClass_0_1, size);
SAME_PLACE(TPMBackendClass, BackendClass_0_1, type);
SAME_PLACE(TPMBackendClass, BackendClass_0_1, description);
SAME_PLACE(TPMBackendClass, BackendClass_0_1, options);
SAME_PLACE(TPMBackendClass, BackendClass_0_1, create);
SAME_PLACE(TPMBackendClass, BackendClass_0_1, start);
SAME_PLACE(TPMBackendClass, BackendClass_0_1, submit);
SAME_PLACE(TPMBackendClass, BackendClass_0_1, poll);
SAME_PLACE(TPMBackendClass, BackendClass_0_1, linger_end);
SAME_PLACE(TPMBackendClass, BackendClass_0_1, cancel);
SAME_PLACE(TPMBackendClass, BackendClass_0_1, reset_established);
SAME_PLACE(TPMBackendClass, BackendClass_0_1, destroy);
SAME_PLACE(TPMBackendInfo, BackendInfo_0_1, size);
SAME_PLACE(TPMBackendInfo, BackendInfo_0_1, version);
SAME_PLACE(TPMBackendInfo, BackendInfo_0_1, buffer_size);
SAME_PLACE(TPMLibtpmsConfig, LibtpmsConfig_0_1, size);
SAME_PLACE(TPMLibtpmsConfig, LibtpmsConfig_0_1, id);
SAME_PLACE(TPMLibtpmsConfig, LibtpmsConfig_0_1, directory);
SAME_PLACE(TPMLibtpmsConfig, LibtpmsConfig_0_1, version);
SAME_PLACE(TPMEmulatorConfig, EmulatorConfig_0_1, size);
SAME_PLACE(TPMEmulatorConfig, EmulatorConfig_0_1, id);
SAME_PLACE(TPMEmulatorConfig, EmulatorConfig_0_1, path);
SAME_PLACE(TPMAcpiConfig, AcpiConfig_0_1, size);
SAME_PLACE(TPMAcpiConfig, AcpiConfig_0_1, base);
SAME_PLACE(TPMAcpiConfig, AcpiConfig_0_1, log_address);
SAME_PLACE(TPMAcpiConfig, AcpiConfig_0_1, log_size);
SAME_PLACE(TPMAcpiConfig, AcpiConfig_0_1, scope);
SAME_PLACE(TPMAcpiConfig, AcpiConfig_0_1, name);

/* What is a number or a bit for a program that is built, stays that number. */
G_STATIC_ASSERT(TPM_INTERFACE_TIS == 0 && TPM_INTERFACE_CRB == 1);
G_STATIC_ASSERT(TPM_INTERFACE_TIS_SYSBUS == 2 && TPM_INTERFACE_TIS_I2C == 3);
G_STATIC_ASSERT(TPM_INTERFACE_TIS_SPI == 4 && TPM_INTERFACE_SPAPR == 5);
G_STATIC_ASSERT(TPM_I2C_START_SEND == 0 && TPM_I2C_START_RECEIVE == 1);
G_STATIC_ASSERT(TPM_I2C_STOP == 2 && TPM_I2C_NACK == 3);
G_STATIC_ASSERT(TPM_VERSION_1_2 == 1 && TPM_VERSION_2_0 == 2);
G_STATIC_ASSERT(TPM_ACPI_PLATFORM_X86 == 0 && TPM_ACPI_PLATFORM_ARM == 1);
G_STATIC_ASSERT(TPM_ACCESS_OK == 0 && TPM_ACCESS_BAD_WIDTH == 1 && TPM_ACCESS_BAD_OFFSET == 2);
G_STATIC_ASSERT(TPM_ERROR_INVALID_OPTION == 0 && TPM_ERROR_MISSING_OPTION == 1);
G_STATIC_ASSERT(TPM_ERROR_NOT_FOUND == 2 && TPM_ERROR_IN_USE == 3 && TPM_ERROR_IO == 4);
G_STATIC_ASSERT(TPM_ERROR_TIMED_OUT == 5 && TPM_ERROR_PROTOCOL == 6);
G_STATIC_ASSERT(TPM_ERROR_UNSUPPORTED == 7 && TPM_ERROR_STATE_DAMAGED == 8);
G_STATIC_ASSERT(TPM_LINK_CONNECTED == 0 && TPM_LINK_RESYNCHRONISING == 1 && TPM_LINK_GONE == 2);
G_STATIC_ASSERT(TPM_HASH_START == 0 && TPM_HASH_DATA == 1 && TPM_HASH_END == 2);
G_STATIC_ASSERT(TPM_ERROR_STATE_MISMATCH == 9 && TPM_ERROR_TPM == 10);

/* ---- structs at the end of what may be accessed ---- */

static uint8_t *accessible; /* a page, before one that is not */
static size_t page_size;

static int map_pages(void **state)
{
    (void)state;
    page_size = (size_t)sysconf(_SC_PAGESIZE);
    accessible =
        mmap(NULL, 2 * page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (accessible == MAP_FAILED) {
        return -1;
    }
    return mprotect(accessible + page_size, page_size, PROT_NONE);
}

static int unmap_pages(void **state)
{
    (void)state;
    return munmap(accessible, 2 * page_size);
}

/*
 * The first `size` bytes of a struct, as a program built when it had no more would hand it over;
 * its size member says so. The last byte is the last one that may be accessed.
 */
static void *first_bytes_of(const void *whole, size_t size)
{
    uint8_t *copy = accessible + page_size - size;

    memset(accessible, 0xA5, page_size);
    memcpy(copy, whole, size);
    memcpy(copy, &size, sizeof(size));
    return copy;
}

/* A struct of a program built with later headers: members that this library does not know. */
static void *with_more_members(const void *whole, size_t size)
{
    size_t later = size + 64;
    uint8_t *copy = accessible + page_size - later;

    memset(accessible, 0xA5, page_size);
    memcpy(copy, whole, size);
    memcpy(copy, &later, sizeof(later));
    return copy;
}

#define UP_TO(type, member) (offsetof(type, member) + sizeof(((type *)NULL)->member))

/* ---- a machine ---- */

typedef struct Notes {
    unsigned irqs;
    unsigned guest_errors;
    unsigned clock_looks;
    unsigned destroys;
    unsigned submits;
    TPMBackend *backend;
} Notes;

static void note_irq(void *opaque, bool level)
{
    ((Notes *)opaque)->irqs += level;
}

static void note_guest_error(void *opaque, const char *message)
{
    (void)message;
    ((Notes *)opaque)->guest_errors++;
}

static int64_t note_clock(void *opaque)
{
    return 1000 * (int64_t)++((Notes *)opaque)->clock_looks;
}

static Host_0_1 whole_host(void)
{
    return (Host_0_1){ sizeof(Host_0_1), note_irq, note_guest_error, NULL, note_clock, NULL };
}

static uint64_t read_register(TPMDevice *device, uint64_t offset)
{
    uint64_t value;

    assert_int_equal(tpmdev_device_read(device, offset, 4, &value), TPM_ACCESS_OK);
    return value;
}

/* A guest: makes a mistake, has a command answered, and has asked for an interrupt. */
static void play_guest(TPMDevice *device)
{
    static const uint8_t command[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 8 };

    tpmdev_device_write(device, 0x00, 1, 0x02);
    tpmdev_device_write(device, 0x18, 1, 0x20); /* tpmGo without a command */
    tpmdev_device_write(device, 0x08, 4, 0x80000001);
    tpmdev_device_write(device, 0x18, 1, 0x40);
    for (unsigned i = 0; i < sizeof(command); i++) {
        tpmdev_device_write(device, 0x24, 1, command[i]);
    }
    tpmdev_device_write(device, 0x18, 1, 0x20);
    assert_true(read_register(device, 0x18) & 0x10);
}

static TPMDevice *new_device(const void *config, const void *host, Notes *notes)
{
    TPMBackend *backend = tpmdev_backend_null_new("tpm0", TPM_VERSION_2_0, NULL);
    GError *error = NULL;
    TPMDevice *device = tpmdev_device_new(config, backend, host, notes, &error);

    if (!device) {
        fail_msg("%s", error->message);
    }
    tpmdev_backend_unref(backend);
    return device;
}

/* ---- TPMHost ---- */

static void test_a_host_with_nothing_but_an_interrupt_works(void **state)
{
    Host_0_1 host = whole_host();
    Notes notes = { 0 };
    TPMDevice *device = new_device(NULL, first_bytes_of(&host, UP_TO(Host_0_1, set_irq)), &notes);

    (void)state;
    play_guest(device);
    tpmdev_device_free(device);
    assert_int_equal(notes.irqs, 1);
    assert_int_equal(notes.guest_errors, 0);
    assert_int_equal(notes.clock_looks, 0);
}

static void test_a_host_with_nothing_at_all_works(void **state)
{
    Host_0_1 host = whole_host();
    Notes notes = { 0 };
    TPMDevice *device = new_device(NULL, first_bytes_of(&host, UP_TO(Host_0_1, size)), &notes);

    (void)state;
    play_guest(device);
    tpmdev_device_free(device);
    assert_int_equal(notes.irqs, 0);
}

static void check_whole_host(const void *host)
{
    Notes notes = { 0 };
    TPMDevice *device = new_device(NULL, host, &notes);

    /* It was copied: the program may reuse its memory. */
    memset(accessible, 0, page_size);
    play_guest(device);
    tpmdev_device_free(device);
    assert_int_equal(notes.irqs, 1);
    assert_int_equal(notes.guest_errors, 1);
    assert_true(notes.clock_looks > 0);
}

static void test_the_host_of_0_1_works(void **state)
{
    Host_0_1 host = whole_host();

    (void)state;
    check_whole_host(first_bytes_of(&host, sizeof(host)));
}

static void test_a_host_with_later_members_works(void **state)
{
    TPMHost host = TPM_HOST_INIT;

    (void)state;
    host.set_irq = note_irq;
    host.guest_error = note_guest_error;
    host.now_ns = note_clock;
    check_whole_host(with_more_members(&host, sizeof(host)));
}

/* ---- TPMDeviceConfig ---- */

static void test_device_members_that_are_not_there_have_their_defaults(void **state)
{
    DeviceConfig_0_1 config = { sizeof(config), 0, 11, 0 };
    TPMDevice *device;

    (void)state;
    device = new_device(first_bytes_of(&config, UP_TO(DeviceConfig_0_1, interface)), NULL, NULL);
    assert_int_equal(read_register(device, 0x0C) & 0xFF, 5);
    tpmdev_device_free(device);
    device = new_device(first_bytes_of(&config, UP_TO(DeviceConfig_0_1, irq)), NULL, NULL);
    assert_int_equal(read_register(device, 0x0C) & 0xFF, 11);
    tpmdev_device_free(device);
}

static void test_the_device_config_of_0_1_and_of_later_works(void **state)
{
    DeviceConfig_0_1 config = { sizeof(config), 0, 11, 0 };
    TPMDeviceConfig present = TPM_DEVICE_CONFIG_INIT;
    TPMDevice *device;

    (void)state;
    device = new_device(first_bytes_of(&config, sizeof(config)), NULL, NULL);
    assert_int_equal(read_register(device, 0x0C) & 0xFF, 11);
    tpmdev_device_free(device);
    present.irq = 12;
    device = new_device(with_more_members(&present, sizeof(present)), NULL, NULL);
    assert_int_equal(read_register(device, 0x0C) & 0xFF, 12);
    tpmdev_device_free(device);
}

/* ---- TPMBackendStatistics ---- */

static void test_only_so_many_statistics_of_a_backend_are_written(void **state)
{
    const size_t size = UP_TO(TPMBackendStatistics, commands);
    TPMBackendStatistics empty = { 0 }, *statistics = first_bytes_of(&empty, size);
    TPMDevice *device = new_device(NULL, NULL, NULL);

    (void)state;
    play_guest(device);
    tpmdev_backend_get_statistics(tpmdev_device_get_backend(device), statistics);
    tpmdev_device_free(device);
    assert_int_equal(statistics->size, size);
    assert_int_equal(statistics->commands, 1);
    assert_int_equal(statistics->starts, 1);
    assert_int_equal(((uint8_t *)statistics)[-1], 0xA5);
}

/* ---- TPMDeviceStatistics ---- */

static void test_only_so_many_statistics_are_written(void **state)
{
    const size_t size = UP_TO(DeviceStatistics_0_1, commands);
    DeviceStatistics_0_1 empty = { 0 }, *statistics = first_bytes_of(&empty, size);
    TPMDevice *device = new_device(NULL, NULL, NULL);

    (void)state;
    play_guest(device);
    tpmdev_device_get_statistics(device, (TPMDeviceStatistics *)statistics);
    tpmdev_device_free(device);
    assert_int_equal(statistics->size, size);
    assert_int_equal(statistics->commands, 1);
    assert_true(statistics->reads > 0 && statistics->writes > 0);
    assert_int_equal(((uint8_t *)statistics)[-1], 0xA5);
}

static void test_the_statistics_of_0_1_are_written_whole(void **state)
{
    DeviceStatistics_0_1 empty = { 0 }, *statistics = first_bytes_of(&empty, sizeof(empty));
    TPMDevice *device = new_device(NULL, NULL, NULL);

    (void)state;
    play_guest(device);
    tpmdev_device_get_statistics(device, (TPMDeviceStatistics *)statistics);
    tpmdev_device_free(device);
    assert_int_equal(statistics->size, sizeof(DeviceStatistics_0_1));
    assert_int_equal(statistics->resets, 1);
    assert_int_equal(statistics->interrupts, 1);
    assert_int_equal(statistics->guest_errors, 1);
}

static void test_statistics_of_later_are_left_alone(void **state)
{
    TPMDeviceStatistics empty = { 0 }, *statistics = with_more_members(&empty, sizeof(empty));
    TPMDevice *device = new_device(NULL, NULL, NULL);
    uint8_t *beyond = (uint8_t *)statistics + sizeof(*statistics);

    (void)state;
    tpmdev_device_get_statistics(device, statistics);
    tpmdev_device_free(device);
    /* The program can see how many of its members were filled in. */
    assert_int_equal(statistics->size, sizeof(TPMDeviceStatistics));
    for (unsigned i = 0; i < 64; i++) {
        assert_int_equal(beyond[i], 0xA5);
    }
}

/* ---- TPMBackendClass and TPMBackendInfo ---- */

static void old_start(void *self, size_t buffer_size)
{
    (void)buffer_size;
    tpmdev_backend_started(((Notes *)self)->backend);
}

static void old_submit(void *self, const Command_0_1 *command, bool linger)
{
    Notes *notes = self;
    uint8_t response[TPM_HEADER_SIZE];

    (void)linger;
    assert_int_equal(command->size, 12);
    notes->submits++;
    tpmdev_failure_response(TPM_VERSION_2_0, response);
    tpmdev_backend_complete(notes->backend, response, sizeof(response));
}

static void old_destroy(void *self)
{
    ((Notes *)self)->destroys++;
}

static const BackendClass_0_1 old_class = {
    .size = sizeof(BackendClass_0_1),
    .type = "old",
    .start = old_start,
    .submit = old_submit,
    .destroy = old_destroy,
};

static void check_class(const void *klass, const void *info)
{
    Notes notes = { 0 };
    GError *error = NULL;

    notes.backend = tpmdev_backend_new(klass, "tpm0", info, &notes, &error);
    if (!notes.backend) {
        fail_msg("%s", error->message);
    }
    TPMDevice *device = tpmdev_device_new(NULL, notes.backend, NULL, NULL, NULL);

    play_guest(device);
    /* Nothing of it says that it could. */
    assert_false(tpmdev_device_can_migrate(device, NULL));
    assert_null(tpmdev_device_save(device, 0, NULL));
    tpmdev_device_reset(device);
    tpmdev_device_free(device);
    tpmdev_backend_unref(notes.backend);
    assert_int_equal(notes.submits, 1);
    assert_int_equal(notes.destroys, 1);
}

static void test_a_backend_class_of_0_1_works(void **state)
{
    BackendInfo_0_1 info = { sizeof(info), TPM_VERSION_2_0, 4096 };

    (void)state;
    check_class(first_bytes_of(&old_class, sizeof(old_class)), &info);
}

static void test_a_backend_class_with_later_members_works(void **state)
{
    BackendInfo_0_1 info = { sizeof(info), TPM_VERSION_2_0, 4096 };
    TPMBackendClass present = { .type = "present" };

    (void)state;
    memcpy(&present, &old_class, sizeof(old_class));
    check_class(with_more_members(&present, sizeof(present)), &info);
}

static void test_a_backend_class_that_ends_too_soon_is_refused(void **state)
{
    BackendInfo_0_1 info = { sizeof(info), TPM_VERSION_2_0, 4096 };
    GError *error = NULL;

    (void)state;
    /* destroy() is the last of the mandatory members and of all; it ends before each in turn. */
    for (size_t size = sizeof(size_t); size < sizeof(old_class); size += sizeof(void *)) {
        const TPMBackendClass *klass = first_bytes_of(&old_class, size);

        assert_null(tpmdev_backend_new(klass, "tpm0", (TPMBackendInfo *)&info, NULL, &error));
        assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION));
        g_clear_error(&error);
        assert_false(tpmdev_backend_register(klass, NULL));
    }
}

static void test_backend_infos_of_0_1_and_of_later_work(void **state)
{
    BackendInfo_0_1 info = { sizeof(info), TPM_VERSION_2_0, 4096 };
    TPMBackendInfo present = { sizeof(present), TPM_VERSION_2_0, 4096, false };

    (void)state;
    check_class(&old_class, first_bytes_of(&info, sizeof(info)));
    check_class(&old_class, with_more_members(&present, sizeof(present)));
}

/* ---- TPMLibtpmsConfig, TPMEmulatorConfig, TPMAcpiConfig ---- */

/* They are understood as far as the directory or the socket, which is not there. */
static void check_constructors(const void *libtpms, const void *emulator)
{
    GError *error = NULL;

    if (libtpms) {
        assert_null(tpmdev_backend_libtpms_new(libtpms, &error));
    } else {
        assert_null(tpmdev_backend_emulator_new(emulator, &error));
    }
    assert_non_null(strstr(error->message, "/nowhere/at-all"));
    g_error_free(error);
}

static void test_backend_configs_of_0_1_and_of_later_work(void **state)
{
    LibtpmsConfig_0_1 libtpms = { sizeof(libtpms), "tpm0", "/nowhere/at-all", TPM_VERSION_2_0 };
    EmulatorConfig_0_1 emulator = { sizeof(emulator), "tpm0", "/nowhere/at-all" };
    TPMLibtpmsConfig present_libtpms = {
        .size = sizeof(present_libtpms),
        .id = "tpm0",
        .directory = "/nowhere/at-all",
        .version = TPM_VERSION_2_0,
    };
    TPMEmulatorConfig present_emulator = { .size = sizeof(present_emulator),
                                           .id = "tpm0",
                                           .path = "/nowhere/at-all" };

    (void)state;
    check_constructors(first_bytes_of(&libtpms, sizeof(libtpms)), NULL);
    check_constructors(NULL, first_bytes_of(&emulator, sizeof(emulator)));
    check_constructors(with_more_members(&present_libtpms, sizeof(present_libtpms)), NULL);
    check_constructors(NULL, with_more_members(&present_emulator, sizeof(present_emulator)));
    /* All the releases between them. */
    for (size_t size = sizeof(emulator); size < sizeof(present_emulator); size += sizeof(size)) {
        check_constructors(NULL, first_bytes_of(&present_emulator, size));
    }
}

/* The tables of a config equal those of another. */
static void assert_same_tables(const void *config, const TPMAcpiConfig *same)
{
    TPMDevice *device = new_device(NULL, NULL, NULL);
    GError *error = NULL;
    GBytes *tables[] = { tpmdev_acpi_log_table(device, config, &error),
                         tpmdev_acpi_log_table(device, same, NULL),
                         tpmdev_acpi_ssdt(device, config, NULL),
                         tpmdev_acpi_ssdt(device, same, NULL) };

    if (error) {
        fail_msg("%s", error->message);
    }
    assert_true(g_bytes_equal(tables[0], tables[1]));
    assert_true(g_bytes_equal(tables[2], tables[3]));
    for (unsigned i = 0; i < G_N_ELEMENTS(tables); i++) {
        g_bytes_unref(tables[i]);
    }
    tpmdev_device_free(device);
}

static void test_acpi_members_that_are_not_there_have_their_defaults(void **state)
{
    AcpiConfig_0_1 config = { sizeof(config), 0xFED50000, 0x1000, 0x20000, "\\_SB.PCI0", "TPMX" };
    TPMAcpiConfig only_base = TPM_ACPI_CONFIG_INIT;
    TPMAcpiConfig up_to_log = TPM_ACPI_CONFIG_INIT;

    (void)state;
    only_base.base = up_to_log.base = config.base;
    up_to_log.log_address = config.log_address;
    assert_same_tables(first_bytes_of(&config, UP_TO(AcpiConfig_0_1, base)), &only_base);
    assert_same_tables(first_bytes_of(&config, UP_TO(AcpiConfig_0_1, log_address)), &up_to_log);
}

static void test_acpi_configs_of_0_1_and_of_later_work(void **state)
{
    AcpiConfig_0_1 config = { sizeof(config), 0xFED50000, 0x1000, 0x20000, "\\_SB.PCI0", "TPMX" };
    TPMAcpiConfig present = TPM_ACPI_CONFIG_INIT;

    (void)state;
    memcpy(&present, &config, sizeof(config));
    present.size = sizeof(present);
    assert_same_tables(first_bytes_of(&config, sizeof(config)), &present);
    assert_same_tables(with_more_members(&present, sizeof(present)), &present);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_host_with_nothing_but_an_interrupt_works),
        cmocka_unit_test(test_a_host_with_nothing_at_all_works),
        cmocka_unit_test(test_the_host_of_0_1_works),
        cmocka_unit_test(test_a_host_with_later_members_works),
        cmocka_unit_test(test_device_members_that_are_not_there_have_their_defaults),
        cmocka_unit_test(test_the_device_config_of_0_1_and_of_later_works),
        cmocka_unit_test(test_only_so_many_statistics_are_written),
        cmocka_unit_test(test_only_so_many_statistics_of_a_backend_are_written),
        cmocka_unit_test(test_the_statistics_of_0_1_are_written_whole),
        cmocka_unit_test(test_statistics_of_later_are_left_alone),
        cmocka_unit_test(test_a_backend_class_of_0_1_works),
        cmocka_unit_test(test_a_backend_class_with_later_members_works),
        cmocka_unit_test(test_a_backend_class_that_ends_too_soon_is_refused),
        cmocka_unit_test(test_backend_infos_of_0_1_and_of_later_work),
        cmocka_unit_test(test_backend_configs_of_0_1_and_of_later_work),
        cmocka_unit_test(test_acpi_members_that_are_not_there_have_their_defaults),
        cmocka_unit_test(test_acpi_configs_of_0_1_and_of_later_work),
    };

    return cmocka_run_group_tests_name("abi", tests, map_pages, unmap_pages);
}
