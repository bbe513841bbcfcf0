/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What swtpm's TPM says of itself on the `emulator` backend's control channel: GET_INFO, before its
 * state goes out or another one in, for the messages that may be needed then.
 *
 * It is asked of a swtpm alone that has the message. Nothing depends on the answer: a refusal, or
 * an answer that cannot be made out, leaves words out and no more; so does no answer at all when a
 * state goes out. When one is to go in that ends the load, for the next reply, be it to the
 * SET_STATEBLOB of a permanent part, could be this one's that was late.
 *
 * An answer comes in chunks of some 3 KiB, each with the size of the whole. So many are asked for
 * as no libtpms needs.
 *
 * Sources: swtpm_ioctls(3); that totlength is that of the whole, and counts the NUL at the end, was
 * measured with 0.7.1.
 * Neighbours: emulator-state.c asks; tpm-info.c has the words.
 */
#include "emulator-internal.h"

#include "command.h"
#include "tpm-info.h"

/* Chunks, and bytes of each; libtpms 0.10 has two for all that can be asked. */
#define CHUNKS_MAX     8u
#define CHUNK_SIZE_MAX 16384u

bool tpm_emulator_can_tell(const Emulator *emulator)
{
    return emulator->capabilities & SWTPM_CAP_GET_INFO;
}

void tpm_emulator_request_info(Emulator *emulator)
{
    EmulatorMove *move = &emulator->move;
    uint8_t message[SWTPM_INFO_MESSAGE_SIZE];

    move->chunks++;
    tpm_swtpm_info_message(move->kind == MOVE_SAVE ? TPM_INFO_OF_SOURCE : TPM_INFO_OF_TARGET,
                           move->info ? (uint32_t)move->info->len : 0, message);
    tpm_emulator_send_message(emulator, SWTPM_GET_INFO, message, sizeof(message), -1);
}

/* False when the sizes cannot be: nobody knows where the next reply begins. */
static bool take_head(Emulator *emulator)
{
    EmulatorMove *move = &emulator->move;
    uint32_t total = tpm_get_be32(emulator->reply + SWTPM_INFO_TOTLENGTH_OFFSET);
    uint32_t length = tpm_get_be32(emulator->reply + SWTPM_INFO_LENGTH_OFFSET);

    if (length > total || length > CHUNK_SIZE_MAX) {
        tpm_emulator_break(emulator,
                           tpm_emulator_error(emulator, TPM_ERROR_PROTOCOL,
                                              "sent %u bytes of %u about its TPM; a message may "
                                              "have %u",
                                              length, total, CHUNK_SIZE_MAX));
        return false;
    }
    if (!move->info) {
        move->info = tpm_secret_new(0);
    }
    move->total = length > 0 ? total : (uint32_t)move->info->len;
    emulator->reply_headed = true;
    emulator->reply_left = length;
    return true;
}

bool tpm_emulator_receive_info(Emulator *emulator)
{
    if (emulator->request != SWTPM_GET_INFO) {
        return true;
    }
    if (emulator->reply_is_stale) {
        return tpm_emulator_drop_rest(emulator, SWTPM_INFO_LENGTH_OFFSET);
    }
    return (emulator->reply_headed || take_head(emulator)) &&
           tpm_emulator_receive_rest(emulator, emulator->move.info);
}

static void go_on(Emulator *emulator)
{
    if (emulator->move.kind == MOVE_SAVE) {
        emulator->step = STEP_GET_PART;
    } else {
        tpm_emulator_load_described(emulator);
    }
}

void tpm_emulator_info_replied(Emulator *emulator, uint32_t result)
{
    const EmulatorMove *move = &emulator->move;

    if (result != 0 || move->info->len >= move->total || move->chunks == CHUNKS_MAX) {
        go_on(emulator);
    } /* else there is more of it, and the step is the same */
}

bool tpm_emulator_info_is_missed(Emulator *emulator)
{
    if (emulator->step != STEP_GET_INFO || emulator->move.kind != MOVE_SAVE) {
        return false;
    }
    emulator->request = SWTPM_NONE;
    emulator->request_deadline = 0;
    go_on(emulator);
    tpm_emulator_advance(emulator);
    return true;
}

char *tpm_emulator_describe(const Emulator *emulator)
{
    const TPMSecret *info = emulator->move.info;
    g_autofree char *text = info ? g_strndup((const char *)info->data, info->len) : NULL;

    return tpm_info_words(emulator->capabilities & SWTPM_CAP_LOCK_STORAGE ? "swtpm 0.8 or later"
                                                                          : "swtpm before 0.8",
                          text);
}
