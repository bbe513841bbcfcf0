/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hypervisor around one device: it keeps a log of every callback, and its clock moves only when
 * it is looked at.
 *
 * From within each callback it reads a register and the statistics of the same device, so that a
 * callback made under the device's lock shows as a deadlock.
 */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H

#include <tpmdev/tpmdev.h>

#define FAKE_HOST_LOG 256

typedef struct FakeHost {
    TPMHost host;      /* to be given to tpmdev_device_new() with this struct as opaque */
    TPMDevice *device; /* not a reference; what the callbacks read, unless it is NULL */

    GMutex lock; /* for all below: callbacks come on any thread */
    GCond changed;

    unsigned irqs; /* calls of set_irq */
    bool irq_log[FAKE_HOST_LOG];
    GThread *irq_thread; /* that made the last one */
    bool irq_twice;      /* a level was told twice, or two threads told one at once */
    bool irq_telling;
    void (*on_irq)(struct FakeHost *host, bool level); /* what the guest does about it */
    void (*on_clock)(struct FakeHost *host);           /* what happens during the next look at it */

    unsigned guest_errors;
    char *guest_error; /* the last one */
    unsigned backend_errors;
    char *backend_error;
    GThread *backend_error_thread;
    unsigned links; /* calls of backend_link */
    TPMBackendLink link_log[FAKE_HOST_LOG];
    char *link_message; /* the last one's, or NULL */
    bool link_twice;    /* a link was told twice, or two threads told one at once */
    bool link_telling;
    void (*on_link)(struct FakeHost *host); /* what happens meanwhile, once */

    int64_t now_ns;
    int64_t step_ns; /* the clock moves by this each time it is looked at */
    unsigned clock_readings;
} FakeHost;

/* All callbacks, a clock that begins at zero and moves by a microsecond a look, no GMainContext. */
void fake_host_init(FakeHost *host);
void fake_host_clear(FakeHost *host);

/* What every callback does: look at the device. For callbacks of other files. */
void fake_host_probe(FakeHost *host);

/* Let the host have a GMainContext of its own, run by fake_host_run_context() alone. */
void fake_host_use_context(FakeHost *host);

/* Run what is due on the context; never waits. */
void fake_host_run_context(FakeHost *host);

/* Run the context until a source becomes ready, with a deadline, then what is due. */
void fake_host_wait_context(FakeHost *host);

/* The level last told, false before the first. */
bool fake_host_irq(FakeHost *host);

void fake_host_set_clock(FakeHost *host, int64_t now_ns, int64_t step_ns);

/* The numbers of calls, read under the lock. */
unsigned fake_host_irqs(FakeHost *host);
unsigned fake_host_guest_errors(FakeHost *host);
unsigned fake_host_backend_errors(FakeHost *host);
unsigned fake_host_links(FakeHost *host);

/* The link last told, TPM_LINK_CONNECTED before the first. */
TPMBackendLink fake_host_link(FakeHost *host);

#endif /* FAKE_HOST_H */
