/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device is being saved or loaded: it is held, and its TPM's own state is on its way between it
 * and its backend. A part of TPMDevice.
 */
#ifndef TPM_MOVE_H
#define TPM_MOVE_H

#include "backend-internal.h"
#include <tpmdev/device.h>

typedef struct TPMMove {
    bool under_way;    /* a thread is within tpmdev_device_save() or _load() */
    bool was_held;     /* the device was, when that began */
    bool resume_asked; /* and is to go on when it ends */

    bool wanted;     /* somebody waits for the TPM's answer */
    TPMState *saved; /* it was saved, and is this */
    GError *error;   /* it was neither saved nor loaded */
} TPMMove;

/* What the TPM is asked. */
typedef struct TPMTransfer {
    const TPMState *state; /* to load; NULL: to save */
    bool established;      /* tpmEstablished of that */
    bool sequence;         /* the TPM has, or is to have, a hash sequence open */
} TPMTransfer;

/*
 * Hold the device. Returns with its lock held, or false without it: two at once would take each
 * other's answers of the TPM, and a callback would wait for who called it.
 */
bool tpm_move_begin(TPMDevice *device, GError **error);

/*
 * Have the TPM do it, when it has ended what it does, by g_get_monotonic_time(). Called and returns
 * with the lock held. Where there is no time left for a load the TPM is not asked, and is what it
 * was. After a save TPMMove.saved is the state.
 */
bool tpm_move_run(TPMDevice *device, const TPMTransfer *transfer, int64_t deadline_us,
                  GError **error);

/* It is over: the device goes on if it was not `done`, or is held. Returns without the lock. */
void tpm_move_end(TPMDevice *device, bool done);

/* The TPM has answered; with the lock held. */
void tpm_move_answered(TPMMove *move, const TPMState *saved, const GError *error);

/* Forget what it has answered. */
void tpm_move_clear(TPMMove *move);

#endif /* TPM_MOVE_H */
