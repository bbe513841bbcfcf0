/* SPDX-License-Identifier: BSD-3-Clause */
/* Hypercalls and queue of a virtual I/O device; see papr.h. */
#include "papr.h"

#include <string.h>

/* LoPAPR, "Hypervisor Call Functions". */
#define H_REG_CRQ    0xFCu
#define H_FREE_CRQ   0x100u
#define H_VIO_SIGNAL 0x104u
#define H_SEND_CRQ   0x108u
#define H_ENABLE_CRQ 0x2B0u

/* And its return codes, beside those of <tpmdev/spapr.h>. */
#define H_FUNCTION (-2)
#define H_RESOURCE (-16)

#define QUEUE_ALIGNMENT 0x1000u
#define QUEUE_SIZE_MIN  0x1000u
#define QUEUE_SIZE_MAX  0x10000000u

struct Papr {
    Machine *machine;
    uint32_t unit;
    uint64_t queue; /* its DMA address */
    uint64_t size;  /* its bytes; 0 while none is registered */
    uint64_t next;  /* where in it the next message goes */
    bool signals;   /* the guest wants the interrupt */
};

Papr *papr_new(Machine *machine, uint32_t unit)
{
    Papr *papr = g_new0(Papr, 1);

    papr->machine = machine;
    papr->unit = unit;
    return papr;
}

void papr_free(Papr *papr)
{
    g_free(papr);
}

void papr_reset(Papr *papr)
{
    papr->size = 0;
    papr->signals = false;
}

/* ---- hypercalls ---- */

static bool is_queue(uint64_t queue, uint64_t size)
{
    return queue % QUEUE_ALIGNMENT == 0 && size % QUEUE_ALIGNMENT == 0 && size >= QUEUE_SIZE_MIN &&
           size <= QUEUE_SIZE_MAX;
}

static int64_t on_reg_crq(Papr *papr, const uint64_t *arguments)
{
    uint64_t queue = arguments[1];
    uint64_t size = arguments[2];

    if (!is_queue(queue, size)) {
        return TPM_H_PARAMETER;
    }
    if (papr->size) {
        return H_RESOURCE;
    }
    papr->queue = queue;
    papr->size = size;
    papr->next = 0;
    tpmdev_device_reset_crq(machine_tpm(papr->machine));
    return TPM_H_SUCCESS;
}

static int64_t on_free_crq(Papr *papr)
{
    papr->size = 0;
    tpmdev_device_reset_crq(machine_tpm(papr->machine));
    return TPM_H_SUCCESS;
}

static int64_t on_enable_crq(Papr *papr)
{
    tpmdev_device_resume_crq(machine_tpm(papr->machine));
    return TPM_H_SUCCESS;
}

static int64_t on_vio_signal(Papr *papr, uint64_t mode)
{
    if (mode & ~(uint64_t)TPM_SPAPR_SIGNAL_MASK) {
        return TPM_H_PARAMETER;
    }
    papr->signals = mode != 0;
    tpmdev_device_resume_crq(machine_tpm(papr->machine));
    return TPM_H_SUCCESS;
}

int64_t papr_hcall(Papr *papr, uint64_t opcode, const uint64_t arguments[PAPR_ARGUMENTS])
{
    bool is_ours = arguments[0] == papr->unit;

    switch (opcode) {
    case H_REG_CRQ:
        return is_ours ? on_reg_crq(papr, arguments) : TPM_H_PARAMETER;
    case H_FREE_CRQ:
        return is_ours ? on_free_crq(papr) : TPM_H_PARAMETER;
    case H_ENABLE_CRQ:
        return is_ours ? on_enable_crq(papr) : TPM_H_PARAMETER;
    case H_VIO_SIGNAL:
        return is_ours ? on_vio_signal(papr, arguments[1]) : TPM_H_PARAMETER;
    case H_SEND_CRQ:
        return is_ours
                   ? tpmdev_device_send_crq(machine_tpm(papr->machine), arguments[1], arguments[2])
                   : TPM_H_PARAMETER;
    default:
        return H_FUNCTION;
    }
}

/* ---- the queue ---- */

/* A place is free while its first byte is 0, so that byte is the last to be written. */
bool papr_send_crq(Papr *papr, const uint8_t message[TPM_CRQ_MESSAGE_SIZE])
{
    uint64_t place = papr->queue + papr->next;
    uint8_t valid;

    if (!papr->size || !machine_dma_read(papr->machine, place, &valid, sizeof(valid)) || valid ||
        !machine_dma_write(papr->machine, place + 8, message + 8, 8) ||
        !machine_dma_write(papr->machine, place, message, 8)) {
        return false;
    }
    papr->next = (papr->next + TPM_CRQ_MESSAGE_SIZE) % papr->size;
    if (papr->signals) {
        machine_pulse_irq(papr->machine);
    }
    return true;
}

/* ---- another machine's ---- */

void papr_save(const Papr *papr, PaprState *state)
{
    *state = (PaprState){ papr->queue, papr->size, papr->next, papr->signals };
}

bool papr_state_is_valid(const PaprState *state)
{
    return state->size == 0 || (is_queue(state->queue, state->size) && state->next < state->size &&
                                state->next % TPM_CRQ_MESSAGE_SIZE == 0);
}

void papr_load(Papr *papr, const PaprState *state)
{
    papr->queue = state->queue;
    papr->size = state->size;
    papr->next = state->next;
    papr->signals = state->signals;
}
