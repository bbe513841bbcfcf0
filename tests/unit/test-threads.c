/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One device and many threads: vCPUs that read and write, vCPUs that carry whole commands, a TPM
 * that answers on a thread of its own, and a hypervisor that resets the machine now and then.
 * Every command that was started is answered or ended by a reset; the rest is ThreadSanitizer's.
 */
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COMMANDS 1000
#define RESETS   50

typedef struct Crowd {
    TISMachine *machine;
    bool window;  /* lingering commands */
    bool context; /* completions on the host's context, run by a thread of its own */

    /* A vCPU's lock around a whole command, as every guest has one. */
    GMutex command_lock;
    GMutex lock; /* for all below */
    GCond changed;
    unsigned answered;
    unsigned lost; /* ended by a reset */
    unsigned wrong;
    unsigned epoch; /* counts up before a reset and after it: odd while one is due */
    bool over;
} Crowd;

static bool is_over(Crowd *crowd)
{
    g_mutex_lock(&crowd->lock);
    bool over = crowd->over;
    g_mutex_unlock(&crowd->lock);
    return over;
}

static unsigned epoch_of(Crowd *crowd)
{
    g_mutex_lock(&crowd->lock);
    unsigned epoch = crowd->epoch;
    g_mutex_unlock(&crowd->lock);
    return epoch;
}

/* May there have been a reset since? */
static bool was_reset(Crowd *crowd, unsigned epoch)
{
    return epoch % 2 != 0 || epoch_of(crowd) != epoch;
}

static void count(Crowd *crowd, unsigned *counter)
{
    g_mutex_lock(&crowd->lock);
    (*counter)++;
    g_cond_broadcast(&crowd->changed);
    g_mutex_unlock(&crowd->lock);
}

/* No cmocka off the main thread: register accesses that fail nothing. */
static uint64_t peek(Crowd *crowd, unsigned locality, uint32_t reg, unsigned width)
{
    uint64_t value = 0;

    tpmdev_device_read(crowd->machine->device, locality * 0x1000u + reg, width, &value);
    return value;
}

static void poke(Crowd *crowd, unsigned locality, uint32_t reg, unsigned width, uint64_t value)
{
    tpmdev_device_write(crowd->machine->device, locality * 0x1000u + reg, width, value);
}

/* ---- a vCPU that carries commands ---- */

typedef enum Result { ANSWERED, LOST, WRONG } Result;

static Result read_response(Crowd *crowd, unsigned epoch)
{
    uint8_t response[10];

    for (unsigned i = 0; i < sizeof(response); i++) {
        response[i] = (uint8_t)peek(crowd, 0, REG_FIFO, 1);
    }
    if (memcmp(response, crowd->machine->tpm->response, sizeof(response)) == 0) {
        return ANSWERED;
    }
    return was_reset(crowd, epoch) ? LOST : WRONG;
}

/* Until TPM_STS has these bits; LOST when a reset has come first. */
static Result wait_sts(Crowd *crowd, uint8_t bits, unsigned epoch)
{
    gint64 deadline = g_get_monotonic_time() + FAKE_DEADLINE_S * G_TIME_SPAN_SECOND;

    while (g_get_monotonic_time() < deadline) {
        uint8_t sts = (uint8_t)peek(crowd, 0, REG_STS, 1);

        if (sts != 0xFF && (sts & bits) == bits) {
            return ANSWERED;
        }
        if (was_reset(crowd, epoch)) {
            return LOST;
        }
        g_thread_yield();
    }
    return WRONG;
}

/* As a driver does: a command that was left behind is aborted before the next goes in. */
static Result carry_command(Crowd *crowd)
{
    unsigned epoch = epoch_of(crowd);
    Result result;

    poke(crowd, 0, REG_ACCESS, 1, ACCESS_REQUEST);
    poke(crowd, 0, REG_STS, 1, STS_READY);
    result = wait_sts(crowd, 0x40, epoch);
    if (result != ANSWERED) {
        return result;
    }
    for (unsigned i = 0; i < sizeof(command_2_0); i++) {
        poke(crowd, 0, REG_FIFO, 1, command_2_0[i]);
    }
    poke(crowd, 0, REG_STS, 1, STS_GO);
    result = wait_sts(crowd, 0x90, epoch);
    return result == ANSWERED ? read_response(crowd, epoch) : result;
}

static gpointer command_thread(gpointer data)
{
    Crowd *crowd = data;

    for (unsigned i = 0; i < COMMANDS; i++) {
        g_mutex_lock(&crowd->command_lock);
        Result result = carry_command(crowd);
        g_mutex_unlock(&crowd->command_lock);

        switch (result) {
        case ANSWERED:
            count(crowd, &crowd->answered);
            break;
        case LOST:
            count(crowd, &crowd->lost);
            break;
        case WRONG:
            count(crowd, &crowd->wrong);
            break;
        }
    }
    return NULL;
}

/* ---- the others ---- */

/* Reads everything, and writes what does not disturb locality 0. */
static gpointer register_thread(gpointer data)
{
    Crowd *crowd = data;
    TPMDeviceStatistics statistics = { .size = sizeof(statistics) };

    while (!is_over(crowd)) {
        for (uint32_t reg = 0; reg < 0x1000; reg += reg < 0xC0 ? 4 : 0x80) {
            for (unsigned locality = 1; locality < 5; locality++) {
                peek(crowd, locality, reg, 4);
            }
        }
        for (unsigned locality = 1; locality < 4; locality++) {
            poke(crowd, locality, REG_ACCESS, 1, ACCESS_RELINQUISH | ACCESS_BEEN_SEIZED);
            poke(crowd, locality, REG_STS, 4, STS_GO | STS_CANCEL);
            poke(crowd, locality, REG_FIFO, 4, 0xFFFFFFFF);
            poke(crowd, locality, REG_INT_ENABLE, 4, INT_ALL);
        }
        poke(crowd, 0, REG_INT_ENABLE, 4, INT_ALL);
        poke(crowd, 0, REG_INT_STATUS, 4, 0xFF);
        tpmdev_device_get_statistics(crowd->machine->device, &statistics);
        tpmdev_device_get_irq_level(crowd->machine->device);
        g_thread_yield();
    }
    return NULL;
}

/* A reset after every so many commands. */
static gpointer reset_thread(gpointer data)
{
    Crowd *crowd = data;

    for (unsigned i = 1; i <= RESETS; i++) {
        g_mutex_lock(&crowd->lock);
        while (crowd->answered + crowd->lost + crowd->wrong < i * COMMANDS / RESETS) {
            g_cond_wait(&crowd->changed, &crowd->lock);
        }
        g_mutex_unlock(&crowd->lock);
        count(crowd, &crowd->epoch);
        tpmdev_device_reset(crowd->machine->device);
        count(crowd, &crowd->epoch);
    }
    return NULL;
}

static gpointer context_thread(gpointer data)
{
    Crowd *crowd = data;

    while (!is_over(crowd)) {
        g_main_context_iteration(crowd->machine->host.host.context, TRUE);
    }
    return NULL;
}

/* ---- the tests ---- */

static void run_crowd(Crowd *crowd)
{
    GThread *commands[2], *registers[2], *resets, *context = NULL;

    if (crowd->context) {
        context = g_thread_new("context", context_thread, crowd);
    }
    for (unsigned i = 0; i < 2; i++) {
        commands[i] = g_thread_new("commands", command_thread, crowd);
        registers[i] = g_thread_new("registers", register_thread, crowd);
    }
    resets = g_thread_new("resets", reset_thread, crowd);
    for (unsigned i = 0; i < 2; i++) {
        g_thread_join(commands[i]);
    }
    g_thread_join(resets);
    g_mutex_lock(&crowd->lock);
    crowd->over = true;
    g_mutex_unlock(&crowd->lock);
    for (unsigned i = 0; i < 2; i++) {
        g_thread_join(registers[i]);
    }
    if (context) {
        g_main_context_wakeup(crowd->machine->host.host.context);
        g_thread_join(context);
    }
}

static void assert_crowd(FakeWhen submit_when, bool window, bool context)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, TPM_BUFFER_SIZE_COMMON);
    Crowd crowd = { .machine = machine, .window = window, .context = context };

    g_mutex_init(&crowd.command_lock);
    g_mutex_init(&crowd.lock);
    g_cond_init(&crowd.changed);
    if (context) {
        fake_host_use_context(&machine->host);
    }
    machine->config.completion_window_ns = window ? 50000 : 0;
    machine->tpm->start_when = FAKE_BY_THREAD;
    machine->tpm->submit_when = submit_when;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    machine->tpm->polls_needed = 2;
    tis_machine_plug(machine);
    run_crowd(&crowd);
    assert_int_equal(crowd.wrong, 0);
    assert_int_equal(crowd.answered + crowd.lost, 2 * COMMANDS);
    assert_true(crowd.answered > 0);
    assert_int_equal(tis_statistics(machine).resets, RESETS + 1);
    assert_int_equal(tis_statistics(machine).failures, 0);
    g_mutex_clear(&crowd.command_lock);
    g_mutex_clear(&crowd.lock);
    g_cond_clear(&crowd.changed);
    tis_machine_free(machine);
}

static void test_every_command_is_answered_or_reset_when_a_thread_answers(void **state)
{
    (void)state;
    assert_crowd(FAKE_BY_THREAD, false, false);
}

static void test_every_command_is_answered_or_reset_when_the_window_ends_first(void **state)
{
    (void)state;
    assert_crowd(FAKE_BY_THREAD, true, false);
}

static void test_every_command_is_answered_or_reset_when_a_poll_answers(void **state)
{
    (void)state;
    assert_crowd(FAKE_SOMEHOW, true, false);
}

static void test_every_command_is_answered_or_reset_on_the_hosts_context(void **state)
{
    (void)state;
    assert_crowd(FAKE_BY_THREAD, false, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_command_is_answered_or_reset_when_a_thread_answers),
        cmocka_unit_test(test_every_command_is_answered_or_reset_when_the_window_ends_first),
        cmocka_unit_test(test_every_command_is_answered_or_reset_when_a_poll_answers),
        cmocka_unit_test(test_every_command_is_answered_or_reset_on_the_hosts_context),
    };

    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
