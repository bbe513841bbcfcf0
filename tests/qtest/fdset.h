/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * QEMU's sets of descriptors: `-add-fd fd=N,set=M` puts a descriptor that the program was started
 * with into a set, and `/dev/fdset/M` in place of a path means the one of that set that has the
 * access that is needed. So does a program that starts a hypervisor without rights hand it a
 * device.
 */
#ifndef TESTS_QTEST_FDSET_H
#define TESTS_QTEST_FDSET_H

#include <glib.h>
#include <stdbool.h>

typedef struct FdSets FdSets;

FdSets *fdsets_new(void);
void fdsets_free(FdSets *sets);

/* From the value of `-add-fd`. The descriptor must be open and none of the standard ones. */
bool fdsets_add(FdSets *sets, const char *text, GError **error);

/*
 * The value of a `-tpmdev` as the library takes it: with fd= and cancel-fd= for a path= and a
 * cancel-path= that name a set. NULL with error set when there is no such descriptor in it.
 */
char *fdsets_resolve(const FdSets *sets, const char *tpmdev, GError **error);

#endif /* TESTS_QTEST_FDSET_H */
