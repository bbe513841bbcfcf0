/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any bytes as saved state, for every kind of device: the first byte says which, the rest is the
 * body of a stream, or the whole of one. The header with its digest is written here, for nobody who
 * means harm would get that wrong.
 *
 * What is refused says why, and leaves the device as it was; in what is taken a guest can do all it
 * likes, and it can be saved and loaded again.
 */
#include "input.h"
#include <tpmdev/tpmdev.h>

#define HEADER_SIZE 48u
#define DIGEST_AT   16u
#define WHOLE       0x80u /* of the first byte: no header is written */

/* ---- the TPM, which takes every state ---- */

typedef struct FuzzTPM {
    TPMBackend *backend;
    TPMVersion version;
    size_t agreed;
    bool sequence;
    bool unsure; /* whether there is one: a stream says so to the device alone */
    bool destroyed;
} FuzzTPM;

static void fuzz_start(void *self, size_t buffer_size)
{
    FuzzTPM *tpm = self;

    tpm->agreed = buffer_size;
    tpm->sequence = tpm->unsure = false;
    tpmdev_backend_started(tpm->backend);
}

static void fuzz_submit(void *self, const TPMCommand *command, bool linger)
{
    FuzzTPM *tpm = self;
    uint8_t response[TPM_HEADER_SIZE];

    (void)linger;
    FUZZ_CHECK((tpm->unsure || !tpm->sequence) && command->locality <= 4);
    FUZZ_CHECK(command->size >= TPM_HEADER_SIZE && command->size <= tpm->agreed);
    FUZZ_CHECK((size_t)(command->data[4] << 8 | command->data[5]) == command->size);
    tpmdev_failure_response(tpm->version, response);
    tpmdev_backend_complete(tpm->backend, response, sizeof(response));
}

static void fuzz_reset_established(void *self, uint8_t locality)
{
    FuzzTPM *tpm = self;

    FUZZ_CHECK(locality == 3 || locality == 4);
    tpmdev_backend_set_established(tpm->backend, false);
}

static void fuzz_hash(void *self, TPMHashStep step, const uint8_t *data, size_t size)
{
    FuzzTPM *tpm = self;

    FUZZ_CHECK(tpm->unsure || tpm->sequence == (step != TPM_HASH_START));
    FUZZ_CHECK((step == TPM_HASH_DATA) == (size > 0) && (size > 0) == (data != NULL));
    FUZZ_CHECK(size <= TPM_HASH_CHUNK_MAX);
    tpm->sequence = step != TPM_HASH_END;
    tpm->unsure = false;
    tpmdev_backend_hashed(tpm->backend);
}

static void fuzz_save(void *self)
{
    FuzzTPM *tpm = self;
    TPMState state = { .size = sizeof(state), .permanent = { "fuzz", 4, 0 }, .writer = "fuzz" };

    tpmdev_backend_saved(tpm->backend, &state);
}

static void fuzz_load(void *self, size_t buffer_size, const TPMState *state)
{
    FuzzTPM *tpm = self;

    FUZZ_CHECK(state->permanent.size <= TPM_STATE_BLOB_SIZE_MAX);
    FUZZ_CHECK(!state->permanent.data == (state->permanent.size == 0));
    FUZZ_CHECK(g_utf8_validate(state->writer, -1, NULL));
    tpm->agreed = buffer_size;
    tpm->unsure = true;
    tpmdev_backend_loaded(tpm->backend);
}

static void fuzz_destroy(void *self)
{
    ((FuzzTPM *)self)->destroyed = true;
}

/* The type is that of the streams in tests/data/state, from which the corpus is made. */
static const TPMBackendClass fuzz_class = {
    .size = sizeof(TPMBackendClass),
    .type = "chain",
    .start = fuzz_start,
    .submit = fuzz_submit,
    .reset_established = fuzz_reset_established,
    .destroy = fuzz_destroy,
    .hash = fuzz_hash,
    .save = fuzz_save,
    .load = fuzz_load,
};

/* ---- the hypervisor ---- */

static bool on_dma_read(void *opaque, uint64_t address, void *data, size_t size)
{
    (void)opaque;
    memset(data, 0x5A, size);
    return address != 0;
}

static bool on_dma_write(void *opaque, uint64_t address, const void *data, size_t size)
{
    (void)opaque;
    (void)address;
    FUZZ_CHECK(data && size >= TPM_HEADER_SIZE && size <= TPM_SPAPR_BUFFER_SIZE);
    return true;
}

static bool on_crq(void *opaque, const uint8_t message[16])
{
    (void)opaque;
    (void)message;
    return true;
}

static void on_clear_memory(void *opaque)
{
    (void)opaque;
}

static TPMDeviceConfig config_of(uint8_t shape)
{
    static const TPMInterface interfaces[] = {
        TPM_INTERFACE_TIS,     TPM_INTERFACE_TIS_SYSBUS, TPM_INTERFACE_TIS_I2C,
        TPM_INTERFACE_TIS_SPI, TPM_INTERFACE_CRB,        TPM_INTERFACE_SPAPR,
    };
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    bool is_tis;

    config.interface = interfaces[(shape & 7u) % G_N_ELEMENTS(interfaces)];
    is_tis = config.interface == TPM_INTERFACE_TIS;
    if (config.interface == TPM_INTERFACE_CRB) {
        config.localities = config.interrupts = shape & 0x10;
        config.chunk = shape & 0x20;
        config.buffer_address = shape & 0x40 ? 0xFED50000u : 0;
    }
    config.drtm = is_tis && shape & 0x10;
    config.ppi_address = is_tis && shape & 0x20 ? TPM_PPI_ADDRESS : 0;
    config.wait_states = config.interface == TPM_INTERFACE_TIS_SPI && shape & 0x10 ? 2 : 0;
    return config;
}

static TPMDevice *make_device(FuzzTPM *tpm, uint8_t shape)
{
    TPMDeviceConfig config = config_of(shape);
    bool is_new =
        config.interface == TPM_INTERFACE_CRB || config.interface == TPM_INTERFACE_TIS_I2C;
    TPMBackendInfo info = { sizeof(info), shape & 8 && !is_new ? TPM_VERSION_1_2 : TPM_VERSION_2_0,
                            TPM_BUFFER_SIZE_COMMON, true };
    TPMHost host = TPM_HOST_INIT;

    host.dma_read = on_dma_read;
    host.dma_write = on_dma_write;
    host.send_crq = on_crq;
    host.clear_memory = on_clear_memory;
    host.context = g_main_context_default();
    *tpm = (FuzzTPM){ .version = info.version };
    tpm->backend = tpmdev_backend_new(&fuzz_class, "tpm0", &info, tpm, NULL);
    FUZZ_CHECK(tpm->backend);
    TPMDevice *device = tpmdev_device_new(&config, tpm->backend, &host, NULL, NULL);

    FUZZ_CHECK(device);
    return device;
}

/* ---- the guest ---- */

static void use_memory(TPMDevice *device)
{
    uint64_t value;

    for (uint64_t at = 0; at < tpmdev_device_get_size(device); at += 4) {
        if ((at & 0xFFF) < 0x100 || (at & 0xFFF) > 0xF00) {
            tpmdev_device_read(device, at, 4, &value);
        }
    }
    for (uint64_t at = 0; at < tpmdev_device_get_size(device); at += 0x1000) {
        static const struct {
            uint16_t offset;
            uint32_t value;
        } writes[] = { { 0x00, 0x02 }, { 0x08, 0x01 },  { 0x18, 0x40 }, { 0x40, 0x01 },
                       { 0x24, 0x80 }, { 0x80, 0x180 }, { 0x18, 0x20 }, { 0x4C, 0x01 },
                       { 0x4C, 0x04 }, { 0x18, 0x02 },  { 0x10, 0xFF }, { 0x00, 0x08 },
                       { 0x08, 0x04 }, { 0x48, 0x01 },  { 0x00, 0x20 }, { 0x08, 0x02 } };

        for (size_t i = 0; i < G_N_ELEMENTS(writes); i++) {
            tpmdev_device_write(device, at + writes[i].offset, 4, writes[i].value);
            tpmdev_device_read(device, at + 0x18, 4, &value);
            tpmdev_device_read(device, at + 0x24, 1, &value);
        }
    }
    tpmdev_device_write(device, 0x4020, 1, 0); /* TPM_HASH_END */
}

static void use_buses(TPMDevice *device)
{
    uint8_t bytes[80] = { 0 };

    for (unsigned i = 0; i < 6; i++) {
        tpmdev_device_i2c_receive(device);
        tpmdev_device_i2c_send(device, 0x44);
    }
    tpmdev_device_i2c_event(device, TPM_I2C_STOP);
    tpmdev_device_i2c_event(device, TPM_I2C_START_RECEIVE);
    tpmdev_device_i2c_receive(device);
    tpmdev_device_spi_transfer(device, bytes, bytes, sizeof(bytes));
    tpmdev_device_spi_select(device, false);
    tpmdev_device_spi_select(device, true);
    tpmdev_device_spi_transfer(device, bytes, bytes, sizeof(bytes));
    tpmdev_device_send_crq(device, 0x8001000000000000u, 0);
    tpmdev_device_send_crq(device, 0x8002001000000100u, 0);
    tpmdev_device_resume_crq(device);
}

/* ---- the stream ---- */

static GBytes *make_stream(bool whole, const uint8_t *data, size_t size)
{
    static const uint8_t head[HEADER_SIZE] = { 'T', 'P', 'M', 'D', 'E', 'V', 'S', 'T', 1 };
    g_autoptr(GChecksum) sha256 = g_checksum_new(G_CHECKSUM_SHA256);
    uint32_t body = GUINT32_TO_LE((uint32_t)size);
    gsize length = 32;

    if (whole) {
        return g_bytes_new(data, size);
    }
    uint8_t *stream = g_malloc(HEADER_SIZE + size);

    memcpy(stream, head, HEADER_SIZE);
    memcpy(stream + 12, &body, sizeof(body));
    if (size > 0) {
        memcpy(stream + HEADER_SIZE, data, size);
    }
    g_checksum_update(sha256, stream, DIGEST_AT);
    g_checksum_update(sha256, data, (gssize)size);
    g_checksum_get_digest(sha256, stream + DIGEST_AT, &length);
    return g_bytes_new_take(stream, HEADER_SIZE + size);
}

/* The TPM answers at once; this is for a computer that has more to do. */
#define TIMEOUT_NS G_GINT64_CONSTANT(30000000000)

static GBytes *save(TPMDevice *device)
{
    GBytes *stream = tpmdev_device_save(device, TIMEOUT_NS, NULL);

    FUZZ_CHECK(stream && g_bytes_get_size(stream) <= TPM_SAVED_STATE_SIZE_MAX);
    return stream;
}

/* What it is, and what comes of it, can be taken to another device and is the same there. */
static void check_round_trip(TPMDevice *device)
{
    g_autoptr(GBytes) first = save(device);

    FUZZ_CHECK(tpmdev_device_load(device, first, TIMEOUT_NS, NULL));
    g_autoptr(GBytes) again = save(device);

    FUZZ_CHECK(g_bytes_equal(first, again));
    tpmdev_device_resume(device);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t shape = size > 0 ? data[0] : 0;
    FuzzTPM tpm;
    TPMDevice *device = make_device(&tpm, shape);
    g_autoptr(GBytes) before = save(device);
    g_autoptr(GBytes) stream =
        make_stream(shape & WHOLE, size > 0 ? data + 1 : data, size > 0 ? size - 1 : 0);
    GError *error = NULL;

    if (tpmdev_device_load(device, stream, TIMEOUT_NS, &error)) {
        FUZZ_CHECK(!error);
        check_round_trip(device);
        use_memory(device);
        use_buses(device);
        check_round_trip(device);
        tpmdev_device_reset(device);
        use_memory(device);
    } else {
        g_autoptr(GBytes) after = save(device);

        FUZZ_CHECK(error->domain == TPMDEV_ERROR && *error->message);
        FUZZ_CHECK(g_bytes_equal(before, after));
        g_error_free(error);
    }
    tpmdev_device_free(device);
    tpmdev_backend_unref(tpm.backend);
    FUZZ_CHECK(tpm.destroyed);
    return 0;
}
