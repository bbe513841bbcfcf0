/* SPDX-License-Identifier: BSD-3-Clause */
/* The classes registry.c knows from the start, one file each. */
#ifndef TPM_BUILTIN_H
#define TPM_BUILTIN_H

#include <tpmdev/backend.h>

extern const TPMBackendClass tpm_backend_libtpms_class;     /* libtpms.c */
extern const TPMBackendClass tpm_backend_emulator_class;    /* emulator.c */
extern const TPMBackendClass tpm_backend_null_class;        /* null.c */
extern const TPMBackendClass tpm_backend_passthrough_class; /* passthrough.c */
extern const TPMBackendClass tpm_backend_fault_class;       /* fault.c */

#endif /* TPM_BUILTIN_H */
