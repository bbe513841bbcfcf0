/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A swtpm that is a child of ours, from its start to its end, with the control channel to it.
 *
 * It is started, listened to and waited for on the thread that is the parent of all of them
 * (io.h); everybody else only looks at what has become of it.
 *
 * Used by swtpm-launch.c.
 */
#ifndef SWTPM_CHILD_H
#define SWTPM_CHILD_H

#include <glib.h>
#include <stdbool.h>

typedef struct SwtpmChild SwtpmChild;

typedef enum SwtpmChildState {
    SWTPM_CHILD_STARTING,
    SWTPM_CHILD_RUNNING,
    SWTPM_CHILD_ENDED, /* or it never ran */
} SwtpmChildState;

/* What to start; all of it is copied, the descriptors duplicated. */
typedef struct SwtpmCommandLine {
    char **argv; /* argv[0] is a path; swtpm finds its control channel at SWTPM_CHILD_CHANNEL_FD */
    char **environment;
    int directory_fd; /* where it runs */
    int log_fd;       /* where what it prints is appended; -1 for nowhere */
} SwtpmCommandLine;

/*
 * Begin to start one, on the thread of this context of tpm_parent_acquire(), which must be kept
 * until the process has ended. Never blocks. NULL with error set when there are no descriptors.
 */
SwtpmChild *tpm_swtpm_child_new(const SwtpmCommandLine *line, GMainContext *context,
                                GError **error);

SwtpmChildState tpm_swtpm_child_get_state(SwtpmChild *child);

/* Our end of the control channel, the caller's to close: once. At its end of file is the reason. */
int tpm_swtpm_child_take_channel(SwtpmChild *child);

/* Takes its end of the data channel, in place of an earlier one: open here until it has ended. */
void tpm_swtpm_child_keep_data(SwtpmChild *child, int fd);

/* Why it has never come to run: a new error; NULL when it has, or may yet. */
GError *tpm_swtpm_child_get_failure(SwtpmChild *child);

/* How it has ended, in words that go on from "swtpm"; NULL when it has not. Free them. */
char *tpm_swtpm_child_describe_end(SwtpmChild *child);

/* Make it end at once. Never blocks. */
void tpm_swtpm_child_kill(SwtpmChild *child);

/*
 * It is about to end, or shall be made to: first it is given time, then told, then killed. Blocks
 * for a bounded time; false when the kernel does not let go of it.
 */
bool tpm_swtpm_child_end(SwtpmChild *child);

/* Forget it; it must have ended, or it is left to the thread. */
void tpm_swtpm_child_free(SwtpmChild *child);

#endif /* SWTPM_CHILD_H */
