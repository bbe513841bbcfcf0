/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of libtpms' TPM on its way out, and another one on its way in.
 *
 * A state that comes in is tried out: libtpms is given it as if it was what is stored, checks it,
 * and starts a TPM with it, before anything in the directory has changed. TPMLIB_SetState() would
 * be the other way; but of that a refusal drops all that was set before, and a start that follows
 * is one of another TPM, or of a new one. The TPM that was there is kept in memory until the new
 * one runs and is stored, and is put back, the same way, if it does not come to that.
 *
 * Neighbours: libtpms.c calls this from its worker; libtpms-engine.c is the TPM; libtpms-storage.c
 * has the directory for it, and lets go of that.
 */
#include "libtpms-engine-private.h"
#include "secret.h"
#include "state-crypt.h"
#include "tpm-info.h"

#include <libtpms/tpm_error.h>
#include <libtpms/tpm_library.h>
#include <libtpms/tpm_tis.h>
#include <stdlib.h>
#include <string.h>

/*
 * Flags of the volatile part. libtpms sets tpmEstablished of a TPM 2.0 as a hash sequence begins,
 * and keeps it apart from all state; whoever is in front of it hears of it when the sequence has
 * ended.
 */
#define FLAG_SHUT_DOWN   1u
#define FLAG_ESTABLISHED 2u
#define FLAGS_KNOWN      (FLAG_SHUT_DOWN | FLAG_ESTABLISHED)

enum { PERMANENT, VOLATILE, SAVED };

/* ---- out ---- */

/* Which libtpms this is, and what of it was asked for; to be freed with g_free(). */
static char *describe(unsigned what)
{
    uint32_t version = TPMLIB_GetVersion();
    g_autofree char *who = g_strdup_printf("libtpms %u.%u.%u", version >> 16 & 0xFF,
                                           version >> 8 & 0xFF, version & 0xFF);
    char *info = TPMLIB_GetInfo((enum TPMLIB_InfoFlags)what);
    char *words = tpm_info_words(who, info);

    free(info); /* libtpms' memory, and not GLib's */
    return words;
}

static bool get_state(LibtpmsEngine *engine, LibtpmsState *state, unsigned part,
                      enum TPMLIB_StateType type, GError **error)
{
    TPM_RESULT result = TPMLIB_GetState(type, &state->data[part], &state->size[part]);

    if (engine->storage_error) {
        g_propagate_error(error, g_error_copy(engine->storage_error));
        return false;
    }
    if (result != TPM_SUCCESS || state->size[part] == 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_TPM,
                    "libtpms does not hand out the state of the TPM in '%s' (code 0x%x)",
                    tpm_state_directory_get_path(engine->directory), result);
        return false;
    }
    return true;
}

/*
 * What TPM_SaveState has kept, if the guest has called that. It is in the directory alone: libtpms
 * would make it up, and let TPM_Startup(ST_STATE) succeed elsewhere that must fail here.
 */
static bool get_saved(LibtpmsEngine *engine, LibtpmsState *state, GError **error)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(GBytes) kept = tpm_state_directory_load(engine->directory, TPM_STATE_SAVED, &cause);

    if (kept) {
        state->size[SAVED] = (uint32_t)g_bytes_get_size(kept);
        state->data[SAVED] = malloc(state->size[SAVED]); /* freed as libtpms' is */
        if (!state->data[SAVED]) {
            g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO,
                        "there is no memory for the savestate of the TPM in '%s'",
                        tpm_state_directory_get_path(engine->directory));
            return false;
        }
        memcpy(state->data[SAVED], g_bytes_get_data(kept, NULL), state->size[SAVED]);
        return true;
    }
    if (!g_error_matches(cause, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    return true;
}

bool libtpms_engine_collect(LibtpmsEngine *engine, LibtpmsState *state, GError **error)
{
    g_free(state->writer);
    state->writer = describe(TPM_INFO_OF_SOURCE);
    state->shut_down = engine->shut_down;
    state->established = libtpms_engine_get_established(engine);
    return get_state(engine, state, PERMANENT, TPMLIB_STATE_PERMANENT, error) &&
           get_state(engine, state, VOLATILE, TPMLIB_STATE_VOLATILE, error) &&
           (engine->version == TPM_VERSION_2_0 || get_saved(engine, state, error));
}

void libtpms_state_clear(LibtpmsState *state)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(state->data); i++) {
        if (state->data[i]) {
            tpm_state_wipe(state->data[i], state->size[i]);
            free(state->data[i]);
        }
    }
    g_clear_pointer(&state->writer, g_free);
}

static TPMStateBlob blob(const LibtpmsState *state, unsigned part, uint32_t flags)
{
    size_t size = state->data[part] ? state->size[part] : 0;

    return (TPMStateBlob){ size > 0 ? state->data[part] : NULL, size, flags };
}

TPMState libtpms_state_get(const LibtpmsState *state)
{
    uint32_t flags =
        (state->shut_down ? FLAG_SHUT_DOWN : 0) | (state->established ? FLAG_ESTABLISHED : 0);

    return (TPMState){
        .size = sizeof(TPMState),
        .permanent = blob(state, PERMANENT, 0),
        .volatile_state = blob(state, VOLATILE, flags),
        .saved = blob(state, SAVED, 0),
        .writer = state->writer,
    };
}

static bool save(LibtpmsEngine *engine, LibtpmsState *state, GError **error)
{
    if (!libtpms_storage_before_save(engine, error) ||
        !libtpms_engine_collect(engine, state, error)) {
        return false;
    }
    TPMState collected = libtpms_state_get(state);

    return libtpms_storage_let_go(engine, &collected, error);
}

bool libtpms_engine_save(LibtpmsEngine *engine, LibtpmsState *state, GError **error)
{
    LibtpmsStorage was = engine->storage;

    if (!engine->powered) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_TPM,
                    "the TPM in '%s' is off, and has no state to be saved",
                    tpm_state_directory_get_path(engine->directory));
        return false;
    }
    if (!save(engine, state, error)) {
        libtpms_storage_after_refusal(engine, was);
        return false;
    }
    engine->handed_out = true;
    return true;
}

/* No TPM2_Shutdown: that would change what is stored. */
static void cut_power(LibtpmsEngine *engine)
{
    if (engine->powered) {
        TPMLIB_Terminate();
        engine->powered = false;
    }
}

bool libtpms_engine_resume(LibtpmsEngine *engine, GError **error)
{
    engine->handed_out = false;
    if (libtpms_storage_claim(engine, error)) {
        return true;
    }
    if (engine->storage == STORAGE_AWAY) {
        cut_power(engine); /* it is a TPM of the past, and what comes for it is to hear why */
        g_clear_error(&engine->storage_error);
        engine->storage_error = g_error_copy(*error);
    }
    return false;
}

/* ---- in ---- */

/* What libtpms would take for something else than what it is. */
static bool state_check(const LibtpmsEngine *engine, const TPMState *state, GError **error)
{
    const char *wrong = NULL;

    if (state->permanent.size == 0) {
        wrong = "no permanent part: libtpms would make a TPM of it whose seeds everybody knows";
    } else if (state->volatile_state.size == 0) {
        wrong = "no volatile part: the guest's TPM would have lost its PCRs";
    } else if (state->saved.size > 0 && engine->version == TPM_VERSION_2_0) {
        wrong = "a part of TPM_SaveState, which TPM 2.0 does not have";
    } else if (state->permanent.flags || state->saved.flags ||
               state->volatile_state.flags & ~FLAGS_KNOWN) {
        wrong = "flags that this library does not know; it may be that of a later one";
    }
    if (!wrong && engine->version == TPM_VERSION_1_2 &&
        tpm_info_is_of_2_0(state->permanent.data, state->permanent.size)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_MISMATCH,
                    "the TPM in '%s' is a TPM 1.2; the saved state, which %s wrote, is that of a "
                    "TPM 2.0",
                    tpm_state_directory_get_path(engine->directory), state->writer);
        return false;
    }
    if (wrong) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_DAMAGED,
                    "the saved state of a TPM of libtpms has %s", wrong);
    }
    return !wrong;
}

static void unstage(LibtpmsEngine *engine)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(engine->staged); i++) {
        g_clear_pointer(&engine->staged[i], g_bytes_unref);
    }
    engine->staging = false;
}

static void stage(LibtpmsEngine *engine, const TPMState *state)
{
    const TPMStateBlob *parts[] = { &state->permanent, &state->volatile_state, &state->saved };
    const TPMStateKind kinds[] = { TPM_STATE_PERMANENT, TPM_STATE_VOLATILE, TPM_STATE_SAVED };

    unstage(engine);
    engine->staging = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (parts[i]->size > 0) {
            engine->staged[kinds[i]] = tpm_secret_copy(parts[i]->data, parts[i]->size);
        }
    }
}

/* Store a part, or see to it that there is none. */
static bool commit_part(LibtpmsEngine *engine, TPMStateKind kind, GBytes *part, GError **error)
{
    g_autoptr(GError) cause = NULL;

    if (part) {
        gsize size;
        const void *data = g_bytes_get_data(part, &size);

        return tpm_state_directory_store(engine->directory, kind, data, size, error);
    }
    if (!tpm_state_directory_remove(engine->directory, kind, &cause) &&
        !g_error_matches(cause, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    return true;
}

/*
 * The volatile part is in the TPM's memory, and nothing of an older one may be there when it is
 * powered on the next time. What is put back has a counter of its own again, and so the saved part
 * is put back with it.
 */
bool libtpms_engine_commit(LibtpmsEngine *engine, GBytes *permanent, GBytes *saved, bool *lost,
                           GError **error)
{
    g_autoptr(GBytes) before =
        tpm_state_directory_load(engine->directory, TPM_STATE_PERMANENT, NULL);
    g_autoptr(GBytes) saved_before =
        tpm_state_directory_load(engine->directory, TPM_STATE_SAVED, NULL);

    if (!commit_part(engine, TPM_STATE_PERMANENT, permanent, error)) {
        return false;
    }
    if (commit_part(engine, TPM_STATE_VOLATILE, NULL, error) &&
        commit_part(engine, TPM_STATE_SAVED, saved, error)) {
        return true;
    }
    *lost = !before || !commit_part(engine, TPM_STATE_PERMANENT, before, NULL) ||
            !commit_part(engine, TPM_STATE_SAVED, saved_before, NULL);
    return false;
}

/* In words: whose state it is, and who did not take it. */
static void explain(const TPMState *state, GError **error)
{
    g_autofree char *own = describe(TPM_INFO_OF_TARGET);

    g_autofree char *form = tpm_info_form(state->permanent.data, state->permanent.size);

    g_prefix_error(error, "the TPM's state, which %s wrote%s, was not taken by %s: ", state->writer,
                   form, own);
}

static bool try_out(LibtpmsEngine *engine, size_t buffer_size, const TPMState *state, bool *lost,
                    GError **error)
{
    stage(engine, state);
    if (!libtpms_engine_switch_on(engine, buffer_size, error)) {
        explain(state, error);
        unstage(engine);
        return false;
    }
    bool kept = libtpms_storage_keep(engine, state, lost, error);

    unstage(engine);
    libtpms_engine_tell_counter(engine);
    return kept;
}

/* The TPM that was there, as it was, with what is in the directory, which is still its own. */
static bool put_back(LibtpmsEngine *engine, size_t buffer_size, const LibtpmsState *before)
{
    TPMState state = libtpms_state_get(before);

    stage(engine, &state);
    bool back = libtpms_engine_switch_on(engine, buffer_size, NULL);

    unstage(engine);
    engine->shut_down = before->shut_down;
    return back;
}

/* It is on now with this state, of which libtpms itself knows all but this. */
static void be_loaded(LibtpmsEngine *engine, const TPMState *state)
{
    engine->shut_down = state->volatile_state.flags & FLAG_SHUT_DOWN;
    if (engine->version == TPM_VERSION_2_0) {
        /* It is none of the TPM's state, but of the one this process had before. */
        engine->locality = 4;
        TPM_IO_TpmEstablished_Reset();
    }
    engine->established = state->volatile_state.flags & FLAG_ESTABLISHED;
}

static bool replace(LibtpmsEngine *engine, size_t buffer_size, const TPMState *state, bool *lost,
                    GError **error)
{
    LibtpmsState before = { .shut_down = false };
    bool was_powered = engine->powered, was_handed_out = engine->handed_out;

    if (was_powered && !libtpms_engine_collect(engine, &before, error)) {
        libtpms_state_clear(&before);
        return false;
    }
    cut_power(engine);
    bool loaded = try_out(engine, buffer_size, state, lost, error);

    if (loaded) {
        be_loaded(engine, state);
    } else {
        cut_power(engine);
        *lost = *lost || (was_powered && !put_back(engine, buffer_size, &before));
        engine->handed_out = was_handed_out;
    }
    libtpms_state_clear(&before);
    return loaded;
}

bool libtpms_engine_load(LibtpmsEngine *engine, size_t buffer_size, const TPMState *state,
                         bool *lost, GError **error)
{
    LibtpmsStorage was = engine->storage;

    *lost = false;
    if (!state_check(engine, state, error) || !libtpms_storage_borrow(engine, error)) {
        return false;
    }
    if (!replace(engine, buffer_size, state, lost, error)) {
        libtpms_storage_give_back(engine, was);
        return false;
    }
    return true;
}
