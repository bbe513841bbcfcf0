/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Address space, memory and the TPM device of the machine, which is to the library what any
 * hypervisor is; see machine.h.
 */
#include "machine.h"
#include "aspeed-i2c.h"
#include "keyval.h"
#include "papr.h"

#include <errno.h>
#include <string.h>

/* The interrupt of the device when `irq=` does not say, as in QEMU. */
#define TPM_IRQ_DEFAULT 5

/* As in QEMU, a machine whose TPM does not start does not start; nanoseconds. */
#define START_TIMEOUT_NS G_GINT64_CONSTANT(30000000000)

/* Where a PC's memory goes on that has no place below. */
#define RAM_HIGH_BASE (UINT64_C(4) << 30)

/* The model that is on a bus, not in the address space. */
#define I2C_MODEL "tpm-tis-i2c"

struct Machine {
    const MachineArch *arch;
    bool is_big_endian;
    Ram *ram;
    bool incoming; /* the device is made to be loaded */

    TPMBackend *backend;
    char *backend_options;
    TPMDevice *device;
    uint64_t device_base;
    uint64_t device_address; /* on its bus, which may be another than memory */
    uint64_t device_size;
    unsigned device_irq;
    uint8_t *page; /* memory of the device that the guest has at page_base; or NULL */
    uint64_t page_base;
    uint8_t *ppi; /* physical presence memory that the guest has at ppi_base; or NULL */
    uint64_t ppi_base;
    AspeedI2C *i2c; /* in a machine whose TPM is on an I2C bus */
    Papr *papr;     /* what the device needs of a hypervisor; NULL where it is not spapr */

    MachineIRQ irq_callback;
    void *irq_opaque;
    MachineLink link_callback;
    void *link_opaque;
};

/*
 * As QEMU's machines have it: a PC; `virt`, whose platform bus begins at 0C000000h and at shared
 * peripheral interrupt 112 of a controller without a name; `rainier-bmc`, with its I2C controller
 * at 1E78A000h; `pseries`, whose virtual I/O devices have no registers.
 */
static const MachineArch arch_rows[] = {
    { "x86_64",
      "little",
      "ioapic",
      0,
      0,
      UINT64_C(3) << 30,
      TPM_BASE_ADDRESS,
      { "tpm-tis", "tpm-crb" },
      false,
      true },
    { "aarch64",
      "little",
      "device[1]",
      112,
      0x40000000,
      0,
      0x0C000000,
      { "tpm-tis-device", "tpm-crb" },
      false,
      false },
    { "arm", "little", "gic", 0, 0x80000000, 0, 0x1E78A000, { "tpm-tis-i2c" }, false, false },
    { "ppc64", "big", "ics", 0, 0, 0, 0, { "tpm-spapr" }, true, false },
};

const MachineArch *machine_arch_of(const char *program)
{
    const char *dash = strrchr(program, '-');

    for (gsize i = 0; dash && i < G_N_ELEMENTS(arch_rows); i++) {
        if (strcmp(dash + 1, arch_rows[i].name) == 0) {
            return &arch_rows[i];
        }
    }
    return &arch_rows[0];
}

/* ---- life ---- */

Machine *machine_new(const MachineArch *arch, uint64_t size, GError **error)
{
    Ram *ram = ram_new(size, error);

    if (!ram) {
        return NULL;
    }
    Machine *machine = g_new0(Machine, 1);

    machine->arch = arch;
    machine->is_big_endian = strcmp(arch->endianness, "big") == 0;
    machine->ram = ram;
    if (g_strv_contains(arch->models, I2C_MODEL)) {
        machine->i2c = aspeed_i2c_new();
    }
    return machine;
}

void machine_free(Machine *machine)
{
    if (machine) {
        aspeed_i2c_free(machine->i2c);
        tpmdev_device_free(machine->device);
        tpmdev_backend_unref(machine->backend);
        papr_free(machine->papr);
        g_free(machine->backend_options);
        ram_free(machine->ram);
        g_free(machine);
    }
}

const MachineArch *machine_arch(const Machine *machine)
{
    return machine->arch;
}

TPMDevice *machine_tpm(const Machine *machine)
{
    return machine->device;
}

TPMBackend *machine_backend(const Machine *machine)
{
    return machine->backend;
}

const char *machine_tpmdev_options(const Machine *machine)
{
    return machine->backend_options;
}

bool machine_tpm_is_executing(const Machine *machine)
{
    TPMBackendStatistics statistics = { .size = sizeof(statistics) };

    if (!machine->device) {
        return false;
    }
    tpmdev_backend_get_statistics(tpmdev_device_get_backend(machine->device), &statistics);
    return statistics.executing;
}

uint64_t machine_tpm_address(const Machine *machine)
{
    return machine->device_address;
}

Papr *machine_papr(const Machine *machine)
{
    return machine->papr;
}

AspeedI2C *machine_i2c(const Machine *machine)
{
    return machine->i2c;
}

const Ram *machine_ram(const Machine *machine)
{
    return machine->ram;
}

void machine_take_ram(Machine *machine, Ram *ram)
{
    ram_free(machine->ram);
    machine->ram = ram;
}

void machine_expect_incoming(Machine *machine)
{
    machine->incoming = true;
}

void machine_reset(Machine *machine)
{
    if (machine->i2c) {
        aspeed_i2c_reset(machine->i2c);
    }
    if (machine->device) {
        tpmdev_device_reset(machine->device);
    }
    if (machine->papr) {
        papr_reset(machine->papr);
    }
}

/* ---- the TPM ---- */

static void on_set_irq(void *opaque, bool level)
{
    Machine *machine = opaque;

    if (machine->irq_callback) {
        machine->irq_callback(machine->irq_opaque, machine->device_irq, level);
    }
}

void machine_pulse_irq(Machine *machine)
{
    on_set_irq(machine, true);
    on_set_irq(machine, false);
}

static bool on_dma_read(void *opaque, uint64_t address, void *data, size_t size)
{
    return machine_dma_read(opaque, address, data, size);
}

static bool on_dma_write(void *opaque, uint64_t address, const void *data, size_t size)
{
    return machine_dma_write(opaque, address, data, size);
}

static bool on_send_crq(void *opaque, const uint8_t message[TPM_CRQ_MESSAGE_SIZE])
{
    Machine *machine = opaque;

    return papr_send_crq(machine->papr, message);
}

/* The device's pages are no memory of the machine. */
static void on_clear_memory(void *opaque)
{
    Machine *machine = opaque;

    ram_clear(machine->ram);
}

static void on_guest_error(void *opaque, const char *message)
{
    (void)opaque;
    g_printerr("%s: guest error: %s\n", g_get_prgname(), message);
}

static void on_backend_error(void *opaque, const char *message)
{
    (void)opaque;
    g_printerr("%s: backend error: %s\n", g_get_prgname(), message);
}

static void on_backend_link(void *opaque, TPMBackendLink link, const char *message)
{
    Machine *machine = opaque;

    if (machine->link_callback) {
        machine->link_callback(machine->link_opaque, link, message);
    }
}

bool machine_add_tpmdev(Machine *machine, const char *options, const char *given,
                        TPMChardevLookup lookup, void *opaque, GError **error)
{
    if (machine->backend) {
        g_set_error(error, MACHINE_ERROR, 0, "Only one TPM is allowed.");
        return false;
    }
    machine->backend = tpmdev_backend_new_from_string(options, lookup, opaque, error);
    machine->backend_options = g_strdup(given);
    return machine->backend != NULL;
}

/* A model the library knows may still not be one for this machine. */
static bool check_model(const Machine *machine, const char *model, GError **error)
{
    const char *const *models = machine->arch->models;
    g_autofree char *list = g_strjoinv(", ", (char **)models);

    if (!model || !g_strv_contains(tpmdev_device_get_models(), model) ||
        g_strv_contains(models, model)) {
        return true; /* or the library's to refuse */
    }
    g_set_error(error, MACHINE_ERROR, 0, "'%s' has no place in the %s machine; it takes one of: %s",
                model, machine->arch->name, list);
    return false;
}

/* On a PC the interrupt's number is its line. Elsewhere the guest just reads the number, if any. */
static unsigned irq_line(const MachineArch *arch, const char *irq)
{
    if (arch->irq || arch->has_papr) {
        return arch->irq;
    }
    return irq ? (unsigned)g_ascii_strtoull(irq, NULL, 10) : TPM_IRQ_DEFAULT;
}

/* Where the device is and which line it has: the options say, or the machine does. */
static void place_device(Machine *machine, const KeyVal *keyval)
{
    const char *base = keyval_get(keyval, "base");

    machine->device_irq = irq_line(machine->arch, keyval_get(keyval, "irq"));
    machine->device_base = base ? g_ascii_strtoull(base, NULL, 0) : machine->arch->tpm_base;
    machine->device_size = tpmdev_device_get_size(machine->device);
    machine->page = tpmdev_device_get_page(machine->device);
    machine->page_base = tpmdev_device_get_page_address(machine->device);
    machine->ppi = tpmdev_device_get_ppi(machine->device);
    machine->ppi_base = tpmdev_device_get_ppi_address(machine->device);
}

static bool is_i2c(const KeyVal *keyval)
{
    return g_strcmp0(keyval_get(keyval, "driver"), I2C_MODEL) == 0;
}

/* The unit address of a virtual I/O device: the machine's matter, for it is in hypercalls alone. */
static bool take_reg(Machine *machine, const KeyVal *keyval, GError **error)
{
    const char *text = keyval_get(keyval, "reg");
    char *end = NULL;
    uint64_t unit = PAPR_UNIT_DEFAULT;

    if (!machine->arch->has_papr) {
        return true; /* a `reg` is the library's to refuse */
    }
    if (text) {
        errno = 0;
        unit = g_ascii_strtoull(text, &end, 0);
    }
    if (text && (end == text || *end || errno || unit > UINT32_MAX || !g_ascii_isdigit(*text))) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "Parameter 'reg' expects a unit address of 32 bits such as 0x%x, not '%s'",
                    PAPR_UNIT_DEFAULT, text);
        return false;
    }
    papr_free(machine->papr); /* of a device that is now named a second time */
    machine->papr = papr_new(machine, (uint32_t)unit);
    machine->device_address = unit;
    return true;
}

/*
 * What the library is told: not of what is the machine's, and of the base also when the options
 * leave it out. Physical presence memory is QEMU's property, on or off as QEMU spells it.
 */
static char *options_for_library(const Machine *machine, const KeyVal *keyval, bool ppi)
{
    static const char *const of_machine[] = { "ppi", NULL };
    static const char *const of_i2c[] = { "ppi", "bus", "address", NULL };
    static const char *const of_papr[] = { "ppi", "reg", NULL };
    bool has_papr = machine->arch->has_papr;
    g_autofree char *options = keyval_format(keyval, has_papr         ? of_papr
                                                     : is_i2c(keyval) ? of_i2c
                                                                      : of_machine);
    const char *ppi_option = ppi ? ",ppi=on" : "";
    const char *incoming_option = machine->incoming ? ",incoming=on" : "";

    if (is_i2c(keyval) || has_papr || keyval_get(keyval, "base")) {
        return g_strconcat(options, ppi_option, incoming_option, NULL);
    }
    return g_strdup_printf("%s,base=0x%" G_GINT64_MODIFIER "x%s%s", options,
                           machine->arch->tpm_base, ppi_option, incoming_option);
}

bool machine_add_device(Machine *machine, const char *options, GError **error)
{
    g_autoptr(KeyVal) keyval = keyval_parse(options, "driver", error);
    TPMBackend *const backends[] = { machine->backend, NULL };
    TPMHost host = TPM_HOST_INIT;
    AspeedI2CPlace place = { 0 };
    bool ppi = machine->arch->has_ppi;

    if (!keyval || !keyval_get_bool(keyval, "ppi", &ppi, error) ||
        !check_model(machine, keyval_get(keyval, "driver"), error) ||
        !take_reg(machine, keyval, error) ||
        (is_i2c(keyval) && !aspeed_i2c_parse_place(keyval, &place, error))) {
        return false;
    }
    g_autofree char *for_library = options_for_library(machine, keyval, ppi);

    host.set_irq = on_set_irq;
    host.guest_error = on_guest_error;
    host.backend_error = on_backend_error;
    host.backend_link = on_backend_link;
    host.context = g_main_context_default();
    host.dma_read = on_dma_read;
    host.dma_write = on_dma_write;
    host.send_crq = on_send_crq;
    host.clear_memory = on_clear_memory;
    TPMDevice *device = tpmdev_device_new_from_string(for_library, backends, &host, machine, error);
    if (!device) {
        return false;
    }
    machine->device = device;
    place_device(machine, keyval);
    if (machine->device_size) {
        machine->device_address = machine->device_base;
    }
    if (is_i2c(keyval)) {
        machine->device_address = place.address;
        aspeed_i2c_attach(machine->i2c, &place, device);
    }
    return machine->incoming || tpmdev_device_wait_ready(device, START_TIMEOUT_NS, error);
}

void machine_watch_irq(Machine *machine, MachineIRQ callback, void *opaque)
{
    machine->irq_callback = callback;
    machine->irq_opaque = opaque;
}

void machine_watch_link(Machine *machine, MachineLink callback, void *opaque)
{
    machine->link_callback = callback;
    machine->link_opaque = opaque;
}

/* ---- the address space ---- */

static bool is_within(uint64_t address, uint64_t width, uint64_t base, uint64_t size)
{
    return address >= base && address - base < size && size - (address - base) >= width;
}

/* Whether all of it is guest memory, and which. */
static bool is_ram(const Machine *machine, uint64_t address, uint64_t width, uint64_t *offset)
{
    const MachineArch *arch = machine->arch;
    uint64_t size = ram_size(machine->ram);
    uint64_t low = arch->ram_low ? MIN(size, arch->ram_low) : size;

    if (is_within(address, width, arch->ram_base, low)) {
        *offset = address - arch->ram_base;
        return true;
    }
    *offset = address - RAM_HIGH_BASE + low;
    return is_within(address, width, RAM_HIGH_BASE, size - low);
}

static bool is_tpm(const Machine *machine, uint64_t address, uint64_t width)
{
    return machine->device && is_within(address, width, machine->device_base, machine->device_size);
}

static bool is_page(const Machine *machine, uint64_t address, uint64_t width)
{
    return machine->page && is_within(address, width, machine->page_base, TPM_CRB_PAGE_SIZE);
}

static bool is_ppi(const Machine *machine, uint64_t address, uint64_t width)
{
    return machine->ppi && is_within(address, width, machine->ppi_base, TPM_PPI_SIZE);
}

static bool is_i2c_register(const Machine *machine, uint64_t address, uint64_t width)
{
    return machine->i2c && width == 4 && address % 4 == 0 &&
           is_within(address, width, machine->arch->tpm_base, ASPEED_I2C_SIZE);
}

/* Memory of the device that the guest reaches without an exit, or NULL. It lies over the machine's.
 */
static uint8_t *device_memory_at(const Machine *machine, uint64_t address, uint64_t width)
{
    if (is_page(machine, address, width)) {
        return machine->page + (address - machine->page_base);
    }
    if (is_ppi(machine, address, width)) {
        return machine->ppi + (address - machine->ppi_base);
    }
    return NULL;
}

/* Any memory, to be read. */
static const uint8_t *memory_at(const Machine *machine, uint64_t address, uint64_t width)
{
    const uint8_t *memory = device_memory_at(machine, address, width);
    uint64_t offset;

    return !memory && is_ram(machine, address, width, &offset) ? ram_at(machine->ram, offset)
                                                               : memory;
}

/* False when no memory is there. */
static bool write_memory(Machine *machine, uint64_t address, const void *data, uint64_t size)
{
    uint8_t *memory = device_memory_at(machine, address, size);
    uint64_t offset;

    if (memory) {
        memcpy(memory, data, size);
        return true;
    }
    if (is_ram(machine, address, size, &offset)) {
        ram_write(machine->ram, offset, data, size);
        return true;
    }
    return false;
}

/* ---- DMA ---- */

bool machine_dma_read(Machine *machine, uint64_t address, void *data, size_t size)
{
    const uint8_t *memory = memory_at(machine, address, size);

    if (memory) {
        memcpy(data, memory, size);
    }
    return memory != NULL;
}

bool machine_dma_write(Machine *machine, uint64_t address, const void *data, size_t size)
{
    return write_memory(machine, address, data, size);
}

/* ---- accesses ---- */

/* The bytes of a value, in the order in which this machine's CPU would store them. */
static void to_bytes(const Machine *machine, uint64_t value, uint8_t *bytes, unsigned width)
{
    for (unsigned i = 0; i < width; i++) {
        bytes[machine->is_big_endian ? width - 1 - i : i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t from_bytes(const Machine *machine, const uint8_t *bytes, unsigned width)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < width; i++) {
        value |= (uint64_t)bytes[machine->is_big_endian ? width - 1 - i : i] << (8 * i);
    }
    return value;
}

/* An access across the edge of something is made byte by byte. */
static uint64_t load_bytes(Machine *machine, uint64_t address, unsigned width)
{
    uint8_t bytes[8] = { 0 };

    for (unsigned i = 0; i < width && width > 1; i++) {
        bytes[i] = (uint8_t)machine_load(machine, address + i, 1);
    }
    return from_bytes(machine, bytes, width);
}

static void store_bytes(Machine *machine, uint64_t address, unsigned width, uint64_t value)
{
    uint8_t bytes[8];

    to_bytes(machine, value, bytes, width);
    for (unsigned i = 0; i < width && width > 1; i++) {
        machine_store(machine, address + i, 1, bytes[i]);
    }
}

uint64_t machine_load(Machine *machine, uint64_t address, unsigned width)
{
    const uint8_t *memory = memory_at(machine, address, width);
    uint64_t value = 0;

    if (memory) {
        return from_bytes(machine, memory, width);
    }
    if (is_tpm(machine, address, width)) {
        tpmdev_device_read(machine->device, address - machine->device_base, width, &value);
        return value;
    }
    if (is_i2c_register(machine, address, width)) {
        return aspeed_i2c_read(machine->i2c, (uint32_t)(address - machine->arch->tpm_base));
    }
    return load_bytes(machine, address, width);
}

void machine_store(Machine *machine, uint64_t address, unsigned width, uint64_t value)
{
    uint8_t bytes[8];

    to_bytes(machine, value, bytes, width);
    if (write_memory(machine, address, bytes, width)) {
        return;
    }
    if (is_tpm(machine, address, width)) {
        tpmdev_device_write(machine->device, address - machine->device_base, width, value);
    } else if (is_i2c_register(machine, address, width)) {
        aspeed_i2c_write(machine->i2c, (uint32_t)(address - machine->arch->tpm_base),
                         (uint32_t)value);
    } else {
        store_bytes(machine, address, width, value);
    }
}

/* The widest aligned access that begins at address and ends by size. */
static unsigned widest_access(uint64_t address, size_t size)
{
    unsigned width = 8;

    while (width > size || address % width != 0) {
        width /= 2;
    }
    return width;
}

void machine_read(Machine *machine, uint64_t address, uint8_t *data, size_t size)
{
    while (size) {
        unsigned width = widest_access(address, size);

        to_bytes(machine, machine_load(machine, address, width), data, width);
        address += width;
        data += width;
        size -= width;
    }
}

void machine_write(Machine *machine, uint64_t address, const uint8_t *data, size_t size)
{
    while (size) {
        unsigned width = widest_access(address, size);

        machine_store(machine, address, width, from_bytes(machine, data, width));
        address += width;
        data += width;
        size -= width;
    }
}
