/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * HKDF-SHA256 (RFC 5869), AES-256-GCM (NIST SP 800-38D) and SHA-256 for TPM state, by OpenSSL's
 * EVP, which uses what the processor has for them.
 *
 * What OpenSSL notes of an error is taken back: the queue is the host's as well.
 *
 * Neighbours: state-file.c encrypts and decrypts; state-key.c has the host's key.
 */
#include "state-crypt.h"
#include "state-key.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

/* The info of HKDF, which tells these keys from whatever else is made of the same one. */
static const char kdf_info[] = "libtpmdev TPM state 2";

/* HKDF gives the secrets in this order, without anything between them. */
G_STATIC_ASSERT(sizeof(TPMStateSecrets) ==
                TPM_STATE_KEY_SIZE + TPM_STATE_NONCE_SIZE + TPM_STATE_CHECK_SIZE);

static bool derive(EVP_KDF_CTX *context, const TPMStateKey *key, const uint8_t *salt,
                   TPMStateSecrets *secrets)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key->bytes, TPM_STATE_KEY_SIZE),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, TPM_STATE_SALT_SIZE),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)kdf_info,
                                          sizeof(kdf_info) - 1),
        OSSL_PARAM_construct_end(),
    };

    return EVP_KDF_derive(context, (uint8_t *)secrets, sizeof(*secrets), params) == 1;
}

bool tpm_state_secrets_derive(const TPMStateKey *key, const uint8_t salt[TPM_STATE_SALT_SIZE],
                              TPMStateSecrets *secrets)
{
    ERR_set_mark();
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    bool derived = context && derive(context, key, salt, secrets);

    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    ERR_pop_to_mark();
    return derived;
}

void tpm_state_secrets_wipe(TPMStateSecrets *secrets)
{
    OPENSSL_cleanse(secrets, sizeof(*secrets));
}

/* The sizes are below INT_MAX: a file's are bounded. GCM needs no padding and no final bytes. */
static bool encrypt(EVP_CIPHER_CTX *context, const TPMStateSecrets *secrets, const uint8_t *header,
                    size_t header_size, const uint8_t *plain, size_t size, uint8_t *cipher,
                    uint8_t *tag)
{
    int n;

    return EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, secrets->key, secrets->nonce) ==
               1 &&
           EVP_EncryptUpdate(context, NULL, &n, header, (int)header_size) == 1 &&
           EVP_EncryptUpdate(context, cipher, &n, plain, (int)size) == 1 && n == (int)size &&
           EVP_EncryptFinal_ex(context, cipher + size, &n) == 1 && n == 0 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_GET_TAG, (int)TPM_STATE_TAG_SIZE, tag) == 1;
}

bool tpm_state_encrypt(const TPMStateSecrets *secrets, const uint8_t *header, size_t header_size,
                       const uint8_t *plain, size_t size, uint8_t *cipher,
                       uint8_t tag[TPM_STATE_TAG_SIZE])
{
    ERR_set_mark();
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    bool done = context && encrypt(context, secrets, header, header_size, plain, size, cipher, tag);

    EVP_CIPHER_CTX_free(context);
    ERR_pop_to_mark();
    return done;
}

static bool decrypt(EVP_CIPHER_CTX *context, const TPMStateSecrets *secrets, const uint8_t *header,
                    size_t header_size, const uint8_t *cipher, size_t size, const uint8_t *tag,
                    uint8_t *plain)
{
    int n;

    return EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, secrets->key, secrets->nonce) ==
               1 &&
           EVP_DecryptUpdate(context, NULL, &n, header, (int)header_size) == 1 &&
           EVP_DecryptUpdate(context, plain, &n, cipher, (int)size) == 1 && n == (int)size &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_GCM_SET_TAG, (int)TPM_STATE_TAG_SIZE,
                               (void *)tag) == 1 &&
           EVP_DecryptFinal_ex(context, plain + size, &n) == 1 && n == 0;
}

bool tpm_state_decrypt(const TPMStateSecrets *secrets, const uint8_t *header, size_t header_size,
                       const uint8_t *cipher, size_t size, const uint8_t tag[TPM_STATE_TAG_SIZE],
                       uint8_t *plain)
{
    ERR_set_mark();
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    bool done = context && decrypt(context, secrets, header, header_size, cipher, size, tag, plain);

    if (!done) {
        OPENSSL_cleanse(plain, size);
    }
    EVP_CIPHER_CTX_free(context);
    ERR_pop_to_mark();
    return done;
}

bool tpm_state_digest(const uint8_t *header, size_t header_size, const uint8_t *payload,
                      size_t size, uint8_t digest[TPM_STATE_DIGEST_SIZE])
{
    ERR_set_mark();
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1 &&
                EVP_DigestUpdate(context, header, header_size) == 1 &&
                EVP_DigestUpdate(context, payload, size) == 1 &&
                EVP_DigestFinal_ex(context, digest, NULL) == 1;

    EVP_MD_CTX_free(context);
    ERR_pop_to_mark();
    return done;
}

bool tpm_state_random(uint8_t *bytes, size_t size)
{
    ERR_set_mark();
    bool done = RAND_bytes(bytes, (int)size) == 1;

    ERR_pop_to_mark();
    return done;
}

bool tpm_state_equal(const void *a, const void *b, size_t size)
{
    return CRYPTO_memcmp(a, b, size) == 0;
}

void tpm_state_wipe(void *bytes, size_t size)
{
    OPENSSL_cleanse(bytes, size);
}
