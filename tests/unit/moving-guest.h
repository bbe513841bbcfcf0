/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest that does not know on which device it runs: it follows a script and keeps a transcript of
 * all it finds, while its machine saves the device and loads it into another one between any two
 * steps. Whatever a device forgets on the way is a difference in the transcript.
 */
#ifndef MOVING_GUEST_H
#define MOVING_GUEST_H

#include "chain-tpm.h"

#include <tpmdev/tpmdev.h>

#define MOVING_DEADLINE_NS G_GINT64_CONSTANT(30000000000)

#define MOVING_MEMORY      0x10000000u
#define MOVING_MEMORY_SIZE 0x2000u

/* ---- scripts ---- */

typedef enum StepKind {
    STEP_READ,    /* a register */
    STEP_WRITE,   /* a register */
    STEP_ANSWER,  /* wait for the TPM, or make it answer */
    STEP_I2C,     /* an event */
    STEP_SEND,    /* a byte on I2C */
    STEP_RECEIVE, /* a byte on I2C */
    STEP_SELECT,  /* the chip select of SPI */
    STEP_SPI,     /* a byte on SPI */
    STEP_CRQ,     /* a message */
    STEP_QUEUE,   /* the guest's queue is full, or has room again */
    STEP_PUT,     /* a byte into the page or memory the device shares with its guest */
    STEP_GET,     /* and one from there */
    STEP_RESET,   /* of the machine */
} StepKind;

typedef struct Step {
    StepKind kind;
    unsigned width;
    uint64_t at; /* offset */
    uint64_t value;
} Step;

typedef GArray Script; /* of Step */

/* The memory of STEP_PUT and STEP_GET, in `width`. */
enum { MEMORY_PAGE, MEMORY_PPI, MEMORY_DMA };

/* What there is to be moved. */
typedef struct Subject {
    const char *name;
    TPMInterface interface;
    TPMVersion version;
    bool localities; /* CRB, and so on */
    bool interrupts;
    bool page;
    bool chunk;
    bool drtm;
    bool ppi;
    unsigned wait_states;
} Subject;

extern const Subject subjects[];
extern const size_t subject_count;

/* A script for it; one for a real TPM asks for nothing whose outcome a real TPM may choose. */
Script *script_new(const Subject *subject, bool real);

/* ---- the guest and its machine ---- */

/* How a TPM is made: that of the first device, or one that is to be loaded; for libtpms or swtpm.
 */
typedef struct TPMMaker {
    TPMBackend *(*make)(void *opaque, bool incoming);
    void (*unmake)(void *opaque, TPMBackend *backend);
    void *opaque;
} TPMMaker;

typedef struct Guest {
    const Subject *subject;
    const TPMMaker *maker; /* NULL: a ChainTPM */
    ChainTPM *chain;
    TPMBackend *backend;
    TPMDevice *device;
    GString *transcript;

    /* What the host has, and keeps when the device moves. */
    unsigned irqs;
    bool irq;
    bool queue_full;
    uint8_t memory[MOVING_MEMORY_SIZE];
    GMutex lock; /* for the messages, which come on any thread */
    GString *messages;
    bool silent; /* no callback may come: the device is held */
    const char *breach;
} Guest;

TPMDeviceConfig moving_config(const Subject *subject);

Guest *guest_new(const Subject *subject, const TPMMaker *maker);
void guest_free(Guest *guest);

/* Run these steps of a script. */
void guest_run(Guest *guest, const Script *script, size_t first, size_t last);

/* Save the device; fails the test when that is refused. */
GBytes *guest_save(Guest *guest);

/* Another device, with another TPM, in place of the one there is; load it, and resume it. */
void guest_plug(Guest *guest, bool incoming);
void guest_load(Guest *guest, GBytes *state);
void guest_resume(Guest *guest);

/* Save, plug an incoming device, load and resume. */
void guest_move(Guest *guest);

/*
 * Fails the test unless the transcript is this one; with the first line in which they differ, and
 * the step before which something was done, for the message.
 */
void guest_assert_transcript(const Guest *guest, const char *wanted, size_t step);

/* ---- streams ---- */

const Subject *subject_named(const char *name);

/*
 * What is saved of a guest that follows the script, the first time that a field of it has this
 * value, in GVariant's text form; before the first step if path is NULL. Fails the test if it never
 * has.
 */
GBytes *guest_stream_when(const Subject *subject, const char *section, const char *path,
                          const char *value);

/*
 * The same of a guest that goes on while its device is held, which alone has commands that wait and
 * responses that have yet to be copied out. NULL if it never has.
 */
GBytes *guest_stream_of_held(const Subject *subject, const char *section, const char *path,
                             const char *value);

#endif /* MOVING_GUEST_H */
