/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reading the arguments of -plugin. What the plugin does not know is the backend's, which knows its
 * own.
 */
#include "qemu-options.h"
#include "qemu-say.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/*
 * The log area: between the TPM's pages (FED40000h, with room for its PPI page) and the local
 * APIC, where neither pc nor q35 have RAM, a device or a window for one.
 */
#define LOG_ADDRESS_DEFAULT 0xFED50000u

/* The interrupt of QEMU's own devices. */
#define IRQ_DEFAULT 5

void qemu_options_init(QemuOptions *options, const QemuTarget *target)
{
    *options = (QemuOptions){
        .target = target,
        .irq = IRQ_DEFAULT,
        .base = target->base,
        .log_address = LOG_ADDRESS_DEFAULT,
        .for_device = g_string_new(NULL),
        .for_backend = g_string_new(NULL),
    };
}

void qemu_options_clear(QemuOptions *options)
{
    g_string_free(options->for_device, TRUE);
    g_string_free(options->for_backend, TRUE);
}

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

static bool parse_number(const QemuOptions *options, const char *name, const char *text,
                         uint64_t *number)
{
    char *end;

    errno = 0;
    *number = g_ascii_strtoull(text, &end, 0);
    if (errno || end == text || *end || *text == '-') {
        qemu_say("%s=%s is no number; give an address such as 0x%" PRIx64, name, text,
                 options->target->base);
        return false;
    }
    return true;
}

static bool parse_switch(const char *name, const char *text, bool *on)
{
    *on = strcmp(text, "on") == 0;
    if (!*on && strcmp(text, "off") != 0) {
        qemu_say("%s=%s is neither on nor off", name, text);
        return false;
    }
    return true;
}

static bool parse_tables(const char *text, bool *loader)
{
    *loader = strcmp(text, "loader") == 0;
    if (!*loader && strcmp(text, "qemu") != 0) {
        qemu_say("tables=%s is no way to the guest; give tables=qemu or, for OVMF, tables=loader",
                 text);
        return false;
    }
    return true;
}

/* One NAME=VALUE; what the plugin does not know is the backend's, which knows its own. */
static bool parse_option(QemuOptions *options, const char *name, const char *value)
{
    const char *refusal = options->target->refuse ? options->target->refuse(name) : NULL;

    if (refusal) {
        qemu_say("%s= %s", name, refusal);
        return false;
    }
    if (strcmp(name, "device") == 0) {
        options->device = value;
    } else if (strcmp(name, "tpmdev") == 0) {
        options->tpmdev = value;
    } else if (strcmp(name, "stats") == 0) {
        options->stats = value;
    } else if (strcmp(name, "base") == 0) {
        return parse_number(options, name, value, &options->base);
    } else if (strcmp(name, "log") == 0) {
        return parse_number(options, name, value, &options->log_address);
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
    } else if (strcmp(name, "window") == 0 || qemu_is_crb_option(name)) {
        append_option(options->for_device, name, value);
    } else {
        append_option(options->for_backend, name, value);
    }
    return true;
}

/* A model the library knows may still not be one for this target. */
static bool check_model(QemuOptions *options)
{
    const char *const *models = options->target->models;

    options->device = options->device ? options->device : models[0];
    if (!g_strv_contains(models, options->device) &&
        g_strv_contains(tpmdev_device_get_models(), options->device)) {
        char *list = g_strjoinv(" or device=", (char **)models);

        qemu_say("device=%s is not for this QEMU; use device=%s", options->device, list);
        g_free(list);
        return false;
    }
    return true;
}

/* Each may be good, and all of them not. */
static bool check_all(const QemuOptions *options)
{
    if (!options->tpmdev) {
        qemu_say("there is no tpmdev; give tpmdev=libtpms,dir=DIRECTORY or "
                 "tpmdev=emulator,path=SOCKET");
        return false;
    }
    if (options->loader && options->log_address != LOG_ADDRESS_DEFAULT) {
        qemu_say("log= is for tables=qemu; with tables=loader firmware has its log where it likes");
        return false;
    }
    if (options->acpi_irq && options->irq == 0) {
        qemu_say("acpi-irq=on needs an interrupt; give irq=1 to 15");
        return false;
    }
    return true;
}

bool qemu_options_parse(QemuOptions *options, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');

        if (!equals) {
            qemu_say("'%s' is no option; give NAME=VALUE", argv[i]);
            return false;
        }
        char *name = g_strndup(argv[i], (gsize)(equals - argv[i]));
        bool good = parse_option(options, name, equals + 1);

        g_free(name);
        if (!good) {
            return false;
        }
    }
    if (!check_all(options) || !check_model(options)) {
        return false;
    }
    options->loader |= g_strcmp0(options->device, options->target->by_loader) == 0;
    return true;
}
