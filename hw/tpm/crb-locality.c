/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which locality has the CRB device: request, relinquish and seize (PC Client Platform TPM
 * Profile, TPM_LOC_CTRL_x, TPM_LOC_STATE_x, TPM_LOC_STS_x).
 *
 * By default there is locality 0 alone, as in QEMU's device: it has the device when it asks, and
 * there is nobody to seize it from. Stage 2 of 6, beside crb.c.
 */
#include "crb.h"

static void grant(CRB *crb, uint8_t locality)
{
    CRBLocality *loc = &crb->locality[locality];
    bool changes = crb->active != locality;

    crb->active = locality;
    crb->owner = locality;
    loc->requested = false;
    loc->sts = CRB_LOC_STS_GRANTED;
    if (changes) {
        crb_interrupt(crb, locality, CRB_INT_LOCALITY_CHANGE);
    }
}

/*
 * The device is free for this locality. What another had in the buffer is not for it to see, and a
 * command of another that still runs is cancelled first: the device changes hands when it has
 * ended.
 */
static void give(CRB *crb, uint8_t locality)
{
    if (crb->state == CRB_EXECUTION && crb->command_locality != locality) {
        crb->next = locality;
        crb->locality[locality].requested = true; /* should a higher one overtake it */
        tpm_request_cancel(crb->device);
        return;
    }
    if (crb->owner != locality) {
        crb_wipe(crb);
    }
    grant(crb, locality);
}

void crb_hand_over(CRB *crb)
{
    uint8_t next = crb->next;

    crb->next = CRB_NO_LOCALITY;
    crb_wipe(crb);
    grant(crb, next);
}

static void on_request_access(CRB *crb, uint8_t locality)
{
    if (crb->active == locality) {
        grant(crb, locality);
    } else if (crb->active == CRB_NO_LOCALITY && crb->next == CRB_NO_LOCALITY) {
        give(crb, locality);
    } else {
        crb->locality[locality].requested = true;
    }
}

/* The highest locality that waits gets the device. */
static void give_to_highest(CRB *crb)
{
    for (uint8_t i = crb->localities; i > 0; i--) {
        if (crb->locality[i - 1].requested) {
            give(crb, (uint8_t)(i - 1));
            return;
        }
    }
}

/* Give the device up, or the wait for it, or the turn that was to come when a command has ended. */
static void on_relinquish(CRB *crb, uint8_t locality)
{
    crb->locality[locality].requested = false;
    if (crb->active == locality) {
        crb->locality[locality].sts &= ~CRB_LOC_STS_GRANTED;
        crb->active = CRB_NO_LOCALITY;
        crb_chunk_forget(crb);
        give_to_highest(crb);
    } else if (crb->next == locality) {
        crb->next = CRB_NO_LOCALITY;
        give_to_highest(crb);
    }
}

/* Only upwards, over whoever has the device and whoever is about to get it. */
static void on_seize(CRB *crb, uint8_t locality)
{
    uint8_t loser = crb->active;

    if (crb->localities == 1) {
        return;
    }
    if ((loser != CRB_NO_LOCALITY && locality <= loser) ||
        (crb->next != CRB_NO_LOCALITY && locality <= crb->next)) {
        tpm_report_guest_error(crb->device, "seize by a locality not above the active one");
        return;
    }
    if (loser != CRB_NO_LOCALITY) {
        crb->locality[loser].sts = CRB_LOC_STS_BEEN_SEIZED;
        crb->active = CRB_NO_LOCALITY;
    }
    give(crb, locality);
}

static void on_reset_establishment(CRB *crb, uint8_t locality)
{
    if (locality == 3 || locality == 4) {
        if (crb->device->established) {
            crb->unsetting = locality;
        }
        tpm_request_reset_established(crb->device, locality);
    }
}

/* The locality that asked for it hears that the flag is no longer set. */
void crb_established(void *model, bool established)
{
    CRB *crb = model;
    uint8_t locality = crb->unsetting;

    if (!established && locality != CRB_NO_LOCALITY) {
        crb->unsetting = CRB_NO_LOCALITY;
        crb_interrupt(crb, locality, CRB_INT_ESTABLISHMENT);
    }
}

/* One at a time: several at once mean nothing. */
void crb_loc_ctrl_write(CRB *crb, uint8_t locality, uint32_t value)
{
    switch (value) {
    case CRB_LOC_CTRL_REQUEST_ACCESS:
        on_request_access(crb, locality);
        break;
    case CRB_LOC_CTRL_RELINQUISH:
        on_relinquish(crb, locality);
        break;
    case CRB_LOC_CTRL_SEIZE:
        on_seize(crb, locality);
        break;
    case CRB_LOC_CTRL_RESET_ESTABLISHMENT:
        on_reset_establishment(crb, locality);
        break;
    default:
        break;
    }
}

uint32_t crb_loc_state_read(const CRB *crb)
{
    uint32_t state = CRB_LOC_STATE_REG_VALID;

    if (!crb->device->established) {
        state |= CRB_LOC_STATE_NOT_ESTABLISHED;
    }
    if (crb->active != CRB_NO_LOCALITY) {
        state |= CRB_LOC_STATE_ASSIGNED | (uint32_t)crb->active << CRB_LOC_STATE_ACTIVE_SHIFT;
    }
    return state;
}
