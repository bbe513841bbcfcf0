/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory for a TPM's state, which holds all of its secrets: wiped before it is given back, also
 * when it grows. What the library does not wipe is in docs/threat-model.rst.
 *
 * Used by all that has such state on its way: the backends, state-file.c, hw/tpm/state-stream.c.
 */
#ifndef TPM_SECRET_H
#define TPM_SECRET_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

typedef struct TPMSecret {
    uint8_t *data; /* never NULL */
    size_t len;
    size_t capacity;
} TPMSecret;

/* One of so many bytes, whose values are not set. */
TPMSecret *tpm_secret_new(size_t size);
TPMSecret *tpm_secret_free(TPMSecret *secret); /* NULL will do; returns NULL */

/* Room for so many bytes more, behind the `len` there are; the caller writes and counts them. */
uint8_t *tpm_secret_reserve(TPMSecret *secret, size_t size);
void tpm_secret_append(TPMSecret *secret, const void *data, size_t size);

/* The secret as bytes, which take it over; and a copy of other bytes as one. */
GBytes *tpm_secret_to_bytes(TPMSecret *secret);
GBytes *tpm_secret_copy(const void *data, size_t size);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(TPMSecret, tpm_secret_free)

#endif /* TPM_SECRET_H */
