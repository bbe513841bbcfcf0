/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of QMP on snapshots: as jobs, which QEMU has, and at once. */
#ifndef TESTS_QTEST_QMP_SNAPSHOT_H
#define TESTS_QTEST_QMP_SNAPSHOT_H

#include "qmp-migration.h"

/* All of them, the last without a name. */
extern const ArgumentsCommand qmp_snapshot_commands[];

#endif /* TESTS_QTEST_QMP_SNAPSHOT_H */
