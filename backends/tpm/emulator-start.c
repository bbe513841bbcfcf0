/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `emulator` backend on its way to a ready TPM: connect, hand over the data channel, find out
 * what is there, and power-cycle it. One step is one message; its answer leads to the next.
 *
 * The order of the messages is QEMU's, since small stand-ins for swtpm expect just that:
 * SET_DATAFD, probe, GET_CAPABILITY, at creation SET_BUFFERSIZE(0); then at each start STOP,
 * SET_BUFFERSIZE(0), STOP, SET_BUFFERSIZE(n), INIT, GET_TPMESTABLISHED. What comes beside these is
 * for a swtpm alone that says it has more, or a TPM that has been used: TPM2_Shutdown before STOP,
 * and, where volatile state may be stored, which every INIT would resume, an INIT that deletes it.
 *
 * Sources: swtpm-protocol.h; the probes are commands any TPM of the version in question knows
 * (TPM 2.0 Part 3, TPM2_ReadClock; TPM 1.2 Part 3, TPM_GetTicks): the tag of the answer tells.
 * Neighbours: emulator-io.c sends and receives; emulator.c tells the device how it ended.
 */
#include "emulator-internal.h"

#include "command.h"
#include "emulator-channel.h"

#include <errno.h>
#include <sys/epoll.h>

static bool watch_channel(Emulator *emulator, int fd)
{
    struct epoll_event event = { .events = EPOLLIN };

    if (epoll_ctl(emulator->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) {
        tpm_emulator_break(
            emulator,
            tpm_emulator_error(emulator, TPM_ERROR_IO, "cannot be watched: %s", g_strerror(errno)));
        return false;
    }
    return true;
}

/* How soon to look again for a peer that is on its way. */
#define LOOK_AGAIN_MS 5u

/* A peer that brought no data channel is given one. */
static bool connected(Emulator *emulator)
{
    emulator->brought_data = emulator->data_fd >= 0;
    emulator->data_watched = emulator->brought_data;
    emulator->step = emulator->brought_data ? STEP_PROBE_2_0 : STEP_SET_DATAFD;
    return watch_channel(emulator, emulator->control_fd) &&
           (!emulator->brought_data || watch_channel(emulator, emulator->data_fd));
}

bool tpm_emulator_connect(Emulator *emulator)
{
    GError *error = NULL;

    emulator->kept_control = false;
    emulator->retry_at = EMULATOR_NEVER;
    switch (
        tpm_swtpm_peer_connect(emulator->peer, &emulator->control_fd, &emulator->data_fd, &error)) {
    case SWTPM_PEER_CONNECTED:
        return connected(emulator);
    case SWTPM_PEER_PENDING:
        emulator->step = STEP_CONNECT;
        emulator->retry_at = tpm_emulator_now(emulator) + LOOK_AGAIN_MS * G_TIME_SPAN_MILLISECOND;
        return true;
    case SWTPM_PEER_FAILED:
        break;
    }
    g_prefix_error(&error, "TPM backend '%s': ", emulator->id);
    tpm_emulator_break(emulator, error);
    return false;
}

static void send_data_fd(Emulator *emulator)
{
    GError *error = NULL;
    int theirs;

    if (!tpm_channel_pair(&emulator->data_fd, &theirs, &error)) {
        g_prefix_error(&error, "TPM backend '%s': ", emulator->id);
        tpm_emulator_break(emulator, error);
        return;
    }
    if (watch_channel(emulator, emulator->data_fd)) {
        emulator->data_watched = true;
        tpm_emulator_request(emulator, SWTPM_SET_DATAFD, 0, theirs);
    }
    tpm_swtpm_peer_keep_data(emulator->peer, theirs);
}

void tpm_emulator_step(Emulator *emulator)
{
    switch (emulator->step) {
    case STEP_SET_DATAFD:
        send_data_fd(emulator);
        break;
    case STEP_PROBE_2_0:
        tpm_emulator_send_own(emulator, tpm_emulator_probe(TPM_VERSION_2_0), TPM_HEADER_SIZE);
        break;
    case STEP_PROBE_1_2:
        tpm_emulator_send_own(emulator, tpm_emulator_probe(TPM_VERSION_1_2), TPM_HEADER_SIZE);
        break;
    case STEP_GET_CAPABILITY:
        tpm_emulator_request(emulator, SWTPM_GET_CAPABILITY, 0, -1);
        break;
    case STEP_SHUTDOWN_STATE:
        tpm_emulator_send_shutdown(emulator, TPM2_SU_STATE);
        break;
    case STEP_SHUTDOWN_CLEAR:
        tpm_emulator_send_shutdown(emulator, TPM2_SU_CLEAR);
        break;
    case STEP_STOP:
    case STEP_STOP_DISCARDED:
    case STEP_STOP_AGAIN:
    case STEP_STOP_UNSTORED:
        tpm_emulator_request(emulator, SWTPM_STOP, 0, -1);
        break;
    case STEP_DROP_BLOBS:
        tpm_emulator_drop_blobs(emulator);
        break;
    case STEP_DISCARD:
        tpm_emulator_request(emulator, SWTPM_INIT, SWTPM_INIT_DELETE_VOLATILE, -1);
        break;
    case STEP_ASK_BUFFER_SIZE:
    case STEP_GET_BUFFER_SIZE:
    case STEP_CHECK_BUFFER_SIZE:
        tpm_emulator_request(emulator, SWTPM_SET_BUFFERSIZE, 0, -1);
        break;
    case STEP_SET_BUFFER_SIZE:
        tpm_emulator_request(emulator, SWTPM_SET_BUFFERSIZE, (uint32_t)emulator->tpm_buffer_size,
                             -1);
        break;
    case STEP_INIT:
        tpm_emulator_request(emulator, SWTPM_INIT,
                             emulator->goal == GOAL_LOADED ? SWTPM_INIT_DELETE_VOLATILE : 0, -1);
        break;
    case STEP_GET_ESTABLISHED:
        tpm_emulator_request(emulator, SWTPM_GET_TPMESTABLISHED, 0, -1);
        break;
    case STEP_SET_LOCALITY:
        tpm_emulator_request(emulator, SWTPM_SET_LOCALITY, SWTPM_LOCALITY_ARGUMENT(0), -1);
        break;
    case STEP_RESTORE:
        tpm_emulator_restore_step(emulator);
        break;
    case STEP_LEARN_SESSION:
        tpm_emulator_send_own(emulator, tpm_emulator_probe(emulator->version), TPM_HEADER_SIZE);
        break;
    case STEP_LEARN_IDENTITY:
        tpm_emulator_ask_identity(emulator);
        break;
    case STEP_STARTUP_STATE:
    case STEP_SAVE_STATE:
        tpm_emulator_send_awakening(emulator);
        break;
    case STEP_RESET_ESTABLISHED:
        tpm_emulator_request(emulator, SWTPM_RESET_TPMESTABLISHED, SWTPM_LOCALITY_ARGUMENT(4), -1);
        break;
    case STEP_GET_INFO:
        tpm_emulator_request_info(emulator);
        break;
    case STEP_GET_PART:
    case STEP_CHECK_STORED:
        tpm_emulator_request_part(emulator);
        break;
    case STEP_SET_PART:
        tpm_emulator_set_part(emulator);
        break;
    case STEP_LOCK:
    case STEP_LOCK_AGAIN:
        tpm_emulator_lock_storage(emulator);
        break;
    case STEP_KEEP_VOLATILE:
    case STEP_STORE_VOLATILE:
        tpm_emulator_request(emulator, SWTPM_STORE_VOLATILE, 0, -1);
        break;
    case STEP_CONNECT: /* time leads on */
    case STEP_DRAIN:   /* the abandoned command's response leads on */
    case STEP_NONE:
        break;
    }
}

/* ---- answers ---- */

static void version_found(Emulator *emulator, TPMVersion version)
{
    if (emulator->version && emulator->version != version) {
        tpm_emulator_break(emulator,
                           tpm_emulator_error(emulator, TPM_ERROR_UNSUPPORTED,
                                              "is a TPM %s now; it was a TPM %s when the backend "
                                              "was made",
                                              version == TPM_VERSION_1_2 ? "1.2" : "2.0",
                                              version == TPM_VERSION_1_2 ? "2.0" : "1.2"));
        return;
    }
    emulator->version = version;
    emulator->probe_code = tpm_header_code(emulator->response);
    tpm_emulator_read_session(emulator, &emulator->probed);
    emulator->step = STEP_GET_CAPABILITY;
}

static void probe_responded(Emulator *emulator)
{
    uint16_t tag = tpm_header_tag(emulator->response);

    if (emulator->step == STEP_PROBE_2_0 && tag == TPM2_ST_NO_SESSIONS) {
        version_found(emulator, TPM_VERSION_2_0);
    } else if (emulator->step == STEP_PROBE_2_0) {
        emulator->step = STEP_PROBE_1_2;
    } else if (tag == TPM12_TAG_RSP) {
        version_found(emulator, TPM_VERSION_1_2);
    } else {
        tpm_emulator_break(emulator,
                           tpm_emulator_error(emulator, TPM_ERROR_PROTOCOL,
                                              "answers as no TPM does: with tag %04Xh, neither "
                                              "that of 2.0 nor of 1.2",
                                              tag));
    }
}

/* A TPM that was not started, or is in its failure mode, refuses, and nothing is lost. */
static void shutdown_responded(Emulator *emulator)
{
    if (tpm_header_code(emulator->response) == 0) {
        emulator->shut_down = true;
        emulator->step = STEP_STOP;
    } else {
        emulator->step = emulator->step == STEP_SHUTDOWN_STATE ? STEP_SHUTDOWN_CLEAR : STEP_STOP;
    }
}

void tpm_emulator_step_responded(Emulator *emulator)
{
    switch (emulator->step) {
    case STEP_PROBE_2_0:
    case STEP_PROBE_1_2:
        probe_responded(emulator);
        break;
    case STEP_SHUTDOWN_STATE:
    case STEP_SHUTDOWN_CLEAR:
        shutdown_responded(emulator);
        break;
    case STEP_RESTORE:
        tpm_emulator_restore_responded(emulator);
        break;
    case STEP_LEARN_SESSION:
    case STEP_LEARN_IDENTITY:
        tpm_emulator_after_responded(emulator);
        break;
    case STEP_STARTUP_STATE:
    case STEP_SAVE_STATE:
        tpm_emulator_load_awoken(emulator);
        break;
    case STEP_CONNECT: /* these send messages, or nothing */
    case STEP_SET_DATAFD:
    case STEP_GET_CAPABILITY:
    case STEP_ASK_BUFFER_SIZE:
    case STEP_DRAIN:
    case STEP_STOP:
    case STEP_KEEP_VOLATILE:
    case STEP_DROP_BLOBS:
    case STEP_DISCARD:
    case STEP_STOP_DISCARDED:
    case STEP_GET_BUFFER_SIZE:
    case STEP_STOP_AGAIN:
    case STEP_SET_BUFFER_SIZE:
    case STEP_GET_INFO:
    case STEP_LOCK:
    case STEP_SET_PART:
    case STEP_RESET_ESTABLISHED:
    case STEP_CHECK_STORED:
    case STEP_STOP_UNSTORED:
    case STEP_GET_PART:
    case STEP_LOCK_AGAIN:
    case STEP_INIT:
    case STEP_CHECK_BUFFER_SIZE:
    case STEP_SET_LOCALITY:
    case STEP_GET_ESTABLISHED:
    case STEP_STORE_VOLATILE:
    case STEP_NONE:
        break;
    }
}

/* The connection is good: what is it for? */
static void hands_shaken(Emulator *emulator)
{
    emulator->shaken = true;
    if (!emulator->kept_control) {
        emulator->stale_volatile = (emulator->capabilities & SWTPM_CAP_STORE_VOLATILE) != 0;
    }
    switch (emulator->goal) {
    case GOAL_MADE:
        emulator->step = STEP_ASK_BUFFER_SIZE;
        break;
    case GOAL_STARTED:
        emulator->started = emulator->probe_code == 0; /* by whomever */
        tpm_emulator_power_cycle(emulator);
        break;
    case GOAL_LOADED:
        tpm_emulator_power_cycle(emulator);
        break;
    case GOAL_RETURN:
        tpm_emulator_decide(emulator);
        break;
    }
}

static void capability_replied(Emulator *emulator)
{
    emulator->capabilities = tpm_get_be32(emulator->reply + SWTPM_CAPABILITY_OFFSET);
    uint32_t unneeded = emulator->brought_data ? SWTPM_CAP_SET_DATAFD : 0;
    g_autofree char *missing =
        tpm_swtpm_missing(emulator->capabilities | unneeded, emulator->version);

    if (missing) {
        tpm_emulator_break(
            emulator,
            tpm_emulator_error(emulator, TPM_ERROR_UNSUPPORTED, "lacks what a TPM %s needs: %s",
                               emulator->version == TPM_VERSION_1_2 ? "1.2" : "2.0", missing));
    } else if (tpm_emulator_is_silent(emulator, emulator->control_fd, "control") &&
               tpm_emulator_is_silent(emulator, emulator->data_fd, "data")) {
        hands_shaken(emulator);
    }
}

/*
 * What swtpm takes decides how much memory there is for its responses. One that does not say so
 * has what most have; the start asks again, and complains.
 */
static void buffer_size_told(Emulator *emulator, uint32_t result)
{
    size_t largest = result == 0 ? tpm_get_be32(emulator->reply + SWTPM_BUFFERSIZE_MAX_OFFSET) : 0;

    emulator->step = STEP_NONE;
    emulator->started = emulator->probe_code == 0;
    if (largest > emulator->response_capacity) {
        emulator->response_capacity = MIN(largest, TPM_BUFFER_SIZE_MAX);
        emulator->response =
            g_realloc(emulator->response, emulator->response_capacity + EMULATOR_WRAPPER_SIZE);
    }
}

static void buffer_size_found(Emulator *emulator)
{
    size_t largest = tpm_get_be32(emulator->reply + SWTPM_BUFFERSIZE_MAX_OFFSET);

    if (largest < TPM_BUFFER_SIZE_MIN) {
        tpm_emulator_break(emulator,
                           tpm_emulator_error(emulator, TPM_ERROR_PROTOCOL,
                                              "says its buffer has at most %zu bytes; it must "
                                              "have %u or more",
                                              largest, TPM_BUFFER_SIZE_MIN));
        return;
    }
    if (emulator->goal == GOAL_LOADED && largest < emulator->wanted_size) {
        tpm_emulator_break(emulator,
                           tpm_emulator_error(emulator, TPM_ERROR_STATE_MISMATCH,
                                              "has a buffer of at most %zu bytes; the guest whose "
                                              "TPM it is to be was told %zu",
                                              largest, emulator->wanted_size));
        return;
    }
    if (emulator->goal == GOAL_RETURN &&
        MIN(largest, emulator->wanted_size) != emulator->tpm_buffer_size) {
        tpm_emulator_break(emulator,
                           tpm_emulator_error(emulator, TPM_ERROR_UNSUPPORTED,
                                              "has come back with a buffer of at most %zu bytes; "
                                              "the guest was told %zu",
                                              largest, emulator->tpm_buffer_size));
        return;
    }
    emulator->tpm_buffer_size = MIN(largest, emulator->wanted_size);
    emulator->step = STEP_STOP_AGAIN;
}

static void buffer_size_set(Emulator *emulator)
{
    uint32_t size = tpm_get_be32(emulator->reply + SWTPM_BUFFERSIZE_OFFSET);

    if (size != emulator->tpm_buffer_size) {
        tpm_emulator_report_failure(
            emulator, tpm_emulator_error(emulator, TPM_ERROR_UNSUPPORTED,
                                         "made its buffer %u bytes instead of the %zu it was "
                                         "asked for",
                                         size, emulator->tpm_buffer_size));
        return;
    }
    if (emulator->goal == GOAL_LOADED) {
        tpm_emulator_load_parts(emulator);
    } else {
        emulator->step = STEP_INIT;
    }
}

/* It runs, so its buffer cannot be set; one that was not used can be power-cycled. */
static void buffer_size_checked(Emulator *emulator)
{
    uint32_t size = tpm_get_be32(emulator->reply + SWTPM_BUFFERSIZE_OFFSET);

    if (size == emulator->tpm_buffer_size) {
        tpm_emulator_check_identity(emulator, false);
    } else if (!emulator->used) {
        tpm_emulator_power_cycle(emulator);
    } else {
        tpm_emulator_break(emulator, tpm_emulator_error(emulator, TPM_ERROR_UNSUPPORTED,
                                                        "has come back with a buffer of %u bytes; "
                                                        "the guest was told %zu",
                                                        size, emulator->tpm_buffer_size));
    }
}

/* The TPM has power. */
static void initialized(Emulator *emulator)
{
    emulator->hash_open = false;
    emulator->shut_down = false;
    emulator->discarding = false;
    emulator->powered = true;
    emulator->handed_out = false;
    emulator->lock_released = false;
    emulator->blobs_given = false;
    emulator->hash_came = false;
    if (emulator->goal == GOAL_LOADED) {
        tpm_emulator_check_stored(emulator);
        return;
    }
    if (emulator->goal == GOAL_RETURN) {
        emulator->step = emulator->used ? STEP_SET_LOCALITY : STEP_GET_ESTABLISHED;
        return;
    }
    emulator->used = false;
    emulator->started = false;
    emulator->session.size = 0;
    emulator->identity.size = 0;
    emulator->step = STEP_GET_ESTABLISHED;
}

/*
 * swtpm says no. The handshake cannot go on; a TPM that does not start may do so next time. One
 * whose state cannot be stored is there all the same, and can be had when its disk is well again:
 * the way back ends with storing it.
 */
static void step_refused(Emulator *emulator, const char *message, uint32_t result)
{
    GError *error = tpm_emulator_error(emulator, TPM_ERROR_TPM, "refused %s with result %Xh (%s)",
                                       message, result, tpm_swtpm_result_name(result));

    if (!emulator->shaken) {
        error->code = TPM_ERROR_PROTOCOL;
        tpm_emulator_break(emulator, error);
    } else if (emulator->step == STEP_LOCK_AGAIN) {
        /* Another command would end it, if it is true that another host has its storage. */
        g_prefix_error(&error, "the TPM cannot go on here, where its state was saved: ");
        emulator->returning = false;
        tpm_emulator_report_failure(emulator, error);
    } else if (emulator->goal == GOAL_LOADED) {
        tpm_emulator_load_refused(emulator, message, result);
        g_error_free(error);
    } else if (emulator->step == STEP_STORE_VOLATILE) {
        tpm_emulator_break(emulator, error);
    } else {
        tpm_emulator_report_failure(emulator, error);
    }
}

/* The end of a power cycle or a return, but for what a restored TPM has to be stored of. */
static void established_known(Emulator *emulator)
{
    if (emulator->goal == GOAL_LOADED) {
        tpm_emulator_load_established(emulator);
    } else if (emulator->returning && emulator->checkpoint && emulator->used) {
        emulator->step = STEP_STORE_VOLATILE;
    } else {
        tpm_emulator_ready(emulator);
    }
}

/* What the present step asked for is in its reply. */
static void step_granted(Emulator *emulator)
{
    switch (emulator->step) {
    case STEP_SET_DATAFD:
        emulator->step = STEP_PROBE_2_0;
        break;
    case STEP_GET_CAPABILITY:
        capability_replied(emulator);
        break;
    case STEP_STOP:
        emulator->step = emulator->blobs_given  ? STEP_DROP_BLOBS
                         : emulator->discarding ? STEP_DISCARD
                                                : STEP_GET_BUFFER_SIZE;
        break;
    case STEP_KEEP_VOLATILE:
        emulator->stale_volatile = true;
        emulator->step = STEP_STOP;
        break;
    case STEP_LOCK:
        emulator->step = STEP_SET_PART;
        break;
    case STEP_SET_PART:
        tpm_emulator_part_set(emulator);
        break;
    case STEP_RESET_ESTABLISHED:
        tpm_emulator_load_reset_established(emulator);
        break;
    case STEP_LOCK_AGAIN:
        emulator->step = STEP_NONE;
        break;
    case STEP_DISCARD:
        emulator->stale_volatile = false;
        emulator->step = STEP_STOP_DISCARDED;
        break;
    case STEP_STOP_DISCARDED:
        emulator->step = STEP_GET_BUFFER_SIZE;
        break;
    case STEP_GET_BUFFER_SIZE:
        buffer_size_found(emulator);
        break;
    case STEP_STOP_AGAIN:
        emulator->step = STEP_SET_BUFFER_SIZE;
        break;
    case STEP_SET_BUFFER_SIZE:
        buffer_size_set(emulator);
        break;
    case STEP_INIT:
        initialized(emulator);
        break;
    case STEP_CHECK_BUFFER_SIZE:
        buffer_size_checked(emulator);
        break;
    case STEP_SET_LOCALITY:
        emulator->step = STEP_RESTORE;
        emulator->restore = RESTORE_STARTUP;
        emulator->capped = 0;
        break;
    case STEP_GET_ESTABLISHED:
        established_known(emulator);
        break;
    case STEP_STORE_VOLATILE:
        tpm_emulator_after_stored(emulator);
        break;
    case STEP_ASK_BUFFER_SIZE: /* any answer will do */
    case STEP_DROP_BLOBS:      /* and of these the result has been looked at */
    case STEP_GET_INFO:
    case STEP_CHECK_STORED:
    case STEP_STOP_UNSTORED:
    case STEP_GET_PART:
    case STEP_CONNECT: /* these are answered on the data channel, or not at all */
    case STEP_PROBE_2_0:
    case STEP_PROBE_1_2:
    case STEP_DRAIN:
    case STEP_SHUTDOWN_STATE:
    case STEP_SHUTDOWN_CLEAR:
    case STEP_RESTORE:
    case STEP_LEARN_SESSION:
    case STEP_LEARN_IDENTITY:
    case STEP_STARTUP_STATE:
    case STEP_SAVE_STATE:
    case STEP_NONE:
        break;
    }
}

void tpm_emulator_step_replied(Emulator *emulator, SwtpmCommand request, uint32_t result)
{
    if (emulator->step == STEP_ASK_BUFFER_SIZE) {
        buffer_size_told(emulator, result);
    } else if (emulator->step == STEP_GET_INFO) {
        tpm_emulator_info_replied(emulator, result);
    } else if (emulator->step == STEP_GET_PART) {
        tpm_emulator_part_replied(emulator, result);
    } else if (emulator->step == STEP_CHECK_STORED) {
        tpm_emulator_stored_replied(emulator, result);
    } else if (emulator->step == STEP_STOP_UNSTORED) {
        tpm_emulator_unstored_stopped(emulator);
    } else if (emulator->step == STEP_DROP_BLOBS) {
        tpm_emulator_blobs_dropped(emulator, result);
    } else if (result == 0 || emulator->step == STEP_GET_ESTABLISHED ||
               emulator->step == STEP_KEEP_VOLATILE || emulator->step == STEP_RESET_ESTABLISHED) {
        step_granted(emulator);
    } else {
        step_refused(emulator, tpm_swtpm_command_name(request), result);
    }
}

/* ---- begin ---- */

void tpm_emulator_power_cycle(Emulator *emulator)
{
    if (emulator->goal == GOAL_STARTED) {
        emulator->discarding = emulator->stale_volatile;
        emulator->step = tpm_emulator_needs_shutdown(emulator) ? STEP_SHUTDOWN_STATE : STEP_STOP;
    } else if (emulator->goal == GOAL_LOADED && emulator->powered && emulator->used &&
               emulator->capabilities & SWTPM_CAP_STORE_VOLATILE) {
        emulator->step = STEP_KEEP_VOLATILE;
    } else {
        emulator->step = STEP_STOP; /* what INIT resumes is welcome */
    }
}

/* What was under way for the device before, or on the way back, is no more. */
static void forget(Emulator *emulator)
{
    g_clear_error(&emulator->failure);
    emulator->goal = emulator->move.kind == MOVE_LOAD ? GOAL_LOADED : GOAL_STARTED;
    emulator->start_unanswered = emulator->goal == GOAL_STARTED;
    emulator->returning = false;
    emulator->retry_at = EMULATOR_NEVER;
    emulator->retry_ms = 0;
    emulator->spoiled = false;
    emulator->completing = false;
    emulator->held_size = 0;
    emulator->lingering = false;
    emulator->step = STEP_NONE;
    emulator->news &= NEWS_ESTABLISHED; /* the outcome of a move was cleared with it */
    emulator->want_cancel = false;
    emulator->want_reset_established = false;
    emulator->want_get_established = false;
    emulator->locality = EMULATOR_NO_LOCALITY;
}

/* Is the handshake of the way back under way? */
static bool is_shaking_hands(const Emulator *emulator)
{
    return emulator->returning && emulator->control_fd >= 0 && !emulator->shaken &&
           emulator->step != STEP_NONE;
}

/*
 * It leads to the power cycle now. A second connection would be one more for swtpm to get rid of,
 * and it may have no room for it. The time for a start is shorter than that for a return.
 */
static void take_over_handshake(Emulator *emulator)
{
    EmulatorStep step = emulator->step;

    forget(emulator);
    emulator->step = step;
    emulator->request_deadline = 0;
    emulator->data_deadline = 0;
}

void tpm_emulator_begin_start(Emulator *emulator)
{
    if (is_shaking_hands(emulator)) {
        take_over_handshake(emulator);
        return;
    }
    forget(emulator);
    if (emulator->control_fd >= 0 && !emulator->shaken) {
        tpm_emulator_disconnect(emulator); /* a start or a return that was left half way */
    }
    if (emulator->control_fd < 0) {
        if (!tpm_emulator_connect(emulator)) {
            return;
        }
    } else if (tpm_emulator_data_is_under_way(emulator)) {
        emulator->data = DATA_ABANDONED;
        emulator->step = STEP_DRAIN;
    } else {
        emulator->data = DATA_IDLE;
        tpm_emulator_power_cycle(emulator);
    }
    emulator->reply_is_stale = emulator->request != SWTPM_NONE;
    tpm_emulator_watch_data(emulator, true);
    tpm_emulator_advance(emulator);
}
