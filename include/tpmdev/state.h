/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Saving a device and its TPM, and loading them into others: for a snapshot, for a suspend to disk,
 * and for live migration at stop-and-copy.
 *
 * The vCPUs stand still for all of this. The order of calls, where all goes well:
 *
 *     source                          destination
 *     tpmdev_device_can_migrate()     tpmdev_device_new() with TPMDeviceConfig.incoming
 *     stop the vCPUs
 *     tpmdev_device_save()      ───►  tpmdev_device_load()
 *     tpmdev_device_free()            tpmdev_device_resume()
 *                                     run the vCPUs
 *
 * From its save on the source is held: its TPM gets nothing to do and its storage stays as it is,
 * so that another host may take both over. tpmdev_device_resume() ends that on the source, too:
 * after a snapshot, and after a migration that failed. Only one of the two may ever be resumed.
 *
 * Where both have the same storage it changes hands between save and load. For `libtpms` that takes
 * TPMLibtpmsConfig.release_lock_outgoing on the source and TPMLibtpmsConfig.incoming on the
 * destination, for `emulator` a swtpm 0.8 or later on both. docs/backends.rst has what each does.
 *
 * A command that the TPM carries out when the vCPUs are stopped is waited for; its response is part
 * of what is saved. One that has not reached the TPM is saved with the rest and carried out where
 * the device is resumed. Of a tpm-spapr device a response that has come is written to the guest's
 * memory there as well, so that it is all the same when that memory is copied.
 *
 * What is saved is one piece of bytes, the same on every host; docs/state-format.rst has each of
 * them. It holds all secrets of the TPM. Every library loads what an earlier one has saved, or says
 * why not.
 *
 * The page of a CRB device's buffer and the physical presence memory are part of it. A host that
 * takes them for memory of its guest as well copies them twice, which does no harm: the state is to
 * be loaded after the memory.
 */
#ifndef TPMDEV_STATE_H
#define TPMDEV_STATE_H

#include <glib.h>
#include <stdint.h>
#include <tpmdev/device.h>
#include <tpmdev/version.h>

G_BEGIN_DECLS

/** The most bytes a saved device can have, its TPM included; 32 KiB are the rule. */
#define TPM_SAVED_STATE_SIZE_MAX 0x200000u

/**
 * tpmdev_device_save: put a device and its TPM into bytes
 * @device:     the device, whose guest does not run
 * @timeout_ns: for how long to wait for the TPM at most, in nanoseconds of CLOCK_MONOTONIC: for the
 *              end of the command it carries out, and for its state; 0 or less is no time at all
 * @error:      where a failure is described
 *
 * It blocks, and so is not for a vCPU's thread; from within a callback of TPMHost it is refused.
 * Where the host gave a context, call it on the thread that runs it; the context itself is not run
 * meanwhile.
 *
 * When it has returned bytes, the device is held until tpmdev_device_resume(): the TPM gets nothing
 * to do, nothing is written to the guest's memory or queue, and no callback is made but those an
 * access leads to by itself, for registers can be read and written. A device may be saved again.
 *
 * Returns the bytes, for the caller to end with g_bytes_unref(), and wiped when the last reference
 * to them goes; or NULL, and then the device goes on as if nothing had been asked:
 * TPM_ERROR_UNSUPPORTED when its TPM cannot be saved, TPM_ERROR_TIMED_OUT when the TPM has not
 * ended within the time, TPM_ERROR_TPM when it has failed or was not started yet, TPM_ERROR_IN_USE
 * from within a callback and while another thread saves or loads the device, or what the backend
 * reports.
 */
TPMDEV_EXPORT
GBytes *tpmdev_device_save(TPMDevice *device, int64_t timeout_ns, GError **error);

/**
 * tpmdev_device_load: be a device that was saved
 * @device:     a device with the same configuration before a TPM of the same type and version,
 *              whose guest does not run; best one that was made with TPMDeviceConfig.incoming
 * @state:      what tpmdev_device_save() returned; needed only during the call
 * @timeout_ns: as for tpmdev_device_save()
 * @error:      where a failure is described
 *
 * It blocks, as tpmdev_device_save() does. All of @state is checked before anything is changed.
 * What device and TPM were before is gone when this has returned TRUE, and the device is held until
 * tpmdev_device_resume().
 *
 * TPMHost.set_irq is not called: restoring a level is no change of it. A host whose interrupt
 * controller does not restore the level of its inputs by itself asks tpmdev_device_get_irq_level()
 * for it.
 *
 * Returns TRUE, or FALSE, and then the device is as it was: TPM_ERROR_STATE_DAMAGED for bytes that
 * are no saved state, TPM_ERROR_STATE_MISMATCH for the state of a device or TPM of another kind or
 * configuration, TPM_ERROR_UNSUPPORTED for that of a later library, TPM_ERROR_TIMED_OUT when the
 * device's own TPM was busy, TPM_ERROR_IN_USE as tpmdev_device_save(), or what the backend reports.
 * Two failures leave another TPM behind, and say so. One that fails in it answers commands with a
 * failure until the next reset. One that is asked and does not answer within the time is started
 * anew when it has, by then the saved TPM or the one it was.
 */
TPMDEV_EXPORT
gboolean tpmdev_device_load(TPMDevice *device, GBytes *state, int64_t timeout_ns, GError **error);

/**
 * tpmdev_device_resume: the guest goes on here
 * @device: a device that was saved or loaded, or made with TPMDeviceConfig.incoming; with any other
 *          nothing happens
 *
 * To be called before the vCPUs run. What the device was about to do goes on: a command is sent, a
 * response is written to the guest's memory; a device that was incoming and loaded nothing starts
 * its TPM. It never waits, and any thread may call it; while another one is within
 * tpmdev_device_save() or _load() it takes effect when that returns. A TPM whose storage another
 * one has by now fails: TPMHost.backend_error() tells.
 */
TPMDEV_EXPORT
void tpmdev_device_resume(TPMDevice *device);

G_END_DECLS

#endif /* TPMDEV_STATE_H */
