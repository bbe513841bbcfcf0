/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What every fuzz target has: its entry point, the bytes it is given taken from the front, and a
 * check that stays in every build.
 */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The name is libFuzzer's; replay.c calls it as well. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

typedef struct Input {
    const uint8_t *data;
    size_t left;
} Input;

/* The next byte; zeroes follow the last one. */
static inline uint8_t input_u8(Input *input)
{
    if (input->left == 0) {
        return 0;
    }
    input->left--;
    return *input->data++;
}

static inline uint16_t input_u16(Input *input)
{
    uint8_t low = input_u8(input);

    return (uint16_t)(input_u8(input) << 8 | low);
}

/* A little-endian number of so many bytes, 8 at most. */
static inline uint64_t input_number(Input *input, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++) {
        value |= (uint64_t)input_u8(input) << 8 * i;
    }
    return value;
}

/* Up to `size` bytes go to `to`; returns how many there were. */
static inline size_t input_bytes(Input *input, uint8_t *to, size_t size)
{
    size_t n = size < input->left ? size : input->left;

    if (n > 0) {
        memcpy(to, input->data, n);
        input->data += n;
        input->left -= n;
    }
    return n;
}

#endif /* FUZZ_INPUT_H */
