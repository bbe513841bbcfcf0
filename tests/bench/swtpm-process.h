/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A swtpm of the benchmark's own, and the barest client it can have: blocking sockets, no checks.
 * What that client takes is what no device can be faster than.
 */
#ifndef SWTPM_PROCESS_H
#define SWTPM_PROCESS_H

#include "bench.h"

#include <sys/types.h>

typedef struct SwtpmProcess {
    pid_t pid;
    char *path; /* of its control socket */
} SwtpmProcess;

/* Is there a swtpm to run? */
bool swtpm_is_installed(void);

/* Start one with its state in directory/name. It ends with the process that started it. */
bool swtpm_start(SwtpmProcess *swtpm, const char *directory, const char *name);
void swtpm_end(SwtpmProcess *swtpm);

typedef struct BareClient {
    int control_fd;
    int data_fd;
    bool spin; /* look for the response without sleeping, as a device that lingers does */
} BareClient;

/* Connect, hand over the data channel, INIT and Startup. */
bool bare_client_open(BareClient *client, const SwtpmProcess *swtpm);
void bare_client_close(BareClient *client);

/* A BenchRun. */
bool bare_client_run(void *client, const BenchCommand *command);

#endif /* SWTPM_PROCESS_H */
