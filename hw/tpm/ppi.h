/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The physical presence memory of a device: beside the request path, a page the guest's firmware
 * and its ACPI methods share, which outlives every reset.
 */
#ifndef TPM_PPI_H
#define TPM_PPI_H

#include "ppi-layout.h"
#include <tpmdev/device.h>

typedef struct TPMPPI {
    uint64_t address; /* where the guest finds it; 0: there is none */
    uint8_t *memory;
} TPMPPI;

/* Can there be one so, in front of this host? Sets error if not. */
bool tpm_ppi_check(const TPMDeviceConfig *config, size_t device_size, const TPMHost *host,
                   GError **error);

void tpm_ppi_init(TPMPPI *ppi, const TPMDeviceConfig *config);
void tpm_ppi_clear(TPMPPI *ppi);

/* The machine is reset: a guest that asked for it gets its memory cleared; with no lock held. */
void tpm_ppi_reset(TPMDevice *device);

#endif /* TPM_PPI_H */
