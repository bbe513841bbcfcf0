/* SPDX-License-Identifier: BSD-3-Clause */
/* The library's one I/O thread: who starts it, what runs on it, and that it goes away. */
#include "io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <tpmdev/tpmdev.h>

#include <cmocka.h>

#define DEADLINE_S 30

/* ---- a machine that gives no thread ---- */

GThread *__real_g_thread_try_new(const char *name, GThreadFunc func, gpointer data, GError **error);
GThread *__wrap_g_thread_try_new(const char *name, GThreadFunc func, gpointer data, GError **error);

static bool no_more_threads;

GThread *__wrap_g_thread_try_new(const char *name, GThreadFunc func, gpointer data, GError **error)
{
    if (no_more_threads) {
        g_set_error(error, G_THREAD_ERROR, G_THREAD_ERROR_AGAIN, "there are too many");
        return NULL;
    }
    return __real_g_thread_try_new(name, func, data, error);
}

/* ---- counting ---- */

/* How many threads of this process carry the library's name? */
static unsigned io_threads(void)
{
    GDir *tasks = g_dir_open("/proc/self/task", 0, NULL);
    unsigned n = 0;
    const char *task;

    assert_non_null(tasks);
    while ((task = g_dir_read_name(tasks))) {
        g_autofree char *path = g_strdup_printf("/proc/self/task/%s/comm", task);
        g_autofree char *name = NULL;

        if (g_file_get_contents(path, &name, NULL, NULL) && strcmp(name, "tpmdev-io\n") == 0) {
            n++;
        }
    }
    g_dir_close(tasks);
    return n;
}

/* A thread gets its name, and leaves /proc, a moment after it was made or joined. */
static void wait_io_threads(unsigned wanted)
{
    gint64 deadline = g_get_monotonic_time() + DEADLINE_S * G_TIME_SPAN_SECOND;

    while (io_threads() != wanted) {
        if (g_get_monotonic_time() > deadline) {
            fail_msg("%u I/O threads, not %u, after %d s", io_threads(), wanted, DEADLINE_S);
        }
        g_thread_yield();
    }
}

/* ---- running something there ---- */

typedef struct Visit {
    GMutex lock;
    GCond changed;
    GThread *thread;
    GMainContext *thread_default;
} Visit;

static gboolean visit(gpointer data)
{
    Visit *v = data;

    g_mutex_lock(&v->lock);
    v->thread = g_thread_self();
    v->thread_default = g_main_context_get_thread_default();
    g_cond_signal(&v->changed);
    g_mutex_unlock(&v->lock);
    return G_SOURCE_REMOVE;
}

/* Which thread runs the sources of a context? */
static Visit visit_context(GMainContext *context)
{
    gint64 deadline = g_get_monotonic_time() + DEADLINE_S * G_TIME_SPAN_SECOND;
    GSource *source = g_idle_source_new();
    static Visit v;

    v.thread = NULL;
    g_source_set_callback(source, visit, &v, NULL);
    g_source_attach(source, context);
    g_source_unref(source);
    g_mutex_lock(&v.lock);
    while (!v.thread) {
        if (!g_cond_wait_until(&v.changed, &v.lock, deadline)) {
            fail_msg("nothing runs the context");
        }
    }
    g_mutex_unlock(&v.lock);
    return v;
}

static GMainContext *acquire(void)
{
    GError *error = NULL;
    GMainContext *context = tpm_io_acquire(&error);

    if (!context) {
        fail_msg("%s", error->message);
    }
    return context;
}

static void release(GMainContext *context)
{
    g_main_context_unref(context);
    tpm_io_release();
}

/* ---- the tests ---- */

static void test_the_thread_is_there_from_the_first_user_to_the_last(void **state)
{
    (void)state;
    wait_io_threads(0);
    GMainContext *first = acquire();
    wait_io_threads(1);
    GMainContext *second = acquire();

    assert_ptr_equal(first, second);
    wait_io_threads(1);
    release(first);
    wait_io_threads(1);
    release(second);
    wait_io_threads(0);
}

static void test_sources_of_the_context_run_on_that_thread(void **state)
{
    GMainContext *context = acquire();
    Visit first = visit_context(context);
    Visit second = visit_context(context);

    (void)state;
    assert_ptr_not_equal(first.thread, g_thread_self());
    assert_ptr_equal(first.thread, second.thread);
    /* What a class makes there without naming a context belongs there, too. */
    assert_ptr_equal(first.thread_default, context);
    release(context);
}

static void test_it_can_be_started_again_and_again(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 50; i++) {
        release(acquire());
    }
    GMainContext *context = acquire();

    assert_ptr_not_equal(visit_context(context).thread, g_thread_self());
    release(context);
    wait_io_threads(0);
}

static void test_a_thread_that_cannot_be_had_is_an_error_with_its_cause(void **state)
{
    GError *error = NULL;

    (void)state;
    no_more_threads = true;
    GMainContext *context = tpm_io_acquire(&error);
    no_more_threads = false;

    assert_null(context);
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_IO));
    assert_string_equal(error->message, "cannot start the I/O thread: there are too many");
    g_error_free(error);
    release(acquire()); /* next time it works */
}

static gpointer acquire_and_release(gpointer data)
{
    (void)data;
    for (unsigned i = 0; i < 300; i++) {
        GMainContext *context = tpm_io_acquire(NULL);

        g_assert_nonnull(context);
        g_main_context_unref(context);
        tpm_io_release();
    }
    return NULL;
}

static void test_users_may_come_and_go_on_any_thread(void **state)
{
    GThread *threads[4];

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        threads[i] = g_thread_new("user", acquire_and_release, NULL);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(threads); i++) {
        g_thread_join(threads[i]);
    }
    wait_io_threads(0);
}

/* ---- seen from a device ---- */

static TPMDevice *new_device(const TPMHost *host, GError **error)
{
    TPMBackend *backend = tpmdev_backend_null_new("tpm0", TPM_VERSION_2_0, NULL);
    TPMDevice *device = tpmdev_device_new(NULL, backend, host, NULL, error);

    tpmdev_backend_unref(backend);
    return device;
}

static void test_all_devices_share_one_thread_and_leave_none(void **state)
{
    TPMDevice *devices[20];

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(devices); i++) {
        devices[i] = new_device(NULL, NULL);
        assert_non_null(devices[i]);
    }
    wait_io_threads(1);
    for (unsigned i = 0; i < G_N_ELEMENTS(devices); i++) {
        wait_io_threads(1);
        tpmdev_device_free(devices[i]);
    }
    wait_io_threads(0);
}

static void test_a_host_with_a_context_costs_no_thread(void **state)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    TPMHost host = TPM_HOST_INIT;

    (void)state;
    host.context = context;
    no_more_threads = true; /* it would be noticed */
    TPMDevice *device = new_device(&host, NULL);
    no_more_threads = false;

    assert_non_null(device);
    assert_int_equal(io_threads(), 0);
    assert_ptr_equal(tpmdev_backend_get_context(tpmdev_device_get_backend(device)), context);
    tpmdev_device_free(device);
}

static void test_a_device_that_gets_no_thread_is_not_made(void **state)
{
    GError *error = NULL;

    (void)state;
    no_more_threads = true;
    TPMDevice *device = new_device(NULL, &error);
    no_more_threads = false;

    assert_null(device);
    assert_string_equal(error->message, "cannot start the I/O thread: there are too many");
    g_error_free(error);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_thread_is_there_from_the_first_user_to_the_last),
        cmocka_unit_test(test_sources_of_the_context_run_on_that_thread),
        cmocka_unit_test(test_it_can_be_started_again_and_again),
        cmocka_unit_test(test_a_thread_that_cannot_be_had_is_an_error_with_its_cause),
        cmocka_unit_test(test_users_may_come_and_go_on_any_thread),
        cmocka_unit_test(test_all_devices_share_one_thread_and_leave_none),
        cmocka_unit_test(test_a_host_with_a_context_costs_no_thread),
        cmocka_unit_test(test_a_device_that_gets_no_thread_is_not_made),
    };

    return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
