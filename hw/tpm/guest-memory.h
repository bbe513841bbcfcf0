/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory the guest may be writing to at this very moment: the buffer of a CRB device on its page.
 *
 * Guest and device do not wait for each other there, so nothing but the bytes themselves can be
 * relied on: each is looked at once, into memory of our own, and what is found there is what
 * counts. The accesses are relaxed atomic ones of 8 bytes or one, which is all a guest's
 * processors and ours have in common, and what lets ThreadSanitizer tell them from a mistake.
 */
#ifndef TPM_GUEST_MEMORY_H
#define TPM_GUEST_MEMORY_H

#include <stddef.h>

/* Copy out of, copy into, and clear memory the guest may write to; the other side is our own. */
void tpm_guest_read(void *to, const void *from, size_t size);
void tpm_guest_write(void *to, const void *from, size_t size);
void tpm_guest_clear(void *memory, size_t size);

#endif /* TPM_GUEST_MEMORY_H */
