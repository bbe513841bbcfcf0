/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of swtpm's TPM on its way out, and another one on its way in.
 *
 *     save    GET_INFO, where there is one, for the words that say who wrote it; GET_STATEBLOB
 *             permanent, volatile, saved: in this order, for from 0.8 on swtpm lets go of its
 *             storage's lock after the last of them
 *     resume  LOCK_STORAGE, where the lock was let go of
 *     load    STOP and the buffer's size as for a start, GET_INFO and LOCK_STORAGE where there are
 *             such, SET_STATEBLOB permanent, volatile, saved, INIT that deletes what is stored of
 *             a volatile part, and what tells whether that has stored it (emulator-stored.c)
 *
 * Until that INIT nothing has changed of what swtpm stores. So a state that is refused is no more
 * than a power cycle of the TPM that was there: its volatile state is stored before, and the way
 * back resumes it. But swtpm keeps what it took before the refusal, when it was swtpm that refused
 * and not libtpms (measured, 0.7.1), and an INIT would make a TPM of it. Therefore the connection
 * is dropped, unless there will be no other, and nothing starts then before libtpms was given a
 * state it must refuse, upon which it forgets all it was given.
 *
 * A TPM 1.2 that TPM_SaveState was the last command of is loaded in another way. Its next command
 * deletes what that has saved, which swtpm takes from the parts it is given but never stores, so
 * that this fails and the TPM is in failure mode (measured, 0.7.1). It gets no volatile part, but
 * TPM_Startup(ST_STATE) and TPM_SaveState, and is again what that keeps: its saved part is byte for
 * byte what it was, and its volatile part, with a key and a session loaded, all but the nonce and
 * the count of its ticks (measured, libtpms 0.9.2). Another command of the library's own must not
 * follow.
 *
 * A permanent part without anything in it is never sent: swtpm makes a TPM of it whose seeds are
 * the same everywhere (measured, 0.7.1, 0.10.2).
 *
 * Blobs are passed on as swtpm has them, with its flags: one that is encrypted stays so. What the
 * backend itself knows of the TPM is in the upper half of the volatile part's flags.
 *
 * Neighbours: emulator-start.c has the steps in their order; emulator-blob.c the messages.
 */
#include "emulator-internal.h"

#include "backend-internal.h"
#include "command.h"
#include "emulator-channel.h"
#include "tpm-info.h"

/* In the upper half of a volatile part's flags: what of the TPM it is, and what became of it. */
#define FLAG_USED      (1u << 16)
#define FLAG_STARTED   (1u << 17)
#define FLAG_SHUT_DOWN (1u << 18)
#define FLAG_HASH_OPEN (1u << 19)
#define FLAG_1_2       (1u << 20)
#define FLAG_2_0       (1u << 21)
#define FLAGS_OF_SWTPM 0xFFFFu
#define FLAGS_KNOWN                                                                                \
    (FLAGS_OF_SWTPM | FLAG_USED | FLAG_STARTED | FLAG_SHUT_DOWN | FLAG_HASH_OPEN | FLAG_1_2 |      \
     FLAG_2_0)

/* ---- both ---- */

void tpm_emulator_move_free(EmulatorMove *move)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(move->parts); i++) {
        move->parts[i] = tpm_secret_free(move->parts[i]);
    }
    move->info = tpm_secret_free(move->info);
    move->incoming = tpm_state_free(move->incoming);
    g_clear_pointer(&move->writer, g_free);
    g_clear_error(&move->error);
}

void tpm_emulator_move_clear(Emulator *emulator)
{
    tpm_emulator_move_free(&emulator->move);
    emulator->move = (EmulatorMove){ .kind = MOVE_NONE };
    /* What swtpm still sends of it has nowhere to go. */
    emulator->reply_is_stale |=
        emulator->request == SWTPM_GET_STATEBLOB || emulator->request == SWTPM_GET_INFO;
    emulator->news &= ~(unsigned)NEWS_MOVED;
}

/* All is as it was. Takes the error. */
static void refuse(Emulator *emulator, GError *error)
{
    g_clear_error(&emulator->move.error);
    emulator->move.error = error;
    emulator->step = STEP_NONE;
    emulator->news |= NEWS_MOVED;
}

static GError *incapable(Emulator *emulator)
{
    g_autofree char *missing = tpm_swtpm_missing_for_state(emulator->capabilities);

    return missing
               ? tpm_emulator_error(emulator, TPM_ERROR_UNSUPPORTED,
                                    "cannot save and load its TPM's state: it lacks %s", missing)
               : NULL;
}

bool tpm_emulator_can_migrate(void *self, GError **error)
{
    Emulator *emulator = self;

    g_mutex_lock(&emulator->lock);
    GError *obstacle = incapable(emulator);
    g_mutex_unlock(&emulator->lock);
    if (obstacle) {
        g_propagate_error(error, obstacle);
    }
    return !obstacle;
}

/* ---- out ---- */

void tpm_emulator_begin_save(Emulator *emulator)
{
    GError *obstacle = incapable(emulator);

    tpm_emulator_move_clear(emulator);
    emulator->move.kind = MOVE_SAVE;
    if (obstacle) {
        refuse(emulator, obstacle);
    } else {
        emulator->move.wanted = true; /* after what else is wanted of swtpm */
        tpm_emulator_advance(emulator);
    }
}

void tpm_emulator_get_first_part(Emulator *emulator)
{
    emulator->move.wanted = false;
    emulator->move.part = PART_PERMANENT;
    emulator->step = tpm_emulator_can_tell(emulator) ? STEP_GET_INFO : STEP_GET_PART;
    tpm_emulator_step(emulator);
}

static void part_missing(Emulator *emulator, uint32_t result)
{
    const char *words = result == SWTPM_RESULT_NO_SUCH_STATE
                            ? "there is none; has the file of its TPM's state been deleted?"
                            : tpm_swtpm_state_words(result);

    refuse(emulator,
           tpm_emulator_error(emulator, TPM_ERROR_TPM,
                              "did not hand out the TPM's %s state, with result %Xh (%s)",
                              tpm_emulator_part_name(emulator->move.part), result, words));
}

static void saved(Emulator *emulator)
{
    emulator->step = STEP_NONE;
    emulator->move.writer = tpm_emulator_describe(emulator);
    emulator->handed_out = true;
    emulator->lock_released = (emulator->capabilities & SWTPM_CAP_LOCK_STORAGE) != 0;
    emulator->news |= NEWS_MOVED;
}

/*
 * To hand out the volatile part, swtpm stores it and deletes what it stored, and with that the last
 * checkpoint.
 */
static void next_part(Emulator *emulator)
{
    EmulatorMove *move = &emulator->move;

    if (move->part == PART_SAVED) {
        saved(emulator);
        return;
    }
    emulator->step = move->part == PART_VOLATILE && emulator->checkpoint && emulator->used
                         ? STEP_STORE_VOLATILE
                         : STEP_GET_PART;
    move->part++;
}

/* All of a part is here. One that no swtpm would take is found out while the guest can go on. */
static void part_came(Emulator *emulator)
{
    EmulatorMove *move = &emulator->move;
    const TPMSecret *bytes = move->parts[move->part];
    TPMStateBlob part = { bytes->data, bytes->len, 0 };
    TPMError code;
    const char *trouble = part.size > 0 ? tpm_emulator_blob_trouble(&part, &code) : NULL;

    if (part.size == 0 && move->part != PART_SAVED) {
        part_missing(emulator, SWTPM_RESULT_NO_SUCH_STATE);
    } else if (trouble) {
        refuse(emulator,
               tpm_emulator_error(emulator, TPM_ERROR_PROTOCOL, "handed out a %s state that %s",
                                  tpm_emulator_part_name(move->part), trouble));
    } else {
        next_part(emulator);
    }
}

void tpm_emulator_part_replied(Emulator *emulator, uint32_t result)
{
    if (result == SWTPM_RESULT_NO_SUCH_STATE && emulator->move.part == PART_SAVED) {
        next_part(emulator);
    } else if (result != 0) {
        part_missing(emulator, result);
    } else if (tpm_emulator_part_is_whole(emulator)) {
        part_came(emulator);
    } /* else there is more of it, and the step is the same */
}

static TPMStateBlob blob(const EmulatorMove *move, unsigned part, uint32_t flags)
{
    const TPMSecret *bytes = move->parts[part];
    size_t size = bytes ? bytes->len : 0;

    return (TPMStateBlob){ size > 0 ? bytes->data : NULL, size,
                           size > 0 ? (move->flags[part] & FLAGS_OF_SWTPM) | flags : 0 };
}

TPMState tpm_emulator_get_state(const Emulator *emulator, const EmulatorMove *move)
{
    uint32_t flags = (emulator->used ? FLAG_USED : 0) | (emulator->started ? FLAG_STARTED : 0) |
                     (emulator->shut_down ? FLAG_SHUT_DOWN : 0) |
                     (emulator->hash_open ? FLAG_HASH_OPEN : 0) |
                     (emulator->version == TPM_VERSION_1_2 ? FLAG_1_2 : FLAG_2_0);

    return (TPMState){
        .size = sizeof(TPMState),
        .permanent = blob(move, PART_PERMANENT, 0),
        .volatile_state = blob(move, PART_VOLATILE, flags),
        .saved = blob(move, PART_SAVED, 0),
        .writer = move->writer,
    };
}

/* ---- the source goes on ---- */

void tpm_emulator_begin_resume(Emulator *emulator)
{
    bool locks = emulator->lock_released;

    emulator->handed_out = false;
    emulator->lock_released = false;
    if (emulator->returning) {
        emulator->retry_at = tpm_emulator_now(emulator);
    } else if (locks && !emulator->failure) {
        emulator->step = STEP_LOCK_AGAIN;
        tpm_emulator_advance(emulator);
    }
}

void tpm_emulator_lock_storage(Emulator *emulator)
{
    tpm_emulator_request(emulator, SWTPM_LOCK_STORAGE, EMULATOR_LOCK_RETRIES, -1);
}

/* ---- in ---- */

static const TPMStateBlob *incoming_part(const Emulator *emulator, unsigned part)
{
    const TPMState *state = emulator->move.incoming;
    const TPMStateBlob *const parts[] = { &state->permanent, &state->volatile_state,
                                          &state->saved };

    return parts[part];
}

static GError *wrong_part(Emulator *emulator, unsigned part, TPMError code, const char *trouble)
{
    return tpm_emulator_error(emulator, code,
                              "is not given the saved state of a TPM: its %s part %s",
                              tpm_emulator_part_name(part), trouble);
}

static GError *wrong_flags(Emulator *emulator)
{
    uint32_t flags = emulator->move.incoming->volatile_state.flags;
    bool is_1_2 = emulator->version == TPM_VERSION_1_2;

    if (flags & (is_1_2 ? FLAG_2_0 : FLAG_1_2)) {
        return tpm_emulator_error(emulator, TPM_ERROR_STATE_MISMATCH,
                                  "is a TPM %s; the saved state is that of a TPM %s",
                                  is_1_2 ? "1.2" : "2.0", is_1_2 ? "2.0" : "1.2");
    }
    if (flags & ~FLAGS_KNOWN || !(flags & (FLAG_1_2 | FLAG_2_0)) ||
        (incoming_part(emulator, PART_PERMANENT)->flags |
         incoming_part(emulator, PART_SAVED)->flags) &
            ~FLAGS_OF_SWTPM) {
        return wrong_part(
            emulator, PART_VOLATILE, TPM_ERROR_STATE_DAMAGED,
            "has flags that this library does not know; it may be that of a later one");
    }
    return NULL;
}

/* What is to be known before anything is sent. */
static GError *check_incoming(Emulator *emulator)
{
    if (incoming_part(emulator, PART_PERMANENT)->size == 0) {
        return wrong_part(emulator, PART_PERMANENT, TPM_ERROR_STATE_DAMAGED,
                          "is not there: swtpm would make a TPM whose seeds everybody knows");
    }
    if (incoming_part(emulator, PART_VOLATILE)->size == 0) {
        return wrong_part(emulator, PART_VOLATILE, TPM_ERROR_STATE_DAMAGED,
                          "is not there: the guest's TPM would lose its PCRs");
    }
    for (unsigned part = PART_PERMANENT; part <= PART_SAVED; part++) {
        const TPMStateBlob *given = incoming_part(emulator, part);
        TPMError code;
        const char *trouble = given->size > 0 ? tpm_emulator_blob_trouble(given, &code) : NULL;

        if (trouble) {
            return wrong_part(emulator, part, code, trouble);
        }
    }
    return wrong_flags(emulator);
}

bool tpm_emulator_begin_load(Emulator *emulator, const TPMState *state)
{
    tpm_emulator_move_clear(emulator);
    emulator->move.kind = MOVE_LOAD;
    emulator->move.was_powered = emulator->powered;
    emulator->move.incoming = tpm_state_copy(state);
    GError *obstacle = incapable(emulator);

    obstacle = obstacle ? obstacle : check_incoming(emulator);
    if (obstacle) {
        refuse(emulator, obstacle);
    }
    return !obstacle;
}

/* The TPM is off and has its buffer. */
void tpm_emulator_load_parts(Emulator *emulator)
{
    emulator->move.part = PART_PERMANENT;
    if (tpm_emulator_can_tell(emulator)) {
        emulator->step = STEP_GET_INFO;
    } else {
        tpm_emulator_load_described(emulator);
    }
}

void tpm_emulator_load_described(Emulator *emulator)
{
    emulator->step = emulator->capabilities & SWTPM_CAP_LOCK_STORAGE ? STEP_LOCK : STEP_SET_PART;
}

/* Is it a TPM 1.2 between TPM_SaveState and whatever comes next? */
static bool is_asleep(const Emulator *emulator)
{
    return emulator->version == TPM_VERSION_1_2 && incoming_part(emulator, PART_SAVED)->size > 0 &&
           incoming_part(emulator, PART_VOLATILE)->flags & FLAG_STARTED;
}

void tpm_emulator_set_part(Emulator *emulator)
{
    static const TPMStateBlob none = { NULL, 0, 0 }; /* nor what may be stored of another TPM */
    unsigned number = emulator->move.part;
    const TPMStateBlob *part =
        number == PART_VOLATILE && is_asleep(emulator) ? &none : incoming_part(emulator, number);

    emulator->blobs_given = true;
    tpm_emulator_request_set(emulator, SWTPM_BLOB_PERMANENT + number, part->flags & FLAGS_OF_SWTPM,
                             part->data, part->size);
}

void tpm_emulator_part_set(Emulator *emulator)
{
    EmulatorMove *move = &emulator->move;

    if (++move->part > PART_SAVED || incoming_part(emulator, move->part)->size == 0) {
        emulator->step = STEP_INIT;
    }
}

/* A volatile part in which libtpms finds nothing of its own: it drops all it was given. */
void tpm_emulator_drop_blobs(Emulator *emulator)
{
    static const uint8_t nothing[38] = { 2, 1, 0, 10, 0,  4, 0, 0, 0, 38, 0,
                                         4, 0, 0, 0,  22, 0, 1, 0, 0, 0,  16 };

    tpm_emulator_request_set(emulator, SWTPM_BLOB_VOLATILE, 0, nothing, sizeof(nothing));
}

void tpm_emulator_blobs_dropped(Emulator *emulator, uint32_t result)
{
    if (result == 0) {
        tpm_emulator_break(emulator,
                           tpm_emulator_error(emulator, TPM_ERROR_PROTOCOL,
                                              "took a state that is none, and may start a TPM that "
                                              "was refused"));
        return;
    }
    emulator->blobs_given = false;
    emulator->step = emulator->discarding ? STEP_DISCARD : STEP_GET_BUFFER_SIZE;
}

/* What its permanent part says of its form, when that is in the clear. */
static char *incoming_form(const Emulator *emulator)
{
    size_t size;
    const void *content = tpm_emulator_blob_content(incoming_part(emulator, PART_PERMANENT), &size);

    return content ? tpm_info_form(content, size) : g_strdup("");
}

void tpm_emulator_load_refused(Emulator *emulator, const char *message, uint32_t result)
{
    bool is_set = emulator->step == STEP_SET_PART;
    const char *part = is_set ? tpm_emulator_part_name(emulator->move.part) : "";
    g_autofree char *own = tpm_emulator_describe(emulator);
    g_autofree char *form = incoming_form(emulator);
    GError *error = tpm_emulator_error(
        emulator, is_set ? tpm_swtpm_state_error(result) : TPM_ERROR_TPM,
        "did not take the TPM's state, which %s wrote%s; it is %s and refused %s%s%s with "
        "result %Xh (%s)",
        emulator->move.incoming->writer, form, own, message, is_set ? " of the part " : "", part,
        result, is_set ? tpm_swtpm_state_words(result) : tpm_swtpm_result_name(result));

    tpm_emulator_load_fails(emulator, error, emulator->powered || emulator->step == STEP_INIT);
}

void tpm_emulator_load_fails(Emulator *emulator, GError *error, bool was_there)
{
    bool keeps = !tpm_swtpm_peer_comes_again(emulator->peer) && !emulator->outgoing;

    if (was_there && keeps) {
        tpm_emulator_start_over(emulator, error);
    } else if (was_there) {
        tpm_emulator_break(emulator, error); /* the way back leads to the TPM that was there */
    } else {
        if (!keeps) {
            tpm_emulator_disconnect(emulator); /* the first start connects */
        }
        emulator->goal = GOAL_STARTED;
        refuse(emulator, error);
    }
}

/* It has power, and is the TPM that it was elsewhere. */
void tpm_emulator_load_initialized(Emulator *emulator)
{
    uint32_t flags = emulator->move.incoming->volatile_state.flags;

    emulator->used = flags & FLAG_USED;
    emulator->started = flags & FLAG_STARTED;
    emulator->shut_down = flags & FLAG_SHUT_DOWN;
    emulator->hash_open = flags & FLAG_HASH_OPEN;
    emulator->hash_came = emulator->hash_open;
    emulator->spoiled = false;
    emulator->session.size = 0;
    emulator->identity.size = 0;
    emulator->step = is_asleep(emulator) ? STEP_STARTUP_STATE : STEP_GET_ESTABLISHED;
}

void tpm_emulator_send_awakening(Emulator *emulator)
{
    static const uint8_t startup[] = { 0x00, 0xC1, 0, 0, 0, 12, 0, 0, 0, 0x99, 0, 2 };
    static const uint8_t save_state[] = { 0x00, 0xC1, 0, 0, 0, 10, 0, 0, 0, 0x98 };

    if (emulator->step == STEP_STARTUP_STATE) {
        tpm_emulator_send_own(emulator, startup, sizeof(startup));
    } else {
        tpm_emulator_send_own(emulator, save_state, sizeof(save_state));
    }
}

void tpm_emulator_load_awoken(Emulator *emulator)
{
    uint32_t code = tpm_header_code(emulator->response);

    if (code != 0) {
        tpm_emulator_break(
            emulator,
            tpm_emulator_error(emulator, TPM_ERROR_TPM,
                               "cannot go on with what TPM_SaveState has saved, in a state that "
                               "%s wrote: its TPM answers %Xh with code %Xh",
                               emulator->move.incoming->writer, emulator->own_ordinal, code));
    } else if (emulator->step == STEP_STARTUP_STATE) {
        emulator->step = STEP_SAVE_STATE;
    } else {
        emulator->step = STEP_GET_ESTABLISHED;
    }
}

/*
 * A command ends an open hash sequence, unmeasured, so the TPM is asked who it is when that is
 * over.
 *
 * The flag of a TPM 2.0 is none of its state but of the process, which may have had another TPM
 * before; whoever is in front of the TPM has brought the flag along.
 */
void tpm_emulator_load_established(Emulator *emulator)
{
    if (emulator->version == TPM_VERSION_2_0 && emulator->established) {
        emulator->step = STEP_RESET_ESTABLISHED;
    } else if (emulator->started && !emulator->hash_open && !is_asleep(emulator)) {
        emulator->step = STEP_LEARN_SESSION;
    } else {
        tpm_emulator_load_learned(emulator);
    }
}

void tpm_emulator_load_reset_established(Emulator *emulator)
{
    emulator->established = false;
    emulator->news |= NEWS_ESTABLISHED;
    tpm_emulator_load_established(emulator);
}

void tpm_emulator_load_learned(Emulator *emulator)
{
    if (emulator->checkpoint && emulator->used) {
        emulator->step = STEP_STORE_VOLATILE;
    } else {
        tpm_emulator_loaded(emulator);
    }
}

void tpm_emulator_loaded(Emulator *emulator)
{
    emulator->step = STEP_NONE;
    emulator->goal = GOAL_RETURN;
    emulator->link = TPM_LINK_CONNECTED;
    g_clear_error(&emulator->failure);
    emulator->news |= NEWS_MOVED;
}
