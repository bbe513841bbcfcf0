/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files that are replaced as a whole: whatever ends the process, or the machine, and when, one that
 * was written whole is there under the name, the former or the latter.
 *
 * The order makes it so: the content is on the disk before the name points to it, and the name is
 * before anybody hears that it does. Used by state-directory.c.
 */
#ifndef TPM_STATE_REPLACE_H
#define TPM_STATE_REPLACE_H

#include <stddef.h>
#include <stdint.h>

/*
 * Put these bytes in place of the file `target` of an open directory. Returns 0 or an errno: then
 * what was there before is there still, unless only the last step failed, the sync of the
 * directory; then it is the one or the other.
 */
int tpm_state_replace(int directory, const char *target, const uint8_t *bytes, size_t size);

/*
 * Remove what was left by a process that was killed in the midst of that. Returns 0, or the errno
 * of one that cannot be removed.
 */
int tpm_state_remove_temporaries(int directory, const char *target);

#endif /* TPM_STATE_REPLACE_H */
