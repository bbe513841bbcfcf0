/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the `libtpms` backend share: libtpms.c carries the commands, libtpms-new.c
 * reads the configuration.
 */
#ifndef TPM_LIBTPMS_INTERNAL_H
#define TPM_LIBTPMS_INTERNAL_H

#include "libtpms-engine.h"

/* libtpms.c: a backend for this engine, which it owns from now on, also when it returns NULL. */
TPMBackend *tpm_libtpms_new(const char *id, TPMVersion version, LibtpmsEngine *engine,
                            GError **error);

/* libtpms-new.c: the class's options and create(). */
extern const char *const tpm_libtpms_options[];
TPMBackend *tpm_libtpms_create(const TPMOptions *options, GError **error);

#endif /* TPM_LIBTPMS_INTERNAL_H */
