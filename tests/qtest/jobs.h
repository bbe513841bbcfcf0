/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * QEMU's background jobs, of which there are those on snapshots here, and their states:
 *
 *     created ─► running ─► waiting ─► pending ─► concluded ─► null
 *                      └───► aborting ───────────────┘
 *
 * A job waits for the end of a command that the TPM carries out, and monitors are served meanwhile.
 * It is concluded with an error or without, and there until it is dismissed.
 *
 * qmp-snapshot.c asks for them; snapshot.c does what they are for.
 */
#ifndef TESTS_QTEST_JOBS_H
#define TESTS_QTEST_JOBS_H

#include "snapshot.h"

typedef enum JobType {
    JOB_SNAPSHOT_DELETE,
    JOB_SNAPSHOT_LOAD,
    JOB_SNAPSHOT_SAVE,
} JobType;

typedef enum JobStatus {
    JOB_CREATED,
    JOB_RUNNING,
    JOB_WAITING,
    JOB_PENDING,
    JOB_ABORTING,
    JOB_CONCLUDED,
    JOB_NULL, /* is about to be gone */
} JobStatus;

typedef struct Jobs Jobs;

typedef struct Job {
    Jobs *jobs;
    JobType type;
    JobStatus status;
    char *id;
    char *tag;       /* the snapshot's name */
    char *vmstate;   /* which of the devices is to have it; NULL where nothing is saved or loaded */
    char **devices;  /* block devices, of which this machine has any that is named */
    char *error;     /* why it was aborted, or NULL */
    gint64 deadline; /* of waiting for the TPM */
    guint source;    /* on the main loop, while it runs */
} Job;

/* The names, which are QEMU's. */
const char *job_type_name(JobType type);
const char *job_status_name(JobStatus status);

/* changed() is called with every status a job comes to. */
Jobs *jobs_new(Machine *machine, Migration *migration, Snapshots *snapshots,
               void (*changed)(void *opaque, const Job *job), void *opaque);
void jobs_free(Jobs *jobs);

/* Begin one; what is wrong with anything but its id is the job's error. */
bool jobs_start(Jobs *jobs, JobType type, const char *id, const char *tag, const char *vmstate,
                const char *const *devices, GError **error);

/* One that runs is aborted; one that is concluded goes. Neither has any other. */
bool jobs_cancel(Jobs *jobs, const char *id, GError **error);
bool jobs_dismiss(Jobs *jobs, const char *id, GError **error);

/* All that there are, of Job, in the order in which they were begun. */
const GPtrArray *jobs_list(const Jobs *jobs);

#endif /* TESTS_QTEST_JOBS_H */
