/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of a TPM in a directory; state-directory.h has the form of a file.
 *
 * All file names are looked up in the directory that was opened, so that it stays the same one
 * when the host renames it. Nothing here follows a symbolic link or waits for a FIFO.
 *
 * Neighbours: libtpms-engine.c loads and stores.
 */
#include "state-directory.h"
#include "command.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The header of a file: offsets and constants, in the order of state-directory.h. */
#define HEADER_MAGIC      0u
#define HEADER_FORMAT     8u
#define HEADER_TPM        12u
#define HEADER_KIND       16u
#define HEADER_PROTECTION 20u
#define HEADER_RESERVED   24u
#define HEADER_LENGTH     28u
#define HEADER_DIGEST     32u
#define HEADER_SIZE       64u
#define DIGEST_SIZE       32u

G_STATIC_ASSERT(HEADER_DIGEST + DIGEST_SIZE == HEADER_SIZE);

static const uint8_t header_magic[] = { 'T', 'P', 'M', 'S', 'T', 'A', 'T', 'E' };

#define FORMAT_VERSION  1u
#define PROTECTION_NONE 0u

/* A temporary file's name is that of the file it will be, this, and eight random digits. */
#define TEMPORARY_INFIX ".tmp-"

#define LOCK_NAME ".lock"

struct TPMStateDirectory {
    char *path; /* for messages */
    int fd;
    int lock_fd; /* holds the lock */
    TPMVersion version;
    bool has_permanent; /* there is permanent state, and so there must be from now on */
};

static const TPMStateKind kinds[] = { TPM_STATE_PERMANENT, TPM_STATE_VOLATILE, TPM_STATE_SAVED };

static const char *kind_name(TPMStateKind kind)
{
    switch (kind) {
    case TPM_STATE_PERMANENT:
        return "permall";
    case TPM_STATE_VOLATILE:
        return "volatilestate";
    case TPM_STATE_SAVED:
        return "savestate";
    }
    return NULL;
}

static const char *version_name(uint32_t version)
{
    return version == TPM_VERSION_1_2 ? "1.2" : "2.0";
}

const char *tpm_state_directory_get_path(const TPMStateDirectory *directory)
{
    return directory->path;
}

/* ---- errors ---- */

static void set_io_error(const TPMStateDirectory *directory, const char *name, const char *action,
                         int err, GError **error)
{
    g_set_error(error, TPMDEV_ERROR, err == ENOENT ? TPM_ERROR_NOT_FOUND : TPM_ERROR_IO,
                "cannot %s TPM state file '%s/%s': %s", action, directory->path, name,
                g_strerror(err));
}

/* what: the end of a sentence that begins with the file's name */
static bool damaged(const TPMStateDirectory *directory, TPMStateKind kind, GError **error,
                    const char *what, ...) G_GNUC_PRINTF(4, 5);

static bool damaged(const TPMStateDirectory *directory, TPMStateKind kind, GError **error,
                    const char *what, ...)
{
    va_list args;

    va_start(args, what);
    g_autofree char *text = g_strdup_vprintf(what, args);
    va_end(args);
    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_DAMAGED,
                "TPM state file '%s/%s' is damaged: %s; restore the directory from a backup, or "
                "give an empty one for a new TPM",
                directory->path, kind_name(kind), text);
    return false;
}

/* ---- the header ---- */

static void compute_digest(const uint8_t *header, const uint8_t *payload, size_t size,
                           uint8_t digest[DIGEST_SIZE])
{
    GChecksum *checksum = g_checksum_new(G_CHECKSUM_SHA256);
    gsize digest_size = DIGEST_SIZE;

    g_checksum_update(checksum, header, HEADER_DIGEST);
    g_checksum_update(checksum, payload, (gssize)size);
    g_checksum_get_digest(checksum, digest, &digest_size);
    g_checksum_free(checksum);
}

static void make_header(const TPMStateDirectory *directory, TPMStateKind kind,
                        const uint8_t *payload, size_t size, uint8_t header[HEADER_SIZE])
{
    memcpy(header + HEADER_MAGIC, header_magic, sizeof(header_magic));
    tpm_put_be32(header + HEADER_FORMAT, FORMAT_VERSION);
    tpm_put_be32(header + HEADER_TPM, directory->version);
    tpm_put_be32(header + HEADER_KIND, kind);
    tpm_put_be32(header + HEADER_PROTECTION, PROTECTION_NONE);
    tpm_put_be32(header + HEADER_RESERVED, 0);
    tpm_put_be32(header + HEADER_LENGTH, (uint32_t)size);
    compute_digest(header, payload, size, header + HEADER_DIGEST);
}

/* Does the digest say that these are the bytes that were written? */
static bool check_integrity(const TPMStateDirectory *directory, TPMStateKind kind,
                            const uint8_t *file, size_t size, GError **error)
{
    uint8_t digest[DIGEST_SIZE];

    if (size == 0) {
        return damaged(directory, kind, error, "it is empty");
    }
    if (size < HEADER_SIZE) {
        return damaged(directory, kind, error, "its %zu bytes are too few for the header of %u",
                       size, HEADER_SIZE);
    }
    if (memcmp(file + HEADER_MAGIC, header_magic, sizeof(header_magic)) != 0) {
        return damaged(directory, kind, error, "it does not begin as a file of TPM state does");
    }
    uint32_t format = tpm_get_be32(file + HEADER_FORMAT);

    if (format != FORMAT_VERSION) {
        return damaged(directory, kind, error,
                       "it is of format version %u, and this library reads version %u", format,
                       FORMAT_VERSION);
    }
    uint32_t length = tpm_get_be32(file + HEADER_LENGTH);

    if (length != size - HEADER_SIZE) {
        return damaged(directory, kind, error,
                       "its header tells of %u bytes of state and %zu are there", length,
                       size - HEADER_SIZE);
    }
    compute_digest(file, file + HEADER_SIZE, length, digest);
    if (memcmp(file + HEADER_DIGEST, digest, DIGEST_SIZE) != 0) {
        return damaged(directory, kind, error, "its SHA-256 digest does not fit its content");
    }
    return true;
}

/* Is it the state that was asked for? The digest has been checked. */
static bool check_meaning(const TPMStateDirectory *directory, TPMStateKind kind,
                          const uint8_t *file, size_t size, GError **error)
{
    uint32_t version = tpm_get_be32(file + HEADER_TPM);

    if (size == HEADER_SIZE) {
        return damaged(directory, kind, error, "there is no state in it");
    }
    if (tpm_get_be32(file + HEADER_KIND) != kind) {
        return damaged(directory, kind, error, "it holds state of another kind");
    }
    if (tpm_get_be32(file + HEADER_PROTECTION) != PROTECTION_NONE ||
        tpm_get_be32(file + HEADER_RESERVED) != 0) {
        return damaged(directory, kind, error,
                       "it is protected in a way this library does not "
                       "know");
    }
    if (version != TPM_VERSION_1_2 && version != TPM_VERSION_2_0) {
        return damaged(directory, kind, error, "it is that of a TPM of unknown version %u",
                       version);
    }
    if (version != (uint32_t)directory->version) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_MISMATCH,
                    "TPM state file '%s/%s' is that of a TPM %s, and 'version' is %s; give "
                    "version=%s, or another directory",
                    directory->path, kind_name(kind), version_name(version),
                    version_name(directory->version), version_name(version));
        return false;
    }
    return true;
}

/* ---- loading ---- */

/* All bytes of an open file of this size, or NULL with errno set. */
static uint8_t *read_whole(int fd, size_t size)
{
    uint8_t *content = g_malloc(size + 1);
    size_t done = 0;

    while (done < size) {
        ssize_t n = read(fd, content + done, size - done);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            errno = n < 0 ? errno : EIO;
            g_free(content);
            return NULL;
        }
        done += (size_t)n;
    }
    return content;
}

static uint8_t *read_open_file(const TPMStateDirectory *directory, TPMStateKind kind, int fd,
                               size_t *size, GError **error)
{
    struct stat status;

    if (fstat(fd, &status) != 0) {
        set_io_error(directory, kind_name(kind), "read", errno, error);
        return NULL;
    }
    if (!S_ISREG(status.st_mode)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO,
                    "cannot read TPM state file '%s/%s': it is not a regular file", directory->path,
                    kind_name(kind));
        return NULL;
    }
    if (status.st_size > (off_t)(HEADER_SIZE + TPM_STATE_SIZE_MAX)) {
        damaged(directory, kind, error, "its %jd bytes are more than the %u a TPM's state can be",
                (intmax_t)status.st_size, HEADER_SIZE + TPM_STATE_SIZE_MAX);
        return NULL;
    }
    *size = (size_t)status.st_size;
    uint8_t *content = read_whole(fd, *size);

    if (!content) {
        set_io_error(directory, kind_name(kind), "read", errno, error);
    }
    return content;
}

static GBytes *load_file(const TPMStateDirectory *directory, TPMStateKind kind, GError **error)
{
    int fd = openat(directory->fd, kind_name(kind),
                    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

    if (fd < 0) {
        set_io_error(directory, kind_name(kind), "read", errno, error);
        return NULL;
    }
    size_t size = 0;
    g_autofree uint8_t *content = read_open_file(directory, kind, fd, &size, error);

    close(fd);
    if (!content || !check_integrity(directory, kind, content, size, error) ||
        !check_meaning(directory, kind, content, size, error)) {
        return NULL;
    }
    return g_bytes_new(content + HEADER_SIZE, size - HEADER_SIZE);
}

GBytes *tpm_state_directory_load(TPMStateDirectory *directory, TPMStateKind kind, GError **error)
{
    g_autoptr(GError) cause = NULL;
    GBytes *state = load_file(directory, kind, &cause);

    if (state) {
        return state;
    }
    if (kind == TPM_STATE_PERMANENT && directory->has_permanent &&
        g_error_matches(cause, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND)) {
        damaged(directory, kind, error, "it was there and has gone");
    } else {
        g_propagate_error(error, g_steal_pointer(&cause));
    }
    return NULL;
}

/* ---- storing ---- */

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
static int create_temporary(const TPMStateDirectory *directory, TPMStateKind kind, char **name)
{
    int fd;

    do {
        *name = g_strdup_printf("%s" TEMPORARY_INFIX "%08x", kind_name(kind), g_random_int());
        fd = openat(directory->fd, *name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
                    0600);
        if (fd < 0) {
            g_free(g_steal_pointer(name));
        }
    } while (fd < 0 && errno == EEXIST);
    return fd;
}

/* Returns 0 or an errno; closes the file in any case. */
static int fill_temporary(int fd, const uint8_t *header, const void *data, size_t size)
{
    int err = write_whole(fd, header, HEADER_SIZE);

    err = err ? err : write_whole(fd, data, size);
    if (!err && fsync(fd) != 0) {
        err = errno;
    }
    if (close(fd) != 0 && !err) {
        err = errno;
    }
    return err;
}

/* Returns 0 or an errno. The content is on the disk before the name points to it. */
static int replace_file(const TPMStateDirectory *directory, TPMStateKind kind,
                        const uint8_t *header, const void *data, size_t size)
{
    g_autofree char *temporary = NULL;
    int fd = create_temporary(directory, kind, &temporary);

    if (fd < 0) {
        return errno;
    }
    int err = fill_temporary(fd, header, data, size);

    if (!err && renameat(directory->fd, temporary, directory->fd, kind_name(kind)) != 0) {
        err = errno;
    }
    if (err) {
        unlinkat(directory->fd, temporary, 0);
        return err;
    }
    return fsync(directory->fd) == 0 ? 0 : errno;
}

bool tpm_state_directory_store(TPMStateDirectory *directory, TPMStateKind kind, const void *data,
                               size_t size, GError **error)
{
    uint8_t header[HEADER_SIZE];

    if (size == 0 || size > TPM_STATE_SIZE_MAX) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "cannot write TPM state file '%s/%s': %zu bytes of state; it can be 1 to %u",
                    directory->path, kind_name(kind), size, TPM_STATE_SIZE_MAX);
        return false;
    }
    make_header(directory, kind, data, size, header);
    int err = replace_file(directory, kind, header, data, size);

    if (err) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "cannot write TPM state file '%s/%s': %s",
                    directory->path, kind_name(kind), g_strerror(err));
        return false;
    }
    directory->has_permanent |= kind == TPM_STATE_PERMANENT;
    return true;
}

bool tpm_state_directory_remove(TPMStateDirectory *directory, TPMStateKind kind, GError **error)
{
    if (unlinkat(directory->fd, kind_name(kind), 0) != 0 || fsync(directory->fd) != 0) {
        set_io_error(directory, kind_name(kind), "remove", errno, error);
        return false;
    }
    return true;
}

/* ---- taking a directory into use ---- */

static int open_directory(const char *path, GError **error)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int err = errno;

    if (fd < 0) {
        g_set_error(error, TPMDEV_ERROR, err == ENOENT ? TPM_ERROR_NOT_FOUND : TPM_ERROR_IO,
                    "cannot use TPM state directory '%s': %s; give an existing directory", path,
                    g_strerror(err));
        return -1;
    }
    if (faccessat(fd, ".", R_OK | W_OK | X_OK, AT_EACCESS) != 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO,
                    "cannot use TPM state directory '%s': %s; give one that may be written", path,
                    g_strerror(errno));
        close(fd);
        return -1;
    }
    return fd;
}

static bool lock_failed(const TPMStateDirectory *directory, int err, GError **error)
{
    if (err == EAGAIN || err == EACCES) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IN_USE,
                    "TPM state directory '%s' is in use by another TPM, in this process or another "
                    "one; end that first, or give another directory",
                    directory->path);
    } else {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO,
                    "cannot lock TPM state file '%s/" LOCK_NAME "': %s; give a directory on a file "
                    "system that can lock",
                    directory->path, g_strerror(err));
    }
    return false;
}

/*
 * A file that is not for others to open is also not for them to lock. A process forked from this
 * one shares the lock as long as it has the descriptor open, which is not beyond execve().
 */
static bool take_lock(TPMStateDirectory *directory, GError **error)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    directory->lock_fd =
        openat(directory->fd, LOCK_NAME,
               O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
    if (directory->lock_fd < 0) {
        set_io_error(directory, LOCK_NAME, "open", errno, error);
        return false;
    }
    if (fcntl(directory->lock_fd, F_OFD_SETLK, &lock) != 0) {
        return lock_failed(directory, errno, error);
    }
    return true;
}

/* Unlocked by name, because a forked process may have the open file, and the lock, too. */
static void leave_lock(TPMStateDirectory *directory)
{
    struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET };

    if (directory->lock_fd >= 0) {
        fcntl(directory->lock_fd, F_OFD_SETLK, &lock);
        close(directory->lock_fd);
    }
}

/* A new TPM where swtpm keeps one would look to its guest as if its TPM had lost everything. */
static bool check_not_swtpm(const TPMStateDirectory *directory, GError **error)
{
    static const char *const names[] = { "tpm2-00.permall", "tpm-00.permall" };

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        if (faccessat(directory->fd, names[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
            g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_MISMATCH,
                        "TPM state directory '%s' is that of swtpm: it holds '%s'; use type "
                        "emulator for that TPM, or give another directory",
                        directory->path, names[i]);
            return false;
        }
    }
    return true;
}

static bool check_files(TPMStateDirectory *directory, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autoptr(GError) cause = NULL;
        g_autoptr(GBytes) state = load_file(directory, kinds[i], &cause);

        if (!state && !g_error_matches(cause, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND)) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return false;
        }
        if (kinds[i] == TPM_STATE_PERMANENT) {
            directory->has_permanent = state != NULL;
        } else if (state && !directory->has_permanent) {
            return damaged(directory, TPM_STATE_PERMANENT, error,
                           "it is missing, though there is a '%s'", kind_name(kinds[i]));
        }
    }
    return true;
}

static bool is_temporary(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autofree char *prefix = g_strconcat(kind_name(kinds[i]), TEMPORARY_INFIX, NULL);

        if (g_str_has_prefix(name, prefix)) {
            return true;
        }
    }
    return false;
}

/* Left by a process that was killed while it stored. That they are there does no harm. */
static void remove_temporaries(const TPMStateDirectory *directory)
{
    int fd = openat(directory->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;

    if (!stream) {
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    for (struct dirent *entry = readdir(stream); entry; entry = readdir(stream)) {
        if (is_temporary(entry->d_name)) {
            unlinkat(directory->fd, entry->d_name, 0);
        }
    }
    closedir(stream);
}

TPMStateDirectory *tpm_state_directory_open(const char *path, TPMVersion version, GError **error)
{
    int fd = open_directory(path, error);

    if (fd < 0) {
        return NULL;
    }
    TPMStateDirectory *directory = g_new0(TPMStateDirectory, 1);

    directory->path = g_strdup(path);
    directory->fd = fd;
    directory->lock_fd = -1;
    directory->version = version;
    if (!take_lock(directory, error) || !check_files(directory, error) ||
        (!directory->has_permanent && !check_not_swtpm(directory, error))) {
        return tpm_state_directory_close(directory);
    }
    remove_temporaries(directory);
    return directory;
}

TPMStateDirectory *tpm_state_directory_close(TPMStateDirectory *directory)
{
    if (directory) {
        leave_lock(directory);
        close(directory->fd);
        g_free(directory->path);
        g_free(directory);
    }
    return NULL;
}
