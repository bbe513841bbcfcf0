/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finding one's way in QEMU's process: symbols by dlsym(), checks of what can be checked before
 * anything is called that depends on it.
 *
 * Neighbours: libtpmdev-qemu.c, which uses what is found.
 */
#include "qemu-api.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define QEMU_MAJOR 7
#define QEMU_MINOR 2

#define QEMU_PROGRAMS "qemu-system-x86_64, qemu-system-aarch64 or qemu-system-ppc64"

QemuApi qemu;

bool qemu_look_up(const char *name, void *where)
{
    void *symbol = dlsym(RTLD_DEFAULT, name);

    /* ISO C has no conversion from an object's pointer to a function's; POSIX has this one. */
    memcpy(where, &symbol, sizeof(symbol));
    return symbol != NULL;
}

bool qemu_peek(const void *address, void *data, size_t size)
{
    int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : pread(fd, data, size, (off_t)(uintptr_t)address);

    if (fd >= 0) {
        close(fd);
    }
    return got == (ssize_t)size;
}

bool qemu_peek_is_string(const void *address, const char *expected)
{
    char found[QEMU_NAME_SIZE];
    size_t size = strlen(expected) + 1;

    return address && size <= sizeof(found) && qemu_peek(address, found, size) &&
           memcmp(found, expected, size) == 0;
}

#define QEMU_FUNCTION_LOOK_UP(type, name, parameters)                                              \
    if (!qemu_look_up(#name, &qemu.name)) {                                                        \
        return #name;                                                                              \
    }

/* What every machine takes. Returns the first that is missing, as do those below. */
static const char *look_up_common(void)
{
    QEMU_FUNCTIONS(QEMU_FUNCTION_LOOK_UP)
    if (!qemu_look_up("acpi_tables", &qemu.acpi_tables)) {
        return "acpi_tables";
    }
    return qemu_look_up("acpi_tables_len", &qemu.acpi_tables_len) ? NULL : "acpi_tables_len";
}

static const char *look_up_pc(void)
{
    QEMU_PC_FUNCTIONS(QEMU_FUNCTION_LOOK_UP)
    return NULL;
}

static const char *look_up_virt(void)
{
    QEMU_VIRT_FUNCTIONS(QEMU_FUNCTION_LOOK_UP)
    return NULL;
}

#undef QEMU_FUNCTION_LOOK_UP

/* pseries: qemu-vio-api.c looks for what it takes, where it is used. */
static const char *look_up_none(void)
{
    return NULL;
}

/* The targets there are, and what their machines take besides. */
static const struct {
    const char *name;
    const char *(*look_up)(void);
} targets[] = {
    { "x86_64", look_up_pc },
    { "i386", look_up_pc },
    { "aarch64", look_up_virt },
    { "ppc64", look_up_none },
};

/* Returns NULL, or what is wrong with the target. */
static char *look_up_target(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(targets); i++) {
        if (strcmp(targets[i].name, name) == 0) {
            const char *missing = look_up_common();

            missing = missing ? missing : targets[i].look_up();
            return missing ? g_strdup_printf("this QEMU does not export %s; " WHICH_QEMU, missing)
                           : NULL;
        }
    }
    return g_strdup_printf("this QEMU emulates %s; use " QEMU_PROGRAMS, name);
}

static char *check_version(void)
{
    QemuError *error = NULL;
    QemuVersion *version = qemu.qmp_query_version(&error);

    if (!version) {
        return g_strdup("QEMU does not tell its version; " WHICH_QEMU);
    }
    bool known = version->triple->major == QEMU_MAJOR && version->triple->minor == QEMU_MINOR;
    char *wrong = known ? NULL
                        : g_strdup_printf("this is QEMU %" PRId64 ".%" PRId64 ".%" PRId64
                                          ", which is not known to work; " WHICH_QEMU,
                                          version->triple->major, version->triple->minor,
                                          version->triple->micro);

    qemu.qapi_free_VersionInfo(version);
    return wrong;
}

char *qemu_api_load(const QemuPluginInfo *info)
{
    if (!info->system_emulation) {
        return g_strdup("this QEMU emulates no machine; use " QEMU_PROGRAMS);
    }
    if (info->version.cur != QEMU_PLUGIN_API) {
        return g_strdup_printf("QEMU's plugin interface is of version %d, not %d; " WHICH_QEMU,
                               info->version.cur, QEMU_PLUGIN_API);
    }
    char *wrong = look_up_target(info->target_name);

    wrong = wrong ? wrong : check_version();
    if (!wrong && qemu.object_type_get_instance_size("memory-region") > sizeof(QemuMemoryRegion)) {
        wrong = g_strdup("QEMU's memory regions are larger than expected; " WHICH_QEMU);
    }
    return wrong;
}

static uint16_t get_le16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static void put_le16(uint8_t *bytes, size_t value)
{
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

void qemu_add_acpi_table(GBytes *table)
{
    size_t size;
    const uint8_t *data = g_bytes_get_data(table, &size);
    size_t before = *qemu.acpi_tables ? *qemu.acpi_tables_len : 2;
    size_t after = before + 2 + size;
    uint16_t count = *qemu.acpi_tables ? get_le16(*qemu.acpi_tables) : 0;
    uint8_t *tables = g_realloc(*qemu.acpi_tables, after);

    g_assert(size <= UINT16_MAX);
    put_le16(tables, count + 1u);
    put_le16(tables + before, size);
    memcpy(tables + before + 2, data, size);
    *qemu.acpi_tables = tables;
    *qemu.acpi_tables_len = after;
}
