/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The registers of the FIFO interface, in the order of the specification's table: TCG PC Client
 * TPM Interface Specification 1.3 and PC Client Platform TPM Profile, "FIFO Interface Locality
 * Usage per Register".
 *
 * Each of the five localities has a page of them. The values a guest finds are those of QEMU's
 * device, which firmware and drivers were written against.
 */
#ifndef TPM_TIS_REGS_H
#define TPM_TIS_REGS_H

#define TIS_LOCALITIES     5u
#define TIS_LOCALITY_SHIFT 12u /* a page each */
#define TIS_NO_LOCALITY    0xFFu

/*                           offset  width  access  reset */
#define TIS_ACCESS 0x000u /* 1   RW      81h: tpmRegValidSts, not established */
/*      reserved            0x004 */
#define TIS_INT_ENABLE      0x008u /* 4   RW      00000008h: low-level polarity, all off */
#define TIS_INT_VECTOR      0x00Cu /* 1   RO      the interrupt of the configuration */
#define TIS_INT_STATUS      0x010u /* 4   RW1C    0 */
#define TIS_INTF_CAPABILITY 0x014u /* 4   RO      30000697h (2.0), 20000697h (1.2) */
#define TIS_STS             0x018u /* 4   RW      status, burst count, family */
#define TIS_HASH_END        0x020u /* 1   WO      locality 4, with drtm=on: ends the measurement */
#define TIS_DATA_FIFO       0x024u /* 4   RW      the command, then the response */
#define TIS_HASH_DATA       0x024u /* 4   WO      locality 4, with drtm=on: what is measured */
#define TIS_HASH_START      0x028u /* 1   WO      locality 4, with drtm=on: begins a measurement */
#define TIS_INTERFACE_ID    0x030u /* 4   RW      00002100h (2.0), FFFFFFFFh (1.2) */
#define TIS_XDATA_FIFO      0x080u /* 4   RW      DATA_FIFO again, as wide as a cache line */
#define TIS_XDATA_FIFO_LAST 0x0BCu
#define TIS_DID_VID         0xF00u /* 4   RO      00011014h: device 1 of vendor 1014h */
#define TIS_RID             0xF04u /* 1   RO      01h */
/*      vendor defined      0xF80 to 0xFFF        all ones */

/* TPM_ACCESS */
#define TIS_ACCESS_ESTABLISHMENT     (1u << 0) /* RO, inverted: 0 once a D-RTM has taken place */
#define TIS_ACCESS_REQUEST_USE       (1u << 1)
#define TIS_ACCESS_PENDING_REQUEST   (1u << 2) /* RO: another locality has requestUse */
#define TIS_ACCESS_SEIZE             (1u << 3) /* WO */
#define TIS_ACCESS_BEEN_SEIZED       (1u << 4) /* write 1 to clear */
#define TIS_ACCESS_ACTIVE_LOCALITY   (1u << 5) /* write 1 to give up */
#define TIS_ACCESS_TPM_REG_VALID_STS (1u << 7) /* RO */

/* TPM_INT_ENABLE, TPM_INT_STATUS */
#define TIS_INT_DATA_AVAIL         (1u << 0)
#define TIS_INT_STS_VALID          (1u << 1)
#define TIS_INT_LOCALITY_CHANGE    (1u << 2)
#define TIS_INT_POLARITY_LOW_LEVEL (1u << 3) /* of the two bits 4:3 */
#define TIS_INT_POLARITY           (3u << 3)
#define TIS_INT_COMMAND_READY      (1u << 7)
#define TIS_INT_GLOBAL_ENABLE      (1u << 31)
#define TIS_INT_SOURCES                                                                            \
    (TIS_INT_DATA_AVAIL | TIS_INT_STS_VALID | TIS_INT_LOCALITY_CHANGE | TIS_INT_COMMAND_READY)
#define TIS_INT_ENABLE_WRITABLE (TIS_INT_GLOBAL_ENABLE | TIS_INT_POLARITY | TIS_INT_SOURCES)

/*
 * TPM_INTF_CAPABILITY: the four interrupts, low-level interrupts (bit 4), dynamic burst count
 * (bit 8 clear), transfers of up to 64 bytes (bits 10:9), and the interface version (bits 30:28).
 */
#define TIS_CAPABILITY_INTERRUPT_LOW_LEVEL (1u << 4)
#define TIS_CAPABILITY_TRANSFER_64         (3u << 9)
#define TIS_CAPABILITY_VERSION_TIS_1_3     (2u << 28)
#define TIS_CAPABILITY_VERSION_PTP         (3u << 28)
#define TIS_CAPABILITY_COMMON                                                                      \
    (TIS_INT_SOURCES | TIS_CAPABILITY_INTERRUPT_LOW_LEVEL | TIS_CAPABILITY_TRANSFER_64)

/* TPM_STS */
#define TIS_STS_RESPONSE_RETRY      (1u << 1) /* WO */
#define TIS_STS_SELFTEST_DONE       (1u << 2)
#define TIS_STS_EXPECT              (1u << 3)
#define TIS_STS_DATA_AVAIL          (1u << 4)
#define TIS_STS_TPM_GO              (1u << 5) /* WO */
#define TIS_STS_COMMAND_READY       (1u << 6)
#define TIS_STS_VALID               (1u << 7)
#define TIS_STS_BURST_COUNT_SHIFT   8          /* 16 bits */
#define TIS_STS_COMMAND_CANCEL      (1u << 24) /* WO, TPM 2.0 */
#define TIS_STS_RESET_ESTABLISHMENT (1u << 25) /* WO, TPM 2.0, localities 3 and 4 */
#define TIS_STS_FAMILY_2_0          (1u << 26)
#define TIS_STS_FAMILY              (3u << 26)

/* TPM_INTERFACE_ID: the FIFO interface of the profile (0), five localities, TIS supported */
#define TIS_INTERFACE_ID_LOCALITIES_5  (1u << 8)
#define TIS_INTERFACE_ID_TIS_SUPPORTED (1u << 13)
#define TIS_INTERFACE_ID_LOCK          (1u << 19)
#define TIS_INTERFACE_ID_TPM_1_2       0xFFFFFFFFu

#define TIS_DID_VID_VALUE 0x00011014u
#define TIS_RID_VALUE     0x01u

/* What is read where there is no register, no data, or no active locality. */
#define TIS_NO_REGISTER 0xFFFFFFFFu
#define TIS_NO_DATA     0xFFu

#endif /* TPM_TIS_REGS_H */
