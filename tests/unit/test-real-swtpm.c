/* SPDX-License-Identifier: BSD-3-Clause */
/* The `emulator` backend with a real swtpm: it works, and what becomes of us when swtpm ails. */
#include "command.h"
#include "swtpm-process.h"
#include "swtpm-protocol.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- life ---- */

static int setup(void **state, bool is_1_2)
{
    Swtpm *swtpm = swtpm_new();

    *state = swtpm;
    swtpm_launch(swtpm, is_1_2);
    swtpm_attach(swtpm);
    swtpm_bind(swtpm);
    swtpm_start(swtpm);
    return 0;
}

static int setup_2_0(void **state)
{
    return setup(state, false);
}

static int setup_1_2(void **state)
{
    return setup(state, true);
}

static int setup_bare(void **state)
{
    *state = swtpm_new();
    return 0;
}

static int teardown(void **state)
{
    swtpm_free(*state);
    return 0;
}

/* ---- commands ---- */

static const uint8_t startup_2_0[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0 };
static const uint8_t get_random_2_0[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 16 };
static const uint8_t startup_1_2[] = { 0x00, 0xC1, 0, 0, 0, 12, 0, 0, 0, 0x99, 0, 1 };
static const uint8_t get_random_1_2[] = { 0x00, 0xC1, 0, 0, 0, 14, 0, 0, 0, 0x46, 0, 0, 0, 16 };

/* TPM2_PCR_Extend of PCR 16, sha256, with an empty password; the digest is zeros. */
static const uint8_t extend_2_0[33 + 32] = { 0x80, 0x02, 0,  0, 0, 65, 0, 0,    0x01, 0x82, 0,
                                             0,    0,    16, 0, 0, 0,  9, 0x40, 0,    0,    9,
                                             0,    0,    0,  0, 0, 0,  0, 0,    1,    0,    0x0B };
/* TPM2_PCR_Read of PCR 16, sha256. */
static const uint8_t pcr_read_2_0[] = { 0x80, 0x01, 0, 0, 0, 20,   0, 0, 0x01, 0x7E,
                                        0,    0,    0, 1, 0, 0x0B, 3, 0, 0,    1 };
/* TPM2_PCR_Reset of PCR 20, which localities 2 and 4 may do. */
static const uint8_t pcr_reset_2_0[] = { 0x80, 0x02, 0, 0, 0,    27, 0, 0, 0x01, 0x3D, 0, 0, 0, 20,
                                         0,    0,    0, 9, 0x40, 0,  0, 9, 0,    0,    0, 0, 0 };
/* TPM2_SelfTest of everything: takes milliseconds, so that things can happen meanwhile. */
static const uint8_t self_test_2_0[] = { 0x80, 0x01, 0, 0, 0, 11, 0, 0, 0x01, 0x43, 1 };

static void startup(Swtpm *swtpm)
{
    assert_int_equal(backend_client_command(&swtpm->client, startup_2_0, sizeof(startup_2_0)), 0);
}

static unsigned completed(Swtpm *swtpm)
{
    g_mutex_lock(&swtpm->client.lock);
    unsigned n = swtpm->client.completed;
    g_mutex_unlock(&swtpm->client.lock);
    return n;
}

static void submit_lingering(Swtpm *swtpm)
{
    tpm_backend_load(swtpm->backend, 0, get_random_2_0, sizeof(get_random_2_0));
    tpm_backend_submit(swtpm->backend, true);
}

/* ---- it works ---- */

static void test_tpm_2_0_runs_commands(void **state)
{
    Swtpm *swtpm = *state;
    BackendClient *client = &swtpm->client;

    assert_int_equal(tpmdev_backend_get_version(swtpm->backend), TPM_VERSION_2_0);
    startup(swtpm);
    assert_int_equal(backend_client_command(client, get_random_2_0, sizeof(get_random_2_0)), 0);
    assert_int_equal(client->response_size, 12 + 16);
    assert_int_equal(backend_client_command(client, extend_2_0, sizeof(extend_2_0)), 0);
    assert_int_equal(backend_client_command(client, pcr_read_2_0, sizeof(pcr_read_2_0)), 0);
    /* sha256 of 64 zeros */
    assert_int_equal(client->response[client->response_size - 32], 0xf5);
    assert_int_equal(client->response[client->response_size - 1], 0x4b);
}

static void test_tpm_1_2_runs_commands(void **state)
{
    Swtpm *swtpm = *state;
    BackendClient *client = &swtpm->client;
    uint8_t extend[34] = { 0x00, 0xC1, 0, 0, 0, 34, 0, 0, 0, 0x14, 0, 0, 0, 16 };

    assert_int_equal(tpmdev_backend_get_version(swtpm->backend), TPM_VERSION_1_2);
    assert_int_equal(backend_client_command(client, startup_1_2, sizeof(startup_1_2)), 0);
    assert_int_equal(backend_client_command(client, get_random_1_2, sizeof(get_random_1_2)), 0);
    assert_int_equal(client->response_size, 14 + 16);
    assert_int_equal(backend_client_command(client, extend, sizeof(extend)), 0);
}

static void test_lingering_completes_on_the_calling_thread(void **state)
{
    Swtpm *swtpm = *state;

    startup(swtpm);
    for (unsigned i = 0; i < 200; i++) {
        unsigned before = completed(swtpm);

        submit_lingering(swtpm);
        while (completed(swtpm) == before) {
            tpm_backend_poll(swtpm->backend);
        }
        assert_ptr_equal(swtpm->client.completed_on, g_thread_self());
        assert_int_equal(tpm_header_code(swtpm->client.response), 0);
    }
}

static void test_after_linger_end_another_thread_completes(void **state)
{
    Swtpm *swtpm = *state;

    startup(swtpm);
    for (unsigned i = 0; i < 50; i++) {
        unsigned before = completed(swtpm);

        swtpm_stop(swtpm);
        submit_lingering(swtpm);
        tpm_backend_poll(swtpm->backend);
        assert_int_equal(completed(swtpm), before);
        tpm_backend_linger_end(swtpm->backend);
        kill(swtpm->pid, SIGCONT);
        backend_client_wait_completed(&swtpm->client, before + 1);
        assert_ptr_not_equal(swtpm->client.completed_on, g_thread_self());
    }
}

static void test_commands_run_at_the_locality_they_came_from(void **state)
{
    static const struct {
        uint8_t locality;
        uint32_t code;
    } cases[] = { { 0, 0x907 }, { 2, 0 }, { 2, 0 }, { 1, 0x907 }, { 2, 0 }, { 0, 0x907 } };
    Swtpm *swtpm = *state;

    startup(swtpm);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        unsigned before = completed(swtpm);

        backend_client_submit(&swtpm->client, cases[i].locality, pcr_reset_2_0,
                              sizeof(pcr_reset_2_0));
        backend_client_wait_completed(&swtpm->client, before + 1);
        assert_int_equal(tpm_header_code(swtpm->client.response), cases[i].code);
    }
}

static void test_start_is_a_power_cycle(void **state)
{
    Swtpm *swtpm = *state;

    startup(swtpm);
    assert_int_equal(backend_client_command(&swtpm->client, startup_2_0, sizeof(startup_2_0)),
                     0x100);
    swtpm_start(swtpm);
    startup(swtpm);
}

static void test_the_buffer_size_is_the_devices(void **state)
{
    /* TPM2_GetCapability of TPM_PT_MAX_RESPONSE_SIZE */
    static const uint8_t get_size[] = { 0x80, 0x01, 0, 0, 0, 22,   0,    0, 0x01, 0x7A, 0,
                                        0,    0,    6, 0, 0, 0x01, 0x1F, 0, 0,    0,    1 };
    Swtpm *swtpm = *state;
    BackendClient *client = &swtpm->client;

    assert_true(backend_client_start(client, 3968));
    startup(swtpm);
    assert_int_equal(backend_client_command(client, get_size, sizeof(get_size)), 0);
    assert_int_equal(tpm_get_be32(client->response + client->response_size - 4), 3968);
    assert_false(backend_client_start(client, 256));
    assert_non_null(strstr(client->start_error, "2808"));
    swtpm_start(swtpm);
}

/* A D-RTM measurement, as a client of swtpm's own makes it: HASH_START, HASH_DATA, HASH_END. */
static void measure_drtm(Swtpm *swtpm)
{
    static const uint8_t init[] = { 0, 0, 0, 2, 0, 0, 0, 0 };
    static const uint8_t hash[][11] = { { 0, 0, 0, 6 },
                                        { 0, 0, 0, 7, 0, 0, 0, 3, 1, 2, 3 },
                                        { 0, 0, 0, 8 } };
    static const size_t sizes[] = { 4, 11, 4 };
    uint8_t reply[4];
    int fd = swtpm_connect(swtpm->path);

    assert_int_equal(write(fd, init, sizeof(init)), sizeof(init));
    assert_int_equal(read(fd, reply, sizeof(reply)), sizeof(reply));
    assert_int_equal(tpm_get_be32(reply), 0);
    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        assert_int_equal(write(fd, hash[i], sizes[i]), sizes[i]);
        assert_int_equal(read(fd, reply, sizeof(reply)), sizeof(reply));
        assert_int_equal(tpm_get_be32(reply), 0);
    }
    close(fd);
}

static void test_established_is_reported_and_reset(void **state)
{
    Swtpm *swtpm = *state;

    swtpm_launch(swtpm, false);
    measure_drtm(swtpm);
    swtpm_attach(swtpm);
    swtpm_bind(swtpm);
    swtpm_start(swtpm);
    backend_client_wait_established(&swtpm->client, true);
    tpm_backend_reset_established(swtpm->backend, 3);
    backend_client_wait_established(&swtpm->client, false);
    startup(swtpm);
}

static void test_destroying_the_backend_ends_swtpm(void **state)
{
    Swtpm *swtpm = *state;

    startup(swtpm);
    swtpm_unbind(swtpm);
    swtpm->backend = tpmdev_backend_unref(swtpm->backend);
    int status = swtpm_wait_for_exit(swtpm);

    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- it ails ---- */

static void test_a_killed_swtpm_is_noticed_while_idle(void **state)
{
    Swtpm *swtpm = *state;

    startup(swtpm);
    swtpm_kill(swtpm);
    backend_client_wait_failed(&swtpm->client, 1);
    assert_non_null(strstr(swtpm->client.failure, "closed the"));
    assert_int_equal(backend_client_command(&swtpm->client, get_random_2_0, sizeof(get_random_2_0)),
                     TPM2_RC_FAILURE);
    assert_false(backend_client_start(&swtpm->client, TPM_BUFFER_SIZE_COMMON));
    assert_non_null(strstr(swtpm->client.start_error, "nobody listens"));
}

static void test_a_swtpm_killed_in_a_command_answers_failure(void **state)
{
    Swtpm *swtpm = *state;

    startup(swtpm);
    swtpm_stop(swtpm);
    backend_client_submit(&swtpm->client, 0, get_random_2_0, sizeof(get_random_2_0));
    swtpm_kill(swtpm);
    backend_client_wait_completed(&swtpm->client, 2);
    assert_int_equal(tpm_header_code(swtpm->client.response), TPM2_RC_FAILURE);
    assert_non_null(swtpm->client.response_error);
}

static void test_a_swtpm_killed_while_lingering_answers_failure(void **state)
{
    Swtpm *swtpm = *state;

    startup(swtpm);
    swtpm_stop(swtpm);
    submit_lingering(swtpm);
    swtpm_kill(swtpm);
    while (completed(swtpm) < 2) {
        tpm_backend_poll(swtpm->backend);
    }
    assert_ptr_equal(swtpm->client.completed_on, g_thread_self());
    assert_int_equal(tpm_header_code(swtpm->client.response), TPM2_RC_FAILURE);
}

static void test_a_stopped_swtpm_holds_nobody_up(void **state)
{
    Swtpm *swtpm = *state;

    startup(swtpm);
    swtpm_stop(swtpm);
    backend_client_submit(&swtpm->client, 3, get_random_2_0, sizeof(get_random_2_0));
    tpm_backend_poll(swtpm->backend);
    tpm_backend_reset_established(swtpm->backend, 3);
    assert_int_equal(completed(swtpm), 1);
    kill(swtpm->pid, SIGCONT);
    backend_client_wait_completed(&swtpm->client, 2);
    assert_int_equal(tpm_header_code(swtpm->client.response), 0);

    swtpm_stop(swtpm);
    backend_client_submit(&swtpm->client, 3, get_random_2_0, sizeof(get_random_2_0));
    tpm_backend_cancel(swtpm->backend);
    tpm_backend_cancel(swtpm->backend);
    assert_int_equal(completed(swtpm), 2);
    kill(swtpm->pid, SIGCONT);
    backend_client_wait_completed(&swtpm->client, 3);
    assert_int_equal(tpm_header_code(swtpm->client.response), 0);

    swtpm_stop(swtpm);
    tpm_backend_start(swtpm->backend, TPM_BUFFER_SIZE_COMMON);
    kill(swtpm->pid, SIGCONT);
    g_mutex_lock(&swtpm->client.lock);
    while (swtpm->client.started < 2) {
        g_cond_wait(&swtpm->client.changed, &swtpm->client.lock);
    }
    assert_null(swtpm->client.start_error);
    g_mutex_unlock(&swtpm->client.lock);
    startup(swtpm);
}

static void test_destroying_ends_with_a_stopped_swtpm(void **state)
{
    Swtpm *swtpm = *state;

    swtpm_stop(swtpm);
    swtpm_unbind(swtpm);
    swtpm->backend = tpmdev_backend_unref(swtpm->backend);
}

static void test_a_cancelled_command_is_followed_by_others(void **state)
{
    Swtpm *swtpm = *state;

    startup(swtpm);
    for (unsigned i = 0; i < 20; i++) {
        unsigned before = completed(swtpm);

        backend_client_submit(&swtpm->client, 0, self_test_2_0, sizeof(self_test_2_0));
        tpm_backend_cancel(swtpm->backend);
        backend_client_wait_completed(&swtpm->client, before + 1);
        assert_int_equal(
            backend_client_command(&swtpm->client, get_random_2_0, sizeof(get_random_2_0)), 0);
        assert_int_equal(swtpm->client.response_size, 12 + 16);
    }
}

static void test_a_new_device_does_not_get_the_old_ones_response(void **state)
{
    Swtpm *swtpm = *state;

    startup(swtpm);
    backend_client_submit(&swtpm->client, 0, self_test_2_0, sizeof(self_test_2_0));
    swtpm_unbind(swtpm);
    swtpm_bind(swtpm);
    swtpm_start(swtpm);
    startup(swtpm);
    assert_int_equal(backend_client_command(&swtpm->client, get_random_2_0, sizeof(get_random_2_0)),
                     0);
    assert_int_equal(swtpm->client.response_size, 12 + 16);
}

static void test_a_restarted_swtpm_is_found_by_the_next_start(void **state)
{
    Swtpm *swtpm = *state;

    startup(swtpm);
    swtpm_kill(swtpm);
    backend_client_wait_failed(&swtpm->client, 1);
    swtpm_launch(swtpm, false);
    swtpm_start(swtpm);
    startup(swtpm);
    assert_int_equal(backend_client_command(&swtpm->client, get_random_2_0, sizeof(get_random_2_0)),
                     0);
}

static void test_a_swtpm_of_another_version_is_refused(void **state)
{
    Swtpm *swtpm = *state;

    swtpm_kill(swtpm);
    backend_client_wait_failed(&swtpm->client, 1);
    swtpm_launch(swtpm, true);
    assert_false(backend_client_start(&swtpm->client, TPM_BUFFER_SIZE_COMMON));
    assert_non_null(strstr(swtpm->client.start_error, "is a TPM 1.2 now"));
}

/* A device on a context of its host's, which this thread runs. */
static void use_on_context(Swtpm *swtpm, GMainContext *context)
{
    swtpm_unbind(swtpm);
    backend_client_bind(&swtpm->client, swtpm->backend, context);
    swtpm->bound = true;
    tpm_backend_start(swtpm->backend, TPM_BUFFER_SIZE_COMMON);
    while (swtpm->client.started == 0) {
        g_main_context_iteration(context, TRUE);
    }
    backend_client_submit(&swtpm->client, 0, startup_2_0, sizeof(startup_2_0));
    while (swtpm->client.completed == 0) {
        g_main_context_iteration(context, TRUE);
    }
    assert_int_equal(tpm_header_code(swtpm->client.response), 0);
}

static void test_the_source_moves_with_the_device(void **state)
{
    Swtpm *swtpm = *state;
    GMainContext *contexts[] = { g_main_context_new(), g_main_context_new() };

    startup(swtpm);
    use_on_context(swtpm, contexts[0]);
    use_on_context(swtpm, contexts[1]);
    swtpm_unbind(swtpm);
    g_main_context_unref(contexts[0]);
    g_main_context_unref(contexts[1]);
    swtpm_bind(swtpm);
    swtpm_start(swtpm);
    startup(swtpm);
}

static unsigned count_fds(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(directory)) {
        n++;
    }
    closedir(directory);
    return n;
}

static void test_hundred_rounds_leak_no_file_descriptor(void **state)
{
    Swtpm *swtpm = *state;
    unsigned before = count_fds();

    for (unsigned i = 0; i < 100; i++) {
        swtpm_launch(swtpm, false);
        swtpm_attach(swtpm);
        swtpm_bind(swtpm);
        swtpm_start(swtpm);
        startup(swtpm);
        swtpm_unbind(swtpm);
        swtpm->backend = tpmdev_backend_unref(swtpm->backend);
        swtpm_wait_for_exit(swtpm);
    }
    assert_int_equal(count_fds(), before);
}

#define TEST_2_0(name)  cmocka_unit_test_setup_teardown(name, setup_2_0, teardown)
#define TEST_1_2(name)  cmocka_unit_test_setup_teardown(name, setup_1_2, teardown)
#define TEST_BARE(name) cmocka_unit_test_setup_teardown(name, setup_bare, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_2_0(test_tpm_2_0_runs_commands),
        TEST_1_2(test_tpm_1_2_runs_commands),
        TEST_2_0(test_lingering_completes_on_the_calling_thread),
        TEST_2_0(test_after_linger_end_another_thread_completes),
        TEST_2_0(test_commands_run_at_the_locality_they_came_from),
        TEST_2_0(test_start_is_a_power_cycle),
        TEST_2_0(test_the_buffer_size_is_the_devices),
        TEST_BARE(test_established_is_reported_and_reset),
        TEST_2_0(test_destroying_the_backend_ends_swtpm),
        TEST_2_0(test_a_killed_swtpm_is_noticed_while_idle),
        TEST_2_0(test_a_swtpm_killed_in_a_command_answers_failure),
        TEST_2_0(test_a_swtpm_killed_while_lingering_answers_failure),
        TEST_2_0(test_a_stopped_swtpm_holds_nobody_up),
        TEST_2_0(test_destroying_ends_with_a_stopped_swtpm),
        TEST_2_0(test_a_cancelled_command_is_followed_by_others),
        TEST_2_0(test_a_new_device_does_not_get_the_old_ones_response),
        TEST_2_0(test_a_restarted_swtpm_is_found_by_the_next_start),
        TEST_2_0(test_a_swtpm_of_another_version_is_refused),
        TEST_2_0(test_the_source_moves_with_the_device),
        TEST_BARE(test_hundred_rounds_leak_no_file_descriptor),
    };

    g_autofree char *swtpm = g_find_program_in_path("swtpm");

    if (!swtpm) {
        print_message("1..0 # SKIP swtpm is not installed (Debian package swtpm)\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
