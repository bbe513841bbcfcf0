/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Holding a device while it is saved or loaded, and having its TPM do its part.
 *
 * Beside the request path: while the device is held request.c sends nothing, and the TPM does what
 * is asked of it here. Neighbours: device-state.c has the stream; ready.c waits; request.c hears
 * what the TPM answers; backends/tpm/backend-state.c has the TPM's side.
 */
#include "device-internal.h"

#include <tpmdev/state.h>

/* ---- what the TPM answered ---- */

void tpm_move_answered(TPMMove *move, const TPMState *saved, const GError *error)
{
    if (move->wanted) {
        move->saved = saved ? tpm_state_copy(saved) : NULL;
        move->error = error ? g_error_copy(error) : NULL;
    }
}

void tpm_move_clear(TPMMove *move)
{
    move->saved = tpm_state_free(move->saved);
    g_clear_error(&move->error);
    move->wanted = false;
}

/* ---- waiting for the TPM ---- */

/* Is nothing with the TPM, and nobody at work? The device is held, so nothing follows. */
static bool is_quiet(const TPMDevice *device)
{
    const TPMRequest *request = &device->request;

    return request->busy == BUSY_NOT && !request->dispatching && !tpm_request_is_due(request) &&
           (!device->frontend->is_settled || device->frontend->is_settled(device->model));
}

static bool has_moved(const TPMDevice *device)
{
    return device->request.busy != BUSY_MOVING;
}

static bool timed_out(const TPMDevice *device, GError **error)
{
    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_TIMED_OUT,
                "TPM backend '%s' has not ended what it is doing within the time given; nothing "
                "was saved or loaded",
                tpmdev_backend_get_id(device->backend));
    return false;
}

/* A TPM that answers too late is not what anybody takes it for. */
static bool loads_too_late(TPMDevice *device, GError **error)
{
    device->request.start_wanted = true;
    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_TIMED_OUT,
                "TPM backend '%s' has not taken the saved state within the time given; once it has "
                "ended that, its TPM is started anew with the permanent state it then has, the "
                "saved one's or its former one",
                tpmdev_backend_get_id(device->backend));
    return false;
}

/* Called and returns with the lock held. As request.c calls the backend: one thread at a time. */
static void call_backend(TPMDevice *device, const TPMTransfer *transfer)
{
    TPMRequest *request = &device->request;

    request->busy = BUSY_MOVING;
    request->dispatching = true;
    g_mutex_unlock(&device->lock);
    if (transfer->state) {
        tpm_backend_load_state(device->backend, request->buffer_size, transfer->state,
                               transfer->established, transfer->sequence);
    } else {
        tpm_backend_save_state(device->backend, transfer->sequence);
    }
    g_mutex_lock(&device->lock);
    request->dispatching = false;
}

bool tpm_move_run(TPMDevice *device, const TPMTransfer *transfer, int64_t deadline_us,
                  GError **error)
{
    TPMMove *outcome = &device->move;

    if (!tpm_device_wait(device, is_quiet, deadline_us) ||
        (transfer->state && g_get_monotonic_time() >= deadline_us)) {
        return timed_out(device, error);
    }
    tpm_move_clear(outcome);
    outcome->wanted = true;
    call_backend(device, transfer);
    if (!tpm_device_wait(device, has_moved, deadline_us)) {
        tpm_move_clear(outcome);
        return transfer->state ? loads_too_late(device, error) : timed_out(device, error);
    }
    if (outcome->error) {
        g_propagate_error(error, g_steal_pointer(&outcome->error));
        return false;
    }
    return true;
}

/* ---- one save or load at a time ---- */

bool tpm_move_begin(TPMDevice *device, GError **error)
{
    TPMMove *move = &device->move;

    if (tpm_device_is_calling_back()) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IN_USE,
                    "the device of TPM backend '%s' cannot be saved or loaded from within a "
                    "callback of TPMHost; do it when that has returned",
                    tpmdev_backend_get_id(device->backend));
        return false;
    }
    g_mutex_lock(&device->lock);
    if (move->under_way) {
        g_mutex_unlock(&device->lock);
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IN_USE,
                    "the device of TPM backend '%s' is being saved or loaded by another call; wait "
                    "until that has returned",
                    tpmdev_backend_get_id(device->backend));
        return false;
    }
    move->under_way = true;
    move->was_held = device->request.held;
    move->resume_asked = false;
    device->request.held = true;
    return true;
}

/* What is held is held no more, and the TPM is to hear of it if it has handed out its state. */
static void go_on(TPMRequest *request)
{
    request->held = false;
    request->resume_wanted |= request->was_saved;
    request->was_saved = false;
}

void tpm_move_end(TPMDevice *device, bool done)
{
    TPMMove *move = &device->move;

    move->under_way = false;
    tpm_move_clear(move);
    if (move->resume_asked || (!done && !move->was_held)) {
        go_on(&device->request);
    }
    tpm_device_leave(device);
}

void tpmdev_device_resume(TPMDevice *device)
{
    g_mutex_lock(&device->lock);
    if (device->move.under_way) {
        device->move.resume_asked = true; /* what is saved is not to change halfway through */
    } else {
        go_on(&device->request);
    }
    tpm_device_leave(device);
}
