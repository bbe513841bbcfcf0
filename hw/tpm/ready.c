/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Waiting for a TPM: for a host whose guest does not run, before its first instruction, during a
 * reset, or while its state is saved.
 *
 * Beside the request path: request.c notes what was answered, and nothing a guest does comes here.
 */
#include "device-internal.h"

/*
 * What was asked is answered by a thread of the library's, which wakes us, or, where the host gave
 * a context, it is for us to look. A TPM's state takes a dozen exchanges with swtpm, and each has
 * to be looked for: at first after next to no time, then after a small part of what it took so
 * far.
 */
#define LOOK_INTERVAL_MIN_US 10
#define LOOK_INTERVAL_MAX_US 1000
#define LOOK_PART            64

static int64_t look_interval_us(const TPMDevice *device, int64_t waited_us)
{
    return device->host.context
               ? CLAMP(waited_us / LOOK_PART, LOOK_INTERVAL_MIN_US, LOOK_INTERVAL_MAX_US)
               : LOOK_INTERVAL_MAX_US;
}

/*
 * Look whether there is an answer. The backend does what it would do when the host's context runs,
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

bool tpm_device_wait(TPMDevice *device, bool (*is_over)(const TPMDevice *device),
                     int64_t deadline_us)
{
    int64_t start_us = g_get_monotonic_time(), now_us = start_us;

    while (!is_over(device) && now_us < deadline_us) {
        look(device);
        if (!is_over(device)) {
            int64_t next_us = now_us + look_interval_us(device, now_us - start_us);

            g_cond_wait_until(&device->request.answered, &device->lock, MIN(next_us, deadline_us));
        }
        now_us = g_get_monotonic_time();
    }
    return is_over(device);
}

int64_t tpm_device_deadline_us(int64_t timeout_ns)
{
    int64_t now_us = g_get_monotonic_time();

    return timeout_ns / 1000 < INT64_MAX - now_us ? now_us + timeout_ns / 1000 : INT64_MAX;
}

static bool is_start_over(const TPMDevice *device)
{
    return !tpm_request_is_starting(&device->request);
}

gboolean tpmdev_device_wait_ready(TPMDevice *device, int64_t timeout_ns, GError **error)
{
    TPMRequest *request = &device->request;
    int64_t deadline_us = tpm_device_deadline_us(timeout_ns);
    bool ready;

    g_mutex_lock(&device->lock);
    bool over = tpm_device_wait(device, is_start_over, deadline_us);

    ready = over && !request->start_error;
    if (!over) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_TIMED_OUT,
                    "TPM backend '%s' was not ready within %" G_GINT64_FORMAT " ms%s",
                    tpmdev_backend_get_id(device->backend), timeout_ns / 1000000,
                    request->held ? ": its device is held, and needs tpmdev_device_resume()" : "");
    } else if (!ready) {
        g_propagate_error(error, g_error_copy(request->start_error));
    }
    g_mutex_unlock(&device->lock);
    return ready;
}
