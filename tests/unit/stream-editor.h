/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Saved state, taken apart and put together again with something in it changed: what one who wants
 * to do harm writes, digest and all. Written from docs/state-format.rst, not from the library.
 */
#ifndef STREAM_EDITOR_H
#define STREAM_EDITOR_H

#include <glib.h>
#include <stdint.h>

/* The stream of these sections, `a(suay)`; floating is taken. */
GBytes *stream_of_sections(GVariant *sections);

/* The sections of a stream; and the type of what is in one. */
GVariant *stream_sections(GBytes *stream);
const GVariantType *stream_type_of(const char *section);

/* A stream whose digest is right again, after its bytes were changed. */
GBytes *stream_seal(const uint8_t *bytes, gsize size);

/*
 * With a field of a section another one. The path is of numbers: "0.3.1" is the second member of
 * the fourth of the first. The type of a section is found by its name; floating is taken.
 */
GBytes *stream_with(GBytes *stream, const char *section, const char *path, GVariant *value);

/* The field that is there. */
GVariant *stream_field(GBytes *stream, const char *section, const char *path);

/* Without a section; with one more; with one of another version. */
GBytes *stream_without(GBytes *stream, const char *section);
GBytes *stream_plus(GBytes *stream, const char *section, uint32_t version, GVariant *content);
GBytes *stream_with_version(GBytes *stream, const char *section, uint32_t version);

#endif /* STREAM_EDITOR_H */
