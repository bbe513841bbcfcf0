/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The buses of vcpus.h: each a row of the table at the end, made of a way to reach registers and
 * of a driver's way to carry a command.
 */
#include "vcpus.h"

#include <string.h>

/* The registers of both drivers, from the specifications. */
#define TIS_ACCESS     0x00u
#define TIS_INT_ENABLE 0x08u
#define TIS_INT_STATUS 0x10u
#define TIS_STS        0x18u
#define TIS_FIFO       0x24u
#define CRB_LOC_CTRL   0x08u
#define CRB_LOC_STS    0x0Cu
#define CRB_REQ        0x40u
#define CRB_CANCEL     0x48u
#define CRB_START      0x4Cu
#define CRB_INT_ENABLE 0x50u
#define CRB_INT_STS    0x54u
#define CRB_BUFFER     0x80u
#define OFFSET_MASK    0xFFFu

#define HEADER_SIZE 10u

/* Some commands are cancelled by the vCPU that started them. */
#define CANCEL_EACH 3u

/* How many bytes the response has, by its header; no more than fit. */
static size_t size_of(const VCPU *vcpu)
{
    const uint8_t *r = vcpu->response;
    size_t size = (size_t)r[2] << 24 | (size_t)r[3] << 16 | (size_t)r[4] << 8 | r[5];

    return CLAMP(size, HEADER_SIZE, sizeof(vcpu->response));
}

static bool cancels_this(const VCPU *vcpu, const uint8_t *command, size_t size)
{
    return vcpu->machine->cancels && command[size - 1] % CANCEL_EACH == 0;
}

/* ---- memory ---- */

static size_t width_of(uint32_t address, size_t left)
{
    return (address & OFFSET_MASK) == TIS_FIFO ? 1 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

static void memory_read(Machine *machine, uint32_t address, uint8_t *bytes, size_t size)
{
    uint32_t step = (address & OFFSET_MASK) == TIS_FIFO ? 0 : 1;

    for (size_t i = 0; i < size;) {
        size_t width = width_of(address, size - i);
        uint64_t value = 0;

        g_atomic_int_inc(&machine->reads);
        tpmdev_device_read(machine->device, address + step * (uint32_t)i, (unsigned)width, &value);
        for (size_t n = 0; n < width; n++) {
            bytes[i++] = (uint8_t)(value >> 8 * n);
        }
    }
}

static void memory_write(Machine *machine, uint32_t address, const uint8_t *bytes, size_t size)
{
    uint32_t step = (address & OFFSET_MASK) == TIS_FIFO ? 0 : 1;

    for (size_t i = 0; i < size;) {
        size_t width = width_of(address, size - i);
        uint32_t at = address + step * (uint32_t)i;
        uint64_t value = 0;

        for (size_t n = 0; n < width; n++) {
            value |= (uint64_t)bytes[i++] << 8 * n;
        }
        g_atomic_int_inc(&machine->writes);
        tpmdev_device_write(machine->device, at, (unsigned)width, value);
    }
}

/* ---- SPI: a frame belongs to one vCPU at a time ---- */

static void spi_bus(Machine *machine, bool is_read, uint32_t address, uint8_t *bytes, size_t size)
{
    g_atomic_int_inc(is_read ? &machine->reads : &machine->writes);
    g_mutex_lock(&machine->bus_lock);
    spi_frame(&machine->spi, is_read, address, bytes, size);
    g_mutex_unlock(&machine->bus_lock);
}

static void spi_bus_read(Machine *machine, uint32_t address, uint8_t *bytes, size_t size)
{
    spi_bus(machine, true, address, bytes, size);
}

static void spi_bus_write(Machine *machine, uint32_t address, const uint8_t *bytes, size_t size)
{
    uint8_t copy[SPI_FRAME_MAX];

    memcpy(copy, bytes, size);
    spi_bus(machine, false, address, copy, size);
}

static void configure_spi(TPMDeviceConfig *config)
{
    config->wait_states = 1;
}

/* ---- the FIFO interface ---- */

static void configure_nothing(TPMDeviceConfig *config)
{
    (void)config;
}

static void tis_cancel(Machine *machine, unsigned locality)
{
    const uint8_t cancel[4] = { 0, 0, 0, 1 };

    machine->bus->write(machine, locality << 12 | TIS_STS, cancel, sizeof(cancel));
}

static void tis_read_response(VCPU *vcpu)
{
    uint32_t fifo = vcpu->locality << 12 | TIS_FIFO;
    Machine *machine = vcpu->machine;

    machine->bus->read(machine, fifo, vcpu->response, HEADER_SIZE);
    vcpu->response_size = size_of(vcpu);
    if (vcpu->response_size > HEADER_SIZE) {
        machine->bus->read(machine, fifo, vcpu->response + HEADER_SIZE,
                           vcpu->response_size - HEADER_SIZE);
    }
}

/* stsValid and the bit, and none of those that are never set: all ones are nobody's status. */
static Result tis_wait_sts(VCPU *vcpu, uint8_t bits)
{
    return vcpu_wait(vcpu, TIS_STS, bits | 0x23, bits);
}

static Result tis_exchange(VCPU *vcpu, const uint8_t *command, size_t size)
{
    Machine *machine = vcpu->machine;
    Result result;

    vcpu_write(vcpu, TIS_ACCESS, 1, 0x02);
    result = vcpu_wait(vcpu, TIS_ACCESS, 0xA2, 0xA0);
    if (result != RESULT_ANSWERED) {
        return result;
    }
    vcpu_write(vcpu, TIS_INT_ENABLE, 4, 0x80000087);
    vcpu_write(vcpu, TIS_STS, 1, 0x40);
    result = tis_wait_sts(vcpu, 0x40);
    if (result != RESULT_ANSWERED) {
        return result;
    }
    machine->bus->write(machine, vcpu->locality << 12 | TIS_FIFO, command, size);
    vcpu_write(vcpu, TIS_STS, 1, 0x20);
    if (cancels_this(vcpu, command, size)) {
        tis_cancel(machine, vcpu->locality);
    }
    result = tis_wait_sts(vcpu, 0x90);
    if (result == RESULT_ANSWERED) {
        tis_read_response(vcpu);
    }
    return result;
}

static Result tis_carry(VCPU *vcpu, const uint8_t *command, size_t size)
{
    Result result = tis_exchange(vcpu, command, size);

    vcpu_write(vcpu, TIS_INT_STATUS, 4, 0x87);
    vcpu_write(vcpu, TIS_STS, 1, 0x40);
    vcpu_write(vcpu, TIS_ACCESS, 1, 0x20);
    return result;
}

/* ---- the Command Response Buffer ---- */

static void configure_localities(TPMDeviceConfig *config)
{
    config->localities = true;
    config->interrupts = true;
}

static void configure_page(TPMDeviceConfig *config)
{
    configure_localities(config);
    config->buffer_address = 0xFED50000;
}

static void configure_interrupts(TPMDeviceConfig *config)
{
    config->interrupts = true;
}

/*
 * The guest's accesses to its memory. They may meet the device's, as they may in a machine;
 * ThreadSanitizer is not to know of them.
 */
__attribute__((no_sanitize_thread)) static void copy_guest_memory(volatile uint8_t *to,
                                                                  const volatile uint8_t *from,
                                                                  size_t size)
{
    for (size_t i = 0; i < size; i++) {
        to[i] = from[i];
    }
}

static void crb_put(VCPU *vcpu, const uint8_t *command, size_t size)
{
    Machine *machine = vcpu->machine;
    uint8_t *page = tpmdev_device_get_page(machine->device);

    if (page) {
        copy_guest_memory(page, command, size);
    } else {
        machine->bus->write(machine, vcpu->locality << 12 | CRB_BUFFER, command, size);
    }
}

static void crb_get(VCPU *vcpu)
{
    Machine *machine = vcpu->machine;
    uint8_t *page = tpmdev_device_get_page(machine->device);
    size_t size = sizeof(vcpu->response);

    if (page) {
        copy_guest_memory(vcpu->response, page, size);
    } else {
        machine->bus->read(machine, vcpu->locality << 12 | CRB_BUFFER, vcpu->response, size);
    }
    vcpu->response_size = size_of(vcpu);
}

static void crb_cancel(Machine *machine, unsigned locality)
{
    const uint8_t cancel[4] = { 1, 0, 0, 0 };

    machine->bus->write(machine, locality << 12 | CRB_CANCEL, cancel, sizeof(cancel));
}

static Result crb_exchange(VCPU *vcpu, const uint8_t *command, size_t size)
{
    Result result;

    vcpu_write(vcpu, CRB_LOC_CTRL, 4, 1);
    result = vcpu_wait(vcpu, CRB_LOC_STS, 0x01, 0x01);
    if (result != RESULT_ANSWERED) {
        return result;
    }
    /* The command of one that has given up may still run, and would be taken for this one. */
    result = vcpu_wait(vcpu, CRB_START, 0xFF, 0x00);
    if (result != RESULT_ANSWERED) {
        return result;
    }
    vcpu_write(vcpu, CRB_INT_ENABLE, 4, 0x8000000F);
    vcpu_write(vcpu, CRB_REQ, 4, 1);
    crb_put(vcpu, command, size);
    vcpu_write(vcpu, CRB_START, 4, 1);
    if (cancels_this(vcpu, command, size)) {
        crb_cancel(vcpu->machine, vcpu->locality);
    }
    result = vcpu_wait(vcpu, CRB_START, 0xFF, 0x00);
    if (result == RESULT_ANSWERED) {
        crb_get(vcpu);
    }
    return result;
}

static Result crb_carry(VCPU *vcpu, const uint8_t *command, size_t size)
{
    Result result = crb_exchange(vcpu, command, size);

    vcpu_write(vcpu, CRB_INT_STS, 4, 0x0F);
    vcpu_write(vcpu, CRB_REQ, 4, 2);
    vcpu_write(vcpu, CRB_LOC_CTRL, 4, 2);
    return result;
}

/* ---- the table ---- */

/* clang-format off */
#define MEMORY .read = memory_read, .write = memory_write, .reentrant = true
#define FIFO   .carry = tis_carry, .cancel = tis_cancel, .int_status = TIS_INT_STATUS
#define BUFFER .carry = crb_carry, .cancel = crb_cancel, .int_status = CRB_INT_STS

const Bus buses[] = {
    { .name = "tis", .interface = TPM_INTERFACE_TIS, .shared = true,
      .configure = configure_nothing, MEMORY, FIFO },
    { .name = "crb", .interface = TPM_INTERFACE_CRB, .shared = false,
      .configure = configure_interrupts, MEMORY, BUFFER },
    { .name = "crb_with_localities", .interface = TPM_INTERFACE_CRB, .shared = true,
      .configure = configure_localities, MEMORY, BUFFER },
    { .name = "crb_with_a_page", .interface = TPM_INTERFACE_CRB, .shared = true,
      .guest_memory = true, .configure = configure_page, MEMORY, BUFFER },
    /* A callback comes from within a frame, and the bus has but one at a time. */
    { .name = "spi", .interface = TPM_INTERFACE_TIS_SPI, .shared = true,
      .frames = true, .reentrant = false,
      .configure = configure_spi, .read = spi_bus_read, .write = spi_bus_write, FIFO },
};
/* clang-format on */

const unsigned buses_count = G_N_ELEMENTS(buses);
