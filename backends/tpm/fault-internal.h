/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `fault` backend's parts among themselves.
 *
 *     fault.c       the class towards the device, and the client towards the TPM within
 *     fault-rule.c  which commands the fault shows with, and what becomes of a response
 *     fault-new.c   its configuration, and how it comes into being
 */
#ifndef TPM_FAULT_INTERNAL_H
#define TPM_FAULT_INTERNAL_H

#include "backend-internal.h"

/* ---- the rule ---- */

typedef struct FaultRule {
    TPMFaultConfig config; /* without id and backend; its zeros made explicit */
    GRand *random;
    uint32_t matched; /* commands that `nth` counts, or starts */
    uint64_t given;   /* bytes of responses */
} FaultRule;

void tpm_fault_rule_init(FaultRule *rule, const TPMFaultConfig *config);
void tpm_fault_rule_clear(FaultRule *rule);

/* A start, or a command of this ordinal: does the fault show with it? */
bool tpm_fault_rule_start(FaultRule *rule);
bool tpm_fault_rule_command(FaultRule *rule, uint32_t ordinal);

/* What becomes of a response. */
typedef struct FaultOutcome {
    bool dies;       /* there is none, for the TPM is dead */
    bool hangs;      /* it does not come unless someone gives up waiting */
    gint64 delay_us; /* it comes so much later */
    size_t size;     /* bytes of it */
} FaultOutcome;

/* The room a response needs, for what may be put behind it. */
#define FAULT_RESPONSE_MAX (2 * TPM_BUFFER_SIZE_MAX)

/*
 * A response of `size` bytes in a buffer of FAULT_RESPONSE_MAX is to be given. It is changed there;
 * shows is what tpm_fault_rule_command() said of its command.
 */
FaultOutcome tpm_fault_rule_response(FaultRule *rule, bool shows, TPMVersion version,
                                     uint8_t *response, size_t size);

/* ---- the backend ---- */

typedef struct FaultTPM {
    gatomicrefcount refs; /* of the backend, and of the timer */
    TPMBackend *backend;  /* not a reference: it owns this */
    TPMBackend *inner;    /* the TPM within; a reference */
    bool is_bound;        /* to the TPM within */

    GMutex lock; /* for all below */
    FaultRule rule;
    unsigned cycle; /* of the last start: what is told of before is not of it */
    bool dead;      /* the fault has ended it, or keeps it from starting */

    /* The calls of the TPM within: one thread at a time makes them. */
    bool running;
    bool busy;     /* it was asked for something and has not answered */
    bool lingers;  /* and it is a command for which it is polled */
    bool starting; /* or it is a start */
    bool cancel_wanted;
    bool start_wanted;
    bool reset_wanted; /* of the tpmEstablished flag */
    bool hash_wanted;
    bool submit_wanted;
    size_t buffer_size;
    uint8_t reset_locality;
    TPMHashStep hash_step;
    const uint8_t *hash_data;
    size_t hash_size;
    TPMCommand command;

    /* The device's command. */
    bool executing;
    bool shows;       /* the fault does */
    bool lingering;   /* the device polls: complete in a call of its own alone */
    GThread *inside;  /* who is making such a call, or NULL */
    bool is_answered; /* the TPM within has; what follows is its answer */
    FaultOutcome outcome;
    gint64 due_us; /* when it may be told, on the monotonic clock */
    GError *failure;
    uint8_t response[FAULT_RESPONSE_MAX];

    /* Telling it. */
    GSource *timer;   /* on the library's context; NULL until first needed */
    unsigned telling; /* threads that are telling the device */
    bool following;   /* one of them has it follow the TPM within, */
    bool has_news;    /* and is to look once more */
    bool dying;
    GCond told; /* telling became 0, and it is dying */
} FaultTPM;

/* Bind the TPM within. */
bool tpm_fault_bind(FaultTPM *fault, GError **error);

void tpm_fault_unref(FaultTPM *fault);

/* fault-new.c: TPMBackendClass.create() and its options */
TPMBackend *tpm_fault_create(const TPMOptions *options, GError **error);
extern const char *const tpm_fault_options[];

#endif /* TPM_FAULT_INTERNAL_H */
