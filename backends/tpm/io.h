/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The library's own I/O thread: one GMainContext and one thread that runs it, shared by all
 * devices whose host gave no context, there only while such a device is.
 *
 * Used by backend-news.c.
 */
#ifndef TPM_IO_H
#define TPM_IO_H

#include <glib.h>

/* Get a reference to the context, starting the thread for its first user; NULL with error set. */
GMainContext *tpm_io_acquire(GError **error);

/* The user is gone; the thread ends with the last one. Not from that thread's own callbacks. */
void tpm_io_release(void);

#endif /* TPM_IO_H */
