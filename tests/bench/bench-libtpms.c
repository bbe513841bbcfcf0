/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the way through the registers and the `libtpms` backend adds to a call of libtpms. Aim: at
 * most 15 microseconds.
 */
#include "bare-libtpms.h"
#include "side.h"
#include "tis-guest.h"

#include <string.h>

/* ---- the device ---- */

typedef struct Device {
    TisGuest guest; /* first: it is what runs */
    char *directory;
    int64_t window_ns;
} Device;

static bool device_open(void *self)
{
    Device *device = self;
    TPMLibtpmsConfig config = {
        .size = sizeof(config),
        .id = "tpm0",
        .directory = device->directory,
        .version = TPM_VERSION_2_0,
    };
    GError *error = NULL;

    g_mkdir_with_parents(device->directory, 0700);
    TPMBackend *backend = tpmdev_backend_libtpms_new(&config, &error);

    if (!backend) {
        return bench_fail("%s", error->message);
    }
    return tis_guest_open(&device->guest, backend, device->window_ns);
}

static void device_close(void *self)
{
    tis_guest_close(&((Device *)self)->guest);
}

enum { COMMANDS, INLINE_COMPLETIONS };

static void device_count(void *self, uint64_t counters[SIDE_COUNTERS])
{
    tis_guest_counters(&((Device *)self)->guest, &counters[COMMANDS],
                       &counters[INLINE_COMPLETIONS]);
}

/* ---- the comparison ---- */

enum { BARE, TIS, TIS_OFF, SIDES };

static bool compare(BenchVariant *variants, Side *sides, const BenchPlan *plan)
{
    uint64_t before[SIDE_COUNTERS], after[SIDE_COUNTERS];
    bool good = side_count(&sides[TIS], before);

    for (size_t i = 0; i < SIDES; i++) {
        sides[i].gap_ns = plan->gap_ns;
    }
    for (size_t i = 0; good && bench_commands[i]; i++) {
        good = bench_compare(variants, SIDES, bench_commands[i], plan) &&
               side_count(&sides[TIS], after);
        if (good) {
            uint64_t completed = after[INLINE_COMPLETIONS] - before[INLINE_COMPLETIONS];

            bench_say("  TIS + libtpms takes %.1f us more; completed in the window: %.1f %%",
                      bench_difference_us(&variants[BARE], &variants[TIS], plan->rounds),
                      100.0 * (double)completed / (double)(after[COMMANDS] - before[COMMANDS]));
            memcpy(before, after, sizeof(before));
        }
    }
    return good;
}

BenchResult bench_libtpms(const BenchOptions *options)
{
    const BenchPlan dense = { options->quick ? 5 : 200, options->quick ? 40 : 400, 0 };
    const BenchPlan sparse = { options->quick ? 3 : 40, options->quick ? 5 : 20, 2000000 };
    g_autofree char *on_directory = g_build_filename(options->directory, "on", NULL);
    g_autofree char *off_directory = g_build_filename(options->directory, "off", NULL);
    BareLibtpms bare = { NULL, 0, 0 };
    Device on = { .directory = on_directory, .window_ns = TPM_COMPLETION_WINDOW_DEFAULT_NS };
    Device off = { .directory = off_directory, .window_ns = 0 };
    Side sides[SIDES] = {
        [BARE] = { "bare TPMLIB_Process", bare_libtpms_open, bare_libtpms_run, .self = &bare },
        [TIS] = { "TIS + libtpms", device_open, tis_guest_run, device_count, device_close, &on },
        [TIS_OFF] = { "TIS + libtpms, window off", device_open, tis_guest_run, device_count,
                      device_close, &off },
    };
    BenchVariant variants[SIDES] = { { NULL } };
    bool good = sides_start(sides, SIDES);

    for (size_t i = 0; i < SIDES; i++) {
        variants[i] = side_variant(&sides[i]);
    }
    if (good) {
        bench_say("one command after the other (aim: at most 15 us more)");
        good = compare(variants, sides, &dense);
    }
    if (good) {
        bench_say("2 ms of pause before each command");
        good = compare(variants, sides, &sparse);
    }
    good &= sides_end(sides, SIDES);
    for (size_t i = 0; i < SIDES; i++) {
        bench_variant_clear(&variants[i]);
    }
    return good ? BENCH_OK : BENCH_FAILED;
}
