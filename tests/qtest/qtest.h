/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * QEMU's qtest protocol: whoever is at the other end of the channel plays the machine's CPU. One
 * request a line, one reply a line, `IRQ raise N` and `IRQ lower N` in between.
 */
#ifndef TESTS_QTEST_QTEST_H
#define TESTS_QTEST_QTEST_H

#include "chardev.h"
#include "migration.h"

typedef struct QTest QTest;

/*
 * Serve the protocol on chardev. closed() is called when the peer of a channel that does not
 * listen has left. log is a file's name for the protocol's lines, or NULL.
 */
QTest *qtest_new(Machine *machine, Migration *migration, const Chardev *chardev, const char *log,
                 void (*closed)(void *opaque), void *opaque, GError **error);
void qtest_free(QTest *qtest);

#endif /* TESTS_QTEST_QTEST_H */
