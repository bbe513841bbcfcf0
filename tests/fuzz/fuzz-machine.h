/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The machine the fuzz targets of devices share: a hostile TPM, a hypervisor, and what the bytes
 * of an input make them do. The guest is each target's own.
 *
 * All of it runs on one thread: the host lends a GMainContext that this thread owns.
 */
#ifndef FUZZ_MACHINE_H
#define FUZZ_MACHINE_H

#include "input.h"
#include <tpmdev/tpmdev.h>

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

/* Free both, with whatever is under way. */
void machine_free(Machine *m);

/* ---- the guest's accesses; inside the device and of a width there is ---- */

uint64_t guest_read(Machine *m, uint64_t offset, unsigned width);
void guest_write(Machine *m, uint64_t offset, unsigned width, uint64_t value);

/* ---- what an input makes guest, hypervisor and TPM do ---- */

/* Any access whatever, so also those outside the device and of a width there is not. */
void op_access(Machine *m, Input *input, bool is_write);

/* A response of so many bytes; one of any bytes. */
void tpm_complete(Machine *m, size_t size);
void op_complete_with(Machine *m, Input *input);

void tpm_hashed(Machine *m);
void tpm_fail(Machine *m);
void tpm_started(Machine *m);

/* The clock jumps, and the next lingering command completes at another poll. */
void op_clock(Machine *m, Input *input);

/* The flag tpmEstablished appears, or the machine is reset. */
void op_event(Machine *m, Input *input);

/* The TPM answers all it has been asked, as a cancelled or slow one does in the end. */
void settle(Machine *m);

/* ---- what holds for every guest ---- */

void check_machine(Machine *m);

/* Big-endian, into four bytes. */
void put_be32(uint8_t *p, size_t value);

#endif /* FUZZ_MACHINE_H */
