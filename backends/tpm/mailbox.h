/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What wakes a context up to have a device told its backend's news there. Used by backend-news.c.
 */
#ifndef TPM_MAILBOX_H
#define TPM_MAILBOX_H

#include <glib.h>

typedef struct TPMMailbox TPMMailbox;

/* deliver() is called on @context, once for each time that was asked for and has come. */
TPMMailbox *tpm_mailbox_new(GMainContext *context,
                            void (*deliver)(const TPMMailbox *mailbox, void *opaque), void *opaque);

/* Have it called at a time of g_get_monotonic_time(), 0 being now. Any thread, under any lock. */
void tpm_mailbox_wake(TPMMailbox *mailbox, gint64 time_us);

/*
 * It is not called any more, and does not run when this returns: what it works on may be freed.
 * Waits for a call under way, and so is not for one, nor under a lock that one takes.
 */
void tpm_mailbox_free(TPMMailbox *mailbox);

#endif /* TPM_MAILBOX_H */
