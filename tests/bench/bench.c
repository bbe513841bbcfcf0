/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Samples, comparisons and printing for the benchmarks; see bench.h.
 *
 * A ratio is taken round by round and then the median of those, not of all samples at once: a
 * round is short, so what else the machine did is the same on both sides of it.
 */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- printing ---- */

static const char *line_prefix = "";

void bench_say_tap(bool tap)
{
    line_prefix = tap ? "# " : "";
}

static void say(const char *format, va_list arguments)
{
    fputs(line_prefix, stdout);
    vprintf(format, arguments);
    putchar('\n');
    fflush(stdout);
}

void bench_say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
}

bool bench_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    say(format, arguments);
    va_end(arguments);
    return false;
}

/* ---- time ---- */

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int64_t bench_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

int64_t bench_thread_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

int64_t bench_deadline_ns(void)
{
    return bench_now_ns() + (int64_t)BENCH_DEADLINE_S * 1000000000;
}

/* ---- samples ---- */

void bench_samples_add(BenchSamples *samples, int64_t ns)
{
    if (samples->n == samples->capacity) {
        samples->capacity = MAX(samples->capacity * 2, 1024);
        samples->ns = g_renew(int64_t, samples->ns, samples->capacity);
    }
    samples->ns[samples->n++] = ns;
}

void bench_samples_clear(BenchSamples *samples)
{
    g_clear_pointer(&samples->ns, g_free);
    samples->n = 0;
    samples->capacity = 0;
}

static int compare_ns(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;

    return (left > right) - (left < right);
}

int64_t bench_samples_quantile(BenchSamples *samples, double part)
{
    if (samples->n == 0) {
        return 0;
    }
    qsort(samples->ns, samples->n, sizeof(*samples->ns), compare_ns);
    return samples->ns[(size_t)(part * (double)(samples->n - 1))];
}

static int compare_double(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;

    return (left > right) - (left < right);
}

double bench_median(double *values, size_t n)
{
    if (n == 0) {
        return 0;
    }
    qsort(values, n, sizeof(*values), compare_double);
    return values[n / 2];
}

/* ---- commands: TPM 2.0 Part 3; the numbers are those of Part 2 ---- */

static const uint8_t startup[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0 };

static const uint8_t get_random[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 16 };

/* clang-format off */
static const uint8_t pcr_extend[] = {
    0x80, 0x02, 0, 0, 0, 65, 0, 0, 0x01, 0x82, /* header */
    0, 0, 0, 16,                               /* PCR 16, the debug one */
    0, 0, 0, 9,                                /* an empty password */
    0x40, 0, 0, 9, 0, 0, 0, 0, 0,
    0, 0, 0, 1, 0, 0x0B,                       /* one digest, of SHA-256 */
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16,
};

static const uint8_t create_primary[] = {
    0x80, 0x02, 0, 0, 0, 67, 0, 0, 0x01, 0x31, /* header */
    0x40, 0, 0, 7,                             /* the null hierarchy: its seed is not stored */
    0, 0, 0, 9,                                /* an empty password */
    0x40, 0, 0, 9, 0, 0, 0, 0, 0,
    0, 4, 0, 0, 0, 0,                          /* no sensitive data */
    0, 26,                                     /* the template: */
    0, 0x01, 0, 0x0B,                          /*   RSA, names by SHA-256 */
    0, 0x03, 0, 0x72,                          /*   a restricted decryption key */
    0, 0,                                      /*   no policy */
    0, 0x06, 0, 128, 0, 0x43,                  /*   AES-128 in CFB mode */
    0, 0x10,                                   /*   no scheme */
    0x08, 0, 0, 0, 0, 0,                       /*   2048 bits, the default exponent */
    0, 0,                                      /*   nothing unique */
    0, 0,                                      /* no outside data */
    0, 0, 0, 0,                                /* no PCRs */
};
/* clang-format on */

const BenchCommand bench_startup = { "Startup", startup, sizeof(startup), 10 };
const BenchCommand bench_get_random = { "GetRandom(16)", get_random, sizeof(get_random), 28 };
const BenchCommand bench_pcr_extend = { "PCR_Extend(SHA-256)", pcr_extend, sizeof(pcr_extend), 19 };
const BenchCommand bench_create_primary = { "CreatePrimary(RSA-2048)", create_primary,
                                            sizeof(create_primary), 0 };
const BenchCommand *const bench_commands[] = { &bench_get_random, &bench_pcr_extend, NULL };

bool bench_response_is_good(const BenchCommand *command, const uint8_t *response, size_t size)
{
    static const uint8_t success[4];

    return size >= 10 && memcmp(response + 6, success, sizeof(success)) == 0 &&
           (command->response_size == 0 || size == command->response_size);
}

/* ---- several variants side by side ---- */

bool bench_time_round(BenchRun run, void *self, const BenchCommand *command, size_t n,
                      int64_t gap_ns, int64_t *ns)
{
    struct timespec gap = { .tv_sec = 0, .tv_nsec = gap_ns };

    for (size_t i = 0; i < n; i++) {
        if (gap_ns > 0) {
            nanosleep(&gap, NULL);
        }
        int64_t start = bench_now_ns();

        if (!run(self, command)) {
            return false;
        }
        ns[i] = bench_now_ns() - start;
    }
    return true;
}

static bool run_round(BenchVariant *variant, const BenchCommand *command, const BenchPlan *plan,
                      int64_t *ns)
{
    if (variant->round) {
        return variant->round(variant->self, command, plan->per_round, ns);
    }
    return bench_time_round(variant->run, variant->self, command, plan->per_round, plan->gap_ns,
                            ns);
}

static bool one_round(BenchVariant *variant, const BenchCommand *command, const BenchPlan *plan,
                      size_t round)
{
    BenchSamples samples = { NULL, 0, 0 };
    int64_t *ns = g_new(int64_t, plan->per_round);
    bool good = run_round(variant, command, plan, ns);

    for (size_t i = 0; good && i < plan->per_round; i++) {
        bench_samples_add(&samples, ns[i]);
        bench_samples_add(&variant->samples, ns[i]);
    }
    variant->round_medians[round] = (double)bench_samples_quantile(&samples, 0.5);
    bench_samples_clear(&samples);
    g_free(ns);
    return good ||
           bench_fail("%s: %s was not answered as it should be", variant->name, command->name);
}

double bench_ratio(const BenchVariant *a, const BenchVariant *b, size_t rounds)
{
    double *ratios = g_new(double, rounds);

    for (size_t i = 0; i < rounds; i++) {
        ratios[i] = b->round_medians[i] / a->round_medians[i];
    }
    double median = bench_median(ratios, rounds);

    g_free(ratios);
    return median;
}

double bench_difference_us(const BenchVariant *a, const BenchVariant *b, size_t rounds)
{
    double *differences = g_new(double, rounds);

    for (size_t i = 0; i < rounds; i++) {
        differences[i] = (b->round_medians[i] - a->round_medians[i]) / 1000;
    }
    double median = bench_median(differences, rounds);

    g_free(differences);
    return median;
}

static void print_table(BenchVariant *variants, size_t n, const BenchCommand *command,
                        const BenchPlan *plan)
{
    bench_say("%-44s %9s %9s %7s", command->name, "p50 us", "p95 us", "ratio");
    for (size_t i = 0; i < n; i++) {
        bench_say("  %-42s %9.1f %9.1f %7.2f", variants[i].name,
                  (double)bench_samples_quantile(&variants[i].samples, 0.5) / 1000,
                  (double)bench_samples_quantile(&variants[i].samples, 0.95) / 1000,
                  bench_ratio(&variants[0], &variants[i], plan->rounds));
    }
}

bool bench_compare(BenchVariant *variants, size_t n, const BenchCommand *command,
                   const BenchPlan *plan)
{
    for (size_t i = 0; i < n; i++) {
        bench_variant_clear(&variants[i]);
        variants[i].round_medians = g_new0(double, plan->rounds);
    }
    for (size_t round = 0; round < plan->rounds; round++) {
        for (size_t i = 0; i < n; i++) {
            if (!one_round(&variants[i], command, plan, round)) {
                return false;
            }
        }
    }
    print_table(variants, n, command, plan);
    return true;
}

void bench_variant_clear(BenchVariant *variant)
{
    bench_samples_clear(&variant->samples);
    g_clear_pointer(&variant->round_medians, g_free);
}
