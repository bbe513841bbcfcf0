/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device before the host's own TPM is to be saved: it is refused, with the reason, before
 * anything is asked, waited for or stopped, and its guest notices nothing.
 *
 * Neighbours: test-passthrough.c, the backend alone, and test-state.c, devices that can be saved.
 */
#include "fake-chardev.h"
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <tpmdev/state.h>

#include <cmocka.h>

/* Longer than anybody waits: a save that waits for the command ends with another error. */
#define TIMEOUT_NS G_GINT64_CONSTANT(5000000000)

static const char reason[] =
    "TPM backend 'tpm0' is the host's own TPM, whose keys and PCRs cannot be taken out of it; a "
    "machine that is to be saved or migrated takes an emulator or libtpms";

/* ---- a machine before the host's TPM ---- */

typedef struct Machine {
    FakeChardev *chardev;
    TISMachine *tis;
} Machine;

static Machine *machine_new(TPMVersion version)
{
    Machine *machine = g_new0(Machine, 1);
    GError *error = NULL;

    machine->chardev = fake_chardev_new(version);
    machine->tis = tis_machine_prepare(version, FAKE_FULL, TPM_BUFFER_SIZE_COMMON);
    TPMBackend *backend = fake_chardev_backend(machine->chardev);

    tis_machine_plug_backend(machine->tis, backend);
    tpmdev_backend_unref(backend);
    if (!tpmdev_device_wait_ready(machine->tis->device, TIMEOUT_NS, &error)) {
        fail_msg("%s", error->message);
    }
    machine->chardev->writes = machine->chardev->reads = 0;
    tis_request(machine->tis, 0);
    return machine;
}

static int setup_2_0(void **state)
{
    *state = machine_new(TPM_VERSION_2_0);
    return 0;
}

static int setup_1_2(void **state)
{
    *state = machine_new(TPM_VERSION_1_2);
    return 0;
}

static int teardown(void **state)
{
    Machine *machine = *state;

    tis_machine_free(machine->tis);
    fake_chardev_free(machine->chardev);
    g_free(machine);
    return 0;
}

static void start_command(Machine *machine)
{
    if (machine->chardev->version == TPM_VERSION_1_2) {
        tis_start(machine->tis, 0, command_1_2, sizeof(command_1_2));
    } else {
        tis_start(machine->tis, 0, command_2_0, sizeof(command_2_0));
    }
}

/* The kernel's answer, ten bytes with code 0, comes by itself. */
static void assert_response(Machine *machine)
{
    gint64 deadline = g_get_monotonic_time() + CHARDEV_DEADLINE_S * G_TIME_SPAN_SECOND;
    uint8_t response[TPM_HEADER_SIZE + 1];

    while (!tis_has_response(machine->tis, 0)) {
        if (g_get_monotonic_time() > deadline) {
            fail_msg("no response within %d s", CHARDEV_DEADLINE_S);
        }
        g_thread_yield();
    }
    assert_int_equal(tis_response(machine->tis, 0, response, sizeof(response)), TPM_HEADER_SIZE);
    assert_memory_equal(response + 6, "\0\0\0", 4);
}

static void assert_refused(GError *error, const char *message)
{
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED));
    assert_string_equal(error->message, message);
    g_error_free(error);
}

static void assert_cannot_be_saved(Machine *machine)
{
    GError *error = NULL;

    assert_false(tpmdev_device_can_migrate(machine->tis->device, &error));
    assert_refused(g_steal_pointer(&error), reason);
    assert_null(tpmdev_device_save(machine->tis->device, TIMEOUT_NS, &error));
    assert_refused(error, reason);
}

/* ---- the rules ---- */

static void test_a_save_is_refused_before_the_tpm_hears_of_it(void **state)
{
    Machine *machine = *state;

    assert_cannot_be_saved(machine);
    assert_int_equal(fake_chardev_count(machine->chardev, &machine->chardev->writes), 0);
    assert_int_equal(fake_host_backend_errors(&machine->tis->host), 0);
    start_command(machine); /* nothing was held, and there is no resume */
    assert_response(machine);
    assert_int_equal(fake_chardev_count(machine->chardev, &machine->chardev->writes), 1);
}

static void test_a_save_is_refused_and_the_command_under_way_goes_on(void **state)
{
    Machine *machine = *state;
    FakeChardev *chardev = machine->chardev;

    chardev->holds = true;
    start_command(machine);
    fake_chardev_wait(chardev, fake_chardev_is_executing);
    assert_cannot_be_saved(machine);
    g_mutex_lock(&chardev->lock);
    assert_true(chardev->executing); /* nobody waited for it, or had it end */
    assert_int_equal(chardev->cancels, 0);
    g_mutex_unlock(&chardev->lock);
    assert_false(tis_has_response(machine->tis, 0));
    fake_chardev_release(chardev);
    assert_response(machine);
    start_command(machine);
    assert_response(machine);
}

/* A reset that waits for the command to end, and a command that waits for the reset. */
static void test_a_save_is_refused_and_what_waits_goes_on(void **state)
{
    Machine *machine = *state;
    FakeChardev *chardev = machine->chardev;

    chardev->cancel = FAKE_CANCEL_WAITS;
    chardev->holds = true;
    start_command(machine);
    fake_chardev_wait(chardev, fake_chardev_is_executing);
    tpmdev_device_reset(machine->tis->device);
    tis_request(machine->tis, 0);
    start_command(machine);
    assert_cannot_be_saved(machine);
    assert_false(tis_has_response(machine->tis, 0));
    fake_chardev_release(chardev);
    assert_response(machine);
    assert_int_equal(fake_chardev_count(chardev, &chardev->writes), 2);
}

static void test_a_load_is_refused_before_its_bytes_are_looked_at(void **state)
{
    Machine *machine = *state;
    g_autoptr(GBytes) anything = g_bytes_new_static("anything", 8);
    GError *error = NULL;

    assert_false(tpmdev_device_load(machine->tis->device, anything, TIMEOUT_NS, &error));
    assert_refused(error, reason);
    start_command(machine);
    assert_response(machine);
}

#define WITH_2_0(test) cmocka_unit_test_setup_teardown(test, setup_2_0, teardown)
#define WITH_1_2(test) cmocka_unit_test_setup_teardown(test, setup_1_2, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_2_0(test_a_save_is_refused_before_the_tpm_hears_of_it),
        WITH_1_2(test_a_save_is_refused_before_the_tpm_hears_of_it),
        WITH_2_0(test_a_save_is_refused_and_the_command_under_way_goes_on),
        WITH_1_2(test_a_save_is_refused_and_the_command_under_way_goes_on),
        WITH_2_0(test_a_save_is_refused_and_what_waits_goes_on),
        WITH_2_0(test_a_load_is_refused_before_its_bytes_are_looked_at),
    };

    return cmocka_run_group_tests_name("passthrough-device", tests, NULL, NULL);
}
