/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waiting for a TPM's start: for a host whose guest does not run, before its first instruction
 * or during a reset.
 *
 * Beside the request path: request.c notes how a start ended, and nothing a guest does comes
 * here.
 */
#include "device-internal.h"

/*
 * A start is answered by a thread of the library's, which wakes us, or it is for us to look: so
 * often then.
 */
#define LOOK_INTERVAL_US 1000

/*
 * Look whether the start is over. The backend does what it would do when the host's context runs,
 * so that the host need not run everything else it has there. With the device's lock held.
 */
static void look(TPMDevice *device)
{
    TPMRequest *request = &device->request;

    if (request->dispatching) {
        return; /* another thread is calling the backend, and will have its answer */
    }
    request->dispatching = true;
    g_mutex_unlock(&device->lock);
    tpm_backend_pump(device->backend);
    g_mutex_lock(&device->lock);
    request->dispatching = false;
    tpm_device_leave(device);
    g_mutex_lock(&device->lock);
}

gboolean tpmdev_device_wait_ready(TPMDevice *device, int64_t timeout_ns, GError **error)
{
    TPMRequest *request = &device->request;
    int64_t now_us = g_get_monotonic_time();
    int64_t deadline_us = now_us + timeout_ns / 1000;
    bool ready;

    g_mutex_lock(&device->lock);
    while (tpm_request_is_starting(request) && now_us < deadline_us) {
        look(device);
        if (tpm_request_is_starting(request)) {
            g_cond_wait_until(&request->start_over, &device->lock,
                              MIN(now_us + LOOK_INTERVAL_US, deadline_us));
        }
        now_us = g_get_monotonic_time();
    }
    ready = !tpm_request_is_starting(request) && !request->start_error;
    if (tpm_request_is_starting(request)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_TIMED_OUT,
                    "TPM backend '%s' was not ready within %" G_GINT64_FORMAT " ms",
                    tpmdev_backend_get_id(device->backend), timeout_ns / 1000000);
    } else if (!ready) {
        g_propagate_error(error, g_error_copy(request->start_error));
    }
    g_mutex_unlock(&device->lock);
    return ready;
}
