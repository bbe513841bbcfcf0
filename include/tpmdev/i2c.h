/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TPMDevice on an I2C bus: TPM_INTERFACE_TIS_I2C.
 *
 * A hypervisor's I2C bus knows at which address the device is; when a guest's transfer goes there,
 * it calls tpmdev_device_i2c_event() for what happens on the bus and tpmdev_device_i2c_send() or
 * tpmdev_device_i2c_receive() for each byte (TCG TPM I2C Interface Specification). Everything
 * else, from tpmdev_device_new() to the reset, is as for any device; its registers are in no
 * address space, so tpmdev_device_get_size() is 0.
 *
 * Threads: as for tpmdev_device_read(), any thread, and no call waits. The order of the calls of
 * one transfer is the bus's to keep; any other order does no harm.
 */
#ifndef TPMDEV_I2C_H
#define TPMDEV_I2C_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <tpmdev/device.h>
#include <tpmdev/version.h>

G_BEGIN_DECLS

/**
 * TPMI2CEvent: what happens on the bus besides bytes
 * @TPM_I2C_START_SEND:    start, or start again, and the device's address to send bytes to
 * @TPM_I2C_START_RECEIVE: the same to receive bytes from
 * @TPM_I2C_STOP:          the transfer ends; a register that was written takes effect now
 * @TPM_I2C_NACK:          the guest wants no byte after the last it received
 *
 * New events are only ever added at the end.
 */
typedef enum TPMI2CEvent {
    TPM_I2C_START_SEND,
    TPM_I2C_START_RECEIVE,
    TPM_I2C_STOP,
    TPM_I2C_NACK,
} TPMI2CEvent;

/**
 * tpmdev_device_i2c_event: something happens on the bus, in a transfer to this device
 * @device: a device of TPM_INTERFACE_TIS_I2C
 * @event:  what
 *
 * Any thread may call it. TPM_I2C_STOP may linger for the completion window, as the write that
 * starts a command does anywhere else.
 *
 * Returns true when the device acknowledges its address; false from a device of another
 * interface, and for an event there is not.
 */
TPMDEV_EXPORT
bool tpmdev_device_i2c_event(TPMDevice *device, TPMI2CEvent event);

/**
 * tpmdev_device_i2c_send: the guest sends a byte: a register's number, then what is written to it
 * @device: a device of TPM_INTERFACE_TIS_I2C
 * @byte:   the byte
 *
 * Any thread may call it. It counts as one of TPMDeviceStatistics.writes.
 *
 * Returns true when the device acknowledges; false, upon which the bus ends the transfer, for a
 * register there is not, beyond the register's four bytes, outside of a transfer, and from a
 * device of another interface.
 */
TPMDEV_EXPORT
bool tpmdev_device_i2c_send(TPMDevice *device, uint8_t byte);

/**
 * tpmdev_device_i2c_receive: the guest receives a byte
 * @device: a device of TPM_INTERFACE_TIS_I2C
 *
 * Any thread may call it. It counts as one of TPMDeviceStatistics.reads.
 *
 * Returns the next byte of the register that was named, lowest first; 0 behind its fourth byte,
 * where no register is named, and outside of a transfer; FFh, as an idle bus, from a device of
 * another interface.
 */
TPMDEV_EXPORT
uint8_t tpmdev_device_i2c_receive(TPMDevice *device);

G_END_DECLS

#endif /* TPMDEV_I2C_H */
