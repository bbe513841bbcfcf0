/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Peers that stand in for swtpm, for tests of the `emulator` backend and for benchmarks. Needs
 * GLib alone.
 *
 * A scripted peer follows its script on a thread of its own. Each line of a script is one act:
 *
 *     c? HEX [fd]   one receive on the control channel gives exactly these bytes, and one file
 *                   descriptor, which becomes the data channel, if "fd" is there
 *     c! HEX        send these bytes on the control channel, in one go
 *     d? HEX, d! HEX  the same on the data channel
 *     c drain N     N bytes come on the control channel, whatever they are, in any pieces
 *     c eof, d eof  the client has closed that channel
 *     c quiet, d quiet  the client has sent nothing there so far
 *     c close, d close  close it
 *     accept        take the next connection; the first one needs no line
 *     wait          go on when fake_swtpm_go() is called
 *
 * HEX may have spaces; "00*20" is twenty bytes of 00. What the script has not been followed in
 * ends the peer, which then closes everything.
 *
 * A farm is any number of well-behaved peers behind one socket, all served by one thread: each
 * connection is a TPM 2.0 that answers GetRandom with zeros and other commands with success.
 */
#ifndef FAKE_SWTPM_H
#define FAKE_SWTPM_H

#include <glib.h>

/* How long a scripted peer waits for its client, in seconds. */
#define FAKE_DEADLINE_S 30

typedef struct FakeSwtpm FakeSwtpm;

/* Make a peer; script ends with NULL and must outlive it. Aborts when it cannot. */
FakeSwtpm *fake_swtpm_new(const char *const *script);

/* The path of its control socket. */
const char *fake_swtpm_path(const FakeSwtpm *fake);

/* Wait until the script has come to its nth "wait", from 1. FALSE if it ended before. */
gboolean fake_swtpm_reached(FakeSwtpm *fake, unsigned nth);

/* Let it go on from a "wait". */
void fake_swtpm_go(FakeSwtpm *fake);

/* Wait for the end of the script and free the peer. Returns what went wrong, or NULL. */
char *fake_swtpm_end(FakeSwtpm *fake);

typedef struct FakeFarm FakeFarm;

/* Make a farm; raises the process's limit of open files as far as it may. Aborts on failure. */
FakeFarm *fake_farm_new(void);

/* The path of the socket at which each connection is a peer of its own. */
const char *fake_farm_path(const FakeFarm *farm);

/* How many TPM commands all its peers have answered so far. */
guint fake_farm_commands(FakeFarm *farm);

/* Disconnect all peers and free the farm. */
void fake_farm_free(FakeFarm *farm);

#endif /* FAKE_SWTPM_H */
