/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a backend counts (backends/tpm/statistics.c), and by which calls of the contract.
 */
#include "backend-fixture.h"
#include "command.h"
#include "ordinals.h"
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static TPMBackendStatistics statistics_of(TPMBackend *backend)
{
    TPMBackendStatistics statistics = { .size = sizeof(statistics) };

    tpmdev_backend_get_statistics(backend, &statistics);
    return statistics;
}

static TPMBackendStatistics now(BackendFixture *fixture)
{
    return statistics_of(fixture->backend);
}

/* A command of this ordinal, answered with this code after so long. */
static void run_command(BackendFixture *fixture, uint32_t ordinal, uint32_t code, int64_t ns)
{
    uint8_t command[TPM_HEADER_SIZE], response[TPM_HEADER_SIZE];

    tpm_error_response(TPM_VERSION_2_0, ordinal, command);
    tpm_error_response(TPM_VERSION_2_0, code, response);
    tpm_backend_load(fixture->backend, 0, command, sizeof(command));
    tpm_backend_sent_at(fixture->backend, 5000);
    tpm_backend_submit(fixture->backend, false);
    tpmdev_backend_complete(fixture->backend, response, sizeof(response));
    tpm_backend_answered_at(fixture->backend, 5000 + ns);
}

#define GET_RANDOM     0x17Bu /* a short one */
#define CREATE_PRIMARY 0x131u /* a long one */

/* ---- what is counted ---- */

static void test_a_new_backend_has_done_nothing_and_is_connected(void **state)
{
    BackendFixture *fixture = *state;
    TPMBackendStatistics statistics = now(fixture), nothing = { .size = sizeof(nothing) };

    assert_int_equal(statistics.link, TPM_LINK_CONNECTED);
    assert_memory_equal(&statistics, &nothing, sizeof(nothing));
}

static void test_each_event_has_its_number(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    run_command(fixture, GET_RANDOM, 0, 0);
    run_command(fixture, GET_RANDOM, 0x922, 0);
    fixture_submit(fixture);
    tpm_backend_cancel(fixture->backend);
    tpmdev_backend_complete(fixture->backend, NULL, 0);
    tpm_backend_cancel(fixture->backend); /* nothing to cancel */
    fixture_submit(fixture);
    fixture_fail(fixture, "swtpm went away");
    fixture_submit(fixture);
    fixture_submit(fixture);
    tpmdev_backend_recovered(fixture->backend);
    fixture_fail(fixture, "and again");
    fixture_fail(fixture, "is still away");
    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    fixture_fail(fixture, "does not start");
    TPMBackendStatistics statistics = now(fixture);

    assert_int_equal(statistics.starts, 2);
    assert_int_equal(statistics.commands, 4);
    assert_int_equal(statistics.responses, 2);
    assert_int_equal(statistics.error_codes, 1);
    assert_int_equal(statistics.failed_commands, 2);
    assert_int_equal(statistics.unsent_commands, 2);
    assert_int_equal(statistics.cancels, 1);
    assert_int_equal(statistics.failures, 3);
    assert_int_equal(statistics.recoveries, 1);
    assert_int_equal(statistics.errors[TPM_ERROR_PROTOCOL], 1); /* 0 bytes are no response */
    assert_int_equal(statistics.errors[TPM_ERROR_IO], 4);
    assert_string_equal(statistics.last_error, "does not start");
    assert_true(statistics.failed);
}

/* The reason it failed for is what people want, not that the next command was not sent. */
static void test_a_command_that_is_not_sent_is_no_error_of_its_own(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    fixture_fail(fixture, "swtpm went away");
    fixture_submit(fixture);
    TPMBackendStatistics statistics = now(fixture);
    uint64_t errors = 0;

    for (unsigned i = 0; i < TPM_STATISTICS_ERRORS; i++) {
        errors += statistics.errors[i];
    }
    assert_int_equal(errors, 1);
    assert_string_equal(statistics.last_error, "swtpm went away");
}

static void test_an_error_of_no_known_kind_is_among_the_others(void **state)
{
    static const struct {
        bool is_ours;
        int code;
        unsigned index;
    } cases[] = {
        { true, 0, 0 },
        { true, TPM_ERROR_TPM, TPM_ERROR_TPM },
        { true, TPM_STATISTICS_ERRORS - 2, TPM_STATISTICS_ERRORS - 2 },
        { true, TPM_STATISTICS_ERRORS - 1, TPM_STATISTICS_ERRORS - 1 },
        { true, 1 << 30, TPM_STATISTICS_ERRORS - 1 },
        { true, -1, TPM_STATISTICS_ERRORS - 1 },
        { false, 0, TPM_STATISTICS_ERRORS - 1 },
    };
    BackendFixture *fixture = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint64_t before = now(fixture).errors[cases[i].index];
        GQuark domain = cases[i].is_ours ? TPMDEV_ERROR : G_FILE_ERROR;
        g_autoptr(GError) error = g_error_new(domain, cases[i].code, "number %u", i);

        tpmdev_backend_failed(fixture->backend, error);
        assert_int_equal(now(fixture).errors[cases[i].index], before + 1);
    }
    assert_string_equal(now(fixture).last_error, "number 6");
}

static void test_a_long_error_ends_with_a_whole_character(void **state)
{
    BackendFixture *fixture = *state;
    g_autoptr(GString) text = g_string_new(NULL);

    while (text->len < TPM_STATISTICS_TEXT - 2) {
        g_string_append_c(text, 'x');
    }
    g_string_append(text, "\xC3\xA4"); /* two bytes, for one of which there is room */
    fixture_fail(fixture, text->str);
    TPMBackendStatistics statistics = now(fixture);

    assert_int_equal(strlen(statistics.last_error), TPM_STATISTICS_TEXT - 2);
    assert_true(g_utf8_validate(statistics.last_error, -1, NULL));
}

static void test_the_command_under_way_is_named_while_it_is(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    tpm_backend_sent_at(fixture->backend, 77);
    fixture_submit(fixture);
    TPMBackendStatistics statistics = now(fixture);

    assert_true(statistics.executing);
    assert_int_equal(statistics.ordinal, GET_RANDOM);
    assert_int_equal(statistics.sent_ns, 77);
    fixture_complete(fixture, 20);
    statistics = now(fixture);
    assert_false(statistics.executing);
    assert_int_equal(statistics.ordinal, 0);
    assert_int_equal(statistics.sent_ns, 0);
}

/* ---- times ---- */

static void test_each_bucket_is_twice_the_one_before(void **state)
{
    static const struct {
        int64_t ns;
        unsigned bucket;
    } cases[] = {
        { -1, 0 },
        { 0, 0 },
        { 999, 0 },
        { 1000, 1 },
        { 1999, 1 },
        { 2000, 2 },
        { 3999, 2 },
        { 4000, 3 },
        { 1023 * 1000 + 999, 10 },
        { 1024 * 1000, 11 },
        { (G_GINT64_CONSTANT(1) << 26) * 1000 - 1, 26 },
        { (G_GINT64_CONSTANT(1) << 26) * 1000, 27 },
        { G_MAXINT64 - 5000, 27 },
    };
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        TPMBackendStatistics before = now(fixture);

        run_command(fixture, CREATE_PRIMARY, 0, cases[i].ns);
        before.long_commands.buckets[cases[i].bucket]++;
        TPMBackendStatistics after = now(fixture);

        assert_memory_equal(after.long_commands.buckets, before.long_commands.buckets,
                            sizeof(after.long_commands.buckets));
        assert_int_equal(after.long_commands.sum_ns - before.long_commands.sum_ns,
                         MAX(cases[i].ns, 0));
        assert_int_equal(after.long_commands.max_ns, MAX(cases[i].ns, 0));
        assert_int_equal(after.last_response_ns, 5000 + cases[i].ns);
    }
}

static void test_the_longest_stays(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    run_command(fixture, GET_RANDOM, 0, 9000);
    run_command(fixture, GET_RANDOM, 0, 3000);
    assert_int_equal(now(fixture).short_commands.max_ns, 9000);
    assert_int_equal(now(fixture).short_commands.sum_ns, 12000);
    assert_int_equal(now(fixture).long_commands.sum_ns, 0);
}

static void test_what_is_no_response_has_no_time(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    tpm_backend_sent_at(fixture->backend, 10);
    fixture_submit(fixture);
    tpmdev_backend_complete(fixture->backend, "x", 1);
    tpm_backend_answered_at(fixture->backend, 1000000);
    fixture_submit(fixture); /* nor one whose start was not told */
    fixture_complete(fixture, 20);
    tpm_backend_answered_at(fixture->backend, 2000000);
    tpm_backend_answered_at(fixture->backend, 3000000);
    TPMBackendStatistics statistics = now(fixture);

    assert_int_equal(statistics.short_commands.sum_ns, 0);
    assert_int_equal(statistics.last_response_ns, 0);
}

/* ---- by ordinal ---- */

static void test_ordinals_are_counted_in_their_order(void **state)
{
    BackendFixture *fixture = *state;
    TPMCommandStatistics rows[TPM_COMMAND_STATISTICS_MAX];

    fixture_make_ready(fixture);
    assert_int_equal(tpmdev_backend_get_command_statistics(fixture->backend, rows, 1), 0);
    run_command(fixture, GET_RANDOM, 0, 100);
    run_command(fixture, CREATE_PRIMARY, 0x101, 7000);
    run_command(fixture, GET_RANDOM, 0, 200);
    assert_int_equal(tpmdev_backend_get_command_statistics(fixture->backend, rows, 9), 2);
    assert_int_equal(rows[0].ordinal, CREATE_PRIMARY);
    assert_string_equal(rows[0].name, "TPM2_CreatePrimary");
    assert_int_equal(rows[0].commands, 1);
    assert_int_equal(rows[0].error_codes, 1);
    assert_int_equal(rows[0].time_ns, 7000);
    assert_int_equal(rows[1].ordinal, GET_RANDOM);
    assert_int_equal(rows[1].commands, 2);
    assert_int_equal(rows[1].error_codes, 0);
    assert_int_equal(rows[1].time_ns, 300);
}

static void test_ordinals_of_a_guests_invention_share_one_row(void **state)
{
    BackendFixture *fixture = *state;
    TPMCommandStatistics row = { .ordinal = 1 }, untouched = { .ordinal = 2 };
    TPMCommandStatistics rows[] = { row, untouched };

    fixture_make_ready(fixture);
    for (uint32_t i = 0; i < 1000; i++) {
        run_command(fixture, 0x20000000 + i * 0x10001, 0x143, 1000);
    }
    run_command(fixture, 0, 0x143, 1000);
    run_command(fixture, G_MAXUINT32, 0x143, 1000);
    assert_int_equal(tpmdev_backend_get_command_statistics(fixture->backend, rows, 1), 1);
    assert_int_equal(rows[0].ordinal, 0);
    assert_null(rows[0].name);
    assert_int_equal(rows[0].commands, 1002);
    assert_int_equal(rows[0].error_codes, 1002);
    assert_memory_equal(&rows[1], &untouched, sizeof(untouched));
    run_command(fixture, GET_RANDOM, 0, 0);
    assert_int_equal(tpmdev_backend_get_command_statistics(fixture->backend, rows, 1), 2);
    assert_int_equal(rows[0].ordinal, GET_RANDOM);
}

static void test_every_ordinal_is_found_and_no_other(void **state)
{
    static const TPMVersion versions[] = { TPM_VERSION_1_2, TPM_VERSION_2_0 };

    (void)state;
    for (unsigned v = 0; v < G_N_ELEMENTS(versions); v++) {
        size_t n;
        const TPMOrdinal *ordinals = tpm_ordinals(versions[v], &n);

        for (size_t i = 0; i < n; i++) {
            assert_int_equal(tpm_ordinal_find(versions[v], ordinals[i].ordinal), i);
            assert_true(i == 0 || ordinals[i - 1].ordinal < ordinals[i].ordinal);
            if (i + 1 == n || ordinals[i + 1].ordinal != ordinals[i].ordinal + 1) {
                assert_int_equal(tpm_ordinal_find(versions[v], ordinals[i].ordinal + 1), n);
            }
        }
        assert_int_equal(tpm_ordinal_find(versions[v], 0), n);
        assert_int_equal(tpm_ordinal_find(versions[v], G_MAXUINT32), n);
    }
}

static void test_commands_have_the_names_of_their_version(void **state)
{
    (void)state;
    assert_string_equal(tpmdev_command_name(TPM_VERSION_2_0, 0x144), "TPM2_Startup");
    assert_string_equal(tpmdev_command_name(TPM_VERSION_2_0, 0x11F),
                        "TPM2_NV_UndefineSpaceSpecial");
    assert_string_equal(tpmdev_command_name(TPM_VERSION_1_2, 0x99), "TPM_Startup");
    assert_string_equal(tpmdev_command_name(TPM_VERSION_1_2, 0x4000000A), "TSC_PhysicalPresence");
    assert_null(tpmdev_command_name(TPM_VERSION_2_0, 0x99));
    assert_null(tpmdev_command_name(TPM_VERSION_1_2, 0x144));
}

static void test_links_and_errors_have_names(void **state)
{
    (void)state;
    assert_string_equal(tpmdev_link_name(TPM_LINK_CONNECTED), "connected");
    assert_string_equal(tpmdev_link_name(TPM_LINK_RESYNCHRONISING), "resynchronising");
    assert_string_equal(tpmdev_link_name(TPM_LINK_GONE), "gone");
    assert_string_equal(tpmdev_error_name(TPM_ERROR_INVALID_OPTION), "invalid-option");
    assert_string_equal(tpmdev_error_name(TPM_ERROR_TPM), "tpm");
    assert_string_equal(tpmdev_error_name(TPM_STATISTICS_ERRORS - 1), "other");
}

/* ---- behind a device ---- */

/* The device's clock moves by a microsecond a look: as many as there are between the two. */
static void test_a_device_times_its_commands_by_its_hosts_clock(void **state)
{
    TISMachine *machine = *state;

    fake_host_set_clock(&machine->host, 1000000, 0);
    tis_request(machine, 0);
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    TPMBackendStatistics statistics = statistics_of(machine->tpm->backend);

    assert_true(statistics.executing);
    assert_int_equal(statistics.sent_ns, 1000000);
    fake_host_set_clock(&machine->host, 1000000 + 5000000, 0);
    fake_backend_answer(machine->tpm);
    statistics = statistics_of(machine->tpm->backend);
    assert_int_equal(statistics.short_commands.sum_ns, 5000000);
    assert_int_equal(statistics.short_commands.buckets[13], 1);
    assert_int_equal(statistics.last_response_ns, 6000000);
}

static gpointer read_statistics(gpointer data)
{
    TISMachine *machine = data;
    TPMCommandStatistics rows[TPM_COMMAND_STATISTICS_MAX];
    uint64_t before = 0;

    for (unsigned i = 0; i < 20000; i++) {
        TPMBackendStatistics statistics = statistics_of(machine->tpm->backend);

        if (statistics.commands < before || statistics.responses > statistics.commands) {
            return "the numbers do not belong together";
        }
        before = statistics.commands;
        tpmdev_backend_get_command_statistics(machine->tpm->backend, rows, G_N_ELEMENTS(rows));
    }
    return NULL;
}

static void test_statistics_are_read_while_commands_run(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_SOMEHOW;
    tis_request(machine, 0);
    GThread *reader = g_thread_new("reader", read_statistics, machine);

    for (unsigned i = 0; i < 500; i++) {
        tis_start(machine, 0, command_2_0, sizeof(command_2_0));
        tis_wait_response(machine, 0);
    }
    const char *wrong = g_thread_join(reader);

    if (wrong) {
        fail_msg("%s", wrong);
    }
    assert_int_equal(statistics_of(machine->tpm->backend).responses, 500);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
#define WITH_MACHINE(test) cmocka_unit_test_setup_teardown(test, tis_setup_2_0, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(test_a_new_backend_has_done_nothing_and_is_connected),
        WITH_FIXTURE(test_each_event_has_its_number),
        WITH_FIXTURE(test_a_command_that_is_not_sent_is_no_error_of_its_own),
        WITH_FIXTURE(test_an_error_of_no_known_kind_is_among_the_others),
        WITH_FIXTURE(test_a_long_error_ends_with_a_whole_character),
        WITH_FIXTURE(test_the_command_under_way_is_named_while_it_is),
        WITH_FIXTURE(test_each_bucket_is_twice_the_one_before),
        WITH_FIXTURE(test_the_longest_stays),
        WITH_FIXTURE(test_what_is_no_response_has_no_time),
        WITH_FIXTURE(test_ordinals_are_counted_in_their_order),
        WITH_FIXTURE(test_ordinals_of_a_guests_invention_share_one_row),
        cmocka_unit_test(test_every_ordinal_is_found_and_no_other),
        cmocka_unit_test(test_commands_have_the_names_of_their_version),
        cmocka_unit_test(test_links_and_errors_have_names),
        WITH_MACHINE(test_a_device_times_its_commands_by_its_hosts_clock),
        WITH_MACHINE(test_statistics_are_read_while_commands_run),
    };

    return cmocka_run_group_tests_name("statistics", tests, NULL, NULL);
}
