/* SPDX-License-Identifier: BSD-3-Clause */
/* A hostile TPM for fuzz targets; see fuzz-tpm.h. */
#include "fuzz-tpm.h"

/* ---- what every hostile TPM has ---- */

void put_be32(uint8_t *p, size_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        p[i] = (uint8_t)(value >> 8 * (3 - i));
    }
}

size_t fuzz_response(TPMVersion version, size_t agreed, uint8_t *response, size_t size)
{
    size = CLAMP(size, TPM_HEADER_SIZE, agreed);
    tpmdev_failure_response(version, response);
    put_be32(response + 2, size);
    memset(response + TPM_HEADER_SIZE, 0x5A, size - TPM_HEADER_SIZE);
    return size;
}

void fuzz_check_command(const TPMCommand *command, size_t agreed)
{
    uint8_t size[4];

    FUZZ_CHECK(command->size >= TPM_HEADER_SIZE && command->size <= agreed);
    put_be32(size, command->size);
    FUZZ_CHECK(memcmp(size, command->data + 2, sizeof(size)) == 0);
}

void fuzz_no_irq(void *opaque, bool level)
{
    (void)opaque;
    (void)level;
    FUZZ_CHECK(false);
}

/* ---- what it answers ---- */

void fuzz_tpm_complete(FuzzTPM *tpm, size_t size)
{
    uint8_t response[TPM_BUFFER_SIZE_MAX];

    size = fuzz_response(tpm->version, tpm->agreed, response, size);
    tpm->executing = false;
    tpmdev_backend_complete(tpm->backend, response, size);
}

void fuzz_tpm_started(FuzzTPM *tpm)
{
    tpm->starting = false;
    tpmdev_backend_started(tpm->backend);
}

void fuzz_tpm_fail(FuzzTPM *tpm)
{
    g_autoptr(GError) error = g_error_new(TPMDEV_ERROR, TPM_ERROR_TPM, "the TPM has failed");

    tpm->starting = tpm->executing = false;
    tpmdev_backend_failed(tpm->backend, error);
}

void fuzz_tpm_settle(FuzzTPM *tpm)
{
    while (tpm->starting || tpm->executing) {
        if (tpm->starting) {
            fuzz_tpm_started(tpm);
        } else {
            fuzz_tpm_complete(tpm, TPM_HEADER_SIZE);
        }
    }
}

/* ---- the class ---- */

static void fake_start(void *self, size_t buffer_size)
{
    FuzzTPM *tpm = self;

    FUZZ_CHECK(!tpm->starting && !tpm->executing);
    FUZZ_CHECK(buffer_size >= TPM_BUFFER_SIZE_MIN);
    FUZZ_CHECK(buffer_size <= tpmdev_backend_get_buffer_size(tpm->backend));
    tpm->agreed = buffer_size;
    tpm->starting = true;
    if (tpm->start_inline) {
        fuzz_tpm_started(tpm);
    }
}

static void fake_submit(void *self, const TPMCommand *command, bool linger)
{
    FuzzTPM *tpm = self;

    (void)linger;
    FUZZ_CHECK(!tpm->starting && !tpm->executing);
    fuzz_check_command(command, tpm->agreed);
    tpm->executing = true;
    tpm->submitted(tpm->owner, command);
}

static void fake_cancel(void *self)
{
    FuzzTPM *tpm = self;

    FUZZ_CHECK(tpm->executing);
}

static void fake_destroy(void *self)
{
    (void)self;
}

static const TPMBackendClass fake_class = {
    .size = sizeof(TPMBackendClass),
    .type = "fake",
    .start = fake_start,
    .submit = fake_submit,
    .cancel = fake_cancel,
    .destroy = fake_destroy,
};

void fuzz_tpm_new(FuzzTPM *tpm, size_t buffer_size)
{
    TPMBackendInfo info = { sizeof(info), tpm->version, buffer_size, false };

    tpm->backend = tpmdev_backend_new(&fake_class, "tpm0", &info, tpm, NULL);
    FUZZ_CHECK(tpm->backend);
}
