/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any bytes as a file of TPM state.
 *
 * The first byte chooses what the file is opened with and what becomes of the rest: it is the file
 * as it stands; it is given a length and a digest that fit, to come past those; or it is the
 * payload of a file that is made, and then altered in one place, which must be found out. What is
 * accepted must come out again when it is written anew.
 */
#include "input.h"
#include "state-file.h"

#define HEADER_LENGTH 28u
#define HEADER_DIGEST 40u

enum {
    WITH_KEY = 1 << 0,
    WITH_OLD_KEY = 1 << 1,
    CONVERT = 1 << 2,
    OF_1_2 = 1 << 3,
    SAVED = 1 << 4,
    MADE_TO_FIT = 1 << 5,
    MADE = 1 << 6,
};

static TPMStateKey *make_key(uint8_t filling)
{
    uint8_t bytes[TPM_STATE_KEY_SIZE];

    memset(bytes, filling, sizeof(bytes));
    return tpm_state_key_new(bytes, "key", NULL);
}

static void put_be32(uint8_t *p, size_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        p[i] = (uint8_t)(value >> (24 - 8 * i));
    }
}

static void make_fit(uint8_t *bytes, size_t size)
{
    GChecksum *checksum = g_checksum_new(G_CHECKSUM_SHA256);
    gsize digest_size = 32;

    if (size >= TPM_STATE_HEADER_SIZE) {
        put_be32(bytes + HEADER_LENGTH, size - TPM_STATE_HEADER_SIZE);
        g_checksum_update(checksum, bytes, HEADER_DIGEST);
        g_checksum_update(checksum, bytes + TPM_STATE_HEADER_SIZE,
                          (gssize)(size - TPM_STATE_HEADER_SIZE));
        g_checksum_get_digest(checksum, bytes + HEADER_DIGEST, &digest_size);
    }
    g_checksum_free(checksum);
}

/* Written anew it is accepted without any help, and holds the same. */
static void check_round_trip(const TPMStateFile *file, const TPMStateContent *content)
{
    TPMStateFile strict = *file;
    TPMStateContent again;
    gsize size;
    const void *payload = g_bytes_get_data(content->payload, &size);
    size_t file_size;
    g_autofree uint8_t *bytes =
        tpm_state_file_make(file, content->counter, payload, size, &file_size, NULL);

    strict.old_key = NULL;
    strict.convert = false;
    FUZZ_CHECK(bytes);
    FUZZ_CHECK(tpm_state_file_parse(&strict, bytes, file_size, &again, NULL));
    FUZZ_CHECK(again.counter == content->counter && !again.is_old);
    FUZZ_CHECK(g_bytes_equal(again.payload, content->payload));
    tpm_state_content_clear(&again);
}

static bool parse(const TPMStateFile *file, const uint8_t *bytes, size_t size)
{
    TPMStateContent content;
    g_autoptr(GError) error = NULL;
    bool accepted = tpm_state_file_parse(file, bytes, size, &content, &error);

    FUZZ_CHECK(accepted == !error && accepted == (content.payload != NULL));
    if (accepted) {
        FUZZ_CHECK(g_bytes_get_size(content.payload) < size);
        check_round_trip(file, &content);
    } else {
        FUZZ_CHECK(error->domain == TPMDEV_ERROR && *error->message);
    }
    tpm_state_content_clear(&content);
    return accepted;
}

/* The input: a place, what is changed there, the payload. */
static void alter_one_made(const TPMStateFile *file, Input *input)
{
    size_t place = input_u16(input), size;
    uint8_t change = input_u8(input);

    if (input->left == 0 || input->left > TPM_STATE_SIZE_MAX) {
        return;
    }
    g_autofree uint8_t *bytes =
        tpm_state_file_make(file, place, input->data, input->left, &size, NULL);

    FUZZ_CHECK(bytes);
    FUZZ_CHECK(parse(file, bytes, size));
    bytes[place % size] ^= change;
    FUZZ_CHECK(parse(file, bytes, size) == (change == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Input input = { data, size };
    uint8_t choice = input_u8(&input);
    g_autoptr(TPMStateKey) key = choice & WITH_KEY ? make_key(1) : NULL;
    g_autoptr(TPMStateKey) old_key = key && choice & WITH_OLD_KEY ? make_key(2) : NULL;
    TPMStateFile file = {
        .path = "permall",
        .version = choice & OF_1_2 ? TPM_VERSION_1_2 : TPM_VERSION_2_0,
        .kind = choice & SAVED ? TPM_STATE_SAVED : TPM_STATE_PERMANENT,
        .key = key,
        .old_key = old_key,
        .convert = (choice & CONVERT) != 0,
    };

    if (choice & MADE) {
        alter_one_made(&file, &input);
        return 0;
    }
    g_autofree uint8_t *bytes = g_malloc(input.left + 1);
    size_t left = input_bytes(&input, bytes, input.left);

    if (choice & MADE_TO_FIT) {
        make_fit(bytes, left);
    }
    parse(&file, bytes, left);
    return 0;
}
