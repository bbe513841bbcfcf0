/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The engine from the inside: what libtpms-engine.c, which holds libtpms, libtpms-state.c, which
 * moves the state of its TPM, and libtpms-storage.c, which knows whose the directory is, share.
 */
#ifndef TPM_LIBTPMS_ENGINE_PRIVATE_H
#define TPM_LIBTPMS_ENGINE_PRIVATE_H

#include "libtpms-engine.h"
#include "state-directory.h"

/* Whose the directory is; libtpms-storage.c has the table. */
typedef enum LibtpmsStorage {
    STORAGE_AWAY,      /* another's, as far as is known */
    STORAGE_OURS,      /* this TPM's, as ever when nothing moves */
    STORAGE_UNCLAIMED, /* taken, and as the one left it whose state was loaded */
    STORAGE_LET_GO,    /* another may have it, and this TPM waits */
} LibtpmsStorage;

struct LibtpmsEngine {
    TPMVersion version;
    TPMStateDirectory *directory;
    LibtpmsStorage storage;
    bool release_lock_outgoing;
    gint hurried; /* atomic: nobody waits for a lock any more */
    int null_fd;  /* where libtpms prints */
    bool powered;
    bool shut_down;        /* nothing came after the last TPM2_Shutdown */
    bool handed_out;       /* the TPM's state was saved, and it has not gone on since */
    bool established;      /* tpmEstablished came with the state; libtpms may not know of it */
    uint8_t locality;      /* of the command under way */
    GError *storage_error; /* the first since power on, or NULL */

    void (*counter_changed)(void *opaque, uint64_t counter);
    void *opaque;
    GMutex counter_lock; /* for the next one, which any thread may ask for */
    uint64_t counter;

    /* While a state is tried out libtpms finds this in place of what is in the directory. */
    bool staging;
    GBytes *staged[TPM_STATE_SAVED + 1];
};

/* Power on a TPM that is off, with the state that libtpms finds, checked before. */
bool libtpms_engine_switch_on(LibtpmsEngine *engine, size_t buffer_size, GError **error);

/* What is stored has changed: whoever keeps its counter is to hear of it. */
void libtpms_engine_tell_counter(LibtpmsEngine *engine);

/* What is stored was found: its counter can be asked for. Returns whether it is another one. */
bool libtpms_engine_note_counter(LibtpmsEngine *engine);

/* ---- libtpms-state.c ---- */

/* The state of the TPM, which is on. */
bool libtpms_engine_collect(LibtpmsEngine *engine, LibtpmsState *state, GError **error);

/*
 * Have these parts stored, `saved` being NULL for none, and nothing of an older volatile one. Sets
 * `lost` when they were stored in part and what was before could not be put back.
 */
bool libtpms_engine_commit(LibtpmsEngine *engine, GBytes *permanent, GBytes *saved, bool *lost,
                           GError **error);

/* ---- libtpms-storage.c ---- */

/* Have the directory for a TPM that is off. It may wait for another to let go of it. */
bool libtpms_storage_take(LibtpmsEngine *engine, GError **error);

/*
 * Before anything is done with the TPM: the directory is its own from now on. False: what is done
 * is not to be done, and AWAY says that another has gone on with the TPM.
 */
bool libtpms_storage_claim(LibtpmsEngine *engine, GError **error);

/*
 * Around a save: have the directory; then let go of it, if that is wanted. When the save is
 * refused, `was` being the state of before, let go again of what was taken for it.
 */
bool libtpms_storage_before_save(LibtpmsEngine *engine, GError **error);
bool libtpms_storage_let_go(LibtpmsEngine *engine, const TPMState *state, GError **error);
void libtpms_storage_after_refusal(LibtpmsEngine *engine, LibtpmsStorage was);

/*
 * Around a load: have the directory, and change nothing in it; then either give back what was
 * taken, `was` being the state of before, or keep it for this state, which is staged.
 */
bool libtpms_storage_borrow(LibtpmsEngine *engine, GError **error);
void libtpms_storage_give_back(LibtpmsEngine *engine, LibtpmsStorage was);
bool libtpms_storage_keep(LibtpmsEngine *engine, const TPMState *state, bool *lost, GError **error);

#endif /* TPM_LIBTPMS_ENGINE_PRIVATE_H */
