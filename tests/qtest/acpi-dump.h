/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The machine as a tool: what firmware is to get of its TPM, as files, for any hypervisor to be
 * tried with by hand. README.rst lists options and files.
 *
 * main.c calls it in place of the main loop.
 */
#ifndef TESTS_QTEST_ACPI_DUMP_H
#define TESTS_QTEST_ACPI_DUMP_H

#include "machine.h"

/* The value of -acpi-dump. Every file is made before the first is written, and written whole. */
bool acpi_dump(const Machine *machine, const char *text, GError **error);

#endif /* TESTS_QTEST_ACPI_DUMP_H */
