/* SPDX-License-Identifier: BSD-3-Clause */
/* The sockets of peers that stand in for swtpm: fake-swtpm.c, which follows a script, and
 * sick-swtpm.c, which falls ill. */
#ifndef PEER_SOCKETS_H
#define PEER_SOCKETS_H

#include <sys/types.h>

/* Listen at a path; flags of socket() besides SOCK_CLOEXEC. Ends the test program when it cannot.
 */
int peer_listen(const char *path, int flags, int backlog);

/* Close it, if it is open, and forget it. */
void peer_close(int *fd);

/* Receive once, with the file descriptor that came along or -1; flags of recvmsg(). */
ssize_t peer_receive(int fd, void *buffer, size_t size, int flags, int *passed);

#endif /* PEER_SOCKETS_H */
