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

int main(void)
{
    return moving_real_run(&(MovingReal){ "emulator-moves", open_emulator, NULL });
}
