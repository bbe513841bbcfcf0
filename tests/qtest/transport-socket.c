/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connecting, and waiting for somebody to come, of both kinds of sockets; see transport.h. The main
 * loop watches how it goes.
 */
#include "transport-internal.h"

#include <errno.h>
#include <glib-unix.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- who listens ---- */

void transport_close_listeners(Transport *transport)
{
    if (transport->n_listeners && transport->path) {
        unlink(transport->path);
    }
    for (; transport->n_listeners; transport->n_listeners--) {
        const Listener *listener = &transport->listeners[transport->n_listeners - 1];

        g_source_remove(listener->source);
        close(listener->fd);
    }
}

static gboolean on_peer(gint fd, GIOCondition condition, gpointer opaque)
{
    Transport *transport = opaque;
    int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)condition;
    if (peer >= 0) {
        transport_close_listeners(transport);
        transport_attach(transport, peer);
    }
    return G_SOURCE_CONTINUE; /* or it is removed */
}

bool transport_wait_for_peer(Transport *transport, int fd, const char *path, GError **error)
{
    Listener *listener = &transport->listeners[transport->n_listeners];

    if (listen(fd, 1)) {
        transport_set_errno(error, transport, errno);
        close(fd);
        return false;
    }
    listener->fd = fd;
    listener->source = g_unix_fd_add(fd, G_IO_IN, on_peer, transport);
    transport->n_listeners++;
    transport->path = g_strdup(path);
    return true;
}

/* ---- who connects ---- */

static gboolean on_refused(gpointer opaque)
{
    Transport *transport = opaque;
    g_autoptr(GError) error = NULL;

    transport->starts = 0;
    transport_set_errno(&error, transport, transport->failure);
    transport->handler->ended(transport->opaque, error);
    return G_SOURCE_REMOVE;
}

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
        transport_connect_next(transport);
    } else {
        transport_attach(transport, fd);
    }
    return G_SOURCE_REMOVE;
}

/* The handler hears from the main loop whether it went well. */
void transport_connect(Transport *transport, int family, const struct sockaddr *address,
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
    transport_connect_next(transport);
}

/* The next of the addresses that a name has, if there is one. */
void transport_connect_next(Transport *transport)
{
    struct addrinfo *address = transport->address;

    if (!address) {
        transport->starts = g_idle_add(on_refused, transport);
        return;
    }
    transport->address = address->ai_next;
    transport_connect(transport, address->ai_family, address->ai_addr, address->ai_addrlen);
}
