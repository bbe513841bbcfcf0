/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One file takes the place of another: write, sync, rename, sync the directory.
 *
 * Neighbours: state-directory.c, which knows the files.
 */
#include "state-replace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <unistd.h>

/* A temporary file's name is that of the file it will be, this, and eight random digits. */
#define TEMPORARY_INFIX ".tmp-"

/* Returns 0 or an errno. */
static int write_whole(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno != EINTR) {
            return errno;
        }
        if (n == 0) {
            return ENOSPC; /* which no file system should say so, and none may keep us here */
        }
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
    }
    return 0;
}

/* Create a file under a name nobody uses; returns its descriptor, or -1 with errno set. */
static int create_temporary(int directory, const char *target, char **name)
{
    int fd;

    do {
        *name = g_strdup_printf("%s" TEMPORARY_INFIX "%08x", target, g_random_int());
        fd = openat(directory, *name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
            g_free(g_steal_pointer(name));
        }
    } while (fd < 0 && errno == EEXIST);
    return fd;
}

/* Returns 0 or an errno; closes the file in any case. */
static int fill_temporary(int fd, const uint8_t *bytes, size_t size)
{
    int err = write_whole(fd, bytes, size);

    if (!err && fsync(fd) != 0) {
        err = errno;
    }
    if (close(fd) != 0 && !err) {
        err = errno;
    }
    return err;
}

int tpm_state_replace(int directory, const char *target, const uint8_t *bytes, size_t size)
{
    g_autofree char *temporary = NULL;
    int fd = create_temporary(directory, target, &temporary);

    if (fd < 0) {
        return errno;
    }
    int err = fill_temporary(fd, bytes, size);

    if (!err && renameat(directory, temporary, directory, target) != 0) {
        err = errno;
    }
    if (err) {
        unlinkat(directory, temporary, 0);
        return err;
    }
    return fsync(directory) == 0 ? 0 : errno;
}

int tpm_state_remove_temporaries(int directory, const char *target)
{
    g_autofree char *prefix = g_strconcat(target, TEMPORARY_INFIX, NULL);
    int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    int err = stream ? 0 : errno;

    if (!stream) {
        if (fd >= 0) {
            close(fd);
        }
        return err;
    }
    for (struct dirent *entry = readdir(stream); entry; entry = readdir(stream)) {
        if (g_str_has_prefix(entry->d_name, prefix) && unlinkat(directory, entry->d_name, 0) != 0) {
            err = errno;
        }
    }
    closedir(stream);
    return err;
}
