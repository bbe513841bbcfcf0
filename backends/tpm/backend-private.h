/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TPMBackend from the inside: what backend.c, which keeps its state, backend-news.c, which tells of
 * it, and backend-state.c, which takes its TPM's state from one to another, share. Nobody else
 * includes this.
 */
#ifndef TPM_BACKEND_PRIVATE_H
#define TPM_BACKEND_PRIVATE_H

#include "backend-internal.h"
#include "mailbox.h"
#include "statistics.h"

typedef enum BackendState {
    BACKEND_STOPPED,   /* made, never started */
    BACKEND_STARTING,  /* start() was called and not answered */
    BACKEND_READY,     /* waiting for a command */
    BACKEND_EXECUTING, /* submit() was called and not answered */
    BACKEND_OPEN,      /* in a hash sequence, waiting for its next step */
    BACKEND_HASHING,   /* hash() was called and not answered */
    BACKEND_MOVING,    /* save() or load() was called and not answered */
    BACKEND_FAILED,    /* failed(); start(), load() and recovered() lead out of it */
} BackendState;

/* What a client is to be told; several can wait when they must be told on the host's context. */
typedef enum News {
    NEWS_STARTED = 1 << 0,
    NEWS_COMPLETED = 1 << 1,
    NEWS_ESTABLISHED = 1 << 2,
    NEWS_FAILED = 1 << 3,
    NEWS_HASHED = 1 << 4,
    NEWS_RECOVERED = 1 << 5,
    NEWS_LINK = 1 << 6,
    NEWS_MOVED = 1 << 7,
} News;

struct TPMBackend {
    gatomicrefcount refs;
    const TPMBackendClass *klass;
    void *self;
    char *id;
    TPMVersion version;
    size_t tpm_buffer_size; /* what the TPM takes */
    bool can_hash;
    const TPMBackend *state_owner; /* NULL: itself; else the TPM's state is that of this one */

    /* The device's: when the command it is about to send was sent, if it says so. */
    bool is_stamped;
    int64_t stamp_ns;

    GMutex lock; /* for all below */
    BackendState state;
    unsigned cycle;       /* starts and loads so far */
    unsigned cycle_first; /* since this one it is the same TPM: loads were refused since */
    TPMBackendLink link;
    TPMStatistics statistics;
    size_t buffer_size; /* what device and TPM agreed on at the last start */
    TPMCommand command; /* the one under way */
    uint8_t *command_data;
    TPMHashStep hash_step; /* the one under way */
    bool hash_lost;        /* the TPM failed between two steps, which the client may not know */
    size_t hash_size;
    uint8_t *hash_data; /* of TPM_HASH_CHUNK_MAX bytes; NULL if it cannot hash */

    const TPMBackendClient *callbacks; /* NULL while no device is bound */
    void *client;
    GThread *caller;       /* the thread on which a device is calling the class, or NULL */
    unsigned client_calls; /* calls of the client under way */
    GCond client_idle;     /* client_calls became 0, and idle_waits is not */
    unsigned idle_waits;   /* who waits for it; to wake nobody costs a system call */
    GMainContext *context; /* set by bind, and then constant until the next bind */
    bool own_context;      /* it is that of the library's I/O thread, not the host's */

    /*
     * News that waits for the host's context, and the source there that delivers it. Where the
     * context is our own every thread will do, and there is a source only for what must wait for
     * its time.
     */
    TPMMailbox *mailbox;
    unsigned news;
    TPMBackendLink link_told; /* what the client knows of the link */
    gint64 link_second;       /* when the second began for which link_news counts, in us */
    unsigned link_news;
    bool established; /* as the client is to see it: the TPM's own, or the one that was loaded */
    bool tpm_established;
    bool kept_established; /* of the TPM whose state was loaded; the TPM may not know of it */
    uint8_t *response;
    size_t response_size;
    GError *start_error;
    GError *response_error;
    GError *hash_error;
    GError *failure;

    /* backend-state.c: the state that is being saved or loaded. */
    bool moving_in;          /* it is being loaded */
    BackendState moved_from; /* where a refusal leads back to */
    BackendState moved_to;   /* and the answer */
    unsigned moved_first;    /* cycle_first, when it is refused */
    bool moved_established;  /* kept_established, once it is loaded */
    TPMState *saved;         /* what the client is to be told of */
    GError *move_error;
};

/* Called with the lock held after news was added; releases it. The client is told, here or soon. */
void tpm_backend_tell_and_unlock(TPMBackend *backend);

/* Tell it here, all of it; called with the lock held, returns with it held. */
void tpm_backend_deliver_locked(TPMBackend *backend);

/* Forget the errors that wait to be told. */
void tpm_backend_clear_errors(TPMBackend *backend);

/* ---- backend.c ---- */

/* Every call of the class goes through here: news it brings may be told on this thread. */
void tpm_backend_enter(TPMBackend *backend);
void tpm_backend_leave(TPMBackend *backend);

/* Has the class been asked for something it has not answered? With the lock held. */
bool tpm_backend_is_busy(const TPMBackend *backend);

/* ---- backend-state.c; with the lock held ---- */

/* The flag's parts have changed: is there news in it? */
void tpm_backend_update_established(TPMBackend *backend);

/* The backend failed while it was MOVING. */
void tpm_backend_move_failed(TPMBackend *backend, const GError *error);

/* The state that waits to be told of is not wanted any more. */
void tpm_backend_forget_move(TPMBackend *backend);

/* ---- backend-news.c ---- */

/* Let go of a context, NULL for none; own_context as TPMBackend has it. */
void tpm_backend_release_context(GMainContext *context, bool own_context);

#endif /* TPM_BACKEND_PRIVATE_H */
