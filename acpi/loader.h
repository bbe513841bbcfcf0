/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A writer for QEMU's linker-loader commands, the content of etc/table-loader: firmware carries
 * them out in order before it looks for the ACPI tables.
 *
 * Used by fw-cfg.c.
 */
#ifndef TPM_ACPI_LOADER_H
#define TPM_ACPI_LOADER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* Where firmware is to put a file. */
typedef enum TPMLoaderZone {
    TPM_LOADER_HIGH = 1,     /* anywhere below 4 GiB */
    TPM_LOADER_F_SEGMENT = 2 /* where a PC looks for the RSDP */
} TPMLoaderZone;

/* Can a file of this name be in a command? */
bool tpm_loader_is_name(const char *name);

/* Put the file into memory, aligned to a power of 2. */
void tpm_loader_allocate(GByteArray *commands, const char *file, uint32_t alignment,
                         TPMLoaderZone zone);

/* Add the address of pointee to the number of `size` bytes at `offset` of file. */
void tpm_loader_add_pointer(GByteArray *commands, const char *file, const char *pointee,
                            uint32_t offset, uint8_t size);

/* Make the bytes from start on sum up to 0 by the one at `offset`, which is among them. */
void tpm_loader_add_checksum(GByteArray *commands, const char *file, uint32_t offset,
                             uint32_t start, uint32_t length);

#endif /* TPM_ACPI_LOADER_H */
