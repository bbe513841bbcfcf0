/* SPDX-License-Identifier: BSD-3-Clause */
/* What `-chardev` and its short forms declare; see chardev.h. channel.c puts them to use. */
#include "chardev.h"
#include "keyval.h"

#include <string.h>

void chardev_free(Chardev *chardev)
{
    if (chardev) {
        g_free(chardev->id);
        g_free(chardev->path);
        g_free(chardev);
    }
}

static Chardev *chardev_from_keyval(const KeyVal *keyval, GError **error)
{
    static const char *const known[] = { "backend", "id", "path", "server", "wait", NULL };
    g_autoptr(Chardev) chardev = g_new0(Chardev, 1);
    bool wait = false; /* nothing runs in this machine that could be made to wait */

    if (!keyval_check(keyval, known, error) ||
        !keyval_get_bool(keyval, "server", &chardev->server, error) ||
        !keyval_get_bool(keyval, "wait", &wait, error)) {
        return NULL;
    }
    chardev->id = g_strdup(keyval_get(keyval, "id"));
    chardev->path = g_strdup(keyval_get(keyval, "path"));
    if (!chardev->path || !*chardev->path) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "Parameter 'path' is missing; give path=SOCKET of a unix socket");
        return NULL;
    }
    return g_steal_pointer(&chardev);
}

static Chardev *chardev_stdio(const char *id)
{
    Chardev *chardev = g_new0(Chardev, 1);

    chardev->id = g_strdup(id);
    return chardev;
}

Chardev *chardev_parse(const char *text, GError **error)
{
    g_autoptr(KeyVal) keyval = keyval_parse(text, "backend", error);

    if (!keyval) {
        return NULL;
    }
    const char *backend = keyval_get(keyval, "backend");
    const char *id = keyval_get(keyval, "id");

    if (!id || !*id) {
        g_set_error(error, MACHINE_ERROR, 0, "chardev: no id specified; give id=NAME");
        return NULL;
    }
    if (g_strcmp0(backend, "stdio") == 0) {
        return chardev_stdio(id);
    }
    if (g_strcmp0(backend, "socket") != 0) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "'%s' is not a valid char driver name; known are: socket, stdio",
                    backend ? backend : "");
        return NULL;
    }
    return chardev_from_keyval(keyval, error);
}

const Chardev *chardev_find(const GPtrArray *declared, const char *id, GError **error)
{
    for (guint i = 0; i < declared->len; i++) {
        const Chardev *chardev = g_ptr_array_index(declared, i);

        if (strcmp(chardev->id, id) == 0) {
            return chardev;
        }
    }
    g_set_error(error, MACHINE_ERROR, 0, "chardev \"%s\" not found; declare it with -chardev", id);
    return NULL;
}

Chardev *chardev_parse_legacy(const char *text, const GPtrArray *declared, GError **error)
{
    if (g_str_has_prefix(text, "unix:")) {
        g_autoptr(KeyVal) keyval = keyval_parse(text + strlen("unix:"), "path", error);

        return keyval ? chardev_from_keyval(keyval, error) : NULL;
    }
    if (g_str_has_prefix(text, "chardev:")) {
        const Chardev *found = chardev_find(declared, text + strlen("chardev:"), error);

        if (!found) {
            return NULL;
        }
        Chardev *copy = chardev_stdio(found->id);
        copy->path = g_strdup(found->path);
        copy->server = found->server;
        return copy;
    }
    if (strcmp(text, "stdio") == 0) {
        return chardev_stdio(NULL);
    }
    g_set_error(error, MACHINE_ERROR, 0,
                "'%s' is not a valid char driver; write unix:PATH[,server=on], stdio or chardev:ID",
                text);
    return NULL;
}
