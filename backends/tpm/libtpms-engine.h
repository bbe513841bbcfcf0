/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The one TPM that libtpms can be in a process: power on and off, one command at a time, state in
 * a directory.
 *
 * Open and close it on any thread, one after the other; call all else but the cancel on one
 * thread. Everything here but the cancel blocks. Used by libtpms.c, which gives it that thread.
 */
#ifndef TPM_LIBTPMS_ENGINE_H
#define TPM_LIBTPMS_ENGINE_H

#include "state-directory.h"

typedef struct LibtpmsEngine LibtpmsEngine;

/* A response, in memory of libtpms' choosing; begin with zeros, end with free(data). */
typedef struct LibtpmsResponse {
    unsigned char *data;
    uint32_t capacity;
    uint32_t size;
} LibtpmsResponse;

/*
 * LibtpmsSetup: which TPM it is; copied, with references to keys
 * @access:          to the state in @directory
 * @incoming:        @directory may be another's still: it is taken with the first load or power on
 * @release_lock_outgoing: another may have @directory from a save on
 * @counter_changed: or NULL; called when permanent state with another counter has reached the
 *                   disk, on the thread that called the engine and before that call returns
 */
typedef struct LibtpmsSetup {
    TPMVersion version;
    const char *directory;
    TPMStateAccess access;
    bool incoming;
    bool release_lock_outgoing;
    void (*counter_changed)(void *opaque, uint64_t counter);
    void *opaque;
} LibtpmsSetup;

/*
 * Take libtpms and the directory into use, unless that is incoming, and check, also by libtpms, the
 * state that is there. Nothing in the directory is changed but for what a crash left over, and for
 * how state is protected. Returns NULL with error set as tpmdev_backend_libtpms_new() has it.
 */
LibtpmsEngine *libtpms_engine_open(const LibtpmsSetup *setup, GError **error);

/* Power off in an orderly way and let go of libtpms. Returns NULL. */
LibtpmsEngine *libtpms_engine_close(LibtpmsEngine *engine);

/* It is about to be closed: a call that waits for the directory is to end. Any thread. */
void libtpms_engine_hurry(LibtpmsEngine *engine);

/* The counter of the permanent state on the disk; any thread may call it. */
uint64_t libtpms_engine_get_counter(LibtpmsEngine *engine);

/* Bytes of the largest command the TPM can be set to take. */
size_t libtpms_engine_buffer_size_max(const LibtpmsEngine *engine);

/* Power the TPM off if it is on, and on with a buffer of this size: _TPM_Init. */
bool libtpms_engine_power_on(LibtpmsEngine *engine, size_t buffer_size, GError **error);

/*
 * Run a command, whose bytes the TPM may change. False with error set says that the TPM is in no
 * state to serve and has to be powered on again: there is no response, or its state could not be
 * stored.
 */
bool libtpms_engine_execute(LibtpmsEngine *engine, uint8_t locality, uint8_t *command, size_t size,
                            LibtpmsResponse *response, GError **error);

/*
 * Ask the command under way to end, from any thread. libtpms forgets that as a command begins, so
 * one call is not enough while it is not known to be well under way.
 */
void libtpms_engine_cancel(void);

/*
 * A step of the D-RTM hash sequence, as TPMBackendClass.hash() has it. False with error set says
 * that the TPM did not measure and has to be powered on again.
 */
bool libtpms_engine_hash(LibtpmsEngine *engine, TPMHashStep step, const uint8_t *data, size_t size,
                         GError **error);

/* ---- libtpms-state.c ---- */

/* What a TPM's state was collected in; begin with zeros. */
typedef struct LibtpmsState {
    unsigned char *data[3]; /* permanent, volatile, saved; libtpms' memory */
    uint32_t size[3];
    bool shut_down;
    bool established;
    char *writer;
} LibtpmsState;

/*
 * Collect the state of the TPM, and let go of its directory if that is wanted. Fails when it is
 * off, or libtpms refuses; the TPM goes on then.
 */
bool libtpms_engine_save(LibtpmsEngine *engine, LibtpmsState *state, GError **error);
void libtpms_state_clear(LibtpmsState *state);

/* It, as a class hands it out; it lives as long as the other. */
TPMState libtpms_state_get(const LibtpmsState *state);

/*
 * Be the TPM of this state. False with error set: the TPM that was there is there still, in memory
 * and on the disk, unless `lost` was set: then it has to be powered on again.
 */
bool libtpms_engine_load(LibtpmsEngine *engine, size_t buffer_size, const TPMState *state,
                         bool *lost, GError **error);

/*
 * The TPM whose state was saved or loaded goes on here, as a command or a measurement has it
 * without this. False with *error set: it cannot, and has failed.
 */
bool libtpms_engine_resume(LibtpmsEngine *engine, GError **error);

/* ---- libtpms-engine.c ---- */

/* The tpmEstablished flag; false when it cannot be read. */
bool libtpms_engine_get_established(LibtpmsEngine *engine);

/* Clear it, on behalf of a locality. */
void libtpms_engine_reset_established(LibtpmsEngine *engine, uint8_t locality);

#endif /* TPM_LIBTPMS_ENGINE_H */
