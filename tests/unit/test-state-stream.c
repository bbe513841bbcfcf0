/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Saved state that is damaged, and such as one who wants to do harm makes: each is refused in
 * words, and the device that was to load it is what it was.
 */
#include "moving-guest.h"
#include "state-stream.h"
#include "stream-editor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define HEADER_SIZE 48u

/* ---- a stream, and a device that is to load it ---- */

typedef struct Bench {
    Guest *guest;   /* held */
    GBytes *stream; /* of another device, in the middle of its script */
    GBytes *before; /* of this one */
} Bench;

static Bench *bench_new(const Subject *subject, GBytes *stream)
{
    Bench *bench = g_new0(Bench, 1);
    Script *script = script_new(subject, false);

    bench->stream = stream;
    bench->guest = guest_new(subject, NULL);
    guest_run(bench->guest, script, 0, script->len / 3);
    bench->before = guest_save(bench->guest);
    g_array_unref(script);
    return bench;
}

static void bench_free(Bench *bench)
{
    guest_free(bench->guest);
    g_bytes_unref(bench->stream);
    g_bytes_unref(bench->before);
    g_free(bench);
}

static void assert_unharmed(Bench *bench)
{
    g_autoptr(GBytes) now = guest_save(bench->guest);

    assert_true(g_bytes_equal(now, bench->before));
}

static bool try_load(Bench *bench, GBytes *stream, GError **error)
{
    return tpmdev_device_load(bench->guest->device, stream, MOVING_DEADLINE_NS, error);
}

static void assert_refused(Bench *bench, GBytes *stream, TPMError code, const char *why)
{
    g_autoptr(GError) error = NULL;

    if (try_load(bench, stream, &error)) {
        fail_msg("%s: loaded, and should have been refused: %s", bench->guest->subject->name, why);
    }
    if (!strstr(error->message, why) || !g_error_matches(error, TPMDEV_ERROR, (gint)code)) {
        fail_msg("%s: '%s' is not in '%s'", bench->guest->subject->name, why, error->message);
    }
    assert_unharmed(bench);
}

/* ---- accidents ---- */

static void test_a_byte_that_was_changed_is_found(void **state)
{
    const Subject *subject = subject_named("tis-2.0");
    Bench *bench = bench_new(subject, guest_stream_when(subject, "tis", "0.0.0", "0x04"));
    gsize size;
    const uint8_t *bytes = g_bytes_get_data(bench->stream, &size);
    g_autofree uint8_t *copy = g_memdup2(bytes, size);

    (void)state;
    for (gsize i = 0; i < size; i++) {
        g_autoptr(GError) error = NULL;

        copy[i] ^= (uint8_t)(1u << i % 8);
        g_autoptr(GBytes) stream = g_bytes_new_static(copy, size);

        assert_false(try_load(bench, stream, &error));
        assert_true(error->domain == TPMDEV_ERROR && *error->message);
        copy[i] ^= (uint8_t)(1u << i % 8);
    }
    assert_unharmed(bench);
    bench_free(bench);
}

static void test_a_stream_of_another_length_is_refused(void **state)
{
    const Subject *subject = subject_named("crb-2.0");
    Bench *bench = bench_new(subject, guest_stream_when(subject, "crb", "0", "0x02"));
    gsize size;
    const uint8_t *bytes = g_bytes_get_data(bench->stream, &size);
    g_autofree uint8_t *longer = g_malloc0(size + 64);

    (void)state;
    memcpy(longer, bytes, size);
    for (gsize i = 0; i < size + 64; i++) {
        g_autoptr(GBytes) stream = g_bytes_new_static(longer, i);
        g_autoptr(GError) error = NULL;

        if (i != size) {
            assert_false(try_load(bench, stream, &error));
            assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_STATE_DAMAGED));
        }
    }
    assert_unharmed(bench);
    bench_free(bench);
}

static void test_what_is_no_stream_is_refused(void **state)
{
    const Subject *subject = subject_named("tis-2.0");
    Bench *bench = bench_new(subject, guest_stream_when(subject, NULL, NULL, NULL));
    g_autofree uint8_t *huge = g_malloc0(TPM_SAVED_STATE_SIZE_MAX + 1);
    g_autoptr(GBytes) nothing = g_bytes_new(NULL, 0);
    g_autoptr(GBytes) head = g_bytes_new_from_bytes(bench->stream, 0, HEADER_SIZE - 1);
    g_autoptr(GBytes) foreign = g_bytes_new(huge, HEADER_SIZE);
    gsize size;

    (void)state;
    assert_refused(bench, nothing, TPM_ERROR_STATE_DAMAGED, "is empty");
    assert_refused(bench, head, TPM_ERROR_STATE_DAMAGED, "ends within its header");
    assert_refused(bench, foreign, TPM_ERROR_STATE_DAMAGED, "must begin with TPMDEVST");
    memcpy(huge, g_bytes_get_data(bench->stream, &size), HEADER_SIZE);
    g_autoptr(GBytes) too_long = stream_seal(huge, TPM_SAVED_STATE_SIZE_MAX + 1);

    assert_refused(bench, too_long, TPM_ERROR_STATE_DAMAGED, "is longer or shorter than it says");
    huge[8] = 2;
    g_autoptr(GBytes) later = stream_seal(huge, 100);

    assert_refused(bench, later, TPM_ERROR_UNSUPPORTED,
                   "is of version 2 and this library knows version 1");
    bench_free(bench);
}

/* ---- sections ---- */

static void test_sections_are_held_against_those_of_the_device(void **state)
{
    const Subject *subject = subject_named("tis-drtm-2.0");
    Bench *bench = bench_new(subject, guest_stream_when(subject, "hash", "0", "0x01"));
    static const char *const names[] = { "device", "request", "hash", "tis", "tpm" };
    static const char *const no_names[] = {
        "", "mo on", "moon\n", "mo\033[2J", "m\xC3\xB6nd", "a-name-of-thirty-two-characters-"
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *lacks = g_strdup_printf("lacks the section '%s'", names[i]);
        g_autofree char *version = g_strdup_printf("section '%s' of version 7", names[i]);
        g_autoptr(GBytes) without = stream_without(bench->stream, names[i]);
        g_autoptr(GBytes) later = stream_with_version(bench->stream, names[i], 7);
        g_autoptr(GBytes) twice =
            stream_plus(bench->stream, names[i], 1, g_variant_new("(yy)", 1, 2));
        g_autoptr(GBytes) other = stream_plus(without, names[i], 1, g_variant_new_uint32(7));

        assert_refused(bench, without, TPM_ERROR_STATE_DAMAGED, lacks);
        assert_refused(bench, later, TPM_ERROR_UNSUPPORTED, version);
        assert_refused(bench, twice, TPM_ERROR_STATE_DAMAGED, "has one section twice");
        assert_refused(bench, other, TPM_ERROR_STATE_DAMAGED, "that is not of its form");
    }
    g_autoptr(GBytes) more = stream_plus(bench->stream, "moon", 1, g_variant_new_uint32(7));

    assert_refused(bench, more, TPM_ERROR_UNSUPPORTED, "has a section 'moon'");
    for (size_t i = 0; i < G_N_ELEMENTS(no_names); i++) {
        g_autoptr(GBytes) odd = stream_plus(bench->stream, no_names[i], 1, g_variant_new_uint32(7));

        assert_refused(bench, odd, TPM_ERROR_STATE_DAMAGED, "a section whose name is none");
    }
    bench_free(bench);
}

/* Who wrote it is for messages, and as long as a message may be led to be. */
static void test_who_wrote_a_state_may_have_127_bytes(void **state)
{
    const Subject *subject = subject_named("tis-2.0");
    Bench *bench = bench_new(subject, guest_stream_when(subject, NULL, NULL, NULL));
    char name[129];

    (void)state;
    memset(name, 'n', sizeof(name));
    name[128] = '\0';
    g_autoptr(GBytes) longer = stream_with(bench->stream, "tpm", "1", g_variant_new_string(name));

    assert_refused(bench, longer, TPM_ERROR_STATE_DAMAGED, "section 'tpm', field writer");
    name[127] = '\0';
    g_autoptr(GBytes) longest = stream_with(bench->stream, "tpm", "1", g_variant_new_string(name));

    assert_true(try_load(bench, longest, NULL));
    bench_free(bench);
}

static void test_no_stream_of_sections_without_end_is_read(void **state)
{
    const Subject *subject = subject_named("tis-2.0");
    Bench *bench = bench_new(subject, guest_stream_when(subject, NULL, NULL, NULL));
    GBytes *stream = g_bytes_ref(bench->stream);

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        g_autofree char *name = g_strdup_printf("x%u", i);
        GBytes *longer = stream_plus(stream, name, 1, g_variant_new_uint32(7));

        g_bytes_unref(stream);
        stream = longer;
    }
    assert_refused(bench, stream, TPM_ERROR_STATE_DAMAGED, "is no list of sections");
    g_bytes_unref(stream);
    bench_free(bench);
}

/* ---- the normal form: there is one way to write a value ---- */

/* All that is to be tried in the place of some bytes: `bytes` has room for one more. */
typedef void (*Try)(const uint8_t *bytes, gsize size, void *opaque);

static void try_all(const uint8_t *bytes, gsize size, Try try, void *opaque)
{
    static const uint8_t changes[] = { 0x01, 0x80, 0xFF };
    g_autofree uint8_t *copy = g_malloc0(size + 1);

    memcpy(copy, bytes, size);
    for (gsize i = 0; i < size; i++) {
        /* The inside of a buffer is all the same. */
        if (size > 1000 && i > 100 && size - i > 100) {
            continue;
        }
        copy[i] ^= changes[i % G_N_ELEMENTS(changes)];
        try(copy, size, opaque);
        copy[i] = bytes[i];
    }
    try(copy, size, opaque);
    try(copy, size - 1, opaque);
    try(copy, size + 1, opaque);
}

static bool is_normal(const GVariantType *type, const uint8_t *bytes, gsize size)
{
    g_autoptr(GBytes) taken = g_bytes_new(bytes, size);
    g_autoptr(GVariant) value = g_variant_ref_sink(g_variant_new_from_bytes(type, taken, FALSE));

    return g_variant_is_normal_form(value);
}

typedef struct Tried {
    const char *name;
    guint32 version;
    unsigned normal;
    unsigned others;
} Tried;

static void try_content(const uint8_t *bytes, gsize size, void *opaque)
{
    Tried *tried = opaque;
    g_autofree char *type = g_variant_type_dup_string(stream_type_of(tried->name));
    GVariant *content = g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, bytes, size, 1);
    GVariant *section = g_variant_new("(su@ay)", tried->name, tried->version, content);
    g_autoptr(GBytes) stream = stream_of_sections(g_variant_new_array(NULL, &section, 1));
    g_autoptr(TPMStateReader) reader = tpm_state_reader_new(stream, NULL);
    bool normal = is_normal(stream_type_of(tried->name), bytes, size);

    assert_non_null(reader);
    assert_int_equal(
        tpm_state_reader_section(reader, tried->name, tried->version, type, NULL) != NULL, normal);
    *(normal ? &tried->normal : &tried->others) += 1;
}

static void try_body(const uint8_t *bytes, gsize size, void *opaque)
{
    static const uint8_t head[HEADER_SIZE] = { 'T', 'P', 'M', 'D', 'E', 'V', 'S', 'T', 1 };
    g_autofree uint8_t *unsealed = g_malloc(HEADER_SIZE + size);
    g_autoptr(GError) error = NULL;
    Tried *tried = opaque;

    memcpy(unsealed, head, HEADER_SIZE);
    memcpy(unsealed + HEADER_SIZE, bytes, size);
    g_autoptr(GBytes) stream = stream_seal(unsealed, HEADER_SIZE + size);
    g_autoptr(TPMStateReader) reader = tpm_state_reader_new(stream, &error);
    bool normal = is_normal(G_VARIANT_TYPE("a(suay)"), bytes, size);

    /* One that is normal may have a name that is none. */
    assert_int_equal(error && strstr(error->message, "is no list of sections"), !normal);
    *(normal ? &tried->normal : &tried->others) += 1;
}

static void test_nothing_is_read_but_what_is_in_normal_form(void **state)
{
    const Subject *subject = *state;
    g_autoptr(GBytes) stream = guest_stream_when(subject, NULL, NULL, NULL);
    g_autoptr(GVariant) sections = stream_sections(stream);
    Tried tried = { .normal = 0 };

    try_all(g_variant_get_data(sections), g_variant_get_size(sections), try_body, &tried);
    assert_true(tried.normal > 0 && tried.others > 0);
    tried.normal = tried.others = 0;
    for (gsize i = 0; i < g_variant_n_children(sections); i++) {
        g_autoptr(GVariant) section = g_variant_get_child_value(sections, i);
        g_autoptr(GVariant) content = NULL;

        g_variant_get(section, "(&su@ay)", &tried.name, &tried.version, &content);
        try_all(g_variant_get_data(content), g_variant_get_size(content), try_content, &tried);
    }
    assert_true(tried.normal > 0 && tried.others > 0);
}

/* ---- what a device is ---- */

static void test_a_device_that_is_another_is_refused_by_name(void **state)
{
    static const struct {
        const char *source;
        const char *target;
        const char *why;
    } pairs[] = {
        { "tis-2.0", "crb-2.0", "is that of a tpm-tis and this device is a tpm-crb" },
        { "tis-1.2", "tis-2.0", "is that of a TPM 1.2 and this device has a TPM 2.0" },
        { "tis-drtm-2.0", "tis-2.0", "ppi-address=0 and this one has ppi-address=4275326976" },
        { "crb-2.0", "crb-localities-2.0",
          "ppi-address=4275326976 and this one has ppi-address=0" },
        { "crb-localities-2.0", "crb-page-2.0", "buffer-size=3968" },
        { "tis-spi-1.2", "tis-i2c-2.0",
          "is that of a tpm-tis-spi and this device is a tpm-tis-i2c" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(pairs); i++) {
        const Subject *source = subject_named(pairs[i].source);
        Bench *bench =
            bench_new(subject_named(pairs[i].target), guest_stream_when(source, NULL, NULL, NULL));

        assert_refused(bench, bench->stream, TPM_ERROR_STATE_MISMATCH, pairs[i].why);
        bench_free(bench);
    }
}

static void test_each_property_is_held_against_the_devices(void **state)
{
    const Subject *subject = subject_named("crb-localities-2.0");
    Bench *bench = bench_new(subject, guest_stream_when(subject, NULL, NULL, NULL));
    g_autoptr(GVariant) list = stream_field(bench->stream, "device", "1");

    (void)state;
    assert_int_equal(g_variant_n_children(list), 8);
    for (gsize i = 0; i < g_variant_n_children(list); i++) {
        g_autofree char *path = g_strdup_printf("1.%u", (unsigned)i);
        g_autofree char *why = NULL;
        const char *name;
        guint64 value;

        g_variant_get_child(list, i, "(&st)", &name, &value);
        why = g_strdup_printf("%s=%" G_GUINT64_FORMAT " and this one has", name, value + 1);
        g_autoptr(GBytes) other =
            stream_with(bench->stream, "device", path, g_variant_new("(st)", name, value + 1));
        g_autoptr(GBytes) later =
            stream_with(bench->stream, "device", path, g_variant_new("(st)", "moon", value));

        assert_refused(bench, other, TPM_ERROR_STATE_MISMATCH, why);
        assert_refused(bench, later, TPM_ERROR_UNSUPPORTED, "a property 'moon'");
    }
    bench_free(bench);
}

/* ---- fields ---- */

typedef struct Field {
    const char *subject;
    const char *when; /* section, path and value by which a moment of the script is found */
    const char *section;
    const char *path;
    const char *value; /* in GVariant's text form */
    const char *why;   /* NULL: it is what may be, too */
} Field;

/* clang-format off */
static const Field fields[] = {
    { "tis-2.0", "request 0 true", "request", "1", "byte 5", "field locality" },
    { "tis-2.0", "request 0 true", "request", "1", "byte 1", "state: the command under way" },
    { "tis-2.0", "request 0 true", "request", "0", "false", "section 'request', field command" },
    { "tis-2.0", "request 0 true", "request", "2", "@ay []", "field command" },
    { "tis-2.0", "request 0 true", "request", "2", "b'\\200\\001\\000\\000\\000\\013'", "field command" },
    { "tis-2.0", "", "request", "0", "true", "field command" },
    { "tis-2.0", "", "request", "1", "byte 1", "field command" },
    { "tis-2.0", "", "request", "3", "true", NULL },
    { "tis-2.0", "", "request", "4", "true", "reset-established-locality" },
    { "tis-2.0", "", "request", "5", "byte 3", "reset-established-locality" },

    { "tis-drtm-2.0", "hash 1 true", "hash", "0", "byte 0", "section 'hash', field state" },
    { "tis-drtm-2.0", "hash 1 true", "hash", "0", "byte 3", "section 'hash', field state" },
    { "tis-drtm-2.0", "hash 1 true", "hash", "4", "false", "tpm-open" },
    { "tis-drtm-2.0", "", "hash", "1", "true", "section 'hash', field state" },
    { "tis-drtm-2.0", "", "hash", "2", "true", "section 'hash', field state" },
    { "tis-drtm-2.0", "", "hash", "3", "true", "section 'hash', field state" },
    { "tis-drtm-2.0", "", "hash", "5", "[byte 1]", "section 'hash', field data" },
    { "tis-drtm-2.0", "hash 1 true", "tis", "1", "byte 0", "access of a locality" },
    { "tis-drtm-2.0", "hash 1 true", "tis", "5", "false", "section 'tis'" },
    { "tis-drtm-2.0", "", "tis", "5", "true", "section 'tis', field hashing" },

    { "tis-2.0", "tis 0.0.0 0x02", "tis", "0", "@a(yuuuu) []", "there must be five" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "0.0.0", "byte 5", "state of a locality" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "0.0.0", "byte 0", "sts of a locality" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "0.0.0", "byte 3", "section 'tis'" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "0.0.1", "uint32 0x80", "access of a locality" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "0.0.1", "uint32 0xffffffff", "access of a locality" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "0.1.1", "uint32 0xa0", "access of a locality" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "0.0.2", "uint32 0", "sts of a locality" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "0.0.2", "uint32 0xffffffff", "sts of a locality" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "0.3.2", "uint32 0x80", "sts of a locality" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "0.0.3", "uint32 0xffffffff", "interrupts of a locality" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "0.0.4", "uint32 0xffffffff", "interrupts of a locality" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "0.1.0", "byte 2", "sts of a locality" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "0.1", "(byte 2, 0x80, 0x04000088, 0, 0)", "two localities" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "1", "byte 5", "section 'tis', field active" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "1", "byte 255", "access of a locality" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "2", "byte 9", "command-locality, aborting or next" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "3", "byte 9", "command-locality, aborting or next" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "4", "byte 9", "command-locality, aborting or next" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "3", "byte 1", "next: it waits for no command" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "4", "byte 1", "next: it waits for no command" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "7", "uint64 4096", "fifo or offset" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "7", "uint64 0xffffffffffffffff", "fifo or offset" },
    { "tis-2.0", "tis 0.0.0 0x02", "tis", "8", "b'abcdefghijklmn'", "fifo or offset" },
    { "tis-2.0", "tis 0.0.0 0x04", "tis", "8", "b'abc'", "fifo or offset" },
    { "tis-2.0", "tis 0.0.0 0x04", "tis", "8", "@ay []", "fifo or offset" },
    { "tis-2.0", "tis 0.0.0 0x04", "tis", "7", "uint64 200", "fifo or offset" },
    { "tis-2.0", "tis 0.0.0 0x00", "tis", "7", "uint64 1", "fifo or offset" },
    { "tis-2.0", "tis 0.0.0 0x00", "tis", "8", "b'a'", "fifo or offset" },
    { "tis-2.0", "tis 0.0.0 0x00", "tis", "6", "true", NULL },

    { "tis-i2c-2.0", "i2c 2 0x03", "i2c", "0", "byte 5", "section 'i2c', field locality" },
    { "tis-i2c-2.0", "i2c 2 0x03", "i2c", "1", "true", NULL },
    { "tis-i2c-2.0", "i2c 2 0x03", "i2c", "2", "byte 5", "field phase" },
    { "tis-i2c-2.0", "i2c 2 0x03", "i2c", "2", "byte 1", "a register is named already" },
    { "tis-i2c-2.0", "i2c 2 0x03", "i2c", "3", "false", "there is nothing to be written" },
    { "tis-i2c-2.0", "i2c 2 0x03", "i2c", "4", "byte 0x99", "there is no such register" },
    { "tis-i2c-2.0", "i2c 2 0x03", "i2c", "4", "byte 0x24", "there is nothing to be written" },
    { "tis-i2c-2.0", "i2c 2 0x03", "i2c", "5", "byte 5", "field count" },
    { "tis-i2c-2.0", "i2c 2 0x04", "i2c", "3", "false", "no register is named" },

    { "tis-spi-2.0", "spi 0 0x03", "spi", "0", "byte 6", "section 'spi', field phase" },
    { "tis-spi-2.0", "spi 0 0x03", "spi", "0", "byte 2", "waits-left" },
    { "tis-spi-2.0", "spi 0 0x03", "spi", "0", "byte 4", "there is no frame" },
    { "tis-spi-2.0", "spi 0 0x03", "spi", "1", "[byte 1]", "field header" },
    { "tis-spi-2.0", "spi 0 0x01", "spi", "1", "b'abc'", "field header" },
    { "tis-spi-2.0", "spi 0 0x03", "spi", "3", "true", "field address" },
    { "tis-spi-2.0", "spi 0 0x03", "spi", "5", "uint32 0x5000", "field address" },
    { "tis-spi-2.0", "spi 0 0x03", "spi", "5", "uint32 0xffffffff", "field address" },
    { "tis-spi-2.0", "spi 0 0x03", "spi", "6", "byte 0", "field left" },
    { "tis-spi-2.0", "spi 0 0x03", "spi", "6", "byte 65", "field left" },
    { "tis-spi-2.0", "spi 0 0x03", "spi", "7", "byte 1", "waits-left" },
    { "tis-spi-2.0", "spi 0 0x02", "spi", "7", "byte 51", "waits-left" },
    { "tis-spi-2.0", "spi 0 0x02", "spi", "7", "byte 0", "waits-left" },
    { "tis-spi-2.0", "spi 0 0x02", "spi", "8", "byte 1", "field moved" },
    { "tis-spi-2.0", "spi 8 0x01", "spi", "8", "byte 4", "field moved" },
    { "tis-spi-2.0", "spi 8 0x01", "spi", "9", "b'abcd'", "field bytes" },
    { "tis-spi-2.0", "spi 8 0x01", "spi", "9", "@ay []", "field moved" },

    { "crb-localities-2.0", "crb 0 0x02", "crb", "0", "byte 5", "section 'crb', field state" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "0", "byte 3", "the command under way" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "0", "byte 0", "state or idle" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "1", "true", "state or idle" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "2", "byte 5", "active, owner" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "2", "byte 1", "loc-sts of a locality" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "3", "byte 255", "active, owner" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "4", "byte 5", "active, owner" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "5", "byte 5", "active, owner" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "5", "byte 4", "next: it waits for no command" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "6", "byte 7", "active, owner" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "7", "@a(buuu) []", "there are more or fewer" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "7.1.0", "true", NULL },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "7.0.1", "uint32 0", "loc-sts of a locality" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "7.2.1", "uint32 4", "loc-sts of a locality" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "7.2.2", "uint32 0x10", "interrupts of a locality" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "7.2.3", "uint32 0x80000000", "interrupts of a locality" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "8", "b'abc'", "section 'crb', field buffer" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "9", "byte 3", "chunk-content" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "9", "byte 1", "field chunk" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "6", "byte 3", NULL },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "10", "uint64 1", "field chunk" },
    { "crb-localities-2.0", "crb 0 0x02", "crb", "12", "b'a'", "field chunk" },
    { "crb-2.0", "", "crb", "7.0.2", "uint32 1", "interrupts of a locality" },
    { "crb-2.0", "crb 0 0x03", "crb", "4", "byte 255", "the command under way" },
    { "crb-2.0", "crb 0 0x03", "crb", "5", "byte 0", "next: it waits for no command" },
    { "crb-chunk-2.0", "crb 9 0x01", "crb", "10", "uint64 8193", "field chunk" },
    { "crb-chunk-2.0", "crb 9 0x01", "crb", "11", "uint64 8192", "field chunk" },
    { "crb-chunk-2.0", "crb 9 0x01", "crb", "11", "uint64 0xffffffffffffffff", "field chunk" },
    { "crb-chunk-2.0", "crb 9 0x01", "crb", "12", "@ay []", "field chunk" },
    { "crb-chunk-2.0", "crb 9 0x02", "crb", "9", "byte 0", "field chunk" },

    { "spapr-2.0", "spapr 0 0x03", "spapr", "0", "byte 4", "section 'spapr', field state" },
    { "spapr-2.0", "spapr 0 0x03", "spapr", "0", "byte 2", "the command under way" },
    { "spapr-2.0", "spapr 0 0x03", "spapr", "3", "@ay []", "field response" },
    { "spapr-2.0", "spapr 0 0x03", "spapr", "3", "b'abcdefghijk'", "field response" },
    { "spapr-2.0", "spapr 0 0x00", "spapr", "3", "b'a'", "field response" },
    { "spapr-2.0", "spapr 0 0x00", "spapr", "4", "b'abc'", "field answers" },
    { "spapr-2.0", "spapr 0 0x00", "spapr", "1", "uint32 7", "field address or given" },

    { "tis-2.0", "", "ppi", "0", "b'a'", "section 'ppi', field memory" },
    { "tis-2.0", "", "tpm", "0", "'moon'", "is that of a TPM of type moon and the TPM backend 'tpm0'" },
    { "tis-2.0", "", "tpm", "0", "'moon\\u001b[2J'", "of type moon\\033[2J and the" },
    { "tis-2.0", "", "tpm", "1", "'a friend\\nok'", "section 'tpm', field writer" },
    { "tis-2.0", "", "tpm", "1", "'a friend\\u009bok'", "section 'tpm', field writer" },
    { "tis-2.0", "", "tpm", "3.0", "uint32 7", "the chain is broken" },
    { "tis-2.0", "", "tpm", "3.1", "@ay []", "the chain is broken" },
    { "tis-2.0", "", "tpm", "5.1", "[byte 1]", "the chain is broken" },
};
/* clang-format on */

static GBytes *stream_of(const Field *field)
{
    const Subject *subject = subject_named(field->subject);
    g_auto(GStrv) when = g_strsplit(field->when, " ", 3);

    if (!when[0]) {
        return guest_stream_when(subject, NULL, NULL, NULL);
    }
    GBytes *stream = strcmp(when[0], "tis") == 0
                         ? NULL
                         : guest_stream_of_held(subject, when[0], when[1], when[2]);

    return stream ? stream : guest_stream_when(subject, when[0], when[1], when[2]);
}

static void test_field(void **state)
{
    const Field *field = *state;
    Bench *bench = bench_new(subject_named(field->subject), stream_of(field));
    g_autoptr(GVariant) there = stream_field(bench->stream, field->section, field->path);
    GError *error = NULL;
    GVariant *value = g_variant_parse(g_variant_get_type(there), field->value, NULL, NULL, &error);

    if (!value) {
        fail_msg("%s: %s", field->value, error->message);
    }
    g_autoptr(GBytes) stream = stream_with(bench->stream, field->section, field->path, value);

    g_variant_unref(value);
    if (field->why) {
        assert_refused(bench, stream,
                       strstr(field->why, "of type") ? TPM_ERROR_STATE_MISMATCH
                                                     : TPM_ERROR_STATE_DAMAGED,
                       field->why);
    } else if (!try_load(bench, stream, &error)) {
        fail_msg("%s", error->message);
    } else {
        /* What may be is kept, too: it is saved as it came. */
        g_autoptr(GBytes) again = guest_save(bench->guest);
        g_autoptr(GVariant) kept = stream_field(again, field->section, field->path);
        g_autoptr(GVariant) wanted = stream_field(stream, field->section, field->path);

        assert_true(g_variant_equal(kept, wanted));
    }
    /* And the one that is good is taken. */
    if (!try_load(bench, bench->stream, &error)) {
        fail_msg("%s", error->message);
    }
    bench_free(bench);
}

/* A response that is whole by its own account, and larger than the buffer. */
static void test_no_more_than_the_buffer_takes_is_taken(void **state)
{
    const Subject *subject = subject_named("tis-2.0");
    Bench *bench = bench_new(subject, guest_stream_when(subject, "tis", "0.0.0", "0x04"));
    g_autofree uint8_t *response = g_malloc0(5000);
    GVariant *fifo;

    (void)state;
    response[1] = 0xC4;
    response[4] = 5000 >> 8;
    response[5] = 5000 & 0xFF;
    fifo = g_variant_ref_sink(g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, response, 5000, 1));
    g_autoptr(GBytes) stream = stream_with(bench->stream, "tis", "8", fifo);

    assert_refused(bench, stream, TPM_ERROR_STATE_DAMAGED, "fifo: more than the buffer takes");
    g_variant_unref(fifo);
    bench_free(bench);
}

/* ---- all that can be written ---- */

/*
 * Every byte of a stream changed in two ways, with a digest that is right: it is refused, or the
 * device goes on in it and can be saved again.
 */
static void test_no_byte_does_harm(void **state)
{
    const Subject *subject = *state;
    Script *script = script_new(subject, false);
    Bench *bench = bench_new(subject, guest_stream_when(subject, NULL, NULL, NULL));
    Guest *source = guest_new(subject, NULL);
    unsigned loaded = 0;

    guest_run(source, script, 0, script->len / 2);
    g_autoptr(GBytes) stream = guest_save(source);
    gsize size;
    const uint8_t *bytes = g_bytes_get_data(stream, &size);
    g_autofree uint8_t *copy = g_memdup2(bytes, size);

    for (gsize i = HEADER_SIZE; i < size; i++) {
        static const uint8_t changes[] = { 0xFF, 0x01 };

        /* The inside of a buffer is all the same. */
        if (size > 3000 && i % 16 != 0 && bytes[i] == 0) {
            continue;
        }
        copy[i] ^= changes[i % G_N_ELEMENTS(changes)];
        g_autoptr(GBytes) changed = stream_seal(copy, size);

        loaded += try_load(bench, changed, NULL);
        copy[i] = bytes[i];
    }
    assert_true(loaded > 0);
    g_autoptr(GBytes) again = guest_save(bench->guest);

    guest_resume(bench->guest);
    guest_run(bench->guest, script, script->len / 2, script->len);
    guest_free(source);
    bench_free(bench);
    g_array_unref(script);
}

int main(void)
{
    static const struct CMUnitTest fixed[] = {
        cmocka_unit_test(test_a_byte_that_was_changed_is_found),
        cmocka_unit_test(test_a_stream_of_another_length_is_refused),
        cmocka_unit_test(test_what_is_no_stream_is_refused),
        cmocka_unit_test(test_sections_are_held_against_those_of_the_device),
        cmocka_unit_test(test_who_wrote_a_state_may_have_127_bytes),
        cmocka_unit_test(test_no_stream_of_sections_without_end_is_read),
        cmocka_unit_test(test_a_device_that_is_another_is_refused_by_name),
        cmocka_unit_test(test_each_property_is_held_against_the_devices),
        cmocka_unit_test(test_no_more_than_the_buffer_takes_is_taken),
    };
    size_t count = G_N_ELEMENTS(fixed) + G_N_ELEMENTS(fields) + 2 * subject_count, n = 0;
    g_autofree struct CMUnitTest *tests = g_new0(struct CMUnitTest, count);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    Guest *bystander = guest_new(&subjects[0], NULL); /* keeps the library's thread running */

    for (size_t i = 0; i < G_N_ELEMENTS(fixed); i++) {
        tests[n++] = fixed[i];
    }
    for (size_t i = 0; i < G_N_ELEMENTS(fields); i++) {
        char *name = g_strdup_printf("%s_%s_%s_is_not_%s", fields[i].subject, fields[i].section,
                                     fields[i].path, fields[i].value);

        g_ptr_array_add(names, name);
        tests[n++] = (struct CMUnitTest){ name, test_field, NULL, NULL, (void *)&fields[i] };
    }
    for (size_t i = 0; i < subject_count; i++) {
        char *name = g_strdup_printf("%s_no_byte_does_harm", subjects[i].name);

        g_ptr_array_add(names, name);
        tests[n++] =
            (struct CMUnitTest){ name, test_no_byte_does_harm, NULL, NULL, (void *)&subjects[i] };
        name = g_strdup_printf("%s_nothing_is_read_but_what_is_in_normal_form", subjects[i].name);
        g_ptr_array_add(names, name);
        tests[n++] = (struct CMUnitTest){ name, test_nothing_is_read_but_what_is_in_normal_form,
                                          NULL, NULL, (void *)&subjects[i] };
    }
    int failed = _cmocka_run_group_tests("state-stream", tests, n, NULL, NULL);

    guest_free(bystander);
    return failed;
}
