/* SPDX-License-Identifier: BSD-3-Clause */
/* x-query-tpm-stats: the library's statistics as JSON; README.rst has the schema. */
#ifndef TESTS_QTEST_QMP_STATISTICS_H
#define TESTS_QTEST_QMP_STATISTICS_H

#include <json-glib/json-glib.h>
#include <tpmdev/tpmdev.h>

/* An object about one device and the TPM behind it. */
void qmp_add_tpm_statistics(JsonBuilder *builder, TPMDevice *device);

#endif /* TESTS_QTEST_QMP_STATISTICS_H */
