/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A source whose end is known. g_source_destroy() does not wait for a dispatch that another thread
 * has begun, and keeping what it works on alive until then would have that freed there, and later:
 * a TPM's directory would be in use for a moment after its owner has let go of it.
 *
 * Between stages 4 and 5 of 6, where the host has a context, and for news that wait their time.
 * Neighbour: backend-news.c, which has something to tell.
 */
#include "mailbox.h"

#include <stdbool.h>

struct TPMMailbox {
    gatomicrefcount refs; /* the owner's, and the source's */
    GSource *source;
    void (*deliver)(const TPMMailbox *mailbox, void *opaque);
    void *opaque;

    GMutex lock;
    GCond idle;
    bool running;
    bool freed;
};

static void mailbox_unref(gpointer data)
{
    TPMMailbox *mailbox = data;

    if (g_atomic_ref_count_dec(&mailbox->refs)) {
        g_mutex_clear(&mailbox->lock);
        g_cond_clear(&mailbox->idle);
        g_free(mailbox);
    }
}

static bool begin(TPMMailbox *mailbox)
{
    g_mutex_lock(&mailbox->lock);
    bool begun = mailbox->running = !mailbox->freed;
    g_mutex_unlock(&mailbox->lock);
    return begun;
}

static void end(TPMMailbox *mailbox)
{
    g_mutex_lock(&mailbox->lock);
    mailbox->running = false;
    g_cond_broadcast(&mailbox->idle);
    g_mutex_unlock(&mailbox->lock);
}

static gboolean dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    TPMMailbox *mailbox = data;

    (void)callback;
    g_source_set_ready_time(source, -1);
    if (begin(mailbox)) {
        mailbox->deliver(mailbox, mailbox->opaque);
        end(mailbox);
    }
    return G_SOURCE_CONTINUE;
}

static gboolean never_called(gpointer data)
{
    (void)data; /* dispatch() does the work, this only carries its data */
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = { .dispatch = dispatch };

TPMMailbox *tpm_mailbox_new(GMainContext *context,
                            void (*deliver)(const TPMMailbox *mailbox, void *opaque), void *opaque)
{
    TPMMailbox *mailbox = g_new0(TPMMailbox, 1);

    g_atomic_ref_count_init(&mailbox->refs);
    g_atomic_ref_count_inc(&mailbox->refs);
    g_mutex_init(&mailbox->lock);
    g_cond_init(&mailbox->idle);
    mailbox->deliver = deliver;
    mailbox->opaque = opaque;
    mailbox->source = g_source_new(&source_funcs, sizeof(GSource));
    g_source_set_name(mailbox->source, "tpmdev-mailbox");
    g_source_set_callback(mailbox->source, never_called, mailbox, mailbox_unref);
    g_source_attach(mailbox->source, context);
    return mailbox;
}

void tpm_mailbox_wake(TPMMailbox *mailbox, gint64 time_us)
{
    g_source_set_ready_time(mailbox->source, time_us);
}

void tpm_mailbox_free(TPMMailbox *mailbox)
{
    g_source_destroy(mailbox->source);
    g_mutex_lock(&mailbox->lock);
    mailbox->freed = true;
    while (mailbox->running) {
        g_cond_wait(&mailbox->idle, &mailbox->lock);
    }
    g_mutex_unlock(&mailbox->lock);
    g_source_unref(mailbox->source);
    mailbox_unref(mailbox);
}
