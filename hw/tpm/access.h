/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stage 1 of 6: a guest access of any width and alignment becomes aligned pieces, each within
 * one 32-bit register.
 *
 * From tpmdev_device_read() and tpmdev_device_write() in device.c, to a TPMFrontend.
 */
#ifndef TPM_ACCESS_H
#define TPM_ACCESS_H

#include <tpmdev/device.h>

/*
 * A piece of an access. A mask, not a read-modify-write, tells which bytes are meant: bits that
 * are cleared by writing one must survive in the bytes that were not.
 */
typedef struct TPMPiece {
    uint32_t reg;   /* offset of the 32-bit register, a multiple of 4 */
    unsigned lane;  /* its first byte that is accessed, 0 to 3 */
    unsigned width; /* bytes accessed: 1, 2 or 4 */
    uint32_t mask;  /* the bits of the register these are */
} TPMPiece;

/* Is this an access the device can make sense of? */
TPMAccess tpm_access_check(uint64_t region_size, uint64_t offset, unsigned width);

/* The first piece of an access to `width` bytes at `offset`; it is piece->width bytes long. */
void tpm_access_first_piece(uint32_t offset, unsigned width, TPMPiece *piece);

#endif /* TPM_ACCESS_H */
