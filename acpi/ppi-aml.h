/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The physical presence interface in the TPM's device object. Used by ssdt.c.
 */
#ifndef TPM_ACPI_PPI_AML_H
#define TPM_ACPI_PPI_AML_H

#include "aml.h"

/* Inside Device (TPM): the fields of the memory at this address, and _DSM. */
void tpm_ppi_aml(TPMAml *aml, uint32_t address);

#endif /* TPM_ACPI_PPI_AML_H */
