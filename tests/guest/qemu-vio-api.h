/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the plugin uses of QEMU's virtual I/O devices (machine pseries): a few functions, and where
 * QEMU 7.2 keeps what a device says of itself.
 *
 * QEMU exports the classes of its own devices and the description of their saved state, and no
 * offsets. They are found by what is known to be there, and checked at four of QEMU's devices.
 * Memory is read as another process would read it, so that a wrong guess is a message and no crash.
 *
 * Neighbours: qemu-vio.c uses all this; test-qemu-vio-api.c shows it other layouts.
 */
#ifndef QEMU_VIO_API_H
#define QEMU_VIO_API_H

#include "qemu-vmstate.h"

typedef struct QemuVioDevice QemuVioDevice;

/* The device of the class all others inherit from. */
#define QEMU_VIO_PARENT "vio-spapr-device"

/* Its bus. */
#define QEMU_VIO_BUS "spapr-vio-bus"

/* ---- functions, as in qemu-api.h ---- */

/* A type of one's own, as far as it is one's own; what is 0 is the parent's. */
typedef struct QemuTypeInfo {
    const char *name;
    const char *parent;
    size_t instance_size;
    size_t instance_alignment;
    void (*instance_begin)(QemuVioDevice *device);
    void (*instance_ready)(void);
    void (*instance_end)(void);
    bool abstract;
    size_t class_size;
    void (*class_begin)(void *class, void *data);
    void (*class_base_begin)(void);
    void *class_data;
    void *interfaces;
} QemuTypeInfo;

#define QEMU_VIO_FUNCTIONS(F)                                                                      \
    F(void *, type_register_static, (const QemuTypeInfo *info))                                    \
    F(void *, object_class_by_name, (const char *type))                                            \
    F(QemuVioDevice *, qdev_new, (const char *type))                                               \
    F(bool, qdev_realize, (QemuVioDevice * device, QemuObject * bus, QemuError * *error))          \
    F(uint32_t, address_space_rw,                                                                  \
      (void *space, uint64_t address, uint64_t attributes, void *data, uint64_t size, bool write)) \
    F(int, spapr_vio_send_crq, (QemuVioDevice * device, const uint8_t *message))                   \
    F(uint64_t, spapr_hypercall, (void *cpu, uint64_t opcode, uint64_t *arguments))                \
    F(void *, qemu_get_cpu, (int index))

typedef struct QemuVioApi {
#define QEMU_VIO_FUNCTION_MEMBER(type, name, parameters) type(*name) parameters;
    QEMU_VIO_FUNCTIONS(QEMU_VIO_FUNCTION_MEMBER)
#undef QEMU_VIO_FUNCTION_MEMBER

    const QemuDescription *vmstate_spapr_vio; /* describes the state of a virtual I/O device */
} QemuVioApi;

extern QemuVioApi qemu_vio;

/* ---- the layout ---- */

/* The part of a class that is about virtual I/O, at QemuVioLayout.of_class. */
typedef struct QemuVioClass {
    const char *node_name; /* in the device tree, before the unit address */
    const char *device_type;
    const char *compatible;
    uint64_t signal_mask;
    uint32_t dma_window; /* bytes */
    void (*realize)(QemuVioDevice *device, QemuError **error);
    void (*reset)(QemuVioDevice *device);
    int (*describe)(void);         /* more of the device tree's node */
    const char *(*identify)(void); /* in place of compatible */
} QemuVioClass;

/* Offsets: one in the class, the others in the device, in bytes. */
typedef struct QemuVioLayout {
    size_t of_class;
    size_t unit;          /* its address on the bus, 32 bits */
    size_t queue_address; /* of the Command/Response Queue, 64 bits */
    size_t queue_size;    /* 32 bits; 0: none is registered */
    size_t send_crq;      /* function: the guest sent a message by H_SEND_CRQ */
    size_t dma;           /* AddressSpace */
    size_t device_size;   /* of the whole device */
} QemuVioLayout;

/*
 * Look all of it up and find the layout, after qemu_api_load(). Returns NULL, or why this QEMU
 * cannot be used; to be freed.
 */
char *qemu_vio_load(QemuVioLayout *layout);

/* The message that something is not; to be freed. */
char *qemu_vio_unexpected(const char *what);

/*
 * A device that is being realized, as far as it is known: is the function not set yet, and is the
 * AddressSpace there, named as the device? Returns NULL, or what is not as expected: static.
 */
const char *qemu_vio_check_device(const QemuVioLayout *layout, const QemuVioDevice *device,
                                  const char *node_name);

#endif /* QEMU_VIO_API_H */
