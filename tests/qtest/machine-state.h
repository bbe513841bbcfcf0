/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The machine as one stream of bytes: what a migration sends and what a snapshot is. Its form is
 * the machine's own, little-endian, and each section says its size:
 *
 *     "TPMDEVMM"  u32 version  u32 flags
 *     { char[4] name  u32 size  bytes }...
 *
 *     MACH  the machine: its architecture's name, its memory's size, whether its guest ran
 *     PAGE  4 KiB of guest memory that are not zero, behind their offset; in rising order
 *     PAPR  the queue of a virtual I/O device
 *     I2C   the controller of the arm machine
 *     TPM   what tpmdev_device_save() returned
 *     END   SHA-256 of all before it
 *
 * migration.c carries it, snapshot.c keeps it.
 */
#ifndef TESTS_QTEST_MACHINE_STATE_H
#define TESTS_QTEST_MACHINE_STATE_H

#include "machine.h"

/* The flag of a stream whose reader is to say how loading went. */
#define MACHINE_STATE_WANTS_ANSWER 1u

/*
 * Save all of it. From then on the device is held until tpmdev_device_resume(). It blocks for at
 * most so long as the TPM takes to give its state. NULL with error set: the machine is as before.
 */
GByteArray *machine_state_save(Machine *machine, uint32_t flags, bool running, int64_t timeout_ns,
                               GError **error);

/* How much of a stream has been looked at; all zero at first. */
typedef struct MachineStateScan {
    size_t at;
    bool complete; /* up to its end, which is at `at` */
    bool wants_answer;
} MachineStateScan;

/*
 * Follow a stream that comes in pieces, all of which are in `bytes`. False with error set when it
 * is none, or is larger than this machine's could be.
 */
bool machine_state_scan(const Machine *machine, const GByteArray *bytes, MachineStateScan *scan,
                        GError **error);

/*
 * Be the machine that was saved; the device is held then. All is checked before anything is
 * changed: with false and error set the machine is as before. *running: the other's guest ran.
 */
bool machine_state_load(Machine *machine, const uint8_t *bytes, size_t size, int64_t timeout_ns,
                        bool *running, GError **error);

#endif /* TESTS_QTEST_MACHINE_STATE_H */
