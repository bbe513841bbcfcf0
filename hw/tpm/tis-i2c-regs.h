/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The registers of the FIFO interface on an I2C bus, in the order of the specification's table:
 * TCG TPM I2C Interface Specification, "Register Space", and PC Client Device Driver Design
 * Principles, "I2C".
 *
 * A register has a number of 8 bits and no locality: TPM_LOC_SEL says whose registers the others
 * are. What a guest finds is what it finds at QEMU's device.
 */
#ifndef TPM_TIS_I2C_REGS_H
#define TPM_TIS_I2C_REGS_H

/*                          number  width  access  reset, or what it is of tis-regs.h */
#define I2C_LOC_SEL        0x00u /*  1     RW     0: locality 0 to 4 */
#define I2C_ACCESS         0x04u /*  1     RW     TIS_ACCESS */
#define I2C_INT_ENABLE     0x08u /*  4     RW     TIS_INT_ENABLE: 08h, and 0 once written */
#define I2C_INT_CAPABILITY 0x14u /*  4     RO     0: no interrupts */
#define I2C_STS            0x18u /*  4     RW     TIS_STS, also from one of its bytes on */
#define I2C_STS_LAST       0x1Bu
/*      TPM_HASH_END         0x20     1     WO     locality 4: no D-RTM, not acknowledged */
#define I2C_DATA_FIFO 0x24u /*  1     RW     TIS_DATA_FIFO: the command, then the response */
/*      TPM_HASH_START       0x28     1     WO     locality 4: no D-RTM, not acknowledged */
#define I2C_INTF_CAPABILITY 0x30u /*  4     RO     02600082h */
/*      TPM_I2C_DEVICE_ADDRESS 0x38   2     RW     not acknowledged: the machine's, and fixed */
#define I2C_DATA_CSUM_ENABLE 0x40u /*  1     RW     0 */
#define I2C_DATA_CSUM_GET    0x44u /*  2     RO     CRC of what is in the FIFO, high byte first */
#define I2C_DID_VID          0x48u /*  4     RO     TIS_DID_VID */
#define I2C_RID              0x4Cu /*  1     RO     TIS_RID */
/*      all others                               not acknowledged */

/* Bytes of a register that one transfer can write or read. */
#define I2C_REGISTER_SIZE 4u

/* What is read where there is no register, and behind the end of one. */
#define I2C_NO_DATA 0u

/*
 * TPM_STS: the family, and what is written only, read as 0; commandCancel, resetEstablishment,
 * commandReady, tpmGo and responseRetry can be written.
 */
#define I2C_STS_READABLE 0x00FFFFDDu
#define I2C_STS_WRITABLE                                                                           \
    (TIS_STS_COMMAND_CANCEL | TIS_STS_RESET_ESTABLISHMENT | TIS_STS_COMMAND_READY |                \
     TIS_STS_TPM_GO | TIS_STS_RESPONSE_RETRY)

/* TPM_INT_ENABLE: no bit of it. */
#define I2C_INT_ENABLE_WRITABLE 0u

/* TPM_I2C_INTERFACE_CAPABILITY: guard times (bits 20:9) are zero, the burst count is dynamic. */
#define I2C_CAPABILITY_TYPE_FIFO    (2u << 0)  /* bits 3:0 */
#define I2C_CAPABILITY_FAMILY_2_0   (1u << 7)  /* bits 8:7 */
#define I2C_CAPABILITY_SPEEDS       (3u << 21) /* standard and fast */
#define I2C_CAPABILITY_LOCALITIES_5 (1u << 25) /* bits 26:25 */
#define I2C_CAPABILITY                                                                             \
    (I2C_CAPABILITY_TYPE_FIFO | I2C_CAPABILITY_FAMILY_2_0 | I2C_CAPABILITY_SPEEDS |                \
     I2C_CAPABILITY_LOCALITIES_5)

#define I2C_CSUM_ENABLE 1u

#endif /* TPM_TIS_I2C_REGS_H */
