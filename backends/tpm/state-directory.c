/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of a TPM in a directory: which files there are, who may use them, and which of them
 * belong together.
 *
 * All file names are looked up in the directory that was opened, so that it stays the same one
 * when the host renames it. Nothing here follows a symbolic link or waits for a FIFO.
 *
 * Neighbours: libtpms-engine.c loads and stores, libtpms-storage.c takes the directory and lets go
 * of it; state-file.c has the form of a file, state-replace.c puts it on the disk.
 */
#include "state-directory.h"
#include "state-lock.h"
#include "state-replace.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HAS_GONE "it was there and has gone"

struct TPMStateDirectory {
    char *path; /* for messages */
    int fd;
    int lock_fd; /* holds the lock; -1 when it is not taken */
    TPMVersion version;
    TPMStateAccess access; /* with references to the keys */
    bool has_permanent;    /* there is permanent state, and so there must be from now on */
    uint64_t counter;      /* of the permanent state that is there */
    uint64_t last_counter; /* the last one given to a store, which may have failed */
    char *left;            /* digest of its files when it was let go of, or NULL */
};

/* Permanent state first: the others are judged by it. */
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

const char *tpm_state_directory_get_path(const TPMStateDirectory *directory)
{
    return directory->path;
}

uint64_t tpm_state_directory_get_counter(const TPMStateDirectory *directory)
{
    return directory->counter;
}

/* For state-file.c; path is free()d by the caller. */
static TPMStateFile describe_file(const TPMStateDirectory *directory, TPMStateKind kind,
                                  char **path)
{
    *path = g_strdup_printf("%s/%s", directory->path, kind_name(kind));
    return (TPMStateFile){
        .path = *path,
        .version = directory->version,
        .kind = kind,
        .key = directory->access.key,
        .old_key = directory->access.old_key,
        .convert = directory->access.convert,
    };
}

/* ---- errors ---- */

static void set_io_error(const TPMStateDirectory *directory, const char *name, const char *action,
                         int err, GError **error)
{
    g_set_error(error, TPMDEV_ERROR, err == ENOENT ? TPM_ERROR_NOT_FOUND : TPM_ERROR_IO,
                "cannot %s TPM state file '%s/%s': %s", action, directory->path, name,
                g_strerror(err));
}

static bool permanent_damaged(const TPMStateDirectory *directory, const char *what, GError **error)
{
    g_autofree char *path = NULL;
    TPMStateFile file = describe_file(directory, TPM_STATE_PERMANENT, &path);

    return tpm_state_file_damaged(&file, error, "%s", what);
}

/* What is another's is neither believed nor changed. */
static bool check_taken(const TPMStateDirectory *directory, GError **error)
{
    if (directory->lock_fd < 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IN_USE,
                    "TPM state directory '%s' is not this TPM's at the moment", directory->path);
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

static uint8_t *read_open_file(const TPMStateDirectory *directory, const TPMStateFile *file, int fd,
                               size_t *size, GError **error)
{
    struct stat status;
    const char *name = kind_name(file->kind);

    if (fstat(fd, &status) != 0) {
        set_io_error(directory, name, "read", errno, error);
        return NULL;
    }
    if (!S_ISREG(status.st_mode)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO,
                    "cannot read TPM state file '%s': it is not a regular file", file->path);
        return NULL;
    }
    if (status.st_size > (off_t)TPM_STATE_FILE_SIZE_MAX) {
        tpm_state_file_damaged(file, error,
                               "its %jd bytes are more than the %u a TPM's state can be",
                               (intmax_t)status.st_size, TPM_STATE_FILE_SIZE_MAX);
        return NULL;
    }
    *size = (size_t)status.st_size;
    uint8_t *content = read_whole(fd, *size);

    if (!content) {
        set_io_error(directory, name, "read", errno, error);
    }
    return content;
}

static uint8_t *read_file(const TPMStateDirectory *directory, const TPMStateFile *file,
                          size_t *size, GError **error)
{
    const char *name = kind_name(file->kind);
    int fd = openat(directory->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);

    if (fd < 0) {
        set_io_error(directory, name, "read", errno, error);
        return NULL;
    }
    uint8_t *bytes = read_open_file(directory, file, fd, size, error);

    close(fd);
    return bytes;
}

static bool load_file(const TPMStateDirectory *directory, TPMStateKind kind,
                      TPMStateContent *content, GError **error)
{
    g_autofree char *path = NULL;
    TPMStateFile file = describe_file(directory, kind, &path);
    size_t size = 0;
    g_autofree uint8_t *bytes = read_file(directory, &file, &size, error);

    return bytes && tpm_state_file_parse(&file, bytes, size, content, error);
}

/* ---- which state belongs together, and which is the latest ---- */

static bool rolled_back(const TPMStateDirectory *directory, uint64_t counter, const char *wanted,
                        uint64_t wanted_counter, GError **error)
{
    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_MISMATCH,
                "TPM state file '%s/%s' was rolled back: its counter is %" G_GUINT64_FORMAT
                ", and %s is %" G_GUINT64_FORMAT "; restore the latest state, or give the counter "
                "that goes with this one if it is meant",
                directory->path, kind_name(TPM_STATE_PERMANENT), counter, wanted, wanted_counter);
    return false;
}

/*
 * What was renamed and not synced, by a process that was killed or a store that failed, can be read
 * and yet be gone after a loss of power. Nobody is to see it before it is on the disk.
 */
static bool sync_names(const TPMStateDirectory *directory, GError **error)
{
    if (fsync(directory->fd) != 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "cannot sync TPM state directory '%s': %s",
                    directory->path, g_strerror(errno));
        return false;
    }
    return true;
}

/* Permanent state with this counter was read: is it the latest, and not one of before? */
static bool check_counter(TPMStateDirectory *directory, uint64_t counter, GError **error)
{
    if (counter < directory->access.counter) {
        return rolled_back(directory, counter, "'counter'", directory->access.counter, error);
    }
    if (counter < directory->counter) {
        return rolled_back(directory, counter, "the one stored last", directory->counter, error);
    }
    if (counter > directory->counter && !sync_names(directory, error)) {
        return false;
    }
    directory->counter = counter;
    directory->last_counter = MAX(directory->last_counter, counter);
    return true;
}

/* State of another kind with this counter was read: does it belong to the permanent state? */
static bool check_belongs(const TPMStateDirectory *directory, TPMStateKind kind, uint64_t counter,
                          GError **error)
{
    if (counter > directory->counter) {
        g_autofree char *name = g_strdup_printf("that of '%s'", kind_name(kind));

        return rolled_back(directory, directory->counter, name, counter, error);
    }
    if (counter < directory->counter) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND,
                    "TPM state file '%s/%s' is stale: permanent state was stored after it",
                    directory->path, kind_name(kind));
        return false;
    }
    return true;
}

static bool check_place(TPMStateDirectory *directory, TPMStateKind kind, uint64_t counter,
                        GError **error)
{
    return kind == TPM_STATE_PERMANENT ? check_counter(directory, counter, error)
                                       : check_belongs(directory, kind, counter, error);
}

GBytes *tpm_state_directory_load(TPMStateDirectory *directory, TPMStateKind kind, GError **error)
{
    g_autoptr(GError) cause = NULL;
    TPMStateContent content = { NULL, 0, false };

    if (!check_taken(directory, error)) {
        return NULL;
    }
    if (load_file(directory, kind, &content, &cause) &&
        check_place(directory, kind, content.counter, &cause)) {
        return content.payload;
    }
    tpm_state_content_clear(&content);
    if (kind == TPM_STATE_PERMANENT && directory->has_permanent &&
        g_error_matches(cause, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND)) {
        permanent_damaged(directory, HAS_GONE, error);
    } else {
        g_propagate_error(error, g_steal_pointer(&cause));
    }
    return NULL;
}

/* ---- storing ---- */

static bool store_file(const TPMStateDirectory *directory, TPMStateKind kind, uint64_t counter,
                       const void *data, size_t size, GError **error)
{
    g_autofree char *path = NULL;
    TPMStateFile file = describe_file(directory, kind, &path);
    size_t file_size;
    g_autofree uint8_t *bytes = tpm_state_file_make(&file, counter, data, size, &file_size, error);

    if (!bytes) {
        return false;
    }
    int err = tpm_state_replace(directory->fd, kind_name(kind), bytes, file_size);

    if (err) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "cannot write TPM state file '%s': %s", path,
                    g_strerror(err));
    }
    return !err;
}

/*
 * A counter is used once. After a store that failed it is not known whether what is on the disk
 * has it, and nothing else may have the same.
 */
bool tpm_state_directory_store(TPMStateDirectory *directory, TPMStateKind kind, const void *data,
                               size_t size, GError **error)
{
    bool is_permanent = kind == TPM_STATE_PERMANENT;

    if (!check_taken(directory, error)) {
        return false;
    }
    if (size == 0 || size > TPM_STATE_SIZE_MAX) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "cannot write TPM state file '%s/%s': %zu bytes of state; it can be 1 to %u",
                    directory->path, kind_name(kind), size, TPM_STATE_SIZE_MAX);
        return false;
    }
    if (is_permanent && directory->last_counter == UINT64_MAX) { /* by no store of ours */
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO,
                    "cannot write TPM state file '%s/%s': its counter can go no further",
                    directory->path, kind_name(kind));
        return false;
    }
    uint64_t counter = is_permanent ? ++directory->last_counter : directory->counter;

    if (!store_file(directory, kind, counter, data, size, error)) {
        return false;
    }
    if (is_permanent) {
        directory->counter = counter;
        directory->has_permanent = true;
    }
    return true;
}

bool tpm_state_directory_remove(TPMStateDirectory *directory, TPMStateKind kind, GError **error)
{
    if (!check_taken(directory, error)) {
        return false;
    }
    if (unlinkat(directory->fd, kind_name(kind), 0) != 0 || fsync(directory->fd) != 0) {
        set_io_error(directory, kind_name(kind), "remove", errno, error);
        return false;
    }
    return true;
}

/* ---- finding a directory ---- */

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

/* ---- taking a directory into use ---- */

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

static bool check_permanent(TPMStateDirectory *directory, const TPMStateContent *content,
                            GError **error)
{
    if (directory->has_permanent && !content->payload) { /* it was taken before */
        return permanent_damaged(directory, HAS_GONE, error);
    }
    directory->has_permanent = content->payload != NULL;
    if (directory->has_permanent) {
        return check_counter(directory, content->counter, error);
    }
    if (directory->access.counter > 0) {
        g_set_error(
            error, TPMDEV_ERROR, TPM_ERROR_STATE_MISMATCH,
            "TPM state directory '%s' holds no TPM state, and 'counter' is %" G_GUINT64_FORMAT
            ": it was emptied; restore the latest state, or give counter=0 for a new TPM",
            directory->path, directory->access.counter);
        return false;
    }
    return true;
}

static bool check_other(const TPMStateDirectory *directory, TPMStateKind kind,
                        const TPMStateContent *content, GError **error)
{
    g_autoptr(GError) cause = NULL;

    if (!content->payload) {
        return true;
    }
    if (!directory->has_permanent) {
        g_autofree char *what =
            g_strdup_printf("it is missing, though there is a '%s'", kind_name(kind));

        return permanent_damaged(directory, what, error);
    }
    if (!check_belongs(directory, kind, content->counter, &cause) &&
        !g_error_matches(cause, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    return true;
}

/* What is there of a kind, if there is. Permanent state comes first. */
static bool check_file(TPMStateDirectory *directory, TPMStateKind kind, GError **error)
{
    g_autoptr(GError) cause = NULL;
    TPMStateContent content = { NULL, 0, false };

    if (!load_file(directory, kind, &content, &cause) &&
        !g_error_matches(cause, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&cause));
        return false;
    }
    bool good = kind == TPM_STATE_PERMANENT ? check_permanent(directory, &content, error)
                                            : check_other(directory, kind, &content, error);

    tpm_state_content_clear(&content);
    return good;
}

static bool check_files(TPMStateDirectory *directory, GError **error)
{
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (!check_file(directory, kinds[i], error)) {
            return false;
        }
    }
    return directory->has_permanent || check_not_swtpm(directory, error);
}

bool tpm_state_directory_take(TPMStateDirectory *directory, GError **error)
{
    if (!tpm_state_lock(directory->fd, directory->path, &directory->lock_fd, error)) {
        return false;
    }
    if (!check_files(directory, error)) {
        tpm_state_directory_give_back(directory);
        return false;
    }
    return true;
}

/* ---- how the state is protected ---- */

/*
 * What a process left that was killed while it stored does no harm, but for state that is not
 * encrypted where all is to be.
 */
static bool clean_up(const TPMStateDirectory *directory, GError **error)
{
    int err = 0;

    for (gsize i = 0; i < G_N_ELEMENTS(kinds) && !err; i++) {
        err = tpm_state_remove_temporaries(directory->fd, kind_name(kinds[i]));
    }

    if (err && directory->access.key) {
        g_set_error(
            error, TPMDEV_ERROR, TPM_ERROR_IO,
            "cannot remove temporary files from TPM state directory '%s': %s; they may hold "
            "state that is not encrypted",
            directory->path, g_strerror(err));
        return false;
    }
    return true;
}

static bool protect_file_anew(const TPMStateDirectory *directory, TPMStateKind kind, GError **error)
{
    g_autoptr(GError) cause = NULL;
    TPMStateContent content = { NULL, 0, false };
    bool done = true;

    if (!load_file(directory, kind, &content, &cause)) {
        done = g_error_matches(cause, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND);
        if (!done) {
            g_propagate_error(error, g_steal_pointer(&cause));
        }
    } else if (content.is_old) {
        gsize size;
        const void *data = g_bytes_get_data(content.payload, &size);

        done = store_file(directory, kind, content.counter, data, size, error);
    }
    tpm_state_content_clear(&content);
    return done;
}

/* Permanent state last, so that what stands for the directory tells that all is done. */
static bool protect_anew(const TPMStateDirectory *directory, GError **error)
{
    for (gsize i = G_N_ELEMENTS(kinds); i-- > 0;) {
        if (!protect_file_anew(directory, kinds[i], error)) {
            return false;
        }
    }
    return true;
}

/* On a host's thread, where a limit of the size of files would raise SIGXFSZ. */
static bool protect_anew_quietly(const TPMStateDirectory *directory, GError **error)
{
    static const struct timespec at_once = { 0, 0 };
    sigset_t blocked, before, pending;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGXFSZ);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    bool done = protect_anew(directory, error);

    if (!done && !sigismember(&pending, SIGXFSZ)) {
        sigtimedwait(&blocked, NULL, &at_once);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return done;
}

bool tpm_state_directory_settle(TPMStateDirectory *directory, GError **error)
{
    if (!check_taken(directory, error) || !clean_up(directory, error) ||
        !protect_anew_quietly(directory, error)) {
        return false;
    }
    /* All is under the new key, and nothing else is taken any more. */
    tpm_state_key_unref(g_steal_pointer(&directory->access.old_key));
    directory->access.convert = false;
    return true;
}

/* ---- handing a directory over ---- */

/* A digest of all files as they are, and of which there are; free it with g_free(). */
static char *digest_files(const TPMStateDirectory *directory, GError **error)
{
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA256);

    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autoptr(GError) cause = NULL;
        g_autofree char *path = NULL;
        TPMStateFile file = describe_file(directory, kinds[i], &path);
        size_t size = 0;
        g_autofree uint8_t *bytes = read_file(directory, &file, &size, &cause);

        if (!bytes && !g_error_matches(cause, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND)) {
            g_propagate_error(error, g_steal_pointer(&cause));
            return NULL;
        }
        g_autofree char *head = g_strdup_printf("%s %d %zu ", file.path, bytes != NULL, size);

        g_checksum_update(checksum, (const guchar *)head, -1);
        g_checksum_update(checksum, bytes, (gssize)size);
    }
    return g_strdup(g_checksum_get_string(checksum));
}

bool tpm_state_directory_let_go(TPMStateDirectory *directory, GError **error)
{
    if (!check_taken(directory, error) || !sync_names(directory, error)) {
        return false;
    }
    char *left = digest_files(directory, error);

    if (!left) {
        return false;
    }
    g_free(directory->left);
    directory->left = left;
    tpm_state_directory_give_back(directory);
    return true;
}

void tpm_state_directory_give_back(TPMStateDirectory *directory)
{
    tpm_state_unlock(&directory->lock_fd);
}

bool tpm_state_directory_is_as_left(const TPMStateDirectory *directory, GError **error)
{
    if (!check_taken(directory, error)) {
        return false;
    }
    g_autofree char *now = digest_files(directory, error);

    if (now && g_strcmp0(now, directory->left) != 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_MISMATCH,
                    "what is stored in TPM state directory '%s' has changed since it was let go of",
                    directory->path);
        return false;
    }
    return now != NULL;
}

/* ---- life ---- */

TPMStateDirectory *tpm_state_directory_new(const char *path, TPMVersion version,
                                           const TPMStateAccess *access, GError **error)
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
    if (access) {
        directory->access = *access;
        tpm_state_key_ref(directory->access.key);
        tpm_state_key_ref(directory->access.old_key);
    }
    return directory;
}

TPMStateDirectory *tpm_state_directory_open(const char *path, TPMVersion version,
                                            const TPMStateAccess *access, GError **error)
{
    TPMStateDirectory *directory = tpm_state_directory_new(path, version, access, error);

    if (directory && tpm_state_directory_take(directory, error) &&
        tpm_state_directory_settle(directory, error)) {
        return directory;
    }
    return tpm_state_directory_close(directory);
}

TPMStateDirectory *tpm_state_directory_close(TPMStateDirectory *directory)
{
    if (directory) {
        tpm_state_directory_give_back(directory);
        close(directory->fd);
        tpm_state_key_unref(directory->access.key);
        tpm_state_key_unref(directory->access.old_key);
        g_free(directory->left);
        g_free(directory->path);
        g_free(directory);
    }
    return NULL;
}
