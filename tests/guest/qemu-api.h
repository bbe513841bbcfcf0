/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the plugin uses of QEMU's process: the plugin interface, which QEMU documents, and a few
 * functions of QEMU's own, which its executable happens to export. They are declared here by what
 * is needed of them, for QEMU 7.2, and looked up at run time: a QEMU that lacks one, or is of
 * another version, is refused with a message instead of a crash.
 *
 * Neighbours: libtpmdev-qemu.c, which uses them.
 */
#ifndef QEMU_API_H
#define QEMU_API_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Which one to use, for messages that refuse another. */
#define WHICH_QEMU                                                                                 \
    "use Debian 12's QEMU 7.2 (package qemu-system-x86, qemu-system-arm or qemu-system-ppc)"

/* ---- the plugin interface, version 1 ---- */

#define QEMU_PLUGIN_API 1

typedef uint64_t QemuPluginId;

typedef struct QemuPluginInfo {
    const char *target_name;
    struct {
        int min;
        int cur;
    } version;
    bool system_emulation;
    struct {
        int smp_vcpus;
        int max_vcpus;
    } system;
} QemuPluginInfo;

/* ---- types of QEMU's own, as far as they are looked into ---- */

typedef struct QemuError QemuError;
typedef struct QemuObject QemuObject;
typedef struct QemuIrq QemuIrq;

/* QEMU's is a few hundred bytes; qemu_api_load() checks. */
typedef struct QemuMemoryRegion {
    uint64_t opaque[128];
} QemuMemoryRegion;

/* What a place in the address space holds. It grows at its end, where there is room for that. */
typedef struct QemuMemoryRegionSection {
    uint64_t size[2];
    QemuMemoryRegion *region;
    void *view;
    uint64_t offset; /* in the region */
    uint64_t address;
    bool readonly;
    uint8_t more[32];
} QemuMemoryRegionSection;

/* The machine's RAM as the guest has it, in the order of its addresses. */
typedef struct QemuPhysBlock {
    uint64_t start;
    uint64_t end;
    uint8_t *memory;
    QemuMemoryRegion *region;
    struct QemuPhysBlock *next;
    void *previous;
} QemuPhysBlock;

typedef struct QemuPhysBlocks {
    unsigned count;
    QemuPhysBlock *first;
    void *last;
} QemuPhysBlocks;

typedef struct QemuNotifier {
    void (*notify)(struct QemuNotifier *notifier, void *data);
    void *links[2];
} QemuNotifier;

typedef enum QemuEndian {
    QEMU_NATIVE_ENDIAN,
    QEMU_BIG_ENDIAN,
    QEMU_LITTLE_ENDIAN,
} QemuEndian;

typedef struct QemuMemoryRegionOps {
    uint64_t (*read)(void *opaque, uint64_t address, unsigned size);
    void (*write)(void *opaque, uint64_t address, uint64_t value, unsigned size);
    void (*read_with_attributes)(void);
    void (*write_with_attributes)(void);
    int endianness; /* a QemuEndian */
    struct {
        unsigned min;
        unsigned max;
        bool unaligned;
        void (*accepts)(void);
    } valid;
    struct {
        unsigned min;
        unsigned max;
        bool unaligned;
    } impl;
} QemuMemoryRegionOps;

typedef struct QemuVersion {
    struct {
        int64_t major;
        int64_t minor;
        int64_t micro;
    } * triple;
    char *package;
} QemuVersion;

/* ---- its functions: return type, name, parameters ---- */

#define QEMU_FUNCTIONS(F)                                                                          \
    F(QemuVersion *, qmp_query_version, (QemuError * *error))                                      \
    F(void, qapi_free_VersionInfo, (QemuVersion * version))                                        \
    F(const char *, error_get_pretty, (const QemuError *error))                                    \
    F(void, error_setg_internal,                                                                   \
      (QemuError * *error, const char *file, int line, const char *function, const char *format,   \
       ...))                                                                                       \
    F(size_t, object_type_get_instance_size, (const char *type))                                   \
    F(QemuObject *, object_resolve_path_type, (const char *path, const char *type, bool *several)) \
    F(const char *, object_get_typename, (const QemuObject *object))                               \
    F(void, qemu_add_machine_init_done_notifier, (QemuNotifier * notifier))                        \
    F(void, qemu_register_reset, (void (*reset)(void *opaque), void *opaque))                      \
    F(QemuMemoryRegion *, get_system_memory, (void))                                               \
    F(void, memory_region_init_io,                                                                 \
      (QemuMemoryRegion * region, QemuObject * owner, const QemuMemoryRegionOps *ops,              \
       void *opaque, const char *name, uint64_t size))                                             \
    F(void, memory_region_init_ram,                                                                \
      (QemuMemoryRegion * region, QemuObject * owner, const char *name, uint64_t size,             \
       QemuError **error))                                                                         \
    F(void, memory_region_init_ram_ptr,                                                            \
      (QemuMemoryRegion * region, QemuObject * owner, const char *name, uint64_t size,             \
       void *memory))                                                                              \
    F(void, memory_region_add_subregion_overlap,                                                   \
      (QemuMemoryRegion * region, uint64_t offset, QemuMemoryRegion * subregion, int priority))    \
    F(void, qemu_set_irq, (QemuIrq * irq, int level))                                              \
    F(bool, qemu_mutex_iothread_locked, (void))                                                    \
    F(void, qemu_mutex_lock_iothread_impl, (const char *file, int line))                           \
    F(void, qemu_mutex_unlock_iothread, (void))                                                    \
    F(int, migrate_add_blocker, (QemuError * reason, QemuError * *error))

/* Only where there is an ISA bus, and physical presence memory. */
#define QEMU_PC_FUNCTIONS(F)                                                                       \
    F(QemuIrq *, isa_get_irq, (void *device, unsigned number))                                     \
    F(void *, fw_cfg_find, (void))                                                                 \
    F(void *, fw_cfg_modify_file, (void *fw_cfg, const char *name, void *data, size_t size))       \
    F(QemuMemoryRegionSection, memory_region_find,                                                 \
      (QemuMemoryRegion * region, uint64_t address, uint64_t size))                                \
    F(void, memory_region_unref, (QemuMemoryRegion * region))                                      \
    F(uint64_t, memory_region_size, (QemuMemoryRegion * region))                                   \
    F(void *, memory_region_get_ram_ptr, (QemuMemoryRegion * region))                              \
    F(void, memory_region_set_dirty, (QemuMemoryRegion * region, uint64_t offset, uint64_t size))  \
    F(void, cpu_physical_memory_rw, (uint64_t address, void *bytes, uint64_t size, bool is_write)) \
    F(void, guest_phys_blocks_init, (QemuPhysBlocks * blocks))                                     \
    F(void, guest_phys_blocks_append, (QemuPhysBlocks * blocks))                                   \
    F(void, guest_phys_blocks_free, (QemuPhysBlocks * blocks))                                     \
    F(void *, qemu_get_cpu, (int index))                                                           \
    F(void, tb_flush, (void *cpu))

/* Only where there is a device tree. */
#define QEMU_VIRT_FUNCTIONS(F)                                                                     \
    F(void, qemu_plugin_register_vcpu_init_cb,                                                     \
      (QemuPluginId id, void (*created)(QemuPluginId id, unsigned cpu)))                           \
    F(QemuObject *, qdev_get_machine, (void))                                                      \
    F(QemuObject *, object_dynamic_cast, (QemuObject * object, const char *type))                  \
    F(QemuIrq *, qdev_get_gpio_in, (QemuObject * device, int number))                              \
    F(int, qemu_fdt_add_subnode, (void *tree, const char *path))                                   \
    F(int, qemu_fdt_setprop,                                                                       \
      (void *tree, const char *path, const char *property, const void *value, int size))

typedef struct QemuApi {
#define QEMU_FUNCTION_MEMBER(type, name, parameters) type(*name) parameters;
    QEMU_FUNCTIONS(QEMU_FUNCTION_MEMBER)
    QEMU_PC_FUNCTIONS(QEMU_FUNCTION_MEMBER)
    QEMU_VIRT_FUNCTIONS(QEMU_FUNCTION_MEMBER)
#undef QEMU_FUNCTION_MEMBER

    /* Tables QEMU adds to its own: a count, then each table behind its length (all 16 bits). */
    uint8_t **acpi_tables;
    size_t *acpi_tables_len;
} QemuApi;

extern QemuApi qemu;

/*
 * Look all of it up and check the QEMU that runs. Returns NULL, or why this QEMU cannot be used
 * and which can; to be freed.
 */
char *qemu_api_load(const QemuPluginInfo *info);

/*
 * One symbol, to where a pointer is kept; false when the executable does not export it. For what
 * only some machines have.
 */
bool qemu_look_up(const char *name, void *where);

/* Copy memory that may not be there; false: it is not. */
bool qemu_peek(const void *address, void *data, size_t size);

/* Is this string at the address? It is one of fewer than QEMU_NAME_SIZE characters. */
#define QEMU_NAME_SIZE 32u
bool qemu_peek_is_string(const void *address, const char *expected);

/* Add an ACPI table to those QEMU hands to its firmware; before it builds them. */
void qemu_add_acpi_table(GBytes *table);

#endif /* QEMU_API_H */
