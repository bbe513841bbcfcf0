/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The descriptors that monitors were given with `getfd`, by their names. Whoever takes one has it;
 * what is left is closed.
 */
#ifndef TESTS_QTEST_FD_NAMES_H
#define TESTS_QTEST_FD_NAMES_H

#include <stdbool.h>

typedef struct FdNames FdNames;

FdNames *fd_names_new(void);
void fd_names_free(FdNames *names);

/* In place of one that has this name, which is closed. */
void fd_names_add(FdNames *names, const char *name, int fd);

/* The descriptor, which is the caller's then, or -1 when there is none. */
int fd_names_take(FdNames *names, const char *name);

/* False when there is none. */
bool fd_names_close(FdNames *names, const char *name);

#endif /* TESTS_QTEST_FD_NAMES_H */
