/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands behind those of QEMU, in a process that only has a likeness of its fw_cfg: what the
 * guest gets when QEMU makes its own anew, and each way in which the likeness is none.
 */
#include "qemu-loader.h"
#include "qemu-vmstate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <tpmdev/error.h>
#include <tpmdev/fw_cfg.h>

#include <cmocka.h>

#define COMMAND   TPM_FW_CFG_COMMAND_SIZE
#define OUR_COUNT 6u
#define FILE_SIZE 4096u /* of 14 commands of QEMU's, ours and the spare ones */
#define QEMUS_MAX 128u

/* Where the files are among the entries. */
enum { LOADER = 33, OURS = 40, LOG = 41, ENTRIES = 64 };

/* As in Debian's QEMU. */
typedef struct Entry {
    uint32_t size;
    bool writable;
    void *data;
    void *argument;
    void (*select)(void *argument);
    void (*write)(void);
} Entry;

static const char *missing; /* a symbol QEMU does not export */
static Entry entries[ENTRIES];
static struct {
    uint64_t others[6]; /* pointers to anything */
    Entry *entries[2];
    uint64_t more[4];
} fw_cfg;
static bool has_fw_cfg, has_block, has_memory, has_region;
static uint64_t region_offset;

/* The commands as QEMU has them. */
static uint8_t qemus[QEMUS_MAX * COMMAND];
static size_t qemus_size;
static int build_state;

/* What QEMU makes of them when it is asked. */
static unsigned next_count;
static bool next_is_exact; /* the file is as long as the commands */
static unsigned selections, complaints;

static uint8_t *tables, *log_area, *ours;

/* What QEMU was given to save and load with the machine. */
static const QemuDescription *descriptions[2];
static unsigned description_count;
static const char *register_fault;

/* Which member of our file's entry is not as it was given, or 0. */
#define ALTERATIONS 6u
static unsigned alter;

/* ---- the likeness ---- */

static void never_called(void)
{
    fail();
}

static size_t fake_instance_size(const char *type)
{
    assert_string_equal(type, "fw_cfg_mem");
    return sizeof(fw_cfg);
}

static const char *fake_typename(const QemuObject *object)
{
    assert_ptr_equal(object, &fw_cfg);
    return "fw_cfg_mem";
}

static QemuObject *fake_find(void)
{
    return has_fw_cfg ? (QemuObject *)&fw_cfg : NULL;
}

static void qemus_write(void)
{
}

static void alter_entry(Entry *entry)
{
    switch (alter) {
    case 1:
        entry->size++;
        break;
    case 2:
        entry->writable = true;
        break;
    case 3:
        entry->data = qemus;
        break;
    case 4:
        entry->argument = NULL;
        break;
    case 5:
        entry->select = NULL;
        break;
    case ALTERATIONS:
        entry->write = qemus_write;
        break;
    }
}

static void fake_add(QemuObject *object, const char *name, void (*select)(void *argument),
                     void (*write)(void), void *argument, void *data, size_t size, bool read_only)
{
    assert_ptr_equal(object, &fw_cfg);
    assert_string_equal(name, TPM_FW_CFG_TABLES_FILE);
    entries[OURS] = (Entry){ (uint32_t)size, !read_only, data, argument, select, write };
    alter_entry(&entries[OURS]);
}

static void *fake_modify(QemuObject *object, const char *name, void *data, size_t size)
{
    Entry *entry = &entries[strcmp(name, TPM_FW_CFG_LOG_FILE) == 0 ? LOG : LOADER];
    void *before = entry->data;

    assert_ptr_equal(object, &fw_cfg);
    assert_true(entry == &entries[LOG] || strcmp(name, TPM_FW_CFG_LOADER_FILE) == 0);
    entry->data = data;
    entry->size = (uint32_t)size;
    entry->argument = NULL;
    entry->writable = false;
    return before;
}

static void *fake_block(const char *name)
{
    assert_string_equal(name, "/rom@" TPM_FW_CFG_LOADER_FILE);
    return has_block ? &has_block : NULL;
}

static void *fake_host_address(void *block)
{
    assert_ptr_equal(block, &has_block);
    return has_memory ? qemus : NULL;
}

static void *fake_region(void *memory, uint64_t *offset)
{
    assert_ptr_equal(memory, qemus);
    *offset = region_offset;
    return has_region ? &has_region : NULL;
}

static uint64_t fake_region_size(void *region)
{
    assert_ptr_equal(region, &has_region);
    return qemus_size;
}

char *qemu_vmstate_register(const QemuDescription *description, void *opaque)
{
    assert_non_null(opaque);
    assert_true(description_count < G_N_ELEMENTS(descriptions));
    descriptions[description_count++] = description;
    return g_strdup(register_fault);
}

typedef void (*Function)(void);

static const struct {
    const char *name;
    Function function;
} functions[] = {
    { "fw_cfg_find", (Function)fake_find },
    { "fw_cfg_add_file_callback", (Function)fake_add },
    { "fw_cfg_modify_file", (Function)fake_modify },
    { "qemu_ram_block_by_name", (Function)fake_block },
    { "qemu_ram_get_host_addr", (Function)fake_host_address },
    { "memory_region_from_host", (Function)fake_region },
    { "memory_region_size", (Function)fake_region_size },
};

void *__wrap_dlsym(void *handle, const char *name);

void *__wrap_dlsym(void *handle, const char *name)
{
    Function function = never_called;
    void *address;

    (void)handle;
    for (unsigned i = 0; i < G_N_ELEMENTS(functions); i++) {
        if (strcmp(name, functions[i].name) == 0) {
            function = functions[i].function;
        }
    }
    memcpy(&address, &function, sizeof(address));
    return missing && strcmp(name, missing) == 0 ? NULL : address;
}

/* ---- commands ---- */

/* Command `number` of a kind, told from all others. */
static void put_command(uint8_t *at, uint8_t kind, unsigned number)
{
    memset(at, 0, COMMAND);
    at[0] = kind;
    at[4] = (uint8_t)number;
    at[COMMAND - 1] = 0xEE;
}

static void make_qemus(unsigned count, bool exact)
{
    memset(qemus, 0, sizeof(qemus));
    for (unsigned i = 0; i < count; i++) {
        put_command(qemus + i * COMMAND, (uint8_t)(1 + i % 4), selections * 16 + i);
    }
    qemus_size = exact ? count * COMMAND : MAX(FILE_SIZE, count * COMMAND);
}

/* QEMU makes them anew, and replaces the file if its size is another. */
static void qemus_select(void *argument)
{
    size_t before = qemus_size;

    assert_ptr_equal(argument, &build_state);
    selections++;
    make_qemus(next_count, next_is_exact);
    if (qemus_size != before) {
        fake_modify((QemuObject *)&fw_cfg, TPM_FW_CFG_LOADER_FILE, qemus, qemus_size);
    }
}

static void select_loader(void)
{
    entries[LOADER].select(entries[LOADER].argument);
}

static void assert_file(unsigned count)
{
    const uint8_t *file = entries[LOADER].data;
    size_t size = entries[LOADER].size;

    assert_int_equal(size % 4096, 0);
    assert_memory_equal(file, qemus, count * COMMAND);
    assert_memory_equal(file + count * COMMAND, ours, OUR_COUNT * COMMAND);
    for (size_t at = (count + OUR_COUNT) * COMMAND; at < size; at++) {
        assert_int_equal(file[at], 0);
    }
}

static void on_complaint(const char *message)
{
    assert_non_null(strstr(message, "the guest gets no tables of the TPM"));
    complaints++;
}

/* ---- the machine ---- */

static void make_entries(void)
{
    static int anything;

    memset(entries, 0, sizeof(entries));
    for (unsigned i = 0; i < ENTRIES; i++) {
        entries[i] = (Entry){ i, i % 2, &anything, &anything, qemus_select, NULL };
    }
    entries[LOADER] =
        (Entry){ (uint32_t)qemus_size, false, qemus, &build_state, qemus_select, NULL };
}

static int set_up(void **state)
{
    (void)state;
    missing = NULL;
    has_fw_cfg = has_block = has_memory = has_region = true;
    region_offset = 0;
    selections = complaints = alter = description_count = 0;
    register_fault = NULL;
    next_count = 14;
    next_is_exact = true;
    make_qemus(next_count, next_is_exact);
    make_entries();
    fw_cfg.others[0] = 1;
    fw_cfg.others[1] = (uintptr_t)&fw_cfg;
    fw_cfg.others[2] = 8;
    fw_cfg.others[3] = UINT64_MAX - 7;
    fw_cfg.entries[0] = entries;
    qemu.object_type_get_instance_size = fake_instance_size;
    qemu.object_get_typename = fake_typename;
    tables = g_malloc0(300);
    log_area = g_malloc0(0x10000);
    ours = g_malloc0(OUR_COUNT * COMMAND);
    for (unsigned i = 0; i < OUR_COUNT; i++) {
        put_command(ours + i * COMMAND, 2, 0xA0 + i);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    if (entries[LOADER].data != qemus) {
        g_free(entries[LOADER].data);
    }
    g_free(tables);
    g_free(log_area);
    g_free(ours);
    return 0;
}

static bool prepare(GError **error)
{
    QemuLoaderParts parts = { g_bytes_new_take(tables, 300), g_bytes_new_take(log_area, 0x10000),
                              g_bytes_new_take(ours, OUR_COUNT * COMMAND) };

    return qemu_loader_prepare(&parts, on_complaint, error);
}

static void attach(void)
{
    assert_true(prepare(NULL));
    assert_null(qemu_loader_attach());
}

static void assert_refused(const char *expected)
{
    Entry before = entries[LOADER];

    assert_true(prepare(NULL));
    char *message = qemu_loader_attach();

    assert_non_null(message);
    assert_string_equal(message, expected);
    assert_ptr_equal(entries[LOADER].select, before.select);
    assert_ptr_equal(entries[LOADER].data, before.data);
    g_free(message);
}

/* ---- what the guest gets ---- */

static void test_files_are_added(void **state)
{
    (void)state;
    attach();
    assert_ptr_equal(entries[OURS].data, tables);
    assert_int_equal(entries[OURS].size, 300);
    assert_false(entries[OURS].writable);
    assert_ptr_equal(entries[LOG].data, log_area);
    assert_int_equal(entries[LOG].size, 0x10000);
    entries[OURS].select(entries[OURS].argument);
}

static void test_commands_are_there_before_the_guest_asks(void **state)
{
    (void)state;
    attach();
    assert_int_equal(selections, 0);
    assert_int_equal(entries[LOADER].size, FILE_SIZE + 4096);
    assert_file(14);
}

/* As often as it asks; the file is as long as the directory has told the guest. */
static void test_qemus_are_made_anew_and_ours_stay_behind(void **state)
{
    static const unsigned counts[] = { 14, 16, 30, 13, 1, 14 };

    (void)state;
    attach();
    uint32_t size = entries[LOADER].size;

    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(counts); i++) {
        next_count = counts[i / 2];
        next_is_exact = i % 2;
        select_loader();
        assert_int_equal(selections, i + 1);
        assert_file(next_count);
        assert_int_equal(entries[LOADER].size, size);
    }
    assert_int_equal(complaints, 0);
}

static void test_padding_of_qemus_is_no_command(void **state)
{
    (void)state;
    make_qemus(14, false);
    make_entries();
    attach();
    assert_file(14);
}

static void test_sixteen_more_commands_always_fit(void **state)
{
    (void)state;
    for (unsigned count = 1; count < 40; count++) {
        tear_down(NULL);
        set_up(NULL);
        make_qemus(count, true);
        make_entries();
        attach();
        next_count = count + 16;
        select_loader();
        assert_file(next_count);
    }
    assert_int_equal(complaints, 0);
}

static void test_too_many_commands_leave_the_guest_with_qemus(void **state)
{
    (void)state;
    attach();
    void *merged = entries[LOADER].data;

    next_count = entries[LOADER].size / COMMAND - OUR_COUNT + 1;
    select_loader();
    assert_int_equal(complaints, 1);
    assert_ptr_equal(entries[LOADER].data, qemus);
    assert_int_equal(entries[LOADER].size, qemus_size);
    next_count--;
    select_loader();
    assert_int_equal(complaints, 1);
    assert_ptr_equal(entries[LOADER].data, merged);
    assert_file(next_count);
}

/* The file is of the size it had, so that QEMU does not put it back. */
static void test_no_commands_leave_the_guest_with_qemus(void **state)
{
    (void)state;
    make_qemus(14, false);
    make_entries();
    attach();
    void *merged = entries[LOADER].data;

    next_count = 0;
    next_is_exact = false;
    select_loader();
    assert_int_equal(complaints, 1);
    assert_ptr_equal(entries[LOADER].data, qemus);
    assert_int_equal(entries[LOADER].size, qemus_size);
    next_count = 14;
    select_loader();
    assert_int_equal(complaints, 1);
    assert_ptr_equal(entries[LOADER].data, merged);
    assert_file(14);
}

/* ---- what is no QEMU 7.2 ---- */

static void test_every_missing_symbol_is_named(void **state)
{
    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(functions); i++) {
        GError *error = NULL;
        char *expected =
            g_strdup_printf("this QEMU does not export %s; " WHICH_QEMU, functions[i].name);

        missing = functions[i].name;
        assert_false(prepare(&error));
        assert_string_equal(error->message, expected);
        g_clear_error(&error);
        g_free(expected);
    }
}

#define NO_TABLES                                                                                  \
    "this machine has no ACPI tables for its firmware; use -machine virt or -machine q35, with "   \
    "ACPI on"
#define NO_COMMANDS "QEMU's etc/table-loader holds no commands; " WHICH_QEMU

static void test_a_machine_without_tables_is_refused(void **state)
{
    (void)state;
    has_fw_cfg = false;
    assert_refused(NO_TABLES);
    has_fw_cfg = true;
    has_block = false;
    assert_refused(NO_TABLES);
}

static void test_what_holds_no_commands_is_refused(void **state)
{
    bool *const switches[] = { &has_memory, &has_region };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(switches); i++) {
        *switches[i] = false;
        assert_refused(NO_COMMANDS);
        *switches[i] = true;
    }
    region_offset = 8;
    assert_refused(NO_COMMANDS);
    region_offset = 0;
    put_command(qemus, 0, 0);
    assert_refused(NO_COMMANDS);
    put_command(qemus, 1, 0);
    put_command(qemus + 13 * COMMAND, 5, 0);
    assert_refused(NO_COMMANDS);
    qemus_size = COMMAND - 1;
    assert_refused(NO_COMMANDS);
}

static void assert_loader_is_lost(void)
{
    assert_refused("QEMU's file etc/table-loader is not where it is expected; " WHICH_QEMU);
    make_entries();
}

static void test_another_entry_of_the_loader_is_refused(void **state)
{
    (void)state;
    entries[LOADER].data = qemus + 8;
    assert_loader_is_lost();
    entries[LOADER].size--;
    assert_loader_is_lost();
    entries[LOADER].writable = true;
    assert_loader_is_lost();
    entries[LOADER].select = NULL;
    assert_loader_is_lost();
    entries[LOADER].write = qemus_write;
    assert_loader_is_lost();
    entries[LOADER + 2] = entries[LOADER];
    assert_loader_is_lost();
}

static const char lost[] = "QEMU's file etc/tpmdev/tables is not where it is expected; " WHICH_QEMU;

/* The layout is another when our own file's entry has not what was given for it. */
static void test_another_layout_is_refused(void **state)
{
    (void)state;
    for (alter = 1; alter <= ALTERATIONS; alter++) {
        assert_refused(lost);
    }
}

static void test_entries_that_are_nowhere_are_refused(void **state)
{
    (void)state;
    fw_cfg.entries[0] = NULL;
    assert_refused(lost);
    fw_cfg.entries[0] = (Entry *)((uintptr_t)entries + 4);
    assert_refused(lost);
    fw_cfg.entries[0] = &entries[OURS + 1];
    assert_refused(lost);
}

/* Memory that is not there ends the list, and nothing else. */
static void test_entries_at_the_end_of_memory_are_found(void **state)
{
    size_t size = (sizeof(entries) + 4095) / 4096 * 4096;
    uint8_t *memory =
        mmap(NULL, size + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(mprotect(memory + size, 4096, PROT_NONE), 0);
    fw_cfg.others[0] = (uintptr_t)memory + size;
    fw_cfg.others[2] = (uintptr_t)memory + size - sizeof(Entry);
    attach();
    assert_file(14);
    munmap(memory, size + 4096);
}

/* ---- saved state ---- */

/* QEMU gives the memory that it takes the file for the size of what has come. */
static void test_while_a_machine_is_loaded_the_file_is_qemus(void **state)
{
    (void)state;
    attach();
    const QemuDescription *first = descriptions[0];
    const QemuDescription *last = descriptions[1];

    assert_int_equal(description_count, 2);
    assert_int_equal(first->priority, QEMU_PRIORITY_EARLY);
    assert_int_equal(last->priority, 0);
    assert_string_not_equal(first->name, last->name);
    assert_null(first->fields[0].name);
    assert_null(last->fields[0].name);
    assert_int_equal(first->before_load(NULL), 0);
    assert_ptr_equal(entries[LOADER].data, qemus);
    assert_int_equal(entries[LOADER].size, qemus_size);
    make_qemus(19, true); /* those of the machine that has come */
    assert_int_equal(last->after_load(NULL, 1), 0);
    assert_file(19);
    select_loader();
    assert_file(14);
}

static void test_a_machine_with_too_many_commands_keeps_qemus(void **state)
{
    (void)state;
    attach();
    descriptions[0]->before_load(NULL);
    make_qemus(QEMUS_MAX, true);
    assert_int_equal(descriptions[1]->after_load(NULL, 1), 0);
    assert_ptr_equal(entries[LOADER].data, qemus);
    assert_int_equal(entries[LOADER].size, qemus_size);
    make_qemus(14, true); /* and a later one, with fewer, has ours */
    assert_int_equal(descriptions[1]->after_load(NULL, 1), 0);
    assert_file(14);
}

static void test_hooks_that_cannot_be_registered_are_told(void **state)
{
    (void)state;
    assert_true(prepare(NULL));
    register_fault = "there is one of this name";
    char *message = qemu_loader_attach();

    assert_string_equal(message, register_fault);
    assert_int_equal(description_count, 1);
    g_free(message);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_files_are_added),
        TEST(test_commands_are_there_before_the_guest_asks),
        TEST(test_qemus_are_made_anew_and_ours_stay_behind),
        TEST(test_padding_of_qemus_is_no_command),
        TEST(test_sixteen_more_commands_always_fit),
        TEST(test_too_many_commands_leave_the_guest_with_qemus),
        TEST(test_no_commands_leave_the_guest_with_qemus),
        TEST(test_every_missing_symbol_is_named),
        TEST(test_a_machine_without_tables_is_refused),
        TEST(test_what_holds_no_commands_is_refused),
        TEST(test_another_entry_of_the_loader_is_refused),
        TEST(test_another_layout_is_refused),
        TEST(test_entries_that_are_nowhere_are_refused),
        TEST(test_entries_at_the_end_of_memory_are_found),
        TEST(test_while_a_machine_is_loaded_the_file_is_qemus),
        TEST(test_a_machine_with_too_many_commands_keeps_qemus),
        TEST(test_hooks_that_cannot_be_registered_are_told),
    };

    return cmocka_run_group_tests_name("qemu-loader", tests, NULL, NULL);
}
