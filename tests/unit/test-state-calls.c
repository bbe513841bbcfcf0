/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Saving and loading called where or when it should not be: from two threads at once, from within
 * a callback, with the guest resumed too early; and a TPM that hands out what cannot be. Each ends
 * in an error that says so, at once, or does no harm.
 *
 * Neighbour: test-state.c, where one caller at a time does it properly.
 */
#include "fake-host.h"
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define LONG_NS G_GINT64_CONSTANT(30000000000)

/* ---- a TPM that hands out its state when it is told ---- */

typedef struct Machine {
    FakeHost host;
    TPMBackend *tpm;
    TPMDevice *device;
    GError *error;

    GMutex lock; /* for the rest */
    GCond changed;
    bool saving;
    bool answers; /* a save, at once */
    TPMState given;
    unsigned commands;
} Machine;

static void answer_save(Machine *machine)
{
    tpmdev_backend_saved(machine->tpm, &machine->given);
}

static void tpm_start(void *self, size_t buffer_size)
{
    Machine *machine = self;

    (void)buffer_size;
    tpmdev_backend_started(machine->tpm);
}

static void tpm_submit(void *self, const TPMCommand *command, bool linger)
{
    Machine *machine = self;
    uint8_t response[TPM_HEADER_SIZE];

    (void)command;
    (void)linger;
    g_mutex_lock(&machine->lock);
    machine->commands++;
    g_mutex_unlock(&machine->lock);
    tpmdev_failure_response(TPM_VERSION_2_0, response);
    tpmdev_backend_complete(machine->tpm, response, sizeof(response));
}

static void tpm_save(void *self)
{
    Machine *machine = self;

    g_mutex_lock(&machine->lock);
    machine->saving = true;
    g_cond_signal(&machine->changed);
    bool answers = machine->answers;
    g_mutex_unlock(&machine->lock);
    if (answers) {
        answer_save(machine);
    }
}

static void tpm_load(void *self, size_t buffer_size, const TPMState *state)
{
    Machine *machine = self;

    (void)buffer_size;
    (void)state;
    tpmdev_backend_loaded(machine->tpm);
}

static void tpm_destroy(void *self)
{
    (void)self;
}

static const TPMBackendClass tpm_class = {
    .size = sizeof(TPMBackendClass),
    .type = "slow",
    .start = tpm_start,
    .submit = tpm_submit,
    .save = tpm_save,
    .load = tpm_load,
    .destroy = tpm_destroy,
};

static int setup(void **state)
{
    TPMBackendInfo info = { sizeof(info), TPM_VERSION_2_0, TPM_BUFFER_SIZE_COMMON, false };
    Machine *machine = g_new0(Machine, 1);

    g_mutex_init(&machine->lock);
    g_cond_init(&machine->changed);
    fake_host_init(&machine->host);
    machine->given = (TPMState){ .size = sizeof(TPMState), .writer = "test" };
    machine->tpm = tpmdev_backend_new(&tpm_class, "tpm0", &info, machine, NULL);
    machine->device =
        tpmdev_device_new(NULL, machine->tpm, &machine->host.host, &machine->host, NULL);
    *state = machine;
    return machine->device ? 0 : -1;
}

static int teardown(void **state)
{
    Machine *machine = *state;

    tpmdev_device_free(machine->device);
    tpmdev_backend_unref(machine->tpm);
    fake_host_clear(&machine->host);
    g_clear_error(&machine->error);
    g_cond_clear(&machine->changed);
    g_mutex_clear(&machine->lock);
    g_free(machine);
    return 0;
}

/* ---- what a guest and a hypervisor do ---- */

static void start_command(Machine *machine)
{
    tpmdev_device_write(machine->device, REG_ACCESS, 1, ACCESS_REQUEST);
    tpmdev_device_write(machine->device, REG_STS, 1, STS_READY);
    for (unsigned i = 0; i < sizeof(command_2_0); i++) {
        tpmdev_device_write(machine->device, REG_FIFO, 1, command_2_0[i]);
    }
    tpmdev_device_write(machine->device, REG_STS, 1, STS_GO);
}

static unsigned commands(Machine *machine)
{
    g_mutex_lock(&machine->lock);
    unsigned n = machine->commands;
    g_mutex_unlock(&machine->lock);
    return n;
}

static GBytes *save(Machine *machine)
{
    machine->answers = true;
    GBytes *state = tpmdev_device_save(machine->device, LONG_NS, &machine->error);

    assert_non_null(state);
    machine->answers = false;
    machine->saving = false;
    return state;
}

static gpointer save_in_thread(gpointer data)
{
    return tpmdev_device_save(((Machine *)data)->device, LONG_NS, NULL);
}

/* Another thread is within a save, for which the TPM has no answer yet. */
static GThread *begin_save(Machine *machine)
{
    GThread *thread = g_thread_new("saver", save_in_thread, machine);
    int64_t deadline_us = g_get_monotonic_time() + LONG_NS / 1000;

    g_mutex_lock(&machine->lock);
    while (!machine->saving) {
        assert_true(g_cond_wait_until(&machine->changed, &machine->lock, deadline_us));
    }
    g_mutex_unlock(&machine->lock);
    return thread;
}

static GBytes *end_save(Machine *machine, GThread *thread)
{
    answer_save(machine);
    return g_thread_join(thread);
}

static void assert_refused(Machine *machine, const char *text)
{
    assert_true(g_error_matches(machine->error, TPMDEV_ERROR, TPM_ERROR_IN_USE));
    if (!strstr(machine->error->message, text)) {
        fail_msg("'%s' is not in '%s'", text, machine->error->message);
    }
    g_clear_error(&machine->error);
}

/* ---- two threads ---- */

static void test_one_save_or_load_at_a_time(void **state)
{
    Machine *machine = *state;
    g_autoptr(GBytes) before = save(machine);

    tpmdev_device_resume(machine->device);
    GThread *thread = begin_save(machine);

    assert_null(tpmdev_device_save(machine->device, LONG_NS, &machine->error));
    assert_refused(machine, "is being saved or loaded by another call");
    assert_false(tpmdev_device_load(machine->device, before, LONG_NS, &machine->error));
    assert_refused(machine, "is being saved or loaded by another call");
    g_autoptr(GBytes) saved = end_save(machine, thread);

    assert_non_null(saved);
    assert_true(g_bytes_equal(saved, before));
    /* And it is held: the two that were refused have not ended that. */
    start_command(machine);
    assert_int_equal(commands(machine), 0);
}

/* Else the TPM would have a command behind it that the registers saved with it still wait for. */
static void test_a_resume_during_a_save_takes_effect_at_its_end(void **state)
{
    Machine *machine = *state;
    GThread *thread = begin_save(machine);

    tpmdev_device_resume(machine->device);
    start_command(machine);
    assert_int_equal(commands(machine), 0);
    g_autoptr(GBytes) saved = end_save(machine, thread);

    assert_non_null(saved);
    assert_int_equal(commands(machine), 1);

    /* What was saved is the moment before: the command waits in it. */
    assert_true(tpmdev_device_load(machine->device, saved, LONG_NS, &machine->error));
    assert_int_equal(commands(machine), 1);
    tpmdev_device_resume(machine->device);
    assert_int_equal(commands(machine), 2);
}

static void test_a_resume_is_of_the_save_it_comes_in(void **state)
{
    Machine *machine = *state;
    GThread *thread = begin_save(machine);

    tpmdev_device_resume(machine->device);
    g_bytes_unref(end_save(machine, thread));
    g_bytes_unref(save(machine));
    start_command(machine);
    assert_int_equal(commands(machine), 0);
}

/* ---- within a callback ---- */

static GBytes *to_load;
static GError *save_error, *load_error;

static void save_and_load(FakeHost *host, bool level)
{
    if (level) {
        assert_null(tpmdev_device_save(host->device, LONG_NS, &save_error));
        assert_false(tpmdev_device_load(host->device, to_load, LONG_NS, &load_error));
    }
}

static void test_a_callback_neither_saves_nor_loads(void **state)
{
    Machine *machine = *state;

    to_load = save(machine);
    tpmdev_device_resume(machine->device);
    machine->host.device = machine->device;
    machine->host.on_irq = save_and_load;
    tpmdev_device_write(machine->device, REG_ACCESS, 1, ACCESS_REQUEST);
    tpmdev_device_write(machine->device, REG_INT_ENABLE, 4, INT_ALL);
    start_command(machine);
    machine->host.on_irq = NULL;

    machine->error = g_steal_pointer(&save_error);
    assert_refused(machine, "from within a callback of TPMHost");
    machine->error = g_steal_pointer(&load_error);
    assert_refused(machine, "from within a callback of TPMHost");

    /* Afterwards it is as before. */
    assert_int_equal(commands(machine), 1);
    g_bytes_unref(save(machine));
    g_clear_pointer(&to_load, g_bytes_unref);
}

/* ---- what a TPM hands out ---- */

static void test_a_state_that_cannot_be_is_refused_by_its_member(void **state)
{
    static const uint8_t bytes[1];
    static const TPMStateBlob hollow = { NULL, 1, 0 }, empty = { bytes, 0, 0 },
                              large = { bytes, TPM_STATE_BLOB_SIZE_MAX + 1, 0 };
    const struct {
        const char *member;
        TPMState given;
    } cases[] = {
        { "size", { .size = sizeof(TPMState) - 1, .writer = "test" } },
        { "permanent", { .size = sizeof(TPMState), .writer = "test", .permanent = hollow } },
        { "volatile_state",
          { .size = sizeof(TPMState), .writer = "test", .volatile_state = empty } },
        { "saved", { .size = sizeof(TPMState), .writer = "test", .saved = large } },
        { "writer", { .size = sizeof(TPMState) } },
        { "writer", { .size = sizeof(TPMState), .writer = "two\nlines" } },
    };
    Machine *machine = *state;

    machine->answers = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strdup_printf("a TPMState whose %s cannot be", cases[i].member);

        machine->given = cases[i].given;
        assert_null(tpmdev_device_save(machine->device, LONG_NS, &machine->error));
        assert_true(g_error_matches(machine->error, TPMDEV_ERROR, TPM_ERROR_PROTOCOL));
        if (!strstr(machine->error->message, text)) {
            fail_msg("'%s' is not in '%s'", text, machine->error->message);
        }
        g_clear_error(&machine->error);
    }
    start_command(machine); /* it is not held */
    assert_int_equal(commands(machine), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_one_save_or_load_at_a_time),
        TEST(test_a_resume_during_a_save_takes_effect_at_its_end),
        TEST(test_a_resume_is_of_the_save_it_comes_in),
        TEST(test_a_callback_neither_saves_nor_loads),
        TEST(test_a_state_that_cannot_be_is_refused_by_its_member),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
