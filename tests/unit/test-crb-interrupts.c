/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The interrupts of the CRB device (hw/tpm/crb.c) with interrupts=on: what raises them, how they
 * are cleared, and the one line for the registers of all localities.
 */
#include "crb-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static uint32_t int_sts(TISMachine *machine, unsigned locality)
{
    return (uint32_t)tis_read(machine, locality, REG_CRB_INT_STS, 4);
}

static void assert_irq(TISMachine *machine, bool level)
{
    assert_int_equal(tpmdev_device_get_irq_level(machine->device), level);
    assert_int_equal(fake_host_irq(&machine->host), level);
}

static void enable(TISMachine *machine, unsigned locality, uint32_t sources)
{
    tis_write(machine, locality, REG_CRB_ENABLE, 4, sources);
}

static void test_int_enable_keeps_only_its_own_bits_and_lanes(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 0);
    enable(machine, 0, 0xFFFFFFFF);
    assert_int_equal(tis_read(machine, 0, REG_CRB_ENABLE, 4), 0x8000000F);
    tis_write(machine, 0, REG_CRB_ENABLE, 1, 0x02);
    assert_int_equal(tis_read(machine, 0, REG_CRB_ENABLE, 4), 0x80000002);
    tis_write(machine, 0, REG_CRB_ENABLE + 3, 1, 0);
    assert_int_equal(tis_read(machine, 0, REG_CRB_ENABLE, 4), 0x00000002);
    tis_write(machine, 0, REG_CRB_ENABLE + 2, 2, 0x8000);
    assert_int_equal(tis_read(machine, 0, REG_CRB_ENABLE, 4), 0x80000002);
    assert_int_equal(tis_read(machine, 1, REG_CRB_ENABLE, 4), 0);
}

static void test_interrupt_when_start_is_cleared(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 1);
    enable(machine, 1, 0x80000000 | CRB_START_CLEARED);
    crb_start(machine, 1, command_2_0, sizeof(command_2_0));
    tis_write(machine, 1, REG_CTRL_REQ, 4, REQ_CMD_READY);
    assert_irq(machine, false);
    fake_backend_answer(machine->tpm);
    assert_int_equal(int_sts(machine, 1), CRB_START_CLEARED);
    assert_irq(machine, true);
    assert_int_equal(tis_statistics(machine).interrupts, 1);
}

static void test_interrupt_when_a_command_is_answered_by_the_device_itself(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 0);
    enable(machine, 0, 0x80000000 | CRB_START_CLEARED);
    crb_go(machine, 0);
    assert_int_equal(int_sts(machine, 0), CRB_START_CLEARED);
    assert_irq(machine, true);
}

static void test_interrupt_when_cmd_ready_is_done(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 0);
    enable(machine, 0, 0x80000000 | CRB_CMD_READY_DONE);
    tis_write(machine, 0, REG_CTRL_REQ, 4, REQ_GO_IDLE);
    assert_irq(machine, false);
    tis_write(machine, 0, REG_CTRL_REQ, 4, REQ_CMD_READY);
    assert_int_equal(int_sts(machine, 0), CRB_CMD_READY_DONE);
    assert_irq(machine, true);
}

static void test_interrupt_when_a_locality_gets_the_device(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 1);
    enable(machine, 1, 0x80000000 | CRB_LOCALITY_CHANGE);
    crb_loc(machine, 1, LOC_REQUEST); /* has it already */
    assert_irq(machine, false);
    crb_loc(machine, 1, LOC_RELINQUISH);
    crb_request(machine, 0);
    crb_loc(machine, 1, LOC_REQUEST);
    assert_irq(machine, false);
    crb_loc(machine, 0, LOC_RELINQUISH);
    assert_int_equal(int_sts(machine, 1), CRB_LOCALITY_CHANGE);
    assert_int_equal(int_sts(machine, 0), 0);
    assert_irq(machine, true);
}

static void test_no_interrupt_without_its_enable_and_the_global_one(void **state)
{
    static const uint32_t enables[] = { 0, 0x0F, 0x80000000, 0x80000004 };
    TISMachine *machine = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(enables); i++) {
        crb_request(machine, 0);
        enable(machine, 0, enables[i]);
        tis_write(machine, 0, REG_CTRL_REQ, 4, REQ_CMD_READY);
        crb_start(machine, 0, command_2_0, sizeof(command_2_0));
        fake_backend_answer(machine->tpm);
        crb_loc(machine, 0, LOC_RELINQUISH);
        crb_request(machine, 0);
        assert_int_equal(int_sts(machine, 0), 0);
    }
    assert_int_equal(fake_host_irqs(&machine->host), 0);
}

static void test_no_interrupt_for_a_response_that_is_dropped(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 0);
    enable(machine, 0, CRB_INT_ALL);
    crb_start(machine, 0, command_2_0, sizeof(command_2_0));
    crb_loc(machine, 1, LOC_SEIZE);
    fake_backend_answer(machine->tpm);
    assert_int_equal(int_sts(machine, 0), 0);
    assert_irq(machine, false);
}

static void test_int_sts_bits_are_cleared_by_writing_one(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 0);
    enable(machine, 0, CRB_INT_ALL);
    tis_write(machine, 0, REG_CTRL_REQ, 4, REQ_CMD_READY);
    crb_start(machine, 0, command_2_0, sizeof(command_2_0));
    fake_backend_answer(machine->tpm);
    assert_int_equal(int_sts(machine, 0), 0x3);
    tis_write(machine, 0, REG_CRB_INT_STS, 4, 0xFFFFFFFC);
    tis_write(machine, 0, REG_CRB_INT_STS + 1, 1, 0xFF);
    assert_int_equal(int_sts(machine, 0), 0x3);
    tis_write(machine, 0, REG_CRB_INT_STS, 4, CRB_START_CLEARED);
    assert_int_equal(int_sts(machine, 0), CRB_CMD_READY_DONE);
    assert_irq(machine, true);
    tis_write(machine, 0, REG_CRB_INT_STS, 1, CRB_CMD_READY_DONE);
    assert_int_equal(int_sts(machine, 0), 0);
    assert_irq(machine, false);
    assert_int_equal(fake_host_irqs(&machine->host), 2);
}

static void test_line_is_high_while_any_locality_has_something_pending(void **state)
{
    TISMachine *machine = *state;

    for (unsigned i = 1; i < 4; i++) {
        crb_request(machine, i);
        enable(machine, i, 0x80000000 | CRB_CMD_READY_DONE);
        tis_write(machine, i, REG_CTRL_REQ, 4, REQ_CMD_READY);
        crb_loc(machine, i, LOC_RELINQUISH);
    }
    assert_irq(machine, true);
    for (unsigned i = 1; i < 4; i++) {
        crb_request(machine, i);
        tis_write(machine, i, REG_CRB_INT_STS, 4, CRB_CMD_READY_DONE);
        assert_irq(machine, i < 3);
        crb_loc(machine, i, LOC_RELINQUISH);
    }
    assert_int_equal(fake_host_irqs(&machine->host), 2);
}

/* ---- establishmentClear ---- */

static void set_established(TISMachine *machine, bool established)
{
    tpmdev_backend_set_established(machine->tpm->backend, established);
    assert_int_equal(crb_loc_state(machine) & 1, !established);
}

static void test_interrupt_when_the_establishment_is_reset_as_asked(void **state)
{
    TISMachine *machine = *state;

    for (unsigned i = 3; i < 5; i++) {
        set_established(machine, true);
        crb_request(machine, i);
        enable(machine, i, 0x80000000 | CRB_UNSET_DONE);
        crb_loc(machine, i, LOC_UNSET);
        assert_int_equal(crb_loc_state(machine) & 1, 1);
        assert_int_equal(int_sts(machine, i), CRB_UNSET_DONE);
        assert_irq(machine, true);
        tis_write(machine, i, REG_CRB_INT_STS, 4, CRB_UNSET_DONE);
        assert_int_equal(int_sts(machine, i), 0);
        assert_irq(machine, false);
        /* once: not again when it comes and goes by itself */
        set_established(machine, true);
        set_established(machine, false);
        assert_int_equal(int_sts(machine, i), 0);
        crb_loc(machine, i, LOC_RELINQUISH);
    }
    assert_int_equal(fake_host_irqs(&machine->host), 4);
}

static void test_interrupt_of_the_establishment_comes_after_the_command_under_way(void **state)
{
    TISMachine *machine = *state;

    set_established(machine, true);
    crb_request(machine, 3);
    enable(machine, 3, CRB_INT_ALL);
    crb_start(machine, 3, command_2_0, sizeof(command_2_0));
    crb_loc(machine, 3, LOC_UNSET);
    assert_int_equal(int_sts(machine, 3), 0);
    fake_backend_answer(machine->tpm);
    assert_int_equal(int_sts(machine, 3), CRB_START_CLEARED | CRB_UNSET_DONE);
}

static void test_no_interrupt_for_an_establishment_that_was_not_there(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 3);
    enable(machine, 3, CRB_INT_ALL);
    crb_loc(machine, 3, LOC_UNSET);
    assert_int_equal(machine->tpm->established_resets, 1);
    /* nor for one that comes and goes by itself */
    set_established(machine, true);
    set_established(machine, false);
    assert_int_equal(int_sts(machine, 3), 0);
    assert_irq(machine, false);
}

static void test_no_interrupt_for_an_establishment_others_may_not_reset(void **state)
{
    TISMachine *machine = *state;

    set_established(machine, true);
    for (unsigned i = 0; i < 3; i++) {
        crb_request(machine, i);
        enable(machine, i, 0x80000000 | CRB_UNSET_DONE);
        crb_loc(machine, i, LOC_UNSET);
        assert_int_equal(crb_loc_state(machine) & 1, 0);
        crb_loc(machine, i, LOC_RELINQUISH);
    }
    assert_int_equal(machine->tpm->established_resets, 0);
    assert_irq(machine, false);
}

static void test_reset_forgets_a_request_to_reset_the_establishment(void **state)
{
    TISMachine *machine = *state;

    set_established(machine, true);
    crb_request(machine, 3);
    crb_start(machine, 3, command_2_0, sizeof(command_2_0));
    crb_loc(machine, 3, LOC_UNSET);
    tpmdev_device_reset(machine->device);
    fake_backend_answer(machine->tpm);
    crb_request(machine, 3);
    enable(machine, 3, CRB_INT_ALL);
    set_established(machine, false);
    assert_int_equal(machine->tpm->established_resets, 0);
    assert_int_equal(int_sts(machine, 3), 0);
}

static void test_reset_lowers_the_line_and_disables(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 2);
    enable(machine, 2, CRB_INT_ALL);
    tis_write(machine, 2, REG_CTRL_REQ, 4, REQ_CMD_READY);
    assert_irq(machine, true);
    tpmdev_device_reset(machine->device);
    assert_irq(machine, false);
    assert_int_equal(tis_read(machine, 2, REG_CRB_ENABLE, 8), 0);
}

static void test_interrupts_need_no_localities(void **state)
{
    TISMachine *machine = crb_machine_prepare();

    (void)state;
    machine->config.interrupts = true;
    tis_machine_plug(machine);
    enable(machine, 0, CRB_INT_ALL);
    crb_request(machine, 0);
    assert_int_equal(int_sts(machine, 0), CRB_LOCALITY_CHANGE);
    tis_write(machine, 0, REG_CRB_INT_STS, 4, CRB_LOCALITY_CHANGE);
    crb_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_int_equal(int_sts(machine, 0), CRB_START_CLEARED);
    assert_irq(machine, true);
    tis_machine_free(machine);
}

/* ---- every source, locality and enable bit ---- */

typedef struct Source {
    uint32_t bit;
    void (*cause)(TISMachine *machine, unsigned locality);
} Source;

static void cause_start(TISMachine *machine, unsigned locality)
{
    crb_start(machine, locality, command_2_0, sizeof(command_2_0));
    fake_backend_answer(machine->tpm);
}

static void cause_cmd_ready(TISMachine *machine, unsigned locality)
{
    tis_write(machine, locality, REG_CTRL_REQ, 4, REQ_CMD_READY);
}

/* It gives the device up, and waits for it behind another locality. */
static void cause_locality_change(TISMachine *machine, unsigned locality)
{
    unsigned other = (locality + 1) % 5;

    crb_loc(machine, locality, LOC_RELINQUISH);
    crb_request(machine, other);
    crb_loc(machine, locality, LOC_REQUEST);
    crb_loc(machine, other, LOC_RELINQUISH);
}

static const Source sources[] = {
    { CRB_START_CLEARED, cause_start },
    { CRB_CMD_READY_DONE, cause_cmd_ready },
    { CRB_LOCALITY_CHANGE, cause_locality_change },
};

/* Does this source, and it alone, interrupt on this locality with these bits enabled there? */
static void assert_source(const Source *source, unsigned locality, uint32_t enabled, bool shown)
{
    void *state;

    crb_setup_interrupts(&state);
    TISMachine *machine = state;

    crb_request(machine, locality);
    enable(machine, locality, enabled);
    source->cause(machine, locality);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(int_sts(machine, i), shown && i == locality ? source->bit : 0);
    }
    assert_irq(machine, shown);
    tis_write(machine, locality, REG_CRB_INT_STS, 4, source->bit);
    assert_irq(machine, false);
    tis_machine_free(machine);
}

static void test_source_interrupts_only_where_it_is_enabled_and_globally(void **state)
{
    (void)state;
    for (unsigned locality = 0; locality < 5; locality++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(sources); i++) {
            uint32_t bit = sources[i].bit;

            assert_source(&sources[i], locality, 0, false);
            assert_source(&sources[i], locality, bit, false);
            assert_source(&sources[i], locality, 0x80000000, false);
            assert_source(&sources[i], locality, 0x80000000 | bit, true);
            assert_source(&sources[i], locality, CRB_INT_ALL & ~bit, false);
        }
    }
}

static void test_enabling_while_something_is_pending_changes_nothing(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 3);
    enable(machine, 3, 0x80000000 | CRB_CMD_READY_DONE);
    tis_write(machine, 3, REG_CTRL_REQ, 4, REQ_CMD_READY);
    enable(machine, 3, 0);
    enable(machine, 3, CRB_INT_ALL);
    assert_int_equal(int_sts(machine, 3), CRB_CMD_READY_DONE);
    assert_irq(machine, true);
    assert_int_equal(fake_host_irqs(&machine->host), 1);
}

static void test_enabling_does_not_bring_back_what_is_past(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 0);
    tis_write(machine, 0, REG_CTRL_REQ, 4, REQ_CMD_READY);
    cause_start(machine, 0);
    enable(machine, 0, CRB_INT_ALL);
    assert_int_equal(int_sts(machine, 0), 0);
    assert_irq(machine, false);
}

static void test_seize_interrupts_the_winner_when_the_command_has_ended(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 2);
    enable(machine, 2, CRB_INT_ALL);
    crb_loc(machine, 2, LOC_RELINQUISH);
    crb_request(machine, 0);
    crb_start(machine, 0, command_2_0, sizeof(command_2_0));
    crb_loc(machine, 2, LOC_SEIZE);
    assert_irq(machine, false);
    fake_backend_answer(machine->tpm);
    assert_int_equal(int_sts(machine, 2), CRB_LOCALITY_CHANGE);
    assert_irq(machine, true);
}

/* What the loser has pending is its own to acknowledge, when it has the device again. */
static void test_seize_leaves_what_the_loser_has_pending(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 0);
    enable(machine, 0, 0x80000000 | CRB_CMD_READY_DONE);
    tis_write(machine, 0, REG_CTRL_REQ, 4, REQ_CMD_READY);
    crb_loc(machine, 1, LOC_SEIZE);
    tis_write(machine, 0, REG_CRB_INT_STS, 4, CRB_CMD_READY_DONE);
    tis_write(machine, 1, REG_CRB_INT_STS, 4, CRB_CMD_READY_DONE);
    assert_int_equal(int_sts(machine, 0), CRB_CMD_READY_DONE);
    assert_irq(machine, true);
    crb_loc(machine, 1, LOC_RELINQUISH);
    crb_request(machine, 0);
    tis_write(machine, 0, REG_CRB_INT_STS, 4, CRB_CMD_READY_DONE);
    assert_irq(machine, false);
    assert_int_equal(fake_host_irqs(&machine->host), 2);
}

/* By default, as in QEMU's device: the registers are there, and do nothing. */
static void test_without_interrupts_the_registers_stay_zero_and_the_line_low(void **state)
{
    TISMachine *machine = crb_machine_prepare();

    (void)state;
    machine->config.localities = true;
    tis_machine_plug(machine);
    for (unsigned i = 0; i < 5; i++) {
        crb_request(machine, i);
        enable(machine, i, 0xFFFFFFFF);
        tis_write(machine, i, REG_CTRL_REQ, 4, REQ_CMD_READY);
        crb_start(machine, i, command_2_0, sizeof(command_2_0));
        crb_loc(machine, i, LOC_RELINQUISH);
        assert_int_equal(tis_read(machine, i, REG_CRB_ENABLE, 8), 0);
    }
    assert_int_equal(fake_host_irqs(&machine->host), 0);
    tis_machine_free(machine);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, crb_setup_interrupts, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_int_enable_keeps_only_its_own_bits_and_lanes),
        TEST(test_interrupt_when_start_is_cleared),
        TEST(test_interrupt_when_a_command_is_answered_by_the_device_itself),
        TEST(test_interrupt_when_cmd_ready_is_done),
        TEST(test_interrupt_when_a_locality_gets_the_device),
        TEST(test_no_interrupt_without_its_enable_and_the_global_one),
        TEST(test_no_interrupt_for_a_response_that_is_dropped),
        TEST(test_int_sts_bits_are_cleared_by_writing_one),
        TEST(test_line_is_high_while_any_locality_has_something_pending),
        TEST(test_interrupt_when_the_establishment_is_reset_as_asked),
        TEST(test_interrupt_of_the_establishment_comes_after_the_command_under_way),
        TEST(test_no_interrupt_for_an_establishment_that_was_not_there),
        TEST(test_no_interrupt_for_an_establishment_others_may_not_reset),
        TEST(test_reset_forgets_a_request_to_reset_the_establishment),
        TEST(test_reset_lowers_the_line_and_disables),
        cmocka_unit_test(test_interrupts_need_no_localities),
        cmocka_unit_test(test_source_interrupts_only_where_it_is_enabled_and_globally),
        TEST(test_enabling_while_something_is_pending_changes_nothing),
        TEST(test_enabling_does_not_bring_back_what_is_past),
        TEST(test_seize_interrupts_the_winner_when_the_command_has_ended),
        TEST(test_seize_leaves_what_the_loser_has_pending),
        cmocka_unit_test(test_without_interrupts_the_registers_stay_zero_and_the_line_low),
    };

    return cmocka_run_group_tests_name("crb-interrupts", tests, NULL, NULL);
}
