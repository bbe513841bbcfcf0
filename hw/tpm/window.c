/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The completion window: whether to wait for a response, and for how long.
 *
 * Neighbours: request.c (stage 3) asks before it sends a command and while it waits.
 */
#include "window.h"

/*
 * A response that comes by way of the I/O thread is seen later than it was given, by the time it
 * takes to wake that thread. Up to this many windows after the start it still counts as quick,
 * or a TPM that was late once would never be waited for again.
 */
#define QUICK_WINDOWS 8

/*
 * A host may hand in the clock of its guest, which can stand still while the guest is in an
 * access. So many looks at a clock that does not move end the wait.
 */
#define STILL_LOOKS_MAX 1000

void tpm_window_init(TPMWindow *window, int64_t length_ns)
{
    *window = (TPMWindow){ .length_ns = length_ns, .trusted = true };
}

bool tpm_window_begin(TPMWindow *window, bool is_short)
{
    window->timing = is_short && window->length_ns > 0;
    return window->timing && window->trusted;
}

void tpm_window_sent(TPMWindow *window, int64_t now_ns)
{
    window->started_ns = now_ns;
    window->seen_ns = now_ns;
    window->still = 0;
}

bool tpm_window_is_over(TPMWindow *window, int64_t now_ns)
{
    window->still = now_ns == window->seen_ns ? window->still + 1 : 0;
    window->seen_ns = now_ns;
    if (window->still >= STILL_LOOKS_MAX) {
        return true;
    }
    return now_ns - window->started_ns >= window->length_ns;
}

void tpm_window_done(TPMWindow *window, int64_t now_ns)
{
    if (window->timing) {
        window->trusted = now_ns - window->started_ns <= QUICK_WINDOWS * window->length_ns;
    }
    window->timing = false;
}
