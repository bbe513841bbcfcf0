/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `emulator` backend's parts among themselves: swtpm behind two sockets.
 *
 *     emulator.c          the backend's class, what is told to the device and on which thread
 *     emulator-new.c      its configuration, and how it comes into being
 *     emulator-start.c    connecting, the handshake, the power cycle: one step after the other
 *     emulator-io.c       one message under way on each channel; what its reply means
 *     emulator-control.c  the messages' bytes        emulator-channel.c  the sockets
 *
 * Everything is driven by non-blocking I/O, on whichever thread comes: a device's call, or the
 * source on the backend's context. One mutex covers it all. It is never held while something
 * can block or while the device is told; what there is to tell is noted in `news` and told by
 * emulator.c once the mutex is released.
 */
#ifndef EMULATOR_INTERNAL_H
#define EMULATOR_INTERNAL_H

#include "swtpm-protocol.h"

#include <stdbool.h>

/* What is being done before the TPM is ready, in order; each is one message and its reply. */
typedef enum EmulatorStep {
    STEP_NONE,
    /* the handshake, for a new connection */
    STEP_SET_DATAFD,
    STEP_PROBE_2_0,
    STEP_PROBE_1_2,
    STEP_GET_CAPABILITY,
    STEP_ASK_BUFFER_SIZE, /* when the backend is made: what does swtpm take? */
    /* the power cycle */
    STEP_DRAIN, /* an abandoned command must end first */
    STEP_STOP,
    STEP_GET_BUFFER_SIZE,
    STEP_STOP_AGAIN,
    STEP_SET_BUFFER_SIZE,
    STEP_INIT,
    STEP_GET_ESTABLISHED,
} EmulatorStep;

/* What is under way on the data channel. */
typedef enum EmulatorData {
    DATA_IDLE,
    DATA_WAITING,   /* the device's command has not been sent yet */
    DATA_SENT,      /* the device's command has been sent */
    DATA_PROBING,   /* a command of the handshake has been sent */
    DATA_ABANDONED, /* a command was sent whose device is gone */
} EmulatorData;

/* What has become of the device's step of a hash sequence. */
typedef enum EmulatorHash {
    HASH_IDLE,    /* there is none */
    HASH_WAITING, /* it has not been sent yet */
    HASH_SENT,    /* it has been sent */
    HASH_ENDED,   /* the last one was granted; tpmEstablished is being asked for */
} EmulatorHash;

/* What the device is to be told. */
typedef enum EmulatorNews {
    NEWS_ESTABLISHED = 1 << 0,
    NEWS_STARTED = 1 << 1,
    NEWS_COMPLETED = 1 << 2,
    NEWS_FAILED = 1 << 3,
    NEWS_HASHED = 1 << 4,
} EmulatorNews;

/* No locality: the next command says which it has. */
#define EMULATOR_NO_LOCALITY 0xFFu

typedef struct Emulator {
    TPMBackend *backend; /* not a reference: it owns this; NULL until creation is over */
    char *id;
    char *path;

    GMutex lock;   /* for all below */
    unsigned refs; /* the backend's, and one for each source */

    /* The connection; -1 where there is none. */
    int control_fd;
    int data_fd;
    int epoll_fd;      /* readable when a channel that is watched is; made once */
    bool data_watched; /* only then does the data channel wake the source */
    bool shaken;       /* the handshake of this connection is over */
    uint32_t capabilities;
    TPMVersion version; /* 0 until the first handshake */

    /* The control channel: one request at a time. */
    SwtpmCommand request;
    bool reply_is_stale; /* nobody waits for it any more */
    uint8_t reply[SWTPM_REPLY_MAX];
    size_t reply_size; /* bytes of it that are here */
    bool want_cancel;
    bool want_reset_established;
    bool want_get_established;
    uint8_t reset_locality;

    /* The start. */
    EmulatorStep step;
    bool starting;          /* the power cycle follows the handshake */
    size_t wanted_size;     /* the device's buffer, in bytes */
    size_t tpm_buffer_size; /* the TPM's, as set by the last start */

    /* The data channel. */
    EmulatorData data;
    TPMCommand command;     /* in DATA_WAITING */
    uint8_t locality;       /* the last one set, or EMULATOR_NO_LOCALITY */
    uint8_t asked_locality; /* the one being set, or set last */
    bool lingering;         /* the device polls: complete from poll() alone */
    size_t response_size;
    uint8_t *response;
    size_t response_capacity; /* bytes of it; constant once the backend is made */

    /* The hash sequence: one step at a time, on the control channel. */
    EmulatorHash hash;
    TPMHashStep hash_step;
    const uint8_t *hash_data; /* the backend's, until the step is answered */
    size_t hash_size;

    /* News, and who tells it. */
    unsigned news;
    bool established;
    size_t completed_size; /* of the response to be told; 0 for none */
    GError *failure;       /* why there is no TPM; NULL when there is one */
    unsigned telling;      /* threads that are telling the device right now */
    bool start_wanted;     /* a start() came meanwhile */
    bool dying;
    GCond told;      /* telling became 0, and someone is dying */
    GSource *source; /* watches epoll_fd on the backend's context; NULL before start() */
} Emulator;

/* All of these are called with the lock held, and hold it throughout. */

/* emulator.c */

/* A description of what happened to this swtpm; format begins with a verb. */
GError *tpm_emulator_error(Emulator *emulator, TPMError code, const char *format, ...)
    G_GNUC_PRINTF(3, 4);

/* There is no TPM any more, but the connection is good. Takes the error. */
void tpm_emulator_report_failure(Emulator *emulator, GError *error);

/* Close the connection and free it all but for what a source still needs. */
void tpm_emulator_close(Emulator *emulator);

/* emulator-new.c: TPMBackendClass.create() and its options */
TPMBackend *tpm_emulator_create(const TPMOptions *options, GError **error);
extern const char *const tpm_emulator_options[];

/* emulator-start.c */

/* Connect and begin the handshake; false when that failed at once, which is then reported. */
bool tpm_emulator_connect(Emulator *emulator);

/* Begin the power cycle, with connection and handshake before it if need be. */
void tpm_emulator_begin_start(Emulator *emulator);

/* Send what the present step needs. */
void tpm_emulator_step(Emulator *emulator);

/* The present step has its answer: a reply on the control channel, or a response. */
void tpm_emulator_step_replied(Emulator *emulator, uint32_t result);
void tpm_emulator_step_responded(Emulator *emulator);

/* emulator-io.c */

/* Close the connection. */
void tpm_emulator_disconnect(Emulator *emulator);

/* Close the connection and report the failure. Takes the error. */
void tpm_emulator_break(Emulator *emulator, GError *error);

/* Shall data wake the source? Cheap: the thread that waits need not be woken for it. */
void tpm_emulator_watch_data(Emulator *emulator, bool watch);

/* Send a message. No other may be under way. */
void tpm_emulator_request(Emulator *emulator, SwtpmCommand command, uint32_t argument,
                          int passed_fd);

/* Send a command and expect a response, as `data` says. False when that failed. */
bool tpm_emulator_send_command(Emulator *emulator, const uint8_t *command, size_t size,
                               EmulatorData data);

/* Has the peer sent nothing unasked? Else the connection is broken. */
bool tpm_emulator_is_silent(Emulator *emulator, int fd, const char *channel);

/* Receive what is there on a channel and act on it. */
void tpm_emulator_pump_control(Emulator *emulator);
void tpm_emulator_pump_data(Emulator *emulator);
void tpm_emulator_pump(Emulator *emulator);

/* Send what can be sent now: the next step, the command, what else is wanted of swtpm. */
void tpm_emulator_advance(Emulator *emulator);

/* Complete the device's command here with this return code. */
void tpm_emulator_answer_locally(Emulator *emulator, uint32_t code);

/* Wait until a watched channel is readable; false at the deadline. Not with the lock held. */
bool tpm_emulator_wait(Emulator *emulator, gint64 deadline);

/* ---- for tests ---- */

/* tpmdev_backend_emulator_new() with a deadline of the caller's choice, in milliseconds. */
TPMBackend *tpm_emulator_new(const TPMEmulatorConfig *config, unsigned deadline_ms, GError **error);

#endif /* EMULATOR_INTERNAL_H */
