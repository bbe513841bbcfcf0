/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stream sockets that never block, unix ones and those of TCP: connect, a pair with one end to give
 * away, send a whole message at once, receive what is there.
 *
 * Used by swtpm-peer.c, which connects, and by emulator-io.c and emulator-start.c for swtpm's
 * control and data channels.
 */
#ifndef EMULATOR_CHANNEL_H
#define EMULATOR_CHANNEL_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/*
 * Connect to swtpm's socket at path, which `option` makes: "--ctrl" or "--server". Returns a file
 * descriptor, or -1 with error set: TPM_ERROR_NOT_FOUND for none, TPM_ERROR_INVALID_OPTION for a
 * path no socket can have, TPM_ERROR_IO for one that cannot be connected to.
 */
int tpm_channel_connect(const char *path, const char *option, GError **error);

/* An address of TCP. */
typedef struct TPMChannelAddress {
    struct sockaddr_storage bytes;
    socklen_t size;
    char *name; /* for people: "127.0.0.1 port 2321" */
} TPMChannelAddress;

/*
 * The address that host, a number of IPv4 or IPv6 or "localhost", and port are. Returns false with
 * TPM_ERROR_INVALID_OPTION for a name, which would have to be looked up.
 */
bool tpm_channel_address_init(TPMChannelAddress *address, const char *host, uint16_t port,
                              GError **error);
void tpm_channel_address_clear(TPMChannelAddress *address);

/*
 * Begin to connect over TCP. Returns a file descriptor, or -1 with error set: TPM_ERROR_IO. Then
 * ask tpm_channel_is_connected() until it is 1; -1: never, with TPM_ERROR_IO.
 */
int tpm_channel_connect_tcp(const TPMChannelAddress *address, GError **error);
int tpm_channel_is_connected(int fd, const TPMChannelAddress *address, GError **error);

/* Is it a unix socket, over which a descriptor can be passed? */
bool tpm_channel_is_unix(int fd);

/*
 * Is it a stream socket that is connected? If not, say so of what it is called.
 */
bool tpm_channel_check(int fd, const char *called, GError **error);

/* A pair of sockets: ours does not block, the one for the peer does, as it will expect. */
bool tpm_channel_pair(int *ours, int *theirs, GError **error);

/*
 * Send a message in one go, with passed_fd beside it unless that is -1: swtpm takes what one
 * read gives it for the whole message. Returns false with errno set when not all could be sent,
 * after which the peer can no longer be made sense of.
 */
bool tpm_channel_send(int fd, const void *message, size_t size, int passed_fd);

/*
 * Receive up to size bytes, size > 0. Returns how many there were, 0 for none yet, or -1 when
 * there will be none: errno is 0 when the peer has closed the channel. File descriptors that
 * a peer may pass are thrown away by the kernel.
 */
ssize_t tpm_channel_receive(int fd, void *buffer, size_t size);

/* Close *fd if it is open, and forget it. */
void tpm_channel_close(int *fd);

#endif /* EMULATOR_CHANNEL_H */
