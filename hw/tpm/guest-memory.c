/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copying to and from memory the guest may write to meanwhile; see guest-memory.h.
 *
 * Neighbours: crb.c and crb-chunk.c, whose buffer may be such memory; request.c, which copies a
 * command out of it.
 */
#include "guest-memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef uint64_t __attribute__((may_alias)) GuestWord;

/* Can the next access be that of a whole word? */
static bool is_word(const void *memory, size_t size)
{
    return size >= sizeof(GuestWord) && (uintptr_t)memory % sizeof(GuestWord) == 0;
}

void tpm_guest_read(void *to, const void *from, size_t size)
{
    uint8_t *target = to;
    const uint8_t *source = from;

    while (size > 0) {
        size_t width = 1;

        if (is_word(source, size)) {
            GuestWord word =
                __atomic_load_n((const GuestWord *)(const void *)source, __ATOMIC_RELAXED);

            width = sizeof(word);
            memcpy(target, &word, sizeof(word));
        } else {
            *target = __atomic_load_n(source, __ATOMIC_RELAXED);
        }
        target += width;
        source += width;
        size -= width;
    }
}

void tpm_guest_write(void *to, const void *from, size_t size)
{
    uint8_t *target = to;
    const uint8_t *source = from;

    while (size > 0) {
        size_t width = 1;

        if (is_word(target, size)) {
            GuestWord word;

            width = sizeof(word);
            memcpy(&word, source, sizeof(word));
            __atomic_store_n((GuestWord *)(void *)target, word, __ATOMIC_RELAXED);
        } else {
            __atomic_store_n(target, *source, __ATOMIC_RELAXED);
        }
        target += width;
        source += width;
        size -= width;
    }
}

void tpm_guest_clear(void *memory, size_t size)
{
    static const uint8_t zeros[64];
    uint8_t *target = memory;

    while (size > 0) {
        size_t width = size < sizeof(zeros) ? size : sizeof(zeros);

        tpm_guest_write(target, zeros, width);
        target += width;
        size -= width;
    }
}
