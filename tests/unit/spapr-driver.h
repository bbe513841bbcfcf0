/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's driver of a tpm-spapr device, and the machine it runs in: a hypervisor with a queue
 * and some guest memory, a device, a TPM.
 *
 * The memory is mapped for DMA from MEMORY to MEMORY + mapped and nowhere else; every DMA is kept
 * in a log, one that reaches outside fails and is counted. The queue keeps every message. The
 * numbers are those of LoPAPR, written out again: a test that shares the model's constants would
 * share its mistakes.
 */
#ifndef SPAPR_DRIVER_H
#define SPAPR_DRIVER_H

#include "fake-backend.h"
#include "fake-host.h"

#define MEMORY      0x10000000u
#define MEMORY_SIZE 0x3000u
#define BUFFER      (MEMORY + 0x1000u) /* where the driver has its command */

#define SPAPR_LOG 64u

/* The first half of messages without length and data. */
#define MESSAGE_INIT          0xC001000000000000u
#define MESSAGE_INIT_COMPLETE 0xC002000000000000u
#define MESSAGE_VERSION       0x8001000000000000u
#define MESSAGE_COMMAND       0x8002000000000000u
#define MESSAGE_RTCE_SIZE     0x8003000000000000u
#define MESSAGE_SUSPEND       0x8004000000000000u

/* And of the answers. */
#define ANSWER_VERSION    0x8081000000000000u
#define ANSWER_COMMAND    0x8082000000000000u
#define ANSWER_RTCE_SIZE  0x8083000000000000u
#define ANSWER_SUSPEND    0x8084000000000000u
#define ANSWER_COPY_IN    0x80FF000000000003u
#define ANSWER_COPY_OUT   0x80FF000000000004u
#define ANSWER_LEN(bytes) ((uint64_t)(bytes) << 32)

/* PAPR's codes. */
#define SUCCESS   0
#define BUSY      1
#define PARAMETER (-4)
#define DROPPED   (-12)

typedef struct SpaprDma {
    bool is_write;
    uint64_t address;
    size_t size;
} SpaprDma;

typedef struct SpaprMachine {
    FakeHost host; /* first: the callbacks find the rest by it */
    FakeBackend *tpm;
    TPMDevice *device;
    TPMDeviceConfig config;

    GMutex lock; /* for all below: callbacks come on any thread */
    size_t mapped;
    uint8_t memory[MEMORY_SIZE];

    unsigned dmas;
    SpaprDma dma[SPAPR_LOG];
    unsigned outside; /* DMAs that reached outside what is mapped */

    bool queue_full; /* every message is refused */
    unsigned refused;
    unsigned messages;
    uint8_t message[SPAPR_LOG][16];
    GThread *message_thread; /* that brought the last one */

    bool inside; /* a thread is within a callback */
    bool breach; /* and a second one came */

    /* What happens during the next callback of its kind, before it does its work. */
    void (*on_read)(struct SpaprMachine *machine);
    void (*on_write)(struct SpaprMachine *machine);
    void (*on_message)(struct SpaprMachine *machine);
    /* And as soon as the next message can be seen, while the callback has yet to return. */
    void (*on_seen)(struct SpaprMachine *machine);
} SpaprMachine;

/* ---- the machine ---- */

/* A tpm-spapr that is not yet made, before a TPM that starts and answers at once. */
SpaprMachine *spapr_machine_prepare(TPMVersion version, size_t buffer_size);

/* The same for a TPM 2.0 that answers, and is cancelled, only when it is told to. */
SpaprMachine *spapr_machine_prepare_told(void);

void spapr_machine_plug(SpaprMachine *machine);

/* Free all. Fails the test for what the fakes found wrong. */
void spapr_machine_free(SpaprMachine *machine);

/* cmocka fixtures: *state is a machine, the last one's TPM has to be told. */
int spapr_setup_1_2(void **state);
int spapr_setup_2_0(void **state);
int spapr_setup_told(void **state);
int spapr_teardown(void **state);

TPMDeviceStatistics spapr_statistics(SpaprMachine *machine);

/* ---- what a driver does ---- */

/* H_SEND_CRQ with a second half that must never come back. Returns its code. */
int64_t spapr_send(SpaprMachine *machine, uint64_t high);

/* The same; fails the test unless the code is H_SUCCESS. */
void spapr_send_ok(SpaprMachine *machine, uint64_t high);

/* The first half of the message for a command of so many bytes at an address. */
uint64_t spapr_command(size_t size, uint32_t address);

/* Put a command to BUFFER. */
void spapr_put(SpaprMachine *machine, const void *command, size_t size);

/* Put it there and send it, with its own size; fails the test unless the code is H_SUCCESS. */
void spapr_start(SpaprMachine *machine, const void *command, size_t size);

/* ---- what it finds ---- */

/* Messages in the queue so far, read under the lock. */
unsigned spapr_messages(SpaprMachine *machine);

/* Fails the test unless the queue has this many messages and the last one is this, all of it. */
void spapr_assert_last(SpaprMachine *machine, unsigned messages, uint64_t high);

/* Fails the test unless message `at` is this, all of it. */
void spapr_assert_message(SpaprMachine *machine, unsigned at, uint64_t high);

/* Fails the test unless DMA `at` is this one. */
void spapr_assert_dma(SpaprMachine *machine, unsigned at, bool is_write, uint64_t address,
                      size_t size);

/* Fails the test unless these bytes are at BUFFER, and what follows them is `then`. */
void spapr_assert_buffer(SpaprMachine *machine, const void *bytes, size_t size, uint8_t then);

/* ---- commands ---- */

/* TPM2_GetRandom and TPM_GetRandom of 8 bytes: short ones. */
extern const uint8_t spapr_command_2_0[12];
extern const uint8_t spapr_command_1_2[14];

/* What fake_backend answers by default. */
extern const uint8_t spapr_response_2_0[10];
extern const uint8_t spapr_response_1_2[10];

#endif /* SPAPR_DRIVER_H */
