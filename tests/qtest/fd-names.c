/* SPDX-License-Identifier: BSD-3-Clause */
/* See fd-names.h. */
#include "fd-names.h"

#include <glib.h>
#include <unistd.h>

struct FdNames {
    GHashTable *table; /* names to descriptors */
};

static void close_value(gpointer fd)
{
    close(GPOINTER_TO_INT(fd));
}

FdNames *fd_names_new(void)
{
    FdNames *names = g_new0(FdNames, 1);

    names->table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, close_value);
    return names;
}

void fd_names_free(FdNames *names)
{
    g_hash_table_unref(names->table);
    g_free(names);
}

void fd_names_add(FdNames *names, const char *name, int fd)
{
    g_hash_table_insert(names->table, g_strdup(name), GINT_TO_POINTER(fd));
}

int fd_names_take(FdNames *names, const char *name)
{
    gpointer value;
    gpointer key;

    if (!g_hash_table_steal_extended(names->table, name, &key, &value)) {
        return -1;
    }
    g_free(key);
    return GPOINTER_TO_INT(value);
}

bool fd_names_close(FdNames *names, const char *name)
{
    return g_hash_table_remove(names->table, name);
}
