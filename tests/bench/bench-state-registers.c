/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What saving and loading takes of each kind of device without its TPM's part: before a `null`
 * backend, which has no state.
 */
#include "moved-device.h"

static bool no_dma_read(void *opaque, uint64_t address, void *data, size_t size)
{
    (void)opaque;
    (void)address;
    (void)data;
    (void)size;
    return false;
}

static bool no_dma_write(void *opaque, uint64_t address, const void *data, size_t size)
{
    (void)opaque;
    (void)address;
    (void)data;
    (void)size;
    return false;
}

static bool no_send_crq(void *opaque, const uint8_t message[16])
{
    (void)opaque;
    (void)message;
    return false;
}

static const struct {
    const char *name;
    TPMInterface interface;
} kinds[] = {
    { "tpm-tis", TPM_INTERFACE_TIS },         { "tpm-tis-i2c", TPM_INTERFACE_TIS_I2C },
    { "tpm-tis-spi", TPM_INTERFACE_TIS_SPI }, { "tpm-crb", TPM_INTERFACE_CRB },
    { "tpm-spapr", TPM_INTERFACE_SPAPR },
};

static bool device_open(MovedDevice *moved, size_t kind)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    TPMHost host = TPM_HOST_INIT;
    g_autoptr(GError) error = NULL;
    TPMBackend *backend = tpmdev_backend_null_new("tpm0", TPM_VERSION_2_0, &error);

    if (!backend) {
        return bench_fail("%s", error->message);
    }
    host.dma_read = no_dma_read;
    host.dma_write = no_dma_write;
    host.send_crq = no_send_crq;
    config.interface = kinds[kind].interface;
    moved->device = tpmdev_device_new(&config, backend, &host, NULL, &error);
    tpmdev_backend_unref(backend);
    return moved->device ? moved_device_run(moved, &move_save) : bench_fail("%s", error->message);
}

static void say_sizes(const MovedDevice *moved)
{
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        uint64_t stream, blobs;

        moved_device_sizes(&moved[i], &stream, &blobs);
        bench_say("%s + null: %" G_GUINT64_FORMAT " bytes", kinds[i].name, stream);
    }
}

BenchResult bench_state_registers(const BenchOptions *options)
{
    const BenchCommand *const commands[] = { &move_save, &move_load };
    const BenchPlan plan = { options->quick ? 3 : 100, options->quick ? 5 : 50, 0 };
    BenchVariant variants[G_N_ELEMENTS(kinds)] = { { NULL } };
    MovedDevice moved[G_N_ELEMENTS(kinds)] = { { NULL, NULL } };
    bool good = true;

    for (size_t i = 0; i < G_N_ELEMENTS(kinds) && good; i++) {
        good = device_open(&moved[i], i);
        variants[i] = (BenchVariant){ .name = kinds[i].name, moved_device_run, .self = &moved[i] };
    }
    if (good) {
        say_sizes(moved);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(commands) && good; i++) {
        good = bench_compare(variants, G_N_ELEMENTS(kinds), commands[i], &plan);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        bench_variant_clear(&variants[i]);
        moved_device_clear(&moved[i]);
    }
    return good ? BENCH_OK : BENCH_FAILED;
}
