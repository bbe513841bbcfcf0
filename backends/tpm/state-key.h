/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The host's key that TPM state is encrypted with: reading it, keeping it, wiping it.
 *
 * Made by libtpms-new.c, kept by state-directory.c, used by state-crypt.c.
 */
#ifndef TPM_STATE_KEY_H
#define TPM_STATE_KEY_H

#include <glib.h>
#include <stdint.h>

#define TPM_STATE_KEY_SIZE 32u

/*
 * Reference-counted. The bytes are in a page of their own, which is in no core dump, on no swap
 * space as far as the host's limits allow, and wiped before it is given back.
 */
typedef struct TPMStateKey {
    gatomicrefcount refs;
    uint8_t *bytes; /* TPM_STATE_KEY_SIZE of them */
    char *source;   /* where it came from, such as "key-file '/etc/tpm.key'"; for messages */
} TPMStateKey;

/*
 * Of these bytes; or of what a file or a descriptor holds: the 32 bytes, or 64 hexadecimal digits
 * with or without a newline. A descriptor is read from where it stands to its end and stays open.
 * option is the name an error calls it by.
 *
 * Returns NULL with error set: TPM_ERROR_INVALID_OPTION for what is no key, TPM_ERROR_NOT_FOUND,
 * TPM_ERROR_IO, or TPM_ERROR_TIMED_OUT for a pipe from which it does not come.
 */
TPMStateKey *tpm_state_key_new(const uint8_t bytes[TPM_STATE_KEY_SIZE], const char *option,
                               GError **error);
TPMStateKey *tpm_state_key_read_file(const char *path, const char *option, GError **error);
TPMStateKey *tpm_state_key_read_fd(int fd, const char *option, GError **error);

/* Both take NULL. */
TPMStateKey *tpm_state_key_ref(TPMStateKey *key);
void tpm_state_key_unref(TPMStateKey *key);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TPMStateKey, tpm_state_key_unref)

#endif /* TPM_STATE_KEY_H */
