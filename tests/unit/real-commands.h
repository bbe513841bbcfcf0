/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Commands for real TPMs, in hexadecimal, for tests that give one a history and then ask for it. Of
 * TPM 2.0 and 1.2 Part 3; what they have in common is that each is the same whenever it is sent.
 */
#ifndef REAL_COMMANDS_H
#define REAL_COMMANDS_H

#include <glib.h>

/* "0011 22*3" is five bytes. */
GByteArray *bytes_of_hex(const char *text);

/* ---- TPM 2.0 ---- */

#define AUTH "00000009 40000009 0000 00 0000"

#define STARTUP_2_0  "8001 0000000c 00000144 0000"
#define EXTEND_2_0   "8002 00000041 00000182 00000003 " AUTH " 00000001 000b 01*32"
#define PCRS_2_0     "8001 00000014 0000017e 00000001 000b 03 ffff00"
#define IDENTITY_2_0 "8001 00000016 0000017d 0004 6964656e 000b 4000000c"
#define CREATE_PRIMARY                                                                             \
    "8002 00000043 00000131 40000001 " AUTH " 0004 0000 0000 001a 0023 000b 00030072 0000 0006 "   \
    "0080 0043 0010 0003 0010 0000 0000 0000 00000000"
#define READ_PUBLIC     "8001 0000000e 00000173 80000000"
#define START_SESSION   "8001 0000002b 00000176 40000007 40000007 0010 22*16 0000 01 0010 000b"
#define POLICY_DIGEST   "8001 0000000e 00000189 03000000"
#define POLICY_LOCALITY "8001 0000000f 0000016f 03000000 03"
#define DEFINE_SPACE                                                                               \
    "8002 0000002d 0000012a 40000001 " AUTH " 0000 000e 01500001 000b 00060006 0000 0008"
#define NV_WRITE "8002 0000002b 00000137 40000001 01500001 " AUTH " 0008 0102030405060708 0000"
#define NV_READ  "8002 00000023 0000014e 40000001 01500001 " AUTH " 0008 0000"

/*
 * A secret sealed to PCR 3 as EXTEND_2_0 leaves it, and kept as 81000001: the policy is SHA-256 of
 * zeros, TPM2_PolicyPCR, its selection, and SHA-256 of the PCR. The next policy session unseals it.
 */
#define SECRET "6b65707420696e2074686520796561722032303236" /* kept in the year 2026 */
#define SEAL                                                                                       \
    "8002 0000006c 00000131 40000001 " AUTH " 0019 0000 0015 " SECRET                              \
    " 002e 0008 000b 00000412 0020 "                                                               \
    "8836675f2ce80067e27d17b3e3ec49a80012caffb1ed7969dd1eb3802ac9f9ca 0010 0000 0000 00000000"
#define KEEP_SEALED   "8002 00000023 00000120 40000001 80000001 " AUTH " 81000001"
#define FLUSH_SEALED  "8001 0000000e 00000165 80000001"
#define POLICY_PCR    "8001 0000001a 0000017f 03000001 0000 00000001 000b 03 080000"
#define UNSEAL        "8002 0000001b 0000015e 81000001 00000009 03000001 0000 00 0000"
#define FLUSH_SESSION "8001 0000000e 00000165 03000001"

/* PCR 3 after EXTEND_2_0: SHA-256 of 32 bytes of 00 and 32 of 01. */
#define PCR_3_2_0 "5c85955f709283ecce2b74f1b1552918819f390911816e7bb466805a38ab87f3"

/* ---- TPM 1.2 ---- */

#define STARTUP_1_2         "00c1 0000000c 00000099 0001"
#define EXTEND_1_2          "00c1 00000022 00000014 00000003 01*20"
#define PCR_1_2             "00c1 0000000e 00000015 00000003"
#define OIAP_1_2            "00c1 0000000a 0000000a"
#define LOADED_SESSIONS_1_2 "00c1 00000016 00000065 00000007 00000004 00000002"
#define SAVE_STATE_1_2      "00c1 0000000a 00000098"
#define STARTUP_STATE_1_2   "00c1 0000000c 00000099 0002"

/* PCR 3 after EXTEND_1_2: SHA-1 of 20 bytes of 00 and 20 of 01. */
#define PCR_3_1_2 "c3ad7f64b8d976aaf2b3a9c98f7ee5631cde7125"

/* Eight bytes that anybody may write and read: nobody owns it, and nvLocked is not set. */
#define NO_PCRS "0003 000000 1f 00*20"
#define DEFINE_SPACE_1_2                                                                           \
    "00c1 00000065 000000cc 0018 00011101 " NO_PCRS " " NO_PCRS                                    \
    " 0017 00000002 000000 00000008 00*20"
#define NV_WRITE_1_2 "00c1 0000001e 000000cd 00011101 00000000 00000008 0102030405060708"
#define NV_READ_1_2  "00c1 00000016 000000cf 00011101 00000000 00000008"

#endif /* REAL_COMMANDS_H */
