/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A host that waits for its TPM's start: how it ends, and that nobody else has to run for it.
 */
#include "fake-swtpm.h"
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define LONG_NS  (FAKE_DEADLINE_S * G_GINT64_CONSTANT(1000000000))
#define SHORT_NS G_GINT64_CONSTANT(3000000)

static int setup(void **state)
{
    *state = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, TPM_BUFFER_SIZE_COMMON);
    return 0;
}

static void assert_ready(TISMachine *machine)
{
    GError *error = NULL;

    if (!tpmdev_device_wait_ready(machine->device, LONG_NS, &error)) {
        fail_msg("%s", error->message);
    }
}

static void assert_not_ready(TISMachine *machine, int64_t timeout_ns, int code, const char *text)
{
    GError *error = NULL;

    assert_false(tpmdev_device_wait_ready(machine->device, timeout_ns, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, code));
    if (!strstr(error->message, text)) {
        fail_msg("'%s' is not in '%s'", text, error->message);
    }
    g_error_free(error);
}

static void test_tpm_that_started_at_once_is_ready(void **state)
{
    TISMachine *machine = *state;

    tis_machine_plug(machine);
    assert_ready(machine);
    assert_int_equal(machine->tpm->starts, 1);
}

static void test_wait_ends_when_another_thread_answers(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->start_when = FAKE_BY_THREAD;
    tis_machine_plug(machine);
    assert_ready(machine);
}

static void test_hosts_context_need_not_run(void **state)
{
    TISMachine *machine = *state;

    fake_host_use_context(&machine->host);
    machine->tpm->start_when = FAKE_BY_THREAD;
    tis_machine_plug(machine);
    assert_ready(machine);
}

static void test_wait_has_an_end_when_the_tpm_has_none(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->start_when = FAKE_WHEN_TOLD;
    tis_machine_plug(machine);
    assert_not_ready(machine, SHORT_NS, TPM_ERROR_TIMED_OUT, "was not ready within 3 ms");
    fake_backend_answer(machine->tpm);
    assert_ready(machine);
}

static void test_who_forgot_to_resume_is_told(void **state)
{
    TISMachine *machine = *state;

    machine->config.incoming = true;
    tis_machine_plug(machine);
    assert_not_ready(machine, SHORT_NS, TPM_ERROR_TIMED_OUT,
                     "is held, and needs tpmdev_device_resume()");
    tpmdev_device_resume(machine->device);
    assert_ready(machine);
}

static void test_failed_start_is_told_in_its_own_words(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->start_fails = true;
    tis_machine_plug(machine);
    assert_not_ready(machine, LONG_NS, TPM_ERROR_IO, "was told to fail");
    machine->tpm->start_fails = false;
    tpmdev_device_reset(machine->device);
    assert_ready(machine);
}

static void test_failed_start_is_forgotten_when_the_tpm_recovers(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->start_fails = true;
    tis_machine_plug(machine);
    assert_not_ready(machine, LONG_NS, TPM_ERROR_IO, "was told to fail");
    tpmdev_backend_recovered(machine->tpm->backend);
    assert_ready(machine);
    assert_int_equal(machine->tpm->starts, 1);
}

/* The emulator's start is a dozen messages, which come by the context's sources or by poll(). */
static void test_emulator_starts_without_its_context(void **state)
{
    FakeFarm *farm = fake_farm_new();
    TPMEmulatorConfig config = { .size = sizeof(config),
                                 .id = "tpm0",
                                 .path = fake_farm_path(farm) };
    TPMBackend *backend = tpmdev_backend_emulator_new(&config, NULL);
    TPMHost host = TPM_HOST_INIT;

    (void)state;
    host.context = g_main_context_new();
    TPMDevice *device = tpmdev_device_new(NULL, backend, &host, NULL, NULL);

    for (int i = 0; i < 3; i++) {
        GError *error = NULL;

        if (!tpmdev_device_wait_ready(device, LONG_NS, &error)) {
            fail_msg("%s", error->message);
        }
        tpmdev_device_reset(device);
    }
    tpmdev_device_free(device);
    tpmdev_backend_unref(backend);
    g_main_context_unref(host.context);
    fake_farm_free(farm);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tpm_that_started_at_once_is_ready),
        TEST(test_wait_ends_when_another_thread_answers),
        TEST(test_hosts_context_need_not_run),
        TEST(test_wait_has_an_end_when_the_tpm_has_none),
        TEST(test_who_forgot_to_resume_is_told),
        TEST(test_failed_start_is_told_in_its_own_words),
        TEST(test_failed_start_is_forgotten_when_the_tpm_recovers),
        cmocka_unit_test(test_emulator_starts_without_its_context),
    };

    return cmocka_run_group_tests_name("wait ready", tests, NULL, NULL);
}
