/* SPDX-License-Identifier: BSD-3-Clause */
/* The moving guests with TPMs of libtpms; see moving-real.h. */
#include "moving-real.h"

static TPMBackend *open_libtpms(const char *directory, TPMVersion version, GError **error)
{
    TPMLibtpmsConfig config = {
        .size = sizeof(config),
        .id = "tpm0",
        .directory = directory,
        .version = version,
    };

    return tpmdev_backend_libtpms_new(&config, error);
}

/* What is the same to a TPM is moved once. */
static bool is_wanted(const Subject *subject)
{
    switch (subject->interface) {
    case TPM_INTERFACE_TIS:
        return subject->drtm;
    case TPM_INTERFACE_TIS_SYSBUS:
        return false;
    case TPM_INTERFACE_TIS_I2C:
    case TPM_INTERFACE_TIS_SPI:
        return subject->version == TPM_VERSION_2_0;
    case TPM_INTERFACE_CRB:
    case TPM_INTERFACE_SPAPR:
        break;
    }
    return true;
}

int main(void)
{
    return moving_real_run(&(MovingReal){ "libtpms-moves", open_libtpms, is_wanted });
}
