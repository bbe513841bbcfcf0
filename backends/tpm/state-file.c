/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The form of a file of TPM state, which state-file.h has byte by byte.
 *
 * A file is checked from the outside in: its size and form, then its digest or its tag, then what
 * it says of itself. Of a file with a key, nothing is believed before its tag.
 *
 * Neighbours: state-directory.c reads and writes these bytes; state-crypt.c encrypts.
 */
#include "state-file.h"
#include "command.h"
#include "secret.h"
#include "state-crypt.h"

#include <string.h>

/* Offsets of the header, in the order of state-file.h; and those of version 1. */
#define HEADER_MAGIC       0u
#define HEADER_FORMAT      8u
#define HEADER_TPM         12u
#define HEADER_KIND        16u
#define HEADER_PROTECTION  20u
#define HEADER_RESERVED    24u
#define HEADER_LENGTH      28u
#define HEADER_COUNTER     32u
#define HEADER_DIGEST      40u
#define HEADER_SALT        40u
#define HEADER_CHECK       72u
#define HEADER_TAG         88u
#define HEADER_DIGEST_1    32u
#define HEADER_SIZE_1      64u
#define AUTHENTICATED_SIZE HEADER_TAG

G_STATIC_ASSERT(HEADER_DIGEST + TPM_STATE_DIGEST_SIZE == HEADER_CHECK);
G_STATIC_ASSERT(HEADER_SALT + TPM_STATE_SALT_SIZE == HEADER_CHECK);
G_STATIC_ASSERT(HEADER_CHECK + TPM_STATE_CHECK_SIZE == HEADER_TAG);
G_STATIC_ASSERT(HEADER_TAG + TPM_STATE_TAG_SIZE == TPM_STATE_HEADER_SIZE);
G_STATIC_ASSERT(HEADER_DIGEST_1 + TPM_STATE_DIGEST_SIZE == HEADER_SIZE_1);

static const uint8_t header_magic[] = { 'T', 'P', 'M', 'S', 'T', 'A', 'T', 'E' };

#define FORMAT_1           1u
#define FORMAT_2           2u
#define PROTECTION_NONE    0u
#define PROTECTION_AES_GCM 1u

static const char *version_name(uint32_t version)
{
    return version == TPM_VERSION_1_2 ? "1.2" : "2.0";
}

static uint64_t get_be64(const uint8_t *p)
{
    return (uint64_t)tpm_get_be32(p) << 32 | tpm_get_be32(p + 4);
}

static void put_be64(uint8_t *p, uint64_t value)
{
    tpm_put_be32(p, (uint32_t)(value >> 32));
    tpm_put_be32(p + 4, (uint32_t)value);
}

bool tpm_state_file_damaged(const TPMStateFile *file, GError **error, const char *what, ...)
{
    va_list args;

    va_start(args, what);
    g_autofree char *text = g_strdup_vprintf(what, args);
    va_end(args);
    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_DAMAGED,
                "TPM state file '%s' is damaged: %s; restore the directory from a backup, or "
                "give an empty one for a new TPM",
                file->path, text);
    return false;
}

void tpm_state_content_clear(TPMStateContent *content)
{
    g_clear_pointer(&content->payload, g_bytes_unref);
}

/* ---- writing ---- */

/* Payload and digest. */
static bool seal(uint8_t *bytes, const void *payload, size_t size)
{
    memcpy(bytes + TPM_STATE_HEADER_SIZE, payload, size);
    return tpm_state_digest(bytes, HEADER_DIGEST, payload, size, bytes + HEADER_DIGEST);
}

/* Salt, key check, payload and tag. */
static bool encrypt(const TPMStateFile *file, uint8_t *bytes, const void *payload, size_t size)
{
    TPMStateSecrets secrets;

    if (!tpm_state_random(bytes + HEADER_SALT, TPM_STATE_SALT_SIZE) ||
        !tpm_state_secrets_derive(file->key, bytes + HEADER_SALT, &secrets)) {
        return false;
    }
    memcpy(bytes + HEADER_CHECK, secrets.check, TPM_STATE_CHECK_SIZE);
    bool done = tpm_state_encrypt(&secrets, bytes, AUTHENTICATED_SIZE, payload, size,
                                  bytes + TPM_STATE_HEADER_SIZE, bytes + HEADER_TAG);

    tpm_state_secrets_wipe(&secrets);
    return done;
}

uint8_t *tpm_state_file_make(const TPMStateFile *file, uint64_t counter, const void *payload,
                             size_t size, size_t *file_size, GError **error)
{
    g_autofree uint8_t *bytes = g_malloc0(TPM_STATE_HEADER_SIZE + size);

    memcpy(bytes + HEADER_MAGIC, header_magic, sizeof(header_magic));
    tpm_put_be32(bytes + HEADER_FORMAT, FORMAT_2);
    tpm_put_be32(bytes + HEADER_TPM, file->version);
    tpm_put_be32(bytes + HEADER_KIND, file->kind);
    tpm_put_be32(bytes + HEADER_PROTECTION, file->key ? PROTECTION_AES_GCM : PROTECTION_NONE);
    tpm_put_be32(bytes + HEADER_LENGTH, (uint32_t)size);
    put_be64(bytes + HEADER_COUNTER, counter);
    if (file->key ? !encrypt(file, bytes, payload, size) : !seal(bytes, payload, size)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO,
                    "cannot write TPM state file '%s': OpenSSL cannot %s it", file->path,
                    file->key ? "encrypt" : "hash");
        return NULL;
    }
    *file_size = TPM_STATE_HEADER_SIZE + size;
    return g_steal_pointer(&bytes);
}

/* ---- the form ---- */

/* Is it a file of a form this library knows, and all of it? Tells how long its header is. */
static bool check_form(const TPMStateFile *file, const uint8_t *bytes, size_t size,
                       size_t *header_size, GError **error)
{
    if (size == 0) {
        return tpm_state_file_damaged(file, error, "it is empty");
    }
    *header_size = HEADER_SIZE_1;
    if (size >= HEADER_SIZE_1) {
        if (memcmp(bytes + HEADER_MAGIC, header_magic, sizeof(header_magic)) != 0) {
            return tpm_state_file_damaged(file, error,
                                          "it does not begin as a file of TPM state does");
        }
        uint32_t format = tpm_get_be32(bytes + HEADER_FORMAT);

        if (format != FORMAT_1 && format != FORMAT_2) {
            return tpm_state_file_damaged(
                file, error, "it is of format version %u, and this library reads 1 and 2", format);
        }
        *header_size = format == FORMAT_1 ? HEADER_SIZE_1 : TPM_STATE_HEADER_SIZE;
    }
    if (size < *header_size) {
        return tpm_state_file_damaged(
            file, error, "its %zu bytes are too few for the header of %zu", size, *header_size);
    }
    uint32_t length = tpm_get_be32(bytes + HEADER_LENGTH);

    if (length != size - *header_size) {
        return tpm_state_file_damaged(file, error,
                                      "its header tells of %u bytes of state and %zu are there",
                                      length, size - *header_size);
    }
    return true;
}

/* Is it the state that was asked for? It has been found whole. */
static bool check_meaning(const TPMStateFile *file, const uint8_t *bytes, GError **error)
{
    uint32_t version = tpm_get_be32(bytes + HEADER_TPM);

    if (tpm_get_be32(bytes + HEADER_LENGTH) == 0) {
        return tpm_state_file_damaged(file, error, "there is no state in it");
    }
    if (tpm_get_be32(bytes + HEADER_KIND) != file->kind) {
        return tpm_state_file_damaged(file, error, "it holds state of another kind");
    }
    if (tpm_get_be32(bytes + HEADER_RESERVED) != 0) {
        return tpm_state_file_damaged(file, error,
                                      "it is protected in a way this library does not know");
    }
    if (version != TPM_VERSION_1_2 && version != TPM_VERSION_2_0) {
        return tpm_state_file_damaged(file, error, "it is that of a TPM of unknown version %u",
                                      version);
    }
    if (version != (uint32_t)file->version) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_MISMATCH,
                    "TPM state file '%s' is that of a TPM %s, and 'version' is %s; give "
                    "version=%s, or another directory",
                    file->path, version_name(version), version_name(file->version),
                    version_name(version));
        return false;
    }
    return true;
}

/* ---- state without protection ---- */

static bool check_digest(const TPMStateFile *file, const uint8_t *bytes, size_t size,
                         size_t header_size, GError **error)
{
    static const uint8_t zeros[TPM_STATE_CHECK_SIZE + TPM_STATE_TAG_SIZE];
    size_t at = header_size == HEADER_SIZE_1 ? HEADER_DIGEST_1 : HEADER_DIGEST;
    uint8_t digest[TPM_STATE_DIGEST_SIZE];

    if (!tpm_state_digest(bytes, at, bytes + header_size, size - header_size, digest)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO,
                    "cannot read TPM state file '%s': OpenSSL cannot hash it", file->path);
        return false;
    }
    if (memcmp(bytes + at, digest, TPM_STATE_DIGEST_SIZE) != 0 ||
        memcmp(bytes + at + TPM_STATE_DIGEST_SIZE, zeros,
               header_size - at - TPM_STATE_DIGEST_SIZE) != 0) {
        return tpm_state_file_damaged(file, error, "its SHA-256 digest does not fit its content");
    }
    return true;
}

static bool parse_plain(const TPMStateFile *file, const uint8_t *bytes, size_t size,
                        size_t header_size, TPMStateContent *content, GError **error)
{
    if (!check_digest(file, bytes, size, header_size, error) ||
        !check_meaning(file, bytes, error)) {
        return false;
    }
    if (file->key && !file->convert) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_MISMATCH,
                    "TPM state file '%s' is not encrypted, and there is the key from %s; give "
                    "convert=on to have it encrypted, or no key",
                    file->path, file->key->source);
        return false;
    }
    content->payload = tpm_secret_copy(bytes + header_size, size - header_size);
    content->is_old = file->key != NULL;
    return true;
}

/* ---- state that is encrypted ---- */

/* Derive from each of the keys that may be; false, with nothing in secrets, if none fits. */
static bool find_secrets(const TPMStateFile *file, const uint8_t *bytes, TPMStateSecrets *secrets,
                         bool *is_old)
{
    const TPMStateKey *keys[] = { file->key, file->old_key };

    for (gsize i = 0; i < G_N_ELEMENTS(keys) && keys[i]; i++) {
        if (tpm_state_secrets_derive(keys[i], bytes + HEADER_SALT, secrets) &&
            tpm_state_equal(secrets->check, bytes + HEADER_CHECK, TPM_STATE_CHECK_SIZE)) {
            *is_old = i > 0;
            return true;
        }
        tpm_state_secrets_wipe(secrets);
    }
    return false;
}

static bool no_key_fits(const TPMStateFile *file, GError **error)
{
    if (!file->key) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_MISSING_OPTION,
                    "TPM state file '%s' is encrypted; give its key by key-file=FILE or key-fd=FD",
                    file->path);
    } else {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_STATE_MISMATCH,
                    "TPM state file '%s' was not encrypted with the key from %s%s%s, or its header "
                    "was altered; give the key it was encrypted with",
                    file->path, file->key->source, file->old_key ? " or " : "",
                    file->old_key ? file->old_key->source : "");
    }
    return false;
}

static bool parse_encrypted(const TPMStateFile *file, const uint8_t *bytes, size_t size,
                            TPMStateContent *content, GError **error)
{
    TPMStateSecrets secrets;

    if (!find_secrets(file, bytes, &secrets, &content->is_old)) {
        return no_key_fits(file, error);
    }
    g_autoptr(TPMSecret) payload = tpm_secret_new(size - TPM_STATE_HEADER_SIZE);
    bool whole =
        tpm_state_decrypt(&secrets, bytes, AUTHENTICATED_SIZE, bytes + TPM_STATE_HEADER_SIZE,
                          payload->len, bytes + HEADER_TAG, payload->data);

    tpm_state_secrets_wipe(&secrets);
    if (!whole) {
        return tpm_state_file_damaged(file, error,
                                      "the key fits, and AES-256-GCM finds it altered");
    }
    if (!check_meaning(file, bytes, error)) {
        return false;
    }
    content->payload = tpm_secret_to_bytes(g_steal_pointer(&payload));
    return true;
}

bool tpm_state_file_parse(const TPMStateFile *file, const uint8_t *bytes, size_t size,
                          TPMStateContent *content, GError **error)
{
    size_t header_size = 0;

    memset(content, 0, sizeof(*content));
    if (!check_form(file, bytes, size, &header_size, error)) {
        return false;
    }
    bool is_1 = header_size == HEADER_SIZE_1;
    uint32_t protection = tpm_get_be32(bytes + HEADER_PROTECTION);

    content->counter = is_1 ? 0 : get_be64(bytes + HEADER_COUNTER);
    if (protection == PROTECTION_NONE) {
        return parse_plain(file, bytes, size, header_size, content, error);
    }
    if (protection == PROTECTION_AES_GCM && !is_1) {
        return parse_encrypted(file, bytes, size, content, error);
    }
    return tpm_state_file_damaged(file, error,
                                  "it is protected in a way this library does not know");
}
