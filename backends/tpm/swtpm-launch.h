/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A swtpm the library starts, and starts again: what the configuration makes of its command line,
 * and the state directory, of which no other may make use meanwhile.
 *
 * Used by swtpm-peer.c.
 */
#ifndef SWTPM_LAUNCH_H
#define SWTPM_LAUNCH_H

#include "swtpm-peer.h"

typedef struct SwtpmLaunch SwtpmLaunch;

/*
 * Check and open what it needs. Nothing is started yet. NULL with error set, which names the
 * option. May block for a bounded time.
 */
SwtpmLaunch *tpm_swtpm_launch_new(const TPMEmulatorConfig *config, GError **error);

/*
 * As tpm_swtpm_peer_connect(): the control channel of a new swtpm. The one before is killed, if it
 * has not ended by itself.
 */
SwtpmPeerOutcome tpm_swtpm_launch_connect(SwtpmLaunch *launch, int *control_fd, GError **error);

/* Takes swtpm's end of the data channel, which stays open until it is known how it has ended. */
void tpm_swtpm_launch_keep_data(SwtpmLaunch *launch, int fd);

/* How the last one has ended; NULL when it has not. Free it with g_free(). */
char *tpm_swtpm_launch_describe_end(SwtpmLaunch *launch);

/* End it, if it does not by itself. Blocks for a bounded time. */
void tpm_swtpm_launch_free(SwtpmLaunch *launch);

#endif /* SWTPM_LAUNCH_H */
