/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine from the inside: what libtpms-engine.c, which holds libtpms, and libtpms-state.c,
 * which moves the state of its TPM, share.
 */
#ifndef TPM_LIBTPMS_ENGINE_PRIVATE_H
#define TPM_LIBTPMS_ENGINE_PRIVATE_H

#include "libtpms-engine.h"
#include "state-directory.h"

struct LibtpmsEngine {
    TPMVersion version;
    TPMStateDirectory *directory;
    int null_fd; /* where libtpms prints */
    bool powered;
    bool shut_down;        /* nothing came after the last TPM2_Shutdown */
    bool handed_out;       /* the TPM's state was saved, and it has not gone on since */
    bool established;      /* tpmEstablished came with the state; libtpms may not know of it */
    uint8_t locality;      /* of the command under way */
    GError *storage_error; /* the first since power on, or NULL */

    void (*counter_changed)(void *opaque, uint64_t counter);
    void *opaque;
    GMutex counter_lock; /* for the next one, which any thread may ask for */
    uint64_t counter;

    /* While a state is tried out libtpms finds this in place of what is in the directory. */
    bool staging;
    GBytes *staged[TPM_STATE_SAVED + 1];
};

/* Power on a TPM that is off, with the state that libtpms finds, checked before. */
bool libtpms_engine_switch_on(LibtpmsEngine *engine, size_t buffer_size, GError **error);

/* What is stored has changed: whoever keeps its counter is to hear of it. */
void libtpms_engine_tell_counter(LibtpmsEngine *engine);

#endif /* TPM_LIBTPMS_ENGINE_PRIVATE_H */
