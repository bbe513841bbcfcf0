/* SPDX-License-Identifier: BSD-3-Clause */
/* A hypervisor with vCPU threads; see vcpus.h. The buses are in vcpu-buses.c. */
#include "vcpus.h"

#include <string.h>

#define DEADLINE_S 30

static GPrivate ours;

void thread_is_ours(void)
{
    g_private_set(&ours, GINT_TO_POINTER(1));
}

/* ---- the host ---- */

unsigned machine_localities(const Machine *machine)
{
    return machine->bus->shared ? VCPUS_PER_MACHINE : 1;
}

/* The guest's handler: acknowledges what is pending; the device decides who may. */
static void handle_interrupt(Machine *machine)
{
    for (uint32_t locality = 0; locality < machine_localities(machine); locality++) {
        uint32_t address = locality << 12 | machine->bus->int_status;
        uint8_t pending[4];

        machine->bus->read(machine, address, pending, sizeof(pending));
        machine->bus->write(machine, address, pending, sizeof(pending));
    }
}

static void on_set_irq(void *opaque, bool level)
{
    Machine *machine = opaque;
    TPMDeviceStatistics statistics = { .size = sizeof(statistics) };

    machine->told_twice |= machine->told == level;
    machine->told_by_stranger |= machine->has_context && !g_private_get(&ours);
    machine->told = level;
    machine->rises += level;
    tpmdev_device_get_statistics(machine->device, &statistics);
    tpmdev_device_get_irq_level(machine->device);
    if (level && machine->bus->reentrant) {
        handle_interrupt(machine);
    }
}

static void on_guest_error(void *opaque, const char *message)
{
    Machine *machine = opaque;

    (void)message;
    tpmdev_device_get_irq_level(machine->device);
}

TPMHost machine_host(GMainContext *context)
{
    TPMHost host = TPM_HOST_INIT;

    host.set_irq = on_set_irq;
    host.guest_error = on_guest_error;
    host.context = context;
    return host;
}

/* ---- vCPUs ---- */

bool vcpu_was_reset(VCPU *vcpu)
{
    return vcpu->epoch % 2 != 0 || (unsigned)g_atomic_int_get(&vcpu->machine->epoch) != vcpu->epoch;
}

uint8_t vcpu_read8(VCPU *vcpu, uint32_t offset)
{
    uint8_t byte = 0;

    vcpu->machine->bus->read(vcpu->machine, vcpu->locality << 12 | offset, &byte, 1);
    return byte;
}

void vcpu_write(VCPU *vcpu, uint32_t offset, unsigned width, uint32_t value)
{
    uint8_t bytes[4];

    for (unsigned i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(value >> 8 * i);
    }
    vcpu->machine->bus->write(vcpu->machine, vcpu->locality << 12 | offset, bytes, width);
}

Result vcpu_wait(VCPU *vcpu, uint32_t offset, uint8_t mask, uint8_t value)
{
    gint64 deadline = g_get_monotonic_time() + DEADLINE_S * G_TIME_SPAN_SECOND;

    while ((vcpu_read8(vcpu, offset) & mask) != value) {
        if (vcpu_was_reset(vcpu)) {
            return RESULT_LOST;
        }
        if (g_get_monotonic_time() > deadline) {
            return RESULT_WRONG;
        }
        g_thread_yield();
    }
    return RESULT_ANSWERED;
}

static bool is_cancelled(const VCPU *vcpu)
{
    static const uint8_t canceled[] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x09, 0x09 };

    return vcpu->machine->cancels && vcpu->response_size == sizeof(canceled) &&
           memcmp(vcpu->response, canceled, sizeof(canceled)) == 0;
}

static Result judge(VCPU *vcpu, uint32_t id)
{
    if (vcpu->machine->language->is_answer(id, vcpu->response, vcpu->response_size)) {
        return RESULT_ANSWERED;
    }
    if (is_cancelled(vcpu)) {
        return RESULT_CANCELLED;
    }
    return vcpu_was_reset(vcpu) ? RESULT_LOST : RESULT_WRONG;
}

static Result run_command(VCPU *vcpu, uint32_t id)
{
    uint8_t command[64];
    size_t size = vcpu->machine->language->make(id, command);

    vcpu->epoch = (unsigned)g_atomic_int_get(&vcpu->machine->epoch);
    vcpu->response_size = 0;
    Result result = vcpu->machine->bus->carry(vcpu, command, size);

    return result == RESULT_ANSWERED ? judge(vcpu, id) : result;
}

static Result take_turn(VCPU *vcpu, uint32_t id)
{
    Machine *machine = vcpu->machine;

    if (machine->turns) {
        g_mutex_lock(&machine->turn_lock);
    }
    Result result = run_command(vcpu, id);

    if (machine->turns) {
        g_mutex_unlock(&machine->turn_lock);
    }
    g_atomic_int_inc(&machine->results[result]);
    return result;
}

/* A TPM that starts sees none of the commands that are cancelled meanwhile: those do not count. */
static gpointer vcpu_run(gpointer data)
{
    VCPU *vcpu = data;
    uint32_t id = vcpu->number << 24;

    thread_is_ours();
    for (unsigned i = 0; i < vcpu->machine->commands;) {
        Result result = take_turn(vcpu, id++);

        if (result == RESULT_WRONG) {
            break; /* one is enough, and a deadline is long */
        }
        if (result != RESULT_CANCELLED) {
            i++;
        }
    }
    return NULL;
}

/* ---- the machine ---- */

void machine_init(Machine *machine, const Bus *bus, const Language *language)
{
    *machine = (Machine){ .bus = bus, .language = language };
    g_mutex_init(&machine->turn_lock);
    g_mutex_init(&machine->bus_lock);
}

void machine_clear(Machine *machine)
{
    g_mutex_clear(&machine->turn_lock);
    g_mutex_clear(&machine->bus_lock);
}

void machine_start(Machine *machine)
{
    machine->spi.device = machine->device;
    for (unsigned i = 0; i < VCPUS_PER_MACHINE; i++) {
        VCPU *vcpu = &machine->vcpus[i];

        *vcpu = (VCPU){ .machine = machine, .number = i };
        vcpu->locality = machine->bus->shared ? i : 0;
        vcpu->thread = g_thread_new("vcpu", vcpu_run, vcpu);
    }
}

void machine_join(Machine *machine)
{
    for (unsigned i = 0; i < VCPUS_PER_MACHINE; i++) {
        g_thread_join(machine->vcpus[i].thread);
    }
}

unsigned machine_progress(Machine *machine)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < RESULTS; i++) {
        sum += i == RESULT_CANCELLED ? 0 : (unsigned)g_atomic_int_get(&machine->results[i]);
    }
    return sum;
}

unsigned machine_results(Machine *machine)
{
    return machine_progress(machine) +
           (unsigned)g_atomic_int_get(&machine->results[RESULT_CANCELLED]);
}

bool machine_is_pending(Machine *machine)
{
    uint8_t any = 0;

    for (uint32_t locality = 0; locality < machine_localities(machine); locality++) {
        uint8_t pending[4];

        machine->bus->read(machine, locality << 12 | machine->bus->int_status, pending, 4);
        any |= pending[0];
    }
    return any != 0;
}
