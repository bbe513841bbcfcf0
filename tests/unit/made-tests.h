/* SPDX-License-Identifier: BSD-3-Clause */
/* Tests that are made of the rows of a table when the program runs, each with a name of its own. */
#ifndef MADE_TESTS_H
#define MADE_TESTS_H

#include <glib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct MadeTests MadeTests;

MadeTests *made_tests_new(void);

/* Tests that were written out. */
void made_tests_add_named(MadeTests *tests, const struct CMUnitTest *named, size_t n);

/* One more, whose *state is a copy of this row, and its name. */
void made_tests_add(MadeTests *tests, CMUnitTestFunction function, const void *row, size_t size,
                    const char *format, ...) G_GNUC_PRINTF(5, 6);

/* Run all, in the order in which they came, and free them; returns how many failed. */
int made_tests_run(MadeTests *tests, const char *group);

#endif /* MADE_TESTS_H */
