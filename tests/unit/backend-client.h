/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A client that stands where a device would: it binds a backend, makes one call at a time and
 * waits, with a deadline, for the answer. For tests of backends.
 */
#ifndef BACKEND_CLIENT_H
#define BACKEND_CLIENT_H

#include "backend-internal.h"

/* How long a test waits for what must come, in seconds; long enough for a sanitizer's build. */
#define CLIENT_DEADLINE_S 30

typedef struct BackendClient {
    TPMBackend *backend; /* not a reference */
    GMutex lock;
    GCond changed;
    unsigned started;     /* answers to start() */
    char *start_error;    /* of the last one, or NULL */
    unsigned completed;   /* answers to submit() */
    char *response_error; /* of the last one, or NULL */
    uint8_t response[TPM_BUFFER_SIZE_MAX];
    size_t response_size;
    GThread *completed_on; /* the thread that brought it */
    unsigned hashed;       /* answers to hash() */
    char *hash_error;      /* of the last one, or NULL */
    bool established;
    unsigned failed; /* failures that came unasked */
    char *failure;   /* the last one's message */
    unsigned moved;  /* answers to save() and load() */
    TPMState *saved; /* of the last one, or NULL */
    char *move_error;
    int move_code; /* its TPMError */
    unsigned recovered;
} BackendClient;

/* Bind; NULL context for the library's I/O thread. Fails the test if that is refused. */
void backend_client_bind(BackendClient *client, TPMBackend *backend, GMainContext *context);
void backend_client_unbind(BackendClient *client);

/* Start and wait for the answer; true when the TPM is ready. Fails the test at the deadline. */
bool backend_client_start(BackendClient *client, size_t buffer_size);

/* Wait until `started` has reached this number. Fails the test at the deadline. */
void backend_client_wait_started(BackendClient *client, unsigned started);

/* Submit without waiting. */
void backend_client_submit(BackendClient *client, uint8_t locality, const void *command,
                           size_t size);

/* Wait until `completed` has reached this number. Fails the test at the deadline. */
void backend_client_wait_completed(BackendClient *client, unsigned completed);

/* Wait until `failed` has reached this number. Fails the test at the deadline. */
void backend_client_wait_failed(BackendClient *client, unsigned failed);

/* Wait until `recovered` has reached this number. Fails the test at the deadline. */
void backend_client_wait_recovered(BackendClient *client, unsigned recovered);

/* Wait until the established flag has this value. Fails the test at the deadline. */
void backend_client_wait_established(BackendClient *client, bool established);

/* Make a step of a hash sequence, without waiting; and wait until `hashed` has this number. */
void backend_client_hash(BackendClient *client, TPMHashStep step, const void *data, size_t size);
void backend_client_wait_hashed(BackendClient *client, unsigned hashed);

/* A whole sequence, its data in pieces of this size; true when each step was granted. */
bool backend_client_measure(BackendClient *client, const uint8_t *data, size_t size, size_t piece);

/* Submit at locality 0, wait, and return the code of the response. */
uint32_t backend_client_command(BackendClient *client, const void *command, size_t size);

/* Wait until `moved` has reached this number. Fails the test at the deadline. */
void backend_client_wait_moved(BackendClient *client, unsigned moved);

/* Have the TPM's state handed out; to be freed with g_free(). NULL when it was refused. */
TPMState *backend_client_save(BackendClient *client);

/* Have it load a state, and be as after a start; false when that was refused. */
bool backend_client_load(BackendClient *client, size_t buffer_size, const TPMState *state);

#endif /* BACKEND_CLIENT_H */
