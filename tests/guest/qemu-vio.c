/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtual I/O device in QEMU's machine pseries (LoPAPR, "Virtual I/O", "Reliable
 * Command/Response Transport").
 *
 * QEMU does what is the same for all such devices: bus, device tree, interrupt, translation of DMA
 * addresses, and the hypercalls that register a queue. H_SEND_CRQ it hands to a function of the
 * device, which is set when the device is realized.
 *
 * QEMU does not tell a device that the guest registered a queue or gave one up. So the queue is
 * looked at whenever something is to pass between guest and device. One that was given up and
 * registered anew at the same place and of the same size, with nothing sent meanwhile, is not told
 * from the old one.
 *
 * Neighbours: qemu-vio-api.c finds QEMU's functions and offsets.
 */
#include "qemu-vio.h"
#include "qemu-vio-api.h"

#include <string.h>

/* LoPAPR, "Hypervisor Call Function Codes" and "Return Codes". */
#define H_REG_CRQ  0xFCu
#define H_FREE_CRQ 0x100u
#define H_SEND_CRQ 0x108u
#define H_SUCCESS  0u

/* What the self-test registers, sends and returns; there is no guest yet that could see it. */
#define TEST_QUEUE_ADDRESS 0x3000u
#define TEST_QUEUE_SIZE    0x1000u
#define TEST_HIGH          UINT64_C(0x0123456789ABCDEF)
#define TEST_LOW           UINT64_C(0xFEDCBA9876543210)
#define TEST_CODE          0x5A5A5

/* The unit address of a device that is to be given one. */
#define UNIT_ANY UINT32_MAX

/* Of an access to memory: it is nobody's in particular. */
#define ATTRIBUTES_UNSPECIFIED 1u

typedef struct Queue {
    uint64_t address;
    uint32_t size; /* 0: none is registered */
} Queue;

static struct {
    const QemuVioModel *model;
    QemuVioLayout layout;
    QemuVioDevice *device;
    Queue queue; /* at the last message */
    bool testing;
    unsigned tested; /* messages that arrived as they were sent */
} vio;

/* A member of the device, at an offset that was checked. */
static void *member(QemuVioDevice *device, size_t offset)
{
    return (char *)device + offset;
}

static Queue present_queue(void)
{
    Queue queue;

    memcpy(&queue.address, member(vio.device, vio.layout.queue_address), sizeof(queue.address));
    memcpy(&queue.size, member(vio.device, vio.layout.queue_size), sizeof(queue.size));
    return queue;
}

/* What was for the old queue must not come to the new one. */
static bool queue_has_changed(void)
{
    Queue queue = present_queue();

    if (queue.address == vio.queue.address && queue.size == vio.queue.size) {
        return false;
    }
    vio.queue = queue;
    vio.model->queue_changed();
    return true;
}

/* ---- what QEMU calls ---- */

static int test_message(const uint8_t *message)
{
    static const uint8_t expected[QEMU_VIO_MESSAGE_SIZE] = { 0x01, 0x23, 0x45, 0x67, 0x89, 0xAB,
                                                             0xCD, 0xEF, 0xFE, 0xDC, 0xBA, 0x98,
                                                             0x76, 0x54, 0x32, 0x10 };

    vio.tested += memcmp(message, expected, sizeof(expected)) == 0;
    return TEST_CODE;
}

static int on_send_crq(QemuVioDevice *device, const uint8_t *message)
{
    (void)device; /* there is one */
    if (vio.testing) {
        return test_message(message);
    }
    queue_has_changed();
    return (int)vio.model->message(message);
}

/* QEMU's own devices have this from a property's default value. */
static void on_instance_begin(QemuVioDevice *device)
{
    const uint32_t unit = UNIT_ANY;

    memcpy(member(device, vio.layout.unit), &unit, sizeof(unit));
}

static void on_realize(QemuVioDevice *device, QemuError **error)
{
    int (*send_crq)(QemuVioDevice *, const uint8_t *) = on_send_crq;
    const char *wrong = qemu_vio_check_device(&vio.layout, device, vio.model->node_name);
    char *message = NULL;

    if (device != vio.device) {
        message = g_strdup_printf("-plugin makes a %s; leave out its -device", vio.model->type);
    } else if (wrong) {
        message = qemu_vio_unexpected(wrong);
    }
    if (message) {
        qemu.error_setg_internal(error, __FILE__, __LINE__, __func__, "%s", message);
        g_free(message);
        return;
    }
    memcpy(member(device, vio.layout.send_crq), &send_crq, sizeof(send_crq));
}

static void on_class_begin(void *class, void *data)
{
    QemuVioClass *part = (void *)((char *)class + vio.layout.of_class);

    (void)data;
    part->node_name = vio.model->node_name;
    part->device_type = vio.model->device_type;
    part->compatible = vio.model->compatible;
    part->signal_mask = vio.model->signal_mask;
    part->dma_window = vio.model->dma_window;
    part->realize = on_realize;
}

/* ---- saved state ---- */

/* The guest may have given up its queue since it was last looked at. */
static int on_save(void *device)
{
    (void)device;
    queue_has_changed();
    return 0;
}

/* The queue has come with the machine: the model, which is loaded after this, knows it already. */
static int on_loaded(void *device, int version)
{
    (void)device;
    (void)version;
    vio.queue = present_queue();
    return 0;
}

/* QEMU's members of a device, which are in no description but that of a device of QEMU's own. */
static char *register_state(void)
{
    static QemuDescription description;

    description = *qemu_vio.vmstate_spapr_vio;
    description.name = vio.model->type;
    description.before_save = on_save;
    description.after_load = on_loaded;
    return qemu_vmstate_register(&description, vio.device);
}

/* ---- making it ---- */

char *qemu_vio_register(const QemuVioModel *model)
{
    static QemuTypeInfo type;
    char *unusable = qemu_vio_load(&vio.layout);

    if (unusable) {
        return unusable;
    }
    if (!qemu_vmstate_is_plain(qemu_vio.vmstate_spapr_vio, "spapr_vio")) {
        return qemu_vio_unexpected("the saved state of " QEMU_VIO_PARENT);
    }
    vio.model = model;
    type.name = model->type;
    type.parent = QEMU_VIO_PARENT;
    type.instance_begin = on_instance_begin;
    type.class_begin = on_class_begin;
    qemu_vio.type_register_static(&type);
    if (!qemu_vio.object_class_by_name(model->type) ||
        qemu.object_type_get_instance_size(model->type) != vio.layout.device_size) {
        return qemu_vio_unexpected("the registration of a type");
    }
    return NULL;
}

static uint64_t hypercall(uint64_t opcode, uint64_t second, uint64_t third)
{
    uint32_t unit;

    memcpy(&unit, member(vio.device, vio.layout.unit), sizeof(unit));
    return qemu_vio.spapr_hypercall(qemu_vio.qemu_get_cpu(0), opcode,
                                    (uint64_t[]){ unit, second, third });
}

/* The way of a guest's message, all of it, before there is a guest. */
static bool test_device(void)
{
    vio.testing = true;
    vio.tested = 0;
    bool registers = hypercall(H_REG_CRQ, TEST_QUEUE_ADDRESS, TEST_QUEUE_SIZE) == H_SUCCESS;
    Queue queue = present_queue();
    bool sends = hypercall(H_SEND_CRQ, TEST_HIGH, TEST_LOW) == TEST_CODE;
    bool frees = hypercall(H_FREE_CRQ, 0, 0) == H_SUCCESS;

    vio.testing = false;
    return registers && sends && frees && vio.tested == 1 && queue.address == TEST_QUEUE_ADDRESS &&
           queue.size == TEST_QUEUE_SIZE && present_queue().size == 0;
}

char *qemu_vio_create(void)
{
    QemuObject *bus = qemu.object_resolve_path_type("", QEMU_VIO_BUS, NULL);
    QemuError *error = NULL;

    if (!bus) {
        return g_strdup("this machine has no bus for virtual I/O; use -machine pseries");
    }
    vio.device = qemu_vio.qdev_new(vio.model->type);
    if (!qemu_vio.qdev_realize(vio.device, bus, &error)) {
        return g_strdup(qemu.error_get_pretty(error));
    }
    return test_device() ? register_state() : qemu_vio_unexpected("a message by H_SEND_CRQ");
}

/* ---- what the device does ---- */

static bool access_memory(uint64_t address, void *data, size_t size, bool write)
{
    g_assert(qemu.qemu_mutex_iothread_locked());
    return !queue_has_changed() &&
           qemu_vio.address_space_rw(member(vio.device, vio.layout.dma), address,
                                     ATTRIBUTES_UNSPECIFIED, data, size, write) == 0;
}

bool qemu_vio_read(uint64_t address, void *data, size_t size)
{
    return access_memory(address, data, size, false);
}

bool qemu_vio_write(uint64_t address, const void *data, size_t size)
{
    return access_memory(address, (void *)data, size, true);
}

bool qemu_vio_send(const uint8_t message[QEMU_VIO_MESSAGE_SIZE])
{
    g_assert(qemu.qemu_mutex_iothread_locked());
    return !queue_has_changed() && vio.queue.size > 0 &&
           qemu_vio.spapr_vio_send_crq(vio.device, message) == 0;
}
