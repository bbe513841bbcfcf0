/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The moving guests of test-state-moves with real TPMs: what a TPM answers after it was moved, its
 * directory another one, is what it answers without.
 */
#ifndef MOVING_REAL_H
#define MOVING_REAL_H

#include "moving-guest.h"

/* A backend whose TPM has its state in this directory. */
typedef TPMBackend *(*MovingOpen)(const char *directory, TPMVersion version, GError **error);

typedef struct MovingReal {
    const char *name; /* of the tests */
    MovingOpen open;
    bool (*is_wanted)(const Subject *subject); /* NULL: each that differs to a TPM */
} MovingReal;

/* Run the tests, each a subject; returns how many failed. */
int moving_real_run(const MovingReal *how);

#endif /* MOVING_REAL_H */
