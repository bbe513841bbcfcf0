/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Starting a program as a child that has nothing of this process but what it is given, and that
 * does not outlive it.
 *
 * Used by swtpm-child.c, on its thread.
 */
#ifndef SWTPM_SPAWN_H
#define SWTPM_SPAWN_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* The descriptor by which the child knows `channel_fd`; of others it has 0, 1 and 2. */
#define SWTPM_CHILD_CHANNEL_FD 3

typedef struct SwtpmSpawn {
    char **argv; /* argv[0] is the path of the program */
    char **environment;
    int directory_fd; /* where it runs */
    int channel_fd;   /* its end of the control channel */
    int output_fd;    /* what it prints */
} SwtpmSpawn;

typedef struct SwtpmSpawned {
    pid_t pid;
    int pid_fd; /* readable when it has ended; it is signalled and waited for by this alone */
} SwtpmSpawned;

/* Can a child be watched and signalled here, without mistaking another process for it? */
bool tpm_swtpm_spawn_is_possible(GError **error);

/*
 * Start the program; false with error set when it does not come to run. It is killed when the
 * thread that calls this ends, so that must live longer. Waits until the program is loaded.
 */
bool tpm_swtpm_spawn(const SwtpmSpawn *spawn, SwtpmSpawned *spawned, GError **error);

#endif /* SWTPM_SPAWN_H */
