/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `passthrough` backend: the host's TPM, through its character device.
 *
 * The kernel's device blocks for as long as a command takes, also where it is asked not to
 * (passthrough-device.h), so a thread of the backend's own, the worker, makes all system calls; no
 * vCPU and no I/O thread ever waits for it. Cancels have another one: passthrough-cancel.c.
 *
 *     IDLE ──submit──► WAITING ──worker──► RUNNING ──worker──► IDLE, answered
 *                         └──────cancel, start──────────────────► IDLE
 *
 * A host's TPM was started by the host's firmware, and is not power-cycled for a guest: start()
 * only sees to it that the device is open. So a guest's firmware is told TPM_RC_INITIALIZE (2.0) or
 * TPM_INVALID_POSTINIT (1.2) when it sends its Startup, which it takes as done, and PCRs keep the
 * values they have. Linux's device speaks for locality 0 alone: a command of another locality is
 * answered as a TPM does that does not take it from there, for it must not be carried out with
 * rights its sender did not mean.
 *
 * A command that fails is answered with a failure and tells nothing about the next. When the device
 * is gone the backend has failed; the next start() opens it again, not before: a TPM that was taken
 * away and has come back may have lost what the guest had measured.
 *
 * Neighbours: backend.c (stage 4 of 6) calls these functions and takes their answers;
 * passthrough-device.c makes the system calls.
 */
#include "passthrough-internal.h"

#include "builtin.h"
#include "command.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>

/* Return codes for a locality that may not: TPM 2.0 Part 2 "TPM_RC"; 1.2 Part 2 "Return Codes". */
#define TPM2_RC_LOCALITY   0x907u
#define TPM12_BAD_LOCALITY 0x3Du

/* ---- threads ---- */

void tpm_passthrough_unref(Passthrough *tpm)
{
    if (!g_atomic_ref_count_dec(&tpm->refs)) {
        return;
    }
    tpm_passthrough_close(&tpm->system, &tpm->fd);
    tpm_passthrough_close(&tpm->system, &tpm->cancel_fd);
    g_mutex_clear(&tpm->lock);
    g_cond_clear(&tpm->work_is_due);
    g_cond_clear(&tpm->ended);
    g_clear_error(&tpm->failure);
    g_free(tpm->no_cancel);
    g_free(tpm->response);
    g_free(tpm->command);
    g_free(tpm->cancel_path);
    g_free(tpm->name);
    g_free(tpm->path);
    g_free(tpm->id);
    g_free(tpm);
}

/* A handler of the host's must not run on it. */
GThread *tpm_passthrough_thread_new(Passthrough *tpm, const char *name, GThreadFunc run,
                                    GError **error)
{
    g_autoptr(GError) cause = NULL;
    sigset_t all, before;

    g_atomic_ref_count_inc(&tpm->refs);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    GThread *thread = g_thread_try_new(name, run, tpm, &cause);

    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!thread) {
        tpm_passthrough_unref(tpm); /* its creator has another one */
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "cannot start a thread for the TPM: %s",
                    cause->message);
    }
    return thread;
}

/* ---- the worker: with the lock held before and after, unless it says otherwise ---- */

/* From here to end_telling() without the lock, so that the backend can be called; or not at all. */
static bool begin_telling(Passthrough *tpm)
{
    tpm->telling = !tpm->destroyed;
    if (tpm->telling) {
        g_mutex_unlock(&tpm->lock);
    }
    return tpm->telling;
}

static void end_telling(Passthrough *tpm)
{
    g_mutex_lock(&tpm->lock);
    tpm->telling = false;
    g_cond_broadcast(&tpm->ended);
}

static void run_bring_up(Passthrough *tpm)
{
    GError *error = NULL;

    g_mutex_unlock(&tpm->lock);
    bool good = tpm_passthrough_bring_up(tpm, &error);

    g_mutex_lock(&tpm->lock);
    tpm->known = good;
    tpm->failure = error;
    tpm->work &= ~(unsigned)PASSTHROUGH_WORK_BRING_UP;
    g_cond_broadcast(&tpm->ended);
}

static void run_start(Passthrough *tpm)
{
    g_autoptr(GError) error = NULL;
    unsigned cycle = tpm->cycle;

    tpm->work &= ~(unsigned)PASSTHROUGH_WORK_START;
    g_mutex_unlock(&tpm->lock);
    if (tpm->fd < 0 && !tpm_passthrough_bring_up(tpm, &error)) {
        g_prefix_error(&error, "TPM backend '%s': ", tpm->id);
    }
    g_mutex_lock(&tpm->lock);
    if (!begin_telling(tpm)) {
        return;
    }
    if (error) {
        tpmdev_backend_failed_in_cycle(tpm->backend, cycle, error);
    } else {
        tpmdev_backend_started(tpm->backend);
    }
    end_telling(tpm);
}

static void complete_with_code(Passthrough *tpm, uint32_t code_1_2, uint32_t code_2_0)
{
    uint8_t response[TPM_HEADER_SIZE];

    tpm_error_response(tpm->version, tpm->version == TPM_VERSION_1_2 ? code_1_2 : code_2_0,
                       response);
    tpmdev_backend_complete(tpm->backend, response, sizeof(response));
}

/* Without the lock. */
static void tell_outcome(Passthrough *tpm, PassthroughOutcome outcome, size_t size, unsigned cycle,
                         const GError *error)
{
    switch (outcome) {
    case PASSTHROUGH_ANSWERED:
        tpmdev_backend_complete(tpm->backend, tpm->response, size);
        break;
    case PASSTHROUGH_CANCELLED:
        complete_with_code(tpm, TPM12_FAIL, TPM2_RC_CANCELED);
        break;
    case PASSTHROUGH_TOO_LARGE:
        complete_with_code(tpm, TPM12_BAD_PARAM_SIZE, TPM2_RC_COMMAND_SIZE);
        break;
    case PASSTHROUGH_FAILED:
        tpmdev_backend_complete_with_error(tpm->backend, error);
        break;
    case PASSTHROUGH_GONE:
        tpmdev_backend_failed_in_cycle(tpm->backend, cycle, error);
        break;
    }
}

static void run_command(Passthrough *tpm)
{
    g_autoptr(GError) error = NULL;
    size_t size = TPM_BUFFER_SIZE_MAX;
    unsigned cycle = tpm->cycle;

    tpm->phase = PASSTHROUGH_RUNNING;
    g_mutex_unlock(&tpm->lock);
    PassthroughOutcome outcome = tpm_passthrough_transact(
        &tpm->system, tpm->fd, tpm->command, tpm->command_size, tpm->response, &size, &error);

    if (outcome == PASSTHROUGH_GONE) {
        tpm_passthrough_close(&tpm->system, &tpm->fd);
    }
    g_prefix_error(&error, "TPM backend '%s': ", tpm->id);
    g_mutex_lock(&tpm->lock);
    tpm->phase = PASSTHROUGH_IDLE;
    tpm->cancel_wanted = false; /* too late: it would hit the next command */
    /* Where start() has come meanwhile, backend.c drops this: the start is answered after it. */
    if (begin_telling(tpm)) {
        tell_outcome(tpm, outcome, size, cycle, error);
        end_telling(tpm);
    }
}

gpointer tpm_passthrough_worker_run(gpointer data)
{
    Passthrough *tpm = data;

    g_mutex_lock(&tpm->lock);
    while (!(tpm->work & PASSTHROUGH_WORK_QUIT)) {
        if (tpm->work & PASSTHROUGH_WORK_BRING_UP) {
            run_bring_up(tpm);
        } else if (tpm->work & PASSTHROUGH_WORK_START) {
            run_start(tpm);
        } else if (tpm->phase == PASSTHROUGH_WAITING && !tpm->cancelling) {
            run_command(tpm);
        } else {
            g_cond_wait(&tpm->work_is_due, &tpm->lock);
        }
    }
    tpm->worker_has_ended = true;
    g_cond_broadcast(&tpm->ended);
    g_mutex_unlock(&tpm->lock);
    tpm_passthrough_unref(tpm);
    return NULL;
}

/* ---- the class ---- */

/* A command of before is dropped, or if it runs, cancelled; the worker comes here after its end. */
static void passthrough_start(void *self, size_t buffer_size)
{
    Passthrough *tpm = self;

    (void)buffer_size; /* a chip's buffer has the size it has; backend.c checks the responses */
    unsigned cycle = tpmdev_backend_get_cycle(tpm->backend);

    g_mutex_lock(&tpm->lock);
    tpm->cycle = cycle;
    if (tpm->phase == PASSTHROUGH_WAITING) {
        tpm->phase = PASSTHROUGH_IDLE;
    }
    tpm_passthrough_cancel_running(tpm);
    tpm->work |= PASSTHROUGH_WORK_START;
    g_cond_broadcast(&tpm->work_is_due);
    g_mutex_unlock(&tpm->lock);
}

static void passthrough_submit(void *self, const TPMCommand *command, bool linger)
{
    Passthrough *tpm = self;

    (void)linger; /* no chip is that quick */
    if (command->locality != 0) {
        complete_with_code(tpm, TPM12_BAD_LOCALITY, TPM2_RC_LOCALITY);
        return;
    }
    g_mutex_lock(&tpm->lock);
    memcpy(tpm->command, command->data, command->size); /* the worker may outlive the backend */
    tpm->command_size = command->size;
    tpm->phase = PASSTHROUGH_WAITING;
    g_cond_broadcast(&tpm->work_is_due);
    g_mutex_unlock(&tpm->lock);
}

static bool passthrough_can_migrate(void *self, GError **error)
{
    Passthrough *tpm = self;

    g_set_error(
        error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED,
        "TPM backend '%s' is the host's own TPM, whose keys and PCRs cannot be taken out of "
        "it; a machine that is to be saved or migrated takes an emulator or libtpms",
        tpm->id);
    return false;
}

/* With the lock held: has this thread done with the struct, or is there none? */
static bool threads_have_ended(const Passthrough *tpm)
{
    return tpm->worker_has_ended && (!tpm->canceller || tpm->canceller_has_ended);
}

/* A thread that has said that it has ended is waited for; one that has not is left alone. */
static void join_or_leave(GThread *thread, bool has_ended)
{
    if (thread && has_ended) {
        g_thread_join(thread);
    } else if (thread) {
        g_thread_unref(thread);
    }
}

void tpm_passthrough_end(Passthrough *tpm)
{
    gint64 deadline =
        g_get_monotonic_time() + tpm->deadlines.destroy * (gint64)G_TIME_SPAN_MILLISECOND;
    bool in_time = true;

    g_mutex_lock(&tpm->lock);
    tpm->destroyed = true;
    tpm_passthrough_cancel_running(tpm);
    tpm->work |= PASSTHROUGH_WORK_QUIT;
    g_cond_broadcast(&tpm->work_is_due);
    /* A call of the backend is short; only the kernel may take its time. */
    while (tpm->telling || (in_time && !threads_have_ended(tpm))) {
        in_time = g_cond_wait_until(&tpm->ended, &tpm->lock, deadline) && in_time;
    }
    GThread *worker = tpm->worker, *canceller = tpm->canceller;
    bool worker_has_ended = tpm->worker_has_ended, canceller_has_ended = tpm->canceller_has_ended;
    g_mutex_unlock(&tpm->lock);

    join_or_leave(worker, worker_has_ended);
    join_or_leave(canceller, canceller_has_ended);
    tpm_passthrough_unref(tpm);
}

static void passthrough_destroy(void *self)
{
    tpm_passthrough_end(self);
}

const TPMBackendClass tpm_backend_passthrough_class = {
    .size = sizeof(TPMBackendClass),
    .type = "passthrough",
    .description = "the host's own TPM",
    .options = tpm_passthrough_options,
    .create = tpm_passthrough_create,
    .start = passthrough_start,
    .submit = passthrough_submit,
    .cancel = tpm_passthrough_cancel,
    .destroy = passthrough_destroy,
    .can_migrate = passthrough_can_migrate,
};
