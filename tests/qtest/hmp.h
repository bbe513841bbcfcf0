/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The human monitor: the lines of QEMU's by which a guest is stopped, saved, sent away and ended;
 * on a `-monitor` of its own, or within QMP by human-monitor-command.
 */
#ifndef TESTS_QTEST_HMP_H
#define TESTS_QTEST_HMP_H

#include "chardev.h"
#include "qmp.h"

/*
 * Carry out a line. Returns what the monitor prints, with a line end if it is not empty.
 * *synchronous: it was a migration the monitor is to wait for.
 */
char *hmp_run(Qmp *qmp, const char *line, bool *synchronous);

typedef struct Hmp Hmp;

/* A monitor on a chardev. It carries out no line while a migration is under way that was not -d. */
Hmp *hmp_new(Qmp *qmp, const Chardev *chardev, GError **error);
void hmp_free(Hmp *hmp);

#endif /* TESTS_QTEST_HMP_H */
