/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Anonymous pages of the host and a bit for each; see ram.h. Not of the allocator's, which may
 * write to all of what it gives away (MALLOC_PERTURB_).
 */
#include "ram.h"
#include "keyval.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define WORD_BITS 64u

struct Ram {
    uint8_t *bytes;
    uint64_t size;
    uint64_t *written; /* one bit a page */
    uint64_t words;
};

Ram *ram_new(uint64_t size, GError **error)
{
    void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (bytes == MAP_FAILED) {
        g_set_error(error, MACHINE_ERROR, errno, "no %" G_GUINT64_FORMAT " bytes of memory: %s",
                    size, g_strerror(errno));
        return NULL;
    }
    Ram *ram = g_new0(Ram, 1);

    ram->bytes = bytes;
    ram->size = size;
    ram->words = (size - 1) / RAM_PAGE_SIZE / WORD_BITS + 1;
    ram->written = g_new0(uint64_t, ram->words);
    return ram;
}

void ram_free(Ram *ram)
{
    if (ram) {
        munmap(ram->bytes, ram->size);
        g_free(ram->written);
        g_free(ram);
    }
}

uint64_t ram_size(const Ram *ram)
{
    return ram->size;
}

const uint8_t *ram_at(const Ram *ram, uint64_t offset)
{
    return ram->bytes + offset;
}

void ram_write(Ram *ram, uint64_t offset, const void *data, uint64_t size)
{
    if (size == 0) {
        return;
    }
    memcpy(ram->bytes + offset, data, size);
    for (uint64_t page = offset / RAM_PAGE_SIZE; page <= (offset + size - 1) / RAM_PAGE_SIZE;
         page++) {
        ram->written[page / WORD_BITS] |= UINT64_C(1) << page % WORD_BITS;
    }
}

/* The host gives new pages, which are zero, when they are next looked at. */
void ram_clear(Ram *ram)
{
    madvise(ram->bytes, ram->size, MADV_DONTNEED);
    memset(ram->written, 0, ram->words * sizeof(*ram->written));
}

uint64_t ram_next_written(const Ram *ram, uint64_t offset)
{
    uint64_t page = (offset + RAM_PAGE_SIZE - 1) / RAM_PAGE_SIZE;
    uint64_t word = page / WORD_BITS;
    uint64_t bits =
        word < ram->words ? ram->written[word] >> page % WORD_BITS << page % WORD_BITS : 0;

    while (!bits && ++word < ram->words) {
        bits = ram->written[word];
    }
    return bits ? (word * WORD_BITS + (uint64_t)__builtin_ctzll(bits)) * RAM_PAGE_SIZE : ram->size;
}
