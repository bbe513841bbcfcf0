/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The plugin in a process that only says it is QEMU: which ones it takes, and what it says to the
 * others. The symbols it looks up are found here.
 */
#include "qemu-api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* What the fake QEMU is. */
static const char *missing; /* a symbol it does not export */
static int64_t major, minor;
static bool tells_version;
static size_t memory_region_size;
static uint8_t *tables;
static size_t tables_len;
static unsigned versions_freed;

static QemuVersion *fake_query_version(QemuError **error)
{
    static struct {
        int64_t major;
        int64_t minor;
        int64_t micro;
    } triple;
    static QemuVersion version;

    (void)error;
    triple.major = major;
    triple.minor = minor;
    triple.micro = 22;
    version.triple = (void *)&triple;
    return tells_version ? &version : NULL;
}

static void fake_free_version(QemuVersion *version)
{
    assert_non_null(version);
    versions_freed++;
}

static size_t fake_instance_size(const char *type)
{
    assert_string_equal(type, "memory-region");
    return memory_region_size;
}

static void never_called(void)
{
    fail();
}

typedef void (*Function)(void);

static void *address_of(Function function)
{
    void *address;

    memcpy(&address, &function, sizeof(address));
    return address;
}

void *__wrap_dlsym(void *handle, const char *name);

void *__wrap_dlsym(void *handle, const char *name)
{
    (void)handle;
    if (missing && strcmp(name, missing) == 0) {
        return NULL;
    } else if (strcmp(name, "acpi_tables") == 0) {
        return &tables;
    } else if (strcmp(name, "acpi_tables_len") == 0) {
        return &tables_len;
    } else if (strcmp(name, "qmp_query_version") == 0) {
        return address_of((Function)fake_query_version);
    } else if (strcmp(name, "qapi_free_VersionInfo") == 0) {
        return address_of((Function)fake_free_version);
    } else if (strcmp(name, "object_type_get_instance_size") == 0) {
        return address_of((Function)fake_instance_size);
    }
    return address_of(never_called);
}

static QemuPluginInfo info;

static int set_up(void **state)
{
    (void)state;
    info = (QemuPluginInfo){ "x86_64", { 0, QEMU_PLUGIN_API }, true, { 1, 1 } };
    missing = NULL;
    major = 7;
    minor = 2;
    tells_version = true;
    memory_region_size = sizeof(QemuMemoryRegion);
    versions_freed = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    g_clear_pointer(&tables, g_free);
    tables_len = 0;
    return 0;
}

static void assert_refused(const char *expected)
{
    char *message = qemu_api_load(&info);

    assert_non_null(message);
    assert_string_equal(message, expected);
    g_free(message);
}

static void test_debians_qemu_is_taken(void **state)
{
    (void)state;
    assert_null(qemu_api_load(&info));
    assert_int_equal(versions_freed, 1);
    info.target_name = "i386";
    assert_null(qemu_api_load(&info));
    info.target_name = "aarch64";
    assert_null(qemu_api_load(&info));
    info.target_name = "ppc64";
    assert_null(qemu_api_load(&info));
}

static void test_another_version_is_refused(void **state)
{
    (void)state;
    minor = 1;
    assert_refused("this is QEMU 7.1.22, which is not known to work; " WHICH_QEMU);
    major = 8;
    minor = 2;
    assert_refused("this is QEMU 8.2.22, which is not known to work; " WHICH_QEMU);
    assert_int_equal(versions_freed, 2);
}

static void test_a_version_that_is_not_told_is_refused(void **state)
{
    (void)state;
    tells_version = false;
    assert_refused("QEMU does not tell its version; " WHICH_QEMU);
}

static void test_another_plugin_interface_is_refused(void **state)
{
    (void)state;
    info.version.cur = 2;
    assert_refused("QEMU's plugin interface is of version 2, not 1; " WHICH_QEMU);
}

static void test_another_target_is_refused(void **state)
{
    (void)state;
    info.target_name = "s390x";
    assert_refused("this QEMU emulates s390x; use qemu-system-x86_64, qemu-system-aarch64 or "
                   "qemu-system-ppc64");
}

static void test_user_emulation_is_refused(void **state)
{
    (void)state;
    info.system_emulation = false;
    assert_refused("this QEMU emulates no machine; use qemu-system-x86_64, qemu-system-aarch64 or "
                   "qemu-system-ppc64");
}

#define QEMU_FUNCTION_NAME(type, name, parameters) #name,

static void assert_each_is_missed(const char *const *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        char *expected = g_strdup_printf("this QEMU does not export %s; " WHICH_QEMU, names[i]);

        missing = names[i];
        assert_refused(expected);
        g_free(expected);
    }
    assert_int_equal(versions_freed, 0);
}

static void test_every_missing_symbol_is_named(void **state)
{
    static const char *const names[] = {
        QEMU_FUNCTIONS(QEMU_FUNCTION_NAME) "acpi_tables",
        "acpi_tables_len",
    };

    (void)state;
    assert_each_is_missed(names, G_N_ELEMENTS(names));
    info.target_name = "aarch64";
    assert_each_is_missed(names, G_N_ELEMENTS(names));
    info.target_name = "ppc64";
    assert_each_is_missed(names, G_N_ELEMENTS(names));
}

static void test_a_pc_takes_an_isa_bus_and_no_device_tree(void **state)
{
    static const char *const names[] = { QEMU_PC_FUNCTIONS(QEMU_FUNCTION_NAME) };

    (void)state;
    assert_each_is_missed(names, G_N_ELEMENTS(names));
    missing = "qemu_fdt_setprop";
    assert_null(qemu_api_load(&info));
}

static void test_virt_takes_a_device_tree_and_no_isa_bus(void **state)
{
    static const char *const names[] = { QEMU_VIRT_FUNCTIONS(QEMU_FUNCTION_NAME) };

    (void)state;
    info.target_name = "aarch64";
    assert_each_is_missed(names, G_N_ELEMENTS(names));
    missing = "isa_get_irq";
    assert_null(qemu_api_load(&info));
}

static void test_pseries_takes_no_isa_bus_and_no_device_tree(void **state)
{
    static const char *const names[] = { QEMU_PC_FUNCTIONS(QEMU_FUNCTION_NAME)
                                             QEMU_VIRT_FUNCTIONS(QEMU_FUNCTION_NAME) };

    (void)state;
    info.target_name = "ppc64";
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        missing = names[i];
        assert_null(qemu_api_load(&info));
    }
}

static void test_a_larger_memory_region_is_refused(void **state)
{
    (void)state;
    memory_region_size++;
    assert_refused("QEMU's memory regions are larger than expected; " WHICH_QEMU);
}

static void test_tables_are_added_behind_those_that_are_there(void **state)
{
    static const uint8_t expected[] = { 2, 0, 3, 0, 'o', 'n', 'e', 5, 0, 't', 'h', 'r', 'e', 'e' };
    GBytes *first = g_bytes_new_static("one", 3);
    GBytes *second = g_bytes_new_static("three", 5);

    (void)state;
    assert_null(qemu_api_load(&info));
    qemu_add_acpi_table(first);
    assert_int_equal(tables_len, 7);
    assert_int_equal(tables[0], 1);
    qemu_add_acpi_table(second);
    assert_int_equal(tables_len, sizeof(expected));
    assert_memory_equal(tables, expected, sizeof(expected));
    g_bytes_unref(first);
    g_bytes_unref(second);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_debians_qemu_is_taken),
        TEST(test_another_version_is_refused),
        TEST(test_a_version_that_is_not_told_is_refused),
        TEST(test_another_plugin_interface_is_refused),
        TEST(test_another_target_is_refused),
        TEST(test_user_emulation_is_refused),
        TEST(test_every_missing_symbol_is_named),
        TEST(test_a_pc_takes_an_isa_bus_and_no_device_tree),
        TEST(test_virt_takes_a_device_tree_and_no_isa_bus),
        TEST(test_pseries_takes_no_isa_bus_and_no_device_tree),
        TEST(test_a_larger_memory_region_is_refused),
        TEST(test_tables_are_added_behind_those_that_are_there),
    };

    return cmocka_run_group_tests_name("qemu-api", tests, NULL, NULL);
}
