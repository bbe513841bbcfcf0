/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The contract of <tpmdev/backend.h>, which backend.c holds every backend to: commands, responses
 * and failures, construction, binding and references. The table of states and calls is in
 * test-backend-table.c, threads are in test-backend-threads.c.
 */
#include "backend-fixture.h"
#include "command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t failure_2_0[] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x01 };
static const uint8_t failure_1_2[] = { 0x00, 0xC4, 0, 0, 0, 10, 0, 0, 0x00, 0x09 };

/* ---- what comes with the news ---- */

static void assert_failure(BackendFixture *fixture, const char *message)
{
    assert_news(fixture, "C");
    assert_int_equal(fixture->client.response_size, sizeof(failure_2_0));
    assert_memory_equal(fixture->client.response, failure_2_0, sizeof(failure_2_0));
    assert_non_null(fixture->client.error);
    assert_string_equal(fixture->client.error, message);
}

static void test_a_command_to_a_failed_tpm_ends_with_its_failure_response(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    fixture_fail(fixture, "gone");
    fixture_forget(fixture);
    fixture_submit(fixture);
    assert_failure(fixture, "TPM backend 'tpm0' has failed; the command was not sent");
}

static void test_a_1_2_fails_in_its_own_shape(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    fixture_submit(fixture);
    fixture_fail(fixture, "gone");
    assert_int_equal(fixture->client.response_size, sizeof(failure_1_2));
    assert_memory_equal(fixture->client.response, failure_1_2, sizeof(failure_1_2));
}

static void test_a_failure_under_a_command_ends_it_and_says_why(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    fixture_submit(fixture);
    fixture_fail(fixture, "swtpm went away");
    assert_failure(fixture, "swtpm went away");
}

static void test_a_failure_of_start_says_why(void **state)
{
    BackendFixture *fixture = *state;

    fixture_bind(fixture);
    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    fixture_fail(fixture, "no such socket");
    assert_news(fixture, "s");
    assert_string_equal(fixture->client.error, "no such socket");
}

static void test_a_failure_out_of_the_blue_says_why(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    fixture_fail(fixture, "peer closed");
    assert_news(fixture, "F");
    assert_string_equal(fixture->client.error, "peer closed");
}

static void test_a_failed_tpm_comes_back_with_the_next_start(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    fixture_fail(fixture, "gone");
    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    tpmdev_backend_started(fixture->backend);
    fixture_forget(fixture);
    fixture_submit(fixture);
    fixture_complete(fixture, 20);
    assert_news(fixture, "C");
    assert_null(fixture->client.error);
}

/* No start, no reset: the TPM has kept what the guest knows. */
static void test_a_failed_tpm_that_recovers_takes_commands(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    fixture_fail(fixture, "swtpm went away");
    tpmdev_backend_recovered(fixture->backend);
    assert_news(fixture, "FR");
    fixture_submit(fixture);
    assert_int_equal(fixture->klass.submits, 1);
    assert_int_equal(fixture->klass.starts, 0);
    fixture_complete(fixture, 20);
    assert_news(fixture, "FRC");
}

static void test_answering_twice_does_no_harm(void **state)
{
    BackendFixture *fixture = *state;

    fixture_bind(fixture);
    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    tpmdev_backend_started(fixture->backend);
    tpmdev_backend_started(fixture->backend);
    assert_news(fixture, "S");
    fixture_submit(fixture);
    fixture_complete(fixture, 20);
    fixture_complete(fixture, 30);
    assert_news(fixture, "SC");
    assert_int_equal(fixture->client.response_size, 20);
}

/* ---- responses ---- */

static void test_a_response_reaches_the_client_byte_by_byte(void **state)
{
    static const size_t sizes[] = { 10, 11, 255, 256 };
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        fixture_forget(fixture);
        fixture_submit(fixture);
        fixture_complete(fixture, sizes[i]);
        assert_news(fixture, "C");
        assert_null(fixture->client.error);
        assert_int_equal(fixture->client.response_size, sizes[i]);
        for (size_t b = TPM_HEADER_CODE; b < sizes[i]; b++) {
            assert_int_equal(fixture->client.response[b], (uint8_t)b);
        }
    }
}

/* What a TPM must not answer: so many bytes, whose header says this. */
static void check_malformed(BackendFixture *fixture, size_t size, uint32_t len)
{
    g_autofree uint8_t *response = g_malloc0(size + 1);
    g_autofree uint8_t *exact = g_malloc(size);
    g_autofree char *message = g_strdup_printf("TPM backend 'tpm0' answered with %zu bytes that "
                                               "are no response of at most 256 bytes",
                                               size);

    if (size >= TPM_HEADER_SIZE) {
        tpm_put_be32(response + TPM_HEADER_LEN, len);
    }
    memcpy(exact, response, size);
    fixture_forget(fixture);
    fixture_submit(fixture);
    tpmdev_backend_complete(fixture->backend, exact, size);
    assert_failure(fixture, message);
}

static void test_a_malformed_response_becomes_a_failure(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    check_malformed(fixture, 1, 1);
    check_malformed(fixture, 9, 9);
    check_malformed(fixture, 10, 9);
    check_malformed(fixture, 10, 11);
    check_malformed(fixture, 20, 0xFFFFFFFF);
    check_malformed(fixture, 257, 257);
    check_malformed(fixture, 5000, 5000);
    check_malformed(fixture, 5000, 20);
}

static void test_no_response_at_all_becomes_a_failure(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    fixture_submit(fixture);
    tpmdev_backend_complete(fixture->backend, NULL, 0);
    assert_failure(fixture, "TPM backend 'tpm0' answered with 0 bytes that are no response of at "
                            "most 256 bytes");
}

static void test_a_malformed_response_is_not_the_end_of_the_tpm(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    fixture_submit(fixture);
    tpmdev_backend_complete(fixture->backend, NULL, 0);
    fixture_forget(fixture);
    fixture_submit(fixture);
    fixture_complete(fixture, 20);
    assert_news(fixture, "C");
    assert_null(fixture->client.error);
}

static void test_a_command_that_could_not_be_carried_out_says_why_and_is_not_the_end(void **state)
{
    BackendFixture *fixture = *state;
    GError *error = g_error_new(TPMDEV_ERROR, TPM_ERROR_IO, "the line is noisy");

    fixture_make_ready(fixture);
    fixture_submit(fixture);
    tpmdev_backend_complete_with_error(fixture->backend, error);
    g_error_free(error);
    assert_failure(fixture, "the line is noisy");
    fixture_forget(fixture);
    fixture_submit(fixture);
    fixture_complete(fixture, 20);
    assert_news(fixture, "C");
    assert_null(fixture->client.error);
}

/* ---- commands ---- */

static void test_a_command_reaches_the_class_as_it_was(void **state)
{
    static const uint8_t command[] = { 0x80, 0x02, 0, 0, 0, 11, 1, 2, 3, 4, 5 };
    uint8_t sent[sizeof(command)];
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    memcpy(sent, command, sizeof(sent));
    tpm_backend_load(fixture->backend, 3, sent, sizeof(sent));
    memset(sent, 0xFF, sizeof(sent)); /* it was copied; what becomes of the original is no matter */
    tpm_backend_submit(fixture->backend, true);
    assert_int_equal(fixture->klass.command.locality, 3);
    assert_int_equal(fixture->klass.command.size, sizeof(command));
    assert_memory_equal(fixture->klass.command.data, command, sizeof(command));
    assert_true(fixture->klass.linger);
    fixture_complete(fixture, 20);
    fixture_submit(fixture);
    assert_false(fixture->klass.linger);
}

static void test_the_largest_command_is_the_tpms_buffer(void **state)
{
    uint8_t command[FIXTURE_BUFFER_SIZE] = { 0x80, 0x01, 0, 0, 1, 0 };
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    tpm_backend_load(fixture->backend, 0, command, sizeof(command));
    tpm_backend_submit(fixture->backend, false);
    assert_int_equal(fixture->klass.command.size, FIXTURE_BUFFER_SIZE);
}

static void test_device_and_tpm_agree_on_the_smaller_buffer(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    tpm_backend_start(fixture->backend, 4096);
    assert_int_equal(fixture->klass.start_buffer_size, FIXTURE_BUFFER_SIZE);
    tpmdev_backend_started(fixture->backend);
    tpm_backend_start(fixture->backend, 128);
    assert_int_equal(fixture->klass.start_buffer_size, 128);
    tpmdev_backend_started(fixture->backend);
    fixture_forget(fixture);
    fixture_submit(fixture);
    fixture_complete(fixture, 129);
    assert_failure(fixture, "TPM backend 'tpm0' answered with 129 bytes that are no response of at "
                            "most 128 bytes");
    fixture_forget(fixture);
    fixture_submit(fixture);
    fixture_complete(fixture, 128);
    assert_int_equal(fixture->client.response_size, 128);
}

/* ---- optional members ---- */

static void test_lingering_takes_both_poll_and_linger_end(void **state)
{
    static TPMBackendClass no_poll, no_end;
    BackendFixture *fixture = *state;

    no_poll = no_end = fixture_class;
    no_poll.poll = NULL;
    no_end.linger_end = NULL;
    assert_true(tpm_backend_can_linger(fixture->backend));
    fixture_use_class(fixture, &no_poll);
    assert_false(tpm_backend_can_linger(fixture->backend));
    fixture_use_class(fixture, &no_end);
    assert_false(tpm_backend_can_linger(fixture->backend));
}

static void test_a_class_without_cancel_is_left_alone(void **state)
{
    static TPMBackendClass bare;
    BackendFixture *fixture = *state;

    bare = fixture_class;
    bare.cancel = NULL;
    bare.reset_established = NULL;
    fixture_use_class(fixture, &bare);
    fixture_make_ready(fixture);
    tpm_backend_reset_established(fixture->backend, 3);
    fixture_submit(fixture);
    tpm_backend_cancel(fixture->backend);
    tpm_backend_unbind(fixture->backend);
    assert_int_equal(fixture->klass.cancels + fixture->klass.established_resets, 0);
}

static void test_polls_and_resets_of_the_flag_reach_the_class(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    tpm_backend_reset_established(fixture->backend, 4);
    assert_int_equal(fixture->klass.established_resets, 1);
    assert_int_equal(fixture->klass.established_locality, 4);
    fixture_submit(fixture);
    tpm_backend_poll(fixture->backend);
    tpm_backend_poll(fixture->backend);
    tpm_backend_linger_end(fixture->backend);
    assert_int_equal(fixture->klass.polls, 2);
    assert_int_equal(fixture->klass.linger_ends, 1);
}

/* ---- migration ---- */

static void test_nothing_speaks_against_migration_unless_the_class_says_so(void **state)
{
    BackendFixture *fixture = *state;
    GError *error = NULL;

    assert_true(tpmdev_backend_can_migrate(fixture->backend, &error));
    assert_null(error);
    assert_true(tpmdev_backend_can_migrate(fixture->backend, NULL));
}

static void test_a_tpm_whose_state_cannot_be_saved_cannot_migrate(void **state)
{
    static TPMBackendClass without;
    BackendFixture *fixture = *state;
    GError *error = NULL;

    without = fixture_class;
    without.save = NULL;
    fixture_use_class(fixture, &without);
    assert_false(tpmdev_backend_can_migrate(fixture->backend, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED));
    g_clear_error(&error);
    without.save = fixture_class.save;
    without.load = NULL;
    assert_false(tpmdev_backend_can_migrate(fixture->backend, NULL));
}

static bool can_migrate_while_stopped(void *self, GError **error)
{
    BackendFixture *fixture = self;

    if (fixture->klass.starts > 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED, "it has been started");
        return false;
    }
    return true;
}

static void test_a_class_says_why_its_tpm_cannot_migrate(void **state)
{
    static TPMBackendClass asked;
    BackendFixture *fixture = *state;
    GError *error = NULL;

    asked = fixture_class;
    asked.can_migrate = can_migrate_while_stopped;
    fixture_use_class(fixture, &asked);
    assert_true(tpmdev_backend_can_migrate(fixture->backend, &error));
    fixture->klass.starts = 1;
    assert_false(tpmdev_backend_can_migrate(fixture->backend, NULL));
    assert_false(tpmdev_backend_can_migrate(fixture->backend, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED));
    assert_string_equal(error->message, "it has been started");
    g_error_free(error);
}

/* ---- the tpmEstablished flag ---- */

static void test_the_established_flag_is_told_when_it_changes(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    tpmdev_backend_set_established(fixture->backend, false); /* as it was */
    assert_news(fixture, "");
    tpmdev_backend_set_established(fixture->backend, true);
    tpmdev_backend_set_established(fixture->backend, true);
    assert_news(fixture, "E");
    tpmdev_backend_set_established(fixture->backend, false);
    assert_news(fixture, "Ee");
}

/* The TPM's flag outlives the device; the next one must not take it as not set. */
/* Nobody is there to be told, nor a context to tell it on; nothing complains. */
static void test_a_tpm_without_a_device_may_say_what_it_likes(void **state)
{
    BackendFixture *fixture = *state;
    GLogLevelFlags before = g_log_set_always_fatal(G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_ERROR);

    for (unsigned i = 0; i < 2; i++) {
        tpmdev_backend_set_established(fixture->backend, i == 0);
        tpmdev_backend_set_link(fixture->backend, TPM_LINK_RESYNCHRONISING);
        fixture_fail(fixture, "swtpm went away");
        tpmdev_backend_recovered(fixture->backend);
        fixture_bind_to_context(fixture);
        tpm_backend_unbind(fixture->backend);
    }
    g_log_set_always_fatal(before);
    assert_news(fixture, "E");
}

static void test_the_next_device_is_told_of_a_flag_that_is_set(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    tpmdev_backend_set_established(fixture->backend, true);
    tpm_backend_unbind(fixture->backend);
    fixture_forget(fixture);
    fixture_bind(fixture);
    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    tpmdev_backend_started(fixture->backend);
    assert_news(fixture, "ES");
}

static void test_a_flag_set_before_there_is_a_device_is_told_to_it(void **state)
{
    BackendFixture *fixture = *state;

    tpmdev_backend_set_established(fixture->backend, true);
    fixture_bind(fixture);
    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    tpmdev_backend_started(fixture->backend);
    assert_news(fixture, "ES");
}

/* ---- one device at a time ---- */

static void test_a_second_device_is_told_that_the_backend_is_in_use(void **state)
{
    static const TPMBackendClient other_client = { 0 };
    BackendFixture *fixture = *state;
    GMainContext *contexts[] = { NULL, fixture->context };

    fixture_make_ready(fixture);
    for (unsigned i = 0; i < G_N_ELEMENTS(contexts); i++) {
        GError *error = NULL;

        assert_false(tpm_backend_bind(fixture->backend, &other_client, NULL, contexts[i], &error));
        assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_IN_USE));
        assert_string_equal(error->message,
                            "TPM backend 'tpm0' is already initialized: it serves another device; "
                            "give each device a backend of its own");
        g_error_free(error);
    }
    /* The first one has noticed nothing. */
    fixture_submit(fixture);
    fixture_complete(fixture, 20);
    assert_news(fixture, "C");
}

static void test_after_unbind_news_is_dropped(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    fixture_submit(fixture);
    tpm_backend_unbind(fixture->backend);
    fixture_complete(fixture, 20);
    tpmdev_backend_started(fixture->backend);
    fixture_fail(fixture, "late");
    assert_news(fixture, "");
}

static void test_unbind_cancels_the_command_under_way(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    fixture_submit(fixture);
    tpm_backend_unbind(fixture->backend);
    assert_int_equal(fixture->klass.cancels, 1);
    tpm_backend_unbind(fixture->backend); /* nothing is bound: nothing happens */
    assert_int_equal(fixture->klass.cancels, 1);
}

static void test_the_next_device_finds_the_backend_stopped(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    tpm_backend_unbind(fixture->backend);
    fixture_bind(fixture);
    fixture_submit(fixture);
    assert_int_equal(fixture->klass.submits, 0);
    assert_failure(fixture, "TPM backend 'tpm0' has failed; the command was not sent");
}

/* ---- construction ---- */

static TPMBackendInfo info_2_0(void)
{
    return (TPMBackendInfo){ sizeof(TPMBackendInfo), TPM_VERSION_2_0, 4096, false };
}

/* It is refused with this text, and self is left to its owner. */
static void assert_new_fails(const TPMBackendClass *klass, const char *id,
                             const TPMBackendInfo *info, const char *message)
{
    BackendFixture self = { 0 };
    GError *error = NULL;

    assert_null(tpmdev_backend_new(klass, id, info, &self, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION));
    assert_string_equal(error->message, message);
    g_error_free(error);
    assert_null(tpmdev_backend_new(klass, id, info, &self, NULL));
    assert_int_equal(self.klass.destroys, 0);
}

static void test_a_class_must_have_its_mandatory_members(void **state)
{
    const char *message = "TPM backend: the class lacks a type, start(), submit() or destroy()";
    TPMBackendClass wrong[5] = { fixture_class, fixture_class, fixture_class, fixture_class,
                                 fixture_class };
    TPMBackendInfo info = info_2_0();

    (void)state;
    wrong[0].type = NULL;
    wrong[1].start = NULL;
    wrong[2].submit = NULL;
    wrong[3].destroy = NULL;
    wrong[4].size = offsetof(TPMBackendClass, destroy); /* it is there, but not within the size */
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        assert_new_fails(&wrong[i], "tpm0", &info, message);
    }
}

static void test_an_id_is_needed(void **state)
{
    const char *message = "TPM backend: the id is empty; give the backend a name";
    TPMBackendInfo info = info_2_0();

    (void)state;
    assert_new_fails(&fixture_class, "", &info, message);
    assert_new_fails(&fixture_class, NULL, &info, message);
}

static void test_the_version_is_one_of_two(void **state)
{
    static const int wrong[] = { 0, 3, -1, 20 };
    TPMBackendInfo info = info_2_0();

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        info.version = (TPMVersion)wrong[i];
        assert_new_fails(&fixture_class, "tpm0", &info,
                         "TPM backend: the version is neither TPM_VERSION_1_2 nor "
                         "TPM_VERSION_2_0");
    }
}

static void test_the_buffer_size_is_bounded(void **state)
{
    static const struct {
        size_t given, taken;
    } cases[] = { { 128, 128 },   { 3968, 3968 }, { 4097, 4097 },
                  { 8192, 8192 }, { 8193, 8192 }, { SIZE_MAX, 8192 } };
    TPMBackendInfo info = info_2_0();
    BackendFixture self = { 0 };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        info.buffer_size = cases[i].given;
        TPMBackend *backend = tpmdev_backend_new(&fixture_class, "tpm0", &info, &self, NULL);

        assert_non_null(backend);
        assert_int_equal(tpmdev_backend_get_buffer_size(backend), cases[i].taken);
        tpmdev_backend_unref(backend);
    }
    info.buffer_size = TPM_BUFFER_SIZE_MIN - 1;
    assert_new_fails(&fixture_class, "tpm0", &info,
                     "TPM backend: the buffer size is below TPM_BUFFER_SIZE_MIN");
}

static void test_a_backend_keeps_copies_of_what_it_was_given(void **state)
{
    TPMBackendInfo info = { sizeof(info), TPM_VERSION_1_2, 1024, false };
    BackendFixture self = { 0 };
    char id[] = "tpm7";
    TPMBackend *backend = tpmdev_backend_new(&fixture_class, id, &info, &self, NULL);

    (void)state;
    memset(id, 'x', 4);
    memset(&info, 0, sizeof(info));
    assert_string_equal(tpmdev_backend_get_id(backend), "tpm7");
    assert_string_equal(tpmdev_backend_get_type(backend), "noting");
    assert_int_equal(tpmdev_backend_get_version(backend), TPM_VERSION_1_2);
    assert_int_equal(tpmdev_backend_get_buffer_size(backend), 1024);
    tpmdev_backend_unref(backend);
}

/* ---- references ---- */

static void test_the_last_reference_destroys_and_no_other(void **state)
{
    BackendFixture *fixture = *state;
    TPMBackend *backend = g_steal_pointer(&fixture->backend);

    assert_ptr_equal(tpmdev_backend_ref(backend), backend);
    assert_null(tpmdev_backend_unref(backend));
    assert_int_equal(fixture->klass.destroys, 0);
    assert_null(tpmdev_backend_unref(backend));
    assert_int_equal(fixture->klass.destroys, 1);
}

static void test_dropping_no_reference_is_allowed(void **state)
{
    (void)state;
    assert_null(tpmdev_backend_unref(NULL));
}

/* A backend bound to a host's context is not kept by what it has there. */
static void test_a_host_context_that_never_runs_keeps_no_backend(void **state)
{
    BackendFixture *fixture = *state;

    fixture_bind_to_context(fixture);
    tpm_backend_unbind(fixture->backend);
    fixture->backend = tpmdev_backend_unref(fixture->backend);
    assert_int_equal(fixture->klass.destroys, 1);
}

static void check_context_in_destroy(BackendFixture *fixture)
{
    if (fixture->klass.destroys > 0) {
        assert_ptr_equal(tpmdev_backend_get_context(fixture->backend), fixture->context);
    }
}

/* Its sources are there until it removes them. */
static void test_destroy_still_has_the_context(void **state)
{
    BackendFixture *fixture = *state;

    fixture_bind_to_context(fixture);
    tpm_backend_unbind(fixture->backend);
    fixture->in_class = check_context_in_destroy;
    fixture->backend = tpmdev_backend_unref(fixture->backend);
    assert_int_equal(fixture->klass.destroys, 1);
}

/* ---- */

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
#define WITH_1_2(test)     cmocka_unit_test_setup_teardown(test, fixture_setup_1_2, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(test_a_command_to_a_failed_tpm_ends_with_its_failure_response),
        WITH_1_2(test_a_1_2_fails_in_its_own_shape),
        WITH_FIXTURE(test_a_failure_under_a_command_ends_it_and_says_why),
        WITH_FIXTURE(test_a_failure_of_start_says_why),
        WITH_FIXTURE(test_a_failure_out_of_the_blue_says_why),
        WITH_FIXTURE(test_a_failed_tpm_comes_back_with_the_next_start),
        WITH_FIXTURE(test_a_failed_tpm_that_recovers_takes_commands),
        WITH_FIXTURE(test_answering_twice_does_no_harm),
        WITH_FIXTURE(test_a_response_reaches_the_client_byte_by_byte),
        WITH_FIXTURE(test_a_malformed_response_becomes_a_failure),
        WITH_FIXTURE(test_no_response_at_all_becomes_a_failure),
        WITH_FIXTURE(test_a_malformed_response_is_not_the_end_of_the_tpm),
        WITH_FIXTURE(test_a_command_that_could_not_be_carried_out_says_why_and_is_not_the_end),
        WITH_FIXTURE(test_a_command_reaches_the_class_as_it_was),
        WITH_FIXTURE(test_the_largest_command_is_the_tpms_buffer),
        WITH_FIXTURE(test_device_and_tpm_agree_on_the_smaller_buffer),
        WITH_FIXTURE(test_lingering_takes_both_poll_and_linger_end),
        WITH_FIXTURE(test_a_class_without_cancel_is_left_alone),
        WITH_FIXTURE(test_polls_and_resets_of_the_flag_reach_the_class),
        WITH_FIXTURE(test_nothing_speaks_against_migration_unless_the_class_says_so),
        WITH_FIXTURE(test_a_tpm_whose_state_cannot_be_saved_cannot_migrate),
        WITH_FIXTURE(test_a_class_says_why_its_tpm_cannot_migrate),
        WITH_FIXTURE(test_the_established_flag_is_told_when_it_changes),
        WITH_FIXTURE(test_a_tpm_without_a_device_may_say_what_it_likes),
        WITH_FIXTURE(test_the_next_device_is_told_of_a_flag_that_is_set),
        WITH_FIXTURE(test_a_flag_set_before_there_is_a_device_is_told_to_it),
        WITH_FIXTURE(test_a_second_device_is_told_that_the_backend_is_in_use),
        WITH_FIXTURE(test_after_unbind_news_is_dropped),
        WITH_FIXTURE(test_unbind_cancels_the_command_under_way),
        WITH_FIXTURE(test_the_next_device_finds_the_backend_stopped),
        cmocka_unit_test(test_a_class_must_have_its_mandatory_members),
        cmocka_unit_test(test_an_id_is_needed),
        cmocka_unit_test(test_the_version_is_one_of_two),
        cmocka_unit_test(test_the_buffer_size_is_bounded),
        cmocka_unit_test(test_a_backend_keeps_copies_of_what_it_was_given),
        WITH_FIXTURE(test_the_last_reference_destroys_and_no_other),
        cmocka_unit_test(test_dropping_no_reference_is_allowed),
        WITH_FIXTURE(test_a_host_context_that_never_runs_keeps_no_backend),
        WITH_FIXTURE(test_destroy_still_has_the_context),
    };

    return cmocka_run_group_tests_name("backend", tests, NULL, NULL);
}
