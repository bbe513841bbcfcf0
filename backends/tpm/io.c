/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The library's own I/O thread, for hosts that have no GMainContext to lend.
 *
 * A thousand devices share it: everything that runs on it is non-blocking, so one thread is
 * enough. It lives as long as a device needs it, so a process that frees its devices is left
 * with no thread of ours.
 *
 * Neighbours: backend-news.c acquires it when a device is bound; sources of emulator.c run on it.
 */
#include "io.h"

#include <stdbool.h>
#include <tpmdev/error.h>

static GMutex io_lock;
static unsigned io_users;
static GMainContext *io_context;
static GMainLoop *io_loop;
static GThread *io_thread;

static gpointer io_run(gpointer data)
{
    GMainLoop *loop = data;
    GMainContext *context = g_main_loop_get_context(loop);

    g_main_context_push_thread_default(context);
    g_main_loop_run(loop);
    g_main_context_pop_thread_default(context);
    g_main_loop_unref(loop);
    return NULL;
}

/* Called with io_lock held and no users. */
static bool io_start(GError **error)
{
    GMainContext *context = g_main_context_new();
    GMainLoop *loop = g_main_loop_new(context, FALSE);
    g_autoptr(GError) cause = NULL;
    GThread *thread = g_thread_try_new("tpmdev-io", io_run, g_main_loop_ref(loop), &cause);

    if (!thread) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "cannot start the I/O thread: %s",
                    cause->message);
        g_main_loop_unref(loop);
        g_main_loop_unref(loop);
        g_main_context_unref(context);
        return false;
    }
    io_context = context;
    io_loop = loop;
    io_thread = thread;
    return true;
}

GMainContext *tpm_io_acquire(GError **error)
{
    GMainContext *context = NULL;

    g_mutex_lock(&io_lock);
    if (io_users > 0 || io_start(error)) {
        io_users++;
        context = g_main_context_ref(io_context);
    }
    g_mutex_unlock(&io_lock);
    return context;
}

static gboolean io_quit(gpointer data)
{
    g_main_loop_quit(data);
    return G_SOURCE_REMOVE;
}

/*
 * Quit from within the loop: a g_main_loop_quit() from here could come before the thread has
 * entered g_main_loop_run(), which would then run for ever.
 */
static void io_stop(GMainContext *context, GMainLoop *loop, GThread *thread)
{
    GSource *source = g_idle_source_new();

    g_source_set_priority(source, G_PRIORITY_DEFAULT);
    g_source_set_callback(source, io_quit, loop, NULL);
    g_source_attach(source, context);
    g_source_unref(source);
    g_thread_join(thread);
    g_main_loop_unref(loop);
    g_main_context_unref(context);
}

void tpm_io_release(void)
{
    g_mutex_lock(&io_lock);
    g_assert(io_users > 0);
    bool last = --io_users == 0;
    GMainContext *context = io_context;
    GMainLoop *loop = io_loop;
    GThread *thread = io_thread;
    g_mutex_unlock(&io_lock);

    if (last) {
        io_stop(context, loop, thread);
    }
}
