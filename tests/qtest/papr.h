/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the hypervisor of a POWER platform does for its virtual TPM (LoPAPR, "Reliable
 * Command/Response Transport"): the hypercalls of a virtual I/O device, its Command/Response Queue
 * in guest memory, and its DMA.
 *
 * A DMA address is a guest physical address here, as QEMU has it once the guest has turned on TCE
 * bypass: there is no table of translations to keep.
 *
 * Between qtest.c, whose `hcall` comes in here, and the library, whose callbacks do.
 */
#ifndef TESTS_QTEST_PAPR_H
#define TESTS_QTEST_PAPR_H

#include "machine.h"

/* The unit address of the first virtual I/O device, as QEMU gives it out. */
#define PAPR_UNIT_DEFAULT 0x71000000u

/* A hypercall takes so many arguments at most, of those that are answered here. */
#define PAPR_ARGUMENTS 3u

typedef struct Papr Papr;

/* Hypercalls come when the machine has its device; callbacks of the device may before. */
Papr *papr_new(Machine *machine, uint32_t unit);
void papr_free(Papr *papr);

/* The machine is reset: the queue is gone and its interrupt off. */
void papr_reset(Papr *papr);

/*
 * A hypercall with as many arguments as the guest gave, the rest 0. Returns the code for the
 * guest's register 3.
 */
int64_t papr_hcall(Papr *papr, uint64_t opcode, const uint64_t arguments[PAPR_ARGUMENTS]);

/* The queue, for another machine's; false for one that no hypercall could have made. */
typedef struct PaprState {
    uint64_t queue;
    uint64_t size;
    uint64_t next;
    bool signals;
} PaprState;

void papr_save(const Papr *papr, PaprState *state);
bool papr_state_is_valid(const PaprState *state);
void papr_load(Papr *papr, const PaprState *state);

/* A message of the device for the queue; false when it has no room, or there is none. */
bool papr_send_crq(Papr *papr, const uint8_t message[TPM_CRQ_MESSAGE_SIZE]);

#endif /* TESTS_QTEST_PAPR_H */
