/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `emulator` backend's way back: what happens when swtpm does not answer in time, or has gone.
 *
 * The command at hand fails, and so does every other until the way back has been gone; all of that
 * is done by the source on the backend's context, one connection at a time, and only while there is
 * a device.
 *
 *   - A command had no answer: the data channel is closed and a new one handed over, which swtpm
 *     takes when that command has ended. So its answer, which may still come, can be no other's.
 *     The control channel stays; there, an answer that comes late is awaited and dropped.
 *   - A message had no answer, or a command over TCP, where no channel can be handed over: both
 *     channels are closed, and swtpm is connected to anew. One of our own is started anew.
 *   - swtpm has gone: it is connected to again and again, at first after 5 ms, and each time after
 *     twice as long, up to a second.
 *
 * When there is a connection, the probe of the handshake tells what there is. A TPM that runs, in
 * the session the guest knows, goes on as if nothing had been. Any other is power-cycled, and
 * restored if the guest had started its own.
 *
 * Sources: what swtpm does with a data channel that is closed in a command, and that it has no
 * answer for a second client, was measured with 0.7.1.
 * Neighbours: emulator-deadline.c and emulator-io.c notice; emulator-start.c goes the steps;
 * emulator-restore.c has those of a TPM that was started.
 */
#include "emulator-internal.h"

#include "backend-internal.h"
#include "command.h"
#include "emulator-channel.h"

#include <string.h>

/* The first wait before swtpm is connected to again, and the longest. */
#define RETRY_MIN_MS 5u
#define RETRY_MAX_MS 1000u

/* ---- failures ---- */

/* A hash sequence that was cut off leaves PCRs that nobody measured anything to. */
static void note_spoiled(Emulator *emulator)
{
    if (emulator->hash_open || emulator->hash != HASH_IDLE) {
        emulator->spoiled = true;
    }
}

static void end_steps(Emulator *emulator)
{
    emulator->step = STEP_NONE;
    emulator->completing = false;
    emulator->held_size = 0;
    emulator->hash = HASH_IDLE;
}

/* The device hears of it as the answer to what it waits for. Takes the error. */
static void fail(Emulator *emulator, GError *error, TPMBackendLink link)
{
    note_spoiled(emulator);
    end_steps(emulator);
    tpm_emulator_move_clear(emulator);
    if (emulator->goal == GOAL_LOADED) { /* it is not to be tried again */
        emulator->goal = emulator->powered ? GOAL_RETURN : GOAL_STARTED;
    }
    g_clear_error(&emulator->failure);
    emulator->failure = error;
    emulator->link = link;
    emulator->start_unanswered = false;
    emulator->news = (emulator->news & ~(unsigned)NEWS_RECOVERED) | NEWS_FAILED;
}

/* It goes on. The host is told when it is something that it may want to mend. Takes the error. */
static void fail_again(Emulator *emulator, GError *error, TPMBackendLink link)
{
    bool is_refusal = !g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_IO) &&
                      !g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND) &&
                      !g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_TIMED_OUT);
    bool is_new = !emulator->failure || strcmp(emulator->failure->message, error->message) != 0;

    end_steps(emulator);
    if (is_refusal) {
        emulator->retry_ms = RETRY_MAX_MS;
        if (is_new) {
            emulator->news |= NEWS_REFUSED;
        }
    }
    g_clear_error(&emulator->failure);
    emulator->failure = error;
    if (emulator->link != link) {
        emulator->link = link;
        emulator->news |= NEWS_LINK;
    }
}

static void schedule(Emulator *emulator)
{
    emulator->returning = true;
    emulator->retry_ms =
        emulator->retry_ms > 0 ? MIN(2 * emulator->retry_ms, RETRY_MAX_MS) : RETRY_MIN_MS;
    emulator->retry_at =
        tpm_emulator_now(emulator) + (gint64)emulator->retry_ms * G_TIME_SPAN_MILLISECOND;
}

/* During creation there is no way back, nor before there was a device. */
static bool can_return(const Emulator *emulator)
{
    return emulator->backend && emulator->source && !emulator->dying;
}

static void lose(Emulator *emulator, GError *error, TPMBackendLink link)
{
    if (emulator->returning) {
        fail_again(emulator, error, link);
    } else {
        emulator->retry_ms = 0;
        fail(emulator, error, link);
    }
    tpm_emulator_disconnect(emulator);
    if (can_return(emulator)) {
        schedule(emulator);
    }
}

void tpm_emulator_break(Emulator *emulator, GError *error)
{
    lose(emulator, error, TPM_LINK_GONE);
}

void tpm_emulator_report_failure(Emulator *emulator, GError *error)
{
    if (emulator->returning) {
        lose(emulator, error, TPM_LINK_GONE);
    } else {
        fail(emulator, error, TPM_LINK_GONE);
    }
}

void tpm_emulator_start_over(Emulator *emulator, GError *error)
{
    fail(emulator, error, TPM_LINK_RESYNCHRONISING);
    emulator->retry_ms = 0;
    emulator->returning = true;
    tpm_emulator_power_cycle(emulator);
}

/* ---- deadlines that have passed ---- */

void tpm_emulator_request_timed_out(Emulator *emulator, unsigned timeout_ms)
{
    if (tpm_emulator_info_is_missed(emulator)) {
        return;
    }
    lose(emulator,
         tpm_emulator_error(emulator, TPM_ERROR_TIMED_OUT, "did not answer %s within %u ms",
                            tpm_swtpm_command_name(emulator->request), timeout_ms),
         TPM_LINK_RESYNCHRONISING);
}

void tpm_emulator_data_timed_out(Emulator *emulator, unsigned timeout_ms)
{
    uint32_t ordinal = emulator->data == DATA_OWN ? emulator->own_ordinal : emulator->ordinal;
    GError *error =
        tpm_emulator_error(emulator, TPM_ERROR_TIMED_OUT,
                           "did not answer the TPM command %Xh within %u ms", ordinal, timeout_ms);

    if (emulator->returning || !can_return(emulator) ||
        !tpm_channel_is_unix(emulator->control_fd)) { /* over which no new one can be passed */
        lose(emulator, error, TPM_LINK_RESYNCHRONISING);
        return;
    }
    fail(emulator, error, TPM_LINK_RESYNCHRONISING);
    tpm_emulator_close_data(emulator);
    emulator->retry_ms = 0;
    emulator->returning = true;
    emulator->kept_control = true;
    emulator->reply_is_stale = emulator->request != SWTPM_NONE;
    emulator->step = STEP_SET_DATAFD;
    tpm_emulator_advance(emulator);
}

void tpm_emulator_retry(Emulator *emulator)
{
    if (emulator->news & NEWS_FAILED) {
        /* A device that lingers has not been told yet; it must not hear of the end before. */
        emulator->retry_at = tpm_emulator_now(emulator) + RETRY_MIN_MS * G_TIME_SPAN_MILLISECOND;
        return;
    }
    emulator->retry_at = EMULATOR_NEVER;
    if (emulator->handed_out && emulator->step != STEP_CONNECT) {
        return; /* it may be another host's by now; resume() comes back to it */
    }
    if (emulator->step != STEP_CONNECT && !emulator->returning) {
        return;
    }
    if (emulator->backend && !tpm_backend_is_bound(emulator->backend)) {
        emulator->returning = false; /* the next device's start() connects */
        emulator->step = STEP_NONE;
        return;
    }
    if (tpm_emulator_connect(emulator)) {
        tpm_emulator_advance(emulator);
    }
}

/* ---- what is there? ---- */

/* Is this the very TPM the guest had, and all that was in it? */
static bool is_unchanged(const Emulator *emulator)
{
    if (emulator->spoiled) {
        return false;
    }
    if (!emulator->used) {
        return emulator->probe_code ==
               (emulator->version == TPM_VERSION_1_2 ? TPM12_INVALID_POSTINIT : TPM2_RC_INITIALIZE);
    }
    return emulator->probe_code == 0 &&
           (tpm_emulator_same_token(&emulator->probed, &emulator->session) ||
            (emulator->kept_control && emulator->session.size == 0));
}

void tpm_emulator_decide(Emulator *emulator)
{
    emulator->discarding = false;
    if (is_unchanged(emulator)) {
        emulator->step = STEP_CHECK_BUFFER_SIZE;
    } else {
        tpm_emulator_power_cycle(emulator);
    }
}

void tpm_emulator_ready(Emulator *emulator)
{
    emulator->step = STEP_NONE;
    g_clear_error(&emulator->failure);
    emulator->news &= ~(unsigned)(NEWS_FAILED | NEWS_REFUSED);
    emulator->news |= emulator->start_unanswered ? NEWS_STARTED : NEWS_RECOVERED;
    emulator->link = TPM_LINK_CONNECTED;
    emulator->start_unanswered = false;
    emulator->returning = false;
    emulator->spoiled = false;
    emulator->retry_ms = 0;
    emulator->goal = GOAL_RETURN;
}
