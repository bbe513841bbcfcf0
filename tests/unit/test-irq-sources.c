/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interrupts of a TIS device, rule by rule: each source on each locality with each enable bit, the
 * one line of several localities, the registers by lane, abort and seize. test-irq.c has what each
 * event raises, and the callback.
 */
#include "tis-interrupts.h"

#include <stdio.h>

/* ---- every source, locality and enable bit ---- */

typedef struct Source {
    uint32_t bit;   /* in TPM_INT_ENABLE */
    uint32_t shown; /* in TPM_INT_STATUS: what happens together is shown together */
    void (*cause)(TISMachine *machine, unsigned locality);
} Source;

static void cause_command_ready(TISMachine *machine, unsigned locality)
{
    tis_sts_set(machine, locality, STS_READY);
}

static void cause_data_avail(TISMachine *machine, unsigned locality)
{
    tis_start(machine, locality, command_2_0, sizeof(command_2_0));
}

/* The last byte of a response; what came before is acknowledged. */
static void cause_sts_valid(TISMachine *machine, unsigned locality)
{
    tis_start(machine, locality, command_2_0, sizeof(command_2_0));
    acknowledge(machine, locality, 0xFF);
    for (unsigned i = 0; i < 10; i++) {
        tis_read(machine, locality, REG_FIFO, 1);
    }
}

/* It gives the device up, and waits for it behind another locality. */
static void cause_locality_change(TISMachine *machine, unsigned locality)
{
    unsigned other = (locality + 1) % 4;

    tis_access_set(machine, locality, ACCESS_RELINQUISH);
    tis_request(machine, other);
    tis_access_set(machine, locality, ACCESS_REQUEST);
    tis_access_set(machine, other, ACCESS_RELINQUISH);
}

static const Source sources[] = {
    { INT_COMMAND_READY, INT_COMMAND_READY, cause_command_ready },
    { INT_DATA_AVAIL, INT_DATA_AVAIL | INT_STS_VALID, cause_data_avail },
    { INT_STS_VALID, INT_STS_VALID, cause_sts_valid },
    { INT_LOCALITY_CHANGE, INT_LOCALITY_CHANGE, cause_locality_change },
};

#define SOURCES (sizeof(sources) / sizeof(*sources))

/* What one source shows on one locality with these bits enabled there. */
static void assert_source(const Source *source, unsigned locality, uint32_t enabled, uint32_t shown)
{
    TISMachine *machine = tis_machine_new(TPM_VERSION_2_0);

    tis_request(machine, locality);
    enable(machine, locality, enabled);
    source->cause(machine, locality);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(pending(machine, i), i == locality ? shown : 0);
    }
    assert_line(machine, shown != 0);
    acknowledge(machine, locality, shown);
    assert_line(machine, false);
    tis_machine_free(machine);
}

static void test_source_interrupts_only_where_it_is_enabled_and_globally(void **state)
{
    (void)state;
    for (unsigned locality = 0; locality < 4; locality++) {
        for (unsigned i = 0; i < SOURCES; i++) {
            uint32_t bit = sources[i].bit;

            assert_source(&sources[i], locality, 0, 0);
            assert_source(&sources[i], locality, bit, 0);
            assert_source(&sources[i], locality, 0x80000000u, 0);
            assert_source(&sources[i], locality, 0x80000000u | bit, sources[i].shown);
        }
    }
}

/* With all others enabled; but the event of dataAvail is one of stsValid, too. */
static void test_source_that_is_not_enabled_does_not_interrupt_for_the_others(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SOURCES; i++) {
        uint32_t others = INT_ALL & ~sources[i].shown & ~INT_COMMAND_READY;

        assert_source(&sources[i], 0, others, 0);
    }
}

/* ---- several localities pending ---- */

static void take(TISMachine *machine, unsigned locality)
{
    for (unsigned i = 0; i < 4; i++) {
        tis_access_set(machine, i, ACCESS_RELINQUISH);
    }
    tis_request(machine, locality);
}

/* All four localities have commandReady pending, and each has given the device up. */
static TISMachine *machine_with_all_pending(void)
{
    TISMachine *machine = tis_machine_new(TPM_VERSION_2_0);

    for (unsigned i = 0; i < 4; i++) {
        take(machine, i);
        enable(machine, i, 0x80000000u | INT_COMMAND_READY);
        tis_sts_set(machine, i, STS_READY);
        assert_line(machine, true);
    }
    return machine;
}

/* In each of the 24 orders: the `order`-th permutation of the four. */
static void acknowledge_in_order(TISMachine *machine, unsigned order)
{
    unsigned left[] = { 0, 1, 2, 3 };

    for (unsigned count = 4; count > 0; count--) {
        unsigned at = order % count;
        unsigned locality = left[at];

        order /= count;
        left[at] = left[count - 1];
        take(machine, locality);
        acknowledge(machine, locality, INT_COMMAND_READY);
        assert_int_equal(pending(machine, locality), 0);
        assert_line(machine, count > 1);
        assert_int_equal(fake_host_irqs(&machine->host), count > 1 ? 1 : 2);
    }
}

static void test_line_goes_down_with_the_last_of_four_localities_in_any_order(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 24; order++) {
        TISMachine *machine = machine_with_all_pending();

        acknowledge_in_order(machine, order);
        tis_machine_free(machine);
    }
}

static void test_reset_lowers_the_line_of_all_localities(void **state)
{
    TISMachine *machine = machine_with_all_pending();

    (void)state;
    tpmdev_device_reset(machine->device);
    assert_line(machine, false);
    assert_int_equal(fake_host_irqs(&machine->host), 2);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pending(machine, i), 0);
        assert_int_equal(tis_read(machine, i, REG_INT_ENABLE, 4), 0x00000008);
    }
    tis_machine_free(machine);
}

static void test_only_the_active_locality_acknowledges(void **state)
{
    TISMachine *machine = machine_with(state, INT_ALL);

    tis_sts_set(machine, 0, STS_READY);
    for (unsigned i = 1; i < 5; i++) {
        acknowledge(machine, i, 0xFFFFFFFF);
    }
    assert_line(machine, true);
    /* nor one that was */
    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    acknowledge(machine, 0, 0xFFFFFFFF);
    assert_int_equal(pending(machine, 0), INT_COMMAND_READY);
    assert_line(machine, true);
}

/* ---- the registers ---- */

static void test_int_status_is_cleared_by_the_lane_that_is_written(void **state)
{
    TISMachine *machine = machine_with(state, INT_ALL);

    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_int_equal(pending(machine, 0), 0x83);
    /* zeros, and ones beside the bits */
    acknowledge(machine, 0, 0);
    acknowledge(machine, 0, 0xFFFFFF7C);
    tis_write(machine, 0, REG_INT_STATUS + 1, 1, 0xFF);
    tis_write(machine, 0, REG_INT_STATUS + 1, 2, 0xFFFF);
    tis_write(machine, 0, REG_INT_STATUS + 2, 2, 0xFFFF);
    tis_write(machine, 0, REG_INT_STATUS + 3, 1, 0xFF);
    assert_int_equal(pending(machine, 0), 0x83);
    tis_write(machine, 0, REG_INT_STATUS, 1, INT_DATA_AVAIL);
    assert_int_equal(pending(machine, 0), 0x82);
    tis_write(machine, 0, REG_INT_STATUS, 2, INT_COMMAND_READY);
    assert_int_equal(pending(machine, 0), 0x02);
    assert_line(machine, true);
    /* INT_VECTOR and INT_STATUS in one access of eight bytes */
    tis_write(machine, 0, REG_INT_VECTOR, 8, (uint64_t)INT_STS_VALID << 32 | 0xFF);
    assert_int_equal(pending(machine, 0), 0);
    assert_line(machine, false);
    assert_int_equal(tis_read(machine, 0, REG_INT_VECTOR, 1), 5);
}

static void test_int_status_cannot_be_set_by_writing(void **state)
{
    TISMachine *machine = machine_with(state, INT_ALL);

    acknowledge(machine, 0, 0xFFFFFFFF);
    assert_int_equal(pending(machine, 0), 0);
    assert_line(machine, false);
    assert_int_equal(fake_host_irqs(&machine->host), 0);
}

/*
 * The specification lets a guest choose the interrupt where it is not wired; here it is, to the
 * host's line, as in QEMU's device. Linux writes what it was told of by ACPI.
 */
static void test_int_vector_is_that_of_the_configuration_whatever_is_written(void **state)
{
    for (unsigned irq = 0; irq <= 15; irq++) {
        TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, 4096);

        (void)state;
        machine->config.irq = irq;
        tis_machine_plug(machine);
        for (unsigned locality = 0; locality < 4; locality++) {
            take(machine, locality);
            tis_write(machine, locality, REG_INT_VECTOR, 1, 15 - irq);
            tis_write(machine, locality, REG_INT_VECTOR, 4, 0xFFFFFFFF);
            assert_int_equal(tis_read(machine, locality, REG_INT_VECTOR, 4), irq);
        }
        tis_machine_free(machine);
    }
}

static void test_enabling_while_something_is_pending_changes_nothing(void **state)
{
    TISMachine *machine = machine_with(state, 0x80000000u | INT_COMMAND_READY);

    tis_sts_set(machine, 0, STS_READY);
    enable(machine, 0, 0);
    enable(machine, 0, INT_ALL | 0x18);
    assert_int_equal(pending(machine, 0), INT_COMMAND_READY);
    assert_line(machine, true);
    assert_int_equal(fake_host_irqs(&machine->host), 1);
    acknowledge(machine, 0, INT_COMMAND_READY);
    assert_line(machine, false);
    /* what happens from now on interrupts again */
    tis_fifo_write(machine, 0, command_2_0, 1);
    tis_sts_set(machine, 0, STS_READY);
    assert_line(machine, true);
}

/* ---- abort and seize ---- */

static TISMachine *machine_with_command(void **state, uint32_t bits)
{
    TISMachine *machine = machine_with(state, bits);

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    acknowledge(machine, 0, 0xFF);
    assert_line(machine, false);
    return machine;
}

static void test_abort_interrupts_with_command_ready_when_the_command_has_ended(void **state)
{
    TISMachine *machine = machine_with_command(state, INT_ALL);

    tis_sts_set(machine, 0, STS_READY);
    assert_line(machine, false);
    fake_backend_answer(machine->tpm);
    assert_int_equal(pending(machine, 0), INT_COMMAND_READY);
    assert_line(machine, true);
}

static void test_seize_interrupts_the_winner_when_the_command_has_ended(void **state)
{
    TISMachine *machine = *state;

    /* a locality enables its interrupts while it has the device */
    tis_request(machine, 2);
    enable(machine, 2, INT_ALL);
    tis_access_set(machine, 2, ACCESS_RELINQUISH);
    machine_with_command(state, INT_ALL);
    tis_access_set(machine, 2, ACCESS_SEIZE);
    assert_line(machine, false);
    fake_backend_answer(machine->tpm);
    assert_int_equal(pending(machine, 0), 0);
    assert_int_equal(pending(machine, 2), INT_LOCALITY_CHANGE);
    assert_line(machine, true);
}

/* What the loser has pending is its own to acknowledge, when it has the device again. */
static void test_seize_leaves_what_the_loser_has_pending(void **state)
{
    TISMachine *machine = machine_with(state, INT_ALL);

    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    tis_access_set(machine, 2, ACCESS_SEIZE);
    assert_int_equal(pending(machine, 0), 0x83);
    assert_line(machine, true);
    acknowledge(machine, 2, 0xFF);
    assert_line(machine, true);
    take(machine, 0);
    assert_int_equal(pending(machine, 0), 0x87);
    acknowledge(machine, 0, 0x87);
    assert_line(machine, false);
    assert_int_equal(fake_host_irqs(&machine->host), 2);
}

static void test_reset_while_a_command_runs_lowers_the_line_for_good(void **state)
{
    TISMachine *machine = machine_with_command(state, INT_ALL);

    tis_access_set(machine, 0, ACCESS_RELINQUISH);
    tis_request(machine, 0);
    assert_line(machine, true);
    tpmdev_device_reset(machine->device);
    assert_line(machine, false);
    fake_backend_answer(machine->tpm);
    assert_line(machine, false);
    assert_int_equal(pending(machine, 0), 0);
}

static TISMachine *machine_of_callback;
static unsigned starts_at_fall;

static void note_starts(FakeHost *host, bool level)
{
    (void)host;
    if (!level) {
        starts_at_fall = machine_of_callback->tpm->starts;
    }
}

/* A TPM that is slow to be told to start does not keep the line up. */
static void test_reset_lowers_the_line_before_it_starts_the_tpm(void **state)
{
    TISMachine *machine = machine_with(state, INT_ALL);
    unsigned starts = machine->tpm->starts;

    tis_sts_set(machine, 0, STS_READY);
    machine_of_callback = machine;
    machine->host.on_irq = note_starts;
    /* an access from within the callback would do what is next, too */
    g_atomic_pointer_set(&machine->host.device, NULL);
    tpmdev_device_reset(machine->device);
    assert_line(machine, false);
    assert_int_equal(starts_at_fall, starts);
    assert_int_equal(machine->tpm->starts, starts + 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, tis_setup_2_0, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_source_interrupts_only_where_it_is_enabled_and_globally),
        cmocka_unit_test(test_source_that_is_not_enabled_does_not_interrupt_for_the_others),
        cmocka_unit_test(test_line_goes_down_with_the_last_of_four_localities_in_any_order),
        cmocka_unit_test(test_reset_lowers_the_line_of_all_localities),
        TEST(test_only_the_active_locality_acknowledges),
        TEST(test_int_status_is_cleared_by_the_lane_that_is_written),
        TEST(test_int_status_cannot_be_set_by_writing),
        cmocka_unit_test(test_int_vector_is_that_of_the_configuration_whatever_is_written),
        TEST(test_enabling_while_something_is_pending_changes_nothing),
        TEST(test_abort_interrupts_with_command_ready_when_the_command_has_ended),
        TEST(test_seize_interrupts_the_winner_when_the_command_has_ended),
        TEST(test_seize_leaves_what_the_loser_has_pending),
        TEST(test_reset_while_a_command_runs_lowers_the_line_for_good),
        TEST(test_reset_lowers_the_line_before_it_starts_the_tpm),
    };

    return cmocka_run_group_tests_name("irq-sources", tests, NULL, NULL);
}
