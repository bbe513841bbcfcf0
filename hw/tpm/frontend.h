/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the common part of a device asks of the register model in front of it. Each model is one
 * const TPMFrontend: hw/tpm/tis.c, tis-i2c.c, tis-spi.c, crb.c and spapr.c.
 *
 * reset() and all that follows it but page() and deliver() are called with the device's lock held.
 * They change the model, and leave what reaches beyond it, a command to send or an interrupt to
 * raise, to the calls of device-internal.h, which are carried out once the lock is released.
 */
#ifndef TPM_FRONTEND_H
#define TPM_FRONTEND_H

#include "access.h"
#include "saved.h"
#include "state-stream.h"
#include <tpmdev/device.h>

typedef struct TPMFrontend {
    /* QEMU's name for the model */
    const char *model;

    /* Can it be made so, for a TPM of this version? Sets error if not. */
    bool (*check)(const TPMDeviceConfig *config, TPMVersion version, GError **error);

    /* Is there all it needs of the host? Sets error if not. NULL: it needs nothing. */
    bool (*check_host)(const TPMHost *host, GError **error);

    /* bytes of guest address space; 0 for a model on another bus, which needs no read and write */
    uint32_t (*region_size)(const TPMDeviceConfig *config);

    /* bytes of the largest command and response it can carry */
    size_t (*buffer_size)(const TPMDeviceConfig *config);

    /* Make the model; config has passed check(). */
    void *(*create)(TPMDevice *device, const TPMDeviceConfig *config);
    void (*free)(void *model);

    /* Every register to its reset value; buffer_size is what the TPM and this model agree on. */
    void (*reset)(void *model, size_t buffer_size);

    /*
     * One aligned access within a 32-bit register; values stand at their place in it. NULL for a
     * model without a region, whose own file has the calls that reach it.
     */
    uint32_t (*read)(void *model, const TPMPiece *piece);
    void (*write)(void *model, const TPMPiece *piece, uint32_t value);

    /*
     * The page a host maps as guest memory, and the address where it does, or NULL; NULL for a
     * model that has none.
     */
    void *(*page)(void *model, uint64_t *address);

    /* The command is done (stage 5); response is well formed and no larger than the buffer. */
    void (*done)(void *model, const uint8_t *response, size_t size, bool selftest_done);

    /* The tpmEstablished flag has changed, or is known; NULL for a model that only reads it. */
    void (*established)(void *model, bool established);

    /* The hash sequence has ended, well or not; NULL for a model that has no D-RTM. */
    void (*hashed)(void *model);

    /* Does the model itself have something to ask of the host? And do so, with no lock held. */
    bool (*is_due)(const void *model);
    void (*deliver)(void *model);

    /* Is no thread within deliver()? While the device is held none enters. NULL: there never is. */
    bool (*is_settled)(const void *model);

    /* Add the sections it has. No command of it is with the TPM. */
    void (*save)(const void *model, TPMStateWriter *writer);

    /*
     * Read them, check all they say, and change nothing; `request` is the device's, checked.
     * Returns what restore() takes, to be freed with g_free(); it lives no longer than the reader.
     * NULL with error set: this is no state such a model could be in.
     */
    void *(*parse)(const void *model, TPMStateReader *reader, const TPMSavedRequest *request,
                   GError **error);

    /* Be in that state; cannot fail. */
    void (*restore)(void *model, const void *saved);
} TPMFrontend;

extern const TPMFrontend tpm_frontend_tis;        /* tis.c */
extern const TPMFrontend tpm_frontend_tis_sysbus; /* tis.c */
extern const TPMFrontend tpm_frontend_tis_i2c;    /* tis-i2c.c */
extern const TPMFrontend tpm_frontend_crb;        /* crb.c */
extern const TPMFrontend tpm_frontend_tis_spi;    /* tis-spi.c */
extern const TPMFrontend tpm_frontend_spapr;      /* spapr.c */

#endif /* TPM_FRONTEND_H */
