/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `libtpms` backend: a TPM in this process, on a thread of its own.
 *
 * A command goes from the device's thread to the worker and back through `phase`, one atomic
 * word, and nobody takes a lock that another may hold for long:
 *
 *     IDLE ──submit──► WAITING ──worker──► RUNNING ──worker──► DONE ──whoever brings it──► IDLE
 *                         └───────cancel──────┘
 *
 * Who brings the response to the device: poll() or linger_end() when the device lingers, and the
 * worker otherwise. Both try; the step from DONE to IDLE succeeds once.
 *
 * A worker that sleeps takes ten microseconds and more to wake, many times what a short command
 * takes to run. So after a command it looks out for the next one for a moment before it sleeps,
 * but only while commands come that fast and there are processors to spare. A guest that leaves its
 * TPM alone costs nothing.
 *
 * When a TPM's state cannot be stored, the command under way ends with the failure response, the
 * host hears why, and the backend has failed until the next start(), which begins with the state
 * that was stored last.
 *
 * Neighbours: backend.c (stage 4 of 6) calls these functions and takes their answers;
 * libtpms-engine.c is the TPM; libtpms-new.c makes one as its configuration says.
 */
#include "backend-internal.h"
#include "builtin.h"
#include "command.h"
#include "libtpms-internal.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Commands that follow one another within this time are worth looking out for, and so long. */
#define LOOKOUT_US 100

/* For so many commands it sleeps at once when it found the processors crowded. */
#define CROWDED_COMMANDS 1000

/* How often a cancel is said again to a command that has not ended. */
#define CANCEL_INTERVAL_MS 1

/* Where a command is. Written with atomic operations only. */
typedef enum Phase {
    PHASE_IDLE,    /* there is none */
    PHASE_WAITING, /* submitted, and not taken yet */
    PHASE_RUNNING, /* with the worker, or being answered by a cancel */
    PHASE_DONE,    /* the response is there to be brought */
} Phase;

/* What the worker is asked to do, in the order in which it does it. */
typedef enum Work {
    WORK_RESUME = 1 << 0,
    WORK_QUIT = 1 << 1,
    WORK_START = 1 << 2,
    WORK_RESET_ESTABLISHED = 1 << 3,
    WORK_COMMAND = 1 << 4,
    WORK_HASH = 1 << 5,
    WORK_SAVE = 1 << 6,
    WORK_LOAD = 1 << 7,
} Work;

typedef struct LibtpmsTPM {
    gatomicrefcount refs; /* of destroy(), and of the source that cancels */
    TPMBackend *backend;  /* not a reference: the backend owns this struct */
    TPMVersion version;
    LibtpmsEngine *engine; /* the worker's, from when it runs */
    GThread *worker;

    /* Atomic. */
    gint work;           /* of Work */
    gint phase;          /* a Phase */
    gint lingering;      /* the device will poll */
    gint abandoned;      /* start() or load() came: nobody is to hear of what was before */
    gint sleeping;       /* the worker needs to be woken */
    gint buffer_size;    /* for WORK_START */
    gint cycle;          /* of the last start() or load() */
    gint reset_locality; /* for WORK_RESET_ESTABLISHED */
    gint resume_cycle;   /* for WORK_RESUME: what of its failure is told is of this power cycle */

    /* Whose phase says so: the submitter's when IDLE, else of him who runs or brings. */
    unsigned command_cycle; /* what is told of its failure is of this power cycle */
    uint8_t locality;
    size_t command_size;
    uint8_t *command; /* of libtpms' largest size, as the response */
    LibtpmsResponse response;
    GError *failure; /* what there is in place of a response */

    /* For WORK_HASH: whoever rings, then the worker's until it has answered. */
    TPMHashStep hash_step;
    unsigned hash_cycle;
    size_t hash_size;
    const uint8_t *hash_data; /* the backend's, until the step is answered */

    gpointer incoming; /* for WORK_LOAD: a TPMState of our own; atomic */

    GMutex sleep_lock;
    GCond wake;   /* there is work */
    GCond exited; /* the worker is about to end */
    bool has_exited;

    GMutex cancel_lock; /* for the next two */
    bool executing;     /* libtpms has the command: a cancel has to go there */
    bool cancelled;     /* and it is to be said until the command ends */

    GSource *cancel_source; /* the device side's: says it again */

    /* The worker's own. */
    gint64 idle_since; /* monotonic microseconds */
    bool busy;         /* the last work came soon after the one before */
    unsigned crowded;  /* commands for which it is not to look out */
} LibtpmsTPM;

/* ---- from phase to phase ---- */

static bool phase_step(LibtpmsTPM *tpm, Phase from, Phase to)
{
    return g_atomic_int_compare_and_exchange(&tpm->phase, from, to);
}

/* If there is a response to be brought, bring it. */
static void bring(LibtpmsTPM *tpm)
{
    if (!phase_step(tpm, PHASE_DONE, PHASE_IDLE)) {
        return;
    }
    g_autoptr(GError) failure = g_steal_pointer(&tpm->failure);

    if (g_atomic_int_get(&tpm->abandoned)) {
        return;
    }
    if (failure) {
        tpmdev_backend_failed_in_cycle(tpm->backend, tpm->command_cycle, failure);
    } else {
        tpmdev_backend_complete(tpm->backend, tpm->response.data, tpm->response.size);
    }
}

/* The response is ready. A device that lingers fetches it, now or with linger_end(). */
static void finish(LibtpmsTPM *tpm)
{
    g_atomic_int_set(&tpm->phase, PHASE_DONE);
    if (!g_atomic_int_get(&tpm->lingering)) {
        bring(tpm);
    }
}

/* ---- the worker ---- */

static void run_start(LibtpmsTPM *tpm)
{
    g_autoptr(GError) error = NULL;
    unsigned cycle = (unsigned)g_atomic_int_get(&tpm->cycle);

    g_atomic_int_set(&tpm->abandoned, FALSE);
    if (!libtpms_engine_power_on(tpm->engine, (size_t)g_atomic_int_get(&tpm->buffer_size),
                                 &error)) {
        tpmdev_backend_failed_in_cycle(tpm->backend, cycle, error);
        return;
    }
    tpmdev_backend_set_established(tpm->backend, libtpms_engine_get_established(tpm->engine));
    tpmdev_backend_started(tpm->backend);
}

/* Its device may have gone meanwhile, and the next one wait for the answer to its own load. */
static void run_save(LibtpmsTPM *tpm)
{
    g_autoptr(GError) error = NULL;
    LibtpmsState collected = { .shut_down = false };
    bool saved = libtpms_engine_save(tpm->engine, &collected, &error);
    TPMState state = libtpms_state_get(&collected);

    if (g_atomic_int_get(&tpm->abandoned)) {
        /* nobody is to hear of it */
    } else if (saved) {
        tpmdev_backend_saved(tpm->backend, &state);
    } else {
        tpmdev_backend_refused(tpm->backend, error);
    }
    libtpms_state_clear(&collected);
}

static void run_load(LibtpmsTPM *tpm)
{
    unsigned cycle = (unsigned)g_atomic_int_get(&tpm->cycle);
    g_autoptr(TPMState) state = g_atomic_pointer_exchange(&tpm->incoming, NULL);
    g_autoptr(GError) error = NULL;
    bool lost;

    if (!state) {
        return; /* a later load() has it, and is behind this one */
    }
    g_atomic_int_set(&tpm->abandoned, FALSE);
    bool loaded = libtpms_engine_load(tpm->engine, (size_t)g_atomic_int_get(&tpm->buffer_size),
                                      state, &lost, &error);

    if (g_atomic_int_get(&tpm->abandoned)) {
        return; /* as of a save: a start or another load is behind it */
    }
    if (loaded) {
        tpmdev_backend_set_established(tpm->backend, libtpms_engine_get_established(tpm->engine));
        tpmdev_backend_loaded(tpm->backend);
    } else if (lost) {
        tpmdev_backend_failed_in_cycle(tpm->backend, cycle, error);
    } else {
        tpmdev_backend_refused(tpm->backend, error);
    }
}

/* A start or load that came right behind it is answered by what becomes of that. */
static void run_resume(LibtpmsTPM *tpm)
{
    unsigned cycle = (unsigned)g_atomic_int_get(&tpm->resume_cycle);
    g_autoptr(GError) error = NULL;

    if (!libtpms_engine_resume(tpm->engine, &error)) {
        tpmdev_backend_failed_in_cycle(tpm->backend, cycle, error);
    }
}

static void run_reset_established(LibtpmsTPM *tpm)
{
    libtpms_engine_reset_established(tpm->engine, (uint8_t)g_atomic_int_get(&tpm->reset_locality));
    tpmdev_backend_set_established(tpm->backend, libtpms_engine_get_established(tpm->engine));
}

/* Take the command unless a cancel did. From here on a cancel is for libtpms. */
static bool begin_command(LibtpmsTPM *tpm)
{
    g_mutex_lock(&tpm->cancel_lock);
    tpm->executing = phase_step(tpm, PHASE_WAITING, PHASE_RUNNING);
    bool taken = tpm->executing;
    g_mutex_unlock(&tpm->cancel_lock);
    return taken;
}

/* No cancel reaches libtpms after this: it would hit the next command. */
static void end_command(LibtpmsTPM *tpm)
{
    g_mutex_lock(&tpm->cancel_lock);
    tpm->executing = false;
    tpm->cancelled = false;
    g_mutex_unlock(&tpm->cancel_lock);
}

static void run_command(LibtpmsTPM *tpm)
{
    if (begin_command(tpm)) {
        libtpms_engine_execute(tpm->engine, tpm->locality, tpm->command, tpm->command_size,
                               &tpm->response, &tpm->failure);
        end_command(tpm);
        finish(tpm);
    }
}

/* A device that has gone meanwhile, or another in its place, drops the answer. */
static void run_hash(LibtpmsTPM *tpm)
{
    g_autoptr(GError) error = NULL;

    if (!libtpms_engine_hash(tpm->engine, tpm->hash_step, tpm->hash_data, tpm->hash_size, &error)) {
        if (!g_atomic_int_get(&tpm->abandoned)) {
            tpmdev_backend_failed_in_cycle(tpm->backend, tpm->hash_cycle, error);
        }
        return;
    }
    if (tpm->hash_step == TPM_HASH_END) {
        tpmdev_backend_set_established(tpm->backend, libtpms_engine_get_established(tpm->engine));
    }
    tpmdev_backend_hashed(tpm->backend);
}

/*
 * Look out for work for a moment; true when some came. sched_yield() leaves the processor to who
 * has use for it, and it comes back late when somebody had: up to milliseconds. One who sleeps is
 * woken before them, so then it is better to sleep, for the next while.
 */
static bool look_out(LibtpmsTPM *tpm)
{
    gint64 before = tpm->idle_since;

    for (;;) {
        bool found = g_atomic_int_get(&tpm->work) != 0;
        gint64 now = g_get_monotonic_time();

        if (now - before > LOOKOUT_US) {
            tpm->crowded = CROWDED_COMMANDS;
        }
        if (found || now - tpm->idle_since >= LOOKOUT_US) {
            return found;
        }
        before = now;
        sched_yield();
    }
}

static void sleep_until_work(LibtpmsTPM *tpm)
{
    g_mutex_lock(&tpm->sleep_lock);
    g_atomic_int_set(&tpm->sleeping, TRUE); /* before work is looked at; ring() has it reversed */
    while (!g_atomic_int_get(&tpm->work)) {
        g_cond_wait(&tpm->wake, &tpm->sleep_lock);
    }
    g_atomic_int_set(&tpm->sleeping, FALSE);
    g_mutex_unlock(&tpm->sleep_lock);
}

static unsigned wait_for_work(LibtpmsTPM *tpm)
{
    if (!g_atomic_int_get(&tpm->work)) {
        tpm->idle_since = g_get_monotonic_time();
        if (tpm->crowded > 0) {
            tpm->crowded--;
            sleep_until_work(tpm);
        } else if (!tpm->busy || !look_out(tpm)) {
            sleep_until_work(tpm);
        }
        tpm->busy = g_get_monotonic_time() - tpm->idle_since <= LOOKOUT_US;
    }
    return (unsigned)g_atomic_int_and((guint *)&tpm->work, 0);
}

static void say_exited(LibtpmsTPM *tpm)
{
    g_mutex_lock(&tpm->sleep_lock);
    tpm->has_exited = true;
    g_cond_signal(&tpm->exited);
    g_mutex_unlock(&tpm->sleep_lock);
}

static gpointer worker_run(gpointer data)
{
    LibtpmsTPM *tpm = data;

    for (;;) {
        unsigned work = wait_for_work(tpm);

        if (work & WORK_RESUME) {
            run_resume(tpm);
        }
        if (work & WORK_QUIT) {
            break;
        }
        if (work & WORK_START) {
            run_start(tpm);
        }
        if (work & WORK_RESET_ESTABLISHED) {
            run_reset_established(tpm);
        }
        if (work & WORK_COMMAND) {
            run_command(tpm);
        }
        if (work & WORK_HASH) {
            run_hash(tpm);
        }
        if (work & WORK_SAVE) {
            run_save(tpm);
        }
        if (work & WORK_LOAD) {
            run_load(tpm);
        }
    }
    libtpms_engine_close(tpm->engine);
    say_exited(tpm);
    return NULL;
}

/* Ask the worker for something. The lock is free, or held by a worker on its way to sleep. */
static void ring(LibtpmsTPM *tpm, Work work)
{
    g_atomic_int_or((guint *)&tpm->work, work);
    if (g_atomic_int_get(&tpm->sleeping)) {
        g_mutex_lock(&tpm->sleep_lock);
        g_cond_signal(&tpm->wake);
        g_mutex_unlock(&tpm->sleep_lock);
    }
}

/* ---- cancel ---- */

/* Say it once, if it still concerns a command; false when it does not. */
static bool cancel_again(LibtpmsTPM *tpm)
{
    g_mutex_lock(&tpm->cancel_lock);
    bool cancelled = tpm->cancelled;

    if (cancelled) {
        libtpms_engine_cancel();
    }
    g_mutex_unlock(&tpm->cancel_lock);
    return cancelled;
}

static gboolean on_cancel_interval(gpointer data)
{
    return cancel_again(data) ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static void cancel_source_remove(LibtpmsTPM *tpm)
{
    GSource *source = g_steal_pointer(&tpm->cancel_source);

    if (source) {
        g_source_destroy(source);
        g_source_unref(source);
    }
}

static LibtpmsTPM *tpm_ref(LibtpmsTPM *tpm)
{
    g_atomic_ref_count_inc(&tpm->refs);
    return tpm;
}

static void tpm_unref(gpointer data)
{
    LibtpmsTPM *tpm = data;

    if (!g_atomic_ref_count_dec(&tpm->refs)) {
        return;
    }
    g_mutex_clear(&tpm->sleep_lock);
    g_cond_clear(&tpm->wake);
    g_cond_clear(&tpm->exited);
    g_mutex_clear(&tpm->cancel_lock);
    g_clear_error(&tpm->failure);
    tpm_state_free(tpm->incoming);
    free(tpm->response.data);
    g_free(tpm->command);
    g_free(tpm);
}

/* The source may be running on its thread while destroy() goes on: it has a reference. */
static void cancel_source_add(LibtpmsTPM *tpm)
{
    cancel_source_remove(tpm);
    tpm->cancel_source = g_timeout_source_new(CANCEL_INTERVAL_MS);
    g_source_set_name(tpm->cancel_source, "tpmdev-libtpms-cancel");
    g_source_set_callback(tpm->cancel_source, on_cancel_interval, tpm_ref(tpm), tpm_unref);
    g_source_attach(tpm->cancel_source, tpmdev_backend_get_context(tpm->backend));
}

/* The command has not reached the TPM, and will not. */
static void answer_cancelled(LibtpmsTPM *tpm)
{
    uint32_t code = tpm->version == TPM_VERSION_1_2 ? TPM12_FAIL : TPM2_RC_CANCELED;

    tpm_error_response(tpm->version, code, tpm->response.data);
    tpm->response.size = TPM_HEADER_SIZE;
    finish(tpm);
}

/*
 * libtpms forgets a cancel as it begins a command, at a point nobody outside can see, so it is
 * said now and again until the command has ended.
 */
static void libtpms_cancel(void *self)
{
    LibtpmsTPM *tpm = self;

    g_mutex_lock(&tpm->cancel_lock);
    bool not_begun = phase_step(tpm, PHASE_WAITING, PHASE_RUNNING);

    /* TPM 1.2 has no way to cancel a command that runs. */
    tpm->cancelled = tpm->executing && tpm->version == TPM_VERSION_2_0;
    g_mutex_unlock(&tpm->cancel_lock);

    if (not_begun) {
        answer_cancelled(tpm);
    } else if (cancel_again(tpm)) {
        cancel_source_add(tpm);
    }
}

/* ---- the class ---- */

/*
 * After a device has left and another come, a command of the old one may still be here. It is
 * cancelled, and the worker comes to WORK_START only when it has ended.
 */
static void begin_anew(LibtpmsTPM *tpm, size_t buffer_size)
{
    g_atomic_int_set(&tpm->cycle, (gint)tpmdev_backend_get_cycle(tpm->backend));
    g_atomic_int_set(&tpm->abandoned, TRUE);
    g_atomic_int_set(&tpm->lingering, FALSE);
    bring(tpm);
    libtpms_cancel(tpm);
    g_atomic_int_and((guint *)&tpm->work, ~(guint)(WORK_HASH | WORK_SAVE | WORK_LOAD));
    g_atomic_int_set(&tpm->buffer_size, (gint)buffer_size);
}

static void libtpms_start(void *self, size_t buffer_size)
{
    begin_anew(self, buffer_size);
    ring(self, WORK_START);
}

static void libtpms_load(void *self, size_t buffer_size, const TPMState *state)
{
    LibtpmsTPM *tpm = self;

    begin_anew(tpm, buffer_size);
    tpm_state_free(g_atomic_pointer_exchange(&tpm->incoming, tpm_state_copy(state)));
    ring(tpm, WORK_LOAD);
}

static void libtpms_save(void *self)
{
    ring(self, WORK_SAVE);
}

static void libtpms_resume(void *self)
{
    LibtpmsTPM *tpm = self;

    g_atomic_int_set(&tpm->resume_cycle, g_atomic_int_get(&tpm->cycle));
    ring(tpm, WORK_RESUME);
}

/* The bytes are copied: libtpms decrypts parameters in place. */
static void libtpms_submit(void *self, const TPMCommand *command, bool linger)
{
    LibtpmsTPM *tpm = self;

    tpm->command_cycle = (unsigned)g_atomic_int_get(&tpm->cycle);
    tpm->locality = command->locality;
    tpm->command_size = command->size;
    memcpy(tpm->command, command->data, command->size);
    g_atomic_int_set(&tpm->lingering, linger);
    g_atomic_int_set(&tpm->phase, PHASE_WAITING);
    ring(tpm, WORK_COMMAND);
}

static void libtpms_hash(void *self, TPMHashStep step, const uint8_t *data, size_t size)
{
    LibtpmsTPM *tpm = self;

    tpm->hash_cycle = (unsigned)g_atomic_int_get(&tpm->cycle);
    tpm->hash_step = step;
    tpm->hash_data = data;
    tpm->hash_size = size;
    ring(tpm, WORK_HASH);
}

static void libtpms_poll(void *self)
{
    LibtpmsTPM *tpm = self;

    if (g_atomic_int_get(&tpm->phase) == PHASE_DONE) {
        g_atomic_int_set(&tpm->lingering, FALSE);
        bring(tpm);
    }
}

static void libtpms_linger_end(void *self)
{
    LibtpmsTPM *tpm = self;

    g_atomic_int_set(&tpm->lingering, FALSE); /* before phase is looked at; finish() reversed */
    bring(tpm);
}

static void libtpms_reset_established(void *self, uint8_t locality)
{
    LibtpmsTPM *tpm = self;

    g_atomic_int_set(&tpm->reset_locality, locality);
    ring(tpm, WORK_RESET_ESTABLISHED);
}

/* Bounded by what libtpms does between two looks at its cancel flag, and by one write of state. */
static void libtpms_destroy(void *self)
{
    LibtpmsTPM *tpm = self;

    g_atomic_int_set(&tpm->lingering, FALSE);
    libtpms_cancel(tpm);
    libtpms_engine_hurry(tpm->engine);
    ring(tpm, WORK_QUIT);

    /* The context that would say the cancel again may be waiting for us. */
    g_mutex_lock(&tpm->sleep_lock);
    while (!tpm->has_exited) {
        cancel_again(tpm);
        g_cond_wait_until(&tpm->exited, &tpm->sleep_lock,
                          g_get_monotonic_time() + CANCEL_INTERVAL_MS * G_TIME_SPAN_MILLISECOND);
    }
    g_mutex_unlock(&tpm->sleep_lock);
    g_thread_join(tpm->worker);
    cancel_source_remove(tpm);
    tpm_unref(tpm);
}

const TPMBackendClass tpm_backend_libtpms_class = {
    .size = sizeof(TPMBackendClass),
    .type = "libtpms",
    .description = "TPM of libtpms in this process",
    .options = tpm_libtpms_options,
    .create = tpm_libtpms_create,
    .start = libtpms_start,
    .submit = libtpms_submit,
    .poll = libtpms_poll,
    .linger_end = libtpms_linger_end,
    .cancel = libtpms_cancel,
    .reset_established = libtpms_reset_established,
    .destroy = libtpms_destroy,
    .hash = libtpms_hash,
    .save = libtpms_save,
    .load = libtpms_load,
    .resume = libtpms_resume,
};

/* ---- making one ---- */

/* The worker takes no signals: a handler of the host's would run on it, and SIGXFSZ would kill. */
static GThread *worker_new(LibtpmsTPM *tpm, GError **error)
{
    g_autoptr(GError) cause = NULL;
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    GThread *worker = g_thread_try_new("tpmdev-libtpms", worker_run, tpm, &cause);

    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!worker) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "cannot start the TPM's thread: %s",
                    cause->message);
    }
    return worker;
}

static LibtpmsTPM *tpm_new(TPMVersion version, LibtpmsEngine *engine, size_t buffer_size)
{
    LibtpmsTPM *tpm = g_new0(LibtpmsTPM, 1);

    g_atomic_ref_count_init(&tpm->refs);
    tpm->version = version;
    tpm->engine = engine;
    tpm->command = g_malloc(buffer_size);
    tpm->response.capacity = (uint32_t)buffer_size;
    tpm->response.data = g_malloc(buffer_size); /* malloc(): libtpms may realloc() it */
    g_mutex_init(&tpm->sleep_lock);
    g_cond_init(&tpm->wake);
    g_cond_init(&tpm->exited);
    g_mutex_init(&tpm->cancel_lock);
    return tpm;
}

TPMBackend *tpm_libtpms_new(const char *id, TPMVersion version, LibtpmsEngine *engine,
                            GError **error)
{
    TPMBackendInfo info = {
        .size = sizeof(info),
        .version = version,
        .buffer_size = MIN(libtpms_engine_buffer_size_max(engine), TPM_BUFFER_SIZE_MAX),
        .hashing = true,
    };
    LibtpmsTPM *tpm = tpm_new(version, engine, info.buffer_size);

    tpm->worker = worker_new(tpm, error);
    if (!tpm->worker) {
        libtpms_engine_close(engine);
        tpm_unref(tpm);
        return NULL;
    }
    tpm->backend = tpmdev_backend_new(&tpm_backend_libtpms_class, id, &info, tpm, error);
    if (!tpm->backend) {
        libtpms_destroy(tpm);
        return NULL;
    }
    return tpm->backend;
}

uint64_t tpmdev_backend_libtpms_get_counter(const TPMBackend *backend)
{
    const LibtpmsTPM *tpm = tpm_backend_get_self(backend, &tpm_backend_libtpms_class);

    return tpm ? libtpms_engine_get_counter(tpm->engine) : 0;
}
