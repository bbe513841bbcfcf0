/* SPDX-License-Identifier: BSD-3-Clause */
/* An `emulator` backend between a scripted peer and a client; see emulator-fixture.h. */
#include "emulator-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

const uint8_t emulator_test_command[12] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 4 };

const uint8_t emulator_test_startup[12] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0 };

TPMBackend *emulator_test_backend(const char *path, unsigned deadline_ms, GError **error)
{
    TPMEmulatorConfig config = { .size = sizeof(config), .id = "tpm0", .path = path };

    return tpm_emulator_new(&config, deadline_ms, NULL, error);
}

void emulator_test_connect(EmulatorTest *test, const char *const *script)
{
    GError *error = NULL;

    *test = (EmulatorTest){ .fake = fake_swtpm_new(script), .config = test->config };
    test->config.size = sizeof(test->config);
    test->config.id = "tpm0";
    test->config.path = fake_swtpm_path(test->fake);
    test->backend = tpm_emulator_new(&test->config, PATIENT_MS, &test->clock, &error);
    if (!test->backend) {
        g_autofree char *trouble = fake_swtpm_end(test->fake);

        fail_msg("%s; the peer says: %s", error->message, trouble ? trouble : "nothing");
    }
}

void emulator_test_bind(EmulatorTest *test)
{
    backend_client_bind(&test->client, test->backend, NULL);
    test->bound = true;
}

void emulator_test_unbind(EmulatorTest *test)
{
    if (test->bound) {
        backend_client_unbind(&test->client);
    }
    test->bound = false;
}

/* Connect, bind, start. */
void emulator_test_start(EmulatorTest *test, const char *const *script)
{
    emulator_test_connect(test, script);
    emulator_test_bind(test);
    if (!backend_client_start(&test->client, TPM_BUFFER_SIZE_COMMON)) {
        fail_msg("%s", test->client.start_error);
    }
}

/* Let go of everything; the script must have been followed to its end. */
void emulator_test_end(EmulatorTest *test)
{
    emulator_test_unbind(test);
    tpmdev_backend_unref(test->backend);
    g_autofree char *trouble = fake_swtpm_end(test->fake);

    if (trouble) {
        fail_msg("%s", trouble);
    }
}

void emulator_test_send(EmulatorTest *test, uint8_t locality)
{
    backend_client_submit(&test->client, locality, emulator_test_command,
                          sizeof(emulator_test_command));
}

void emulator_test_expect(EmulatorTest *test, unsigned nth, uint32_t code)
{
    backend_client_wait_completed(&test->client, nth);
    assert_int_equal(tpm_header_code(test->client.response), code);
}

void emulator_test_run(EmulatorTest *test, uint8_t locality, unsigned nth, uint32_t code)
{
    emulator_test_send(test, locality);
    emulator_test_expect(test, nth, code);
}

void emulator_test_startup_tpm(EmulatorTest *test, unsigned nth)
{
    backend_client_submit(&test->client, 0, emulator_test_startup, sizeof(emulator_test_startup));
    emulator_test_expect(test, nth, 0);
}

Emulator emulator_test_peek(EmulatorTest *test)
{
    Emulator *emulator = test->clock.emulator;

    g_mutex_lock(&emulator->lock);
    Emulator copy = *emulator;
    g_mutex_unlock(&emulator->lock);
    return copy;
}

/* The thread that sent something has left the emulator, so that its deadline is worked out. */
static bool is_settled(EmulatorTest *test)
{
    Emulator emulator = emulator_test_peek(test);
    bool data = emulator.data != DATA_IDLE && emulator.data != DATA_WAITING;

    return emulator.telling == 0 && (emulator.lingering || !data || emulator.data_deadline != 0) &&
           (emulator.lingering || data || !emulator.request || emulator.request_deadline != 0);
}

void emulator_test_pass(EmulatorTest *test, unsigned ms)
{
    while (!is_settled(test)) {
        g_thread_yield();
    }
    tpm_emulator_pass(&test->clock, ms);
}

/* As if the deadlines of what was before had passed. */
void emulator_test_disarm(EmulatorTest *test)
{
    Emulator *emulator = test->clock.emulator;

    g_mutex_lock(&emulator->lock);
    emulator->armed_at = EMULATOR_NEVER;
    g_mutex_unlock(&emulator->lock);
}

unsigned emulator_test_completed(EmulatorTest *test)
{
    g_mutex_lock(&test->client.lock);
    unsigned n = test->client.completed;
    g_mutex_unlock(&test->client.lock);
    return n;
}

void assert_contains(const char *text, const char *part)
{
    if (!text || !strstr(text, part)) {
        fail_msg("'%s' has no '%s'", text ? text : "(nothing)", part);
    }
}
