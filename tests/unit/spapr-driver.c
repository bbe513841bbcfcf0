/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest's driver of a tpm-spapr device, and the machine it runs in; see spapr-driver.h. */
#include "spapr-driver.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* The reserved bytes of what the driver sends. */
#define LOW_HALF 0xA1A2A3A4A5A6A7A8u

#define UNTOUCHED 0xEE

const uint8_t spapr_command_2_0[12] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 8 };
const uint8_t spapr_command_1_2[14] = { 0x00, 0xC1, 0, 0, 0, 14, 0, 0, 0, 0x46, 0, 0, 0, 8 };
const uint8_t spapr_response_2_0[10] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0, 0 };
const uint8_t spapr_response_1_2[10] = { 0x00, 0xC4, 0, 0, 0, 10, 0, 0, 0, 0 };

/* ---- the hypervisor ---- */

typedef void (*Hook)(SpaprMachine *);

/* Take the hook, so that it is called once. */
static void enter(SpaprMachine *machine, Hook *hook)
{
    g_mutex_lock(&machine->lock);
    Hook call = *hook;

    *hook = NULL;
    machine->breach |= machine->inside;
    machine->inside = true;
    g_mutex_unlock(&machine->lock);
    fake_host_probe(&machine->host);
    if (call) {
        call(machine);
    }
}

static void leave(SpaprMachine *machine)
{
    g_mutex_lock(&machine->lock);
    machine->inside = false;
    g_mutex_unlock(&machine->lock);
}

/* With the lock held. Returns the bytes, or NULL. */
static uint8_t *dma(SpaprMachine *machine, bool is_write, uint64_t address, size_t size)
{
    machine->dma[machine->dmas++ % SPAPR_LOG] = (SpaprDma){ is_write, address, size };
    if (address < MEMORY || address - MEMORY > machine->mapped ||
        size > machine->mapped - (address - MEMORY)) {
        machine->outside++;
        return NULL;
    }
    return machine->memory + (address - MEMORY);
}

static bool on_dma_read(void *opaque, uint64_t address, void *data, size_t size)
{
    SpaprMachine *machine = opaque;

    enter(machine, &machine->on_read);
    g_mutex_lock(&machine->lock);
    const uint8_t *bytes = dma(machine, false, address, size);

    if (bytes) {
        memcpy(data, bytes, size);
    } else {
        memset(data, 0x80, size); /* what a failed copy may leave there */
    }
    g_mutex_unlock(&machine->lock);
    leave(machine);
    return bytes != NULL;
}

static bool on_dma_write(void *opaque, uint64_t address, const void *data, size_t size)
{
    SpaprMachine *machine = opaque;

    enter(machine, &machine->on_write);
    g_mutex_lock(&machine->lock);
    uint8_t *bytes = dma(machine, true, address, size);

    if (bytes) {
        memcpy(bytes, data, size);
    }
    g_mutex_unlock(&machine->lock);
    leave(machine);
    return bytes != NULL;
}

static bool on_send_crq(void *opaque, const uint8_t message[16])
{
    SpaprMachine *machine = opaque;
    Hook seen = NULL;

    enter(machine, &machine->on_message);
    g_mutex_lock(&machine->lock);
    bool taken = !machine->queue_full;

    if (taken) {
        memcpy(machine->message[machine->messages++ % SPAPR_LOG], message, 16);
        machine->message_thread = g_thread_self();
        seen = machine->on_seen;
        machine->on_seen = NULL;
    } else {
        machine->refused++;
    }
    g_mutex_unlock(&machine->lock);
    if (seen) {
        seen(machine);
    }
    leave(machine);
    return taken;
}

/* ---- the machine ---- */

SpaprMachine *spapr_machine_prepare(TPMVersion version, size_t buffer_size)
{
    SpaprMachine *machine = g_new0(SpaprMachine, 1);

    fake_host_init(&machine->host);
    machine->host.host.dma_read = on_dma_read;
    machine->host.host.dma_write = on_dma_write;
    machine->host.host.send_crq = on_send_crq;
    machine->tpm = fake_backend_new(version, FAKE_FULL, buffer_size);
    machine->config = (TPMDeviceConfig)TPM_DEVICE_CONFIG_INIT;
    machine->config.interface = TPM_INTERFACE_SPAPR;
    g_mutex_init(&machine->lock);
    machine->mapped = MEMORY_SIZE;
    memset(machine->memory, UNTOUCHED, sizeof(machine->memory));
    return machine;
}

SpaprMachine *spapr_machine_prepare_told(void)
{
    SpaprMachine *machine = spapr_machine_prepare(TPM_VERSION_2_0, TPM_SPAPR_BUFFER_SIZE);

    machine->config.completion_window_ns = 0;
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    return machine;
}

void spapr_machine_plug(SpaprMachine *machine)
{
    GError *error = NULL;

    machine->device = tpmdev_device_new(&machine->config, machine->tpm->backend,
                                        &machine->host.host, &machine->host, &error);
    if (!machine->device) {
        fail_msg("tpmdev_device_new: %s", error->message);
    }
    g_atomic_pointer_set(&machine->host.device, machine->device);
}

void spapr_machine_free(SpaprMachine *machine)
{
    bool breach;

    g_atomic_pointer_set(&machine->host.device, NULL);
    tpmdev_device_free(machine->device);
    fake_backend_free(machine->tpm);
    fake_host_clear(&machine->host);
    g_mutex_clear(&machine->lock);
    breach = machine->breach;
    g_free(machine);
    assert_false(breach);
}

static int plug(void **state, SpaprMachine *machine)
{
    spapr_machine_plug(machine);
    *state = machine;
    return 0;
}

int spapr_setup_1_2(void **state)
{
    return plug(state, spapr_machine_prepare(TPM_VERSION_1_2, TPM_SPAPR_BUFFER_SIZE));
}

int spapr_setup_2_0(void **state)
{
    return plug(state, spapr_machine_prepare(TPM_VERSION_2_0, TPM_SPAPR_BUFFER_SIZE));
}

int spapr_setup_told(void **state)
{
    return plug(state, spapr_machine_prepare_told());
}

int spapr_teardown(void **state)
{
    spapr_machine_free(*state);
    return 0;
}

TPMDeviceStatistics spapr_statistics(SpaprMachine *machine)
{
    TPMDeviceStatistics statistics = { .size = sizeof(statistics) };

    tpmdev_device_get_statistics(machine->device, &statistics);
    return statistics;
}

/* ---- what a driver does ---- */

int64_t spapr_send(SpaprMachine *machine, uint64_t high)
{
    return tpmdev_device_send_crq(machine->device, high, LOW_HALF);
}

void spapr_send_ok(SpaprMachine *machine, uint64_t high)
{
    assert_int_equal(spapr_send(machine, high), SUCCESS);
}

uint64_t spapr_command(size_t size, uint32_t address)
{
    return MESSAGE_COMMAND | (uint64_t)size << 32 | address;
}

void spapr_put(SpaprMachine *machine, const void *command, size_t size)
{
    g_mutex_lock(&machine->lock);
    memset(machine->memory, UNTOUCHED, sizeof(machine->memory));
    memcpy(machine->memory + (BUFFER - MEMORY), command, size);
    g_mutex_unlock(&machine->lock);
}

void spapr_start(SpaprMachine *machine, const void *command, size_t size)
{
    spapr_put(machine, command, size);
    spapr_send_ok(machine, spapr_command(size, BUFFER));
}

/* ---- what it finds ---- */

unsigned spapr_messages(SpaprMachine *machine)
{
    g_mutex_lock(&machine->lock);
    unsigned messages = machine->messages;
    g_mutex_unlock(&machine->lock);
    return messages;
}

void spapr_assert_message(SpaprMachine *machine, unsigned at, uint64_t high)
{
    uint8_t wanted[16] = { 0 };
    uint8_t got[16];

    for (unsigned i = 0; i < 8; i++) {
        wanted[i] = (uint8_t)(high >> (56 - 8 * i));
    }
    g_mutex_lock(&machine->lock);
    unsigned messages = machine->messages;

    memcpy(got, machine->message[at % SPAPR_LOG], sizeof(got));
    g_mutex_unlock(&machine->lock);
    if (at >= messages) {
        fail_msg("message %u is not there, only %u are", at, messages);
    }
    assert_memory_equal(got, wanted, sizeof(wanted));
}

void spapr_assert_last(SpaprMachine *machine, unsigned messages, uint64_t high)
{
    assert_int_equal(spapr_messages(machine), messages);
    spapr_assert_message(machine, messages - 1, high);
}

void spapr_assert_dma(SpaprMachine *machine, unsigned at, bool is_write, uint64_t address,
                      size_t size)
{
    assert_true(at < machine->dmas);
    const SpaprDma *got = &machine->dma[at % SPAPR_LOG];

    if (got->is_write != is_write || got->address != address || got->size != size) {
        fail_msg("DMA %u is a %s of %zu bytes at %" PRIx64 ", not a %s of %zu at %" PRIx64, at,
                 got->is_write ? "write" : "read", got->size, got->address,
                 is_write ? "write" : "read", size, address);
    }
}

void spapr_assert_buffer(SpaprMachine *machine, const void *bytes, size_t size, uint8_t then)
{
    g_mutex_lock(&machine->lock);
    const uint8_t *buffer = machine->memory + (BUFFER - MEMORY);
    bool same = memcmp(buffer, bytes, size) == 0;
    uint8_t after = buffer[size];
    uint8_t before = buffer[-1];

    g_mutex_unlock(&machine->lock);
    assert_true(same);
    assert_int_equal(after, then);
    assert_int_equal(before, UNTOUCHED);
}
