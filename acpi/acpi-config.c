/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TPMAcpiConfig: what a host says of where its TPM is, checked field by field before a byte of a
 * table is written. A wrong table is found by nobody but the guest's owner, much later.
 *
 * Neighbours: log-table.c and ssdt.c, which begin with this.
 */
#include "acpi-config.h"

#include "aml.h"

#include <inttypes.h>
#include <string.h>

#define PAGE_SIZE_BYTES 0x1000u

static bool refuse(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static bool refuse(GError **error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    char *message = g_strdup_vprintf(format, arguments);

    va_end(arguments);
    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION, "TPM ACPI tables: %s", message);
    g_free(message);
    return false;
}

static bool check_base(uint64_t base, size_t device_size, GError **error)
{
    uint64_t highest = UINT64_MAX - device_size + 1; /* a multiple of pages, as the size is */

    if (base % PAGE_SIZE_BYTES != 0) {
        return refuse(error,
                      "base 0x%" PRIx64 " is not page-aligned; give a multiple of 0x%x, such as "
                      "0x%x",
                      base, PAGE_SIZE_BYTES, TPM_BASE_ADDRESS);
    }
    if (base > highest) {
        return refuse(error,
                      "base 0x%" PRIx64
                      " puts the device's 0x%zx bytes beyond 64 bits; give 0x%" PRIx64
                      " or less, such as 0x%x",
                      base, device_size, highest, TPM_BASE_ADDRESS);
    }
    return true;
}

/* An address of 0 is one the firmware's linker is still to fill in. */
static bool check_log(const TPMAcpiConfig *config, GError **error)
{
    if (config->no_log) {
        return !config->log_address || refuse(error,
                                              "no_log is set and log_address is 0x%" PRIx64
                                              "; leave log_address 0, or no_log unset",
                                              config->log_address);
    }
    if (config->log_size < TPM_LOG_AREA_SIZE) {
        return refuse(error,
                      "log_size 0x%" PRIx32
                      " is less than the log of a PC client takes; give 0x%x bytes or more, or set "
                      "no_log",
                      config->log_size, TPM_LOG_AREA_SIZE);
    }
    if (config->log_address > UINT64_MAX - config->log_size) {
        return refuse(error,
                      "log_address 0x%" PRIx64 " and log_size 0x%" PRIx32
                      " reach beyond 64 bits; give an address of guest memory",
                      config->log_address, config->log_size);
    }
    return true;
}

static bool check_scope(const char *scope, GError **error)
{
    if (!scope || !tpm_aml_is_absolute_path(scope)) {
        return refuse(error,
                      "scope '%s' is no absolute ACPI path; give a backslash and names of one to "
                      "four of A-Z, 0-9 and _ with dots between them, such as \\_SB or \\_SB.PCI0",
                      scope ? scope : "(null)");
    }
    return true;
}

/* Something in the guest's address space. */
typedef struct Place {
    const char *field; /* which of ours put it there; NULL: the device's own configuration */
    const char *what;
    uint64_t address;
    uint64_t size; /* 0: it is not there, or nobody knows yet where */
} Place;

static bool overlap(const Place *a, const Place *b)
{
    if (!a->size || !b->size) {
        return false;
    }
    return a->address < b->address ? b->address - a->address < a->size
                                   : a->address - b->address < b->size;
}

static bool check_apart(const Place *moved, const Place *other, GError **error)
{
    if (overlap(moved, other)) {
        return refuse(error,
                      "%s 0x%" PRIx64 " puts the %s over the %s at 0x%" PRIx64
                      "; give each a place of its own",
                      moved->field, moved->address, moved->what, other->what, other->address);
    }
    return true;
}

/* TPMDeviceConfig has been checked; what is said here of the rest must agree with it. */
static bool check_places(const TPMAcpiConfig *config, const TPMDevice *device, GError **error)
{
    uint64_t page_address = tpmdev_device_get_page_address(device);
    uint64_t ppi_address = tpmdev_device_get_ppi_address(device);
    Place window = { "base", "device", config->base, tpmdev_device_get_size(device) };
    Place log = { "log_address", "log", config->log_address,
                  config->log_address ? config->log_size : 0 };
    Place page = { NULL, "page of its buffer", page_address, page_address ? TPM_CRB_PAGE_SIZE : 0 };
    Place ppi = { NULL, "physical presence memory", ppi_address, ppi_address ? TPM_PPI_SIZE : 0 };

    return check_apart(&window, &page, error) && check_apart(&window, &ppi, error) &&
           check_apart(&log, &window, error) && check_apart(&log, &page, error) &&
           check_apart(&log, &ppi, error);
}

/* Names that begin with an underscore are ACPI's own (5.3). */
static bool check_name(const char *name, GError **error)
{
    if (!tpm_aml_is_name_segment(name) || name[0] == '_') {
        return refuse(error,
                      "name '%s' is no ACPI device name; give one to four of A-Z, 0-9 and _, "
                      "beginning with a letter, such as TPM",
                      name);
    }
    return true;
}

/* The interrupts of a GIC that devices have: SPIs, and those of the extended range. */
static bool check_irq(const TPMAcpiConfig *config, GError **error)
{
    uint32_t irq = config->irq;
    bool is_spi = (irq >= 32 && irq <= 1019) || (irq >= 4096 && irq <= 5119);

    if (config->platform == TPM_ACPI_PLATFORM_ARM && irq && !is_spi) {
        return refuse(error,
                      "irq %" PRIu32 " is no shared peripheral interrupt; give 32 to 1019 or 4096 "
                      "to 5119, 32 more than its number in a device tree, or 0 for none",
                      irq);
    }
    return true;
}

/* Identifications in headers are of one length each, with no NUL (5.2.6). */
static bool check_id(const char *field, const char *id, size_t size, const char *example,
                     GError **error)
{
    bool good = id && strlen(id) == size;

    for (size_t i = 0; good && i < size; i++) {
        good = g_ascii_isprint(id[i]);
    }
    if (!good) {
        return refuse(error,
                      "%s '%s' is not %zu printable ASCII characters; fill it up with spaces, as "
                      "in '%s'",
                      field, id ? id : "(null)", size, example);
    }
    return true;
}

static bool check_identity(const TPMAcpiConfig *config, GError **error)
{
    return check_id("oem_id", config->oem_id, TPM_ACPI_OEM_ID_SIZE, "BOCHS ", error) &&
           check_id("oem_table_id", config->oem_table_id, TPM_ACPI_OEM_TABLE_ID_SIZE, "BXPC    ",
                    error) &&
           check_id("creator_id", config->creator_id, TPM_ACPI_CREATOR_ID_SIZE, "BXPC", error);
}

static bool resolve_platform(TPMAcpiConfig *config, GError **error)
{
    const char *name = NULL;

    switch (config->platform) {
    case TPM_ACPI_PLATFORM_X86:
        name = "TPM";
        break;
    case TPM_ACPI_PLATFORM_ARM:
        name = "TPM0";
        break;
    }
    if (!name) {
        return refuse(error, "platform is %d; it must be one of TPMAcpiPlatform's, 0 to %d",
                      (int)config->platform, (int)TPM_ACPI_PLATFORM_ARM);
    }
    if (!config->name) {
        config->name = name;
    }
    return true;
}

/* As far as the caller has them: members it does not know have their defaults. */
static bool take_members(const TPMAcpiConfig *given, TPMAcpiConfig *config, GError **error)
{
    *config = (TPMAcpiConfig)TPM_ACPI_CONFIG_INIT;
    if (!given) {
        return true;
    }
    if (given->size < sizeof(given->size)) {
        return refuse(error, "size is %zu; begin with TPM_ACPI_CONFIG_INIT, which sets it",
                      given->size);
    }
    memcpy(config, given, MIN(given->size, sizeof(*config)));
    return true;
}

bool tpm_acpi_config_resolve(const TPMAcpiConfig *given, const TPMDevice *device,
                             TPMAcpiConfig *config, GError **error)
{
    if (tpmdev_device_get_size(device) == 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED,
                    "TPM ACPI tables: they describe a device in memory, and this one is on a bus "
                    "of its own; describe it in the machine's device tree");
        return false;
    }
    return take_members(given, config, error) && resolve_platform(config, error) &&
           check_base(config->base, tpmdev_device_get_size(device), error) &&
           check_log(config, error) && check_places(config, device, error) &&
           check_scope(config->scope, error) && check_name(config->name, error) &&
           check_irq(config, error) && check_identity(config, error);
}
