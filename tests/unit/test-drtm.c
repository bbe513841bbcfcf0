/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Locality 4 of a TIS device with drtm=on (hw/tpm/tis-drtm.c), before a TPM that is a fake: the
 * registers, each event in each state of a sequence, and what other localities see of it. How the
 * sequence gets to the TPM is in test-hash.c, what a real TPM makes of it in test-real-drtm.c.
 */
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define REG_HASH_END   0x020u
#define REG_HASH_DATA  0x024u
#define REG_HASH_START 0x028u

static void hash_start(TISMachine *machine)
{
    tis_write(machine, 4, REG_HASH_START, 1, 0);
}

static void hash_data(TISMachine *machine, const char *text)
{
    for (; *text; text++) {
        tis_write(machine, 4, REG_HASH_DATA, 1, (uint8_t)*text);
    }
}

static void hash_end(TISMachine *machine)
{
    tis_write(machine, 4, REG_HASH_END, 1, 0);
}

/* Has locality 4 the device? */
static bool is_hashing(TISMachine *machine)
{
    return tis_access(machine, 4) & 0x20;
}

static TISMachine *drtm_machine(TPMVersion version, FakeWhen when)
{
    TISMachine *machine = tis_machine_prepare(version, FAKE_FULL, TPM_BUFFER_SIZE_MAX);

    machine->config.drtm = true;
    machine->config.completion_window_ns = 0;
    machine->tpm->hash_when = when;
    tis_machine_plug(machine);
    return machine;
}

/* The TPM answers a step at once; or when it is told. */
static int setup(void **state)
{
    *state = drtm_machine(TPM_VERSION_2_0, FAKE_AT_ONCE);
    return 0;
}

static int setup_told(void **state)
{
    *state = drtm_machine(TPM_VERSION_2_0, FAKE_WHEN_TOLD);
    return 0;
}

static void answer_all(TISMachine *machine)
{
    while (fake_backend_is_due(machine->tpm)) {
        fake_backend_answer(machine->tpm);
    }
}

static void assert_steps(TISMachine *machine, unsigned starts, unsigned datas, unsigned ends)
{
    assert_int_equal(machine->tpm->hash_starts, starts);
    assert_int_equal(machine->tpm->hash_datas, datas);
    assert_int_equal(machine->tpm->hash_ends, ends);
}

static void assert_measured(TISMachine *machine, const char *text, unsigned measurements)
{
    assert_true(fake_backend_has_hashed(machine->tpm, text, strlen(text)));
    assert_int_equal(tis_statistics(machine).measurements, measurements);
    assert_int_equal(tis_statistics(machine).failed_measurements, 0);
    assert_false(is_hashing(machine));
}

/* ---- who gets one ---- */

static void test_without_drtm_locality_4_takes_nothing(void **state)
{
    TISMachine *machine = tis_machine_new(TPM_VERSION_2_0);

    (void)state;
    hash_start(machine);
    hash_data(machine, "abc");
    hash_end(machine);
    assert_steps(machine, 0, 0, 0);
    assert_int_equal(tis_access(machine, 4), ACCESS_IDLE);
    assert_int_equal(fake_host_guest_errors(&machine->host), 0);
    tis_machine_free(machine);
}

static void assert_refused(TISMachine *machine, TPMError code, const char *message)
{
    GError *error = NULL;

    machine->config.drtm = true;
    assert_null(tpmdev_device_new(&machine->config, machine->tpm->backend, NULL, NULL, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, (gint)code));
    assert_string_equal(error->message, message);
    g_error_free(error);
    machine->config.drtm = false;
    machine->config.interface = TPM_INTERFACE_TIS;
    tis_machine_plug(machine);
    tis_machine_free(machine);
}

static void test_drtm_before_a_tpm_that_cannot_is_refused(void **state)
{
    (void)state;
    assert_refused(tis_machine_prepare(TPM_VERSION_2_0, FAKE_BARE, TPM_BUFFER_SIZE_MAX),
                   TPM_ERROR_UNSUPPORTED,
                   "TPM backend 'fake' of type fake cannot do the D-RTM hash sequence that drtm=on "
                   "asks for; leave drtm off or give the device another TPM");
}

static void test_drtm_of_any_other_device_is_refused(void **state)
{
    static const TPMInterface others[] = { TPM_INTERFACE_CRB, TPM_INTERFACE_TIS_I2C,
                                           TPM_INTERFACE_TIS_SPI, TPM_INTERFACE_SPAPR };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(others); i++) {
        TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, TPM_BUFFER_SIZE_MAX);
        char *expected = g_strdup_printf("TPMDeviceConfig.drtm is for tpm-tis and tpm-tis-device; "
                                         "leave it unset for %s",
                                         tpmdev_device_get_models()[others[i]]);

        machine->config.interface = others[i];
        assert_refused(machine, TPM_ERROR_INVALID_OPTION, expected);
        g_free(expected);
    }
}

static void test_sysbus_device_has_the_sequence(void **state)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_1_2, FAKE_FULL, TPM_BUFFER_SIZE_MAX);

    (void)state;
    machine->config.interface = TPM_INTERFACE_TIS_SYSBUS;
    machine->config.drtm = true;
    tis_machine_plug(machine);
    hash_start(machine);
    hash_data(machine, "abc");
    hash_end(machine);
    assert_measured(machine, "abc", 1);
    tis_machine_free(machine);
}

/* ---- the registers ---- */

static void assert_all_ones(TISMachine *machine)
{
    for (uint32_t offset = REG_HASH_END; offset <= REG_HASH_START; offset += 4) {
        assert_int_equal(tis_read(machine, 4, offset, 4), 0xFFFFFFFF);
    }
}

static void test_hash_registers_read_as_all_ones(void **state)
{
    TISMachine *machine = *state;

    assert_all_ones(machine);
    hash_start(machine);
    hash_data(machine, "abcd");
    assert_all_ones(machine);
}

/* A write in a sequence that is open, and what of it is a register of the sequence's. */
static void write_anywhere(TISMachine *machine, uint32_t offset, unsigned width)
{
    bool start = offset == REG_HASH_START;
    bool end = offset == REG_HASH_END;
    bool data = offset >= REG_HASH_DATA && offset < REG_HASH_DATA + 4;
    unsigned starts = machine->tpm->hash_starts;
    unsigned ends = machine->tpm->hash_ends;
    unsigned room = tis_sts(machine, 4) >> 8 & 0xFFFF;

    tis_write(machine, 4, offset, width, 0xFFFFFFFF);
    /* Begun anew, it is one that has to be ended before. */
    assert_int_equal(machine->tpm->hash_starts, starts + start);
    assert_int_equal(machine->tpm->hash_ends, ends + (start || end));
    assert_int_equal(is_hashing(machine), !end);
    if (end) {
        hash_start(machine);
    } else if (!start) {
        assert_int_equal(tis_sts(machine, 4) >> 8 & 0xFFFF, room - (data ? width : 0));
    }
}

static void test_start_and_end_are_their_lowest_byte_alone(void **state)
{
    static const unsigned widths[] = { 1, 2, 4 };
    TISMachine *machine = *state;

    hash_start(machine);
    for (unsigned i = 0; i < G_N_ELEMENTS(widths); i++) {
        for (uint32_t offset = 0; offset < 0x1000; offset += widths[i]) {
            write_anywhere(machine, offset, widths[i]);
        }
    }
}

static void test_data_goes_in_from_the_lowest_byte_up(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    tis_write(machine, 4, REG_HASH_DATA, 4, 0x64636261);
    tis_write(machine, 4, REG_HASH_DATA, 2, 0x6665);
    tis_write(machine, 4, REG_HASH_DATA + 2, 2, 0x6867);
    tis_write(machine, 4, REG_HASH_DATA + 3, 1, 0x69);
    tis_write(machine, 4, REG_HASH_DATA + 1, 2, 0x6B6A);
    hash_end(machine);
    assert_measured(machine, "abcdefghijk", 1);
}

static void test_status_shows_the_room_while_the_sequence_is_open(void **state)
{
    TISMachine *machine = *state;

    assert_int_equal(tis_sts(machine, 4), 0xFFFFFFFF);
    hash_start(machine);
    assert_int_equal(tis_sts(machine, 4), 0x04000080 | 4096 << 8);
    assert_int_equal(tis_read(machine, 4, REG_STS + 1, 1), 0xFF);
    hash_data(machine, "abc");
    assert_int_equal(tis_sts(machine, 4), 0x04000080 | 4093 << 8);
    hash_end(machine);
    assert_int_equal(tis_sts(machine, 4), 0x04000080);
    answer_all(machine);
    assert_int_equal(tis_sts(machine, 4), 0xFFFFFFFF);
}

/* ---- each event in each state ---- */

static void test_start_while_none_begins(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    assert_true(is_hashing(machine));
    assert_steps(machine, 1, 0, 0);
    hash_end(machine);
    answer_all(machine);
    assert_measured(machine, "", 1);
}

static void test_data_while_none_is_an_error(void **state)
{
    TISMachine *machine = *state;

    hash_data(machine, "a");
    assert_int_equal(fake_host_guest_errors(&machine->host), 1);
    assert_string_equal(machine->host.guest_error,
                        "TPM_HASH_DATA written outside of a hash sequence");
    assert_false(is_hashing(machine));
    assert_steps(machine, 0, 0, 0);
    hash_start(machine);
    hash_end(machine);
    answer_all(machine);
    assert_measured(machine, "", 1);
}

static void test_end_while_none_is_an_error(void **state)
{
    TISMachine *machine = *state;

    hash_end(machine);
    assert_int_equal(fake_host_guest_errors(&machine->host), 1);
    assert_string_equal(machine->host.guest_error,
                        "TPM_HASH_END written outside of a hash sequence");
    assert_false(is_hashing(machine));
    assert_steps(machine, 0, 0, 0);
}

static void test_data_while_open_is_collected(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    hash_data(machine, "abc");
    answer_all(machine);
    hash_data(machine, "def");
    assert_steps(machine, 1, 0, 0); /* less than a chunk waits for the end */
    hash_end(machine);
    answer_all(machine);
    assert_steps(machine, 1, 1, 1);
    assert_measured(machine, "abcdef", 1);
}

static void test_end_while_open_closes(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    hash_end(machine);
    assert_true(is_hashing(machine));
    assert_steps(machine, 1, 0, 0);
    fake_backend_answer(machine->tpm);
    assert_steps(machine, 1, 0, 1);
    assert_true(is_hashing(machine));
    fake_backend_answer(machine->tpm);
    assert_measured(machine, "", 1);
}

static void test_data_while_closing_is_an_error(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    hash_data(machine, "abc");
    hash_end(machine);
    hash_data(machine, "d");
    assert_int_equal(fake_host_guest_errors(&machine->host), 1);
    answer_all(machine);
    assert_measured(machine, "abc", 1);
}

static void test_end_while_closing_is_an_error(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    hash_end(machine);
    hash_end(machine);
    assert_int_equal(fake_host_guest_errors(&machine->host), 1);
    answer_all(machine);
    assert_steps(machine, 1, 0, 1);
    assert_measured(machine, "", 1);
}

/* Begun anew with n steps of the first answered, before or after its end was written. */
static void begin_anew(TISMachine *machine, unsigned answers, bool closing)
{
    hash_start(machine);
    hash_data(machine, "first");
    if (closing) {
        hash_end(machine);
    }
    for (unsigned i = 0; i < answers && fake_backend_is_due(machine->tpm); i++) {
        fake_backend_answer(machine->tpm);
    }
    hash_start(machine);
    hash_data(machine, "second");
    assert_true(is_hashing(machine));
    hash_end(machine);
    answer_all(machine);
}

static void test_start_while_open_begins_anew(void **state)
{
    TISMachine *machine = *state;

    for (unsigned answers = 0; answers < 2; answers++) {
        begin_anew(machine, answers, false);
        assert_measured(machine, "second", answers + 1);
        assert_steps(machine, 2 * (answers + 1), 2 * (answers + 1), 2 * (answers + 1));
    }
}

static void test_start_while_closing_begins_anew(void **state)
{
    TISMachine *machine = *state;

    for (unsigned answers = 0; answers < 3; answers++) {
        begin_anew(machine, answers, true);
        assert_measured(machine, "second", answers + 1);
        assert_int_equal(machine->tpm->hash_starts, machine->tpm->hash_ends);
    }
}

/* ---- what other localities see ---- */

/* Bring locality 1 to a state of the FIFO interface: idle, ready, reception, execution, completion.
 */
static void bring_to(TISMachine *machine, unsigned tis_state)
{
    tis_request(machine, 1);
    if (tis_state == 1) {
        tis_sts_set(machine, 1, STS_READY);
    } else if (tis_state == 2) {
        tis_sts_set(machine, 1, STS_READY);
        tis_fifo_write(machine, 1, command_2_0, 5);
    } else if (tis_state >= 3) {
        machine->tpm->submit_when = tis_state == 3 ? FAKE_WHEN_TOLD : FAKE_AT_ONCE;
        tis_start(machine, 1, command_2_0, sizeof(command_2_0));
    }
}

static void test_start_takes_the_device_from_a_locality_in_any_state(void **state)
{
    (void)state;
    for (unsigned tis_state = 0; tis_state < 5; tis_state++) {
        TISMachine *machine = drtm_machine(TPM_VERSION_2_0, FAKE_AT_ONCE);

        machine->tpm->cancel_when = FAKE_AT_ONCE;
        bring_to(machine, tis_state);
        hash_start(machine);
        assert_true(is_hashing(machine));
        assert_int_equal(tis_access(machine, 1), 0x91); /* beenSeized */
        assert_int_equal(tis_sts(machine, 1), 0xFFFFFFFF);
        assert_int_equal(machine->tpm->cancels, tis_state == 3);
        hash_data(machine, "abc");
        hash_end(machine);
        assert_measured(machine, "abc", 1);
        /* what it had in the FIFO is gone, and it can begin again */
        tis_request(machine, 1);
        assert_int_equal(tis_sts(machine, 1), 0x04100000);
        assert_int_equal(tis_read(machine, 1, REG_FIFO, 4), 0xFFFFFFFF);
        machine->tpm->submit_when = FAKE_AT_ONCE;
        tis_start(machine, 1, command_2_0, sizeof(command_2_0));
        assert_true(tis_has_response(machine, 1));
        tis_machine_free(machine);
    }
}

static void test_sequence_waits_for_the_end_of_a_command(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    hash_start(machine);
    hash_data(machine, "abc");
    hash_end(machine);
    assert_int_equal(machine->tpm->cancels, 1);
    assert_steps(machine, 0, 0, 0);
    fake_backend_answer(machine->tpm); /* the command */
    assert_steps(machine, 1, 0, 0);
    answer_all(machine);
    assert_measured(machine, "abc", 1);
    tis_request(machine, 0);
    assert_false(tis_has_response(machine, 0));
}

/* One that has given up the device is none the less in the TPM's way. */
static void test_sequence_waits_for_a_command_left_behind(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    hash_start(machine);
    assert_steps(machine, 0, 0, 0);
    assert_int_equal(tis_access(machine, 0), ACCESS_IDLE);
    fake_backend_answer(machine->tpm);
    hash_end(machine);
    answer_all(machine);
    assert_measured(machine, "", 1);
    tis_request(machine, 0);
    assert_false(tis_has_response(machine, 0));
}

static void test_command_that_waits_for_the_tpm_is_answered_and_dropped(void **state)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, TPM_BUFFER_SIZE_MAX);

    (void)state;
    machine->config.drtm = true;
    machine->tpm->start_when = FAKE_WHEN_TOLD;
    tis_machine_plug(machine);
    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    hash_start(machine);
    hash_data(machine, "abc");
    hash_end(machine);
    fake_backend_answer(machine->tpm); /* the start */
    assert_int_equal(machine->tpm->submits, 0);
    assert_measured(machine, "abc", 1);
    tis_request(machine, 0);
    assert_false(tis_has_response(machine, 0));
    tis_machine_free(machine);
}

static void test_nobody_can_take_the_device_from_the_sequence(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    for (unsigned locality = 0; locality < 5; locality++) {
        tis_access_set(machine, locality, ACCESS_SEIZE);
        tis_access_set(machine, locality, ACCESS_RELINQUISH);
        tis_sts_set(machine, locality, STS_READY);
        tis_write(machine, locality, REG_STS, 4, STS_RESET_ESTABLISHED | STS_CANCEL);
        if (locality < 4) {
            tis_write(machine, locality, REG_FIFO, 4, 0x01800000);
        }
        tis_sts_set(machine, locality, STS_GO);
    }
    assert_true(is_hashing(machine));
    assert_int_equal(machine->tpm->submits, 0);
    assert_int_equal(machine->tpm->cancels, 0);
    assert_int_equal(machine->tpm->established_resets, 0);
    hash_data(machine, "abc");
    hash_end(machine);
    answer_all(machine);
    assert_measured(machine, "abc", 1);
}

static void test_device_goes_to_the_highest_that_waits_when_the_sequence_is_over(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 2);
    tis_access_set(machine, 0, ACCESS_REQUEST);
    hash_start(machine);
    assert_int_equal(tis_access(machine, 2), 0x95); /* seized, and another waits */
    tis_access_set(machine, 1, ACCESS_REQUEST);
    assert_int_equal(tis_access(machine, 1), 0x87);
    hash_end(machine);
    fake_backend_answer(machine->tpm);
    assert_true(is_hashing(machine));
    fake_backend_answer(machine->tpm);
    assert_false(is_hashing(machine));
    assert_int_equal(tis_access(machine, 1), 0xA5);
    assert_int_equal(tis_access(machine, 0), 0x83);
    assert_int_equal(tis_access(machine, 4), 0x85);
}

static void test_seizure_that_waits_is_ended_by_the_sequence(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    tis_access_set(machine, 2, ACCESS_SEIZE);
    hash_start(machine);
    assert_true(is_hashing(machine));
    fake_backend_answer(machine->tpm);
    hash_end(machine);
    answer_all(machine);
    assert_measured(machine, "", 1);
    assert_int_equal(tis_access(machine, 2), ACCESS_IDLE);
    assert_int_equal(tis_access(machine, 0), 0x91);
}

static void test_established_is_shown_before_the_device_is_free(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->hash_establishes = true;
    hash_start(machine);
    hash_end(machine);
    fake_backend_answer(machine->tpm);
    assert_int_equal(tis_access(machine, 4), 0xA1);
    fake_backend_answer(machine->tpm);
    assert_int_equal(tis_access(machine, 4), 0x80);
    tis_request(machine, 3);
    tis_sts_set(machine, 3, STS_RESET_ESTABLISHED);
    assert_int_equal(tis_access(machine, 3), 0xA1);
    assert_int_equal(machine->tpm->established_locality, 3);
}

static void test_start_and_end_raise_no_interrupt_but_the_next_ones(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 1);
    tis_write(machine, 1, REG_INT_ENABLE, 4, INT_ALL);
    tis_write(machine, 4, REG_INT_ENABLE, 4, INT_ALL);
    hash_start(machine);
    hash_data(machine, "abc");
    assert_int_equal(fake_host_irqs(&machine->host), 0);
    tis_access_set(machine, 1, ACCESS_REQUEST);
    hash_end(machine);
    answer_all(machine);
    assert_true(fake_host_irq(&machine->host)); /* localityChange: it has the device back */
    assert_int_equal(tis_read(machine, 1, REG_INT_STATUS, 4), INT_LOCALITY_CHANGE);
    tis_write(machine, 1, REG_INT_STATUS, 4, INT_LOCALITY_CHANGE);
    assert_false(fake_host_irq(&machine->host));
}

#define TEST(function)      cmocka_unit_test_setup_teardown(function, setup, tis_teardown)
#define TEST_TOLD(function) cmocka_unit_test_setup_teardown(function, setup_told, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_drtm_locality_4_takes_nothing),
        cmocka_unit_test(test_drtm_before_a_tpm_that_cannot_is_refused),
        cmocka_unit_test(test_drtm_of_any_other_device_is_refused),
        cmocka_unit_test(test_sysbus_device_has_the_sequence),
        TEST(test_hash_registers_read_as_all_ones),
        TEST(test_start_and_end_are_their_lowest_byte_alone),
        TEST(test_data_goes_in_from_the_lowest_byte_up),
        TEST_TOLD(test_status_shows_the_room_while_the_sequence_is_open),
        TEST_TOLD(test_start_while_none_begins),
        TEST_TOLD(test_data_while_none_is_an_error),
        TEST_TOLD(test_end_while_none_is_an_error),
        TEST_TOLD(test_data_while_open_is_collected),
        TEST_TOLD(test_end_while_open_closes),
        TEST_TOLD(test_data_while_closing_is_an_error),
        TEST_TOLD(test_end_while_closing_is_an_error),
        TEST_TOLD(test_start_while_open_begins_anew),
        TEST_TOLD(test_start_while_closing_begins_anew),
        cmocka_unit_test(test_start_takes_the_device_from_a_locality_in_any_state),
        TEST_TOLD(test_sequence_waits_for_the_end_of_a_command),
        TEST_TOLD(test_sequence_waits_for_a_command_left_behind),
        cmocka_unit_test(test_command_that_waits_for_the_tpm_is_answered_and_dropped),
        TEST_TOLD(test_nobody_can_take_the_device_from_the_sequence),
        TEST_TOLD(test_device_goes_to_the_highest_that_waits_when_the_sequence_is_over),
        TEST_TOLD(test_seizure_that_waits_is_ended_by_the_sequence),
        TEST_TOLD(test_established_is_shown_before_the_device_is_free),
        TEST_TOLD(test_start_and_end_raise_no_interrupt_but_the_next_ones),
    };

    return cmocka_run_group_tests_name("drtm", tests, NULL, NULL);
}
