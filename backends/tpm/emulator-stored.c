/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether swtpm has stored the TPM that it was given. It writes it in the INIT of a load, and that
 * INIT succeeds all the same when there is no room for it (measured, 0.7.1): the guest would go on
 * with a TPM whose next start is that of the one before.
 *
 * GET_STATEBLOB of the permanent part tells what is stored. What is not encrypted comes back as it
 * was given. Where it does not, GET_STATEBLOB of the volatile part has swtpm write a file and
 * delete it again, and that is refused when it cannot. Both are possible only while the TPM has
 * power, so what was stored before cannot be asked for.
 *
 * A TPM that was not stored is stopped, lest it is stored later, and the load is refused.
 *
 * Neighbours: emulator-start.c has the steps in their order, emulator-state.c the rest of a load,
 * emulator-blob.c the messages.
 */
#include "emulator-internal.h"

#include <string.h>

static void ask(Emulator *emulator, unsigned part)
{
    emulator->move.part = part;
    emulator->step = STEP_CHECK_STORED;
}

void tpm_emulator_check_stored(Emulator *emulator)
{
    ask(emulator, PART_PERMANENT);
}

static bool is_as_given(const EmulatorMove *move)
{
    const TPMSecret *stored = move->parts[PART_PERMANENT];
    const TPMStateBlob *given = &move->incoming->permanent;

    return stored->len == given->size && memcmp(stored->data, given->data, given->size) == 0;
}

static void not_stored(Emulator *emulator, uint32_t result)
{
    EmulatorMove *move = &emulator->move;
    bool was_used = move->was_powered && emulator->used;

    g_clear_error(&move->error);
    move->error = tpm_emulator_error(
        emulator, TPM_ERROR_IO,
        "could not store the TPM's state, which %s wrote, with result %Xh of the %s part; see that "
        "its directory has room and can be written. What is stored there is the TPM of before%s",
        move->incoming->writer, result, tpm_emulator_part_name(move->part),
        was_used ? ", and what was in its memory alone is lost" : "");
    emulator->step = STEP_STOP_UNSTORED;
}

void tpm_emulator_stored_replied(Emulator *emulator, uint32_t result)
{
    EmulatorMove *move = &emulator->move;

    if (result != 0) {
        not_stored(emulator, result);
    } else if (!tpm_emulator_part_is_whole(emulator)) {
        return; /* there is more of it, and the step is the same */
    } else if (move->part == PART_VOLATILE || is_as_given(move)) {
        tpm_emulator_load_initialized(emulator);
    } else {
        ask(emulator, PART_VOLATILE);
    }
}

/* Whatever it has answered: there is nothing more that can be done. */
void tpm_emulator_unstored_stopped(Emulator *emulator)
{
    bool was_there = emulator->move.was_powered;

    emulator->powered = was_there;
    tpm_emulator_load_fails(emulator, g_steal_pointer(&emulator->move.error), was_there);
}
