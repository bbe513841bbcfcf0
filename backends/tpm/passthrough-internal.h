/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the files of the `passthrough` backend share: passthrough.c (the class and its worker),
 * passthrough-cancel.c (cancels) and passthrough-new.c (how one comes into being).
 */
#ifndef TPM_PASSTHROUGH_INTERNAL_H
#define TPM_PASSTHROUGH_INTERNAL_H

#include "passthrough-device.h"

/* Where a command is. */
typedef enum PassthroughPhase {
    PASSTHROUGH_IDLE,    /* there is none */
    PASSTHROUGH_WAITING, /* submitted, and not taken yet */
    PASSTHROUGH_RUNNING, /* with the kernel */
} PassthroughPhase;

/* What the worker is asked to do, in the order in which it does it. */
typedef enum PassthroughWork {
    PASSTHROUGH_WORK_QUIT = 1 << 0,
    PASSTHROUGH_WORK_BRING_UP = 1 << 1, /* for creation: open it, find out what it is */
    PASSTHROUGH_WORK_START = 1 << 2,
} PassthroughWork;

/* How long things may take, in milliseconds. */
typedef struct PassthroughDeadlines {
    unsigned create;  /* creation in all */
    unsigned destroy; /* the wait for a command that does not end */
} PassthroughDeadlines;

typedef struct Passthrough {
    gatomicrefcount refs; /* of the backend, and of each thread */
    TPMBackend *backend;  /* not a reference: the backend owns this struct until destroy() */
    PassthroughSystem system;
    PassthroughDeadlines deadlines;
    char *id;
    char *path;         /* NULL: a descriptor was handed over, and cannot be opened again */
    char *name;         /* what messages call the device */
    char *cancel_path;  /* where the host says that file is, or NULL */
    bool has_cancel_fd; /* it was handed over, too */
    GThread *worker;
    GThread *canceller; /* NULL until there is a file for cancels */

    /* The worker's own. */
    int fd; /* -1: the TPM is gone */
    uint8_t *response;

    GMutex lock;       /* a leaf, for all below; no system call is made under it */
    GCond work_is_due; /* for the worker and the canceller */
    GCond ended;       /* something another thread waits for has come to its end */
    unsigned work;     /* of PassthroughWork */
    bool known;        /* version and size have been found, which they are once */
    TPMVersion version;
    size_t buffer_size;
    GError *failure; /* why bring-up failed */

    PassthroughPhase phase;
    unsigned cycle; /* the power cycle of the last start() */
    size_t command_size;
    uint8_t *command;

    int cancel_fd;      /* -1: there is no file for cancels */
    char *no_cancel;    /* then: which were looked for */
    bool cancel_wanted; /* asked of the canceller, for the command that runs */
    bool cancelling;    /* it writes the byte: no command is begun meanwhile */

    bool telling;   /* the worker calls the backend, without the lock */
    bool destroyed; /* it is not to do so any more */
    bool worker_has_ended;
    bool canceller_has_ended;
} Passthrough;

void tpm_passthrough_unref(Passthrough *tpm);

/* A thread with a reference to the struct, which it drops. It takes no signals. */
GThread *tpm_passthrough_thread_new(Passthrough *tpm, const char *name, GThreadFunc run,
                                    GError **error);

/* ---- passthrough.c ---- */

/* What the worker runs. */
gpointer tpm_passthrough_worker_run(gpointer data);

/* End the threads, or leave them to end by themselves, and drop the backend's reference. */
void tpm_passthrough_end(Passthrough *tpm);

/* ---- passthrough-cancel.c ---- */

/*
 * Find and open the file for cancels, and have a thread that writes to it, unless there is none and
 * the TPM can do without. The worker's.
 */
bool tpm_passthrough_cancel_setup(Passthrough *tpm, TPMVersion version, GError **error);

/* The class's cancel(); and that of the command the kernel has, if any, with the lock held. */
void tpm_passthrough_cancel(void *self);
void tpm_passthrough_cancel_running(Passthrough *tpm);

/* ---- passthrough-new.c ---- */

extern const char *const tpm_passthrough_options[];

TPMBackend *tpm_passthrough_create(const TPMOptions *options, GError **error);

/* Open the device, unless that is done, and find out what it is. The worker's. */
bool tpm_passthrough_bring_up(Passthrough *tpm, GError **error);

/* As the public constructor, with another kernel and other deadlines. */
TPMBackend *tpm_passthrough_new(const TPMPassthroughConfig *config, const PassthroughSystem *system,
                                const PassthroughDeadlines *deadlines, GError **error);

#endif /* TPM_PASSTHROUGH_INTERNAL_H */
