/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TPMDevice: the registers of a TPM, as a guest sees them.
 *
 * A hypervisor maps tpmdev_device_get_size() bytes of guest physical addresses to
 * tpmdev_device_read() and tpmdev_device_write(), calls tpmdev_device_reset() when the machine is
 * reset, and that is all. A device on a bus has no such addresses, and calls of its own in their
 * place: i2c.h, spi.h, spapr.h. No access waits for the TPM behind the device, however sick that
 * is; the one bounded exception is the completion window below.
 *
 * Threads: any number of vCPU threads may access one device at once; the library locks per
 * device. tpmdev_device_free() may only be called when no other call on the device is under way.
 */
#ifndef TPMDEV_DEVICE_H
#define TPMDEV_DEVICE_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tpmdev/backend.h>
#include <tpmdev/error.h>
#include <tpmdev/host.h>
#include <tpmdev/version.h>

G_BEGIN_DECLS

/** Where a PC has its TPM (TCG PC Client Platform TPM Profile, "TPM Register Space"). */
#define TPM_BASE_ADDRESS 0xFED40000u

/** Bytes of guest physical address space of a TIS device: five localities of a page each. */
#define TPM_TIS_SIZE 0x5000u

/** Bytes of the largest command and response a TIS device carries. */
#define TPM_TIS_BUFFER_SIZE 4096u

/** Bytes of guest physical address space of one locality of a CRB device. */
#define TPM_CRB_SIZE 0x1000u

/** Bytes of the page that a CRB device's buffer can be put on. */
#define TPM_CRB_PAGE_SIZE 0x1000u

/**
 * Bytes of the physical presence memory (TCG PC Client Platform Physical Presence Interface
 * Specification 1.30; the layout is QEMU's).
 */
#define TPM_PPI_SIZE 0x400u

/** Where a PC has it: behind the registers of a TIS device at TPM_BASE_ADDRESS. */
#define TPM_PPI_ADDRESS 0xFED45000u

/** TPMDevice: one TPM device. Opaque. */
typedef struct TPMDevice TPMDevice;

/**
 * TPMInterface: which registers a device shows
 * @TPM_INTERFACE_TIS: the FIFO interface of the TCG PC Client TPM Interface Specification and of
 *                     the Platform TPM Profile, memory-mapped; QEMU's `tpm-tis`
 * @TPM_INTERFACE_CRB: the Command Response Buffer interface of the Platform TPM Profile, for
 *                     TPM 2.0 alone; QEMU's `tpm-crb`
 * @TPM_INTERFACE_TIS_SYSBUS: the registers of TPM_INTERFACE_TIS at any address, for machines that
 *                     are no PC; QEMU's `tpm-tis-device`
 * @TPM_INTERFACE_TIS_I2C: these registers on an I2C bus, for TPM 2.0 alone, reached by the calls of
 *                     <tpmdev/i2c.h>; QEMU's `tpm-tis-i2c`
 * @TPM_INTERFACE_TIS_SPI: the registers of TPM_INTERFACE_TIS on an SPI bus, `tpm-tis-spi`; it takes
 *                     no memory, see <tpmdev/spi.h>
 * @TPM_INTERFACE_SPAPR: messages and DMA in place of registers, for POWER's platforms; QEMU's
 *                     `tpm-spapr`; see <tpmdev/spapr.h>
 *
 * New interfaces are only ever added at the end.
 */
typedef enum TPMInterface {
    TPM_INTERFACE_TIS,
    TPM_INTERFACE_CRB,
    TPM_INTERFACE_TIS_SYSBUS,
    TPM_INTERFACE_TIS_I2C,
    TPM_INTERFACE_TIS_SPI,
    TPM_INTERFACE_SPAPR,
} TPMInterface;

/** The completion window when nothing else is asked for, in nanoseconds. */
#define TPM_COMPLETION_WINDOW_DEFAULT_NS 100000

/**
 * TPMDeviceConfig: how a device is to be
 *
 * Begin with TPM_DEVICE_CONFIG_INIT, which sets @size and the defaults. New members are only ever
 * added at the end; one beyond @size has its default.
 */
typedef struct TPMDeviceConfig {
    /** sizeof(TPMDeviceConfig) of the caller, in bytes */
    size_t size;

    /** which registers it shows; default TPM_INTERFACE_TIS */
    TPMInterface interface;

    /** the serial interrupt INT_VECTOR shows, 0 (none) to 15; default 5, as QEMU's */
    unsigned irq;

    /**
     * how long the write that starts a short command may wait for its response, in nanoseconds,
     * 0 to 1000000; 0 turns the wait off; default TPM_COMPLETION_WINDOW_DEFAULT_NS
     *
     * Drivers look at the status once right after they start a command and then sleep for a
     * millisecond, so a response that is there at once is worth a great deal. A TPM that was late
     * is not waited for again until it has been quick.
     */
    int64_t completion_window_ns;

    /**
     * guest physical address of the device, a multiple of 1000h; default TPM_BASE_ADDRESS. A CRB
     * device tells the guest where its buffer is; a TIS device makes no other use of it, and one
     * on a bus none.
     */
    uint64_t base;

    /** CRB: localities 0 to 4 of a page each with seize, not locality 0 alone; default false */
    bool localities;

    /** CRB: the interrupts of TPM_CRB_INT_ENABLE and TPM_CRB_INT_STS; default false */
    bool interrupts;

    /**
     * CRB: guest physical address of a page of TPM_CRB_PAGE_SIZE bytes for command and response,
     * a multiple of it outside the device; the host maps tpmdev_device_get_page() there as memory,
     * and the guest moves its commands without exits. What fits of it is at offset 80h of the
     * device, too. Default 0: the buffer is there alone, and is read and written as the registers
     * are.
     */
    uint64_t buffer_address;

    /**
     * CRB: commands and responses larger than the buffer are moved through it piece by piece, up
     * to what the TPM takes (Platform TPM Profile 1.07, draft: CapCRBChunk); default false: they
     * are at most of the buffer's size
     */
    bool chunk;

    /**
     * TIS, memory-mapped: writes at locality 4 to TPM_HASH_START, TPM_HASH_DATA and TPM_HASH_END
     * make a D-RTM measurement (TCG PC Client Platform TPM Profile, "TPM_HASH_START"); default
     * false: they are ignored. The backend must be able to, else TPM_ERROR_UNSUPPORTED.
     *
     * Who can write there can forge what PCR 17 vouches for. The host must let through only what
     * its own emulation of SENTER, SKINIT or an H-CRTM writes, and never a guest's access.
     */
    bool drtm;

    /**
     * SPI: how many wait states the device puts before the bytes of a FIFO, 0 to 50; before those
     * of other registers it puts one, if any, as the Platform TPM Profile allows. Default 0: it
     * answers at once. For testing drivers: real TPMs make them wait.
     */
    unsigned wait_states;

    /**
     * guest physical address of the physical presence memory, a multiple of TPM_PPI_SIZE below
     * 4 GiB and outside the device, such as TPM_PPI_ADDRESS; the host maps
     * tpmdev_device_get_ppi() there as memory and has a TPMHost.clear_memory. Default 0: none.
     */
    uint64_t ppi_address;

    /**
     * TIS, on every bus: TPM_STS.selfTestDone is set by any command after which the TPM has tested
     * itself in full: TPM_SelfTestFull, TPM_ContinueSelfTest, TPM2_SelfTest, and
     * TPM2_IncrementalSelfTest that leaves nothing to be tested. Default false: by
     * TPM_ContinueSelfTest of TPM 1.2 alone, as QEMU's devices do.
     */
    bool selftest;

    /**
     * the device is made for tpmdev_device_load(): it is held, as <tpmdev/state.h> has it, and its
     * TPM is not started before tpmdev_device_resume(). Default false: the TPM starts at once.
     */
    bool incoming;
} TPMDeviceConfig;

/** Initialiser with the defaults: `TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;` */
#define TPM_DEVICE_CONFIG_INIT                                                                     \
    {                                                                                              \
        sizeof(TPMDeviceConfig), TPM_INTERFACE_TIS, 5, TPM_COMPLETION_WINDOW_DEFAULT_NS,           \
            TPM_BASE_ADDRESS, false, false, 0, false, false, 0, 0, false, false                    \
    }

/**
 * TPMAccess: what became of a register access
 * @TPM_ACCESS_OK:         done
 * @TPM_ACCESS_BAD_WIDTH:  the width is not 1, 2, 4 or 8; a read yields all ones, a write nothing
 * @TPM_ACCESS_BAD_OFFSET: not wholly inside the device; a read yields all ones, a write nothing
 *
 * A register that does not exist is not an error: it reads as all ones and ignores writes.
 */
typedef enum TPMAccess {
    TPM_ACCESS_OK,
    TPM_ACCESS_BAD_WIDTH,
    TPM_ACCESS_BAD_OFFSET,
} TPMAccess;

/**
 * TPMDeviceStatistics: what a device has done since it was made
 *
 * Begin with `{ sizeof(TPMDeviceStatistics) }`; only that many bytes are written.
 */
typedef struct TPMDeviceStatistics {
    /** sizeof(TPMDeviceStatistics) of the caller, in bytes */
    size_t size;
    /** register reads the guest made; SPI: frames, I2C: bytes received, tpm-spapr: none */
    uint64_t reads;
    /** register writes the guest made; SPI: frames, I2C: bytes sent, tpm-spapr: none */
    uint64_t writes;
    /** commands the guest started */
    uint64_t commands;
    /** of these, completed before the write that started them returned */
    uint64_t inline_completions;
    /** of these, malformed and answered by the device itself */
    uint64_t rejected_commands;
    /** of these, answered with a failure because the backend gave no usable response */
    uint64_t failures;
    /** cancellations the guest or a reset asked for */
    uint64_t cancels;
    /** resets */
    uint64_t resets;
    /** things the guest did that the interface specification forbids */
    uint64_t guest_errors;
    /** interrupts asserted */
    uint64_t interrupts;
    /** D-RTM hash sequences that ended with their measurement in the TPM */
    uint64_t measurements;
    /** and of those that ended with none: the TPM failed, or more was written than it could take */
    uint64_t failed_measurements;
    /** commands after which the TPM had tested itself in full */
    uint64_t self_tests;
} TPMDeviceStatistics;

/**
 * tpmdev_device_new: make a device in front of a TPM, and start both
 * @config:  how it is to be; copied; NULL for the defaults
 * @backend: the TPM behind it, serving no other device; the device takes a reference
 * @host:    what the hypervisor offers; copied; NULL for nothing
 * @opaque:  handed to every callback of @host
 * @error:   where a failure is described
 *
 * The device is as after a reset, unless it is made with TPMDeviceConfig.incoming. The TPM's start
 * may still be under way; commands wait for it, and so can the host, with
 * tpmdev_device_wait_ready(). Any thread may call it; it never waits.
 *
 * Returns a device, or NULL: TPM_ERROR_INVALID_OPTION for @config, TPM_ERROR_IN_USE when the
 * backend serves another device, TPM_ERROR_UNSUPPORTED when the interface cannot show such a TPM,
 * TPM_ERROR_MISSING_OPTION when it needs a callback that @host lacks, TPM_ERROR_IO when there is
 * no thread for the TPM's I/O, or are no random bytes for drtm.
 */
TPMDEV_EXPORT
TPMDevice *tpmdev_device_new(const TPMDeviceConfig *config, TPMBackend *backend,
                             const TPMHost *host, void *opaque, GError **error);

/**
 * tpmdev_device_new_from_string: make a device as a command line describes it
 * @options:  `MODEL,tpmdev=ID[,irq=N][,window=MICROSECONDS][,base=ADDRESS]`; MODEL is one of
 *            tpmdev_device_get_models(); `tpm-crb` also takes `localities=on|off`,
 *            `interrupts=on|off`, `chunk=on|off` and `buffer=page,buffer-address=ADDRESS`;
 *            `tpm-tis` and `tpm-tis-device` take `drtm=on|off`, and all three `ppi=on|off`, which
 *            is off unless asked for, and `ppi-address=ADDRESS`, by default TPM_PPI_ADDRESS;
 *            `tpm-tis-spi` takes `wait-states=N`; `tpm-tis-i2c` and `tpm-spapr` take neither `irq`
 *            nor `base`; all but `tpm-crb` and `tpm-spapr` take `selftest=on|off`; all take
 *            `incoming=on|off`, by which a host makes a device for tpmdev_device_load()
 * @backends: NULL-terminated array of the backends `tpmdev=` can name
 * @host:     as for tpmdev_device_new()
 * @opaque:   as for tpmdev_device_new()
 * @error:    where a failure is described
 *
 * Any thread may call it. Returns a device, or NULL: TPM_ERROR_INVALID_OPTION,
 * TPM_ERROR_MISSING_OPTION, TPM_ERROR_NOT_FOUND for an unknown model or backend, or as
 * tpmdev_device_new().
 */
TPMDEV_EXPORT
TPMDevice *tpmdev_device_new_from_string(const char *options, TPMBackend *const *backends,
                                         const TPMHost *host, void *opaque, GError **error);

/**
 * tpmdev_device_free: free a device
 * @device: a device, or NULL
 *
 * After it returns no callback is made. A command under way is abandoned, and the backend's
 * reference is dropped. Not from within a callback. Returns NULL.
 */
TPMDEV_EXPORT
TPMDevice *tpmdev_device_free(TPMDevice *device);

/**
 * tpmdev_device_reset: reset the device and power-cycle its TPM
 *
 * For a machine reset, and for a resume from S3. Returns at once: the registers have their reset
 * values, a command under way is cancelled and its response dropped, the interrupt line is low,
 * and commands wait until the TPM is back. A guest that asked for it by the physical presence
 * interface has its memory cleared by TPMHost.clear_memory before this returns. Any thread may
 * call it.
 */
TPMDEV_EXPORT
void tpmdev_device_reset(TPMDevice *device);

/**
 * tpmdev_device_wait_ready: wait until the TPM's start is over
 * @device:     the device
 * @timeout_ns: for how long at most, in nanoseconds of CLOCK_MONOTONIC
 * @error:      where a failure is described
 *
 * For a host whose guest does not run, after tpmdev_device_new() and, if it likes, after a reset:
 * a TPM 1.2 takes the better part of a second to start, more than some firmware waits for a
 * command. It blocks, as those of <tpmdev/state.h> do and no other call on a device: not for a
 * vCPU's thread, nor from within a callback. Where the host gave a context, call it on the thread
 * that runs it; the context itself is not run meanwhile.
 *
 * Returns TRUE when the TPM takes commands, or FALSE: what the backend said of a start that
 * failed, or TPM_ERROR_TIMED_OUT, also where the device is held and so does not start it. The
 * device serves the guest either way, with failure responses if need be.
 */
TPMDEV_EXPORT
gboolean tpmdev_device_wait_ready(TPMDevice *device, int64_t timeout_ns, GError **error);

/**
 * tpmdev_device_read: the guest reads
 * @device: the device
 * @offset: bytes from the start of the device's address range
 * @width:  1, 2, 4 or 8 bytes; any alignment
 * @value:  where the value goes, little-endian register bytes as a number
 *
 * Any thread may call it. It never waits. An access wider than 4 bytes or unaligned is made as
 * the aligned pieces it consists of, from the lowest address up.
 */
TPMDEV_EXPORT
TPMAccess tpmdev_device_read(TPMDevice *device, uint64_t offset, unsigned width, uint64_t *value);

/**
 * tpmdev_device_write: the guest writes
 * @device: the device
 * @offset: bytes from the start of the device's address range
 * @width:  1, 2, 4 or 8 bytes; any alignment
 * @value:  the value, in its low @width bytes
 *
 * As tpmdev_device_read(). The write that starts a command may linger for the completion window.
 */
TPMDEV_EXPORT
TPMAccess tpmdev_device_write(TPMDevice *device, uint64_t offset, unsigned width, uint64_t value);

/**
 * tpmdev_device_get_size: bytes of guest physical address space it takes, 0 for a device on a bus
 * of its own; any thread
 */
TPMDEV_EXPORT
size_t tpmdev_device_get_size(const TPMDevice *device);

/** tpmdev_device_get_model: QEMU's name for it, such as "tpm-tis"; static; any thread */
TPMDEV_EXPORT
const char *tpmdev_device_get_model(const TPMDevice *device);

/** tpmdev_device_get_interface: which registers it shows; any thread */
TPMDEV_EXPORT
TPMInterface tpmdev_device_get_interface(const TPMDevice *device);

/**
 * tpmdev_device_get_page: the memory of a CRB device's buffer page
 *
 * Any thread may call it. Returns TPM_CRB_PAGE_SIZE bytes, aligned to as many, for the host to map
 * into the guest at TPMDeviceConfig.buffer_address; they last as long as the device, and the guest
 * may change them at any time. NULL when the device has no such page.
 */
TPMDEV_EXPORT
void *tpmdev_device_get_page(const TPMDevice *device);

/**
 * tpmdev_device_get_ppi: the physical presence memory
 *
 * Any thread may call it. Returns TPM_PPI_SIZE bytes, at the front of a page of 4 KiB that has
 * nothing else in it, for the host to map into the guest at TPMDeviceConfig.ppi_address. They last
 * as long as the device, survive every reset, and the guest may change them at any time. NULL when
 * the device has no such memory.
 */
TPMDEV_EXPORT
void *tpmdev_device_get_ppi(const TPMDevice *device);

/** tpmdev_device_get_ppi_address: where the guest finds that memory, 0 for nowhere; any thread */
TPMDEV_EXPORT
uint64_t tpmdev_device_get_ppi_address(const TPMDevice *device);

/**
 * tpmdev_device_get_page_address: where the memory of a CRB device's buffer page belongs
 *
 * Any thread may call it. Returns the guest physical address at which the host maps
 * tpmdev_device_get_page(), or 0 when the device has no such page.
 */
TPMDEV_EXPORT
uint64_t tpmdev_device_get_page_address(const TPMDevice *device);

/** tpmdev_device_get_version: the version of the TPM behind it; any thread */
TPMDEV_EXPORT
TPMVersion tpmdev_device_get_version(const TPMDevice *device);

/** tpmdev_device_get_backend: the TPM behind it; valid as long as the device; any thread */
TPMDEV_EXPORT
TPMBackend *tpmdev_device_get_backend(const TPMDevice *device);

/**
 * tpmdev_device_can_migrate: can a machine with this device be saved or migrated?
 * @device: the device
 * @error:  where the reason is given
 *
 * Any thread may call it; it never waits. Returns TRUE, or FALSE with TPM_ERROR_UNSUPPORTED, as
 * tpmdev_backend_can_migrate() of its TPM.
 */
TPMDEV_EXPORT
gboolean tpmdev_device_can_migrate(TPMDevice *device, GError **error);

/** tpmdev_device_get_irq_level: the present level of the interrupt line; any thread */
TPMDEV_EXPORT
bool tpmdev_device_get_irq_level(TPMDevice *device);

/** tpmdev_device_get_statistics: copy the counters to @statistics; any thread, never waits */
TPMDEV_EXPORT
void tpmdev_device_get_statistics(TPMDevice *device, TPMDeviceStatistics *statistics);

/**
 * tpmdev_device_get_models: the models tpmdev_device_new_from_string() knows
 *
 * Any thread may call it. Returns a static, NULL-terminated array.
 */
TPMDEV_EXPORT
const char *const *tpmdev_device_get_models(void);

G_END_DECLS

#endif /* TPMDEV_DEVICE_H */
