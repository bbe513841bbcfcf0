/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a backend counts, under its lock: one function for each thing that can happen. Its memory
 * is that of a table of known ordinals, whatever a guest sends.
 *
 * Used by backend.c and backend-news.c (stage 4 of 6) alone.
 */
#ifndef TPM_STATISTICS_H
#define TPM_STATISTICS_H

#include <tpmdev/statistics.h>

/* What is counted for each ordinal. */
typedef struct TPMOrdinalCount {
    uint64_t commands;
    uint64_t error_codes;
    uint64_t time_ns;
} TPMOrdinalCount;

typedef struct TPMStatistics {
    TPMVersion version;
    TPMBackendStatistics total; /* size, link, failed and executing are not kept here */
    size_t n;                   /* ordinals the version has */
    TPMOrdinalCount *counts;    /* of each, and behind them of all others together */

    /* The command under way, or the last one. */
    size_t row;    /* in counts */
    bool is_timed; /* total.sent_ns is its time, and its end is awaited */
} TPMStatistics;

void tpm_statistics_init(TPMStatistics *statistics, TPMVersion version);
void tpm_statistics_clear(TPMStatistics *statistics);

/* A command goes to the TPM; its time may be unknown. */
void tpm_statistics_sent(TPMStatistics *statistics, uint32_t ordinal, bool is_timed,
                         int64_t now_ns);

/* It has a response with this code, or none and an error instead. */
void tpm_statistics_responded(TPMStatistics *statistics, uint32_t code);
void tpm_statistics_not_responded(TPMStatistics *statistics);

/* The device has it, now. */
void tpm_statistics_answered(TPMStatistics *statistics, int64_t now_ns);

/* Something went wrong. */
void tpm_statistics_error(TPMStatistics *statistics, const GError *error);

/* As tpmdev_backend_get_command_statistics(). */
size_t tpm_statistics_rows(const TPMStatistics *statistics, TPMCommandStatistics *rows, size_t n);

#endif /* TPM_STATISTICS_H */
