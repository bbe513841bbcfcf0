/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory behind the physical presence interface (TCG PC Client Platform Physical Presence
 * Interface Specification 1.30) and the memory overwrite request (TCG Platform Reset Attack
 * Mitigation Specification).
 *
 * It is memory and no more: the guest's ACPI methods write into it what its owner asks for, its
 * firmware reads that after the reboot and answers there. One byte alone is for us: MOVV, by which
 * the guest asks that nothing of its memory is left when the machine has been reset.
 *
 * Neighbours: acpi/ppi-aml.c writes the methods; device.c resets it with the device, before the
 * guest runs. TPMHost.clear_memory does the clearing.
 */
#include "ppi.h"
#include "device-internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* A host maps whole pages, so it is given one; the guest's interface is the front of it. */
#define PPI_PAGE_SIZE 0x1000u

#define FOUR_GIB (UINT64_C(1) << 32)

bool tpm_ppi_check(const TPMDeviceConfig *config, size_t device_size, const TPMHost *host,
                   GError **error)
{
    uint64_t address = config->ppi_address;

    if (!address) {
        return true;
    }
    if (address % TPM_PPI_SIZE != 0 || address > FOUR_GIB - TPM_PPI_SIZE) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "ppi_address 0x%" PRIx64 " is not a multiple of 0x%x below 4 GiB; give one, "
                    "such as 0x%x",
                    address, TPM_PPI_SIZE, TPM_PPI_ADDRESS);
        return false;
    }
    if (address - config->base < device_size) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "ppi_address 0x%" PRIx64 " is inside the device at 0x%" PRIx64
                    "; give a place beside it, such as 0x%" PRIx64,
                    address, config->base, config->base + device_size);
        return false;
    }
    if (config->buffer_address && address - config->buffer_address < TPM_CRB_PAGE_SIZE) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "ppi_address 0x%" PRIx64 " is on the page of the buffer at 0x%" PRIx64
                    "; give a place beside it, such as 0x%" PRIx64,
                    address, config->buffer_address, config->buffer_address + TPM_CRB_PAGE_SIZE);
        return false;
    }
    if (!host->clear_memory) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_MISSING_OPTION,
                    "ppi_address needs TPMHost.clear_memory: a guest may ask for its memory to be "
                    "cleared");
        return false;
    }
    return true;
}

void tpm_ppi_init(TPMPPI *ppi, const TPMDeviceConfig *config)
{
    ppi->address = config->ppi_address;
    if (ppi->address) {
        ppi->memory = aligned_alloc(PPI_PAGE_SIZE, PPI_PAGE_SIZE);
        g_assert(ppi->memory); /* as g_malloc(), which has no aligned form in GLib 2.74 */
        memset(ppi->memory, 0, PPI_PAGE_SIZE);
    }
}

void tpm_ppi_clear(TPMPPI *ppi)
{
    free(ppi->memory);
}

/*
 * The guest may write there at any time. Whoever takes the request away carries it out, so that
 * it is carried out once, also when two threads reset the device.
 */
void tpm_ppi_reset(TPMDevice *device)
{
    TPMPPI *ppi = &device->ppi;

    if (!ppi->address) {
        return;
    }
    uint8_t *movv = ppi->memory + TPM_PPI_MOVV;

    if ((__atomic_load_n(movv, __ATOMIC_SEQ_CST) & TPM_PPI_MOVV_CLEAR_MEMORY) &&
        (__atomic_exchange_n(movv, 0, __ATOMIC_SEQ_CST) & TPM_PPI_MOVV_CLEAR_MEMORY)) {
        device->host.clear_memory(device->opaque);
    }
}
