/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a URI to a descriptor; see transport.h. What takes time is watched by the main loop: a
 * connection, and somebody to come.
 */
#include "keyval.h"
#include "transport-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FILE_MODE 0600

/* ---- something that is there at once; the user hears of it later all the same ---- */

static gboolean on_ready(gpointer opaque)
{
    Transport *transport = opaque;
    int fd = transport->fd;

    transport->starts = 0;
    transport->fd = -1;
    transport_attach(transport, fd);
    return G_SOURCE_REMOVE;
}

static bool start_with(Transport *transport, int fd, GError **error)
{
    if (fd < 0) {
        transport_set_errno(error, transport, errno);
        return false;
    }
    transport->fd = fd;
    transport->starts = g_idle_add(on_ready, transport);
    return true;
}

/* ---- file: ---- */

/* Neither a device nor a link is replaced by a file. */
static bool gets_new_file(const char *path)
{
    struct stat status;

    return lstat(path, &status) ? errno == ENOENT : S_ISREG(status.st_mode);
}

static bool open_file(Transport *transport, const char *path, GError **error)
{
    if (!transport->sends) {
        return start_with(transport, open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error);
    }
    if (!gets_new_file(path)) {
        return start_with(transport, open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_TRUNC),
                          error);
    }
    transport->path = g_strdup(path);
    transport->temporary = g_strconcat(path, ".XXXXXX", NULL);
    int fd = g_mkstemp_full(transport->temporary, O_WRONLY | O_CLOEXEC, FILE_MODE);

    if (fd < 0) {
        int number = errno;

        g_clear_pointer(&transport->temporary, g_free);
        errno = number;
    }
    return start_with(transport, fd, error);
}

/* ---- exec: ---- */

/* In the child: a group of its own, so that all of a pipeline can be ended. */
static void set_up_child(gpointer opaque)
{
    (void)opaque;
    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
}

static bool open_command(Transport *transport, const char *command, GError **error)
{
    char *argv[] = { (char *)"/bin/sh", (char *)"-c", (char *)command, NULL };
    GSpawnFlags flags = G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_CLOEXEC_PIPES;
    int fd = -1;

    if (transport->sends) {
        flags |= G_SPAWN_STDOUT_TO_DEV_NULL; /* ours may be a monitor */
    }
    if (!g_spawn_async_with_pipes(NULL, argv, NULL, flags, set_up_child, NULL, &transport->pid,
                                  transport->sends ? &fd : NULL, transport->sends ? NULL : &fd,
                                  NULL, error)) {
        g_prefix_error(error, "%s: ", transport->uri);
        return false;
    }
    return start_with(transport, fd, error);
}

/* ---- fd: ---- */

static bool open_fd(Transport *transport, const char *name, TransportTakeFd take_fd, GError **error)
{
    struct stat status;
    char *end;
    guint64 number = g_ascii_strtoull(name, &end, 10);
    bool is_number = g_ascii_isdigit(*name) && !*end && number <= G_MAXINT;
    int fd = is_number ? (int)number : take_fd(transport->opaque, name);

    if (fd < 0 || fcntl(fd, F_GETFD) < 0) {
        g_set_error(error, MACHINE_ERROR, 0,
                    is_number ? "%s: File descriptor '%s' is not open"
                              : "%s: File descriptor named '%s' has not been found",
                    transport->uri, name);
        return false;
    }
    if (fd <= STDERR_FILENO) {
        g_set_error(error, MACHINE_ERROR, 0, "%s: must be none of the standard descriptors",
                    transport->uri);
        return false;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    transport->is_socket = fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
    return start_with(transport, fd, error);
}

/* ---- sockets: who listens ---- */

void transport_close_listener(Transport *transport)
{
    if (transport->listener >= 0) {
        close(transport->listener);
        transport->listener = -1;
        if (transport->path) {
            unlink(transport->path);
        }
    }
}

static gboolean on_peer(gint fd, GIOCondition condition, gpointer opaque)
{
    Transport *transport = opaque;
    int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)condition;
    if (peer < 0) {
        return G_SOURCE_CONTINUE;
    }
    transport->starts = 0;
    transport_close_listener(transport);
    transport_attach(transport, peer);
    return G_SOURCE_REMOVE;
}

static bool wait_for_peer(Transport *transport, int fd, const char *path, GError **error)
{
    if (listen(fd, 1)) {
        transport_set_errno(error, transport, errno);
        close(fd);
        return false;
    }
    transport->listener = fd;
    transport->path = g_strdup(path);
    transport->starts = g_unix_fd_add(fd, G_IO_IN, on_peer, transport);
    return true;
}

/* ---- sockets: who connects ---- */

static gboolean on_refused(gpointer opaque)
{
    Transport *transport = opaque;
    g_autoptr(GError) error = NULL;

    transport->starts = 0;
    transport_set_errno(&error, transport, transport->failure);
    transport->handler->ended(transport->opaque, error);
    return G_SOURCE_REMOVE;
}

static void connect_next(Transport *transport);

static gboolean on_connected(gint fd, GIOCondition condition, gpointer opaque)
{
    Transport *transport = opaque;
    socklen_t size = sizeof(transport->failure);

    (void)condition;
    transport->starts = 0;
    transport->fd = -1;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &transport->failure, &size)) {
        transport->failure = errno;
    }
    if (transport->failure) {
        close(fd);
        connect_next(transport);
    } else {
        transport_attach(transport, fd);
    }
    return G_SOURCE_REMOVE;
}

/* The handler hears from the main loop whether it went well. */
static void start_connecting(Transport *transport, int family, const struct sockaddr *address,
                             socklen_t size)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0 && (connect(fd, address, size) == 0 || errno == EINPROGRESS)) {
        transport->fd = fd;
        transport->starts = g_unix_fd_add(fd, G_IO_OUT, on_connected, transport);
        return;
    }
    transport->failure = errno;
    if (fd >= 0) {
        close(fd);
    }
    connect_next(transport);
}

/* The next of the addresses that a name has, if there is one. */
static void connect_next(Transport *transport)
{
    struct addrinfo *address = transport->address;

    if (!address) {
        transport->starts = g_idle_add(on_refused, transport);
        return;
    }
    transport->address = address->ai_next;
    start_connecting(transport, address->ai_family, address->ai_addr, address->ai_addrlen);
}

/* ---- unix: ---- */

static void unlink_socket(const char *path)
{
    struct stat status;

    if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode)) {
        unlink(path);
    }
}

static bool open_unix(Transport *transport, const char *path, GError **error)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const struct sockaddr *generic = (const struct sockaddr *)&address;

    transport->is_socket = true;
    if (!*path || strlen(path) >= sizeof(address.sun_path)) {
        g_set_error(error, MACHINE_ERROR, 0, "%s: the path of a UNIX socket has 1 to %zu bytes",
                    transport->uri, sizeof(address.sun_path) - 1);
        return false;
    }
    memcpy(address.sun_path, path, strlen(path));
    if (transport->sends) {
        start_connecting(transport, AF_UNIX, generic, sizeof(address));
        return true;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    unlink_socket(path);
    if (fd < 0 || bind(fd, generic, sizeof(address))) {
        transport_set_errno(error, transport, errno);
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    return wait_for_peer(transport, fd, path, error);
}

/* ---- tcp: ---- */

/* HOST:PORT, [HOST]:PORT or :PORT. */
static bool split_address(const Transport *transport, const char *text, char **host, char **port,
                          GError **error)
{
    const char *colon = strrchr(text, ':');
    gsize length = colon ? (gsize)(colon - text) : 0;
    bool bracketed = length >= 2 && text[0] == '[' && text[length - 1] == ']';

    if (!colon || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1)) {
        g_set_error(error, MACHINE_ERROR, 0, "%s: write tcp:HOST:PORT, the port as a number",
                    transport->uri);
        return false;
    }
    *host = bracketed ? g_strndup(text + 1, length - 2) : g_strndup(text, length);
    *port = g_strdup(colon + 1);
    return true;
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);

    if (getsockname(fd, (struct sockaddr *)&address, &size)) {
        return 0;
    }
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

static bool listen_tcp(Transport *transport, GError **error)
{
    int number = 0;

    for (struct addrinfo *at = transport->addresses; at; at = at->ai_next) {
        int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int on = 1;

        if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
            bind(fd, at->ai_addr, at->ai_addrlen) == 0) {
            transport->port = port_of(fd);
            return wait_for_peer(transport, fd, NULL, error);
        }
        number = errno;
        if (fd >= 0) {
            close(fd);
        }
    }
    transport_set_errno(error, transport, number);
    return false;
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT };
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool found = fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return found;
}

/* Who listens everywhere does so by IPv6, which takes IPv4 as well, if there is any. */
static int find_addresses(Transport *transport, const char *host, const char *port)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };

    if (!transport->sends) {
        hints.ai_flags = AI_PASSIVE;
    }
    if (!transport->sends && !host && has_ipv6()) {
        hints.ai_family = AF_INET6;
    }
    return getaddrinfo(host, port, &hints, &transport->addresses);
}

static bool open_tcp(Transport *transport, const char *text, GError **error)
{
    g_autofree char *host = NULL, *port = NULL;

    transport->is_socket = true;
    if (!split_address(transport, text, &host, &port, error)) {
        return false;
    }
    int code = find_addresses(transport, *host ? host : NULL, port);

    if (code) {
        g_set_error(error, MACHINE_ERROR, 0, "%s: address resolution failed: %s", transport->uri,
                    gai_strerror(code));
        return false;
    }
    if (!transport->sends) {
        return listen_tcp(transport, error);
    }
    transport->address = transport->addresses;
    connect_next(transport);
    return true;
}

/* ---- all of them ---- */

static bool open_uri(Transport *transport, const char *uri, TransportTakeFd take_fd, GError **error)
{
    const char *colon = strchr(uri, ':');
    g_autofree char *kind = colon ? g_strndup(uri, (gsize)(colon - uri)) : g_strdup("");

    if (strcmp(kind, "unix") == 0) {
        return open_unix(transport, colon + 1, error);
    }
    if (strcmp(kind, "tcp") == 0) {
        return open_tcp(transport, colon + 1, error);
    }
    if (strcmp(kind, "exec") == 0) {
        return open_command(transport, colon + 1, error);
    }
    if (strcmp(kind, "file") == 0) {
        return open_file(transport, colon + 1, error);
    }
    if (strcmp(kind, "fd") == 0) {
        return open_fd(transport, colon + 1, take_fd, error);
    }
    g_set_error(error, MACHINE_ERROR, 0,
                "unknown migration protocol: %s; write unix:PATH, tcp:HOST:PORT, exec:COMMAND, "
                "file:PATH or fd:NAME",
                uri);
    return false;
}

Transport *transport_open(const char *uri, bool sends, TransportTakeFd take_fd,
                          const TransportHandler *handler, void *opaque, GError **error)
{
    Transport *transport = g_new0(Transport, 1);

    transport->handler = handler;
    transport->opaque = opaque;
    transport->uri = g_strdup(uri);
    transport->sends = sends;
    transport->fd = transport->listener = -1;
    transport->output = g_byte_array_new();
    if (!open_uri(transport, uri, take_fd, error)) {
        transport_free(transport);
        return NULL;
    }
    return transport;
}
