/* SPDX-License-Identifier: BSD-3-Clause */
/* Sorting of argv; see cmdline.h. */
#include "cmdline.h"
#include "keyval.h"

#include <string.h>

typedef enum Option {
    OPTION_ACPI_DUMP,
    OPTION_ADD_FD,
    OPTION_CHARDEV,
    OPTION_DEVICE,
    OPTION_GLOBAL,
    OPTION_HELP,
    OPTION_INCOMING,
    OPTION_LOADVM,
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
    const char *help; /* NULL for a second name */
} OptionRow;

static const OptionRow option_rows[] = {
    { "acpi-dump", OPTION_ACPI_DUMP, true, "DIR[,...] write the TPM's tables to files, and end" },
    { "add-fd", OPTION_ADD_FD, true, "fd=N,set=M a descriptor; /dev/fdset/M in a -tpmdev is it" },
    { "chardev", OPTION_CHARDEV, true, "socket,id=ID,path=PATH[,server=on|off] or stdio,id=ID" },
    { "device", OPTION_DEVICE, true, "MODEL,tpmdev=ID[,irq=N] a TPM device; `help` lists models" },
    { "global", OPTION_GLOBAL, true, NULL },
    { "incoming", OPTION_INCOMING, true, "URI wait for a guest that is migrated, or defer" },
    { "loadvm", OPTION_LOADVM, true, "NAME begin with a snapshot of -snapshot-dir" },
    { "m", OPTION_MEMORY, true, "[size=]N[K|M|G] guest memory" },
    { "mon", OPTION_MON, true, "chardev=ID,mode=control a QMP monitor" },
    { "monitor", OPTION_MONITOR, true, "stdio, unix:PATH[,server=on] or chardev:ID for a human" },
    { "object", OPTION_OBJECT, true, "monitor-qmp,id=ID,chardev=ID as -mon; qtest,... as -qtest" },
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
};

/* Options of QEMU's that only say something of what this machine does not have. */
static const struct {
    const char *what;
    const char *with_value; /* names with blanks between and around them */
    const char *alone;
} absences[] = {
    { "processors, and a board for them", " accel cpu icount M machine numa smp ", " enable-kvm " },
    { "firmware, and what it would find or start",
      " acpitable append bios boot dtb fw_cfg initrd kernel L option-rom pflash smbios ",
      " no-acpi no-fd-bootchk no-hpet win2k-hack " },
    { "disks and file systems",
      " blockdev cdrom drive fda fdb fsdev hda hdb hdc hdd iscsi mtdblock sd virtfs ",
      " snapshot " },
    { "a network", " net netdev nic ", "" },
    { "ports", " debugcon echr parallel serial usbdevice ", " usb " },
    { "a screen, a keyboard, sound", " audio audiodev display k rotate spice vga vnc ",
      " full-screen nographic portrait " },
    { "a clock, and ends of its own", " action rtc watchdog watchdog-action ",
      " no-reboot no-shutdown " },
    { "a name", " name uuid ", "" },
    { "how a hypervisor goes about it",
      " compat D d dfilter mem-path msg overcommit plugin sandbox seed trace ",
      " mem-prealloc no-user-config nodefaults " },
};

/* Guest memory when -m does not say: enough for what a test puts there. */
#define RAM_SIZE_DEFAULT (16u << 20)

/* Is it one of those? *has_value: the next word belongs to it. */
static bool is_of_absent(const char *name, bool *has_value)
{
    g_autofree char *word = g_strdup_printf(" %s ", name);

    for (gsize i = 0; i < G_N_ELEMENTS(absences) && !strchr(name, ' '); i++) {
        *has_value = strstr(absences[i].with_value, word);
        if (*has_value || strstr(absences[i].alone, word)) {
            return true;
        }
    }
    return false;
}

static const OptionRow *find_option(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(option_rows); i++) {
        if (strcmp(option_rows[i].name, name) == 0) {
            return &option_rows[i];
        }
    }
    return NULL;
}

/* Those with an effect; -help has the others. */
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

/* What is set for all devices of a kind; of those that are here, -device can say it. */
static bool check_global(const char *text, GError **error)
{
    if (!g_str_has_prefix(text, "tpm") && !g_str_has_prefix(text, "driver=tpm")) {
        return true;
    }
    g_set_error(error, MACHINE_ERROR, 0, "-global %s: has no effect here; give it to -device",
                text);
    return false;
}

static bool take_option(CommandLine *line, const OptionRow *row, char *value, GError **error)
{
    switch (row->option) {
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
    case OPTION_GLOBAL:
        return check_global(value, error);
    case OPTION_HELP:
        line->action = ACTION_HELP;
        break;
    case OPTION_INCOMING:
        line->incoming = value;
        break;
    case OPTION_LOADVM:
        line->loadvm = value;
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

/* QEMU's first disk. One word at most, so that what has lost its dash is seen. */
static bool take_image(CommandLine *line, const char *word, GError **error)
{
    if (strchr(word, '=')) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "%s: this is no disk image, and the value of no option; is a dash missing?",
                    word);
        return false;
    }
    if (line->image) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "%s: a second disk image, after '%s'; is a dash missing?", word, line->image);
        return false;
    }
    line->image = word;
    return true;
}

/* Returns how many words it was; 0 with error set. */
static int take_word(CommandLine *line, char **words, GError **error)
{
    const char *name = words[0] + (g_str_has_prefix(words[0], "--") ? 2 : 1);
    const OptionRow *row = *words[0] == '-' ? find_option(name) : NULL;
    bool has_value = row && row->has_value;

    if (*words[0] && *words[0] != '-') {
        return take_image(line, words[0], error);
    }
    if (!row && (!*words[0] || !is_of_absent(name, &has_value))) {
        g_autofree char *known = option_names();

        g_set_error(error, MACHINE_ERROR, 0,
                    "%s: invalid option; known are: %s, and what -help lists", words[0], known);
        return 0;
    }
    if (has_value && !words[1]) {
        g_set_error(error, MACHINE_ERROR, 0, "%s: requires an argument", words[0]);
        return 0;
    }
    if (row && !take_option(line, row, words[1], error)) {
        return 0;
    }
    return has_value ? 2 : 1;
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
    for (int i = 1; i < argc;) {
        int taken = take_word(line, argv + i, error);

        if (!taken) {
            return false;
        }
        i += taken;
    }
    if (line->incoming && line->loadvm) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "'incoming' and 'loadvm' options are mutually exclusive");
        return false;
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
    g_string_append(text, "Accepted, without effect, for it says something of\n");
    for (gsize i = 0; i < G_N_ELEMENTS(absences); i++) {
        g_string_append_printf(text, "  %s:%s%s\n", absences[i].what, absences[i].with_value,
                               absences[i].alone);
    }
    return g_string_free(text, FALSE);
}
