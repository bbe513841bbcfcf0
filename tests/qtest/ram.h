/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest memory of the machine: as many bytes as -m says, of which only the pages that were written
 * cost anything. It keeps account of them, so that whoever saves it need not look at the others.
 */
#ifndef TESTS_QTEST_RAM_H
#define TESTS_QTEST_RAM_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define RAM_PAGE_SIZE 4096u

typedef struct Ram Ram;

/* All zero. NULL with error set when the host has not so much address space. */
Ram *ram_new(uint64_t size, GError **error);
void ram_free(Ram *ram);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ram, ram_free)

uint64_t ram_size(const Ram *ram);

/* The bytes from an offset on, to be read only; offset and size of all calls are within it. */
const uint8_t *ram_at(const Ram *ram, uint64_t offset);

void ram_write(Ram *ram, uint64_t offset, const void *data, uint64_t size);

/* As it was when new. */
void ram_clear(Ram *ram);

/* Where the first page is that was ever written, of those from offset on; else its size. */
uint64_t ram_next_written(const Ram *ram, uint64_t offset);

#endif /* TESTS_QTEST_RAM_H */
