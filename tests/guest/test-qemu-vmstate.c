/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How QEMU describes saved state, in a process that only has a likeness of a CPU's description: as
 * it is in Debian's QEMU, and each way in which it is not.
 */
#include "qemu-vmstate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const char *missing; /* a symbol QEMU does not export */
static QemuFieldInfo number;
static QemuField fields[3];
static QemuDescription cpu;
static const char *registered; /* the name of what was handed to QEMU */
static bool refuses;

/* Any function: it is only seen that there is one. */
#define SOME_FUNCTION (void *)(uintptr_t)1

/* ---- the likeness ---- */

static void never_called(void)
{
    fail();
}

static int fake_register(void *object, uint32_t instance, const QemuDescription *description,
                         void *opaque, int alias, int alias_version, QemuError **error)
{
    assert_null(object);
    assert_int_equal(instance, 0);
    assert_ptr_equal(opaque, &registered);
    assert_int_equal(alias, -1);
    assert_int_equal(alias_version, 0);
    registered = description->name;
    if (refuses) {
        *error = (QemuError *)&refuses;
    }
    return refuses ? -1 : 0;
}

static const char *fake_pretty(const QemuError *error)
{
    assert_ptr_equal(error, &refuses);
    return "there is one";
}

void *__wrap_dlsym(void *handle, const char *name);

void *__wrap_dlsym(void *handle, const char *name)
{
    void (*none)(void) = never_called;
    void *symbol;

    (void)handle;
    memcpy(&symbol, &none, sizeof(symbol));
    if (strcmp(name, "vmstate_cpu_common") == 0) {
        symbol = &cpu;
    } else if (strcmp(name, "vmstate_info_uint32") == 0) {
        symbol = &number;
    }
    return missing && strcmp(name, missing) == 0 ? NULL : symbol;
}

static QemuField number_field(const char *name, size_t offset)
{
    return (QemuField){
        .name = name, .offset = offset, .size = 4, .info = &number, .flags = QEMU_FIELD_SINGLE
    };
}

static int set_up(void **state)
{
    (void)state;
    missing = registered = NULL;
    refuses = false;
    number = (QemuFieldInfo){ "uint32", SOME_FUNCTION, SOME_FUNCTION };
    fields[0] = number_field("halted", 0x2FC);
    fields[1] = number_field("interrupt_request", 0xD8);
    fields[2] = (QemuField){ .name = NULL };
    cpu = (QemuDescription){ .name = "cpu_common",
                             .version = 1,
                             .minimum_version = 1,
                             .before_load = SOME_FUNCTION,
                             .after_load = SOME_FUNCTION,
                             .fields = fields,
                             .subsections = &cpu };
    return 0;
}

static void assert_text(char *message, const char *expected)
{
    assert_non_null(message);
    assert_string_equal(message, expected);
    g_free(message);
}

/* ---- tests ---- */

/* The offsets that were seen in Debian's QEMU. */
static void test_the_layout_is_that_of_debians_qemu(void **state)
{
    (void)state;
    assert_int_equal(offsetof(QemuDescription, version), 0x0C);
    assert_int_equal(offsetof(QemuDescription, minimum_version), 0x10);
    assert_int_equal(offsetof(QemuDescription, before_load), 0x18);
    assert_int_equal(offsetof(QemuDescription, after_load), 0x20);
    assert_int_equal(offsetof(QemuDescription, fields), 0x48);
    assert_int_equal(offsetof(QemuDescription, subsections), 0x50);
    assert_int_equal(offsetof(QemuField, offset), 0x10);
    assert_int_equal(offsetof(QemuField, size), 0x18);
    assert_int_equal(offsetof(QemuField, info), 0x40);
    assert_int_equal(offsetof(QemuField, flags), 0x48);
    assert_int_equal(sizeof(QemuField), 0x68);
}

static void test_debians_qemu_is_taken(void **state)
{
    (void)state;
    assert_null(qemu_vmstate_load());
    assert_non_null(qemu_vmstate.run_state_names);
}

#define QEMU_FUNCTION_NAME(type, name, parameters) #name,

static void test_every_missing_symbol_is_named(void **state)
{
    static const char *const names[] = { QEMU_VMSTATE_FUNCTIONS(
                                             QEMU_FUNCTION_NAME) "RunState_lookup",
                                         "vmstate_cpu_common", "vmstate_info_uint32" };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        char *expected = g_strdup_printf("this QEMU does not export %s; " WHICH_QEMU, names[i]);

        missing = names[i];
        assert_text(qemu_vmstate_load(), expected);
        g_free(expected);
    }
}

/* Whatever word of the three is another: a layout that is not the expected one has that. */
static void assert_every_word_counts(void *memory, size_t size)
{
    for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
        uint64_t word, other;

        memcpy(&word, (char *)memory + at, sizeof(word));
        other = word ? 0 : 0x100000001;
        memcpy((char *)memory + at, &other, sizeof(other));
        assert_text(qemu_vmstate_load(),
                    "the saved state of a CPU is not as in QEMU 7.2; " WHICH_QEMU);
        memcpy((char *)memory + at, &word, sizeof(word));
    }
    assert_null(qemu_vmstate_load());
}

static void test_another_layout_is_refused(void **state)
{
    (void)state;
    assert_every_word_counts(&cpu, sizeof(cpu));
    assert_every_word_counts(&number, sizeof(number));
    assert_every_word_counts(fields, 2 * sizeof(fields[0]));
    fields[2].name = "exception_index";
    assert_text(qemu_vmstate_load(), "the saved state of a CPU is not as in QEMU 7.2; " WHICH_QEMU);
}

static void test_memory_that_is_not_there_is_refused(void **state)
{
    (void)state;
    cpu.fields = SOME_FUNCTION;
    assert_text(qemu_vmstate_load(), "the saved state of a CPU is not as in QEMU 7.2; " WHICH_QEMU);
    assert_false(qemu_vmstate_is_plain(SOME_FUNCTION, "cpu_common"));
}

static void test_a_plain_description_has_fields_alone(void **state)
{
    QemuDescription plain = {
        .name = "plain", .version = 1, .minimum_version = 1, .fields = fields
    };

    (void)state;
    assert_true(qemu_vmstate_is_plain(&plain, "plain"));
    assert_false(qemu_vmstate_is_plain(&plain, "other"));
    assert_false(qemu_vmstate_is_plain(&cpu, "cpu_common"));
    plain.before_save = SOME_FUNCTION;
    assert_false(qemu_vmstate_is_plain(&plain, "plain"));
}

static void test_a_description_is_handed_to_qemu(void **state)
{
    (void)state;
    assert_null(qemu_vmstate_load());
    qemu_vmstate.vmstate_register_with_alias_id = fake_register;
    qemu.error_get_pretty = fake_pretty;
    assert_null(qemu_vmstate_register(&cpu, &registered));
    assert_string_equal(registered, "cpu_common");
    refuses = true;
    assert_text(qemu_vmstate_register(&cpu, &registered), "there is one");
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_layout_is_that_of_debians_qemu),
        TEST(test_debians_qemu_is_taken),
        TEST(test_every_missing_symbol_is_named),
        TEST(test_another_layout_is_refused),
        TEST(test_memory_that_is_not_there_is_refused),
        TEST(test_a_plain_description_has_fields_alone),
        TEST(test_a_description_is_handed_to_qemu),
    };

    return cmocka_run_group_tests_name("qemu-vmstate", tests, NULL, NULL);
}
