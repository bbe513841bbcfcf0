/* SPDX-License-Identifier: BSD-3-Clause */
/* One function per line of the human monitor; see hmp.h. */
#include "hmp.h"
#include "keyval.h"

#include <string.h>

/* How often a monitor that waits looks whether the migration is over. */
#define POLL_MS 5

static const char prompt[] = "(qemu) ";

typedef struct Line {
    Qmp *qmp;
    const char *argument; /* or NULL */
    bool detach;
    bool *synchronous;
    GString *output;
} Line;

typedef enum Argument {
    ARGUMENT_NONE,
    ARGUMENT_OPTIONAL,
    ARGUMENT_REQUIRED,
} Argument;

typedef struct LineCommand {
    const char *name;
    Argument argument;
    bool (*run)(Line *line, GError **error);
} LineCommand;

/* ---- commands ---- */

static bool on_chardev_add(Line *line, GError **error)
{
    return qmp_add_chardev(line->qmp, line->argument, error);
}

static bool on_cont(Line *line, GError **error)
{
    return migration_cont(qmp_migration(line->qmp), error);
}

/* As in QEMU, one that is not there need not be deleted. */
static bool on_delvm(Line *line, GError **error)
{
    return snapshot_delete(qmp_snapshots(line->qmp), line->argument, SNAPSHOT_MAY_BE, error);
}

static void print_migration(Line *line)
{
    const Migration *migration = qmp_migration(line->qmp);

    if (migration_status(migration) == MIGRATION_NONE) {
        return;
    }
    g_string_append_printf(line->output, "Migration status: %s", migration_status_name(migration));
    if (migration_status(migration) == MIGRATION_FAILED && migration_failure(migration)) {
        g_string_append_printf(line->output, " (%s)", migration_failure(migration));
    }
    g_string_append_c(line->output, '\n');
    if (migration_port(migration)) {
        g_string_append_printf(line->output, "socket port: %u\n", migration_port(migration));
    }
}

static void print_status(Line *line)
{
    const Migration *migration = qmp_migration(line->qmp);

    if (migration_run_status(migration) == RUN_RUNNING) {
        g_string_append(line->output, "VM status: running\n");
    } else {
        g_string_append_printf(line->output, "VM status: paused (%s)\n",
                               migration_run_status_name(migration));
    }
}

/* As QEMU does, in three digits and a unit: 598 KiB, 1.02 MiB. */
static char *size_text(uint64_t size)
{
    static const char *const units[] = { "", "Ki", "Mi", "Gi" };
    double value = (double)size;
    gsize i = 0;

    for (; value >= 1000 && i + 1 < G_N_ELEMENTS(units); i++) {
        value /= 1024;
    }
    return g_strdup_printf("%.3g %sB", value, units[i]);
}

/* QEMU's table. There are no numbers, no clock of the machine and no counter of instructions. */
static void print_snapshot(Line *line, const char *name)
{
    uint64_t size;
    int64_t time;

    snapshot_describe(qmp_snapshots(line->qmp), name, &size, &time);
    g_autoptr(GDateTime) when = g_date_time_new_from_unix_local(time);
    g_autofree char *date = g_date_time_format(when, "%Y-%m-%d %H:%M:%S");
    g_autofree char *text = size_text(size);

    g_string_append_printf(line->output, "%-10s%-17s%8s%20s%13s%11s\n", "--", name, text, date,
                           "00:00:00.000", "");
}

static bool print_snapshots(Line *line, GError **error)
{
    g_auto(GStrv) names = snapshot_list(qmp_snapshots(line->qmp), error);

    if (!names) {
        return false;
    }
    if (!*names) {
        g_string_append(line->output, "There is no snapshot available.\n");
        return true;
    }
    g_string_append_printf(line->output,
                           "List of snapshots present on all disks:\n%-10s%-17s%8s%20s%13s%11s\n",
                           "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
    for (char **name = names; *name; name++) {
        print_snapshot(line, *name);
    }
    return true;
}

static bool on_info(Line *line, GError **error)
{
    if (!line->argument) {
        g_string_append(line->output, "info migrate  -- show migration status\n"
                                      "info snapshots  -- show the currently saved VM snapshots\n"
                                      "info status  -- show the current VM status "
                                      "(running|paused)\n");
    } else if (strcmp(line->argument, "migrate") == 0) {
        print_migration(line);
    } else if (strcmp(line->argument, "status") == 0) {
        print_status(line);
    } else if (strcmp(line->argument, "snapshots") == 0) {
        return print_snapshots(line, error);
    } else {
        g_string_append_printf(line->output, "unknown command: 'info %s'\n", line->argument);
    }
    return true;
}

static bool on_loadvm(Line *line, GError **error)
{
    return snapshot_load(qmp_snapshots(line->qmp), line->argument, error);
}

static bool on_migrate(Line *line, GError **error)
{
    *line->synchronous = !line->detach;
    return migration_start(qmp_migration(line->qmp), line->argument, error);
}

static bool on_migrate_cancel(Line *line, GError **error)
{
    (void)error;
    migration_cancel(qmp_migration(line->qmp));
    return true;
}

static bool on_migrate_incoming(Line *line, GError **error)
{
    return qmp_migrate_incoming(line->qmp, line->argument, error);
}

static bool on_object_add(Line *line, GError **error)
{
    return qmp_add_object(line->qmp, line->argument, error);
}

static bool on_quit(Line *line, GError **error)
{
    (void)error;
    qmp_quit(line->qmp);
    return true;
}

/* One without a name gets one of the time, as in QEMU. */
static bool on_savevm(Line *line, GError **error)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *name =
        line->argument ? g_strdup(line->argument) : g_date_time_format(now, "vm-%Y%m%d%H%M%S");

    return snapshot_save(qmp_snapshots(line->qmp), name, SNAPSHOT_MAY_BE, error);
}

static bool on_stop(Line *line, GError **error)
{
    return migration_stop(qmp_migration(line->qmp), error);
}

static bool on_system_reset(Line *line, GError **error)
{
    (void)error;
    qmp_reset(line->qmp);
    return true;
}

static const LineCommand line_commands[] = {
    { "c", ARGUMENT_NONE, on_cont },
    { "chardev-add", ARGUMENT_REQUIRED, on_chardev_add },
    { "cont", ARGUMENT_NONE, on_cont },
    { "delvm", ARGUMENT_REQUIRED, on_delvm },
    { "info", ARGUMENT_OPTIONAL, on_info },
    { "loadvm", ARGUMENT_REQUIRED, on_loadvm },
    { "migrate", ARGUMENT_REQUIRED, on_migrate },
    { "migrate_cancel", ARGUMENT_NONE, on_migrate_cancel },
    { "migrate_incoming", ARGUMENT_REQUIRED, on_migrate_incoming },
    { "object_add", ARGUMENT_REQUIRED, on_object_add },
    { "q", ARGUMENT_NONE, on_quit },
    { "quit", ARGUMENT_NONE, on_quit },
    { "s", ARGUMENT_NONE, on_stop },
    { "savevm", ARGUMENT_OPTIONAL, on_savevm },
    { "stop", ARGUMENT_NONE, on_stop },
    { "system_reset", ARGUMENT_NONE, on_system_reset },
};

/* ---- a line ---- */

static const LineCommand *find(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(line_commands); i++) {
        if (strcmp(line_commands[i].name, name) == 0) {
            return &line_commands[i];
        }
    }
    return NULL;
}

/* Flags of `migrate` other than -d choose what there is no choice of here. */
static bool take_words(Line *line, const LineCommand *command, char **words)
{
    for (char **word = words + 1; *word; word++) {
        if (command->run == on_migrate && strcmp(*word, "-d") == 0) {
            line->detach = true;
        } else if (command->argument != ARGUMENT_NONE && !line->argument) {
            line->argument = *word;
        } else {
            g_string_append_printf(line->output, "%s: extraneous characters at the end of line\n",
                                   words[0]);
            return false;
        }
    }
    if (command->argument == ARGUMENT_REQUIRED && !line->argument) {
        g_string_append_printf(line->output, "%s: string expected\n", words[0]);
        return false;
    }
    return true;
}

/* A line that is none is told so, in QEMU's words; only what a command says is an error. */
static bool run_line(Line *line, const char *text, GError **error)
{
    g_auto(GStrv) words = NULL;

    if (!g_shell_parse_argv(text, NULL, &words, error)) {
        return false;
    }
    const LineCommand *command = find(words[0]);

    if (!command) {
        g_string_append_printf(line->output, "unknown command: '%s'\n", words[0]);
        return true;
    }
    return !take_words(line, command, words) || command->run(line, error);
}

char *hmp_run(Qmp *qmp, const char *text, bool *synchronous)
{
    g_autofree char *stripped = g_strstrip(g_strdup(text));
    Line line = { .qmp = qmp, .synchronous = synchronous, .output = g_string_new(NULL) };
    g_autoptr(GError) error = NULL;

    *synchronous = false;
    if (*stripped && !run_line(&line, stripped, &error)) {
        g_string_append_printf(line.output, "Error: %s\n", error->message);
    }
    return g_string_free(line.output, FALSE);
}

/* ---- a monitor of its own ---- */

struct Hmp {
    Qmp *qmp;
    Channel *channel;
    GQueue lines; /* that came while it waits */
    guint waits;  /* the source that looks whether the migration is over, or 0 */
};

static gboolean on_wait(gpointer opaque);

static void run_waiting(Hmp *hmp)
{
    while (!hmp->waits && !g_queue_is_empty(&hmp->lines)) {
        g_autofree char *text = g_queue_pop_head(&hmp->lines);
        bool synchronous;
        g_autofree char *output = hmp_run(hmp->qmp, text, &synchronous);

        channel_send_text(hmp->channel, output);
        if (synchronous && migration_is_active(qmp_migration(hmp->qmp))) {
            hmp->waits = g_timeout_add(POLL_MS, on_wait, hmp);
        } else {
            channel_send_text(hmp->channel, prompt);
        }
    }
}

static gboolean on_wait(gpointer opaque)
{
    Hmp *hmp = opaque;
    const Migration *migration = qmp_migration(hmp->qmp);

    if (migration_is_active(migration)) {
        return G_SOURCE_CONTINUE;
    }
    hmp->waits = 0;
    if (migration_status(migration) == MIGRATION_FAILED && migration_failure(migration)) {
        g_autofree char *text = g_strdup_printf("Error: %s\n", migration_failure(migration));

        channel_send_text(hmp->channel, text);
    }
    channel_send_text(hmp->channel, prompt);
    run_waiting(hmp);
    return G_SOURCE_REMOVE;
}

static void on_opened(void *opaque)
{
    Hmp *hmp = opaque;
    g_autofree char *greeting =
        g_strdup_printf("libtpmdev %s monitor\n%s", tpmdev_version_string(), prompt);

    channel_send_text(hmp->channel, greeting);
}

static void on_line(void *opaque, char *line)
{
    Hmp *hmp = opaque;

    g_queue_push_tail(&hmp->lines, g_strdup(line));
    run_waiting(hmp);
}

static void on_closed(void *opaque)
{
    (void)opaque; /* what it has asked for is done all the same */
}

static const ChannelHandler handler = { on_opened, on_line, on_closed };

Hmp *hmp_new(Qmp *qmp, const Chardev *chardev, GError **error)
{
    Hmp *hmp = g_new0(Hmp, 1);

    hmp->qmp = qmp;
    g_queue_init(&hmp->lines);
    hmp->channel = channel_open(chardev, &handler, hmp, error);
    if (!hmp->channel) {
        g_free(hmp);
        return NULL;
    }
    return hmp;
}

void hmp_free(Hmp *hmp)
{
    if (hmp) {
        if (hmp->waits) {
            g_source_remove(hmp->waits);
        }
        channel_free(hmp->channel);
        g_queue_clear_full(&hmp->lines, g_free);
        g_free(hmp);
    }
}
