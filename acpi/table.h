/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A writer for one ACPI table: header first, fields in the order of the specification, length and
 * checksum filled in at the end. All numbers are little-endian.
 *
 * Used by log-table.c and ssdt.c; fw-cfg.c has firmware finish what they wrote.
 */
#ifndef TPM_ACPI_TABLE_H
#define TPM_ACPI_TABLE_H

#include <glib.h>
#include <stdint.h>
#include <tpmdev/acpi.h>

/* Bytes of the header every table begins with (ACPI 6.5, 5.2.6). */
#define TPM_TABLE_HEADER_SIZE 36u

/* Where the header has what is only known at the end. */
#define TPM_TABLE_LENGTH_OFFSET   4u
#define TPM_TABLE_CHECKSUM_OFFSET 9u

/* The tables that name the log area: bytes, and where its address (LASA) stands. */
#define TPM_TABLE_TPM2_SIZE        76u
#define TPM_TABLE_TPM2_NO_LOG_SIZE 52u
#define TPM_TABLE_TPM2_LASA_OFFSET 68u
#define TPM_TABLE_TCPA_SIZE        50u
#define TPM_TABLE_TCPA_LASA_OFFSET 42u

/* One table that is being written. */
typedef struct TPMTable {
    GByteArray *bytes;
} TPMTable;

/*
 * Begin a table with this four-letter signature and the configuration's OEM and creator; end it
 * with tpm_table_end() or _drop().
 */
void tpm_table_begin(TPMTable *table, const char *signature, uint8_t revision,
                     const TPMAcpiConfig *config);

void tpm_table_u8(TPMTable *table, uint8_t value);
void tpm_table_u16(TPMTable *table, uint16_t value);
void tpm_table_u32(TPMTable *table, uint32_t value);
void tpm_table_u64(TPMTable *table, uint64_t value);
void tpm_table_zeros(TPMTable *table, unsigned count);

/* Fill in length and checksum; returns the finished bytes. */
GBytes *tpm_table_end(TPMTable *table);

/* Give up a table that cannot be finished. */
void tpm_table_drop(TPMTable *table);

#endif /* TPM_ACPI_TABLE_H */
