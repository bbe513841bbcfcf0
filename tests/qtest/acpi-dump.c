/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * -acpi-dump: tables, fw_cfg files, linker-loader commands and device-tree node of the machine's
 * TPM; see acpi-dump.h. What the values must be is the library's to say: here they are only
 * numbers.
 */
#include "acpi-dump.h"
#include "keyval.h"

#include <libfdt.h>
#include <string.h>

/* Room for a bus and the node. */
#define TREE_SIZE 2048

/* SPIs of a GIC in a device tree (Linux, arm,gic-v3): a type, and a number from 0 on. */
#define GIC_SPI_FIRST  32u
#define GIC_ESPI_FIRST 4096u
#define GIC_TYPE_SPI   0u
#define GIC_TYPE_ESPI  2u
#define GIC_LEVEL_HIGH 4u
#define GIC_CELLS      3u

/* The window for DMA that QEMU gives a virtual I/O device: its bytes. Its number is the unit's. */
#define SPAPR_WINDOW_SIZE 0x10000000u

typedef struct DumpFile {
    const char *name;
    GBytes *bytes;
} DumpFile;

typedef struct Dump {
    const Machine *machine;
    const TPMDevice *device;
    const char *directory;
    TPMAcpiConfig config;
    DumpFile files[8];
    unsigned count;
} Dump;

/* ---- the options ---- */

static bool parse_number(const KeyVal *keyval, const char *name, uint64_t most, uint64_t *value,
                         GError **error)
{
    const char *text = keyval_get(keyval, name);
    guint64 number;

    if (!text) {
        return true;
    }
    bool hex = g_ascii_strncasecmp(text, "0x", 2) == 0;

    if (!g_ascii_string_to_unsigned(hex ? text + 2 : text, hex ? 16 : 10, 0, most, &number, NULL)) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "Parameter '%s' expects a number from 0 to 0x%" G_GINT64_MODIFIER "x, not '%s'",
                    name, most, text);
        return false;
    }
    *value = number;
    return true;
}

static bool parse_u32(const KeyVal *keyval, const char *name, uint32_t *value, GError **error)
{
    uint64_t number = *value;

    if (!parse_number(keyval, name, UINT32_MAX, &number, error)) {
        return false;
    }
    *value = (uint32_t)number;
    return true;
}

/* The machine's own unless it is given. */
static bool parse_platform(const Dump *dump, const KeyVal *keyval, TPMAcpiPlatform *platform,
                           GError **error)
{
    static const char *const names[] = {
        [TPM_ACPI_PLATFORM_X86] = "x86", [TPM_ACPI_PLATFORM_ARM] = "arm"
    };
    const char *text = keyval_get(keyval, "platform");
    bool is_arm = strcmp(machine_arch(dump->machine)->name, "aarch64") == 0;

    *platform = is_arm ? TPM_ACPI_PLATFORM_ARM : TPM_ACPI_PLATFORM_X86;
    if (!text) {
        return true;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        if (strcmp(text, names[i]) == 0) {
            *platform = (TPMAcpiPlatform)i;
            return true;
        }
    }
    g_set_error(error, MACHINE_ERROR, 0, "Parameter 'platform' must be x86 or arm, not '%s'", text);
    return false;
}

static void take_text(const KeyVal *keyval, const char *name, const char **value)
{
    const char *text = keyval_get(keyval, name);

    if (text) {
        *value = text;
    }
}

/* Of what is on a bus there is only the device tree, which has fewer. */
static bool check_names(const Dump *dump, const KeyVal *keyval, GError **error)
{
    static const char *const all[] = { "dir",
                                       "platform",
                                       "log",
                                       "log-size",
                                       "log-address",
                                       "scope",
                                       "name",
                                       "irq",
                                       "oem-id",
                                       "oem-revision",
                                       "oem-table-id",
                                       "creator-id",
                                       "creator-revision",
                                       NULL };
    static const char *const of_bus[] = { "dir", "log-size", "log-address", NULL };

    return keyval_check(keyval, tpmdev_device_get_size(dump->device) ? all : of_bus, error);
}

static bool parse_options(Dump *dump, const KeyVal *keyval, GError **error)
{
    TPMAcpiConfig *config = &dump->config;
    bool log = true;

    take_text(keyval, "scope", &config->scope);
    take_text(keyval, "name", &config->name);
    take_text(keyval, "oem-id", &config->oem_id);
    take_text(keyval, "oem-table-id", &config->oem_table_id);
    take_text(keyval, "creator-id", &config->creator_id);
    if (!check_names(dump, keyval, error) ||
        !parse_platform(dump, keyval, &config->platform, error) ||
        !keyval_get_bool(keyval, "log", &log, error) ||
        !parse_number(keyval, "log-address", UINT64_MAX, &config->log_address, error) ||
        !parse_u32(keyval, "log-size", &config->log_size, error) ||
        !parse_u32(keyval, "irq", &config->irq, error) ||
        !parse_u32(keyval, "oem-revision", &config->oem_revision, error) ||
        !parse_u32(keyval, "creator-revision", &config->creator_revision, error)) {
        return false;
    }
    config->base = machine_tpm_address(dump->machine);
    config->no_log = !log;
    return true;
}

/* ---- what goes into the files; each takes the bytes, and fails with NULL ---- */

static bool add_file(Dump *dump, const char *name, GBytes *bytes)
{
    if (bytes) {
        g_assert(dump->count < G_N_ELEMENTS(dump->files));
        dump->files[dump->count++] = (DumpFile){ name, bytes };
    }
    return bytes != NULL;
}

static bool add_tables(Dump *dump, GError **error)
{
    bool is_2_0 = tpmdev_device_get_version(dump->device) == TPM_VERSION_2_0;

    return add_file(dump, "ssdt.aml", tpmdev_acpi_ssdt(dump->device, &dump->config, error)) &&
           add_file(dump, is_2_0 ? "tpm2.aml" : "tcpa.aml",
                    tpmdev_acpi_log_table(dump->device, &dump->config, error));
}

/* As firmware gets them, which places the log itself, whatever the tables beside them say. */
static bool add_fw_cfg(Dump *dump, GError **error)
{
    TPMAcpiConfig config = dump->config;
    GBytes *commands = NULL;

    config.log_address = 0;
    GBytes *tables = tpmdev_fw_cfg_tables(dump->device, &config, &commands, error);

    return add_file(dump, "etc-tpmdev-tables.bin", tables) &&
           add_file(dump, "etc-table-loader.bin", commands) &&
           add_file(dump, "etc-tpm-config.bin", tpmdev_fw_cfg_config(dump->device)) &&
           (config.no_log ||
            add_file(dump, "etc-tpm-log.bin", tpmdev_fw_cfg_log(dump->device, &config, error)));
}

/* ---- the device tree ---- */

/* The node of the bus that such a device is on, with the cells of its addresses. */
static const char *bus_of(TPMInterface interface, uint32_t *address_cells, uint32_t *size_cells)
{
    *address_cells = 1;
    *size_cells = 0;
    switch (interface) {
    case TPM_INTERFACE_TIS_I2C:
        return "i2c";
    case TPM_INTERFACE_TIS_SPI:
        return "spi";
    case TPM_INTERFACE_SPAPR:
        return "vdevice";
    case TPM_INTERFACE_TIS:
    case TPM_INTERFACE_CRB:
    case TPM_INTERFACE_TIS_SYSBUS:
        break;
    }
    *address_cells = *size_cells = 2;
    return "";
}

/* A tree with nothing but the bus. libfdt cannot fail: there is room. */
static char *new_tree(void *fdt, TPMInterface interface)
{
    uint32_t address_cells, size_cells;
    const char *name = bus_of(interface, &address_cells, &size_cells);

    fdt_create_empty_tree(fdt, TREE_SIZE);
    int bus = *name ? fdt_add_subnode(fdt, 0, name) : 0;

    fdt_setprop_u32(fdt, bus, "#size-cells", size_cells);
    fdt_setprop_u32(fdt, bus, "#address-cells", address_cells);
    return g_strconcat("/", name, NULL);
}

/* Only a GIC's binding is known; other controllers have their own. */
static size_t interrupt_of(const TPMAcpiConfig *config, uint32_t cells[GIC_CELLS])
{
    bool is_extended = config->irq >= GIC_ESPI_FIRST;

    if (config->platform != TPM_ACPI_PLATFORM_ARM || !config->irq) {
        return 0;
    }
    cells[0] = is_extended ? GIC_TYPE_ESPI : GIC_TYPE_SPI;
    cells[1] = config->irq - (is_extended ? GIC_ESPI_FIRST : GIC_SPI_FIRST);
    cells[2] = GIC_LEVEL_HIGH;
    return GIC_CELLS;
}

static bool add_tree(Dump *dump, GError **error)
{
    TPMDeviceTreeConfig config = TPM_DEVICE_TREE_CONFIG_INIT;
    TPMInterface interface = tpmdev_device_get_interface(dump->device);
    g_autofree void *fdt = g_malloc0(TREE_SIZE);
    g_autofree char *parent = new_tree(fdt, interface);
    uint32_t interrupt[GIC_CELLS];
    uint32_t window[TPM_DEVICE_TREE_DMA_WINDOW_CELLS] = {
        (uint32_t)machine_tpm_address(dump->machine), 0, 0, 0, SPAPR_WINDOW_SIZE
    };

    config.parent = parent;
    config.address = machine_tpm_address(dump->machine);
    config.interrupt_cells = interrupt_of(&dump->config, interrupt);
    config.interrupt = config.interrupt_cells ? interrupt : NULL;
    config.log_address = dump->config.log_address;
    config.log_size = dump->config.log_size;
    config.dma_window = window;
    if (!tpmdev_device_tree_add(dump->device, &config, fdt, error)) {
        return false;
    }
    fdt_pack(fdt);
    return add_file(dump, "tpm.dtb", g_bytes_new(fdt, fdt_totalsize(fdt)));
}

/* ---- all of it ---- */

/* A CRB device has no binding. */
static bool add_files(Dump *dump, GError **error)
{
    if (tpmdev_device_get_size(dump->device) == 0) {
        return add_tree(dump, error);
    }
    return add_tables(dump, error) && add_fw_cfg(dump, error) &&
           (tpmdev_device_get_interface(dump->device) == TPM_INTERFACE_CRB ||
            add_tree(dump, error));
}

/* Each goes into a file beside it first. The error of a failure names it. */
static bool write_files(const Dump *dump, GError **error)
{
    for (unsigned i = 0; i < dump->count; i++) {
        g_autofree char *path = g_build_filename(dump->directory, dump->files[i].name, NULL);
        gsize size;
        const char *data = g_bytes_get_data(dump->files[i].bytes, &size);

        if (!g_file_set_contents(path, data, (gssize)size, error)) {
            return false;
        }
    }
    return true;
}

static bool check_directory(const Dump *dump, GError **error)
{
    if (!dump->device) {
        g_set_error(error, MACHINE_ERROR, 0, "there is no TPM; give -tpmdev and -device");
        return false;
    }
    if (!dump->directory || !g_file_test(dump->directory, G_FILE_TEST_IS_DIR)) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "Parameter 'dir' expects a directory that is there, not '%s'",
                    dump->directory ? dump->directory : "");
        return false;
    }
    return true;
}

bool acpi_dump(const Machine *machine, const char *text, GError **error)
{
    g_autoptr(KeyVal) keyval = keyval_parse(text, "dir", error);
    Dump dump = { .machine = machine, .device = machine_tpm(machine) };

    if (!keyval) {
        return false;
    }
    dump.config = (TPMAcpiConfig)TPM_ACPI_CONFIG_INIT;
    take_text(keyval, "dir", &dump.directory);
    bool good = check_directory(&dump, error) && parse_options(&dump, keyval, error) &&
                add_files(&dump, error) && write_files(&dump, error);

    for (unsigned i = 0; i < dump.count; i++) {
        g_bytes_unref(dump.files[i].bytes);
    }
    return good;
}
