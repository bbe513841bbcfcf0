/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the benchmarks share: samples and their quantiles, runs of several variants side by side,
 * the TPM commands that are timed, and how results are printed.
 *
 * Nothing here asserts a time. What is compared is measured alternately, in short rounds within
 * one run, so that whatever slows the machine for a while slows both.
 */
#ifndef BENCH_H
#define BENCH_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The largest response a benchmark takes, in bytes. */
#define BENCH_RESPONSE_MAX 4096u

/* How long anything may take before it counts as broken, in seconds. */
#define BENCH_DEADLINE_S 20

typedef struct BenchOptions {
    bool quick;            /* only show that it works */
    const char *directory; /* an empty one of the benchmark's own; removed afterwards */
    const char *memory;    /* another one, in memory; the same one where that cannot be */
} BenchOptions;

/* What came of a benchmark. */
typedef enum BenchResult { BENCH_OK, BENCH_FAILED, BENCH_SKIPPED } BenchResult;

/* Each runs in a process of its own. */
BenchResult bench_emulator(const BenchOptions *options);
BenchResult bench_libtpms(const BenchOptions *options);
BenchResult bench_heap(const BenchOptions *options);
BenchResult bench_stopped(const BenchOptions *options);
BenchResult bench_state(const BenchOptions *options);
BenchResult bench_state_emulator(const BenchOptions *options);
BenchResult bench_state_registers(const BenchOptions *options);

/* ---- printing ---- */

/* Lines begin with "# " when TAP is wanted. */
void bench_say_tap(bool tap);

/* Print a line. */
void bench_say(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* Say what went wrong; returns false. */
bool bench_fail(const char *format, ...) G_GNUC_PRINTF(1, 2);

/* ---- time ---- */

int64_t bench_now_ns(void);

/* Time this thread has had a processor: what preemption does not touch. */
int64_t bench_thread_ns(void);

/* When what begins now counts as broken. */
int64_t bench_deadline_ns(void);

/* ---- samples ---- */

typedef struct BenchSamples {
    int64_t *ns;
    size_t n;
    size_t capacity;
} BenchSamples;

void bench_samples_add(BenchSamples *samples, int64_t ns);
void bench_samples_clear(BenchSamples *samples);

/* The value that this part of them, 0 to 1, does not exceed; sorts them. 0 when there are none. */
int64_t bench_samples_quantile(BenchSamples *samples, double part);

double bench_median(double *values, size_t n);

/* ---- commands ---- */

typedef struct BenchCommand {
    const char *name;
    const uint8_t *bytes;
    size_t size;
    size_t response_size; /* of a successful one */
} BenchCommand;

extern const BenchCommand bench_startup;           /* TPM2_Startup(CLEAR) */
extern const BenchCommand bench_get_random;        /* 16 bytes */
extern const BenchCommand bench_pcr_extend;        /* the SHA-256 bank of PCR 16 */
extern const BenchCommand bench_create_primary;    /* RSA-2048: tens of milliseconds */
extern const BenchCommand *const bench_commands[]; /* the short ones, NULL at the end */

/* Is this a successful response to it? */
bool bench_response_is_good(const BenchCommand *command, const uint8_t *response, size_t size);

/* ---- several variants side by side ---- */

/* Carry out one command; false when its response is not good. */
typedef bool (*BenchRun)(void *self, const BenchCommand *command);

typedef struct BenchVariant {
    const char *name;

    /* Run one command; or, where `round` is there, that many of them, and their times. */
    BenchRun run;
    bool (*round)(void *self, const BenchCommand *command, size_t n, int64_t *ns);
    void *self;

    /* Results of the last bench_compare(). */
    BenchSamples samples;
    double *round_medians;
} BenchVariant;

typedef struct BenchPlan {
    size_t rounds;
    size_t per_round;
    int64_t gap_ns; /* pause before each command; 0 for none */
} BenchPlan;

/*
 * Run a command in all variants, round by round in turn, and print a table with the ratio of each
 * to the first: the median of the rounds' ratios.
 */
bool bench_compare(BenchVariant *variants, size_t n, const BenchCommand *command,
                   const BenchPlan *plan);

/* Time n commands of a variant that has no `round`; gap_ns as in BenchPlan. */
bool bench_time_round(BenchRun run, void *self, const BenchCommand *command, size_t n,
                      int64_t gap_ns, int64_t *ns);

/* Median of the rounds' ratios, b to a, of the last bench_compare(). */
double bench_ratio(const BenchVariant *a, const BenchVariant *b, size_t rounds);

/* Median of the rounds' differences in microseconds, b less a, of the last bench_compare(). */
double bench_difference_us(const BenchVariant *a, const BenchVariant *b, size_t rounds);

void bench_variant_clear(BenchVariant *variant);

#endif /* BENCH_H */
