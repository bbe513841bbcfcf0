/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TPM that does what a test tells it to: a TPMBackendClass of its own, made through the public
 * API alone.
 *
 * It answers at once, in a poll, from a thread of its own, when the test says so, or never; it
 * gives any response, fails, and remembers what was asked of it. It also holds the device side
 * to the contract of <tpmdev/backend.h>, and notes the first breach in `breach`.
 */
#ifndef FAKE_BACKEND_H
#define FAKE_BACKEND_H

#include <tpmdev/backend.h>

/* How long a test waits for another thread, in seconds; long enough for a sanitizer's build. */
#define FAKE_DEADLINE_S 30

typedef enum FakeWhen {
    FAKE_AT_ONCE,   /* from within the call */
    FAKE_WHEN_TOLD, /* from within fake_backend_answer(), or never */
    FAKE_IN_POLL,   /* from within the polls_needed-th poll(), else when told */
    FAKE_BY_THREAD, /* from another thread, soon; after linger_end() if it lingers */
    FAKE_SOMEHOW,   /* as FAKE_IN_POLL while it lingers, else as FAKE_BY_THREAD */
} FakeWhen;

/* What a backend is: the members beyond submit() and destroy() are optional. */
typedef enum FakeKind {
    FAKE_FULL,
    FAKE_BARE, /* no poll(), linger_end(), cancel(), reset_established() or hash() */
} FakeKind;

typedef struct FakeBackend {
    TPMBackend *backend; /* a reference, until fake_backend_free() */
    TPMVersion version;
    FakeKind kind;

    GMutex lock; /* for all below, once another thread may be at work */
    GCond changed;

    /* What it is to do; set by the test. */
    FakeWhen start_when;
    FakeWhen submit_when;
    FakeWhen hash_when;   /* FAKE_AT_ONCE, FAKE_WHEN_TOLD or FAKE_BY_THREAD */
    FakeWhen cancel_when; /* FAKE_AT_ONCE or FAKE_WHEN_TOLD, which leaves the command alone */
    unsigned polls_needed;
    bool start_fails;
    bool submit_fails;
    bool hash_fails;
    bool hash_establishes; /* the end of a sequence sets tpmEstablished */
    unsigned fail_at;      /* this answer, counted from 1, is a failure; 0: none */
    bool echo;             /* respond with code 0 and what is behind the command's header */
    uint8_t response[2 * TPM_BUFFER_SIZE_MAX];
    size_t response_size;

    /* What it was asked. */
    unsigned starts;
    unsigned submits;
    unsigned polls; /* of the last command */
    unsigned linger_ends;
    unsigned cancels;
    unsigned established_resets;
    unsigned answers; /* calls of started(), complete() and failed() that have returned */
    unsigned begun;   /* and of those that have begun */
    size_t start_buffer_size;
    bool linger; /* of the last submit() */
    uint8_t locality;
    uint8_t established_locality;
    size_t command_size;
    uint8_t command[TPM_BUFFER_SIZE_MAX];
    unsigned hash_starts;
    unsigned hash_datas;
    unsigned hash_ends;
    GByteArray *hashed;  /* since the last TPM_HASH_START */
    const uint8_t *data; /* the device's own bytes of it, which must stay until the answer */

    /* How things stand. */
    bool starting;
    bool executing;
    bool hashing;  /* a step was not answered */
    bool sequence; /* a hash sequence is open */
    TPMHashStep hash_step;
    bool lingering;
    unsigned calls; /* of the class, under way; more than one is a breach */
    const char *breach;

    GThread *thread; /* answers FAKE_BY_THREAD; made when it is first needed */
    GAsyncQueue *jobs;
    bool *destroyed;
} FakeBackend;

/* A TPM that starts at once, and answers at once with a response of ten bytes and code 0. */
FakeBackend *fake_backend_new(TPMVersion version, FakeKind kind, size_t buffer_size);

/*
 * Drop the test's reference, and with it the TPM when its device is freed already, as it must be.
 * Fails the test for a breach of the contract.
 */
void fake_backend_free(FakeBackend *fake);

/*
 * Wait until the thread has given every answer it owes, and its calls of the device have returned.
 * When no other thread is at work any more.
 */
void fake_backend_settle(FakeBackend *fake);

/* The response to give: any bytes, none with size 0. */
void fake_backend_respond(FakeBackend *fake, const void *response, size_t size);

/* A well-formed response of this size; byte i of it, from the tenth on, is (uint8_t)i. */
void fake_backend_respond_with_size(FakeBackend *fake, size_t size);

/* Answer now what was not answered yet: a start, or else the command, or a step. */
void fake_backend_answer(FakeBackend *fake);

/* Fail now, whether or not something is under way. */
void fake_backend_fail(FakeBackend *fake);

/* Complete though there may be nothing to complete: what a careless backend does. */
void fake_backend_complete_again(FakeBackend *fake);

/* Is there something that only fake_backend_answer() will answer? */
bool fake_backend_is_due(FakeBackend *fake);

/* `answers`, read under the lock. */
unsigned fake_backend_answers(FakeBackend *fake);

/* Wait until `answers` has reached this number. Fails the test at the deadline. */
void fake_backend_wait_answers(FakeBackend *fake, unsigned answers);

/* Has it hashed exactly these bytes since the last TPM_HASH_START? */
bool fake_backend_has_hashed(FakeBackend *fake, const void *data, size_t size);

/* Is the command under way, or the last one, exactly these bytes? */
bool fake_backend_has_command(FakeBackend *fake, const void *command, size_t size);

#endif /* FAKE_BACKEND_H */
