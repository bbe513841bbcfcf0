/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The blobs of a TPM's state on the `emulator` backend's control channel: GET_STATEBLOB, whose
 * reply brings one along, and SET_STATEBLOB, which takes one.
 *
 * A blob is larger than a socket's buffer. It is received as it comes, and memory is taken for what
 * is here and not for what was announced. It is sent as there is room: swtpm wants more than 4104
 * bytes of it, or all, within 500 ms, and waits for the rest without reading anything else.
 *
 * Sources: swtpm_ioctls(3); that one reply brings all the rest of a blob, so that its totlength is
 * that of the rest, was measured with 0.7.1.
 * Neighbours: emulator-io.c calls this for the channel; emulator-state.c knows what blobs are for.
 */
#include "emulator-internal.h"

#include "command.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static const char *const part_names[] = { "permanent", "volatile", "saved" };

const char *tpm_emulator_part_name(unsigned part)
{
    return part_names[part];
}

/* ---- receiving ---- */

#define CHUNK_SIZE 16384u

void tpm_emulator_request_part(Emulator *emulator)
{
    EmulatorMove *move = &emulator->move;
    const TPMSecret *blob = move->parts[move->part];
    uint8_t message[SWTPM_BLOB_MESSAGE_SIZE];

    tpm_swtpm_blob_message(SWTPM_GET_STATEBLOB, 0, SWTPM_BLOB_PERMANENT + move->part,
                           blob ? (uint32_t)blob->len : 0, message);
    tpm_emulator_send_message(emulator, SWTPM_GET_STATEBLOB, message, sizeof(message), -1);
}

static void wrong_sizes(Emulator *emulator, uint32_t total, uint32_t length)
{
    tpm_emulator_break(
        emulator, tpm_emulator_error(emulator, TPM_ERROR_PROTOCOL,
                                     "sent %u bytes of %u of the TPM's %s state; a state may "
                                     "have %u, and each message brings more of it",
                                     length, total, tpm_emulator_part_name(emulator->move.part),
                                     TPM_STATE_BLOB_SIZE_MAX));
}

/*
 * A later reply may tell the size of the whole again, or of the rest. False when it is neither, or
 * when it brings nothing of what there must be.
 */
static bool take_head(Emulator *emulator)
{
    EmulatorMove *move = &emulator->move;
    uint32_t total = tpm_get_be32(emulator->reply + SWTPM_BLOB_TOTLENGTH_OFFSET);
    uint32_t length = tpm_get_be32(emulator->reply + SWTPM_BLOB_LENGTH_OFFSET);
    TPMSecret *blob = move->parts[move->part];

    if (!blob) {
        blob = move->parts[move->part] = tpm_secret_new(0);
        move->total = total;
        move->flags[move->part] = tpm_get_be32(emulator->reply + SWTPM_BLOB_FLAGS_OFFSET);
    }
    uint32_t left = move->total - (uint32_t)blob->len;

    if (move->total > TPM_STATE_BLOB_SIZE_MAX || (total != left && total != move->total) ||
        length > left || (length == 0 && left > 0)) {
        wrong_sizes(emulator, total, length);
        return false;
    }
    emulator->reply_headed = true;
    emulator->reply_left = length;
    return true;
}

bool tpm_emulator_receive_rest(Emulator *emulator, TPMSecret *bytes)
{
    while (emulator->reply_left > 0) {
        size_t size = MIN(emulator->reply_left, CHUNK_SIZE);
        ssize_t got = tpm_emulator_receive(emulator, tpm_secret_reserve(bytes, size), size);

        if (got <= 0) {
            return false; /* none yet, or never */
        }
        bytes->len += (size_t)got;
        emulator->reply_left -= (uint32_t)got;
    }
    return true;
}

/* The next reply begins behind it. */
bool tpm_emulator_drop_rest(Emulator *emulator, size_t length_offset)
{
    if (!emulator->reply_headed) {
        uint32_t length = tpm_get_be32(emulator->reply + length_offset);

        if (length > TPM_STATE_BLOB_SIZE_MAX) {
            tpm_emulator_break(emulator,
                               tpm_emulator_error(emulator, TPM_ERROR_PROTOCOL,
                                                  "sent %u bytes in answer to %s; a message may "
                                                  "bring %u",
                                                  length, tpm_swtpm_command_name(emulator->request),
                                                  TPM_STATE_BLOB_SIZE_MAX));
            return false;
        }
        emulator->reply_headed = true;
        emulator->reply_left = length;
    }
    g_autoptr(TPMSecret) dropped = tpm_secret_new(0);

    return tpm_emulator_receive_rest(emulator, dropped);
}

bool tpm_emulator_receive_part(Emulator *emulator)
{
    EmulatorMove *move = &emulator->move;

    if (emulator->request != SWTPM_GET_STATEBLOB) {
        return true;
    }
    if (emulator->reply_is_stale) {
        return tpm_emulator_drop_rest(emulator, SWTPM_BLOB_LENGTH_OFFSET);
    }
    return (emulator->reply_headed || take_head(emulator)) &&
           tpm_emulator_receive_rest(emulator, move->parts[move->part]);
}

bool tpm_emulator_part_is_whole(const Emulator *emulator)
{
    const EmulatorMove *move = &emulator->move;

    return move->parts[move->part]->len == move->total;
}

/* ---- sending ---- */

/* Shall the source wake when there is room to send? */
static void watch_room(Emulator *emulator, bool watch)
{
    struct epoll_event event = { .events = EPOLLIN | (watch ? (uint32_t)EPOLLOUT : 0u) };

    epoll_ctl(emulator->epoll_fd, EPOLL_CTL_MOD, emulator->control_fd, &event);
}

void tpm_emulator_drop_outgoing(Emulator *emulator)
{
    emulator->outgoing = tpm_secret_free(emulator->outgoing);
    emulator->sent = 0;
}

bool tpm_emulator_flush(Emulator *emulator)
{
    const TPMSecret *frame = emulator->outgoing;

    while (frame && emulator->sent < frame->len) {
        ssize_t sent = send(emulator->control_fd, frame->data + emulator->sent,
                            frame->len - emulator->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent >= 0) {
            emulator->sent += (size_t)sent;
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return true;
        } else if (errno != EINTR) {
            return false;
        }
    }
    if (frame) {
        tpm_emulator_drop_outgoing(emulator);
        watch_room(emulator, false);
    }
    return true;
}

void tpm_emulator_request_set(Emulator *emulator, uint32_t type, uint32_t flags, const void *blob,
                              size_t size)
{
    uint8_t message[SWTPM_BLOB_MESSAGE_SIZE];

    if (!tpm_emulator_is_silent(emulator, emulator->control_fd, "control")) {
        return;
    }
    tpm_swtpm_blob_message(SWTPM_SET_STATEBLOB, flags, type, (uint32_t)size, message);
    tpm_emulator_drop_outgoing(emulator);
    emulator->outgoing = tpm_secret_new(0);
    tpm_secret_reserve(emulator->outgoing, sizeof(message) + size);
    tpm_secret_append(emulator->outgoing, message, sizeof(message));
    tpm_secret_append(emulator->outgoing, blob, size);
    emulator->request = SWTPM_SET_STATEBLOB;
    emulator->request_deadline = 0;
    emulator->reply_is_stale = false;
    emulator->reply_size = 0;
    watch_room(emulator, true);
    tpm_emulator_pump_control(emulator); /* sends, and finds out if that cannot be done */
}

/* ---- what a blob must be ---- */

#define TAG_DATA                     1u
#define TAG_ENCRYPTED_DATA           2u
#define TAG_MIGRATION_DATA           4u
#define TAG_ENCRYPTED_MIGRATION_DATA 5u
#define TLV_SIZE                     6u /* u16 tag, u32 length */

/* A piece of a blob: what follows its tag and length. */
typedef struct Piece {
    const uint8_t *bytes;
    size_t size; /* 0: there is none */
} Piece;

static bool is_content(uint16_t tag, bool outer)
{
    return outer ? tag == TAG_MIGRATION_DATA || tag == TAG_ENCRYPTED_MIGRATION_DATA
                 : tag == TAG_DATA || tag == TAG_ENCRYPTED_DATA;
}

/*
 * The one piece that is the content, among those beside it: what encryption needs. None when there
 * are two, or the pieces are not what they say, for then swtpm may see another one than this.
 */
static Piece find_content(Piece whole, bool outer, uint16_t *tag)
{
    Piece found = { NULL, 0 };

    while (whole.size >= TLV_SIZE) {
        uint16_t own_tag = tpm_get_be16(whole.bytes);
        Piece own = { whole.bytes + TLV_SIZE, tpm_get_be32(whole.bytes + 2) };

        if (own.size > whole.size - TLV_SIZE || (is_content(own_tag, outer) && found.bytes)) {
            return (Piece){ NULL, 0 };
        }
        if (is_content(own_tag, outer)) {
            found = own;
            *tag = own_tag;
        }
        whole.size -= TLV_SIZE + own.size;
        whole.bytes = own.bytes + own.size;
    }
    return whole.size == 0 ? found : (Piece){ NULL, 0 };
}

/* The innermost there is to be seen: what is encrypted shows no more than its outer part. */
static Piece innermost(const TPMStateBlob *blob, uint16_t *tag)
{
    Piece whole = { (const uint8_t *)blob->data + SWTPM_BLOB_HEADER_SIZE,
                    blob->size - SWTPM_BLOB_HEADER_SIZE };

    *tag = 0;
    Piece content = find_content(whole, true, tag);

    return *tag == TAG_MIGRATION_DATA ? find_content(content, false, tag) : content;
}

const void *tpm_emulator_blob_content(const TPMStateBlob *blob, size_t *size)
{
    uint16_t tag;
    Piece content = innermost(blob, &tag);

    *size = content.size;
    return tag == TAG_DATA ? content.bytes : NULL;
}

/*
 * One that has nothing in it swtpm takes as well as one of no bytes, and both make a TPM whose
 * seeds are the same everywhere.
 */
static bool has_content(const TPMStateBlob *blob)
{
    uint16_t tag;

    return innermost(blob, &tag).size > 0;
}

/*
 * Of a version it does not know swtpm finds nothing in a blob, and takes that for a state of no
 * bytes (measured, 0.7.1), unless the least version says that it must not.
 */
const char *tpm_emulator_blob_trouble(const TPMStateBlob *blob, TPMError *code)
{
    const uint8_t *bytes = blob->data;

    *code = TPM_ERROR_STATE_DAMAGED;
    if (blob->size < SWTPM_BLOB_HEADER_SIZE) {
        return "is cut short: it has no header";
    }
    if (bytes[SWTPM_BLOB_VERSION_OFFSET] != SWTPM_BLOB_VERSION ||
        bytes[SWTPM_BLOB_LEAST_OFFSET] > SWTPM_BLOB_VERSION) {
        *code = TPM_ERROR_UNSUPPORTED;
        return "is not of version 2 of swtpm's form, which is what this library knows; move it "
               "with a later one";
    }
    if (tpm_get_be16(bytes + SWTPM_BLOB_HEADER_SIZE_OFFSET) != SWTPM_BLOB_HEADER_SIZE) {
        return "has a header of another size than swtpm's";
    }
    if (tpm_get_be32(bytes + SWTPM_BLOB_HEADER_TOTAL) != blob->size) {
        return "has another size than its header says";
    }
    return has_content(blob) ? NULL : "has nothing in it, or is damaged";
}
