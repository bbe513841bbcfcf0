/* SPDX-License-Identifier: BSD-3-Clause */
/* The lock of a directory of TPM state: one user at a time, and nothing left of the last one. */
#include "state-fixture.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define IN_USE                                                                                     \
    "TPM state directory 'DIR' is in use by another TPM, in this process or another one; end "     \
    "that first, or give another directory"

/* Is a second user, with whatever library, refused? */
static void assert_in_use(StateFixture *fixture)
{
    assert_null(tpm_state_directory_open(fixture->path, TPM_VERSION_2_0, NULL, &fixture->error));
    assert_state_error(fixture, TPM_ERROR_IN_USE, IN_USE);
    g_clear_error(&fixture->error);
}

/* A process with the directory open, from when this returns until it is killed. */
static pid_t start_user(StateFixture *fixture)
{
    int ready[2];
    char answer = 0;

    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when the test fails */
        bool opened = tpm_state_directory_open(fixture->path, TPM_VERSION_2_0, NULL, NULL) != NULL;

        if (write(ready[1], opened ? "y" : "n", 1) == 1) {
            for (;;) {
                pause();
            }
        }
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &answer, 1), 1);
    close(ready[0]);
    assert_int_equal(answer, 'y');
    return child;
}

static void end_user(pid_t child)
{
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void test_a_second_user_in_the_same_process_is_refused(void **state)
{
    StateFixture *fixture = *state;

    open_directory_2_0(fixture);
    store_text(fixture, TPM_STATE_PERMANENT, "seeds");
    assert_in_use(fixture);
    assert_in_use(fixture); /* the first attempt has not cost the lock */
    assert_loads(fixture, TPM_STATE_PERMANENT, "seeds");
    open_directory_2_0(fixture);
}

static void test_a_user_in_another_process_is_refused_until_it_is_killed(void **state)
{
    StateFixture *fixture = *state;
    pid_t child = start_user(fixture);

    assert_in_use(fixture);
    end_user(child);
    open_directory_2_0(fixture);
}

static void test_the_lock_is_not_lost_when_the_process_closes_the_file(void **state)
{
    StateFixture *fixture = *state;
    g_autofree char *path = state_file_path(fixture, ".lock");

    open_directory_2_0(fixture);
    close(open(path, O_RDWR | O_CLOEXEC));
    assert_in_use(fixture);
}

static void test_a_forked_process_does_not_keep_the_lock(void **state)
{
    StateFixture *fixture = *state;

    open_directory_2_0(fixture);
    pid_t child = fork();

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when the test fails */
        for (;;) {
            pause();
        }
    }
    assert_in_use(fixture);
    fixture->directory = tpm_state_directory_close(fixture->directory);
    open_directory_as(fixture, TPM_VERSION_2_0);
    bool opened = fixture->directory != NULL;

    end_user(child);
    assert_true(opened);
}

static void test_no_descriptor_goes_to_a_program_that_is_started(void **state)
{
    StateFixture *fixture = *state;
    unsigned found = 0;

    open_directory_2_0(fixture);
    for (int fd = 0; fd < 256; fd++) {
        g_autofree char *link = g_strdup_printf("/proc/self/fd/%d", fd);
        g_autofree char *target = g_file_read_link(link, NULL);

        if (target && g_str_has_prefix(target, fixture->path)) {
            found++;
            assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        }
    }
    assert_int_equal(found, 2);
}

static void test_a_directory_that_others_read_can_be_used(void **state)
{
    StateFixture *fixture = *state;
    int reader = open(fixture->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(reader >= 0);
    open_directory_2_0(fixture);
    close(reader);
    assert_in_use(fixture);
}

static void test_the_lock_is_for_the_owner_only(void **state)
{
    StateFixture *fixture = *state;
    g_autofree char *path = state_file_path(fixture, ".lock");
    struct stat status;

    open_directory_2_0(fixture);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(status.st_size, 0);
}

static void test_state_is_not_looked_at_while_another_uses_it(void **state)
{
    StateFixture *fixture = *state;
    pid_t child = start_user(fixture);

    set_state_file(fixture, "permall", "damaged", 7);
    set_state_file(fixture, "permall.tmp-01234567", "half", 4);
    assert_in_use(fixture);
    end_user(child);
    assert_int_equal(count_state_files(fixture, "permall"), 2);
}

static void test_a_refused_directory_is_not_locked_any_more(void **state)
{
    StateFixture *fixture = *state;

    set_state_file(fixture, "permall", "", 0);
    open_directory_as(fixture, TPM_VERSION_2_0);
    assert_null(fixture->directory);
    g_autofree char *path = state_file_path(fixture, "permall");

    g_remove(path);
    open_directory_2_0(fixture);
}

static void test_a_lock_that_is_no_file_is_refused(void **state)
{
    StateFixture *fixture = *state;
    g_autofree char *path = state_file_path(fixture, ".lock");

    assert_int_equal(symlink("/etc/passwd", path), 0);
    open_directory_as(fixture, TPM_VERSION_2_0);
    assert_null(fixture->directory);
    assert_state_error(fixture, TPM_ERROR_IO,
                       "cannot open TPM state file 'DIR/.lock': Too many levels of symbolic links");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        STATE_TEST(test_a_second_user_in_the_same_process_is_refused),
        STATE_TEST(test_a_user_in_another_process_is_refused_until_it_is_killed),
        STATE_TEST(test_the_lock_is_not_lost_when_the_process_closes_the_file),
        STATE_TEST(test_a_forked_process_does_not_keep_the_lock),
        STATE_TEST(test_no_descriptor_goes_to_a_program_that_is_started),
        STATE_TEST(test_a_directory_that_others_read_can_be_used),
        STATE_TEST(test_the_lock_is_for_the_owner_only),
        STATE_TEST(test_state_is_not_looked_at_while_another_uses_it),
        STATE_TEST(test_a_refused_directory_is_not_locked_any_more),
        STATE_TEST(test_a_lock_that_is_no_file_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
