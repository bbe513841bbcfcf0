/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How a device's request is saved and restored: the sections `request` and `hash`
 * (docs/state-format.rst). Beside request.c and hash.c.
 *
 * What the TPM has is never among it: device-state.c waits for its end. What the TPM has not seen
 * yet is: a command, a power cycle, a hash sequence whose bytes wait.
 */
#include "command.h"
#include "device-internal.h"

#include <string.h>

#define SECTION       "request"
#define VERSION       1u
#define TYPE          "(byaybby)"
#define FIELD_COMMAND 2u

#define HASH_SECTION    "hash"
#define HASH_VERSION    1u
#define HASH_TYPE       "(ybbbbay)"
#define HASH_FIELD_DATA 5u

/* ---- saving ---- */

static void save_hash(const TPMHash *hash, TPMStateWriter *writer)
{
    g_autofree uint8_t *waiting = g_malloc(TPM_HASH_MEMORY);

    for (size_t i = 0; i < hash->used; i++) {
        waiting[i] = hash->memory[(hash->first + i) % TPM_HASH_MEMORY];
    }
    tpm_state_writer_add(writer, HASH_SECTION, HASH_VERSION,
                         g_variant_new("(ybbbb@ay)", hash->state, hash->begun, hash->spoilt,
                                       hash->marked, hash->tpm_open,
                                       tpm_state_bytes(waiting, hash->used)));
}

void tpm_request_save(const TPMDevice *device, TPMStateWriter *writer)
{
    const TPMRequest *request = &device->request;
    bool waits = request->state == REQUEST_WAITING;

    tpm_state_writer_add(
        writer, SECTION, VERSION,
        g_variant_new("(by@aybby)", waits, waits ? request->locality : 0,
                      tpm_state_bytes(request->command, waits ? request->size : 0),
                      request->start_wanted, request->reset_established_wanted,
                      request->reset_established_wanted ? request->reset_established_locality : 0));
    if (device->config.drtm) {
        save_hash(&request->hash, writer);
    }
}

/* ---- reading ---- */

static bool wrong(GError **error, const char *section, const char *field)
{
    return tpm_state_field_wrong(error, section, field);
}

/* A command is one that could have been submitted: request.c sends it without another look. */
static bool check_request(const TPMDevice *device, const TPMSavedRequest *saved, GError **error)
{
    uint8_t unsetting = saved->reset_established_locality;
    uint32_t reject_code;

    if (saved->locality > 4) {
        return wrong(error, SECTION, "locality");
    }
    if (saved->waits
            ? saved->size > device->request.buffer_size ||
                  !tpm_command_check(device->version, saved->command, saved->size, &reject_code)
            : saved->size > 0 || saved->locality > 0) {
        return wrong(error, SECTION, "command");
    }
    if (saved->reset_established_wanted ? unsetting != 3 && unsetting != 4 : unsetting != 0) {
        return wrong(error, SECTION, "reset-established-locality");
    }
    return true;
}

/* What tpm_hash_load() relies on. A sequence the TPM knows nothing of has nothing marked. */
static bool check_hash(const TPMSavedRequest *saved, GError **error)
{
    bool none = saved->hash == HASH_NONE;

    if (saved->hash > HASH_CLOSING ||
        (none && (saved->begun || saved->spoilt || saved->marked || saved->tpm_open))) {
        return wrong(error, HASH_SECTION, "state");
    }
    if (saved->begun && !saved->tpm_open) {
        return wrong(error, HASH_SECTION, "tpm-open");
    }
    if (saved->hash_size > (none ? 0 : TPM_HASH_MEMORY)) {
        return wrong(error, HASH_SECTION, "data");
    }
    return true;
}

static bool parse_hash(TPMStateReader *reader, TPMSavedRequest *saved, GError **error)
{
    GVariant *content =
        tpm_state_reader_section(reader, HASH_SECTION, HASH_VERSION, HASH_TYPE, error);
    gboolean begun, spoilt, marked, tpm_open;
    guint8 state;

    if (!content) {
        return false;
    }
    g_variant_get(content, "(ybbbb@*)", &state, &begun, &spoilt, &marked, &tpm_open, NULL);
    saved->hash = (TPMHashState)state;
    saved->begun = begun;
    saved->spoilt = spoilt;
    saved->marked = marked;
    saved->tpm_open = tpm_open;
    saved->hash_data = tpm_state_get_bytes(content, HASH_FIELD_DATA, &saved->hash_size);
    return check_hash(saved, error);
}

bool tpm_request_parse(const TPMDevice *device, TPMStateReader *reader, TPMSavedRequest *saved,
                       GError **error)
{
    GVariant *content = tpm_state_reader_section(reader, SECTION, VERSION, TYPE, error);
    gboolean waits, start_wanted, reset_established_wanted;

    if (!content) {
        return false;
    }
    *saved = (TPMSavedRequest){ .hash = HASH_NONE };
    g_variant_get(content, "(by@*bby)", &waits, &saved->locality, NULL, &start_wanted,
                  &reset_established_wanted, &saved->reset_established_locality);
    saved->waits = waits;
    saved->start_wanted = start_wanted;
    saved->reset_established_wanted = reset_established_wanted;
    saved->command = tpm_state_get_bytes(content, FIELD_COMMAND, &saved->size);
    return check_request(device, saved, error) &&
           (!device->config.drtm || parse_hash(reader, saved, error));
}

/* ---- restoring ---- */

static void restore_hash(TPMHash *hash, const TPMSavedRequest *saved)
{
    hash->state = saved->hash;
    hash->begun = saved->begun;
    hash->spoilt = saved->spoilt;
    hash->marked = saved->marked;
    hash->tpm_open = saved->tpm_open;
    hash->first = 0;
    hash->used = saved->hash_size;
    if (saved->hash_size > 0) {
        memcpy(hash->memory, saved->hash_data, saved->hash_size);
    }
}

void tpm_request_restore(TPMDevice *device, const TPMSavedRequest *saved)
{
    TPMRequest *request = &device->request;

    tpm_request_abandon(device);
    request->prompt = false;
    request->locality = saved->locality;
    request->size = saved->size;
    if (saved->waits) {
        memcpy(request->command, saved->command, saved->size);
        request->state = REQUEST_WAITING;
    }
    request->start_wanted = saved->start_wanted;
    request->reset_established_wanted = saved->reset_established_wanted;
    request->reset_established_locality = saved->reset_established_locality;
    restore_hash(&request->hash, saved);
}
