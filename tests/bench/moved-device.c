/* SPDX-License-Identifier: BSD-3-Clause */
/* A device that is saved and loaded again; see moved-device.h, and docs/state-format.rst. */
#include "moved-device.h"

#include <string.h>

#define TIMEOUT_NS  (BENCH_DEADLINE_S * G_GINT64_CONSTANT(1000000000))
#define HEADER_SIZE 48u

const BenchCommand move_both = { .name = "save, load, resume" };
const BenchCommand move_save = { .name = "save" };
const BenchCommand move_load = { .name = "load" };
const BenchCommand move_go_on = { .name = "save, resume" };

static bool save(MovedDevice *moved)
{
    g_autoptr(GError) error = NULL;

    g_clear_pointer(&moved->stream, g_bytes_unref);
    moved->stream = tpmdev_device_save(moved->device, TIMEOUT_NS, &error);
    return moved->stream || bench_fail("%s", error->message);
}

static bool load(MovedDevice *moved)
{
    g_autoptr(GError) error = NULL;

    return tpmdev_device_load(moved->device, moved->stream, TIMEOUT_NS, &error) ||
           bench_fail("%s", error->message);
}

bool moved_device_run(void *self, const BenchCommand *command)
{
    MovedDevice *moved = self;

    if (command == &move_save) {
        return save(moved);
    }
    if (command == &move_load) {
        return load(moved);
    }
    bool good = save(moved) && (command == &move_go_on || load(moved));

    tpmdev_device_resume(moved->device);
    return good;
}

void moved_device_sizes(const MovedDevice *moved, uint64_t *stream, uint64_t *blobs)
{
    gsize size = g_bytes_get_size(moved->stream);
    g_autoptr(GBytes) body = g_bytes_new_from_bytes(moved->stream, HEADER_SIZE, size - HEADER_SIZE);
    g_autoptr(GVariant) sections =
        g_variant_ref_sink(g_variant_new_from_bytes(G_VARIANT_TYPE("a(suay)"), body, FALSE));

    *stream = size;
    *blobs = 0;
    for (gsize i = 0; i < g_variant_n_children(sections); i++) {
        g_autoptr(GVariant) content = NULL;
        const char *name;

        g_variant_get_child(sections, i, "(&su@ay)", &name, NULL, &content);
        if (strcmp(name, "tpm") != 0) {
            continue;
        }
        g_autoptr(GBytes) bytes = g_variant_get_data_as_bytes(content);
        g_autoptr(GVariant) tpm = g_variant_ref_sink(
            g_variant_new_from_bytes(G_VARIANT_TYPE("(ssb(uay)(uay)(uay))"), bytes, FALSE));

        for (gsize part = 3; part < 6; part++) {
            g_autoptr(GVariant) blob = g_variant_get_child_value(tpm, part);
            g_autoptr(GVariant) data = g_variant_get_child_value(blob, 1);

            *blobs += g_variant_get_size(data);
        }
    }
}

void moved_device_clear(MovedDevice *moved)
{
    g_clear_pointer(&moved->stream, g_bytes_unref);
    moved->device = tpmdev_device_free(moved->device);
}
