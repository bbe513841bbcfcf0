/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The messages of the tpm-spapr device (hw/tpm/spapr.c): each one's answer, every byte of it, and
 * what is not one of them; then what a host must offer, and what the device is to be found by.
 */
#include "spapr-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* ---- one message, one answer ---- */

static void test_init_is_answered_with_init(void **state)
{
    spapr_send_ok(*state, MESSAGE_INIT);
    spapr_assert_last(*state, 1, MESSAGE_INIT);
}

static void test_init_complete_is_answered_with_init_complete(void **state)
{
    spapr_send_ok(*state, MESSAGE_INIT_COMPLETE);
    spapr_assert_last(*state, 1, MESSAGE_INIT_COMPLETE);
}

static void test_version_of_a_tpm_1_2_is_1(void **state)
{
    spapr_send_ok(*state, MESSAGE_VERSION);
    spapr_assert_last(*state, 1, ANSWER_VERSION | 1);
}

static void test_version_of_a_tpm_2_0_is_2(void **state)
{
    spapr_send_ok(*state, MESSAGE_VERSION);
    spapr_assert_last(*state, 1, ANSWER_VERSION | 2);
}

static void test_rtce_size_is_the_buffer_of_4096_bytes(void **state)
{
    spapr_send_ok(*state, MESSAGE_RTCE_SIZE);
    spapr_assert_last(*state, 1, ANSWER_RTCE_SIZE | ANSWER_LEN(4096));
}

static void check_rtce_size(size_t tpm_size, size_t wanted)
{
    SpaprMachine *machine = spapr_machine_prepare(TPM_VERSION_2_0, tpm_size);

    spapr_machine_plug(machine);
    spapr_send_ok(machine, MESSAGE_RTCE_SIZE);
    spapr_assert_last(machine, 1, ANSWER_RTCE_SIZE | ANSWER_LEN(wanted));
    spapr_machine_free(machine);
}

static void test_rtce_size_is_never_more_than_the_tpm_takes(void **state)
{
    (void)state;
    check_rtce_size(TPM_BUFFER_SIZE_MIN, TPM_BUFFER_SIZE_MIN);
    check_rtce_size(1024, 1024);
    check_rtce_size(3968, 3968);
}

static void test_prepare_to_suspend_is_answered(void **state)
{
    spapr_send_ok(*state, MESSAGE_SUSPEND);
    spapr_assert_last(*state, 1, ANSWER_SUSPEND);
}

static void check_command(SpaprMachine *machine, const void *command, size_t size,
                          const void *response, size_t response_size)
{
    spapr_start(machine, command, size);
    assert_true(fake_backend_has_command(machine->tpm, command, size));
    assert_int_equal(machine->tpm->locality, 0);
    spapr_assert_last(machine, 1, ANSWER_COMMAND | ANSWER_LEN(response_size) | BUFFER);
    assert_int_equal(machine->dmas, 2);
    spapr_assert_dma(machine, 0, false, BUFFER, size);
    spapr_assert_dma(machine, 1, true, BUFFER, response_size);
    spapr_assert_buffer(machine, response, response_size,
                        response_size < size ? ((const uint8_t *)command)[response_size] : 0xEE);
}

static void test_command_of_a_tpm_2_0_is_answered_with_length_and_address(void **state)
{
    check_command(*state, spapr_command_2_0, sizeof(spapr_command_2_0), spapr_response_2_0,
                  sizeof(spapr_response_2_0));
}

static void test_command_of_a_tpm_1_2_is_answered_with_length_and_address(void **state)
{
    check_command(*state, spapr_command_1_2, sizeof(spapr_command_1_2), spapr_response_1_2,
                  sizeof(spapr_response_1_2));
}

/* What is not asked of a message does not matter: the answer has none of it. */
static void check_filled(SpaprMachine *machine, uint64_t message, uint64_t wanted)
{
    unsigned messages = spapr_messages(machine);

    spapr_send_ok(machine, message | 0x0000FFFFFFFFFFFFu);
    spapr_assert_last(machine, messages + 1, wanted);
}

static void test_other_fields_of_a_message_never_come_back(void **state)
{
    check_filled(*state, MESSAGE_INIT, MESSAGE_INIT);
    check_filled(*state, MESSAGE_INIT_COMPLETE, MESSAGE_INIT_COMPLETE);
    check_filled(*state, MESSAGE_VERSION, ANSWER_VERSION | 2);
    check_filled(*state, MESSAGE_RTCE_SIZE, ANSWER_RTCE_SIZE | ANSWER_LEN(4096));
    check_filled(*state, MESSAGE_SUSPEND, ANSWER_SUSPEND);
}

/* ---- what is none ---- */

static bool is_message(unsigned valid, unsigned type)
{
    return (valid == 0xC0 && (type == 1 || type == 2)) || (valid == 0x80 && type >= 1 && type <= 4);
}

static void test_every_other_message_is_ignored_and_blamed(void **state)
{
    SpaprMachine *machine = *state;
    unsigned unknown = 0;

    for (unsigned valid = 0; valid < 256; valid++) {
        for (unsigned type = 0; type < 256; type++) {
            if (!is_message(valid, type)) {
                spapr_send_ok(machine, (uint64_t)valid << 56 | (uint64_t)type << 48);
                unknown++;
            }
        }
    }
    assert_int_equal(unknown, 65536 - 6);
    assert_int_equal(spapr_messages(machine), 0);
    assert_int_equal(machine->dmas, 0);
    assert_int_equal(machine->tpm->submits, 0);
    assert_int_equal(spapr_statistics(machine).guest_errors, unknown);
}

/* ---- what it has not ---- */

static void test_there_are_no_registers(void **state)
{
    SpaprMachine *machine = *state;
    uint64_t value = 0;

    assert_int_equal(tpmdev_device_get_size(machine->device), 0);
    assert_null(tpmdev_device_get_page(machine->device));
    for (unsigned width = 1; width <= 8; width *= 2) {
        assert_int_equal(tpmdev_device_read(machine->device, 0, width, &value),
                         TPM_ACCESS_BAD_OFFSET);
        assert_true(value == UINT64_MAX);
        assert_int_equal(tpmdev_device_write(machine->device, 0, width, 0), TPM_ACCESS_BAD_OFFSET);
    }
    assert_int_equal(tpmdev_device_read(machine->device, 0xFED40000, 4, &value),
                     TPM_ACCESS_BAD_OFFSET);
}

static void test_the_interrupt_line_is_never_used(void **state)
{
    SpaprMachine *machine = *state;

    spapr_send_ok(machine, MESSAGE_INIT);
    spapr_start(machine, spapr_command_2_0, sizeof(spapr_command_2_0));
    assert_int_equal(fake_host_irqs(&machine->host), 0);
    assert_false(tpmdev_device_get_irq_level(machine->device));
}

static void test_a_device_with_registers_has_no_queue(void **state)
{
    SpaprMachine *machine = spapr_machine_prepare(TPM_VERSION_2_0, TPM_SPAPR_BUFFER_SIZE);

    (void)state;
    machine->config.interface = TPM_INTERFACE_TIS;
    spapr_machine_plug(machine);
    assert_int_equal(spapr_send(machine, MESSAGE_INIT), PARAMETER);
    tpmdev_device_reset_crq(machine->device);
    tpmdev_device_resume_crq(machine->device);
    assert_int_equal(spapr_messages(machine), 0);
    spapr_machine_free(machine);
}

static void test_there_are_no_acpi_tables(void **state)
{
    SpaprMachine *machine = *state;
    g_autoptr(GError) error = NULL;

    assert_null(tpmdev_acpi_log_table(machine->device, NULL, &error));
    assert_non_null(strstr(error->message, "on a bus of its own"));
    g_clear_error(&error);
    assert_null(tpmdev_acpi_ssdt(machine->device, NULL, &error));
    assert_non_null(strstr(error->message, "on a bus of its own"));
}

/* ---- what it needs ---- */

static void check_refused(const TPMHost *host, const char *callback)
{
    SpaprMachine *machine = spapr_machine_prepare(TPM_VERSION_2_0, TPM_SPAPR_BUFFER_SIZE);
    g_autoptr(GError) error = NULL;

    assert_null(tpmdev_device_new(&machine->config, machine->tpm->backend, host, machine, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_MISSING_OPTION));
    assert_non_null(strstr(error->message, "tpm-spapr"));
    assert_non_null(strstr(error->message, callback));
    /* The TPM is free for another device. */
    spapr_machine_plug(machine);
    spapr_machine_free(machine);
}

static void test_a_host_without_its_callbacks_is_refused(void **state)
{
    SpaprMachine *machine = *state;
    TPMHost host = machine->host.host;

    check_refused(NULL, "TPMHost.dma_read");
    host.dma_read = NULL;
    check_refused(&host, "TPMHost.dma_read");
    host = machine->host.host;
    host.dma_write = NULL;
    check_refused(&host, "TPMHost.dma_write");
    host = machine->host.host;
    host.send_crq = NULL;
    check_refused(&host, "TPMHost.send_crq");
}

/* Its members end before the callbacks; what stands behind them is not looked at. */
static void test_a_host_of_an_older_size_is_refused(void **state)
{
    SpaprMachine *machine = *state;
    TPMHost host = machine->host.host;

    host.size = offsetof(TPMHost, dma_read);
    check_refused(&host, "TPMHost.dma_read");
    host.size = offsetof(TPMHost, send_crq);
    check_refused(&host, "TPMHost.send_crq");
}

static void test_other_devices_need_none_of_them(void **state)
{
    SpaprMachine *machine = spapr_machine_prepare(TPM_VERSION_2_0, TPM_SPAPR_BUFFER_SIZE);

    (void)state;
    machine->host.host.dma_read = NULL;
    machine->host.host.dma_write = NULL;
    machine->host.host.send_crq = NULL;
    machine->config.interface = TPM_INTERFACE_CRB;
    spapr_machine_plug(machine);
    spapr_machine_free(machine);
}

/* ---- what it is found by ---- */

static void test_names_and_numbers_of_the_device_tree(void **state)
{
    SpaprMachine *machine = *state;

    assert_string_equal(tpmdev_device_get_model(machine->device), "tpm-spapr");
    assert_int_equal(tpmdev_device_get_interface(machine->device), TPM_INTERFACE_SPAPR);
    assert_string_equal(tpmdev_spapr_get_compatible(TPM_VERSION_1_2), "IBM,vtpm");
    assert_string_equal(tpmdev_spapr_get_compatible(TPM_VERSION_2_0), "IBM,vtpm20");
    assert_string_equal(TPM_SPAPR_NODE_NAME, "vtpm");
    assert_string_equal(TPM_SPAPR_DEVICE_TYPE, "IBM,vtpm");
    assert_int_equal(TPM_SPAPR_DMA_WINDOW_SIZE, 0x10000000);
    assert_int_equal(TPM_SPAPR_SIGNAL_MASK, 1);
    assert_int_equal(TPM_CRQ_MESSAGE_SIZE, 16);
}

static void test_hypercall_codes_are_those_of_papr(void **state)
{
    (void)state;
    assert_int_equal(TPM_H_SUCCESS, 0);
    assert_int_equal(TPM_H_BUSY, 1);
    assert_int_equal(TPM_H_CLOSED, 2);
    assert_int_equal(TPM_H_PARAMETER, -4);
    assert_int_equal(TPM_H_DROPPED, -12);
}

#define TEST_1_2(test) cmocka_unit_test_setup_teardown(test, spapr_setup_1_2, spapr_teardown)
#define TEST_2_0(test) cmocka_unit_test_setup_teardown(test, spapr_setup_2_0, spapr_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_2_0(test_init_is_answered_with_init),
        TEST_2_0(test_init_complete_is_answered_with_init_complete),
        TEST_1_2(test_version_of_a_tpm_1_2_is_1),
        TEST_2_0(test_version_of_a_tpm_2_0_is_2),
        TEST_2_0(test_rtce_size_is_the_buffer_of_4096_bytes),
        cmocka_unit_test(test_rtce_size_is_never_more_than_the_tpm_takes),
        TEST_2_0(test_prepare_to_suspend_is_answered),
        TEST_2_0(test_command_of_a_tpm_2_0_is_answered_with_length_and_address),
        TEST_1_2(test_command_of_a_tpm_1_2_is_answered_with_length_and_address),
        TEST_2_0(test_other_fields_of_a_message_never_come_back),
        TEST_2_0(test_every_other_message_is_ignored_and_blamed),
        TEST_2_0(test_there_are_no_registers),
        TEST_2_0(test_the_interrupt_line_is_never_used),
        cmocka_unit_test(test_a_device_with_registers_has_no_queue),
        TEST_2_0(test_there_are_no_acpi_tables),
        TEST_2_0(test_a_host_without_its_callbacks_is_refused),
        TEST_2_0(test_a_host_of_an_older_size_is_refused),
        cmocka_unit_test(test_other_devices_need_none_of_them),
        TEST_2_0(test_names_and_numbers_of_the_device_tree),
        TEST_2_0(test_hypercall_codes_are_those_of_papr),
    };

    return cmocka_run_group_tests_name("spapr-messages", tests, NULL, NULL);
}
