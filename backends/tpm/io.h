/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The library's own threads, each with a GMainContext that it runs, there only while someone needs
 * it. One is for I/O, shared by all devices whose host gave no context; nothing there waits. The
 * other is the parent of every swtpm the library starts, and may wait for a program to be loaded.
 *
 * Used by backend-news.c and by swtpm-launch.c.
 */
#ifndef TPM_IO_H
#define TPM_IO_H

#include <glib.h>

/* Get a reference to the context, starting the thread for its first user; NULL with error set. */
GMainContext *tpm_io_acquire(GError **error);

/* The user is gone; the thread ends with the last one. Not from that thread's own callbacks. */
void tpm_io_release(void);

/* The same for the thread that is a parent. */
GMainContext *tpm_parent_acquire(GError **error);
void tpm_parent_release(void);

#endif /* TPM_IO_H */
