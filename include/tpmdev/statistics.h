/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a TPM has been doing: numbers and the last error for a host's management and for people.
 *
 * All of it can be read at any time, from any thread, and never waits for the TPM. What a guest
 * did to the registers is counted by its device, TPMDeviceStatistics.
 */
#ifndef TPMDEV_STATISTICS_H
#define TPMDEV_STATISTICS_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tpmdev/backend.h>
#include <tpmdev/version.h>

G_BEGIN_DECLS

/** Entries of TPMLatency.buckets. */
#define TPM_LATENCY_BUCKETS 28u

/** Entries of TPMBackendStatistics.errors; more than there are of TPMError, for those to come. */
#define TPM_STATISTICS_ERRORS 24u

/** Bytes of TPMBackendStatistics.last_error, its NUL included. */
#define TPM_STATISTICS_TEXT 256u

/**
 * TPMLatency: how long commands took, from when the device sent them to when it had the response
 * @buckets: how many took how long. Of @buckets[0] less than a microsecond; of @buckets[N] at least
 *           2 to the power of N - 1 microseconds and less than twice that; of the last one 67
 *           seconds or more
 * @sum_ns:  all of them together, in nanoseconds
 * @max_ns:  the longest, in nanoseconds
 *
 * This struct never grows.
 */
typedef struct TPMLatency {
    uint64_t buckets[TPM_LATENCY_BUCKETS];
    uint64_t sum_ns;
    uint64_t max_ns;
} TPMLatency;

/**
 * TPMBackendStatistics: what a backend has done since it was made, and how it stands
 *
 * Begin with `{ sizeof(TPMBackendStatistics) }`; only that many bytes are written, and @size says
 * how many there are. Times are those of the device's clock, TPMHost.now_ns.
 */
typedef struct TPMBackendStatistics {
    /** sizeof(TPMBackendStatistics) of the caller, in bytes */
    size_t size;
    /** the way to the TPM */
    TPMBackendLink link;
    /** the TPM has failed, and commands are answered with a failure */
    bool failed;
    /** a command is under way: the next two say which, and since when */
    bool executing;
    /** its ordinal; tpmdev_command_name() has a name for it */
    uint32_t ordinal;
    /** when it was sent, in nanoseconds */
    int64_t sent_ns;
    /** when the TPM gave its last response, in nanoseconds; 0: it has given none */
    int64_t last_response_ns;
    /** power cycles asked of the TPM: one for each reset of the device, and the first */
    uint64_t starts;
    /** times that it failed, from a state in which it had not */
    uint64_t failures;
    /** times that it came back by itself */
    uint64_t recoveries;
    /** commands sent to it */
    uint64_t commands;
    /** of these, answered with a response */
    uint64_t responses;
    /** of these responses, with a code other than success */
    uint64_t error_codes;
    /** of the commands, answered with a failure, for there was no response, or none that is one */
    uint64_t failed_commands;
    /** commands that were not sent, since it had failed, and answered with a failure */
    uint64_t unsent_commands;
    /** cancellations sent to it */
    uint64_t cancels;
    /**
     * errors by their kind: the index is a TPMError, the last entry has all that are of no such
     * kind
     */
    uint64_t errors[TPM_STATISTICS_ERRORS];
    /** of commands a TPM answers within microseconds: TPM2_GetRandom, TPM2_PCR_Extend and others */
    TPMLatency short_commands;
    /** of all others */
    TPMLatency long_commands;
    /** the last error in words, cut off where it is too long; empty: there was none */
    char last_error[TPM_STATISTICS_TEXT];
} TPMBackendStatistics;

/**
 * tpmdev_backend_get_statistics: copy what is known of a TPM
 * @backend:    the backend
 * @statistics: where it goes; its @size is set
 *
 * Any thread may call it, at any time. It never waits for the TPM.
 */
TPMDEV_EXPORT
void tpmdev_backend_get_statistics(TPMBackend *backend, TPMBackendStatistics *statistics);

/** The most rows tpmdev_backend_get_command_statistics() can have. */
#define TPM_COMMAND_STATISTICS_MAX 129u

/**
 * TPMCommandStatistics: what a backend has done for the commands of one ordinal
 * @ordinal:     the ordinal; of all that the TPM's version does not know together: 0
 * @name:        what people call it, static; NULL for those together
 * @commands:    commands sent to the TPM
 * @error_codes: of these, answered with a code other than success
 * @time_ns:     how long they took together, in nanoseconds
 *
 * This struct never grows.
 */
typedef struct TPMCommandStatistics {
    uint32_t ordinal;
    const char *name;
    uint64_t commands;
    uint64_t error_codes;
    uint64_t time_ns;
} TPMCommandStatistics;

/**
 * tpmdev_backend_get_command_statistics: what a backend has done, by ordinal
 * @backend: the backend
 * @rows:    where it goes: a row for each ordinal that was sent at least once, in ascending order,
 *           then the one of the unknown ordinals together
 * @n:       how many rows there is room for; with TPM_COMMAND_STATISTICS_MAX none is left out
 *
 * Any thread may call it, at any time. It never waits for the TPM. A guest cannot make the table
 * grow by ordinals of its own invention.
 *
 * Returns how many rows there are, those beyond @n included.
 */
TPMDEV_EXPORT
size_t tpmdev_backend_get_command_statistics(TPMBackend *backend, TPMCommandStatistics *rows,
                                             size_t n);

/**
 * tpmdev_command_name: what people call a command
 * @version: of the TPM
 * @ordinal: its ordinal, a TPM 2.0's command code (Part 2, "TPM_CC") or a TPM 1.2's ordinal
 *
 * Any thread may call it. Returns a static string, such as "TPM2_GetRandom", or NULL for an ordinal
 * that is none of the version's.
 */
TPMDEV_EXPORT
const char *tpmdev_command_name(TPMVersion version, uint32_t ordinal);

/**
 * tpmdev_link_name: the link in a word
 *
 * Any thread may call it. Returns "connected", "resynchronising" or "gone"; static.
 */
TPMDEV_EXPORT
const char *tpmdev_link_name(TPMBackendLink link);

/**
 * tpmdev_error_name: a kind of error in a word or two
 *
 * Any thread may call it. Returns a static string such as "timed-out", or "other" for a number that
 * is none of TPMError's.
 */
TPMDEV_EXPORT
const char *tpmdev_error_name(unsigned error);

G_END_DECLS

#endif /* TPMDEV_STATISTICS_H */
