/* SPDX-License-Identifier: BSD-3-Clause */
/* Files of a directory, written whole or not at all; see snapshot.h. */
#include "snapshot.h"
#include "keyval.h"
#include "machine-state.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define SUFFIX          ".tpmdev"
#define NAME_LENGTH_MAX 64u
#define FILE_MODE       0600
#define NS_PER_MS       G_GINT64_CONSTANT(1000000)

struct Snapshots {
    Machine *machine;
    Migration *migration;
    char *directory; /* or NULL */
};

Snapshots *snapshots_new(Machine *machine, Migration *migration, const char *directory)
{
    Snapshots *snapshots = g_new0(Snapshots, 1);

    snapshots->machine = machine;
    snapshots->migration = migration;
    snapshots->directory = g_strdup(directory);
    return snapshots;
}

void snapshots_free(Snapshots *snapshots)
{
    if (snapshots) {
        g_free(snapshots->directory);
        g_free(snapshots);
    }
}

/* ---- names ---- */

static bool is_name(const char *name)
{
    size_t length = strlen(name);

    if (length == 0 || length > NAME_LENGTH_MAX || *name == '.' || *name == '-') {
        return false;
    }
    for (; *name; name++) {
        if (!g_ascii_isalnum(*name) && !strchr("._-", *name)) {
            return false;
        }
    }
    return true;
}

static char *path_of(const Snapshots *snapshots, const char *name, GError **error)
{
    if (!snapshots->directory) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "there is no place for snapshots; start the machine with -snapshot-dir DIR");
        return NULL;
    }
    if (!is_name(name)) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "'%s' cannot be a snapshot's name; it has 1 to %u letters, digits, '.', '_' "
                    "and '-', of which the last two are not the first",
                    name, NAME_LENGTH_MAX);
        return NULL;
    }
    return g_strdup_printf("%s/%s" SUFFIX, snapshots->directory, name);
}

static bool failed(const char *path, int number, GError **error)
{
    g_set_error(error, MACHINE_ERROR, number, "%s: %s", path, g_strerror(number));
    return false;
}

/* ---- writing ---- */

static bool write_all(int fd, const uint8_t *data, size_t size)
{
    while (size) {
        ssize_t n = write(fd, data, size);

        if (n < 0 && errno != EINTR) {
            return false;
        }
        if (n > 0) {
            data += n;
            size -= (size_t)n;
        }
    }
    return fsync(fd) == 0;
}

static bool write_file(const char *path, const GByteArray *bytes, GError **error)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);

    if (fd < 0) {
        return failed(path, errno, error);
    }
    bool good = write_all(fd, bytes->data, bytes->len);
    int number = errno;

    close(fd);
    if (!good) {
        unlink(path);
        return failed(path, number, error);
    }
    return true;
}

/* The names in a directory are on the disk when it is. */
static bool sync_directory(const char *directory, GError **error)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    int number = errno;

    if (fd >= 0) {
        close(fd);
    }
    return good || failed(directory, number, error);
}

/* One that was left by a program that ended in between is written over by the next of its name. */
static bool publish(const Snapshots *snapshots, const char *name, const char *path,
                    const GByteArray *bytes, GError **error)
{
    g_autofree char *temporary = g_strdup_printf("%s/.%s.tmp", snapshots->directory, name);

    if (!write_file(temporary, bytes, error)) {
        return false;
    }
    if (g_rename(temporary, path)) {
        int number = errno;

        unlink(temporary);
        return failed(path, number, error);
    }
    return sync_directory(snapshots->directory, error);
}

/* ---- what a monitor asks for ---- */

/* A guest that is elsewhere, or on its way, is not here to be saved, nor to be replaced. */
static bool check_guest(const Snapshots *snapshots, GError **error)
{
    switch (migration_run_status(snapshots->migration)) {
    case RUN_PRELAUNCH:
    case RUN_RUNNING:
    case RUN_PAUSED:
        if (!migration_is_active(snapshots->migration)) {
            return true;
        }
        break;
    case RUN_INMIGRATE:
    case RUN_FINISH_MIGRATE:
    case RUN_POSTMIGRATE:
        break;
    }
    g_set_error(error, MACHINE_ERROR, 0, "the guest is %s; a migration has it",
                migration_run_status_name(snapshots->migration));
    return false;
}

static int64_t timeout_ns(const Snapshots *snapshots)
{
    return migration_timeout(snapshots->migration) * NS_PER_MS;
}

static void resume(const Snapshots *snapshots)
{
    if (machine_tpm(snapshots->machine)) {
        tpmdev_device_resume(machine_tpm(snapshots->machine));
    }
}

/* The machine stands still for it. Returns whether it is to go on afterwards. */
static bool stop_guest(const Snapshots *snapshots)
{
    return migration_run_status(snapshots->migration) == RUN_RUNNING &&
           migration_stop(snapshots->migration, NULL);
}

static void let_guest_go(const Snapshots *snapshots, bool ran)
{
    if (ran) {
        migration_cont(snapshots->migration, NULL);
    }
}

static bool check_presence(const char *name, const char *path, SnapshotPresence presence,
                           GError **error)
{
    bool there = g_file_test(path, G_FILE_TEST_EXISTS);

    if (presence == SNAPSHOT_MAY_BE || there == (presence == SNAPSHOT_MUST_BE)) {
        return true;
    }
    g_set_error(error, MACHINE_ERROR, 0, "Snapshot '%s' %s in one or more devices", name,
                there ? "already exists" : "does not exist");
    return false;
}

bool snapshot_save(Snapshots *snapshots, const char *name, SnapshotPresence presence,
                   GError **error)
{
    g_autofree char *path = path_of(snapshots, name, error);
    TPMDevice *device = machine_tpm(snapshots->machine);

    if (!path || !check_guest(snapshots, error) || !check_presence(name, path, presence, error) ||
        (device && !tpmdev_device_can_migrate(device, error))) {
        return false;
    }
    bool ran = stop_guest(snapshots);
    g_autoptr(GByteArray) bytes =
        machine_state_save(snapshots->machine, 0, ran, timeout_ns(snapshots), error);
    bool good = bytes && publish(snapshots, name, path, bytes, error);

    if (bytes) {
        resume(snapshots);
    }
    let_guest_go(snapshots, ran);
    return good;
}

static bool load_bytes(Snapshots *snapshots, const char *path, const char *bytes, gsize size,
                       GError **error)
{
    bool had_run; /* where it was saved, which is not what decides here */

    if (size > G_MAXUINT) {
        return failed(path, EFBIG, error);
    }
    if (!machine_state_load(snapshots->machine, (const uint8_t *)bytes, size, timeout_ns(snapshots),
                            &had_run, error)) {
        g_prefix_error(error, "%s: ", path);
        return false;
    }
    resume(snapshots);
    return true;
}

bool snapshot_load(Snapshots *snapshots, const char *name, GError **error)
{
    g_autofree char *path = path_of(snapshots, name, error);
    g_autofree char *bytes = NULL;
    gsize size;

    if (!path || !check_guest(snapshots, error) ||
        !check_presence(name, path, SNAPSHOT_MUST_BE, error) ||
        !g_file_get_contents(path, &bytes, &size, error)) {
        return false;
    }
    bool ran = stop_guest(snapshots);
    bool good = load_bytes(snapshots, path, bytes, size, error);

    let_guest_go(snapshots, ran);
    return good;
}

bool snapshot_delete(Snapshots *snapshots, const char *name, SnapshotPresence presence,
                     GError **error)
{
    g_autofree char *path = path_of(snapshots, name, error);

    if (!path || !check_presence(name, path, presence, error)) {
        return false;
    }
    return unlink(path) == 0 || errno == ENOENT || failed(path, errno, error);
}

void snapshot_describe(Snapshots *snapshots, const char *name, uint64_t *size, int64_t *time)
{
    g_autofree char *path = path_of(snapshots, name, NULL);
    GStatBuf status;
    bool there = path && g_stat(path, &status) == 0;

    *size = there ? (uint64_t)status.st_size : 0;
    *time = there ? (int64_t)status.st_mtime : 0;
}

static gint compare(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **snapshot_list(Snapshots *snapshots, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    g_autoptr(GDir) directory = NULL;
    const char *file;

    if (!snapshots->directory) {
        return g_new0(char *, 1);
    }
    directory = g_dir_open(snapshots->directory, 0, error);
    if (!directory) {
        return NULL;
    }
    while ((file = g_dir_read_name(directory))) {
        if (*file != '.' && g_str_has_suffix(file, SUFFIX)) {
            g_ptr_array_add(names, g_strndup(file, strlen(file) - strlen(SUFFIX)));
        }
    }
    g_ptr_array_sort(names, compare);
    g_ptr_array_add(names, NULL);
    return (char **)g_ptr_array_steal(names, NULL);
}
