/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A swtpm that falls ill when it is told to: a stand-in for tests, which answers as swtpm does, up
 * to one reply of one message, with which goes wrong what the test has chosen.
 *
 * It lives on a GMainContext of the test's choice and never blocks. What a real one keeps in its
 * process is lost when it dies, what it keeps in files is not. Like swtpm it serves one control
 * connection at a time, and one data channel.
 *
 * Commands are answered so that no two answers are alike: GetRandom of n bytes with n bytes of
 * value n. An answer that is given to another command shows.
 *
 * The numbers are those of swtpm_ioctls(3) and of what swtpm 0.7.1 was seen to send, written out
 * again: a test that shares the client's constants would share its mistakes.
 */
#ifndef SICK_SWTPM_H
#define SICK_SWTPM_H

#include <tpmdev/backend.h>

/* What a client can ask of it. */
typedef enum SickExchange {
    SICK_SET_DATAFD,
    SICK_PROBE_2_0,
    SICK_PROBE_1_2,
    SICK_GET_CAPABILITY,
    SICK_GET_BUFFERSIZE, /* SET_BUFFERSIZE(0) */
    SICK_STOP,
    SICK_SET_BUFFERSIZE,
    SICK_INIT,
    SICK_GET_TPMESTABLISHED,
    SICK_SET_LOCALITY,
    SICK_HASH_START,
    SICK_HASH_DATA,
    SICK_HASH_END,
    SICK_CANCEL_TPM_CMD,
    SICK_RESET_TPMESTABLISHED,
    SICK_STORE_VOLATILE,
    SICK_SHUTDOWN,
    SICK_UNKNOWN_MESSAGE,
    /* TPM commands */
    SICK_COMMAND,
    SICK_HEADED_COMMAND, /* with its locality in front */
    SICK_TPM_STARTUP,
    SICK_TPM_SHUTDOWN,
    SICK_TPM_EXTEND,
    SICK_TPM_HASH, /* TPM2_Hash, whose ticket is another one with each TPM */
    SICK_TPM_LOCK, /* of the platform hierarchy or of physical presence */
    SICK_TPM_SELF_TEST,
    SICK_EXCHANGES
} SickExchange;

/* What goes wrong with its reply. */
typedef enum SickIllness {
    SICK_WELL,
    SICK_DIES,        /* `position` bytes of it; the process is killed */
    SICK_DROPS,       /* `position` bytes of it, then that channel is closed */
    SICK_HANGS,       /* `position` bytes of it, then nothing is served; the rest after waking */
    SICK_STOPS_SHORT, /* `position` bytes of it and never the rest; all else is served */
    SICK_IS_LATE,     /* nothing until sick_swtpm_release(); all else is served */
    SICK_IS_LONG,     /* the reply, and `bytes` in the same send */
    SICK_SAYS,        /* `bytes` in its place */
    SICK_INTERRUPTS,  /* `bytes` on the other channel, then the reply */
    SICK_ADDS,        /* the reply, then `bytes` on the other channel */
    SICK_IS_REPLACED, /* with no exchange: it is killed, and one with another TPM comes */
    SICK_PASSES_FDS,  /* the reply, with file descriptors beside it */
} SickIllness;

typedef struct SickFault {
    SickExchange exchange;
    unsigned nth; /* of these from now on, from 0 */
    SickIllness illness;
    size_t position;
    const char *bytes; /* in hexadecimal */
} SickFault;

typedef struct SickSwtpm SickSwtpm;

/*
 * Listens from here on, in the directory, under a name of its own. It may take commands with a
 * header for their locality, as swtpm does with TPM 2.0, or not, as older ones.
 */
SickSwtpm *sick_swtpm_new(GMainContext *context, const char *directory, TPMVersion version,
                          bool headers);
void sick_swtpm_free(SickSwtpm *peer);

const char *sick_swtpm_path(const SickSwtpm *peer);

/* Fall ill by the next reply that is meant; once. */
void sick_swtpm_arm(SickSwtpm *peer, const SickFault *fault);

/* Send these bytes now, of which nobody has asked, on a channel. */
void sick_swtpm_say(SickSwtpm *peer, bool data, const char *bytes);

/* Close a channel now. */
void sick_swtpm_drop(SickSwtpm *peer, bool data);

/* Be killed, now; the socket's file is left behind, as SIGKILL does. */
void sick_swtpm_kill(SickSwtpm *peer);

/* Hang, now. */
void sick_swtpm_hang(SickSwtpm *peer);

/* A new process in the place of one that died, with the files of the old one. */
void sick_swtpm_revive(SickSwtpm *peer);

/* Go on after a hang: first with what is left of the reply. */
void sick_swtpm_wake(SickSwtpm *peer);

/* Send the late reply. */
void sick_swtpm_release(SickSwtpm *peer);

/* Keep the responses of commands until CANCEL_TPM_CMD comes. */
void sick_swtpm_hold_commands(SickSwtpm *peer);

/* Take the files of another TPM, from the next life on. */
void sick_swtpm_change_tpm(SickSwtpm *peer);

/* What has become of it. */
typedef struct SickState {
    bool struck; /* it has fallen ill as it was told to */
    bool dead;   /* nobody listens */
    bool hung;
    unsigned lives;                  /* so far */
    unsigned counts[SICK_EXCHANGES]; /* how often it was asked what, in all of them */
    uint32_t session;  /* which TPM2_Startup the TPM is in, counted from 1 in all lives; 0: none */
    uint32_t extended; /* the PCRs that were extended since then, a bit each */
    bool locked;       /* the platform hierarchy, or physical presence, was locked since then */
} SickState;

SickState sick_swtpm_state(SickSwtpm *peer);

/* The exchange's name, for people; bytes of the reply to it, when all is well. */
const char *sick_exchange_name(SickExchange exchange);
size_t sick_exchange_size(SickExchange exchange, TPMVersion version);

/* Does it go over the data channel? */
bool sick_exchange_is_command(SickExchange exchange);

#endif /* SICK_SWTPM_H */
