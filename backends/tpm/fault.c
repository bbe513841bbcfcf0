/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `fault` backend: a TPM that misbehaves as it is told to, for tests of guests, firmware and
 * hypervisors. It is a backend to the device in front of it, and to the TPM within it the device.
 *
 * The TPM within is bound for good, to the library's context, so that it may answer on any thread;
 * on which thread the device hears of it is seen to by the backend in front, as with every other.
 * A device may go and another come while the TPM within still works for the first. What it has
 * been asked for is therefore noted, and asked by one thread at a time when it is free: a smaller
 * hw/tpm/request.c.
 *
 * Neighbours: backend.c (stage 4 of 6), in front and within; fault-rule.c says what goes wrong;
 * fault-state.c has what the TPM's state is about.
 */
#include "builtin.h"
#include "command.h"
#include "fault-internal.h"
#include <tpmdev/statistics.h>

#include <string.h>

/* ---- asking the TPM within ---- */

typedef enum Job {
    JOB_NONE,
    JOB_CANCEL,
    JOB_RESUME,
    JOB_START,
    JOB_LOAD,
    JOB_RESET_ESTABLISHED,
    JOB_HASH,
    JOB_SAVE,
    JOB_SUBMIT,
} Job;

/* Take the next thing to be done, noting that it is; with the lock held. */
static Job take_job(FaultTPM *fault)
{
    if (fault->busy) {
        bool cancel = fault->cancel_wanted;

        fault->cancel_wanted = false;
        return cancel ? JOB_CANCEL : JOB_NONE;
    }
    fault->cancel_wanted = false;
    if (fault->resume_wanted || (fault->start_wanted && fault->handed_out)) {
        fault->resume_wanted = fault->handed_out = false;
        return JOB_RESUME;
    }
    if (fault->start_wanted) {
        fault->start_wanted = false;
        fault->busy = true;
        return JOB_START;
    }
    if (fault->load_wanted) {
        fault->load_wanted = false;
        fault->busy = true;
        fault->loading = g_steal_pointer(&fault->incoming);
        return JOB_LOAD;
    }
    if (fault->reset_wanted) {
        fault->reset_wanted = false;
        return JOB_RESET_ESTABLISHED;
    }
    if (fault->hash_wanted) {
        fault->hash_wanted = false;
        fault->busy = true;
        return JOB_HASH;
    }
    if (fault->save_wanted) {
        fault->save_wanted = false;
        fault->busy = true;
        return JOB_SAVE;
    }
    if (fault->submit_wanted) {
        fault->submit_wanted = false;
        fault->lingers = fault->lingering && tpm_backend_can_linger(fault->inner);
        fault->busy = true;
        return JOB_SUBMIT;
    }
    return JOB_NONE;
}

/* With no lock held; what it reads does not change while the TPM within is busy with it. */
static void do_job(FaultTPM *fault, Job job)
{
    switch (job) {
    case JOB_NONE:
        break;
    case JOB_CANCEL:
        tpm_backend_cancel(fault->inner);
        break;
    case JOB_RESUME:
        tpm_backend_resume(fault->inner);
        break;
    case JOB_START:
        tpm_backend_start(fault->inner, fault->buffer_size);
        break;
    case JOB_LOAD:
        /* The flag tpmEstablished is kept by the backend in front, or known by the TPM. */
        tpm_backend_load_state(fault->inner, fault->buffer_size, fault->loading, false,
                               fault->sequence);
        fault->loading = tpm_state_free(fault->loading);
        break;
    case JOB_RESET_ESTABLISHED:
        tpm_backend_reset_established(fault->inner, fault->reset_locality);
        break;
    case JOB_HASH:
        tpm_backend_load_hash(fault->inner, fault->hash_step, fault->hash_data, fault->hash_size);
        tpm_backend_hash(fault->inner);
        break;
    case JOB_SAVE:
        tpm_backend_save_state(fault->inner, fault->sequence);
        break;
    case JOB_SUBMIT:
        tpm_backend_load(fault->inner, fault->command.locality, fault->command.data,
                         fault->command.size);
        tpm_backend_sent_at(fault->inner, g_get_monotonic_time() * 1000);
        tpm_backend_submit(fault->inner, fault->lingers);
        break;
    }
}

void tpm_fault_run(FaultTPM *fault)
{
    Job job;

    if (fault->running) {
        return;
    }
    fault->running = true;
    while (!fault->dying && (job = take_job(fault)) != JOB_NONE) {
        g_mutex_unlock(&fault->lock);
        do_job(fault, job);
        g_mutex_lock(&fault->lock);
    }
    fault->running = false;
}

/* ---- telling the device ---- */

static gboolean on_timer(gpointer data);

static void unref_data(gpointer data)
{
    tpm_fault_unref(data);
}

static gboolean timer_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    g_source_set_ready_time(source, -1);
    return callback(data);
}

static GSourceFuncs timer_funcs = { .dispatch = timer_dispatch };

/* Have the answer told when it is due; with the lock held. */
static void arm_timer(FaultTPM *fault)
{
    if (!fault->timer) {
        fault->timer = g_source_new(&timer_funcs, sizeof(GSource));
        g_source_set_name(fault->timer, "tpmdev-fault");
        g_atomic_ref_count_inc(&fault->refs);
        g_source_set_callback(fault->timer, on_timer, fault, unref_data);
        g_source_attach(fault->timer, tpmdev_backend_get_context(fault->inner));
    }
    g_source_set_ready_time(fault->timer, fault->due_us);
}

bool tpm_fault_inner_has_failed(FaultTPM *fault)
{
    TPMBackendStatistics statistics = { .size = sizeof(statistics) };

    tpmdev_backend_get_statistics(fault->inner, &statistics);
    return statistics.failed;
}

/* Called with the lock held, returns with it held. */
static void begin_telling(FaultTPM *fault)
{
    fault->telling++;
    g_mutex_unlock(&fault->lock);
}

static void end_telling(FaultTPM *fault)
{
    g_mutex_lock(&fault->lock);
    if (--fault->telling == 0 && fault->dying) {
        g_cond_broadcast(&fault->told);
    }
}

/*
 * Have the device follow a TPM within that has recovered, or whose link has changed. What that
 * tells is not enough: while the device is told of a failure by one thread, or the failure waits to
 * be polled for, another thread may tell of the recovery, which is nobody's then. So whoever has
 * told the device of either looks how things stand, one thread at a time, until nobody has news.
 * Called with the lock held, returns with it held.
 */
static void follow(FaultTPM *fault)
{
    fault->has_news = true;
    if (fault->following) {
        return;
    }
    fault->following = true;
    while (fault->has_news && !fault->dying) {
        bool dead = fault->dead;

        fault->has_news = false;
        begin_telling(fault);
        g_autofree char *message = NULL;
        TPMBackendLink link = tpm_backend_get_link(fault->inner, &message);

        if (!dead && !tpm_fault_inner_has_failed(fault)) {
            tpmdev_backend_recovered(fault->backend);
        }
        tpmdev_backend_set_link(fault->backend, dead ? TPM_LINK_GONE : link);
        end_telling(fault);
    }
    fault->following = false;
}

static void tell_death(FaultTPM *fault, unsigned cycle)
{
    g_autoptr(GError) death =
        g_error_new(TPMDEV_ERROR, TPM_ERROR_TPM, "TPM backend '%s' has died, as it was told to",
                    tpmdev_backend_get_id(fault->backend));

    tpmdev_backend_failed_in_cycle(fault->backend, cycle, death);
}

static void tell_answer(FaultTPM *fault, unsigned cycle, const FaultAnswer *answer, bool moved)
{
    if (answer->outcome.dies) {
        tell_death(fault, cycle);
    } else if (answer->failure) {
        tpmdev_backend_failed_in_cycle(fault->backend, cycle, answer->failure);
    } else if (moved) {
        tpm_fault_tell_move(fault, answer);
    } else {
        tpmdev_backend_complete(fault->backend, fault->response, answer->outcome.size);
    }
}

static void answer_clear(FaultAnswer *answer)
{
    g_clear_error(&answer->failure);
    g_clear_error(&answer->refusal);
    answer->saved = tpm_state_free(answer->saved);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(FaultAnswer, answer_clear)

/*
 * Give the device its answer, if there is one and this is the time and the thread for it. Called
 * with the lock held, returns with it held. The next command does not come before the response has
 * been copied.
 */
static void settle(FaultTPM *fault)
{
    if (!fault->is_answered || fault->dying ||
        (fault->lingering && fault->inside != g_thread_self())) {
        return;
    }
    if (fault->due_us > g_get_monotonic_time()) {
        if (!fault->lingering && !fault->answer.outcome.hangs) {
            arm_timer(fault);
        }
        return;
    }
    unsigned cycle = fault->cycle;
    bool moved = fault->moving;
    g_auto(FaultAnswer) answer = fault->answer;

    fault->answer = (FaultAnswer){ 0 };
    fault->is_answered = fault->executing = fault->moving = fault->lingering = false;
    fault->dead = answer.outcome.dies || (fault->dead && !answer.revives);
    begin_telling(fault);
    tell_answer(fault, cycle, &answer, moved);
    end_telling(fault);
    if (answer.outcome.dies || answer.failure) {
        follow(fault);
    }
}

void tpm_fault_answered(FaultTPM *fault)
{
    const FaultOutcome *outcome = &fault->answer.outcome;

    fault->is_answered = true;
    fault->due_us = outcome->hangs ? G_MAXINT64 : g_get_monotonic_time() + outcome->delay_us;
    settle(fault);
}

static gboolean on_timer(gpointer data)
{
    FaultTPM *fault = data;

    g_mutex_lock(&fault->lock);
    settle(fault);
    g_mutex_unlock(&fault->lock);
    return G_SOURCE_CONTINUE;
}

/* ---- what the TPM within answers ---- */

static void look_again(FaultTPM *fault)
{
    g_mutex_lock(&fault->lock);
    follow(fault);
    g_mutex_unlock(&fault->lock);
}

void tpm_fault_inner_is_free(FaultTPM *fault)
{
    fault->busy = fault->lingers = false;
}

bool tpm_fault_is_of_before(const FaultTPM *fault)
{
    return fault->start_wanted || fault->load_wanted;
}

static void on_started(void *client, const GError *error)
{
    FaultTPM *fault = client;

    g_mutex_lock(&fault->lock);
    bool is_wanted = !tpm_fault_is_of_before(fault) && !fault->dead;
    unsigned cycle = fault->cycle;

    tpm_fault_inner_is_free(fault);
    tpm_fault_run(fault);
    g_mutex_unlock(&fault->lock);
    if (is_wanted && error) {
        tpmdev_backend_failed_in_cycle(fault->backend, cycle, error);
    } else if (is_wanted) {
        tpmdev_backend_started(fault->backend);
    }
    look_again(fault);
}

static void on_completed(void *client, const uint8_t *response, size_t size, const GError *error)
{
    FaultTPM *fault = client;
    bool failed = error && tpm_fault_inner_has_failed(fault);

    tpm_backend_answered_at(fault->inner, g_get_monotonic_time() * 1000);
    g_mutex_lock(&fault->lock);
    tpm_fault_inner_is_free(fault);
    if (fault->executing) { /* else its device is gone */
        memcpy(fault->response, response, size);
        if (failed) {
            fault->answer.failure = g_error_copy(error);
        } else {
            fault->answer.outcome = tpm_fault_rule_response(
                &fault->rule, fault->shows, tpmdev_backend_get_version(fault->inner),
                fault->response, size);
        }
        tpm_fault_answered(fault);
    }
    tpm_fault_run(fault);
    g_mutex_unlock(&fault->lock);
}

static void on_hashed(void *client, const GError *error)
{
    FaultTPM *fault = client;

    g_mutex_lock(&fault->lock);
    bool is_wanted = !tpm_fault_is_of_before(fault);
    unsigned cycle = fault->cycle;

    tpm_fault_inner_is_free(fault);
    tpm_fault_run(fault);
    g_mutex_unlock(&fault->lock);
    if (is_wanted && error) {
        tpmdev_backend_failed_in_cycle(fault->backend, cycle, error);
        look_again(fault);
    } else if (is_wanted) {
        tpmdev_backend_hashed(fault->backend);
    }
}

static void on_established(void *client, bool established)
{
    FaultTPM *fault = client;

    tpmdev_backend_set_established(fault->backend, established);
}

static void on_failed(void *client, const GError *error)
{
    FaultTPM *fault = client;

    g_mutex_lock(&fault->lock);
    fault->executing = fault->moving = fault->is_answered = fault->lingering = false;
    answer_clear(&fault->answer);
    unsigned cycle = fault->cycle;

    g_mutex_unlock(&fault->lock);
    tpmdev_backend_failed_in_cycle(fault->backend, cycle, error);
    look_again(fault);
}

static void on_recovered(void *client)
{
    look_again(client);
}

static void on_link_changed(void *client)
{
    look_again(client);
}

static const TPMBackendClient fault_client = {
    .started = on_started,
    .completed = on_completed,
    .hashed = on_hashed,
    .established = on_established,
    .failed = on_failed,
    .recovered = on_recovered,
    .link_changed = on_link_changed,
    .moved = tpm_fault_on_moved,
};

bool tpm_fault_bind(FaultTPM *fault, GError **error)
{
    fault->is_bound = tpm_backend_bind(fault->inner, &fault_client, fault, NULL, error);
    return fault->is_bound;
}

/* ---- the class ---- */

void tpm_fault_forget(FaultTPM *fault)
{
    fault->executing = fault->moving = fault->is_answered = fault->lingering = false;
    fault->start_wanted = fault->hash_wanted = fault->submit_wanted = fault->reset_wanted = false;
    fault->save_wanted = fault->load_wanted = fault->resume_wanted = false;
    fault->incoming = tpm_state_free(fault->incoming);
    answer_clear(&fault->answer);
}

static void fault_start(void *self, size_t buffer_size)
{
    FaultTPM *fault = self;
    unsigned cycle = tpmdev_backend_get_cycle(fault->backend);

    g_mutex_lock(&fault->lock);
    fault->cycle = cycle;
    tpm_fault_forget(fault);
    fault->dead = tpm_fault_rule_start(&fault->rule);
    fault->buffer_size = buffer_size;
    fault->start_wanted = !fault->dead;
    bool dead = fault->dead;

    tpm_fault_run(fault);
    g_mutex_unlock(&fault->lock);
    if (dead) {
        g_autoptr(GError) error = g_error_new(TPMDEV_ERROR, TPM_ERROR_TPM,
                                              "TPM backend '%s' does not start, as it was told to",
                                              tpmdev_backend_get_id(fault->backend));

        tpmdev_backend_failed_in_cycle(fault->backend, cycle, error);
    }
}

/* A recovery was told in the moment in which the TPM died, and so it is asked for something. */
bool tpm_fault_died_and_unlock(FaultTPM *fault)
{
    unsigned cycle = fault->cycle;
    bool dead = fault->dead;

    if (dead) {
        g_mutex_unlock(&fault->lock);
        tell_death(fault, cycle);
    }
    return dead;
}

static void fault_submit(void *self, const TPMCommand *command, bool linger)
{
    FaultTPM *fault = self;

    g_mutex_lock(&fault->lock);
    if (tpm_fault_died_and_unlock(fault)) {
        return;
    }
    fault->command = *command;
    fault->executing = true;
    fault->shows = tpm_fault_rule_command(&fault->rule, tpm_header_code(command->data));
    fault->lingering = linger;
    fault->inside = g_thread_self();
    fault->submit_wanted = true;
    tpm_fault_run(fault);
    settle(fault);
    fault->inside = NULL;
    g_mutex_unlock(&fault->lock);
}

static void fault_poll(void *self)
{
    FaultTPM *fault = self;

    g_mutex_lock(&fault->lock);
    fault->inside = g_thread_self();
    if (!fault->running && fault->busy) {
        fault->running = true;
        g_mutex_unlock(&fault->lock);
        tpm_backend_pump(fault->inner);
        g_mutex_lock(&fault->lock);
        fault->running = false;
        tpm_fault_run(fault);
    }
    settle(fault);
    fault->inside = NULL;
    g_mutex_unlock(&fault->lock);
}

static void fault_linger_end(void *self)
{
    FaultTPM *fault = self;

    g_mutex_lock(&fault->lock);
    fault->lingering = false;
    if (fault->lingers && !fault->running) {
        fault->running = true;
        fault->lingers = false;
        g_mutex_unlock(&fault->lock);
        tpm_backend_linger_end(fault->inner);
        g_mutex_lock(&fault->lock);
        fault->running = false;
        tpm_fault_run(fault);
    }
    settle(fault);
    g_mutex_unlock(&fault->lock);
}

static void fault_cancel(void *self)
{
    FaultTPM *fault = self;

    g_mutex_lock(&fault->lock);
    if (fault->is_answered) {
        fault->due_us = 0;
        fault->answer.outcome.hangs = false;
        settle(fault);
    } else {
        fault->cancel_wanted = true;
        tpm_fault_run(fault);
    }
    g_mutex_unlock(&fault->lock);
}

static void fault_reset_established(void *self, uint8_t locality)
{
    FaultTPM *fault = self;

    g_mutex_lock(&fault->lock);
    fault->reset_wanted = true;
    fault->reset_locality = locality;
    tpm_fault_run(fault);
    g_mutex_unlock(&fault->lock);
}

static void fault_hash(void *self, TPMHashStep step, const uint8_t *data, size_t size)
{
    FaultTPM *fault = self;

    g_mutex_lock(&fault->lock);
    if (tpm_fault_died_and_unlock(fault)) {
        return;
    }
    fault->hash_wanted = true;
    fault->hash_step = step;
    fault->hash_data = data;
    fault->hash_size = size;
    tpm_fault_run(fault);
    g_mutex_unlock(&fault->lock);
}

void tpm_fault_unref(FaultTPM *fault)
{
    if (g_atomic_ref_count_dec(&fault->refs)) {
        tpm_fault_rule_clear(&fault->rule);
        tpm_fault_forget(fault);
        g_mutex_clear(&fault->lock);
        g_cond_clear(&fault->told);
        g_free(fault);
    }
}

static void fault_destroy(void *self)
{
    FaultTPM *fault = self;

    g_mutex_lock(&fault->lock);
    fault->dying = true;
    while (fault->telling > 0) {
        g_cond_wait(&fault->told, &fault->lock);
    }
    GSource *timer = g_steal_pointer(&fault->timer);

    g_mutex_unlock(&fault->lock);
    if (timer) {
        g_source_destroy(timer);
        g_source_unref(timer);
    }
    if (fault->is_bound) {
        tpm_backend_unbind(fault->inner);
    }
    tpmdev_backend_unref(fault->inner);
    tpm_fault_unref(fault);
}

const TPMBackendClass tpm_backend_fault_class = {
    .size = sizeof(TPMBackendClass),
    .type = "fault",
    .description = "another TPM backend with a fault, for tests",
    .options = tpm_fault_options,
    .create = tpm_fault_create,
    .start = fault_start,
    .submit = fault_submit,
    .poll = fault_poll,
    .linger_end = fault_linger_end,
    .cancel = fault_cancel,
    .reset_established = fault_reset_established,
    .destroy = fault_destroy,
    .hash = fault_hash,
    .can_migrate = tpm_fault_can_migrate,
    .save = tpm_fault_save,
    .load = tpm_fault_load,
    .resume = tpm_fault_resume,
};
