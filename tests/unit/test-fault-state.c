/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A `fault` backend whose fault shows when its TPM is saved, loaded, resumed, or asked whether it
 * can be: what the host is told, what the guest finds afterwards, and what the TPM within was
 * asked.
 *
 * Neighbour: test-fault-moves.c, where it does not show.
 */
#include "backend-client.h"
#include "chain-tpm.h"
#include "fake-host.h"
#include "fault-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define LONG_NS  G_GINT64_CONSTANT(30000000000)
#define SHORT_NS G_GINT64_CONSTANT(3000000)

/* ---- a machine whose TPM has a fault, and can be moved ---- */

typedef struct Machine {
    FakeHost host;
    ChainTPM *tpm;
    TPMBackend *fault;
    TPMDevice *device;
    TPMFaultConfig config;
    GError *error;
} Machine;

static void plug_device(Machine *machine, TPMBackend *backend, bool incoming)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    GError *error = NULL;

    config.incoming = incoming;
    machine->device =
        tpmdev_device_new(&config, backend, &machine->host.host, &machine->host, &error);
    if (!machine->device) {
        fail_msg("%s", error->message);
    }
}

/* A new TPM with this fault; machine->config has whatever else there is to it. */
static void plug(Machine *machine, TPMFault fault, TPMFaultOn on, bool incoming)
{
    machine->tpm = chain_tpm_new(TPM_VERSION_2_0, TPM_BUFFER_SIZE_COMMON, true);
    machine->config.size = sizeof(machine->config);
    machine->config.id = "faulty";
    machine->config.backend = machine->tpm->backend;
    machine->config.fault = fault;
    machine->config.on = on;
    machine->fault = fault_new(&machine->config);
    plug_device(machine, machine->fault, incoming);
}

/* One with a fault that does not show. */
static void plug_well(Machine *machine, bool incoming)
{
    uint32_t nth = machine->config.nth;

    machine->config.nth = UINT32_MAX;
    plug(machine, TPM_FAULT_DEATH, TPM_FAULT_ON_RESUME, incoming);
    machine->config.nth = nth;
}

static void unplug(Machine *machine)
{
    machine->device = tpmdev_device_free(machine->device);
    machine->fault = tpmdev_backend_unref(machine->fault);
    if (machine->tpm) {
        chain_tpm_free(g_steal_pointer(&machine->tpm));
    }
}

static int setup(void **state)
{
    Machine *machine = g_new0(Machine, 1);

    fake_host_init(&machine->host);
    *state = machine;
    return 0;
}

static int teardown(void **state)
{
    Machine *machine = *state;

    unplug(machine);
    fake_host_clear(&machine->host);
    g_clear_error(&machine->error);
    g_free(machine);
    return 0;
}

/* ---- what its guest and its host do ---- */

static void start_command(Machine *machine)
{
    tpmdev_device_write(machine->device, REG_ACCESS, 1, ACCESS_REQUEST);
    tpmdev_device_write(machine->device, REG_STS, 4, STS_READY);
    for (unsigned i = 0; i < sizeof(command_2_0); i++) {
        tpmdev_device_write(machine->device, REG_FIFO, 1, command_2_0[i]);
    }
    tpmdev_device_write(machine->device, REG_STS, 4, STS_GO);
}

static bool has_response(Machine *machine)
{
    uint64_t sts;

    tpmdev_device_read(machine->device, REG_STS, 4, &sts);
    return (sts & 0x90) == 0x90;
}

/* Start a command and wait for its response; did the TPM give it? */
static bool is_well(Machine *machine)
{
    gint64 deadline = g_get_monotonic_time() + FAULT_DEADLINE_S * G_TIME_SPAN_SECOND;
    uint64_t code = 0;

    start_command(machine);
    while (!has_response(machine)) {
        if (g_get_monotonic_time() > deadline) {
            fail_msg("no response within %d s", FAULT_DEADLINE_S);
        }
        g_thread_yield();
    }
    for (unsigned i = 0; i < TPM_HEADER_SIZE; i++) {
        uint64_t byte;

        tpmdev_device_read(machine->device, REG_FIFO, 1, &byte);
        code = code << 8 | byte;
    }
    return (uint32_t)code == 0;
}

static GBytes *save(Machine *machine)
{
    GBytes *state = tpmdev_device_save(machine->device, LONG_NS, &machine->error);

    if (!state) {
        fail_msg("%s", machine->error->message);
    }
    return state;
}

static void load(Machine *machine, GBytes *state)
{
    if (!tpmdev_device_load(machine->device, state, LONG_NS, &machine->error)) {
        fail_msg("%s", machine->error->message);
    }
}

static void assert_error(Machine *machine, TPMError code, const char *message)
{
    assert_true(g_error_matches(machine->error, TPMDEV_ERROR, (gint)code));
    assert_string_equal(machine->error->message, message);
    g_clear_error(&machine->error);
}

static void assert_save_fails(Machine *machine, int64_t timeout_ns, TPMError code,
                              const char *message)
{
    assert_null(tpmdev_device_save(machine->device, timeout_ns, &machine->error));
    assert_error(machine, code, message);
}

static void assert_load_fails(Machine *machine, GBytes *state, int64_t timeout_ns, TPMError code,
                              const char *message)
{
    assert_false(tpmdev_device_load(machine->device, state, timeout_ns, &machine->error));
    assert_error(machine, code, message);
}

#define HAS_NOT_ENDED                                                                              \
    "TPM backend 'faulty' has not ended what it is doing within the time given; nothing was "      \
    "saved or loaded"
#define HAS_DIED "TPM backend 'faulty' has died, as it was told to"

/* The state of another TPM that has had two commands; the machine has one without, and no fault. */
static GBytes *other_state(Machine *machine)
{
    plug_well(machine, false);
    assert_true(is_well(machine));
    assert_true(is_well(machine));
    GBytes *state = save(machine);

    unplug(machine);
    return state;
}

/* ---- whose state it is ---- */

static void test_what_is_saved_says_nothing_of_the_fault(void **state)
{
    Machine *machine = *state;
    g_autoptr(GBytes) behind = other_state(machine);

    plug_well(machine, true);
    tpmdev_device_free(machine->device);
    machine->fault = tpmdev_backend_unref(machine->fault);
    plug_device(machine, machine->tpm->backend, true);
    load(machine, behind);
    assert_int_equal(machine->tpm->commands, 2);
    g_autoptr(GBytes) plain = save(machine);

    assert_true(g_bytes_equal(plain, behind));
    unplug(machine);
    plug_well(machine, true);
    load(machine, plain);
    assert_int_equal(machine->tpm->commands, 2);
}

static void test_a_state_of_another_type_is_refused_in_the_name_of_the_tpm_within(void **state)
{
    Machine *machine = *state;
    g_autoptr(GBytes) other = other_state(machine);
    FakeBackend *fake = fake_backend_new(TPM_VERSION_2_0, FAKE_FULL, TPM_BUFFER_SIZE_COMMON);

    machine->fault = fault_wrap(fake->backend);
    plug_device(machine, machine->fault, true);
    assert_load_fails(machine, other, LONG_NS, TPM_ERROR_UNSUPPORTED,
                      "TPM backend 'fake' of type fake cannot hand out its TPM's state");
    assert_false(tpmdev_device_can_migrate(machine->device, &machine->error));
    assert_error(machine, TPM_ERROR_UNSUPPORTED,
                 "TPM backend 'fake' of type fake cannot hand out its TPM's state");
    unplug(machine);
    fake_backend_free(fake);
}

static void test_what_the_tpm_within_refuses_is_refused(void **state)
{
    Machine *machine = *state;
    g_autoptr(GBytes) other = other_state(machine);

    plug_well(machine, false);
    machine->tpm->refuses = true;
    assert_save_fails(machine, LONG_NS, TPM_ERROR_STATE_DAMAGED, "the chain is broken");
    assert_load_fails(machine, other, LONG_NS, TPM_ERROR_STATE_DAMAGED, "the chain is broken");
    assert_true(is_well(machine));
    machine->tpm->refuses = false;
    machine->tpm->fails = true;
    assert_save_fails(machine, LONG_NS, TPM_ERROR_STATE_DAMAGED, "the chain is broken");
    assert_false(is_well(machine));
    tpmdev_device_reset(machine->device);
    assert_true(is_well(machine));
}

/* ---- refused ---- */

static void test_a_save_that_is_refused_leaves_the_tpm_alone(void **state)
{
    Machine *machine = *state;

    machine->config.nth = 2;
    plug(machine, TPM_FAULT_REFUSE, TPM_FAULT_ON_SAVE, false);
    g_bytes_unref(save(machine));
    tpmdev_device_resume(machine->device);
    assert_save_fails(machine, LONG_NS, TPM_ERROR_TPM,
                      "TPM backend 'faulty' refuses its state to be saved, as it was told to");
    assert_int_equal(machine->tpm->saves, 1);
    assert_true(is_well(machine));
    g_bytes_unref(save(machine));
    assert_int_equal(machine->tpm->saves, 2);
}

static void test_a_load_that_is_refused_leaves_the_tpm_alone(void **state)
{
    Machine *machine = *state;
    g_autoptr(GBytes) other = other_state(machine);

    machine->config.nth = 1;
    plug(machine, TPM_FAULT_REFUSE, TPM_FAULT_ON_LOAD, false);
    assert_true(is_well(machine));
    assert_load_fails(machine, other, LONG_NS, TPM_ERROR_TPM,
                      "TPM backend 'faulty' refuses its state to be loaded, as it was told to");
    assert_int_equal(machine->tpm->loads, 0);
    assert_true(is_well(machine));
    assert_int_equal(machine->tpm->commands, 2);
    load(machine, other);
    tpmdev_device_resume(machine->device);
    assert_int_equal(machine->tpm->loads, 1);
    assert_true(is_well(machine));
    assert_int_equal(machine->tpm->commands, 3);
}

static void test_a_tpm_that_cannot_migrate_is_not_asked_for_its_state(void **state)
{
    Machine *machine = *state;

    plug(machine, TPM_FAULT_REFUSE, TPM_FAULT_ON_CAN_MIGRATE, false);
    assert_false(tpmdev_device_can_migrate(machine->device, &machine->error));
    assert_error(machine, TPM_ERROR_UNSUPPORTED,
                 "TPM backend 'faulty' cannot be saved or migrated, as it was told to");
    assert_save_fails(machine, LONG_NS, TPM_ERROR_UNSUPPORTED,
                      "TPM backend 'faulty' cannot be saved or migrated, as it was told to");
    assert_int_equal(machine->tpm->saves, 0);
    assert_true(is_well(machine));
}

static void test_chance_of_a_save_is_that_of_the_seed(void **state)
{
    Machine *machine = *state;
    char found[2][33] = { { 0 } };

    machine->config.percent = 50;
    machine->config.seed = 3;
    for (unsigned run = 0; run < 2; run++) {
        plug(machine, TPM_FAULT_REFUSE, TPM_FAULT_ON_SAVE, false);
        for (unsigned i = 0; i < 32; i++) {
            GBytes *saved = tpmdev_device_save(machine->device, LONG_NS, NULL);

            found[run][i] = saved ? '.' : 'x';
            g_clear_pointer(&saved, g_bytes_unref);
            tpmdev_device_resume(machine->device);
        }
        unplug(machine);
    }
    assert_string_equal(found[0], found[1]);
    assert_non_null(strchr(found[0], '.'));
    assert_non_null(strchr(found[0], 'x'));
}

/* ---- late ---- */

static void test_a_late_save_and_a_late_load_are_waited_for(void **state)
{
    Machine *machine = *state;

    machine->config.delay_min_us = 5000;
    for (unsigned i = 0; i < 2; i++) {
        bool is_load = i == 1;
        gint64 begin = g_get_monotonic_time();

        plug(machine, TPM_FAULT_DELAY, is_load ? TPM_FAULT_ON_LOAD : TPM_FAULT_ON_SAVE, false);
        g_autoptr(GBytes) saved = save(machine);

        if (is_load) {
            load(machine, saved);
        }
        assert_true(g_get_monotonic_time() - begin >= 5000);
        tpmdev_device_resume(machine->device);
        assert_true(is_well(machine));
        unplug(machine);
    }
}

/* It was handed out all the same, and so the TPM is to know that it goes on here. */
static void test_a_save_that_comes_too_late_is_taken_back(void **state)
{
    Machine *machine = *state;

    plug_well(machine, false);
    machine->tpm->at_once = false;
    machine->tpm->deaf = true;
    assert_save_fails(machine, SHORT_NS, TPM_ERROR_TIMED_OUT, HAS_NOT_ENDED);
    assert_true(machine->tpm->saving);
    machine->tpm->at_once = true;
    start_command(machine);
    assert_false(has_response(machine));
    chain_tpm_answer(machine->tpm);
    assert_false(machine->tpm->handed_out);
}

static void test_the_next_device_has_a_tpm_whose_state_was_handed_out(void **state)
{
    Machine *machine = *state;

    plug_well(machine, false);
    machine->tpm->at_once = false;
    machine->tpm->deaf = true;
    tpmdev_device_free(machine->device);
    plug_device(machine, machine->fault, false);
    chain_tpm_answer(machine->tpm); /* the start for the first one, */
    chain_tpm_answer(machine->tpm); /* and for the second */
    assert_save_fails(machine, SHORT_NS, TPM_ERROR_TIMED_OUT, HAS_NOT_ENDED);
    tpmdev_device_free(machine->device);
    plug_device(machine, machine->fault, false);
    assert_int_equal(machine->tpm->starts, 2);
    machine->tpm->at_once = true;
    chain_tpm_answer(machine->tpm);
    assert_int_equal(machine->tpm->resumes, 1);
    assert_int_equal(machine->tpm->starts, 3);
    assert_true(is_well(machine));
}

static void test_a_load_waits_for_the_command_of_the_last_device(void **state)
{
    Machine *machine = *state;
    g_autoptr(GBytes) other = other_state(machine);

    plug_well(machine, false);
    machine->tpm->at_once = false;
    machine->tpm->deaf = true;
    start_command(machine);
    assert_true(machine->tpm->executing);
    tpmdev_device_free(machine->device);
    machine->tpm->deaf = false;
    plug_device(machine, machine->fault, true);
    load(machine, other);
    assert_int_equal(machine->tpm->commands, 2);
    machine->tpm->at_once = true;
    tpmdev_device_resume(machine->device);
    assert_true(is_well(machine));
}

/*
 * The last device has gone with a save, a start or a step of a measurement under way, and the next
 * one loads a state: what becomes of the former is no answer to that.
 */
static void test_a_load_is_not_answered_for_the_last_device(void **state)
{
    Machine *machine = *state;
    g_autoptr(GError) failure = g_error_new_literal(TPMDEV_ERROR, TPM_ERROR_TPM, "the fuse is out");
    BackendClient client;

    machine->tpm = chain_tpm_new(TPM_VERSION_2_0, TPM_BUFFER_SIZE_COMMON, true);
    machine->fault = fault_wrap(machine->tpm->backend);
    backend_client_bind(&client, machine->fault, NULL);
    assert_true(backend_client_start(&client, TPM_BUFFER_SIZE_COMMON));
    g_autofree TPMState *saved = backend_client_save(&client);

    tpm_backend_resume(machine->fault);
    machine->tpm->deaf = true;
    for (unsigned i = 0; i < 3; i++) {
        machine->tpm->at_once = false;
        if (i == 0) {
            tpm_backend_save_state(machine->fault, false);
        } else if (i == 1) {
            tpm_backend_start(machine->fault, TPM_BUFFER_SIZE_COMMON);
        } else {
            backend_client_hash(&client, TPM_HASH_START, NULL, 0);
        }
        backend_client_unbind(&client);
        backend_client_bind(&client, machine->fault, NULL);
        tpm_backend_load_state(machine->fault, TPM_BUFFER_SIZE_COMMON, saved, false, false);
        assert_int_equal(machine->tpm->loads, i);
        if (i == 0) {
            chain_tpm_answer(machine->tpm);
        } else {
            machine->tpm->starting = machine->tpm->hashing = false;
            tpmdev_backend_failed(machine->tpm->backend, failure);
        }
        assert_int_equal(machine->tpm->loads, i + 1);
        assert_int_equal(client.moved, 0);
        chain_tpm_answer(machine->tpm);
        assert_int_equal(client.moved, 1);
        assert_null(client.move_error);
    }
    backend_client_unbind(&client);
}

/* ---- never ---- */

static void test_a_save_or_load_that_hangs_is_refused_in_the_end(void **state)
{
    Machine *machine = *state;
    g_autoptr(GBytes) other = other_state(machine);

    machine->config.delay_min_us = 3000;
    plug(machine, TPM_FAULT_HANG, TPM_FAULT_ON_SAVE, false);
    assert_save_fails(machine, LONG_NS, TPM_ERROR_TIMED_OUT,
                      "TPM backend 'faulty' has not answered within 3 ms, as it was told to");
    assert_int_equal(machine->tpm->saves, 0);
    assert_true(is_well(machine));
    unplug(machine);
    plug(machine, TPM_FAULT_HANG, TPM_FAULT_ON_LOAD, false);
    assert_load_fails(machine, other, LONG_NS, TPM_ERROR_TIMED_OUT,
                      "TPM backend 'faulty' has not answered within 3 ms, as it was told to");
    assert_int_equal(machine->tpm->loads, 0);
    assert_true(is_well(machine));
}

/* The host has given up; whether that or the end of the hang is first, the command is carried out.
 */
static void test_what_a_guest_asks_in_a_hang_waits_for_its_end(void **state)
{
    Machine *machine = *state;

    machine->config.delay_min_us = 20000;
    plug(machine, TPM_FAULT_HANG, TPM_FAULT_ON_SAVE, false);
    assert_null(tpmdev_device_save(machine->device, SHORT_NS, &machine->error));
    assert_true(g_error_matches(machine->error, TPMDEV_ERROR, TPM_ERROR_TIMED_OUT));
    assert_true(is_well(machine));
    assert_int_equal(machine->tpm->saves, 0);
}

static void test_the_next_device_ends_a_hang(void **state)
{
    Machine *machine = *state;

    machine->config.delay_min_us = TPM_FAULT_DELAY_MAX;
    plug(machine, TPM_FAULT_HANG, TPM_FAULT_ON_SAVE, false);
    assert_save_fails(machine, SHORT_NS, TPM_ERROR_TIMED_OUT, HAS_NOT_ENDED);
    start_command(machine);
    for (unsigned i = 0; i < 100; i++) {
        assert_false(has_response(machine));
    }
    tpmdev_device_free(machine->device);
    plug_device(machine, machine->fault, false);
    assert_int_equal(machine->tpm->starts, 2);
    assert_true(is_well(machine));
}

/* Whatever the TPM within answers meanwhile to the device before. */
static void test_a_hang_ends_as_it_was_told_to(void **state)
{
    Machine *machine = *state;
    TPMState none = { .size = sizeof(none), .writer = "nobody" };
    BackendClient client;

    machine->config.delay_min_us = 50000;
    plug(machine, TPM_FAULT_HANG, TPM_FAULT_ON_LOAD, false);
    machine->tpm->at_once = false;
    machine->tpm->deaf = true;
    assert_save_fails(machine, SHORT_NS, TPM_ERROR_TIMED_OUT, HAS_NOT_ENDED);
    machine->device = tpmdev_device_free(machine->device);
    backend_client_bind(&client, machine->fault, NULL);
    tpm_backend_load_state(machine->fault, TPM_BUFFER_SIZE_COMMON, &none, false, false);
    machine->tpm->refuses = true;
    chain_tpm_answer(machine->tpm);
    backend_client_wait_moved(&client, 1);
    assert_string_equal(client.move_error, "TPM backend 'faulty' has not answered within 50 ms, as "
                                           "it was told to");
    backend_client_unbind(&client);
}

/* Whoever wants another one says so: half a minute is longer than any test waits. */
static void test_a_hang_has_an_end_of_its_own(void **state)
{
    Machine *machine = *state;

    plug(machine, TPM_FAULT_HANG, TPM_FAULT_ON_SAVE, false);
    assert_save_fails(machine, SHORT_NS, TPM_ERROR_TIMED_OUT, HAS_NOT_ENDED);
}

/* ---- dead ---- */

static void test_a_tpm_that_dies_in_a_save_is_dead_until_the_next_reset(void **state)
{
    Machine *machine = *state;

    machine->config.nth = 1;
    plug(machine, TPM_FAULT_DEATH, TPM_FAULT_ON_SAVE, false);
    assert_save_fails(machine, LONG_NS, TPM_ERROR_TPM, HAS_DIED);
    assert_int_equal(machine->tpm->saves, 1);
    assert_false(is_well(machine));
    assert_int_equal(fake_host_link(&machine->host), TPM_LINK_GONE);
    tpmdev_backend_recovered(
        machine->fault); /* told in the moment it died: it is dead all the same */
    assert_save_fails(machine, LONG_NS, TPM_ERROR_TPM, HAS_DIED);
    assert_int_equal(machine->tpm->saves, 1);
    tpmdev_device_reset(machine->device);
    assert_int_equal(machine->tpm->resumes, 1);
    assert_true(is_well(machine));
    g_bytes_unref(save(machine));
}

static void test_a_tpm_that_dies_in_a_load_is_dead_until_the_next_one(void **state)
{
    Machine *machine = *state;
    g_autoptr(GBytes) other = other_state(machine);

    machine->config.nth = 1;
    plug(machine, TPM_FAULT_DEATH, TPM_FAULT_ON_LOAD, false);
    assert_load_fails(machine, other, LONG_NS, TPM_ERROR_TPM, HAS_DIED);
    assert_false(is_well(machine));
    load(machine, other);
    tpmdev_device_resume(machine->device);
    assert_true(is_well(machine));
    assert_int_equal(machine->tpm->loads, 2);
    assert_int_equal(machine->tpm->commands, 3);
}

static void test_a_tpm_that_cannot_go_on_has_failed(void **state)
{
    Machine *machine = *state;

    machine->config.nth = 1;
    plug(machine, TPM_FAULT_DEATH, TPM_FAULT_ON_RESUME, false);
    g_bytes_unref(save(machine));
    tpmdev_device_resume(machine->device);
    assert_int_equal(machine->tpm->resumes, 0);
    assert_string_equal(machine->host.backend_error, HAS_DIED);
    assert_false(is_well(machine));
    tpmdev_device_reset(machine->device);
    assert_int_equal(machine->tpm->resumes, 1);
    assert_true(is_well(machine));
}

/* The TPM within fails while the answer, which has come, is held back. */
static void test_a_failure_ends_a_save_that_is_late(void **state)
{
    Machine *machine = *state;
    g_autoptr(GError) failure = g_error_new_literal(TPMDEV_ERROR, TPM_ERROR_TPM, "the fuse is out");
    TPMFaultConfig config = { .size = sizeof(config),
                              .id = "faulty",
                              .fault = TPM_FAULT_DELAY,
                              .delay_min_us = TPM_FAULT_DELAY_MAX,
                              .on = TPM_FAULT_ON_SAVE };
    BackendClient client;

    machine->tpm = chain_tpm_new(TPM_VERSION_2_0, TPM_BUFFER_SIZE_COMMON, true);
    config.backend = machine->tpm->backend;
    machine->fault = fault_new(&config);
    backend_client_bind(&client, machine->fault, NULL);
    assert_true(backend_client_start(&client, TPM_BUFFER_SIZE_COMMON));
    tpm_backend_save_state(machine->fault, false);
    assert_int_equal(client.moved, 0);
    assert_true(machine->tpm->handed_out);
    tpmdev_backend_failed(machine->tpm->backend, failure);
    assert_int_equal(client.moved, 1);
    assert_null(client.saved);
    assert_string_equal(client.move_error, "the fuse is out");
    assert_true(backend_client_start(&client, TPM_BUFFER_SIZE_COMMON));
    assert_int_equal(machine->tpm->resumes, 1);
    backend_client_unbind(&client);
}

#define FAULT_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FAULT_TEST(test_what_is_saved_says_nothing_of_the_fault),
        FAULT_TEST(test_a_state_of_another_type_is_refused_in_the_name_of_the_tpm_within),
        FAULT_TEST(test_what_the_tpm_within_refuses_is_refused),
        FAULT_TEST(test_a_save_that_is_refused_leaves_the_tpm_alone),
        FAULT_TEST(test_a_load_that_is_refused_leaves_the_tpm_alone),
        FAULT_TEST(test_a_tpm_that_cannot_migrate_is_not_asked_for_its_state),
        FAULT_TEST(test_chance_of_a_save_is_that_of_the_seed),
        FAULT_TEST(test_a_late_save_and_a_late_load_are_waited_for),
        FAULT_TEST(test_a_save_that_comes_too_late_is_taken_back),
        FAULT_TEST(test_the_next_device_has_a_tpm_whose_state_was_handed_out),
        FAULT_TEST(test_a_load_waits_for_the_command_of_the_last_device),
        FAULT_TEST(test_a_load_is_not_answered_for_the_last_device),
        FAULT_TEST(test_a_save_or_load_that_hangs_is_refused_in_the_end),
        FAULT_TEST(test_what_a_guest_asks_in_a_hang_waits_for_its_end),
        FAULT_TEST(test_the_next_device_ends_a_hang),
        FAULT_TEST(test_a_hang_ends_as_it_was_told_to),
        FAULT_TEST(test_a_hang_has_an_end_of_its_own),
        FAULT_TEST(test_a_tpm_that_dies_in_a_save_is_dead_until_the_next_reset),
        FAULT_TEST(test_a_tpm_that_dies_in_a_load_is_dead_until_the_next_one),
        FAULT_TEST(test_a_tpm_that_cannot_go_on_has_failed),
        FAULT_TEST(test_a_failure_ends_a_save_that_is_late),
    };

    return cmocka_run_group_tests_name("fault-state", tests, NULL, NULL);
}
