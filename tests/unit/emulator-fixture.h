/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An `emulator` backend between a scripted peer and a client, and the words scripts are made of.
 *
 * For tests of the emulator; fake-swtpm.h tells how a script reads. Everything here fails the
 * test when it does not go as said.
 */
#ifndef EMULATOR_FIXTURE_H
#define EMULATOR_FIXTURE_H

#include "backend-client.h"
#include "command.h"
#include "emulator-internal.h"
#include "fake-swtpm.h"

/* Creation's deadline: long for peers that answer, short for those that are known not to. */
#define PATIENT_MS   30000u
#define IMPATIENT_MS 1000u

/* ---- what swtpm hears and says, line by line ---- */

#define PROBE_2_0   "d? 8001 0000000a 00000181"
#define PROBE_1_2   "d? 00c1 0000000a 000000f1"
#define FAILURE_2_0 "d! 8001 0000000a 00000101"
#define FAILURE_1_2 "d! 00c4 0000000a 00000009"
#define SET_DATAFD  "c? 00000010 fd"
#define GET_CAPS    "c? 00000001"
#define STOP        "c? 0000000e"
#define GET_SIZE    "c? 00000011 00000000"
#define SET_SIZE    "c? 00000011 00001000"
#define SIZE_4096   "c! 00000000 00001000 00000080 00001000"
#define INIT        "c? 00000002 00000000"
#define GET_EST     "c? 00000004"
#define SET_LOC(l)  "c? 00000005 " l "000000"
#define CANCEL      "c? 00000009"
#define OK          "c! 00000000"
#define CLEAR       "c! 00000000 00 000000"
#define CAPS(c)     "c! 00000000 0000" c

/*
 * A connection's beginning; the first one of a backend; a later one. With all capabilities but
 * STORE_VOLATILE, which asks for messages more.
 */
#define GREET(caps) SET_DATAFD, OK, PROBE_2_0, FAILURE_2_0, GET_CAPS, CAPS(caps)
#define SHAKE(caps) GREET(caps), GET_SIZE, SIZE_4096
#define START       STOP, OK, GET_SIZE, SIZE_4096, STOP, OK, SET_SIZE, SIZE_4096, INIT, OK, GET_EST, CLEAR
#define READY       SHAKE("3fbf"), START
#define READY_AGAIN GREET("3fbf"), START
#define GOODBYE     "c? 00000003", OK, "d eof", "c eof"
#define NOT_STARTED "d! 8001 0000000a 00000100"
#define SUCCESS     "d! 8001 0000000a 00000000"

/* A new data channel for a TPM that was not started, and is as it was. */
#define UNCHANGED(caps)                                                                            \
    SET_DATAFD, OK, PROBE_2_0, NOT_STARTED, GET_CAPS, CAPS(caps), GET_SIZE, SIZE_4096, GET_EST,    \
        CLEAR

/* The guest's TPM2_Startup, and what the library asks then; reset counts and ticket as given. */
#define STARTUP          "d? 8001 0000000c 00000144 0000"
#define CLOCK(counts)    "d! 8001 00000023 00000000 00*16 " counts " 01"
#define ASK_IDENTITY     "d? 8001 00000016 0000017d 0004 6964656e 000b 4000000c"
#define IDENTITY(ticket) "d! 8001 0000000e 00000000 " ticket
#define STARTED                                                                                    \
    STARTUP, SUCCESS, PROBE_2_0, CLOCK("00000001 00000000"), ASK_IDENTITY, IDENTITY("11*4")
#define SHUTDOWN_CLEAR  "d? 8001 0000000c 00000145 0000"
#define SHUTDOWN_STATE  "d? 8001 0000000c 00000145 0001"
#define ORDERLY_GOODBYE SHUTDOWN_CLEAR, SUCCESS, GOODBYE

/* The command the tests send, and its response. */
#define COMMAND      "d? 8001 0000000c 0000017b 0004"
#define RESPONSE     "d! 8001 00000010 00000000 0004 01020304"
#define AT_LOCALITY0 SET_LOC("00"), OK, COMMAND

extern const uint8_t emulator_test_command[12];
extern const uint8_t emulator_test_startup[12];

/* ---- peer, backend and client ---- */

typedef struct EmulatorTest {
    FakeSwtpm *fake;
    TPMEmulatorConfig config; /* but for its first three members, as the test set it */
    EmulatorClock clock;      /* stands still: tpm_emulator_pass() */
    TPMBackend *backend;
    BackendClient client;
    bool bound;
} EmulatorTest;

/* A backend alone; NULL with error set when the peer will not have it. */
TPMBackend *emulator_test_backend(const char *path, unsigned deadline_ms, GError **error);

/* A peer with this script, and a backend connected to it. */
void emulator_test_connect(EmulatorTest *test, const char *const *script);

/* Bind a client, on the library's I/O thread; and let go of it. */
void emulator_test_bind(EmulatorTest *test);
void emulator_test_unbind(EmulatorTest *test);

/* Connect, bind, start. */
void emulator_test_start(EmulatorTest *test, const char *const *script);

/* Let go of everything; the script must have been followed to its end. */
void emulator_test_end(EmulatorTest *test);

/* Send the command, without waiting; wait for the nth response; both. */
void emulator_test_send(EmulatorTest *test, uint8_t locality);
void emulator_test_expect(EmulatorTest *test, unsigned nth, uint32_t code);
void emulator_test_run(EmulatorTest *test, uint8_t locality, unsigned nth, uint32_t code);

/* Send TPM2_Startup, and expect the nth response to be success. */
void emulator_test_startup_tpm(EmulatorTest *test, unsigned nth);

/* Let this many milliseconds pass. */
void emulator_test_pass(EmulatorTest *test, unsigned ms);

/* The emulator's own view of things, taken in one moment; and a change to it. */
Emulator emulator_test_peek(EmulatorTest *test);
void emulator_test_disarm(EmulatorTest *test);

/* How many responses have come? */
unsigned emulator_test_completed(EmulatorTest *test);

/* text, which may be NULL, has part in it. */
void assert_contains(const char *text, const char *part);

#endif /* EMULATOR_FIXTURE_H */
