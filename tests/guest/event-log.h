/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The firmware's measurement log, replayed: extend zeroed PCRs by every event of the log and the
 * result is what the TPM's PCRs must be.
 */
#ifndef EVENT_LOG_H
#define EVENT_LOG_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EVENT_LOG_PCRS 24u

typedef struct EventLogReplay {
    unsigned events;                  /* that extend a PCR */
    unsigned count[EVENT_LOG_PCRS];   /* of them, by PCR */
    uint8_t pcrs[EVENT_LOG_PCRS][32]; /* digest_size() bytes of each are used */
} EventLogReplay;

/*
 * Replay for one bank. A log that begins with a "Spec ID Event03" is of the crypto-agile form of
 * TPM 2.0, any other of the SHA-1 form of TPM 1.2, which has no other bank. Returns NULL, or what
 * is wrong with the log: static.
 */
const char *event_log_replay(const uint8_t *log, size_t size, GChecksumType bank,
                             EventLogReplay *replay);

/* pcr = H(pcr || digest), digest of the bank's size */
void event_log_extend(GChecksumType bank, uint8_t *pcr, const uint8_t *digest);

#endif /* EVENT_LOG_H */
