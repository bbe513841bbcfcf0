/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the host is told of mistakes, its guest's and its TPM's.
 *
 * Beside the request path: noted by any stage, told when the device's lock is released.
 */
#include "report.h"
#include "device-internal.h"

static bool limit_allows(TPMReportLimit *limit, int64_t now_ns)
{
    if (now_ns - limit->second_ns >= G_GINT64_CONSTANT(1000000000)) {
        limit->second_ns = now_ns;
        limit->told = 0;
    }
    return limit->told++ < TPM_REPORTS_PER_SECOND;
}

void tpm_report_guest_error(TPMDevice *device, const char *message)
{
    device->statistics.guest_errors++;
    if (device->host.guest_error) {
        device->report.guest_error = message;
    }
}

void tpm_report_backend_error(TPMDevice *device, const GError *error)
{
    if (device->host.backend_error) {
        g_free(device->report.backend_error);
        device->report.backend_error = g_strdup(error->message);
    }
}

void tpm_report_link_changed(TPMDevice *device)
{
    device->report.link_changed = device->host.backend_link != NULL;
}

static bool link_is_due(const TPMReport *report)
{
    return report->link_changed && !report->link_telling;
}

bool tpm_report_is_due(const TPMReport *report)
{
    return report->guest_error || report->backend_error || link_is_due(report);
}

/*
 * One thread at a time tells the host, and goes on until what it told is how the link stands: two
 * could tell it two states in the wrong order.
 */
static void deliver_link(TPMDevice *device)
{
    TPMReport *report = &device->report;

    g_mutex_lock(&device->lock);
    while (link_is_due(report)) {
        g_autofree char *message = NULL;
        TPMBackendLink link = tpm_backend_get_link(device->backend, &message);
        bool is_news = link != report->link_told;

        report->link_changed = false;
        report->link_told = link;
        report->link_telling = true;
        g_mutex_unlock(&device->lock);
        if (is_news) {
            device->host.backend_link(device->opaque, link, message);
        }
        g_mutex_lock(&device->lock);
        report->link_telling = false;
    }
    g_mutex_unlock(&device->lock);
}

static void deliver_errors(TPMDevice *device)
{
    g_mutex_lock(&device->lock);
    const char *guest_error = g_steal_pointer(&device->report.guest_error);
    g_autofree char *backend_error = g_steal_pointer(&device->report.backend_error);
    g_mutex_unlock(&device->lock);

    if (!guest_error && !backend_error) {
        return;
    }
    int64_t now_ns = tpm_device_now_ns(device);

    g_mutex_lock(&device->lock);
    bool tell_guest_error = guest_error && limit_allows(&device->report.guest_limit, now_ns);
    bool tell_backend_error = backend_error && limit_allows(&device->report.backend_limit, now_ns);
    g_mutex_unlock(&device->lock);

    if (tell_guest_error) {
        device->host.guest_error(device->opaque, guest_error);
    }
    if (tell_backend_error) {
        device->host.backend_error(device->opaque, backend_error);
    }
}

void tpm_report_deliver(TPMDevice *device)
{
    deliver_errors(device);
    deliver_link(device);
}
