/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hypervisor with vCPU threads and devices on buses, for tests that have all of them at work at
 * once. A bus is a row of a table: how registers are reached and how a driver carries a command.
 *
 * Nothing here fails a test, since it runs off cmocka's thread: mistakes are counted.
 */
#ifndef VCPUS_H
#define VCPUS_H

#include "fake-backend.h"
#include "spi-driver.h"

#include <tpmdev/tpmdev.h>

#define VCPUS_PER_MACHINE 2

typedef struct Machine Machine;
typedef struct VCPU VCPU;

/* What became of a command. */
typedef enum Result {
    RESULT_ANSWERED,
    RESULT_CANCELLED, /* by the device, before the TPM had it */
    RESULT_LOST,      /* ended by a reset */
    RESULT_WRONG,
    RESULTS,
} Result;

/* Commands that say whose they are, and responses that tell. */
typedef struct Language {
    size_t (*make)(uint32_t id, uint8_t *command);
    bool (*is_answer)(uint32_t id, const uint8_t *response, size_t size);
} Language;

typedef struct Bus {
    const char *name;
    TPMInterface interface;
    bool shared;       /* each vCPU has a locality; else they take turns at locality 0 */
    bool guest_memory; /* a vCPU that has lost its locality in a reset may still write commands */
    bool frames;       /* a reset can fall into one, and nobody knows whether it counted */
    bool reentrant;    /* registers can be reached from within a callback */
    void (*configure)(TPMDeviceConfig *config);

    /* One access of 1 to 4 bytes, or as many as it takes. An address is locality << 12 | offset. */
    void (*read)(Machine *machine, uint32_t address, uint8_t *bytes, size_t size);
    void (*write)(Machine *machine, uint32_t address, const uint8_t *bytes, size_t size);

    /* A whole command, by a driver; vcpu->response is what came. */
    Result (*carry)(VCPU *vcpu, const uint8_t *command, size_t size);
    void (*cancel)(Machine *machine, unsigned locality);
    uint32_t int_status; /* offset of the register of pending interrupts, one clears */
} Bus;

extern const Bus buses[];
extern const unsigned buses_count;

struct VCPU {
    Machine *machine;
    unsigned number;
    unsigned locality;
    unsigned epoch; /* the machine's when the command began */
    GThread *thread;
    uint8_t response[64];
    size_t response_size;
};

struct Machine {
    const Bus *bus;
    const Language *language;
    TPMBackend *backend;
    TPMDevice *device;
    unsigned commands; /* of each vCPU, without those that are cancelled */
    bool turns;        /* vCPUs take turns, command by command */
    bool cancels;      /* vCPUs cancel some of their own commands */
    VCPU vcpus[VCPUS_PER_MACHINE];

    GMutex turn_lock; /* a guest's, around a command, where vCPUs take turns */
    GMutex bus_lock;  /* the controller's, around a frame */
    SPIDriver spi;

    /* Atomic. */
    int reads; /* accesses made */
    int writes;
    int results[RESULTS];
    int epoch; /* counts up before a reset and after it: odd while one is due */
    int over;

    bool went_back; /* a statistic, seen by a thread that looks on */

    /* Not atomic: the library orders its calls, and ThreadSanitizer sees whether it does. */
    bool told; /* the interrupt's level */
    unsigned rises;
    bool told_twice;
    bool told_by_stranger;
    bool has_context; /* calls come only from accesses and from the thread that runs it */
};

/* The host to give to tpmdev_device_new(), with the machine as opaque. */
TPMHost machine_host(GMainContext *context);

/* The device is to be set when this begins. Ends all its commands, then returns. */
void machine_start(Machine *machine);
void machine_join(Machine *machine);

void machine_init(Machine *machine, const Bus *bus, const Language *language);
void machine_clear(Machine *machine);

/* Those its vCPUs use, from 0 on. */
unsigned machine_localities(const Machine *machine);

/* Commands that have come to an end; and without those that were cancelled. */
unsigned machine_results(Machine *machine);
unsigned machine_progress(Machine *machine);

/* Are interrupts pending in the registers of any locality? */
bool machine_is_pending(Machine *machine);

/* May there have been a reset since the vCPU's command began? */
bool vcpu_was_reset(VCPU *vcpu);

/* Until the byte at this offset of the vCPU's locality, masked, is this. */
Result vcpu_wait(VCPU *vcpu, uint32_t offset, uint8_t mask, uint8_t value);

uint8_t vcpu_read8(VCPU *vcpu, uint32_t offset);
void vcpu_write(VCPU *vcpu, uint32_t offset, unsigned width, uint32_t value);

/* The calling thread is the hypervisor's: it makes accesses, or runs its context. */
void thread_is_ours(void);

#endif /* VCPUS_H */
