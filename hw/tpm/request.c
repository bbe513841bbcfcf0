/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stages 3 and 5 of 6: the owner of the one command a device has under way.
 *
 * Going out, a command is copied out of the device, checked, and sent when the TPM is free; one
 * that no TPM would take is answered here, as a real one of that version answers it. Coming back,
 * the response goes to the front end's done(). Whether the backend answers at once, from another
 * thread, or never, all of it is the same to the front end.
 *
 * From a front end (stage 2), to backends/tpm/backend.c (stage 4) and back to the front end, and
 * so to irq.c (stage 6).
 */
#include "request.h"
#include "command.h"
#include "device-internal.h"
#include "guest-memory.h"

#include <string.h>

void tpm_request_init(TPMDevice *device, size_t buffer_size, int64_t window_ns)
{
    TPMRequest *request = &device->request;

    request->buffer_size = buffer_size;
    request->command = g_malloc(buffer_size);
    g_cond_init(&request->answered);
    tpm_window_init(&request->window, window_ns);
}

void tpm_request_clear(TPMDevice *device)
{
    g_clear_pointer(&device->request.command, g_free);
    tpm_hash_clear(&device->request.hash);
    g_clear_error(&device->request.start_error);
    g_cond_clear(&device->request.answered);
}

/* ---- noting, with the device's lock held ---- */

void tpm_request_submit(TPMDevice *device, uint8_t locality, const uint8_t *data, size_t size)
{
    TPMRequest *request = &device->request;

    g_assert(request->state == REQUEST_IDLE && size <= request->buffer_size);
    device->statistics.commands++;
    request->prompt = !request->dispatching && request->busy == BUSY_NOT;
    request->locality = locality;
    request->size = size;
    tpm_guest_read(request->command, data, size);
    if (tpm_command_check(device->version, request->command, size, &request->reject_code)) {
        request->state = REQUEST_WAITING;
    } else {
        request->state = REQUEST_REJECTED;
        device->statistics.rejected_commands++;
        tpm_report_guest_error(device, "command with a wrong tag or size; answered with an error");
    }
}

void tpm_request_cancel(TPMDevice *device)
{
    TPMRequest *request = &device->request;

    switch (request->state) {
    case REQUEST_IDLE:
    case REQUEST_REJECTED:
        return;
    case REQUEST_WAITING:
        /* The TPM has not seen it, and need not. */
        request->state = REQUEST_REJECTED;
        request->reject_code = device->version == TPM_VERSION_1_2 ? TPM12_FAIL : TPM2_RC_CANCELED;
        break;
    case REQUEST_RUNNING:
        request->cancel_wanted = true;
        break;
    }
    device->statistics.cancels++;
}

void tpm_request_reset_established(TPMDevice *device, uint8_t locality)
{
    device->request.reset_established_wanted = true;
    device->request.reset_established_locality = locality;
}

void tpm_request_abandon(TPMDevice *device)
{
    TPMRequest *request = &device->request;

    if (request->busy == BUSY_RUNNING) {
        request->busy = BUSY_ABANDONED;
        request->cancel_wanted = true;
        device->statistics.cancels++;
    }
    request->state = REQUEST_IDLE;
}

void tpm_request_reset(TPMDevice *device)
{
    TPMRequest *request = &device->request;

    tpm_request_abandon(device);
    tpm_hash_reset(device);
    request->reset_established_wanted = false;
    request->start_wanted = true;
}

/* ---- running ---- */

typedef enum Job {
    JOB_NONE,
    JOB_REJECT,
    JOB_CANCEL,
    JOB_RESUME,
    JOB_START,
    JOB_RESET_ESTABLISHED,
    JOB_HASH,
    JOB_SUBMIT,
} Job;

/* What is to be done next? With the device's lock held. */
static Job next_job(const TPMRequest *request)
{
    if (request->state == REQUEST_REJECTED) {
        return JOB_REJECT;
    }
    switch (request->busy) {
    case BUSY_RUNNING:
    case BUSY_ABANDONED:
        return request->cancel_wanted ? JOB_CANCEL : JOB_NONE;
    case BUSY_STARTING:
    case BUSY_HASHING:
    case BUSY_MOVING:
        return JOB_NONE;
    case BUSY_NOT:
        break;
    }
    if (request->held) {
        return JOB_NONE;
    }
    if (request->resume_wanted) {
        return JOB_RESUME;
    }
    if (request->start_wanted) {
        return JOB_START;
    }
    if (request->reset_established_wanted) {
        return JOB_RESET_ESTABLISHED;
    }
    if (request->hash.state != HASH_NONE) {
        /* Between two steps as well: a command would end the sequence without a word. */
        return tpm_hash_is_due(&request->hash) ? JOB_HASH : JOB_NONE;
    }
    return request->state == REQUEST_WAITING ? JOB_SUBMIT : JOB_NONE;
}

bool tpm_request_is_starting(const TPMRequest *request)
{
    return request->start_wanted || request->busy == BUSY_STARTING;
}

bool tpm_request_is_due(const TPMRequest *request)
{
    return !request->dispatching && next_job(request) != JOB_NONE;
}

/* The front end gets its response; with the device's lock held. */
static void finish(TPMDevice *device, const uint8_t *response, size_t size)
{
    TPMRequest *request = &device->request;
    bool tested =
        tpm_command_ends_selftest(device->version, request->command, request->size, response, size);
    bool shows = tested &&
                 (device->shows_selftest ||
                  tpm_command_continues_selftest(device->version, request->command, request->size));

    device->statistics.self_tests += tested;
    request->state = REQUEST_IDLE;
    device->frontend->done(device->model, response, size, shows);
}

static void run_reject(TPMDevice *device)
{
    uint8_t response[TPM_HEADER_SIZE];

    tpm_error_response(device->version, device->request.reject_code, response);
    finish(device, response, sizeof(response));
}

/* Wait for the response, for a window at most; without the device's lock. */
static void linger(TPMDevice *device)
{
    TPMRequest *request = &device->request;
    bool running, over;

    do {
        /*
         * The clock first: a thread that was preempted after the last look would find the window
         * over and leave a response behind that has long been there.
         */
        int64_t now_ns = tpm_device_now_ns(device);

        tpm_backend_poll(device->backend);
        g_mutex_lock(&device->lock);
        running = request->busy != BUSY_NOT;
        over = !running || request->cancel_wanted || tpm_window_is_over(&request->window, now_ns);
        g_mutex_unlock(&device->lock);
    } while (!over);
    if (running) {
        tpm_backend_linger_end(device->backend);
    }
}

/* Called with the device's lock held, returns with it held. */
static void run_submit(TPMDevice *device)
{
    TPMRequest *request = &device->request;
    bool is_short = tpm_command_is_short(device->version, tpm_header_code(request->command));
    bool wait =
        tpm_window_begin(&request->window, is_short) && tpm_backend_can_linger(device->backend);

    request->state = REQUEST_RUNNING;
    request->busy = BUSY_RUNNING;
    tpm_backend_load(device->backend, request->locality, request->command, request->size);
    g_mutex_unlock(&device->lock);
    int64_t now_ns = tpm_device_now_ns(device);

    g_mutex_lock(&device->lock);
    tpm_window_sent(&request->window, now_ns);
    g_mutex_unlock(&device->lock);
    tpm_backend_sent_at(device->backend, now_ns);
    tpm_backend_submit(device->backend, wait);
    g_mutex_lock(&device->lock);
    /* A backend that answered, or failed, from within submit() has nothing to be polled for. */
    if (wait && request->busy != BUSY_NOT) {
        g_mutex_unlock(&device->lock);
        linger(device);
        g_mutex_lock(&device->lock);
    }
    if (request->prompt && request->busy == BUSY_NOT && request->state == REQUEST_IDLE) {
        device->statistics.inline_completions++;
    }
}

/* Called with the device's lock held, returns with it held; not held while the backend runs. */
static void run_job(TPMDevice *device, Job job)
{
    TPMRequest *request = &device->request;
    uint8_t locality;

    switch (job) {
    case JOB_NONE:
        break;
    case JOB_REJECT:
        run_reject(device);
        break;
    case JOB_CANCEL:
        request->cancel_wanted = false;
        g_mutex_unlock(&device->lock);
        tpm_backend_cancel(device->backend);
        g_mutex_lock(&device->lock);
        break;
    case JOB_RESUME:
        request->resume_wanted = false;
        g_mutex_unlock(&device->lock);
        tpm_backend_resume(device->backend);
        g_mutex_lock(&device->lock);
        break;
    case JOB_START:
        request->start_wanted = false;
        request->busy = BUSY_STARTING;
        g_mutex_unlock(&device->lock);
        tpm_backend_start(device->backend, request->buffer_size);
        g_mutex_lock(&device->lock);
        break;
    case JOB_RESET_ESTABLISHED:
        locality = request->reset_established_locality;
        request->reset_established_wanted = false;
        g_mutex_unlock(&device->lock);
        tpm_backend_reset_established(device->backend, locality);
        g_mutex_lock(&device->lock);
        break;
    case JOB_HASH:
        request->busy = BUSY_HASHING;
        tpm_hash_load(device);
        g_mutex_unlock(&device->lock);
        tpm_backend_hash(device->backend);
        g_mutex_lock(&device->lock);
        break;
    case JOB_SUBMIT:
        run_submit(device);
        break;
    }
}

/*
 * One thread at a time runs jobs, so a backend is never called by two at once. A backend that
 * answers from within a call comes back here through the client calls below; it finds
 * `dispatching` set and leaves what is next to the loop it came from.
 */
void tpm_request_run(TPMDevice *device)
{
    TPMRequest *request = &device->request;

    g_mutex_lock(&device->lock);
    if (!request->dispatching) {
        Job job;

        request->dispatching = true;
        while ((job = next_job(request)) != JOB_NONE) {
            run_job(device, job);
        }
        request->dispatching = false;
        g_cond_broadcast(&request->answered);
    }
    /* A command that was answered here may have raised the interrupt. */
    tpm_device_leave(device);
}

/* ---- what the backend answers ---- */

static void on_started(void *client, const GError *error)
{
    TPMDevice *device = client;

    g_mutex_lock(&device->lock);
    device->request.busy = BUSY_NOT;
    g_clear_error(&device->request.start_error);
    if (error) {
        device->request.start_error = g_error_copy(error);
        tpm_report_backend_error(device, error);
    }
    g_cond_broadcast(&device->request.answered);
    tpm_device_leave(device);
}

static void on_completed(void *client, const uint8_t *response, size_t size, const GError *error)
{
    TPMDevice *device = client;
    TPMRequest *request = &device->request;
    int64_t now_ns = tpm_device_now_ns(device);
    bool wanted;

    tpm_backend_answered_at(device->backend, now_ns);
    g_mutex_lock(&device->lock);
    wanted = request->busy == BUSY_RUNNING;
    request->busy = BUSY_NOT;
    g_cond_broadcast(&request->answered);
    request->cancel_wanted = false;
    tpm_window_done(&request->window, now_ns);
    if (error) {
        device->statistics.failures++;
        tpm_report_backend_error(device, error);
    }
    if (wanted) {
        finish(device, response, size);
    }
    tpm_device_leave(device);
}

static void on_hashed(void *client, const GError *error)
{
    TPMDevice *device = client;

    g_mutex_lock(&device->lock);
    device->request.busy = BUSY_NOT;
    g_cond_broadcast(&device->request.answered);
    if (error) {
        tpm_report_backend_error(device, error);
    }
    tpm_hash_stepped(device, error);
    tpm_device_leave(device);
}

static void on_established(void *client, bool established)
{
    TPMDevice *device = client;

    g_mutex_lock(&device->lock);
    device->established = established;
    if (device->frontend->established) {
        device->frontend->established(device->model, established);
    }
    tpm_device_leave(device);
}

static void on_failed(void *client, const GError *error)
{
    TPMDevice *device = client;

    g_mutex_lock(&device->lock);
    tpm_report_backend_error(device, error);
    tpm_device_leave(device);
}

static void on_recovered(void *client)
{
    TPMDevice *device = client;

    g_mutex_lock(&device->lock);
    /* What tpmdev_device_wait_ready() would say is no longer so. */
    g_clear_error(&device->request.start_error);
    tpm_device_leave(device);
}

static void on_link_changed(void *client)
{
    TPMDevice *device = client;

    g_mutex_lock(&device->lock);
    tpm_report_link_changed(device);
    tpm_device_leave(device);
}

static void on_moved(void *client, const TPMState *saved, const GError *error)
{
    TPMDevice *device = client;

    g_mutex_lock(&device->lock);
    device->request.busy = BUSY_NOT;
    /* A state that came too late was not handed out, and the TPM is to know that. */
    device->request.resume_wanted |= saved && !device->move.wanted;
    tpm_move_answered(&device->move, saved, error);
    g_cond_broadcast(&device->request.answered);
    tpm_device_leave(device);
}

const TPMBackendClient tpm_request_client = {
    .started = on_started,
    .completed = on_completed,
    .hashed = on_hashed,
    .established = on_established,
    .failed = on_failed,
    .recovered = on_recovered,
    .link_changed = on_link_changed,
    .moved = on_moved,
};
