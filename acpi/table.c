/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The writer of ACPI tables: the header of ACPI 6.5, 5.2.6 "System Description Table Header", and
 * little-endian fields behind it.
 *
 * Neighbours: log-table.c and ssdt.c write tables with it; aml.c appends a table's AML.
 */
#include "table.h"

#include <string.h>

static void append(TPMTable *table, const void *data, unsigned size)
{
    g_byte_array_append(table->bytes, data, size);
}

void tpm_table_u8(TPMTable *table, uint8_t value)
{
    append(table, &value, sizeof(value));
}

void tpm_table_u16(TPMTable *table, uint16_t value)
{
    value = GUINT16_TO_LE(value);
    append(table, &value, sizeof(value));
}

void tpm_table_u32(TPMTable *table, uint32_t value)
{
    value = GUINT32_TO_LE(value);
    append(table, &value, sizeof(value));
}

void tpm_table_u64(TPMTable *table, uint64_t value)
{
    value = GUINT64_TO_LE(value);
    append(table, &value, sizeof(value));
}

void tpm_table_zeros(TPMTable *table, unsigned count)
{
    while (count--) {
        tpm_table_u8(table, 0);
    }
}

void tpm_table_begin(TPMTable *table, const char *signature, uint8_t revision,
                     const TPMAcpiConfig *config)
{
    table->bytes = g_byte_array_new();
    append(table, signature, 4);
    tpm_table_u32(table, 0); /* length: tpm_table_end() */
    tpm_table_u8(table, revision);
    tpm_table_u8(table, 0); /* checksum: tpm_table_end() */
    append(table, config->oem_id, TPM_ACPI_OEM_ID_SIZE);
    append(table, config->oem_table_id, TPM_ACPI_OEM_TABLE_ID_SIZE);
    tpm_table_u32(table, config->oem_revision);
    append(table, config->creator_id, TPM_ACPI_CREATOR_ID_SIZE);
    tpm_table_u32(table, config->creator_revision);
    g_assert(table->bytes->len == TPM_TABLE_HEADER_SIZE);
}

/* The byte that makes all bytes of the table add up to 0. */
static uint8_t checksum(const GByteArray *bytes)
{
    uint8_t sum = 0;

    for (guint i = 0; i < bytes->len; i++) {
        sum = (uint8_t)(sum + bytes->data[i]);
    }
    return (uint8_t)(0u - sum);
}

GBytes *tpm_table_end(TPMTable *table)
{
    GByteArray *bytes = table->bytes;
    uint32_t length = GUINT32_TO_LE(bytes->len);

    memcpy(bytes->data + TPM_TABLE_LENGTH_OFFSET, &length, sizeof(length));
    bytes->data[TPM_TABLE_CHECKSUM_OFFSET] = checksum(bytes);
    table->bytes = NULL;
    return g_byte_array_free_to_bytes(bytes);
}

void tpm_table_drop(TPMTable *table)
{
    g_byte_array_unref(table->bytes);
    table->bytes = NULL;
}
