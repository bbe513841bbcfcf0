/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The D-RTM hash sequence on its way to the TPM (TCG PC Client TPM Interface Specification 1.3 and
 * Platform TPM Profile, "TPM_HASH_START", "TPM_HASH_DATA", "TPM_HASH_END"); see hash.h.
 *
 * While a sequence is open the TPM gets its data in whole chunks, and what is left over with the
 * end. It cannot tell: a digest does not depend on how its data is cut.
 *
 * From tis-drtm.c (stage 2), beside request.c (stages 3 and 5), to backends/tpm/backend.c
 * (stage 4).
 */
#include "hash.h"
#include "command.h"
#include "device-internal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

bool tpm_hash_enable(TPMHash *hash, GError **error)
{
    if (getentropy(hash->secret, sizeof(hash->secret)) != 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO,
                    "drtm=on needs random bytes, and there are none: %s", g_strerror(errno));
        return false;
    }
    hash->memory = g_malloc(TPM_HASH_MEMORY);
    return true;
}

void tpm_hash_clear(TPMHash *hash)
{
    g_clear_pointer(&hash->memory, g_free);
}

/* ---- what was written, with the device's lock held ---- */

/* Leave the sequence; the step of it that the TPM is taking concerns nobody any more. */
static void leave_sequence(TPMDevice *device, TPMHashState next)
{
    TPMHash *hash = &device->request.hash;

    hash->state = next;
    hash->begun = false;
    hash->spoilt = false;
    hash->marked = false;
    hash->first = 0;
    hash->used = 0;
}

void tpm_hash_start(TPMDevice *device)
{
    switch (device->request.hash.state) {
    case HASH_NONE:
    case HASH_OPEN:
    case HASH_CLOSING:
        leave_sequence(device, HASH_OPEN);
        break;
    }
}

static void collect(TPMDevice *device, uint8_t byte)
{
    TPMHash *hash = &device->request.hash;

    if (tpm_hash_room(hash) > 0) {
        hash->memory[(hash->first + hash->used++) % TPM_HASH_MEMORY] = byte;
    } else if (!hash->spoilt) {
        hash->spoilt = true;
        tpm_report_guest_error(device, "TPM_HASH_DATA written beyond the burst count; the "
                                       "measurement is spoilt");
    }
}

void tpm_hash_data(TPMDevice *device, uint8_t byte)
{
    switch (device->request.hash.state) {
    case HASH_OPEN:
        collect(device, byte);
        break;
    case HASH_NONE:
    case HASH_CLOSING:
        tpm_report_guest_error(device, "TPM_HASH_DATA written outside of a hash sequence");
        break;
    }
}

void tpm_hash_end(TPMDevice *device)
{
    TPMHash *hash = &device->request.hash;

    switch (hash->state) {
    case HASH_OPEN:
        hash->state = HASH_CLOSING;
        break;
    case HASH_NONE:
    case HASH_CLOSING:
        tpm_report_guest_error(device, "TPM_HASH_END written outside of a hash sequence");
        break;
    }
}

/* None once the sequence is spoilt: what comes after a gap is no use. */
size_t tpm_hash_room(const TPMHash *hash)
{
    return hash->state == HASH_OPEN && !hash->spoilt ? TPM_HASH_MEMORY - hash->used : 0;
}

void tpm_hash_reset(TPMDevice *device)
{
    leave_sequence(device, HASH_NONE);
    device->request.hash.tpm_open = false;
}

/* ---- steps ---- */

bool tpm_hash_is_due(const TPMHash *hash)
{
    switch (hash->state) {
    case HASH_NONE:
        break;
    case HASH_OPEN:
        return !hash->begun || hash->used >= TPM_HASH_CHUNK_MAX;
    case HASH_CLOSING:
        return true;
    }
    return false;
}

static void load(TPMDevice *device, TPMHashStep step, const uint8_t *data, size_t size)
{
    TPMHash *hash = &device->request.hash;

    hash->step = step;
    hash->tpm_open = step != TPM_HASH_END;
    tpm_backend_load_hash(device->backend, step, data, size);
}

static void load_data(TPMDevice *device)
{
    TPMHash *hash = &device->request.hash;
    size_t size = MIN(hash->used, TPM_HASH_CHUNK_MAX);

    load(device, TPM_HASH_DATA, hash->memory + hash->first, size);
    hash->used -= size;
    hash->first = (hash->first + TPM_HASH_CHUNK_MAX) % TPM_HASH_MEMORY;
}

/* In place of what was lost: nobody who knows what was written knows the digest. */
static void load_secret(TPMDevice *device)
{
    TPMHash *hash = &device->request.hash;
    uint8_t data[TPM_HASH_SECRET_SIZE + 8];

    hash->marked = true;
    hash->marks++;
    memcpy(data, hash->secret, TPM_HASH_SECRET_SIZE);
    tpm_put_be32(data + TPM_HASH_SECRET_SIZE, (uint32_t)(hash->marks >> 32));
    tpm_put_be32(data + TPM_HASH_SECRET_SIZE + 4, (uint32_t)hash->marks);
    load(device, TPM_HASH_DATA, data, sizeof(data));
}

/* An end that says what the TPM has got is not all. */
static void load_spoilt_end(TPMDevice *device)
{
    if (device->request.hash.marked) {
        device->request.hash.marked = false;
        load(device, TPM_HASH_END, NULL, 0);
    } else {
        load_secret(device);
    }
}

void tpm_hash_load(TPMDevice *device)
{
    TPMHash *hash = &device->request.hash;

    if (!hash->begun && hash->tpm_open) {
        load_spoilt_end(device); /* of the sequence before */
    } else if (!hash->begun) {
        hash->begun = true;
        load(device, TPM_HASH_START, NULL, 0);
    } else if (hash->used > 0) {
        load_data(device);
    } else if (hash->spoilt) {
        load_spoilt_end(device);
    } else {
        load(device, TPM_HASH_END, NULL, 0);
    }
}

static void finish(TPMDevice *device, bool measured)
{
    if (measured) {
        device->statistics.measurements++;
    } else {
        device->statistics.failed_measurements++;
    }
    leave_sequence(device, HASH_NONE);
    device->frontend->hashed(device->model);
}

void tpm_hash_stepped(TPMDevice *device, const GError *error)
{
    TPMHash *hash = &device->request.hash;

    if (error) {
        hash->tpm_open = false;
    }
    if (!hash->begun) {
        return; /* the next step, if there is one, is that of another sequence */
    }
    if (error) {
        finish(device, false);
    } else if (hash->step == TPM_HASH_END) {
        finish(device, !hash->spoilt);
    }
}

G_STATIC_ASSERT(TPM_HASH_MEMORY % TPM_HASH_CHUNK_MAX == 0);
G_STATIC_ASSERT(TPM_HASH_SECRET_SIZE + 8 <= TPM_HASH_CHUNK_MAX);
