/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the way through the registers and the `emulator` backend adds to swtpm's sockets. Aim: at
 * most 1.3 times what a bare client takes.
 *
 * Each variant has a swtpm of its own, all of them idle but the one whose round it is.
 */
#include "swtpm-process.h"
#include "tis-guest.h"

/* What a variant needs. */
typedef struct Side {
    SwtpmProcess swtpm;
    BareClient bare;
    TisGuest guest;
    int64_t window_ns; /* of the device; -1 for a bare client */
} Side;

enum { BARE, BARE_SPIN, TIS, TIS_OFF, SIDES };

static bool side_open(Side *side, const char *directory, const char *name, bool spin)
{
    GError *error = NULL;

    side->bare = (BareClient){ .control_fd = -1, .data_fd = -1, .spin = spin };
    if (!swtpm_start(&side->swtpm, directory, name)) {
        return false;
    }
    if (side->window_ns < 0) {
        return bare_client_open(&side->bare, &side->swtpm);
    }
    TPMEmulatorConfig config = { .size = sizeof(config), .id = name, .path = side->swtpm.path };
    TPMBackend *backend = tpmdev_backend_emulator_new(&config, &error);

    if (!backend) {
        bench_fail("%s", error->message);
        g_clear_error(&error);
    }
    return backend && tis_guest_open(&side->guest, backend, side->window_ns);
}

static void side_close(Side *side)
{
    tis_guest_close(&side->guest);
    bare_client_close(&side->bare);
    swtpm_end(&side->swtpm);
}

/*
 * What the table lacks: the ratio to a client that spares itself the waking up, too, and how many
 * commands completed inline since the last call.
 */
static void say_more(const BenchVariant *variants, const Side *side, size_t rounds,
                     uint64_t before[2])
{
    uint64_t now[2];

    tis_guest_counters(&side->guest, &now[0], &now[1]);
    bench_say("  TIS + emulator to the client that does not sleep: %.2f; "
              "completed in the window: %.1f %%",
              bench_ratio(&variants[BARE_SPIN], &variants[TIS], rounds),
              100.0 * (double)(now[1] - before[1]) / (double)(now[0] - before[0]));
    before[0] = now[0];
    before[1] = now[1];
}

static bool compare(BenchVariant *variants, Side *sides, const BenchPlan *plan)
{
    uint64_t before[2];

    tis_guest_counters(&sides[TIS].guest, &before[0], &before[1]);
    for (size_t i = 0; bench_commands[i]; i++) {
        if (!bench_compare(variants, SIDES, bench_commands[i], plan)) {
            return false;
        }
        say_more(variants, &sides[TIS], plan->rounds, before);
    }
    return true;
}

static bool run(Side *sides, bool quick)
{
    BenchVariant variants[SIDES] = {
        { .name = "bare client", .run = bare_client_run, .self = &sides[BARE].bare },
        { .name = "bare client that does not sleep",
          .run = bare_client_run,
          .self = &sides[BARE_SPIN].bare },
        { .name = "TIS + emulator", .run = tis_guest_run, .self = &sides[TIS].guest },
        { .name = "TIS + emulator, window off",
          .run = tis_guest_run,
          .self = &sides[TIS_OFF].guest },
    };
    const BenchPlan dense = { quick ? 5 : 200, quick ? 40 : 200, 0 };
    const BenchPlan sparse = { quick ? 3 : 40, quick ? 5 : 20, 2000000 };

    bench_say("one command after the other (aim: TIS + emulator at most 1.3)");
    bool good = compare(variants, sides, &dense);

    if (good) {
        bench_say("2 ms of pause before each command");
        good = compare(variants, sides, &sparse);
    }
    for (size_t i = 0; i < SIDES; i++) {
        bench_variant_clear(&variants[i]);
    }
    return good;
}

BenchResult bench_emulator(const BenchOptions *options)
{
    static const char *const names[] = { "bare", "spin", "tis", "off" };
    static const int64_t windows[] = { -1, -1, TPM_COMPLETION_WINDOW_DEFAULT_NS, 0 };
    Side sides[SIDES] = { 0 };
    bool good = true;

    if (!swtpm_is_installed()) {
        return BENCH_SKIPPED;
    }
    for (size_t i = 0; i < SIDES && good; i++) {
        sides[i].window_ns = windows[i];
        good = side_open(&sides[i], options->directory, names[i], i == BARE_SPIN);
    }
    good = good && run(sides, options->quick);
    for (size_t i = 0; i < SIDES; i++) {
        side_close(&sides[i]);
    }
    return good ? BENCH_OK : BENCH_FAILED;
}
