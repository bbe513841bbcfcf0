/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `emulator` backend's parts among themselves: swtpm behind two sockets.
 *
 *     emulator.c          the backend's class, what is told to the device and on which thread
 *     emulator-new.c      its configuration, and how it comes into being
 *     emulator-start.c    connecting, the handshake, the power cycle: one step after the other
 *     emulator-io.c       one message under way on each channel; what its reply means
 *     emulator-deadline.c how long each may take, and the clock
 *     emulator-return.c   the way back, when swtpm did not answer or has gone
 *     emulator-restore.c  what a TPM that was reset under its guest has to go through
 *     emulator-after.c    what follows a command before its response is told
 *     emulator-locality.c a command's locality: a message before it, or a header
 *     emulator-state.c    the TPM's state out and in        emulator-blob.c  its messages
 *     emulator-info.c     and which TPM it is, for whoever has to be told why that failed
 *     emulator-control.c  the messages' bytes        emulator-channel.c  the sockets
 *     swtpm-peer.c        how swtpm is reached
 *
 * Everything is driven by non-blocking I/O, on whichever thread comes: a device's call, or the
 * source on the backend's context. One mutex covers it all. It is never held while something
 * can block or while the device is told; what there is to tell is noted in `news` and told by
 * emulator.c once the mutex is released.
 */
#ifndef EMULATOR_INTERNAL_H
#define EMULATOR_INTERNAL_H

#include "secret.h"
#include "swtpm-peer.h"
#include "swtpm-protocol.h"

#include <stdbool.h>
#include <sys/types.h>

/*
 * What is being done that no guest's command or wish is part of, in order; each is one message and
 * its reply, or one command and its response.
 */
typedef enum EmulatorStep {
    STEP_NONE,
    /* the handshake, for a new connection */
    STEP_CONNECT, /* the peer is on its way; look again at retry_at */
    STEP_SET_DATAFD,
    STEP_PROBE_2_0,
    STEP_PROBE_1_2,
    STEP_GET_CAPABILITY,
    STEP_ASK_BUFFER_SIZE, /* when the backend is made: what does swtpm take? */
    /* the power cycle */
    STEP_DRAIN, /* an abandoned command must end first */
    STEP_SHUTDOWN_STATE,
    STEP_SHUTDOWN_CLEAR,
    STEP_STOP,
    STEP_KEEP_VOLATILE, /* before a load: to be resumed if that is refused */
    STEP_DROP_BLOBS,    /* what was given before a load that failed must go */
    STEP_DISCARD,       /* INIT that takes stored volatile state, so that it is gone */
    STEP_STOP_DISCARDED,
    STEP_GET_BUFFER_SIZE,
    STEP_STOP_AGAIN,
    STEP_SET_BUFFER_SIZE,
    /* before a save, and in a load, between the buffer and INIT */
    STEP_GET_INFO,
    STEP_LOCK,
    STEP_SET_PART,
    STEP_INIT,
    /* the return: a TPM that the guest had started */
    STEP_CHECK_BUFFER_SIZE,
    STEP_SET_LOCALITY,
    STEP_RESTORE, /* one command after another, as EmulatorRestore says */
    /* the end of both */
    STEP_GET_ESTABLISHED,
    /* between a command and its answer */
    STEP_LEARN_SESSION,
    STEP_LEARN_IDENTITY,
    STEP_STORE_VOLATILE,
    /* a load's end, a save, and the source that goes on after it */
    STEP_CHECK_STORED,
    STEP_STOP_UNSTORED,
    STEP_STARTUP_STATE,
    STEP_SAVE_STATE,
    STEP_RESET_ESTABLISHED,
    STEP_GET_PART,
    STEP_LOCK_AGAIN,
} EmulatorStep;

/* The commands of STEP_RESTORE. */
typedef enum EmulatorRestore {
    RESTORE_STARTUP,
    RESTORE_CHECK_SESSION,
    RESTORE_CHECK_IDENTITY,
    RESTORE_SELF_TEST,
    RESTORE_CAP,
    RESTORE_LOCK,
    RESTORE_GET_SESSION,
} EmulatorRestore;

/* What the steps are to lead to. */
typedef enum EmulatorGoal {
    GOAL_MADE,    /* a backend */
    GOAL_STARTED, /* a TPM that has been power-cycled */
    GOAL_RETURN,  /* the TPM the guest had, or the next best thing */
    GOAL_LOADED,  /* the TPM whose state was given */
} EmulatorGoal;

/* What is under way on the data channel. */
typedef enum EmulatorData {
    DATA_IDLE,
    DATA_WAITING,   /* the device's command has not been sent yet */
    DATA_SENT,      /* the device's command has been sent */
    DATA_OWN,       /* a command of the present step has been sent */
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
    NEWS_RECOVERED = 1 << 5,
    NEWS_REFUSED = 1 << 6, /* words for the host about a failure that goes on */
    NEWS_LINK = 1 << 7,
    NEWS_MOVED = 1 << 8,
} EmulatorNews;

/* No locality: the next command says which it has. */
#define EMULATOR_NO_LOCALITY 0xFFu

/* No deadline: later than any time. */
#define EMULATOR_NEVER G_MAXINT64

/* Bytes of the longest session and identity, and of the longest response that is held back. */
#define EMULATOR_TOKEN_MAX 128u
#define EMULATOR_HELD_MAX  64u

/* Something a TPM says of itself that must be the same later; size 0: it has not said it. */
typedef struct EmulatorToken {
    size_t size;
    uint8_t bytes[EMULATOR_TOKEN_MAX];
} EmulatorToken;

/* The parts of a TPM's state, in the order in which they go either way. */
typedef enum EmulatorPart { PART_PERMANENT, PART_VOLATILE, PART_SAVED } EmulatorPart;

/* The device's save() or load() under way. */
typedef enum EmulatorMoveKind { MOVE_NONE, MOVE_SAVE, MOVE_LOAD } EmulatorMoveKind;

typedef struct EmulatorMove {
    EmulatorMoveKind kind;
    bool wanted;      /* a save that waits for what was wanted before it */
    bool was_powered; /* of a load: the TPM that is to make room */
    unsigned part;    /* one of EmulatorPart */
    TPMSecret *parts[3];
    uint32_t flags[3]; /* swtpm's, of each */
    TPMSecret *info;   /* what the TPM says of itself; NULL: nothing */
    unsigned chunks;   /* of that, which were asked for */
    uint32_t total;    /* bytes of the present part, or of that */
    TPMState *incoming;
    char *writer;  /* of a state that goes out, once it is there */
    GError *error; /* why it was refused; NULL: it was not */
} EmulatorMove;

/* How often swtpm is to try for its storage's lock, each 10 ms after the last. */
#define EMULATOR_LOCK_RETRIES 300u
#define EMULATOR_LOCK_MS      (EMULATOR_LOCK_RETRIES * 10u)

/* Time that stands still until a test lets it pass. */
typedef struct EmulatorClock {
    gint64 now; /* microseconds; the emulator's lock is for it */
    struct Emulator *emulator;
} EmulatorClock;

/* How long swtpm may take, in milliseconds. */
typedef struct EmulatorTimeouts {
    unsigned control; /* every control message but INIT */
    unsigned init;
    unsigned short_command;
    unsigned long_command;
} EmulatorTimeouts;

typedef struct Emulator {
    TPMBackend *backend; /* not a reference: it owns this; NULL until creation is over */
    char *id;
    SwtpmPeer *peer;
    EmulatorTimeouts timeouts;
    bool checkpoint;

    GMutex lock;   /* for all below */
    unsigned refs; /* the backend's, and one for each source */

    /* The connection; -1 where there is none. */
    int control_fd;
    int data_fd;
    int epoll_fd;      /* readable when a channel that is watched is; made once */
    bool brought_data; /* the peer did: it needs no SET_DATAFD */
    bool data_watched; /* only then does the data channel wake the source */
    bool shaken;       /* the handshake of this connection is over */
    uint32_t capabilities;
    TPMVersion version; /* 0 until the first handshake */

    /* The control channel: one request at a time. */
    SwtpmCommand request;
    bool reply_is_stale; /* nobody waits for it any more */
    uint8_t reply[SWTPM_REPLY_MAX];
    size_t reply_size;   /* bytes of it that are here */
    bool reply_headed;   /* it brings more behind them, and it is known how much: */
    uint32_t reply_left; /* bytes of that which are still to come */
    TPMSecret *outgoing; /* a frame that is being sent; NULL for none */
    size_t sent;         /* bytes of it */
    bool want_cancel;
    bool want_reset_established;
    bool want_get_established;
    uint8_t reset_locality;

    /* The start. */
    EmulatorStep step;
    EmulatorGoal goal;
    bool start_unanswered;  /* the device waits for the end of its start() */
    bool stale_volatile;    /* there may be stored volatile state, which INIT would resume */
    bool discarding;        /* and it must go */
    size_t wanted_size;     /* the device's buffer, in bytes */
    size_t tpm_buffer_size; /* the TPM's, as set by the last start */

    /* The data channel. */
    EmulatorData data;
    TPMCommand command;     /* in DATA_WAITING */
    uint8_t locality;       /* the last one set, or EMULATOR_NO_LOCALITY */
    uint8_t asked_locality; /* the one being set, or set last */
    bool prefixed;          /* the one under way was sent with a header */
    uint16_t command_tag;   /* of the device's command that was sent last, and so the next */
    uint32_t ordinal;
    uint32_t own_ordinal; /* of the last command that was none of the device's */
    bool lingering;       /* the device polls: complete from poll() alone */
    size_t response_size;
    uint8_t *response;
    size_t response_capacity; /* bytes of it; constant once the backend is made */

    /* What is known of the TPM since it was power-cycled. */
    bool used;              /* by TPM_Startup or a D-RTM: it has state that a restart loses */
    bool started;           /* by TPM_Startup; an authorization may have been tried */
    bool shut_down;         /* nothing came after the last TPM2_Shutdown */
    EmulatorToken session;  /* is another one after each reset */
    EmulatorToken identity; /* is another one in each TPM */
    bool completing;        /* a response is here and will be told after the present steps */
    size_t held_size;       /* bytes of it in `held`; 0: it is still in `response` */
    uint8_t held[EMULATOR_HELD_MAX];

    /* Deadlines; EMULATOR_NEVER for none. */
    EmulatorClock *clock; /* a test's, or NULL */
    gint64 data_deadline; /* 0: not worked out yet; and so the next */
    gint64 request_deadline;
    gint64 retry_at; /* connect again, or look whether the connection is there */
    gint64 armed_at; /* when the source wakes by itself */

    /* The way back. */
    TPMBackendLink link;
    bool returning;       /* it has failed, and goes back by itself */
    bool kept_control;    /* the control channel has been there since before the failure */
    bool spoiled;         /* a hash sequence was cut off: its TPM must not go on */
    uint32_t probe_code;  /* what the probe was answered with */
    EmulatorToken probed; /* and the session it told */
    unsigned retry_ms;    /* the last wait */
    bool was_reset;       /* it has come back with fresh PCRs */
    EmulatorRestore restore;
    unsigned capped; /* PCRs that have been, of those that are to be */

    /* The hash sequence: one step at a time, on the control channel. */
    EmulatorHash hash;
    bool hash_open; /* it has begun and not ended */
    TPMHashStep hash_step;
    const uint8_t *hash_data; /* the backend's, until the step is answered */
    size_t hash_size;

    /* The TPM's state on its way out or in. */
    EmulatorMove move;
    bool powered;       /* it was started, or loaded, at least once */
    bool handed_out;    /* its state was saved: nothing may be done until it is resumed */
    bool lock_released; /* with that swtpm let go of its storage */
    bool blobs_given;   /* swtpm may have parts of a state that would be started with INIT */
    bool hash_came;     /* the open hash sequence has begun elsewhere */

    /* News, and who tells it. */
    unsigned news;
    bool established;
    size_t completed_size; /* of the response to be told; 0 for none */
    GError *refusal;       /* why there is none; NULL: there is one, or nobody wants to know */
    GError *failure;       /* why there is no TPM; NULL when there is one */
    unsigned cycle;        /* the power cycle it is of */
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

/* Close the connection and free it all but for what a source still needs. */
void tpm_emulator_close(Emulator *emulator);

/* emulator-new.c: TPMBackendClass.create() and its options */
TPMBackend *tpm_emulator_create(const TPMOptions *options, GError **error);
extern const char *const tpm_emulator_options[];

/* emulator-start.c */

/*
 * Connect and begin the handshake; when the peer is on its way, look again at retry_at. False when
 * that failed at once, which is then reported.
 */
bool tpm_emulator_connect(Emulator *emulator);

/* Begin the power cycle; the connection is there. */
void tpm_emulator_power_cycle(Emulator *emulator);

/* Begin the power cycle, with connection and handshake before it if need be. */
void tpm_emulator_begin_start(Emulator *emulator);

/* Send what the present step needs. */
void tpm_emulator_step(Emulator *emulator);

/* The present step has its answer: a reply on the control channel, or a response. */
void tpm_emulator_step_replied(Emulator *emulator, SwtpmCommand request, uint32_t result);
void tpm_emulator_step_responded(Emulator *emulator);

/* emulator-deadline.c */

/* What time is it, in microseconds? */
gint64 tpm_emulator_now(const Emulator *emulator);

/* May there still be a response to what was sent? */
bool tpm_emulator_data_is_under_way(const Emulator *emulator);

/* See to it that the source wakes for what is under way. No system call if it will anyway. */
void tpm_emulator_arm(Emulator *emulator);

/* Is it time for something? Then do it. */
void tpm_emulator_deadlines(Emulator *emulator);

/* emulator-return.c */

/* There is no TPM any more, but the connection is good. Takes the error. */
void tpm_emulator_report_failure(Emulator *emulator, GError *error);

/* Close the connection, report the failure, and be on the way back. Takes the error. */
void tpm_emulator_break(Emulator *emulator, GError *error);

/* Report the failure, and power-cycle the TPM on the connection there is. Takes the error. */
void tpm_emulator_start_over(Emulator *emulator, GError *error);

/* A command or a message has had no answer for too long. */
void tpm_emulator_data_timed_out(Emulator *emulator, unsigned timeout_ms);
void tpm_emulator_request_timed_out(Emulator *emulator, unsigned timeout_ms);

/* It is time to connect once more. */
void tpm_emulator_retry(Emulator *emulator);

/* The handshake is over, and the guest wants its TPM back. */
void tpm_emulator_decide(Emulator *emulator);

/* The last step was taken: the TPM is ready. */
void tpm_emulator_ready(Emulator *emulator);

/* emulator-restore.c: STEP_RESTORE */
void tpm_emulator_restore_step(Emulator *emulator);
void tpm_emulator_restore_responded(Emulator *emulator);

/* Is it the guest's TPM, as far as can be told? If so it needs no more than that, or a cap. */
void tpm_emulator_check_identity(Emulator *emulator, bool was_reset);

/* The session in the response to a probe; none if it tells none. */
void tpm_emulator_read_session(const Emulator *emulator, EmulatorToken *session);

/* The command a TPM of this version tells its session by. */
const uint8_t *tpm_emulator_probe(TPMVersion version);

/* Send the command that tells the TPM's identity; read it in the response. */
void tpm_emulator_ask_identity(Emulator *emulator);
void tpm_emulator_read_identity(const Emulator *emulator, EmulatorToken *identity);

bool tpm_emulator_same_token(const EmulatorToken *a, const EmulatorToken *b);

/* emulator-after.c */

/* The device's command has its response: tell it, after what has to come before. */
void tpm_emulator_after_command(Emulator *emulator);

/* A hash sequence has ended. */
void tpm_emulator_after_hash(Emulator *emulator);

/* The present step between a command and its answer has its response or reply. */
void tpm_emulator_after_responded(Emulator *emulator);
void tpm_emulator_after_stored(Emulator *emulator);

/* Must a TPM2_Shutdown come before the power goes? */
bool tpm_emulator_needs_shutdown(const Emulator *emulator);

#define TPM2_SU_CLEAR 0x0000u /* TPM 2.0 Part 2 "TPM_SU" */
#define TPM2_SU_STATE 0x0001u

/* Send TPM2_Shutdown of this type. */
void tpm_emulator_send_shutdown(Emulator *emulator, uint16_t type);

/* emulator-state.c */
bool tpm_emulator_can_migrate(void *self, GError **error); /* without the lock */

/* Forget a save or load, whatever has become of it; what a copy of it has. */
void tpm_emulator_move_clear(Emulator *emulator);
void tpm_emulator_move_free(EmulatorMove *move);

/* The steps of a save, and its outcome. */
void tpm_emulator_begin_save(Emulator *emulator);
void tpm_emulator_get_first_part(Emulator *emulator);
void tpm_emulator_part_replied(Emulator *emulator, uint32_t result);
TPMState tpm_emulator_get_state(const Emulator *emulator, const EmulatorMove *move);

/* The source goes on. */
void tpm_emulator_begin_resume(Emulator *emulator);
void tpm_emulator_lock_storage(Emulator *emulator);

/* Look at a state to be loaded, and copy it; false when it was refused. */
bool tpm_emulator_begin_load(Emulator *emulator, const TPMState *state);

/* The steps of a load. */
void tpm_emulator_load_parts(Emulator *emulator);
void tpm_emulator_load_described(Emulator *emulator);
void tpm_emulator_set_part(Emulator *emulator);
void tpm_emulator_part_set(Emulator *emulator);
void tpm_emulator_drop_blobs(Emulator *emulator);
void tpm_emulator_blobs_dropped(Emulator *emulator, uint32_t result);
void tpm_emulator_load_refused(Emulator *emulator, const char *message, uint32_t result);

/* The same for another reason; `was_there`: is there a TPM to be had back? Takes the error. */
void tpm_emulator_load_fails(Emulator *emulator, GError *error, bool was_there);
void tpm_emulator_load_initialized(Emulator *emulator);
void tpm_emulator_send_awakening(Emulator *emulator);
void tpm_emulator_load_awoken(Emulator *emulator);
void tpm_emulator_load_established(Emulator *emulator);
void tpm_emulator_load_reset_established(Emulator *emulator);
void tpm_emulator_load_learned(Emulator *emulator);
void tpm_emulator_loaded(Emulator *emulator);

/* emulator-stored.c */

/* The TPM has power: see whether it is stored, too. */
void tpm_emulator_check_stored(Emulator *emulator);

/* GET_STATEBLOB, or the STOP of one that is not, has its reply. */
void tpm_emulator_stored_replied(Emulator *emulator, uint32_t result);
void tpm_emulator_unstored_stopped(Emulator *emulator);

/* emulator-blob.c */

/* A part's name, for people. */
const char *tpm_emulator_part_name(unsigned part);

/* Ask for more of the present part; more of it is here: true when the reply is whole. */
void tpm_emulator_request_part(Emulator *emulator);
bool tpm_emulator_receive_part(Emulator *emulator);
bool tpm_emulator_part_is_whole(const Emulator *emulator);

/* The rest of the present reply goes to these bytes: true when it is whole. */
bool tpm_emulator_receive_rest(Emulator *emulator, TPMSecret *bytes);

/* The same of one that nobody waits for any more; its size is at this offset of the reply. */
bool tpm_emulator_drop_rest(Emulator *emulator, size_t length_offset);

/* Send SET_STATEBLOB. No other message may be under way. */
void tpm_emulator_request_set(Emulator *emulator, uint32_t type, uint32_t flags, const void *blob,
                              size_t size);

/* Send what there is room for; false with errno set when nothing can be sent any more. */
bool tpm_emulator_flush(Emulator *emulator);
void tpm_emulator_drop_outgoing(Emulator *emulator);

/* What is wrong with a part that swtpm is to be given, and which error it is; NULL for nothing. */
const char *tpm_emulator_blob_trouble(const TPMStateBlob *blob, TPMError *code);

/* What libtpms has, in a part that is in the clear; NULL when it is not. */
const void *tpm_emulator_blob_content(const TPMStateBlob *blob, size_t *size);

/* emulator-info.c */

/* Can it be asked? The step, more of its reply, and the end of it; as emulator-blob.c's. */
bool tpm_emulator_can_tell(const Emulator *emulator);
void tpm_emulator_request_info(Emulator *emulator);
bool tpm_emulator_receive_info(Emulator *emulator);
void tpm_emulator_info_replied(Emulator *emulator, uint32_t result);

/* There was no reply in time. True when it goes without. */
bool tpm_emulator_info_is_missed(Emulator *emulator);

/* Which swtpm this is, and which TPM, in words; to be freed with g_free(). */
char *tpm_emulator_describe(const Emulator *emulator);

/* emulator-locality.c */

/* Does the device's command need a SET_LOCALITY before it? Send it, if not. */
bool tpm_emulator_needs_locality(const Emulator *emulator);
void tpm_emulator_send_at_locality(Emulator *emulator);

/* Bytes beside the response to a command that was sent with a header. */
#define EMULATOR_WRAPPER_SIZE 8u

/* More of such a response is here: true when it is whole, and a response like any other. */
bool tpm_emulator_unwrap(Emulator *emulator);

/* emulator-io.c */

/* Close the data channel, or both; nothing is under way any more. */
void tpm_emulator_close_data(Emulator *emulator);
void tpm_emulator_disconnect(Emulator *emulator);

/* Send a command of the present step. */
void tpm_emulator_send_own(Emulator *emulator, const uint8_t *command, size_t size);

/* Shall data wake the source? Cheap: the thread that waits need not be woken for it. */
void tpm_emulator_watch_data(Emulator *emulator, bool watch);

/* Send a message. No other may be under way. */
void tpm_emulator_request(Emulator *emulator, SwtpmCommand command, uint32_t argument,
                          int passed_fd);

/* The same of one that is written already. */
void tpm_emulator_send_message(Emulator *emulator, SwtpmCommand command, const uint8_t *message,
                               size_t size, int passed_fd);

/* Receive on the control channel: how much, 0 for nothing yet, -1 when the connection was lost. */
ssize_t tpm_emulator_receive(Emulator *emulator, uint8_t *buffer, size_t size);

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

/*
 * tpmdev_backend_emulator_new() with a deadline of the caller's choice, in milliseconds. With a
 * clock, which lives as long as the backend, time passes when tpm_emulator_pass() is called, from
 * the end of creation to the beginning of destruction.
 */
TPMBackend *tpm_emulator_new(const TPMEmulatorConfig *config, unsigned deadline_ms,
                             EmulatorClock *clock, GError **error);

/* Let time pass, and do what it is time for. Not with the lock held. */
void tpm_emulator_pass(EmulatorClock *clock, unsigned ms);

#endif /* EMULATOR_INTERNAL_H */
