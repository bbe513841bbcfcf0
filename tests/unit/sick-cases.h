/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of what can go wrong between the `emulator` backend and swtpm: each exchange, at each
 * time at which it takes place, with each illness of its reply; and what guest and host see of it,
 * and how the TPM comes back.
 *
 * test-sick-exchanges.c makes each case come true, at each byte of the reply where it has a
 * position.
 */
#ifndef SICK_CASES_H
#define SICK_CASES_H

#include "sick-machine.h"

/* When the exchange takes place. */
typedef enum SickTime {
    SICK_AT_CREATION,     /* the backend is being made */
    SICK_AT_START,        /* a device is put before it */
    SICK_AT_STARTUP,      /* the guest starts its TPM */
    SICK_AT_RESET,        /* the machine is reset while the TPM works */
    SICK_AT_COMMAND,      /* the guest has sent a command */
    SICK_AT_CANCEL,       /* the guest cancels a command that takes its time */
    SICK_AT_ESTABLISHED,  /* the guest asks for tpmEstablished to be cleared */
    SICK_AT_MEASUREMENT,  /* the processor makes a D-RTM measurement */
    SICK_AT_CHECKPOINT,   /* volatile state is stored after a command of the guest */
    SICK_AT_NEW_CHANNEL,  /* a command had no answer, and there is to be a new data channel */
    SICK_AT_RECONNECTION, /* swtpm has been killed, and a new one has come */
    SICK_AT_RESUMPTION,   /* the same with volatile state that was stored */
    SICK_AT_END,          /* the backend is given up */
    SICK_WHILE_IDLE,      /* nothing is under way; the exchange only names a channel */
} SickTime;

/* What the guest sees of the command that meets it, or of the next. */
typedef enum SickView {
    SICK_SEES_NOTHING, /* there is no guest */
    SICK_SEES_ANSWER,
    SICK_SEES_FAILURE, /* the failure of the TPM's version, and no other */
    SICK_SEES_EITHER,  /* which of the two depends on which is noticed first */
    SICK_SEES_THAT,    /* what the TPM said, well-formed but odd */
} SickView;

/* How the TPM comes back once swtpm is well, or there is a new one. */
typedef enum SickRecovery {
    SICK_WAS_NOT_GONE, /* nothing needs to come back */
    SICK_BY_ITSELF,
    SICK_BY_RESET,    /* with the next reset of the machine */
    SICK_BY_CREATION, /* there was no backend: with the next attempt to make one */
} SickRecovery;

typedef struct SickCase {
    SickTime time;
    SickFault fault;
    size_t positions; /* 0 to this, not included; 0: it has none */
    unsigned forms;   /* with which devices, a bit each */
    SickView guest;
    const char *host; /* what the host is told has this in it; NULL: it is told nothing */
    SickRecovery recovery;
} SickCase;

/* All of them, a GArray of SickCase. */
GArray *sick_cases(void);

/* For people. */
const char *sick_meeting_name(const SickCase *kase);
const char *sick_time_name(SickTime time);
char *sick_illness_name(const SickCase *kase);
const char *sick_view_name(SickView view);
const char *sick_recovery_name(SickRecovery recovery);

#endif /* SICK_CASES_H */
