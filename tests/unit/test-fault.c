/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TPM with a fault, as a guest sees it through a TIS device: a well-formed response whatever went
 * wrong, registers that answer all the time, and a TPM that is there again afterwards.
 */
#include "backend-client.h"
#include "backend-fixture.h"
#include "command.h"
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define GET_RANDOM 0x17Bu
#define DEADLINE_S 30

/* ---- a machine whose TPM has a fault ---- */

static const uint8_t good_2_0[] = { 0x80, 0x01, 0, 0, 0, 14, 0, 0, 0, 0, 'g', 'o', 'o', 'd' };
static const uint8_t good_1_2[] = { 0x00, 0xC4, 0, 0, 0, 14, 0, 0, 0, 0, 'g', 'o', 'o', 'd' };

static TPMFaultConfig fault_config(TISMachine *machine, TPMFault fault)
{
    return (TPMFaultConfig){ .size = sizeof(TPMFaultConfig),
                             .id = "faulty",
                             .backend = machine->tpm->backend,
                             .fault = fault };
}

static TPMBackend *fault_new(const TPMFaultConfig *config)
{
    GError *error = NULL;
    TPMBackend *backend = tpmdev_backend_fault_new(config, &error);

    if (!backend) {
        fail_msg("%s", error->message);
    }
    return backend;
}

static bool is_1_2(TISMachine *machine)
{
    return machine->tpm->version == TPM_VERSION_1_2;
}

/* A device before that backend, in the machine. */
static void plug_backend(TISMachine *machine, TPMBackend *backend)
{
    GError *error = NULL;

    machine->device =
        tpmdev_device_new(&machine->config, backend, &machine->host.host, &machine->host, &error);
    if (!machine->device) {
        fail_msg("%s", error->message);
    }
    g_atomic_pointer_set(&machine->host.device, machine->device);
}

static void plug(TISMachine *machine, const TPMFaultConfig *config)
{
    TPMBackend *backend = fault_new(config);

    if (is_1_2(machine)) {
        fake_backend_respond(machine->tpm, good_1_2, sizeof(good_1_2));
    } else {
        fake_backend_respond(machine->tpm, good_2_0, sizeof(good_2_0));
    }
    plug_backend(machine, backend);
    tpmdev_backend_unref(backend);
    tis_request(machine, 0);
}

static int setup_2_0(void **state)
{
    *state = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, TPM_BUFFER_SIZE_COMMON);
    return 0;
}

static int setup_1_2(void **state)
{
    *state = tis_machine_prepare(TPM_VERSION_1_2, FAKE_FULL, TPM_BUFFER_SIZE_COMMON);
    return 0;
}

static void start_command(TISMachine *machine)
{
    if (is_1_2(machine)) {
        tis_start(machine, 0, command_1_2, sizeof(command_1_2));
    } else {
        tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    }
}

/* Wait for a response that nothing but time brings. */
static void wait_response(TISMachine *machine)
{
    gint64 deadline = g_get_monotonic_time() + DEADLINE_S * G_TIME_SPAN_SECOND;

    while (!tis_has_response(machine, 0)) {
        if (g_get_monotonic_time() > deadline) {
            fail_msg("no response within %d s", DEADLINE_S);
        }
        g_thread_yield();
    }
}

static void assert_good(TISMachine *machine)
{
    if (is_1_2(machine)) {
        tis_assert_response(machine, 0, good_1_2, sizeof(good_1_2));
    } else {
        tis_assert_response(machine, 0, good_2_0, sizeof(good_2_0));
    }
}

static void assert_failure(TISMachine *machine)
{
    if (is_1_2(machine)) {
        tis_assert_response(machine, 0, failure_1_2, sizeof(failure_1_2));
    } else {
        tis_assert_response(machine, 0, failure_2_0, sizeof(failure_2_0));
    }
}

static void run_good(TISMachine *machine)
{
    start_command(machine);
    assert_good(machine);
}

/* ---- each fault ---- */

/* Of the second command alone: the first and the third are well. */
static void check_malformed(TISMachine *machine, TPMFault fault, uint32_t bytes)
{
    TPMFaultConfig config = fault_config(machine, fault);
    TPMBackendStatistics statistics = { .size = sizeof(statistics) };

    config.nth = 2;
    config.bytes = bytes;
    plug(machine, &config);
    run_good(machine);
    start_command(machine);
    assert_failure(machine);
    run_good(machine);
    tpmdev_backend_get_statistics(tpmdev_device_get_backend(machine->device), &statistics);
    assert_int_equal(statistics.errors[TPM_ERROR_PROTOCOL], 1);
    tis_machine_unplug(machine);
}

static void test_a_malformed_response_is_a_failure_to_the_guest(void **state)
{
    TISMachine *machine = *state;

    check_malformed(machine, TPM_FAULT_SIZE, 0);
    for (uint32_t bytes = 0; bytes <= 15; bytes++) {
        check_malformed(machine, TPM_FAULT_TRUNCATED, bytes);
    }
    check_malformed(machine, TPM_FAULT_TRUNCATED, TPM_BUFFER_SIZE_MAX);
    check_malformed(machine, TPM_FAULT_LONGER, 0);
    check_malformed(machine, TPM_FAULT_LONGER, TPM_BUFFER_SIZE_MAX);
}

static void test_a_code_is_that_of_the_fault_in_the_shape_of_the_version(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);
    uint8_t expected[TPM_HEADER_SIZE];

    plug(machine, &config);
    start_command(machine);
    assert_failure(machine);
    tis_machine_unplug(machine);
    config.code = 0x922;
    plug(machine, &config);
    start_command(machine);
    tpm_error_response(machine->tpm->version, 0x922, expected);
    tis_assert_response(machine, 0, expected, sizeof(expected));
}

static size_t read_garbage(TISMachine *machine, uint32_t seed, uint8_t response[64])
{
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_GARBAGE);

    config.seed = seed;
    plug(machine, &config);
    start_command(machine);
    size_t size = tis_response(machine, 0, response, 64);

    tis_machine_unplug(machine);
    return size;
}

static void test_garbage_has_the_right_size_and_is_the_same_for_the_same_seed(void **state)
{
    TISMachine *machine = *state;
    uint8_t first[64], again[64], other[64];

    assert_int_equal(read_garbage(machine, 7, first), sizeof(good_2_0));
    assert_int_equal(tpm_header_len(first), sizeof(good_2_0));
    assert_int_equal(read_garbage(machine, 7, again), sizeof(good_2_0));
    assert_int_equal(read_garbage(machine, 8, other), sizeof(good_2_0));
    assert_memory_equal(first, again, sizeof(good_2_0));
    assert_memory_not_equal(first, other, sizeof(good_2_0));
    assert_memory_not_equal(first, good_2_0, sizeof(good_2_0));
}

static void test_a_late_response_comes_by_itself(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_DELAY);

    config.delay_min_us = 5000;
    config.delay_max_us = 10000;
    plug(machine, &config);
    for (unsigned i = 0; i < 3; i++) {
        gint64 begin = g_get_monotonic_time();

        start_command(machine);
        wait_response(machine);
        assert_true(g_get_monotonic_time() - begin >= 5000);
        assert_good(machine);
    }
}

static void test_a_cancel_ends_a_delay(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_DELAY);

    config.delay_min_us = TPM_FAULT_DELAY_MAX;
    plug(machine, &config);
    start_command(machine);
    assert_false(tis_has_response(machine, 0));
    tis_sts_set(machine, 0, STS_CANCEL);
    assert_good(machine);
}

static void test_a_tpm_that_hangs_leaves_the_registers_alone(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_HANG);
    TPMBackendStatistics statistics = { .size = sizeof(statistics) };

    config.nth = 1;
    plug(machine, &config);
    start_command(machine);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(tis_access(machine, 0), ACCESS_ACTIVE);
        assert_false(tis_has_response(machine, 0));
    }
    tpmdev_backend_get_statistics(tpmdev_device_get_backend(machine->device), &statistics);
    assert_true(statistics.executing);
    assert_int_equal(statistics.ordinal, GET_RANDOM);
    tis_sts_set(machine, 0, STS_CANCEL);
    assert_good(machine);
    run_good(machine);
}

static void test_a_reset_ends_a_hang(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_HANG);

    config.nth = 1;
    plug(machine, &config);
    start_command(machine);
    assert_false(tis_has_response(machine, 0));
    tpmdev_device_reset(machine->device);
    tis_request(machine, 0);
    run_good(machine);
    assert_int_equal(machine->tpm->starts, 2);
}

static void test_a_dead_tpm_is_dead_until_the_next_reset(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_DEATH);

    config.nth = 2;
    plug(machine, &config);
    run_good(machine);
    for (unsigned i = 0; i < 3; i++) {
        start_command(machine);
        assert_failure(machine);
    }
    assert_int_equal(machine->tpm->submits, 2);
    assert_int_equal(fake_host_link(&machine->host), TPM_LINK_GONE);
    fake_backend_fail(machine->tpm); /* the TPM within does not matter any more */
    tpmdev_backend_recovered(machine->tpm->backend);
    assert_int_equal(fake_host_link(&machine->host), TPM_LINK_GONE);
    tpmdev_device_reset(machine->device);
    assert_int_equal(fake_host_link(&machine->host), TPM_LINK_CONNECTED);
    tis_request(machine, 0);
    run_good(machine);
}

static void test_a_tpm_can_die_at_each_byte_of_its_responses(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_DEATH);

    for (config.byte = 1; config.byte <= 3 * sizeof(good_2_0); config.byte++) {
        plug(machine, &config);
        for (unsigned i = 0; i < (config.byte - 1) / sizeof(good_2_0); i++) {
            run_good(machine);
        }
        start_command(machine);
        assert_failure(machine);
        tpmdev_device_reset(machine->device);
        tis_request(machine, 0);
        run_good(machine);
        tis_machine_unplug(machine);
    }
}

static void test_a_start_that_fails_says_why_and_the_next_one_is_well(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_START);
    GError *error = NULL;

    config.nth = 1;
    plug(machine, &config);
    assert_false(tpmdev_device_wait_ready(machine->device, G_GINT64_CONSTANT(1000000000), &error));
    assert_string_equal(error->message, "TPM backend 'faulty' does not start, as it was told to");
    g_clear_error(&error);
    start_command(machine);
    assert_failure(machine);
    assert_int_equal(machine->tpm->starts, 0);
    tpmdev_device_reset(machine->device);
    tis_request(machine, 0);
    run_good(machine);
}

/* ---- which commands ---- */

/* Of so many commands, the ones that had the fault, as letters. */
static char *pattern(TISMachine *machine, const TPMFaultConfig *config, unsigned n)
{
    GString *text = g_string_new(NULL);
    uint8_t response[64];

    plug(machine, config);
    for (unsigned i = 0; i < n; i++) {
        bool is_long = i % 2 == 1;

        if (is_long) {
            tis_start(machine, 0, command_long_2_0, sizeof(command_long_2_0));
        } else {
            start_command(machine);
        }
        tis_response(machine, 0, response, sizeof(response));
        g_string_append_c(text, tpm_header_code(response) == 0 ? '.' : 'x');
    }
    tis_machine_unplug(machine);
    return g_string_free(text, FALSE);
}

static void assert_pattern(TISMachine *machine, const TPMFaultConfig *config, const char *expected)
{
    g_autofree char *found = pattern(machine, config, (unsigned)strlen(expected));

    assert_string_equal(found, expected);
}

static void test_a_fault_shows_with_the_commands_it_is_for(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);

    assert_pattern(machine, &config, "xxxxxx");
    config.nth = 3;
    assert_pattern(machine, &config, "..x...");
    config.ordinal = 0x143;
    assert_pattern(machine, &config, ".....x..");
    config.nth = 0;
    assert_pattern(machine, &config, ".x.x.x");
    config.ordinal = 0x999;
    assert_pattern(machine, &config, "......");
}

static void test_chance_is_that_of_the_seed(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);

    config.percent = 50;
    config.seed = 1;
    g_autofree char *first = pattern(machine, &config, 64);
    g_autofree char *again = pattern(machine, &config, 64);
    config.seed = 2;
    g_autofree char *other = pattern(machine, &config, 64);

    assert_string_equal(first, again);
    assert_string_not_equal(first, other);
    assert_non_null(strchr(first, 'x'));
    assert_non_null(strchr(first, '.'));
}

/* ---- what is handed on ---- */

/* Polls reach the TPM within, and the response the write that started the command. */
static void test_the_completion_window_is_handed_on(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);

    config.ordinal = 0x999;
    machine->tpm->submit_when = FAKE_IN_POLL;
    machine->tpm->polls_needed = 3;
    plug(machine, &config);
    run_good(machine);
    assert_true(machine->tpm->linger);
    assert_int_equal(machine->tpm->polls, 3);
    assert_int_equal(tis_statistics(machine).inline_completions, 1);
}

/* A TPM that cannot be polled answers on a thread of its own, and is not told to linger. */
static void test_a_tpm_without_poll_is_not_asked_to_linger(void **state)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_BARE, TPM_BUFFER_SIZE_COMMON);
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_HANG);

    (void)state;
    config.ordinal = 0x999;
    machine->tpm->submit_when = FAKE_BY_THREAD;
    plug(machine, &config);
    for (unsigned i = 0; i < 20; i++) {
        start_command(machine);
        wait_response(machine);
        assert_good(machine);
    }
    assert_false(machine->tpm->linger);
    tis_machine_free(machine);
}

/* While the device polls, only a call of its own brings the response. */
static void test_a_response_waits_for_the_device_to_look(void **state)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_BARE, TPM_BUFFER_SIZE_COMMON);
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);
    TPMBackend *backend = fault_new(&config);
    BackendClient client;

    (void)state;
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    backend_client_bind(&client, backend, NULL);
    assert_true(backend_client_start(&client, TPM_BUFFER_SIZE_COMMON));
    for (unsigned i = 1; i <= 2; i++) {
        tpm_backend_load(backend, 0, command_2_0, sizeof(command_2_0));
        tpm_backend_submit(backend, true);
        tpm_backend_poll(backend);
        fake_backend_answer(machine->tpm);
        assert_int_equal(client.completed, i - 1);
        if (i == 1) {
            tpm_backend_poll(backend);
        } else {
            tpm_backend_linger_end(backend);
        }
        assert_int_equal(client.completed, i);
    }
    backend_client_unbind(&client);
    tpmdev_backend_unref(backend);
    tis_machine_free(machine);
}

static void test_a_cancel_reaches_the_tpm_within(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);

    config.ordinal = 0x999;
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_AT_ONCE;
    plug(machine, &config);
    start_command(machine);
    assert_false(tis_has_response(machine, 0));
    tis_sts_set(machine, 0, STS_CANCEL);
    assert_int_equal(machine->tpm->cancels, 1);
    wait_response(machine);
}

static void test_failure_recovery_and_link_are_handed_on(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);

    config.ordinal = 0x999;
    plug(machine, &config);
    fake_backend_fail(machine->tpm);
    assert_int_equal(fake_host_link(&machine->host), TPM_LINK_GONE);
    assert_string_equal(machine->host.backend_error, "the fake TPM was told to fail");
    start_command(machine);
    assert_failure(machine);
    tpmdev_backend_set_link(machine->tpm->backend, TPM_LINK_RESYNCHRONISING);
    assert_int_equal(fake_host_link(&machine->host), TPM_LINK_RESYNCHRONISING);
    tpmdev_backend_recovered(machine->tpm->backend);
    assert_int_equal(fake_host_link(&machine->host), TPM_LINK_CONNECTED);
    run_good(machine);
    machine->tpm->submit_fails = true;
    start_command(machine);
    assert_failure(machine);
    machine->tpm->submit_fails = false;
    tpmdev_device_reset(machine->device);
    tis_request(machine, 0);
    run_good(machine);
}

static void test_the_established_flag_is_handed_on(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);

    tpmdev_backend_set_established(machine->tpm->backend, true);
    plug(machine, &config);
    assert_int_equal(tis_access(machine, 0) & 1, 0);
    tpmdev_backend_set_established(machine->tpm->backend, false);
    assert_int_equal(tis_access(machine, 0) & 1, 1);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    tis_request(machine, 3);
    tis_sts_set(machine, 3, STS_RESET_ESTABLISHED);
    assert_int_equal(machine->tpm->established_resets, 1);
    assert_int_equal(machine->tpm->established_locality, 3);
}

static void test_a_measurement_is_handed_on(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);
    TPMBackend *backend = fault_new(&config);
    BackendClient client;

    backend_client_bind(&client, backend, NULL);
    assert_true(backend_client_start(&client, TPM_BUFFER_SIZE_COMMON));
    assert_true(backend_client_measure(&client, (const uint8_t *)"measure me", 10, 4));
    assert_true(fake_backend_has_hashed(machine->tpm, "measure me", 10));
    machine->tpm->hash_fails = true;
    assert_false(backend_client_measure(&client, (const uint8_t *)"measure me", 10, 4));
    assert_string_equal(client.hash_error, "the fake TPM was told to fail");
    backend_client_unbind(&client);
    tpmdev_backend_unref(backend);
}

static bool refuse_to_migrate(void *self, GError **error)
{
    (void)self;
    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED, "it is bolted down");
    return false;
}

static void test_whether_it_can_migrate_is_for_the_tpm_within_to_say(void **state)
{
    BackendFixture *fixture = *state;
    TPMBackendClass bolted = fixture_class;
    TPMFaultConfig config = { .size = sizeof(config), .id = "faulty", .fault = TPM_FAULT_HANG };
    GError *error = NULL;

    bolted.can_migrate = refuse_to_migrate;
    fixture_use_class(fixture, &bolted);
    config.backend = fixture->backend;
    TPMBackend *backend = fault_new(&config);

    assert_false(tpmdev_backend_can_migrate(backend, &error));
    assert_non_null(strstr(error->message, "it is bolted down"));
    g_error_free(error);
    tpmdev_backend_unref(backend);
    /* The fixture's class is on this stack: its backend goes first. */
    fixture->backend = tpmdev_backend_unref(fixture->backend);
}

/* ---- devices that come and go, contexts, threads ---- */

static void test_the_next_device_waits_for_the_command_of_the_last_one(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);
    TPMBackend *backend = fault_new(&config);

    config.ordinal = 0x999;
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    plug_backend(machine, backend);
    tis_request(machine, 0);
    start_command(machine);
    tis_machine_unplug(machine);
    plug_backend(machine, backend);
    assert_int_equal(machine->tpm->starts, 1);
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->starts, 2);
    machine->tpm->submit_when = FAKE_AT_ONCE;
    fake_backend_respond(machine->tpm, good_2_0, sizeof(good_2_0));
    tis_request(machine, 0);
    start_command(machine);
    assert_failure(machine); /* the fault is an error code */
    tis_machine_unplug(machine);
    tpmdev_backend_unref(backend);
}

/* In a delay, in a hang, and in the TPM within. */
static void test_it_ends_in_the_midst_of_a_command(void **state)
{
    static const TPMFault faults[] = { TPM_FAULT_DELAY, TPM_FAULT_HANG, TPM_FAULT_CODE };
    TISMachine *machine = *state;

    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    for (unsigned i = 0; i < 30; i++) {
        TPMFaultConfig config = fault_config(machine, faults[i % G_N_ELEMENTS(faults)]);

        config.delay_max_us = 200;
        machine->tpm->submit_when = config.fault == TPM_FAULT_CODE ? FAKE_WHEN_TOLD : FAKE_SOMEHOW;
        plug(machine, &config);
        start_command(machine);
        tis_machine_unplug(machine);
        if (config.fault == TPM_FAULT_CODE) {
            fake_backend_answer(machine->tpm);
        }
        fake_backend_wait_answers(machine->tpm, 2 * (i + 1));
    }
}

static gpointer fail_tpm(gpointer data)
{
    TISMachine *machine = data;

    fake_backend_fail(machine->tpm);
    return NULL;
}

static void test_a_hosts_context_is_kept_to(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_DELAY);

    fake_host_use_context(&machine->host);
    config.delay_min_us = 1;
    machine->tpm->submit_when = FAKE_BY_THREAD;
    plug(machine, &config);
    start_command(machine);
    fake_backend_wait_answers(machine->tpm, 2);
    while (!tis_has_response(machine, 0)) {
        fake_host_wait_context(&machine->host);
    }
    assert_good(machine);
    g_thread_join(g_thread_new("fails", fail_tpm, machine));
    assert_int_equal(fake_host_backend_errors(&machine->host), 0);
    fake_host_run_context(&machine->host);
    assert_int_equal(fake_host_backend_errors(&machine->host), 1);
    assert_ptr_equal(machine->host.backend_error_thread, g_thread_self());
}

/* Delays, cancels, resets, a TPM that answers in any way: what is lost is a hang. */
static void test_nothing_is_lost_between_threads(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_DELAY);
    g_autoptr(GRand) random = g_rand_new_with_seed(4711);

    config.delay_max_us = 150;
    config.percent = 50;
    machine->tpm->submit_when = FAKE_SOMEHOW;
    machine->tpm->start_when = FAKE_BY_THREAD;
    plug(machine, &config);
    for (unsigned i = 0; i < 1500; i++) {
        start_command(machine);
        switch (g_rand_int_range(random, 0, 12)) {
        case 0:
            tpmdev_device_reset(machine->device);
            tis_request(machine, 0);
            break;
        case 1:
            tis_sts_set(machine, 0, STS_CANCEL);
            G_GNUC_FALLTHROUGH;
        default:
            wait_response(machine);
            break;
        }
    }
}

/* ---- construction ---- */

static const char *find_socket(void *opaque, const char *id)
{
    assert_string_equal(id, "chr");
    ++*(unsigned *)opaque;
    return "/nowhere";
}

static void test_a_string_describes_the_tpm_within_and_its_fault(void **state)
{
    static const char *const good[] = {
        "fault,id=f,backend=null,,id=n,what=delay,delay=100",
        "fault,id=f,backend=null,,id=n,what=delay,delay=100-2000,percent=10,seed=0x77",
        "fault,id=f,backend=null,,id=n,,version=1.2,what=truncated,bytes=4,ordinal=0x17b,nth=3",
        "fault,id=f,backend=null,,id=n,what=code,code=0x922",
        "fault,id=f,backend=null,,id=n,what=death,byte=123456789012",
        "fault,id=f,backend=fault,,id=g,,backend=null,,,,id=n,,what=hang,what=size",
    };
    unsigned lookups = 0;
    GError *error = NULL;

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        TPMBackend *backend = tpmdev_backend_new_from_string(good[i], NULL, NULL, &error);

        if (!backend) {
            fail_msg("%s: %s", good[i], error->message);
        }
        assert_string_equal(tpmdev_backend_get_id(backend), "f");
        assert_int_equal(tpmdev_backend_get_version(backend),
                         i == 2 ? TPM_VERSION_1_2 : TPM_VERSION_2_0);
        tpmdev_backend_unref(backend);
    }
    assert_null(tpmdev_backend_new_from_string(
        "fault,id=f,backend=emulator,,id=e,,chardev=chr,what=hang", find_socket, &lookups, &error));
    assert_int_equal(lookups, 1);
    assert_non_null(strstr(error->message, "backend of 'fault': "));
    g_error_free(error);
}

static void test_each_bad_string_has_its_own_message(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "what=hang", "fault: parameter 'backend' is missing; give backend=VALUE" },
        { "backend=null,,id=n", "fault: parameter 'what' is missing; give what=VALUE" },
        { "backend=stone,,id=n,what=hang", "backend of 'fault': parameter 'type' is 'stone'" },
        { "backend=null,what=hang", "backend of 'fault': null: parameter 'id' is missing" },
        { "backend=null,,id=n,what=boom",
          "parameter 'what' is 'boom'; it must be delay, hang, size, truncated, longer, garbage, "
          "code, death or start" },
        { "backend=null,,id=n,what=code,code=x", "parameter 'code' is 'x'" },
        { "backend=null,,id=n,what=code,code=0x100000000",
          "parameter 'code' is '0x100000000'; it must be a number of 32 bits" },
        { "backend=null,,id=n,what=delay,delay=5-", "parameter 'delay' is '5-'; it must be micro" },
        { "backend=null,,id=n,what=delay,delay=5-4", "parameter 'delay' is '5-4'" },
        { "backend=null,,id=n,what=delay,delay=", "parameter 'delay' is ''" },
        { "backend=null,,id=n,what=delay,delay=3600000001", "parameter 'delay' is '36000000" },
        { "backend=null,,id=n,what=hang,percent=101", "parameter 'percent' is '101'" },
        { "backend=null,,id=n,what=longer,bytes=8193", "parameter 'bytes' is '8193'" },
        { "backend=null,,id=n,what=hang,color=red", "fault: invalid parameter 'color'" },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strconcat("fault,id=f,", cases[i].text, NULL);
        GError *error = NULL;

        assert_null(tpmdev_backend_new_from_string(text, NULL, NULL, &error));
        if (!g_str_has_prefix(error->message, cases[i].message)) {
            fail_msg("%s: %s", text, error->message);
        }
        g_error_free(error);
    }
}

static void assert_refused(const TPMFaultConfig *config, int code, const char *message)
{
    GError *error = NULL;

    assert_null(tpmdev_backend_fault_new(config, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, code));
    assert_string_equal(error->message, message);
    g_error_free(error);
}

static void test_each_bad_field_has_its_own_message(void **state)
{
    TISMachine *machine = *state;
    const TPMFaultConfig good = fault_config(machine, TPM_FAULT_HANG);
    TPMFaultConfig bad = good;

    bad.size = 0;
    assert_refused(&bad, TPM_ERROR_INVALID_OPTION,
                   "TPM fault: size must be sizeof(TPMFaultConfig)");
    bad = good;
    bad.fault = (TPMFault)9;
    assert_refused(&bad, TPM_ERROR_INVALID_OPTION, "TPM fault: the fault is none of TPMFault's");
    bad = good;
    bad.percent = 101;
    assert_refused(&bad, TPM_ERROR_INVALID_OPTION, "TPM fault: percent is above 100");
    bad = good;
    bad.bytes = TPM_BUFFER_SIZE_MAX + 1;
    assert_refused(&bad, TPM_ERROR_INVALID_OPTION, "TPM fault: bytes is above TPM_BUFFER_SIZE_MAX");
    bad = good;
    bad.delay_max_us = TPM_FAULT_DELAY_MAX + 1;
    assert_refused(&bad, TPM_ERROR_INVALID_OPTION,
                   "TPM fault: the delay is above TPM_FAULT_DELAY_MAX, an hour");
    bad = good;
    bad.delay_min_us = 2;
    bad.delay_max_us = 1;
    assert_refused(&bad, TPM_ERROR_INVALID_OPTION, "TPM fault: delay_max_us is below delay_min_us");
    bad = good;
    bad.backend = NULL;
    assert_refused(&bad, TPM_ERROR_MISSING_OPTION,
                   "TPM fault: the backend is missing; give the TPM that gets the fault");
    bad = good;
    bad.id = "";
    assert_refused(&bad, TPM_ERROR_INVALID_OPTION,
                   "TPM backend: the id is empty; give the backend a name");
}

static void test_a_tpm_that_serves_a_device_is_not_to_be_had(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_HANG);
    GError *error = NULL;

    tis_machine_plug(machine);
    assert_null(tpmdev_backend_fault_new(&config, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_IN_USE));
    g_error_free(error);
}

#define TEST_2_0(test) cmocka_unit_test_setup_teardown(test, setup_2_0, tis_teardown)
#define TEST_1_2(test) cmocka_unit_test_setup_teardown(test, setup_1_2, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_2_0(test_a_malformed_response_is_a_failure_to_the_guest),
        TEST_1_2(test_a_malformed_response_is_a_failure_to_the_guest),
        TEST_2_0(test_a_code_is_that_of_the_fault_in_the_shape_of_the_version),
        TEST_1_2(test_a_code_is_that_of_the_fault_in_the_shape_of_the_version),
        TEST_2_0(test_garbage_has_the_right_size_and_is_the_same_for_the_same_seed),
        TEST_2_0(test_a_late_response_comes_by_itself),
        TEST_2_0(test_a_cancel_ends_a_delay),
        TEST_2_0(test_a_tpm_that_hangs_leaves_the_registers_alone),
        TEST_2_0(test_a_reset_ends_a_hang),
        TEST_2_0(test_a_dead_tpm_is_dead_until_the_next_reset),
        TEST_1_2(test_a_dead_tpm_is_dead_until_the_next_reset),
        TEST_2_0(test_a_tpm_can_die_at_each_byte_of_its_responses),
        TEST_2_0(test_a_start_that_fails_says_why_and_the_next_one_is_well),
        TEST_1_2(test_a_start_that_fails_says_why_and_the_next_one_is_well),
        TEST_2_0(test_a_fault_shows_with_the_commands_it_is_for),
        TEST_2_0(test_chance_is_that_of_the_seed),
        TEST_2_0(test_the_completion_window_is_handed_on),
        cmocka_unit_test(test_a_tpm_without_poll_is_not_asked_to_linger),
        cmocka_unit_test(test_a_response_waits_for_the_device_to_look),
        TEST_2_0(test_a_cancel_reaches_the_tpm_within),
        TEST_2_0(test_failure_recovery_and_link_are_handed_on),
        TEST_2_0(test_the_established_flag_is_handed_on),
        TEST_2_0(test_a_measurement_is_handed_on),
        cmocka_unit_test_setup_teardown(test_whether_it_can_migrate_is_for_the_tpm_within_to_say,
                                        fixture_setup, fixture_teardown),
        TEST_2_0(test_the_next_device_waits_for_the_command_of_the_last_one),
        TEST_2_0(test_it_ends_in_the_midst_of_a_command),
        TEST_2_0(test_a_hosts_context_is_kept_to),
        TEST_2_0(test_nothing_is_lost_between_threads),
        cmocka_unit_test(test_a_string_describes_the_tpm_within_and_its_fault),
        cmocka_unit_test(test_each_bad_string_has_its_own_message),
        TEST_2_0(test_each_bad_field_has_its_own_message),
        TEST_2_0(test_a_tpm_that_serves_a_device_is_not_to_be_had),
    };

    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
