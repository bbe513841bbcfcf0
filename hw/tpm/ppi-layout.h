/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The physical presence memory, in its order: where the ACPI method of acpi/ppi-aml.c leaves what
 * the system asks for and where firmware answers (QEMU's specification of its TPM devices; OVMF
 * reads it). Numbers are little-endian and not aligned.
 */
#ifndef TPM_PPI_LAYOUT_H
#define TPM_PPI_LAYOUT_H

/*                         offset    bytes */
#define TPM_PPI_FUNC      0x000u /*  256  for each operation: can firmware do it, must it ask */
#define TPM_PPI_PPIN      0x100u /*  1    firmware has set the memory up */
#define TPM_PPI_PPIP      0x101u /*  4    for firmware's own use */
#define TPM_PPI_PPRP      0x105u /*  4    result of the last operation */
#define TPM_PPI_PPRQ      0x109u /*  4    operation asked for */
#define TPM_PPI_PPRM      0x10Du /*  4    its parameter */
#define TPM_PPI_LPPR      0x111u /*  4    last operation */
#define TPM_PPI_FRET      0x115u /*  4    not used */
#define TPM_PPI_RES1      0x119u /*  64   reserved */
#define TPM_PPI_NEXT_STEP 0x159u /*  1    for firmware's own use, over a reboot */
#define TPM_PPI_MOVV      0x15Au /*  1    memory overwrite request */

#define TPM_PPI_FUNC_SIZE 0x100u
#define TPM_PPI_RES1_SIZE 0x40u

/* TPM_PPI_MOVV: clear memory at the next reset */
#define TPM_PPI_MOVV_CLEAR_MEMORY (1u << 0)

#endif /* TPM_PPI_LAYOUT_H */
