/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest that does not know on which device it runs; see moving-guest.h. */
#include "moving-guest.h"
#include "device-internal.h"
#include "stream-editor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define PAGE_ADDRESS 0xFED50000u

/* ---- the host ---- */

static void called(Guest *guest)
{
    if (guest->silent) {
        guest->breach = "a callback while the device is held";
    }
}

static void on_irq(void *opaque, bool level)
{
    Guest *guest = opaque;

    called(guest);
    guest->irqs++;
    guest->irq = level;
}

static bool on_dma_read(void *opaque, uint64_t address, void *data, size_t size)
{
    Guest *guest = opaque;

    called(guest);
    if (address - MOVING_MEMORY > MOVING_MEMORY_SIZE - size) {
        return false;
    }
    memcpy(data, guest->memory + (address - MOVING_MEMORY), size);
    return true;
}

static bool on_dma_write(void *opaque, uint64_t address, const void *data, size_t size)
{
    Guest *guest = opaque;

    called(guest);
    if (address - MOVING_MEMORY > MOVING_MEMORY_SIZE - size) {
        return false;
    }
    memcpy(guest->memory + (address - MOVING_MEMORY), data, size);
    return true;
}

static bool on_crq(void *opaque, const uint8_t message[16])
{
    Guest *guest = opaque;

    called(guest);
    if (guest->queue_full) {
        return false;
    }
    g_mutex_lock(&guest->lock);
    g_string_append(guest->messages, "  message");
    for (unsigned i = 0; i < TPM_CRQ_MESSAGE_SIZE; i++) {
        g_string_append_printf(guest->messages, " %02x", message[i]);
    }
    g_string_append_c(guest->messages, '\n');
    g_mutex_unlock(&guest->lock);
    return true;
}

static void on_clear_memory(void *opaque)
{
    called(opaque);
    g_string_append(((Guest *)opaque)->transcript, "  memory cleared\n");
}

/* ---- the machine ---- */

TPMDeviceConfig moving_config(const Subject *subject)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;

    config.interface = subject->interface;
    config.localities = subject->localities;
    config.interrupts = subject->interrupts;
    config.buffer_address = subject->page ? PAGE_ADDRESS : 0;
    config.chunk = subject->chunk;
    config.drtm = subject->drtm;
    config.ppi_address = subject->ppi ? TPM_PPI_ADDRESS : 0;
    config.wait_states = subject->wait_states;
    return config;
}

static void make_tpm(Guest *guest, bool incoming)
{
    if (guest->maker) {
        guest->backend = guest->maker->make(guest->maker->opaque, incoming);
    } else {
        guest->chain = chain_tpm_new(guest->subject->version, TPM_BUFFER_SIZE_COMMON, false);
        guest->backend = guest->chain->backend;
    }
}

static void unmake_tpm(Guest *guest)
{
    if (guest->maker) {
        guest->maker->unmake(guest->maker->opaque, guest->backend);
    } else {
        chain_tpm_free(guest->chain);
    }
}

static void plug(Guest *guest, bool incoming)
{
    TPMDeviceConfig config = moving_config(guest->subject);
    TPMHost host = TPM_HOST_INIT;
    GError *error = NULL;

    config.incoming = incoming;
    host.set_irq = on_irq;
    host.dma_read = on_dma_read;
    host.dma_write = on_dma_write;
    host.send_crq = on_crq;
    host.clear_memory = on_clear_memory;
    make_tpm(guest, incoming);
    guest->device = tpmdev_device_new(&config, guest->backend, &host, guest, &error);
    if (!guest->device) {
        fail_msg("%s", error->message);
    }
}

static void unplug(Guest *guest)
{
    tpmdev_device_free(guest->device);
    unmake_tpm(guest);
}

Guest *guest_new(const Subject *subject, const TPMMaker *maker)
{
    Guest *guest = g_new0(Guest, 1);

    guest->subject = subject;
    guest->maker = maker;
    guest->transcript = g_string_new(NULL);
    guest->messages = g_string_new(NULL);
    g_mutex_init(&guest->lock);
    plug(guest, false);
    return guest;
}

void guest_free(Guest *guest)
{
    const char *breach = guest->breach;

    unplug(guest);
    g_string_free(guest->transcript, TRUE);
    g_string_free(guest->messages, TRUE);
    g_mutex_clear(&guest->lock);
    g_free(guest);
    if (breach) {
        fail_msg("%s", breach);
    }
}

GBytes *guest_save(Guest *guest)
{
    GError *error = NULL;
    GBytes *state = tpmdev_device_save(guest->device, MOVING_DEADLINE_NS, &error);

    if (!state) {
        fail_msg("%s: %s", guest->subject->name, error->message);
    }
    guest->silent = true;
    return state;
}

/* The line stays as it is: it is the host's, which has saved it for itself. */
void guest_plug(Guest *guest, bool incoming)
{
    unplug(guest);
    guest->silent = false;
    plug(guest, incoming);
}

void guest_load(Guest *guest, GBytes *state)
{
    GError *error = NULL;

    guest->silent = true;
    if (!tpmdev_device_load(guest->device, state, MOVING_DEADLINE_NS, &error)) {
        fail_msg("%s: %s", guest->subject->name, error->message);
    }
}

void guest_resume(Guest *guest)
{
    guest->silent = false;
    tpmdev_device_resume(guest->device);
}

void guest_move(Guest *guest)
{
    g_autoptr(GBytes) state = guest_save(guest);

    guest_plug(guest, true);
    guest_load(guest, state);
    guest_resume(guest);
}

/* ---- steps ---- */

static void found(Guest *guest, uint64_t value)
{
    g_string_append_printf(guest->transcript, "  %" G_GINT64_MODIFIER "x\n", value);
}

static uint8_t *shared_memory(Guest *guest, unsigned which)
{
    switch (which) {
    case MEMORY_PAGE:
        return tpmdev_device_get_page(guest->device);
    case MEMORY_PPI:
        return tpmdev_device_get_ppi(guest->device);
    default:
        return guest->memory;
    }
}

static void read_register(Guest *guest, const Step *step)
{
    uint64_t value;

    tpmdev_device_read(guest->device, step->at, step->width, &value);
    found(guest, value);
}

static bool is_idle(TPMDevice *device)
{
    g_mutex_lock(&device->lock);
    bool idle = device->request.state == REQUEST_IDLE && device->request.busy == BUSY_NOT &&
                !device->request.dispatching &&
                (!device->frontend->is_settled || device->frontend->is_settled(device->model));
    g_mutex_unlock(&device->lock);
    return idle;
}

static void answer(Guest *guest)
{
    if (guest->chain) {
        while (chain_tpm_is_due(guest->chain)) {
            chain_tpm_answer(guest->chain);
        }
        return;
    }
    for (unsigned i = 0; !is_idle(guest->device); i++) {
        assert_true(i < MOVING_DEADLINE_NS / 1000 / 100);
        g_usleep(100);
    }
}

static void exchange(Guest *guest, uint8_t out)
{
    uint8_t in;

    tpmdev_device_spi_transfer(guest->device, &out, &in, 1);
    found(guest, in);
}

static void take_step(Guest *guest, const Step *step)
{
    switch (step->kind) {
    case STEP_READ:
        read_register(guest, step);
        break;
    case STEP_WRITE:
        tpmdev_device_write(guest->device, step->at, step->width, step->value);
        break;
    case STEP_ANSWER:
        answer(guest);
        break;
    case STEP_I2C:
        tpmdev_device_i2c_event(guest->device, (TPMI2CEvent)step->value);
        break;
    case STEP_SEND:
        found(guest, tpmdev_device_i2c_send(guest->device, (uint8_t)step->value));
        break;
    case STEP_RECEIVE:
        found(guest, tpmdev_device_i2c_receive(guest->device));
        break;
    case STEP_SELECT:
        tpmdev_device_spi_select(guest->device, step->value);
        break;
    case STEP_SPI:
        exchange(guest, (uint8_t)step->value);
        break;
    case STEP_CRQ:
        found(guest, (uint64_t)tpmdev_device_send_crq(guest->device, step->value, 0));
        break;
    case STEP_QUEUE:
        guest->queue_full = step->value;
        tpmdev_device_resume_crq(guest->device);
        break;
    case STEP_PUT:
        shared_memory(guest, step->width)[step->at] = (uint8_t)step->value;
        break;
    case STEP_GET:
        found(guest, shared_memory(guest, step->width)[step->at]);
        break;
    case STEP_RESET:
        tpmdev_device_reset(guest->device);
        break;
    }
}

/* What has come of the step by itself. */
static void look(Guest *guest, size_t step)
{
    g_mutex_lock(&guest->lock);
    g_string_append_printf(guest->transcript, "%s%zu: line %d %d, told %u\n", guest->messages->str,
                           step, tpmdev_device_get_irq_level(guest->device), guest->irq,
                           guest->irqs);
    g_string_truncate(guest->messages, 0);
    g_mutex_unlock(&guest->lock);
}

/* Between a command and the wait for the TPM nobody can say what has come of it yet. */
void guest_run(Guest *guest, const Script *script, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++) {
        bool is_pending =
            i + 1 < script->len && g_array_index(script, Step, i + 1).kind == STEP_ANSWER;

        take_step(guest, &g_array_index(script, Step, i));
        if (!is_pending) {
            look(guest, i);
        }
    }
}

void guest_assert_transcript(const Guest *guest, const char *wanted, size_t step)
{
    g_auto(GStrv) a = g_strsplit(guest->transcript->str, "\n", -1);
    g_auto(GStrv) b = g_strsplit(wanted, "\n", -1);

    for (unsigned i = 0; a[i] || b[i]; i++) {
        if (g_strcmp0(a[i], b[i]) != 0) {
            fail_msg("%s, moved before step %zu: '%s' in place of '%s', after '%s'",
                     guest->subject->name, step, a[i], b[i], i > 0 ? b[i - 1] : "");
        }
    }
}

/* ---- streams ---- */

const Subject *subject_named(const char *name)
{
    for (size_t i = 0; i < subject_count; i++) {
        if (strcmp(subjects[i].name, name) == 0) {
            return &subjects[i];
        }
    }
    fail_msg("there is no %s", name);
    return NULL;
}

GBytes *guest_stream_when(const Subject *subject, const char *section, const char *path,
                          const char *value)
{
    Script *script = script_new(subject, false);
    Guest *guest = guest_new(subject, NULL);
    GBytes *stream = NULL;

    for (size_t k = 0; k < script->len && !stream; k++) {
        GBytes *candidate = guest_save(guest);
        g_autoptr(GVariant) field = path ? stream_field(candidate, section, path) : NULL;
        g_autofree char *text = field ? g_variant_print(field, FALSE) : NULL;

        if (g_strcmp0(text, value) == 0) {
            stream = g_steal_pointer(&candidate);
        }
        g_clear_pointer(&candidate, g_bytes_unref);
        guest_resume(guest);
        guest_run(guest, script, k, k + 1);
    }
    guest_free(guest);
    g_array_unref(script);
    if (!stream) {
        fail_msg("%s never has %s %s = %s", subject->name, section, path, value);
    }
    return stream;
}

GBytes *guest_stream_of_held(const Subject *subject, const char *section, const char *path,
                             const char *value)
{
    Script *script = script_new(subject, false);
    Guest *guest = guest_new(subject, NULL);
    GBytes *stream = NULL;

    g_bytes_unref(guest_save(guest));
    for (size_t k = 0; k < script->len && !stream; k++) {
        GBytes *candidate;
        g_autofree char *text = NULL;

        guest->silent = false; /* an access may bring an interrupt by itself */
        guest_run(guest, script, k, k + 1);
        candidate = guest_save(guest);
        g_autoptr(GVariant) field = stream_field(candidate, section, path);

        text = g_variant_print(field, FALSE);
        if (strcmp(text, value) == 0) {
            stream = g_steal_pointer(&candidate);
        }
        g_clear_pointer(&candidate, g_bytes_unref);
    }
    guest->silent = false;
    guest_free(guest);
    g_array_unref(script);
    return stream;
}
