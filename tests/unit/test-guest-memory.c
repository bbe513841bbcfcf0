/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Copies of memory the guest may write to (hw/tpm/guest-memory.c): every size and alignment, and
 * not one byte beyond. That a guest may write meanwhile is test-crb-threads.c.
 */
#include "guest-memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SIZE  40u
#define GUARD 0xEE

static uint8_t byte_at(size_t i)
{
    return (uint8_t)(i * 7 + 1);
}

/* The bytes from `at` on are those of the pattern, as many as size, and all others untouched. */
static void assert_only(const uint8_t *memory, size_t at, size_t size, bool cleared)
{
    for (size_t i = 0; i < 2 * SIZE; i++) {
        uint8_t wanted = i < at || i >= at + size ? GUARD : cleared ? 0 : byte_at(i - at);

        assert_int_equal(memory[i], wanted);
    }
}

typedef void (*Copy)(void *to, const void *from, size_t size);

static void assert_copies(Copy copy)
{
    _Alignas(8) uint8_t from[2 * SIZE];
    _Alignas(8) uint8_t to[2 * SIZE];

    for (size_t size = 0; size <= SIZE; size++) {
        for (size_t source = 0; source < 8; source++) {
            for (size_t target = 0; target < 8; target++) {
                memset(to, GUARD, sizeof(to));
                memset(from, GUARD, sizeof(from));
                for (size_t i = 0; i < size; i++) {
                    from[source + i] = byte_at(i);
                }
                copy(to + target, from + source, size);
                assert_only(to, target, size, false);
                assert_only(from, source, size, false);
            }
        }
    }
}

static void test_read_copies_every_size_and_alignment(void **state)
{
    (void)state;
    assert_copies(tpm_guest_read);
}

static void test_write_copies_every_size_and_alignment(void **state)
{
    (void)state;
    assert_copies(tpm_guest_write);
}

static void test_clear_zeroes_every_size_and_alignment(void **state)
{
    static uint8_t memory[4096 + 16];

    (void)state;
    for (size_t at = 0; at < 9; at++) {
        for (size_t size = 0; size <= 4096; size += size < 200 ? 1 : 199) {
            memset(memory, GUARD, sizeof(memory));
            tpm_guest_clear(memory + at, size);
            for (size_t i = 0; i < sizeof(memory); i++) {
                assert_int_equal(memory[i], i < at || i >= at + size ? GUARD : 0);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_copies_every_size_and_alignment),
        cmocka_unit_test(test_write_copies_every_size_and_alignment),
        cmocka_unit_test(test_clear_zeroes_every_size_and_alignment),
    };

    return cmocka_run_group_tests_name("guest-memory", tests, NULL, NULL);
}
