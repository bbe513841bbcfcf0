/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Stream sockets that never block; see emulator-channel.h.
 *
 * Neighbours: swtpm-peer.c connects; emulator-io.c sends and receives; no state of its own.
 */
#include "emulator-channel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <tpmdev/error.h>
#include <unistd.h>

/* ---- unix sockets ---- */

/* Say why the connection failed. Linux refuses one to what is no socket as to one unattended. */
static void set_connect_error(const char *path, const char *option, int err, GError **error)
{
    struct stat status;
    bool is_socket = stat(path, &status) != 0 || S_ISSOCK(status.st_mode);

    if (err == ENOENT || err == ENOTDIR) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_NOT_FOUND,
                    "there is no socket '%s'; start swtpm first, with %s type=unixio,path=%s", path,
                    option, path);
    } else if (!is_socket) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO,
                    "'%s' is a %s; it must be the %s socket of swtpm", path,
                    S_ISDIR(status.st_mode) ? "directory" : "file and no socket",
                    strcmp(option, "--ctrl") == 0 ? "control" : "data");
    } else if (err == ECONNREFUSED) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO,
                    "nobody listens on the socket '%s'; swtpm has ended and must be started again",
                    path);
    } else if (err == EAGAIN) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IN_USE,
                    "the socket '%s' is busy with other clients; swtpm serves one at a time", path);
    } else {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "cannot connect to the socket '%s': %s",
                    path, g_strerror(err));
    }
}

int tpm_channel_connect(const char *path, const char *option, GError **error)
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
        set_connect_error(path, option, errno, error);
        close(fd);
        return -1;
    }
    return fd;
}

/* ---- TCP ---- */

/* getaddrinfo() alone takes "*" for a number, and "127.1". */
static bool is_number(const char *host)
{
    struct in_addr address;

    return strchr(host, ':') || inet_pton(AF_INET, host, &address) == 1;
}

bool tpm_channel_address_init(TPMChannelAddress *address, const char *host, uint16_t port,
                              GError **error)
{
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                              .ai_socktype = SOCK_STREAM };
    const char *number = g_ascii_strcasecmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    struct addrinfo *found = NULL;
    char service[8];

    g_snprintf(service, sizeof(service), "%u", port);
    if (port == 0 || !is_number(number) || getaddrinfo(number, service, &hints, &found) != 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "'%s' port %u is no address of TCP; give an IPv4 or IPv6 address in numbers, "
                    "such as 127.0.0.1 or ::1, and a port from 1 to 65535",
                    host, port);
        return false;
    }
    memcpy(&address->bytes, found->ai_addr, found->ai_addrlen);
    address->size = found->ai_addrlen;
    address->name = g_strdup_printf("%s port %u", number, port);
    freeaddrinfo(found);
    return true;
}

void tpm_channel_address_clear(TPMChannelAddress *address)
{
    g_clear_pointer(&address->name, g_free);
}

static void set_tcp_error(const TPMChannelAddress *address, int err, GError **error)
{
    g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "cannot connect to %s: %s%s", address->name,
                g_strerror(err),
                err == ECONNREFUSED ? "; start swtpm first, with --server type=tcp,port=PORT and "
                                      "--ctrl type=tcp,port=CONTROL-PORT"
                                    : "");
}

int tpm_channel_connect_tcp(const TPMChannelAddress *address, GError **error)
{
    int fd =
        socket(address->bytes.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    int on = 1;

    if (fd < 0) {
        set_tcp_error(address, errno, error);
        return -1;
    }
    /* A message is answered before the next is sent: there is nothing to collect. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (const struct sockaddr *)&address->bytes, address->size) != 0 &&
        errno != EINPROGRESS) {
        set_tcp_error(address, errno, error);
        close(fd);
        return -1;
    }
    return fd;
}

/*
 * Where nobody listens, a port that the kernel gives out for one's own end may happen to be the one
 * that is connected to: the socket is then connected to itself.
 */
static bool is_connected_to_itself(int fd, const TPMChannelAddress *address)
{
    struct sockaddr_storage own;
    socklen_t size = sizeof(own);

    return getsockname(fd, (struct sockaddr *)&own, &size) == 0 && size == address->size &&
           memcmp(&own, &address->bytes, size) == 0;
}

int tpm_channel_is_connected(int fd, const TPMChannelAddress *address, GError **error)
{
    struct pollfd writable = { .fd = fd, .events = POLLOUT };
    int trouble = 0;
    socklen_t size = sizeof(trouble);

    if (poll(&writable, 1, 0) <= 0) {
        return 0;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &trouble, &size) != 0) {
        trouble = errno;
    } else if (trouble == 0 && is_connected_to_itself(fd, address)) {
        trouble = ECONNREFUSED;
    }
    if (trouble != 0) {
        set_tcp_error(address, trouble, error);
    }
    return trouble == 0 ? 1 : -1;
}

/* ---- descriptors of others ---- */

bool tpm_channel_is_unix(int fd)
{
    int domain = 0;
    socklen_t size = sizeof(domain);

    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

/* What is wrong with a descriptor as a channel; NULL for nothing. */
static const char *trouble_with(int fd)
{
    struct sockaddr_storage peer;
    struct stat status;
    socklen_t size = sizeof(peer);
    int type = 0;

    if (fstat(fd, &status) != 0) {
        return "is no open descriptor";
    }
    if (!S_ISSOCK(status.st_mode)) {
        return "is no socket";
    }
    size = sizeof(type);
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) {
        return "is no stream socket";
    }
    size = sizeof(peer);
    return getpeername(fd, (struct sockaddr *)&peer, &size) == 0 ? NULL : "is not connected";
}

bool tpm_channel_check(int fd, const char *called, GError **error)
{
    const char *trouble = trouble_with(fd);

    if (trouble) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "%s, which is %d, %s; it must be a stream socket that is connected to swtpm",
                    called, fd, trouble);
    }
    return !trouble;
}

/* ---- a channel ---- */

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
