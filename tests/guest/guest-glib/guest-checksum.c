/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * SHA-1 and SHA-256 (FIPS 180-4) behind GLib's interface, for guests that have no GLib.
 *
 * Both take blocks of 64 bytes and keep words of 32 bits; they differ in how many words there are
 * and in what a block does to them.
 *
 * Neighbours: glib.h says what for.
 */
#include "glib.h"

#define BLOCK     64u
#define WORDS_MAX 8u

struct GChecksum {
    GChecksumType type;
    uint32_t words[WORDS_MAX];
    uint64_t size;        /* bytes taken so far */
    uint8_t block[BLOCK]; /* those of them that fill no block yet */
};

/* FIPS 180-4, 5.3.1 and 5.3.3. */
static const uint32_t sha1_start[] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
static const uint32_t sha256_start[] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

/* FIPS 180-4, 4.2.2. */
static const uint32_t sha256_constants[BLOCK] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate_left(uint32_t word, unsigned by)
{
    return word << by | word >> (32 - by);
}

static uint32_t rotate_right(uint32_t word, unsigned by)
{
    return rotate_left(word, 32 - by);
}

static void words_of_block(const uint8_t *block, uint32_t *words)
{
    for (unsigned i = 0; i < BLOCK / 4; i++) {
        words[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
                   (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    }
}

/* FIPS 180-4, 4.1.1 and 4.2.1: the function and the constant of a round. */
static uint32_t sha1_function(unsigned round, uint32_t b, uint32_t c, uint32_t d)
{
    switch (round / 20) {
    case 0:
        return ((b & c) | (~b & d)) + 0x5a827999;
    case 1:
        return (b ^ c ^ d) + 0x6ed9eba1;
    case 2:
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
    default:
        return (b ^ c ^ d) + 0xca62c1d6;
    }
}

/* FIPS 180-4, 6.1.2. */
static void sha1_block(uint32_t *state, const uint8_t *block)
{
    uint32_t w[80];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];

    words_of_block(block, w);
    for (unsigned t = BLOCK / 4; t < G_N_ELEMENTS(w); t++) {
        w[t] = rotate_left(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    }
    for (unsigned t = 0; t < G_N_ELEMENTS(w); t++) {
        uint32_t next = rotate_left(a, 5) + sha1_function(t, b, c, d) + e + w[t];

        e = d;
        d = c;
        c = rotate_left(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

/* FIPS 180-4, 6.2.2; s[0] to s[7] are its a to h. */
static void sha256_block(uint32_t *state, const uint8_t *block)
{
    uint32_t w[BLOCK];
    uint32_t s[WORDS_MAX];

    words_of_block(block, w);
    for (unsigned t = BLOCK / 4; t < BLOCK; t++) {
        uint32_t early = w[t - 15];
        uint32_t late = w[t - 2];

        w[t] = w[t - 16] + (rotate_right(early, 7) ^ rotate_right(early, 18) ^ early >> 3) +
               w[t - 7] + (rotate_right(late, 17) ^ rotate_right(late, 19) ^ late >> 10);
    }
    memcpy(s, state, sizeof(s));
    for (unsigned t = 0; t < BLOCK; t++) {
        uint32_t choice = (s[4] & s[5]) ^ (~s[4] & s[6]);
        uint32_t majority = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
        uint32_t of_e = rotate_right(s[4], 6) ^ rotate_right(s[4], 11) ^ rotate_right(s[4], 25);
        uint32_t of_a = rotate_right(s[0], 2) ^ rotate_right(s[0], 13) ^ rotate_right(s[0], 22);
        uint32_t first = s[7] + of_e + choice + sha256_constants[t] + w[t];

        memmove(s + 1, s, sizeof(s) - sizeof(s[0]));
        s[4] += first;
        s[0] = first + of_a + majority;
    }
    for (unsigned i = 0; i < WORDS_MAX; i++) {
        state[i] += s[i];
    }
}

static void take_block(GChecksum *checksum)
{
    if (checksum->type == G_CHECKSUM_SHA1) {
        sha1_block(checksum->words, checksum->block);
    } else {
        sha256_block(checksum->words, checksum->block);
    }
}

gssize g_checksum_type_get_length(GChecksumType type)
{
    return type == G_CHECKSUM_SHA1 ? sizeof(sha1_start) : sizeof(sha256_start);
}

GChecksum *g_checksum_new(GChecksumType type)
{
    GChecksum *checksum = g_malloc(sizeof(*checksum));

    memset(checksum, 0, sizeof(*checksum));
    checksum->type = type;
    memcpy(checksum->words, type == G_CHECKSUM_SHA1 ? sha1_start : sha256_start,
           (size_t)g_checksum_type_get_length(type));
    return checksum;
}

void g_checksum_update(GChecksum *checksum, const uint8_t *data, gssize size)
{
    for (gssize i = 0; i < size; i++) {
        checksum->block[checksum->size++ % BLOCK] = data[i];
        if (checksum->size % BLOCK == 0) {
            take_block(checksum);
        }
    }
}

/* FIPS 180-4, 5.1.1: a one bit, zeros, and the message's size in bits fill the last block. */
void g_checksum_get_digest(GChecksum *checksum, uint8_t *digest, gsize *size)
{
    uint64_t bits = checksum->size * 8;
    uint8_t length[8];

    for (unsigned i = 0; i < sizeof(length); i++) {
        length[i] = (uint8_t)(bits >> (56 - 8 * i));
    }
    g_checksum_update(checksum, (const uint8_t[]){ 0x80 }, 1);
    while (checksum->size % BLOCK != BLOCK - sizeof(length)) {
        g_checksum_update(checksum, (const uint8_t[]){ 0 }, 1);
    }
    g_checksum_update(checksum, length, sizeof(length));
    *size = (gsize)g_checksum_type_get_length(checksum->type);
    for (gsize i = 0; i < *size; i++) {
        digest[i] = (uint8_t)(checksum->words[i / 4] >> (24 - 8 * (i % 4)));
    }
}

void g_checksum_free(GChecksum *checksum)
{
    free(checksum);
}
