/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Unix stream sockets that never block; see emulator-channel.h.
 *
 * Neighbours: emulator-io.c, which sends and receives here; no state of its own.
 */
#include "emulator-channel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <tpmdev/error.h>
#include <unistd.h>

/* Say why the connection failed. Linux refuses one to what is no socket as to one unattended. */
static void set_connect_error(const char *path, int err, GError **error)
{
    struct stat status;
    bool is_socket = stat(path, &status) != 0 || S_ISSOCK(status.st_mode);

    if (err == ENOENT || err == ENOTDIR) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND,
                    "there is no socket '%s'; start swtpm first, with --ctrl type=unixio,path=%s",
                    path, path);
    } else if (!is_socket) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO,
                    "'%s' is a %s; it must be the control socket of swtpm", path,
                    S_ISDIR(status.st_mode) ? "directory" : "file and no socket");
    } else if (err == ECONNREFUSED) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO,
                    "nobody listens on the socket '%s'; swtpm has ended and must be started again",
                    path);
    } else if (err == EAGAIN) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO,
                    "the socket '%s' is busy with other clients; swtpm serves one at a time", path);
    } else {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "cannot connect to the socket '%s': %s",
                    path, g_strerror(err));
    }
}

int tpm_channel_connect(const char *path, GError **error)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t length = strlen(path);

    if (length == 0 || length >= sizeof(address.sun_path)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "the path of a unix socket has 1 to %zu bytes; this one has %zu: '%s'",
                    sizeof(address.sun_path) - 1, length, path);
        return -1;
    }
    memcpy(address.sun_path, path, length);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "cannot make a socket: %s",
                    g_strerror(errno));
        return -1;
    }
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        set_connect_error(path, errno, error);
        close(fd);
        return -1;
    }
    return fd;
}

bool tpm_channel_pair(int *ours, int *theirs, GError **error)
{
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "cannot make a pair of sockets: %s",
                    g_strerror(errno));
        return false;
    }
    if (fcntl(fds[0], F_SETFL, O_NONBLOCK) != 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "cannot make a socket non-blocking: %s",
                    g_strerror(errno));
        close(fds[0]);
        close(fds[1]);
        return false;
    }
    *ours = fds[0];
    *theirs = fds[1];
    return true;
}

bool tpm_channel_send(int fd, const void *message, size_t size, int passed_fd)
{
    struct iovec part = { .iov_base = (void *)message, .iov_len = size };
    union {
        struct cmsghdr header; /* for its alignment */
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { .bytes = { 0 } };
    struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };
    ssize_t sent;

    if (passed_fd >= 0) {
        header.msg_control = control.bytes;
        header.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);

        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(rights), &passed_fd, sizeof(int));
    }
    do {
        sent = sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0 && (size_t)sent < size) {
        errno = EAGAIN;
    }
    return sent == (ssize_t)size;
}

ssize_t tpm_channel_receive(int fd, void *buffer, size_t size)
{
    ssize_t got;

    do {
        got = recv(fd, buffer, size, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got == 0) {
        errno = 0;
        return -1;
    }
    return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : got;
}

void tpm_channel_close(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}
