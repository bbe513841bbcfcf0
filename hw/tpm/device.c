/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TPMDevice: one register model in front of one TPM. The only file that knows both sides.
 *
 * A guest's access comes in at tpmdev_device_read() or _write(), is taken apart by access.c
 * (stage 1) and handed to the front end (stage 2), all under the device's lock. What the front
 * end noted meanwhile is done by tpm_device_leave(), after the lock is released.
 */
#include "device-internal.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

static const TPMFrontend *const frontends[] = {
    [TPM_INTERFACE_TIS] = &tpm_frontend_tis,
    [TPM_INTERFACE_CRB] = &tpm_frontend_crb,
    [TPM_INTERFACE_TIS_SYSBUS] = &tpm_frontend_tis_sysbus,
    [TPM_INTERFACE_TIS_I2C] = &tpm_frontend_tis_i2c,
    [TPM_INTERFACE_TIS_SPI] = &tpm_frontend_tis_spi,
    [TPM_INTERFACE_SPAPR] = &tpm_frontend_spapr,
};

#define COMPLETION_WINDOW_MAX_NS 1000000
#define IRQ_MAX                  15

/* ---- construction ---- */

/* Who asks for a D-RTM must get one: a guest would take a missing measurement for a good one. */
static bool drtm_check(const TPMDeviceConfig *config, const TPMBackend *backend, GError **error)
{
    const TPMFrontend *frontend = frontends[config->interface];

    if (config->drtm && !frontend->hashed) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "TPMDeviceConfig.drtm is for tpm-tis and tpm-tis-device; leave it unset for %s",
                    frontend->model);
        return false;
    }
    if (config->drtm && !tpm_backend_can_hash(backend)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED,
                    "TPM backend '%s' of type %s cannot do the D-RTM hash sequence that drtm=on "
                    "asks for; leave drtm off or give the device another TPM",
                    tpmdev_backend_get_id(backend), tpmdev_backend_get_type(backend));
        return false;
    }
    return true;
}

/* What one interface alone has is refused by the others, for nobody asks for it without a reason.
 */
static bool members_check(const TPMDeviceConfig *config, GError **error)
{
    bool is_crb = config->interface == TPM_INTERFACE_CRB;
    bool is_spi = config->interface == TPM_INTERFACE_TIS_SPI;
    bool has_bit = !is_crb && config->interface != TPM_INTERFACE_SPAPR;
    const char *member = !is_crb && config->localities        ? "localities is for tpm-crb"
                         : !is_crb && config->interrupts      ? "interrupts is for tpm-crb"
                         : !is_crb && config->buffer_address  ? "buffer_address is for tpm-crb"
                         : !is_crb && config->chunk           ? "chunk is for tpm-crb"
                         : !is_spi && config->wait_states > 0 ? "wait_states is for tpm-tis-spi"
                         : !has_bit && config->selftest ? "selftest is for devices with TPM_STS"
                                                        : NULL;

    if (member) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "TPMDeviceConfig.%s; leave it unset for %s", member,
                    frontends[config->interface]->model);
    }
    return !member;
}

static bool config_check(const TPMDeviceConfig *config, GError **error)
{
    if ((unsigned)config->interface >= G_N_ELEMENTS(frontends)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "TPMDeviceConfig.interface is %d; it must be one of TPMInterface's, 0 to %d",
                    (int)config->interface, (int)G_N_ELEMENTS(frontends) - 1);
        return false;
    }
    if (config->irq > IRQ_MAX) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "IRQ %u is outside valid range of 0 to %d", config->irq, IRQ_MAX);
        return false;
    }
    if (config->completion_window_ns < 0 ||
        config->completion_window_ns > COMPLETION_WINDOW_MAX_NS) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "the completion window is %" G_GINT64_FORMAT
                    " ns; it must be from 0 (off) to %d",
                    config->completion_window_ns, COMPLETION_WINDOW_MAX_NS);
        return false;
    }
    return members_check(config, error);
}

/* A device that went on at address 0 would be nowhere, and a CRB device would say so of its buffer.
 */
static bool base_check(const TPMDeviceConfig *config, const TPMFrontend *frontend, GError **error)
{
    uint64_t size = frontend->region_size(config);
    uint64_t highest = UINT64_MAX - size + 1; /* of a device that has a size */

    if (size > 0 && config->base > highest) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "%s: base 0x%" PRIx64 " puts its 0x%" PRIx64
                    " bytes beyond 64 bits; give 0x%" PRIx64 " or less",
                    frontend->model, config->base, size, highest);
        return false;
    }
    return true;
}

/* As far as the host has them: members it does not know are NULL. */
static bool host_check(const TPMFrontend *frontend, const TPMHost *user_host, TPMHost *host,
                       GError **error)
{
    *host = (TPMHost)TPM_HOST_INIT;
    if (user_host) {
        memcpy(host, user_host, MIN(user_host->size, sizeof(*host)));
    }
    return !frontend->check_host || frontend->check_host(host, error);
}

static TPMDevice *device_new(const TPMDeviceConfig *config, TPMBackend *backend,
                             const TPMHost *host, void *opaque)
{
    TPMDevice *device = g_new0(TPMDevice, 1);

    g_mutex_init(&device->lock);
    device->frontend = frontends[config->interface];
    device->backend = tpmdev_backend_ref(backend);
    device->version = tpmdev_backend_get_version(backend);
    device->host = *host;
    if (device->host.context) {
        g_main_context_ref(device->host.context);
    }
    device->opaque = opaque;
    device->config = *config;
    device->region_size = device->frontend->region_size(config);
    tpm_request_init(
        device, MIN(device->frontend->buffer_size(config), tpmdev_backend_get_buffer_size(backend)),
        config->completion_window_ns);
    device->model = device->frontend->create(device, config);
    tpm_ppi_init(&device->ppi, config);
    device->shows_selftest = config->selftest;
    device->request.held = config->incoming;
    return device;
}

static void device_destroy(TPMDevice *device)
{
    device->frontend->free(device->model);
    tpm_request_clear(device);
    tpm_ppi_clear(&device->ppi);
    g_free(device->report.backend_error);
    tpm_move_clear(&device->move);
    if (device->host.context) {
        g_main_context_unref(device->host.context);
    }
    tpmdev_backend_unref(device->backend);
    g_mutex_clear(&device->lock);
    g_free(device);
}

TPMDevice *tpmdev_device_new(const TPMDeviceConfig *user_config, TPMBackend *backend,
                             const TPMHost *user_host, void *opaque, GError **error)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    TPMHost host;

    if (user_config) {
        memcpy(&config, user_config, MIN(user_config->size, sizeof(config)));
    }
    if (!config_check(&config, error)) {
        return NULL;
    }
    const TPMFrontend *frontend = frontends[config.interface];

    if (!frontend->check(&config, tpmdev_backend_get_version(backend), error) ||
        !base_check(&config, frontend, error) || !drtm_check(&config, backend, error) ||
        !host_check(frontend, user_host, &host, error) ||
        !tpm_ppi_check(&config, frontend->region_size(&config), &host, error)) {
        return NULL;
    }
    TPMDevice *device = device_new(&config, backend, &host, opaque);

    if ((config.drtm && !tpm_hash_enable(&device->request.hash, error)) ||
        !tpm_backend_bind(backend, &tpm_request_client, device, device->host.context, error)) {
        device_destroy(device);
        return NULL;
    }
    tpmdev_device_reset(device);
    return device;
}

TPMDevice *tpmdev_device_free(TPMDevice *device)
{
    if (device) {
        tpm_backend_unbind(device->backend);
        device_destroy(device);
    }
    return NULL;
}

/* ---- what was noted under the lock ---- */

/* How many callbacks of hosts this thread is within: one may lead to another. */
static _Thread_local unsigned calling_back;

bool tpm_device_is_calling_back(void)
{
    return calling_back > 0;
}

void tpm_device_leave(TPMDevice *device)
{
    bool irq_is_due = tpm_irq_is_due(&device->irq);
    bool report_is_due = tpm_report_is_due(&device->report);
    bool request_is_due = tpm_request_is_due(&device->request);
    bool model_is_due = device->frontend->is_due && device->frontend->is_due(device->model);

    g_mutex_unlock(&device->lock);
    calling_back++;
    /* The line first: what runs next may bring a response, and a level of its own. */
    if (irq_is_due) {
        tpm_irq_deliver(device);
    }
    if (report_is_due) {
        tpm_report_deliver(device);
    }
    if (model_is_due) {
        device->frontend->deliver(device->model);
    }
    calling_back--;
    if (request_is_due) {
        tpm_request_run(device);
    }
}

int64_t tpm_device_now_ns(const TPMDevice *device)
{
    struct timespec now;

    if (device->host.now_ns) {
        return device->host.now_ns(device->opaque);
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void tpm_device_set_irq(TPMDevice *device, bool level)
{
    if (tpm_irq_set(&device->irq, level) && !device->restoring) {
        device->statistics.interrupts++;
    }
}

/* ---- what a hypervisor calls ---- */

void tpmdev_device_reset(TPMDevice *device)
{
    g_mutex_lock(&device->lock);
    device->statistics.resets++;
    tpm_request_reset(device);
    device->frontend->reset(device->model, device->request.buffer_size);
    tpm_device_leave(device);
    tpm_ppi_reset(device);
}

TPMAccess tpmdev_device_read(TPMDevice *device, uint64_t offset, unsigned width, uint64_t *value)
{
    TPMAccess result = tpm_access_check(device->region_size, offset, width);
    uint64_t bytes = 0;

    if (result != TPM_ACCESS_OK) {
        *value = UINT64_MAX;
        return result;
    }
    g_mutex_lock(&device->lock);
    device->statistics.reads++;
    for (unsigned done = 0; done < width;) {
        TPMPiece piece;

        tpm_access_first_piece((uint32_t)offset + done, width - done, &piece);
        uint64_t reg = device->frontend->read(device->model, &piece) & piece.mask;
        bytes |= reg >> 8 * piece.lane << 8 * done;
        done += piece.width;
    }
    tpm_device_leave(device);
    *value = bytes;
    return TPM_ACCESS_OK;
}

TPMAccess tpmdev_device_write(TPMDevice *device, uint64_t offset, unsigned width, uint64_t value)
{
    TPMAccess result = tpm_access_check(device->region_size, offset, width);

    if (result != TPM_ACCESS_OK) {
        return result;
    }
    g_mutex_lock(&device->lock);
    device->statistics.writes++;
    for (unsigned done = 0; done < width;) {
        TPMPiece piece;

        tpm_access_first_piece((uint32_t)offset + done, width - done, &piece);
        uint32_t reg = (uint32_t)(value >> 8 * done) << 8 * piece.lane;
        device->frontend->write(device->model, &piece, reg & piece.mask);
        done += piece.width;
    }
    tpm_device_leave(device);
    return TPM_ACCESS_OK;
}

size_t tpmdev_device_get_size(const TPMDevice *device)
{
    return device->region_size;
}

const char *tpmdev_device_get_model(const TPMDevice *device)
{
    return device->frontend->model;
}

TPMInterface tpmdev_device_get_interface(const TPMDevice *device)
{
    TPMInterface interface = TPM_INTERFACE_TIS;

    while (frontends[interface] != device->frontend) {
        interface++;
    }
    return interface;
}

void *tpmdev_device_get_page(const TPMDevice *device)
{
    uint64_t address;

    return device->frontend->page ? device->frontend->page(device->model, &address) : NULL;
}

uint64_t tpmdev_device_get_page_address(const TPMDevice *device)
{
    uint64_t address = 0;

    return device->frontend->page && device->frontend->page(device->model, &address) ? address : 0;
}

void *tpmdev_device_get_ppi(const TPMDevice *device)
{
    return device->ppi.memory;
}

uint64_t tpmdev_device_get_ppi_address(const TPMDevice *device)
{
    return device->ppi.address;
}

TPMVersion tpmdev_device_get_version(const TPMDevice *device)
{
    return device->version;
}

TPMBackend *tpmdev_device_get_backend(const TPMDevice *device)
{
    return device->backend;
}

gboolean tpmdev_device_can_migrate(TPMDevice *device, GError **error)
{
    return tpmdev_backend_can_migrate(device->backend, error);
}

bool tpmdev_device_get_irq_level(TPMDevice *device)
{
    g_mutex_lock(&device->lock);
    bool level = device->irq.level;
    g_mutex_unlock(&device->lock);
    return level;
}

void tpmdev_device_get_statistics(TPMDevice *device, TPMDeviceStatistics *statistics)
{
    size_t size = MIN(statistics->size, sizeof(*statistics));

    g_mutex_lock(&device->lock);
    device->statistics.size = size;
    memcpy(statistics, &device->statistics, size);
    g_mutex_unlock(&device->lock);
}

const char *const *tpmdev_device_get_models(void)
{
    static const char *models[G_N_ELEMENTS(frontends) + 1];
    static gsize filled;

    if (g_once_init_enter(&filled)) {
        for (gsize i = 0; i < G_N_ELEMENTS(frontends); i++) {
            models[i] = frontends[i]->model;
        }
        g_once_init_leave(&filled, 1);
    }
    return models;
}
