/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The moving guests with TPMs of libtpms, every other one of them in a `fault` backend whose fault
 * does not show; see moving-real.h.
 */
#include "fault-fixture.h"
#include "moving-real.h"

static unsigned opened;

static TPMBackend *open_libtpms(const char *directory, TPMVersion version, GError **error)
{
    TPMLibtpmsConfig config = {
        .size = sizeof(config), .id = "tpm0", .directory = directory, .version = version
    };
    TPMBackend *inner = tpmdev_backend_libtpms_new(&config, error);

    if (!inner || opened++ % 2 == 0) {
        return inner;
    }
    TPMBackend *backend = fault_wrap(inner);

    tpmdev_backend_unref(inner);
    return backend;
}

static bool is_wanted(const Subject *subject)
{
    return subject->version == TPM_VERSION_2_0 &&
           ((subject->interface == TPM_INTERFACE_TIS && subject->drtm) ||
            subject->interface == TPM_INTERFACE_SPAPR);
}

int main(void)
{
    return moving_real_run(&(MovingReal){ "fault-libtpms", open_libtpms, is_wanted });
}
