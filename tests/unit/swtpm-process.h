/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A process of swtpm, an `emulator` backend connected to it, and a client where a device would be.
 * For tests of the backend with a real TPM; everything here fails the test when it does not go as
 * said. The process dies with the test's.
 */
#ifndef SWTPM_PROCESS_H
#define SWTPM_PROCESS_H

#include "backend-client.h"

typedef struct Swtpm {
    char *directory;
    char *path;
    GPid pid;        /* 0: not running */
    const char *key; /* for --key, or NULL; and so the next */
    const char *migration_key;
    TPMEmulatorConfig config; /* but for size, id and, if there is no other way, path: the test's */
    TPMBackend *backend;
    BackendClient client;
    bool bound;
} Swtpm;

/* A directory for its state and its socket, and nothing running; the end of all of it. */
Swtpm *swtpm_new(void);
void swtpm_free(Swtpm *swtpm);

/* Start the process, and wait until it listens; connect a backend to it. */
void swtpm_launch(Swtpm *swtpm, bool is_1_2);
void swtpm_attach(Swtpm *swtpm);

/* Bind a client, on the library's I/O thread, and let go of it; start the TPM. */
void swtpm_bind(Swtpm *swtpm);
void swtpm_unbind(Swtpm *swtpm);
void swtpm_start(Swtpm *swtpm);

/* A connection of the test's own to its socket; -1 for none. */
int swtpm_connect(const char *path);

/* Kill it, and wait for its end; stop it with SIGSTOP; wait for its end and return its status. */
void swtpm_kill(Swtpm *swtpm);
void swtpm_stop(Swtpm *swtpm);
int swtpm_wait_for_exit(Swtpm *swtpm);

#endif /* SWTPM_PROCESS_H */
