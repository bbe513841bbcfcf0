/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's TIS driver that reaches the registers by direct calls: what a command costs without
 * the exits of a real machine.
 */
#ifndef TIS_GUEST_H
#define TIS_GUEST_H

#include "bench.h"

#include <tpmdev/tpmdev.h>

typedef struct TisGuest {
    TPMDevice *device;
    size_t size; /* of the last response */
    uint8_t response[BENCH_RESPONSE_MAX];
} TisGuest;

/* Make a device with this window in front of the backend, whose reference it takes over. */
bool tis_guest_open(TisGuest *guest, TPMBackend *backend, int64_t window_ns);
void tis_guest_close(TisGuest *guest);

/* A BenchRun: the whole way of a command, with the accesses Linux's driver makes. */
bool tis_guest_run(void *guest, const BenchCommand *command);

/* Its parts: write the command to the FIFO; tpmGo; wait for the response and read it. */
bool tis_guest_load(TisGuest *guest, const BenchCommand *command);
void tis_guest_go(TisGuest *guest);
bool tis_guest_receive(TisGuest *guest);

/* Ask for locality 0, as a guest does once and after each reset. */
void tis_guest_request_use(TisGuest *guest);

/* Wait until these bits of TPM_STS have this value; false after the deadline. */
bool tis_guest_wait(TisGuest *guest, uint32_t bits, uint32_t value);

/* Commands since the device was made, and how many of them completed inline. */
void tis_guest_counters(const TisGuest *guest, uint64_t *commands, uint64_t *inline_completions);

#endif /* TIS_GUEST_H */
