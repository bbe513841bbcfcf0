/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Locality 4 of the TIS device: the registers of the D-RTM hash sequence (TCG PC Client TPM
 * Interface Specification 1.3 and Platform TPM Profile, "TPM_HASH_START", "TPM_HASH_DATA",
 * "TPM_HASH_END").
 *
 * On a PC only the processor can write here, while it executes GETSEC[SENTER] or SKINIT, or before
 * the first instruction of the firmware. In a virtual machine that is the hypervisor, which must
 * keep its guest's own writes away from locality 4.
 *
 * Stage 2 of 6, beside tis.c, which comes here for writes at locality 4. hash.c keeps the sequence
 * and request.c (stage 3) takes it to the TPM; its end comes back through tis_hashed().
 */
#include "tis.h"

/* The sequence takes the device from every locality, until the TPM has answered its end. */
static void on_hash_start(TIS *tis)
{
    tpm_hash_start(tis->device);
    if (!tis->hashing) {
        tis->hashing = true;
        tis_hash_seize(tis);
    }
}

static void on_hash_data(TIS *tis, const TPMPiece *piece, uint32_t value)
{
    for (unsigned i = 0; i < piece->width; i++) {
        tpm_hash_data(tis->device, (uint8_t)(value >> 8 * (piece->lane + i)));
    }
}

static void on_hash_end(TIS *tis)
{
    tpm_hash_end(tis->device);
}

/* START and END are the lowest byte of their registers, whatever is written to it. */
void tis_hash_write(TIS *tis, uint32_t offset, const TPMPiece *piece, uint32_t value)
{
    switch (offset) {
    case TIS_HASH_START:
        if (piece->lane == 0) {
            on_hash_start(tis);
        }
        break;
    case TIS_HASH_DATA:
        on_hash_data(tis, piece, value);
        break;
    case TIS_HASH_END:
        if (piece->lane == 0) {
            on_hash_end(tis);
        }
        break;
    default:
        break;
    }
}

void tis_hashed(void *model)
{
    TIS *tis = model;

    tis->hashing = false;
    tis_hash_release(tis);
}
