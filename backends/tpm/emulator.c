/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `emulator` backend: swtpm, or whatever speaks the protocol of its sockets.
 *
 * A short command goes out from the thread that submits it, and when the device lingers the
 * response is received there too: two system calls, no other thread. Everything else comes from
 * a source on the backend's GMainContext, which all devices may share.
 *
 * The device is told with no lock held, and may call back in from there. While one thread tells,
 * a start() only leaves a note for it: what is being told must not meet a later command.
 *
 * Neighbours: backend.c (stage 4 of 6) calls this class and takes its answers;
 * emulator-internal.h names the parts.
 */
#include "emulator-internal.h"

#include "backend-internal.h"
#include "builtin.h"
#include "command.h"
#include "emulator-channel.h"

#include <errno.h>
#include <sys/epoll.h>

/* How long destruction waits for swtpm's goodbye. */
#define SHUTDOWN_DEADLINE_MS 200u

/* News that is the answer to the command under way. */
#define NEWS_OF_COMMAND (NEWS_COMPLETED | NEWS_FAILED)

/* ---- life ---- */

static void emulator_unref(Emulator *emulator)
{
    g_mutex_lock(&emulator->lock);
    bool last = --emulator->refs == 0;
    g_mutex_unlock(&emulator->lock);
    if (!last) {
        return;
    }
    g_mutex_clear(&emulator->lock);
    g_cond_clear(&emulator->told);
    g_clear_error(&emulator->failure);
    g_clear_error(&emulator->refusal);
    g_free(emulator->id);
    g_free(emulator->response);
    g_free(emulator);
}

GError *tpm_emulator_error(Emulator *emulator, TPMError code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    GError *error = g_error_new_valist(TPMDEV_ERROR, (gint)code, format, arguments);
    va_end(arguments);
    g_prefix_error(&error, "TPM backend '%s': swtpm at '%s' ", emulator->id,
                   tpm_swtpm_peer_name(emulator->peer));
    return error;
}

/* ---- telling the device ---- */

/* Some news has to wait, and is told by another thread or another call. */
static unsigned held_news(const Emulator *emulator)
{
    unsigned held = 0;

    if (emulator->lingering) {
        held |= NEWS_OF_COMMAND; /* for poll() or linger_end() */
    }
    if (emulator->telling > 1) {
        held |= NEWS_RECOVERED; /* another thread may be telling of the failure before */
    }
    return held;
}

/* Of a failure, of what it became, or of its end. */
static void tell_of_failure(Emulator *emulator, unsigned news, unsigned cycle,
                            const GError *failure, TPMBackendLink link)
{
    if (news & NEWS_FAILED) {
        tpmdev_backend_failed_in_cycle(emulator->backend, cycle, failure);
    } else if (news & NEWS_REFUSED) {
        tpm_backend_report(emulator->backend, failure);
    }
    if (news & (NEWS_FAILED | NEWS_LINK)) {
        tpmdev_backend_set_link(emulator->backend, link);
    }
    if (news & NEWS_RECOVERED) {
        tpmdev_backend_recovered(emulator->backend);
    }
}

/* What there is to tell of a save or load that has ended, if one has; tell_of_move() frees it. */
static EmulatorMove take_move(Emulator *emulator, unsigned news, TPMState *state)
{
    EmulatorMove move = { .kind = MOVE_NONE };

    if (news & NEWS_MOVED) {
        move = emulator->move;
        emulator->move = (EmulatorMove){ .kind = MOVE_NONE };
        *state = tpm_emulator_get_state(emulator, &move);
    }
    return move;
}

static void tell_of_move(Emulator *emulator, EmulatorMove *move, const TPMState *state)
{
    if (move->error) {
        tpmdev_backend_refused(emulator->backend, move->error);
    } else if (move->kind == MOVE_SAVE) {
        tpmdev_backend_saved(emulator->backend, state);
    } else if (move->kind == MOVE_LOAD) {
        tpmdev_backend_loaded(emulator->backend);
    }
    tpm_emulator_move_free(move);
}

/* Take one round of news, tell it with the lock released, take the lock again. */
static bool tell_locked(Emulator *emulator)
{
    unsigned held = held_news(emulator);
    unsigned news = emulator->news & ~held;
    bool established = emulator->established;
    size_t size = emulator->completed_size;
    unsigned cycle = emulator->cycle;
    TPMBackendLink link = emulator->link;
    g_autoptr(GError) refusal = news & NEWS_COMPLETED ? g_steal_pointer(&emulator->refusal) : NULL;
    g_autoptr(GError) failure =
        news & (NEWS_FAILED | NEWS_REFUSED) ? g_error_copy(emulator->failure) : NULL;

    if (!news) {
        return false;
    }
    emulator->news &= held;
    TPMState state = { .size = 0 };
    EmulatorMove move = take_move(emulator, news, &state);

    g_mutex_unlock(&emulator->lock);
    if (news & NEWS_ESTABLISHED) {
        tpmdev_backend_set_established(emulator->backend, established);
    }
    if (news & NEWS_STARTED) {
        tpmdev_backend_started(emulator->backend);
    }
    if (refusal) {
        tpmdev_backend_complete_with_error(emulator->backend, refusal);
    } else if (news & NEWS_COMPLETED) {
        tpmdev_backend_complete(emulator->backend, emulator->response, size);
    }
    if (news & NEWS_HASHED) {
        tpmdev_backend_hashed(emulator->backend);
    }
    tell_of_move(emulator, &move, &state);
    tell_of_failure(emulator, news, cycle, failure, link);
    g_mutex_lock(&emulator->lock);
    if (news & NEWS_ESTABLISHED && emulator->established != established) {
        emulator->news |= NEWS_ESTABLISHED; /* another thread may have been faster */
    }
    return true;
}

/* Every entry ends here. */
static void tell_and_unlock(Emulator *emulator)
{
    emulator->telling++;
    for (;;) {
        if (!emulator->dying && tell_locked(emulator)) {
            continue;
        }
        if (emulator->telling > 1 || emulator->dying || !emulator->start_wanted) {
            break;
        }
        emulator->start_wanted = false;
        tpm_emulator_begin_start(emulator);
    }
    tpm_emulator_arm(emulator);
    if (--emulator->telling == 0 && emulator->dying) {
        g_cond_broadcast(&emulator->told);
    }
    g_mutex_unlock(&emulator->lock);
}

/* ---- the source ---- */

typedef struct EmulatorSource {
    GSource source;
    Emulator *emulator;
} EmulatorSource;

static gboolean source_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    Emulator *emulator = ((EmulatorSource *)source)->emulator;

    (void)callback;
    (void)data;
    g_mutex_lock(&emulator->lock);
    if (emulator->source == source) { /* else it has just been replaced, or all is over */
        tpm_emulator_pump(emulator);
        if (!emulator->clock && emulator->armed_at <= tpm_emulator_now(emulator)) {
            emulator->armed_at = EMULATOR_NEVER;
            g_source_set_ready_time(source, -1);
            tpm_emulator_deadlines(emulator);
        }
        tell_and_unlock(emulator);
    } else {
        g_mutex_unlock(&emulator->lock);
    }
    return G_SOURCE_CONTINUE;
}

void tpm_emulator_pass(EmulatorClock *clock, unsigned ms)
{
    Emulator *emulator = clock->emulator;

    g_mutex_lock(&emulator->lock);
    clock->now += (gint64)ms * G_TIME_SPAN_MILLISECOND;
    tpm_emulator_deadlines(emulator);
    tell_and_unlock(emulator);
}

static void source_finalize(GSource *source)
{
    emulator_unref(((EmulatorSource *)source)->emulator);
}

static GSourceFuncs source_funcs = {
    .dispatch = source_dispatch,
    .finalize = source_finalize,
};

/* Called with the lock held. */
static GSource *source_new(Emulator *emulator, GMainContext *context)
{
    GSource *source = g_source_new(&source_funcs, sizeof(EmulatorSource));

    emulator->refs++;
    ((EmulatorSource *)source)->emulator = emulator;
    g_source_set_name(source, "tpmdev-emulator");
    g_source_add_unix_fd(source, emulator->epoll_fd, G_IO_IN);
    g_source_attach(source, context);
    return source;
}

static void source_free(GSource *source)
{
    if (source) {
        g_source_destroy(source);
        g_source_unref(source);
    }
}

/* Put the source where the device at hand wants it. */
static void place_source(Emulator *emulator)
{
    GMainContext *context = tpmdev_backend_get_context(emulator->backend);
    GSource *old = NULL;

    g_mutex_lock(&emulator->lock);
    GSource *source = emulator->source;

    if (!source || g_source_is_destroyed(source) || g_source_get_context(source) != context) {
        old = source;
        emulator->source = source_new(emulator, context);
        emulator->armed_at = EMULATOR_NEVER;
    }
    g_mutex_unlock(&emulator->lock);
    source_free(old); /* not under the lock: it drops a reference to us */
}

/* ---- the class ---- */

static void emulator_start(void *self, size_t buffer_size)
{
    Emulator *emulator = self;

    place_source(emulator);
    unsigned cycle = tpmdev_backend_get_cycle(emulator->backend);

    g_mutex_lock(&emulator->lock);
    emulator->cycle = cycle;
    emulator->wanted_size = buffer_size;
    emulator->hash = HASH_IDLE; /* a step of a device that is gone */
    tpm_emulator_move_clear(emulator);
    emulator->start_wanted = true; /* begun by tell_and_unlock(), here or where one is telling */
    tell_and_unlock(emulator);
}

/* What a call that brought the answer does before it tells: nobody is to wait for poll(). */
static void linger_no_more_if_answered(Emulator *emulator)
{
    if (emulator->news & NEWS_OF_COMMAND) {
        emulator->lingering = false;
    }
}

static void emulator_submit(void *self, const TPMCommand *command, bool linger)
{
    Emulator *emulator = self;

    g_mutex_lock(&emulator->lock);
    g_clear_error(&emulator->refusal);
    emulator->command = *command;
    emulator->lingering = linger;
    if (emulator->failure) {
        emulator->news |= NEWS_FAILED; /* this command crossed the bad news on its way */
    } else if (emulator->start_wanted) {
        emulator->completed_size = 0; /* or the news of a start that is no longer the last */
        emulator->news |= NEWS_COMPLETED;
    } else {
        tpm_emulator_watch_data(emulator, !linger);
        emulator->data = DATA_WAITING;
        tpm_emulator_advance(emulator);
    }
    linger_no_more_if_answered(emulator);
    tell_and_unlock(emulator);
}

static void emulator_poll(void *self)
{
    Emulator *emulator = self;

    g_mutex_lock(&emulator->lock);
    if (emulator->step != STEP_NONE || emulator->move.wanted) {
        tpm_emulator_pump(emulator); /* a start, or what follows a command */
        tpm_emulator_deadlines(emulator);
    } else if (emulator->data == DATA_WAITING) {
        tpm_emulator_pump_control(emulator); /* its locality is being set */
    }
    if (emulator->data == DATA_SENT) {
        tpm_emulator_pump_data(emulator);
    }
    linger_no_more_if_answered(emulator);
    tell_and_unlock(emulator);
}

static void emulator_linger_end(void *self)
{
    Emulator *emulator = self;

    g_mutex_lock(&emulator->lock);
    emulator->lingering = false;
    tpm_emulator_watch_data(emulator, true);
    tell_and_unlock(emulator);
}

/*
 * swtpm answers a cancel only after the command it cancels, so nothing waits for it but the next
 * command. One that has not been sent yet is cancelled here.
 */
static void emulator_cancel(void *self)
{
    Emulator *emulator = self;

    g_mutex_lock(&emulator->lock);
    switch (emulator->data) {
    case DATA_WAITING:
        tpm_emulator_answer_locally(
            emulator, emulator->version == TPM_VERSION_1_2 ? TPM12_FAIL : TPM2_RC_CANCELED);
        break;
    case DATA_SENT:
        if (emulator->capabilities & SWTPM_CAP_CANCEL_TPM_CMD) {
            emulator->want_cancel = true;
            tpm_emulator_advance(emulator);
        }
        break;
    case DATA_IDLE:
    case DATA_OWN:
    case DATA_ABANDONED:
        break;
    }
    tell_and_unlock(emulator);
}

static void emulator_reset_established(void *self, uint8_t locality)
{
    Emulator *emulator = self;

    g_mutex_lock(&emulator->lock);
    if (!emulator->failure && emulator->capabilities & SWTPM_CAP_RESET_TPMESTABLISHED) {
        emulator->reset_locality = locality;
        emulator->want_reset_established = true;
        tpm_emulator_advance(emulator);
    }
    tell_and_unlock(emulator);
}

/* It goes out when the control channel is free, and not before a start that is wanted. */
static void emulator_hash(void *self, TPMHashStep step, const uint8_t *data, size_t size)
{
    Emulator *emulator = self;

    g_mutex_lock(&emulator->lock);
    if (emulator->failure) {
        emulator->news |= NEWS_FAILED; /* this step crossed the bad news on its way */
    } else if (!(emulator->capabilities & SWTPM_CAP_HASHING)) {
        /* It had it when the backend was made. */
        tpm_emulator_report_failure(
            emulator,
            tpm_emulator_error(emulator, TPM_ERROR_UNSUPPORTED,
                               "was started again and lacks what a D-RTM needs: HASH_START"));
    } else {
        emulator->hash = HASH_WAITING;
        emulator->hash_step = step;
        emulator->hash_data = data;
        emulator->hash_size = size;
        tpm_emulator_advance(emulator);
    }
    tell_and_unlock(emulator);
}

static void emulator_save(void *self)
{
    Emulator *emulator = self;

    g_mutex_lock(&emulator->lock);
    if (emulator->failure) {
        emulator->news |= NEWS_FAILED; /* it crossed the bad news on its way */
    } else {
        tpm_emulator_begin_save(emulator);
    }
    tell_and_unlock(emulator);
}

static void emulator_load(void *self, size_t buffer_size, const TPMState *state)
{
    Emulator *emulator = self;

    place_source(emulator);
    unsigned cycle = tpmdev_backend_get_cycle(emulator->backend);

    g_mutex_lock(&emulator->lock);
    if (tpm_emulator_begin_load(emulator, state)) {
        emulator->cycle = cycle;
        emulator->wanted_size = buffer_size;
        emulator->hash = HASH_IDLE;
        emulator->start_wanted = true; /* and what is to be started is known */
    }
    tell_and_unlock(emulator);
}

static void emulator_resume(void *self)
{
    Emulator *emulator = self;

    g_mutex_lock(&emulator->lock);
    tpm_emulator_begin_resume(emulator);
    tell_and_unlock(emulator);
}

/* Let the control channel become free; false at the deadline or when the channel is gone. */
static bool finish_request(Emulator *emulator, gint64 deadline)
{
    while (emulator->request && tpm_emulator_wait(emulator, deadline)) {
        tpm_emulator_pump(emulator);
    }
    return emulator->control_fd >= 0 && !emulator->request;
}

/* The TPM's orderly end, if it needs one and is not busy. */
static void finish_tpm(Emulator *emulator, gint64 deadline)
{
    if (emulator->data != DATA_IDLE || emulator->handed_out ||
        !tpm_emulator_needs_shutdown(emulator)) {
        return;
    }
    tpm_emulator_send_shutdown(emulator, TPM2_SU_CLEAR);
    while (emulator->data == DATA_OWN && tpm_emulator_wait(emulator, deadline)) {
        tpm_emulator_pump(emulator);
    }
}

/* swtpm's orderly end. Called when no other thread comes here any more. */
static void shut_down(Emulator *emulator)
{
    gint64 deadline = g_get_monotonic_time() + SHUTDOWN_DEADLINE_MS * G_TIME_SPAN_MILLISECOND;

    emulator->step = STEP_NONE;
    emulator->want_cancel = false;
    emulator->want_reset_established = false;
    emulator->want_get_established = false;
    emulator->hash = HASH_IDLE;
    emulator->reply_is_stale = true;
    tpm_emulator_move_clear(emulator);
    if (emulator->outgoing) {
        tpm_emulator_disconnect(emulator); /* no message can follow half of one */
    }
    if (emulator->data == DATA_WAITING) {
        emulator->data = DATA_IDLE;
    }
    emulator->lingering = false;
    tpm_emulator_watch_data(emulator, true);
    if (emulator->shaken && finish_request(emulator, deadline)) {
        finish_tpm(emulator, deadline);
    }
    /* What a checkpoint stored is not what the next one who starts this TPM expects. */
    if (emulator->shaken && emulator->checkpoint && !emulator->handed_out && emulator->used &&
        emulator->stale_volatile && finish_request(emulator, deadline)) {
        tpm_emulator_request(emulator, SWTPM_INIT, SWTPM_INIT_DELETE_VOLATILE, -1);
    }
    if (emulator->shaken && finish_request(emulator, deadline)) {
        tpm_emulator_request(emulator, SWTPM_SHUTDOWN, 0, -1);
        finish_request(emulator, deadline);
    }
}

void tpm_emulator_close(Emulator *emulator)
{
    tpm_emulator_disconnect(emulator);
    tpm_channel_close(&emulator->epoll_fd);
    g_clear_pointer(&emulator->peer, tpm_swtpm_peer_free);
    emulator_unref(emulator);
}

/*
 * The context may be one that nobody runs any more, and the source may be dispatching right
 * now: it finds out that it is no longer ours, and the last reference frees the memory.
 */
static void emulator_destroy(void *self)
{
    Emulator *emulator = self;

    g_mutex_lock(&emulator->lock);
    GSource *source = g_steal_pointer(&emulator->source);

    emulator->dying = true;
    while (emulator->telling > 0) {
        g_cond_wait(&emulator->told, &emulator->lock);
    }
    g_mutex_unlock(&emulator->lock);
    source_free(source);
    shut_down(emulator);
    tpm_emulator_close(emulator);
}

const TPMBackendClass tpm_backend_emulator_class = {
    .size = sizeof(TPMBackendClass),
    .type = "emulator",
    .description = "TPM emulator swtpm, over its sockets",
    .options = tpm_emulator_options,
    .create = tpm_emulator_create,
    .start = emulator_start,
    .submit = emulator_submit,
    .poll = emulator_poll,
    .linger_end = emulator_linger_end,
    .cancel = emulator_cancel,
    .reset_established = emulator_reset_established,
    .destroy = emulator_destroy,
    .hash = emulator_hash,
    .can_migrate = tpm_emulator_can_migrate,
    .save = emulator_save,
    .load = emulator_load,
    .resume = emulator_resume,
};
