/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The measurement log's two forms: TCG PC Client Platform Firmware Profile, "TCG_PCR_EVENT" (SHA-1,
 * also the form of the first event of every log) and "TCG_PCR_EVENT2" (crypto-agile).
 *
 * Neighbours: guest-check.c compares the outcome with the PCRs.
 */
#include "event-log.h"

#include <string.h>

#define SHA1_SIZE    20u
#define EV_NO_ACTION 3u

#define TPM_ALG_SHA1   0x0004u
#define TPM_ALG_SHA256 0x000Bu

#define SPEC_ID_SIGNATURE "Spec ID Event03" /* 16 bytes with its NUL */
#define SPEC_ID_SIZE      16u
#define SPEC_ID_ALGS      24u /* the algorithms' count: behind platform class and versions */

#define ALGORITHMS_MAX 8u

typedef struct Reader {
    const uint8_t *data;
    size_t left;
    bool short_of; /* more was read than was there */
} Reader;

typedef struct Algorithms {
    unsigned count;
    struct {
        uint16_t id;
        uint16_t size;
    } of[ALGORITHMS_MAX];
} Algorithms;

static const uint8_t *take(Reader *reader, size_t size)
{
    if (size > reader->left) {
        reader->short_of = true;
        reader->left = 0;
        return NULL;
    }
    reader->data += size;
    reader->left -= size;
    return reader->data - size;
}

static uint32_t take_le(Reader *reader, unsigned width)
{
    const uint8_t *bytes = take(reader, width);
    uint32_t value = 0;

    for (unsigned i = width; bytes && i > 0; i--) {
        value = value << 8 | bytes[i - 1];
    }
    return value;
}

void event_log_extend(GChecksumType bank, uint8_t *pcr, const uint8_t *digest)
{
    gsize size = (gsize)g_checksum_type_get_length(bank);
    GChecksum *checksum = g_checksum_new(bank);

    g_checksum_update(checksum, pcr, (gssize)size);
    g_checksum_update(checksum, digest, (gssize)size);
    g_checksum_get_digest(checksum, pcr, &size);
    g_checksum_free(checksum);
}

static void extend(EventLogReplay *replay, GChecksumType bank, uint32_t pcr, const uint8_t *digest)
{
    event_log_extend(bank, replay->pcrs[pcr], digest);
    replay->count[pcr]++;
    replay->events++;
}

/* The SHA-1 form: PCR, type, digest, and the event's data behind its size. */
static const char *replay_sha1(Reader *reader, GChecksumType bank, EventLogReplay *replay)
{
    while (reader->left > 0) {
        uint32_t pcr = take_le(reader, 4);
        uint32_t type = take_le(reader, 4);
        const uint8_t *digest = take(reader, SHA1_SIZE);

        take(reader, take_le(reader, 4));
        if (reader->short_of) {
            return "an event is cut off";
        }
        if (pcr >= EVENT_LOG_PCRS) {
            return "an event is for a PCR that does not exist";
        }
        if (type != EV_NO_ACTION) {
            extend(replay, bank, pcr, digest);
        }
    }
    return NULL;
}

static const Algorithms *read_algorithms(Reader *spec_id, Algorithms *algorithms)
{
    take(spec_id, SPEC_ID_ALGS);
    algorithms->count = take_le(spec_id, 4);
    if (algorithms->count > ALGORITHMS_MAX) {
        return NULL;
    }
    for (unsigned i = 0; i < algorithms->count; i++) {
        algorithms->of[i].id = (uint16_t)take_le(spec_id, 2);
        algorithms->of[i].size = (uint16_t)take_le(spec_id, 2);
    }
    return spec_id->short_of ? NULL : algorithms;
}

/* One digest of an event: the bytes, for the algorithm's id; NULL when it cannot be read. */
static const uint8_t *take_digest(Reader *reader, const Algorithms *algorithms, unsigned *id)
{
    *id = take_le(reader, 2);
    for (unsigned i = 0; i < algorithms->count; i++) {
        if (algorithms->of[i].id == *id) {
            return take(reader, algorithms->of[i].size);
        }
    }
    return NULL;
}

/* The digest of this bank among those of an event. */
static const char *take_digests(Reader *reader, const Algorithms *algorithms, unsigned bank_id,
                                const uint8_t **digest)
{
    uint32_t count = take_le(reader, 4);

    *digest = NULL;
    for (uint32_t i = 0; i < count; i++) {
        unsigned id;
        const uint8_t *bytes = take_digest(reader, algorithms, &id);

        if (!bytes) {
            return "an event has a digest of an algorithm the log does not declare";
        }
        if (id == bank_id) {
            *digest = bytes;
        }
    }
    return *digest ? NULL : "an event lacks a digest for the bank";
}

/* The crypto-agile form: PCR, type, digests, and the event's data behind its size. */
static const char *replay_agile(Reader *reader, const Algorithms *algorithms, GChecksumType bank,
                                EventLogReplay *replay)
{
    unsigned bank_id = bank == G_CHECKSUM_SHA1 ? TPM_ALG_SHA1 : TPM_ALG_SHA256;

    while (reader->left > 0) {
        uint32_t pcr = take_le(reader, 4);
        uint32_t type = take_le(reader, 4);
        const uint8_t *digest;
        const char *wrong = take_digests(reader, algorithms, bank_id, &digest);

        take(reader, take_le(reader, 4));
        if (wrong) {
            return wrong;
        }
        if (reader->short_of) {
            return "an event is cut off";
        }
        if (pcr >= EVENT_LOG_PCRS) {
            return "an event is for a PCR that does not exist";
        }
        if (type != EV_NO_ACTION) {
            extend(replay, bank, pcr, digest);
        }
    }
    return NULL;
}

const char *event_log_replay(const uint8_t *log, size_t size, GChecksumType bank,
                             EventLogReplay *replay)
{
    Reader reader = { log, size, false };
    Algorithms algorithms;

    memset(replay, 0, sizeof(*replay));
    take(&reader, 4); /* PCR */
    uint32_t type = take_le(&reader, 4);

    take(&reader, SHA1_SIZE);
    uint32_t spec_id_size = take_le(&reader, 4);
    Reader spec_id = { take(&reader, spec_id_size), spec_id_size, false };

    if (reader.short_of) {
        return "the log is empty or its first event is cut off";
    }
    if (type != EV_NO_ACTION || spec_id_size < SPEC_ID_SIZE ||
        memcmp(spec_id.data, SPEC_ID_SIGNATURE, SPEC_ID_SIZE) != 0) {
        Reader whole = { log, size, false };

        return replay_sha1(&whole, bank, replay);
    }
    if (!read_algorithms(&spec_id, &algorithms)) {
        return "the log's first event declares its algorithms wrongly";
    }
    return replay_agile(&reader, &algorithms, bank, replay);
}
