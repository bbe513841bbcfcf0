/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's driver of a TIS device, as small as it can be, and the machine it runs in: a host, a
 * device, a TPM.
 *
 * The numbers are those of the TCG PC Client TPM Interface Specification and of the measured
 * devices, written out again: a test that shares the model's constants would share its mistakes.
 */
#ifndef TIS_DRIVER_H
#define TIS_DRIVER_H

#include "fake-backend.h"
#include "fake-host.h"

/* Registers of a locality. */
#define REG_ACCESS       0x000u
#define REG_INT_ENABLE   0x008u
#define REG_INT_VECTOR   0x00Cu
#define REG_INT_STATUS   0x010u
#define REG_CAPABILITY   0x014u
#define REG_STS          0x018u
#define REG_FIFO         0x024u
#define REG_INTERFACE_ID 0x030u
#define REG_XDATA        0x080u
#define REG_DID_VID      0xF00u
#define REG_RID          0xF04u

/* TPM_ACCESS, as written. */
#define ACCESS_REQUEST     0x02u
#define ACCESS_SEIZE       0x08u
#define ACCESS_BEEN_SEIZED 0x10u
#define ACCESS_RELINQUISH  0x20u

/* TPM_ACCESS, as read, with the flag tpmEstablished not set. */
#define ACCESS_IDLE    0x81u
#define ACCESS_ACTIVE  0xA1u
#define ACCESS_PENDING 0x04u

/* TPM_STS, as written. */
#define STS_RETRY             0x02u
#define STS_GO                0x20u
#define STS_READY             0x40u
#define STS_CANCEL            0x01000000u
#define STS_RESET_ESTABLISHED 0x02000000u

/* TPM_INT_ENABLE and TPM_INT_STATUS. */
#define INT_DATA_AVAIL      0x01u
#define INT_STS_VALID       0x02u
#define INT_LOCALITY_CHANGE 0x04u
#define INT_COMMAND_READY   0x80u
#define INT_ALL             0x80000087u

/* The machine. */
typedef struct TISMachine {
    FakeHost host;
    FakeBackend *tpm;
    TPMDevice *device;
    TPMDeviceConfig config;
} TISMachine;

/* A device with all defaults before a TPM of 4096 bytes that starts and answers at once. */
TISMachine *tis_machine_new(TPMVersion version);

/*
 * In two steps, for a test that wants host or TPM otherwise: set them in between. With
 * TPMDEV_TEST_TIS=tpm-tis-device in the environment the device is that one.
 */
TISMachine *tis_machine_prepare(TPMVersion version, FakeKind kind, size_t buffer_size);
void tis_machine_plug(TISMachine *machine);

/* The same with another TPM than the machine's own, which may be put into that. */
void tis_machine_plug_backend(TISMachine *machine, TPMBackend *backend);

/* Free the device alone. */
void tis_machine_unplug(TISMachine *machine);

/* Free all. Fails the test for what the fakes found wrong. */
void tis_machine_free(TISMachine *machine);

/* A cmocka fixture: *state is a machine of tis_machine_new(). */
int tis_setup_1_2(void **state);
int tis_setup_2_0(void **state);
int tis_teardown(void **state);

TPMDeviceStatistics tis_statistics(TISMachine *machine);

/* ---- register accesses ---- */

uint64_t tis_read(TISMachine *machine, unsigned locality, uint32_t reg, unsigned width);
void tis_write(TISMachine *machine, unsigned locality, uint32_t reg, unsigned width,
               uint64_t value);

/* TPM_ACCESS as a byte, TPM_STS as 32 bits. */
uint8_t tis_access(TISMachine *machine, unsigned locality);
uint32_t tis_sts(TISMachine *machine, unsigned locality);

/* ---- what a driver does ---- */

/* Write TPM_ACCESS. */
void tis_access_set(TISMachine *machine, unsigned locality, uint32_t bits);

/* Write TPM_STS, 32 bits. */
void tis_sts_set(TISMachine *machine, unsigned locality, uint32_t bits);

/* Request the device; fails the test when it is not granted at once. */
void tis_request(TISMachine *machine, unsigned locality);

/* Bytes into the FIFO, one at a time. */
void tis_fifo_write(TISMachine *machine, unsigned locality, const void *bytes, size_t size);

/* commandReady, then the whole command, at the active locality. */
void tis_send(TISMachine *machine, unsigned locality, const void *command, size_t size);

/* The same, and tpmGo. */
void tis_start(TISMachine *machine, unsigned locality, const void *command, size_t size);

/* Is a response there? */
bool tis_has_response(TISMachine *machine, unsigned locality);

/* Wait for it, telling the TPM and running the host's context as needed. */
void tis_wait_response(TISMachine *machine, unsigned locality);

/* Read it, while dataAvail is set; returns how many bytes there were. */
size_t tis_response(TISMachine *machine, unsigned locality, uint8_t *response, size_t max);

/* Fails the test unless the response that is there now is this one. */
void tis_assert_response(TISMachine *machine, unsigned locality, const void *response, size_t size);

/* ---- commands ---- */

/* TPM2_GetRandom and TPM_GetRandom of 8 bytes: short ones. */
extern const uint8_t command_2_0[12];
extern const uint8_t command_1_2[14];

/* TPM2_SelfTest: one that may take its time. */
extern const uint8_t command_long_2_0[11];

/* What a TPM that has failed answers. */
extern const uint8_t failure_2_0[10];
extern const uint8_t failure_1_2[10];

/* A well-formed command of this version and size; returns size. */
size_t tis_make_command(TPMVersion version, uint8_t *command, size_t size);

#endif /* TIS_DRIVER_H */
