/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The TPM's own state on its way between a device and its backend, while device-state.c waits for
 * it. A part of TPMDevice.
 */
#ifndef TPM_MOVE_H
#define TPM_MOVE_H

#include "backend-internal.h"

typedef struct TPMMove {
    bool under_way;    /* a thread is within tpmdev_device_save() or _load() */
    bool was_held;     /* the device was, when that began */
    bool resume_asked; /* and is to go on when it ends */

    bool wanted;     /* somebody waits for the outcome */
    TPMState *saved; /* it was saved, and is this */
    GError *error;   /* it was neither saved nor loaded */
} TPMMove;

/* Begin to wait; and what has come of it. With the device's lock held. */
void tpm_move_begin(TPMMove *move);
void tpm_move_ended(TPMMove *move, const TPMState *saved, const GError *error);

/* Forget what has come of it. */
void tpm_move_clear(TPMMove *move);

#endif /* TPM_MOVE_H */
