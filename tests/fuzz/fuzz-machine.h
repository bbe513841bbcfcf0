/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The machine the fuzz targets of devices share: a hostile TPM, a hypervisor, and what the bytes
 * of an input make them do. The guest is each target's own.
 *
 * All of it runs on one thread: the host lends a GMainContext that this thread owns.
 */
#ifndef FUZZ_MACHINE_H
#define FUZZ_MACHINE_H

#include "fuzz-tpm.h"

#define LOCALITIES       5u
#define REG(locality, r) ((uint64_t)(locality) << 12 | (r))

typedef struct Machine {
    /* the TPM */
    TPMBackend *backend;
    TPMVersion version;
    size_t agreed;     /* bytes of the largest command, as start() was told */
    bool start_inline; /* start() is answered from within */
    bool starting;     /* it has not been answered */
    uint8_t polls;     /* a lingering command completes at this poll; 0: at once */
    bool executing;
    TPMCommand command; /* as submitted */
    uint8_t copy[TPM_BUFFER_SIZE_MAX];
    bool hashing;  /* a step of a hash sequence has not been answered */
    bool sequence; /* one is open */
    TPMHashStep step;
    const uint8_t *hash_data;
    size_t hash_size;
    uint8_t hash_copy[TPM_HASH_CHUNK_MAX];
    bool destroyed;

    /* the hypervisor */
    TPMDevice *device;
    int64_t now_ns;
    bool irq_level;
    void (*on_irq)(struct Machine *m); /* the guest's handler, run within set_irq(); or NULL */
    uint64_t messages;
    bool drtm;  /* lets the guest write at locality 4, as no hypervisor should */
    bool freed; /* no callback may come any more */
} Machine;

/*
 * Make TPM and device: the shape's low bits say how they are, the config what the device is to be.
 * The Machine must begin zeroed but for what a target sets of it.
 */
void machine_new(Machine *m, uint8_t shape, size_t buffer_size, const TPMDeviceConfig *config,
                 GMainContext *context);

/* What a target's guest does with an input, what holds for it after that, and in the end. */
typedef struct FuzzGuest {
    void (*run_op)(Machine *m, Input *input);
    void (*check)(Machine *m);
    void (*check_recovery)(Machine *m); /* a reset makes all good again, whatever was done */
} FuzzGuest;

/* Do all of an input, and what comes in the end; then free both, with whatever is under way. */
void machine_run(Machine *m, Input *input, const FuzzGuest *guest, bool recover);

/* ---- the guest's accesses; inside the device and of a width there is ---- */

uint64_t guest_read(Machine *m, uint64_t offset, unsigned width);
void guest_write(Machine *m, uint64_t offset, unsigned width, uint64_t value);

/* ---- what an input makes guest, hypervisor and TPM do ---- */

/* Any access whatever, so also those outside the device and of a width there is not. */
void op_access(Machine *m, Input *input, bool is_write);

/*
 * What is not the guest's. 0: a response; 1: one of any bytes; 2: the TPM fails; 3: it has started;
 * 4: the clock jumps, and the next lingering command completes at another poll; from 5 on: the flag
 * tpmEstablished appears, or the machine is reset.
 */
void op_machine(Machine *m, Input *input, unsigned op);

/* A response of so many bytes; and the answer to a step. */
void tpm_complete(Machine *m, size_t size);
void tpm_hashed(Machine *m);

/* The TPM answers all it has been asked, as a cancelled or slow one does in the end. */
void settle(Machine *m);

#endif /* FUZZ_MACHINE_H */
