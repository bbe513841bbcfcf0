/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cancels of the `passthrough` backend. A byte written to a file in sysfs makes the kernel's driver
 * cancel the command under way.
 *
 * Since about Linux 5.1 that write waits for the lock that is held while a command runs: it returns
 * when there is nothing to cancel any more. So a thread of its own makes it, the canceller, and
 * while it does so no command is begun, or the cancel of one would end the next. With older
 * kernels, and with what a host gives for that file, the command ends soon: the worker's write()
 * fails with ECANCELED.
 *
 * Drivers of TPM 2.0 have no such file. Then a cancel has no effect, the command ends when it ends,
 * and tpmdev_backend_passthrough_can_cancel() says so. A TPM 1.2 has one, and when it is not found
 * something is amiss, as in QEMU: the host is told to give it.
 *
 * Neighbours: passthrough.c, whose worker runs the commands; passthrough-sysfs.c finds the file.
 */
#include "passthrough-internal.h"

#include "backend-internal.h"
#include "builtin.h"
#include "command.h"

/* How often a cancel is said again to a command that has not ended. */
#define CANCEL_INTERVAL_MS 20

/* ---- the file ---- */

/* The canceller's, too, so it changes hands under the lock, when no byte is being written. */
static void replace_cancel(Passthrough *tpm, int fd, char *no_cancel)
{
    g_mutex_lock(&tpm->lock);
    while (tpm->cancelling) {
        g_cond_wait(&tpm->work_is_due, &tpm->lock);
    }
    int before = tpm->cancel_fd;

    tpm->cancel_fd = fd;
    g_free(tpm->no_cancel);
    tpm->no_cancel = no_cancel;
    g_mutex_unlock(&tpm->lock);
    tpm_passthrough_close(&tpm->system, &before);
}

static bool find_cancel(Passthrough *tpm, TPMVersion version, GError **error)
{
    char *tried = NULL;
    int fd = tpm_passthrough_find_cancel(&tpm->system, tpm->fd, tpm->path, &tried);

    if (fd < 0 && version == TPM_VERSION_1_2) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND,
                    "there is no file for cancels of this TPM 1.2; looked for: %s; give "
                    "cancel-path=FILE, which is /dev/null to do without",
                    tried);
        g_free(tried);
        return false;
    }
    replace_cancel(tpm, fd, tried);
    return true;
}

static gpointer canceller_run(gpointer data);

static bool start_canceller(Passthrough *tpm, GError **error)
{
    GThread *canceller = tpm_passthrough_thread_new(tpm, "tpmdev-cancel", canceller_run, error);

    g_mutex_lock(&tpm->lock);
    bool destroyed = tpm->destroyed; /* then nobody is left to join it, and it ends by itself */

    if (!destroyed) {
        tpm->canceller = canceller;
    }
    g_mutex_unlock(&tpm->lock);
    if (destroyed && canceller) {
        g_thread_unref(canceller);
    }
    return canceller != NULL;
}

bool tpm_passthrough_cancel_setup(Passthrough *tpm, TPMVersion version, GError **error)
{
    if (tpm->cancel_path) {
        int fd = tpm_passthrough_open_cancel(&tpm->system, tpm->cancel_path, error);

        if (fd < 0) {
            return false;
        }
        replace_cancel(tpm, fd, NULL);
    } else if (!tpm->has_cancel_fd && !find_cancel(tpm, version, error)) {
        return false;
    }
    return tpm->cancel_fd < 0 || tpm->canceller || start_canceller(tpm, error);
}

/* ---- the canceller ---- */

/* Lock held before and after. What became of it the command tells. */
static void write_cancel(Passthrough *tpm)
{
    int fd = tpm->cancel_fd;

    tpm->cancelling = true;
    g_mutex_unlock(&tpm->lock);
    (void)!tpm->system.write(tpm->system.opaque, fd, "-", 1);
    g_mutex_lock(&tpm->lock);
    tpm->cancelling = false;
    g_cond_broadcast(&tpm->work_is_due);
}

/*
 * The byte may have come a moment before the kernel began the command. So it is written again,
 * until the command has ended, which takes back the wish.
 */
static void wait_before_next(Passthrough *tpm)
{
    if (tpm->cancel_wanted) {
        g_cond_wait_until(&tpm->work_is_due, &tpm->lock,
                          g_get_monotonic_time() +
                              CANCEL_INTERVAL_MS * (gint64)G_TIME_SPAN_MILLISECOND);
    }
}

static gpointer canceller_run(gpointer data)
{
    Passthrough *tpm = data;

    g_mutex_lock(&tpm->lock);
    for (;;) {
        if (tpm->cancel_wanted) {
            write_cancel(tpm);
            wait_before_next(tpm);
        } else if (tpm->work & PASSTHROUGH_WORK_QUIT) {
            break;
        } else {
            g_cond_wait(&tpm->work_is_due, &tpm->lock);
        }
    }
    tpm->canceller_has_ended = true;
    g_cond_broadcast(&tpm->ended);
    g_mutex_unlock(&tpm->lock);
    tpm_passthrough_unref(tpm);
    return NULL;
}

/* ---- what others ask ---- */

void tpm_passthrough_cancel_running(Passthrough *tpm)
{
    if (tpm->phase == PASSTHROUGH_RUNNING && tpm->cancel_fd >= 0) {
        tpm->cancel_wanted = true;
        g_cond_broadcast(&tpm->work_is_due);
    }
}

/* One that has not reached the kernel never will; the others are the canceller's. */
void tpm_passthrough_cancel(void *self)
{
    Passthrough *tpm = self;
    uint8_t response[TPM_HEADER_SIZE];

    g_mutex_lock(&tpm->lock);
    bool not_begun = tpm->phase == PASSTHROUGH_WAITING;

    if (not_begun) {
        tpm->phase = PASSTHROUGH_IDLE;
    }
    tpm_passthrough_cancel_running(tpm);
    g_mutex_unlock(&tpm->lock);
    if (not_begun) {
        tpm_error_response(tpm->version,
                           tpm->version == TPM_VERSION_1_2 ? TPM12_FAIL : TPM2_RC_CANCELED,
                           response);
        tpmdev_backend_complete(tpm->backend, response, sizeof(response));
    }
}

gboolean tpmdev_backend_passthrough_can_cancel(TPMBackend *backend, GError **error)
{
    Passthrough *tpm = tpm_backend_get_self(backend, &tpm_backend_passthrough_class);

    if (!tpm) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "TPM backend '%s' is of type %s, not passthrough",
                    tpmdev_backend_get_id(backend), tpmdev_backend_get_type(backend));
        return FALSE;
    }
    g_mutex_lock(&tpm->lock);
    gboolean can = tpm->cancel_fd >= 0;

    if (!can) {
        g_set_error(
            error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED,
            "TPM backend '%s' cannot cancel a command that runs: the kernel has no file for "
            "it; looked for: %s",
            tpm->id, tpm->no_cancel);
    }
    g_mutex_unlock(&tpm->lock);
    return can;
}
