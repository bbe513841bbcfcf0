/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device-tree node of a TPM device (Linux's bindings: tcg,tpm-tis-mmio, tcg,tpm-tis-i2c,
 * tcg,tpm_tis-spi, IBM,vtpm; Devicetree Specification 0.4 for what all nodes have). libfdt writes
 * it; what may be written is decided here, before a byte of the tree changes.
 *
 * Neighbours: acpi-config.c and ssdt.c say the same to systems with ACPI.
 */
#include <inttypes.h>
#include <libfdt.h>
#include <string.h>
#include <tpmdev/acpi.h>
#include <tpmdev/device_tree.h>
#include <tpmdev/spapr.h>

/* How a bus counts the addresses of what is on it. */
typedef enum TreeBus {
    BUS_MEMORY, /* address and size, of as many cells as the bus says */
    BUS_NUMBER, /* one cell: I2C, SPI, virtual devices */
} TreeBus;

typedef struct Binding {
    const char *node; /* the name before the @ */
    const char *compatible;
    TreeBus bus;
} Binding;

/* False where Linux knows none. */
static bool find_binding(const TPMDevice *device, Binding *binding)
{
    switch (tpmdev_device_get_interface(device)) {
    case TPM_INTERFACE_TIS:
    case TPM_INTERFACE_TIS_SYSBUS:
        *binding = (Binding){ "tpm", "tcg,tpm-tis-mmio", BUS_MEMORY };
        return true;
    case TPM_INTERFACE_TIS_I2C:
        *binding = (Binding){ "tpm", "tcg,tpm-tis-i2c", BUS_NUMBER };
        return true;
    case TPM_INTERFACE_TIS_SPI:
        *binding = (Binding){ "tpm", "tcg,tpm_tis-spi", BUS_NUMBER };
        return true;
    case TPM_INTERFACE_SPAPR:
        *binding =
            (Binding){ TPM_SPAPR_NODE_NAME,
                       tpmdev_spapr_get_compatible(tpmdev_device_get_version(device)), BUS_NUMBER };
        return true;
    case TPM_INTERFACE_CRB:
        break;
    }
    return false;
}

G_GNUC_PRINTF(3, 4)
static bool refuse(GError **error, TPMError code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    g_autofree char *message = g_strdup_vprintf(format, arguments);

    va_end(arguments);
    g_set_error(error, TPMDEV_ERROR, (gint)code, "TPM device tree: %s", message);
    return false;
}

/* ---- what may be written ---- */

/* Where the node goes, and what it will be called. */
typedef struct Place {
    int parent; /* libfdt's offset */
    int address_cells;
    int size_cells;
    char name[32];
} Place;

static bool check_cells(const TPMDeviceTreeConfig *config, const Binding *binding,
                        const Place *place, GError **error)
{
    bool is_memory = binding->bus == BUS_MEMORY;

    if (place->address_cells < 1 || place->address_cells > 2 ||
        (!is_memory && place->address_cells != 1) || place->size_cells < 0 ||
        place->size_cells > 2 || (place->size_cells > 0) != is_memory) {
        return refuse(error, TPM_ERROR_INVALID_OPTION,
                      "'%s' has %d address cells and %d size cells; a bus for %s has %s",
                      config->parent, place->address_cells, place->size_cells, binding->compatible,
                      is_memory ? "one or two of each" : "one address cell and no size cell");
    }
    if (place->address_cells == 1 && config->address > UINT32_MAX) {
        return refuse(error, TPM_ERROR_INVALID_OPTION,
                      "address 0x%" PRIx64
                      " does not fit the one address cell of '%s'; give one below 0x100000000",
                      config->address, config->parent);
    }
    return true;
}

/* Firmware of a pSeries machine has the log, and tells of it in another byte order. */
static bool check_spapr(const TPMDeviceTreeConfig *config, GError **error)
{
    if (config->log_address) {
        return refuse(error, TPM_ERROR_INVALID_OPTION,
                      "log_address is set; leave it 0, firmware of a pSeries machine makes the log "
                      "and tells of it");
    }
    if (!config->dma_window) {
        return refuse(error, TPM_ERROR_INVALID_OPTION,
                      "dma_window is missing; give the %u numbers of ibm,my-dma-window",
                      TPM_DEVICE_TREE_DMA_WINDOW_CELLS);
    }
    return true;
}

static bool check_config(const TPMDeviceTreeConfig *config, GError **error)
{
    if (!config->parent) {
        return refuse(error, TPM_ERROR_INVALID_OPTION,
                      "parent is NULL; give the path of the bus, such as /");
    }
    if ((config->interrupt != NULL) != (config->interrupt_cells > 0)) {
        return refuse(error, TPM_ERROR_INVALID_OPTION,
                      "interrupt and interrupt_cells go together; give both or none");
    }
    if (config->log_address && !config->log_size) {
        return refuse(error, TPM_ERROR_INVALID_OPTION,
                      "log_size is 0 though log_address is set; give the log's size in bytes, "
                      "such as 0x%x",
                      TPM_LOG_AREA_SIZE);
    }
    return true;
}

static bool find_place(const TPMDeviceTreeConfig *config, const Binding *binding, const void *fdt,
                       Place *place, GError **error)
{
    int problem = fdt_check_header(fdt);

    if (problem) {
        return refuse(error, TPM_ERROR_INVALID_OPTION, "fdt is no flattened device tree: %s",
                      fdt_strerror(problem));
    }
    place->parent = fdt_path_offset(fdt, config->parent);
    if (place->parent < 0) {
        return refuse(error, TPM_ERROR_NOT_FOUND,
                      "parent '%s' is not there (%s); give the path of the bus", config->parent,
                      fdt_strerror(place->parent));
    }
    place->address_cells = fdt_address_cells(fdt, place->parent);
    place->size_cells = fdt_size_cells(fdt, place->parent);
    if (!check_cells(config, binding, place, error)) {
        return false;
    }
    g_snprintf(place->name, sizeof(place->name), "%s@%" PRIx64, binding->node, config->address);
    if (fdt_subnode_offset(fdt, place->parent, place->name) >= 0) {
        return refuse(error, TPM_ERROR_IN_USE,
                      "'%s' has a node '%s' already; give each TPM an address of its own",
                      config->parent, place->name);
    }
    return true;
}

/* ---- writing; each returns 0 or libfdt's error, and does nothing after one ---- */

typedef struct Writer {
    void *fdt;
    int node;
    int problem;
} Writer;

static void put_string(Writer *writer, const char *name, const char *value)
{
    if (!writer->problem) {
        writer->problem =
            fdt_setprop(writer->fdt, writer->node, name, value, (int)strlen(value) + 1);
    }
}

static void put_u32(Writer *writer, const char *name, uint32_t value)
{
    if (!writer->problem) {
        writer->problem = fdt_setprop_u32(writer->fdt, writer->node, name, value);
    }
}

static void put_u64(Writer *writer, const char *name, uint64_t value)
{
    if (!writer->problem) {
        writer->problem = fdt_setprop_u64(writer->fdt, writer->node, name, value);
    }
}

static void put_cells(Writer *writer, const char *name, const uint32_t *cells, size_t count)
{
    for (size_t i = 0; i < count && !writer->problem; i++) {
        writer->problem = i ? fdt_appendprop_u32(writer->fdt, writer->node, name, cells[i])
                            : fdt_setprop_u32(writer->fdt, writer->node, name, cells[i]);
    }
}

/* A number of one or two cells, behind those that are there. */
static size_t add_number(uint32_t *cells, size_t count, int width, uint64_t number)
{
    if (width == 2) {
        cells[count++] = (uint32_t)(number >> 32);
    }
    if (width >= 1) {
        cells[count++] = (uint32_t)number;
    }
    return count;
}

static void put_reg(Writer *writer, const TPMDevice *device, const TPMDeviceTreeConfig *config,
                    const Place *place)
{
    uint32_t cells[4];
    size_t count = add_number(cells, 0, place->address_cells, config->address);

    count = add_number(cells, count, place->size_cells, tpmdev_device_get_size(device));
    put_cells(writer, "reg", cells, count);
}

static void put_common(Writer *writer, const TPMDeviceTreeConfig *config)
{
    put_cells(writer, "interrupts", config->interrupt, config->interrupt_cells);
    if (config->interrupt && config->interrupt_parent) {
        put_u32(writer, "interrupt-parent", config->interrupt_parent);
    }
    if (config->log_address) {
        put_u64(writer, "linux,sml-base", config->log_address);
        put_u32(writer, "linux,sml-size", config->log_size);
    }
}

/* What LoPAPR wants of every virtual device that does DMA. */
static void put_spapr(Writer *writer, const TPMDeviceTreeConfig *config)
{
    put_string(writer, "device_type", TPM_SPAPR_DEVICE_TYPE);
    put_u32(writer, "ibm,#dma-address-cells", 2);
    put_u32(writer, "ibm,#dma-size-cells", 2);
    put_cells(writer, "ibm,my-dma-window", config->dma_window, TPM_DEVICE_TREE_DMA_WINDOW_CELLS);
}

static void put_node(Writer *writer, const TPMDevice *device, const TPMDeviceTreeConfig *config,
                     const Binding *binding, const Place *place)
{
    put_string(writer, "compatible", binding->compatible);
    put_reg(writer, device, config, place);
    put_common(writer, config);
    if (tpmdev_device_get_interface(device) == TPM_INTERFACE_TIS_SPI) {
        put_u32(writer, "spi-max-frequency", config->spi_max_frequency);
    }
    if (tpmdev_device_get_interface(device) == TPM_INTERFACE_SPAPR) {
        put_spapr(writer, config);
    }
}

/* Into a copy, so that a tree without room for all of it stays as it was. */
static int write_node(const TPMDevice *device, const TPMDeviceTreeConfig *config,
                      const Binding *binding, const Place *place, void *fdt)
{
    size_t size = fdt_totalsize(fdt);
    g_autofree void *copy = g_memdup2(fdt, size);
    Writer writer = { .fdt = copy };

    writer.node = fdt_add_subnode(copy, place->parent, place->name);
    writer.problem = MIN(writer.node, 0);
    put_node(&writer, device, config, binding, place);
    if (!writer.problem) {
        memcpy(fdt, copy, size);
    }
    return writer.problem;
}

gboolean tpmdev_device_tree_add(const TPMDevice *device, const TPMDeviceTreeConfig *given,
                                void *fdt, GError **error)
{
    TPMDeviceTreeConfig config = TPM_DEVICE_TREE_CONFIG_INIT;
    Binding binding;
    Place place;

    if (!find_binding(device, &binding)) {
        return refuse(error, TPM_ERROR_UNSUPPORTED,
                      "there is no binding for %s; describe it by ACPI, or use tpm-tis-device",
                      tpmdev_device_get_model(device));
    }
    if (given) {
        memcpy(&config, given, MIN(given->size, sizeof(config)));
    }
    if (!check_config(&config, error) ||
        (tpmdev_device_get_interface(device) == TPM_INTERFACE_SPAPR &&
         !check_spapr(&config, error)) ||
        !find_place(&config, &binding, fdt, &place, error)) {
        return FALSE;
    }
    int problem = write_node(device, &config, &binding, &place, fdt);

    if (problem) {
        return refuse(error, TPM_ERROR_INVALID_OPTION,
                      "node '%s' cannot be written (%s); give the tree some 300 bytes more by "
                      "fdt_open_into()",
                      place.name, fdt_strerror(problem));
    }
    return TRUE;
}
