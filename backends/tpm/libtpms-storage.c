/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whose the directory is: for a TPM whose guest moves between processes that share its storage.
 *
 *              AWAY            OURS            UNCLAIMED        LET_GO
 *   lock       another's       held            held             another's
 *   TPM        off             on or off       on               on, and held by its device
 *
 *   start      take → OURS     stays           claim → OURS     off, take → OURS
 *   go on      (off)           stays           claim → OURS     take again, claim → OURS
 *   save       (off)           → LET_GO        → LET_GO         take again → LET_GO
 *   load       take → below    stays           → below          take → below
 *   end        nothing         TPM2_Shutdown   nothing          nothing        is written
 *
 * To go on is to resume, or to have a command or a measurement: there may have been no resume
 * because the one who wanted the save waited no longer for it. A save leads to LET_GO where the
 * configuration says so; else the lock is kept. A load ends in UNCLAIMED when the directory already
 * holds what was loaded, as one does that the source has let go of; else the state is stored and
 * the directory OURS. A load or save that fails gives back what it has taken: AWAY and LET_GO are
 * then what they were. A start that cannot take leads to AWAY, and so does a TPM that cannot go on,
 * whose power is cut: another has gone on with it.
 *
 * Unclaimed, the directory is what the source left behind, byte by byte, and so the source can go
 * on if this process ends before its guest did anything with the TPM. To claim it is to store what
 * is there anew, with the next counter. Whoever goes on does that first, so that nobody else can:
 * one who takes it again finds it changed.
 *
 * Neighbours: libtpms-engine.c and libtpms-state.c, on the worker's thread, which may wait here;
 * state-directory.c takes and lets go.
 */
#include "libtpms-engine-private.h"
#include "secret.h"

#include <string.h>

/*
 * The other one may be about to end, or to give back what it has taken: for so long the lock is
 * tried for, and so often. As long as QEMU has swtpm try.
 */
#define TAKE_TIMEOUT_MS  3000
#define TAKE_INTERVAL_MS 10

/* ---- taking ---- */

static bool take(LibtpmsEngine *engine, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + TAKE_TIMEOUT_MS * G_TIME_SPAN_MILLISECOND;

    for (;;) {
        g_autoptr(GError) cause = NULL;

        if (tpm_state_directory_take(engine->directory, &cause)) {
            libtpms_engine_note_counter(engine);
            return true;
        }
        if (!g_error_matches(cause, TPMDEV_ERROR, TPM_ERROR_IN_USE) ||
            g_get_monotonic_time() >= deadline || g_atomic_int_get(&engine->hurried)) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return false;
        }
        g_usleep(TAKE_INTERVAL_MS * 1000);
    }
}

void libtpms_engine_hurry(LibtpmsEngine *engine)
{
    g_atomic_int_set(&engine->hurried, TRUE);
}

/* The TPM is off, and its directory is to be that of whatever is stored there. */
bool libtpms_storage_take(LibtpmsEngine *engine, GError **error)
{
    if (engine->storage == STORAGE_OURS) {
        return true;
    }
    engine->storage = STORAGE_AWAY;
    if (!take(engine, error)) {
        return false;
    }
    if (!tpm_state_directory_settle(engine->directory, error)) {
        tpm_state_directory_give_back(engine->directory);
        return false;
    }
    engine->storage = STORAGE_OURS;
    return true;
}

/* Takes the cause; in words what a code of it means here. */
static bool is_elsewhere(const LibtpmsEngine *engine, TPMError code, const char *what,
                         GError *cause, GError **error)
{
    if (g_error_matches(cause, TPMDEV_ERROR, (gint)code)) {
        g_set_error(error, TPMDEV_ERROR, (gint)code,
                    "TPM state directory '%s' was let go of when its TPM was saved, and %s; only "
                    "one of the two may ever be resumed",
                    tpm_state_directory_get_path(engine->directory), what);
        g_error_free(cause);
    } else {
        g_propagate_error(error, cause);
    }
    return false;
}

/* It was let go of, and is to be that of the same TPM once more. */
static bool take_again(LibtpmsEngine *engine, GError **error)
{
    GError *cause = NULL;

    if (!take(engine, &cause)) {
        if (cause->code != TPM_ERROR_IN_USE) { /* a key that is another's, or damage */
            g_prefix_error(&cause, "the TPM that was saved cannot go on with what is stored: ");
        }
        return is_elsewhere(engine, TPM_ERROR_IN_USE,
                            "is in use by another TPM now, in this process or another one", cause,
                            error);
    }
    if (!tpm_state_directory_is_as_left(engine->directory, &cause)) {
        tpm_state_directory_give_back(engine->directory);
        return is_elsewhere(engine, TPM_ERROR_STATE_MISMATCH,
                            "what is stored there has changed: another TPM has gone on with it",
                            cause, error);
    }
    engine->storage = STORAGE_UNCLAIMED;
    return true;
}

/* ---- what is stored ---- */

static bool is_part(LibtpmsEngine *engine, TPMStateKind kind, const TPMStateBlob *part)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(GBytes) stored = tpm_state_directory_load(engine->directory, kind, &cause);

    if (!stored) {
        return part->size == 0 && g_error_matches(cause, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND);
    }
    gsize size;
    const void *data = g_bytes_get_data(stored, &size);

    return part->size == size && memcmp(part->data, data, size) == 0;
}

/* Would a TPM that loads this state find in the directory what is to be there afterwards? */
static bool is_stored(LibtpmsEngine *engine, const TPMState *state)
{
    static const TPMStateBlob none = { NULL, 0, 0 };

    return is_part(engine, TPM_STATE_PERMANENT, &state->permanent) &&
           is_part(engine, TPM_STATE_VOLATILE, &none) &&
           is_part(engine, TPM_STATE_SAVED, &state->saved);
}

static bool store(LibtpmsEngine *engine, const TPMState *state, GError **error)
{
    g_autoptr(GBytes) permanent = tpm_secret_copy(state->permanent.data, state->permanent.size);
    g_autoptr(GBytes) saved =
        state->saved.size > 0 ? tpm_secret_copy(state->saved.data, state->saved.size) : NULL;
    bool lost = false; /* what is there is of the same TPM in any case */
    bool done = libtpms_engine_commit(engine, permanent, saved, &lost, error);

    libtpms_engine_tell_counter(engine);
    return done;
}

static bool store_anew(LibtpmsEngine *engine, GError **error)
{
    LibtpmsState now = { .shut_down = false };
    bool collected = libtpms_engine_collect(engine, &now, error);
    TPMState state = libtpms_state_get(&now);
    bool done = collected && store(engine, &state, error);

    libtpms_state_clear(&now);
    return done;
}

bool libtpms_storage_claim(LibtpmsEngine *engine, GError **error)
{
    switch (engine->storage) {
    case STORAGE_AWAY:
    case STORAGE_OURS:
        return true;
    case STORAGE_LET_GO:
        if (!take_again(engine, error)) {
            engine->storage = STORAGE_AWAY;
            return false;
        }
        break;
    case STORAGE_UNCLAIMED:
        break;
    }
    if (!tpm_state_directory_settle(engine->directory, error) ||
        (engine->powered && !store_anew(engine, error))) {
        return false;
    }
    engine->storage = STORAGE_OURS;
    return true;
}

/* ---- save ---- */

bool libtpms_storage_before_save(LibtpmsEngine *engine, GError **error)
{
    return engine->storage != STORAGE_LET_GO || take_again(engine, error);
}

/* What libtpms has in its memory may be later than what it has stored. */
bool libtpms_storage_let_go(LibtpmsEngine *engine, const TPMState *state, GError **error)
{
    if (!engine->release_lock_outgoing) {
        return true;
    }
    if ((!is_stored(engine, state) && !store(engine, state, error)) ||
        !tpm_state_directory_let_go(engine->directory, error)) {
        return false;
    }
    engine->storage = STORAGE_LET_GO;
    return true;
}

/* What was stored for this save is no longer what was let go of, and stays with this TPM. */
void libtpms_storage_after_refusal(LibtpmsEngine *engine, LibtpmsStorage was)
{
    if (was == STORAGE_LET_GO && engine->storage == STORAGE_UNCLAIMED &&
        tpm_state_directory_is_as_left(engine->directory, NULL)) {
        libtpms_storage_give_back(engine, was);
    }
}

/* ---- load ---- */

bool libtpms_storage_borrow(LibtpmsEngine *engine, GError **error)
{
    if (engine->storage == STORAGE_OURS || engine->storage == STORAGE_UNCLAIMED) {
        return true;
    }
    GError *cause = NULL;

    if (take(engine, &cause)) {
        engine->storage = STORAGE_UNCLAIMED;
        return true;
    }
    if (g_error_matches(cause, TPMDEV_ERROR, TPM_ERROR_IN_USE)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IN_USE,
                    "TPM state directory '%s' is still in use by another TPM, in this process or "
                    "another one, and nothing can be loaded; end that first, or have it made with "
                    "release-lock-outgoing=on",
                    tpm_state_directory_get_path(engine->directory));
        g_error_free(cause);
    } else {
        g_propagate_error(error, cause);
    }
    return false;
}

void libtpms_storage_give_back(LibtpmsEngine *engine, LibtpmsStorage was)
{
    if (was == STORAGE_AWAY || was == STORAGE_LET_GO) {
        tpm_state_directory_give_back(engine->directory);
        engine->storage = was;
    }
}

bool libtpms_storage_keep(LibtpmsEngine *engine, const TPMState *state, bool *lost, GError **error)
{
    if (engine->storage == STORAGE_UNCLAIMED) {
        if (is_stored(engine, state)) {
            return true;
        }
        if (!tpm_state_directory_settle(engine->directory, error)) {
            return false;
        }
    }
    if (!libtpms_engine_commit(engine, engine->staged[TPM_STATE_PERMANENT],
                               engine->staged[TPM_STATE_SAVED], lost, error)) {
        return false;
    }
    engine->storage = STORAGE_OURS;
    return true;
}
