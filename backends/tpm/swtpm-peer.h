/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How swtpm is reached: over unix sockets, over TCP, over descriptors handed in, or by starting it.
 *
 * Used by emulator-new.c and emulator-start.c; the ways have their files: emulator-channel.c for
 * sockets, swtpm-child.c for a swtpm of our own.
 */
#ifndef SWTPM_PEER_H
#define SWTPM_PEER_H

#include <glib.h>
#include <stdbool.h>
#include <tpmdev/backend.h>

typedef struct SwtpmPeer SwtpmPeer;

typedef enum SwtpmPeerOutcome {
    SWTPM_PEER_CONNECTED,
    SWTPM_PEER_PENDING, /* a connection in progress, a process coming up: try again in a moment */
    SWTPM_PEER_FAILED,
} SwtpmPeerOutcome;

/*
 * Where swtpm is, once that has been found to make sense: NULL with error set otherwise. May block
 * for a bounded time. config is copied.
 */
SwtpmPeer *tpm_swtpm_peer_new(const TPMEmulatorConfig *config, GError **error);

/* Creation is over and has gone well: descriptors handed in are ours from here on. */
void tpm_swtpm_peer_adopt(SwtpmPeer *peer);

/* For people, as in "swtpm at '...'": a path, an address. */
const char *tpm_swtpm_peer_name(const SwtpmPeer *peer);

/*
 * Begin a new connection, or go on with the one that is pending; the one before must be closed.
 * Never blocks. What it returns with CONNECTED is the caller's to close; *data_fd is -1 when the
 * data channel is to be handed over with SET_DATAFD. Both are left alone otherwise.
 */
SwtpmPeerOutcome tpm_swtpm_peer_connect(SwtpmPeer *peer, int *control_fd, int *data_fd,
                                        GError **error);

/* Can it be connected to anew? Not if all there ever was is a pair of descriptors. */
bool tpm_swtpm_peer_comes_again(const SwtpmPeer *peer);

/*
 * The peer's end of the data channel was handed over with SET_DATAFD; takes it. That of a swtpm
 * that was started stays open until it is known how that has ended.
 */
void tpm_swtpm_peer_keep_data(SwtpmPeer *peer, int fd);

/* How the swtpm that was started has ended, for people; NULL when that is not known. Free it. */
char *tpm_swtpm_peer_describe_end(SwtpmPeer *peer);

/*
 * The connection must be closed. A swtpm that was started ends: it may have been told to do so, and
 * is made to otherwise. Blocks for a bounded time.
 */
void tpm_swtpm_peer_free(SwtpmPeer *peer);

#endif /* SWTPM_PEER_H */
