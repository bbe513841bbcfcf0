/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The virtual I/O device with a likeness of QEMU around it: how it is made, what it refuses, and
 * what passes between guest and device. Where the members of classes and devices are is for
 * test-qemu-vio-api.c; here they are where the likeness has them.
 */
#include "qemu-vio-api.h"
#include "qemu-vio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define H_REG_CRQ  0xFCu
#define H_FREE_CRQ 0x100u
#define H_SEND_CRQ 0x108u

typedef int (*SendCrq)(QemuVioDevice *device, const uint8_t *message);

struct QemuVioDevice {
    uint32_t unit;
    uint64_t queue_address;
    uint32_t queue_size;
    SendCrq send_crq;
    uint8_t dma[32];
};

/* What QEMU is like. */
static const char *layout_fault, *device_fault; /* what is not as expected, or NULL */
static const char *register_fault;
static bool is_plain;
static bool has_bus, garbles, loses_queue, keeps_queue;
static uint64_t code_fault;
static size_t instance_size;
static uint32_t dma_result;
static int send_result;

/* What it has. */
QemuApi qemu;
QemuVioApi qemu_vio;
static QemuVioDevice device, other_device;
static QemuVioClass class;
static const QemuTypeInfo *type;
static const QemuField saved_fields[2];
static const QemuDescription saved_state = { .name = "spapr_vio", .fields = saved_fields };
static const QemuDescription *registered;
static char error_text[200];
static bool error_is_set;

/* What was done. */
static unsigned messages, changes, accesses, sent;
static uint8_t last_message[QEMU_VIO_MESSAGE_SIZE];
static int64_t model_result;
static bool last_was_write;

/* ---- the likeness ---- */

char *qemu_vio_load(QemuVioLayout *layout)
{
    *layout = (QemuVioLayout){
        .unit = offsetof(QemuVioDevice, unit),
        .queue_address = offsetof(QemuVioDevice, queue_address),
        .queue_size = offsetof(QemuVioDevice, queue_size),
        .send_crq = offsetof(QemuVioDevice, send_crq),
        .dma = offsetof(QemuVioDevice, dma),
        .device_size = sizeof(QemuVioDevice),
    };
    return g_strdup(layout_fault);
}

char *qemu_vio_unexpected(const char *what)
{
    return g_strdup_printf("unexpected: %s", what);
}

const char *qemu_vio_check_device(const QemuVioLayout *layout, const QemuVioDevice *checked,
                                  const char *node_name)
{
    (void)layout;
    (void)checked;
    assert_string_equal(node_name, "node");
    return device_fault;
}

bool qemu_vmstate_is_plain(const QemuDescription *description, const char *name)
{
    assert_ptr_equal(description, &saved_state);
    assert_string_equal(name, "spapr_vio");
    return is_plain;
}

char *qemu_vmstate_register(const QemuDescription *description, void *opaque)
{
    assert_ptr_equal(opaque, &device);
    registered = description;
    return g_strdup(register_fault);
}

static void *fake_register(const QemuTypeInfo *info)
{
    type = info;
    return &type;
}

static void *fake_class_by_name(const char *name)
{
    assert_string_equal(name, type->name);
    type->class_begin(&class, type->class_data);
    return &class;
}

static size_t fake_instance_size(const char *name)
{
    assert_string_equal(name, type->name);
    return instance_size;
}

static QemuVioDevice *fake_new(const char *name)
{
    assert_string_equal(name, type->name);
    memset(&device, 0, sizeof(device));
    type->instance_begin(&device);
    return &device;
}

static bool fake_realize(QemuVioDevice *realized, QemuObject *bus, QemuError **error)
{
    assert_ptr_equal(bus, &has_bus);
    assert_int_equal(realized->unit, UINT32_MAX);
    realized->unit = 0x71000002;
    class.realize(realized, error);
    return !error_is_set;
}

static void fake_error(QemuError **error, const char *file, int line, const char *function,
                       const char *format, ...)
{
    va_list arguments;

    (void)error;
    (void)file;
    (void)line;
    (void)function;
    va_start(arguments, format);
    vsnprintf(error_text, sizeof(error_text), format, arguments);
    va_end(arguments);
    error_is_set = true;
}

static const char *fake_pretty(const QemuError *error)
{
    (void)error;
    return error_text;
}

static QemuObject *fake_resolve(const char *path, const char *name, bool *several)
{
    assert_string_equal(path, "");
    assert_string_equal(name, QEMU_VIO_BUS);
    assert_null(several);
    return has_bus ? (QemuObject *)&has_bus : NULL;
}

static void *fake_cpu(int index)
{
    assert_int_equal(index, 0);
    return &has_bus;
}

static uint64_t send_by_hypercall(uint64_t high, uint64_t low)
{
    uint64_t words[2] = { GUINT64_TO_BE(high), GUINT64_TO_BE(low) };

    words[0] += garbles;
    return (uint64_t)(int64_t)device.send_crq(&device, (uint8_t *)words) + code_fault;
}

static uint64_t fake_hypercall(void *cpu, uint64_t opcode, uint64_t *arguments)
{
    assert_ptr_equal(cpu, &has_bus);
    assert_int_equal(arguments[0], device.unit);
    switch (opcode) {
    case H_REG_CRQ:
        device.queue_address = arguments[1] + loses_queue;
        device.queue_size = (uint32_t)arguments[2];
        return 0;
    case H_FREE_CRQ:
        device.queue_address = 0;
        device.queue_size = keeps_queue ? device.queue_size : 0;
        return 0;
    case H_SEND_CRQ:
        return send_by_hypercall(arguments[1], arguments[2]);
    default:
        fail();
        return 0;
    }
}

static uint32_t fake_access(void *space, uint64_t address, uint64_t attributes, void *data,
                            uint64_t size, bool write)
{
    assert_ptr_equal(space, device.dma);
    assert_int_equal(address, 0xABCD0);
    assert_int_equal(attributes, 1);
    assert_non_null(data);
    assert_int_equal(size, 10);
    last_was_write = write;
    accesses++;
    return dma_result;
}

static int fake_send(QemuVioDevice *of, const uint8_t *message)
{
    assert_ptr_equal(of, &device);
    memcpy(last_message, message, sizeof(last_message));
    sent++;
    return send_result;
}

static bool fake_locked(void)
{
    return true;
}

static int64_t on_message(const uint8_t message[QEMU_VIO_MESSAGE_SIZE])
{
    memcpy(last_message, message, sizeof(last_message));
    messages++;
    return model_result;
}

static void on_queue_changed(void)
{
    changes++;
}

static const QemuVioModel model = {
    .type = "model",
    .node_name = "node",
    .device_type = "device type",
    .compatible = "compatible",
    .signal_mask = 3,
    .dma_window = 0x2000,
    .message = on_message,
    .queue_changed = on_queue_changed,
};

static int set_up(void **state)
{
    (void)state;
    layout_fault = device_fault = register_fault = NULL;
    has_bus = is_plain = true;
    registered = NULL;
    garbles = loses_queue = keeps_queue = error_is_set = false;
    code_fault = 0;
    instance_size = sizeof(QemuVioDevice);
    dma_result = 0;
    send_result = 0;
    model_result = 0;
    qemu.object_type_get_instance_size = fake_instance_size;
    qemu.object_resolve_path_type = fake_resolve;
    qemu.error_setg_internal = fake_error;
    qemu.error_get_pretty = fake_pretty;
    qemu.qemu_mutex_iothread_locked = fake_locked;
    qemu_vio.type_register_static = fake_register;
    qemu_vio.object_class_by_name = fake_class_by_name;
    qemu_vio.qdev_new = fake_new;
    qemu_vio.qdev_realize = fake_realize;
    qemu_vio.address_space_rw = fake_access;
    qemu_vio.spapr_vio_send_crq = fake_send;
    qemu_vio.spapr_hypercall = fake_hypercall;
    qemu_vio.qemu_get_cpu = fake_cpu;
    qemu_vio.vmstate_spapr_vio = &saved_state;
    messages = changes = accesses = sent = 0;
    memset(&class, 0, sizeof(class));
    assert_null(qemu_vio_register(&model));
    return 0;
}

/* A device whose guest has registered a queue and sent a message. */
static int set_up_guest(void **state)
{
    static const uint8_t message[QEMU_VIO_MESSAGE_SIZE];

    set_up(state);
    assert_null(qemu_vio_create());
    device.queue_address = 0x5000;
    device.queue_size = 0x1000;
    assert_int_equal(device.send_crq(&device, message), 0);
    messages = changes = 0;
    return 0;
}

static void assert_text(char *message, const char *expected)
{
    assert_non_null(message);
    assert_string_equal(message, expected);
    g_free(message);
}

/* ---- making it ---- */

static void test_the_class_is_as_the_model_says(void **state)
{
    (void)state;
    assert_string_equal(type->name, "model");
    assert_string_equal(type->parent, QEMU_VIO_PARENT);
    assert_int_equal(type->instance_size, 0);
    assert_false(type->abstract);
    assert_string_equal(class.node_name, "node");
    assert_string_equal(class.device_type, "device type");
    assert_string_equal(class.compatible, "compatible");
    assert_int_equal(class.signal_mask, 3);
    assert_int_equal(class.dma_window, 0x2000);
    assert_null(class.reset);
    assert_null(class.identify);
}

static void test_a_qemu_that_cannot_be_used_is_refused(void **state)
{
    (void)state;
    layout_fault = "another QEMU";
    type = NULL;
    assert_text(qemu_vio_register(&model), "another QEMU");
    layout_fault = NULL;
    is_plain = false;
    assert_text(qemu_vio_register(&model), "unexpected: the saved state of " QEMU_VIO_PARENT);
    assert_null(type);
    is_plain = true;
    instance_size++;
    assert_text(qemu_vio_register(&model), "unexpected: the registration of a type");
}

static void test_a_machine_without_the_bus_is_refused(void **state)
{
    (void)state;
    has_bus = false;
    assert_text(qemu_vio_create(), "this machine has no bus for virtual I/O; use -machine pseries");
}

static void test_a_device_that_is_not_as_expected_is_refused(void **state)
{
    (void)state;
    device_fault = "a member";
    assert_text(qemu_vio_create(), "unexpected: a member");
    assert_null(device.send_crq);
}

static void test_a_second_device_is_refused(void **state)
{
    (void)state;
    assert_null(qemu_vio_create());
    class.realize(&other_device, NULL);
    assert_true(error_is_set);
    assert_string_equal(error_text, "-plugin makes a model; leave out its -device");
    assert_null(other_device.send_crq);
}

static void test_a_message_that_does_not_arrive_is_refused(void **state)
{
    static const char expected[] = "unexpected: a message by H_SEND_CRQ";

    (void)state;
    garbles = true;
    assert_text(qemu_vio_create(), expected);
    garbles = false;
    code_fault = 1;
    assert_text(qemu_vio_create(), expected);
    code_fault = 0;
    loses_queue = true;
    assert_text(qemu_vio_create(), expected);
    loses_queue = false;
    keeps_queue = true;
    assert_text(qemu_vio_create(), expected);
    keeps_queue = false;
    assert_null(qemu_vio_create());
    assert_int_equal(messages, 0);
    assert_int_equal(device.queue_size, 0);
}

/* ---- guest and device ---- */

static void test_a_message_reaches_the_model(void **state)
{
    static const uint8_t message[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };

    (void)state;
    model_result = -12;
    assert_int_equal(device.send_crq(&device, message), -12);
    assert_int_equal(messages, 1);
    assert_memory_equal(last_message, message, sizeof(message));
    assert_int_equal(changes, 0);
}

static void test_another_queue_is_told_before_its_first_message(void **state)
{
    (void)state;
    device.queue_address = 0x6000;
    device.send_crq(&device, last_message);
    device.send_crq(&device, last_message);
    assert_int_equal(changes, 1);
    device.queue_size = 0x2000;
    device.send_crq(&device, last_message);
    assert_int_equal(changes, 2);
    assert_int_equal(messages, 3);
}

static void test_nothing_for_an_old_queue_reaches_the_guest(void **state)
{
    uint8_t data[10] = { 0 };

    (void)state;
    device.queue_address = 0x6000;
    assert_false(qemu_vio_write(0xABCD0, data, sizeof(data)));
    device.queue_address = 0x7000;
    assert_false(qemu_vio_read(0xABCD0, data, sizeof(data)));
    device.queue_address = 0x8000;
    assert_false(qemu_vio_send(last_message));
    assert_int_equal(changes, 3);
    assert_int_equal(accesses, 0);
    assert_int_equal(sent, 0);
}

static void test_dma(void **state)
{
    uint8_t data[10] = { 0 };

    (void)state;
    assert_true(qemu_vio_read(0xABCD0, data, sizeof(data)));
    assert_false(last_was_write);
    assert_true(qemu_vio_write(0xABCD0, data, sizeof(data)));
    assert_true(last_was_write);
    assert_int_equal(accesses, 2);
    dma_result = 2; /* MEMTX_DECODE_ERROR */
    assert_false(qemu_vio_read(0xABCD0, data, sizeof(data)));
    assert_false(qemu_vio_write(0xABCD0, data, sizeof(data)));
}

static void test_an_answer_is_sent(void **state)
{
    static const uint8_t answer[QEMU_VIO_MESSAGE_SIZE] = { 0x80, 0x82 };

    (void)state;
    assert_true(qemu_vio_send(answer));
    assert_memory_equal(last_message, answer, sizeof(answer));
    send_result = 1; /* the queue is full */
    assert_false(qemu_vio_send(answer));
    assert_int_equal(sent, 2);
}

/* QEMU would complain on its error output. */
static void test_without_a_queue_nothing_is_sent(void **state)
{
    (void)state;
    device.queue_address = 0;
    device.queue_size = 0;
    assert_false(qemu_vio_send(last_message));
    assert_false(qemu_vio_send(last_message));
    assert_int_equal(changes, 1);
    assert_int_equal(sent, 0);
}

/* ---- saved state ---- */

static void test_its_state_is_that_of_every_such_device(void **state)
{
    (void)state;
    assert_null(qemu_vio_create());
    assert_string_equal(registered->name, "model");
    assert_ptr_equal(registered->fields, saved_fields);
}

static void test_state_that_cannot_be_registered_is_told(void **state)
{
    (void)state;
    register_fault = "there is one of this name";
    assert_text(qemu_vio_create(), "there is one of this name");
}

/* Nothing had to pass since; the model must know before it is saved itself. */
static void test_a_queue_given_up_is_told_before_the_save(void **state)
{
    (void)state;
    assert_int_equal(registered->before_save(&device), 0);
    assert_int_equal(changes, 0);
    device.queue_size = 0;
    assert_int_equal(registered->before_save(&device), 0);
    assert_int_equal(changes, 1);
}

/* What the model is loaded from is of this very queue. */
static void test_a_queue_that_was_loaded_is_no_new_one(void **state)
{
    static const uint8_t answer[QEMU_VIO_MESSAGE_SIZE];

    (void)state;
    device.queue_address = 0x9000;
    device.queue_size = 0x4000;
    assert_int_equal(registered->after_load(&device, 1), 0);
    assert_true(qemu_vio_send(answer));
    assert_int_equal(changes, 0);
    assert_int_equal(sent, 1);
}

#define TEST(function)  cmocka_unit_test_setup(function, set_up)
#define GUEST(function) cmocka_unit_test_setup(function, set_up_guest)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_class_is_as_the_model_says),
        TEST(test_a_qemu_that_cannot_be_used_is_refused),
        TEST(test_a_machine_without_the_bus_is_refused),
        TEST(test_a_device_that_is_not_as_expected_is_refused),
        TEST(test_a_second_device_is_refused),
        TEST(test_a_message_that_does_not_arrive_is_refused),
        GUEST(test_a_message_reaches_the_model),
        GUEST(test_another_queue_is_told_before_its_first_message),
        GUEST(test_nothing_for_an_old_queue_reaches_the_guest),
        GUEST(test_dma),
        GUEST(test_an_answer_is_sent),
        GUEST(test_without_a_queue_nothing_is_sent),
        TEST(test_its_state_is_that_of_every_such_device),
        TEST(test_state_that_cannot_be_registered_is_told),
        GUEST(test_a_queue_given_up_is_told_before_the_save),
        GUEST(test_a_queue_that_was_loaded_is_no_new_one),
    };

    return cmocka_run_group_tests_name("qemu-vio", tests, NULL, NULL);
}
