/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tpmdev-system-ARCH: a hypervisor without a CPU, for tests. It takes QEMU's command line, puts a
 * TPM device of libtpmdev where QEMU's machine of that architecture has one, and lets a qtest
 * client play the CPU and a QMP client the operator; so scripts and test programs written for
 * QEMU drive it as they are. This file is its life: command line, machine, main loop, end.
 *
 * The machine is also the shortest full user of the library: one thread, one GMainContext for
 * its own sockets and the TPM's.
 */
#include "acpi-dump.h"
#include "cmdline.h"
#include "fdset.h"
#include "hmp.h"
#include "keyval.h"
#include "qmp.h"
#include "qtest.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

typedef struct Program {
    CommandLine line;
    GPtrArray *chardevs; /* of Chardev */
    FdSets *fdsets;
    Machine *machine;
    Migration *migration;
    Snapshots *snapshots;
    QTest *qtest;
    Qmp *qmp;
    GPtrArray *humans; /* of Hmp */
    GMainLoop *loop;
    GError *failure; /* what has ended the main loop, or NULL */
} Program;

/* ---- ends ---- */

static gboolean on_signal(gpointer opaque)
{
    Program *program = opaque;

    qmp_announce_shutdown(program->qmp, "host-signal");
    g_main_loop_quit(program->loop);
    return G_SOURCE_CONTINUE;
}

static void on_qtest_closed(void *opaque)
{
    Program *program = opaque;

    g_main_loop_quit(program->loop);
}

/* As in QEMU: a machine that was to be somebody else's guest has nothing to run. */
static void on_incoming_failed(void *opaque, const GError *error)
{
    Program *program = opaque;

    program->failure = g_error_copy(error);
    g_prefix_error(&program->failure, "load of migration failed: ");
    g_main_loop_quit(program->loop);
}

/* ---- what the command line describes ---- */

static const char *lookup_chardev(void *opaque, const char *id)
{
    Program *program = opaque;
    const Chardev *chardev = chardev_find(program->chardevs, id, NULL);

    return chardev ? chardev->path : NULL;
}

static bool add_chardev(Program *program, const char *text, GError **error)
{
    Chardev *chardev = chardev_parse(text, error);

    if (!chardev) {
        return false;
    }
    if (chardev_find(program->chardevs, chardev->id, NULL)) {
        g_set_error(error, MACHINE_ERROR, 0, "Duplicate ID '%s' for chardev", chardev->id);
        chardev_free(chardev);
        return false;
    }
    g_ptr_array_add(program->chardevs, chardev);
    return true;
}

/* A chardev that a TPM could not use is named here: the library knows only that it has no path. */
static bool check_tpmdev_chardev(Program *program, const char *text, GError **error)
{
    g_autoptr(KeyVal) keyval = keyval_parse(text, "type", NULL);
    const char *id = keyval ? keyval_get(keyval, "chardev") : NULL;
    const Chardev *chardev = id ? chardev_find(program->chardevs, id, NULL) : NULL;

    if (chardev && (chardev->server || !chardev->path)) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "tpm chardev '%s' is %s; it must be a socket that connects to swtpm", id,
                    chardev->server ? "a server" : "no socket");
        return false;
    }
    return true;
}

/* What works and is not all that a user may expect of the host's own TPM. */
static void warn_of_tpm(Program *program)
{
    TPMBackend *backend = machine_backend(program->machine);
    g_autoptr(GError) error = NULL;

    if (strcmp(tpmdev_backend_get_type(backend), "passthrough") == 0 &&
        !tpmdev_backend_passthrough_can_cancel(backend, &error)) {
        g_printerr("%s: warning: %s\n", g_get_prgname(), error->message);
    }
}

static bool add_tpmdev(Program *program, const char *text, GError **error)
{
    g_autofree char *resolved = check_tpmdev_chardev(program, text, error)
                                    ? fdsets_resolve(program->fdsets, text, error)
                                    : NULL;

    if (!resolved ||
        !machine_add_tpmdev(program->machine, resolved, text, lookup_chardev, program, error)) {
        return false;
    }
    warn_of_tpm(program);
    return true;
}

static bool add_fd(Program *program, const char *text, GError **error)
{
    return fdsets_add(program->fdsets, text, error);
}

/* A disk, a network card: what is not there as well. What was to be a TPM says so in some way. */
static bool is_other_device(const char *text)
{
    g_autoptr(KeyVal) keyval = keyval_parse(text, "driver", NULL);
    const char *driver = keyval ? keyval_get(keyval, "driver") : NULL;

    return driver && !g_str_has_prefix(driver, "tpm") && !keyval_get(keyval, "tpmdev");
}

static bool add_device(Program *program, const char *text, GError **error)
{
    if (is_other_device(text)) {
        return true;
    }
    return machine_add_device(program->machine, text, error);
}

/* The one that an option must name. */
static const Chardev *named_chardev(Program *program, const KeyVal *keyval, GError **error)
{
    const char *id = keyval_get(keyval, "chardev");

    if (!id) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "Parameter 'chardev' is missing; give chardev=ID of a -chardev");
        return NULL;
    }
    return chardev_find(program->chardevs, id, error);
}

static bool add_monitor_on(Program *program, const KeyVal *keyval, GError **error)
{
    const Chardev *chardev = named_chardev(program, keyval, error);

    return chardev && qmp_add(program->qmp, chardev, error);
}

static bool add_human_on(Program *program, const Chardev *chardev, GError **error)
{
    Hmp *hmp = chardev ? hmp_new(program->qmp, chardev, error) : NULL;

    if (hmp) {
        g_ptr_array_add(program->humans, hmp);
    }
    return hmp != NULL;
}

/* -monitor stdio. QEMU's other places for one are a window or a terminal, and nobody is there. */
static bool add_human(Program *program, const char *text, GError **error)
{
    if (strcmp(text, "stdio") != 0 && !g_str_has_prefix(text, "unix:") &&
        !g_str_has_prefix(text, "chardev:")) {
        return true;
    }
    g_autoptr(Chardev) chardev = chardev_parse_legacy(text, program->chardevs, error);

    return add_human_on(program, chardev, error);
}

/* -mon chardev=ID[,mode=control|readline] */
static bool add_mon(Program *program, const char *text, GError **error)
{
    static const char *const known[] = { "chardev", "mode", "pretty", NULL };
    g_autoptr(KeyVal) keyval = keyval_parse(text, "chardev", error);

    if (!keyval || !keyval_check(keyval, known, error)) {
        return false;
    }
    if (g_strcmp0(keyval_get(keyval, "mode"), "readline") == 0) {
        return add_human_on(program, named_chardev(program, keyval, error), error);
    }
    if (g_strcmp0(keyval_get(keyval, "mode"), "control") != 0) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "Parameter 'mode' must be 'control', which is QMP, or 'readline'");
        return false;
    }
    return add_monitor_on(program, keyval, error);
}

static bool serve_qtest(Program *program, const Chardev *chardev, const char *log, GError **error)
{
    if (program->qtest) {
        g_set_error(error, MACHINE_ERROR, 0, "Only one instance of qtest can be created");
        return false;
    }
    program->qtest = qtest_new(program->machine, program->migration, chardev, log, on_qtest_closed,
                               program, error);
    return program->qtest != NULL;
}

/* -object qtest,id=ID,chardev=ID[,log=FILE]: what may be there later than -qtest */
static bool add_qtest_object(Program *program, const KeyVal *keyval, GError **error)
{
    static const char *const known[] = { "qom-type", "id", "chardev", "log", NULL };
    const Chardev *chardev = named_chardev(program, keyval, error);

    return chardev && keyval_check(keyval, known, error) &&
           serve_qtest(program, chardev, keyval_get(keyval, "log"), error);
}

/* -object monitor-qmp,id=ID,chardev=ID: what -mon became in QEMU 11.1 */
static bool add_monitor_object(Program *program, const KeyVal *keyval, GError **error)
{
    static const char *const known[] = { "qom-type", "id", "chardev", "pretty", NULL };

    return keyval_check(keyval, known, error) && add_monitor_on(program, keyval, error);
}

static bool add_object(Program *program, const char *text, GError **error)
{
    g_autoptr(KeyVal) keyval = keyval_parse(text, "qom-type", error);

    if (!keyval) {
        return false;
    }
    const char *type = keyval_get(keyval, "qom-type");
    bool is_qtest = g_strcmp0(type, "qtest") == 0;

    if (!is_qtest && g_strcmp0(type, "monitor-qmp") != 0) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "Parameter 'qom-type' does not accept value '%s'; known are: monitor-qmp, "
                    "qtest",
                    type ? type : "");
        return false;
    }
    if (!keyval_get(keyval, "id")) {
        g_set_error(error, MACHINE_ERROR, 0, "Parameter 'id' is missing; give id=NAME");
        return false;
    }
    return is_qtest ? add_qtest_object(program, keyval, error)
                    : add_monitor_object(program, keyval, error);
}

/* -qmp unix:PATH: both in one */
static bool add_qmp(Program *program, const char *text, GError **error)
{
    g_autoptr(Chardev) chardev = chardev_parse_legacy(text, program->chardevs, error);

    return chardev && qmp_add(program->qmp, chardev, error);
}

static bool add_qtest(Program *program, const char *text, GError **error)
{
    g_autoptr(Chardev) chardev = chardev_parse_legacy(text, program->chardevs, error);

    if (!chardev || !serve_qtest(program, chardev, program->line.qtest_log, error)) {
        g_prefix_error(error, "-qtest %s: ", text);
        return false;
    }
    return true;
}

/* Listen where somebody may come, or begin to read. */
static bool add_incoming(Program *program, const char *text, GError **error)
{
    if (!migration_incoming(program->migration, text, error)) {
        g_prefix_error(error, "-incoming %s: ", text);
        return false;
    }
    return true;
}

static bool begin_with_snapshot(Program *program, const char *name, GError **error)
{
    if (!snapshot_load(program->snapshots, name, error)) {
        g_prefix_error(error, "-loadvm %s: ", name);
        return false;
    }
    return true;
}

typedef bool (*AddFunction)(Program *program, const char *text, GError **error);

/* Do it for each value of an option; an error gets the option in front, as QEMU puts it. */
static bool add_each(Program *program, const char *option, GPtrArray *values, AddFunction add,
                     GError **error)
{
    for (guint i = 0; i < values->len; i++) {
        const char *text = g_ptr_array_index(values, i);

        if (!add(program, text, error)) {
            g_prefix_error(error, "-%s %s: ", option, text);
            return false;
        }
    }
    return true;
}

/* In the order in which one needs the other. */
static bool build(Program *program, GError **error)
{
    CommandLine *line = &program->line;

    return add_each(program, "add-fd", line->fds, add_fd, error) &&
           add_each(program, "chardev", line->chardevs, add_chardev, error) &&
           add_each(program, "mon", line->monitors, add_mon, error) &&
           add_each(program, "object", line->objects, add_object, error) &&
           add_each(program, "qmp", line->qmps, add_qmp, error) &&
           add_each(program, "tpmdev", line->tpmdevs, add_tpmdev, error) &&
           add_each(program, "monitor", line->humans, add_human, error) &&
           add_each(program, "device", line->devices, add_device, error) &&
           (!line->loadvm || begin_with_snapshot(program, line->loadvm, error)) &&
           (!line->incoming || add_incoming(program, line->incoming, error)) &&
           (!line->qtest || add_qtest(program, line->qtest, error));
}

/* What it is built for: to run, or to write down what it has. */
static bool serve(Program *program, GError **error)
{
    const char *dump = program->line.acpi_dump;

    if (!dump) {
        g_main_loop_run(program->loop);
        if (program->failure) {
            g_propagate_error(error, program->failure);
        }
        return !program->failure;
    }
    if (!acpi_dump(program->machine, dump, error)) {
        g_prefix_error(error, "-acpi-dump %s: ", dump);
        return false;
    }
    return true;
}

/* ---- what a monitor asks for ---- */

static void on_quit(void *opaque)
{
    Program *program = opaque;

    qmp_announce_shutdown(program->qmp, "host-qmp-quit");
    g_main_loop_quit(program->loop);
}

static bool on_add_chardev(void *opaque, const char *text, GError **error)
{
    return add_chardev(opaque, text, error);
}

static bool on_add_object(void *opaque, const char *text, GError **error)
{
    return add_object(opaque, text, error);
}

static const QmpProgram qmp_program = { on_quit, on_add_chardev, on_add_object };

/* ---- what is only printed ---- */

static void print_tpm_types(void)
{
    g_autofree const char **types = tpmdev_backend_get_types();

    g_print("Supported TPM types (choose only one):\n");
    for (const char **type = types; *type; type++) {
        g_print("%12s   %s\n", *type, tpmdev_backend_get_description(*type));
    }
}

static void print_device_models(void)
{
    g_print("TPM devices:\n");
    for (const char *const *model = tpmdev_device_get_models(); *model; model++) {
        g_print("name \"%s\"\n", *model);
    }
}

static bool asks_for_help(const GPtrArray *values)
{
    for (guint i = 0; i < values->len; i++) {
        const char *text = g_ptr_array_index(values, i);

        if (strcmp(text, "help") == 0 || strcmp(text, "?") == 0) {
            return true;
        }
    }
    return false;
}

/* Returns true when the command line asked for a text and got it. */
static bool print_and_be_done(const CommandLine *line)
{
    switch (line->action) {
    case ACTION_RUN:
        break;
    case ACTION_HELP: {
        g_autofree char *text = cmdline_help();

        g_print("usage: %s [options]\nA hypervisor without a CPU, with a TPM.\n%s", g_get_prgname(),
                text);
        return true;
    }
    case ACTION_VERSION:
        g_print("%s (libtpmdev) version %s\n", g_get_prgname(), tpmdev_version_string());
        return true;
    }
    if (asks_for_help(line->tpmdevs)) {
        print_tpm_types();
        return true;
    }
    if (asks_for_help(line->devices)) {
        print_device_models();
        return true;
    }
    return false;
}

/* ---- life ---- */

static void follow_parent(void)
{
    pid_t parent = getppid();

    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        raise(SIGTERM); /* it ended before we could ask to be told */
    }
}

static void set_up(Program *program)
{
    program->loop = g_main_loop_new(NULL, FALSE);
    program->chardevs = g_ptr_array_new_with_free_func((GDestroyNotify)chardev_free);
    program->fdsets = fdsets_new();
    program->migration = migration_new(program->machine, program->line.stopped);
    program->snapshots =
        snapshots_new(program->machine, program->migration, program->line.snapshots);
    program->qmp =
        qmp_new(program->machine, program->migration, program->snapshots, &qmp_program, program);
    program->humans = g_ptr_array_new_with_free_func((GDestroyNotify)hmp_free);
    migration_watch_failure(program->migration, on_incoming_failed, program);
    if (program->line.incoming || program->line.loadvm) {
        machine_expect_incoming(program->machine);
    }
    g_unix_signal_add(SIGTERM, on_signal, program);
    g_unix_signal_add(SIGINT, on_signal, program);
    if (program->line.exit_with_parent) {
        follow_parent();
    }
}

static bool run(Program *program, const char *name, GError **error)
{
    program->machine = machine_new(machine_arch_of(name), program->line.ram_size, error);
    if (!program->machine) {
        g_prefix_error(error, "-m: ");
        return false;
    }
    set_up(program);
    bool good = build(program, error) && serve(program, error);

    qtest_free(program->qtest);
    g_ptr_array_unref(program->humans);
    qmp_free(program->qmp);
    snapshots_free(program->snapshots);
    migration_free(program->migration);
    machine_free(program->machine);
    fdsets_free(program->fdsets);
    g_ptr_array_unref(program->chardevs);
    g_main_loop_unref(program->loop);
    return good;
}

int main(int argc, char **argv)
{
    Program program = { 0 };
    g_autoptr(GError) error = NULL;
    g_autofree char *name = g_path_get_basename(argc > 0 ? argv[0] : "tpmdev-system-x86_64");

    g_set_prgname(name);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error to tell */
    bool good = cmdline_parse(&program.line, argc, argv, &error);

    if (good && !print_and_be_done(&program.line)) {
        good = run(&program, name, &error);
    }
    cmdline_clear(&program.line);
    if (!good) {
        g_printerr("%s: %s\n", name, error->message);
    }
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
