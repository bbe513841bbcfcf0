/* SPDX-License-Identifier: BSD-3-Clause */
/* A mailbox is called on its context when its time has come, and its end is the end of its calls.
 */
#include "mailbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DEADLINE_S 60

/* For so long a mailbox is looked at that must not have been freed yet. */
#define LOOK_MS 50

typedef struct Box {
    GMainContext *context;
    TPMMailbox *mailbox;
    unsigned calls;

    GMutex lock;
    GCond changed;
    bool is_called, is_freeing, is_freed, was_freed_within;
} Box;

static bool wait_until(Box *box, const bool *flag, gint64 time_us)
{
    gint64 deadline = g_get_monotonic_time() + time_us;

    while (!*flag && g_cond_wait_until(&box->changed, &box->lock, deadline)) {
    }
    return *flag;
}

static void set(Box *box, bool *flag)
{
    g_mutex_lock(&box->lock);
    *flag = true;
    g_cond_broadcast(&box->changed);
    g_mutex_unlock(&box->lock);
}

static int setup(void **state)
{
    Box *box = g_new0(Box, 1);

    box->context = g_main_context_new();
    g_mutex_init(&box->lock);
    g_cond_init(&box->changed);
    *state = box;
    return 0;
}

static int teardown(void **state)
{
    Box *box = *state;

    g_main_context_unref(box->context);
    g_mutex_clear(&box->lock);
    g_cond_clear(&box->changed);
    g_free(box);
    return 0;
}

static void count(const TPMMailbox *mailbox, void *opaque)
{
    Box *box = opaque;

    assert_ptr_equal(mailbox, box->mailbox);
    box->calls++;
}

static void run(Box *box)
{
    while (g_main_context_iteration(box->context, FALSE)) {
    }
}

static void test_it_is_called_once_when_its_time_has_come(void **state)
{
    Box *box = *state;

    box->mailbox = tpm_mailbox_new(box->context, count, box);
    run(box);
    assert_int_equal(box->calls, 0);
    tpm_mailbox_wake(box->mailbox, g_get_monotonic_time() + DEADLINE_S * G_TIME_SPAN_SECOND);
    run(box);
    assert_int_equal(box->calls, 0);
    tpm_mailbox_wake(box->mailbox, 0);
    tpm_mailbox_wake(box->mailbox, 0);
    run(box);
    assert_int_equal(box->calls, 1);
    tpm_mailbox_free(box->mailbox);
}

static void test_once_freed_it_is_not_called(void **state)
{
    Box *box = *state;

    box->mailbox = tpm_mailbox_new(box->context, count, box);
    tpm_mailbox_wake(box->mailbox, 0);
    tpm_mailbox_free(box->mailbox);
    run(box);
    assert_int_equal(box->calls, 0);
}

static gpointer free_meanwhile(gpointer data)
{
    Box *box = data;

    set(box, &box->is_freeing);
    tpm_mailbox_free(box->mailbox);
    set(box, &box->is_freed);
    return NULL;
}

/* It takes its time, and somebody frees the mailbox in it. */
static void look_whether_it_is_freed(const TPMMailbox *mailbox, void *opaque)
{
    Box *box = opaque;

    (void)mailbox;
    set(box, &box->is_called);
    g_mutex_lock(&box->lock);
    wait_until(box, &box->is_freeing, DEADLINE_S * G_TIME_SPAN_SECOND);
    box->was_freed_within = wait_until(box, &box->is_freed, LOOK_MS * G_TIME_SPAN_MILLISECOND);
    g_mutex_unlock(&box->lock);
}

static gpointer run_context(gpointer data)
{
    run(data);
    return NULL;
}

static void test_its_end_waits_for_the_end_of_a_call(void **state)
{
    Box *box = *state;

    box->mailbox = tpm_mailbox_new(box->context, look_whether_it_is_freed, box);
    tpm_mailbox_wake(box->mailbox, 0);
    GThread *caller = g_thread_new("caller", run_context, box);

    g_mutex_lock(&box->lock);
    bool is_called = wait_until(box, &box->is_called, DEADLINE_S * G_TIME_SPAN_SECOND);
    g_mutex_unlock(&box->lock);
    assert_true(is_called);
    GThread *freer = g_thread_new("freer", free_meanwhile, box);

    g_thread_join(freer);
    g_thread_join(caller);
    assert_true(box->is_freed);
    assert_false(box->was_freed_within);
}

#define WITH_BOX(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BOX(test_it_is_called_once_when_its_time_has_come),
        WITH_BOX(test_once_freed_it_is_not_called),
        WITH_BOX(test_its_end_waits_for_the_end_of_a_call),
    };

    return cmocka_run_group_tests_name("mailbox", tests, NULL, NULL);
}
