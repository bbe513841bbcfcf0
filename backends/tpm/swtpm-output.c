/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The first line and the last ones of what swtpm printed; see swtpm-output.h.
 *
 * It may be the output of a program that means harm: it is of bounded size, and nothing of it
 * reaches a terminal that is not printable.
 */
#include "swtpm-output.h"

#include <string.h>

void tpm_swtpm_output_add(SwtpmOutput *output, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (output->total < SWTPM_OUTPUT_FIRST) {
            output->first[output->total] = bytes[i];
        }
        output->last[output->total % SWTPM_OUTPUT_LAST] = bytes[i];
        output->total++;
    }
}

/* Append text, its lines joined by "; ", its other bytes that are not printable as '?'. */
static void append_line(GString *words, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] == '\n') {
            g_string_append(words, i + 1 < size ? "; " : "");
        } else {
            g_string_append_c(words, g_ascii_isprint(bytes[i]) ? bytes[i] : '?');
        }
    }
}

/* The last bytes, in order, from the beginning of a line on. */
static size_t unroll(const SwtpmOutput *output, char last[SWTPM_OUTPUT_LAST])
{
    size_t size = MIN(output->total, SWTPM_OUTPUT_LAST);
    char *newline;

    for (size_t i = 0; i < size; i++) {
        last[i] = output->last[(output->total - size + i) % SWTPM_OUTPUT_LAST];
    }
    if (output->total > size && (newline = memchr(last, '\n', size - 1))) {
        size -= (size_t)(newline + 1 - last);
        memmove(last, newline + 1, size);
    }
    return size;
}

char *tpm_swtpm_output_words(const SwtpmOutput *output)
{
    GString *words = g_string_new(NULL);
    char last[SWTPM_OUTPUT_LAST];
    size_t size = unroll(output, last);

    if (size < output->total) {
        const char *newline = memchr(output->first, '\n', SWTPM_OUTPUT_FIRST);

        append_line(words, output->first,
                    newline ? (size_t)(newline - output->first) : SWTPM_OUTPUT_FIRST);
        g_string_append(words, " ... ");
    }
    append_line(words, last, size);
    return g_string_free(words, FALSE);
}
