/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A `fault` backend and the state of the TPM within, which it saves, loads and lets go on with as
 * if nothing stood between, or with a fault.
 *
 * One that is late, or in which the TPM dies, is made by the TPM within, and its answer changed;
 * one that hangs or is refused is not made at all. Neighbours: fault.c; fault-rule.c says what goes
 * wrong.
 */
#include "fault-internal.h"

/* ---- telling the device ---- */

void tpm_fault_tell_move(FaultTPM *fault, const FaultAnswer *answer)
{
    if (answer->refusal) {
        tpmdev_backend_refused(fault->backend, answer->refusal);
    } else if (answer->saved) {
        tpmdev_backend_saved(fault->backend, answer->saved);
    } else {
        tpmdev_backend_loaded(fault->backend);
    }
}

/* Why it is refused, when the TPM within was not asked. */
static GError *refusal_new(FaultTPM *fault, const FaultOutcome *outcome)
{
    const char *id = tpmdev_backend_get_id(fault->backend);

    if (outcome->delay_us > 0) {
        return g_error_new(TPMDEV_ERROR, TPM_ERROR_TIMED_OUT,
                           "TPM backend '%s' has not answered within %" G_GINT64_FORMAT
                           " ms, as it was told to",
                           id, outcome->delay_us / 1000);
    }
    return g_error_new(TPMDEV_ERROR, TPM_ERROR_TPM,
                       "TPM backend '%s' refuses its state to be %s, as it was told to", id,
                       fault->rule.config.on == TPM_FAULT_ON_SAVE ? "saved" : "loaded");
}

/* ---- what the TPM within answers ---- */

void tpm_fault_on_moved(void *client, const TPMState *saved, const GError *error)
{
    FaultTPM *fault = client;
    bool failed = error && tpm_fault_inner_has_failed(fault);

    g_mutex_lock(&fault->lock);
    tpm_fault_inner_is_free(fault);
    fault->handed_out = error ? fault->handed_out : saved != NULL;
    if (fault->moving && !fault->is_answered && !tpm_fault_is_of_before(fault)) {
        FaultAnswer *answer = &fault->answer;

        if (error) {
            *(failed ? &answer->failure : &answer->refusal) = g_error_copy(error);
        } else {
            answer->outcome = fault->move_outcome;
            answer->saved = saved ? tpm_state_copy(saved) : NULL;
            answer->revives = !saved;
        }
        tpm_fault_answered(fault);
    }
    tpm_fault_run(fault);
    g_mutex_unlock(&fault->lock);
}

/* ---- the class ---- */

/* A save or load; called with the lock held. True when the TPM within is to be asked. */
static bool begin_move(FaultTPM *fault, TPMFaultOn on)
{
    bool shows = tpm_fault_rule_call(&fault->rule, on);
    FaultOutcome outcome = shows ? tpm_fault_rule_move(&fault->rule) : (FaultOutcome){ 0 };

    fault->moving = true;
    fault->move_outcome = outcome;
    fault->sequence = tpm_backend_moves_sequence(fault->backend);
    if (outcome.refuses) {
        fault->answer.outcome = outcome;
        fault->answer.refusal = refusal_new(fault, &outcome);
        tpm_fault_answered(fault);
    }
    return !outcome.refuses;
}

void tpm_fault_save(void *self)
{
    FaultTPM *fault = self;

    g_mutex_lock(&fault->lock);
    if (tpm_fault_died_and_unlock(fault)) {
        return;
    }
    if (begin_move(fault, TPM_FAULT_ON_SAVE)) {
        fault->save_wanted = true;
        tpm_fault_run(fault);
    }
    g_mutex_unlock(&fault->lock);
}

void tpm_fault_load(void *self, size_t buffer_size, const TPMState *state)
{
    FaultTPM *fault = self;
    unsigned cycle = tpmdev_backend_get_cycle(fault->backend);

    g_mutex_lock(&fault->lock);
    fault->cycle = cycle;
    tpm_fault_forget(fault);
    fault->buffer_size = buffer_size;
    if (begin_move(fault, TPM_FAULT_ON_LOAD)) {
        fault->incoming = tpm_state_copy(state);
        fault->load_wanted = true;
        tpm_fault_run(fault);
    }
    g_mutex_unlock(&fault->lock);
}

void tpm_fault_resume(void *self)
{
    FaultTPM *fault = self;

    g_mutex_lock(&fault->lock);
    fault->dead |= tpm_fault_rule_call(&fault->rule, TPM_FAULT_ON_RESUME);
    if (tpm_fault_died_and_unlock(fault)) {
        return;
    }
    fault->resume_wanted = fault->handed_out;
    tpm_fault_run(fault);
    g_mutex_unlock(&fault->lock);
}

bool tpm_fault_can_migrate(void *self, GError **error)
{
    FaultTPM *fault = self;

    g_mutex_lock(&fault->lock);
    bool refuses = tpm_fault_rule_call(&fault->rule, TPM_FAULT_ON_CAN_MIGRATE);
    g_mutex_unlock(&fault->lock);
    if (refuses) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED,
                    "TPM backend '%s' cannot be saved or migrated, as it was told to",
                    tpmdev_backend_get_id(fault->backend));
    }
    return !refuses && tpmdev_backend_can_migrate(fault->inner, error);
}
