/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `emulator` backend's two channels: at most one control message and one TPM command are
 * under way, each goes out whole in one send, and each reply is taken as it comes.
 *
 * The peer is not trusted: every size is checked against what was agreed on, bytes that nobody
 * asked for break the connection, and nothing waits.
 *
 * Sources: emulator-internal.h names the neighbours; swtpm-protocol.h the messages. That swtpm
 * answers CANCEL_TPM_CMD only after the command was measured with 0.7.1.
 */
#include "emulator-internal.h"

#include "command.h"
#include "emulator-channel.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

/* ---- the connection ---- */

void tpm_emulator_close_data(Emulator *emulator)
{
    tpm_channel_close(&emulator->data_fd);
    emulator->shaken = false;
    emulator->want_cancel = false;
    emulator->want_reset_established = false;
    emulator->want_get_established = false;
    emulator->hash = HASH_IDLE;
    emulator->hash_open = false;
    emulator->data = DATA_IDLE;
    emulator->data_deadline = 0;
    emulator->prefixed = false;
    emulator->locality = EMULATOR_NO_LOCALITY;
}

void tpm_emulator_disconnect(Emulator *emulator)
{
    tpm_emulator_close_data(emulator);
    tpm_channel_close(&emulator->control_fd);
    emulator->request = SWTPM_NONE;
    emulator->request_deadline = 0;
    emulator->reply_is_stale = false;
    tpm_emulator_drop_outgoing(emulator);
}

void tpm_emulator_watch_data(Emulator *emulator, bool watch)
{
    struct epoll_event event = { .events = watch ? EPOLLIN : 0 };

    if (emulator->data_fd >= 0 && emulator->data_watched != watch) {
        epoll_ctl(emulator->epoll_fd, EPOLL_CTL_MOD, emulator->data_fd, &event);
        emulator->data_watched = watch;
    }
}

bool tpm_emulator_wait(Emulator *emulator, gint64 deadline)
{
    struct epoll_event events[2];
    int n;

    do {
        gint64 left = MAX(deadline - g_get_monotonic_time(), 0);

        n = epoll_wait(emulator->epoll_fd, events, G_N_ELEMENTS(events),
                       (int)((left + 999) / 1000));
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

/* What was going on, for error messages. */
static const char *present_act(const Emulator *emulator)
{
    if (emulator->request) {
        return tpm_swtpm_command_name(emulator->request);
    }
    switch (emulator->data) {
    case DATA_WAITING:
    case DATA_SENT:
    case DATA_ABANDONED:
        return "a TPM command";
    case DATA_OWN:
        return emulator->shaken ? "a TPM command" : "the TPM command that asks for its version";
    case DATA_IDLE:
        break;
    }
    return "nothing";
}

/* A channel brought no bytes and never will; errno tells. */
static void channel_lost(Emulator *emulator, const char *channel)
{
    const char *words =
        errno == 0 || errno == EPIPE || errno == ECONNRESET ? NULL : g_strerror(errno);
    g_autofree char *end = tpm_swtpm_peer_describe_end(emulator->peer);
    /* During creation we do not know yet whether it is swtpm at all; nor of one that just ends. */
    bool is_strange = !emulator->backend || (end && !emulator->shaken);
    const char *rest = end ? end : is_strange && !words ? "is it swtpm?" : NULL;

    tpm_emulator_break(emulator,
                       tpm_emulator_error(emulator, is_strange ? TPM_ERROR_PROTOCOL : TPM_ERROR_IO,
                                          "%s the %s channel while %s was under way%s%s%s%s%s",
                                          words ? "lost" : "closed", channel, present_act(emulator),
                                          words ? ": " : "", words ? words : "", rest ? "; " : "",
                                          end ? "it " : "", rest ? rest : ""));
}

bool tpm_emulator_is_silent(Emulator *emulator, int fd, const char *channel)
{
    uint8_t byte;
    ssize_t got = tpm_channel_receive(fd, &byte, sizeof(byte));

    if (got < 0) {
        channel_lost(emulator, channel);
    } else if (got > 0) {
        tpm_emulator_break(emulator,
                           tpm_emulator_error(emulator, TPM_ERROR_PROTOCOL,
                                              "sent bytes on the %s channel that nobody asked for",
                                              channel));
    }
    return got == 0;
}

/* ---- the control channel ---- */

void tpm_emulator_send_message(Emulator *emulator, SwtpmCommand command, const uint8_t *message,
                               size_t size, int passed_fd)
{
    if (!tpm_emulator_is_silent(emulator, emulator->control_fd, "control")) {
        return;
    }
    emulator->request = command;
    emulator->request_deadline = 0;
    emulator->reply_is_stale = false;
    emulator->reply_size = 0;
    emulator->reply_headed = false;
    emulator->reply_left = 0;
    if (!tpm_channel_send(emulator->control_fd, message, size, passed_fd)) {
        channel_lost(emulator, "control");
    }
}

void tpm_emulator_request(Emulator *emulator, SwtpmCommand command, uint32_t argument,
                          int passed_fd)
{
    uint8_t message[SWTPM_MESSAGE_MAX];
    size_t size = tpm_swtpm_message(command, argument, message);

    tpm_emulator_send_message(emulator, command, message, size, passed_fd);
}

/* A locality that cannot be had fails the command that wants it, and no other. */
static void locality_replied(Emulator *emulator, uint32_t result)
{
    if (emulator->step == STEP_SET_LOCALITY) {
        tpm_emulator_step_replied(emulator, SWTPM_SET_LOCALITY, result);
    } else if (result == 0) {
        emulator->locality = emulator->asked_locality;
    } else {
        emulator->locality = EMULATOR_NO_LOCALITY;
        if (emulator->data == DATA_WAITING &&
            emulator->command.locality == emulator->asked_locality) {
            emulator->data = DATA_IDLE;
            g_clear_error(&emulator->refusal);
            emulator->refusal = tpm_emulator_error(
                emulator, TPM_ERROR_TPM, "refused %s with result %Xh (%s)",
                tpm_swtpm_command_name(SWTPM_SET_LOCALITY), result, tpm_swtpm_result_name(result));
            emulator->news |= NEWS_COMPLETED;
        }
    }
}

/* An error reads as "not set": a TPM that does not know has seen no D-RTM sequence. */
static void established_replied(Emulator *emulator, uint32_t result)
{
    /* A hash sequence sets it of a TPM 2.0 as it begins, in the process it begins in. */
    bool came = emulator->hash == HASH_ENDED && emulator->hash_came;

    emulator->established = result == 0 && (came || emulator->reply[SWTPM_ESTABLISHED_OFFSET] != 0);
    emulator->news |= NEWS_ESTABLISHED;
    if (emulator->step == STEP_GET_ESTABLISHED) {
        tpm_emulator_step_replied(emulator, SWTPM_GET_TPMESTABLISHED, result);
    } else if (emulator->hash == HASH_ENDED) {
        emulator->hash = HASH_IDLE;
        emulator->hash_came = false;
        emulator->news |= NEWS_HASHED;
    }
}

/* ---- the hash sequence ---- */

/*
 * Send the step. swtpm waits for as many bytes as HASH_DATA announces, and hangs if there were
 * more: the number is that of the bytes sent with it.
 */
static void send_hash_step(Emulator *emulator)
{
    static const SwtpmCommand commands[] = {
        [TPM_HASH_START] = SWTPM_HASH_START,
        [TPM_HASH_DATA] = SWTPM_HASH_DATA,
        [TPM_HASH_END] = SWTPM_HASH_END,
    };
    SwtpmCommand command = commands[emulator->hash_step];
    uint8_t message[SWTPM_MESSAGE_MAX + TPM_HASH_CHUNK_MAX];
    size_t size = tpm_swtpm_message(command, (uint32_t)emulator->hash_size, message);

    if (emulator->hash_size > 0) {
        memcpy(message + size, emulator->hash_data, emulator->hash_size);
        size += emulator->hash_size;
    }
    emulator->hash = HASH_SENT;
    tpm_emulator_send_message(emulator, command, message, size, -1);
}

/* Nothing but success will do: else no value of a PCR is that of the measurement. */
static void hash_replied(Emulator *emulator, SwtpmCommand request, uint32_t result)
{
    if (emulator->hash != HASH_SENT) {
        return; /* the device that sent it is gone */
    }
    if (result != 0) {
        tpm_emulator_report_failure(
            emulator, tpm_emulator_error(emulator, TPM_ERROR_TPM, "refused %s with result %Xh (%s)",
                                         tpm_swtpm_command_name(request), result,
                                         tpm_swtpm_result_name(result)));
    } else if (request == SWTPM_HASH_END) {
        emulator->hash = HASH_ENDED;
        emulator->hash_open = false;
        emulator->want_get_established = true;
        tpm_emulator_after_hash(emulator);
    } else {
        emulator->hash = HASH_IDLE;
        emulator->hash_open = true;
        emulator->news |= NEWS_HASHED;
    }
}

/* ---- the control channel's replies ---- */

/* A reply is whole; the control channel is free again. */
static void control_replied(Emulator *emulator)
{
    uint32_t result = tpm_get_be32(emulator->reply + SWTPM_RESULT_OFFSET);
    SwtpmCommand request = emulator->request;

    emulator->request = SWTPM_NONE;
    emulator->request_deadline = 0;
    if (emulator->reply_is_stale) {
        return;
    }
    switch (request) {
    case SWTPM_SET_DATAFD:
    case SWTPM_GET_CAPABILITY:
    case SWTPM_STOP:
    case SWTPM_SET_BUFFERSIZE:
    case SWTPM_INIT:
    case SWTPM_STORE_VOLATILE:
    case SWTPM_GET_STATEBLOB:
    case SWTPM_SET_STATEBLOB:
    case SWTPM_GET_INFO:
    case SWTPM_LOCK_STORAGE:
        tpm_emulator_step_replied(emulator, request, result);
        break;
    case SWTPM_SET_LOCALITY:
        locality_replied(emulator, result);
        break;
    case SWTPM_GET_TPMESTABLISHED:
        established_replied(emulator, result);
        break;
    case SWTPM_RESET_TPMESTABLISHED:
        if (emulator->step == STEP_RESET_ESTABLISHED) {
            tpm_emulator_step_replied(emulator, request, result);
            break;
        }
        emulator->want_get_established = true; /* whether it was granted shows there */
        break;
    case SWTPM_HASH_START:
    case SWTPM_HASH_DATA:
    case SWTPM_HASH_END:
        hash_replied(emulator, request, result);
        break;
    case SWTPM_CANCEL_TPM_CMD: /* the response tells what came of it */
    case SWTPM_SHUTDOWN:
    case SWTPM_NONE:
        break;
    }
}

ssize_t tpm_emulator_receive(Emulator *emulator, uint8_t *buffer, size_t size)
{
    ssize_t got = tpm_channel_receive(emulator->control_fd, buffer, size);

    if (got < 0) {
        channel_lost(emulator, "control");
    }
    return got;
}

void tpm_emulator_pump_control(Emulator *emulator)
{
    if (emulator->control_fd < 0) {
        return;
    }
    if (!emulator->request) {
        tpm_emulator_is_silent(emulator, emulator->control_fd, "control");
        return;
    }
    if (!tpm_emulator_flush(emulator)) {
        channel_lost(emulator, "control");
        return;
    }
    size_t whole = tpm_swtpm_reply_size(emulator->request);

    if (emulator->reply_size < whole) {
        ssize_t got = tpm_emulator_receive(emulator, emulator->reply + emulator->reply_size,
                                           whole - emulator->reply_size);

        if (got < 0) {
            return;
        }
        emulator->reply_size += (size_t)got;
    }
    /* An error may come without the rest. If it has one, swtpm's single write brought it along. */
    bool is_error = emulator->reply_size >= SWTPM_RESULT_SIZE &&
                    tpm_get_be32(emulator->reply + SWTPM_RESULT_OFFSET) != 0;

    if (is_error || (emulator->reply_size == whole && tpm_emulator_receive_part(emulator) &&
                     tpm_emulator_receive_info(emulator))) {
        control_replied(emulator);
        tpm_emulator_advance(emulator);
    }
}

/* ---- the data channel ---- */

bool tpm_emulator_send_command(Emulator *emulator, const uint8_t *command, size_t size,
                               EmulatorData data)
{
    if (!tpm_emulator_is_silent(emulator, emulator->data_fd, "data")) {
        return false;
    }
    emulator->data = data;
    emulator->data_deadline = 0;
    emulator->response_size = 0;
    if (!tpm_channel_send(emulator->data_fd, command, size, -1)) {
        channel_lost(emulator, "data");
        return false;
    }
    return true;
}

void tpm_emulator_send_own(Emulator *emulator, const uint8_t *command, size_t size)
{
    emulator->prefixed = false;
    emulator->own_ordinal = tpm_header_code(command);
    tpm_emulator_send_command(emulator, command, size, DATA_OWN);
}

void tpm_emulator_answer_locally(Emulator *emulator, uint32_t code)
{
    tpm_error_response(emulator->version, code, emulator->response);
    emulator->data = DATA_IDLE;
    emulator->completed_size = TPM_HEADER_SIZE;
    emulator->news |= NEWS_COMPLETED;
}

/* A response is whole. */
static void data_responded(Emulator *emulator)
{
    EmulatorData data = emulator->data;

    emulator->data = DATA_IDLE;
    emulator->data_deadline = 0;
    emulator->request_deadline = 0; /* only now swtpm looks at what may have been sent meanwhile */
    emulator->want_cancel = false;  /* too late; it must not hit the next command */
    switch (data) {
    case DATA_SENT:
        tpm_emulator_after_command(emulator);
        break;
    case DATA_OWN:
        tpm_emulator_step_responded(emulator);
        break;
    case DATA_ABANDONED:
        if (emulator->step == STEP_DRAIN) {
            emulator->shut_down = false;
            tpm_emulator_power_cycle(emulator);
        }
        break;
    case DATA_IDLE:
    case DATA_WAITING:
        break;
    }
    if (emulator->step != STEP_NONE || emulator->hash == HASH_ENDED) {
        tpm_emulator_advance(emulator);
    }
}

/* How many bytes may a response have? Before the first start nothing has been agreed on. */
static size_t response_limit(const Emulator *emulator)
{
    return emulator->data == DATA_SENT ? emulator->tpm_buffer_size : emulator->response_capacity;
}

/* More of a response is here: can it be one, and is it whole? */
static void response_grew(Emulator *emulator)
{
    if (emulator->response_size < TPM_HEADER_SIZE) {
        return;
    }
    if (emulator->prefixed && !tpm_emulator_unwrap(emulator)) {
        return;
    }
    size_t limit = response_limit(emulator);
    uint32_t whole = tpm_header_len(emulator->response);

    if (whole < TPM_HEADER_SIZE || whole > limit) {
        tpm_emulator_break(emulator,
                           tpm_emulator_error(emulator, TPM_ERROR_PROTOCOL,
                                              "sent a response whose header says %u bytes; "
                                              "it may have %u to %zu",
                                              whole, TPM_HEADER_SIZE, limit));
    } else if (emulator->response_size > whole) {
        tpm_emulator_break(
            emulator, tpm_emulator_error(emulator, TPM_ERROR_PROTOCOL,
                                         "sent more than the %u bytes of its response", whole));
    } else if (emulator->response_size == whole) {
        data_responded(emulator);
    }
}

void tpm_emulator_pump_data(Emulator *emulator)
{
    switch (emulator->data) {
    case DATA_IDLE:
    case DATA_WAITING:
        if (emulator->data_fd >= 0) {
            tpm_emulator_is_silent(emulator, emulator->data_fd, "data");
        }
        return;
    case DATA_SENT:
    case DATA_OWN:
    case DATA_ABANDONED:
        break;
    }
    /* A response that is not whole is shorter than the buffer: there is room. */
    ssize_t got = tpm_channel_receive(
        emulator->data_fd, emulator->response + emulator->response_size,
        emulator->response_capacity + EMULATOR_WRAPPER_SIZE - emulator->response_size);

    if (got < 0) {
        channel_lost(emulator, "data");
    } else if (got > 0) {
        emulator->response_size += (size_t)got;
        response_grew(emulator);
    }
}

/* ---- what to do next ---- */

/* Send the device's command, or what has to come before it. */
static void advance_command(Emulator *emulator)
{
    const TPMCommand *command = &emulator->command;

    if (emulator->request == SWTPM_CANCEL_TPM_CMD) {
        return; /* meant for the command before; it could hit this one */
    }
    if (command->size > emulator->tpm_buffer_size) {
        tpm_emulator_answer_locally(emulator, emulator->version == TPM_VERSION_1_2
                                                  ? TPM12_BAD_PARAM_SIZE
                                                  : TPM2_RC_COMMAND_SIZE);
    } else if (tpm_emulator_needs_locality(emulator)) {
        if (!emulator->request) {
            emulator->asked_locality = command->locality;
            tpm_emulator_request(emulator, SWTPM_SET_LOCALITY,
                                 SWTPM_LOCALITY_ARGUMENT(command->locality), -1);
        }
    } else {
        emulator->command_tag = tpm_header_tag(command->data);
        emulator->ordinal = tpm_header_code(command->data);
        tpm_emulator_send_at_locality(emulator);
    }
}

/* Ask for what can wait until the control channel is free. */
static void advance_wishes(Emulator *emulator)
{
    if (emulator->want_cancel) {
        emulator->want_cancel = false;
        tpm_emulator_request(emulator, SWTPM_CANCEL_TPM_CMD, 0, -1);
    } else if (emulator->want_reset_established) {
        emulator->want_reset_established = false;
        tpm_emulator_request(emulator, SWTPM_RESET_TPMESTABLISHED,
                             SWTPM_LOCALITY_ARGUMENT(emulator->reset_locality), -1);
    } else if (emulator->want_get_established) {
        emulator->want_get_established = false;
        tpm_emulator_request(emulator, SWTPM_GET_TPMESTABLISHED, 0, -1);
    } else if (emulator->hash == HASH_WAITING && !emulator->start_wanted) {
        send_hash_step(emulator);
    } else if (emulator->move.wanted) {
        tpm_emulator_get_first_part(emulator);
    }
}

void tpm_emulator_advance(Emulator *emulator)
{
    if (emulator->step != STEP_NONE) {
        if (!emulator->request && emulator->data != DATA_OWN) {
            tpm_emulator_step(emulator);
        }
        return;
    }
    if (emulator->failure) {
        return;
    }
    if (emulator->data == DATA_WAITING) {
        advance_command(emulator);
    }
    if (!emulator->request && !emulator->failure) {
        advance_wishes(emulator);
    }
}

void tpm_emulator_pump(Emulator *emulator)
{
    unsigned news = emulator->news;

    if (!emulator->lingering || emulator->data == DATA_OWN) {
        tpm_emulator_pump_data(emulator);
    }
    /* After news, the control channel can wait: if it has something it wakes the source again. */
    if (emulator->news == news) {
        tpm_emulator_pump_control(emulator);
    }
}
