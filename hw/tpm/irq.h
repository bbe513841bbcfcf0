/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stage 6 of 6: the device's one interrupt line.
 *
 * A front end says what the level should be, under the device's lock; the host is told once the
 * lock is released.
 */
#ifndef TPM_IRQ_H
#define TPM_IRQ_H

#include <tpmdev/device.h>

typedef struct TPMIrq {
    bool level;      /* as the registers have it */
    bool told;       /* as the host was last told */
    bool delivering; /* a thread is telling it right now */
} TPMIrq;

/* Set the level; with the device's lock held. Returns true for a rising edge. */
bool tpm_irq_set(TPMIrq *irq, bool level);

/*
 * The level is that of saved state. The host is not told: it has the level of its line from its own
 * saved state, or asks for it. With the device's lock held.
 */
void tpm_irq_restored(TPMIrq *irq);

/* Is there something to tell? With the device's lock held. */
bool tpm_irq_is_due(const TPMIrq *irq);

/* Tell the host; with no lock held. */
void tpm_irq_deliver(TPMDevice *device);

#endif /* TPM_IRQ_H */
