/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a backend has done, in numbers; see statistics.h.
 *
 * Beside the request path: backend.c (stage 4 of 6) tells it what happens, and hands its numbers
 * to the host.
 */
#include "statistics.h"
#include "ordinals.h"

#include <string.h>

G_STATIC_ASSERT(TPM_ORDINALS_MAX < TPM_COMMAND_STATISTICS_MAX);

void tpm_statistics_init(TPMStatistics *statistics, TPMVersion version)
{
    *statistics = (TPMStatistics){ .version = version };
    tpm_ordinals(version, &statistics->n);
    statistics->counts = g_new0(TPMOrdinalCount, statistics->n + 1);
}

void tpm_statistics_clear(TPMStatistics *statistics)
{
    g_free(statistics->counts);
}

/* ---- what happens ---- */

void tpm_statistics_sent(TPMStatistics *statistics, uint32_t ordinal, bool is_timed, int64_t now_ns)
{
    statistics->row = tpm_ordinal_find(statistics->version, ordinal);
    statistics->is_timed = is_timed;
    statistics->total.ordinal = ordinal;
    statistics->total.sent_ns = is_timed ? now_ns : 0;
    statistics->total.commands++;
    statistics->counts[statistics->row].commands++;
}

void tpm_statistics_responded(TPMStatistics *statistics, uint32_t code)
{
    statistics->total.responses++;
    if (code != 0) {
        statistics->total.error_codes++;
        statistics->counts[statistics->row].error_codes++;
    }
}

void tpm_statistics_not_responded(TPMStatistics *statistics)
{
    statistics->is_timed = false;
    statistics->total.failed_commands++;
}

static void latency_add(TPMLatency *latency, uint64_t ns)
{
    uint64_t us = ns / 1000;
    unsigned bucket = us > 0 ? 64 - (unsigned)__builtin_clzll(us) : 0;

    latency->buckets[MIN(bucket, TPM_LATENCY_BUCKETS - 1)]++;
    latency->sum_ns += ns;
    latency->max_ns = MAX(latency->max_ns, ns);
}

void tpm_statistics_answered(TPMStatistics *statistics, int64_t now_ns)
{
    TPMBackendStatistics *total = &statistics->total;
    size_t n;
    const TPMOrdinal *ordinals = tpm_ordinals(statistics->version, &n);
    bool is_short = statistics->row < n && ordinals[statistics->row].is_short;

    if (!statistics->is_timed) {
        return;
    }
    /* A host's clock may be its guest's, which can be set back. */
    uint64_t ns = now_ns > total->sent_ns ? (uint64_t)(now_ns - total->sent_ns) : 0;

    statistics->is_timed = false;
    latency_add(is_short ? &total->short_commands : &total->long_commands, ns);
    statistics->counts[statistics->row].time_ns += ns;
    total->last_response_ns = now_ns;
}

/* As much of a message as there is room for, and no half of a character. */
static void copy_text(char text[TPM_STATISTICS_TEXT], const char *message)
{
    const char *end;

    g_strlcpy(text, message, TPM_STATISTICS_TEXT);
    if (!g_utf8_validate(text, -1, &end)) {
        text[end - text] = '\0';
    }
}

void tpm_statistics_error(TPMStatistics *statistics, const GError *error)
{
    bool has_kind = error->domain == TPMDEV_ERROR && error->code >= 0 &&
                    error->code < (int)TPM_STATISTICS_ERRORS - 1;

    statistics->total.errors[has_kind ? (unsigned)error->code : TPM_STATISTICS_ERRORS - 1]++;
    copy_text(statistics->total.last_error, error->message);
}

/* ---- what is told of it ---- */

size_t tpm_statistics_rows(const TPMStatistics *statistics, TPMCommandStatistics *rows, size_t n)
{
    size_t total, found = 0;
    const TPMOrdinal *ordinals = tpm_ordinals(statistics->version, &total);

    for (size_t i = 0; i <= total; i++) {
        const TPMOrdinalCount *count = &statistics->counts[i];

        if (count->commands == 0) {
            continue;
        }
        if (found < n) {
            rows[found] = (TPMCommandStatistics){
                .ordinal = i < total ? ordinals[i].ordinal : 0,
                .name = i < total ? ordinals[i].name : NULL,
                .commands = count->commands,
                .error_codes = count->error_codes,
                .time_ns = count->time_ns,
            };
        }
        found++;
    }
    return found;
}

const char *tpmdev_link_name(TPMBackendLink link)
{
    switch (link) {
    case TPM_LINK_CONNECTED:
        return "connected";
    case TPM_LINK_RESYNCHRONISING:
        return "resynchronising";
    case TPM_LINK_GONE:
        break;
    }
    return "gone";
}

const char *tpmdev_error_name(unsigned error)
{
    switch ((TPMError)error) {
    case TPM_ERROR_INVALID_OPTION:
        return "invalid-option";
    case TPM_ERROR_MISSING_OPTION:
        return "missing-option";
    case TPM_ERROR_NOT_FOUND:
        return "not-found";
    case TPM_ERROR_IN_USE:
        return "in-use";
    case TPM_ERROR_IO:
        return "io";
    case TPM_ERROR_TIMED_OUT:
        return "timed-out";
    case TPM_ERROR_PROTOCOL:
        return "protocol";
    case TPM_ERROR_UNSUPPORTED:
        return "unsupported";
    case TPM_ERROR_STATE_DAMAGED:
        return "state-damaged";
    case TPM_ERROR_STATE_MISMATCH:
        return "state-mismatch";
    case TPM_ERROR_TPM:
        return "tpm";
    }
    return "other";
}
