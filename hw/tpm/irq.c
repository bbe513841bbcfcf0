/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stage 6 of 6: from the level the registers ask for to the host's set_irq().
 *
 * The host is called without the device's lock, so two threads could tell it two levels in the
 * wrong order. One thread at a time does the telling, and goes on until what it told is what the
 * registers say; a thread that finds it at work leaves it to it.
 *
 * From the front ends, to TPMHost.set_irq: the only caller of it.
 */
#include "irq.h"
#include "device-internal.h"

bool tpm_irq_set(TPMIrq *irq, bool level)
{
    bool rises = level && !irq->level;

    irq->level = level;
    return rises;
}

void tpm_irq_restored(TPMIrq *irq)
{
    irq->told = irq->level;
}

bool tpm_irq_is_due(const TPMIrq *irq)
{
    return irq->level != irq->told && !irq->delivering;
}

void tpm_irq_deliver(TPMDevice *device)
{
    TPMIrq *irq = &device->irq;

    g_mutex_lock(&device->lock);
    while (tpm_irq_is_due(irq)) {
        bool level = irq->level;

        irq->delivering = true;
        g_mutex_unlock(&device->lock);
        if (device->host.set_irq) {
            device->host.set_irq(device->opaque, level);
        }
        g_mutex_lock(&device->lock);
        irq->told = level;
        irq->delivering = false;
    }
    g_mutex_unlock(&device->lock);
}
