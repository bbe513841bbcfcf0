/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest's driver of a CRB device, as small as it can be. The machine is tis-driver.h's, with
 * another device in it; tis_read() and tis_write() are the accesses.
 *
 * The numbers are those of the Platform TPM Profile and of QEMU's device, written out again: a
 * test that shares the model's constants would share its mistakes.
 */
#ifndef CRB_DRIVER_H
#define CRB_DRIVER_H

#include "tis-driver.h"

#define CRB_BASE 0xFED40000u

/* Registers of a locality. */
#define REG_LOC_STATE   0x00u
#define REG_LOC_CTRL    0x08u
#define REG_LOC_STS     0x0Cu
#define REG_INTF_ID     0x30u
#define REG_INTF_ID_2   0x34u
#define REG_CTRL_EXT    0x38u
#define REG_CTRL_REQ    0x40u
#define REG_CTRL_STS    0x44u
#define REG_CTRL_CANCEL 0x48u
#define REG_CTRL_START  0x4Cu
#define REG_CRB_ENABLE  0x50u
#define REG_CRB_INT_STS 0x54u
#define REG_CMD_SIZE    0x58u
#define REG_CMD_LADDR   0x5Cu
#define REG_CMD_HADDR   0x60u
#define REG_RSP_SIZE    0x64u
#define REG_RSP_LADDR   0x68u
#define REG_RSP_HADDR   0x6Cu
#define REG_BUFFER      0x80u

#define BUFFER_BYTES 3968u
#define PAGE_BYTES   4096u

/* The largest command of a TPM for chunks. */
#define CHUNK_BYTES 8192u

/* TPM_LOC_CTRL. */
#define LOC_REQUEST    1u
#define LOC_RELINQUISH 2u
#define LOC_SEIZE      4u
#define LOC_UNSET      8u /* resetEstablishment */

/* TPM_CRB_CTRL_REQ. */
#define REQ_CMD_READY 1u
#define REQ_GO_IDLE   2u

/* TPM_CRB_CTRL_START with chunks. */
#define START_GO    1u
#define START_RETRY 2u /* crbRspRetry */
#define START_NEXT  4u /* nextChunk */

/* TPM_CRB_INT_ENABLE and TPM_CRB_INT_STS. */
#define CRB_START_CLEARED   0x1u
#define CRB_CMD_READY_DONE  0x2u
#define CRB_UNSET_DONE      0x4u /* establishmentClear */
#define CRB_LOCALITY_CHANGE 0x8u
#define CRB_INT_ALL         0x8000000Fu

/* What the device answers in the TPM's place to a command whose size is wrong. */
extern const uint8_t command_size_2_0[10];

/* A machine with a CRB device that is not yet made: set what it is to be in between. */
TISMachine *crb_machine_prepare(void);

/* The same for a TPM that answers, and is cancelled, only when it is told to. */
TISMachine *crb_machine_prepare_told(void);

/* With chunks, and a TPM of CHUNK_BYTES that answers at once. */
TISMachine *crb_machine_prepare_chunk(void);

/*
 * cmocka fixtures, with tis_teardown(). A device with all defaults; one with localities and a TPM
 * that has to be told; the same with interrupts.
 */
int crb_setup(void **state);
int crb_setup_localities(void **state);
int crb_setup_interrupts(void **state);
int crb_setup_chunk(void **state);

/* Write TPM_LOC_CTRL. */
void crb_loc(TISMachine *machine, unsigned locality, uint32_t value);

/* Request the device; fails the test when it is not granted at once. */
void crb_request(TISMachine *machine, unsigned locality);

/* TPM_LOC_STATE and the TPM_LOC_STS of a locality. */
uint32_t crb_loc_state(TISMachine *machine);
uint32_t crb_loc_sts(TISMachine *machine, unsigned locality);

/* Bytes into the buffer, from its beginning. */
void crb_put(TISMachine *machine, unsigned locality, const void *bytes, size_t size);

/* Write Start. */
void crb_go(TISMachine *machine, unsigned locality);

/* Bytes into the buffer, and Start. */
void crb_start(TISMachine *machine, unsigned locality, const void *command, size_t size);

bool crb_is_running(TISMachine *machine, unsigned locality);

/* A command of any size through the buffer in chunks, and Start. */
void crb_start_chunks(TISMachine *machine, unsigned locality, const void *command, size_t size);

/* Read the bytes of the buffer from its beginning. */
void crb_get(TISMachine *machine, unsigned locality, void *bytes, size_t size);

/* Fails the test unless the buffer holds the beginning of this response, and its chunks follow. */
void crb_assert_chunks(TISMachine *machine, unsigned locality, const void *response, size_t size);

/* Fails the test unless the buffer holds these bytes, and zeros to its end. */
void crb_assert_buffer(TISMachine *machine, unsigned locality, const void *bytes, size_t size);

#endif /* CRB_DRIVER_H */
