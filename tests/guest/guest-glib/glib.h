/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What guest-check uses of GLib, for guests of an architecture other than this machine's: a cross
 * compiler comes with a C library and nothing else. Each function does what GLib documents of it,
 * as far as guest-check asks; a GError is never made.
 *
 * guest-glib.c has strings and files, guest-checksum.c the digests.
 */
#ifndef GUEST_GLIB_H
#define GUEST_GLIB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#define FALSE 0
#define TRUE  1

#define MIN(a, b)       ((a) < (b) ? (a) : (b))
#define G_N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))
#define G_USEC_PER_SEC  1000000

#define g_assert(condition) ((condition) ? (void)0 : abort())

typedef int gboolean;
typedef int64_t gint64;
typedef size_t gsize;
typedef ssize_t gssize;
typedef struct GError GError;

/* ---- memory, strings, files, time ---- */

#define g_free     free
#define g_strerror strerror

/* These end the program where there is no memory left. */
void *g_malloc(gsize size);
char *g_strdup(const char *text);
char *g_strdup_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

char *g_strchomp(char *text);
gboolean g_str_has_prefix(const char *text, const char *prefix);
gboolean g_str_has_suffix(const char *text, const char *suffix);
int g_ascii_xdigit_value(char digit);

/* What follows the last slash; no path here ends in one. */
char *g_path_get_basename(const char *path);
char *g_file_read_link(const char *path, GError **error);
gboolean g_file_get_contents(const char *path, char **contents, gsize *size, GError **error);
gint64 g_get_monotonic_time(void);

typedef struct GString {
    char *str;
    gsize len;
} GString;

GString *g_string_new(const char *text);
GString *g_string_append_len(GString *string, const char *bytes, gssize size);
char *g_string_free(GString *string, gboolean with_its_text);

/* ---- digests ---- */

typedef enum GChecksumType {
    G_CHECKSUM_SHA1,
    G_CHECKSUM_SHA256,
} GChecksumType;

typedef struct GChecksum GChecksum;

gssize g_checksum_type_get_length(GChecksumType type);
GChecksum *g_checksum_new(GChecksumType type);
void g_checksum_update(GChecksum *checksum, const uint8_t *data, gssize size);
void g_checksum_get_digest(GChecksum *checksum, uint8_t *digest, gsize *size);
void g_checksum_free(GChecksum *checksum);

#endif /* GUEST_GLIB_H */
