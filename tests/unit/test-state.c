/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Saving and loading as a hypervisor calls it: what is waited for and for how long, what happens
 * when the TPM will not, and what a device that is held does and does not.
 */
#include "chain-tpm.h"
#include "fake-host.h"
#include "moving-guest.h"
#include "tis-driver.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define LONG_NS  MOVING_DEADLINE_NS
#define SHORT_NS G_GINT64_CONSTANT(3000000)
#define SOME_NS  G_GINT64_CONSTANT(300000000) /* in which a busy computer gets to ask the TPM */

typedef struct Machine {
    FakeHost host;
    ChainTPM *tpm;
    TPMDevice *device;
    GError *error;
} Machine;

static void plug(Machine *machine, bool incoming)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    GError *error = NULL;

    config.incoming = incoming;
    machine->tpm = chain_tpm_new(TPM_VERSION_2_0, TPM_BUFFER_SIZE_COMMON, false);
    machine->device = tpmdev_device_new(&config, machine->tpm->backend, &machine->host.host,
                                        &machine->host, &error);
    if (!machine->device) {
        fail_msg("%s", error->message);
    }
}

static void unplug(Machine *machine)
{
    machine->device = tpmdev_device_free(machine->device);
    chain_tpm_free(machine->tpm);
}

static int setup(void **state)
{
    Machine *machine = g_new0(Machine, 1);

    fake_host_init(&machine->host);
    plug(machine, false);
    chain_tpm_answer(machine->tpm);
    *state = machine;
    return 0;
}

static int setup_incoming(void **state)
{
    Machine *machine = g_new0(Machine, 1);

    fake_host_init(&machine->host);
    plug(machine, true);
    *state = machine;
    return 0;
}

static int setup_context(void **state)
{
    Machine *machine = g_new0(Machine, 1);

    fake_host_init(&machine->host);
    fake_host_use_context(&machine->host);
    plug(machine, false);
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

/* ---- what a guest and a hypervisor do ---- */

static uint64_t rd(Machine *machine, uint64_t offset)
{
    uint64_t value;

    tpmdev_device_read(machine->device, offset, 4, &value);
    return value;
}

static void wr(Machine *machine, uint64_t offset, uint64_t value)
{
    tpmdev_device_write(machine->device, offset, 4, value);
}

static void start_command(Machine *machine)
{
    tpmdev_device_write(machine->device, REG_ACCESS, 1, ACCESS_REQUEST);
    wr(machine, REG_STS, STS_READY);
    for (unsigned i = 0; i < sizeof(command_2_0); i++) {
        tpmdev_device_write(machine->device, REG_FIFO, 1, command_2_0[i]);
    }
    wr(machine, REG_STS, STS_GO);
}

static bool has_response(Machine *machine)
{
    return (rd(machine, REG_STS) & 0x90) == 0x90;
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

static void assert_error(Machine *machine, TPMError code, const char *text)
{
    assert_true(g_error_matches(machine->error, TPMDEV_ERROR, (gint)code));
    if (!strstr(machine->error->message, text)) {
        fail_msg("'%s' is not in '%s'", text, machine->error->message);
    }
    g_clear_error(&machine->error);
}

static void assert_save_fails(Machine *machine, int64_t timeout_ns, TPMError code, const char *text)
{
    assert_null(tpmdev_device_save(machine->device, timeout_ns, &machine->error));
    assert_error(machine, code, text);
}

/* ---- save ---- */

static void test_a_command_the_tpm_has_is_waited_for(void **state)
{
    Machine *machine = *state;

    start_command(machine);
    assert_false(has_response(machine));
    g_autoptr(GBytes) saved = save(machine);

    assert_true(has_response(machine));
    assert_int_equal(machine->tpm->commands, 1);
}

static void test_a_command_that_does_not_end_fails_the_save(void **state)
{
    Machine *machine = *state;

    start_command(machine);
    machine->tpm->deaf = true;
    assert_save_fails(machine, SHORT_NS, TPM_ERROR_TIMED_OUT, "has not ended what it is doing");
    assert_int_equal(machine->tpm->saves, 0);

    /* And the source goes on, unharmed: this command, and the next. */
    chain_tpm_answer(machine->tpm);
    assert_true(has_response(machine));
    start_command(machine);
    assert_int_equal(machine->tpm->executing, 1);
    chain_tpm_answer(machine->tpm);
    assert_true(has_response(machine));
}

static void test_a_tpm_that_does_not_hand_its_state_out_in_time_goes_on(void **state)
{
    Machine *machine = *state;

    machine->tpm->deaf = true;
    assert_save_fails(machine, SHORT_NS, TPM_ERROR_TIMED_OUT, "has not ended what it is doing");
    assert_true(machine->tpm->saving);
    start_command(machine); /* waits for the end of that */
    assert_int_equal(machine->tpm->executing, 0);
    machine->tpm->refuses = true; /* the answer that nobody waits for */
    chain_tpm_answer(machine->tpm);
    assert_true(machine->tpm->executing);
    chain_tpm_answer(machine->tpm);
    assert_true(has_response(machine));
}

/* To the TPM it was handed out, and the storage may not be its own any more. */
static void test_a_tpm_whose_state_comes_too_late_is_told_that_it_goes_on(void **state)
{
    Machine *machine = *state;

    machine->tpm->deaf = true;
    assert_save_fails(machine, SHORT_NS, TPM_ERROR_TIMED_OUT, "has not ended what it is doing");
    start_command(machine);
    chain_tpm_answer(machine->tpm);
    assert_int_equal(machine->tpm->resumes, 1);
    assert_true(machine->tpm->executing);
}

static void test_a_refusal_is_told_and_changes_nothing(void **state)
{
    Machine *machine = *state;

    machine->tpm->refuses = true;
    assert_save_fails(machine, LONG_NS, TPM_ERROR_STATE_DAMAGED, "the chain is broken");
    start_command(machine);
    chain_tpm_answer(machine->tpm);
    assert_true(has_response(machine));
    assert_int_equal(machine->tpm->resumes, 0);
}

static void test_a_tpm_that_has_failed_cannot_be_saved(void **state)
{
    Machine *machine = *state;

    machine->tpm->fails = true;
    assert_save_fails(machine, LONG_NS, TPM_ERROR_STATE_DAMAGED, "the chain is broken");
    machine->tpm->fails = false;
    assert_save_fails(machine, LONG_NS, TPM_ERROR_TPM, "has failed; the state of its TPM cannot");
    tpmdev_device_reset(machine->device);
    chain_tpm_answer(machine->tpm);
    g_autoptr(GBytes) saved = save(machine);
}

static void test_a_tpm_that_was_not_started_cannot_be_saved(void **state)
{
    assert_save_fails(*state, LONG_NS, TPM_ERROR_TPM, "has not been started");
}

/* The TPM had handed its state out by then, and is to hear that it goes on. */
static void test_without_a_digest_nothing_is_saved_or_loaded(void **state)
{
    Machine *machine = *state;
    g_autoptr(GBytes) saved = save(machine);

    tpmdev_device_resume(machine->device);
    assert_int_equal(machine->tpm->resumes, 1);
    assert_int_equal(EVP_set_default_properties(NULL, "provider=none"), 1);
    assert_save_fails(machine, LONG_NS, TPM_ERROR_IO, "OpenSSL cannot hash it");
    assert_int_equal(machine->tpm->resumes, 2);
    assert_false(tpmdev_device_load(machine->device, saved, LONG_NS, &machine->error));
    assert_error(machine, TPM_ERROR_IO, "OpenSSL cannot hash it");
    assert_int_equal(EVP_set_default_properties(NULL, ""), 1);
    start_command(machine);
    chain_tpm_answer(machine->tpm);
    assert_true(has_response(machine));
}

static void test_a_hosts_context_need_not_run(void **state)
{
    Machine *machine = *state;

    start_command(machine); /* behind the start */
    g_autoptr(GBytes) saved = save(machine);

    unplug(machine);
    plug(machine, true);
    load(machine, saved);
    tpmdev_device_resume(machine->device);
    assert_true(machine->tpm->executing); /* it was carried over */
    chain_tpm_answer(machine->tpm);
    fake_host_run_context(&machine->host);
    assert_true(has_response(machine));
}

/* ---- held ---- */

static void test_a_command_of_a_held_device_waits_for_its_resume(void **state)
{
    Machine *machine = *state;
    g_autoptr(GBytes) saved = save(machine);

    start_command(machine);
    assert_int_equal(rd(machine, REG_STS) & 0xFF, 0x80);
    assert_false(machine->tpm->executing);
    tpmdev_device_resume(machine->device);
    assert_int_equal(machine->tpm->resumes, 1);
    assert_true(machine->tpm->executing);
    chain_tpm_answer(machine->tpm);
    assert_true(has_response(machine));
}

static void test_a_command_that_waits_goes_along(void **state)
{
    Machine *machine = *state;

    g_bytes_unref(save(machine));
    start_command(machine);
    g_autoptr(GBytes) saved = save(machine);

    unplug(machine);
    plug(machine, true);
    load(machine, saved);
    tpmdev_device_resume(machine->device);
    assert_true(machine->tpm->executing);
    assert_int_equal(machine->tpm->command.size, sizeof(command_2_0));
    assert_memory_equal(machine->tpm->command.data, command_2_0, sizeof(command_2_0));
    assert_int_equal(machine->tpm->command.locality, 0);
}

static void test_a_reset_of_a_held_device_waits_and_goes_along(void **state)
{
    Machine *machine = *state;

    g_bytes_unref(save(machine));
    tpmdev_device_reset(machine->device);
    assert_int_equal(machine->tpm->starts, 1);
    g_autoptr(GBytes) saved = save(machine);

    unplug(machine);
    plug(machine, true);
    load(machine, saved);
    assert_int_equal(machine->tpm->starts, 0);
    tpmdev_device_resume(machine->device);
    assert_int_equal(machine->tpm->starts, 1);
}

static void test_a_command_of_a_held_device_can_be_cancelled(void **state)
{
    Machine *machine = *state;

    g_bytes_unref(save(machine));
    start_command(machine);
    wr(machine, REG_STS, STS_CANCEL);
    assert_true(has_response(machine));
    tpmdev_device_resume(machine->device);
    assert_int_equal(machine->tpm->commands, 0);
}

static void test_a_resume_of_a_device_that_is_not_held_does_nothing(void **state)
{
    Machine *machine = *state;

    tpmdev_device_resume(machine->device);
    assert_int_equal(machine->tpm->resumes, 0);
    assert_int_equal(machine->tpm->starts, 1);
}

/* ---- load ---- */

static void test_an_incoming_device_starts_no_tpm_before_its_resume(void **state)
{
    Machine *machine = *state;

    start_command(machine);
    assert_int_equal(machine->tpm->starts, 0);
    tpmdev_device_resume(machine->device);
    assert_int_equal(machine->tpm->starts, 1);
    chain_tpm_answer(machine->tpm);
    assert_true(machine->tpm->executing);
}

static void test_a_loaded_tpm_is_not_started(void **state)
{
    Machine *machine = *state;
    g_autoptr(GBytes) saved = save(machine);

    unplug(machine);
    plug(machine, true);
    load(machine, saved);
    tpmdev_device_resume(machine->device);
    assert_int_equal(machine->tpm->starts, 0);
    assert_int_equal(machine->tpm->power_cycles, 1);
    assert_true(tpmdev_device_wait_ready(machine->device, 0, NULL));
}

static void test_a_restored_level_is_told_to_nobody(void **state)
{
    Machine *machine = *state;

    tpmdev_device_write(machine->device, REG_ACCESS, 1, ACCESS_REQUEST);
    wr(machine, REG_INT_ENABLE, INT_ALL);
    start_command(machine);
    chain_tpm_answer(machine->tpm);
    assert_true(tpmdev_device_get_irq_level(machine->device));
    unsigned told = fake_host_irqs(&machine->host);
    g_autoptr(GBytes) saved = save(machine);

    unplug(machine);
    plug(machine, true);
    load(machine, saved);
    tpmdev_device_resume(machine->device);
    assert_int_equal(fake_host_irqs(&machine->host), told);
    assert_true(tpmdev_device_get_irq_level(machine->device));

    TPMDeviceStatistics statistics = { .size = sizeof(statistics) };

    tpmdev_device_get_statistics(machine->device, &statistics);
    assert_int_equal(statistics.interrupts, 0);

    /* The next change of it is one. */
    wr(machine, REG_INT_STATUS, INT_ALL);
    assert_int_equal(fake_host_irqs(&machine->host), told + 1);
    assert_false(fake_host_irq(&machine->host));
}

/* A line that was up is down after the load of a state in which it is, and again nobody is told. */
static void test_a_level_that_was_another_is_forgotten(void **state)
{
    Machine *machine = *state;
    g_autoptr(GBytes) saved = save(machine);

    tpmdev_device_resume(machine->device);
    tpmdev_device_write(machine->device, REG_ACCESS, 1, ACCESS_REQUEST);
    wr(machine, REG_INT_ENABLE, INT_ALL);
    start_command(machine);
    chain_tpm_answer(machine->tpm);
    unsigned told = fake_host_irqs(&machine->host);

    load(machine, saved);
    assert_false(tpmdev_device_get_irq_level(machine->device));
    assert_int_equal(fake_host_irqs(&machine->host), told);
}

static void assert_goes_on(Machine *machine)
{
    chain_tpm_answer(machine->tpm);
    assert_true(has_response(machine));
    start_command(machine);
    chain_tpm_answer(machine->tpm);
    assert_true(has_response(machine));
}

static void test_a_load_a_tpm_refuses_changes_nothing(void **state)
{
    Machine *machine = *state;
    g_autoptr(GBytes) saved = save(machine);

    tpmdev_device_resume(machine->device);
    start_command(machine);
    machine->tpm->refuses = true;
    assert_false(tpmdev_device_load(machine->device, saved, LONG_NS, &machine->error));
    assert_error(machine, TPM_ERROR_STATE_DAMAGED, "the chain is broken");
    assert_true(has_response(machine)); /* it was waited for */
    assert_goes_on(machine);
}

static void test_a_load_waits_no_longer_than_it_is_told(void **state)
{
    Machine *machine = *state;
    g_autoptr(GBytes) saved = save(machine);

    tpmdev_device_resume(machine->device);
    start_command(machine);
    machine->tpm->deaf = true;
    assert_false(tpmdev_device_load(machine->device, saved, SHORT_NS, &machine->error));
    assert_error(machine, TPM_ERROR_TIMED_OUT, "has not ended what it is doing");
    assert_int_equal(machine->tpm->loads, 0);
    assert_goes_on(machine);
}

static void test_a_load_without_time_leaves_the_tpm_alone(void **state)
{
    Machine *machine = *state;
    g_autoptr(GBytes) saved = save(machine);

    tpmdev_device_resume(machine->device);
    for (int64_t time_ns = -1; time_ns <= 0; time_ns++) {
        assert_false(tpmdev_device_load(machine->device, saved, time_ns, &machine->error));
        assert_error(machine, TPM_ERROR_TIMED_OUT, "nothing was saved or loaded");
    }
    assert_int_equal(machine->tpm->loads, 0);
    start_command(machine);
    assert_goes_on(machine);
    assert_int_equal(machine->tpm->starts, 1);
}

/* Nobody knows what it is by then: it is power-cycled, as at a reset. */
static void test_a_tpm_that_loads_too_late_is_started(void **state)
{
    Machine *machine = *state;
    g_autoptr(GBytes) saved = save(machine);

    tpmdev_device_resume(machine->device);
    machine->tpm->deaf = true;
    assert_false(tpmdev_device_load(machine->device, saved, SOME_NS, &machine->error));
    assert_error(machine, TPM_ERROR_TIMED_OUT, "has not taken the saved state within the time");
    assert_int_equal(machine->tpm->starts, 1);
    chain_tpm_answer(machine->tpm);
    assert_int_equal(machine->tpm->starts, 2);
    chain_tpm_answer(machine->tpm);
    start_command(machine);
    assert_goes_on(machine);
}

static void test_a_tpm_that_fails_in_a_load_answers_failures_until_a_reset(void **state)
{
    Machine *machine = *state;
    g_autoptr(GBytes) saved = save(machine);

    tpmdev_device_resume(machine->device);
    machine->tpm->fails = true;
    assert_false(tpmdev_device_load(machine->device, saved, LONG_NS, &machine->error));
    assert_error(machine, TPM_ERROR_STATE_DAMAGED, "the chain is broken");
    start_command(machine);
    assert_true(has_response(machine));
    for (unsigned i = 0; i < sizeof(failure_2_0); i++) {
        uint64_t byte;

        tpmdev_device_read(machine->device, REG_FIFO, 1, &byte);
        assert_int_equal(byte, failure_2_0[i]);
    }
    tpmdev_device_reset(machine->device);
    chain_tpm_answer(machine->tpm);
    start_command(machine);
    assert_goes_on(machine);
}

static void test_a_state_can_be_loaded_again_and_again(void **state)
{
    Machine *machine = *state;
    g_autoptr(GBytes) saved = save(machine);

    for (unsigned i = 0; i < 3; i++) {
        load(machine, saved);
        tpmdev_device_resume(machine->device);
        start_command(machine);
        chain_tpm_answer(machine->tpm);
        assert_int_equal(machine->tpm->commands, 1);
    }
}

int main(void)
{
#define RUNNING(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define INCOMING(name) cmocka_unit_test_setup_teardown(name, setup_incoming, teardown)
#define CONTEXT(name)  cmocka_unit_test_setup_teardown(name, setup_context, teardown)
    const struct CMUnitTest tests[] = {
        RUNNING(test_a_command_the_tpm_has_is_waited_for),
        RUNNING(test_a_command_that_does_not_end_fails_the_save),
        RUNNING(test_a_tpm_that_does_not_hand_its_state_out_in_time_goes_on),
        RUNNING(test_a_tpm_whose_state_comes_too_late_is_told_that_it_goes_on),
        RUNNING(test_a_refusal_is_told_and_changes_nothing),
        RUNNING(test_a_tpm_that_has_failed_cannot_be_saved),
        INCOMING(test_a_tpm_that_was_not_started_cannot_be_saved),
        RUNNING(test_without_a_digest_nothing_is_saved_or_loaded),
        CONTEXT(test_a_hosts_context_need_not_run),
        RUNNING(test_a_command_of_a_held_device_waits_for_its_resume),
        RUNNING(test_a_command_that_waits_goes_along),
        RUNNING(test_a_reset_of_a_held_device_waits_and_goes_along),
        RUNNING(test_a_command_of_a_held_device_can_be_cancelled),
        RUNNING(test_a_resume_of_a_device_that_is_not_held_does_nothing),
        INCOMING(test_an_incoming_device_starts_no_tpm_before_its_resume),
        RUNNING(test_a_loaded_tpm_is_not_started),
        RUNNING(test_a_restored_level_is_told_to_nobody),
        RUNNING(test_a_level_that_was_another_is_forgotten),
        RUNNING(test_a_load_a_tpm_refuses_changes_nothing),
        RUNNING(test_a_load_waits_no_longer_than_it_is_told),
        RUNNING(test_a_load_without_time_leaves_the_tpm_alone),
        RUNNING(test_a_tpm_that_loads_too_late_is_started),
        RUNNING(test_a_tpm_that_fails_in_a_load_answers_failures_until_a_reset),
        RUNNING(test_a_state_can_be_loaded_again_and_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
