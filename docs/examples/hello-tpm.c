/* SPDX-License-Identifier: BSD-3-Clause */
#include <tpmdev/tpmdev.h>

static void set_irq(void *opaque, bool level)
{
    g_print("interrupt line of %s is %s\n", (const char *)opaque, level ? "high" : "low");
}

static void guest_sends(TPMDevice *tpm, uint8_t code, uint8_t parameter, uint64_t *response)
{
    const uint8_t command[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, code, 0, parameter };
    tpmdev_device_write(tpm, 0x00, 1, 0x02);       /* TPM_ACCESS: requestUse */
    tpmdev_device_write(tpm, 0x08, 4, 0x80000001); /* TPM_INT_ENABLE: dataAvail */
    tpmdev_device_write(tpm, 0x18, 1, 0x40);       /* TPM_STS: commandReady */
    for (size_t i = 0; i < sizeof(command); i++)
        tpmdev_device_write(tpm, 0x24, 1, command[i]); /* TPM_DATA_FIFO */
    tpmdev_device_write(tpm, 0x18, 1, 0x20);           /* TPM_STS: tpmGo */
    while (!tpmdev_device_get_irq_level(tpm))
        g_thread_yield();                    /* a guest would sleep until its interrupt */
    tpmdev_device_write(tpm, 0x10, 4, 0x87); /* TPM_INT_STATUS: seen */
    for (int i = 0; i < 5; i++)
        tpmdev_device_read(tpm, 0x24, 4, &response[i]); /* TPM_DATA_FIFO, 4 bytes at a time */
}

int main(int argc, char **argv)
{
    TPMLibtpmsConfig config = { sizeof(config), "tpm0", argv[1], TPM_VERSION_2_0 };
    TPMHost host = { sizeof(host), set_irq };
    GError *error = NULL;
    TPMBackend *backend = tpmdev_backend_libtpms_new(&config, &error);
    TPMDevice *tpm = backend ? tpmdev_device_new(NULL, backend, &host, "tpm0", &error) : NULL;
    if (!tpm)
        return g_printerr("%s\n", error->message), 1;
    uint64_t response[5];                /* three words of header and size, two of random bytes */
    guest_sends(tpm, 0x44, 0, response); /* TPM2_Startup */
    guest_sends(tpm, 0x7B, 8, response); /* TPM2_GetRandom */
    g_print("random: %08x%08x\n", (unsigned)response[3], (unsigned)response[4]);
    tpmdev_device_free(tpm);
    tpmdev_backend_unref(backend);
}
