/* SPDX-License-Identifier: BSD-3-Clause */
/* A hypervisor around one device; see fake-host.h. */
#include "fake-host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define DEADLINE_S 30
#define DID_VID    0xF00u

/* Any lock the library held now would be taken twice by this thread. */
void fake_host_probe(FakeHost *host)
{
    TPMDevice *device = g_atomic_pointer_get(&host->device);
    TPMDeviceStatistics statistics = { .size = sizeof(statistics) };
    TPMBackendStatistics tpm = { .size = sizeof(tpm) };
    uint64_t value;

    if (device) {
        tpmdev_device_read(device, DID_VID, 4, &value);
        tpmdev_device_get_statistics(device, &statistics);
        tpmdev_device_get_irq_level(device);
        tpmdev_backend_get_statistics(tpmdev_device_get_backend(device), &tpm);
    }
}

static void on_set_irq(void *opaque, bool level)
{
    FakeHost *host = opaque;

    g_mutex_lock(&host->lock);
    bool before = host->irqs > 0 && host->irq_log[(host->irqs - 1) % FAKE_HOST_LOG];
    host->irq_twice |= before == level || host->irq_telling;
    host->irq_log[host->irqs++ % FAKE_HOST_LOG] = level;
    host->irq_thread = g_thread_self();
    host->irq_telling = true;
    g_cond_broadcast(&host->changed);
    g_mutex_unlock(&host->lock);

    fake_host_probe(host);
    if (host->on_irq) {
        host->on_irq(host, level);
    }
    g_mutex_lock(&host->lock);
    host->irq_telling = false;
    g_mutex_unlock(&host->lock);
}

static void on_guest_error(void *opaque, const char *message)
{
    FakeHost *host = opaque;

    g_mutex_lock(&host->lock);
    host->guest_errors++;
    g_free(host->guest_error);
    host->guest_error = g_strdup(message);
    g_mutex_unlock(&host->lock);
    fake_host_probe(host);
}

static void on_backend_error(void *opaque, const char *message)
{
    FakeHost *host = opaque;

    g_mutex_lock(&host->lock);
    host->backend_errors++;
    g_free(host->backend_error);
    host->backend_error = g_strdup(message);
    host->backend_error_thread = g_thread_self();
    g_mutex_unlock(&host->lock);
    fake_host_probe(host);
}

static TPMBackendLink last_link(const FakeHost *host)
{
    return host->links > 0 ? host->link_log[(host->links - 1) % FAKE_HOST_LOG] : TPM_LINK_CONNECTED;
}

static void on_backend_link(void *opaque, TPMBackendLink link, const char *message)
{
    FakeHost *host = opaque;

    g_mutex_lock(&host->lock);
    host->link_twice |= link == last_link(host) || host->link_telling;
    host->link_telling = true;
    host->link_log[host->links++ % FAKE_HOST_LOG] = link;
    g_free(host->link_message);
    host->link_message = g_strdup(message);
    void (*on_link)(FakeHost *) = host->on_link;
    host->on_link = NULL;
    g_cond_broadcast(&host->changed);
    g_mutex_unlock(&host->lock);

    fake_host_probe(host);
    if (on_link) {
        on_link(host);
    }
    g_mutex_lock(&host->lock);
    host->link_telling = false;
    g_mutex_unlock(&host->lock);
}

static int64_t on_now_ns(void *opaque)
{
    FakeHost *host = opaque;

    g_mutex_lock(&host->lock);
    int64_t now_ns = host->now_ns;
    host->now_ns += host->step_ns;
    host->clock_readings++;
    void (*on_clock)(FakeHost *) = host->on_clock;
    host->on_clock = NULL;
    g_mutex_unlock(&host->lock);
    fake_host_probe(host);
    if (on_clock) {
        on_clock(host);
    }
    return now_ns;
}

void fake_host_init(FakeHost *host)
{
    *host = (FakeHost){
        .host = { .size = sizeof(TPMHost),
                  .set_irq = on_set_irq,
                  .guest_error = on_guest_error,
                  .backend_error = on_backend_error,
                  .now_ns = on_now_ns,
                  .backend_link = on_backend_link },
        .step_ns = 1000,
    };
    g_mutex_init(&host->lock);
    g_cond_init(&host->changed);
}

void fake_host_clear(FakeHost *host)
{
    bool irq_twice = host->irq_twice;
    bool link_twice = host->link_twice;

    if (host->host.context) {
        g_main_context_unref(host->host.context);
    }
    g_mutex_clear(&host->lock);
    g_cond_clear(&host->changed);
    g_free(host->guest_error);
    g_free(host->backend_error);
    g_free(host->link_message);
    assert_false(irq_twice);
    assert_false(link_twice);
}

void fake_host_use_context(FakeHost *host)
{
    host->host.context = g_main_context_new();
}

void fake_host_run_context(FakeHost *host)
{
    while (g_main_context_iteration(host->host.context, FALSE)) {
    }
}

static gboolean on_deadline(gpointer data)
{
    *(bool *)data = true;
    return G_SOURCE_CONTINUE;
}

void fake_host_wait_context(FakeHost *host)
{
    bool late = false;
    GSource *deadline = g_timeout_source_new_seconds(DEADLINE_S);

    g_source_set_callback(deadline, on_deadline, &late, NULL);
    g_source_attach(deadline, host->host.context);
    g_main_context_iteration(host->host.context, TRUE);
    g_source_destroy(deadline);
    g_source_unref(deadline);
    assert_false(late);
    fake_host_run_context(host);
}

bool fake_host_irq(FakeHost *host)
{
    g_mutex_lock(&host->lock);
    bool level = host->irqs > 0 && host->irq_log[(host->irqs - 1) % FAKE_HOST_LOG];
    g_mutex_unlock(&host->lock);
    return level;
}

void fake_host_set_clock(FakeHost *host, int64_t now_ns, int64_t step_ns)
{
    g_mutex_lock(&host->lock);
    host->now_ns = now_ns;
    host->step_ns = step_ns;
    g_mutex_unlock(&host->lock);
}

static unsigned number(FakeHost *host, const unsigned *counter)
{
    g_mutex_lock(&host->lock);
    unsigned value = *counter;
    g_mutex_unlock(&host->lock);
    return value;
}

unsigned fake_host_irqs(FakeHost *host)
{
    return number(host, &host->irqs);
}

unsigned fake_host_guest_errors(FakeHost *host)
{
    return number(host, &host->guest_errors);
}

unsigned fake_host_backend_errors(FakeHost *host)
{
    return number(host, &host->backend_errors);
}

unsigned fake_host_links(FakeHost *host)
{
    return number(host, &host->links);
}

TPMBackendLink fake_host_link(FakeHost *host)
{
    g_mutex_lock(&host->lock);
    TPMBackendLink link = last_link(host);
    g_mutex_unlock(&host->lock);
    return link;
}
