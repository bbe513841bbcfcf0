/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The registers of the Command Response Buffer interface, in the order of the specification's
 * table: TCG PC Client Platform TPM Profile, "CRB Interface".
 *
 * Each locality has a page of them; by default there is locality 0 alone. The values a guest finds
 * are those of QEMU's device, which firmware and drivers were written against.
 */
#ifndef TPM_CRB_REGS_H
#define TPM_CRB_REGS_H

#define CRB_LOCALITIES     5u
#define CRB_LOCALITY_SHIFT 12u /* a page each */
#define CRB_NO_LOCALITY    0xFFu

/*                           offset  width  access  reset */
#define CRB_LOC_STATE 0x00u /*  4   RO      81h: tpmRegValidSts, not established */
/*      reserved            0x04 */
#define CRB_LOC_CTRL 0x08u /*  4   WO      reads 0 */
#define CRB_LOC_STS  0x0Cu /*  4   RO      0 */
/*      reserved            0x10 to 0x2F: a data checksum in the draft; read 0 */
#define CRB_INTF_ID      0x30u /*  4   RO      00025811h */
#define CRB_INTF_ID_HIGH 0x34u /*  4   RO      00001014h: device 0 of vendor 1014h */
#define CRB_CTRL_EXT     0x38u /*  8   RO      0 */
#define CRB_CTRL_REQ     0x40u /*  4   RW      reads 0: every request is met at once */
#define CRB_CTRL_STS     0x44u /*  4   RO      2: tpmIdle */
#define CRB_CTRL_CANCEL  0x48u /*  4   WO      reads 0 */
#define CRB_CTRL_START   0x4Cu /*  4   RW      1 while a command runs; else 0 */
#define CRB_INT_ENABLE   0x50u /*  4   RW      0 */
#define CRB_INT_STS      0x54u /*  4   RW1C    0 */
#define CRB_CMD_SIZE     0x58u /*  4   RO      bytes of the buffer */
#define CRB_CMD_LADDR    0x5Cu /*  4   RO      its address, low half */
#define CRB_CMD_HADDR    0x60u /*  4   RO      and high half */
#define CRB_RSP_SIZE     0x64u /*  4   RO      the same buffer for the response */
#define CRB_RSP_LADDR    0x68u /*  4   RO */
#define CRB_RSP_HADDR    0x6Cu /*  4   RO */
/*      reserved            0x70 to 0x7F: read 0 */
#define CRB_DATA_BUFFER 0x80u /*  1   RW      to the end of the page */

#define CRB_CONTROL_AREA CRB_CTRL_REQ /* where the TPM2 table points */
#define CRB_DATA_SIZE    (TPM_CRB_SIZE - CRB_DATA_BUFFER)

/* TPM_LOC_STATE */
#define CRB_LOC_STATE_NOT_ESTABLISHED (1u << 0) /* as QEMU: set while no D-RTM has taken place */
#define CRB_LOC_STATE_ASSIGNED        (1u << 1)
#define CRB_LOC_STATE_ACTIVE_SHIFT    2 /* 3 bits */
#define CRB_LOC_STATE_REG_VALID       (1u << 7)

/* TPM_LOC_CTRL, one at a time */
#define CRB_LOC_CTRL_REQUEST_ACCESS      1u
#define CRB_LOC_CTRL_RELINQUISH          2u
#define CRB_LOC_CTRL_SEIZE               4u
#define CRB_LOC_CTRL_RESET_ESTABLISHMENT 8u

/* TPM_LOC_STS */
#define CRB_LOC_STS_GRANTED     (1u << 0)
#define CRB_LOC_STS_BEEN_SEIZED (1u << 1)

/*
 * TPM_CRB_INTF_ID: the CRB interface (1) of version 1, one locality, no idle bypass, transfers of
 * up to 64 bytes, CRB supported (bit 14) and selected (bits 18:17)
 */
#define CRB_INTF_ID_VALUE        0x00025811u
#define CRB_INTF_ID_LOCALITIES_5 (1u << 8)
#define CRB_INTF_ID_CHUNK        (1u << 10)
#define CRB_INTF_ID_HIGH_VALUE   0x00001014u

/* TPM_CRB_CTRL_REQ, one at a time */
#define CRB_CTRL_REQ_CMD_READY 1u
#define CRB_CTRL_REQ_GO_IDLE   2u

/* TPM_CRB_CTRL_STS */
#define CRB_CTRL_STS_TPM_IDLE (1u << 1)

/* TPM_CRB_CTRL_CANCEL */
#define CRB_CTRL_CANCEL_INVOKE 1u

/* TPM_CRB_CTRL_START; the last two with chunks alone, and they are done at once */
#define CRB_CTRL_START_INVOKE         (1u << 0)
#define CRB_CTRL_START_RESPONSE_RETRY (1u << 1)
#define CRB_CTRL_START_NEXT_CHUNK     (1u << 2)

/* TPM_CRB_INT_ENABLE, TPM_CRB_INT_STS */
#define CRB_INT_START           (1u << 0) /* the command is done */
#define CRB_INT_CMD_READY       (1u << 1)
#define CRB_INT_ESTABLISHMENT   (1u << 2)
#define CRB_INT_LOCALITY_CHANGE (1u << 3)
#define CRB_INT_GLOBAL_ENABLE   (1u << 31)
#define CRB_INT_SOURCES                                                                            \
    (CRB_INT_START | CRB_INT_CMD_READY | CRB_INT_ESTABLISHMENT | CRB_INT_LOCALITY_CHANGE)
#define CRB_INT_ENABLE_WRITABLE (CRB_INT_GLOBAL_ENABLE | CRB_INT_SOURCES)

/* What a locality that does not have the device reads of another's command. */
#define CRB_NOT_YOURS 0xFFFFFFFFu

#endif /* TPM_CRB_REGS_H */
