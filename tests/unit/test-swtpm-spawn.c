/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The `emulator` backend with a swtpm that the library starts: what it gets and what it does not,
 * and every reason why there can be none.
 */
#include "children.h"
#include "emulator-internal.h"
#include "spawn-fixture.h"
#include "swtpm-spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const uint8_t startup_2_0[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0 };
static const uint8_t startup_1_2[] = { 0x00, 0xC1, 0, 0, 0, 12, 0, 0, 0, 0x99, 0, 1 };
static const uint8_t get_random_2_0[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 16 };

#define RUN(swtpm, bytes) backend_client_command(&(swtpm)->client, bytes, sizeof(bytes))

/* ---- it works ---- */

static void test_a_tpm_2_0_runs_commands(void **state)
{
    Swtpm *swtpm = *state;

    assert_int_equal(tpmdev_backend_get_version(swtpm->backend), TPM_VERSION_2_0);
    assert_int_equal(RUN(swtpm, startup_2_0), 0);
    assert_int_equal(RUN(swtpm, get_random_2_0), 0);
}

static void test_a_tpm_1_2_runs_commands(void **state)
{
    Swtpm *swtpm = *state;

    swtpm->config.version = TPM_VERSION_1_2;
    spawn_begin(swtpm);
    assert_int_equal(tpmdev_backend_get_version(swtpm->backend), TPM_VERSION_1_2);
    assert_int_equal(RUN(swtpm, startup_1_2), 0);
}

static void test_the_state_is_for_its_owner_and_lasts(void **state)
{
    Swtpm *swtpm = *state;
    g_autofree char *path = spawn_below(swtpm, "tpm2-00.permall");
    g_autofree char *lock = spawn_below(swtpm, ".lock");
    g_autofree char *before = NULL, *after = NULL;
    gsize size_before, size_after;
    GStatBuf status;

    spawn_end(swtpm);
    assert_int_equal(g_stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    assert_int_equal(g_stat(lock, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600); /* swtpm has no option for this one */
    assert_true(g_file_get_contents(path, &before, &size_before, NULL));
    spawn_begin(swtpm);
    spawn_end(swtpm);
    assert_true(g_file_get_contents(path, &after, &size_after, NULL));
    assert_int_equal(size_before, size_after);
    /* The seeds are behind the head and the list of algorithms; a new TPM has others. */
    assert_memory_equal(before + 200, after + 200, 200);
}

/* swtpm splits its options at commas; and a relative path is the host's, not swtpm's. */
static void test_the_directory_may_have_any_name(void **state)
{
    Swtpm *swtpm = *state;
    g_autofree char *directory = spawn_below(swtpm, "a, b=c");
    g_autofree char *file = g_build_filename(directory, "tpm2-00.permall", NULL);
    g_autofree char *lock = g_build_filename(directory, ".lock", NULL);
    g_autofree char *cwd = g_get_current_dir();
    char *text = NULL;

    assert_int_equal(g_mkdir(directory, 0700), 0);
    assert_int_equal(chdir(swtpm->directory), 0);
    swtpm->config.directory = "a, b=c";
    swtpm->config.log_path = "log";
    spawn_begin(swtpm);
    assert_int_equal(chdir(cwd), 0);
    assert_true(g_file_test(file, G_FILE_TEST_EXISTS));
    spawn_end(swtpm);
    g_autofree char *log = spawn_below(swtpm, "log");

    assert_true(g_file_get_contents(log, &text, NULL, NULL));
    g_free(text);
    assert_int_equal(g_unlink(file), 0);
    assert_int_equal(g_unlink(lock), 0);
    assert_int_equal(g_rmdir(directory), 0);
}

/* ---- what it has of the host ---- */

static void check_leaks(Swtpm *swtpm)
{
    g_autofree char *path = spawn_below(swtpm, "secret");
    int pipes[2];
    int file = open(path, O_RDWR | O_CREAT, 0600);
    int high = fcntl(file, F_DUPFD, 500);
    int counter = eventfd(0, 0);

    assert_int_equal(pipe(pipes), 0);
    assert_true(file >= 0 && high >= 500 && counter >= 0);
    g_autofree char *pipe_name = children_fd(getpid(), pipes[0]);

    spawn_begin(swtpm);
    pid_t pid = children_only();
    g_autofree char *in = children_fd(pid, 0);
    g_autofree char *out = children_fd(pid, 1);
    g_autofree char *err = children_fd(pid, 2);
    g_autofree char *hosts_out = children_fd(getpid(), 1);
    g_autofree char *hosts_err = children_fd(getpid(), 2);

    assert_false(children_has_fd(pid, path));
    assert_false(children_has_fd(pid, pipe_name));
    assert_false(children_has_fd(pid, "anon_inode:[eventfd]"));
    assert_string_equal(in, "/dev/null");
    assert_string_equal(out, err);
    assert_true(g_str_has_prefix(err, "pipe:"));
    assert_string_not_equal(out, hosts_out);
    assert_string_not_equal(err, hosts_err);
    /* 0 to 2, both channels, a pipe to itself, and the lock, which it opens more than once. */
    assert_in_range(children_count_fds(pid), 7, 12);
    close(file);
    close(high);
    close(counter);
    close(pipes[0]);
    close(pipes[1]);
}

static void test_no_descriptor_of_the_host_leaks(void **state)
{
    check_leaks(*state);
}

static gboolean no_close_range;

int __real_close_range(unsigned first, unsigned last, int flags);
int __wrap_close_range(unsigned first, unsigned last, int flags);

/* As on a kernel that does not have it, or where a filter does not let it through. */
int __wrap_close_range(unsigned first, unsigned last, int flags)
{
    if (no_close_range) {
        errno = ENOSYS;
        return -1;
    }
    return __real_close_range(first, last, flags);
}

static void test_none_leaks_where_they_are_closed_one_by_one(void **state)
{
    struct rlimit before, few = { 1024, 1024 };

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    no_close_range = TRUE;
    check_leaks(*state);
    no_close_range = FALSE;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* A hypervisor may run without a standard input, output and error. */
static void test_a_host_without_standard_descriptors_works(void **state)
{
    Swtpm *swtpm = *state;
    int saved[3];

    for (int fd = 0; fd < 3; fd++) {
        saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
    }
    close(0);
    close(1);
    close(2);
    GError *error = NULL;

    swtpm->config.size = sizeof(swtpm->config);
    swtpm->config.id = "tpm0";
    swtpm->backend = tpmdev_backend_emulator_new(&swtpm->config, &error);
    pid_t pid = 0;
    unsigned n = children_count(&pid);
    g_autofree char *in = children_fd(pid, 0);
    g_autofree char *out = children_fd(pid, 1);

    swtpm->backend = tpmdev_backend_unref(swtpm->backend);
    for (int fd = 0; fd < 3; fd++) {
        dup2(saved[fd], fd);
        close(saved[fd]);
    }
    if (error) {
        fail_msg("%s", error->message);
    }
    assert_int_equal(n, 1);
    assert_string_equal(in, "/dev/null");
    assert_true(g_str_has_prefix(out, "pipe:"));
}

/* The child's descriptors have the numbers the host's had, in whatever order. */
static void test_low_descriptors_are_not_mixed_up(void **state)
{
    static char script[] = "[ $(readlink /proc/$$/fd/0) = /dev/null ] || exit 1\n"
                           "case $(readlink /proc/$$/fd/1) in pipe:*) ;; *) exit 2;; esac\n"
                           "case $(readlink /proc/$$/fd/3) in socket:*) ;; *) exit 3;; esac\n"
                           "[ $(readlink /proc/$$/cwd) = / ] && exit 7\n";
    char *argv[] = { "/bin/sh", "-c", script, NULL };
    char *environment[] = { "PATH=/usr/bin:/bin", NULL };
    int saved[8], pair[2], ends[2];
    SwtpmSpawn spawn = { .argv = argv, .environment = environment };
    SwtpmSpawned spawned, spawned_not;
    g_autoptr(GError) error = NULL;
    int status = 0;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    spawn.directory_fd = fcntl(open("/", O_RDONLY | O_CLOEXEC), F_DUPFD_CLOEXEC, 100);
    spawn.channel_fd = fcntl(pair[1], F_DUPFD_CLOEXEC, 100);
    spawn.output_fd = fcntl(ends[1], F_DUPFD_CLOEXEC, 100);
    for (int fd = 0; fd < 8; fd++) {
        saved[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 100);
        close(fd);
    }
    bool good = tpm_swtpm_spawn(&spawn, &spawned, NULL);

    argv[0] = "/nonexistent";
    bool strange = tpm_swtpm_spawn(&spawn, &spawned_not, &error);

    close(spawned.pid_fd); /* it has a low number, too */
    for (int fd = 0; fd < 8; fd++) {
        if (saved[fd] >= 0) {
            dup2(saved[fd], fd);
            close(saved[fd]);
        }
    }
    assert_true(good);
    assert_false(strange);
    spawn_assert_contains(error->message, "cannot run '/nonexistent': No such file");
    assert_int_equal(waitpid(spawned.pid, &status, 0), spawned.pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    close(spawn.directory_fd);
    close(spawn.channel_fd);
    close(spawn.output_fd);
}

static guint64 signal_mask(pid_t pid, const char *name)
{
    g_autofree char *text = children_status(pid, name);

    return g_ascii_strtoull(text, NULL, 16);
}

#define SIGNAL_BIT(number) (G_GUINT64_CONSTANT(1) << ((number)-1))

static void test_it_has_no_signal_mask_or_disposition_of_the_hosts(void **state)
{
    Swtpm *swtpm = *state;
    sigset_t blocked, before;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigaddset(&blocked, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    signal(SIGHUP, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    spawn_begin(swtpm);
    pid_t pid = children_only();

    signal(SIGHUP, SIG_DFL);
    signal(SIGUSR2, SIG_DFL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    assert_int_equal(signal_mask(pid, "SigBlk"), 0);
    assert_int_equal(signal_mask(pid, "SigIgn") & (SIGNAL_BIT(SIGHUP) | SIGNAL_BIT(SIGUSR2)), 0);
}

static void test_it_is_confined(void **state)
{
    Swtpm *swtpm = *state;
    pid_t pid = children_only();
    g_autofree char *no_new_privs = children_status(pid, "NoNewPrivs");
    g_autofree char *seccomp = children_status(pid, "Seccomp");
    g_autofree char *limits = children_read(pid, "limits");
    g_autofree char *path = g_strdup_printf("/proc/%d/cwd", (int)pid);
    g_autofree char *cwd = g_file_read_link(path, NULL);
    g_autofree char *core = strstr(limits, "Max core file size");

    core = g_strndup(core, strcspn(core, "\n"));
    assert_string_equal(no_new_privs, "1");
    assert_string_equal(seccomp, "2");
    assert_string_equal(cwd, swtpm->directory);
    assert_int_equal(getsid(pid), pid); /* the terminal's signals do not reach it */
    spawn_assert_contains(core, " 0 ");
    assert_null(strstr(core, "unlimited"));
}

static void test_its_filter_is_what_was_asked_for(void **state)
{
    static const struct {
        TPMSwtpmSeccomp seccomp;
        const char *option;
        const char *mode;
    } cases[] = {
        { TPM_SWTPM_SECCOMP_KILL, "action=kill", "2" },
        { TPM_SWTPM_SECCOMP_LOG, "action=log", "2" },
        { TPM_SWTPM_SECCOMP_NONE, "action=none", "0" },
    };
    Swtpm *swtpm = *state;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        swtpm->config.seccomp = cases[i].seccomp;
        spawn_begin(swtpm);
        pid_t pid = children_only();
        g_autofree char *mode = children_status(pid, "Seccomp");
        g_autofree char *no_new_privs = children_status(pid, "NoNewPrivs");
        g_autofree char *path = g_strdup_printf("/proc/%d/cmdline", (int)pid);
        g_autofree char *line = NULL;
        gsize size;

        assert_true(g_file_get_contents(path, &line, &size, NULL));
        for (gsize j = 0; j + 1 < size; j++) {
            line[j] = line[j] ? line[j] : ' ';
        }
        assert_string_equal(mode, cases[i].mode);
        assert_string_equal(no_new_privs, "1"); /* with no filter, too */
        spawn_assert_contains(line, cases[i].option);
        spawn_end(swtpm);
    }
}

/* swtpm takes these for options. */
static void test_what_the_environment_says_to_swtpm_is_not_passed_on(void **state)
{
    Swtpm *swtpm = *state;

    g_setenv("TPM_PATH", "/nowhere", TRUE);
    g_setenv("TPM_PORT", "1", TRUE);
    spawn_begin(swtpm);
    g_unsetenv("TPM_PATH");
    g_unsetenv("TPM_PORT");
    g_autofree char *path = g_strdup_printf("/proc/%d/environ", (int)children_only());
    g_autofree char *environment = NULL;
    gsize size;

    assert_true(g_file_get_contents(path, &environment, &size, NULL));
    assert_null(memmem(environment, size, "TPM_PATH", 8));
    assert_null(memmem(environment, size, "TPM_PORT", 8));
}

/* ---- the log ---- */

static void test_what_it_prints_is_appended_to_the_log(void **state)
{
    Swtpm *swtpm = *state;
    g_autofree char *path = spawn_below(swtpm, "log");
    g_autofree char *text = NULL;

    swtpm->config.log_path = path;
    swtpm->config.log_level = 5;
    assert_true(g_file_set_contents(path, "earlier\n", -1, NULL));
    spawn_begin(swtpm);
    spawn_end(swtpm);
    assert_true(g_file_get_contents(path, &text, NULL, NULL));
    assert_true(g_str_has_prefix(text, "earlier\n"));
    spawn_assert_contains(text, "Ctrl Cmd: length");
    spawn_assert_contains(text, "has ended with status 0\n");
}

static void test_a_full_log_does_not_stop_the_tpm(void **state)
{
    Swtpm *swtpm = *state;

    swtpm->config.log_path = "/dev/full";
    swtpm->config.log_level = 20;
    spawn_begin(swtpm);
    assert_int_equal(RUN(swtpm, startup_2_0), 0);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(RUN(swtpm, get_random_2_0), 0);
    }
}

/* ---- it does not come up ---- */

static void expect_error(Swtpm *swtpm, TPMError code, const char *words)
{
    g_autoptr(GError) error = NULL;
    pid_t pid;

    swtpm->config.size = sizeof(swtpm->config);
    swtpm->config.id = "tpm0";
    assert_null(tpmdev_backend_emulator_new(&swtpm->config, &error));
    spawn_assert_contains(error->message, words);
    assert_int_equal(error->code, code);
    assert_int_equal(children_count(&pid), 0);
    assert_int_equal(children_count_threads("tpmdev-swtpm"), 0);
}

static void test_a_program_that_cannot_be_run_is_named(void **state)
{
    Swtpm *swtpm = *state;
    g_autofree char *no_program = spawn_below(swtpm, "no-program");

    swtpm->config.program = "/nonexistent/swtpm";
    expect_error(swtpm, TPM_ERROR_NOT_FOUND, "there is no program '/nonexistent/swtpm'");
    swtpm->config.program = swtpm->directory;
    expect_error(swtpm, TPM_ERROR_NOT_FOUND, "there is no program");
    assert_true(g_file_set_contents_full(no_program, "no program", -1, G_FILE_SET_CONTENTS_NONE,
                                         0700, NULL));
    swtpm->config.program = no_program;
    expect_error(swtpm, TPM_ERROR_IO, "Exec format error");
}

static void test_the_status_and_the_last_words_are_in_the_error(void **state)
{
    Swtpm *swtpm = *state;
    g_autofree char *script = spawn_below(swtpm, "script");

    swtpm->config.program = script;
    spawn_script(script, "#!/bin/sh\nexit 42\n");
    expect_error(swtpm, TPM_ERROR_PROTOCOL, "has ended with status 42");
    spawn_script(script, "#!/bin/sh\nkill -SEGV $$\n");
    expect_error(swtpm, TPM_ERROR_PROTOCOL, "was ended by signal 11");
    spawn_script(script, "#!/bin/sh\necho first; printf 'second\\033[31m' >&2; exit 1\n");
    expect_error(swtpm, TPM_ERROR_PROTOCOL, "status 1 and printed: first; second?[31m");
    spawn_script(script, "#!/bin/sh\necho first\nseq 10000 19999\nexit 1\n");
    expect_error(swtpm, TPM_ERROR_PROTOCOL, "printed: first ... 19");
}

static void test_a_program_that_is_no_swtpm_is_ended(void **state)
{
    Swtpm *swtpm = *state;
    g_autofree char *script = spawn_below(swtpm, "script");
    g_autoptr(GError) error = NULL;
    pid_t pid;

    /* It waits by itself: a child of its own would be nobody's when it is ended. */
    g_autofree char *fifo = spawn_below(swtpm, "script.fifo");

    assert_int_equal(mkfifo(fifo, 0600), 0);
    spawn_script(script, "#!/bin/sh\ntrap '' TERM\nread line <>\"$0.fifo\"\n");
    swtpm->config.size = sizeof(swtpm->config);
    swtpm->config.id = "tpm0";
    swtpm->config.program = script;
    assert_null(tpm_emulator_new(&swtpm->config, 1000, NULL, &error));
    spawn_assert_contains(error->message, "did not answer SET_DATAFD within 1000 ms");
    assert_int_equal(children_count(&pid), 0);
}

static void test_a_state_directory_that_cannot_be_is_named(void **state)
{
    Swtpm *swtpm = *state;
    g_autofree char *nowhere = spawn_below(swtpm, "nowhere");
    g_autofree char *file = spawn_below(swtpm, "tpm-00.permall");

    swtpm->config.directory = nowhere;
    expect_error(swtpm, TPM_ERROR_NOT_FOUND, "nowhere' is not there; make it");
    assert_true(g_file_set_contents(file, "", 0, NULL));
    swtpm->config.directory = file;
    expect_error(swtpm, TPM_ERROR_IO, "Not a directory");
    swtpm->config.directory = swtpm->directory;
    expect_error(swtpm, TPM_ERROR_STATE_MISMATCH, "holds a TPM 1.2; give version=1.2");
    swtpm->config.directory = "";
    expect_error(swtpm, TPM_ERROR_MISSING_OPTION, "needs state-dir=DIR");
    swtpm->config.directory = swtpm->directory;
    g_unlink(file);
    g_chmod(swtpm->directory, 0500);
    if (access(swtpm->directory, W_OK) != 0) { /* root may write to it all the same */
        expect_error(swtpm, TPM_ERROR_IO, "cannot be written to");
    }
    g_chmod(swtpm->directory, 0700);
}

static void test_a_state_directory_has_one_swtpm(void **state)
{
    Swtpm *swtpm = *state;
    TPMBackend *backend = swtpm->backend;

    /* One that is made, and not even started. */
    swtpm_attach(swtpm);
    backend = g_steal_pointer(&swtpm->backend);
    GError *error = NULL;

    assert_null(tpmdev_backend_emulator_new(&swtpm->config, &error));
    spawn_assert_contains(error->message, "is in use by another backend");
    assert_int_equal(error->code, TPM_ERROR_IN_USE);
    g_clear_error(&error);
    tpmdev_backend_unref(backend);
    spawn_begin(swtpm);
}

/* One of somebody else's. */
static void test_a_state_directory_that_another_swtpm_uses_is_refused(void **state)
{
    Swtpm *swtpm = *state;
    Swtpm other = { .directory = swtpm->directory, .path = swtpm->path };
    g_autoptr(GError) error = NULL;

    swtpm_launch(&other, false);
    swtpm_attach(&other);
    swtpm_bind(&other);
    swtpm_start(&other);
    swtpm->config.size = sizeof(swtpm->config);
    swtpm->config.id = "tpm0";
    assert_null(tpmdev_backend_emulator_new(&swtpm->config, &error));
    g_autofree char *words = g_strdup_printf("is in use by process %d;", (int)other.pid);

    spawn_assert_contains(error->message, words);
    swtpm_unbind(&other);
    tpmdev_backend_unref(other.backend);
    swtpm_wait_for_exit(&other);
    spawn_begin(swtpm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPAWN(test_a_tpm_2_0_runs_commands),
        SPAWN_BARE(test_a_tpm_1_2_runs_commands),
        SPAWN(test_the_state_is_for_its_owner_and_lasts),
        SPAWN_BARE(test_the_directory_may_have_any_name),
        SPAWN_BARE(test_no_descriptor_of_the_host_leaks),
        SPAWN_BARE(test_none_leaks_where_they_are_closed_one_by_one),
        SPAWN_BARE(test_a_host_without_standard_descriptors_works),
        cmocka_unit_test(test_low_descriptors_are_not_mixed_up),
        SPAWN_BARE(test_it_has_no_signal_mask_or_disposition_of_the_hosts),
        SPAWN(test_it_is_confined),
        SPAWN_BARE(test_its_filter_is_what_was_asked_for),
        SPAWN_BARE(test_what_the_environment_says_to_swtpm_is_not_passed_on),
        SPAWN_BARE(test_what_it_prints_is_appended_to_the_log),
        SPAWN_BARE(test_a_full_log_does_not_stop_the_tpm),
        SPAWN_BARE(test_a_program_that_cannot_be_run_is_named),
        SPAWN_BARE(test_the_status_and_the_last_words_are_in_the_error),
        SPAWN_BARE(test_a_program_that_is_no_swtpm_is_ended),
        SPAWN_BARE(test_a_state_directory_that_cannot_be_is_named),
        SPAWN_BARE(test_a_state_directory_has_one_swtpm),
        SPAWN_BARE(test_a_state_directory_that_another_swtpm_uses_is_refused),
    };
    g_autofree char *swtpm = g_find_program_in_path("swtpm");

    if (!swtpm) {
        print_message("1..0 # SKIP swtpm is not installed (Debian package swtpm)\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
