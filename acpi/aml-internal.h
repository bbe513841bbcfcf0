/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the two files of the AML encoder share, aml.c and aml-code.c: everything is made of these.
 */
#ifndef TPM_ACPI_AML_INTERNAL_H
#define TPM_ACPI_AML_INTERNAL_H

#include "aml.h"

/* Remember what cannot be encoded, unless there was something before; static. */
void tpm_aml_fault(TPMAml *aml, const char *fault);

/* One byte: an opcode, a prefix, flags. */
void tpm_aml_byte(TPMAml *aml, unsigned byte);

/* What comes now is a block; its PkgLength will go right here. */
void tpm_aml_block(TPMAml *aml, TPMAmlBlock kind);

/*
 * Encode a number as a PkgLength is, for a field's bits: it does not count itself. Returns how
 * many bytes, or 0 when it is too large.
 */
unsigned tpm_aml_pkg_number(uint32_t number, uint8_t out[TPM_AML_PKG_LENGTH_SIZE_MAX]);

#endif /* TPM_ACPI_AML_INTERNAL_H */
