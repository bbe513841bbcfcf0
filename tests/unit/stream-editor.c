/* SPDX-License-Identifier: BSD-3-Clause */
/* Saved state with something in it changed; see stream-editor.h. */
#include "stream-editor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define HEADER_SIZE 48u
#define DIGEST_AT   16u

static const struct {
    const char *section;
    const char *type;
} types[] = {
    { "device", "(sa(st))" },
    { "request", "(byaybby)" },
    { "hash", "(ybbbbay)" },
    { "tis", "(a(yuuuu)yyyybbtay)" },
    { "i2c", "(ybybyyu)" },
    { "spi", "(yaybbbuyyyay)" },
    { "crb", "(ybyyyyya(buuu)ayyttay)" },
    { "spapr", "(yuqayay)" },
    { "ppi", "(ay)" },
    { "tpm", "(ssb(uay)(uay)(uay))" },
};

const GVariantType *stream_type_of(const char *section)
{
    for (gsize i = 0; i < G_N_ELEMENTS(types); i++) {
        if (strcmp(types[i].section, section) == 0) {
            return G_VARIANT_TYPE(types[i].type);
        }
    }
    fail_msg("there is no section '%s'", section);
    return NULL;
}

/* ---- the whole ---- */

GBytes *stream_seal(const uint8_t *bytes, gsize size)
{
    g_autoptr(GChecksum) sha256 = g_checksum_new(G_CHECKSUM_SHA256);
    uint8_t *sealed = g_memdup2(bytes, size);
    uint32_t body = GUINT32_TO_LE((uint32_t)(size - HEADER_SIZE));
    gsize length = 32;

    memcpy(sealed + 12, &body, sizeof(body));
    g_checksum_update(sha256, sealed, DIGEST_AT);
    g_checksum_update(sha256, sealed + HEADER_SIZE, (gssize)(size - HEADER_SIZE));
    g_checksum_get_digest(sha256, sealed + DIGEST_AT, &length);
    return g_bytes_new_take(sealed, size);
}

GBytes *stream_of_sections(GVariant *sections)
{
    static const uint8_t head[HEADER_SIZE] = { 'T', 'P', 'M', 'D', 'E', 'V', 'S', 'T', 1 };
    g_autoptr(GVariant) taken = g_variant_ref_sink(sections);
    g_autoptr(GByteArray) bytes = g_byte_array_new();

    g_byte_array_append(bytes, head, sizeof(head));
    g_byte_array_append(bytes, g_variant_get_data(taken), (guint)g_variant_get_size(taken));
    return stream_seal(bytes->data, bytes->len);
}

GVariant *stream_sections(GBytes *stream)
{
    g_autoptr(GBytes) body =
        g_bytes_new_from_bytes(stream, HEADER_SIZE, g_bytes_get_size(stream) - HEADER_SIZE);

    return g_variant_ref_sink(g_variant_new_from_bytes(G_VARIANT_TYPE("a(suay)"), body, FALSE));
}

/* ---- sections ---- */

static GVariant *as_bytes(GVariant *content)
{
    g_autoptr(GVariant) taken = g_variant_ref_sink(content);

    return g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, g_variant_get_data(taken),
                                     g_variant_get_size(taken), 1);
}

static GVariant *content_of(GVariant *section, const char *name)
{
    g_autoptr(GVariant) field = g_variant_get_child_value(section, 2);
    g_autoptr(GBytes) bytes = g_variant_get_data_as_bytes(field);

    return g_variant_ref_sink(g_variant_new_from_bytes(stream_type_of(name), bytes, FALSE));
}

/* All sections but one as they are; for that one whatever `edit` adds to the builder. */
typedef void (*Edit)(GVariantBuilder *builder, GVariant *section, const char *name, void *opaque);

static GBytes *edit_sections(GBytes *stream, const char *wanted, Edit edit, void *opaque)
{
    g_autoptr(GVariant) sections = stream_sections(stream);
    GVariantBuilder builder;

    g_variant_builder_init(&builder, G_VARIANT_TYPE("a(suay)"));
    for (gsize i = 0; i < g_variant_n_children(sections); i++) {
        g_autoptr(GVariant) section = g_variant_get_child_value(sections, i);
        const char *name;

        g_variant_get_child(section, 0, "&s", &name);
        if (strcmp(name, wanted) == 0) {
            edit(&builder, section, name, opaque);
        } else {
            g_variant_builder_add_value(&builder, section);
        }
    }
    return stream_of_sections(g_variant_builder_end(&builder));
}

static void leave_out(GVariantBuilder *builder, GVariant *section, const char *name, void *opaque)
{
    (void)builder;
    (void)section;
    (void)name;
    (void)opaque;
}

GBytes *stream_without(GBytes *stream, const char *section)
{
    return edit_sections(stream, section, leave_out, NULL);
}

static void set_version(GVariantBuilder *builder, GVariant *section, const char *name, void *opaque)
{
    g_autoptr(GVariant) content = g_variant_get_child_value(section, 2);

    g_variant_builder_add(builder, "(su@ay)", name, *(uint32_t *)opaque, content);
}

GBytes *stream_with_version(GBytes *stream, const char *section, uint32_t version)
{
    return edit_sections(stream, section, set_version, &version);
}

GBytes *stream_plus(GBytes *stream, const char *section, uint32_t version, GVariant *content)
{
    g_autoptr(GVariant) sections = stream_sections(stream);
    GVariantBuilder builder;

    g_variant_builder_init(&builder, G_VARIANT_TYPE("a(suay)"));
    for (gsize i = 0; i < g_variant_n_children(sections); i++) {
        g_autoptr(GVariant) child = g_variant_get_child_value(sections, i);

        g_variant_builder_add_value(&builder, child);
    }
    g_variant_builder_add(&builder, "(su@ay)", section, version, as_bytes(content));
    return stream_of_sections(g_variant_builder_end(&builder));
}

/* ---- fields ---- */

/* The container with the member at the path replaced. */
static GVariant *replace(GVariant *container, const char *path, GVariant *value)
{
    char *rest;
    guint64 at = g_ascii_strtoull(path, &rest, 10);
    GVariantBuilder builder;

    g_variant_builder_init(&builder, g_variant_get_type(container));
    for (gsize i = 0; i < g_variant_n_children(container); i++) {
        g_autoptr(GVariant) child = g_variant_get_child_value(container, i);

        if (i != at) {
            g_variant_builder_add_value(&builder, child);
        } else if (*rest == '.') {
            g_variant_builder_add_value(&builder, replace(child, rest + 1, value));
        } else {
            g_variant_builder_add_value(&builder, value);
        }
    }
    return g_variant_builder_end(&builder);
}

typedef struct Replacement {
    const char *path;
    GVariant *value;
} Replacement;

static void set_field(GVariantBuilder *builder, GVariant *section, const char *name, void *opaque)
{
    const Replacement *replacement = opaque;
    g_autoptr(GVariant) content = content_of(section, name);
    guint32 version;

    g_variant_get_child(section, 1, "u", &version);
    g_variant_builder_add(builder, "(su@ay)", name, version,
                          as_bytes(replace(content, replacement->path, replacement->value)));
}

GBytes *stream_with(GBytes *stream, const char *section, const char *path, GVariant *value)
{
    Replacement replacement = { path, value };

    return edit_sections(stream, section, set_field, &replacement);
}

GVariant *stream_field(GBytes *stream, const char *wanted, const char *path)
{
    g_autoptr(GVariant) sections = stream_sections(stream);
    GVariant *field = NULL;

    for (gsize i = 0; i < g_variant_n_children(sections); i++) {
        g_autoptr(GVariant) section = g_variant_get_child_value(sections, i);
        const char *name;

        g_variant_get_child(section, 0, "&s", &name);
        if (strcmp(name, wanted) == 0) {
            field = content_of(section, name);
        }
    }
    for (const char *rest = path; field && *rest;) {
        GVariant *member =
            g_variant_get_child_value(field, (gsize)g_ascii_strtoull(rest, (char **)&rest, 10));

        g_variant_unref(field);
        field = member;
        rest += *rest == '.';
    }
    return field;
}
