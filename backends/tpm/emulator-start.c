/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `emulator` backend on its way to a ready TPM: connect, hand over the data channel, find out
 * what is there, and power-cycle it. One step is one message; its answer leads to the next.
 *
 * The order of the messages is QEMU's, since small stand-ins for swtpm expect just that:
 * SET_DATAFD, probe, GET_CAPABILITY, at creation SET_BUFFERSIZE(0); then at each start STOP,
 * SET_BUFFERSIZE(0), STOP, SET_BUFFERSIZE(n), INIT, GET_TPMESTABLISHED.
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

static const uint8_t probe_2_0[] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x81 };
static const uint8_t probe_1_2[] = { 0x00, 0xC1, 0, 0, 0, 10, 0, 0, 0x00, 0xF1 };

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

bool tpm_emulator_connect(Emulator *emulator)
{
    GError *error = NULL;

    emulator->control_fd = tpm_channel_connect(emulator->path, &error);
    if (emulator->control_fd < 0) {
        g_prefix_error(&error, "TPM backend '%s': ", emulator->id);
        tpm_emulator_report_failure(emulator, error);
        return false;
    }
    emulator->step = STEP_SET_DATAFD;
    return watch_channel(emulator, emulator->control_fd);
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
    tpm_channel_close(&theirs);
}

void tpm_emulator_step(Emulator *emulator)
{
    switch (emulator->step) {
    case STEP_SET_DATAFD:
        send_data_fd(emulator);
        break;
    case STEP_PROBE_2_0:
        tpm_emulator_send_command(emulator, probe_2_0, sizeof(probe_2_0), DATA_PROBING);
        break;
    case STEP_PROBE_1_2:
        tpm_emulator_send_command(emulator, probe_1_2, sizeof(probe_1_2), DATA_PROBING);
        break;
    case STEP_GET_CAPABILITY:
        tpm_emulator_request(emulator, SWTPM_GET_CAPABILITY, 0, -1);
        break;
    case STEP_STOP:
    case STEP_STOP_AGAIN:
        tpm_emulator_request(emulator, SWTPM_STOP, 0, -1);
        break;
    case STEP_ASK_BUFFER_SIZE:
    case STEP_GET_BUFFER_SIZE:
        tpm_emulator_request(emulator, SWTPM_SET_BUFFERSIZE, 0, -1);
        break;
    case STEP_SET_BUFFER_SIZE:
        tpm_emulator_request(emulator, SWTPM_SET_BUFFERSIZE, (uint32_t)emulator->tpm_buffer_size,
                             -1);
        break;
    case STEP_INIT:
        tpm_emulator_request(emulator, SWTPM_INIT, 0, -1);
        break;
    case STEP_GET_ESTABLISHED:
        tpm_emulator_request(emulator, SWTPM_GET_TPMESTABLISHED, 0, -1);
        break;
    case STEP_DRAIN: /* the abandoned command's response leads on */
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
    emulator->step = STEP_GET_CAPABILITY;
}

void tpm_emulator_step_responded(Emulator *emulator)
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

static void capability_replied(Emulator *emulator)
{
    emulator->capabilities = tpm_get_be32(emulator->reply + SWTPM_CAPABILITY_OFFSET);
    g_autofree char *missing = tpm_swtpm_missing(emulator->capabilities, emulator->version);

    if (missing) {
        tpm_emulator_break(
            emulator,
            tpm_emulator_error(emulator, TPM_ERROR_UNSUPPORTED, "lacks what a TPM %s needs: %s",
                               emulator->version == TPM_VERSION_1_2 ? "1.2" : "2.0", missing));
    } else if (tpm_emulator_is_silent(emulator, emulator->control_fd, "control") &&
               tpm_emulator_is_silent(emulator, emulator->data_fd, "data")) {
        emulator->shaken = true;
        emulator->step = emulator->starting ? STEP_STOP : STEP_ASK_BUFFER_SIZE;
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
    if (largest > emulator->response_capacity) {
        emulator->response_capacity = MIN(largest, TPM_BUFFER_SIZE_MAX);
        emulator->response = g_realloc(emulator->response, emulator->response_capacity);
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
    emulator->step = STEP_INIT;
}

/* swtpm says no. The handshake cannot go on; a TPM that does not start may do so next time. */
static void step_refused(Emulator *emulator, const char *message, uint32_t result)
{
    GError *error = tpm_emulator_error(emulator, TPM_ERROR_TPM, "refused %s with result %Xh (%s)",
                                       message, result, tpm_swtpm_result_name(result));

    if (emulator->shaken) {
        tpm_emulator_report_failure(emulator, error);
    } else {
        error->code = TPM_ERROR_PROTOCOL;
        tpm_emulator_break(emulator, error);
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
        emulator->step = STEP_GET_ESTABLISHED;
        break;
    case STEP_GET_ESTABLISHED:
        emulator->step = STEP_NONE;
        emulator->news |= NEWS_STARTED;
        break;
    case STEP_ASK_BUFFER_SIZE: /* any answer will do */
    case STEP_PROBE_2_0:       /* these are answered on the data channel */
    case STEP_PROBE_1_2:
    case STEP_DRAIN:
    case STEP_NONE:
        break;
    }
}

/* The message the present step sends on the control channel. */
static SwtpmCommand step_message(EmulatorStep step)
{
    switch (step) {
    case STEP_SET_DATAFD:
        return SWTPM_SET_DATAFD;
    case STEP_GET_CAPABILITY:
        return SWTPM_GET_CAPABILITY;
    case STEP_STOP:
    case STEP_STOP_AGAIN:
        return SWTPM_STOP;
    case STEP_ASK_BUFFER_SIZE:
    case STEP_GET_BUFFER_SIZE:
    case STEP_SET_BUFFER_SIZE:
        return SWTPM_SET_BUFFERSIZE;
    case STEP_INIT:
        return SWTPM_INIT;
    case STEP_GET_ESTABLISHED:
        return SWTPM_GET_TPMESTABLISHED;
    case STEP_PROBE_2_0:
    case STEP_PROBE_1_2:
    case STEP_DRAIN:
    case STEP_NONE:
        break;
    }
    return SWTPM_NONE;
}

void tpm_emulator_step_replied(Emulator *emulator, uint32_t result)
{
    if (emulator->step == STEP_ASK_BUFFER_SIZE) {
        buffer_size_told(emulator, result);
    } else if (result == 0 || emulator->step == STEP_GET_ESTABLISHED) {
        step_granted(emulator);
    } else {
        step_refused(emulator, tpm_swtpm_command_name(step_message(emulator->step)), result);
    }
}

/* ---- begin ---- */

void tpm_emulator_begin_start(Emulator *emulator)
{
    g_clear_error(&emulator->failure);
    emulator->starting = true;
    emulator->lingering = false;
    emulator->step = STEP_NONE;
    emulator->news &= NEWS_ESTABLISHED;
    emulator->want_cancel = false;
    emulator->want_reset_established = false;
    emulator->want_get_established = false;
    emulator->locality = EMULATOR_NO_LOCALITY;
    if (emulator->control_fd >= 0 && !emulator->shaken) {
        tpm_emulator_disconnect(emulator); /* a start that was left half way */
    }
    if (emulator->control_fd < 0) {
        if (!tpm_emulator_connect(emulator)) {
            return;
        }
    } else if (emulator->data == DATA_SENT || emulator->data == DATA_ABANDONED) {
        emulator->data = DATA_ABANDONED;
        emulator->step = STEP_DRAIN;
    } else {
        emulator->data = DATA_IDLE;
        emulator->step = STEP_STOP;
    }
    emulator->reply_is_stale = emulator->request != SWTPM_NONE;
    tpm_emulator_watch_data(emulator, true);
    tpm_emulator_advance(emulator);
}
