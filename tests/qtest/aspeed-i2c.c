/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ASPEED's I2C controller in its byte mode; see aspeed-i2c.h. Each bus has
 *
 *   00h  FUN_CTRL   bit 0: master enable; all of it reads back
 *   14h  CMD        what to do with the byte, in this order; reads 0, for all is done at once
 *   20h  BYTE_BUF   bits 7:0 the byte to send, bits 15:8 the byte received
 *
 * and other registers, of interrupts and timing, that are not here and read 0.
 */
#include "aspeed-i2c.h"

#include <string.h>

#define BUSES     16u
#define BUS_FIRST 0x80u /* where the registers of bus 0 are */
#define BUS_SIZE  0x80u

#define REG_FUN_CTRL 0x00u
#define REG_CMD      0x14u
#define REG_BYTE_BUF 0x20u

#define FUN_CTRL_MASTER_ENABLE (1u << 0)

#define CMD_START   (1u << 0) /* send the byte as the address and direction; so TX means nothing */
#define CMD_TX      (1u << 1) /* send the byte */
#define CMD_RX      (1u << 3) /* receive one */
#define CMD_RX_LAST (1u << 4) /* and tell the device that it was the last */
#define CMD_STOP    (1u << 5)

/* What an idle bus reads as: nobody pulls it down. */
#define IDLE_BUS 0xFFu

/* Addresses the I2C specification leaves to devices. */
#define ADDRESS_MIN 0x08u
#define ADDRESS_MAX 0x77u

#define BUS_NAME "aspeed.i2c.bus."

typedef struct Bus {
    uint32_t fun_ctrl;
    uint8_t byte_sent;
    uint8_t byte_received;
    bool busy; /* the device has acknowledged its address, and there was no stop since */
    uint8_t address;
    TPMDevice *device; /* not a reference; NULL on an empty bus */
} Bus;

struct AspeedI2C {
    Bus buses[BUSES];
};

/* ---- where a device is ---- */

static bool parse_bus(const char *name, unsigned *bus, GError **error)
{
    for (*bus = 0; name && *bus < BUSES; (*bus)++) {
        g_autofree char *known = g_strdup_printf(BUS_NAME "%u", *bus);

        if (strcmp(name, known) == 0) {
            return true;
        }
    }
    if (name) {
        g_set_error(error, MACHINE_ERROR, 0, "Bus '%s' not found; there are " BUS_NAME "0 to %u",
                    name, BUSES - 1);
    } else {
        g_set_error(error, MACHINE_ERROR, 0,
                    "Parameter 'bus' is missing; give bus=" BUS_NAME "N, N from 0 to %u",
                    BUSES - 1);
    }
    return false;
}

static bool parse_address(const char *text, uint8_t *address, GError **error)
{
    char *end = NULL;
    guint64 number = text ? g_ascii_strtoull(text, &end, 0) : 0;

    if (!text) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "Parameter 'address' is missing; give an I2C address such as 0x2e");
        return false;
    }
    if (*end || !g_ascii_isdigit(*text) || number < ADDRESS_MIN || number > ADDRESS_MAX) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "Parameter 'address' expects an I2C address from 0x%02x to 0x%02x, not '%s'",
                    ADDRESS_MIN, ADDRESS_MAX, text);
        return false;
    }
    *address = (uint8_t)number;
    return true;
}

bool aspeed_i2c_parse_place(const KeyVal *keyval, AspeedI2CPlace *place, GError **error)
{
    return parse_bus(keyval_get(keyval, "bus"), &place->bus, error) &&
           parse_address(keyval_get(keyval, "address"), &place->address, error);
}

/* ---- life ---- */

AspeedI2C *aspeed_i2c_new(void)
{
    return g_new0(AspeedI2C, 1);
}

void aspeed_i2c_free(AspeedI2C *controller)
{
    g_free(controller);
}

void aspeed_i2c_attach(AspeedI2C *controller, const AspeedI2CPlace *place, TPMDevice *device)
{
    controller->buses[place->bus].device = device;
    controller->buses[place->bus].address = place->address;
}

void aspeed_i2c_reset(AspeedI2C *controller)
{
    for (unsigned i = 0; i < BUSES; i++) {
        const Bus fresh = { .device = controller->buses[i].device,
                            .address = controller->buses[i].address };

        controller->buses[i] = fresh;
    }
}

/* ---- the bus ---- */

static void bus_stop(Bus *bus)
{
    if (bus->busy) {
        tpmdev_device_i2c_event(bus->device, TPM_I2C_STOP);
        bus->busy = false;
    }
}

static void bus_start(Bus *bus)
{
    bool receive = bus->byte_sent & 1;

    if (!bus->device || bus->byte_sent >> 1 != bus->address) {
        bus_stop(bus);
        return;
    }
    bus->busy =
        tpmdev_device_i2c_event(bus->device, receive ? TPM_I2C_START_RECEIVE : TPM_I2C_START_SEND);
}

/* A byte that is not acknowledged ends the transfer. */
static void bus_send(Bus *bus)
{
    if (bus->busy && !tpmdev_device_i2c_send(bus->device, bus->byte_sent)) {
        bus_stop(bus);
    }
}

static void bus_receive(Bus *bus, bool last)
{
    bus->byte_received = bus->busy ? tpmdev_device_i2c_receive(bus->device) : IDLE_BUS;
    if (bus->busy && last) {
        tpmdev_device_i2c_event(bus->device, TPM_I2C_NACK);
    }
}

static void bus_command(Bus *bus, uint32_t command)
{
    if (!(bus->fun_ctrl & FUN_CTRL_MASTER_ENABLE)) {
        return;
    }
    if (command & CMD_START) {
        bus_start(bus);
    } else if (command & CMD_TX) {
        bus_send(bus);
    }
    if (command & (CMD_RX | CMD_RX_LAST)) {
        bus_receive(bus, command & CMD_RX_LAST);
    }
    if (command & CMD_STOP) {
        bus_stop(bus);
    }
}

/* ---- registers ---- */

/* Which bus is this a register of? BUSES for those of the whole controller, and for none. */
static unsigned bus_of(uint32_t offset)
{
    return offset < BUS_FIRST ? BUSES : MIN((offset - BUS_FIRST) / BUS_SIZE, BUSES);
}

uint32_t aspeed_i2c_read(const AspeedI2C *controller, uint32_t offset)
{
    const Bus *bus = &controller->buses[bus_of(offset)];

    if (bus_of(offset) == BUSES) {
        return 0;
    }
    switch (offset % BUS_SIZE) {
    case REG_FUN_CTRL:
        return bus->fun_ctrl;
    case REG_BYTE_BUF:
        return (uint32_t)bus->byte_received << 8 | bus->byte_sent;
    default:
        return 0;
    }
}

void aspeed_i2c_write(AspeedI2C *controller, uint32_t offset, uint32_t value)
{
    Bus *bus = &controller->buses[bus_of(offset)];

    if (bus_of(offset) == BUSES) {
        return;
    }
    switch (offset % BUS_SIZE) {
    case REG_FUN_CTRL:
        bus->fun_ctrl = value;
        break;
    case REG_CMD:
        bus_command(bus, value);
        break;
    case REG_BYTE_BUF:
        bus->byte_sent = (uint8_t)value;
        break;
    default:
        break;
    }
}

/* ---- another machine's: of each bus FUN_CTRL, both bytes, whether it is busy, a zero ---- */

#define BUS_STATE_SIZE (ASPEED_I2C_STATE_SIZE / BUSES)

void aspeed_i2c_save(const AspeedI2C *controller, uint8_t state[ASPEED_I2C_STATE_SIZE])
{
    for (unsigned i = 0; i < BUSES; i++) {
        const Bus *bus = &controller->buses[i];
        uint8_t *bytes = state + i * BUS_STATE_SIZE;

        for (unsigned j = 0; j < 4; j++) {
            bytes[j] = (uint8_t)(bus->fun_ctrl >> (8 * j));
        }
        bytes[4] = bus->byte_sent;
        bytes[5] = bus->byte_received;
        bytes[6] = bus->busy;
        bytes[7] = 0;
    }
}

bool aspeed_i2c_state_is_valid(const AspeedI2C *controller,
                               const uint8_t state[ASPEED_I2C_STATE_SIZE])
{
    for (unsigned i = 0; i < BUSES; i++) {
        const uint8_t *bytes = state + i * BUS_STATE_SIZE;

        if (bytes[6] > (controller->buses[i].device ? 1 : 0) || bytes[7]) {
            return false;
        }
    }
    return true;
}

void aspeed_i2c_load(AspeedI2C *controller, const uint8_t state[ASPEED_I2C_STATE_SIZE])
{
    for (unsigned i = 0; i < BUSES; i++) {
        const uint8_t *bytes = state + i * BUS_STATE_SIZE;
        Bus *bus = &controller->buses[i];

        bus->fun_ctrl = 0;
        for (unsigned j = 0; j < 4; j++) {
            bus->fun_ctrl |= (uint32_t)bytes[j] << (8 * j);
        }
        bus->byte_sent = bytes[4];
        bus->byte_received = bytes[5];
        bus->busy = bytes[6];
    }
}
