/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts: which event raises which bit, and how the line follows the bits (hw/tpm/irq.c and
 * the interrupt registers of hw/tpm/tis.c).
 */
#include "tis-interrupts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- which event raises what ---- */

static void test_line_starts_low_and_nobody_is_told(void **state)
{
    TISMachine *machine = *state;

    assert_line(machine, false);
    assert_int_equal(fake_host_irqs(&machine->host), 0);
}

static void test_nothing_interrupts_without_the_global_enable(void **state)
{
    TISMachine *machine = machine_with(state, INT_ALL & ~0x80000000u);

    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_int_equal(pending(machine, 0), 0);
    assert_int_equal(fake_host_irqs(&machine->host), 0);
}

static void test_nothing_interrupts_without_a_source(void **state)
{
    TISMachine *machine = machine_with(state, 0x80000000u);

    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_int_equal(pending(machine, 0), 0);
    assert_int_equal(fake_host_irqs(&machine->host), 0);
}

static void test_command_ready_interrupts_when_the_state_becomes_ready(void **state)
{
    TISMachine *machine = machine_with(state, 0x80000000u | INT_COMMAND_READY);

    tis_sts_set(machine, 0, STS_READY);
    assert_int_equal(pending(machine, 0), INT_COMMAND_READY);
    assert_line(machine, true);
    acknowledge(machine, 0, INT_COMMAND_READY);
    assert_line(machine, false);
    /* ready already */
    tis_sts_set(machine, 0, STS_READY);
    assert_int_equal(pending(machine, 0), 0);
    /* an aborted reception, and the end of a completion */
    tis_fifo_write(machine, 0, command_2_0, 1);
    tis_sts_set(machine, 0, STS_READY);
    assert_int_equal(pending(machine, 0), INT_COMMAND_READY);
    acknowledge(machine, 0, INT_COMMAND_READY);
    tis_fifo_write(machine, 0, command_2_0, sizeof(command_2_0));
    tis_sts_set(machine, 0, STS_GO);
    assert_int_equal(pending(machine, 0), 0);
    tis_sts_set(machine, 0, STS_READY);
    assert_int_equal(pending(machine, 0), INT_COMMAND_READY);
}

static void test_reception_does_not_interrupt(void **state)
{
    TISMachine *machine = machine_with(state, INT_ALL & ~INT_COMMAND_READY);

    tis_send(machine, 0, command_2_0, sizeof(command_2_0));
    assert_int_equal(pending(machine, 0), 0);
}

static void test_response_interrupts_with_data_avail_and_sts_valid(void **state)
{
    TISMachine *machine = machine_with(state, INT_ALL & ~INT_COMMAND_READY);

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_int_equal(pending(machine, 0), 0);
    fake_backend_answer(machine->tpm);
    assert_line(machine, true);
    assert_int_equal(pending(machine, 0), INT_DATA_AVAIL | INT_STS_VALID);
}

static void test_sources_of_one_event_are_shown_together(void **state)
{
    TISMachine *machine = machine_with(state, 0x80000000u | INT_DATA_AVAIL);

    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_int_equal(pending(machine, 0), INT_DATA_AVAIL | INT_STS_VALID);
}

static void test_last_byte_read_interrupts_with_sts_valid(void **state)
{
    TISMachine *machine = machine_with(state, 0x80000000u | INT_STS_VALID);

    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    acknowledge(machine, 0, INT_DATA_AVAIL | INT_STS_VALID);
    for (unsigned i = 0; i < 9; i++) {
        tis_read(machine, 0, REG_FIFO, 1);
    }
    assert_line(machine, false);
    tis_read(machine, 0, REG_FIFO, 1);
    assert_int_equal(pending(machine, 0), INT_STS_VALID);
    assert_line(machine, true);
}

static void test_locality_change_interrupts_the_winner(void **state)
{
    TISMachine *machine = machine_with(state, INT_ALL);

    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    assert_int_equal(pending(machine, 0), 0);
    tis_request(machine, 0);
    assert_int_equal(pending(machine, 0), INT_LOCALITY_CHANGE);
    acknowledge(machine, 0, INT_LOCALITY_CHANGE);
    /* it has the device already */
    tis_request(machine, 0);
    assert_int_equal(pending(machine, 0), 0);
    /* a seizure, and the way back */
    tis_access_set(machine, 1, ACCESS_SEIZE);
    assert_int_equal(pending(machine, 0), 0);
    tis_access_set(machine, 0, ACCESS_REQUEST);
    tis_access_set(machine, 1, ACCESS_RELINQUISH);
    assert_int_equal(pending(machine, 0), INT_LOCALITY_CHANGE);
    assert_line(machine, true);
}

static void test_rejected_command_interrupts_before_the_write_returns(void **state)
{
    static const uint8_t bad[10] = { 0 };
    TISMachine *machine = machine_with(state, 0x80000000u | INT_DATA_AVAIL);

    tis_sts_set(machine, 0, STS_READY);
    tis_fifo_write(machine, 0, bad, sizeof(bad));
    assert_int_equal(fake_host_irqs(&machine->host), 0);
    tis_sts_set(machine, 0, STS_GO);
    /* no access but that one: the host alone is asked */
    assert_int_equal(fake_host_irqs(&machine->host), 1);
    assert_line(machine, true);
}

static void test_command_cancelled_before_it_was_sent_interrupts_at_once(void **state)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, 4096);

    (void)state;
    machine->tpm->start_when = FAKE_WHEN_TOLD;
    tis_machine_plug(machine);
    tis_request(machine, 0);
    enable(machine, 0, 0x80000000u | INT_DATA_AVAIL);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_int_equal(fake_host_irqs(&machine->host), 0);
    tis_sts_set(machine, 0, STS_CANCEL);
    assert_int_equal(fake_host_irqs(&machine->host), 1);
    fake_backend_answer(machine->tpm);
    tis_machine_free(machine);
}

/* ---- the line ---- */

static void test_line_stays_up_until_the_last_bit_is_cleared(void **state)
{
    TISMachine *machine = machine_with(state, INT_ALL);

    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_int_equal(pending(machine, 0), 0x83);
    acknowledge(machine, 0, INT_COMMAND_READY);
    assert_line(machine, true);
    acknowledge(machine, 0, INT_DATA_AVAIL);
    assert_line(machine, true);
    acknowledge(machine, 0, INT_STS_VALID);
    assert_line(machine, false);
    assert_int_equal(fake_host_irqs(&machine->host), 2);
}

static void test_line_stays_up_while_another_locality_is_pending(void **state)
{
    TISMachine *machine = machine_with(state, 0x80000000u | INT_COMMAND_READY);

    tis_sts_set(machine, 0, STS_READY);
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    tis_request(machine, 1);
    enable(machine, 1, 0x80000000u | INT_COMMAND_READY);
    tis_sts_set(machine, 1, STS_READY);
    acknowledge(machine, 1, INT_COMMAND_READY);
    assert_int_equal(pending(machine, 1), 0);
    assert_line(machine, true);
    tis_access_set(machine, 1, ACCESS_RELINQUISH);
    tis_request(machine, 0);
    acknowledge(machine, 0, INT_COMMAND_READY);
    assert_line(machine, false);
    assert_int_equal(fake_host_irqs(&machine->host), 2);
}

static void test_host_is_told_once_a_change(void **state)
{
    TISMachine *machine = machine_with(state, INT_ALL);

    for (unsigned i = 1; i <= 5; i++) {
        tis_start(machine, 0, command_2_0, sizeof(command_2_0));
        assert_int_equal(fake_host_irqs(&machine->host), 2 * i - 1);
        acknowledge(machine, 0, 0xFF);
        acknowledge(machine, 0, 0xFF);
        assert_int_equal(fake_host_irqs(&machine->host), 2 * i);
    }
    assert_int_equal(tis_statistics(machine).interrupts, 5);
}

static void test_disabling_leaves_what_is_pending(void **state)
{
    TISMachine *machine = machine_with(state, 0x80000000u | INT_COMMAND_READY);

    tis_sts_set(machine, 0, STS_READY);
    enable(machine, 0, 0);
    assert_int_equal(pending(machine, 0), INT_COMMAND_READY);
    assert_line(machine, true);
}

static void test_enabling_does_not_bring_back_what_is_past(void **state)
{
    TISMachine *machine = machine_with(state, 0);

    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    enable(machine, 0, INT_ALL);
    assert_int_equal(pending(machine, 0), 0);
    assert_line(machine, false);
}

static void test_line_is_active_high_whatever_the_polarity_bits_say(void **state)
{
    for (uint32_t polarity = 0; polarity < 4; polarity++) {
        TISMachine *machine = tis_machine_new(TPM_VERSION_2_0);

        (void)state;
        tis_request(machine, 0);
        enable(machine, 0, 0x80000000u | polarity << 3 | INT_COMMAND_READY);
        assert_line(machine, false);
        tis_sts_set(machine, 0, STS_READY);
        assert_line(machine, true);
        tis_machine_free(machine);
    }
}

static void test_reset_lowers_the_line(void **state)
{
    TISMachine *machine = machine_with(state, INT_ALL);

    tis_sts_set(machine, 0, STS_READY);
    assert_line(machine, true);
    tpmdev_device_reset(machine->device);
    assert_int_equal(pending(machine, 0), 0);
    assert_line(machine, false);
    tpmdev_device_reset(machine->device);
    assert_int_equal(fake_host_irqs(&machine->host), 2);
}

/* ---- the callback ---- */

static TISMachine *machine_of_callback;

static void acknowledge_in_callback(FakeHost *host, bool level)
{
    (void)host;
    if (level) {
        acknowledge(machine_of_callback, 0, 0xFF);
        assert_false(tpmdev_device_get_irq_level(machine_of_callback->device));
    }
}

static void test_handler_inside_the_callback_lowers_the_line(void **state)
{
    TISMachine *machine = machine_with(state, INT_ALL);

    machine_of_callback = machine;
    machine->host.on_irq = acknowledge_in_callback;
    tis_sts_set(machine, 0, STS_READY);
    assert_int_equal(fake_host_irqs(&machine->host), 2);
    assert_true(machine->host.irq_log[0]);
    assert_false(machine->host.irq_log[1]);
    assert_line(machine, false);
}

/* The handler answers the response with the next command, all within the callback. */
static void next_command_in_callback(FakeHost *host, bool level)
{
    if (level && host->irqs < 6) {
        acknowledge(machine_of_callback, 0, 0xFF);
        tis_start(machine_of_callback, 0, command_2_0, sizeof(command_2_0));
    }
}

static void test_handler_inside_the_callback_may_start_the_next_command(void **state)
{
    TISMachine *machine = machine_with(state, 0x80000000u | INT_DATA_AVAIL);

    machine_of_callback = machine;
    machine->host.on_irq = next_command_in_callback;
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    /* each rise of the line started the next one, until the handler had enough */
    assert_line(machine, true);
    assert_int_equal(fake_host_irqs(&machine->host), 7);
    assert_int_equal(machine->tpm->submits, 4);
    tis_assert_response(machine, 0, machine->tpm->response, 10);
}

static void test_response_from_a_thread_raises_the_line_on_that_thread(void **state)
{
    TISMachine *machine = machine_with(state, 0x80000000u | INT_DATA_AVAIL);

    machine->tpm->submit_when = FAKE_BY_THREAD;
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    fake_backend_wait_answers(machine->tpm, 2);
    assert_line(machine, true);
    assert_ptr_equal(machine->host.irq_thread, machine->tpm->thread);
}

static bool acknowledged; /* under the host's lock */

/* The TPM's thread is in the callback until the guest has acknowledged. */
static void wait_in_callback(FakeHost *host, bool level)
{
    gint64 deadline = g_get_monotonic_time() + FAKE_DEADLINE_S * G_TIME_SPAN_SECOND;

    g_mutex_lock(&host->lock);
    while (level && !acknowledged && g_cond_wait_until(&host->changed, &host->lock, deadline)) {
    }
    g_mutex_unlock(&host->lock);
}

static void wait_irqs(FakeHost *host, unsigned irqs)
{
    gint64 deadline = g_get_monotonic_time() + FAKE_DEADLINE_S * G_TIME_SPAN_SECOND;
    bool late = false;

    g_mutex_lock(&host->lock);
    while (host->irqs < irqs && !late) {
        late = !g_cond_wait_until(&host->changed, &host->lock, deadline);
    }
    g_mutex_unlock(&host->lock);
    assert_false(late);
}

static void test_fall_while_the_rise_is_told_is_told_after_it_and_waits_for_nobody(void **state)
{
    TISMachine *machine = machine_with(state, 0x80000000u | INT_DATA_AVAIL);

    acknowledged = false;
    machine->host.on_irq = wait_in_callback;
    machine->tpm->submit_when = FAKE_BY_THREAD;
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    wait_irqs(&machine->host, 1);
    acknowledge(machine, 0, 0xFF);
    assert_false(tpmdev_device_get_irq_level(machine->device));
    assert_int_equal(fake_host_irqs(&machine->host), 1);
    g_mutex_lock(&machine->host.lock);
    acknowledged = true;
    g_cond_broadcast(&machine->host.changed);
    g_mutex_unlock(&machine->host.lock);
    wait_irqs(&machine->host, 2);
    fake_backend_wait_answers(machine->tpm, 2);
    assert_line(machine, false);
    assert_int_equal(fake_host_irqs(&machine->host), 2);
    assert_ptr_equal(machine->host.irq_thread, machine->tpm->thread);
}

static void test_host_without_the_callback_can_ask_for_the_level(void **state)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, 4096);

    (void)state;
    machine->host.host.set_irq = NULL;
    tis_machine_plug(machine);
    tis_request(machine, 0);
    enable(machine, 0, INT_ALL);
    tis_sts_set(machine, 0, STS_READY);
    assert_true(tpmdev_device_get_irq_level(machine->device));
    acknowledge(machine, 0, 0xFF);
    assert_false(tpmdev_device_get_irq_level(machine->device));
    tis_machine_free(machine);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, tis_setup_2_0, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_line_starts_low_and_nobody_is_told),
        TEST(test_nothing_interrupts_without_the_global_enable),
        TEST(test_nothing_interrupts_without_a_source),
        TEST(test_command_ready_interrupts_when_the_state_becomes_ready),
        TEST(test_reception_does_not_interrupt),
        TEST(test_response_interrupts_with_data_avail_and_sts_valid),
        TEST(test_sources_of_one_event_are_shown_together),
        TEST(test_last_byte_read_interrupts_with_sts_valid),
        TEST(test_locality_change_interrupts_the_winner),
        TEST(test_rejected_command_interrupts_before_the_write_returns),
        cmocka_unit_test(test_command_cancelled_before_it_was_sent_interrupts_at_once),
        TEST(test_line_stays_up_until_the_last_bit_is_cleared),
        TEST(test_line_stays_up_while_another_locality_is_pending),
        TEST(test_host_is_told_once_a_change),
        TEST(test_disabling_leaves_what_is_pending),
        TEST(test_enabling_does_not_bring_back_what_is_past),
        cmocka_unit_test(test_line_is_active_high_whatever_the_polarity_bits_say),
        TEST(test_reset_lowers_the_line),
        TEST(test_handler_inside_the_callback_lowers_the_line),
        TEST(test_handler_inside_the_callback_may_start_the_next_command),
        TEST(test_response_from_a_thread_raises_the_line_on_that_thread),
        TEST(test_fall_while_the_rise_is_told_is_told_after_it_and_waits_for_nobody),
        cmocka_unit_test(test_host_without_the_callback_can_ask_for_the_level),
    };

    return cmocka_run_group_tests_name("irq", tests, NULL, NULL);
}
