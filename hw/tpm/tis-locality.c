/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which of the five localities has the TIS device: request, relinquish, seize and abort (PC
 * Client TIS 1.3 and Platform TPM Profile, "Locality Usage" and TPM_ACCESS_x).
 *
 * One write to TPM_ACCESS can carry several events; they are taken in the order below, which is
 * QEMU's. Stage 2 of 6, beside tis.c, which calls in here and is called for states and
 * interrupts.
 */
#include "tis.h"

bool tis_is_active(const TIS *tis, uint8_t locality)
{
    return tis->active == locality;
}

bool tis_is_executing(const TIS *tis)
{
    for (unsigned i = 0; i < TIS_LOCALITIES; i++) {
        if (tis->locality[i].state == TIS_EXECUTION) {
            return true;
        }
    }
    return false;
}

/* The highest locality with this bit in its TPM_ACCESS, or TIS_NO_LOCALITY. */
static uint8_t highest_with(const TIS *tis, uint32_t access_bit)
{
    for (uint8_t i = TIS_LOCALITIES; i > 0; i--) {
        if (tis->locality[i - 1].access & access_bit) {
            return (uint8_t)(i - 1);
        }
    }
    return TIS_NO_LOCALITY;
}

/*
 * Give the device to `next`, or to nobody. The loser keeps a request of its own only when it was
 * seized. A locality that has the device already is confirmed in it.
 */
static void set_active(TIS *tis, uint8_t next)
{
    uint8_t previous = tis->active;

    if (previous != next && previous != TIS_NO_LOCALITY) {
        TISLocality *loser = &tis->locality[previous];
        bool seized = next != TIS_NO_LOCALITY && (tis->locality[next].access & TIS_ACCESS_SEIZE);

        loser->access &= ~TIS_ACCESS_ACTIVE_LOCALITY;
        if (seized) {
            loser->access |= TIS_ACCESS_BEEN_SEIZED;
        } else {
            loser->access &= ~TIS_ACCESS_REQUEST_USE;
        }
    }
    tis->active = next;
    if (next != TIS_NO_LOCALITY) {
        TISLocality *winner = &tis->locality[next];

        winner->access |= TIS_ACCESS_ACTIVE_LOCALITY;
        winner->access &= ~(TIS_ACCESS_REQUEST_USE | TIS_ACCESS_SEIZE);
        if (previous != next) {
            tis_interrupt(tis, next, TIS_INT_LOCALITY_CHANGE);
        }
    }
}

/* The locality that waited for the abort, or the highest if that one has lost interest. */
static uint8_t waiting_locality(const TIS *tis)
{
    if (tis->locality[tis->next].access & (TIS_ACCESS_REQUEST_USE | TIS_ACCESS_SEIZE)) {
        return tis->next;
    }
    return highest_with(tis, TIS_ACCESS_REQUEST_USE);
}

void tis_abort_finish(TIS *tis)
{
    tis->offset = 0;
    if (tis->aborting == tis->next) {
        /* It keeps the device, unless it has given it up meanwhile. */
        tis_enter(tis, tis->next, TIS_READY, TIS_STS_COMMAND_READY);
        tis_interrupt(tis, tis->next, TIS_INT_COMMAND_READY);
    } else {
        set_active(tis, waiting_locality(tis));
    }
    tis->aborting = TIS_NO_LOCALITY;
    tis->next = TIS_NO_LOCALITY;
}

void tis_abort(TIS *tis, uint8_t next)
{
    bool seizes = tis->locality[next].access & TIS_ACCESS_SEIZE;

    /* Nothing but a higher seizure replaces one that waits for the command's end. */
    if (highest_with(tis, TIS_ACCESS_SEIZE) != TIS_NO_LOCALITY && !seizes) {
        return;
    }
    tis->aborting = tis->active;
    tis->next = next;
    if (tis_is_executing(tis)) {
        /* Finished by the response, which is dropped, or by the cancelled command's. */
        tpm_request_cancel(tis->device);
    } else {
        tis_abort_finish(tis);
    }
}

void tis_hash_seize(TIS *tis)
{
    if (tis_is_executing(tis)) {
        tpm_request_cancel(tis->device); /* tis_done() drops the response */
    }
    for (uint8_t i = 0; i < TIS_LOCALITIES; i++) {
        tis->locality[i].access &= ~TIS_ACCESS_SEIZE;
        if (tis->locality[i].state != TIS_EXECUTION) {
            tis_enter(tis, i, TIS_IDLE, 0);
        }
    }
    tis->aborting = TIS_NO_LOCALITY;
    tis->next = TIS_NO_LOCALITY;
    tis->offset = 0;
    tis->locality[4].access |= TIS_ACCESS_SEIZE; /* so that the loser is told */
    set_active(tis, 4);
    tis_enter(tis, 4, TIS_IDLE, TIS_STS_VALID);
}

void tis_hash_release(TIS *tis)
{
    tis_enter(tis, 4, TIS_IDLE, 0);
    set_active(tis, highest_with(tis, TIS_ACCESS_REQUEST_USE));
}

/* What a write to TPM_ACCESS leads to, gathered from its events. */
typedef struct Outcome {
    uint8_t active; /* who is to have the device */
    bool aborted;   /* tis_abort() sees to that, now or later */
} Outcome;

/* The guest wrote activeLocality: give the device up, or take a request for it back. */
static void on_relinquish(TIS *tis, uint8_t locality, Outcome *outcome)
{
    uint8_t next;

    if (!tis_is_active(tis, locality)) {
        tis->locality[locality].access &= ~TIS_ACCESS_REQUEST_USE;
        return;
    }
    next = highest_with(tis, TIS_ACCESS_REQUEST_USE);
    if (next == TIS_NO_LOCALITY) {
        outcome->active = TIS_NO_LOCALITY;
    } else {
        outcome->aborted = true;
        tis_abort(tis, next);
    }
}

/*
 * The guest wrote Seize. It goes only upwards, and not over a seizure by this or a higher
 * locality that is under way.
 */
static void on_seize(TIS *tis, uint8_t locality, Outcome *outcome)
{
    uint8_t seizing = highest_with(tis, TIS_ACCESS_SEIZE);

    if (tis->active != TIS_NO_LOCALITY && locality <= tis->active) {
        tpm_report_guest_error(tis->device, "seize by a locality not above the active one");
        return;
    }
    if (seizing != TIS_NO_LOCALITY && seizing >= locality) {
        return;
    }
    for (uint8_t i = 0; i < locality; i++) {
        tis->locality[i].access &= ~TIS_ACCESS_SEIZE;
    }
    tis->locality[locality].access |= TIS_ACCESS_SEIZE;
    outcome->aborted = true;
    tis_abort(tis, locality);
}

/* The guest wrote requestUse. Granted at once when nobody has the device. */
static void on_request_use(TIS *tis, uint8_t locality, Outcome *outcome)
{
    if (tis->active == TIS_NO_LOCALITY) {
        outcome->active = locality;
    } else if (!tis_is_active(tis, locality)) {
        tis->locality[locality].access |= TIS_ACCESS_REQUEST_USE;
    }
}

void tis_access_write(TIS *tis, uint8_t locality, uint32_t value)
{
    Outcome outcome = { .active = tis->active };

    if (value & TIS_ACCESS_SEIZE) {
        value &= ~(TIS_ACCESS_REQUEST_USE | TIS_ACCESS_ACTIVE_LOCALITY);
    }
    if (value & TIS_ACCESS_ACTIVE_LOCALITY) {
        on_relinquish(tis, locality, &outcome);
    }
    if (value & TIS_ACCESS_BEEN_SEIZED) {
        tis->locality[locality].access &= ~TIS_ACCESS_BEEN_SEIZED;
    }
    if (value & TIS_ACCESS_SEIZE) {
        on_seize(tis, locality, &outcome);
    }
    if (value & TIS_ACCESS_REQUEST_USE) {
        on_request_use(tis, locality, &outcome);
    }
    if (!outcome.aborted) {
        set_active(tis, outcome.active);
    }
}

uint32_t tis_access_read(const TIS *tis, uint8_t locality)
{
    uint32_t access = tis->locality[locality].access & ~TIS_ACCESS_SEIZE;

    for (unsigned i = 0; i < TIS_LOCALITIES; i++) {
        if (i != locality && (tis->locality[i].access & TIS_ACCESS_REQUEST_USE)) {
            access |= TIS_ACCESS_PENDING_REQUEST;
        }
    }
    if (!tis->device->established) {
        access |= TIS_ACCESS_ESTABLISHMENT;
    }
    return access;
}
