/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the `emulator` backend does between a command's execution and the telling of its response:
 * it takes note of what the TPM has become, learns by what to know it again, and stores its
 * volatile state where the host wants that.
 *
 * After a successful TPM_Startup the TPM is asked for its session and its identity, 20 µs once in
 * a guest's life. With `checkpoint`, STORE_VOLATILE follows each command that may change what a
 * TPM without power forgets, so that nothing a guest was told is lost with swtpm.
 *
 * Sources: TPM 2.0 Part 3 and TPM 1.2 Part 3 for what commands change. That a resumed TPM 2.0
 * repeats its random numbers was measured (libtpms 0.9.2).
 * Neighbours: emulator-io.c comes here with a response; emulator-return.c makes use of what was
 * learned.
 */
#include "emulator-internal.h"

#include "command.h"

#include <string.h>

#define TPM2_CC_CHANGE_PPS 0x125u /* TPM 2.0 Part 2 "TPM_CC" */
#define TPM2_CC_STARTUP    0x144u
#define TPM2_CC_SHUTDOWN   0x145u
#define TPM12_ORD_STARTUP  0x99u /* TPM 1.2 Part 2 "Ordinals" */

/*
 * Commands that change nothing when they come without a session: every session has nonces. Those
 * that give random numbers are not here, for the generator's state is volatile: a TPM resumed from
 * before would give the same ones again.
 */
static const uint32_t reads_2_0[] = {
    0x169, /* NV_ReadPublic */
    0x173, /* ReadPublic */
    0x178, /* ECC_Parameters */
    0x17A, /* GetCapability */
    0x17C, /* GetTestResult */
    0x17D, /* Hash */
    0x17E, /* PCR_Read */
    0x181, /* ReadClock */
    0x189, /* PolicyGetDigest */
    0x18A, /* TestParms */
};

static const uint32_t reads_1_2[] = {
    0x15, /* TPM_PCRRead */
    0x54, /* TPM_GetTestResult */
    0x65, /* TPM_GetCapability */
    0x7C, /* TPM_ReadPubek */
    0xF1, /* TPM_GetTicks */
};

static bool is_read(const Emulator *emulator)
{
    bool is_1_2 = emulator->version == TPM_VERSION_1_2;
    const uint32_t *reads = is_1_2 ? reads_1_2 : reads_2_0;
    size_t n = is_1_2 ? G_N_ELEMENTS(reads_1_2) : G_N_ELEMENTS(reads_2_0);

    if (emulator->command_tag != (is_1_2 ? TPM12_TAG_RQU : TPM2_ST_NO_SESSIONS)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (reads[i] == emulator->ordinal) {
            return true;
        }
    }
    return false;
}

static bool is_startup(const Emulator *emulator)
{
    return emulator->ordinal ==
           (emulator->version == TPM_VERSION_1_2 ? TPM12_ORD_STARTUP : TPM2_CC_STARTUP);
}

/* ---- the steps ---- */

static bool must_store(const Emulator *emulator)
{
    return emulator->checkpoint && emulator->used && !is_read(emulator);
}

/* Tell the response, or store first. */
static void finish(Emulator *emulator)
{
    if (must_store(emulator)) {
        emulator->step = STEP_STORE_VOLATILE;
        return;
    }
    emulator->step = STEP_NONE;
    emulator->completing = false;
    emulator->news |= NEWS_COMPLETED;
}

/* The response's place is needed for those of other commands. */
static bool hold(Emulator *emulator)
{
    if (emulator->response_size > sizeof(emulator->held)) {
        return false;
    }
    memcpy(emulator->held, emulator->response, emulator->response_size);
    emulator->held_size = emulator->response_size;
    return true;
}

static void let_go(Emulator *emulator)
{
    memcpy(emulator->response, emulator->held, emulator->held_size);
    emulator->held_size = 0;
}

/*
 * One command may stand between two: the ordinal of the guest's, by which it is judged, has to
 * outlive those of the library's own.
 */
void tpm_emulator_after_command(Emulator *emulator)
{
    bool good = tpm_header_code(emulator->response) == 0; /* success, in both versions */
    bool is_2_0 = emulator->version == TPM_VERSION_2_0;

    emulator->completed_size = emulator->response_size;
    emulator->completing = true;
    emulator->shut_down = good && is_2_0 && emulator->ordinal == TPM2_CC_SHUTDOWN;
    if (good && is_startup(emulator)) {
        emulator->used = true;
        emulator->started = true;
        emulator->session.size = 0;
        emulator->identity.size = 0;
        if (hold(emulator)) {
            emulator->step = STEP_LEARN_SESSION;
            return;
        }
    } else if (good && is_2_0 && emulator->ordinal == TPM2_CC_CHANGE_PPS) {
        emulator->identity.size = 0;
        if (hold(emulator)) {
            emulator->step = STEP_LEARN_IDENTITY;
            return;
        }
    }
    finish(emulator);
}

static void store_after_hash(Emulator *emulator)
{
    emulator->step = emulator->checkpoint ? STEP_STORE_VOLATILE : STEP_NONE;
}

void tpm_emulator_after_responded(Emulator *emulator)
{
    if (emulator->step == STEP_LEARN_SESSION) {
        tpm_emulator_read_session(emulator, &emulator->session);
        if (emulator->version == TPM_VERSION_2_0) {
            emulator->step = STEP_LEARN_IDENTITY;
            return;
        }
    } else {
        tpm_emulator_read_identity(emulator, &emulator->identity);
    }
    if (emulator->goal == GOAL_LOADED) {
        tpm_emulator_load_learned(emulator);
        return;
    }
    if (emulator->hash == HASH_ENDED) {
        store_after_hash(emulator);
        return;
    }
    let_go(emulator);
    finish(emulator);
}

void tpm_emulator_after_hash(Emulator *emulator)
{
    emulator->used = true;
    emulator->shut_down = false;
    if (emulator->hash_came && emulator->started) {
        emulator->step = STEP_LEARN_SESSION;
    } else {
        store_after_hash(emulator);
    }
}

void tpm_emulator_after_stored(Emulator *emulator)
{
    emulator->stale_volatile = true;
    if (emulator->move.kind == MOVE_SAVE) {
        emulator->step = STEP_GET_PART;
        return;
    }
    if (emulator->goal == GOAL_LOADED) {
        tpm_emulator_loaded(emulator);
        return;
    }
    emulator->step = STEP_NONE;
    if (emulator->returning) {
        tpm_emulator_ready(emulator);
    } else if (emulator->completing) {
        emulator->completing = false;
        emulator->news |= NEWS_COMPLETED;
    }
}

/* ---- before the power goes ---- */

/*
 * Loss of power without a TPM2_Shutdown counts as an attack once an authorization was tried: after
 * some resets of that kind the guest's TPM is in lockout. From 0.8 on swtpm sends one by itself.
 */
bool tpm_emulator_needs_shutdown(const Emulator *emulator)
{
    return emulator->version == TPM_VERSION_2_0 && emulator->started && !emulator->shut_down &&
           !(emulator->capabilities & SWTPM_CAP_LOCK_STORAGE);
}

void tpm_emulator_send_shutdown(Emulator *emulator, uint16_t type)
{
    uint8_t command[TPM_HEADER_SIZE + 2];

    tpm_put_be16(command + TPM_HEADER_TAG, TPM2_ST_NO_SESSIONS);
    tpm_put_be32(command + TPM_HEADER_LEN, sizeof(command));
    tpm_put_be32(command + TPM_HEADER_CODE, TPM2_CC_SHUTDOWN);
    tpm_put_be16(command + TPM_HEADER_SIZE, type);
    tpm_emulator_send_own(emulator, command, sizeof(command));
}
