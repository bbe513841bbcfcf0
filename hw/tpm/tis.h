/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of a TIS device, shared by its four files: tis.c (registers and the five states),
 * tis-locality.c (which locality may use them), tis-drtm.c (what locality 4 has of its own) and
 * tis-state.c (how it is saved). The same registers stand behind every bus: memory (the front ends
 * in tis.c), I2C and SPI, whose front ends have a TIS and reach it by the functions at the end.
 */
#ifndef TPM_TIS_H
#define TPM_TIS_H

#include "device-internal.h"
#include "tis-regs.h"

/* The states of the FIFO interface, as the specification's state diagram has them. */
typedef enum TISState {
    TIS_IDLE,       /* no command: commandReady makes it ready */
    TIS_READY,      /* waits for the first byte of a command */
    TIS_RECEPTION,  /* takes a command in; Expect until it is whole */
    TIS_EXECUTION,  /* the TPM has the command */
    TIS_COMPLETION, /* the response can be read */
} TISState;

typedef struct TISLocality {
    TISState state;
    uint32_t access; /* as TPM_ACCESS, without the bits that are worked out when it is read */
    uint32_t sts;    /* as TPM_STS, without the burst count */
    uint32_t int_enable;
    uint32_t int_status;
} TISLocality;

typedef struct TIS {
    TPMDevice *device; /* not a reference: the device owns this struct */
    uint8_t int_vector;
    bool drtm; /* the hash sequence can be written at locality 4 */

    TISLocality locality[TIS_LOCALITIES];
    uint8_t active;           /* the locality in use, or TIS_NO_LOCALITY */
    uint8_t command_locality; /* the one that started the command under way */
    bool hashing;             /* a hash sequence is under way: locality 4 is the active one */
    bool interface_locked;    /* TPM_INTERFACE_ID's IntfSelLock, one for all localities */

    /* A change of locality that waits for the command under way, or TIS_NO_LOCALITY each. */
    uint8_t aborting; /* who loses it; the same as next when a locality aborts its own command */
    uint8_t next;     /* who gets it */

    /* Command and response share the FIFO, as all localities do. */
    size_t buffer_size; /* bytes in use, as agreed with the TPM */
    size_t offset;      /* the next byte written or read */
    uint8_t *buffer;
} TIS;

/*
 * All of it that can change, and nothing that it was made with: what a reset sets it to, and what
 * is saved of it. The members are those of TIS.
 */
typedef struct TISRegisters {
    TISLocality locality[TIS_LOCALITIES];
    uint8_t active;
    uint8_t command_locality;
    bool hashing;
    bool interface_locked;
    uint8_t aborting;
    uint8_t next;
    size_t offset;
    size_t fifo_size; /* bytes of the command or response in the FIFO */
    const uint8_t *fifo;
} TISRegisters;

/* ---- tis-locality.c ---- */

/* The guest wrote TPM_ACCESS of this locality. */
void tis_access_write(TIS *tis, uint8_t locality, uint32_t value);

/* What it reads there. */
uint32_t tis_access_read(const TIS *tis, uint8_t locality);

/* Has the TPM a command of any locality, be it one that has given up the device since? */
bool tis_is_executing(const TIS *tis);

/*
 * Stop what the active locality is doing and give the device to `next`, itself perhaps: at once,
 * or when the command under way has ended.
 */
void tis_abort(TIS *tis, uint8_t next);

/* The second half of it: nothing is executing any more. */
void tis_abort_finish(TIS *tis);

/*
 * A hash sequence begins: locality 4 has the device at once, and what another was doing is lost.
 * And it has ended.
 */
void tis_hash_seize(TIS *tis);
void tis_hash_release(TIS *tis);

/* ---- tis-drtm.c ---- */

/* A write at locality 4, `offset` being that of the register in it. */
void tis_hash_write(TIS *tis, uint32_t offset, const TPMPiece *piece, uint32_t value);

/* The TPM has answered the end of the sequence, or failed in it; `model` is a TIS. */
void tis_hashed(void *model);

/* ---- tis.c ---- */

/* Does this locality have the device? */
bool tis_is_active(const TIS *tis, uint8_t locality);

/* The locality enters a state with these bits of TPM_STS; selfTestDone and family stay. */
void tis_enter(TIS *tis, uint8_t locality, TISState state, uint32_t sts);

/* Something happened that this locality may have asked to be interrupted for. */
void tis_interrupt(TIS *tis, uint8_t locality, uint32_t sources);

/* ---- tis.c: the registers, for the front end of any bus; `model` is a TIS, see frontend.h ---- */

void *tis_new(TPMDevice *device, const TPMDeviceConfig *config);
void tis_free(void *model);
void tis_reset(void *model, size_t buffer_size);

/* The one way to set it, for a reset and for saved state; the line follows. */
void tis_set(TIS *tis, const TISRegisters *registers);

uint32_t tis_register_read(void *model, const TPMPiece *piece);
void tis_register_write(void *model, const TPMPiece *piece, uint32_t value);
void tis_done(void *model, const uint8_t *response, size_t size, bool selftest_done);
size_t tis_buffer_size(const TPMDeviceConfig *config);

/* ---- tis-state.c: as frontend.h has them, for the front end of any bus ---- */

void tis_save(const void *model, TPMStateWriter *writer);
void *tis_parse(const void *model, TPMStateReader *reader, const TPMSavedRequest *request,
                GError **error);
void tis_restore(void *model, const void *saved);

#endif /* TPM_TIS_H */
