/* SPDX-License-Identifier: BSD-3-Clause */
/* The `emulator` backend's commands with their locality in front, against scripted peers. */
#include "emulator-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define READY_FOR_HEADERS SHAKE("bfbf"), START
#define COMMAND_AT(l)     "d? 00000008 " l " 0000000c 8001 0000000c 0000017b 0004"
#define WRAPPED           "d! 00000010 8001 00000010 00000000 0004 01020304 00000000"

static void run_at(EmulatorTest *test, uint8_t locality, unsigned nth)
{
    static const uint8_t response[] = { 0x80, 0x01, 0, 0, 0, 16, 0, 0, 0, 0, 0, 4, 1, 2, 3, 4 };

    emulator_test_run(test, locality, nth, 0);
    assert_int_equal(test->client.response_size, sizeof(response));
    assert_memory_equal(test->client.response, response, sizeof(response));
}

static void test_a_header_goes_before_a_command_whose_locality_is_another(void **state)
{
    static const char *const script[] = {
        READY_FOR_HEADERS, COMMAND_AT("00"), WRAPPED, COMMAND, /* swtpm keeps the locality */
        RESPONSE,          COMMAND_AT("03"), WRAPPED, COMMAND,
        RESPONSE,          COMMAND_AT("00"), WRAPPED, START, /* and nobody knows what it is now */
        COMMAND_AT("00"),  WRAPPED,          GOODBYE, NULL
    };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    run_at(&test, 0, 1);
    run_at(&test, 0, 2);
    run_at(&test, 3, 3);
    run_at(&test, 3, 4);
    run_at(&test, 0, 5);
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_COMMON));
    run_at(&test, 0, 6);
    emulator_test_end(&test);
}

static void test_a_wrapped_response_may_come_in_pieces(void **state)
{
    static const char *const script[] = { READY_FOR_HEADERS,
                                          COMMAND_AT("02"),
                                          "d! 0000",
                                          "d! 0010 8001 00",
                                          "d! 000010 00000000 0004",
                                          "d! 01020304 0000",
                                          "d! 0000",
                                          COMMAND,
                                          RESPONSE,
                                          GOODBYE,
                                          NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    run_at(&test, 2, 1);
    run_at(&test, 2, 2);
    emulator_test_end(&test);
}

static void test_the_largest_response_has_room_for_its_wrapper(void **state)
{
    static const char *const script[] = { READY_FOR_HEADERS, COMMAND_AT("00"),
                                          "d! 00001000 8001 00001000 00000000 ab*4086 00000000",
                                          GOODBYE, NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_run(&test, 0, 1, 0);
    assert_int_equal(test.client.response_size, 4096);
    assert_int_equal(test.client.response[4095], 0xAB);
    emulator_test_end(&test);
}

/* Ten bytes of an error are no wrapped response; it was not carried out. */
static void test_a_peer_that_does_not_know_the_header_gets_set_locality(void **state)
{
    static const char *const script[] = { READY_FOR_HEADERS,
                                          COMMAND_AT("00"),
                                          "d! 8001 0000000a 0000001e",
                                          AT_LOCALITY0,
                                          RESPONSE,
                                          SET_LOC("03"),
                                          OK,
                                          COMMAND,
                                          RESPONSE,
                                          GOODBYE,
                                          NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    run_at(&test, 0, 1);
    run_at(&test, 3, 2);
    emulator_test_end(&test);
}

static void test_a_wrapper_that_is_none_breaks_the_connection(void **state)
{
    static const char *const bad[] = {
        "d! 00000009 8001 0000000a 00000000 00000000", /* smaller than any response */
        "d! 00001001 8001 00001001 00000000",          /* larger than the buffer */
        "d! ffffffff 8001 ffffffff 00000000",
        "d! 00000010 8001 0000000c 00000000 0004 01020304 00000000", /* two sizes */
        "d! 00000010 8001 00000010 00000000 0004 01020304 00000001", /* no zero behind it */
        "d! 00000010 8001 00000010 00000000 0004 01020304 00000000 00",
        "d! 8001 00000010 00000000 0004 01020304", /* no wrapper */
        "d! 8001 0000000a 00000000",
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        const char *script[] = { READY_FOR_HEADERS, COMMAND_AT("00"), bad[i], "c eof", NULL };
        static EmulatorTest test;

        emulator_test_start(&test, script);
        emulator_test_run(&test, 0, 1, TPM2_RC_FAILURE);
        assert_contains(test.client.response_error, "sent a response that begins with");
        emulator_test_end(&test);
    }
}

static void test_a_lingering_device_gets_it_from_poll(void **state)
{
    static const char *const script[] = { READY_FOR_HEADERS, COMMAND_AT("01"), WRAPPED, GOODBYE,
                                          NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    tpm_backend_load(test.backend, 1, emulator_test_command, sizeof(emulator_test_command));
    tpm_backend_submit(test.backend, true);
    while (emulator_test_completed(&test) == 0) {
        tpm_backend_poll(test.backend);
    }
    assert_int_equal(test.client.response_size, 16);
    assert_ptr_equal(test.client.completed_on, g_thread_self());
    emulator_test_end(&test);
}

static void test_a_tpm_1_2_has_no_header(void **state)
{
    static const char *const script[] = { SET_DATAFD, OK,          PROBE_2_0, FAILURE_1_2,
                                          PROBE_1_2,  FAILURE_1_2, GET_CAPS,  CAPS("bfbf"),
                                          GET_SIZE,   SIZE_4096,   START,     AT_LOCALITY0,
                                          RESPONSE,   GOODBYE,     NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_start(&test, script);
    emulator_test_run(&test, 0, 1, 0);
    emulator_test_end(&test);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_header_goes_before_a_command_whose_locality_is_another),
        cmocka_unit_test(test_a_wrapped_response_may_come_in_pieces),
        cmocka_unit_test(test_the_largest_response_has_room_for_its_wrapper),
        cmocka_unit_test(test_a_peer_that_does_not_know_the_header_gets_set_locality),
        cmocka_unit_test(test_a_wrapper_that_is_none_breaks_the_connection),
        cmocka_unit_test(test_a_lingering_device_gets_it_from_poll),
        cmocka_unit_test(test_a_tpm_1_2_has_no_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
