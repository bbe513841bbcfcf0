/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hash sequence on its way to the TPM (hw/tpm/hash.c, and its jobs in request.c): the cut into
 * chunks, the memory and its end, a TPM that answers at once, by a thread, when told or never, and
 * a failure, a reset or the end of the device at any step. The registers are in test-drtm.c.
 */
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define CHUNK  1024u
#define MEMORY 4096u

/* What the TPM gets in place of what is missing: a secret of 32 bytes and a number of 8. */
#define MARK 40u

static TISMachine *hash_machine(FakeWhen when)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, TPM_BUFFER_SIZE_MAX);

    machine->config.drtm = true;
    machine->config.completion_window_ns = 0;
    machine->tpm->hash_when = when;
    return machine;
}

static int setup_told(void **state)
{
    TISMachine *machine = hash_machine(FAKE_WHEN_TOLD);

    tis_machine_plug(machine);
    *state = machine;
    return 0;
}

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 7 + (i >> 8) * 13);
}

static void hash_start(TISMachine *machine)
{
    tis_write(machine, 4, 0x28, 1, 0);
}

static void hash_end(TISMachine *machine)
{
    tis_write(machine, 4, 0x20, 1, 0);
}

/* The bytes from one place of the data up to another. */
static void hash_data(TISMachine *machine, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        tis_write(machine, 4, 0x24, 1, byte_at(i));
    }
}

static bool is_hashing(TISMachine *machine)
{
    return tis_access(machine, 4) & 0x20;
}

static unsigned room(TISMachine *machine)
{
    return tis_sts(machine, 4) >> 8 & 0xFFFF;
}

static void answer_all(TISMachine *machine)
{
    while (fake_backend_is_due(machine->tpm)) {
        fake_backend_answer(machine->tpm);
    }
}

/* Until locality 4 gives up the device, whoever answers. */
static void wait_over(TISMachine *machine)
{
    for (;;) {
        unsigned answers = fake_backend_answers(machine->tpm);

        if (!is_hashing(machine)) {
            break;
        }
        if (fake_backend_is_due(machine->tpm)) {
            fake_backend_answer(machine->tpm);
        } else if (machine->host.host.context) {
            fake_host_wait_context(&machine->host);
        } else {
            fake_backend_wait_answers(machine->tpm, answers + 1);
        }
    }
}

/* The TPM was given the first `size` bytes and, if marked, the mark behind them. */
static void assert_hashed(TISMachine *machine, size_t size, bool marked)
{
    g_autofree uint8_t *data = g_malloc(size + 1);

    for (size_t i = 0; i < size; i++) {
        data[i] = byte_at(i);
    }
    assert_int_equal(machine->tpm->hashed->len, size + (marked ? MARK : 0));
    assert_memory_equal(machine->tpm->hashed->data, data, size);
}

static void assert_counts(TISMachine *machine, unsigned measured, unsigned failed)
{
    assert_int_equal(tis_statistics(machine).measurements, measured);
    assert_int_equal(tis_statistics(machine).failed_measurements, failed);
}

/* After a failure or a reset, say: a sequence and a command, as ever. */
static void assert_usable(TISMachine *machine)
{
    TPMDeviceStatistics before = tis_statistics(machine);

    machine->tpm->start_when = machine->tpm->hash_when = machine->tpm->submit_when = FAKE_AT_ONCE;
    hash_start(machine);
    hash_data(machine, 0, 3000);
    hash_end(machine);
    assert_false(is_hashing(machine));
    assert_hashed(machine, 3000, false);
    assert_counts(machine, (unsigned)before.measurements + 1, (unsigned)before.failed_measurements);
    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    tis_assert_response(machine, 0, machine->tpm->response, machine->tpm->response_size);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
}

/* ---- whenever the TPM answers ---- */

typedef struct Way {
    FakeWhen when;
    bool context;
} Way;

static void run_way(void **state)
{
    static const size_t sizes[] = { 0, 1, 64, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, MEMORY - 1 };
    const Way *way = *state;
    TISMachine *machine = hash_machine(way->when);

    if (way->context) {
        fake_host_use_context(&machine->host);
    }
    tis_machine_plug(machine);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        hash_start(machine);
        hash_data(machine, 0, sizes[i]);
        hash_end(machine);
        wait_over(machine);
        assert_hashed(machine, sizes[i], false);
        assert_counts(machine, i + 1, 0);
    }
    assert_int_equal(fake_host_guest_errors(&machine->host), 0);
    tis_machine_free(machine);
}

/* A writer that looks at the burst count loses nothing, whatever the TPM does. */
static void test_paced_data_of_any_size_arrives(void **state)
{
    TISMachine *machine = hash_machine(FAKE_BY_THREAD);

    (void)state;
    tis_machine_plug(machine);
    hash_start(machine);
    for (size_t done = 0; done < 65536;) {
        unsigned answers = fake_backend_answers(machine->tpm);
        size_t size = MIN(room(machine), 65536 - done);

        if (size == 0) {
            fake_backend_wait_answers(machine->tpm, answers + 1);
        }
        hash_data(machine, done, done + size);
        done += size;
    }
    hash_end(machine);
    wait_over(machine);
    assert_hashed(machine, 65536, false);
    assert_counts(machine, 1, 0);
    tis_machine_free(machine);
}

static void test_tpm_that_never_answers_holds_nobody_up(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    hash_data(machine, 0, 100000);
    hash_end(machine);
    assert_int_equal(machine->tpm->hash_starts, 1);
    assert_int_equal(machine->tpm->hash_datas, 0);
    assert_true(is_hashing(machine));
    tis_access_set(machine, 0, ACCESS_REQUEST);
    assert_int_equal(tis_access(machine, 0), 0x83);
    tis_machine_unplug(machine);
}

/* ---- chunks ---- */

static void test_data_leaves_in_whole_chunks(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    fake_backend_answer(machine->tpm);
    hash_data(machine, 0, CHUNK - 1);
    assert_int_equal(machine->tpm->hash_datas, 0);
    assert_int_equal(room(machine), MEMORY - CHUNK + 1);
    hash_data(machine, CHUNK - 1, CHUNK);
    assert_int_equal(machine->tpm->hash_datas, 1);
    assert_hashed(machine, CHUNK, false);
    assert_int_equal(room(machine), MEMORY); /* it is the backend's now */
    hash_data(machine, CHUNK, 3 * CHUNK + 1);
    assert_int_equal(machine->tpm->hash_datas, 1);
    answer_all(machine);
    assert_int_equal(machine->tpm->hash_datas, 3);
    assert_int_equal(room(machine), MEMORY - 1);
    hash_end(machine);
    answer_all(machine);
    assert_int_equal(machine->tpm->hash_datas, 4);
    assert_hashed(machine, 3 * CHUNK + 1, false);
}

/* Round the memory, with each place of the boundary between a chunk and the next. */
static void test_data_goes_round_the_memory(void **state)
{
    TISMachine *machine = *state;
    size_t done = 0;

    hash_start(machine);
    fake_backend_answer(machine->tpm);
    for (unsigned i = 1; i < 40; i++) {
        hash_data(machine, done, done + 37 * i);
        done += 37 * i;
        answer_all(machine);
        assert_int_equal(room(machine), MEMORY - done % CHUNK);
    }
    hash_end(machine);
    answer_all(machine);
    assert_hashed(machine, done, false);
    assert_counts(machine, 1, 0);
}

/* ---- the memory's end ---- */

static void test_memory_can_be_filled(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    hash_data(machine, 0, MEMORY);
    assert_int_equal(room(machine), 0);
    hash_end(machine);
    answer_all(machine);
    assert_hashed(machine, MEMORY, false);
    assert_counts(machine, 1, 0);
    assert_int_equal(fake_host_guest_errors(&machine->host), 0);
}

static void test_one_byte_more_spoils_the_measurement(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    hash_data(machine, 0, MEMORY + 1);
    assert_int_equal(fake_host_guest_errors(&machine->host), 1);
    assert_string_equal(machine->host.guest_error,
                        "TPM_HASH_DATA written beyond the burst count; the measurement is spoilt");
    hash_end(machine);
    answer_all(machine);
    assert_hashed(machine, MEMORY, true);
    assert_int_equal(machine->tpm->hash_ends, 1);
    assert_false(is_hashing(machine));
    assert_counts(machine, 0, 1);
    assert_usable(machine);
}

static void test_a_wide_write_that_only_begins_within_the_room_spoils(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    hash_data(machine, 0, MEMORY - 2);
    tis_write(machine, 4, 0x24, 4, byte_at(MEMORY - 2) | (uint32_t)byte_at(MEMORY - 1) << 8);
    hash_end(machine);
    answer_all(machine);
    assert_hashed(machine, MEMORY, true);
    assert_counts(machine, 0, 1);
}

/* What comes after a gap is dropped even when there is room again, and told once. */
static void test_a_spoilt_sequence_takes_no_more(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    hash_data(machine, 0, MEMORY + 1);
    answer_all(machine);
    assert_int_equal(room(machine), 0);
    hash_data(machine, 0, 2 * MEMORY);
    hash_end(machine);
    answer_all(machine);
    assert_hashed(machine, MEMORY, true);
    assert_int_equal(tis_statistics(machine).guest_errors, 1);
}

static void spoil(TISMachine *machine, uint8_t mark[MARK])
{
    hash_start(machine);
    hash_data(machine, 0, MEMORY + 1);
    hash_end(machine);
    answer_all(machine);
    assert_hashed(machine, MEMORY, true);
    memcpy(mark, machine->tpm->hashed->data + MEMORY, MARK);
}

static void test_no_two_marks_are_alike(void **state)
{
    TISMachine *machine = *state;
    static const uint8_t zeros[32];
    uint8_t marks[3][MARK];

    spoil(machine, marks[0]);
    spoil(machine, marks[1]);
    assert_memory_equal(marks[0], marks[1], 32); /* the device's secret */
    assert_memory_not_equal(marks[0], marks[1], MARK);
    assert_memory_not_equal(marks[0], zeros, 32);

    TISMachine *other = hash_machine(FAKE_WHEN_TOLD);

    tis_machine_plug(other);
    spoil(other, marks[2]);
    assert_memory_not_equal(marks[0], marks[2], 32);
    tis_machine_free(other);
}

static void test_begun_anew_after_a_gap_it_measures_again(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    hash_data(machine, 0, MEMORY + 1);
    answer_all(machine);
    hash_start(machine);
    assert_int_equal(room(machine), MEMORY);
    hash_data(machine, 0, 10);
    hash_end(machine);
    answer_all(machine);
    assert_hashed(machine, 10, false);
    assert_counts(machine, 1, 0);
}

/* The one that was left has no value of its own: its end is that of a spoilt one. */
static void test_begun_anew_it_ends_the_one_before_as_spoilt(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    fake_backend_answer(machine->tpm);
    hash_data(machine, 0, CHUNK);
    hash_start(machine);
    fake_backend_answer(machine->tpm); /* the chunk */
    assert_hashed(machine, CHUNK, true);
    fake_backend_answer(machine->tpm); /* the mark */
    assert_int_equal(machine->tpm->hash_ends, 1);
    assert_int_equal(machine->tpm->hash_starts, 1);
    fake_backend_answer(machine->tpm); /* the end */
    assert_int_equal(machine->tpm->hash_starts, 2);
    assert_true(is_hashing(machine));
    hash_data(machine, 0, MEMORY + 1); /* spoilt in its turn: the mark is for both */
    hash_end(machine);
    answer_all(machine);
    assert_hashed(machine, MEMORY, true);
    assert_counts(machine, 0, 1);
}

/* ---- failures ---- */

/* Answers of a sequence of this size: start of the TPM, start, each chunk, the rest, end. */
#define DATA_SIZE    (2 * CHUNK + 10)
#define DATA_ANSWERS (1u + 1 + 3 + 1)

static void test_failure_of_any_step_ends_the_sequence(void **state)
{
    (void)state;
    for (unsigned nth = 2; nth <= DATA_ANSWERS; nth++) {
        for (unsigned by_thread = 0; by_thread < 2; by_thread++) {
            TISMachine *machine = hash_machine(by_thread ? FAKE_BY_THREAD : FAKE_AT_ONCE);

            machine->tpm->fail_at = nth;
            tis_machine_plug(machine);
            hash_start(machine);
            hash_data(machine, 0, DATA_SIZE);
            hash_end(machine);
            wait_over(machine);
            assert_counts(machine, 0, 1);
            assert_int_equal(machine->tpm->hash_ends, nth == DATA_ANSWERS);
            /* a TPM that did not measure answers nothing */
            tis_request(machine, 0);
            tis_start(machine, 0, command_2_0, sizeof(command_2_0));
            tis_assert_response(machine, 0, failure_2_0, sizeof(failure_2_0));
            tis_access_set(machine, 0, ACCESS_RELINQUISH);
            tpmdev_device_reset(machine->device);
            assert_usable(machine);
            tis_machine_free(machine);
        }
    }
}

static void test_failure_is_told_to_the_host(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->hash_fails = true;
    hash_start(machine);
    fake_backend_answer(machine->tpm);
    assert_int_equal(fake_host_backend_errors(&machine->host), 1);
    assert_string_equal(machine->host.backend_error, "the fake TPM was told to fail");
    assert_false(is_hashing(machine));
    assert_counts(machine, 0, 1);
}

static void test_failure_between_steps_ends_the_sequence_with_the_next(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    fake_backend_answer(machine->tpm);
    hash_data(machine, 0, 10);
    fake_backend_fail(machine->tpm);
    assert_true(is_hashing(machine));
    hash_end(machine);
    assert_false(is_hashing(machine));
    assert_counts(machine, 0, 1);
    assert_string_equal(machine->host.backend_error,
                        "TPM backend 'fake' has failed; the D-RTM measurement was not made");
}

static void test_sequence_of_a_tpm_that_has_failed_ends_at_once(void **state)
{
    TISMachine *machine = *state;

    fake_backend_fail(machine->tpm);
    hash_start(machine);
    assert_false(is_hashing(machine));
    hash_data(machine, 0, 1);
    hash_end(machine);
    assert_int_equal(tis_statistics(machine).guest_errors, 2);
    assert_counts(machine, 0, 1);
    assert_int_equal(machine->tpm->hash_starts, 0);
}

static void test_failure_of_a_step_of_before_fails_the_sequence_begun_anew(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    hash_start(machine);
    machine->tpm->hash_fails = true;
    fake_backend_answer(machine->tpm);
    assert_false(is_hashing(machine));
    assert_counts(machine, 0, 1);
}

/* ---- resets, and the end of the device ---- */

/* Write all of a sequence with n answers; false when there were fewer. */
static bool go_to_answer(TISMachine *machine, unsigned answers)
{
    hash_start(machine);
    hash_data(machine, 0, DATA_SIZE);
    hash_end(machine);
    for (unsigned i = 0; i < answers; i++) {
        if (!fake_backend_is_due(machine->tpm)) {
            return false;
        }
        fake_backend_answer(machine->tpm);
    }
    return is_hashing(machine);
}

static void test_reset_at_any_step_waits_for_its_answer_and_starts(void **state)
{
    TISMachine *machine = *state;

    for (unsigned answers = 0; go_to_answer(machine, answers); answers++) {
        unsigned starts = machine->tpm->starts;

        tpmdev_device_reset(machine->device);
        assert_false(is_hashing(machine));
        assert_int_equal(tis_sts(machine, 4), 0xFFFFFFFF);
        assert_int_equal(machine->tpm->starts, starts);
        fake_backend_answer(machine->tpm); /* the step */
        assert_int_equal(machine->tpm->starts, starts + 1);
        assert_counts(machine, answers, 0);
        assert_usable(machine);
        machine->tpm->hash_when = FAKE_WHEN_TOLD;
    }
    assert_int_equal(machine->tpm->starts, 1 + DATA_ANSWERS - 1);
}

/* Nor does anything else come of it: the guest has the device by then. */
static void test_failure_of_a_step_from_before_a_reset_ends_nothing(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    machine->tpm->hash_fails = true;
    tpmdev_device_reset(machine->device);
    tis_request(machine, 0);
    fake_backend_answer(machine->tpm);
    assert_int_equal(tis_access(machine, 0), ACCESS_ACTIVE);
    assert_counts(machine, 0, 0);
    assert_int_equal(machine->tpm->starts, 2);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    machine->tpm->hash_fails = false;
    assert_usable(machine);
}

static void test_sequence_after_a_reset_waits_for_the_start(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    tpmdev_device_reset(machine->device);
    machine->tpm->start_when = FAKE_WHEN_TOLD;
    hash_start(machine);
    hash_data(machine, 0, 100);
    hash_end(machine);
    fake_backend_answer(machine->tpm); /* the step of before */
    assert_int_equal(machine->tpm->starts, 2);
    assert_int_equal(machine->tpm->hash_starts, 1);
    answer_all(machine);
    assert_hashed(machine, 100, false);
    assert_counts(machine, 1, 0);
}

static void test_reset_between_steps_starts_at_once(void **state)
{
    TISMachine *machine = *state;

    hash_start(machine);
    fake_backend_answer(machine->tpm);
    tpmdev_device_reset(machine->device);
    assert_int_equal(machine->tpm->starts, 2);
    assert_usable(machine);
}

static void test_device_can_be_freed_at_any_step(void **state)
{
    (void)state;
    for (unsigned answers = 0; answers < DATA_ANSWERS - 1; answers++) {
        TISMachine *machine = hash_machine(FAKE_WHEN_TOLD);

        tis_machine_plug(machine);
        assert_true(go_to_answer(machine, answers));
        tis_machine_unplug(machine);
        fake_backend_answer(machine->tpm); /* to nobody */
        machine->tpm->sequence = false;
        tis_machine_plug(machine);
        assert_usable(machine);
        tis_machine_free(machine);
    }
}

/* ---- many at once ---- */

typedef struct Writer {
    TISMachine *machine;
    unsigned rounds;
} Writer;

/* A processor that measures while another thread is the guest, and a third the TPM. */
static gpointer run_guest(gpointer data)
{
    Writer *writer = data;

    for (unsigned i = 0; i < writer->rounds; i++) {
        tpmdev_device_write(writer->machine->device, 0x0000, 1, 0x02);
        tpmdev_device_write(writer->machine->device, 0x0018, 1, 0x40);
        for (unsigned byte = 0; byte < sizeof(command_2_0); byte++) {
            tpmdev_device_write(writer->machine->device, 0x0024, 1, command_2_0[byte]);
        }
        tpmdev_device_write(writer->machine->device, 0x0018, 1, 0x20);
        tpmdev_device_write(writer->machine->device, 0x0000, 1, 0x30);
    }
    return NULL;
}

static void test_guest_and_processor_may_be_at_it_together(void **state)
{
    TISMachine *machine = hash_machine(FAKE_BY_THREAD);
    Writer writer = { machine, 2000 };

    (void)state;
    machine->tpm->submit_when = FAKE_BY_THREAD;
    tis_machine_plug(machine);
    GThread *guest = g_thread_new("guest", run_guest, &writer);

    for (unsigned i = 0; i < 200; i++) {
        hash_start(machine);
        hash_data(machine, 0, CHUNK + i);
        hash_end(machine);
        wait_over(machine);
        assert_counts(machine, i + 1, 0);
    }
    g_thread_join(guest);
    assert_hashed(machine, CHUNK + 199, false);
    tis_machine_free(machine);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup_told, tis_teardown)

static const Way at_once = { FAKE_AT_ONCE, false };
static const Way when_told = { FAKE_WHEN_TOLD, false };
static const Way by_thread = { FAKE_BY_THREAD, false };
static const Way at_once_in_context = { FAKE_AT_ONCE, true };
static const Way by_thread_in_context = { FAKE_BY_THREAD, true };

/* clang-format off */
#define WAY(way) { "test_sequence_arrives_when_answered_" #way, run_way, NULL, NULL, (void *)&way }
/* clang-format on */

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAY(at_once),
        WAY(when_told),
        WAY(by_thread),
        WAY(at_once_in_context),
        WAY(by_thread_in_context),
        cmocka_unit_test(test_paced_data_of_any_size_arrives),
        TEST(test_tpm_that_never_answers_holds_nobody_up),
        TEST(test_data_leaves_in_whole_chunks),
        TEST(test_data_goes_round_the_memory),
        TEST(test_memory_can_be_filled),
        TEST(test_one_byte_more_spoils_the_measurement),
        TEST(test_a_wide_write_that_only_begins_within_the_room_spoils),
        TEST(test_a_spoilt_sequence_takes_no_more),
        TEST(test_no_two_marks_are_alike),
        TEST(test_begun_anew_after_a_gap_it_measures_again),
        TEST(test_begun_anew_it_ends_the_one_before_as_spoilt),
        cmocka_unit_test(test_failure_of_any_step_ends_the_sequence),
        TEST(test_failure_is_told_to_the_host),
        TEST(test_failure_between_steps_ends_the_sequence_with_the_next),
        TEST(test_sequence_of_a_tpm_that_has_failed_ends_at_once),
        TEST(test_failure_of_a_step_of_before_fails_the_sequence_begun_anew),
        TEST(test_reset_at_any_step_waits_for_its_answer_and_starts),
        TEST(test_failure_of_a_step_from_before_a_reset_ends_nothing),
        TEST(test_sequence_after_a_reset_waits_for_the_start),
        TEST(test_reset_between_steps_starts_at_once),
        cmocka_unit_test(test_device_can_be_freed_at_any_step),
        cmocka_unit_test(test_guest_and_processor_may_be_at_it_together),
    };

    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
