/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device of the library inside the guest: before the guest's own /dev/tpm0, by the passthrough
 * backend, with a driver of its registers in place of a guest's guest. tpm_char_run() of tpm-char.h
 * goes through it, so that the checks made for /dev/tpm0 can be made here too.
 *
 * Used by guest-nested.c.
 */
#ifndef NESTED_TPM_H
#define NESTED_TPM_H

#include "tpm-char.h"

#include <tpmdev/tpmdev.h>

/* Make the backend; NULL with the library's message at *wrong. */
TPMBackend *nested_backend_new(const char *path, char **wrong);

/* Put a device before it, in place of the one there was; NULL, or what is wrong. */
char *nested_plug(TPMBackend *backend, TPMInterface interface);
void nested_unplug(void);

TPMDevice *nested_device(void);

/* Which locality the driver speaks for; 0 at first. */
void nested_set_locality(unsigned locality);

/* Reset the device, as a reset of the machine does. */
void nested_reset(void);

/*
 * tpm_char_run() in two parts: the first returns when the command has begun. In between it can be
 * cancelled, by TPM_STS's commandCancel or CTRL_CANCEL; a TIS device of a TPM 1.2 knows only the
 * abort by commandReady, after which nested_wait_ready() in place of nested_finish().
 */
bool nested_start(TPMMessage *command);
bool nested_has_response(void);
uint32_t nested_finish(TPMMessage *response);
void nested_cancel(void);
void nested_abort(void);
bool nested_wait_ready(void);

#endif /* NESTED_TPM_H */
