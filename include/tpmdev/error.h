/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The error domain of libtpmdev.
 *
 * Every call that can fail takes a GError ** last, may be given NULL there, and says in the
 * message which option, file or field was wrong and what would be right. A call that fails has
 * changed nothing, where its description does not say otherwise.
 */
#ifndef TPMDEV_ERROR_H
#define TPMDEV_ERROR_H

#include <glib.h>
#include <tpmdev/version.h>

G_BEGIN_DECLS

/** The domain of every GError this library sets; its codes are TPMError. */
#define TPMDEV_ERROR (tpmdev_error_quark())

/**
 * TPMError: what kind of thing went wrong
 * @TPM_ERROR_INVALID_OPTION:  an option or field that is unknown, malformed or out of range
 * @TPM_ERROR_MISSING_OPTION:  an option or field that is required and was not given
 * @TPM_ERROR_NOT_FOUND:       something named does not exist (backend, socket, file, directory)
 * @TPM_ERROR_IN_USE:          something that has one user already has one
 * @TPM_ERROR_IO:              the operating system refused to read, write or connect
 * @TPM_ERROR_TIMED_OUT:       a peer did not answer within its deadline
 * @TPM_ERROR_PROTOCOL:        a peer answered what its protocol does not allow
 * @TPM_ERROR_UNSUPPORTED:     a peer or this build lacks something that is needed
 * @TPM_ERROR_STATE_DAMAGED:   stored TPM state is there but cannot be used
 * @TPM_ERROR_STATE_MISMATCH:  stored TPM state is whole, but not that of this TPM: of another
 *                             version, program or key, or from before it was used last; or saved
 *                             state is that of a device or a TPM of another kind
 * @TPM_ERROR_TPM:             the TPM itself reported a failure
 */
typedef enum TPMError {
    TPM_ERROR_INVALID_OPTION,
    TPM_ERROR_MISSING_OPTION,
    TPM_ERROR_NOT_FOUND,
    TPM_ERROR_IN_USE,
    TPM_ERROR_IO,
    TPM_ERROR_TIMED_OUT,
    TPM_ERROR_PROTOCOL,
    TPM_ERROR_UNSUPPORTED,
    TPM_ERROR_STATE_DAMAGED,
    TPM_ERROR_STATE_MISMATCH,
    TPM_ERROR_TPM,
} TPMError;

/** tpmdev_error_quark: the GError domain whose codes are TPMError; any thread may call it */
TPMDEV_EXPORT
GQuark tpmdev_error_quark(void);

G_END_DECLS

#endif /* TPMDEV_ERROR_H */
