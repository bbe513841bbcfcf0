/* SPDX-License-Identifier: BSD-3-Clause */
/* A TPM whose responses depend on all that it was asked; see chain-tpm.h. */
#include "chain-tpm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void note_breach(ChainTPM *tpm, bool is_breach, const char *what)
{
    if (is_breach && !tpm->breach) {
        tpm->breach = what;
    }
}

bool chain_tpm_is_due(const ChainTPM *tpm)
{
    return tpm->starting || tpm->executing || tpm->hashing || tpm->saving || tpm->loading;
}

/* ---- the chain ---- */

static void append(ChainTPM *tpm, char what, uint8_t number, const void *data, size_t size)
{
    g_autoptr(GChecksum) sha256 = g_checksum_new(G_CHECKSUM_SHA256);
    uint8_t head[2] = { (uint8_t)what, number };
    gsize length = CHAIN_SIZE;

    g_checksum_update(sha256, tpm->chain, CHAIN_SIZE);
    g_checksum_update(sha256, head, sizeof(head));
    g_checksum_update(sha256, data, (gssize)size);
    g_checksum_get_digest(sha256, tpm->chain, &length);
}

static void respond(ChainTPM *tpm)
{
    size_t max = MIN(tpmdev_backend_get_buffer_size(tpm->backend), (size_t)TPM_BUFFER_SIZE_COMMON);
    size_t size = tpm->response_size ? tpm->response_size : TPM_HEADER_SIZE + tpm->chain[0] % 40;
    g_autofree uint8_t *response = g_malloc(max);

    size = MIN(size, max);
    tpmdev_failure_response(tpm->version, response);
    response[4] = (uint8_t)(size >> 8);
    response[5] = (uint8_t)size;
    memset(response + 6, 0, 4);
    for (size_t i = TPM_HEADER_SIZE; i < size; i++) {
        response[i] = (uint8_t)(tpm->chain[i % CHAIN_SIZE] + i);
    }
    tpmdev_backend_complete(tpm->backend, response, size);
}

/* ---- its state ---- */

static void put_le32(uint8_t *bytes, uint32_t value)
{
    value = GUINT32_TO_LE(value);
    memcpy(bytes, &value, sizeof(value));
}

static uint32_t get_le32(const uint8_t *bytes)
{
    uint32_t value;

    memcpy(&value, bytes, sizeof(value));
    return GUINT32_FROM_LE(value);
}

static void hand_out(ChainTPM *tpm)
{
    uint8_t volatile_state[9];
    TPMState state = {
        .size = sizeof(state),
        .permanent = { tpm->chain, CHAIN_SIZE, 0xC4A1u },
        .volatile_state = { volatile_state, sizeof(volatile_state), 0 },
        .writer = "chain 1",
    };

    put_le32(volatile_state, tpm->power_cycles);
    put_le32(volatile_state + 4, tpm->commands);
    volatile_state[8] = tpm->sequence;
    tpm->handed_out = true;
    tpmdev_backend_saved(tpm->backend, &state);
}

static void take_in(ChainTPM *tpm)
{
    memcpy(tpm->chain, tpm->incoming, CHAIN_SIZE);
    tpm->power_cycles = get_le32(tpm->incoming + CHAIN_SIZE);
    tpm->commands = get_le32(tpm->incoming + CHAIN_SIZE + 4);
    tpm->sequence = tpm->incoming[CHAIN_SIZE + 8];
    tpm->handed_out = false;
    tpmdev_backend_set_established(tpm->backend, false); /* of its state it is no part */
    tpmdev_backend_loaded(tpm->backend);
}

static void move(ChainTPM *tpm)
{
    bool loading = tpm->loading;
    g_autoptr(GError) error =
        g_error_new_literal(TPMDEV_ERROR, TPM_ERROR_STATE_DAMAGED, "the chain is broken");

    tpm->saving = tpm->loading = false;
    if (tpm->fails) {
        tpmdev_backend_failed(tpm->backend, error);
    } else if (tpm->refuses || (loading && !tpm->incoming_good)) {
        tpmdev_backend_refused(tpm->backend, error);
    } else if (loading) {
        take_in(tpm);
    } else {
        hand_out(tpm);
    }
}

/* ---- answers ---- */

static void start(ChainTPM *tpm)
{
    tpm->starting = false;
    tpm->sequence = false;
    tpm->power_cycles++;
    append(tpm, 'p', 0, NULL, 0);
    tpmdev_backend_started(tpm->backend);
}

static void execute(ChainTPM *tpm)
{
    tpm->executing = false;
    tpm->commands++;
    append(tpm, 'c', tpm->command.locality, tpm->command.data, tpm->command.size);
    respond(tpm);
}

static void hash(ChainTPM *tpm)
{
    tpm->hashing = false;
    tpm->sequence = tpm->step != TPM_HASH_END;
    if (tpm->step == TPM_HASH_END) {
        tpmdev_backend_set_established(tpm->backend, true);
    }
    tpmdev_backend_hashed(tpm->backend);
}

void chain_tpm_answer(ChainTPM *tpm)
{
    if (tpm->starting) {
        start(tpm);
    } else if (tpm->executing) {
        execute(tpm);
    } else if (tpm->hashing) {
        hash(tpm);
    } else if (tpm->saving || tpm->loading) {
        move(tpm);
    }
}

static void asked(ChainTPM *tpm)
{
    if (tpm->at_once) {
        chain_tpm_answer(tpm);
    }
}

/* ---- the class ---- */

static void chain_start(void *self, size_t buffer_size)
{
    ChainTPM *tpm = self;

    (void)buffer_size;
    note_breach(tpm, chain_tpm_is_due(tpm) || tpm->handed_out, "start() out of turn");
    tpm->starts++;
    tpm->starting = true;
    asked(tpm);
}

static void chain_submit(void *self, const TPMCommand *command, bool linger)
{
    ChainTPM *tpm = self;

    (void)linger; /* without linger_end() it is never asked for */
    note_breach(tpm, chain_tpm_is_due(tpm) || tpm->handed_out || tpm->sequence,
                "submit() out of turn");
    tpm->command = *command;
    tpm->executing = true;
    asked(tpm);
}

static void chain_poll(void *self)
{
    ChainTPM *tpm = self;

    if (!tpm->deaf) {
        chain_tpm_answer(tpm);
    }
}

static void chain_reset_established(void *self, uint8_t locality)
{
    ChainTPM *tpm = self;

    note_breach(tpm, chain_tpm_is_due(tpm) || tpm->handed_out, "reset_established() out of turn");
    append(tpm, 'e', locality, NULL, 0);
    tpmdev_backend_set_established(tpm->backend, false);
}

static void chain_hash(void *self, TPMHashStep step, const uint8_t *data, size_t size)
{
    ChainTPM *tpm = self;

    note_breach(tpm, chain_tpm_is_due(tpm) || tpm->handed_out, "hash() out of turn");
    note_breach(tpm, tpm->sequence == (step == TPM_HASH_START), "a step out of order");
    for (size_t i = 0; i < size; i++) {
        append(tpm, 'h', 0, data + i, 1); /* a digest does not depend on how its data is cut */
    }
    if (step != TPM_HASH_DATA) {
        append(tpm, 'H', (uint8_t)step, NULL, 0);
    }
    tpm->step = step;
    tpm->hashing = true;
    asked(tpm);
}

static void chain_save(void *self)
{
    ChainTPM *tpm = self;

    note_breach(tpm, chain_tpm_is_due(tpm), "save() out of turn");
    tpm->saves++;
    tpm->saving = true;
    asked(tpm);
}

static void chain_load(void *self, size_t buffer_size, const TPMState *state)
{
    ChainTPM *tpm = self;

    (void)buffer_size;
    note_breach(tpm, chain_tpm_is_due(tpm), "load() out of turn");
    tpm->loads++;
    tpm->incoming_good = state->permanent.size == CHAIN_SIZE && state->permanent.flags == 0xC4A1u &&
                         state->volatile_state.size == 9 && state->saved.size == 0;
    if (tpm->incoming_good) {
        memcpy(tpm->incoming, state->permanent.data, CHAIN_SIZE);
        memcpy(tpm->incoming + CHAIN_SIZE, state->volatile_state.data, 9);
    }
    tpm->loading = true;
    asked(tpm);
}

static void chain_resume(void *self)
{
    ChainTPM *tpm = self;

    note_breach(tpm, chain_tpm_is_due(tpm) || !tpm->handed_out, "resume() out of turn");
    tpm->resumes++;
    tpm->handed_out = false;
}

static void chain_destroy(void *self)
{
    ((ChainTPM *)self)->backend = NULL;
}

static const TPMBackendClass chain_class = {
    .size = sizeof(TPMBackendClass),
    .type = "chain",
    .description = "TPM whose responses depend on all that it was asked",
    .start = chain_start,
    .submit = chain_submit,
    .poll = chain_poll,
    .reset_established = chain_reset_established,
    .destroy = chain_destroy,
    .hash = chain_hash,
    .save = chain_save,
    .load = chain_load,
    .resume = chain_resume,
};

/* ---- life ---- */

ChainTPM *chain_tpm_new(TPMVersion version, size_t buffer_size, bool at_once)
{
    TPMBackendInfo info = { sizeof(info), version, buffer_size, true };
    ChainTPM *tpm = g_new0(ChainTPM, 1);
    GError *error = NULL;

    tpm->version = version;
    tpm->at_once = at_once;
    tpm->backend = tpmdev_backend_new(&chain_class, "tpm0", &info, tpm, &error);
    if (!tpm->backend) {
        fail_msg("%s", error->message);
    }
    return tpm;
}

void chain_tpm_free(ChainTPM *tpm)
{
    const char *breach = tpm->breach;

    tpmdev_backend_unref(tpm->backend);
    assert_null(tpm->backend);
    g_free(tpm);
    if (breach) {
        fail_msg("the device broke the contract of a backend: %s", breach);
    }
}
