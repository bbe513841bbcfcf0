/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The course of a migration, on either side; see migration.h. Between source and destination go
 * the stream and, where there is a way back, lines: "loaded" or "failed REASON" from the
 * destination, then "go" from the source.
 */
#include "migration.h"
#include "keyval.h"
#include "machine-state.h"
#include "transport.h"

#include <string.h>

#define TIMEOUT_DEFAULT_MS 60000
#define NS_PER_MS          G_GINT64_CONSTANT(1000000)

/* How often the TPM is looked at while it ends its command. */
#define TPM_POLL_MS 2

/* An answer is no longer than this. */
#define LINE_MAX_BYTES 1024u

static const char answer_loaded[] = "loaded";
static const char answer_failed[] = "failed ";
static const char answer_go[] = "go";

static const char source_has_left[] = "the source has left and kept its guest";

struct Migration {
    Machine *machine;
    RunStatus run;
    MigrationStatus status;
    char *failure;
    int64_t timeout_ms;
    FdNames *fds;

    Transport *transport;
    bool incoming;
    bool autostart;   /* the incoming guest is to run if it ran */
    RunStatus before; /* of a source: what to go back to */
    bool held;        /* the device is saved or loaded, and not resumed */
    bool sent;        /* all of the stream */
    bool letting_go;  /* the source has said "go", or a destination's guest may go on */
    bool has_run;     /* an incoming guest ran where it was */
    GByteArray *stream;
    MachineStateScan scan;
    GString *line;  /* what came of an answer */
    uint64_t moved; /* of a transport that is gone, or when the deadline was last looked at */
    uint64_t watched;
    unsigned port;
    guint polls; /* sources on the main loop, 0 when there is none */
    guint deadline;

    void (*event)(void *opaque, const char *event);
    void *event_opaque;
    void (*failed)(void *opaque, const GError *error);
    void *failed_opaque;
    void (*run_changed)(void *opaque, bool runs);
    void *run_opaque;
};

/* ---- states ---- */

static void tell(Migration *migration, const char *event)
{
    if (migration->event) {
        migration->event(migration->event_opaque, event);
    }
}

static void set_status(Migration *migration, MigrationStatus status)
{
    migration->status = status;
    tell(migration, "MIGRATION");
}

static void set_run(Migration *migration, RunStatus run)
{
    bool ran = migration->run == RUN_RUNNING;
    bool runs = run == RUN_RUNNING;

    migration->run = run;
    if (ran == runs) {
        return;
    }
    tell(migration, runs ? "RESUME" : "STOP");
    if (migration->run_changed) {
        migration->run_changed(migration->run_opaque, runs);
    }
}

static void drop_source(guint *source)
{
    if (*source) {
        g_source_remove(*source);
        *source = 0;
    }
}

/* The guest goes on with its TPM, here. */
static void release_device(Migration *migration)
{
    if (migration->held && machine_tpm(migration->machine)) {
        tpmdev_device_resume(machine_tpm(migration->machine));
    }
    migration->held = false;
}

/* Whatever was under way is over. */
static void clean_up(Migration *migration)
{
    drop_source(&migration->polls);
    drop_source(&migration->deadline);
    if (migration->transport) {
        migration->moved = transport_moved(migration->transport);
        migration->port = transport_port(migration->transport);
    }
    g_clear_pointer(&migration->transport, transport_free);
    g_clear_pointer(&migration->stream, g_byte_array_unref);
}

/* ---- the source ---- */

static void give_back(Migration *migration)
{
    clean_up(migration);
    release_device(migration);
    if (migration->run == RUN_FINISH_MIGRATE) {
        set_run(migration, migration->before);
    }
}

static void source_fail(Migration *migration, const char *reason)
{
    g_free(migration->failure);
    migration->failure = g_strdup(reason);
    give_back(migration);
    set_status(migration, MIGRATION_FAILED);
}

static void source_complete(Migration *migration)
{
    clean_up(migration);
    set_run(migration, RUN_POSTMIGRATE);
    set_status(migration, MIGRATION_COMPLETED);
}

static void save_and_send(Migration *migration)
{
    g_autoptr(GError) error = NULL;
    uint32_t flags = transport_is_two_way(migration->transport) ? MACHINE_STATE_WANTS_ANSWER : 0;
    g_autoptr(GByteArray) stream =
        machine_state_save(migration->machine, flags, migration->before == RUN_RUNNING,
                           migration->timeout_ms * NS_PER_MS, &error);

    if (!stream) {
        source_fail(migration, error->message);
        return;
    }
    migration->held = true;
    transport_send(migration->transport, stream->data, stream->len);
}

/* A command takes as long as it takes; monitors are served meanwhile. */
static gboolean on_poll(gpointer opaque)
{
    Migration *migration = opaque;

    migration->polls = 0;
    if (machine_tpm_is_executing(migration->machine)) {
        migration->polls = g_timeout_add(TPM_POLL_MS, on_poll, migration);
    } else {
        save_and_send(migration);
    }
    return G_SOURCE_REMOVE;
}

static void on_source_opened(void *opaque)
{
    Migration *migration = opaque;

    set_status(migration, MIGRATION_ACTIVE);
    set_run(migration, RUN_FINISH_MIGRATE);
    migration->polls = g_timeout_add(0, on_poll, migration); /* the guest stands still */
}

static void on_source_drained(void *opaque)
{
    Migration *migration = opaque;

    migration->sent = true;
    if (!transport_is_two_way(migration->transport) || migration->letting_go) {
        transport_finish(migration->transport);
    }
}

static void on_source_line(Migration *migration, const char *line)
{
    g_autofree char *reason = NULL;

    if (g_str_has_prefix(line, answer_failed)) {
        reason =
            g_strdup_printf("the destination has not loaded it: %s", line + strlen(answer_failed));
        source_fail(migration, reason);
    } else if (migration->held && transport_has_sent(migration->transport) &&
               !migration->letting_go && strcmp(line, answer_loaded) == 0) {
        migration->letting_go = true;
        transport_send(migration->transport, answer_go, strlen(answer_go));
        transport_send(migration->transport, "\n", 1);
    } else {
        source_fail(migration, "the destination has answered what means nothing");
    }
}

/* Take what came to the line. False when there is no whole one yet; too long a one is whole. */
static bool take_line(Migration *migration, const uint8_t *data, size_t size)
{
    g_string_append_len(migration->line, (const char *)data,
                        (gssize)MIN(size, LINE_MAX_BYTES - migration->line->len));
    char *end = memchr(migration->line->str, '\n', migration->line->len);

    if (end) {
        g_string_truncate(migration->line, (gsize)(end - migration->line->str));
    }
    return end || migration->line->len == LINE_MAX_BYTES;
}

static void on_source_received(void *opaque, const uint8_t *data, size_t size)
{
    Migration *migration = opaque;

    if (take_line(migration, data, size)) {
        g_autofree char *printable = g_utf8_make_valid(migration->line->str, -1);

        g_string_truncate(migration->line, 0);
        on_source_line(migration, printable);
    }
}

/* Once told to go on, the destination has the guest, whatever becomes of the connection. */
static void on_source_ended(void *opaque, const GError *error)
{
    Migration *migration = opaque;

    if (migration->letting_go) {
        source_complete(migration);
    } else {
        source_fail(migration, error ? error->message
                                     : "the destination has closed the connection and not loaded");
    }
}

static void on_source_finished(void *opaque, const GError *error)
{
    Migration *migration = opaque;

    if (error && !migration->letting_go) {
        source_fail(migration, error->message);
    } else if (!migration->sent) {
        source_fail(migration, "the command has ended before all was sent");
    } else {
        source_complete(migration);
    }
}

static const TransportHandler source_handler = { on_source_opened, on_source_received,
                                                 on_source_drained, on_source_ended,
                                                 on_source_finished };

/* ---- time ---- */

static gboolean on_deadline(gpointer opaque)
{
    Migration *migration = opaque;
    uint64_t moved = transport_moved(migration->transport);
    g_autofree char *reason = NULL;

    if (moved != migration->watched) {
        migration->watched = moved;
        return G_SOURCE_CONTINUE;
    }
    migration->deadline = 0;
    reason =
        g_strdup_printf("nothing has happened for %" G_GINT64_FORMAT " ms%s", migration->timeout_ms,
                        migration->polls ? "; the TPM carries out a command" : "");
    if (migration->letting_go) {
        source_complete(migration);
    } else {
        source_fail(migration, reason);
    }
    return G_SOURCE_REMOVE;
}

/* ---- asked for ---- */

static int take_fd(void *opaque, const char *name)
{
    Migration *migration = opaque;

    return fd_names_take(migration->fds, name);
}

static bool check_start(const Migration *migration, GError **error)
{
    TPMDevice *device = machine_tpm(migration->machine);

    if (migration_is_active(migration)) {
        g_set_error(error, MACHINE_ERROR, 0, "There's a migration process in progress");
        return false;
    }
    if (migration->run == RUN_INMIGRATE) {
        g_set_error(error, MACHINE_ERROR, 0, "Guest is waiting for an incoming migration");
        return false;
    }
    if (migration->run == RUN_POSTMIGRATE) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "Can't migrate the vm that was paused due to previous migration");
        return false;
    }
    return !device || tpmdev_device_can_migrate(device, error);
}

static void forget(Migration *migration)
{
    g_clear_pointer(&migration->failure, g_free);
    g_string_truncate(migration->line, 0);
    migration->sent = migration->letting_go = false;
    migration->moved = migration->watched = 0;
    migration->port = 0;
    migration->scan = (MachineStateScan){ 0 };
}

bool migration_start(Migration *migration, const char *uri, GError **error)
{
    if (!check_start(migration, error)) {
        return false;
    }
    forget(migration);
    migration->transport = transport_open(uri, true, take_fd, &source_handler, migration, error);
    if (!migration->transport) {
        g_clear_pointer(&migration->failure, g_free);
        migration->failure = error ? g_strdup((*error)->message) : NULL;
        set_status(migration, MIGRATION_FAILED);
        return false;
    }
    migration->incoming = false;
    migration->before = migration->run;
    migration->deadline = g_timeout_add((guint)migration->timeout_ms, on_deadline, migration);
    set_status(migration, MIGRATION_SETUP);
    return true;
}

/* When the destination has been told to go on it is too late, and the guest is there. */
void migration_cancel(Migration *migration)
{
    if (migration_is_active(migration) && !migration->incoming && !migration->letting_go) {
        set_status(migration, MIGRATION_CANCELLING);
        give_back(migration);
        set_status(migration, MIGRATION_CANCELLED);
    }
}

/* ---- the destination ---- */

static void answer(Migration *migration, const char *text)
{
    g_autofree char *line = g_strdup_printf("%s\n", text);

    transport_send(migration->transport, line, strlen(line));
}

static void destination_fail(Migration *migration, const GError *error)
{
    g_autofree char *text =
        g_strdup_printf("%s%.900s", answer_failed, error->message); /* one line is all it takes */

    g_free(migration->failure);
    migration->failure = g_strdup(error->message);
    if (migration->transport && migration->scan.wants_answer) {
        answer(migration, g_strdelimit(text, "\n", ' '));
    }
    clean_up(migration);
    set_status(migration, MIGRATION_FAILED);
    migration->failed(migration->failed_opaque, error);
}

static void destination_complete(Migration *migration)
{
    clean_up(migration);
    if (migration->has_run && migration->autostart) {
        release_device(migration);
        set_run(migration, RUN_RUNNING);
    } else {
        set_run(migration, RUN_PAUSED);
    }
    set_status(migration, MIGRATION_COMPLETED);
}

/*
 * The TPM that is here is not given up for a guest that does not come: the stream of one that has
 * stayed can be here to the last byte.
 */
static bool source_waits(const Migration *migration, GError **error)
{
    if (migration->scan.wants_answer && transport_has_peer_left(migration->transport)) {
        g_set_error(error, MACHINE_ERROR, 0, "%s", source_has_left);
        return false;
    }
    return true;
}

static void load(Migration *migration)
{
    g_autoptr(GError) error = NULL;

    if (!source_waits(migration, &error) ||
        !machine_state_load(migration->machine, migration->stream->data, migration->scan.at,
                            migration->timeout_ms * NS_PER_MS, &migration->has_run, &error)) {
        destination_fail(migration, error);
        return;
    }
    migration->held = true;
    if (migration->scan.wants_answer && transport_is_two_way(migration->transport)) {
        answer(migration, answer_loaded);
    } else {
        destination_complete(migration);
    }
}

static void on_destination_opened(void *opaque)
{
    set_status(opaque, MIGRATION_ACTIVE);
}

static void on_destination_line(Migration *migration)
{
    g_autoptr(GError) error = NULL;

    if (strcmp(migration->line->str, answer_go) == 0) {
        destination_complete(migration);
        return;
    }
    g_set_error(&error, MACHINE_ERROR, 0, "the source has sent what means nothing");
    destination_fail(migration, error);
}

static void on_destination_received(void *opaque, const uint8_t *data, size_t size)
{
    Migration *migration = opaque;
    g_autoptr(GError) error = NULL;

    if (migration->scan.complete) {
        if (take_line(migration, data, size)) {
            on_destination_line(migration);
        }
        return;
    }
    g_byte_array_append(migration->stream, data, (guint)size);
    if (!machine_state_scan(migration->machine, migration->stream, &migration->scan, &error)) {
        destination_fail(migration, error);
    } else if (migration->scan.complete) {
        load(migration);
    }
}

static void on_destination_drained(void *opaque)
{
    (void)opaque; /* the source has the answer, or is about to have it */
}

static void on_destination_ended(void *opaque, const GError *error)
{
    Migration *migration = opaque;
    g_autoptr(GError) own = NULL;

    if (migration->scan.complete) {
        g_set_error(&own, MACHINE_ERROR, 0, "%s%s", source_has_left,
                    machine_tpm(migration->machine)
                        ? ", after its TPM was loaded: the TPM here is a copy of that now, and "
                          "what it was before is lost"
                        : "");
    } else if (error) {
        own = g_error_copy(error);
    } else {
        g_set_error(&own, MACHINE_ERROR, 0, "the stream has ended before it was whole");
    }
    destination_fail(migration, own);
}

static void on_destination_finished(void *opaque, const GError *error)
{
    (void)opaque; /* a destination finishes nothing */
    (void)error;
}

static const TransportHandler destination_handler = { on_destination_opened,
                                                      on_destination_received,
                                                      on_destination_drained, on_destination_ended,
                                                      on_destination_finished };

bool migration_incoming(Migration *migration, const char *uri, GError **error)
{
    if (migration->transport) {
        g_set_error(error, MACHINE_ERROR, 0, "The incoming migration has already been started");
        return false;
    }
    migration->incoming = true;
    migration->run = RUN_INMIGRATE;
    if (strcmp(uri, "defer") == 0) {
        return true;
    }
    forget(migration);
    migration->stream = g_byte_array_new();
    migration->transport =
        transport_open(uri, false, take_fd, &destination_handler, migration, error);
    if (!migration->transport) {
        clean_up(migration);
        return false;
    }
    set_status(migration, MIGRATION_SETUP);
    return true;
}

/* ---- the guest ---- */

bool migration_stop(Migration *migration, GError **error)
{
    (void)error;
    switch (migration->run) {
    case RUN_RUNNING:
        set_run(migration, RUN_PAUSED);
        break;
    case RUN_INMIGRATE:
        migration->autostart = false;
        break;
    case RUN_FINISH_MIGRATE:
        migration->before = RUN_PAUSED; /* and so it is, should it come back */
        break;
    case RUN_PRELAUNCH:
    case RUN_PAUSED:
    case RUN_POSTMIGRATE:
        break;
    }
    return true;
}

bool migration_cont(Migration *migration, GError **error)
{
    switch (migration->run) {
    case RUN_PRELAUNCH:
    case RUN_PAUSED:
    case RUN_POSTMIGRATE:
        release_device(migration);
        set_run(migration, RUN_RUNNING);
        break;
    case RUN_INMIGRATE:
        migration->autostart = true;
        break;
    case RUN_FINISH_MIGRATE:
        g_set_error(error, MACHINE_ERROR, 0,
                    "the guest is being sent away; use migrate_cancel to keep it");
        return false;
    case RUN_RUNNING:
        break;
    }
    return true;
}

RunStatus migration_run_status(const Migration *migration)
{
    return migration->run;
}

const char *migration_run_status_name(const Migration *migration)
{
    return run_status_name(migration->run);
}

/* ---- what is known of it ---- */

MigrationStatus migration_status(const Migration *migration)
{
    return migration->status;
}

const char *migration_status_name(const Migration *migration)
{
    return move_status_name(migration->status);
}

bool migration_is_active(const Migration *migration)
{
    switch (migration->status) {
    case MIGRATION_SETUP:
    case MIGRATION_ACTIVE:
    case MIGRATION_CANCELLING:
        return true;
    case MIGRATION_NONE:
    case MIGRATION_COMPLETED:
    case MIGRATION_FAILED:
    case MIGRATION_CANCELLED:
        break;
    }
    return false;
}

const char *migration_failure(const Migration *migration)
{
    return migration->failure;
}

unsigned migration_port(const Migration *migration)
{
    return migration->transport ? transport_port(migration->transport) : migration->port;
}

uint64_t migration_moved(const Migration *migration)
{
    return migration->transport ? transport_moved(migration->transport) : migration->moved;
}

int64_t migration_timeout(const Migration *migration)
{
    return migration->timeout_ms;
}

void migration_set_timeout(Migration *migration, int64_t timeout_ms)
{
    migration->timeout_ms = timeout_ms;
}

FdNames *migration_fds(Migration *migration)
{
    return migration->fds;
}

/* ---- life ---- */

Migration *migration_new(Machine *machine, bool stopped)
{
    Migration *migration = g_new0(Migration, 1);

    migration->machine = machine;
    migration->run = stopped ? RUN_PRELAUNCH : RUN_RUNNING;
    migration->autostart = !stopped;
    migration->timeout_ms = TIMEOUT_DEFAULT_MS;
    migration->line = g_string_new(NULL);
    migration->fds = fd_names_new();
    return migration;
}

void migration_free(Migration *migration)
{
    if (!migration) {
        return;
    }
    clean_up(migration);
    fd_names_free(migration->fds);
    g_string_free(migration->line, TRUE);
    g_free(migration->failure);
    g_free(migration);
}

void migration_watch_events(Migration *migration, void (*event)(void *opaque, const char *event),
                            void *opaque)
{
    migration->event = event;
    migration->event_opaque = opaque;
}

void migration_watch_run(Migration *migration, void (*changed)(void *opaque, bool runs),
                         void *opaque)
{
    migration->run_changed = changed;
    migration->run_opaque = opaque;
}

void migration_watch_failure(Migration *migration,
                             void (*failed)(void *opaque, const GError *error), void *opaque)
{
    migration->failed = failed;
    migration->failed_opaque = opaque;
}
