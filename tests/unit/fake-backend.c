/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TPM that does what a test tells it to; see fake-backend.h.
 *
 * The class functions only note what was asked, under the fake's lock, and answer without it: the
 * device may call in again from within an answer.
 */
#include "fake-backend.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The device broke the contract. Kept, not failed at once: this may be any thread. */
static void note_breach(FakeBackend *fake, bool is_breach, const char *what)
{
    if (is_breach && !fake->breach) {
        fake->breach = what;
    }
}

/* Every call of the class is between these two. */
static void enter(FakeBackend *fake)
{
    g_mutex_lock(&fake->lock);
    note_breach(fake, fake->calls++ > 0, "two calls of the class at once");
}

static void leave(FakeBackend *fake)
{
    g_mutex_lock(&fake->lock);
    fake->calls--;
    g_mutex_unlock(&fake->lock);
}

/*
 * ---- answers ----
 *
 * Whoever is first to answer clears the flag; a cancellation and the thread can both be about to.
 */

static void count_answer(FakeBackend *fake)
{
    g_mutex_lock(&fake->lock);
    fake->answers++;
    g_cond_broadcast(&fake->changed);
    g_mutex_unlock(&fake->lock);
}

static void answer_failed(FakeBackend *fake)
{
    g_autoptr(GError) error =
        g_error_new(TPMDEV_ERROR, TPM_ERROR_IO, "the fake TPM was told to fail");

    g_mutex_lock(&fake->lock);
    fake->starting = fake->executing = fake->lingering = fake->hashing = fake->sequence = false;
    g_mutex_unlock(&fake->lock);
    tpmdev_backend_failed(fake->backend, error);
    count_answer(fake);
}

static void answer_start(FakeBackend *fake)
{
    g_mutex_lock(&fake->lock);
    bool due = fake->starting;
    bool fails = fake->start_fails || (due && ++fake->begun == fake->fail_at);
    fake->starting = false;
    g_mutex_unlock(&fake->lock);

    if (!due) {
        return;
    }
    if (fails) {
        answer_failed(fake);
    } else {
        tpmdev_backend_started(fake->backend);
        count_answer(fake);
    }
}

/* With the fake's lock held. */
static size_t make_response(FakeBackend *fake, uint8_t *response)
{
    if (!fake->echo) {
        memcpy(response, fake->response, fake->response_size);
        return fake->response_size;
    }
    tpmdev_failure_response(fake->version, response);
    memcpy(response + 2, fake->command + 2, 4);
    memset(response + 6, 0, 4);
    memcpy(response + TPM_HEADER_SIZE, fake->command + TPM_HEADER_SIZE,
           fake->command_size - TPM_HEADER_SIZE);
    return fake->command_size;
}

/* Answer the command of this number, counted from 1, if it is the one under way. */
static void answer_command_number(FakeBackend *fake, unsigned number)
{
    uint8_t response[sizeof(fake->response)];

    g_mutex_lock(&fake->lock);
    bool due = fake->executing && fake->submits == number;
    note_breach(fake, due && memcmp(fake->data, fake->command, fake->command_size) != 0,
                "a command that changed while it ran");
    bool fails = fake->submit_fails || (due && ++fake->begun == fake->fail_at);
    size_t size = due ? make_response(fake, response) : 0;
    if (due) {
        fake->executing = fake->lingering = false;
    }
    g_mutex_unlock(&fake->lock);

    if (!due) {
        return;
    }
    if (fails) {
        answer_failed(fake);
    } else {
        tpmdev_backend_complete(fake->backend, size ? response : NULL, size);
        count_answer(fake);
    }
}

static unsigned present_command(FakeBackend *fake)
{
    g_mutex_lock(&fake->lock);
    unsigned number = fake->submits;
    g_mutex_unlock(&fake->lock);
    return number;
}

static void answer_command(FakeBackend *fake)
{
    answer_command_number(fake, present_command(fake));
}

static void answer_hash(FakeBackend *fake)
{
    g_mutex_lock(&fake->lock);
    bool due = fake->hashing;
    bool fails = fake->hash_fails || (due && ++fake->begun == fake->fail_at);
    bool establishes = fake->hash_establishes && fake->hash_step == TPM_HASH_END;
    fake->hashing = false;
    fake->sequence = fake->hash_step != TPM_HASH_END;
    g_mutex_unlock(&fake->lock);

    if (!due) {
        return;
    }
    if (fails) {
        answer_failed(fake);
        return;
    }
    if (establishes) {
        tpmdev_backend_set_established(fake->backend, true);
    }
    tpmdev_backend_hashed(fake->backend);
    count_answer(fake);
}

/* ---- the thread: a job, and above its bits the number of the command it is about ---- */

typedef enum Job { JOB_QUIT = 1, JOB_START, JOB_COMMAND, JOB_HASH } Job;

#define JOB_BITS 3

static gpointer thread_run(gpointer data)
{
    FakeBackend *fake = data;

    for (;;) {
        unsigned job = GPOINTER_TO_UINT(g_async_queue_pop(fake->jobs));

        switch ((Job)(job % (1u << JOB_BITS))) {
        case JOB_QUIT:
            return NULL;
        case JOB_START:
            answer_start(fake);
            break;
        case JOB_COMMAND:
            /* Unless it has been cancelled meanwhile, and the next one is under way. */
            answer_command_number(fake, job >> JOB_BITS);
            break;
        case JOB_HASH:
            answer_hash(fake);
            break;
        }
    }
}

static void give_thread(FakeBackend *fake, Job job)
{
    if (!fake->thread) {
        fake->thread = g_thread_new("fake-tpm", thread_run, fake);
    }
    g_async_queue_push(fake->jobs, GUINT_TO_POINTER(present_command(fake) << JOB_BITS | job));
}

/* ---- the class ---- */

static void answer_as_told(FakeBackend *fake, FakeWhen when, Job job)
{
    switch (when) {
    case FAKE_AT_ONCE:
        if (job == JOB_START) {
            answer_start(fake);
        } else if (job == JOB_HASH) {
            answer_hash(fake);
        } else {
            answer_command(fake);
        }
        break;
    case FAKE_BY_THREAD:
    case FAKE_SOMEHOW:
        give_thread(fake, job);
        break;
    case FAKE_WHEN_TOLD:
    case FAKE_IN_POLL:
        break;
    }
}

static bool is_busy(const FakeBackend *fake)
{
    return fake->starting || fake->executing || fake->hashing;
}

static void fake_start(void *self, size_t buffer_size)
{
    FakeBackend *fake = self;

    enter(fake);
    note_breach(fake, is_busy(fake), "start() before the last answer");
    fake->sequence = false;
    fake->starts++;
    fake->start_buffer_size = buffer_size;
    fake->starting = true;
    FakeWhen when = fake->start_when;
    g_mutex_unlock(&fake->lock);
    answer_as_told(fake, when, JOB_START);
    leave(fake);
}

static bool has_thread(FakeWhen when)
{
    return when == FAKE_BY_THREAD || when == FAKE_SOMEHOW;
}

static void fake_submit(void *self, const TPMCommand *command, bool linger)
{
    FakeBackend *fake = self;

    enter(fake);
    note_breach(fake, is_busy(fake), "submit() before the last answer");
    note_breach(fake, fake->sequence, "submit() in a hash sequence");
    note_breach(fake, linger && fake->kind == FAKE_BARE, "linger without poll()");
    note_breach(fake, command->locality > 4, "a locality above 4");
    note_breach(fake,
                command->size < TPM_HEADER_SIZE || command->size > fake->start_buffer_size ||
                    command->data[2] != 0 || command->data[3] != 0 ||
                    (size_t)(command->data[4] << 8 | command->data[5]) != command->size,
                "a command whose size is wrong");
    fake->submits++;
    fake->polls = 0;
    fake->executing = true;
    fake->lingering = fake->linger = linger;
    fake->locality = command->locality;
    fake->command_size = MIN(command->size, sizeof(fake->command));
    memcpy(fake->command, command->data, fake->command_size);
    fake->data = command->data;
    FakeWhen when = fake->submit_when;
    g_mutex_unlock(&fake->lock);
    /* While it lingers it completes in poll() alone. */
    if (!linger || !has_thread(when)) {
        answer_as_told(fake, when, JOB_COMMAND);
    }
    leave(fake);
}

static void fake_poll(void *self)
{
    FakeBackend *fake = self;

    enter(fake);
    /* With no command at all it is for a start, which another thread may just have answered. */
    note_breach(fake, fake->executing && !fake->lingering, "poll() of a command without linger");
    fake->polls++;
    bool in_poll = fake->submit_when == FAKE_IN_POLL || fake->submit_when == FAKE_SOMEHOW;
    bool due = fake->lingering && in_poll && fake->polls == fake->polls_needed;
    g_mutex_unlock(&fake->lock);
    if (due) {
        answer_command(fake);
    }
    leave(fake);
}

static void fake_linger_end(void *self)
{
    FakeBackend *fake = self;

    enter(fake);
    note_breach(fake, !fake->lingering, "linger_end() without a lingering command");
    fake->linger_ends++;
    fake->lingering = false;
    bool by_thread = has_thread(fake->submit_when) && fake->executing;
    g_mutex_unlock(&fake->lock);
    if (by_thread) {
        give_thread(fake, JOB_COMMAND);
    }
    leave(fake);
}

static void fake_cancel(void *self)
{
    FakeBackend *fake = self;

    enter(fake);
    note_breach(fake, !fake->executing && !fake->thread, "cancel() without a command");
    note_breach(fake, fake->lingering, "cancel() of a command that lingers");
    fake->cancels++;
    FakeWhen when = fake->cancel_when;
    g_mutex_unlock(&fake->lock);
    answer_as_told(fake, when, JOB_COMMAND);
    leave(fake);
}

static void fake_reset_established(void *self, uint8_t locality)
{
    FakeBackend *fake = self;

    enter(fake);
    note_breach(fake, locality != 3 && locality != 4, "reset_established() by a low locality");
    fake->established_resets++;
    fake->established_locality = locality;
    g_mutex_unlock(&fake->lock);
    tpmdev_backend_set_established(fake->backend, false);
    leave(fake);
}

static void fake_hash(void *self, TPMHashStep step, const uint8_t *data, size_t size)
{
    FakeBackend *fake = self;

    enter(fake);
    note_breach(fake, is_busy(fake), "hash() before the last answer");
    note_breach(fake, fake->sequence == (step == TPM_HASH_START), "a step out of order");
    note_breach(fake, (step == TPM_HASH_DATA) != (size > 0) || !data != (size == 0),
                "a step with the wrong data");
    note_breach(fake, size > TPM_HASH_CHUNK_MAX, "more than a chunk");
    fake->hash_starts += step == TPM_HASH_START;
    fake->hash_datas += step == TPM_HASH_DATA;
    fake->hash_ends += step == TPM_HASH_END;
    if (step == TPM_HASH_START) {
        g_byte_array_set_size(fake->hashed, 0);
    }
    g_byte_array_append(fake->hashed, data, (guint)size);
    fake->hashing = fake->sequence = true;
    fake->hash_step = step;
    FakeWhen when = fake->hash_when;
    g_mutex_unlock(&fake->lock);
    answer_as_told(fake, when, JOB_HASH);
    leave(fake);
}

static void fake_destroy(void *self)
{
    FakeBackend *fake = self;

    *fake->destroyed = true;
}

static const TPMBackendClass full_class = {
    .size = sizeof(TPMBackendClass),
    .type = "fake",
    .description = "TPM of a test",
    .start = fake_start,
    .submit = fake_submit,
    .poll = fake_poll,
    .linger_end = fake_linger_end,
    .cancel = fake_cancel,
    .reset_established = fake_reset_established,
    .destroy = fake_destroy,
    .hash = fake_hash,
};

static const TPMBackendClass bare_class = {
    .size = sizeof(TPMBackendClass),
    .type = "fake",
    .description = "TPM of a test",
    .start = fake_start,
    .submit = fake_submit,
    .destroy = fake_destroy,
};

/* ---- what a test calls ---- */

FakeBackend *fake_backend_new(TPMVersion version, FakeKind kind, size_t buffer_size)
{
    TPMBackendInfo info = { sizeof(info), version, buffer_size, kind == FAKE_FULL };
    FakeBackend *fake = g_new0(FakeBackend, 1);
    GError *error = NULL;

    fake->version = version;
    fake->kind = kind;
    g_mutex_init(&fake->lock);
    g_cond_init(&fake->changed);
    fake->jobs = g_async_queue_new();
    fake->hashed = g_byte_array_new();
    fake->destroyed = g_new0(bool, 1);
    fake_backend_respond_with_size(fake, TPM_HEADER_SIZE);
    fake->backend = tpmdev_backend_new(kind == FAKE_FULL ? &full_class : &bare_class, "fake", &info,
                                       fake, &error);
    if (!fake->backend) {
        fail_msg("fake backend: %s", error->message);
    }
    return fake;
}

void fake_backend_settle(FakeBackend *fake)
{
    while (fake->thread) {
        g_async_queue_push(fake->jobs, GUINT_TO_POINTER(JOB_QUIT));
        g_thread_join(fake->thread);
        fake->thread = NULL;
        if (g_async_queue_length(fake->jobs) > 0) { /* what its last answer led to */
            fake->thread = g_thread_new("fake-tpm", thread_run, fake);
        }
    }
}

void fake_backend_free(FakeBackend *fake)
{
    bool *destroyed = fake->destroyed;
    const char *breach = fake->breach;

    fake_backend_settle(fake);
    tpmdev_backend_unref(fake->backend);
    bool freed = *destroyed;
    g_async_queue_unref(fake->jobs);
    g_byte_array_unref(fake->hashed);
    g_mutex_clear(&fake->lock);
    g_cond_clear(&fake->changed);
    g_free(fake);
    g_free(destroyed);
    if (breach) {
        fail_msg("the device broke the contract of a backend: %s", breach);
    }
    assert_true(freed);
}

void fake_backend_respond(FakeBackend *fake, const void *response, size_t size)
{
    g_mutex_lock(&fake->lock);
    fake->response_size = size;
    if (size) {
        memcpy(fake->response, response, size);
    }
    g_mutex_unlock(&fake->lock);
}

void fake_backend_respond_with_size(FakeBackend *fake, size_t size)
{
    uint8_t response[sizeof(fake->response)] = { 0 };

    tpmdev_failure_response(fake->version, response);
    response[4] = (uint8_t)(size >> 8);
    response[5] = (uint8_t)size;
    for (size_t i = 6; i < size; i++) {
        response[i] = i < TPM_HEADER_SIZE ? 0 : (uint8_t)i;
    }
    fake_backend_respond(fake, response, size);
}

void fake_backend_answer(FakeBackend *fake)
{
    g_mutex_lock(&fake->lock);
    bool starting = fake->starting;
    bool hashing = fake->hashing;
    bool idle = !is_busy(fake);
    g_mutex_unlock(&fake->lock);

    if (idle) {
        fail_msg("the TPM was asked nothing it could answer");
    } else if (starting) {
        answer_start(fake);
    } else if (hashing) {
        answer_hash(fake);
    } else {
        answer_command(fake);
    }
}

static bool needs_telling(FakeWhen when)
{
    return when == FAKE_WHEN_TOLD || when == FAKE_IN_POLL;
}

bool fake_backend_is_due(FakeBackend *fake)
{
    g_mutex_lock(&fake->lock);
    bool due = (fake->starting && needs_telling(fake->start_when)) ||
               (fake->executing && needs_telling(fake->submit_when)) ||
               (fake->hashing && needs_telling(fake->hash_when));
    g_mutex_unlock(&fake->lock);
    return due;
}

unsigned fake_backend_answers(FakeBackend *fake)
{
    g_mutex_lock(&fake->lock);
    unsigned answers = fake->answers;
    g_mutex_unlock(&fake->lock);
    return answers;
}

void fake_backend_fail(FakeBackend *fake)
{
    answer_failed(fake);
}

void fake_backend_complete_again(FakeBackend *fake)
{
    tpmdev_backend_complete(fake->backend, fake->response, fake->response_size);
}

void fake_backend_wait_answers(FakeBackend *fake, unsigned answers)
{
    gint64 deadline = g_get_monotonic_time() + FAKE_DEADLINE_S * G_TIME_SPAN_SECOND;
    bool in_time = true;

    g_mutex_lock(&fake->lock);
    while (fake->answers < answers && in_time) {
        in_time = g_cond_wait_until(&fake->changed, &fake->lock, deadline);
    }
    g_mutex_unlock(&fake->lock);
    if (!in_time) {
        fail_msg("no %u answers within %d s", answers, FAKE_DEADLINE_S);
    }
}

bool fake_backend_has_hashed(FakeBackend *fake, const void *data, size_t size)
{
    g_mutex_lock(&fake->lock);
    bool same = fake->hashed->len == size && (!size || memcmp(fake->hashed->data, data, size) == 0);
    g_mutex_unlock(&fake->lock);
    return same;
}

bool fake_backend_has_command(FakeBackend *fake, const void *command, size_t size)
{
    g_mutex_lock(&fake->lock);
    bool same = fake->command_size == size && memcmp(fake->command, command, size) == 0;
    g_mutex_unlock(&fake->lock);
    return same;
}
