/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of a CRB device, shared by its four files: crb.c (registers, states and buffer),
 * crb-locality.c (which locality may use them), crb-chunk.c (commands and responses larger than the
 * buffer) and crb-state.c (how it is saved).
 */
#ifndef TPM_CRB_H
#define TPM_CRB_H

#include "crb-regs.h"
#include "device-internal.h"

/* The states of the CRB interface, as the specification's state diagram has them. */
typedef enum CRBState {
    CRB_IDLE,       /* cmdReady makes it ready */
    CRB_READY,      /* waits for a command in the buffer */
    CRB_RECEPTION,  /* the guest writes one there */
    CRB_EXECUTION,  /* the TPM has it */
    CRB_COMPLETION, /* the response is in the buffer */
} CRBState;

typedef struct CRBLocality {
    bool requested; /* waits for the device; the specification shows it to nobody */
    uint32_t sts;   /* TPM_LOC_STS */
    uint32_t int_enable;
    uint32_t int_sts;
} CRBLocality;

/* What is in the memory behind the window. */
typedef enum CRBChunkContent {
    CRB_CHUNK_NOTHING,
    CRB_CHUNK_COMMAND,  /* of which the guest has given `done` bytes */
    CRB_CHUNK_RESPONSE, /* of which the guest has been given `done` bytes */
} CRBChunkContent;

typedef struct CRBChunk {
    uint8_t *data;   /* NULL without chunks */
    size_t capacity; /* bytes of it: what the TPM and the device agree on */
    CRBChunkContent content;
    size_t size; /* bytes of the whole command or response; never above the capacity */
    size_t done;
} CRBChunk;

typedef struct CRB {
    TPMDevice *device; /* not a reference: the device owns this struct */

    /* Constant. */
    uint8_t localities; /* 1 or CRB_LOCALITIES */
    bool interrupts;
    uint64_t buffer_address; /* where the guest finds the buffer; of locality 0, unless on a page */
    size_t window;           /* bytes of it */
    uint8_t *page;           /* the buffer, where the host maps it; or NULL */

    CRBState state;
    bool idle;      /* tpmIdle: as last asked for by TPM_CRB_CTRL_REQ */
    uint8_t active; /* the locality in use, or CRB_NO_LOCALITY */
    uint8_t owner;  /* the last that had it, whose the buffer is */
    uint8_t command_locality;
    uint8_t next; /* who gets the device when the command under way has ended; or none */
    CRBLocality locality[CRB_LOCALITIES];

    uint8_t unsetting; /* whose request to reset tpmEstablished is under way, or none */

    uint8_t *buffer; /* command and response: `page`, or memory of our own */
    CRBChunk chunk;
} CRB;

/*
 * All of it that can change, and nothing that it was made with: what a reset sets it to, and what
 * is saved of it. The members are those of CRB.
 */
typedef struct CRBRegisters {
    CRBState state;
    bool idle;
    uint8_t active;
    uint8_t owner;
    uint8_t command_locality;
    uint8_t next;
    uint8_t unsetting;
    CRBLocality locality[CRB_LOCALITIES];
    const uint8_t *window; /* what is in the buffer; NULL: zeros */
    CRBChunkContent content;
    size_t chunk_size;
    size_t chunk_done;
    size_t data_size; /* bytes there are of the command or response behind the window */
    const uint8_t *data;
} CRBRegisters;

/* ---- crb-locality.c ---- */

/* The guest wrote TPM_LOC_CTRL of this locality. */
void crb_loc_ctrl_write(CRB *crb, uint8_t locality, uint32_t value);

/* What it reads from TPM_LOC_STATE, which is the same for all. */
uint32_t crb_loc_state_read(const CRB *crb);

/* The command of a locality that has lost the device has ended. */
void crb_hand_over(CRB *crb);

/* The tpmEstablished flag is known, or has changed. */
void crb_established(void *model, bool established);

/* ---- crb-chunk.c ---- */

/* Make the memory; crb_chunk_free() is harmless without. */
void crb_chunk_init(CRB *crb, size_t capacity);
void crb_chunk_free(CRB *crb);

/* Forget what it holds. */
void crb_chunk_forget(CRB *crb);

/* The window holds a piece of a command: take what the command still lacks. */
void crb_chunk_take(CRB *crb);

/* The response is there; its first piece goes to the window. */
void crb_chunk_respond(CRB *crb, const uint8_t *response, size_t size);

/* nextChunk. Was it a piece of a command? */
bool crb_chunk_next(CRB *crb);

/* crbRspRetry: the response from its beginning again. */
void crb_chunk_retry(CRB *crb);

/* ---- crb-state.c: as frontend.h has them ---- */

void crb_save(const void *model, TPMStateWriter *writer);
void *crb_parse(const void *model, TPMStateReader *reader, const TPMSavedRequest *request,
                GError **error);
void crb_restore(void *model, const void *saved);

/* ---- crb.c ---- */

/* The one way to set it, for a reset and for saved state; the line follows. */
void crb_set(CRB *crb, const CRBRegisters *registers);

/* Forget the command or response in the buffer. */
void crb_wipe(CRB *crb);

/* Something happened that this locality may have asked to be interrupted for. */
void crb_interrupt(CRB *crb, uint8_t locality, uint32_t sources);

#endif /* TPM_CRB_H */
