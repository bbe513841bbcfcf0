/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is left after many lives of a TPM: a backend and a device are made, used, broken and
 * destroyed, a thousand times each, and then there are as many file descriptors, threads and
 * processes as before, and no more memory in use.
 *
 * TPMDEV_TEST_ROUNDS in the environment has another number of rounds, for builds in which a
 * sanitizer looks after the memory.
 */
#include "chain-tpm.h"
#include "children.h"
#include "fake-chardev.h"
#include "real-tpm.h"
#include "sick-machine.h"

#include <glib/gstdio.h>
#include <malloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <tpmdev/state.h>
#include <unistd.h>

#include <cmocka.h>

#define ROUNDS 1000u

/* Until caches of the libraries below have what they want. */
#define WARM_UP 50u

/* The smallest piece malloc() gives has 32 bytes, of which a thousand are eight times this. */
#define HEAP_SLACK 4096u

static unsigned rounds(void)
{
    const char *text = g_getenv("TPMDEV_TEST_ROUNDS");

    return text ? (unsigned)strtoul(text, NULL, 10) : ROUNDS;
}

/* ---- what there is ---- */

typedef struct Holdings {
    unsigned fds;
    unsigned threads;
    unsigned children;
    size_t heap;
} Holdings;

static unsigned count_names(const char *path)
{
    GDir *directory = g_dir_open(path, 0, NULL);
    unsigned count = 0;

    assert_non_null(directory);
    while (g_dir_read_name(directory)) {
        count++;
    }
    g_dir_close(directory);
    return count;
}

static Holdings holdings(void)
{
    struct mallinfo2 info = mallinfo2();
    pid_t any;

    return (Holdings){
        .fds = count_names("/proc/self/fd"),
        .threads = count_names("/proc/self/task"),
        .children = children_count(&any), /* those that wait to be waited for, too */
        .heap = info.uordblks + info.hblkhd,
    };
}

/* A thread that was joined may be in the list for a moment longer. */
static void wait_for_threads(unsigned wanted)
{
    gint64 deadline = g_get_monotonic_time() + REAL_DEADLINE_S * G_TIME_SPAN_SECOND;

    while (count_names("/proc/self/task") > wanted && g_get_monotonic_time() < deadline) {
        g_usleep(1000);
    }
}

static void assert_nothing_is_left(void (*round)(unsigned number))
{
    unsigned n = 0;

    while (n < MIN(WARM_UP, rounds() / 2)) {
        round(n++);
    }
    Holdings before = holdings();
    unsigned begin = n;

    while (n < begin + rounds()) {
        round(n++);
    }
    wait_for_threads(before.threads);
    Holdings after = holdings();

    print_message("# %u rounds: %u and then %u file descriptors, %u and %u threads, %zu and %zu "
                  "bytes\n",
                  rounds(), before.fds, after.fds, before.threads, after.threads, before.heap,
                  after.heap);
    assert_int_equal(after.fds, before.fds);
    assert_int_equal(after.threads, before.threads);
    assert_int_equal(after.children, before.children);
    assert_true(after.heap < before.heap + HEAP_SLACK);
}

/* ---- real TPMs ---- */

static const uint8_t get_random[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 8 };

/* TPM2_HierarchyChangeAuth of the lockout hierarchy, to what it is: it is stored. */
static const uint8_t store[] = { 0x80, 0x02, 0, 0,    0, 29, 0, 0, 0x01, 0x29, 0x40, 0, 0, 0x0A, 0,
                                 0,    0,    9, 0x40, 0, 0,  9, 0, 0,    0,    0,    0, 0, 0 };

static void use(RealTPM *tpm)
{
    assert_int_equal(real_startup(tpm), 0);
    assert_int_equal(real_command(tpm, 0, get_random, sizeof(get_random)), 0);
}

/* A directory in the place of the file that is to be written, which not even root can replace. */
static void break_storage(RealTPM *tpm)
{
    g_autofree char *path = g_build_filename(tpm->directory, "permall", NULL);
    g_autofree char *below = g_build_filename(path, "x", NULL);

    assert_int_equal(g_unlink(path), 0);
    assert_int_equal(g_mkdir(path, 0700), 0);
    assert_int_equal(g_mkdir(below, 0700), 0);
}

static void mend_storage(RealTPM *tpm)
{
    g_autofree char *path = g_build_filename(tpm->directory, "permall", NULL);
    g_autofree char *below = g_build_filename(path, "x", NULL);

    g_rmdir(below);
    g_rmdir(path);
}

static void round_of_libtpms(unsigned number)
{
    RealTPM *tpm = real_tpm_new(REAL_LIBTPMS, TPM_VERSION_2_0);

    (void)number;
    use(tpm);
    break_storage(tpm);
    assert_int_not_equal(real_command(tpm, 0, store, sizeof(store)), 0);
    real_command(tpm, 0, get_random, sizeof(get_random));
    tpmdev_device_reset(tpm->device);
    mend_storage(tpm);
    real_tpm_free(tpm);
}

static void test_nothing_is_left_of_libtpms(void **state)
{
    (void)state;
    assert_nothing_is_left(round_of_libtpms);
}

static void round_of_swtpm(unsigned number)
{
    RealTPM *tpm = real_tpm_new(REAL_SWTPM, TPM_VERSION_2_0);

    (void)number;
    use(tpm);
    real_swtpm_kill(tpm);
    assert_int_equal(real_command(tpm, 0, get_random, sizeof(get_random)), 0x101);
    real_tpm_free(tpm);
}

static void test_nothing_is_left_of_swtpm(void **state)
{
    (void)state;
    if (!real_swtpm_is_installed()) {
        skip();
    }
    assert_nothing_is_left(round_of_swtpm);
}

/* ---- a swtpm that falls ill ---- */

static char *sick_directory;

static void round_of_sick_swtpm(unsigned number)
{
    SickMachine machine;

    sick_machine_init(&machine, number % SICK_FORMS, sick_directory);
    sick_run(&machine);
    switch (number / SICK_FORMS % 4) {
    case 0:
        sick_swtpm_kill(machine.peer);
        break;
    case 1:
        sick_swtpm_say(machine.peer, false, "00");
        break;
    case 2:
        sick_swtpm_drop(machine.peer, true);
        break;
    default:
        sick_swtpm_drop(machine.peer, false);
        break;
    }
    sick_command(&machine);
    if (machine.wrong) {
        fail_msg("round %u: %s", number, machine.wrong);
    }
    sick_machine_clear(&machine);
}

static void test_nothing_is_left_of_a_sick_swtpm(void **state)
{
    (void)state;
    sick_directory = g_dir_make_tmp("leaks-XXXXXX", NULL);
    assert_nothing_is_left(round_of_sick_swtpm);
    g_rmdir(sick_directory);
    g_free(sick_directory);
}

/* ---- a swtpm of the library's own ---- */

static char *spawn_directory;

/* It is killed, or its device goes while a command is under way. */
static void round_of_spawned_swtpm(unsigned number)
{
    TPMEmulatorConfig config = { .size = sizeof(config),
                                 .id = "tpm0",
                                 .spawn = true,
                                 .directory = spawn_directory,
                                 .version = TPM_VERSION_2_0 };
    RealTPM tpm = { .version = TPM_VERSION_2_0 };
    GError *error = NULL;

    tpm.backend = tpmdev_backend_emulator_new(&config, &error);
    if (!tpm.backend) {
        fail_msg("%s", error->message);
    }
    tpm.device = tpmdev_device_new(NULL, tpm.backend, NULL, NULL, NULL);
    assert_non_null(tpm.device);
    use(&tpm);
    if (number % 8 != 7) {
        kill(children_only(), SIGKILL);
        real_command(&tpm, 0, get_random, sizeof(get_random));
    } else {
        real_command_begin(&tpm, 0, get_random, sizeof(get_random));
    }
    real_tpm_unplug(&tpm);
    tpmdev_backend_unref(tpm.backend);
}

static void test_nothing_is_left_of_a_swtpm_of_its_own(void **state)
{
    (void)state;
    if (!real_swtpm_is_installed()) {
        skip();
    }
    spawn_directory = g_dir_make_tmp("leaks-XXXXXX", NULL);
    assert_nothing_is_left(round_of_spawned_swtpm);
    real_remove_directory(spawn_directory);
    g_free(spawn_directory);
}

/* ---- the host's own TPM ---- */

static void round_of_passthrough(unsigned number)
{
    TPMVersion version = number % 2 ? TPM_VERSION_1_2 : TPM_VERSION_2_0;
    FakeChardev *chardev = fake_chardev_new(version);
    RealTPM tpm = { .version = version };

    tpm.backend = fake_chardev_backend(chardev);
    tpm.device = tpmdev_device_new(NULL, tpm.backend, NULL, NULL, NULL);
    assert_non_null(tpm.device);
    assert_int_equal(real_startup(&tpm), 0);
    g_mutex_lock(&chardev->lock);
    chardev->gone = true;
    g_mutex_unlock(&chardev->lock);
    assert_int_equal(real_startup(&tpm), version == TPM_VERSION_1_2 ? 9 : 0x101);
    tpmdev_device_reset(tpm.device);
    real_tpm_unplug(&tpm);
    tpmdev_backend_unref(tpm.backend);
    fake_chardev_free(chardev);
}

static void test_nothing_is_left_of_the_hosts_tpm(void **state)
{
    (void)state;
    assert_nothing_is_left(round_of_passthrough);
}

/* ---- a TPM with a fault ---- */

/* It dies, is late, or never answers a command that is under way when its device goes. */
static void round_of_fault(unsigned number)
{
    static const TPMFault faults[] = { TPM_FAULT_DEATH, TPM_FAULT_DELAY, TPM_FAULT_HANG };
    FakeChardev *chardev = fake_chardev_new(TPM_VERSION_2_0);
    TPMFaultConfig config = { .size = sizeof(config),
                              .id = "tpm1",
                              .backend = fake_chardev_backend(chardev),
                              .fault = faults[number % G_N_ELEMENTS(faults)],
                              .delay_min_us = 1 };
    RealTPM tpm = { .version = TPM_VERSION_2_0 };

    if (config.fault != TPM_FAULT_DELAY) {
        config.delay_min_us = 0;
    }
    tpm.backend = tpmdev_backend_fault_new(&config, NULL);
    assert_non_null(tpm.backend);
    tpm.device = tpmdev_device_new(NULL, tpm.backend, NULL, NULL, NULL);
    assert_non_null(tpm.device);
    if (config.fault == TPM_FAULT_HANG) {
        real_command_begin(&tpm, 0, get_random, sizeof(get_random));
    } else {
        real_command(&tpm, 0, get_random, sizeof(get_random));
    }
    real_tpm_unplug(&tpm);
    tpmdev_backend_unref(tpm.backend);
    tpmdev_backend_unref(config.backend);
    fake_chardev_free(chardev);
}

static void test_nothing_is_left_of_a_fault(void **state)
{
    (void)state;
    assert_nothing_is_left(round_of_fault);
}

/* The same when it is saved or loaded; or that is refused. */
static void round_of_moved_fault(unsigned number)
{
    static const TPMFault faults[] = { TPM_FAULT_DEATH, TPM_FAULT_DELAY, TPM_FAULT_HANG,
                                       TPM_FAULT_REFUSE };
    ChainTPM *chain = chain_tpm_new(TPM_VERSION_2_0, TPM_BUFFER_SIZE_COMMON, true);
    TPMFault fault = faults[number / 2 % G_N_ELEMENTS(faults)];
    TPMFaultConfig config = { .size = sizeof(config),
                              .id = "tpm1",
                              .backend = chain->backend,
                              .fault = fault,
                              .delay_min_us = fault == TPM_FAULT_DELAY ? 1 : 0,
                              .on = number % 2 ? TPM_FAULT_ON_SAVE : TPM_FAULT_ON_LOAD };
    int64_t timeout_ns = fault == TPM_FAULT_HANG ? 1000000 : REAL_DEADLINE_S * 1000000000ll;
    TPMBackend *backend = tpmdev_backend_fault_new(&config, NULL);
    TPMDevice *device = tpmdev_device_new(NULL, backend, NULL, NULL, NULL);

    assert_non_null(device);
    GBytes *state = tpmdev_device_save(device, timeout_ns, NULL);

    assert_int_equal(state != NULL, number % 2 == 0 || fault == TPM_FAULT_DELAY);
    if (state) {
        tpmdev_device_load(device, state, timeout_ns, NULL);
        g_bytes_unref(state);
    }
    tpmdev_device_free(device);
    tpmdev_backend_unref(backend);
    chain_tpm_free(chain);
}

static void test_nothing_is_left_of_a_fault_in_a_move(void **state)
{
    (void)state;
    assert_nothing_is_left(round_of_moved_fault);
}

/* ---- a dead one ---- */

static void round_of_null(unsigned number)
{
    TPMVersion version = number % 2 ? TPM_VERSION_1_2 : TPM_VERSION_2_0;
    RealTPM tpm = { .version = version };
    TPMBackend *backend = tpmdev_backend_null_new("tpm0", version, NULL);

    assert_non_null(backend);
    tpm.device = tpmdev_device_new(NULL, backend, NULL, NULL, NULL);
    assert_non_null(tpm.device);
    assert_int_equal(real_startup(&tpm), version == TPM_VERSION_1_2 ? 9 : 0x101);
    tpmdev_device_reset(tpm.device);
    tpmdev_device_free(tpm.device);
    tpmdev_backend_unref(backend);
}

static void test_nothing_is_left_of_a_dead_tpm(void **state)
{
    (void)state;
    assert_nothing_is_left(round_of_null);
}

/*
 * What each thread, and GLib, keep for themselves of what was freed counts as in use, and grows
 * with every size that is met. Without it memory in use is what somebody has.
 */
static void run_without_caches(char **argv)
{
    if (!g_getenv("GLIBC_TUNABLES")) {
        g_setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1", TRUE);
        g_setenv("G_SLICE", "always-malloc", TRUE);
        execv("/proc/self/exe", argv);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_is_left_of_a_dead_tpm),
        cmocka_unit_test(test_nothing_is_left_of_libtpms),
        cmocka_unit_test(test_nothing_is_left_of_a_sick_swtpm),
        cmocka_unit_test(test_nothing_is_left_of_swtpm),
        cmocka_unit_test(test_nothing_is_left_of_a_swtpm_of_its_own),
        cmocka_unit_test(test_nothing_is_left_of_the_hosts_tpm),
        cmocka_unit_test(test_nothing_is_left_of_a_fault),
        cmocka_unit_test(test_nothing_is_left_of_a_fault_in_a_move),
    };

    (void)argc;
    run_without_caches(argv);
    /* Thousands of flushes to a disk are not what is tried here. */
    if (g_access("/dev/shm", W_OK) == 0) {
        g_setenv("TMPDIR", "/dev/shm", TRUE);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
