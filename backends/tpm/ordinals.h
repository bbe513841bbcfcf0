/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which commands there are: their ordinals, what people call them, and whether a TPM answers them
 * within microseconds. What a guest sends may be none of these.
 *
 * Used by command.c, whose callers in stage 3 decide on the completion window, and by statistics.c.
 */
#ifndef TPM_ORDINALS_H
#define TPM_ORDINALS_H

#include <tpmdev/statistics.h>

typedef struct TPMOrdinal {
    uint32_t ordinal;
    bool is_short; /* answered within microseconds, so that waiting pays */
    const char *name;
} TPMOrdinal;

/* No version has more. */
#define TPM_ORDINALS_MAX 128u

/* The commands of a version, *n of them, in the order of their ordinals. */
const TPMOrdinal *tpm_ordinals(TPMVersion version, size_t *n);

/* The row of an ordinal, or the number of rows for one that is none of the version's. */
size_t tpm_ordinal_find(TPMVersion version, uint32_t ordinal);

#endif /* TPM_ORDINALS_H */
