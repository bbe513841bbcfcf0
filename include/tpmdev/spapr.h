/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tpm-spapr: the virtual TPM of POWER's platforms, and what its hypervisor does for it.
 *
 * The device has no registers. The guest sends it messages of 16 bytes by the hypercall
 * H_SEND_CRQ, the device answers with such messages in the guest's Command/Response Queue, and
 * commands and responses are moved by DMA (LoPAPR, "Virtual TPM" and "Reliable Command/Response
 * Transport"). The queue itself, its interrupt and the translation of DMA addresses are the
 * hypervisor's, as they are for every virtual I/O device: TPMHost.send_crq, dma_read, dma_write.
 *
 * What the hypervisor answers itself: H_REG_CRQ, H_FREE_CRQ, H_ENABLE_CRQ and H_VIO_SIGNAL. What
 * it tells the device: H_SEND_CRQ, that a queue began anew or ended, and that there may be room in
 * it again.
 */
#ifndef TPMDEV_SPAPR_H
#define TPMDEV_SPAPR_H

#include <glib.h>
#include <stdint.h>
#include <tpmdev/device.h>

G_BEGIN_DECLS

/** Bytes of a message of the Command/Response Queue. */
#define TPM_CRQ_MESSAGE_SIZE 16u

/** Bytes of the largest command and response (`GET_RTCE_BUFFER_SIZE` may say less). */
#define TPM_SPAPR_BUFFER_SIZE 4096u

/** Return codes of hypercalls (LoPAPR, "Hypervisor Call Return Codes"): those of H_SEND_CRQ. */
#define TPM_H_SUCCESS   0
#define TPM_H_BUSY      1
#define TPM_H_CLOSED    2
#define TPM_H_PARAMETER (-4)
#define TPM_H_DROPPED   (-12)

/**
 * Device tree, /vdevice: the node's name before its unit address, and its device_type. For
 * "compatible" see tpmdev_spapr_get_compatible().
 */
#define TPM_SPAPR_NODE_NAME   "vtpm"
#define TPM_SPAPR_DEVICE_TYPE "IBM,vtpm"

/** Bytes of the device's window of DMA addresses ("ibm,my-dma-window"). */
#define TPM_SPAPR_DMA_WINDOW_SIZE 0x10000000u

/** The bits of H_VIO_SIGNAL's mode the device knows: its one interrupt. */
#define TPM_SPAPR_SIGNAL_MASK 1u

/** tpmdev_spapr_get_compatible: the node's "compatible" for a TPM of @version; static; any thread
 */
TPMDEV_EXPORT
const char *tpmdev_spapr_get_compatible(TPMVersion version);

/**
 * tpmdev_device_send_crq: the guest sent a message by H_SEND_CRQ
 * @device: a tpm-spapr device
 * @high:   its bytes 0 to 7, big-endian: the hypercall's second argument
 * @low:    its bytes 8 to 15: the third
 *
 * Any thread may call it. What the message asks for is done before it returns: the command's DMA,
 * and the delivery of an answer that does not need the TPM. Firmware depends on it. The exception
 * is a moment at which another thread is within dma_read, dma_write or send_crq of this device:
 * then that thread does it next. As a register write it never waits, but for the completion
 * window of a short command.
 *
 * Returns what the hypercall returns: TPM_H_SUCCESS, also for messages nobody knows; TPM_H_BUSY
 * for a command while one is under way; TPM_H_DROPPED when the guest has left so many answers
 * undelivered that there is no place for another; TPM_H_PARAMETER when the device is no tpm-spapr.
 * While no queue is registered a hypervisor may return TPM_H_CLOSED without asking the device.
 */
TPMDEV_EXPORT
int64_t tpmdev_device_send_crq(TPMDevice *device, uint64_t high, uint64_t low);

/**
 * tpmdev_device_reset_crq: the guest's queue began anew, or is no more
 * @device: a tpm-spapr device; with others nothing happens
 *
 * For a successful H_REG_CRQ and H_FREE_CRQ. Answers that wait for the old queue are dropped. A
 * command under way is cancelled and its response neither written to the guest's memory, which may
 * have another use by now, nor announced; the next command waits for its end. The TPM goes on, its
 * PCRs are untouched. Any thread may call it, and it returns at once: a callback that another
 * thread is within at that moment still ends.
 */
TPMDEV_EXPORT
void tpmdev_device_reset_crq(TPMDevice *device);

/**
 * tpmdev_device_resume_crq: there may be room in the guest's queue again
 * @device: a tpm-spapr device; with others nothing happens
 *
 * For a hypervisor whose send_crq has returned false: answers that wait are offered again, in
 * their order, before it returns. tpmdev_device_send_crq() does that too. H_ENABLE_CRQ and
 * H_VIO_SIGNAL are good moments; nothing is lost by calling it too often. Any thread may call it.
 */
TPMDEV_EXPORT
void tpmdev_device_resume_crq(TPMDevice *device);

G_END_DECLS

#endif /* TPMDEV_SPAPR_H */
