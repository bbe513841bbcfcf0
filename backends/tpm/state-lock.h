/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The lock of a directory of TPM state: an exclusive one of the open file (F_OFD_SETLK) on the file
 * `.lock` in it. Nothing else this process does loses it, a second user in this process is refused
 * like one in another, and the end of the process, however it comes, lets go of it. The empty file
 * stays and blocks nobody. It has the name and the kind of lock of swtpm's, which so keeps away,
 * too.
 *
 * Used by state-directory.c.
 */
#ifndef TPM_STATE_LOCK_H
#define TPM_STATE_LOCK_H

#include <glib.h>
#include <stdbool.h>

/*
 * Lock an open directory; the descriptor that holds the lock goes to lock_fd, which is -1 before
 * and after an error. path: for messages. Never waits. Fails with TPM_ERROR_IN_USE while somebody
 * else has it, TPM_ERROR_NOT_FOUND or TPM_ERROR_IO.
 */
bool tpm_state_lock(int directory, const char *path, int *lock_fd, GError **error);

/* Does nothing where there is no lock. */
void tpm_state_unlock(int *lock_fd);

#endif /* TPM_STATE_LOCK_H */
