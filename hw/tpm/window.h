/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The completion window: how long the write that starts a command may wait for its response.
 *
 * Linux looks at the status once right after it has started a command, then sleeps for about a
 * millisecond. A response that is there when the write returns saves that millisecond, so for
 * commands that take a TPM microseconds it pays to wait a few of them. The wait is trusted only
 * while it works: a TPM that was late is not waited for again until it has been quick.
 *
 * Used by request.c (stage 3), which does the waiting.
 */
#ifndef TPM_WINDOW_H
#define TPM_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

typedef struct TPMWindow {
    int64_t length_ns; /* 0: never wait */
    bool trusted;      /* the TPM's last short command was quick */
    bool timing;       /* a command whose time counts is under way */
    int64_t started_ns;
    int64_t seen_ns; /* the clock when it was last looked at */
    unsigned still;  /* looks since it last moved */
} TPMWindow;

void tpm_window_init(TPMWindow *window, int64_t length_ns);

/* A command begins; may the caller wait for it? */
bool tpm_window_begin(TPMWindow *window, bool is_short);

/* It is sent now. */
void tpm_window_sent(TPMWindow *window, int64_t now_ns);

/* Is the wait over? */
bool tpm_window_is_over(TPMWindow *window, int64_t now_ns);

/* The response has come, in the window or after it. */
void tpm_window_done(TPMWindow *window, int64_t now_ns);

#endif /* TPM_WINDOW_H */
