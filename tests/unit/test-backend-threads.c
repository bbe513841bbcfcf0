/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which thread hears of what: a backend may answer on any thread, a device hears of it where
 * backend-internal.h says, and of nothing more once it has unbound itself.
 */
#include "backend-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

static void answer_started(BackendFixture *fixture)
{
    tpmdev_backend_started(fixture->backend);
}

static void answer_complete(BackendFixture *fixture)
{
    fixture_complete(fixture, 20);
}

static void answer_failed(BackendFixture *fixture)
{
    fixture_fail(fixture, "gone");
}

static void iterate_context(BackendFixture *fixture)
{
    while (g_main_context_iteration(fixture->context, FALSE)) {
    }
}

/* ---- a host that lends a context ---- */

static void test_news_of_another_thread_waits_for_the_hosts_context(void **state)
{
    BackendFixture *fixture = *state;

    fixture_bind_to_context(fixture);
    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    fixture_on_thread(fixture, answer_started);
    assert_news(fixture, "");
    iterate_context(fixture);
    assert_news(fixture, "S");
    assert_ptr_equal(fixture->client.thread, g_thread_self());

    fixture_submit(fixture);
    fixture_on_thread(fixture, answer_complete);
    assert_news(fixture, "S");
    iterate_context(fixture);
    assert_news(fixture, "SC");
    assert_ptr_equal(fixture->client.thread, g_thread_self());
    iterate_context(fixture);
    assert_news(fixture, "SC");
}

static void test_news_that_waited_is_told_in_one_order(void **state)
{
    BackendFixture *fixture = *state;

    fixture_bind_to_context(fixture);
    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    fixture_on_thread(fixture, answer_started);
    tpmdev_backend_set_established(fixture->backend, true);
    fixture_on_thread(fixture, answer_failed);
    iterate_context(fixture);
    assert_news(fixture, "EFS");
}

static void answer_recovered(BackendFixture *fixture)
{
    tpmdev_backend_recovered(fixture->backend);
}

/* A recovery is told behind the failure it ends, and not at all when another failure follows. */
static void test_a_recovery_that_waited_is_told_as_things_stand(void **state)
{
    BackendFixture *fixture = *state;

    fixture_bind_to_context(fixture);
    fixture_on_thread(fixture, answer_failed);
    fixture_on_thread(fixture, answer_recovered);
    iterate_context(fixture);
    assert_news(fixture, "FR");

    fixture_on_thread(fixture, answer_failed);
    fixture_on_thread(fixture, answer_recovered);
    fixture_on_thread(fixture, answer_failed);
    iterate_context(fixture);
    assert_news(fixture, "FRF");

    fixture_on_thread(fixture, answer_recovered);
    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    iterate_context(fixture);
    assert_news(fixture, "FRF");
}

/* The thread that runs the context may be told at once: it is there already. */
static void test_news_from_the_hosts_context_is_told_at_once(void **state)
{
    BackendFixture *fixture = *state;

    assert_true(g_main_context_acquire(fixture->context));
    fixture_bind_to_context(fixture);
    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    answer_started(fixture);
    assert_news(fixture, "S");
    g_main_context_release(fixture->context);
}

static void test_an_answer_from_within_a_call_is_told_at_once(void **state)
{
    BackendFixture *fixture = *state;

    fixture_bind_to_context(fixture);
    fixture->in_class = answer_started;
    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    assert_news(fixture, "S");
    fixture->in_class = answer_complete;
    fixture_submit(fixture);
    assert_news(fixture, "SC");
    fixture->in_class = NULL;
    fixture_submit(fixture);
    fixture->in_class = answer_complete;
    tpm_backend_cancel(fixture->backend);
    assert_news(fixture, "SCC");
    fixture->in_class = NULL;
    fixture_submit(fixture);
    fixture->in_class = answer_complete;
    tpm_backend_poll(fixture->backend);
    assert_news(fixture, "SCCC");
    assert_ptr_equal(fixture->client.thread, g_thread_self());
}

static void answer_complete_on_thread(BackendFixture *fixture)
{
    fixture_on_thread(fixture, answer_complete);
}

/* Only the calling thread is excused: another one, though the call is under way, is not. */
static void test_an_answer_of_another_thread_during_a_call_waits(void **state)
{
    BackendFixture *fixture = *state;

    fixture_bind_to_context(fixture);
    fixture->in_class = answer_started;
    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    fixture_forget(fixture);
    fixture->in_class = answer_complete_on_thread;
    fixture_submit(fixture);
    assert_news(fixture, "");
    iterate_context(fixture);
    assert_news(fixture, "C");
    assert_ptr_equal(fixture->client.thread, g_thread_self());
}

static void test_a_failed_command_is_told_on_the_devices_own_thread(void **state)
{
    BackendFixture *fixture = *state;

    fixture_bind_to_context(fixture);
    fixture_submit(fixture); /* never started */
    assert_news(fixture, "C");
    assert_ptr_equal(fixture->client.thread, g_thread_self());
}

static void test_news_that_waits_is_dropped_by_unbind(void **state)
{
    BackendFixture *fixture = *state;

    fixture_bind_to_context(fixture);
    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    fixture_on_thread(fixture, answer_started);
    tpm_backend_unbind(fixture->backend);
    iterate_context(fixture);
    assert_news(fixture, "");
    fixture_bind_to_context(fixture);
    iterate_context(fixture);
    assert_news(fixture, "");
}

static void test_the_context_is_the_hosts(void **state)
{
    BackendFixture *fixture = *state;

    fixture_bind_to_context(fixture);
    assert_ptr_equal(tpmdev_backend_get_context(fixture->backend), fixture->context);
    tpm_backend_unbind(fixture->backend);
    fixture_bind(fixture); /* another device, another host */
    assert_ptr_not_equal(tpmdev_backend_get_context(fixture->backend), fixture->context);
}

/* ---- a host without a context ---- */

static GThread *answering_thread;

static void answer_complete_and_say_where(BackendFixture *fixture)
{
    answering_thread = g_thread_self();
    answer_complete(fixture);
}

static void test_without_a_context_news_is_told_where_it_arises(void **state)
{
    BackendFixture *fixture = *state;

    fixture_make_ready(fixture);
    fixture_submit(fixture);
    fixture_on_thread(fixture, answer_complete_and_say_where);
    assert_news(fixture, "C");
    assert_ptr_equal(fixture->client.thread, answering_thread);
}

/* ---- unbind and calls under way ---- */

typedef struct Unbinding {
    int tid; /* of the thread that unbinds; atomic */
    int returned;
    int news_told; /* the client's call, during which it unbinds, is over */
    int news_told_when_returned;
} Unbinding;

static Unbinding unbinding;
static GThread *unbinding_thread;

static gpointer unbind_on_thread(gpointer data)
{
    BackendFixture *fixture = data;

    g_atomic_int_set(&unbinding.tid, (int)syscall(SYS_gettid));
    tpm_backend_unbind(fixture->backend);
    unbinding.news_told_when_returned = g_atomic_int_get(&unbinding.news_told);
    g_atomic_int_set(&unbinding.returned, 1);
    return NULL;
}

/* Does this thread of ours sleep in the kernel, as one does that waits for a condition? */
static bool thread_sleeps(int tid)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%d/stat", tid);
    g_autofree char *stat = NULL;

    if (!g_file_get_contents(path, &stat, NULL, NULL)) {
        return false;
    }
    const char *after_name = strrchr(stat, ')');

    return after_name && after_name[2] == 'S';
}

/* In the client's call: let another thread unbind, and stay until it waits, or did not wait. */
static void unbind_meanwhile(BackendFixture *fixture)
{
    gint64 deadline = g_get_monotonic_time() + FIXTURE_DEADLINE_S * G_TIME_SPAN_SECOND;

    unbinding_thread = g_thread_new("unbind", unbind_on_thread, fixture);
    for (;;) {
        int tid = g_atomic_int_get(&unbinding.tid);

        if (g_atomic_int_get(&unbinding.returned) || (tid && thread_sleeps(tid)) ||
            g_get_monotonic_time() > deadline) {
            break;
        }
        g_thread_yield();
    }
    g_atomic_int_set(&unbinding.news_told, 1);
}

static void test_unbind_waits_for_a_client_call_under_way(void **state)
{
    BackendFixture *fixture = *state;

    unbinding = (Unbinding){ 0 };
    fixture_bind(fixture);
    tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
    fixture->in_client = unbind_meanwhile;
    fixture_on_thread(fixture, answer_started);
    g_thread_join(unbinding_thread);
    assert_news(fixture, "S");
    assert_true(unbinding.returned);
    assert_true(unbinding.news_told_when_returned);
}

/* ---- all at once, for the sanitizers ---- */

static int stop; /* atomic */

/* A TPM that says everything there is to say, whether or not it was asked. */
static gpointer babble(gpointer data)
{
    BackendFixture *fixture = data;

    for (unsigned i = 0; !g_atomic_int_get(&stop); i++) {
        tpmdev_backend_started(fixture->backend);
        fixture_complete(fixture, 10 + i % 100);
        tpmdev_backend_set_established(fixture->backend, i & 1);
        if (i % 8 == 0) {
            fixture_fail(fixture, "babble");
        }
    }
    return NULL;
}

static gpointer run_context(gpointer data)
{
    BackendFixture *fixture = data;

    while (!g_atomic_int_get(&stop)) {
        g_main_context_iteration(fixture->context, TRUE);
    }
    return NULL;
}

/* The host's context runs on `host_thread`: no news may reach the client anywhere else. */
static GThread *host_thread;
static GThread *device_thread;
static int strayed;

static void check_thread(BackendFixture *fixture)
{
    GThread *self = g_thread_self();

    (void)fixture;
    if (self != host_thread && self != device_thread) {
        g_atomic_int_set(&strayed, 1);
    }
}

static void bind_and_unbind(BackendFixture *fixture, void (*bind)(BackendFixture *fixture))
{
    for (unsigned i = 0; i < 200; i++) {
        bind(fixture);
        tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
        g_thread_yield();
        tpm_backend_unbind(fixture->backend);
    }
}

static void test_a_babbling_tpm_does_no_harm_while_devices_come_and_go(void **state)
{
    BackendFixture *fixture = *state;

    g_atomic_int_set(&stop, 0);
    g_atomic_int_set(&strayed, 0);
    device_thread = g_thread_self();
    host_thread = g_thread_new("host", run_context, fixture);
    fixture->in_client = check_thread;
    GThread *tpm = g_thread_new("tpm", babble, fixture);

    bind_and_unbind(fixture, fixture_bind_to_context);
    assert_false(g_atomic_int_get(&strayed));
    fixture->in_client = NULL;
    bind_and_unbind(fixture, fixture_bind);
    g_atomic_int_set(&stop, 1);
    g_main_context_wakeup(fixture->context);
    g_thread_join(tpm);
    g_thread_join(host_thread);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(test_news_of_another_thread_waits_for_the_hosts_context),
        WITH_FIXTURE(test_news_that_waited_is_told_in_one_order),
        WITH_FIXTURE(test_a_recovery_that_waited_is_told_as_things_stand),
        WITH_FIXTURE(test_news_from_the_hosts_context_is_told_at_once),
        WITH_FIXTURE(test_an_answer_from_within_a_call_is_told_at_once),
        WITH_FIXTURE(test_an_answer_of_another_thread_during_a_call_waits),
        WITH_FIXTURE(test_a_failed_command_is_told_on_the_devices_own_thread),
        WITH_FIXTURE(test_news_that_waits_is_dropped_by_unbind),
        WITH_FIXTURE(test_the_context_is_the_hosts),
        WITH_FIXTURE(test_without_a_context_news_is_told_where_it_arises),
        WITH_FIXTURE(test_unbind_waits_for_a_client_call_under_way),
        WITH_FIXTURE(test_a_babbling_tpm_does_no_harm_while_devices_come_and_go),
    };

    return cmocka_run_group_tests_name("backend-threads", tests, NULL, NULL);
}
