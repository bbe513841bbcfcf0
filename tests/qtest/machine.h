/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hardware of a hypervisor without a CPU: guest memory, one TPM device, nothing else. What is
 * not there reads as 0 and ignores writes, as unassigned memory of QEMU does under qtest.
 *
 * main.c builds it from the command line; qtest.c plays its CPU, qmp.c its operator. Everything
 * runs on the main thread.
 */
#ifndef TESTS_QTEST_MACHINE_H
#define TESTS_QTEST_MACHINE_H

#include "ram.h"

#include <tpmdev/tpmdev.h>

/* What differs between the names the program has. */
typedef struct MachineArch {
    const char *name;           /* as in tpmdev-system-NAME */
    const char *endianness;     /* qtest's answer: little or big */
    const char *irq_controller; /* what irq_intercept_in can name */
    unsigned irq;               /* the TPM's input of it; 0: the one `irq=` names */
    uint64_t ram_base;          /* where guest memory begins */
    uint64_t ram_low;           /* so much is there, and the rest from 4 GiB on; 0: all is there */
    uint64_t tpm_base;          /* where the TPM device is when `base=` does not say, or its bus */
    const char *models[3];      /* the TPM devices it has a place for, NULL-terminated */
    bool has_papr;              /* the guest makes hypercalls */
    bool has_ppi;               /* a device has physical presence memory unless `ppi=off` */
} MachineArch;

/* The row whose name is in the program's; the first row when there is none. */
const MachineArch *machine_arch_of(const char *program);

typedef struct Machine Machine;

/* NULL with error set when the host has not so much memory. */
Machine *machine_new(const MachineArch *arch, uint64_t size, GError **error);
void machine_free(Machine *machine);

const MachineArch *machine_arch(const Machine *machine);

/*
 * The values of -tpmdev and -device. Errors do not name the option; the caller does. The first
 * comes as the library takes it and as it was given, which differ where it names a set of
 * descriptors.
 */
bool machine_add_tpmdev(Machine *machine, const char *options, const char *given,
                        TPMChardevLookup lookup, void *opaque, GError **error);
bool machine_add_device(Machine *machine, const char *options, GError **error);

/* A device added later is made to be loaded: its TPM does not start before it is resumed. */
void machine_expect_incoming(Machine *machine);

/* The device and its TPM, or NULL, and the option string that one was given by. */
TPMDevice *machine_tpm(const Machine *machine);
TPMBackend *machine_backend(const Machine *machine);
const char *machine_tpmdev_options(const Machine *machine);

/* Does it carry out a command? */
bool machine_tpm_is_executing(const Machine *machine);

/* Where the device is on its bus: its guest physical, I2C or unit address. */
uint64_t machine_tpm_address(const Machine *machine);

void machine_reset(Machine *machine);

/* Guest memory; what is put there with machine_take_ram() is the machine's then. */
const Ram *machine_ram(const Machine *machine);
void machine_take_ram(Machine *machine, Ram *ram);

/* The controller of the machine whose TPM is on an I2C bus, or NULL. */
struct AspeedI2C *machine_i2c(const Machine *machine);

/* A guest's hypercall, if the machine has them and a device to make them to: else NULL. */
struct Papr *machine_papr(const Machine *machine);

/* What a device does: all of it in guest memory, or nothing and false. */
bool machine_dma_read(Machine *machine, uint64_t address, void *data, size_t size);
bool machine_dma_write(Machine *machine, uint64_t address, const void *data, size_t size);

/* Raise the device's interrupt for a moment, as one that is no level. */
void machine_pulse_irq(Machine *machine);

/* An access of a guest: width 1, 2, 4 or 8, any address; the value's bytes as the arch has them. */
uint64_t machine_load(Machine *machine, uint64_t address, unsigned width);
void machine_store(Machine *machine, uint64_t address, unsigned width, uint64_t value);

/* A run of bytes, made of the widest aligned accesses. */
void machine_read(Machine *machine, uint64_t address, uint8_t *data, size_t size);
void machine_write(Machine *machine, uint64_t address, const uint8_t *data, size_t size);

/* Hear of the input lines of the interrupt controller; NULL ends it. */
typedef void (*MachineIRQ)(void *opaque, unsigned line, bool level);
void machine_watch_irq(Machine *machine, MachineIRQ callback, void *opaque);

/* Hear of the way to the TPM (TPMHost.backend_link); NULL ends it. */
typedef void (*MachineLink)(void *opaque, TPMBackendLink link, const char *message);
void machine_watch_link(Machine *machine, MachineLink callback, void *opaque);

#endif /* TESTS_QTEST_MACHINE_H */
