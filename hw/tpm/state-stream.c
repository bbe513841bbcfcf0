/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The form of saved state; see state-stream.h, and docs/state-format.rst for each byte of it.
 *
 * The body is a GVariant of one fixed type, and so is the content of each section. No type is
 * taken from a stream, so that none can be nested deeper than those written down in this library.
 */
#include "state-stream.h"

#include "secret.h"
#include "state-crypt.h"

#include <string.h>
#include <tpmdev/state.h>

/* The header: magic, version, size of the body, digest of these and of the body. */
#define HEADER_VERSION 8u
#define HEADER_SIZE_AT 12u
#define HEADER_DIGEST  16u
#define DIGEST_SIZE    32u
#define HEADER_SIZE    48u

/* Of the numbers in a value; the body begins at a multiple of it. */
#define ALIGNMENT 8u
G_STATIC_ASSERT(HEADER_SIZE % ALIGNMENT == 0);

#define STREAM_VERSION 1u
#define BODY_TYPE      "a(suay)"

#define SECTIONS_MAX  16u
#define PARTS_MAX     SECTIONS_MAX /* of what has bytes in it; the widest content has 13 */
#define NAME_SIZE_MAX 31u

static const uint8_t magic[HEADER_VERSION] = { 'T', 'P', 'M', 'D', 'E', 'V', 'S', 'T' };

/* ---- numbers and digests ---- */

static void put_le32(uint8_t *bytes, uint32_t value)
{
    value = GUINT32_TO_LE(value);
    memcpy(bytes, &value, sizeof(value));
}

static uint32_t get_le32(const uint8_t *bytes)
{
    uint32_t value;

    memcpy(&value, bytes, sizeof(value));
    return GUINT32_FROM_LE(value);
}

/* Of the header before it and the body. OpenSSL's: GLib's takes four times as long. */
static bool digest_of(const uint8_t *stream, size_t size, uint8_t digest[DIGEST_SIZE],
                      GError **error)
{
    if (!tpm_state_digest(stream, HEADER_DIGEST, stream + HEADER_SIZE, size - HEADER_SIZE,
                          digest)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO,
                    "saved TPM device state can be neither written nor checked: OpenSSL cannot "
                    "hash it");
        return false;
    }
    return true;
}

/* From this machine's order of bytes to little-endian, or back. */
static GVariant *swap(GVariant *value)
{
    if (G_BYTE_ORDER == G_LITTLE_ENDIAN) {
        return g_variant_ref(value);
    }
    return g_variant_byteswap(value);
}

/* To be written by g_variant_store(): what GLib serialises by itself it does not wipe. */
static GVariant *little_endian(GVariant *content)
{
    g_autoptr(GVariant) value = g_variant_ref_sink(content);

    return swap(value);
}

static GBytes *serialise(GVariant *content)
{
    g_autoptr(GVariant) value = little_endian(content);
    TPMSecret *bytes = tpm_secret_new(g_variant_get_size(value));

    g_variant_store(value, bytes->data);
    return tpm_secret_to_bytes(bytes);
}

/* Are these all of its parts, and are they written in the one way there is? */
static bool is_made_of(GVariant *value, GVariant *const parts[], gsize n)
{
    bool is_array = g_variant_is_of_type(value, G_VARIANT_TYPE_ARRAY);
    g_autoptr(GVariant) made = g_variant_ref_sink(
        is_array ? g_variant_new_array(g_variant_type_element(g_variant_get_type(value)), parts, n)
                 : g_variant_new_tuple(parts, n));
    gsize size = g_variant_get_size(made);

    if (size != g_variant_get_size(value) || size == 0) {
        return size == g_variant_get_size(value);
    }
    g_autoptr(TPMSecret) bytes = tpm_secret_new(size);

    g_variant_store(made, bytes->data);
    return memcmp(bytes->data, g_variant_get_data(value), size) == 0;
}

/*
 * As g_variant_is_normal_form(), which looks at each byte of a blob on its own: that took half of
 * the time of a load. Bytes are normal whatever they are, so what has some in it is taken apart and
 * put together again. No type here has other parts than sections, and those that are written down.
 */
static bool is_normal(GVariant *value)
{
    GVariant *parts[PARTS_MAX];
    bool normal = true;

    if (g_variant_is_of_type(value, G_VARIANT_TYPE_BYTESTRING)) {
        return true;
    }
    if (!strstr(g_variant_get_type_string(value), "ay")) {
        return g_variant_is_normal_form(value);
    }
    gsize n = g_variant_n_children(value);

    if (n > PARTS_MAX) {
        return false;
    }
    for (gsize i = 0; i < n; i++) {
        parts[i] = g_variant_get_child_value(value, i);
        normal = normal && is_normal(parts[i]);
    }
    normal = normal && is_made_of(value, parts, n);
    for (gsize i = 0; i < n; i++) {
        g_variant_unref(parts[i]);
    }
    return normal;
}

/* As they are, where numbers can be read, or a copy: one of GLib's own making would not be wiped.
 */
static GBytes *align(GBytes *bytes)
{
    gsize size;
    const uint8_t *data = g_bytes_get_data(bytes, &size);

    return (uintptr_t)data % ALIGNMENT == 0 ? g_bytes_ref(bytes) : tpm_secret_copy(data, size);
}

/* NULL when the bytes are no such value. */
static GVariant *parse(GBytes *bytes, const char *type)
{
    g_autoptr(GBytes) aligned = align(bytes);
    g_autoptr(GVariant) value =
        g_variant_ref_sink(g_variant_new_from_bytes(G_VARIANT_TYPE(type), aligned, FALSE));

    return is_normal(value) ? swap(value) : NULL;
}

/* ---- writing ---- */

struct TPMStateWriter {
    GVariantBuilder sections;
};

TPMStateWriter *tpm_state_writer_new(void)
{
    TPMStateWriter *writer = g_new0(TPMStateWriter, 1);

    g_variant_builder_init(&writer->sections, G_VARIANT_TYPE(BODY_TYPE));
    return writer;
}

void tpm_state_writer_add(TPMStateWriter *writer, const char *name, uint32_t version,
                          GVariant *content)
{
    g_autoptr(GBytes) bytes = serialise(content);

    g_variant_builder_add(&writer->sections, "(su@ay)", name, version,
                          g_variant_new_from_bytes(G_VARIANT_TYPE_BYTESTRING, bytes, TRUE));
}

GBytes *tpm_state_writer_end(TPMStateWriter *writer, GError **error)
{
    g_autoptr(GVariant) body = little_endian(g_variant_builder_end(&writer->sections));
    gsize size = g_variant_get_size(body);
    g_autoptr(TPMSecret) stream = tpm_secret_new(HEADER_SIZE + size);

    memcpy(stream->data, magic, sizeof(magic));
    put_le32(stream->data + HEADER_VERSION, STREAM_VERSION);
    put_le32(stream->data + HEADER_SIZE_AT, (uint32_t)size);
    g_variant_store(body, stream->data + HEADER_SIZE);
    g_free(writer);
    if (!digest_of(stream->data, stream->len, stream->data + HEADER_DIGEST, error)) {
        return NULL;
    }
    return tpm_secret_to_bytes(g_steal_pointer(&stream));
}

/* ---- reading ---- */

typedef struct Section {
    char *name;
    uint32_t version;
    GBytes *bytes;
    GVariant *content; /* once it was asked for */
} Section;

struct TPMStateReader {
    Section section[SECTIONS_MAX];
    size_t sections;
};

static bool damaged(GError **error, const char *what)
{
    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_DAMAGED, "saved TPM device state %s", what);
    return false;
}

static bool header_check(const uint8_t *stream, size_t size, GError **error)
{
    uint8_t digest[DIGEST_SIZE];

    if (size < HEADER_SIZE) {
        return damaged(error, size == 0 ? "is empty; give all that tpmdev_device_save() returned"
                                        : "ends within its header; give all that "
                                          "tpmdev_device_save() returned");
    }
    if (memcmp(stream, magic, sizeof(magic)) != 0) {
        return damaged(error, "must begin with TPMDEVST, as all that tpmdev_device_save() returns");
    }
    if (get_le32(stream + HEADER_VERSION) != STREAM_VERSION) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED,
                    "saved TPM device state is of version %u and this library knows version %u; "
                    "load it with the library that wrote it, or a later one",
                    get_le32(stream + HEADER_VERSION), STREAM_VERSION);
        return false;
    }
    if (size > TPM_SAVED_STATE_SIZE_MAX ||
        get_le32(stream + HEADER_SIZE_AT) != size - HEADER_SIZE) {
        return damaged(error, "is longer or shorter than it says");
    }
    if (!digest_of(stream, size, digest, error)) {
        return false;
    }
    if (memcmp(stream + HEADER_DIGEST, digest, DIGEST_SIZE) != 0) {
        return damaged(error, "has been changed since it was saved: its digest is another one");
    }
    return true;
}

static Section *find(const TPMStateReader *reader, const char *name)
{
    for (size_t i = 0; i < reader->sections; i++) {
        if (strcmp(reader->section[i].name, name) == 0) {
            return (Section *)&reader->section[i];
        }
    }
    return NULL;
}

/* A name stands in messages. */
static bool is_name(const char *name)
{
    size_t size = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

    return size > 0 && size <= NAME_SIZE_MAX && name[size] == '\0';
}

static bool read_section(TPMStateReader *reader, GVariant *value, GError **error)
{
    g_autoptr(GVariant) content = NULL;
    const char *name;
    uint32_t version;

    g_variant_get(value, "(&su@ay)", &name, &version, &content);
    if (!is_name(name)) {
        return damaged(error, "has a section whose name is none");
    }
    if (find(reader, name)) {
        return damaged(error, "has one section twice");
    }
    reader->section[reader->sections++] = (Section){
        .name = g_strdup(name),
        .version = version,
        .bytes = g_variant_get_data_as_bytes(content),
    };
    return true;
}

static bool read_body(TPMStateReader *reader, GBytes *body, GError **error)
{
    g_autoptr(GVariant) sections = parse(body, BODY_TYPE);

    if (!sections || g_variant_n_children(sections) > SECTIONS_MAX) {
        return damaged(error, "is no list of sections");
    }
    for (gsize i = 0; i < g_variant_n_children(sections); i++) {
        g_autoptr(GVariant) section = g_variant_get_child_value(sections, i);

        if (!read_section(reader, section, error)) {
            return false;
        }
    }
    return true;
}

TPMStateReader *tpm_state_reader_new(GBytes *stream, GError **error)
{
    gsize size;
    const uint8_t *data = g_bytes_get_data(stream, &size);

    if (!header_check(data, size, error)) {
        return NULL;
    }
    g_autoptr(GBytes) body = g_bytes_new_from_bytes(stream, HEADER_SIZE, size - HEADER_SIZE);
    g_autoptr(TPMStateReader) reader = g_new0(TPMStateReader, 1);

    return read_body(reader, body, error) ? g_steal_pointer(&reader) : NULL;
}

TPMStateReader *tpm_state_reader_free(TPMStateReader *reader)
{
    for (size_t i = 0; reader && i < reader->sections; i++) {
        g_free(reader->section[i].name);
        g_bytes_unref(reader->section[i].bytes);
        g_clear_pointer(&reader->section[i].content, g_variant_unref);
    }
    g_free(reader);
    return NULL;
}

GVariant *tpm_state_reader_section(TPMStateReader *reader, const char *name, uint32_t version,
                                   const char *type, GError **error)
{
    Section *section = find(reader, name);

    if (!section) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_DAMAGED,
                    "saved TPM device state lacks the section '%s'", name);
        return NULL;
    }
    if (section->version != version) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED,
                    "saved TPM device state has section '%s' of version %u and this library knows "
                    "version %u; load it with the library that wrote it, or a later one",
                    name, section->version, version);
        return NULL;
    }
    if (!section->content) {
        section->content = parse(section->bytes, type);
    }
    if (!section->content) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_DAMAGED,
                    "saved TPM device state has a section '%s' that is not of its form", name);
    }
    return section->content;
}

bool tpm_state_reader_check_used(const TPMStateReader *reader, GError **error)
{
    for (size_t i = 0; i < reader->sections; i++) {
        if (!reader->section[i].content) {
            g_set_error(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED,
                        "saved TPM device state has a section '%s' that this device has no use "
                        "for; load it with the library that wrote it, or a later one",
                        reader->section[i].name);
            return false;
        }
    }
    return true;
}

/* ---- fields ---- */

GVariant *tpm_state_bytes(const void *data, size_t size)
{
    return g_variant_new_from_data(G_VARIANT_TYPE_BYTESTRING, data, size, TRUE, NULL, NULL);
}

const uint8_t *tpm_state_get_bytes(GVariant *content, size_t field, size_t *size)
{
    g_autoptr(GVariant) value = g_variant_get_child_value(content, field);

    /* The bytes are those of the content, which is serialised. */
    return g_variant_get_fixed_array(value, size, 1);
}

char *tpm_state_shown(const char *text)
{
    g_autofree char *beginning = g_strndup(text, NAME_SIZE_MAX);

    return g_strescape(beginning, NULL);
}

bool tpm_state_field_wrong(GError **error, const char *section, const char *field)
{
    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_DAMAGED,
                "saved TPM device state is wrong: section '%s', field %s", section, field);
    return false;
}
