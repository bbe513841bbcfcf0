/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A backend between a class and a client that both only take notes: for tests of backend.c, which
 * stands between them.
 */
#ifndef BACKEND_FIXTURE_H
#define BACKEND_FIXTURE_H

#include "backend-internal.h"

/* How long a test waits for another thread, in seconds; long enough for a sanitizer's build. */
#define FIXTURE_DEADLINE_S 30

#define FIXTURE_BUFFER_SIZE 256u

/* What the class was called for. */
typedef struct ClassNotes {
    unsigned starts;
    unsigned submits;
    unsigned polls;
    unsigned linger_ends;
    unsigned cancels;
    unsigned established_resets;
    unsigned hashes;
    unsigned saves;
    unsigned loads;
    unsigned resumes;
    unsigned destroys;
    size_t start_buffer_size;
    TPMCommand command; /* its bytes are those of the backend */
    bool linger;
    uint8_t established_locality;
    TPMHashStep hash_step;
    const uint8_t *hash_data; /* the backend's */
    size_t hash_size;
} ClassNotes;

/* What the client was told: a letter for each piece of news, in order. */
typedef struct ClientNotes {
    /* S started, s start failed, C completed, H hashed, h hash failed, E and e established, F
     * failed, R recovered, V saved, L loaded, v neither */
    char news[64];
    GThread *thread;
    char *error; /* the last message, or NULL */
    uint8_t response[TPM_BUFFER_SIZE_MAX];
    size_t response_size;
} ClientNotes;

typedef struct BackendFixture {
    TPMBackend *backend; /* a reference */
    ClassNotes klass;
    bool in_sequence;      /* the last step of a hash sequence was none that ends it */
    GMainContext *context; /* the host's; run by nobody unless a test does */

    GMutex lock; /* for `client` and what callbacks of other threads change */
    GCond changed;
    ClientNotes client;

    /* Called from within a function of the class, or of the client, when set. */
    void (*in_class)(struct BackendFixture *fixture);
    void (*in_client)(struct BackendFixture *fixture);
} BackendFixture;

/* The class; tests take copies of it to leave members out. */
extern const TPMBackendClass fixture_class;

/* A TPM's state; its permanent part is "permanent", its volatile part "volatile". */
extern const TPMState fixture_state_of_tpm;

/* For cmocka: *state is a BackendFixture, its backend not bound. */
int fixture_setup(void **state);
int fixture_setup_1_2(void **state);
int fixture_teardown(void **state);

/* Make another backend of this class, of 2.0, in place of the first. */
void fixture_use_class(BackendFixture *fixture, const TPMBackendClass *klass);

/* Bind the client: news reaches it only on the host's context, or on any thread. */
void fixture_bind_to_context(BackendFixture *fixture);
void fixture_bind(BackendFixture *fixture);

/* Bind, start and have it answered; then forget what was noted. */
void fixture_make_ready(BackendFixture *fixture);

/* The device sends a well-formed command. */
void fixture_submit(BackendFixture *fixture);

/* The device makes a step of a hash sequence; the data is "abc". */
void fixture_hash(BackendFixture *fixture, TPMHashStep step);

/* The TPM completes with a well-formed response of this size; byte i is (uint8_t)i. */
void fixture_complete(BackendFixture *fixture, size_t size);

/* The TPM fails with this message. */
void fixture_fail(BackendFixture *fixture, const char *message);

/* The TPM neither hands its state out nor takes one, and says this. */
void fixture_refuse(BackendFixture *fixture, const char *message);

/* Forget what class and client have noted. */
void fixture_forget(BackendFixture *fixture);

/* Run this on another thread and wait for its end. */
void fixture_on_thread(BackendFixture *fixture, void (*function)(BackendFixture *fixture));

/* The client was told exactly this since the last fixture_forget(). */
#define assert_news(fixture, wanted) assert_string_equal((fixture)->client.news, wanted)

#endif /* BACKEND_FIXTURE_H */
