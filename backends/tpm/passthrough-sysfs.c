/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a cancel goes: the file `cancel` of the host's TPM in sysfs. A byte written to it makes the
 * driver cancel the command under way.
 *
 * Which TPM it is, the device number says: /sys/dev/char/MAJOR:MINOR is a link to the device, whose
 * last component is tpmN, or tpmrmN of a resource manager. So it is found for links and for
 * descriptors that were handed over, too. Without that the path must say.
 *
 * The file has been in several places, and drivers of TPM 2.0 have none:
 *
 *     class/tpm/tpmN/device/cancel    Linux 4.0 and later: a link kept for programs of before
 *     class/tpm/tpmN/cancel           where it is since then
 *     class/misc/tpmN/device/cancel   before 4.0
 *
 * Source: Linux, Documentation/ABI/stable/sysfs-class-tpm.
 * Neighbours: passthrough.c, which writes the byte.
 */
#include "passthrough-device.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static const char *const cancel_files[] = {
    "class/tpm/%s/device/cancel",
    "class/tpm/%s/cancel",
    "class/misc/%s/device/cancel",
};

/* The name by which the kernel knows the device, by its number; NULL when sysfs does not say. */
static char *name_by_number(const PassthroughSystem *system, int fd)
{
    struct stat status;

    if (system->fstat(system->opaque, fd, &status) != 0) {
        return NULL;
    }
    g_autofree char *link = g_strdup_printf("%s/dev/char/%u:%u", system->sysfs,
                                            major(status.st_rdev), minor(status.st_rdev));
    g_autofree char *target = g_file_read_link(link, NULL);

    return target ? g_path_get_basename(target) : NULL;
}

/* tpmN for tpmN and tpmrmN; NULL for all else. */
static char *chip_of(const char *name)
{
    const char *number = g_str_has_prefix(name, "tpmrm") ? name + strlen("tpmrm")
                         : g_str_has_prefix(name, "tpm") ? name + strlen("tpm")
                                                         : "";

    if (!*number || strspn(number, "0123456789") != strlen(number)) {
        return NULL;
    }
    return g_strdup_printf("tpm%s", number);
}

static int open_for_writing(const PassthroughSystem *system, const char *path)
{
    return system->open(system->opaque, path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
}

int tpm_passthrough_find_cancel(const PassthroughSystem *system, int fd, const char *path,
                                char **tried)
{
    g_autofree char *known = name_by_number(system, fd);
    g_autofree char *name = known  ? g_steal_pointer(&known)
                            : path ? g_path_get_basename(path)
                                   : g_strdup("");
    g_autofree char *chip = chip_of(name);
    g_autoptr(GString) list = g_string_new(NULL);

    if (!chip) {
        *tried =
            g_strdup_printf("none, for the device is known by the name '%s' and not as tpmN or "
                            "tpmrmN",
                            name);
        return -1;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(cancel_files); i++) {
        g_auto(GStrv) parts = g_strsplit(cancel_files[i], "%s", 2);
        g_autofree char *file =
            g_strdup_printf("%s/%s%s%s", system->sysfs, parts[0], chip, parts[1]);
        int cancel = open_for_writing(system, file);

        if (cancel >= 0) {
            *tried = NULL;
            return cancel;
        }
        g_string_append_printf(list, "%s%s (%s)", i ? ", " : "", file, g_strerror(errno));
    }
    *tried = g_strdup(list->str);
    return -1;
}

int tpm_passthrough_open_cancel(const PassthroughSystem *system, const char *path, GError **error)
{
    int fd = open_for_writing(system, path);

    if (fd < 0) {
        g_set_error(error, TPMDEV_ERROR, errno == ENOENT ? TPM_ERROR_NOT_FOUND : TPM_ERROR_IO,
                    "cannot open '%s' for cancels: %s; cancel-path= names a file that can be "
                    "written, such as /sys/class/tpm/tpm0/cancel",
                    path, g_strerror(errno));
    }
    return fd;
}
