/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The form of saved state: a header with a digest, then sections, each with a name, a version and
 * a content of a type that is written here and nowhere in the stream (docs/state-format.rst).
 *
 * Numbers are little-endian on every machine. A stream is hostile until it has been read: the
 * sizes are bounded before anything is looked at, and each content is checked to be of its type
 * before one field of it is used. What the fields may say is for those whose they are to check.
 *
 * Used by device-state.c, and by the front ends for the sections they have.
 */
#ifndef TPM_STATE_STREAM_H
#define TPM_STATE_STREAM_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tpmdev/error.h>

/* ---- writing ---- */

typedef struct TPMStateWriter TPMStateWriter;

TPMStateWriter *tpm_state_writer_new(void);

/* Add a section; content may be floating, and is taken. */
void tpm_state_writer_add(TPMStateWriter *writer, const char *name, uint32_t version,
                          GVariant *content);

/* The whole stream, or NULL with error set when OpenSSL cannot hash it; the writer is freed. */
GBytes *tpm_state_writer_end(TPMStateWriter *writer, GError **error);

/* ---- reading ---- */

typedef struct TPMStateReader TPMStateReader;

/*
 * Look at a stream, and check of it all that can be checked without knowing its sections. Returns
 * NULL with error set: TPM_ERROR_STATE_DAMAGED, or TPM_ERROR_UNSUPPORTED for another version.
 */
TPMStateReader *tpm_state_reader_new(GBytes *stream, GError **error);
TPMStateReader *tpm_state_reader_free(TPMStateReader *reader);

/*
 * The content of a section, of this type. It lives as long as the reader. Returns NULL with error
 * set: TPM_ERROR_STATE_DAMAGED when it is missing or is not of that type, TPM_ERROR_UNSUPPORTED
 * for another version.
 */
GVariant *tpm_state_reader_section(TPMStateReader *reader, const char *name, uint32_t version,
                                   const char *type, GError **error);

/* Was every section there is asked for? If not, it is one of a later library; sets error. */
bool tpm_state_reader_check_used(const TPMStateReader *reader, GError **error);

/* ---- fields ---- */

/*
 * Bytes as a field of a content, which stay the caller's and are to be there until the content was
 * added; and what such a field holds, which lives as long as the content.
 */
GVariant *tpm_state_bytes(const void *data, size_t size);
const uint8_t *tpm_state_get_bytes(GVariant *content, size_t field, size_t *size);

/*
 * A text of a stream as a message may have it: its first 31 bytes, and in place of those that are
 * no printable ASCII their octal numbers. To be freed with g_free().
 */
char *tpm_state_shown(const char *text);

/* Set the error of a field that says what cannot be; returns false. */
bool tpm_state_field_wrong(GError **error, const char *section, const char *field);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(TPMStateReader, tpm_state_reader_free)

#endif /* TPM_STATE_STREAM_H */
