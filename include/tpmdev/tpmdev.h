/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libtpmdev: the TPM devices a guest sees, as a library.
 *
 * This is the one include a program needs. Each topic has a short header of its own:
 *
 *   version.h      which library this is
 *   error.h        the error domain of everything that can fail
 *   host.h         TPMHost, what the library asks of a hypervisor
 *   backend.h      TPMBackend, the TPM behind a device, and how to write one
 *   statistics.h   what a TPM has been doing, in numbers
 *   device.h       TPMDevice, the registers in front of it
 *   i2c.h          the same registers on an I2C bus
 *   spi.h          and on an SPI bus
 *   spapr.h        the device of POWER's platforms, which has messages in place of registers
 *   state.h        saving a device, and loading it elsewhere
 *   acpi.h         the tables by which firmware and systems find the device
 *   device_tree.h  the node by which they find it where there is no ACPI
 *   fw_cfg.h       the files by which firmware gets them from a QEMU-like machine
 */
#ifndef TPMDEV_TPMDEV_H
#define TPMDEV_TPMDEV_H

#include <tpmdev/acpi.h>
#include <tpmdev/backend.h>
#include <tpmdev/device.h>
#include <tpmdev/device_tree.h>
#include <tpmdev/error.h>
#include <tpmdev/fw_cfg.h>
#include <tpmdev/host.h>
#include <tpmdev/i2c.h>
#include <tpmdev/spapr.h>
#include <tpmdev/spi.h>
#include <tpmdev/state.h>
#include <tpmdev/statistics.h>
#include <tpmdev/version.h>

#endif /* TPMDEV_TPMDEV_H */
