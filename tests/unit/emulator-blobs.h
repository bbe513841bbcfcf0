/* SPDX-License-Identifier: BSD-3-Clause */
/* The words of scripts about saved state, beside those of emulator-fixture.h, and blobs for them.
 */
#ifndef EMULATOR_BLOBS_H
#define EMULATOR_BLOBS_H

#include "emulator-fixture.h"

/* ---- what swtpm hears and says ---- */

/* Blobs: a header, and in two parts one byte of data. */
#define PERM_HEAD "0201000a 0004 00000017 0004 000000"
#define PERM_TAIL "07 0001 00000001 aa"
#define PERM_BLOB PERM_HEAD PERM_TAIL
#define VOL_BLOB  "0201000a 0004 00000017 0004 00000007 0001 00000001 bb"
#define SAVE_BLOB "0201000a 0004 00000017 0004 00000007 0001 00000001 cc"

#define GET_PERM "c? 0000000c 00000000 00000001 00000000"
#define GET_VOL  "c? 0000000c 00000000 00000002 00000000"
#define GET_SAVE "c? 0000000c 00000000 00000003 00000000"
#define PERM     "c! 00000000 00000000 00000017 00000017 " PERM_BLOB
#define VOL      "c! 00000000 00000000 00000017 00000017 " VOL_BLOB
#define NO_SAVE  "c! 00000800 00000000 00000000 00000000"
#define SAVED    GET_PERM, PERM, GET_VOL, VOL, GET_SAVE, NO_SAVE

#define SET_PERM "c? 0000000d 00000000 00000001 00000017 " PERM_BLOB
#define SET_VOL  "c? 0000000d 00000000 00000002 00000017 " VOL_BLOB
#define SET_SAVE "c? 0000000d 00000000 00000003 00000017 " SAVE_BLOB
#define SIZES    STOP, OK, GET_SIZE, SIZE_4096, STOP, OK, SET_SIZE, SIZE_4096
#define SETS     SET_PERM, OK, SET_VOL, OK
#define INIT_1   "c? 00000002 00000001"
#define STORED   INIT_1, OK, GET_PERM, PERM
#define LOADED   SIZES, SETS, STORED, GET_EST, CLEAR

/* What is stored is not what was given. */
#define OTHER_PERM "c! 00000000 00000000 00000017 00000017 " PERM_HEAD "07 0001 00000001 ee"
#define NO_ROOM    "c! 00000009"

/* What libtpms must refuse, so that it drops what it was given. */
#define DROP                                                                                       \
    "c? 0000000d 00000000 00000002 00000026 0201000a 0004 00000026 0004 00000016 0001 00000010 "   \
    "00*16"
#define NO_KEY  "c! 0000000d"
#define DROPPED "c! 0000001e"
#define START_AFTER_REFUSAL                                                                        \
    STOP, OK, DROP, DROPPED, GET_SIZE, SIZE_4096, STOP, OK, SET_SIZE, SIZE_4096, INIT, OK,         \
        GET_EST, CLEAR

/* A swtpm that has LOCK_STORAGE, and sends TPM2_Shutdown by itself. */
#define SHAKE_LOCKING                                                                              \
    SET_DATAFD, OK, PROBE_2_0, FAILURE_2_0, GET_CAPS, "c! 00000000 00013fbf", GET_SIZE, SIZE_4096
#define LOCK "c? 00000013 0000012c"

#define FLAG_USED      (1u << 16)
#define FLAG_STARTED   (1u << 17)
#define FLAG_HASH_OPEN (1u << 19)
#define FLAG_2_0       (1u << 21)

static const uint8_t permanent[23] = { 2, 1, 0, 10, 0, 4, 0, 0, 0, 23, 0,   4,
                                       0, 0, 0, 7,  0, 1, 0, 0, 0, 1,  0xAA };
static const uint8_t volatile_part[23] = { 2, 1, 0, 10, 0, 4, 0, 0, 0, 23, 0,   4,
                                           0, 0, 0, 7,  0, 1, 0, 0, 0, 1,  0xBB };
static const uint8_t saved_part[23] = { 2, 1, 0, 10, 0, 4, 0, 0, 0, 23, 0,   4,
                                        0, 0, 0, 7,  0, 1, 0, 0, 0, 1,  0xCC };

/* A state whose volatile part has these flags beside that of its version. */
static inline TPMState some_state(uint32_t flags)
{
    return (TPMState){
        .size = sizeof(TPMState),
        .permanent = { permanent, sizeof(permanent), 0 },
        .volatile_state = { volatile_part, sizeof(volatile_part), FLAG_2_0 | flags },
        .writer = "swtpm of old",
    };
}

#endif /* EMULATOR_BLOBS_H */
