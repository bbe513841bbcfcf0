/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TPM of libtpmdev in an unpatched QEMU 7.2: a plugin is a shared object in QEMU's process, so
 * it can map a region of guest memory to the library's registers, and add the ACPI tables by which
 * the guest's firmware finds them, or on Arm the device tree's node; on pseries it can add a
 * virtual I/O device. QEMU's own TPM devices take no part.
 *
 *     qemu-system-x86_64 -machine q35 ... \
 *         -plugin libtpmdev-qemu.so,device=tpm-tis,tpmdev=libtpms,dir=STATE
 *     qemu-system-aarch64 -machine virt ... -plugin libtpmdev-qemu.so,tpmdev=libtpms,dir=STATE
 *     qemu-system-ppc64 -machine pseries ... -plugin libtpmdev-qemu.so,tpmdev=libtpms,dir=STATE
 *
 * It is the test suite's way to real firmware and kernels, and how a user of QEMU can try the
 * library today; README.rst tells more.
 *
 * Threads. QEMU calls the register accesses and hypercalls on a vCPU's thread, saves on one of its
 * own, and calls all else on its main thread, always with its big lock held; the library's I/O runs
 * on QEMU's main loop, which holds the lock too. So every callback of the library arrives with the
 * lock held.
 *
 * Neighbours: qemu-api.c finds QEMU's functions; qemu-options.c reads the plugin's arguments;
 * qemu-target.c gets the device into the machine; hw/tpm/device.c has the registers.
 */
#include "qemu-options.h"
#include "qemu-ppi.h"
#include "qemu-say.h"
#include "qemu-spapr.h"
#include "qemu-state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <tpmdev/tpmdev.h>

/* How long a TPM may take to be made, and to come back after a reset; nanoseconds. */
#define START_TIMEOUT_NS G_GINT64_CONSTANT(60000000000)
#define RESET_TIMEOUT_NS G_GINT64_CONSTANT(5000000000)

static struct {
    const QemuTarget *target;
    QemuPlace place;
    TPMDevice *device;
    bool incoming; /* the device is made to be loaded */
    char *stats;
    QemuIrq *irq;
    QemuNotifier machine_done;
} plugin;

/* QEMU looks for this name. */
__attribute__((visibility("default"))) extern int qemu_plugin_version;
int qemu_plugin_version = QEMU_PLUGIN_API;

/* ---- what the library calls ---- */

/* Every way here holds QEMU's lock; should there ever be another, it must not race the machine. */
static void host_set_irq(void *opaque, bool level)
{
    bool locked = qemu.qemu_mutex_iothread_locked();

    (void)opaque;
    if (!plugin.irq) {
        return;
    }
    if (!locked) {
        qemu.qemu_mutex_lock_iothread_impl(__FILE__, __LINE__);
    }
    qemu.qemu_set_irq(plugin.irq, level);
    if (!locked) {
        qemu.qemu_mutex_unlock_iothread();
    }
}

static void host_guest_error(void *opaque, const char *message)
{
    (void)opaque;
    qemu_say("guest: %s", message);
}

static void host_backend_error(void *opaque, const char *message)
{
    (void)opaque;
    qemu_say("TPM: %s", message);
}

/* From machine_reset(), with the lock held. */
static void host_clear_memory(void *opaque)
{
    (void)opaque;
    qemu_clear_memory(plugin.device);
}

/* ---- what QEMU calls ---- */

/*
 * The guest does not run. As with QEMU's own devices it goes on when its TPM is back, or firmware
 * would wait for that, and some does not wait long; but a TPM that does not come back does not
 * keep the machine. What became of it is reported by host_backend_error().
 */
static void machine_reset(void *opaque)
{
    (void)opaque;
    tpmdev_device_reset(plugin.device);
    if (!qemu_state_is_held()) {
        tpmdev_device_wait_ready(plugin.device, RESET_TIMEOUT_NS, NULL);
    }
}

static void write_statistics(const char *path)
{
    TPMDeviceStatistics s = { .size = sizeof(s) };

    tpmdev_device_get_statistics(plugin.device, &s);
    char *text = g_strdup_printf(
        "reads %" PRIu64 "\nwrites %" PRIu64 "\ncommands %" PRIu64 "\ninline_completions %" PRIu64
        "\nrejected_commands %" PRIu64 "\nfailures %" PRIu64 "\ncancels %" PRIu64
        "\nresets %" PRIu64 "\nguest_errors %" PRIu64 "\ninterrupts %" PRIu64 "\n",
        s.reads, s.writes, s.commands, s.inline_completions, s.rejected_commands, s.failures,
        s.cancels, s.resets, s.guest_errors, s.interrupts);
    GError *error = NULL;

    if (!g_file_set_contents(path, text, -1, &error)) {
        qemu_say("stats=%s: %s", path, error->message);
        g_clear_error(&error);
    }
    g_free(text);
}

/* QEMU ends: the TPM is stopped in an orderly way, with what it has in its state. */
static void process_exit(void)
{
    if (plugin.stats) {
        write_statistics(plugin.stats);
    }
    plugin.device = tpmdev_device_free(plugin.device);
    g_clear_pointer(&plugin.stats, g_free);
}

/* The machine is there, with its ACPI tables, and has not run yet. */
static void machine_done(QemuNotifier *notifier, void *data)
{
    QemuObject *other = qemu.object_resolve_path_type("", "tpm-if", NULL);

    (void)notifier;
    (void)data;
    if (other) {
        qemu_say("the machine has QEMU's own %s too; leave out its -device and -tpmdev",
                 qemu.object_get_typename(other));
        exit(1);
    }
    char *wrong = plugin.target->attach(&plugin.place, &plugin.irq);

    wrong = wrong ? wrong : qemu_state_attach(plugin.device);
    if (wrong) {
        qemu_say("%s", wrong);
        exit(1);
    }
}

/* ---- installation ---- */

static bool make_device(const QemuOptions *options, GError **error)
{
    TPMHost host = TPM_HOST_INIT;

    /* CRB's registers tell where its buffer is. */
    if (plugin.target->base) {
        g_string_append_printf(options->for_device, ",base=0x%" PRIx64, options->base);
    }
    char *backend_options =
        g_strdup_printf("%s,id=tpm0%s", options->tpmdev, options->for_backend->str);
    char *device_options =
        g_strdup_printf("%s,tpmdev=tpm0%s%s%s", options->device, options->for_device->str,
                        plugin.target->ppi && !options->has_ppi ? ",ppi=on" : "",
                        plugin.incoming ? ",incoming=on" : "");
    TPMBackend *backends[] = { NULL, NULL };

    host.set_irq = host_set_irq;
    host.guest_error = host_guest_error;
    host.backend_error = host_backend_error;
    host.clear_memory = host_clear_memory;
    host.context = g_main_context_default(); /* QEMU's main loop */
    qemu_spapr_set_host(&host);
    backends[0] = tpmdev_backend_new_from_string(backend_options, NULL, NULL, error);
    if (backends[0]) {
        plugin.device = tpmdev_device_new_from_string(device_options, backends, &host, NULL, error);
    }
    tpmdev_backend_unref(backends[0]);
    g_free(backend_options);
    g_free(device_options);
    return plugin.device != NULL;
}

static bool set_up(QemuOptions *options, int argc, char **argv)
{
    GError *error = NULL;

    if (!qemu_options_parse(options, argc, argv)) {
        return false;
    }
    if (!make_device(options, &error)) {
        qemu_say("%s", error->message);
        g_clear_error(&error);
        return false;
    }
    plugin.place.device = plugin.device;
    plugin.place.irq = options->irq;
    plugin.place.acpi_irq = options->acpi_irq ? options->irq : 0;
    plugin.place.loader = options->loader;
    plugin.place.base = options->base;
    plugin.place.log_address = options->log_address;
    if ((!plugin.incoming && !tpmdev_device_wait_ready(plugin.device, START_TIMEOUT_NS, &error)) ||
        !plugin.target->prepare(&plugin.place, &error)) {
        qemu_say("%s", error->message);
        g_clear_error(&error);
        plugin.device = tpmdev_device_free(plugin.device);
        return false;
    }
    plugin.stats = g_strdup(options->stats);
    plugin.machine_done.notify = machine_done;
    /*
     * QEMU resets in the order of registration, and there is no machine yet: ours is before all
     * that put something into memory, which a guest may have asked to be cleared.
     */
    qemu.qemu_register_reset(machine_reset, NULL);
    qemu.qemu_add_machine_init_done_notifier(&plugin.machine_done);
    atexit(process_exit);
    return true;
}

/* QEMU calls this for its -plugin option, before there is a machine; non-zero ends QEMU. */
__attribute__((visibility("default"))) int qemu_plugin_install(QemuPluginId id,
                                                               const QemuPluginInfo *info, int argc,
                                                               char **argv);

int qemu_plugin_install(QemuPluginId id, const QemuPluginInfo *info, int argc, char **argv)
{
    QemuOptions options;
    char *unusable = qemu_api_load(info);

    unusable = unusable ? unusable : qemu_state_load();
    if (unusable) {
        qemu_say("%s", unusable);
        g_free(unusable);
        return 1;
    }
    plugin.place.id = id;
    plugin.target = qemu_target_find(info->target_name);
    plugin.incoming = qemu_state_is_incoming();
    qemu_options_init(&options, plugin.target);
    bool good = set_up(&options, argc, argv);

    qemu_options_clear(&options);
    return good ? 0 : 1;
}
