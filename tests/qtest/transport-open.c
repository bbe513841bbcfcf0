/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From a URI to a descriptor; see transport.h. Sockets are transport-socket.c's and, where they
 * have a host, transport-tcp.c's.
 */
#include "keyval.h"
#include "transport-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
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
        transport_connect(transport, AF_UNIX, generic, sizeof(address));
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
    return transport_wait_for_peer(transport, fd, path, error);
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
        return transport_open_tcp(transport, colon + 1, error);
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
    transport->fd = -1;
    transport->output = g_byte_array_new();
    if (!open_uri(transport, uri, take_fd, error)) {
        transport_free(transport);
        return NULL;
    }
    return transport;
}
