/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * See qmp-snapshot.h. QEMU keeps a snapshot in disk images, and its commands say in which; here
 * they may name any, for there are none, and it is a file of its own.
 */
#include "qmp-snapshot.h"
#include "jobs.h"
#include "keyval.h"

static bool done(JsonBuilder *builder, bool good)
{
    if (good) {
        json_builder_begin_object(builder);
        json_builder_end_object(builder);
    }
    return good;
}

/* ---- jobs ---- */

/* A string that must be there; NULL with error set when it is not. */
static const char *get_string(JsonObject *arguments, const char *name, GError **error)
{
    JsonNode *node = json_object_get_member(arguments, name);

    if (!node || json_node_get_value_type(node) != G_TYPE_STRING) {
        g_set_error(error, MACHINE_ERROR, 0,
                    node ? "Invalid parameter type for '%s', expected: string"
                         : "Parameter '%s' is missing",
                    name);
        return NULL;
    }
    return json_node_get_string(node);
}

/* The strings of the array `devices`. */
static char **get_devices(JsonObject *arguments, GError **error)
{
    JsonNode *node = json_object_get_member(arguments, "devices");
    g_autoptr(GPtrArray) devices = g_ptr_array_new_with_free_func(g_free);

    if (!node || !JSON_NODE_HOLDS_ARRAY(node)) {
        g_set_error(error, MACHINE_ERROR, 0,
                    node ? "Invalid parameter type for 'devices', expected: array"
                         : "Parameter 'devices' is missing");
        return NULL;
    }
    JsonArray *array = json_node_get_array(node);

    for (guint i = 0; i < json_array_get_length(array); i++) {
        JsonNode *element = json_array_get_element(array, i);

        if (json_node_get_value_type(element) != G_TYPE_STRING) {
            g_set_error(error, MACHINE_ERROR, 0,
                        "Invalid parameter type for 'devices[%u]', expected: string", i);
            return NULL;
        }
        g_ptr_array_add(devices, g_strdup(json_node_get_string(element)));
    }
    g_ptr_array_add(devices, NULL);
    return (char **)g_ptr_array_steal(devices, NULL);
}

static bool start(Qmp *qmp, JobType type, JsonObject *arguments, JsonBuilder *builder,
                  GError **error)
{
    const char *tag = get_string(arguments, "tag", error);
    bool has_vmstate = type != JOB_SNAPSHOT_DELETE;
    const char *vmstate = tag && has_vmstate ? get_string(arguments, "vmstate", error) : NULL;

    if (!tag || (has_vmstate && !vmstate)) {
        return false;
    }
    g_auto(GStrv) devices = get_devices(arguments, error);

    return devices && done(builder, jobs_start(qmp_jobs(qmp), type,
                                               json_object_get_string_member(arguments, "job-id"),
                                               tag, vmstate, (const char *const *)devices, error));
}

static bool on_snapshot_save(Qmp *qmp, Channel *channel, JsonObject *arguments,
                             JsonBuilder *builder, GError **error)
{
    (void)channel;
    return start(qmp, JOB_SNAPSHOT_SAVE, arguments, builder, error);
}

static bool on_snapshot_load(Qmp *qmp, Channel *channel, JsonObject *arguments,
                             JsonBuilder *builder, GError **error)
{
    (void)channel;
    return start(qmp, JOB_SNAPSHOT_LOAD, arguments, builder, error);
}

static bool on_snapshot_delete(Qmp *qmp, Channel *channel, JsonObject *arguments,
                               JsonBuilder *builder, GError **error)
{
    (void)channel;
    return start(qmp, JOB_SNAPSHOT_DELETE, arguments, builder, error);
}

static bool on_job_cancel(Qmp *qmp, Channel *channel, JsonObject *arguments, JsonBuilder *builder,
                          GError **error)
{
    (void)channel;
    return done(builder,
                jobs_cancel(qmp_jobs(qmp), json_object_get_string_member(arguments, "id"), error));
}

static bool on_job_dismiss(Qmp *qmp, Channel *channel, JsonObject *arguments, JsonBuilder *builder,
                           GError **error)
{
    (void)channel;
    return done(builder,
                jobs_dismiss(qmp_jobs(qmp), json_object_get_string_member(arguments, "id"), error));
}

static void add_job(JsonBuilder *builder, const Job *job)
{
    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "id");
    json_builder_add_string_value(builder, job->id);
    json_builder_set_member_name(builder, "type");
    json_builder_add_string_value(builder, job_type_name(job->type));
    json_builder_set_member_name(builder, "status");
    json_builder_add_string_value(builder, job_status_name(job->status));
    json_builder_set_member_name(builder, "current-progress");
    json_builder_add_int_value(builder, job->status == JOB_CONCLUDED);
    json_builder_set_member_name(builder, "total-progress");
    json_builder_add_int_value(builder, 1);
    if (job->error) {
        json_builder_set_member_name(builder, "error");
        json_builder_add_string_value(builder, job->error);
    }
    json_builder_end_object(builder);
}

static bool on_query_jobs(Qmp *qmp, Channel *channel, JsonObject *arguments, JsonBuilder *builder,
                          GError **error)
{
    const GPtrArray *jobs = jobs_list(qmp_jobs(qmp));

    (void)channel;
    (void)arguments;
    (void)error;
    json_builder_begin_array(builder);
    for (guint i = 0; i < jobs->len; i++) {
        add_job(builder, g_ptr_array_index(jobs, i));
    }
    json_builder_end_array(builder);
    return true;
}

/* ---- at once, which QEMU has for its human monitor alone ---- */

static bool on_x_snapshot_save(Qmp *qmp, Channel *channel, JsonObject *arguments,
                               JsonBuilder *builder, GError **error)
{
    (void)channel;
    return done(builder,
                snapshot_save(qmp_snapshots(qmp), json_object_get_string_member(arguments, "name"),
                              SNAPSHOT_MAY_BE, error));
}

static bool on_x_snapshot_load(Qmp *qmp, Channel *channel, JsonObject *arguments,
                               JsonBuilder *builder, GError **error)
{
    (void)channel;
    return done(builder, snapshot_load(qmp_snapshots(qmp),
                                       json_object_get_string_member(arguments, "name"), error));
}

static bool on_x_snapshot_delete(Qmp *qmp, Channel *channel, JsonObject *arguments,
                                 JsonBuilder *builder, GError **error)
{
    (void)channel;
    return done(builder, snapshot_delete(qmp_snapshots(qmp),
                                         json_object_get_string_member(arguments, "name"),
                                         SNAPSHOT_MUST_BE, error));
}

static bool on_query_snapshots(Qmp *qmp, Channel *channel, JsonObject *arguments,
                               JsonBuilder *builder, GError **error)
{
    g_auto(GStrv) names = snapshot_list(qmp_snapshots(qmp), error);

    (void)channel;
    (void)arguments;
    if (!names) {
        return false;
    }
    json_builder_begin_array(builder);
    for (char **name = names; *name; name++) {
        json_builder_add_string_value(builder, *name);
    }
    json_builder_end_array(builder);
    return true;
}

/* ---- all of them ---- */

static const char *const no_others[] = { NULL };
static const char *const of_cancel[] = { "force", NULL };
static const char *const of_delete[] = { "tag", "devices", NULL };
static const char *const of_save[] = { "tag", "vmstate", "devices", NULL };

const ArgumentsCommand qmp_snapshot_commands[] = {
    { "job-cancel", on_job_cancel, "id", of_cancel },
    { "job-dismiss", on_job_dismiss, "id", no_others },
    { "query-jobs", on_query_jobs, NULL, no_others },
    { "snapshot-delete", on_snapshot_delete, "job-id", of_delete },
    { "snapshot-load", on_snapshot_load, "job-id", of_save },
    { "snapshot-save", on_snapshot_save, "job-id", of_save },
    { "x-query-snapshots", on_query_snapshots, NULL, no_others },
    { "x-snapshot-delete", on_x_snapshot_delete, "name", no_others },
    { "x-snapshot-load", on_x_snapshot_load, "name", no_others },
    { "x-snapshot-save", on_x_snapshot_save, "name", no_others },
    { NULL, NULL, NULL, NULL },
};
