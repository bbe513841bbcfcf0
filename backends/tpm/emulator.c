/* SPDX-License-Identifier: BSD-3-Clause */
#include "builtin.h"
static TPMBackend *x_create(const TPMOptions *o, GError **error)
{
    (void)o;
    (void)error;
    return NULL;
}
const TPMBackendClass tpm_backend_emulator_class = { .size = sizeof(TPMBackendClass),
                                                     .type = "emulator",
                                                     .create = x_create };
