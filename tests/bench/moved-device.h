/* SPDX-License-Identifier: BSD-3-Clause */
/* A device that is saved and loaded again, as a variant of a comparison. */
#ifndef MOVED_DEVICE_H
#define MOVED_DEVICE_H

#include "bench.h"

#include <tpmdev/tpmdev.h>

/* What is timed in place of TPM commands. */
extern const BenchCommand move_both;  /* save, load, resume */
extern const BenchCommand move_save;  /* save: the device is held from then on */
extern const BenchCommand move_load;  /* load what was saved last */
extern const BenchCommand move_go_on; /* save, and resume: the source goes on after all */

typedef struct MovedDevice {
    TPMDevice *device;
    GBytes *stream; /* what was saved last */
} MovedDevice;

/* A BenchRun. The first one is to save. */
bool moved_device_run(void *moved, const BenchCommand *command);

/* Bytes of what was saved last, and how many of them are the TPM's own. */
void moved_device_sizes(const MovedDevice *moved, uint64_t *stream, uint64_t *blobs);

/* Its end; the backend is not the device's. */
void moved_device_clear(MovedDevice *moved);

#endif /* MOVED_DEVICE_H */
