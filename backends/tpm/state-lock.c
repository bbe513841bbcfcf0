/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One user of a directory at a time: fcntl(2), "Open file description locks".
 *
 * Neighbours: state-directory.c, whose directory it is.
 */
#include "state-lock.h"

#include <errno.h>
#include <fcntl.h>
#include <tpmdev/error.h>
#include <unistd.h>

#define LOCK_NAME ".lock"

static bool cannot_open(const char *path, int err, GError **error)
{
    g_set_error(error, TPMDEV_ERROR, err == ENOENT ? TPM_ERROR_NOT_FOUND : TPM_ERROR_IO,
                "cannot open TPM state file '%s/" LOCK_NAME "': %s", path, g_strerror(err));
    return false;
}

static bool cannot_lock(const char *path, int err, GError **error)
{
    if (err == EAGAIN || err == EACCES) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IN_USE,
                    "TPM state directory '%s' is in use by another TPM, in this process or another "
                    "one; end that first, or give another directory",
                    path);
    } else {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO,
                    "cannot lock TPM state file '%s/" LOCK_NAME "': %s; give a directory on a file "
                    "system that can lock",
                    path, g_strerror(err));
    }
    return false;
}

/*
 * A file that is not for others to open is also not for them to lock. A process forked from this
 * one shares the lock as long as it has the descriptor open, which is not beyond execve().
 */
bool tpm_state_lock(int directory, const char *path, int *lock_fd, GError **error)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = openat(directory, LOCK_NAME,
                    O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);

    if (fd < 0) {
        return cannot_open(path, errno, error);
    }
    if (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        int err = errno;

        close(fd);
        return cannot_lock(path, err, error);
    }
    *lock_fd = fd;
    return true;
}

/* Unlocked by name, because a forked process may have the open file, and the lock, too. */
void tpm_state_unlock(int *lock_fd)
{
    struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

    if (*lock_fd >= 0) {
        fcntl(*lock_fd, F_OFD_SETLK, &lock);
        close(*lock_fd);
        *lock_fd = -1;
    }
}
