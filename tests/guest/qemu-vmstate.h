/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How QEMU 7.2 has its devices describe what is saved of them.
 *
 * The description of every CPU's state is exported. It is looked at before one of ours is handed
 * to QEMU, so that a QEMU with another layout is refused with a message.
 *
 * Neighbours: qemu-state.c, qemu-vio.c and qemu-loader.c have such descriptions;
 * test-qemu-vmstate.c shows it other layouts.
 */
#ifndef QEMU_VMSTATE_H
#define QEMU_VMSTATE_H

#include "qemu-api.h"

/* A stream that is written or read. */
typedef struct QemuFile QemuFile;

/* How a field is written and read; 0, or a negative error number. */
typedef struct QemuFieldInfo {
    const char *name;
    int (*get)(QemuFile *file, void *member, size_t size, const void *field);
    int (*put)(QemuFile *file, void *member, size_t size, const void *field, void *json);
} QemuFieldInfo;

/* One member of what is saved. */
typedef struct QemuField {
    const char *name;
    const char *hint;
    size_t offset;
    size_t size;
    size_t start;
    int count;
    size_t count_offset;
    size_t size_offset;
    const QemuFieldInfo *info;
    unsigned flags;
    const void *description;
    int version;
    int struct_version;
    bool (*exists)(void *opaque, int version);
} QemuField;

/* The flag of a field that is there once. */
#define QEMU_FIELD_SINGLE 1u

/* What has it is saved and loaded before all that has 0, which is the rule. */
#define QEMU_PRIORITY_EARLY 1

typedef struct QemuDescription {
    const char *name;
    bool unmigratable;
    int version;
    int minimum_version;
    int priority;
    int (*before_load)(void *opaque);
    int (*after_load)(void *opaque, int version);
    int (*before_save)(void *opaque);
    int (*after_save)(void *opaque);
    bool (*needed)(void *opaque);
    bool (*unplug_pending)(void *opaque);
    const QemuField *fields; /* to one without a name */
    const void *subsections;
} QemuDescription;

#define QEMU_VMSTATE_FUNCTIONS(F)                                                                  \
    F(int, vmstate_register_with_alias_id,                                                         \
      (void *object, uint32_t instance, const QemuDescription *description, void *opaque,          \
       int alias, int alias_version, QemuError **error))                                           \
    F(void, qemu_put_buffer, (QemuFile * file, const uint8_t *bytes, size_t size))                 \
    F(size_t, qemu_get_buffer, (QemuFile * file, uint8_t * bytes, size_t size))                    \
    F(void, qemu_put_be32, (QemuFile * file, unsigned value))                                      \
    F(unsigned, qemu_get_be32, (QemuFile * file))                                                  \
    F(void, qemu_file_set_error_obj, (QemuFile * file, int number, QemuError *error))              \
    F(void *, migrate_get_current, (void))                                                         \
    F(void, migrate_set_error, (void *migration, const QemuError *error))                          \
    F(void, error_report, (const char *format, ...))                                               \
    F(void *, qemu_add_vm_change_state_handler,                                                    \
      (void (*changed)(void *opaque, bool running, int state), void *opaque))                      \
    F(bool, runstate_check, (int state))                                                           \
    F(int, qapi_enum_parse, (const void *names, const char *name, int otherwise, QemuError **error))

typedef struct QemuVmstateApi {
#define QEMU_VMSTATE_FUNCTION_MEMBER(type, name, parameters) type(*name) parameters;
    QEMU_VMSTATE_FUNCTIONS(QEMU_VMSTATE_FUNCTION_MEMBER)
#undef QEMU_VMSTATE_FUNCTION_MEMBER

    const void *run_state_names;
} QemuVmstateApi;

extern QemuVmstateApi qemu_vmstate;

/*
 * Look all of it up, after qemu_api_load(). Returns NULL, or why this QEMU cannot be used; to be
 * freed.
 */
char *qemu_vmstate_load(void);

/* Is something of QEMU's a description of this name, without anything of its own but fields? */
bool qemu_vmstate_is_plain(const QemuDescription *description, const char *name);

/* Have it saved and loaded with the machine, behind what is so far. As qemu_vmstate_load(). */
char *qemu_vmstate_register(const QemuDescription *description, void *opaque);

#endif /* QEMU_VMSTATE_H */
