/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The parts of tpmdev-tcti: a driver's way to the machine's registers (tcti.c), and the two drivers
 * that take it, tcti-tis.c and tcti-crb.c.
 */
#ifndef TESTS_QTEST_TCTI_H
#define TESTS_QTEST_TCTI_H

#include <gio/gio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tpmdev/tpmdev.h>

/* Linux's durations: B for the interface, and the longest of a command. */
#define TIMEOUT_S  4
#define DURATION_S 300

typedef struct Driver {
    GSocketConnection *connection;
    GDataInputStream *replies;
    GOutputStream *requests;
    GError *error; /* the first one; nothing is done after it */
} Driver;

/* Note what went wrong, unless something has before. */
void driver_fail(Driver *driver, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* ---- accesses; 0 and nothing after an error ---- */

uint8_t driver_read8(Driver *driver, uint64_t address);
uint32_t driver_read32(Driver *driver, uint64_t address);
void driver_write8(Driver *driver, uint64_t address, uint8_t value);
void driver_write32(Driver *driver, uint64_t address, uint32_t value);

/* Many bytes at ascending addresses. */
void driver_read_bytes(Driver *driver, uint64_t address, uint8_t *data, size_t size);
void driver_write_bytes(Driver *driver, uint64_t address, const uint8_t *data, size_t size);

/* Look again and again until the byte has this value under the mask. */
void driver_wait_for(Driver *driver, uint64_t address, uint8_t mask, uint8_t value, int seconds,
                     const char *what);

/* ---- headers ---- */

size_t tcti_size_in_header(const uint8_t *header);

/* What a response's header says, or 0 with an error when it cannot be. */
size_t tcti_response_size(Driver *driver, const uint8_t *header);

/* ---- the drivers: carry a command out; buffer has TPM_BUFFER_SIZE_MAX bytes ---- */

size_t tis_carry_out(Driver *driver, uint8_t *buffer, size_t size);
size_t crb_carry_out(Driver *driver, uint8_t *buffer, size_t size);

#endif /* TESTS_QTEST_TCTI_H */
