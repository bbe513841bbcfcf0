/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TPMHost: everything a TPM device needs of the hypervisor around it.
 *
 * The library calls these from a register access (on the thread that made it), from the thread
 * that runs @context, or from a thread of its own, and never while it holds a lock: a callback
 * may call back into the library, the same device included. Every member but @size may be left
 * NULL, save dma_read, dma_write and send_crq with a tpm-spapr device and clear_memory with
 * physical presence memory.
 */
#ifndef TPMDEV_HOST_H
#define TPMDEV_HOST_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tpmdev/backend.h>
#include <tpmdev/version.h>

G_BEGIN_DECLS

/**
 * TPMHost: callbacks and services of a hypervisor, copied by tpmdev_device_new()
 *
 * Begin with TPM_HOST_INIT, which sets @size. New members are only ever added at the end; a member
 * beyond @size is taken as NULL, so a program built against an older header keeps working.
 */
typedef struct TPMHost {
    /** sizeof(TPMHost) of the caller, in bytes */
    size_t size;

    /**
     * set_irq: drive the device's interrupt line
     * @opaque: as given to tpmdev_device_new()
     * @level:  true to assert, false to deassert; the line is level-triggered, active high
     *
     * Called once per change, never twice with the same level, never by two threads at once, and
     * the last call always carries the device's present level. A line starts deasserted.
     */
    void (*set_irq)(void *opaque, bool level);

    /**
     * guest_error: the guest did something the interface specification forbids
     * @opaque:  as given to tpmdev_device_new()
     * @message: what it did; valid during the call
     *
     * For a log or a trace point; the device has already dealt with it. At most ten a second
     * are reported, the rest are only counted (TPMDeviceStatistics.guest_errors).
     */
    void (*guest_error)(void *opaque, const char *message);

    /**
     * backend_error: the TPM behind the device failed
     * @opaque:  as given to tpmdev_device_new()
     * @message: what failed, in words; valid during the call
     *
     * The device lives on and answers the guest's commands with the failure response of its
     * version until the backend is back.
     */
    void (*backend_error)(void *opaque, const char *message);

    /**
     * now_ns: a monotonic clock
     * @opaque: as given to tpmdev_device_new()
     *
     * Returns nanoseconds from any fixed point. NULL: the system's CLOCK_MONOTONIC.
     */
    int64_t (*now_ns)(void *opaque);

    /**
     * context: where backend I/O and completions run
     *
     * The device takes a reference. The host must run it. When given, set_irq, backend_error,
     * backend_link and the callbacks of tpm-spapr are called only from a guest's access, from a
     * reset, from this context, or from within a call of <tpmdev/state.h> or
     * tpmdev_device_wait_ready(), which are for the thread that runs it. NULL: one thread of the
     * library, shared by all its devices, does that work.
     */
    GMainContext *context;

    /**
     * dma_read: copy from guest memory what the guest gave the device a DMA address of
     * @opaque:  as given to tpmdev_device_new()
     * @address: DMA address as the guest wrote it; translating it is the hypervisor's
     * @data:    where the bytes go
     * @size:    how many, at most TPM_SPAPR_BUFFER_SIZE; never more than the guest gave
     *
     * Of tpm-spapr, which must have it and the two that follow; other devices do no DMA. Of these
     * three one at a time is called, from tpmdev_device_send_crq() or where completions run.
     *
     * Returns true when all bytes were copied. False: some of them are not the guest's to give;
     * the command is not carried out, and the guest is told.
     */
    bool (*dma_read)(void *opaque, uint64_t address, void *data, size_t size);

    /**
     * dma_write: copy a response to guest memory
     * @opaque:  as given to tpmdev_device_new()
     * @address: DMA address of the command it answers
     * @data:    the bytes
     * @size:    how many, TPM_HEADER_SIZE to TPM_SPAPR_BUFFER_SIZE
     *
     * As dma_read. False: the guest is told that its response could not be written. The message
     * that announces the response follows when this has returned true, so the bytes must be there
     * for the guest's processors to see by then.
     */
    bool (*dma_write)(void *opaque, uint64_t address, const void *data, size_t size);

    /**
     * send_crq: put a message into the guest's Command/Response Queue, and raise its interrupt
     * @opaque:  as given to tpmdev_device_new()
     * @message: TPM_CRQ_MESSAGE_SIZE bytes in the order of guest memory; valid during the call
     *
     * As dma_read. The first byte must be written last, for the guest takes the message when that
     * is no longer 0. Messages come in the order in which the guest is to see them.
     *
     * Returns true when the message is in the queue. False when the queue is full, or there is
     * none: the message is kept, and offered again when tpmdev_device_send_crq() or
     * tpmdev_device_resume_crq() is called.
     */
    bool (*send_crq)(void *opaque, const uint8_t message[16]);

    /**
     * clear_memory: overwrite all memory of the guest, but for what the library gave the host to
     * map
     * @opaque: as given to tpmdev_device_new()
     *
     * Called from within tpmdev_device_reset(), on its thread and before it returns, once for each
     * time the guest asked for it (TCG Platform Reset Attack Mitigation Specification, "Memory
     * Overwrite Request"). The guest must not run before that is done.
     */
    void (*clear_memory)(void *opaque);

    /**
     * backend_link: the way to the TPM behind the device has changed
     * @opaque:  as given to tpmdev_device_new()
     * @link:    how it stands now; a new device's is TPM_LINK_CONNECTED until this says otherwise
     * @message: what happened, in words; NULL for TPM_LINK_CONNECTED; valid during the call
     *
     * Called where backend_error is, by one thread at a time, never twice with the same link. A
     * link that changes faster than ten times a second is told as it stands a second later; the
     * last call always carries the present state.
     */
    void (*backend_link)(void *opaque, TPMBackendLink link, const char *message);
} TPMHost;

/** Initialiser for a TPMHost that offers nothing yet: `TPMHost host = TPM_HOST_INIT;` */
#define TPM_HOST_INIT                                                                              \
    {                                                                                              \
        sizeof(TPMHost), NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL                \
    }

G_END_DECLS

#endif /* TPMDEV_HOST_H */
