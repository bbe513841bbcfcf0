/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stages 3 and 5 of 6: the one command a device has under way.
 *
 * A front end submits and cancels under the device's lock, which only notes it; whoever releases
 * the lock then runs what was noted. A command is copied out of the device when it is submitted
 * and checked before it leaves; its response is checked before it is copied in.
 */
#ifndef TPM_REQUEST_H
#define TPM_REQUEST_H

#include "backend-internal.h"
#include "hash.h"
#include "saved.h"
#include "state-stream.h"
#include "window.h"
#include <tpmdev/device.h>

typedef enum TPMRequestState {
    REQUEST_IDLE,     /* the front end has no command under way */
    REQUEST_WAITING,  /* it has one, which waits for the TPM to be free */
    REQUEST_REJECTED, /* it has one, which is answered here with reject_code */
    REQUEST_RUNNING,  /* it has one, and the TPM has it */
} TPMRequestState;

/* What the backend has been asked and has not answered. */
typedef enum TPMRequestBusy {
    BUSY_NOT,
    BUSY_STARTING,
    BUSY_RUNNING,   /* the command of REQUEST_RUNNING */
    BUSY_ABANDONED, /* a command that was forgotten, by a reset say; its response is dropped */
    BUSY_HASHING,   /* a step of a hash sequence, which may be from before a reset */
    BUSY_MOVING,    /* the TPM's state is being saved or loaded */
} TPMRequestBusy;

typedef struct TPMRequest {
    TPMRequestState state;
    TPMRequestBusy busy;
    bool dispatching;   /* a thread is calling the backend; it runs what others note, too */
    bool held;          /* nothing new goes to the TPM, or to the guest's memory: tpmdev/state.h */
    bool was_saved;     /* the TPM's state has been handed out */
    bool resume_wanted; /* and it is to hear that it goes on */
    bool prompt;        /* the command can be sent by the write that started it */

    GCond answered;      /* the backend has answered something, or a thread has left it alone */
    GError *start_error; /* what the last one was answered with, or NULL */

    bool start_wanted;  /* power-cycle the TPM as soon as it is free */
    bool cancel_wanted; /* cancel what the backend is running */
    bool reset_established_wanted;
    uint8_t reset_established_locality;

    uint8_t locality;
    uint32_t reject_code;
    size_t size;
    uint8_t *command; /* as submitted; of the front end's buffer size */

    size_t buffer_size; /* bytes of the largest command the TPM and the front end agree on */
    TPMWindow window;
    TPMHash hash; /* a sequence keeps commands away from the TPM */
} TPMRequest;

void tpm_request_init(TPMDevice *device, size_t buffer_size, int64_t window_ns);
void tpm_request_clear(TPMDevice *device);

/* The device as its backend's client; the client is the TPMDevice. */
extern const TPMBackendClient tpm_request_client;

/* ---- with the device's lock held ---- */

/*
 * Begin a command; the front end has none under way. Its done() follows, never from within. The
 * guest may be writing to the data: what is checked and executed is the copy made here.
 */
void tpm_request_submit(TPMDevice *device, uint8_t locality, const uint8_t *data, size_t size);

/* Make the command under way end soon; done() still follows. Harmless when there is none. */
void tpm_request_cancel(TPMDevice *device);

/* Clear the tpmEstablished flag for locality 3 or 4. */
void tpm_request_reset_established(TPMDevice *device, uint8_t locality);

/* Forget the command under way: no done() follows, and what the TPM still answers is dropped. */
void tpm_request_abandon(TPMDevice *device);

/* The same, and of a hash sequence, and power-cycle the TPM. */
void tpm_request_reset(TPMDevice *device);

/* Is there something to run? */
bool tpm_request_is_due(const TPMRequest *request);

/* Is a start under way, or wanted? */
bool tpm_request_is_starting(const TPMRequest *request);

/* ---- with no lock held ---- */

/* Run what was noted: the only place from which a backend is called. */
void tpm_request_run(TPMDevice *device);

/* ---- request-state.c: how it is saved; with the device's lock held ---- */

/* Add the sections it has. Nothing of it is with the TPM. */
void tpm_request_save(const TPMDevice *device, TPMStateWriter *writer);

/* Read and check them, and change nothing; false with error set. */
bool tpm_request_parse(const TPMDevice *device, TPMStateReader *reader, TPMSavedRequest *saved,
                       GError **error);

/* Be in that state. */
void tpm_request_restore(TPMDevice *device, const TPMSavedRequest *saved);

#endif /* TPM_REQUEST_H */
