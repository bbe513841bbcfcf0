/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stage 1 of 6: bounds, width and lanes of a register access.
 *
 * The registers are 32 bits wide. Wider and unaligned accesses are taken apart into naturally
 * aligned pieces from the lowest address up, the way the memory system of a PC (and of QEMU)
 * does it; this matters where a read has an effect, as at the FIFO.
 *
 * From device.c, to the read and write of a TPMFrontend (stage 2); tis-i2c.c and tis-spi.c make
 * pieces of what comes over their buses, too.
 */
#include "access.h"

TPMAccess tpm_access_check(uint64_t region_size, uint64_t offset, unsigned width)
{
    if (width != 1 && width != 2 && width != 4 && width != 8) {
        return TPM_ACCESS_BAD_WIDTH;
    }
    /* Not "offset + width > region_size": the sum could wrap. */
    if (offset >= region_size || width > region_size - offset) {
        return TPM_ACCESS_BAD_OFFSET;
    }
    return TPM_ACCESS_OK;
}

void tpm_access_first_piece(uint32_t offset, unsigned width, TPMPiece *piece)
{
    unsigned size = 4;

    while (size > width || (offset & (size - 1)) != 0) {
        size /= 2;
    }
    piece->reg = offset & ~3u;
    piece->lane = offset & 3u;
    piece->width = size;
    piece->mask = (size == 4 ? UINT32_MAX : (1u << 8 * size) - 1) << 8 * piece->lane;
}
