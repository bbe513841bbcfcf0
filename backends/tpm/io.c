/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The library's own threads: one for I/O, for hosts that have no GMainContext to lend, and one
 * that is the parent of swtpm.
 *
 * A thousand devices share them: what runs on the first never blocks, and what runs on the second
 * no guest waits for. A thread lives as long as it is needed, so a process that frees its devices
 * is left with no thread of ours; and a parent must live as long as its children, which end with
 * it (swtpm-spawn.c).
 *
 * Neighbours: backend-news.c acquires the first when a device is bound, and sources of emulator.c
 * run on it; swtpm-launch.c acquires the second.
 */
#include "io.h"

#include <stdbool.h>
#include <tpmdev/error.h>

typedef struct IoThread {
    const char *name;
    const char *purpose;
    GMutex lock; /* for all below */
    unsigned users;
    GMainContext *context;
    GMainLoop *loop;
    GThread *thread;
} IoThread;

static IoThread io_thread = { .name = "tpmdev-io", .purpose = "I/O" };
static IoThread parent_thread = { .name = "tpmdev-swtpm", .purpose = "swtpm's" };

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

/* Called with the lock held and no users. */
static bool io_start(IoThread *io, GError **error)
{
    GMainContext *context = g_main_context_new();
    GMainLoop *loop = g_main_loop_new(context, FALSE);
    g_autoptr(GError) cause = NULL;
    GThread *thread = g_thread_try_new(io->name, io_run, g_main_loop_ref(loop), &cause);

    if (!thread) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "cannot start the %s thread: %s",
                    io->purpose, cause->message);
        g_main_loop_unref(loop);
        g_main_loop_unref(loop);
        g_main_context_unref(context);
        return false;
    }
    io->context = context;
    io->loop = loop;
    io->thread = thread;
    return true;
}

static GMainContext *io_acquire(IoThread *io, GError **error)
{
    GMainContext *context = NULL;

    g_mutex_lock(&io->lock);
    if (io->users > 0 || io_start(io, error)) {
        io->users++;
        context = g_main_context_ref(io->context);
    }
    g_mutex_unlock(&io->lock);
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

static void io_release(IoThread *io)
{
    g_mutex_lock(&io->lock);
    g_assert(io->users > 0);
    bool last = --io->users == 0;
    GMainContext *context = io->context;
    GMainLoop *loop = io->loop;
    GThread *thread = io->thread;
    g_mutex_unlock(&io->lock);

    if (last) {
        io_stop(context, loop, thread);
    }
}

/* ---- the two of them ---- */

GMainContext *tpm_io_acquire(GError **error)
{
    return io_acquire(&io_thread, error);
}

void tpm_io_release(void)
{
    io_release(&io_thread);
}

GMainContext *tpm_parent_acquire(GError **error)
{
    return io_acquire(&parent_thread, error);
}

void tpm_parent_release(void)
{
    io_release(&parent_thread);
}
