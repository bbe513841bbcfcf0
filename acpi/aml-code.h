/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The terms methods are made of, for the encoder of aml.h: control flow, operators, memory.
 *
 * An operator is followed by its operands, as in the bytes:
 *
 *     tpm_aml_if(&aml);                        // If (
 *     tpm_aml_equal(&aml);                     //     LEqual (
 *     tpm_aml_arg(&aml, 2);                    //         Arg2,
 *     tpm_aml_integer(&aml, 1);                //         One)) {
 *     tpm_aml_return(&aml);                    //     Return (
 *     tpm_aml_string(&aml, "1.3");             //         "1.3")
 *     tpm_aml_end(&aml);                       // }
 */
#ifndef TPM_ACPI_AML_CODE_H
#define TPM_ACPI_AML_CODE_H

#include "aml.h"

/* Region spaces (ACPI 6.5, 19.6.100), as far as they are used. */
#define TPM_AML_SYSTEM_MEMORY 0u

/* Field access types (19.6.48). */
#define TPM_AML_ANY_ACC  0u
#define TPM_AML_BYTE_ACC 1u

/* ---- blocks; end each with tpm_aml_end() ---- */

void tpm_aml_method(TPMAml *aml, const char *path, unsigned args); /* Method (path, args,
                                                                      Serialized) { */
void tpm_aml_if(TPMAml *aml);                                      /* If (<predicate>) { */
void tpm_aml_else(TPMAml *aml);                                    /* Else { */
void tpm_aml_package(TPMAml *aml, unsigned count);                 /* Package (count) { */

/* Field (region, access, NoLock, Preserve) {: then units and gaps, of so many bits */
void tpm_aml_field(TPMAml *aml, const char *region, unsigned access);
void tpm_aml_field_unit(TPMAml *aml, const char *name, uint32_t bits);
void tpm_aml_field_gap(TPMAml *aml, uint32_t bits);

/* ---- terms ---- */

/* OperationRegion (path, space, <offset>, <length>) */
void tpm_aml_operation_region(TPMAml *aml, const char *path, unsigned space);

void tpm_aml_return(TPMAml *aml); /* Return (<value>) */
void tpm_aml_store(TPMAml *aml);  /* Store (<source>, <target>) */

void tpm_aml_arg(TPMAml *aml, unsigned number);   /* Arg0 to Arg6 */
void tpm_aml_local(TPMAml *aml, unsigned number); /* Local0 to Local7 */

/* ---- operators ---- */

void tpm_aml_equal(TPMAml *aml);         /* LEqual (<left>, <right>) */
void tpm_aml_greater_equal(TPMAml *aml); /* LGreaterEqual (<left>, <right>) */
void tpm_aml_deref_of(TPMAml *aml);      /* DerefOf (<reference>) */

/* These name a target last; tpm_aml_no_target() when the value is used where it stands. */
void tpm_aml_add(TPMAml *aml);       /* Add (<left>, <right>, <target>) */
void tpm_aml_and(TPMAml *aml);       /* And (<left>, <right>, <target>) */
void tpm_aml_index(TPMAml *aml);     /* Index (<source>, <index>, <target>) */
void tpm_aml_no_target(TPMAml *aml); /* nothing */

/* ---- data ---- */

/* Buffer () { bytes } */
void tpm_aml_buffer(TPMAml *aml, const uint8_t *bytes, unsigned size);

/* ToUUID ("3dddfaa6-361b-4eb4-a424-8d10089d1653") */
void tpm_aml_uuid(TPMAml *aml, const char *uuid);

#endif /* TPM_ACPI_AML_CODE_H */
