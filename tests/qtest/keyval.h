/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The value of a QEMU option: `socket,id=c,path=/tmp/s,server`. A first element that may leave
 * out its name, then NAME=VALUE; a NAME alone is NAME=on, noNAME is NAME=off; a comma inside a
 * value is written twice. The machine is a host program like any other and sees only the
 * library's public headers, so it has a parser of its own.
 */
#ifndef TESTS_QTEST_KEYVAL_H
#define TESTS_QTEST_KEYVAL_H

#include <glib.h>
#include <stdbool.h>

/* The domain of all errors of the command line. */
#define MACHINE_ERROR (g_quark_from_static_string("machine-error"))

typedef struct KeyVal KeyVal;

/* Returns NULL with error set for an empty element. Free with keyval_free(). */
KeyVal *keyval_parse(const char *text, const char *implied, GError **error);
void keyval_free(KeyVal *keyval);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KeyVal, keyval_free)

/* The last value of that name, or NULL. */
const char *keyval_get(const KeyVal *keyval, const char *name);

/* on/off, yes/no, true/false; *value is left alone when the name is not there. */
bool keyval_get_bool(const KeyVal *keyval, const char *name, bool *value, GError **error);

/* Fail on a name that is not in the NULL-terminated list, naming it and those that are. */
bool keyval_check(const KeyVal *keyval, const char *const *known, GError **error);

/* The text again, without the elements of these names, a NULL-terminated list. */
char *keyval_format(const KeyVal *keyval, const char *const *without);

/* Call visit for every element in the order given. */
void keyval_foreach(const KeyVal *keyval,
                    void (*visit)(void *opaque, const char *name, const char *value), void *opaque);

#endif /* TESTS_QTEST_KEYVAL_H */
