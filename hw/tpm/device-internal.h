/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TPMDevice from the inside: what its parts share.
 *
 * One lock per device. It is held to change the registers and the request's notes, and for
 * nothing that could take long: backends, hosts and I/O are reached after it is released.
 */
#ifndef TPM_DEVICE_INTERNAL_H
#define TPM_DEVICE_INTERNAL_H

#include "frontend.h"
#include "irq.h"
#include "move.h"
#include "ppi.h"
#include "report.h"
#include "request.h"

struct TPMDevice {
    /* Constant from tpmdev_device_new() on. */
    const TPMFrontend *frontend;
    void *model;
    uint32_t region_size; /* bytes of guest address space */
    TPMBackend *backend;  /* a reference */
    TPMVersion version;
    TPMHost host;
    void *opaque;
    TPMPPI ppi;
    bool shows_selftest;    /* of any command that ends one, not of TPM_ContinueSelfTest alone */
    TPMDeviceConfig config; /* as it was asked for; saved state is held against it */

    GMutex lock;      /* for all below, and for the model */
    bool established; /* tpmEstablished as the backend last reported it */
    TPMRequest request;
    TPMIrq irq;
    TPMReport report;
    TPMDeviceStatistics statistics;
    bool restoring; /* what happens to the line is not a change of it */
    TPMMove move;
};

/* Release the device's lock, then do all that was noted while it was held. */
void tpm_device_leave(TPMDevice *device);

/* Is this thread within a callback of a host's that tpm_device_leave() makes, of any device? */
bool tpm_device_is_calling_back(void);

/* The host's clock; any thread, with no lock held. */
int64_t tpm_device_now_ns(const TPMDevice *device);

/*
 * Wait until something is so, with a deadline by g_get_monotonic_time(), and return whether it is;
 * called and returns with the lock held, and not held meanwhile.
 */
bool tpm_device_wait(TPMDevice *device, bool (*is_over)(const TPMDevice *device),
                     int64_t deadline_us);
int64_t tpm_device_deadline_us(int64_t timeout_ns);

/* Set the interrupt line's level; with the lock held. */
void tpm_device_set_irq(TPMDevice *device, bool level);

/* ---- device-properties.c: what it is; saved, and held against what was saved ---- */

void tpm_device_properties_save(const TPMDevice *device, TPMStateWriter *writer);
bool tpm_device_properties_check(const TPMDevice *device, TPMStateReader *reader, GError **error);

#endif /* TPM_DEVICE_INTERNAL_H */
