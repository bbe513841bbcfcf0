/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finding one's way in QEMU's virtual I/O devices, in a process that only has a likeness of them:
 * where they are as in Debian's QEMU, where they are elsewhere, and each way in which they are not
 * what they should be.
 */
#include "qemu-vio-api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define CLASS_SIZE  1024u
#define DEVICE_SIZE 848u

/* As in Debian's QEMU. */
#define OF_CLASS 0xB0u
#define UNIT     0xA0u
#define SEND_CRQ 0xC0u
#define DMA      0xC8u

/* Of a field's description. */
#define FIELD_SIZE   96u
#define FIELD_OFFSET 16u

enum { TPM, VSCSI, VLAN, VTY, PARENT, CLASSES };

static const char *const types[CLASSES] = { "tpm-spapr", "spapr-vscsi", "spapr-vlan", "spapr-vty",
                                            QEMU_VIO_PARENT };

static const char *missing; /* a symbol QEMU does not export, or a type it does not have */
static _Alignas(8) uint8_t classes[CLASSES][CLASS_SIZE];
static const char *saved_state[32];
static _Alignas(8) uint8_t fields[6 * FIELD_SIZE];
static _Alignas(8) uint8_t memory[8 + DEVICE_SIZE + 8];
static uint8_t *const device = memory + 8;
static size_t of_class; /* where the part of a class is */
static QemuVioLayout layout;

/* ---- the likeness ---- */

static void never_called(void)
{
    fail();
}

static void *fake_class_by_name(const char *type)
{
    for (unsigned i = 0; i < CLASSES; i++) {
        if (strcmp(type, types[i]) == 0 && (!missing || strcmp(type, missing) != 0)) {
            return classes[i];
        }
    }
    return NULL;
}

static size_t fake_instance_size(const char *type)
{
    assert_string_equal(type, QEMU_VIO_PARENT);
    return DEVICE_SIZE;
}

void *__wrap_dlsym(void *handle, const char *name);

void *__wrap_dlsym(void *handle, const char *name)
{
    void *(*class_by_name)(const char *) = fake_class_by_name;
    void (*none)(void) = never_called;
    void *symbol;

    (void)handle;
    memcpy(&symbol, &none, sizeof(symbol));
    if (strcmp(name, "object_class_by_name") == 0) {
        memcpy(&symbol, &class_by_name, sizeof(symbol));
    } else if (strcmp(name, "vmstate_spapr_vio") == 0) {
        symbol = saved_state;
    }
    return missing && strcmp(name, missing) == 0 ? NULL : symbol;
}

static QemuVioClass *part(unsigned class)
{
    return (void *)(classes[class] + of_class);
}

/* Any function: it is only seen that there is one. */
#define SOME_FUNCTION (void *)(uintptr_t)1

static void set_class(unsigned class, const char *node_name, const char *device_type,
                      const char *compatible)
{
    QemuVioClass *p = part(class);

    memset(classes[class], 0, CLASS_SIZE);
    p->node_name = node_name;
    p->device_type = device_type;
    p->compatible = compatible;
    p->signal_mask = 1;
    p->dma_window = 0x10000000;
    p->realize = SOME_FUNCTION;
    p->reset = SOME_FUNCTION;
}

static void set_classes(size_t where)
{
    of_class = where;
    memset(classes, 0, sizeof(classes));
    set_class(TPM, "vtpm", "IBM,vtpm", NULL);
    part(TPM)->identify = SOME_FUNCTION;
    set_class(VSCSI, "v-scsi", "vscsi", "IBM,v-scsi");
    part(VSCSI)->describe = SOME_FUNCTION;
    set_class(VLAN, "l-lan", "network", "IBM,l-lan");
    part(VLAN)->describe = SOME_FUNCTION;
    set_class(VTY, "vty", "serial", "hvterm1");
    part(VTY)->signal_mask = 0;
    part(VTY)->dma_window = 0;
    part(VTY)->reset = NULL;
}

static void set_field(unsigned index, const char *name, size_t offset)
{
    memcpy(fields + index * FIELD_SIZE, &name, sizeof(name));
    memcpy(fields + index * FIELD_SIZE + FIELD_OFFSET, &offset, sizeof(offset));
}

static void set_fields(size_t first)
{
    set_field(0, "reg", first);
    set_field(1, "irq", first + 4);
    set_field(2, "signal_state", first + 8);
    set_field(3, "crq.qladdr", first + 16);
    set_field(4, "crq.qsize", first + 24);
    set_field(5, "crq.qnext", first + 28);
}

static void set_device(size_t offset, const void *data, size_t size)
{
    memcpy(device + offset, data, size);
}

/* The AddressSpace: behind two links its name and its root. */
static void set_space(const char *name, const void *root)
{
    set_device(DMA + 16, &name, sizeof(name));
    set_device(DMA + 24, &root, sizeof(root));
}

static int set_up(void **state)
{
    uint32_t unit = 0x71000002;

    (void)state;
    missing = NULL;
    qemu.object_type_get_instance_size = fake_instance_size;
    set_classes(OF_CLASS);
    memset(fields, 0, sizeof(fields));
    set_fields(UNIT);
    memset(saved_state, 0, sizeof(saved_state));
    saved_state[0] = "spapr_vio";
    saved_state[12] = (const char *)fields;
    memset(memory, 0, sizeof(memory));
    set_device(UNIT, &unit, sizeof(unit));
    set_space("vtpm@71000002", device + 0x108);
    return 0;
}

static void assert_refused(const char *expected)
{
    char *message = qemu_vio_load(&layout);

    assert_non_null(message);
    assert_string_equal(message, expected);
    g_free(message);
}

#define NOT_AS_EXPECTED(what) what " is not as in QEMU 7.2; " WHICH_QEMU

/* ---- the layout ---- */

static void test_debians_layout_is_found(void **state)
{
    (void)state;
    assert_null(qemu_vio_load(&layout));
    assert_int_equal(layout.of_class, OF_CLASS);
    assert_int_equal(layout.unit, UNIT);
    assert_int_equal(layout.queue_address, 0xB0);
    assert_int_equal(layout.queue_size, 0xB8);
    assert_int_equal(layout.send_crq, SEND_CRQ);
    assert_int_equal(layout.dma, DMA);
    assert_int_equal(layout.device_size, DEVICE_SIZE);
}

static void test_another_layout_is_found(void **state)
{
    (void)state;
    set_classes(OF_CLASS + 40);
    set_fields(UNIT + 16);
    saved_state[12] = NULL;
    saved_state[20] = (const char *)fields;
    assert_null(qemu_vio_load(&layout));
    assert_int_equal(layout.of_class, OF_CLASS + 40);
    assert_int_equal(layout.send_crq, SEND_CRQ + 16);
}

static void test_every_missing_symbol_is_named(void **state)
{
    static const char *const names[] = {
#define QEMU_VIO_FUNCTION_NAME(type, name, parameters) #name,
        QEMU_VIO_FUNCTIONS(QEMU_VIO_FUNCTION_NAME)
#undef QEMU_VIO_FUNCTION_NAME
            "vmstate_spapr_vio",
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        char *expected = g_strdup_printf("this QEMU does not export %s; " WHICH_QEMU, names[i]);

        missing = names[i];
        assert_refused(expected);
        g_free(expected);
    }
}

static void test_a_type_that_is_not_there_is_refused(void **state)
{
    (void)state;
    missing = types[TPM];
    assert_refused(NOT_AS_EXPECTED("the class of tpm-spapr"));
    missing = types[VLAN];
    assert_refused(NOT_AS_EXPECTED("spapr-vlan"));
    missing = types[PARENT];
    assert_refused(NOT_AS_EXPECTED("the class " QEMU_VIO_PARENT));
}

/* One byte of any member of a known class makes another class of it. */
static void test_every_member_of_a_class_is_looked_at(void **state)
{
    static const struct {
        size_t offset;
        size_t size;
    } members[] = {
        { offsetof(QemuVioClass, node_name), 8 },  { offsetof(QemuVioClass, device_type), 8 },
        { offsetof(QemuVioClass, compatible), 8 }, { offsetof(QemuVioClass, signal_mask), 8 },
        { offsetof(QemuVioClass, dma_window), 4 }, { offsetof(QemuVioClass, realize), 8 },
        { offsetof(QemuVioClass, reset), 8 },      { offsetof(QemuVioClass, describe), 8 },
        { offsetof(QemuVioClass, identify), 8 },
    };
    uint8_t before[8];

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(members); i++) {
        uint8_t *at = classes[VSCSI] + OF_CLASS + members[i].offset;
        static const uint8_t zeros[8];

        memcpy(before, at, members[i].size);
        /* What is set is no more; what is not set is. */
        memset(at, memcmp(before, zeros, members[i].size) == 0, members[i].size);
        assert_refused(NOT_AS_EXPECTED("spapr-vscsi"));
        memcpy(at, before, members[i].size);
        assert_null(qemu_vio_load(&layout));
    }
}

static void test_another_name_is_refused(void **state)
{
    (void)state;
    part(VTY)->node_name = "vty2";
    assert_refused(NOT_AS_EXPECTED("spapr-vty"));
    part(VTY)->node_name = "vt";
    assert_refused(NOT_AS_EXPECTED("spapr-vty"));
}

static void test_a_parent_that_has_something_to_inherit_is_refused(void **state)
{
    (void)state;
    for (unsigned at = 0; at < sizeof(QemuVioClass); at++) {
        classes[PARENT][OF_CLASS + at] = 1;
        assert_refused(NOT_AS_EXPECTED("the class " QEMU_VIO_PARENT));
        classes[PARENT][OF_CLASS + at] = 0;
    }
}

static void test_a_field_of_another_name_is_refused(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 6; i++) {
        set_fields(UNIT);
        set_field(i, "other", 0);
        assert_refused(NOT_AS_EXPECTED("the saved state of " QEMU_VIO_PARENT));
    }
}

static void test_a_field_elsewhere_is_refused(void **state)
{
    static const size_t offsets[] = { 0, 4, 8, 16, 24, 28 };
    static const char *const names[] = { "reg",        "irq",       "signal_state",
                                         "crq.qladdr", "crq.qsize", "crq.qnext" };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(offsets); i++) {
        set_fields(UNIT);
        set_field(i, names[i], UNIT + offsets[i] + 4);
        assert_refused(NOT_AS_EXPECTED("the saved state of " QEMU_VIO_PARENT));
    }
}

static void test_fields_beyond_the_device_are_refused(void **state)
{
    (void)state;
    set_fields(DEVICE_SIZE - 28);
    assert_refused(NOT_AS_EXPECTED("the saved state of " QEMU_VIO_PARENT));
    /* They are in it, and what follows them is not. */
    set_fields(DEVICE_SIZE - 32);
    assert_refused(NOT_AS_EXPECTED("the size of " QEMU_VIO_PARENT));
    set_fields(DEVICE_SIZE - 32 - 8 - 32);
    assert_null(qemu_vio_load(&layout));
    set_fields(DEVICE_SIZE - 32 - 8 - 24);
    assert_refused(NOT_AS_EXPECTED("the size of " QEMU_VIO_PARENT));
}

static void test_memory_that_is_not_there_is_no_crash(void **state)
{
    size_t page = 4096;
    char *nothing = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_ptr_not_equal(nothing, MAP_FAILED);
    munmap(nothing, page);
    saved_state[12] = nothing;
    assert_refused(NOT_AS_EXPECTED("the saved state of " QEMU_VIO_PARENT));
    saved_state[12] = (const char *)fields;
    part(VLAN)->device_type = nothing;
    assert_refused(NOT_AS_EXPECTED("spapr-vlan"));
    part(VLAN)->device_type = (const char *)-1;
    assert_refused(NOT_AS_EXPECTED("spapr-vlan"));
}

/* ---- a device ---- */

static const char *check_device(void)
{
    assert_null(qemu_vio_load(&layout));
    return qemu_vio_check_device(&layout, (QemuVioDevice *)device, "vtpm");
}

static void test_a_device_is_taken(void **state)
{
    (void)state;
    assert_null(check_device());
}

static void test_a_function_that_is_set_is_refused(void **state)
{
    (void)state;
    device[SEND_CRQ + 7] = 1;
    assert_string_equal(check_device(), "the function for H_SEND_CRQ");
}

static void test_a_space_of_another_name_is_refused(void **state)
{
    (void)state;
    set_space("vtpm@71000003", device + 0x108);
    assert_string_equal(check_device(), "the AddressSpace of a device");
    set_space("l-lan@71000002", device + 0x108);
    assert_string_equal(check_device(), "the AddressSpace of a device");
    set_space(NULL, device + 0x108);
    assert_string_equal(check_device(), "the AddressSpace of a device");
}

static void test_a_space_whose_root_is_elsewhere_is_refused(void **state)
{
    (void)state;
    set_space("vtpm@71000002", device - 1);
    assert_string_equal(check_device(), "the AddressSpace of a device");
    set_space("vtpm@71000002", device + DEVICE_SIZE);
    assert_string_equal(check_device(), "the AddressSpace of a device");
    set_space("vtpm@71000002", NULL);
    assert_string_equal(check_device(), "the AddressSpace of a device");
}

#define TEST(function) cmocka_unit_test_setup(function, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_debians_layout_is_found),
        TEST(test_another_layout_is_found),
        TEST(test_every_missing_symbol_is_named),
        TEST(test_a_type_that_is_not_there_is_refused),
        TEST(test_every_member_of_a_class_is_looked_at),
        TEST(test_another_name_is_refused),
        TEST(test_a_parent_that_has_something_to_inherit_is_refused),
        TEST(test_a_field_of_another_name_is_refused),
        TEST(test_a_field_elsewhere_is_refused),
        TEST(test_fields_beyond_the_device_are_refused),
        TEST(test_memory_that_is_not_there_is_no_crash),
        TEST(test_a_device_is_taken),
        TEST(test_a_function_that_is_set_is_refused),
        TEST(test_a_space_of_another_name_is_refused),
        TEST(test_a_space_whose_root_is_elsewhere_is_refused),
    };

    return cmocka_run_group_tests_name("qemu-vio-api", tests, NULL, NULL);
}
