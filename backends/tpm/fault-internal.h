/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `fault` backend's parts among themselves.
 *
 *     fault.c        the class towards the device, and the client towards the TPM within
 *     fault-state.c  the same, as far as the TPM's state is concerned
 *     fault-rule.c   which calls the fault shows with, and what becomes of a response
 *     fault-new.c    its configuration, and how it comes into being
 */
#ifndef TPM_FAULT_INTERNAL_H
#define TPM_FAULT_INTERNAL_H

#include "backend-internal.h"

/* ---- the rule ---- */

typedef struct FaultRule {
    TPMFaultConfig config; /* without id and backend; its zeros made explicit */
    GRand *random;
    uint32_t matched; /* commands that `nth` counts, or other calls */
    uint64_t given;   /* bytes of responses */
} FaultRule;

void tpm_fault_rule_init(FaultRule *rule, const TPMFaultConfig *config);
void tpm_fault_rule_clear(FaultRule *rule);

/* A start, a command of this ordinal, or another call: does the fault show with it? */
bool tpm_fault_rule_start(FaultRule *rule);
bool tpm_fault_rule_command(FaultRule *rule, uint32_t ordinal);
bool tpm_fault_rule_call(FaultRule *rule, TPMFaultOn on);

/* What becomes of a response, or of the answer to a save or load. */
typedef struct FaultOutcome {
    bool dies;       /* there is none, for the TPM is dead */
    bool refuses;    /* the TPM within is not asked */
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

/* What becomes of a save or a load with which the fault shows. */
FaultOutcome tpm_fault_rule_move(FaultRule *rule);

/* ---- the backend ---- */

/* What the device is to be told. */
typedef struct FaultAnswer {
    FaultOutcome outcome;
    GError *failure; /* the TPM within has failed */
    GError *refusal; /* a save or load was refused */
    TPMState *saved; /* the answer to a save */
    bool revives;    /* a load was made: whatever was dead is gone */
} FaultAnswer;

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
    bool busy;    /* it was asked for something and has not answered */
    bool lingers; /* and it is a command for which it is polled */
    bool cancel_wanted;
    bool start_wanted;
    bool reset_wanted; /* of the tpmEstablished flag */
    bool hash_wanted;
    bool submit_wanted;
    bool save_wanted;
    bool load_wanted;
    bool resume_wanted;
    bool handed_out;    /* its state was, so that nothing but a load may precede a resume */
    bool sequence;      /* of the state: a hash sequence is open */
    TPMState *incoming; /* the state to load */
    TPMState *loading;  /* and the one that it is given right now */
    size_t buffer_size;
    uint8_t reset_locality;
    TPMHashStep hash_step;
    const uint8_t *hash_data;
    size_t hash_size;
    TPMCommand command;

    /* The device's command, or its save or load. */
    bool executing;
    bool moving;
    FaultOutcome move_outcome;
    bool shows;       /* the fault does */
    bool lingering;   /* the device polls: complete in a call of its own alone */
    GThread *inside;  /* who is making such a call, or NULL */
    bool is_answered; /* the TPM within has; what follows is its answer */
    FaultAnswer answer;
    gint64 due_us; /* when it may be told, on the monotonic clock */
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

bool tpm_fault_inner_has_failed(FaultTPM *fault);

/* Those below are called with the lock held and return with it held, but for _and_unlock. */

/* What was asked for before is not answered any more. */
void tpm_fault_forget(FaultTPM *fault);

/* Ask the TPM within for what is wanted of it, when it is free; and it has answered. */
void tpm_fault_run(FaultTPM *fault);
void tpm_fault_inner_is_free(FaultTPM *fault);

/* Does a start or load wait for it? Then what it answers is for a device that is gone. */
bool tpm_fault_is_of_before(const FaultTPM *fault);

/* There is an answer, with its outcome: have it told when it is due. */
void tpm_fault_answered(FaultTPM *fault);

/* If it is dead, the device is told once more, and the lock is released before. */
bool tpm_fault_died_and_unlock(FaultTPM *fault);

/* fault-state.c: the class, the client, and telling the device of a save or load. */
void tpm_fault_save(void *self);
void tpm_fault_load(void *self, size_t buffer_size, const TPMState *state);
void tpm_fault_resume(void *self);
bool tpm_fault_can_migrate(void *self, GError **error);
void tpm_fault_on_moved(void *client, const TPMState *saved, const GError *error);
void tpm_fault_tell_move(FaultTPM *fault, const FaultAnswer *answer); /* with no lock held */

/* fault-new.c: TPMBackendClass.create() and its options */
TPMBackend *tpm_fault_create(const TPMOptions *options, GError **error);
extern const char *const tpm_fault_options[];

#endif /* TPM_FAULT_INTERNAL_H */
