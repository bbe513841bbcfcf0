/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `emulator` backend with a swtpm that the library starts: that one is there as long as the
 * backend is, however it or its hypervisor dies, and never longer.
 */
#include "children.h"
#include "command.h"
#include "spawn-fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <tpmdev/device.h>
#include <unistd.h>

#include <cmocka.h>

static const uint8_t startup_2_0[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0 };
static const uint8_t get_random_2_0[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 16 };

#define RUN(swtpm, bytes) backend_client_command(&(swtpm)->client, bytes, sizeof(bytes))

/* ---- it ends ---- */

static void test_nothing_is_left_when_the_backend_is_gone(void **state)
{
    Swtpm *swtpm = *state;

    spawn_begin(swtpm);
    spawn_end(swtpm);
    unsigned fds = children_count_fds(getpid());

    for (unsigned i = 0; i < 20; i++) {
        pid_t pid;

        spawn_begin(swtpm);
        spawn_end(swtpm);
        assert_int_equal(children_count(&pid), 0);
        assert_int_equal(children_count_threads("tpmdev-swtpm"), 0);
        assert_int_equal(children_count_fds(getpid()), fds);
    }
}

static void test_one_that_hangs_is_ended_too(void **state)
{
    Swtpm *swtpm = *state;
    pid_t pid = children_only();

    kill(pid, SIGSTOP);
    spawn_end(swtpm);
    assert_int_equal(children_count(&pid), 0);
}

static void test_a_host_may_ignore_its_children(void **state)
{
    Swtpm *swtpm = *state;
    pid_t pid;

    signal(SIGCHLD, SIG_IGN);
    spawn_begin(swtpm);
    kill(children_only(), SIGKILL);
    backend_client_wait_recovered(&swtpm->client, 1);
    spawn_assert_contains(swtpm->client.failure, "with a status that somebody else was told");
    assert_int_equal(RUN(swtpm, startup_2_0), 0);
    spawn_end(swtpm);
    assert_int_equal(children_count(&pid), 0);
    signal(SIGCHLD, SIG_DFL);
}

/* ---- it is started again ---- */

static void test_a_killed_swtpm_is_started_again_on_the_same_state(void **state)
{
    Swtpm *swtpm = *state;

    assert_int_equal(RUN(swtpm, startup_2_0), 0);
    for (unsigned i = 1; i <= 3; i++) {
        kill(children_only(), SIGKILL);
        backend_client_wait_recovered(&swtpm->client, i);
        spawn_assert_contains(swtpm->client.failure, "; it was ended by signal 9 (Killed)");
        assert_int_equal(RUN(swtpm, get_random_2_0), 0);
        assert_int_equal(children_only(), children_only());
    }
}

/* PCR 16 of SHA-256, extended by zeros; and its value. */
static const uint8_t extend_2_0[33 + 32] = { 0x80, 0x02, 0,  0, 0, 65, 0, 0,    0x01, 0x82, 0,
                                             0,    0,    16, 0, 0, 0,  9, 0x40, 0,    0,    9,
                                             0,    0,    0,  0, 0, 0,  0, 0,    1,    0,    0x0B };
static const uint8_t pcr_read_2_0[] = { 0x80, 0x01, 0, 0, 0, 20,   0, 0, 0x01, 0x7E,
                                        0,    0,    0, 1, 0, 0x0B, 3, 0, 0,    1 };

static void test_with_checkpoints_a_killed_swtpm_loses_nothing(void **state)
{
    Swtpm *swtpm = *state;
    uint8_t before[32];

    swtpm->config.checkpoint = true;
    spawn_begin(swtpm);
    assert_int_equal(RUN(swtpm, startup_2_0), 0);
    assert_int_equal(RUN(swtpm, extend_2_0), 0);
    assert_int_equal(RUN(swtpm, pcr_read_2_0), 0);
    memcpy(before, swtpm->client.response + swtpm->client.response_size - 32, 32);
    assert_int_equal(before[0], 0xf5); /* SHA-256 of 64 zeros */
    kill(children_only(), SIGKILL);
    backend_client_wait_recovered(&swtpm->client, 1);
    assert_int_equal(RUN(swtpm, pcr_read_2_0), 0);
    assert_memory_equal(before, swtpm->client.response + swtpm->client.response_size - 32, 32);
}

static void test_one_that_hangs_is_replaced(void **state)
{
    Swtpm *swtpm = *state;

    swtpm->config.control_timeout_ms = 300;
    spawn_begin(swtpm);
    pid_t pid = children_only();

    kill(pid, SIGSTOP);
    tpm_backend_reset_established(swtpm->backend, 3);
    backend_client_wait_recovered(&swtpm->client, 1);
    assert_int_not_equal(children_only(), pid);
    assert_int_equal(RUN(swtpm, startup_2_0), 0);
}

static unsigned started(Swtpm *swtpm)
{
    g_mutex_lock(&swtpm->client.lock);
    unsigned n = swtpm->client.started;
    g_mutex_unlock(&swtpm->client.lock);
    return n;
}

static void wait_started(Swtpm *swtpm, unsigned n)
{
    gint64 deadline = g_get_monotonic_time() + CLIENT_DEADLINE_S * G_TIME_SPAN_SECOND;

    g_mutex_lock(&swtpm->client.lock);
    while (swtpm->client.started < n) {
        assert_true(g_cond_wait_until(&swtpm->client.changed, &swtpm->client.lock, deadline));
    }
    g_mutex_unlock(&swtpm->client.lock);
}

/* The script begins as swtpm when it may read a line from the pipe. */
static void test_nobody_waits_for_one_that_is_coming_up(void **state)
{
    Swtpm *swtpm = *state;
    g_autofree char *script = spawn_below(swtpm, "script");
    g_autofree char *fifo = spawn_below(swtpm, "fifo");

    assert_int_equal(mkfifo(fifo, 0600), 0);
    int hold = open(fifo, O_RDWR | O_CLOEXEC);

    assert_int_equal(write(hold, "1\n", 2), 2);
    spawn_script(script, "#!/bin/sh\nread line <fifo\nexec swtpm \"$@\"\n");
    swtpm->config.program = script;
    spawn_begin(swtpm);
    kill(children_only(), SIGKILL);
    backend_client_wait_failed(&swtpm->client, 1);

    /* Until the pipe has a line all of this fails, and at once. */
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(RUN(swtpm, get_random_2_0), TPM2_RC_FAILURE);
    }
    tpm_backend_start(swtpm->backend, TPM_BUFFER_SIZE_COMMON);
    assert_int_equal(started(swtpm), 1);
    /* More than one, should it be killed for being slow on a busy machine. */
    assert_int_equal(write(hold, "2\n2\n2\n2\n", 8), 8);
    wait_started(swtpm, 2);
    backend_client_wait_recovered(&swtpm->client, swtpm->client.start_error ? 1 : 0);
    assert_int_equal(RUN(swtpm, startup_2_0), 0);
    close(hold);
}

static void test_one_that_does_not_come_up_is_tried_again(void **state)
{
    Swtpm *swtpm = *state;
    g_autofree char *script = spawn_below(swtpm, "script");

    spawn_script(script, "#!/bin/sh\nexec swtpm \"$@\"\n");
    swtpm->config.program = script;
    spawn_begin(swtpm);
    spawn_script(script, "#!/bin/sh\necho no >&2\nexit 3\n");
    kill(children_only(), SIGKILL);
    backend_client_wait_failed(&swtpm->client, 1);
    assert_false(backend_client_start(&swtpm->client, TPM_BUFFER_SIZE_COMMON));
    spawn_assert_contains(swtpm->client.start_error, "has ended with status 3 and printed: no");
    spawn_script(script, "#!/bin/sh\nexec swtpm \"$@\"\n");
    backend_client_wait_recovered(&swtpm->client, 1);
    assert_int_equal(RUN(swtpm, startup_2_0), 0);
}

/* ---- many ---- */

static gpointer one_of_many(gpointer data)
{
    for (unsigned i = 0; i < 3; i++) {
        g_autofree char *directory = g_dir_make_tmp("spawn-XXXXXX", NULL);
        TPMEmulatorConfig config = {
            .size = sizeof(config), .id = "tpm0", .spawn = true, .directory = directory
        };
        TPMBackend *backend = tpmdev_backend_emulator_new(&config, NULL);

        g_atomic_int_add((gint *)data, backend != NULL);
        tpmdev_backend_unref(backend);
        g_rmdir(directory);
    }
    return NULL;
}

static void test_many_share_one_thread(void **state)
{
    Swtpm *swtpm = *state;
    GThread *threads[4];
    gint made = 0;

    spawn_begin(swtpm);
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++) {
        threads[i] = g_thread_new("one-of-many", one_of_many, &made);
    }
    assert_int_equal(children_count_threads("tpmdev-swtpm"), 1);
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++) {
        g_thread_join(threads[i]);
    }
    assert_int_equal(made, 3 * G_N_ELEMENTS(threads));
    assert_int_equal(RUN(swtpm, startup_2_0), 0);
}

/* ---- no orphan ---- */

/* A hypervisor with a TPM that is in use; says which its swtpm is, and waits for its own end. */
static int play_victim(const char *directory)
{
    TPMEmulatorConfig config = {
        .size = sizeof(config), .id = "tpm0", .spawn = true, .directory = directory
    };
    g_autoptr(GError) error = NULL;
    TPMBackend *backend = tpmdev_backend_emulator_new(&config, &error);
    TPMDevice *device = backend ? tpmdev_device_new(NULL, backend, NULL, NULL, &error) : NULL;
    pid_t pid = 0;

    if (!device ||
        !tpmdev_device_wait_ready(device, CLIENT_DEADLINE_S * INT64_C(1000000000), &error) ||
        children_count(&pid) != 1) {
        g_printerr("# victim: %s\n", error ? error->message : "how many children?");
        return 1;
    }
    signal(SIGSEGV, SIG_DFL); /* a sanitizer's reports are not for this */
    signal(SIGABRT, SIG_DFL);
    g_print("%d\n", (int)pid);
    for (;;) {
        pause();
    }
}

static void check_no_orphan(Swtpm *swtpm, int number)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    char *argv[] = { self, "--victim", swtpm->directory, NULL };
    GPid victim;
    gint out;
    char line[32] = "";

    assert_true(g_spawn_async_with_pipes(NULL, argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL,
                                         &victim, NULL, &out, NULL, NULL));
    for (size_t n = 0; n < sizeof(line) - 1 && !strchr(line, '\n'); n++) {
        assert_int_equal(read(out, line + n, 1), 1);
    }
    int pid_fd = children_open((pid_t)atoi(line));

    kill(victim, number);
    children_wait_end(pid_fd);
    waitpid(victim, NULL, 0);
    close(pid_fd);
    close(out);
}

static void test_swtpm_ends_with_its_hypervisor_however_that_ends(void **state)
{
    static const int signals[] = { SIGKILL, SIGTERM, SIGSEGV, SIGABRT, SIGINT };

    for (size_t i = 0; i < G_N_ELEMENTS(signals); i++) {
        check_no_orphan(*state, signals[i]);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        SPAWN_BARE(test_nothing_is_left_when_the_backend_is_gone),
        SPAWN(test_one_that_hangs_is_ended_too),
        SPAWN_BARE(test_a_host_may_ignore_its_children),
        SPAWN(test_a_killed_swtpm_is_started_again_on_the_same_state),
        SPAWN_BARE(test_with_checkpoints_a_killed_swtpm_loses_nothing),
        SPAWN_BARE(test_one_that_hangs_is_replaced),
        SPAWN_BARE(test_nobody_waits_for_one_that_is_coming_up),
        SPAWN_BARE(test_one_that_does_not_come_up_is_tried_again),
        SPAWN_BARE(test_many_share_one_thread),
        SPAWN_BARE(test_swtpm_ends_with_its_hypervisor_however_that_ends),
    };
    g_autofree char *swtpm = g_find_program_in_path("swtpm");

    if (argc == 3 && strcmp(argv[1], "--victim") == 0) {
        return play_victim(argv[2]);
    }
    if (!swtpm) {
        print_message("1..0 # SKIP swtpm is not installed (Debian package swtpm)\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
