/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What saving a device and loading it again takes, beside the bare transfer of libtpms' state: two
 * calls of TPMLIB_GetState(), two of TPMLIB_SetState(), a TPMLIB_MainInit(). That is tens of
 * microseconds. A device adds two ways to the TPM's thread and back, a stream that is written and
 * checked, a state that is tried out while the one before is kept, and a file that is stored
 * whole. What that file takes on the disk is in a second bare transfer: the same, and a file of
 * the permanent state replaced as the library replaces it.
 */
#include "bare-libtpms.h"
#include "moved-device.h"
#include "side.h"
#include "state-replace.h"
#include "tis-guest.h"

#include <fcntl.h>
#include <libtpms/tpm_error.h>
#include <libtpms/tpm_library.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- libtpms, bare ---- */

static const enum TPMLIB_StateType types[] = { TPMLIB_STATE_PERMANENT, TPMLIB_STATE_VOLATILE };

typedef struct Bare {
    BareLibtpms tpm;
    const char *directory; /* for the file, or NULL for none */
    int directory_fd;
    unsigned char *parts[G_N_ELEMENTS(types)];
    uint32_t sizes[G_N_ELEMENTS(types)];
} Bare;

static bool bare_save(Bare *bare)
{
    bool good = true;

    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        free(bare->parts[i]);
        bare->parts[i] = NULL;
        good &= TPMLIB_GetState(types[i], &bare->parts[i], &bare->sizes[i]) == TPM_SUCCESS;
    }
    return good;
}

static bool bare_load(Bare *bare)
{
    bool good = true;

    TPMLIB_Terminate();
    for (size_t i = 0; i < G_N_ELEMENTS(types); i++) {
        good &= TPMLIB_SetState(types[i], bare->parts[i], bare->sizes[i]) == TPM_SUCCESS;
    }
    return good && TPMLIB_MainInit() == TPM_SUCCESS &&
           (!bare->directory ||
            tpm_state_replace(bare->directory_fd, "bare", bare->parts[0], bare->sizes[0]) == 0);
}

static bool bare_open(void *self)
{
    Bare *bare = self;

    if (bare->directory) {
        bare->directory_fd = open(bare->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (bare->directory_fd < 0) {
            return bench_fail("cannot open %s", bare->directory);
        }
    }
    return bare_libtpms_open(&bare->tpm) && bare_save(bare);
}

static bool bare_run(void *self, const BenchCommand *command)
{
    return (command == &move_load || bare_save(self)) &&
           (command == &move_save || command == &move_go_on || bare_load(self));
}

/* ---- a device, with a TPM of libtpms or with none worth the name ---- */

typedef struct Device {
    MovedDevice moved; /* first: it is what runs */
    const char *options;
    bool is_null; /* it answers no TPM2_Startup */
    TisGuest guest;
} Device;

static bool device_open(void *self)
{
    Device *device = self;
    g_autoptr(GError) error = NULL;
    TPMBackend *backend = tpmdev_backend_new_from_string(device->options, NULL, NULL, &error);

    if (!backend) {
        return bench_fail("%s", error->message);
    }
    if (device->is_null) {
        device->moved.device = tpmdev_device_new(NULL, backend, NULL, NULL, NULL);
        tpmdev_backend_unref(backend);
    } else if (tis_guest_open(&device->guest, backend, 0)) {
        device->moved.device = device->guest.device;
    }
    return device->moved.device && moved_device_run(&device->moved, &move_save);
}

enum { STREAM, BLOBS };

static void device_count(void *self, uint64_t counters[SIDE_COUNTERS])
{
    moved_device_sizes(self, &counters[STREAM], &counters[BLOBS]);
}

static void device_close(void *self)
{
    moved_device_clear(self);
}

/* ---- the comparison ---- */

enum { BARE, BARE_FILE, MEMORY, DISK, NOTHING, SIDES };

static bool say_size(Side *side)
{
    uint64_t counters[SIDE_COUNTERS];

    if (!side_count(side, counters)) {
        return false;
    }
    bench_say("%s: %" G_GUINT64_FORMAT " bytes, %" G_GUINT64_FORMAT " of them the TPM's; ratio "
              "%.3f",
              side->name, counters[STREAM], counters[BLOBS],
              (double)counters[STREAM] / (double)counters[BLOBS]);
    return true;
}

static bool compare(Side *sides, const BenchPlan *plan)
{
    const BenchCommand *const commands[] = { &move_both, &move_save, &move_load, &move_go_on };
    BenchVariant variants[SIDES];
    bool good = say_size(&sides[MEMORY]);

    for (size_t i = 0; i < SIDES; i++) {
        variants[i] = side_variant(&sides[i]);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(commands) && good; i++) {
        good = bench_compare(variants, SIDES, commands[i], plan);
        if (good && (commands[i] == &move_both || commands[i] == &move_load)) {
            bench_say("  on the disk, to the bare one with a file there: %.2f",
                      bench_ratio(&variants[BARE_FILE], &variants[DISK], plan->rounds));
        }
    }
    for (size_t i = 0; i < SIDES; i++) {
        bench_variant_clear(&variants[i]);
    }
    return good;
}

BenchResult bench_state(const BenchOptions *options)
{
    const BenchPlan plan = { options->quick ? 3 : 40, options->quick ? 5 : 20, 0 };
    g_autofree char *in_memory = g_strdup_printf("libtpms,id=tpm0,dir=%s", options->memory);
    g_autofree char *on_disk = g_strdup_printf("libtpms,id=tpm0,dir=%s", options->directory);
    Bare bare = { .directory = NULL }, bare_file = { .directory = options->directory };
    Device devices[] = { { .options = in_memory },
                         { .options = on_disk },
                         { .options = "null,id=tpm0", .is_null = true } };
    Side sides[SIDES] = {
        [BARE] = { "bare libtpms: get, set, init", bare_open, bare_run, .self = &bare },
        [BARE_FILE] = { "bare libtpms, a file on a disk replaced", bare_open, bare_run,
                        .self = &bare_file },
        [MEMORY] = { "TIS + libtpms, directory in memory", device_open, moved_device_run,
                     device_count, device_close, &devices[0] },
        [DISK] = { "TIS + libtpms, directory on a disk", device_open, moved_device_run,
                   device_count, device_close, &devices[1] },
        [NOTHING] = { "TIS + null", device_open, moved_device_run, device_count, device_close,
                      &devices[2] },
    };
    bool good = sides_start(sides, SIDES) && compare(sides, &plan);

    good &= sides_end(sides, SIDES);
    return good ? BENCH_OK : BENCH_FAILED;
}
