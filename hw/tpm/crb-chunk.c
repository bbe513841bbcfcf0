/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands and responses larger than the window of the CRB device, piece by piece (PC Client
 * Platform TPM Profile 1.07, draft: CapCRBChunk, and nextChunk and crbRspRetry of
 * TPM_CRB_CTRL_START_x). Stage 2 of 6, beside crb.c.
 *
 * Behind the window is memory for one command or response, made with the device. It holds a
 * command that is being put together, or a response that is being handed out, never both, and
 * that decides what nextChunk means: while a response is not handed out whole it is the next piece
 * of that, and at any other time a piece of a command. A guest that wants no more of a response
 * says so by cmdReady, goIdle or cancel, or starts a command.
 */
#include "command.h"
#include "crb.h"
#include "guest-memory.h"

#include <string.h>

void crb_chunk_init(CRB *crb, size_t capacity)
{
    crb->chunk.data = g_malloc(capacity);
    crb->chunk.capacity = capacity;
}

void crb_chunk_free(CRB *crb)
{
    g_free(crb->chunk.data);
}

void crb_chunk_forget(CRB *crb)
{
    crb->chunk.content = CRB_CHUNK_NOTHING;
    crb->chunk.size = 0;
    crb->chunk.done = 0;
}

/*
 * The first piece says how large the command is. What it says is believed as far as there is
 * memory; where that is too little, or less than a header, what is started has another size than
 * its header says, and is answered with an error for it.
 */
static void take_first(CRB *crb)
{
    CRBChunk *chunk = &crb->chunk;
    size_t n = MIN(crb->window, chunk->capacity);

    tpm_guest_read(chunk->data, crb->buffer, n);
    chunk->content = CRB_CHUNK_COMMAND;
    chunk->size = MIN(tpm_header_len(chunk->data), chunk->capacity);
    chunk->done = MIN(chunk->size, n);
}

void crb_chunk_take(CRB *crb)
{
    CRBChunk *chunk = &crb->chunk;

    if (chunk->content != CRB_CHUNK_COMMAND) {
        take_first(crb);
        return;
    }
    size_t n = MIN(crb->window, chunk->size - chunk->done);

    tpm_guest_read(chunk->data + chunk->done, crb->buffer, n);
    chunk->done += n;
}

/* The next piece of the response, and behind it nothing. */
static void hand_out(CRB *crb)
{
    CRBChunk *chunk = &crb->chunk;
    size_t n = MIN(crb->window, chunk->size - chunk->done);

    tpm_guest_write(crb->buffer, chunk->data + chunk->done, n);
    tpm_guest_clear(crb->buffer + n, crb->window - n);
    chunk->done += n;
}

void crb_chunk_respond(CRB *crb, const uint8_t *response, size_t size)
{
    CRBChunk *chunk = &crb->chunk;

    memcpy(chunk->data, response, size);
    chunk->content = CRB_CHUNK_RESPONSE;
    chunk->size = size;
    chunk->done = 0;
    hand_out(crb);
}

bool crb_chunk_next(CRB *crb)
{
    const CRBChunk *chunk = &crb->chunk;

    if (chunk->content == CRB_CHUNK_RESPONSE && chunk->done < chunk->size) {
        hand_out(crb);
        return false;
    }
    crb_chunk_take(crb);
    return true;
}

void crb_chunk_retry(CRB *crb)
{
    if (crb->chunk.content == CRB_CHUNK_RESPONSE) {
        crb->chunk.done = 0;
        hand_out(crb);
    }
}
