/* SPDX-License-Identifier: BSD-3-Clause */
/* The libtpms backend: commands that are cancelled, overtaken by a reset, or lingered for. */
#include "command.h"
#include "libtpms-fixture.h"

#include <libtpms/tpm_library.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* A command ends rarely before a cancel takes hold of it; then the test tries again. */
#define CANCEL_TRIES 10

/* ---- libtpms itself, with a hand on it ---- */

static GMutex hook_lock;
static GCond hook_changed;
static bool process_held;      /* TPMLIB_Process() waits at its beginning */
static bool process_held_late; /* and at its end */
static unsigned process_begun; /* calls that came that far; hold_process() begins anew */
static unsigned process_ended; /* and that ended; hold_process_late() begins anew */
static unsigned cancels_said;
static char *damage_at_init; /* a file TPMLIB_MainInit() finds empty, or NULL */

TPM_RESULT __real_TPMLIB_Process(unsigned char **response, uint32_t *size, uint32_t *capacity,
                                 unsigned char *command, uint32_t command_size);
TPM_RESULT __wrap_TPMLIB_Process(unsigned char **response, uint32_t *size, uint32_t *capacity,
                                 unsigned char *command, uint32_t command_size);
TPM_RESULT __real_TPMLIB_CancelCommand(void);
TPM_RESULT __wrap_TPMLIB_CancelCommand(void);
TPM_RESULT __real_TPMLIB_MainInit(void);
TPM_RESULT __wrap_TPMLIB_MainInit(void);

/* Wait, with hook_lock held, for what another thread does. */
static void hook_wait(void)
{
    gint64 deadline = g_get_monotonic_time() + CLIENT_DEADLINE_S * G_TIME_SPAN_SECOND;

    if (!g_cond_wait_until(&hook_changed, &hook_lock, deadline)) {
        g_error("nothing happened in %d s", CLIENT_DEADLINE_S);
    }
}

TPM_RESULT __wrap_TPMLIB_Process(unsigned char **response, uint32_t *size, uint32_t *capacity,
                                 unsigned char *command, uint32_t command_size)
{
    g_mutex_lock(&hook_lock);
    process_begun++;
    g_cond_broadcast(&hook_changed);
    while (process_held) {
        hook_wait();
    }
    g_mutex_unlock(&hook_lock);
    TPM_RESULT result = __real_TPMLIB_Process(response, size, capacity, command, command_size);

    g_mutex_lock(&hook_lock);
    process_ended++;
    g_cond_broadcast(&hook_changed);
    while (process_held_late) {
        hook_wait();
    }
    g_mutex_unlock(&hook_lock);
    return result;
}

TPM_RESULT __wrap_TPMLIB_CancelCommand(void)
{
    g_mutex_lock(&hook_lock);
    cancels_said++;
    g_mutex_unlock(&hook_lock);
    return __real_TPMLIB_CancelCommand();
}

TPM_RESULT __wrap_TPMLIB_MainInit(void)
{
    g_mutex_lock(&hook_lock);
    if (damage_at_init) {
        g_file_set_contents(damage_at_init, "", 0, NULL);
    }
    g_mutex_unlock(&hook_lock);
    return __real_TPMLIB_MainInit();
}

static unsigned count_cancels(void)
{
    g_mutex_lock(&hook_lock);
    unsigned said = cancels_said;
    g_mutex_unlock(&hook_lock);
    return said;
}

static void hold_process(bool held)
{
    g_mutex_lock(&hook_lock);
    process_held = held;
    process_begun = 0;
    g_cond_broadcast(&hook_changed);
    g_mutex_unlock(&hook_lock);
}

static void hold_process_late(bool held)
{
    g_mutex_lock(&hook_lock);
    process_held_late = held;
    process_ended = 0;
    g_cond_broadcast(&hook_changed);
    g_mutex_unlock(&hook_lock);
}

static void wait_for_first(const unsigned *number)
{
    g_mutex_lock(&hook_lock);
    while (*number == 0) {
        hook_wait();
    }
    g_mutex_unlock(&hook_lock);
}

/* No call is held, and no cancel was said. */
static int commands_set_up(void **state)
{
    cancels_said = 0;
    return fixture_set_up(state);
}

static int commands_tear_down(void **state)
{
    hold_process(false);
    hold_process_late(false);
    g_clear_pointer(&damage_at_init, g_free);
    return fixture_tear_down(state);
}

#define COMMANDS_TEST(name)                                                                        \
    cmocka_unit_test_setup_teardown(name, commands_set_up, commands_tear_down)

/* ---- keys ---- */

/* Submit the making of a key; of another one each time. */
static void submit_key(Fixture *fixture)
{
    static uint32_t unique;
    uint8_t command[sizeof(create_key)];

    memcpy(command, create_key, sizeof(command));
    tpm_put_be32(command + KEY_UNIQUE_AT, ++unique);
    backend_client_submit(fixture->client, 0, command, sizeof(command));
}

/*
 * Wait for a submit_key() that was cancelled, and see that it was: false when the key was made
 * before libtpms looked, and the test is to try again.
 */
static bool key_was_cancelled(Fixture *fixture, unsigned completed)
{
    wait_completed(fixture, completed);
    assert_null(fixture->client->response_error);
    uint32_t code = tpm_header_code(fixture->client->response);

    if (code == 0) {
        uint8_t command[sizeof(flush)];

        memcpy(command, flush, sizeof(command));
        memcpy(command + FLUSH_HANDLE_AT, fixture->client->response + TPM_HEADER_SIZE, 4);
        assert_int_equal(backend_client_command(fixture->client, command, sizeof(command)), 0);
        return false;
    }
    assert_int_equal(code, TPM2_RC_CANCELED);
    return true;
}

/* ---- cancel ---- */

static void test_a_cancel_ends_the_making_of_a_key(void **state)
{
    Fixture *fixture = *state;
    bool cancelled = false;

    make_running(fixture);
    for (unsigned i = 0; i < CANCEL_TRIES && !cancelled; i++) {
        unsigned wanted = count_completed(fixture) + 1;

        hold_process(false);
        submit_key(fixture);
        wait_for_first(&process_begun);
        tpm_backend_cancel(fixture->backend);
        cancelled = key_was_cancelled(fixture, wanted);
    }
    assert_true(cancelled);
    assert_random(fixture);
}

static gpointer cancel_run(gpointer data)
{
    tpm_backend_cancel(data);
    return NULL;
}

static void cancel_on_another_thread(Fixture *fixture)
{
    g_thread_join(g_thread_new("canceller", cancel_run, fixture->backend));
}

/*
 * At moments before, in and after the work of libtpms, by threads that submitted nothing. Each
 * command ends, cancelled or done, and the next one is not the worse for it.
 */
static void test_any_thread_may_cancel_at_any_moment(void **state)
{
    Fixture *fixture = *state;
    unsigned cancelled = 0;

    make_running(fixture);
    for (unsigned i = 0; i < 18; i++) {
        unsigned wanted = count_completed(fixture) + 1;

        submit_key(fixture);
        g_usleep(i % 6 * 200);
        cancel_on_another_thread(fixture);
        cancel_on_another_thread(fixture);
        cancelled += key_was_cancelled(fixture, wanted);
        assert_random(fixture);
    }
    assert_true(cancelled > 0);
    unsigned wanted = count_completed(fixture) + 1;

    submit_key(fixture); /* whom nobody cancels */
    assert_false(key_was_cancelled(fixture, wanted));
}

/* libtpms has no way to; what it has for a TPM 2.0 would do nothing, or hit another command. */
static void test_a_tpm_1_2_command_that_runs_is_not_cancelled(void **state)
{
    Fixture *fixture = *state;

    make_backend(fixture, TPM_VERSION_1_2);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_1_2), 0);
    unsigned wanted = count_completed(fixture) + 1;

    hold_process(true);
    backend_client_submit(fixture->client, 0, get_random_1_2, sizeof(get_random_1_2));
    wait_for_first(&process_begun);
    cancel_on_another_thread(fixture);
    hold_process(false);
    wait_completed(fixture, wanted);
    assert_int_equal(tpm_header_code(fixture->client->response), 0);
    assert_int_equal(count_cancels(), 0);
}

/* The flag that libtpms clears as it begins is set again, for as long as the command lasts. */
static void test_a_cancel_before_libtpms_begins_is_not_lost(void **state)
{
    Fixture *fixture = *state;
    bool cancelled = false;

    make_running(fixture);
    for (unsigned i = 0; i < CANCEL_TRIES && !cancelled; i++) {
        unsigned wanted = count_completed(fixture) + 1;

        hold_process(true);
        submit_key(fixture);
        wait_for_first(&process_begun);
        tpm_backend_cancel(fixture->backend);
        hold_process(false);
        cancelled = key_was_cancelled(fixture, wanted);
    }
    assert_true(cancelled);
}

static gboolean on_later_timeout(gpointer data)
{
    bool *fired = data;

    g_mutex_lock(&hook_lock);
    *fired = true;
    g_cond_broadcast(&hook_changed);
    g_mutex_unlock(&hook_lock);
    return G_SOURCE_REMOVE;
}

/* Wait until what is due in a millisecond has been done in the backend's context. */
static void wait_for_later_timeout(Fixture *fixture)
{
    GSource *source = g_timeout_source_new(5);
    bool fired = false;

    g_source_set_callback(source, on_later_timeout, &fired, NULL);
    g_source_attach(source, tpmdev_backend_get_context(fixture->backend));
    g_source_unref(source);
    g_mutex_lock(&hook_lock);
    while (!fired) {
        hook_wait();
    }
    g_mutex_unlock(&hook_lock);
}

static void test_a_cancel_does_not_reach_the_next_command(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    for (unsigned i = 0; i < 5; i++) {
        unsigned wanted = count_completed(fixture) + 1;

        hold_process(false);
        submit_key(fixture);
        wait_for_first(&process_begun);
        tpm_backend_cancel(fixture->backend);
        wait_completed(fixture, wanted);
        unsigned said = count_cancels();

        hold_process(true);
        backend_client_submit(fixture->client, 0, get_random, sizeof(get_random));
        wait_for_first(&process_begun);
        wait_for_later_timeout(fixture);
        assert_int_equal(count_cancels(), said);
        hold_process(false);
        wait_completed(fixture, wanted + 1);
        assert_int_equal(tpm_header_code(fixture->client->response), 0);
    }
}

static void test_a_cancel_with_nothing_to_cancel_is_harmless(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    tpm_backend_cancel(fixture->backend);
    assert_int_equal(count_cancels(), 0);
    assert_random(fixture);
}

/* A client whose started() holds up the worker, so that a command has to wait for it. */
typedef struct SlowClient {
    GMutex lock;
    GCond changed;
    bool started, released;
    unsigned completed;
    uint32_t code;
    GThread *completed_on;
} SlowClient;

static void slow_started(void *opaque, const GError *error)
{
    SlowClient *client = opaque;

    assert_null(error);
    g_mutex_lock(&client->lock);
    client->started = true;
    g_cond_broadcast(&client->changed);
    while (!client->released) {
        g_cond_wait(&client->changed, &client->lock);
    }
    g_mutex_unlock(&client->lock);
}

static void slow_completed(void *opaque, const uint8_t *response, size_t size, const GError *error)
{
    SlowClient *client = opaque;

    (void)size;
    (void)error;
    client->completed++;
    client->code = tpm_header_code(response);
    client->completed_on = g_thread_self();
}

static void slow_established(void *opaque, bool established)
{
    (void)opaque;
    (void)established;
}

static void slow_failed(void *opaque, const GError *error)
{
    (void)opaque;
    (void)error;
}

static const TPMBackendClient slow_callbacks = {
    .started = slow_started,
    .completed = slow_completed,
    .established = slow_established,
    .failed = slow_failed,
};

/* Start, submit while the worker is held up, cancel, and let the worker go. */
static void cancel_a_waiting_command(Fixture *fixture, SlowClient *client, const uint8_t *command,
                                     size_t size, bool linger)
{
    assert_true(tpm_backend_bind(fixture->backend, &slow_callbacks, client, NULL, NULL));
    tpm_backend_start(fixture->backend, TPM_BUFFER_SIZE_COMMON);
    g_mutex_lock(&client->lock);
    while (!client->started) {
        g_cond_wait(&client->changed, &client->lock);
    }
    g_mutex_unlock(&client->lock);
    tpm_backend_load(fixture->backend, 0, command, size);
    tpm_backend_submit(fixture->backend, linger);
    tpm_backend_cancel(fixture->backend);
    if (linger) {
        assert_int_equal(client->completed, 0);
        tpm_backend_poll(fixture->backend);
    }
    unsigned completed = client->completed; /* before the worker may do anything */

    g_mutex_lock(&client->lock);
    client->released = true;
    g_cond_broadcast(&client->changed);
    g_mutex_unlock(&client->lock);
    tpm_backend_unbind(fixture->backend);
    assert_int_equal(completed, 1);
    assert_ptr_equal(client->completed_on, g_thread_self());
}

static void test_a_cancelled_command_that_waits_is_answered_at_once(void **state)
{
    Fixture *fixture = *state;

    for (unsigned i = 0; i < 2; i++) {
        SlowClient client = { .started = false };

        make_backend(fixture, TPM_VERSION_2_0);
        unbind_client(fixture);
        cancel_a_waiting_command(fixture, &client, startup_clear, sizeof(startup_clear), i);
        assert_int_equal(client.code, TPM2_RC_CANCELED);
        assert_int_equal(client.completed, 1);
        drop_backend(fixture);
    }
}

static void test_a_cancelled_tpm_1_2_command_that_waits_fails(void **state)
{
    Fixture *fixture = *state;
    SlowClient client = { .started = false };

    make_backend(fixture, TPM_VERSION_1_2);
    unbind_client(fixture);
    cancel_a_waiting_command(fixture, &client, startup_1_2, sizeof(startup_1_2), false);
    assert_int_equal(client.code, TPM12_FAIL);
}

static void test_a_reset_in_the_middle_of_a_command(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    for (unsigned i = 0; i < 5; i++) {
        unsigned wanted = count_completed(fixture) + 1;

        hold_process(false);
        submit_key(fixture);
        wait_for_first(&process_begun);
        tpm_backend_cancel(fixture->backend);
        wait_completed(fixture, wanted);
        start_tpm(fixture);
        unsigned said = count_cancels();

        wait_for_later_timeout(fixture);
        assert_int_equal(count_cancels(), said);
        assert_int_equal(COMMAND(fixture, startup_clear), 0);
    }
}

static void test_another_device_does_not_see_the_command_of_the_last(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    for (unsigned i = 0; i < 5; i++) {
        hold_process(false);
        submit_key(fixture);
        wait_for_first(&process_begun);
        unbind_client(fixture);
        bind_client(fixture);
        start_tpm(fixture);
        assert_int_equal(COMMAND(fixture, startup_clear), 0);
        assert_random(fixture);
        assert_int_equal(count_completed(fixture), 2);
    }
}

static void wait_started(BackendClient *client)
{
    gint64 deadline = g_get_monotonic_time() + CLIENT_DEADLINE_S * G_TIME_SPAN_SECOND;

    g_mutex_lock(&client->lock);
    while (client->started == 0) {
        assert_true(g_cond_wait_until(&client->changed, &client->lock, deadline));
    }
    g_mutex_unlock(&client->lock);
}

static void test_another_device_does_not_see_the_failure_of_the_last(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    block_storage(fixture);
    hold_process_late(true);
    backend_client_submit(fixture->client, 0, nv_define, sizeof(nv_define));
    wait_for_first(&process_ended);
    unblock_storage(fixture);
    unbind_client(fixture);
    bind_client(fixture);
    tpm_backend_start(fixture->backend, TPM_BUFFER_SIZE_COMMON);
    hold_process_late(false);
    wait_started(fixture->client);
    assert_null(fixture->client->start_error);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
}

/* What is found damaged only as the TPM loads it is no wish for a new TPM either. */
static void test_state_damaged_after_it_was_checked_is_no_new_tpm(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = file_path(fixture, "permall");
    g_autofree char *content = NULL;
    gsize size;

    make_running(fixture);
    damage_at_init = g_strdup(path);
    assert_false(backend_client_start(fixture->client, TPM_BUFFER_SIZE_COMMON));
    assert_message(fixture, fixture->client->start_error,
                   "TPM state file 'DIR/permall' is damaged: it is empty; restore the directory "
                   "from a backup, or give an empty one for a new TPM");
    assert_true(g_file_get_contents(path, &content, &size, NULL));
    assert_int_equal(size, 0);
}

static void test_a_tpm_can_be_destroyed_in_the_middle_of_a_command(void **state)
{
    Fixture *fixture = *state;

    for (unsigned i = 0; i < 5; i++) {
        make_running(fixture);
        hold_process(false);
        submit_key(fixture);
        if (i % 2) {
            wait_for_first(&process_begun);
        }
        drop_backend(fixture);
    }
    make_backend(fixture, TPM_VERSION_2_0);
    tpm_backend_start(fixture->backend, TPM_BUFFER_SIZE_COMMON);
    drop_backend(fixture);
    make_running(fixture);
    assert_random(fixture);
}

/* ---- lingering ---- */

static void submit_lingering(Fixture *fixture)
{
    tpm_backend_load(fixture->backend, 0, get_random, sizeof(get_random));
    tpm_backend_submit(fixture->backend, true);
}

static void test_a_lingering_command_completes_in_poll(void **state)
{
    Fixture *fixture = *state;
    gint64 deadline = g_get_monotonic_time() + CLIENT_DEADLINE_S * G_TIME_SPAN_SECOND;

    make_running(fixture);
    for (unsigned i = 0; i < 1000; i++) {
        unsigned wanted = count_completed(fixture) + 1;

        submit_lingering(fixture);
        while (count_completed(fixture) < wanted) {
            assert_true(g_get_monotonic_time() < deadline);
            tpm_backend_poll(fixture->backend);
        }
        assert_ptr_equal(fixture->client->completed_on, g_thread_self());
        assert_int_equal(tpm_header_code(fixture->client->response), 0);
    }
}

static void test_a_command_that_lingers_too_long_completes_on_its_own(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    unsigned wanted = count_completed(fixture) + 1;

    hold_process(true);
    submit_lingering(fixture);
    wait_for_first(&process_begun);
    tpm_backend_poll(fixture->backend);
    assert_int_equal(count_completed(fixture), wanted - 1);
    tpm_backend_linger_end(fixture->backend);
    assert_int_equal(count_completed(fixture), wanted - 1);
    hold_process(false);
    wait_completed(fixture, wanted);
    assert_ptr_not_equal(fixture->client->completed_on, g_thread_self());
}

/* The worker's end of the command and linger_end() race, and one of the two completes it. */
static void test_a_command_completes_once_however_its_lingering_ends(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    unsigned first = count_completed(fixture);

    for (unsigned i = 0; i < 2000; i++) {
        submit_lingering(fixture);
        for (unsigned n = 0; n < i % 50; n++) {
            g_get_monotonic_time(); /* some tens of nanoseconds */
        }
        tpm_backend_linger_end(fixture->backend);
        wait_completed(fixture, first + i + 1);
    }
    assert_int_equal(count_completed(fixture), first + 2000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        COMMANDS_TEST(test_a_cancel_ends_the_making_of_a_key),
        COMMANDS_TEST(test_any_thread_may_cancel_at_any_moment),
        COMMANDS_TEST(test_a_tpm_1_2_command_that_runs_is_not_cancelled),
        COMMANDS_TEST(test_a_cancel_before_libtpms_begins_is_not_lost),
        COMMANDS_TEST(test_a_cancel_does_not_reach_the_next_command),
        COMMANDS_TEST(test_a_cancel_with_nothing_to_cancel_is_harmless),
        COMMANDS_TEST(test_a_cancelled_command_that_waits_is_answered_at_once),
        COMMANDS_TEST(test_a_cancelled_tpm_1_2_command_that_waits_fails),
        COMMANDS_TEST(test_a_reset_in_the_middle_of_a_command),
        COMMANDS_TEST(test_another_device_does_not_see_the_command_of_the_last),
        COMMANDS_TEST(test_another_device_does_not_see_the_failure_of_the_last),
        COMMANDS_TEST(test_state_damaged_after_it_was_checked_is_no_new_tpm),
        COMMANDS_TEST(test_a_tpm_can_be_destroyed_in_the_middle_of_a_command),
        COMMANDS_TEST(test_a_lingering_command_completes_in_poll),
        COMMANDS_TEST(test_a_command_that_lingers_too_long_completes_on_its_own),
        COMMANDS_TEST(test_a_command_completes_once_however_its_lingering_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
