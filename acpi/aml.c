/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The encoder of AML: ACPI 6.5, 20.2 "AML Grammar Definition", and the resource descriptors of
 * 6.4 "Resource Data Types for ACPI". Section numbers stand over what they define.
 *
 * Neighbours: aml-code.c has the terms of methods; ssdt.c writes the device object with both;
 * table.c puts the table's header in front.
 */
#include "aml-internal.h"

#include <string.h>

/* Opcodes and prefixes (20.3, "AML Byte Stream Byte Values"). */
#define AML_ZERO              0x00u
#define AML_ONE               0x01u
#define AML_NAME              0x08u
#define AML_BYTE_PREFIX       0x0Au
#define AML_WORD_PREFIX       0x0Bu
#define AML_DWORD_PREFIX      0x0Cu
#define AML_STRING_PREFIX     0x0Du
#define AML_QWORD_PREFIX      0x0Eu
#define AML_SCOPE             0x10u
#define AML_BUFFER            0x11u
#define AML_DUAL_NAME_PREFIX  0x2Eu
#define AML_MULTI_NAME_PREFIX 0x2Fu
#define AML_EXT_PREFIX        0x5Bu
#define AML_EXT_DEVICE        0x82u
#define AML_ROOT_CHAR         0x5Cu
#define AML_NULL_NAME         0x00u

/*
 * Resource descriptors: 6.4.3.4 for the memory range, 6.4.3.5.1 for the one that may be anywhere,
 * 6.4.3.6 for the interrupt, 6.4.2.9 for the end. An interrupt whose bits 1 and 2 are clear is
 * level-triggered and active high.
 */
#define RESOURCE_MEMORY32_FIXED      0x86u
#define RESOURCE_MEMORY32_FIXED_SIZE 9u
#define RESOURCE_READ_WRITE          0x01u
#define RESOURCE_QWORD               0x8Au
#define RESOURCE_QWORD_SIZE          43u
#define RESOURCE_QWORD_MEMORY        0u
#define RESOURCE_QWORD_CONSUMER      (1u << 0)
#define RESOURCE_QWORD_MIN_FIXED     (1u << 2)
#define RESOURCE_QWORD_MAX_FIXED     (1u << 3)
#define RESOURCE_INTERRUPT           0x89u
#define RESOURCE_INTERRUPT_SIZE      6u
#define RESOURCE_INTERRUPT_CONSUMER  (1u << 0)
#define RESOURCE_INTERRUPT_SHARED    (1u << 3)
#define RESOURCE_END_TAG             0x79u
#define RESOURCE_END_NO_CHECKSUM     0x00u

#define NAME_SEGMENT_SIZE 4u

/* ---- bytes ---- */

static bool usable(const TPMAml *aml)
{
    return !aml->fault;
}

void tpm_aml_fault(TPMAml *aml, const char *fault)
{
    if (!aml->fault) {
        aml->fault = fault;
    }
}

static void append_byte(TPMAml *aml, unsigned byte)
{
    uint8_t value = (uint8_t)byte;

    g_byte_array_append(aml->bytes, &value, 1);
}

void tpm_aml_byte(TPMAml *aml, unsigned byte)
{
    if (usable(aml)) {
        append_byte(aml, byte);
    }
}

static void append_le(TPMAml *aml, uint64_t value, unsigned width)
{
    for (unsigned i = 0; i < width; i++) {
        append_byte(aml, (value >> (8 * i)) & 0xFF);
    }
}

static void insert(GByteArray *bytes, guint position, const uint8_t *data, guint size)
{
    guint tail = bytes->len - position;

    g_byte_array_set_size(bytes, bytes->len + size);
    memmove(bytes->data + position + size, bytes->data + position, tail);
    memcpy(bytes->data + position, data, size);
}

/* ---- life ---- */

void tpm_aml_begin(TPMAml *aml, GByteArray *bytes)
{
    *aml = (TPMAml){ .bytes = bytes };
}

bool tpm_aml_finish(const TPMAml *aml, const char **fault)
{
    *fault = aml->fault;
    if (!aml->fault && aml->depth > 0) {
        *fault = "a block has no end";
    }
    return !*fault;
}

/* ---- names (20.2.2) ---- */

static bool is_name_lead(char c)
{
    return (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name_char(char c)
{
    return is_name_lead(c) || (c >= '0' && c <= '9');
}

/* The length of the segment `text` begins with; 0 when it begins with none. */
static unsigned segment_length(const char *text)
{
    unsigned length = 0;

    if (!is_name_lead(text[0])) {
        return 0;
    }
    while (length < NAME_SEGMENT_SIZE && is_name_char(text[length])) {
        length++;
    }
    return length;
}

bool tpm_aml_is_name_segment(const char *text)
{
    unsigned length = segment_length(text);

    return length > 0 && text[length] == '\0';
}

/* How many segments `text` has, dots between them; -1 when it is no such list. */
static int count_segments(const char *text)
{
    int count = 0;

    if (*text == '\0') {
        return 0;
    }
    for (;;) {
        unsigned length = segment_length(text);

        if (length == 0) {
            return -1;
        }
        count++;
        text += length;
        if (*text == '\0') {
            return count;
        }
        if (*text++ != '.') {
            return -1;
        }
    }
}

bool tpm_aml_is_absolute_path(const char *text)
{
    if (text[0] != '\\') {
        return false;
    }
    int count = count_segments(text + 1);

    return count >= 0 && (unsigned)count <= TPM_AML_SEGMENTS_MAX;
}

/* A segment is four bytes; a shorter one is filled up with underscores. */
static const char *append_segment(TPMAml *aml, const char *text)
{
    unsigned length = segment_length(text);

    g_byte_array_append(aml->bytes, (const uint8_t *)text, length);
    for (unsigned i = length; i < NAME_SEGMENT_SIZE; i++) {
        append_byte(aml, '_');
    }
    text += length;
    return *text == '.' ? text + 1 : text;
}

void tpm_aml_name_string(TPMAml *aml, const char *path)
{
    bool absolute = path[0] == '\\';
    const char *segments = absolute ? path + 1 : path;
    int count = count_segments(segments);

    if (!usable(aml)) {
        return;
    }
    if (count < 0 || (unsigned)count > TPM_AML_SEGMENTS_MAX || (count == 0 && !absolute)) {
        tpm_aml_fault(aml, "a path is not made of names of one to four of A-Z, 0-9 and _");
        return;
    }
    if (absolute) {
        append_byte(aml, AML_ROOT_CHAR);
    }
    if (count == 0) {
        append_byte(aml, AML_NULL_NAME);
    } else if (count == 2) {
        append_byte(aml, AML_DUAL_NAME_PREFIX);
    } else if (count > 2) {
        append_byte(aml, AML_MULTI_NAME_PREFIX);
        append_byte(aml, (unsigned)count);
    }
    for (int i = 0; i < count; i++) {
        segments = append_segment(aml, segments);
    }
}

/* ---- data (20.2.3) ---- */

/*
 * Ones (FFh) is never used for an integer: what it means depends on the width of integers, which
 * the revision of the DSDT decides.
 */
void tpm_aml_integer(TPMAml *aml, uint64_t value)
{
    if (!usable(aml)) {
        return;
    }
    if (value == 0) {
        append_byte(aml, AML_ZERO);
    } else if (value == 1) {
        append_byte(aml, AML_ONE);
    } else if (value <= UINT8_MAX) {
        append_byte(aml, AML_BYTE_PREFIX);
        append_le(aml, value, 1);
    } else if (value <= UINT16_MAX) {
        append_byte(aml, AML_WORD_PREFIX);
        append_le(aml, value, 2);
    } else if (value <= UINT32_MAX) {
        append_byte(aml, AML_DWORD_PREFIX);
        append_le(aml, value, 4);
    } else {
        append_byte(aml, AML_QWORD_PREFIX);
        append_le(aml, value, 8);
    }
}

static bool check_ascii(TPMAml *aml, const char *text)
{
    if (!g_str_is_ascii(text)) {
        tpm_aml_fault(aml, "a string is not ASCII");
    }
    return usable(aml);
}

void tpm_aml_string(TPMAml *aml, const char *text)
{
    if (!usable(aml) || !check_ascii(aml, text)) {
        return;
    }
    append_byte(aml, AML_STRING_PREFIX);
    g_byte_array_append(aml->bytes, (const uint8_t *)text, (guint)strlen(text) + 1);
}

static bool is_eisa_id(const char *id)
{
    bool letters = strlen(id) == 7;

    for (unsigned i = 0; letters && i < 3; i++) {
        letters = id[i] >= 'A' && id[i] <= 'Z';
    }
    for (unsigned i = 3; letters && i < 7; i++) {
        letters = g_ascii_isdigit(id[i]) || (id[i] >= 'A' && id[i] <= 'F');
    }
    return letters;
}

/*
 * 19.6.36: three letters of five bits each and four hexadecimal digits, as a big-endian number
 * that AML then stores as a little-endian one.
 */
void tpm_aml_eisa_id(TPMAml *aml, const char *id)
{
    if (!usable(aml)) {
        return;
    }
    if (!is_eisa_id(id)) {
        tpm_aml_fault(aml, "an EISA id is not three letters and four hexadecimal digits");
        return;
    }
    uint32_t value = (uint32_t)(id[0] - '@') << 26 | (uint32_t)(id[1] - '@') << 21 |
                     (uint32_t)(id[2] - '@') << 16;

    for (unsigned i = 0; i < 4; i++) {
        value |= (uint32_t)g_ascii_xdigit_value(id[3 + i]) << (12 - 4 * i);
    }
    append_byte(aml, AML_DWORD_PREFIX);
    append_le(aml, GUINT32_SWAP_LE_BE(value), 4);
}

void tpm_aml_name(TPMAml *aml, const char *path)
{
    if (!usable(aml)) {
        return;
    }
    append_byte(aml, AML_NAME);
    tpm_aml_name_string(aml, path);
}

/* ---- blocks (20.2.4, 20.2.5) ---- */

/*
 * One byte holds six bits of length. Two to four bytes hold the count of bytes that follow and
 * four bits in the first, eight in each other, lowest first.
 */
static unsigned encode_number(uint32_t number, unsigned count,
                              uint8_t out[TPM_AML_PKG_LENGTH_SIZE_MAX])
{
    if (count == 1) {
        out[0] = (uint8_t)number;
        return count;
    }
    out[0] = (uint8_t)((count - 1) << 6 | (number & 0xF));
    for (unsigned i = 1; i < count; i++) {
        out[i] = (uint8_t)(number >> (8 * i - 4));
    }
    return count;
}

/* The most each count of bytes can hold. */
static const uint32_t pkg_most[] = { 0x3F, 0xFFF, 0xFFFFF, TPM_AML_PKG_LENGTH_MAX };

unsigned tpm_aml_pkg_number(uint32_t number, uint8_t out[TPM_AML_PKG_LENGTH_SIZE_MAX])
{
    for (unsigned count = 1; count <= TPM_AML_PKG_LENGTH_SIZE_MAX; count++) {
        if (number <= pkg_most[count - 1]) {
            return encode_number(number, count, out);
        }
    }
    return 0;
}

unsigned tpm_aml_pkg_length(uint32_t size, uint8_t out[TPM_AML_PKG_LENGTH_SIZE_MAX])
{
    for (unsigned count = 1; count <= TPM_AML_PKG_LENGTH_SIZE_MAX; count++) {
        if (size <= pkg_most[count - 1] - count) {
            return encode_number(size + count, count, out);
        }
    }
    return 0;
}

void tpm_aml_block(TPMAml *aml, TPMAmlBlock kind)
{
    if (!usable(aml)) {
        return;
    }
    if (aml->depth == TPM_AML_DEPTH_MAX) {
        tpm_aml_fault(aml, "blocks are nested too deep");
        return;
    }
    aml->blocks[aml->depth].kind = kind;
    aml->blocks[aml->depth].start = aml->bytes->len;
    aml->depth++;
}

void tpm_aml_scope(TPMAml *aml, const char *path)
{
    if (!usable(aml)) {
        return;
    }
    append_byte(aml, AML_SCOPE);
    tpm_aml_block(aml, TPM_AML_BLOCK_TERMS);
    tpm_aml_name_string(aml, path);
}

void tpm_aml_device(TPMAml *aml, const char *path)
{
    if (!usable(aml)) {
        return;
    }
    append_byte(aml, AML_EXT_PREFIX);
    append_byte(aml, AML_EXT_DEVICE);
    tpm_aml_block(aml, TPM_AML_BLOCK_TERMS);
    tpm_aml_name_string(aml, path);
}

void tpm_aml_resource_template(TPMAml *aml)
{
    if (!usable(aml)) {
        return;
    }
    append_byte(aml, AML_BUFFER);
    tpm_aml_block(aml, TPM_AML_BLOCK_RESOURCES);
}

/* The size of a Buffer's bytes stands before them, and is only known behind them. */
static void insert_buffer_size(TPMAml *aml, guint start)
{
    GByteArray *size = g_byte_array_new();
    TPMAml encoder;

    tpm_aml_begin(&encoder, size);
    tpm_aml_integer(&encoder, aml->bytes->len - start);
    insert(aml->bytes, start, size->data, size->len);
    g_byte_array_unref(size);
}

void tpm_aml_end(TPMAml *aml)
{
    uint8_t length[TPM_AML_PKG_LENGTH_SIZE_MAX];

    if (!usable(aml)) {
        return;
    }
    if (aml->depth == 0) {
        tpm_aml_fault(aml, "an end has no block");
        return;
    }
    aml->depth--;
    guint start = aml->blocks[aml->depth].start;

    switch (aml->blocks[aml->depth].kind) {
    case TPM_AML_BLOCK_TERMS:
        break;
    case TPM_AML_BLOCK_RESOURCES:
        append_byte(aml, RESOURCE_END_TAG);
        append_byte(aml, RESOURCE_END_NO_CHECKSUM);
        insert_buffer_size(aml, start);
        break;
    case TPM_AML_BLOCK_BYTES:
        insert_buffer_size(aml, start);
        break;
    }
    unsigned count = tpm_aml_pkg_length(aml->bytes->len - start, length);

    if (count == 0) {
        tpm_aml_fault(aml, "a block is larger than AML can say");
        return;
    }
    insert(aml->bytes, start, length, count);
}

/* 19.6.141: a Buffer of UTF-16 with its NUL. */
void tpm_aml_unicode(TPMAml *aml, const char *text)
{
    if (!usable(aml) || !check_ascii(aml, text)) {
        return;
    }
    append_byte(aml, AML_BUFFER);
    tpm_aml_block(aml, TPM_AML_BLOCK_BYTES);
    for (const char *c = text; *c; c++) {
        append_le(aml, (unsigned char)*c, 2);
    }
    append_le(aml, 0, 2);
    tpm_aml_end(aml);
}

/* ---- resource descriptors (6.4) ---- */

static bool in_resource_template(TPMAml *aml)
{
    if (usable(aml) &&
        (aml->depth == 0 || aml->blocks[aml->depth - 1].kind != TPM_AML_BLOCK_RESOURCES)) {
        tpm_aml_fault(aml, "a resource descriptor stands outside ResourceTemplate()");
    }
    return usable(aml);
}

void tpm_aml_memory32_fixed(TPMAml *aml, uint32_t base, uint32_t size)
{
    if (!in_resource_template(aml)) {
        return;
    }
    append_byte(aml, RESOURCE_MEMORY32_FIXED);
    append_le(aml, RESOURCE_MEMORY32_FIXED_SIZE, 2);
    append_byte(aml, RESOURCE_READ_WRITE);
    append_le(aml, base, 4);
    append_le(aml, size, 4);
}

void tpm_aml_qword_memory(TPMAml *aml, uint64_t base, uint64_t size)
{
    if (!in_resource_template(aml)) {
        return;
    }
    append_byte(aml, RESOURCE_QWORD);
    append_le(aml, RESOURCE_QWORD_SIZE, 2);
    append_byte(aml, RESOURCE_QWORD_MEMORY);
    append_byte(aml, RESOURCE_QWORD_CONSUMER | RESOURCE_QWORD_MIN_FIXED | RESOURCE_QWORD_MAX_FIXED);
    append_byte(aml, RESOURCE_READ_WRITE);
    append_le(aml, 0, 8); /* granularity */
    append_le(aml, base, 8);
    append_le(aml, base + size - 1, 8);
    append_le(aml, 0, 8); /* translation */
    append_le(aml, size, 8);
}

void tpm_aml_interrupt(TPMAml *aml, uint32_t number, bool shared)
{
    if (!in_resource_template(aml)) {
        return;
    }
    append_byte(aml, RESOURCE_INTERRUPT);
    append_le(aml, RESOURCE_INTERRUPT_SIZE, 2);
    append_byte(aml, RESOURCE_INTERRUPT_CONSUMER | (shared ? RESOURCE_INTERRUPT_SHARED : 0));
    append_byte(aml, 1); /* how many numbers follow */
    append_le(aml, number, 4);
}
