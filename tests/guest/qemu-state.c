/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Saving and loading the device with the machine; see <tpmdev/state.h>.
 *
 * QEMU writes the machine when its vCPUs stand still: memory first, then every device in the order
 * in which they were made known to it, and so the TPM last. It is read in the same order. What is
 * in the stream is a length of 32 bits, big-endian, and the bytes of tpmdev_device_save().
 *
 * Threads. A machine that migrates is written by a thread that QEMU has for that; it holds the big
 * lock meanwhile. So QEMU's main loop, which is the device's context, does nothing then, and the
 * library may be called as if by its thread.
 *
 * Interrupts. QEMU's interrupt controllers save and restore the levels of their inputs, so that
 * nobody need tell them that of the device.
 *
 * When does the device go on? When the machine does, wherever that is: QEMU says so before a vCPU
 * runs. After a snapshot, and after a migration that failed or was cancelled, that is the source.
 */
#include "qemu-state.h"
#include "qemu-vmstate.h"

#include <errno.h>
#include <tpmdev/tpmdev.h>

/* For how long the TPM is waited for; a TPM 1.2 may be at a key of 2048 bits. Nanoseconds. */
#define TIMEOUT_NS G_GINT64_CONSTANT(30000000000)

/* QEMU's name of the state it is in until a machine has come. */
#define INCOMING "inmigrate"

static struct {
    TPMDevice *device;
    bool held;
} saved;

/*
 * QEMU's migration, or its snapshot, fails for this. It is told to whoever has asked: by the
 * stream's error, by that of the migration, which query-migrate shows, and on the monitor or
 * standard error. Takes the error.
 */
static int fail(QemuFile *file, GError *error)
{
    QemuError *reason = NULL;

    qemu.error_setg_internal(&reason, __FILE__, __LINE__, __func__, "%s", error->message);
    qemu_vmstate.error_report("libtpmdev-qemu: %s", error->message);
    qemu_vmstate.migrate_set_error(qemu_vmstate.migrate_get_current(), reason);
    qemu_vmstate.qemu_file_set_error_obj(file, -EIO, reason);
    g_error_free(error);
    return -EIO;
}

static int put_device(QemuFile *file, void *device, size_t size, const void *field, void *json)
{
    GError *error = NULL;
    GBytes *state = tpmdev_device_save(device, TIMEOUT_NS, &error);

    (void)size;
    (void)field;
    (void)json;
    if (!state) {
        return fail(file, error);
    }
    saved.held = true;
    qemu_vmstate.qemu_put_be32(file, (unsigned)g_bytes_get_size(state));
    qemu_vmstate.qemu_put_buffer(file, g_bytes_get_data(state, NULL), g_bytes_get_size(state));
    g_bytes_unref(state);
    return 0;
}

/* What the stream says of its length is nobody's promise. */
static GBytes *read_state(QemuFile *file, GError **error)
{
    unsigned size = qemu_vmstate.qemu_get_be32(file);
    uint8_t *bytes = size <= TPM_SAVED_STATE_SIZE_MAX ? g_try_malloc(MAX(size, 1u)) : NULL;

    if (!bytes || qemu_vmstate.qemu_get_buffer(file, bytes, size) != size) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_DAMAGED,
                    "the saved machine ends within its TPM's state, or that has %u bytes; at most "
                    "%u are possible",
                    size, TPM_SAVED_STATE_SIZE_MAX);
        g_free(bytes);
        return NULL;
    }
    return g_bytes_new_take(bytes, size);
}

static int get_device(QemuFile *file, void *device, size_t size, const void *field)
{
    GError *error = NULL;
    GBytes *state = read_state(file, &error);
    gboolean loaded = state && tpmdev_device_load(device, state, TIMEOUT_NS, &error);

    (void)size;
    (void)field;
    g_clear_pointer(&state, g_bytes_unref);
    if (!loaded) {
        return fail(file, error);
    }
    saved.held = true;
    return 0;
}

static const QemuFieldInfo device_info = { "tpmdev", get_device, put_device };

static const QemuField fields[] = {
    { .name = "device", .info = &device_info, .flags = QEMU_FIELD_SINGLE },
    { .name = NULL },
};

static const QemuDescription description = {
    .name = "libtpmdev",
    .version = 1,
    .minimum_version = 1,
    .fields = fields,
};

static void run_state_changed(void *device, bool running, int state)
{
    (void)state;
    if (running) {
        saved.held = false;
        tpmdev_device_resume(device);
    }
}

char *qemu_state_load(void)
{
    return qemu_vmstate_load();
}

bool qemu_state_is_incoming(void)
{
    int state = qemu_vmstate.qapi_enum_parse(qemu_vmstate.run_state_names, INCOMING, -1, NULL);

    return qemu_vmstate.runstate_check(state);
}

/* Takes the reason. With -only-migratable QEMU wants no such machine. */
static char *refuse_migration(GError *reason)
{
    QemuError *blocker = NULL;
    QemuError *error = NULL;

    qemu.error_setg_internal(&blocker, __FILE__, __LINE__, __func__, "%s", reason->message);
    g_error_free(reason);
    return qemu.migrate_add_blocker(blocker, &error) < 0 ? g_strdup(qemu.error_get_pretty(error))
                                                         : NULL;
}

char *qemu_state_attach(TPMDevice *device)
{
    GError *reason = NULL;

    saved.held = qemu_state_is_incoming();
    qemu_vmstate.qemu_add_vm_change_state_handler(run_state_changed, device);
    return tpmdev_device_can_migrate(device, &reason) ? qemu_vmstate_register(&description, device)
                                                      : refuse_migration(reason);
}

bool qemu_state_is_held(void)
{
    return saved.held;
}
