/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Greeting, capabilities negotiation, one function per command, events; see qmp.h. The texts are
 * those by which clients of QEMU 7.2 tell errors apart.
 */
#include "qmp.h"
#include "keyval.h"
#include "qmp-migration.h"
#include "qmp-snapshot.h"
#include "qmp-statistics.h"

#include <json-glib/json-glib.h>
#include <string.h>

/* The QEMU whose behaviour the machine is held to; clients look at it to choose their words. */
#define QEMU_MAJOR 7
#define QEMU_MINOR 2
#define QEMU_MICRO 0

typedef struct Monitor {
    Qmp *qmp;
    Channel *channel;
    bool negotiated; /* qmp_capabilities was done */
} Monitor;

struct Qmp {
    Machine *machine;
    Migration *migration;
    Snapshots *snapshots;
    Jobs *jobs;
    GPtrArray *monitors;   /* of Monitor */
    uint32_t capabilities; /* of the migration; one bit each */
    const QmpProgram *program;
    void *opaque;
};

/* Builds the value of "return". */
typedef void (*CommandFunction)(Qmp *qmp, JsonBuilder *builder);

typedef struct Command {
    const char *name;
    CommandFunction run;
} Command;

/* ---- sending ---- */

static void send_json(Monitor *monitor, JsonBuilder *builder)
{
    g_autoptr(JsonNode) node = json_builder_get_root(builder);
    g_autofree char *text = json_to_string(node, FALSE);

    channel_send(monitor->channel, text);
}

static void add_string(JsonBuilder *builder, const char *name, const char *value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_string_value(builder, value);
}

static void add_int(JsonBuilder *builder, const char *name, gint64 value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_int_value(builder, value);
}

static void add_bool(JsonBuilder *builder, const char *name, bool value)
{
    json_builder_set_member_name(builder, name);
    json_builder_add_boolean_value(builder, value);
}

/* The id of a request comes back with its answer, whatever it is. */
static void add_id(JsonBuilder *builder, JsonObject *request)
{
    JsonNode *id = request ? json_object_get_member(request, "id") : NULL;

    if (id) {
        json_builder_set_member_name(builder, "id");
        json_builder_add_value(builder, json_node_copy(id));
    }
}

G_GNUC_PRINTF(4, 5)
static void send_error(Monitor *monitor, JsonObject *request, const char *class, const char *format,
                       ...)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "error");
    json_builder_begin_object(builder);
    add_string(builder, "class", class);
    add_string(builder, "desc", text);
    json_builder_end_object(builder);
    add_id(builder, request);
    json_builder_end_object(builder);
    send_json(monitor, builder);
}

static JsonBuilder *event_new(const char *event)
{
    JsonBuilder *builder = json_builder_new();
    gint64 now = g_get_real_time();

    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "timestamp");
    json_builder_begin_object(builder);
    add_int(builder, "seconds", now / G_USEC_PER_SEC);
    add_int(builder, "microseconds", now % G_USEC_PER_SEC);
    json_builder_end_object(builder);
    add_string(builder, "event", event);
    json_builder_set_member_name(builder, "data");
    json_builder_begin_object(builder);
    return builder;
}

/* With the data added that the event has. */
static void event_send(Qmp *qmp, JsonBuilder *builder)
{
    json_builder_end_object(builder);
    json_builder_end_object(builder);
    for (guint i = 0; i < qmp->monitors->len; i++) {
        Monitor *monitor = g_ptr_array_index(qmp->monitors, i);

        if (monitor->negotiated) {
            send_json(monitor, builder);
        }
    }
}

static void send_event(Qmp *qmp, const char *event, const char *reason)
{
    g_autoptr(JsonBuilder) builder = event_new(event);

    add_bool(builder, "guest", false);
    add_string(builder, "reason", reason);
    event_send(qmp, builder);
}

static void on_link(void *opaque, TPMBackendLink link, const char *message)
{
    Qmp *qmp = opaque;
    TPMDevice *device = machine_tpm(qmp->machine);
    g_autoptr(JsonBuilder) builder = event_new("X_TPM_LINK_CHANGED");

    if (!device) {
        return; /* it is being made: who wants to know how that went asks */
    }
    add_string(builder, "id", tpmdev_backend_get_id(tpmdev_device_get_backend(device)));
    add_string(builder, "link", tpmdev_link_name(link));
    if (message) {
        add_string(builder, "message", message);
    }
    event_send(qmp, builder);
}

/* The guest stops, goes on, or is being moved. */
static void on_migration_event(void *opaque, const char *event)
{
    Qmp *qmp = opaque;
    g_autoptr(JsonBuilder) builder = event_new(event);

    if (strcmp(event, "MIGRATION") == 0) {
        add_string(builder, "status", migration_status_name(qmp->migration));
    }
    event_send(qmp, builder);
}

static void on_job_changed(void *opaque, const Job *job)
{
    g_autoptr(JsonBuilder) builder = event_new("JOB_STATUS_CHANGE");

    add_string(builder, "status", job_status_name(job->status));
    add_string(builder, "id", job->id);
    event_send(opaque, builder);
}

void qmp_announce_shutdown(Qmp *qmp, const char *reason)
{
    send_event(qmp, "SHUTDOWN", reason);
}

/* ---- commands ---- */

static void add_version(JsonBuilder *builder)
{
    g_autofree char *package = g_strdup_printf("libtpmdev %s", tpmdev_version_string());

    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "qemu");
    json_builder_begin_object(builder);
    add_int(builder, "micro", QEMU_MICRO);
    add_int(builder, "minor", QEMU_MINOR);
    add_int(builder, "major", QEMU_MAJOR);
    json_builder_end_object(builder);
    add_string(builder, "package", package);
    json_builder_end_object(builder);
}

static void on_query_version(Qmp *qmp, JsonBuilder *builder)
{
    (void)qmp;
    add_version(builder);
}

static void on_query_status(Qmp *qmp, JsonBuilder *builder)
{
    json_builder_begin_object(builder);
    add_string(builder, "status", migration_run_status_name(qmp->migration));
    add_bool(builder, "singlestep", false);
    add_bool(builder, "running", migration_run_status(qmp->migration) == RUN_RUNNING);
    json_builder_end_object(builder);
}

static void add_tpmdev_option(void *opaque, const char *name, const char *value)
{
    if (strcmp(name, "type") != 0 && strcmp(name, "id") != 0) {
        add_string(opaque, name, value);
    }
}

/* QEMU's schema has a name for the registers, and none for the bus they are on. */
static const char *schema_model(const TPMDevice *device)
{
    switch (tpmdev_device_get_interface(device)) {
    case TPM_INTERFACE_CRB:
    case TPM_INTERFACE_SPAPR:
        return tpmdev_device_get_model(device);
    case TPM_INTERFACE_TIS:
    case TPM_INTERFACE_TIS_SYSBUS:
    case TPM_INTERFACE_TIS_I2C:
    case TPM_INTERFACE_TIS_SPI:
        break;
    }
    return "tpm-tis";
}

static void on_query_tpm(Qmp *qmp, JsonBuilder *builder)
{
    TPMDevice *device = machine_tpm(qmp->machine);

    json_builder_begin_array(builder);
    if (device) {
        TPMBackend *backend = tpmdev_device_get_backend(device);
        g_autoptr(KeyVal) options =
            keyval_parse(machine_tpmdev_options(qmp->machine), "type", NULL);

        json_builder_begin_object(builder);
        add_string(builder, "model", schema_model(device));
        json_builder_set_member_name(builder, "options");
        json_builder_begin_object(builder);
        add_string(builder, "type", tpmdev_backend_get_type(backend));
        json_builder_set_member_name(builder, "data");
        json_builder_begin_object(builder);
        if (options) {
            keyval_foreach(options, add_tpmdev_option, builder);
        }
        json_builder_end_object(builder);
        json_builder_end_object(builder);
        add_string(builder, "id", tpmdev_backend_get_id(backend));
        json_builder_end_object(builder);
    }
    json_builder_end_array(builder);
}

static void add_strings(JsonBuilder *builder, const char *const *strings)
{
    json_builder_begin_array(builder);
    for (; *strings; strings++) {
        json_builder_add_string_value(builder, *strings);
    }
    json_builder_end_array(builder);
}

static void on_query_tpm_models(Qmp *qmp, JsonBuilder *builder)
{
    static const char *const models[] = { "tpm-tis", "tpm-crb", NULL };
    static const char *const papr_models[] = { "tpm-spapr", NULL };

    add_strings(builder, machine_arch(qmp->machine)->has_papr ? papr_models : models);
}

static void on_query_tpm_types(Qmp *qmp, JsonBuilder *builder)
{
    g_autofree const char **types = tpmdev_backend_get_types();

    (void)qmp;
    add_strings(builder, types);
}

static void on_query_tpm_stats(Qmp *qmp, JsonBuilder *builder)
{
    TPMDevice *device = machine_tpm(qmp->machine);

    json_builder_begin_array(builder);
    if (device) {
        qmp_add_tpm_statistics(builder, device);
    }
    json_builder_end_array(builder);
}

void qmp_reset(Qmp *qmp)
{
    machine_reset(qmp->machine);
    send_event(qmp, "RESET", "host-qmp-system-reset");
}

void qmp_quit(Qmp *qmp)
{
    qmp->program->quit(qmp->opaque);
}

bool qmp_add_chardev(Qmp *qmp, const char *text, GError **error)
{
    return qmp->program->add_chardev(qmp->opaque, text, error);
}

bool qmp_add_object(Qmp *qmp, const char *text, GError **error)
{
    return qmp->program->add_object(qmp->opaque, text, error);
}

Migration *qmp_migration(Qmp *qmp)
{
    return qmp->migration;
}

Snapshots *qmp_snapshots(Qmp *qmp)
{
    return qmp->snapshots;
}

Jobs *qmp_jobs(Qmp *qmp)
{
    return qmp->jobs;
}

uint32_t *qmp_capability_bits(Qmp *qmp)
{
    return &qmp->capabilities;
}

bool qmp_migrate_incoming(Qmp *qmp, const char *uri, GError **error)
{
    if (migration_run_status(qmp->migration) != RUN_INMIGRATE) {
        g_set_error(error, MACHINE_ERROR, 0, "'-incoming' was not specified on the command line");
        return false;
    }
    return migration_incoming(qmp->migration, uri, error);
}

static void on_system_reset(Qmp *qmp, JsonBuilder *builder)
{
    qmp_reset(qmp);
    json_builder_begin_object(builder);
    json_builder_end_object(builder);
}

static void on_quit(Qmp *qmp, JsonBuilder *builder)
{
    qmp_quit(qmp);
    json_builder_begin_object(builder);
    json_builder_end_object(builder);
}

/* Only its answer outside of negotiation stands here; within it is on_negotiation()'s. */
static const char capabilities_command[] = "qmp_capabilities";

static void on_query_commands(Qmp *qmp, JsonBuilder *builder);

static const Command commands[] = {
    { "query-commands", on_query_commands },
    { "query-status", on_query_status },
    { "query-tpm", on_query_tpm },
    { "query-tpm-models", on_query_tpm_models },
    { "query-tpm-types", on_query_tpm_types },
    { "query-version", on_query_version },
    { "quit", on_quit },
    { "system_reset", on_system_reset },
    { "x-query-tpm-stats", on_query_tpm_stats },
};

/* Those that take arguments. */
static const ArgumentsCommand *const tables[] = { qmp_arguments_commands, qmp_snapshot_commands };

static void add_command(JsonBuilder *builder, const char *name)
{
    json_builder_begin_object(builder);
    add_string(builder, "name", name);
    json_builder_end_object(builder);
}

static void on_query_commands(Qmp *qmp, JsonBuilder *builder)
{
    (void)qmp;
    json_builder_begin_array(builder);
    add_command(builder, capabilities_command);
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        add_command(builder, commands[i].name);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(tables); i++) {
        for (const ArgumentsCommand *command = tables[i]; command->name; command++) {
            add_command(builder, command->name);
        }
    }
    json_builder_end_array(builder);
}

/* ---- requests ---- */

static void run_command(Monitor *monitor, JsonObject *request, CommandFunction run)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();

    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "return");
    run(monitor->qmp, builder);
    add_id(builder, request);
    json_builder_end_object(builder);
    send_json(monitor, builder);
}

static void add_nothing(Qmp *qmp, JsonBuilder *builder)
{
    (void)qmp;
    json_builder_begin_object(builder);
    json_builder_end_object(builder);
}

static CommandFunction find_command(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return commands[i].run;
        }
    }
    return NULL;
}

/* The argument that was given though no command takes any, or NULL. */
static const char *unexpected_argument(JsonObject *request)
{
    JsonNode *arguments = json_object_get_member(request, "arguments");
    g_autoptr(GList) names =
        arguments ? json_object_get_members(json_node_get_object(arguments)) : NULL;

    return names ? names->data : NULL;
}

static const ArgumentsCommand *find_arguments_command(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(tables); i++) {
        for (const ArgumentsCommand *command = tables[i]; command->name; command++) {
            if (strcmp(command->name, name) == 0) {
                return command;
            }
        }
    }
    return NULL;
}

static void run_arguments_command(Monitor *monitor, JsonObject *request,
                                  const ArgumentsCommand *command)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    g_autoptr(JsonObject) none = json_object_new();
    g_autoptr(GError) error = NULL;
    JsonObject *arguments = json_object_has_member(request, "arguments")
                                ? json_object_get_object_member(request, "arguments")
                                : none;

    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "return");
    if (!qmp_check_arguments(command, arguments, &error) ||
        !command->run(monitor->qmp, monitor->channel, arguments, builder, &error)) {
        send_error(monitor, request, "GenericError", "%s", error->message);
        return;
    }
    add_id(builder, request);
    json_builder_end_object(builder);
    send_json(monitor, builder);
}

static void dispatch(Monitor *monitor, JsonObject *request, const char *name)
{
    if (strcmp(name, capabilities_command) == 0 && !monitor->negotiated) {
        monitor->negotiated = true;
        run_command(monitor, request, add_nothing);
        return;
    }
    if (strcmp(name, capabilities_command) == 0) {
        send_error(monitor, request, "CommandNotFound",
                   "Capabilities negotiation is already complete, command ignored");
        return;
    }
    if (!monitor->negotiated) {
        send_error(monitor, request, "CommandNotFound",
                   "Expecting capabilities negotiation with 'qmp_capabilities'");
        return;
    }
    CommandFunction run = find_command(name);
    const ArgumentsCommand *with_arguments = find_arguments_command(name);
    const char *unexpected = unexpected_argument(request);

    if (with_arguments) {
        run_arguments_command(monitor, request, with_arguments);
    } else if (!run) {
        send_error(monitor, request, "CommandNotFound", "The command %s has not been found", name);
    } else if (unexpected) {
        send_error(monitor, request, "GenericError", "Parameter '%s' is unexpected", unexpected);
    } else {
        run_command(monitor, request, run);
    }
}

/* What is wrong with the shape of a request, or NULL. */
static char *request_fault(JsonObject *request)
{
    g_autoptr(GList) names = json_object_get_members(request);

    for (GList *at = names; at; at = at->next) {
        const char *name = at->data;
        JsonNode *value = json_object_get_member(request, name);

        if (strcmp(name, "execute") == 0) {
            if (json_node_get_value_type(value) != G_TYPE_STRING) {
                return g_strdup("QMP input member 'execute' must be a string");
            }
        } else if (strcmp(name, "arguments") == 0) {
            if (!JSON_NODE_HOLDS_OBJECT(value)) {
                return g_strdup("QMP input member 'arguments' must be an object");
            }
        } else if (strcmp(name, "id") != 0) {
            return g_strdup_printf("QMP input member '%s' is unexpected", name);
        }
    }
    return json_object_has_member(request, "execute")
               ? NULL
               : g_strdup("QMP input lacks member 'execute'");
}

static void on_line(void *opaque, char *line)
{
    Monitor *monitor = opaque;
    g_autoptr(JsonParser) parser = json_parser_new();
    g_autoptr(GError) error = NULL;

    if (!*line) {
        return;
    }
    if (!json_parser_load_from_data(parser, line, -1, &error)) {
        send_error(monitor, NULL, "GenericError", "JSON parse error, %s", error->message);
        return;
    }
    JsonNode *root = json_parser_get_root(parser);

    if (!root || !JSON_NODE_HOLDS_OBJECT(root)) {
        send_error(monitor, NULL, "GenericError", "QMP input must be a JSON object");
        return;
    }
    JsonObject *request = json_node_get_object(root);
    g_autofree char *fault = request_fault(request);

    if (fault) {
        send_error(monitor, request, "GenericError", "%s", fault);
        return;
    }
    dispatch(monitor, request, json_object_get_string_member(request, "execute"));
}

/* ---- life ---- */

static void on_opened(void *opaque)
{
    Monitor *monitor = opaque;
    g_autoptr(JsonBuilder) builder = json_builder_new();

    monitor->negotiated = false;
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "QMP");
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "version");
    add_version(builder);
    json_builder_set_member_name(builder, "capabilities");
    json_builder_begin_array(builder);
    json_builder_end_array(builder);
    json_builder_end_object(builder);
    json_builder_end_object(builder);
    send_json(monitor, builder);
}

/* The machine outlives its monitors. */
static void on_closed(void *opaque)
{
    Monitor *monitor = opaque;

    monitor->negotiated = false;
}

static const ChannelHandler handler = { on_opened, on_line, on_closed };

static void monitor_free(gpointer data)
{
    Monitor *monitor = data;

    channel_free(monitor->channel);
    g_free(monitor);
}

Qmp *qmp_new(Machine *machine, Migration *migration, Snapshots *snapshots,
             const QmpProgram *program, void *opaque)
{
    Qmp *qmp = g_new0(Qmp, 1);

    qmp->machine = machine;
    qmp->migration = migration;
    qmp->snapshots = snapshots;
    qmp->jobs = jobs_new(machine, migration, snapshots, on_job_changed, qmp);
    qmp->program = program;
    qmp->opaque = opaque;
    qmp->monitors = g_ptr_array_new_with_free_func(monitor_free);
    machine_watch_link(machine, on_link, qmp);
    migration_watch_events(migration, on_migration_event, qmp);
    return qmp;
}

bool qmp_add(Qmp *qmp, const Chardev *chardev, GError **error)
{
    Monitor *monitor = g_new0(Monitor, 1);

    monitor->qmp = qmp;
    monitor->channel = channel_open(chardev, &handler, monitor, error);
    if (!monitor->channel) {
        g_free(monitor);
        return false;
    }
    g_ptr_array_add(qmp->monitors, monitor);
    return true;
}

void qmp_free(Qmp *qmp)
{
    if (qmp) {
        machine_watch_link(qmp->machine, NULL, NULL);
        migration_watch_events(qmp->migration, NULL, NULL);
        jobs_free(qmp->jobs);
        g_ptr_array_unref(qmp->monitors);
        g_free(qmp);
    }
}
