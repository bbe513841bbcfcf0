/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One side of a comparison in a process of its own, which sleeps until it is told to run a round:
 * libtpms is global to its process, and an idle side is to cost the others nothing.
 */
#ifndef SIDE_H
#define SIDE_H

#include "bench.h"

#include <sys/types.h>

#define SIDE_COUNTERS 2

typedef struct Side {
    const char *name;

    /* In its process. */
    bool (*open)(void *self);
    BenchRun run;
    void (*count)(void *self, uint64_t counters[SIDE_COUNTERS]); /* NULL: there are none */
    void (*close)(void *self);                                   /* NULL: its end is enough */
    void *self;

    /* In the process that compares. */
    int64_t gap_ns; /* pause before each command of the rounds to come */
    pid_t pid;
    int fd;
} Side;

/* Start them all; sides_end() is to follow, whatever this returns. False when one did not end well.
 */
bool sides_start(Side *sides, size_t n);
bool sides_end(Side *sides, size_t n);

/* As a variant of a comparison, whose commands are constants of the program. */
BenchVariant side_variant(Side *side);

/* What `count` says now. */
bool side_count(Side *side, uint64_t counters[SIDE_COUNTERS]);

#endif /* SIDE_H */
