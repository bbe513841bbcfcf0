/* SPDX-License-Identifier: BSD-3-Clause */
/* The moving guests with TPMs of swtpm, each one started for it; see moving-real.h. */
#include "moving-real.h"

static TPMBackend *open_emulator(const char *directory, TPMVersion version, GError **error)
{
    TPMEmulatorConfig config = {
        .size = sizeof(config),
        .id = "tpm0",
        .spawn = true,
        .directory = directory,
        .version = version,
    };

    return tpmdev_backend_emulator_new(&config, error);
}

/*
 * Front ends that differ in what they do with a TPM; libtpms-moves has the others, with the same
 * TPMs. A TPM 1.2 makes an RSA key at every power-on: real-state moves one.
 */
static bool is_wanted(const Subject *subject)
{
    switch (subject->interface) {
    case TPM_INTERFACE_TIS:
        return subject->drtm && subject->version == TPM_VERSION_2_0;
    case TPM_INTERFACE_CRB:
        return subject->localities;
    case TPM_INTERFACE_SPAPR:
        return subject->version == TPM_VERSION_2_0;
    case TPM_INTERFACE_TIS_SYSBUS:
    case TPM_INTERFACE_TIS_I2C:
    case TPM_INTERFACE_TIS_SPI:
        break;
    }
    return false;
}

int main(void)
{
    return moving_real_run(&(MovingReal){ "emulator-moves", open_emulator, is_wanted });
}
