/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Strings, files and time as GLib has them, for guests that have no GLib.
 *
 * Neighbours: glib.h says what for; guest-checksum.c has the digests.
 */
#include "glib.h"

#include <ctype.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static void *there_must_be(void *memory)
{
    if (!memory) {
        abort();
    }
    return memory;
}

void *g_malloc(gsize size)
{
    return there_must_be(malloc(size));
}

char *g_strdup(const char *text)
{
    return text ? there_must_be(strdup(text)) : NULL;
}

char *g_strdup_printf(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    int size = vasprintf(&text, format, arguments);

    va_end(arguments);
    return there_must_be(size < 0 ? NULL : text);
}

char *g_strchomp(char *text)
{
    gsize size = strlen(text);

    while (size > 0 && isspace((unsigned char)text[size - 1])) {
        text[--size] = '\0';
    }
    return text;
}

gboolean g_str_has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

gboolean g_str_has_suffix(const char *text, const char *suffix)
{
    gsize size = strlen(text);
    gsize of_suffix = strlen(suffix);

    return size >= of_suffix && strcmp(text + size - of_suffix, suffix) == 0;
}

int g_ascii_xdigit_value(char digit)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = digit ? strchr(digits, tolower((unsigned char)digit)) : NULL;

    return at ? (int)(at - digits) : -1;
}

char *g_path_get_basename(const char *path)
{
    const char *slash = strrchr(path, '/');

    return g_strdup(slash ? slash + 1 : path);
}

char *g_file_read_link(const char *path, GError **error)
{
    char target[PATH_MAX];
    ssize_t size = readlink(path, target, sizeof(target) - 1);

    (void)error;
    if (size < 0) {
        return NULL;
    }
    target[size] = '\0';
    return g_strdup(target);
}

/* To the end: a file of /proc or /sys does not tell its size. */
gboolean g_file_get_contents(const char *path, char **contents, gsize *size, GError **error)
{
    FILE *file = fopen(path, "re");
    char part[4096];
    gsize got;

    (void)error;
    if (!file) {
        return FALSE;
    }
    GString *whole = g_string_new(NULL);

    while ((got = fread(part, 1, sizeof(part), file)) > 0) {
        g_string_append_len(whole, part, (gssize)got);
    }
    bool good = !ferror(file);

    fclose(file);
    if (good && size) {
        *size = whole->len;
    }
    char *text = g_string_free(whole, !good);

    if (good) {
        *contents = text;
    }
    return good;
}

gint64 g_get_monotonic_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (gint64)now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

GString *g_string_new(const char *text)
{
    GString *string = g_malloc(sizeof(*string));

    string->str = g_strdup(text ? text : "");
    string->len = strlen(string->str);
    return string;
}

GString *g_string_append_len(GString *string, const char *bytes, gssize size)
{
    string->str = there_must_be(realloc(string->str, string->len + (gsize)size + 1));
    memcpy(string->str + string->len, bytes, (gsize)size);
    string->len += (gsize)size;
    string->str[string->len] = '\0';
    return string;
}

char *g_string_free(GString *string, gboolean with_its_text)
{
    char *text = string->str;

    if (with_its_text) {
        free(text);
        text = NULL;
    }
    free(string);
    return text;
}
