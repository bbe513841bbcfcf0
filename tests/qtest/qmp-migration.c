/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See qmp-migration.h. Capabilities and parameters of QEMU's migration are taken as scripts send
 * them; those that would change what goes over the wire, and are not here, are refused.
 */
#include "qmp-migration.h"
#include "hmp.h"
#include "keyval.h"

#include <string.h>

#define TIMEOUT_PARAMETER "x-timeout"
#define TIMEOUT_MAX_MS    86400000

static void add_nothing(JsonBuilder *builder)
{
    json_builder_begin_object(builder);
    json_builder_end_object(builder);
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

static bool done(JsonBuilder *builder, bool good)
{
    if (good) {
        add_nothing(builder);
    }
    return good;
}

/* ---- run ---- */

static bool on_stop(Qmp *qmp, Channel *channel, JsonObject *arguments, JsonBuilder *builder,
                    GError **error)
{
    (void)channel;
    (void)arguments;
    return done(builder, migration_stop(qmp_migration(qmp), error));
}

static bool on_cont(Qmp *qmp, Channel *channel, JsonObject *arguments, JsonBuilder *builder,
                    GError **error)
{
    (void)channel;
    (void)arguments;
    return done(builder, migration_cont(qmp_migration(qmp), error));
}

static bool on_human_monitor_command(Qmp *qmp, Channel *channel, JsonObject *arguments,
                                     JsonBuilder *builder, GError **error)
{
    bool synchronous;
    g_autofree char *output =
        hmp_run(qmp, json_object_get_string_member(arguments, "command-line"), &synchronous);

    (void)channel;
    (void)error;
    json_builder_add_string_value(builder, output); /* with \n, where QEMU has \r\n */
    return true;
}

/* ---- migration ---- */

static bool on_migrate(Qmp *qmp, Channel *channel, JsonObject *arguments, JsonBuilder *builder,
                       GError **error)
{
    (void)channel;
    return done(builder, migration_start(qmp_migration(qmp),
                                         json_object_get_string_member(arguments, "uri"), error));
}

static bool on_migrate_cancel(Qmp *qmp, Channel *channel, JsonObject *arguments,
                              JsonBuilder *builder, GError **error)
{
    (void)channel;
    (void)arguments;
    (void)error;
    migration_cancel(qmp_migration(qmp));
    return done(builder, true);
}

static bool on_migrate_incoming(Qmp *qmp, Channel *channel, JsonObject *arguments,
                                JsonBuilder *builder, GError **error)
{
    (void)channel;
    return done(builder,
                qmp_migrate_incoming(qmp, json_object_get_string_member(arguments, "uri"), error));
}

static void add_port(JsonBuilder *builder, unsigned port)
{
    g_autofree char *text = g_strdup_printf("%u", port);

    json_builder_set_member_name(builder, "socket-address");
    json_builder_begin_array(builder);
    json_builder_begin_object(builder);
    add_string(builder, "type", "inet");
    add_string(builder, "host", "");
    add_string(builder, "port", text);
    json_builder_end_object(builder);
    json_builder_end_array(builder);
}

/* Unlike QEMU's it has a status at every moment, so that either side can be asked. */
static bool on_query_migrate(Qmp *qmp, Channel *channel, JsonObject *arguments,
                             JsonBuilder *builder, GError **error)
{
    const Migration *migration = qmp_migration(qmp);

    (void)channel;
    (void)arguments;
    (void)error;
    json_builder_begin_object(builder);
    add_string(builder, "status", migration_status_name(migration));
    if (migration_failure(migration)) {
        add_string(builder, "error-desc", migration_failure(migration));
    }
    if (migration_port(migration)) {
        add_port(builder, migration_port(migration));
    }
    json_builder_set_member_name(builder, "ram");
    json_builder_begin_object(builder);
    add_int(builder, "transferred", (gint64)migration_moved(migration));
    add_int(builder, "remaining", 0);
    json_builder_end_object(builder);
    json_builder_end_object(builder);
    return true;
}

/* ---- capabilities ---- */

static const struct {
    const char *name;
    bool has_effect; /* on what goes over the wire, so it cannot be on */
} capabilities[] = {
    { "auto-converge", false },
    { "background-snapshot", true },
    { "block", true },
    { "compress", false },
    { "dirty-bitmaps", true },
    { "dirty-limit", false },
    { "events", false },
    { "late-block-activate", false },
    { "mapped-ram", true },
    { "multifd", true },
    { "pause-before-switchover", true },
    { "postcopy-blocktime", false },
    { "postcopy-preempt", true },
    { "postcopy-ram", true },
    { "rdma-pin-all", false },
    { "release-ram", false },
    { "return-path", false },
    { "switchover-ack", false },
    { "validate-uuid", true },
    { "x-colo", true },
    { "x-ignore-shared", true },
    { "xbzrle", false },
    { "zero-blocks", false },
    { "zero-copy-send", false },
};

static gsize find_capability(const char *name)
{
    gsize i = 0;

    while (i < G_N_ELEMENTS(capabilities) && strcmp(capabilities[i].name, name) != 0) {
        i++;
    }
    return i;
}

/* The name of one that may be set so; NULL with error set else. */
static bool check_capability(JsonNode *node, gsize *found, bool *state, GError **error)
{
    JsonObject *object = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
    const char *name =
        object ? json_object_get_string_member_with_default(object, "capability", NULL) : NULL;

    if (!name || !json_object_has_member(object, "state")) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "Parameter 'capabilities' expects objects with 'capability' and 'state'");
        return false;
    }
    *found = find_capability(name);
    *state = json_object_get_boolean_member_with_default(object, "state", FALSE);
    if (*found == G_N_ELEMENTS(capabilities)) {
        g_set_error(error, MACHINE_ERROR, 0, "Parameter 'capability' does not accept value '%s'",
                    name);
        return false;
    }
    if (*state && capabilities[*found].has_effect) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "Capability '%s' is not there: the guest is sent in one piece", name);
        return false;
    }
    return true;
}

static bool on_set_capabilities(Qmp *qmp, Channel *channel, JsonObject *arguments,
                                JsonBuilder *builder, GError **error)
{
    JsonNode *member = json_object_get_member(arguments, "capabilities");
    uint32_t on = *qmp_capability_bits(qmp);

    (void)channel;
    if (!member || !JSON_NODE_HOLDS_ARRAY(member)) {
        g_set_error(error, MACHINE_ERROR, 0, "Parameter 'capabilities' is missing");
        return false;
    }
    JsonArray *array = json_node_get_array(member);

    for (guint i = 0; i < json_array_get_length(array); i++) {
        gsize found;
        bool state;

        if (!check_capability(json_array_get_element(array, i), &found, &state, error)) {
            return false;
        }
        on = state ? on | 1u << found : on & ~(1u << found);
    }
    *qmp_capability_bits(qmp) = on;
    return done(builder, true);
}

static bool on_query_capabilities(Qmp *qmp, Channel *channel, JsonObject *arguments,
                                  JsonBuilder *builder, GError **error)
{
    (void)channel;
    (void)arguments;
    (void)error;
    json_builder_begin_array(builder);
    for (gsize i = 0; i < G_N_ELEMENTS(capabilities); i++) {
        json_builder_begin_object(builder);
        add_string(builder, "capability", capabilities[i].name);
        json_builder_set_member_name(builder, "state");
        json_builder_add_boolean_value(builder, *qmp_capability_bits(qmp) >> i & 1);
        json_builder_end_object(builder);
    }
    json_builder_end_array(builder);
    return true;
}

/* ---- parameters ---- */

/* Those of QEMU that say how fast; here everything goes as fast as it can. */
static const char *const ignored_parameters[] = { "announce-initial",
                                                  "announce-max",
                                                  "announce-rounds",
                                                  "announce-step",
                                                  "avail-switchover-bandwidth",
                                                  "compress-level",
                                                  "compress-threads",
                                                  "compress-wait-thread",
                                                  "cpu-throttle-increment",
                                                  "cpu-throttle-initial",
                                                  "cpu-throttle-tailslow",
                                                  "decompress-threads",
                                                  "downtime-limit",
                                                  "max-bandwidth",
                                                  "max-cpu-throttle",
                                                  "max-postcopy-bandwidth",
                                                  "multifd-channels",
                                                  "throttle-trigger-threshold",
                                                  "x-checkpoint-delay",
                                                  "xbzrle-cache-size",
                                                  NULL };

static bool on_set_parameters(Qmp *qmp, Channel *channel, JsonObject *arguments,
                              JsonBuilder *builder, GError **error)
{
    gint64 timeout = json_object_get_int_member_with_default(arguments, TIMEOUT_PARAMETER,
                                                             migration_timeout(qmp_migration(qmp)));
    g_autoptr(GList) names = json_object_get_members(arguments);

    (void)channel;
    for (GList *at = names; at; at = at->next) {
        const char *name = at->data;

        if (strcmp(name, TIMEOUT_PARAMETER) != 0 && !g_strv_contains(ignored_parameters, name)) {
            g_set_error(error, MACHINE_ERROR, 0, "Parameter '%s' is unexpected", name);
            return false;
        }
    }
    if (timeout < 1 || timeout > TIMEOUT_MAX_MS) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "Parameter '" TIMEOUT_PARAMETER "' expects milliseconds from 1 to %d",
                    TIMEOUT_MAX_MS);
        return false;
    }
    migration_set_timeout(qmp_migration(qmp), timeout);
    return done(builder, true);
}

static bool on_query_parameters(Qmp *qmp, Channel *channel, JsonObject *arguments,
                                JsonBuilder *builder, GError **error)
{
    (void)channel;
    (void)arguments;
    (void)error;
    json_builder_begin_object(builder);
    add_int(builder, TIMEOUT_PARAMETER, migration_timeout(qmp_migration(qmp)));
    json_builder_end_object(builder);
    return true;
}

/* ---- descriptors ---- */

static bool on_getfd(Qmp *qmp, Channel *channel, JsonObject *arguments, JsonBuilder *builder,
                     GError **error)
{
    const char *name = json_object_get_string_member(arguments, "fdname");

    if (g_ascii_isdigit(*name)) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "Parameter 'fdname' expects a name not starting with a digit");
        return false;
    }
    int fd = channel_take_fd(channel);

    if (fd < 0) {
        g_set_error(error, MACHINE_ERROR, 0, "No file descriptor supplied via SCM_RIGHTS");
        return false;
    }
    fd_names_add(migration_fds(qmp_migration(qmp)), name, fd);
    return done(builder, true);
}

static bool on_closefd(Qmp *qmp, Channel *channel, JsonObject *arguments, JsonBuilder *builder,
                       GError **error)
{
    const char *name = json_object_get_string_member(arguments, "fdname");

    (void)channel;
    if (!fd_names_close(migration_fds(qmp_migration(qmp)), name)) {
        g_set_error(error, MACHINE_ERROR, 0, "File descriptor named '%s' not found", name);
        return false;
    }
    return done(builder, true);
}

/* ---- all of them ---- */

static const char *const no_others[] = { NULL };
static const char *const of_migrate[] = { "detach", "blk", "inc", "resume", NULL };
static const char *const of_incoming[] = { "exit-on-error", NULL };
static const char *const of_line[] = { "cpu-index", NULL };
static const char *const of_capabilities[] = { "capabilities", NULL };

const ArgumentsCommand qmp_arguments_commands[] = {
    { "closefd", on_closefd, "fdname", no_others },
    { "cont", on_cont, NULL, no_others },
    { "getfd", on_getfd, "fdname", no_others },
    { "human-monitor-command", on_human_monitor_command, "command-line", of_line },
    { "migrate", on_migrate, "uri", of_migrate },
    { "migrate-incoming", on_migrate_incoming, "uri", of_incoming },
    { "migrate-set-capabilities", on_set_capabilities, NULL, of_capabilities },
    { "migrate-set-parameters", on_set_parameters, NULL, NULL },
    { "migrate_cancel", on_migrate_cancel, NULL, no_others },
    { "query-migrate", on_query_migrate, NULL, no_others },
    { "query-migrate-capabilities", on_query_capabilities, NULL, no_others },
    { "query-migrate-parameters", on_query_parameters, NULL, no_others },
    { "stop", on_stop, NULL, no_others },
    { NULL, NULL, NULL, NULL },
};

bool qmp_check_arguments(const ArgumentsCommand *command, JsonObject *arguments, GError **error)
{
    const char *required = command->required;
    JsonNode *value = required ? json_object_get_member(arguments, required) : NULL;
    g_autoptr(GList) names = json_object_get_members(arguments);

    if (required && (!value || json_node_get_value_type(value) != G_TYPE_STRING)) {
        g_set_error(error, MACHINE_ERROR, 0,
                    value ? "Invalid parameter type for '%s', expected: string"
                          : "Parameter '%s' is missing",
                    required);
        return false;
    }
    for (GList *at = names; at && command->optional; at = at->next) {
        if (g_strcmp0(at->data, required) != 0 && !g_strv_contains(command->optional, at->data)) {
            g_set_error(error, MACHINE_ERROR, 0, "Parameter '%s' is unexpected",
                        (const char *)at->data);
            return false;
        }
    }
    return true;
}
