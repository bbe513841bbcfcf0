/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a swtpm prints: its first line and its last ones are kept, for the words of an error.
 *
 * Used by swtpm-child.c. No I/O here.
 */
#ifndef SWTPM_OUTPUT_H
#define SWTPM_OUTPUT_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

/* Bytes that are kept. */
#define SWTPM_OUTPUT_FIRST 160u
#define SWTPM_OUTPUT_LAST  400u

typedef struct SwtpmOutput {
    size_t total; /* bytes there were; zero the struct to begin */
    char first[SWTPM_OUTPUT_FIRST];
    char last[SWTPM_OUTPUT_LAST]; /* a ring: byte i of the output is at i % SWTPM_OUTPUT_LAST */
} SwtpmOutput;

/* More of it. */
void tpm_swtpm_output_add(SwtpmOutput *output, const char *bytes, size_t size);

/* One line of printable ASCII, "" when nothing was printed. Free it with g_free(). */
char *tpm_swtpm_output_words(const SwtpmOutput *output);

#endif /* SWTPM_OUTPUT_H */
