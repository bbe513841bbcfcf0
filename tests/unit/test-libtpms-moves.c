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

int main(void)
{
    return moving_real_run(&(MovingReal){ "libtpms-moves", open_libtpms, NULL });
}
