/* SPDX-License-Identifier: BSD-3-Clause */
/* One function per step of a job; see jobs.h. The texts are QEMU's. */
#include "jobs.h"
#include "keyval.h"

#include <errno.h>
#include <string.h>

/* How often the TPM is looked at while it ends its command. */
#define POLL_MS 2

struct Jobs {
    Machine *machine;
    Migration *migration;
    Snapshots *snapshots;
    GPtrArray *list; /* of Job */
    void (*changed)(void *opaque, const Job *job);
    void *opaque;
};

/* ---- names ---- */

const char *job_type_name(JobType type)
{
    switch (type) {
    case JOB_SNAPSHOT_DELETE:
        return "snapshot-delete";
    case JOB_SNAPSHOT_LOAD:
        return "snapshot-load";
    case JOB_SNAPSHOT_SAVE:
        return "snapshot-save";
    }
    g_return_val_if_reached("");
}

const char *job_status_name(JobStatus status)
{
    switch (status) {
    case JOB_CREATED:
        return "created";
    case JOB_RUNNING:
        return "running";
    case JOB_WAITING:
        return "waiting";
    case JOB_PENDING:
        return "pending";
    case JOB_ABORTING:
        return "aborting";
    case JOB_CONCLUDED:
        return "concluded";
    case JOB_NULL:
        return "null";
    }
    g_return_val_if_reached("undefined");
}

/* A letter, and then letters, digits, '-', '.' and '_'. */
static bool is_id(const char *id)
{
    bool good = g_ascii_isalpha(*id);

    while (good && *++id) {
        good = g_ascii_isalnum(*id) || strchr("-._", *id);
    }
    return good;
}

/* ---- steps ---- */

static void set_status(Job *job, JobStatus status)
{
    job->status = status;
    job->jobs->changed(job->jobs->opaque, job);
}

static void abort_job(Job *job, const char *reason)
{
    job->error = g_strdup(reason);
    set_status(job, JOB_ABORTING);
    set_status(job, JOB_CONCLUDED);
}

static void conclude(Job *job)
{
    set_status(job, JOB_WAITING);
    set_status(job, JOB_PENDING);
    set_status(job, JOB_CONCLUDED);
}

static bool check_devices(const Job *job, GError **error)
{
    if (!*job->devices) {
        g_set_error(error, MACHINE_ERROR, 0, "At least one device is required for snapshot");
        return false;
    }
    if (job->vmstate && !g_strv_contains((const char *const *)job->devices, job->vmstate)) {
        g_set_error(error, MACHINE_ERROR, 0, "vmstate block device '%s' does not exist",
                    job->vmstate);
        return false;
    }
    return true;
}

static bool carry_out(const Job *job, GError **error)
{
    Snapshots *snapshots = job->jobs->snapshots;

    switch (job->type) {
    case JOB_SNAPSHOT_DELETE:
        return snapshot_delete(snapshots, job->tag, SNAPSHOT_MAY_BE, error);
    case JOB_SNAPSHOT_LOAD:
        return snapshot_load(snapshots, job->tag, error);
    case JOB_SNAPSHOT_SAVE:
        return snapshot_save(snapshots, job->tag, SNAPSHOT_MUST_NOT_BE, error);
    }
    g_return_val_if_reached(false);
}

static gboolean on_run(gpointer opaque)
{
    Job *job = opaque;
    g_autoptr(GError) error = NULL;
    bool busy = job->type != JOB_SNAPSHOT_DELETE && machine_tpm_is_executing(job->jobs->machine);

    if (busy && g_get_monotonic_time() < job->deadline) {
        return G_SOURCE_CONTINUE;
    }
    job->source = 0;
    if (busy) {
        abort_job(job, "the TPM carries out a command and does not end");
    } else if (check_devices(job, &error) && carry_out(job, &error)) {
        conclude(job);
    } else {
        abort_job(job, error->message);
    }
    return G_SOURCE_REMOVE;
}

/* ---- asked for ---- */

static Job *find(const Jobs *jobs, const char *id)
{
    for (guint i = 0; i < jobs->list->len; i++) {
        Job *job = g_ptr_array_index(jobs->list, i);

        if (strcmp(job->id, id) == 0) {
            return job;
        }
    }
    return NULL;
}

bool jobs_start(Jobs *jobs, JobType type, const char *id, const char *tag, const char *vmstate,
                const char *const *devices, GError **error)
{
    if (!is_id(id) || find(jobs, id)) {
        g_set_error(error, MACHINE_ERROR, 0,
                    is_id(id) ? "Job ID '%s' already in use" : "Invalid job ID '%s'", id);
        return false;
    }
    Job *job = g_new0(Job, 1);

    job->jobs = jobs;
    job->type = type;
    job->id = g_strdup(id);
    job->tag = g_strdup(tag);
    job->vmstate = g_strdup(vmstate);
    job->devices = g_strdupv((char **)devices);
    job->deadline =
        g_get_monotonic_time() + migration_timeout(jobs->migration) * G_TIME_SPAN_MILLISECOND;
    g_ptr_array_add(jobs->list, job);
    set_status(job, JOB_CREATED);
    set_status(job, JOB_RUNNING);
    job->source = g_timeout_add(POLL_MS, on_run, job);
    return true;
}

/* The job of this id if it is in that state. */
static Job *find_in(const Jobs *jobs, const char *id, JobStatus status, const char *verb,
                    GError **error)
{
    Job *job = find(jobs, id);

    if (!job) {
        g_set_error(error, MACHINE_ERROR, 0, "Job not found");
        return NULL;
    }
    if (job->status != status) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "Job '%s' in state '%s' cannot accept command verb '%s'", id,
                    job_status_name(job->status), verb);
        return NULL;
    }
    return job;
}

bool jobs_cancel(Jobs *jobs, const char *id, GError **error)
{
    Job *job = find_in(jobs, id, JOB_RUNNING, "cancel", error);

    if (job) {
        g_source_remove(job->source);
        job->source = 0;
        abort_job(job, g_strerror(ECANCELED));
    }
    return job != NULL;
}

bool jobs_dismiss(Jobs *jobs, const char *id, GError **error)
{
    Job *job = find_in(jobs, id, JOB_CONCLUDED, "dismiss", error);

    if (job) {
        set_status(job, JOB_NULL);
        g_ptr_array_remove(jobs->list, job);
    }
    return job != NULL;
}

const GPtrArray *jobs_list(const Jobs *jobs)
{
    return jobs->list;
}

/* ---- life ---- */

static void job_free(gpointer data)
{
    Job *job = data;

    if (job->source) {
        g_source_remove(job->source);
    }
    g_strfreev(job->devices);
    g_free(job->id);
    g_free(job->tag);
    g_free(job->vmstate);
    g_free(job->error);
    g_free(job);
}

Jobs *jobs_new(Machine *machine, Migration *migration, Snapshots *snapshots,
               void (*changed)(void *opaque, const Job *job), void *opaque)
{
    Jobs *jobs = g_new0(Jobs, 1);

    jobs->machine = machine;
    jobs->migration = migration;
    jobs->snapshots = snapshots;
    jobs->list = g_ptr_array_new_with_free_func(job_free);
    jobs->changed = changed;
    jobs->opaque = opaque;
    return jobs;
}

void jobs_free(Jobs *jobs)
{
    g_ptr_array_unref(jobs->list);
    g_free(jobs);
}
