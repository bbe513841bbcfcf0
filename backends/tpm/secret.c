/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory that is wiped; see secret.h. */
#include "secret.h"
#include "state-crypt.h"

#include <string.h>

static void give_back(uint8_t *data, size_t size)
{
    tpm_state_wipe(data, size);
    g_free(data);
}

TPMSecret *tpm_secret_new(size_t size)
{
    TPMSecret *secret = g_new(TPMSecret, 1);

    *secret = (TPMSecret){ g_malloc(MAX(size, 1)), size, size };
    return secret;
}

TPMSecret *tpm_secret_free(TPMSecret *secret)
{
    if (secret) {
        give_back(secret->data, secret->capacity);
        g_free(secret);
    }
    return NULL;
}

uint8_t *tpm_secret_reserve(TPMSecret *secret, size_t size)
{
    if (secret->capacity - secret->len < size) {
        size_t capacity = MAX(2 * secret->capacity, secret->len + size);
        uint8_t *larger = g_malloc(capacity);

        memcpy(larger, secret->data, secret->len);
        give_back(secret->data, secret->capacity);
        secret->data = larger;
        secret->capacity = capacity;
    }
    return secret->data + secret->len;
}

void tpm_secret_append(TPMSecret *secret, const void *data, size_t size)
{
    uint8_t *room = tpm_secret_reserve(secret, size);

    if (size > 0) {
        memcpy(room, data, size);
        secret->len += size;
    }
}

static void free_it(gpointer secret)
{
    tpm_secret_free(secret);
}

GBytes *tpm_secret_to_bytes(TPMSecret *secret)
{
    return g_bytes_new_with_free_func(secret->data, secret->len, free_it, secret);
}

GBytes *tpm_secret_copy(const void *data, size_t size)
{
    TPMSecret *secret = tpm_secret_new(size);

    if (size > 0) {
        memcpy(secret->data, data, size);
    }
    return tpm_secret_to_bytes(secret);
}
