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
 * Threads. QEMU calls the register accesses and hypercalls on a vCPU's thread and all else on its
 * main thread, always with its big lock held; the library's I/O runs on QEMU's main loop, which
 * holds the lock too. So every callback of the library arrives with the lock held.
 *
 * Neighbours: qemu-api.c finds QEMU's functions; qemu-virt.c has what Arm's virt needs,
 * qemu-spapr.c what pseries does, and qemu-ppi.c what physical presence memory does;
 * qemu-loader.c hands tables to EDK2; hw/tpm/device.c has the registers.
 */
#include "qemu-api.h"
#include "qemu-loader.h"
#include "qemu-ppi.h"
#include "qemu-spapr.h"
#include "qemu-vio.h"
#include "qemu-virt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tpmdev/tpmdev.h>

#define PREFIX "libtpmdev-qemu: "

/*
 * The log area: between the TPM's pages (FED40000h, with room for its PPI page) and the local
 * APIC, where neither pc nor q35 have RAM, a device or a window for one.
 */
#define LOG_ADDRESS_DEFAULT 0xFED50000u

/* Over whatever else QEMU may have at the place. */
#define REGION_PRIORITY 1

/* How long a TPM may take to be made, and to come back after a reset; nanoseconds. */
#define START_TIMEOUT_NS G_GINT64_CONSTANT(60000000000)
#define RESET_TIMEOUT_NS G_GINT64_CONSTANT(5000000000)

/* Options of the plugin itself; those of the device and the backend go to them as they are. */
typedef struct Options {
    const char *device;
    const char *tpmdev;
    const char *stats; /* a file for the device's counters when QEMU ends, or NULL */
    unsigned irq;
    bool acpi_irq; /* the tables name it */
    bool has_ppi;  /* ppi was given */
    bool loader;   /* the tables come by commands of the linker-loader */
    uint64_t base;
    uint64_t log_address;
    GString *for_device;
    GString *for_backend;
} Options;

/* How a device gets into the machines of a target. */
typedef struct Target {
    const char *name;                          /* as QEMU calls it */
    const char *models[3];                     /* the first when none is named */
    const char *by_loader;                     /* the model whose tables QEMU would not take */
    uint64_t base;                             /* of the registers, if there are any */
    const char *(*refuse)(const char *option); /* NULL: it takes it; else why not */
    bool (*prepare)(GError **error);           /* before there is a machine */
    char *(*attach)(void); /* to the machine; NULL, or what is wrong with it, to be freed */
    bool ppi;              /* physical presence memory, unless ppi=off */
} Target;

typedef struct Plugin {
    QemuPluginId id;
    const Target *target;
    TPMDevice *device;
    char *stats;
    unsigned irq_number;
    unsigned acpi_irq; /* as the tables name it, or 0 */
    bool loader;
    uint64_t base;
    uint64_t log_address;
    QemuIrq *irq;
    QemuMemoryRegion registers;
    QemuMemoryRegion log;
    QemuMemoryRegion page; /* of the device's buffer, if it has one */
    QemuNotifier machine_done;
} Plugin;

static Plugin plugin;

/* QEMU looks for this name. */
__attribute__((visibility("default"))) extern int qemu_plugin_version;
int qemu_plugin_version = QEMU_PLUGIN_API;

static void say(const char *format, ...) G_GNUC_PRINTF(1, 2);

static void say(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    char *message = g_strdup_vprintf(format, arguments);

    va_end(arguments);
    fprintf(stderr, PREFIX "%s\n", message);
    g_free(message);
}

/* ---- options ---- */

/* As a value in an option string: a comma in it is written twice. */
static void append_option(GString *options, const char *name, const char *value)
{
    g_string_append_printf(options, ",%s=", name);
    for (; *value; value++) {
        g_string_append_c(options, *value);
        if (*value == ',') {
            g_string_append_c(options, ',');
        }
    }
}

static bool parse_number(const char *name, const char *text, uint64_t *number)
{
    char *end;

    errno = 0;
    *number = g_ascii_strtoull(text, &end, 0);
    if (errno || end == text || *end || *text == '-') {
        say("%s=%s is no number; give an address such as 0x%" PRIx64, name, text,
            plugin.target->base);
        return false;
    }
    return true;
}

static bool parse_switch(const char *name, const char *text, bool *on)
{
    *on = strcmp(text, "on") == 0;
    if (!*on && strcmp(text, "off") != 0) {
        say("%s=%s is neither on nor off", name, text);
        return false;
    }
    return true;
}

static bool parse_tables(const char *text, bool *loader)
{
    *loader = strcmp(text, "loader") == 0;
    if (!*loader && strcmp(text, "qemu") != 0) {
        say("tables=%s is no way to the guest; give tables=qemu or, for OVMF, tables=loader", text);
        return false;
    }
    return true;
}

static bool is_crb_option(const char *name)
{
    static const char *const names[] = { "localities", "interrupts",     "buffer",
                                         "chunk",      "buffer-address", NULL };

    return g_strv_contains(names, name);
}

/* Options that would go unheard on a target. */

static const char *refuse_of_pc(const char *option)
{
    static const char *const names[] = { "ppi", "ppi-address", NULL };

    if (g_strv_contains(names, option)) {
        return "is for a PC; virt has no firmware that knows of such memory";
    }
    if (strcmp(option, "log") == 0) {
        return "is for a PC; firmware on virt has its log in memory of its own";
    }
    if (strcmp(option, "acpi-irq") == 0) {
        return "is for a PC; drivers on virt poll";
    }
    return strcmp(option, "tables") == 0
               ? "is for a PC; on virt the device says how it is found: tpm-crb by ACPI"
               : NULL;
}

static const char *refuse_of_registers(const char *option)
{
    static const char *const names[] = { "base", "log",         "irq",    "acpi-irq",
                                         "ppi",  "ppi-address", "tables", NULL };

    return g_strv_contains(names, option) || is_crb_option(option)
               ? "is for a device with registers, and tpm-spapr has none; leave it out"
               : NULL;
}

/* One NAME=VALUE; what the plugin does not know is the backend's, which knows its own. */
static bool parse_option(Options *options, const char *name, const char *value)
{
    const char *refusal = plugin.target->refuse ? plugin.target->refuse(name) : NULL;

    if (refusal) {
        say("%s= %s", name, refusal);
        return false;
    }
    if (strcmp(name, "device") == 0) {
        options->device = value;
    } else if (strcmp(name, "tpmdev") == 0) {
        options->tpmdev = value;
    } else if (strcmp(name, "stats") == 0) {
        options->stats = value;
    } else if (strcmp(name, "base") == 0) {
        return parse_number(name, value, &options->base);
    } else if (strcmp(name, "log") == 0) {
        return parse_number(name, value, &options->log_address);
    } else if (strcmp(name, "irq") == 0) {
        append_option(options->for_device, name, value);
        options->irq = (unsigned)g_ascii_strtoull(value, NULL, 0); /* the device checks it */
    } else if (strcmp(name, "acpi-irq") == 0) {
        return parse_switch(name, value, &options->acpi_irq);
    } else if (strcmp(name, "ppi") == 0 || strcmp(name, "ppi-address") == 0) {
        append_option(options->for_device, name, value);
        options->has_ppi |= strcmp(name, "ppi") == 0;
    } else if (strcmp(name, "tables") == 0) {
        return parse_tables(value, &options->loader);
    } else if (strcmp(name, "window") == 0 || is_crb_option(name)) {
        append_option(options->for_device, name, value);
    } else {
        append_option(options->for_backend, name, value);
    }
    return true;
}

static bool parse_options(Options *options, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');

        if (!equals) {
            say("'%s' is no option; give NAME=VALUE", argv[i]);
            return false;
        }
        char *name = g_strndup(argv[i], (gsize)(equals - argv[i]));
        bool good = parse_option(options, name, equals + 1);

        g_free(name);
        if (!good) {
            return false;
        }
    }
    if (!options->tpmdev) {
        say("there is no tpmdev; give tpmdev=libtpms,dir=DIRECTORY or tpmdev=emulator,path=SOCKET");
        return false;
    }
    if (options->loader && options->log_address != LOG_ADDRESS_DEFAULT) {
        say("log= is for tables=qemu; with tables=loader firmware has its log where it likes");
        return false;
    }
    if (options->acpi_irq && options->irq == 0) {
        say("acpi-irq=on needs an interrupt; give irq=1 to 15");
        return false;
    }
    return true;
}

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
    say("guest: %s", message);
}

static void host_backend_error(void *opaque, const char *message)
{
    (void)opaque;
    say("TPM: %s", message);
}

/* From machine_reset(), with the lock held. */
static void host_clear_memory(void *opaque)
{
    (void)opaque;
    qemu_clear_memory(plugin.device);
}

/* ---- what QEMU calls ---- */

static uint64_t registers_read(void *opaque, uint64_t address, unsigned size)
{
    uint64_t value;

    (void)opaque;
    tpmdev_device_read(plugin.device, address, size, &value);
    return value;
}

static void registers_write(void *opaque, uint64_t address, uint64_t value, unsigned size)
{
    (void)opaque;
    tpmdev_device_write(plugin.device, address, size, value);
}

/* The library takes every width and alignment, so that QEMU need not split any. */
static const QemuMemoryRegionOps registers_ops = {
    .read = registers_read,
    .write = registers_write,
    .endianness = QEMU_LITTLE_ENDIAN,
    .valid = { .min = 1, .max = 8, .unaligned = true },
    .impl = { .min = 1, .max = 8, .unaligned = true },
};

/*
 * The guest does not run. As with QEMU's own devices it goes on when its TPM is back, or firmware
 * would wait for that, and some does not wait long; but a TPM that does not come back does not
 * keep the machine. What became of it is reported by host_backend_error().
 */
static void machine_reset(void *opaque)
{
    (void)opaque;
    tpmdev_device_reset(plugin.device);
    tpmdev_device_wait_ready(plugin.device, RESET_TIMEOUT_NS, NULL);
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
        say("stats=%s: %s", path, error->message);
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

/* A saved machine would come back without its TPM's registers. */
static void refuse_migration(void)
{
    QemuError *reason = NULL;
    QemuError *error = NULL;

    qemu.error_setg_internal(&reason, __FILE__, __LINE__, __func__,
                             "libtpmdev-qemu does not save its TPM device");
    if (qemu.migrate_add_blocker(reason, &error) < 0) {
        say("%s", qemu.error_get_pretty(error));
        exit(1);
    }
}

/*
 * The buffer's page is the device's memory and the guest's: its vCPUs read and write it without
 * an exit. It lies over whatever else there is, as all the device's regions.
 */
static void map_page(void)
{
    void *page = tpmdev_device_get_page(plugin.device);

    if (page) {
        qemu.memory_region_init_ram_ptr(&plugin.page, NULL, "tpmdev-buffer", TPM_CRB_PAGE_SIZE,
                                        page);
        qemu.memory_region_add_subregion_overlap(qemu.get_system_memory(),
                                                 tpmdev_device_get_page_address(plugin.device),
                                                 &plugin.page, REGION_PRIORITY);
    }
}

static void map_registers(void)
{
    qemu.memory_region_init_io(&plugin.registers, NULL, &registers_ops, NULL, "tpmdev-registers",
                               tpmdev_device_get_size(plugin.device));
    qemu.memory_region_add_subregion_overlap(qemu.get_system_memory(), plugin.base,
                                             &plugin.registers, REGION_PRIORITY);
    map_page();
}

static char *attach_log(void)
{
    QemuError *error = NULL;

    qemu.memory_region_init_ram(&plugin.log, NULL, "tpmdev-log", TPM_LOG_AREA_SIZE, &error);
    if (error) {
        return g_strdup(qemu.error_get_pretty(error));
    }
    qemu.memory_region_add_subregion_overlap(qemu.get_system_memory(), plugin.log_address,
                                             &plugin.log, REGION_PRIORITY);
    return NULL;
}

/*
 * On a PC: registers, physical presence memory and the firmware's log in guest memory, an
 * interrupt of the ISA bus.
 */
static char *attach_pc(void)
{
    if (!qemu.object_resolve_path_type("", "ISA", NULL)) {
        return g_strdup("this machine has no ISA bus; use -machine q35 or -machine pc");
    }
    if (plugin.irq_number > 0) {
        plugin.irq = qemu.isa_get_irq(NULL, plugin.irq_number);
    }
    map_registers();
    char *wrong = plugin.loader ? qemu_loader_attach() : attach_log();

    return wrong ? wrong : qemu_ppi_attach(plugin.device);
}

/* On Arm: registers and an interrupt; ACPI tables, or the device tree has its node already. */
static char *attach_virt(void)
{
    char *wrong = qemu_virt_check(!plugin.loader);

    if (!wrong) {
        plugin.irq = plugin.irq_number > 0 ? qemu_virt_irq() : NULL;
        map_registers();
        wrong = plugin.loader ? qemu_loader_attach() : NULL;
    }
    return wrong;
}

/* The machine is there, with its ACPI tables, and has not run yet. */
static void machine_done(QemuNotifier *notifier, void *data)
{
    QemuObject *other = qemu.object_resolve_path_type("", "tpm-if", NULL);

    (void)notifier;
    (void)data;
    if (other) {
        say("the machine has QEMU's own %s too; leave out its -device and -tpmdev",
            qemu.object_get_typename(other));
        exit(1);
    }
    char *wrong = plugin.target->attach();

    if (wrong) {
        say("%s", wrong);
        exit(1);
    }
    refuse_migration();
}

/* ---- installation ---- */

static bool make_device(const Options *options, GError **error)
{
    TPMHost host = TPM_HOST_INIT;

    /* CRB's registers tell where its buffer is. */
    if (plugin.target->base) {
        g_string_append_printf(options->for_device, ",base=0x%" PRIx64, plugin.base);
    }
    char *backend_options =
        g_strdup_printf("%s,id=tpm0%s", options->tpmdev, options->for_backend->str);
    char *device_options =
        g_strdup_printf("%s,tpmdev=tpm0%s%s", options->device, options->for_device->str,
                        plugin.target->ppi && !options->has_ppi ? ",ppi=on" : "");
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

static void complain(const char *message)
{
    say("%s", message);
}

/* The tables in files of their own; firmware places them, and its log. */
static bool prepare_loader(TPMAcpiConfig *config, GError **error)
{
    QemuLoaderParts parts = { NULL, NULL, NULL };

    config->log_address = 0;
    parts.tables = tpmdev_fw_cfg_tables(plugin.device, config, &parts.commands, error);
    if (parts.tables) {
        parts.log = tpmdev_fw_cfg_log(plugin.device, config, error);
    }
    return parts.log && qemu_loader_prepare(&parts, complain, error);
}

static bool prepare_pc(GError **error)
{
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    config.base = plugin.base;
    config.log_address = plugin.log_address;
    config.irq = plugin.acpi_irq;
    if (plugin.loader) {
        return prepare_loader(&config, error);
    }
    GBytes *log_table = tpmdev_acpi_log_table(plugin.device, &config, error);
    GBytes *ssdt = log_table ? tpmdev_acpi_ssdt(plugin.device, &config, error) : NULL;

    if (ssdt) {
        qemu_add_acpi_table(ssdt);
        qemu_add_acpi_table(log_table);
        g_bytes_unref(ssdt);
    }
    g_clear_pointer(&log_table, g_bytes_unref);
    return ssdt != NULL;
}

/* There is a binding for device trees of TIS only, so that CRB comes by ACPI. */
static bool prepare_virt(GError **error)
{
    TPMAcpiConfig config = TPM_ACPI_CONFIG_INIT;

    config.base = plugin.base;
    config.platform = TPM_ACPI_PLATFORM_ARM;
    if (plugin.loader) {
        return prepare_loader(&config, error);
    }
    qemu_virt_prepare(plugin.id, plugin.base, tpmdev_device_get_size(plugin.device));
    return true;
}

static bool prepare_pseries(GError **error)
{
    return qemu_spapr_prepare(plugin.device, error);
}

static const Target targets[] = {
    { "x86_64",
      { "tpm-tis", "tpm-crb" },
      NULL,
      TPM_BASE_ADDRESS,
      NULL,
      prepare_pc,
      attach_pc,
      true },
    { "i386", { "tpm-tis", "tpm-crb" }, NULL, TPM_BASE_ADDRESS, NULL, prepare_pc, attach_pc, true },
    { "aarch64",
      { "tpm-tis-device", "tpm-crb" },
      "tpm-crb",
      QEMU_VIRT_TPM_BASE,
      refuse_of_pc,
      prepare_virt,
      attach_virt,
      false },
    { "ppc64",
      { "tpm-spapr" },
      NULL,
      0,
      refuse_of_registers,
      prepare_pseries,
      qemu_vio_create,
      false },
};

/* qemu_api_load() has refused all others. */
static const Target *find_target(const char *name)
{
    unsigned i = 0;

    while (strcmp(targets[i].name, name) != 0) {
        i++;
    }
    return &targets[i];
}

/* A model the library knows may still not be one for this target. */
static bool check_model(Options *options)
{
    const char *const *models = plugin.target->models;

    options->device = options->device ? options->device : models[0];
    if (!g_strv_contains(models, options->device) &&
        g_strv_contains(tpmdev_device_get_models(), options->device)) {
        char *list = g_strjoinv(" or device=", (char **)models);

        say("device=%s is not for this QEMU; use device=%s", options->device, list);
        g_free(list);
        return false;
    }
    return true;
}

static bool set_up(Options *options, int argc, char **argv)
{
    GError *error = NULL;

    if (!parse_options(options, argc, argv)) {
        return false;
    }
    if (!check_model(options)) {
        return false;
    }
    plugin.base = options->base;
    plugin.log_address = options->log_address;
    plugin.irq_number = options->irq;
    plugin.acpi_irq = options->acpi_irq ? options->irq : 0;
    plugin.loader = options->loader || g_strcmp0(options->device, plugin.target->by_loader) == 0;
    if (!make_device(options, &error)) {
        say("%s", error->message);
        g_clear_error(&error);
        return false;
    }
    if (!tpmdev_device_wait_ready(plugin.device, START_TIMEOUT_NS, &error) ||
        !plugin.target->prepare(&error)) {
        say("%s", error->message);
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
    Options options = {
        .irq = 5,
        .log_address = LOG_ADDRESS_DEFAULT,
        .for_device = g_string_new(NULL),
        .for_backend = g_string_new(NULL),
    };
    char *unusable = qemu_api_load(info);

    if (unusable) {
        say("%s", unusable);
    } else {
        plugin.id = id;
        plugin.target = find_target(info->target_name);
        options.base = plugin.target->base;
    }
    bool good = !unusable && set_up(&options, argc, argv);

    g_string_free(options.for_device, TRUE);
    g_string_free(options.for_backend, TRUE);
    g_free(unusable);
    return good ? 0 : 1;
}
