/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * TPMBackend as the device in front of it sees it. Backends themselves need only the public
 * <tpmdev/backend.h>; a device needs this too.
 *
 * Implemented by backend.c and backend-news.c (stage 4 of 6), used by hw/tpm/request.c (stages 3
 * and 5).
 */
#ifndef TPM_BACKEND_INTERNAL_H
#define TPM_BACKEND_INTERNAL_H

#include <tpmdev/backend.h>

/*
 * What a backend tells its device. No backend lock is held during these calls, and none is made
 * after tpm_backend_unbind() has returned. They come from any thread, also from within a call
 * the device makes.
 */
typedef struct TPMBackendClient {
    /* A start is over: error is NULL, or says why the TPM is not ready. */
    void (*started)(void *client, const GError *error);
    /* The command is done; response is well formed. error is set if it had to be made up here. */
    void (*completed)(void *client, const uint8_t *response, size_t size, const GError *error);
    /* A step of a hash sequence is done: error is NULL, or says why nothing was measured. */
    void (*hashed)(void *client, const GError *error);
    /* The tpmEstablished flag, once it is known and whenever it changes. */
    void (*established)(void *client, bool established);
    /* The TPM failed while there was nothing to do. */
    void (*failed)(void *client, const GError *error);
    /* After a failure, of a start too, it takes commands again; NULL for a client that need not
     * know. */
    void (*recovered)(void *client);
    /* The link has changed: look, with tpm_backend_get_link(); NULL as above. */
    void (*link_changed)(void *client);
    /*
     * The TPM's state was saved, and is this; or it was loaded, and saved is NULL. error is set if
     * neither was done. NULL for a client that asks for neither.
     */
    void (*moved)(void *client, const TPMState *saved, const GError *error);
} TPMBackendClient;

/*
 * Make the backend serve this client. context is the host's, to which all calls of the client
 * are then confined save those from within its own; or NULL for the library's I/O thread.
 * Fails with TPM_ERROR_IN_USE when it serves another.
 */
bool tpm_backend_bind(TPMBackend *backend, const TPMBackendClient *callbacks, void *client,
                      GMainContext *context, GError **error);

/* End that; waits for calls of the client that are under way on other threads. */
void tpm_backend_unbind(TPMBackend *backend);

/*
 * The device side of the state table in <tpmdev/backend.h>. The client makes these calls one at
 * a time, and start, submit and hash only when the last of these has been answered.
 *
 * A command is copied in by tpm_backend_load(), which only copies and so may be called under the
 * client's lock, and then sent by tpm_backend_submit(), which may not. So with a step of a hash
 * sequence, which is for a backend that can.
 */
void tpm_backend_start(TPMBackend *backend, size_t buffer_size);
void tpm_backend_load(TPMBackend *backend, uint8_t locality, const uint8_t *data, size_t size);
void tpm_backend_submit(TPMBackend *backend, bool linger);
/*
 * For the statistics, if the client likes: its clock before it calls tpm_backend_submit(), and from
 * within its completed().
 */
void tpm_backend_sent_at(TPMBackend *backend, int64_t now_ns);
void tpm_backend_answered_at(TPMBackend *backend, int64_t now_ns);
void tpm_backend_load_hash(TPMBackend *backend, TPMHashStep step, const uint8_t *data, size_t size);
void tpm_backend_hash(TPMBackend *backend);
void tpm_backend_poll(TPMBackend *backend);
void tpm_backend_linger_end(TPMBackend *backend);
void tpm_backend_cancel(TPMBackend *backend);
void tpm_backend_reset_established(TPMBackend *backend, uint8_t locality);

/* While a start is under way: see to its end without the host's context being run. */
void tpm_backend_pump(TPMBackend *backend);

/* Is there a client? It may be gone in the next moment. Any thread may ask. */
bool tpm_backend_is_bound(TPMBackend *backend);

/*
 * Let the client's host know of an error that changes nothing: a TPM that has failed, and is looked
 * for, cannot be had for another reason than before. Any thread may call it.
 */
void tpm_backend_report(TPMBackend *backend, const GError *error);

/* What tpmdev_backend_new() was given for a backend of this class; NULL for one of another. */
void *tpm_backend_get_self(const TPMBackend *backend, const TPMBackendClass *klass);

/*
 * The link, and why it is not there in *message, which is to be freed; NULL when it is. Any thread,
 * and under a client's lock too.
 */
TPMBackendLink tpm_backend_get_link(TPMBackend *backend, char **message);

/*
 * Hand out the TPM's state; give it another one in place of its own, as a start, with this
 * tpmEstablished flag; and let it go on after its state was handed out. The first two are answered
 * by moved(); `sequence` says that a hash sequence is open, and is part of the state.
 */
void tpm_backend_save_state(TPMBackend *backend, bool sequence);
void tpm_backend_load_state(TPMBackend *backend, size_t buffer_size, const TPMState *state,
                            bool established, bool sequence);
void tpm_backend_resume(TPMBackend *backend);

/* Can it do so? Sets error if not. */
bool tpm_backend_can_save(const TPMBackend *backend, GError **error);

/*
 * For a class that is put around another backend, which outlives it, before a device has it: the
 * state of its TPM is that of the one within. And, while it saves or loads: is a hash sequence
 * open?
 */
void tpm_backend_set_state_owner(TPMBackend *backend, const TPMBackend *owner);
bool tpm_backend_moves_sequence(TPMBackend *backend);

/* The type that is written beside a state, and has to be that of the backend that loads it. */
const char *tpm_backend_get_state_type(const TPMBackend *backend);

/* A copy of a state in one piece of memory, which is wiped before it is given back. */
TPMState *tpm_state_copy(const TPMState *state);
TPMState *tpm_state_free(TPMState *copy); /* NULL will do; returns NULL */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TPMState, tpm_state_free)

/* The longest text that says who wrote a state, in bytes; and may this be one? */
#define TPM_STATE_WRITER_MAX 127u
bool tpm_state_writer_check(const char *writer);

/* The tpmEstablished flag as the client knows it. */
bool tpm_backend_get_established(TPMBackend *backend);

/* Can the TPM do the D-RTM hash sequence? */
bool tpm_backend_can_hash(const TPMBackend *backend);

/* Can submit be called with linger set? */
bool tpm_backend_can_linger(const TPMBackend *backend);

/* Which of the class's optional members are there, given the size it was compiled with? */
#define TPM_CLASS_HAS(klass, member)                                                               \
    ((klass)->size >= offsetof(TPMBackendClass, member) + sizeof((klass)->member) &&               \
     (klass)->member != NULL)

#endif /* TPM_BACKEND_INTERNAL_H */
