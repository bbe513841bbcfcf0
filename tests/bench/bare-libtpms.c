/* SPDX-License-Identifier: BSD-3-Clause */
/* libtpms by its library interface (libtpms/tpm_library.h) and nothing else; see bare-libtpms.h. */
#include "bare-libtpms.h"

#include <libtpms/tpm_error.h>
#include <libtpms/tpm_library.h>
#include <libtpms/tpm_nvfilename.h>
#include <stdlib.h>
#include <string.h>

/* ---- its storage ---- */

static struct {
    unsigned char *bytes;
    uint32_t size;
} permanent;

static TPM_RESULT on_init(void)
{
    return TPM_SUCCESS;
}

static TPM_RESULT on_load(unsigned char **data, uint32_t *length, uint32_t tpm_number,
                          const char *name)
{
    (void)tpm_number;
    if (strcmp(name, TPM_PERMANENT_ALL_NAME) != 0 || !permanent.bytes) {
        return TPM_RETRY;
    }
    *data = malloc(permanent.size);
    memcpy(*data, permanent.bytes, permanent.size);
    *length = permanent.size;
    return TPM_SUCCESS;
}

static TPM_RESULT on_store(const unsigned char *data, uint32_t length, uint32_t tpm_number,
                           const char *name)
{
    (void)tpm_number;
    if (strcmp(name, TPM_PERMANENT_ALL_NAME) == 0) {
        permanent.bytes = g_realloc(permanent.bytes, length);
        memcpy(permanent.bytes, data, length);
        permanent.size = length;
    }
    return TPM_SUCCESS;
}

static TPM_RESULT on_delete(uint32_t tpm_number, const char *name, TPM_BOOL must_exist)
{
    (void)tpm_number;
    (void)name;
    (void)must_exist;
    return TPM_SUCCESS;
}

static TPM_RESULT on_get_locality(TPM_MODIFIER_INDICATOR *locality, uint32_t tpm_number)
{
    (void)tpm_number;
    *locality = 0;
    return TPM_SUCCESS;
}

static TPM_RESULT on_get_physical_presence(TPM_BOOL *presence, uint32_t tpm_number)
{
    (void)tpm_number;
    *presence = FALSE;
    return TPM_SUCCESS;
}

static struct libtpms_callbacks callbacks = {
    .sizeOfStruct = sizeof(callbacks),
    .tpm_nvram_init = on_init,
    .tpm_nvram_loaddata = on_load,
    .tpm_nvram_storedata = on_store,
    .tpm_nvram_deletename = on_delete,
    .tpm_io_init = on_init,
    .tpm_io_getlocality = on_get_locality,
    .tpm_io_getphysicalpresence = on_get_physical_presence,
};

/* ---- what it does ---- */

bool bare_libtpms_run(void *self, const BenchCommand *command)
{
    BareLibtpms *tpm = self;
    unsigned char bytes[128]; /* libtpms may change the command */

    memcpy(bytes, command->bytes, command->size);
    return TPMLIB_Process(&tpm->response, &tpm->size, &tpm->capacity, bytes,
                          (uint32_t)command->size) == TPM_SUCCESS &&
           bench_response_is_good(command, tpm->response, tpm->size);
}

bool bare_libtpms_open(void *tpm)
{
    TPMLIB_ChooseTPMVersion(TPMLIB_TPM_VERSION_2);
    TPMLIB_RegisterCallbacks(&callbacks);
    return TPMLIB_MainInit() == TPM_SUCCESS && bare_libtpms_run(tpm, &bench_startup);
}
