/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a device is, in names and numbers: section `device` of a saved one. State is loaded into a
 * device that is the same, and into no other.
 *
 * Neighbour: device-state.c saves and loads the whole. docs/state-format.rst lists the properties.
 */
#include "device-internal.h"

#include <string.h>

#define DEVICE_SECTION          "device"
#define DEVICE_VERSION          1u
#define DEVICE_TYPE             "(sa(st))"
#define DEVICE_FIELD_PROPERTIES 1u

#define PROPERTIES_MAX       16u
#define TPM_VERSION_PROPERTY "tpm-version"

typedef struct Property {
    const char *name;
    uint64_t value;
} Property;

typedef struct Properties {
    Property property[PROPERTIES_MAX];
    size_t n;
} Properties;

static void add(Properties *properties, const char *name, uint64_t value)
{
    g_assert(properties->n < PROPERTIES_MAX);
    properties->property[properties->n++] = (Property){ name, value };
}

/* All of the configuration that a guest can see, and nothing else. */
static void get_properties(const TPMDevice *device, Properties *properties)
{
    const TPMDeviceConfig *config = &device->config;

    properties->n = 0;
    add(properties, TPM_VERSION_PROPERTY, device->version);
    add(properties, "buffer-size", device->request.buffer_size);
    add(properties, "ppi-address", config->ppi_address);
    if (config->interface != TPM_INTERFACE_CRB && config->interface != TPM_INTERFACE_SPAPR) {
        add(properties, "selftest", config->selftest);
    }
    switch (config->interface) {
    case TPM_INTERFACE_TIS:
    case TPM_INTERFACE_TIS_SYSBUS:
        add(properties, "base", config->base);
        add(properties, "irq", config->irq);
        add(properties, "drtm", config->drtm);
        break;
    case TPM_INTERFACE_TIS_SPI:
        add(properties, "irq", config->irq);
        add(properties, "wait-states", config->wait_states);
        break;
    case TPM_INTERFACE_CRB:
        add(properties, "base", config->base);
        add(properties, "localities", config->localities);
        add(properties, "interrupts", config->interrupts);
        add(properties, "buffer-address", config->buffer_address);
        add(properties, "chunk", config->chunk);
        break;
    case TPM_INTERFACE_TIS_I2C:
    case TPM_INTERFACE_SPAPR:
        break;
    }
}

void tpm_device_properties_save(const TPMDevice *device, TPMStateWriter *writer)
{
    GVariantBuilder builder;
    Properties properties;

    get_properties(device, &properties);
    g_variant_builder_init(&builder, G_VARIANT_TYPE("a(st)"));
    for (size_t i = 0; i < properties.n; i++) {
        g_variant_builder_add(&builder, "(st)", properties.property[i].name,
                              properties.property[i].value);
    }
    tpm_state_writer_add(writer, DEVICE_SECTION, DEVICE_VERSION,
                         g_variant_new(DEVICE_TYPE, device->frontend->model, &builder));
}

static const char *version_name(uint64_t version)
{
    return version == TPM_VERSION_1_2 ? "1.2" : version == TPM_VERSION_2_0 ? "2.0" : NULL;
}

static bool mismatch(GError **error, const char *name, uint64_t saved, uint64_t own)
{
    if (strcmp(name, TPM_VERSION_PROPERTY) == 0 && version_name(saved)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_MISMATCH,
                    "saved TPM device state is that of a TPM %s and this device has a TPM %s; "
                    "load it into one with a TPM %s",
                    version_name(saved), version_name(own), version_name(saved));
        return false;
    }
    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_MISMATCH,
                "saved TPM device state is that of a device with %s=%" G_GUINT64_FORMAT
                " and this one has %s=%" G_GUINT64_FORMAT "; make both the same",
                name, saved, name, own);
    return false;
}

static bool find_property(const Properties *properties, const char *name, uint64_t *value)
{
    for (size_t i = 0; i < properties->n; i++) {
        if (strcmp(properties->property[i].name, name) == 0) {
            *value = properties->property[i].value;
            return true;
        }
    }
    return false;
}

/* Read those there are; one this device has no use for would be missed by its guest. */
static bool read_properties(const Properties *own, GVariant *list, Properties *saved,
                            GError **error)
{
    if (g_variant_n_children(list) > PROPERTIES_MAX) {
        return tpm_state_field_wrong(error, DEVICE_SECTION, "properties");
    }
    for (gsize i = 0; i < g_variant_n_children(list); i++) {
        const char *name;
        guint64 value;
        uint64_t known;

        g_variant_get_child(list, i, "(&st)", &name, &value);
        if (!find_property(own, name, &known)) {
            g_autofree char *shown = tpm_state_shown(name);

            g_set_error(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED,
                        "saved TPM device state is that of a device with a property '%s', "
                        "which this one does not have",
                        shown);
            return false;
        }
        add(saved, name, value);
    }
    return true;
}

/* A property that was not there when the state was saved is one that was off. */
bool tpm_device_properties_check(const TPMDevice *device, TPMStateReader *reader, GError **error)
{
    GVariant *content =
        tpm_state_reader_section(reader, DEVICE_SECTION, DEVICE_VERSION, DEVICE_TYPE, error);
    Properties own, saved = { .n = 0 };
    const char *model;

    if (!content) {
        return false;
    }
    g_variant_get(content, "(&s@*)", &model, NULL);
    if (strcmp(model, device->frontend->model) != 0) {
        g_autofree char *shown = tpm_state_shown(model);

        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_MISMATCH,
                    "saved TPM device state is that of a %s and this device is a %s", shown,
                    device->frontend->model);
        return false;
    }
    g_autoptr(GVariant) list = g_variant_get_child_value(content, DEVICE_FIELD_PROPERTIES);

    get_properties(device, &own);
    if (!read_properties(&own, list, &saved, error)) {
        return false;
    }
    for (size_t i = 0; i < own.n; i++) {
        uint64_t value = 0;

        find_property(&saved, own.property[i].name, &value);
        if (value != own.property[i].value) {
            return mismatch(error, own.property[i].name, value, own.property[i].value);
        }
    }
    return true;
}
