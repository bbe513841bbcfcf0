/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finding functions and offsets of QEMU's virtual I/O devices.
 *
 * Neighbours: qemu-vio-api.h says which; qemu-vio.c uses them.
 */
#include "qemu-vio-api.h"

#include <string.h>

/* How far is searched: a class, a description of saved state, a description of a field. */
#define CLASS_SEARCH_SIZE       512u
#define DESCRIPTION_SEARCH_SIZE 256u
#define FIELD_SEARCH_SIZE       256u

/* An AddressSpace begins with these (two pointers of its list of dead ones come first). */
typedef struct AddressSpaceHead {
    void *links[2];
    const char *name;
    const void *root; /* its MemoryRegion, which is part of the device */
} AddressSpaceHead;

/* What QEMU's own devices say of themselves, which tells them apart in every member. */
typedef struct KnownDevice {
    const char *type;
    const char *node_name;
    const char *device_type;
    const char *compatible; /* NULL: the class identifies itself by a function */
    uint64_t signal_mask;
    uint32_t dma_window;
    bool resets;
    bool describes;
} KnownDevice;

static const KnownDevice known_devices[] = {
    { "tpm-spapr", "vtpm", "IBM,vtpm", NULL, 1, 0x10000000, true, false },
    { "spapr-vscsi", "v-scsi", "vscsi", "IBM,v-scsi", 1, 0x10000000, true, true },
    { "spapr-vlan", "l-lan", "network", "IBM,l-lan", 1, 0x10000000, true, true },
    { "spapr-vty", "vty", "serial", "hvterm1", 0, 0, false, false },
};

/* The members of a device whose state QEMU saves, each right behind the one before. */
typedef struct KnownField {
    const char *name;
    size_t size;
} KnownField;

static const KnownField known_fields[] = {
    { "reg", 4 },        { "irq", 4 },       { "signal_state", 8 },
    { "crq.qladdr", 8 }, { "crq.qsize", 4 }, { "crq.qnext", 4 },
};

QemuVioApi qemu_vio;

/* The string whose address is at `address`. */
static bool points_to_string(const void *address, const char *expected)
{
    const void *string;

    return qemu_peek(address, &string, sizeof(string)) && qemu_peek_is_string(string, expected);
}

/* ---- the class ---- */

static bool is_known(const void *class_part, const KnownDevice *known)
{
    QemuVioClass found;

    return qemu_peek(class_part, &found, sizeof(found)) &&
           qemu_peek_is_string(found.node_name, known->node_name) &&
           qemu_peek_is_string(found.device_type, known->device_type) &&
           (known->compatible ? qemu_peek_is_string(found.compatible, known->compatible)
                              : !found.compatible) &&
           !found.identify == (known->compatible != NULL) &&
           found.signal_mask == known->signal_mask && found.dma_window == known->dma_window &&
           found.realize && !found.reset == !known->resets && !found.describe == !known->describes;
}

/* By its class's name QEMU finds where the first device's node name is. */
static bool find_class_part(size_t *offset)
{
    const char *class = qemu_vio.object_class_by_name(known_devices[0].type);

    for (*offset = 0; class && *offset < CLASS_SEARCH_SIZE; *offset += sizeof(void *)) {
        if (is_known(class + *offset, &known_devices[0])) {
            return true;
        }
    }
    return false;
}

static const char *find_class_layout(QemuVioLayout *layout)
{
    static const uint8_t zeros[sizeof(QemuVioClass)];
    uint8_t of_parent[sizeof(QemuVioClass)];

    if (!find_class_part(&layout->of_class)) {
        return "the class of tpm-spapr";
    }
    for (unsigned i = 1; i < G_N_ELEMENTS(known_devices); i++) {
        const char *class = qemu_vio.object_class_by_name(known_devices[i].type);

        if (!class || !is_known(class + layout->of_class, &known_devices[i])) {
            return known_devices[i].type;
        }
    }
    const char *parent = qemu_vio.object_class_by_name(QEMU_VIO_PARENT);

    /* What is not set is inherited, and must be nothing. */
    if (!parent || !qemu_peek(parent + layout->of_class, of_parent, sizeof(of_parent)) ||
        memcmp(of_parent, zeros, sizeof(zeros)) != 0) {
        return "the class " QEMU_VIO_PARENT;
    }
    return NULL;
}

/* ---- the device ---- */

/* A list of descriptions, `stride` bytes each, that begin with these names. */
static bool names_fit(const char *fields, size_t stride)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(known_fields); i++) {
        if (!points_to_string(fields + i * stride, known_fields[i].name)) {
            return false;
        }
    }
    return true;
}

/* The offsets of the members, at `at` in each description; 0 when that is not what is there. */
static size_t offsets_fit(const char *fields, size_t stride, size_t at, size_t device_size)
{
    size_t expected = 0;
    size_t first = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(known_fields); i++) {
        size_t offset;

        if (!qemu_peek(fields + i * stride + at, &offset, sizeof(offset)) ||
            (i > 0 && offset != expected) || offset >= device_size) {
            return 0;
        }
        first = i == 0 ? offset : first;
        expected = offset + known_fields[i].size;
    }
    return first;
}

/* Each of these searches is for the one place where everything fits. */
static size_t find_first_offset(const char *fields, size_t device_size)
{
    for (size_t stride = sizeof(void *); stride < FIELD_SEARCH_SIZE; stride += sizeof(void *)) {
        for (size_t at = sizeof(void *); names_fit(fields, stride) && at < stride;
             at += sizeof(void *)) {
            size_t first = offsets_fit(fields, stride, at, device_size);

            if (first > 0) {
                return first;
            }
        }
    }
    return 0;
}

static const char *find_device_layout(QemuVioLayout *layout)
{
    size_t first = 0;

    layout->device_size = qemu.object_type_get_instance_size(QEMU_VIO_PARENT);
    for (size_t at = 0; at < DESCRIPTION_SEARCH_SIZE && first == 0; at += sizeof(void *)) {
        const char *fields;

        if (qemu_peek((const char *)qemu_vio.vmstate_spapr_vio + at, &fields, sizeof(fields)) &&
            points_to_string(fields, known_fields[0].name)) {
            first = find_first_offset(fields, layout->device_size);
        }
    }
    if (first == 0) {
        return "the saved state of " QEMU_VIO_PARENT;
    }
    layout->unit = first;
    layout->queue_address = first + 4 + 4 + 8;
    layout->queue_size = layout->queue_address + 8;
    layout->send_crq = layout->queue_size + 4 + 4;
    layout->dma = layout->send_crq + sizeof(void *);
    return layout->send_crq % sizeof(void *) == 0 &&
                   layout->dma + sizeof(AddressSpaceHead) <= layout->device_size
               ? NULL
               : "the size of " QEMU_VIO_PARENT;
}

/* ---- all of it ---- */

static const char *look_up_all(void)
{
#define QEMU_VIO_FUNCTION_LOOK_UP(type, name, parameters)                                          \
    if (!qemu_look_up(#name, &qemu_vio.name)) {                                                    \
        return #name;                                                                              \
    }
    QEMU_VIO_FUNCTIONS(QEMU_VIO_FUNCTION_LOOK_UP)
#undef QEMU_VIO_FUNCTION_LOOK_UP
    return qemu_look_up("vmstate_spapr_vio", &qemu_vio.vmstate_spapr_vio) ? NULL
                                                                          : "vmstate_spapr_vio";
}

char *qemu_vio_load(QemuVioLayout *layout)
{
    const char *missing = look_up_all();

    if (missing) {
        return g_strdup_printf("this QEMU does not export %s; " WHICH_QEMU, missing);
    }
    const char *wrong = find_class_layout(layout);

    wrong = wrong ? wrong : find_device_layout(layout);
    return wrong ? qemu_vio_unexpected(wrong) : NULL;
}

char *qemu_vio_unexpected(const char *what)
{
    return g_strdup_printf("%s is not as in QEMU 7.2; " WHICH_QEMU, what);
}

const char *qemu_vio_check_device(const QemuVioLayout *layout, const QemuVioDevice *device,
                                  const char *node_name)
{
    const char *memory = (const char *)device;
    const void *send_crq;
    AddressSpaceHead head;
    uint32_t unit;

    if (!qemu_peek(memory + layout->unit, &unit, sizeof(unit)) ||
        !qemu_peek(memory + layout->send_crq, &send_crq, sizeof(send_crq)) ||
        !qemu_peek(memory + layout->dma, &head, sizeof(head))) {
        return "the memory of a device";
    }
    if (send_crq) {
        return "the function for H_SEND_CRQ";
    }
    char *name = g_strdup_printf("%s@%x", node_name, unit);
    bool named = qemu_peek_is_string(head.name, name);

    g_free(name);
    if (!named || (const char *)head.root < memory ||
        (const char *)head.root >= memory + layout->device_size) {
        return "the AddressSpace of a device";
    }
    return NULL;
}
