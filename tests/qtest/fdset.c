/* SPDX-License-Identifier: BSD-3-Clause */
/* Sets of descriptors; see fdset.h. */
#include "fdset.h"
#include "keyval.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "/dev/fdset/"

typedef struct Member {
    guint64 set;
    int fd;
} Member;

struct FdSets {
    GArray *members; /* of Member */
};

FdSets *fdsets_new(void)
{
    FdSets *sets = g_new0(FdSets, 1);

    sets->members = g_array_new(FALSE, FALSE, sizeof(Member));
    return sets;
}

void fdsets_free(FdSets *sets)
{
    if (sets) {
        g_array_unref(sets->members);
        g_free(sets);
    }
}

/* ---- -add-fd ---- */

static bool get_number(const KeyVal *keyval, const char *name, guint64 *number, GError **error)
{
    const char *text = keyval_get(keyval, name);

    if (!text || !g_ascii_string_to_unsigned(text, 10, 0, INT_MAX, number, NULL)) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "Parameter '%s' is required and must be a number that is not negative", name);
        return false;
    }
    return true;
}

static bool has_descriptor(const FdSets *sets, guint64 fd)
{
    for (guint i = 0; i < sets->members->len; i++) {
        if ((guint64)g_array_index(sets->members, Member, i).fd == fd) {
            return true;
        }
    }
    return false;
}

bool fdsets_add(FdSets *sets, const char *text, GError **error)
{
    static const char *const known[] = { "fd", "set", "opaque", NULL };
    g_autoptr(KeyVal) keyval = keyval_parse(text, NULL, error);
    guint64 fd, set;

    if (!keyval || !keyval_check(keyval, known, error) || !get_number(keyval, "fd", &fd, error) ||
        !get_number(keyval, "set", &set, error)) {
        return false;
    }
    if (fd <= STDERR_FILENO) {
        g_set_error(error, MACHINE_ERROR, 0, "fd cannot be a standard I/O stream");
        return false;
    }
    /* What the shell left open is handed over; what the program opened itself is not. */
    int flags = fcntl((int)fd, F_GETFD);

    if (flags < 0 || flags & FD_CLOEXEC || has_descriptor(sets, fd)) {
        g_set_error(error, MACHINE_ERROR, 0, "fd is not valid or already in use");
        return false;
    }
    fcntl((int)fd, F_SETFD, FD_CLOEXEC);
    Member member = { set, (int)fd };

    g_array_append_val(sets->members, member);
    return true;
}

/* ---- /dev/fdset/M ---- */

/* As QEMU does it: the first one that was opened with just this access. */
static int find_descriptor(const FdSets *sets, guint64 set, int access)
{
    int failure = ENOENT;

    for (guint i = 0; i < sets->members->len; i++) {
        const Member *member = &g_array_index(sets->members, Member, i);

        if (member->set == set) {
            failure = EACCES;
            if ((fcntl(member->fd, F_GETFL) & O_ACCMODE) == access) {
                return member->fd;
            }
        }
    }
    errno = failure;
    return -1;
}

typedef struct Resolver {
    const FdSets *sets;
    GString *text;
    GError *error;
} Resolver;

/* Append NAME=VALUE; a comma is written twice. */
static void append(GString *text, const char *name, const char *value)
{
    g_string_append_printf(text, "%s%s=", text->len > 0 ? "," : "", name);
    for (; *value; value++) {
        g_string_append(text, *value == ',' ? ",," : (char[]){ *value, 0 });
    }
}

static void resolve(Resolver *resolver, const char *name, const char *path, const char *fd_name,
                    int access)
{
    g_autofree char *fd = NULL;
    guint64 set;
    bool is_number = g_ascii_string_to_unsigned(path + strlen(PREFIX), 10, 0, INT_MAX, &set, NULL);
    int found = find_descriptor(resolver->sets, is_number ? set : UINT64_MAX, access);

    if (found < 0) {
        g_clear_error(&resolver->error);
        g_set_error(&resolver->error, MACHINE_ERROR, 0,
                    "Could not open '%s' for %s: %s; -add-fd puts a descriptor opened %s into the "
                    "set",
                    path, name, g_strerror(errno), access == O_RDWR ? "O_RDWR" : "O_WRONLY");
        return;
    }
    fd = g_strdup_printf("%d", found);
    append(resolver->text, fd_name, fd);
}

static void visit(void *opaque, const char *name, const char *value)
{
    Resolver *resolver = opaque;
    bool is_set = g_str_has_prefix(value, PREFIX);

    if (is_set && strcmp(name, "path") == 0) {
        resolve(resolver, name, value, "fd", O_RDWR);
    } else if (is_set && strcmp(name, "cancel-path") == 0) {
        resolve(resolver, name, value, "cancel-fd", O_WRONLY);
    } else {
        append(resolver->text, name, value);
    }
}

char *fdsets_resolve(const FdSets *sets, const char *tpmdev, GError **error)
{
    g_autoptr(KeyVal) keyval = keyval_parse(tpmdev, "type", NULL);
    Resolver resolver = { .sets = sets };

    /* What is malformed, and what names no set, the library is given as it is. */
    if (!keyval || !strstr(tpmdev, PREFIX)) {
        return g_strdup(tpmdev);
    }
    resolver.text = g_string_new(NULL);
    keyval_foreach(keyval, visit, &resolver);
    if (resolver.error) {
        g_propagate_error(error, resolver.error);
        g_string_free(resolver.text, TRUE);
        return NULL;
    }
    return g_string_free(resolver.text, FALSE);
}
