/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Messages for the host, about the guest's mistakes and the backend's: noted under the device's
 * lock, told without it, and no more than a few a second, for a guest can make as many mistakes
 * as it likes.
 */
#ifndef TPM_REPORT_H
#define TPM_REPORT_H

#include "backend-internal.h"
#include <tpmdev/device.h>

/* So many messages of one kind reach the host in a second. */
#define TPM_REPORTS_PER_SECOND 10

typedef struct TPMReportLimit {
    int64_t second_ns; /* when the present second began */
    unsigned told;     /* messages since */
} TPMReportLimit;

typedef struct TPMReport {
    TPMReportLimit guest_limit;
    TPMReportLimit backend_limit;
    const char *guest_error; /* waiting to be told, static; or NULL */
    char *backend_error;     /* waiting to be told; or NULL */

    bool link_changed; /* the host is to be told how the link stands */
    bool link_telling; /* a thread is telling it */
    TPMBackendLink link_told;
} TPMReport;

/* Note a message; with the device's lock held. guest_error's is static. */
void tpm_report_guest_error(TPMDevice *device, const char *message);
void tpm_report_backend_error(TPMDevice *device, const GError *error);

/* The way to the TPM is no longer what it was; with the device's lock held. */
void tpm_report_link_changed(TPMDevice *device);

/* Is there something to tell? With the device's lock held. */
bool tpm_report_is_due(const TPMReport *report);

/* Tell the host; with no lock held. */
void tpm_report_deliver(TPMDevice *device);

#endif /* TPM_REPORT_H */
