/* SPDX-License-Identifier: BSD-3-Clause */
/* Sorting of argv; see cmdline.h. */
#include "cmdline.h"
#include "keyval.h"

#include <string.h>

typedef enum Option {
    OPTION_ACCEPTED, /* says something a machine without a CPU need not care about */
    OPTION_ACPI_DUMP,
    OPTION_ADD_FD,
    OPTION_CHARDEV,
    OPTION_DEVICE,
    OPTION_HELP,
    OPTION_INCOMING,
    OPTION_MEMORY,
    OPTION_MON,
    OPTION_MONITOR,
    OPTION_OBJECT,
    OPTION_QMP,
    OPTION_QTEST,
    OPTION_QTEST_LOG,
    OPTION_RUN_WITH,
    OPTION_SNAPSHOT_DIR,
    OPTION_STOPPED,
    OPTION_TPMDEV,
    OPTION_VERSION,
} Option;

typedef struct OptionRow {
    const char *name;
    Option option;
    bool has_value;
    const char *help; /* NULL for what is accepted and has no effect */
} OptionRow;

static const OptionRow option_rows[] = {
    { "acpi-dump", OPTION_ACPI_DUMP, true, "DIR[,...] write the TPM's tables to files, and end" },
    { "add-fd", OPTION_ADD_FD, true, "fd=N,set=M a descriptor; /dev/fdset/M in a -tpmdev is it" },
    { "chardev", OPTION_CHARDEV, true, "socket,id=ID,path=PATH[,server=on|off] or stdio,id=ID" },
    { "device", OPTION_DEVICE, true, "MODEL,tpmdev=ID[,irq=N] a TPM device; `help` lists models" },
    { "incoming", OPTION_INCOMING, true, "URI wait for a guest that is migrated, or defer" },
    { "m", OPTION_MEMORY, true, "[size=]N[K|M|G] guest memory" },
    { "mon", OPTION_MON, true, "chardev=ID,mode=control a QMP monitor" },
    { "monitor", OPTION_MONITOR, true, "stdio, unix:PATH[,server=on] or chardev:ID for a human" },
    { "object", OPTION_OBJECT, true, "monitor-qmp,id=ID,chardev=ID a QMP monitor" },
    { "qmp", OPTION_QMP, true, "unix:PATH[,server=on] a QMP monitor" },
    { "qtest", OPTION_QTEST, true, "unix:PATH[,server=on], stdio or chardev:ID" },
    { "qtest-log", OPTION_QTEST_LOG, true, "FILE the protocol's lines with their times" },
    { "run-with", OPTION_RUN_WITH, true, "exit-with-parent=on end when the parent ends" },
    { "snapshot-dir", OPTION_SNAPSHOT_DIR, true, "DIR where savevm keeps snapshots" },
    { "S", OPTION_STOPPED, false, "QMP's query-status says prelaunch" },
    { "tpmdev", OPTION_TPMDEV, true, "TYPE,id=ID[,...] the TPM behind it; `help` lists types" },
    { "help", OPTION_HELP, false, "this text" },
    { "h", OPTION_HELP, false, NULL },
    { "version", OPTION_VERSION, false, "the version" },
    { "M", OPTION_ACCEPTED, true, NULL },
    { "accel", OPTION_ACCEPTED, true, NULL },
    { "audio", OPTION_ACCEPTED, true, NULL },
    { "audiodev", OPTION_ACCEPTED, true, NULL },
    { "boot", OPTION_ACCEPTED, true, NULL },
    { "cpu", OPTION_ACCEPTED, true, NULL },
    { "d", OPTION_ACCEPTED, true, NULL },
    { "display", OPTION_ACCEPTED, true, NULL },
    { "enable-kvm", OPTION_ACCEPTED, false, NULL },
    { "global", OPTION_ACCEPTED, true, NULL },
    { "machine", OPTION_ACCEPTED, true, NULL },
    { "msg", OPTION_ACCEPTED, true, NULL },
    { "name", OPTION_ACCEPTED, true, NULL },
    { "net", OPTION_ACCEPTED, true, NULL },
    { "nic", OPTION_ACCEPTED, true, NULL },
    { "no-reboot", OPTION_ACCEPTED, false, NULL },
    { "no-shutdown", OPTION_ACCEPTED, false, NULL },
    { "no-user-config", OPTION_ACCEPTED, false, NULL },
    { "nodefaults", OPTION_ACCEPTED, false, NULL },
    { "nographic", OPTION_ACCEPTED, false, NULL },
    { "parallel", OPTION_ACCEPTED, true, NULL },
    { "rtc", OPTION_ACCEPTED, true, NULL },
    { "sandbox", OPTION_ACCEPTED, true, NULL },
    { "serial", OPTION_ACCEPTED, true, NULL },
    { "smp", OPTION_ACCEPTED, true, NULL },
    { "trace", OPTION_ACCEPTED, true, NULL },
    { "uuid", OPTION_ACCEPTED, true, NULL },
    { "vga", OPTION_ACCEPTED, true, NULL },
};

/* Guest memory when -m does not say: enough for what a test puts there. */
#define RAM_SIZE_DEFAULT (16u << 20)

static const OptionRow *find_option(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(option_rows); i++) {
        if (strcmp(option_rows[i].name, name) == 0) {
            return &option_rows[i];
        }
    }
    return NULL;
}

static char *option_names(void)
{
    GString *names = g_string_new(NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(option_rows); i++) {
        g_string_append_printf(names, "%s-%s", i ? " " : "", option_rows[i].name);
    }
    return g_string_free(names, FALSE);
}

/* `256`, `256M`, `1G`; a number alone counts mebibytes, as in QEMU. */
static bool parse_size(const char *text, uint64_t *size)
{
    static const char suffixes[] = "KMGT";
    char *end;
    unsigned shift = 20;
    guint64 value = g_ascii_strtoull(text, &end, 10);

    if (*end) {
        const char *suffix = strchr(suffixes, g_ascii_toupper(*end));

        if (!suffix || end[1]) {
            return false;
        }
        shift = 10 * (unsigned)(suffix - suffixes + 1);
    }
    if (!g_ascii_isdigit(*text) || value == 0 || value > UINT64_MAX >> shift) {
        return false;
    }
    *size = value << shift;
    return true;
}

static bool parse_memory(const char *text, uint64_t *size, GError **error)
{
    g_autoptr(KeyVal) keyval = keyval_parse(text, "size", NULL);
    const char *number = keyval ? keyval_get(keyval, "size") : NULL;

    if (!number || !parse_size(number, size)) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "-m %s: Parameter 'size' expects a number of mebibytes, or one with the "
                    "suffix K, M, G or T",
                    text);
        return false;
    }
    return true;
}

static bool parse_run_with(CommandLine *line, const char *text, GError **error)
{
    g_autoptr(KeyVal) keyval = keyval_parse(text, NULL, error);

    if (!keyval || !keyval_get_bool(keyval, "exit-with-parent", &line->exit_with_parent, error)) {
        g_prefix_error(error, "-run-with %s: ", text);
        return false;
    }
    return true;
}

static bool take_option(CommandLine *line, const OptionRow *row, char *value, GError **error)
{
    switch (row->option) {
    case OPTION_ACCEPTED:
        break;
    case OPTION_ACPI_DUMP:
        line->acpi_dump = value;
        break;
    case OPTION_ADD_FD:
        g_ptr_array_add(line->fds, value);
        break;
    case OPTION_CHARDEV:
        g_ptr_array_add(line->chardevs, value);
        break;
    case OPTION_DEVICE:
        g_ptr_array_add(line->devices, value);
        break;
    case OPTION_HELP:
        line->action = ACTION_HELP;
        break;
    case OPTION_INCOMING:
        line->incoming = value;
        break;
    case OPTION_MEMORY:
        return parse_memory(value, &line->ram_size, error);
    case OPTION_MON:
        g_ptr_array_add(line->monitors, value);
        break;
    case OPTION_MONITOR:
        g_ptr_array_add(line->humans, value);
        break;
    case OPTION_OBJECT:
        g_ptr_array_add(line->objects, value);
        break;
    case OPTION_QMP:
        g_ptr_array_add(line->qmps, value);
        break;
    case OPTION_QTEST:
        line->qtest = value;
        break;
    case OPTION_QTEST_LOG:
        line->qtest_log = value;
        break;
    case OPTION_RUN_WITH:
        return parse_run_with(line, value, error);
    case OPTION_SNAPSHOT_DIR:
        line->snapshots = value;
        break;
    case OPTION_STOPPED:
        line->stopped = true;
        break;
    case OPTION_TPMDEV:
        g_ptr_array_add(line->tpmdevs, value);
        break;
    case OPTION_VERSION:
        line->action = ACTION_VERSION;
        break;
    }
    return true;
}

bool cmdline_parse(CommandLine *line, int argc, char **argv, GError **error)
{
    GPtrArray **lists[] = { &line->chardevs, &line->monitors, &line->objects, &line->qmps,
                            &line->tpmdevs,  &line->devices,  &line->fds,     &line->humans };

    memset(line, 0, sizeof(*line));
    line->ram_size = RAM_SIZE_DEFAULT;
    for (gsize i = 0; i < G_N_ELEMENTS(lists); i++) {
        *lists[i] = g_ptr_array_new();
    }
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        const OptionRow *row = NULL;

        if (*name == '-') {
            name += name[1] == '-' ? 2 : 1;
            row = find_option(name);
        }
        if (!row) {
            g_autofree char *known = option_names();

            g_set_error(error, MACHINE_ERROR, 0, "%s: invalid option; known are: %s", argv[i],
                        known);
            return false;
        }
        if (row->has_value && i + 1 == argc) {
            g_set_error(error, MACHINE_ERROR, 0, "%s: requires an argument", argv[i]);
            return false;
        }
        if (!take_option(line, row, row->has_value ? argv[++i] : NULL, error)) {
            return false;
        }
    }
    return true;
}

void cmdline_clear(CommandLine *line)
{
    GPtrArray *lists[] = { line->chardevs, line->monitors, line->objects, line->qmps,
                           line->tpmdevs,  line->devices,  line->fds,     line->humans };

    for (gsize i = 0; i < G_N_ELEMENTS(lists); i++) {
        g_ptr_array_unref(lists[i]);
    }
}

char *cmdline_help(void)
{
    GString *text = g_string_new("Options with an effect:\n");

    for (gsize i = 0; i < G_N_ELEMENTS(option_rows); i++) {
        if (option_rows[i].help) {
            g_string_append_printf(text, "  -%-12s %s\n", option_rows[i].name, option_rows[i].help);
        }
    }
    g_string_append(text, "Accepted, without effect:\n ");
    for (gsize i = 0; i < G_N_ELEMENTS(option_rows); i++) {
        if (option_rows[i].option == OPTION_ACCEPTED) {
            g_string_append_printf(text, " -%s", option_rows[i].name);
        }
    }
    g_string_append_c(text, '\n');
    return g_string_free(text, FALSE);
}
