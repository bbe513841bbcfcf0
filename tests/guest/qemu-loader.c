/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files of ours in QEMU's fw_cfg, and commands of ours behind QEMU's in etc/table-loader.
 *
 * QEMU rebuilds its tables, and with them the commands, when the guest first selects one of the
 * files after a reset: by then the guest's firmware has set up what the tables tell of. It hears
 * of that by a function in the file's entry. Ours takes its place, calls it, and puts our commands
 * behind what is there then, into a file that is larger than the two need: the guest has read its
 * size before. EDK2 takes the zeros behind the commands for what they are.
 *
 * QEMU exports functions that add a file and that replace one, but not where an entry is. So the
 * entries are looked for: behind a pointer in the fw_cfg device's state, an entry must have all
 * that was given for our own file, which shows the layout; beside it, exactly one must have the
 * memory in which QEMU builds its commands. Until that is certain, memory is only read where it
 * can be.
 *
 * A machine that is loaded brings the size of QEMU's commands with it, and QEMU gives the memory it
 * takes the file for that size. So the file is QEMU's again until the machine has come.
 *
 * Neighbours: qemu-target.c has the parts made; qemu-api.c finds symbols and reads memory.
 */
#include "qemu-loader.h"
#include "qemu-vmstate.h"

#include <string.h>
#include <tpmdev/fw_cfg.h>

/* QEMU's commands are in a memory block of this name. */
#define LOADER_BLOCK "/rom@" TPM_FW_CFG_LOADER_FILE

/* The kinds of commands are numbers from 1 to this; 0 is none. */
#define COMMAND_KIND_MAX 4u

/* For the commands by which QEMU's may become more: q35 has two more when the guest asks. */
#define SPARE_SIZE (16u * TPM_FW_CFG_COMMAND_SIZE)

#define FILE_ALIGNMENT 4096u

/* At least as many as there are: 32 with a number of their own, and the files. */
#define ENTRIES_MAX 128u

/* An entry of fw_cfg, as QEMU 7.2 has it. */
typedef struct Entry {
    uint32_t size;
    uint8_t writable; /* a bool, if it is what we take it for */
    const void *data;
    void *argument;
    void (*select)(void *argument);
    void (*write)(void);
} Entry;

#define LOADER_FUNCTIONS(F)                                                                        \
    F(QemuObject *, fw_cfg_find, (void))                                                           \
    F(void, fw_cfg_add_file_callback,                                                              \
      (QemuObject * fw_cfg, const char *name, void (*select)(void *argument), void (*write)(void), \
       void *argument, void *data, size_t size, bool read_only))                                   \
    F(void *, fw_cfg_modify_file,                                                                  \
      (QemuObject * fw_cfg, const char *name, void *data, size_t size))                            \
    F(void *, qemu_ram_block_by_name, (const char *name))                                          \
    F(void *, qemu_ram_get_host_addr, (void *block))                                               \
    F(void *, memory_region_from_host, (void *memory, uint64_t *offset))                           \
    F(uint64_t, memory_region_size, (void *region))

typedef struct File {
    void *data;
    gsize size;
} File;

static struct {
#define FUNCTION_MEMBER(type, name, parameters) type(*name) parameters;
    LOADER_FUNCTIONS(FUNCTION_MEMBER)
#undef FUNCTION_MEMBER
    void (*complain)(const char *message);
    File tables;
    File log;
    File commands; /* ours */
    File merged;   /* what the guest gets */

    QemuObject *fw_cfg;
    void *of_qemu; /* the commands QEMU makes */
    void *region;  /* they are in */

    /* What QEMU had in the entry. */
    void (*select)(void *argument);
    void *argument;
} loader;

/* ---- the commands ---- */

/* Bytes of the commands in a file; 0 when there is something else in it. */
static size_t commands_size(const uint8_t *file, size_t size)
{
    size_t at = 0;

    while (at + TPM_FW_CFG_COMMAND_SIZE <= size) {
        uint32_t kind;

        memcpy(&kind, file + at, sizeof(kind));
        kind = GUINT32_FROM_LE(kind);
        if (kind == 0) {
            break;
        }
        if (kind > COMMAND_KIND_MAX) {
            return 0;
        }
        at += TPM_FW_CFG_COMMAND_SIZE;
    }
    return at;
}

static size_t size_of_qemus(void)
{
    return commands_size(loader.of_qemu, loader.memory_region_size(loader.region));
}

/* False: there are none of QEMU's, or too many. */
static bool merge(void)
{
    size_t of_qemu = size_of_qemus();

    if (of_qemu == 0 || of_qemu + loader.commands.size > loader.merged.size) {
        return false;
    }
    uint8_t *end = mempcpy(loader.merged.data, loader.of_qemu, of_qemu);

    memcpy(end, loader.commands.data, loader.commands.size);
    end += loader.commands.size;
    memset(end, 0, loader.merged.size - of_qemu - loader.commands.size);
    /* QEMU puts its own back when their number changes. */
    loader.fw_cfg_modify_file(loader.fw_cfg, TPM_FW_CFG_LOADER_FILE, loader.merged.data,
                              loader.merged.size);
    return true;
}

static void give_back(void)
{
    loader.fw_cfg_modify_file(loader.fw_cfg, TPM_FW_CFG_LOADER_FILE, loader.of_qemu,
                              loader.memory_region_size(loader.region));
}

/* The guest is about to read the commands. Without ours it still gets QEMU's. */
static void on_loader_selected(void *argument)
{
    (void)argument; /* ours is none, and QEMU drops its own when it replaces the file */
    loader.select(loader.argument);
    if (!merge()) {
        give_back();
        loader.complain("QEMU's commands for its firmware have changed too much; the guest gets "
                        "no tables of the TPM");
    }
}

/* ---- the entries ---- */

/* Nothing is to be done; by this function the entry is told from all others. */
static void on_tables_selected(void *argument)
{
    (void)argument;
}

static bool is_of_tables(const Entry *entry)
{
    return entry->size == loader.tables.size && !entry->writable &&
           entry->data == loader.tables.data && entry->argument == &loader &&
           entry->select == on_tables_selected && !entry->write;
}

static bool is_of_loader(const Entry *entry)
{
    return entry->size == loader.memory_region_size(loader.region) && !entry->writable &&
           entry->data == loader.of_qemu && entry->select && !entry->write;
}

/* The one of the entries at an address that is what is looked for; NULL: none is, or several. */
static Entry *find_entry(uintptr_t entries, bool (*is_it)(const Entry *entry))
{
    uintptr_t found = 0;
    Entry entry;

    for (unsigned i = 0; i < ENTRIES_MAX; i++) {
        uintptr_t at = entries + i * sizeof(entry);

        if (!qemu_peek((const void *)at, &entry, sizeof(entry))) {
            break;
        }
        if (is_it(&entry)) {
            if (found) {
                return NULL;
            }
            found = at;
        }
    }
    return (Entry *)found;
}

/* Where the entries are which have the one of our file; 0: nowhere. */
static uintptr_t find_entries(void)
{
    uintptr_t state = (uintptr_t)loader.fw_cfg;
    size_t size = qemu.object_type_get_instance_size(qemu.object_get_typename(loader.fw_cfg));
    uintptr_t pointer;

    for (size_t at = 0; at + sizeof(pointer) <= size; at += sizeof(pointer)) {
        if (qemu_peek((const void *)(state + at), &pointer, sizeof(pointer)) &&
            find_entry(pointer, is_of_tables)) {
            return pointer;
        }
    }
    return 0;
}

static char *take_entry(void)
{
    uintptr_t entries = find_entries();
    Entry *entry = entries ? find_entry(entries, is_of_loader) : NULL;

    if (!entry) {
        return g_strdup_printf("QEMU's file %s is not where it is expected; " WHICH_QEMU,
                               entries ? TPM_FW_CFG_LOADER_FILE : TPM_FW_CFG_TABLES_FILE);
    }
    loader.select = entry->select;
    loader.argument = entry->argument;
    entry->select = on_loader_selected;
    return NULL;
}

/* ---- saved state: nothing of ours, but hooks before and after what QEMU has of the files ---- */

static int before_load(void *opaque)
{
    (void)opaque;
    give_back();
    return 0;
}

static int after_load(void *opaque, int version)
{
    (void)opaque;
    (void)version;
    if (!merge()) {
        give_back();
    }
    return 0;
}

static const QemuField no_fields[] = { { .name = NULL } };

static const QemuDescription first = {
    .name = "libtpmdev-loader-first",
    .version = 1,
    .minimum_version = 1,
    .priority = QEMU_PRIORITY_EARLY,
    .before_load = before_load,
    .fields = no_fields,
};

static const QemuDescription last = {
    .name = "libtpmdev-loader-last",
    .version = 1,
    .minimum_version = 1,
    .after_load = after_load,
    .fields = no_fields,
};

/* ---- the machine ---- */

static void take_file(File *file, GBytes *bytes)
{
    file->data = g_bytes_unref_to_data(bytes, &file->size);
}

bool qemu_loader_prepare(const QemuLoaderParts *parts, void (*complain)(const char *message),
                         GError **error)
{
    take_file(&loader.tables, parts->tables);
    take_file(&loader.log, parts->log);
    take_file(&loader.commands, parts->commands);
    loader.complain = complain;
#define FUNCTION_LOOK_UP(type, name, parameters)                                                   \
    if (!qemu_look_up(#name, &loader.name)) {                                                      \
        g_set_error_literal(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED,                            \
                            "this QEMU does not export " #name "; " WHICH_QEMU);                   \
        return false;                                                                              \
    }
    LOADER_FUNCTIONS(FUNCTION_LOOK_UP)
#undef FUNCTION_LOOK_UP
    return true;
}

/* Where QEMU makes its commands. */
static char *find_commands(void)
{
    void *block = loader.qemu_ram_block_by_name(LOADER_BLOCK);
    void *memory = block ? loader.qemu_ram_get_host_addr(block) : NULL;
    uint64_t offset = 0;

    if (!loader.fw_cfg || !block) {
        return g_strdup("this machine has no ACPI tables for its firmware; use -machine virt or "
                        "-machine q35, with ACPI on");
    }
    loader.of_qemu = memory;
    loader.region = memory ? loader.memory_region_from_host(memory, &offset) : NULL;
    if (!loader.region || offset != 0 || size_of_qemus() == 0) {
        return g_strdup("QEMU's " TPM_FW_CFG_LOADER_FILE " holds no commands; " WHICH_QEMU);
    }
    return NULL;
}

/* QEMU has an empty log file on some machines. */
static void add_files(void)
{
    loader.fw_cfg_add_file_callback(loader.fw_cfg, TPM_FW_CFG_TABLES_FILE, on_tables_selected, NULL,
                                    &loader, loader.tables.data, loader.tables.size, true);
    loader.fw_cfg_modify_file(loader.fw_cfg, TPM_FW_CFG_LOG_FILE, loader.log.data, loader.log.size);
}

char *qemu_loader_attach(void)
{
    loader.fw_cfg = loader.fw_cfg_find();
    char *wrong = find_commands();

    if (!wrong) {
        add_files();
        wrong = take_entry();
    }
    if (!wrong) {
        size_t size = size_of_qemus() + loader.commands.size + SPARE_SIZE;

        loader.merged.size = (size + FILE_ALIGNMENT - 1) / FILE_ALIGNMENT * FILE_ALIGNMENT;
        loader.merged.data = g_malloc(loader.merged.size);
        merge();
        wrong = qemu_vmstate_register(&first, &loader);
    }
    return wrong ? wrong : qemu_vmstate_register(&last, &loader);
}
