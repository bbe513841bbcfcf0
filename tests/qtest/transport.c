/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sending and receiving over what transport-open.c has opened; see transport.h.
 */
#include "keyval.h"
#include "transport-internal.h"

#include <errno.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE 65536u

static void drop_source(guint *source)
{
    if (*source) {
        g_source_remove(*source);
        *source = 0;
    }
}

void transport_set_errno(GError **error, const Transport *transport, int number)
{
    g_set_error(error, MACHINE_ERROR, number, "%s: %s", transport->uri, g_strerror(number));
}

void transport_stop(Transport *transport)
{
    drop_source(&transport->starts);
    drop_source(&transport->reads);
    drop_source(&transport->writes);
}

static void end(Transport *transport, const GError *error)
{
    transport_stop(transport);
    transport->handler->ended(transport->opaque, error);
}

/* ---- the end of a command ---- */

/* What it says of itself tells more than what became of the pipe. */
static void on_child(GPid pid, gint status, gpointer opaque)
{
    Transport *transport = opaque;
    g_autoptr(GError) error = NULL;

    (void)pid;
    transport->pid = 0;
    transport->child = 0;
    if (!g_spawn_check_wait_status(status, &error)) {
        g_prefix_error(&error, "%s: ", transport->uri);
    } else if (transport->failure) {
        transport_set_errno(&error, transport, transport->failure);
    }
    if (transport->sends) {
        transport->handler->finished(transport->opaque, error);
    } else {
        transport->handler->ended(transport->opaque, error);
    }
}

static void close_fd(Transport *transport)
{
    transport_stop(transport);
    if (transport->fd >= 0) {
        close(transport->fd);
    }
    transport->fd = -1;
}

static void wait_for_child(Transport *transport)
{
    close_fd(transport);
    transport->child = g_child_watch_add(transport->pid, on_child, transport);
}

/* ---- in ---- */

static gboolean on_readable(gint fd, GIOCondition condition, gpointer opaque)
{
    Transport *transport = opaque;
    g_autofree uint8_t *piece = g_malloc(PIECE);
    g_autoptr(GError) error = NULL;

    (void)condition;
    ssize_t n = read(fd, piece, PIECE);

    if (n > 0) {
        transport->moved += (uint64_t)n;
        transport->handler->received(transport->opaque, piece, (size_t)n);
    } else if (n == 0 && transport->pid) {
        wait_for_child(transport);
    } else if (n == 0) {
        end(transport, NULL);
    } else if (errno != EAGAIN && errno != EINTR) {
        transport_set_errno(&error, transport, errno);
        end(transport, error);
    }
    return G_SOURCE_CONTINUE; /* whoever ended it has removed it */
}

/* ---- out ---- */

static ssize_t write_piece(const Transport *transport)
{
    const uint8_t *data = transport->output->data + transport->sent;
    size_t size = transport->output->len - transport->sent;

    return transport->is_socket ? send(transport->fd, data, size, MSG_NOSIGNAL)
                                : write(transport->fd, data, size);
}

/* Returns 0, or why it failed. */
static int write_some(Transport *transport)
{
    while (transport->sent < transport->output->len) {
        ssize_t n = write_piece(transport);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return errno == EAGAIN ? 0 : errno;
        }
        transport->sent += (size_t)n;
        transport->moved += (uint64_t)n;
    }
    return 0;
}

bool transport_has_sent(const Transport *transport)
{
    return transport->sent == transport->output->len;
}

static gboolean on_writable(gint fd, GIOCondition condition, gpointer opaque)
{
    Transport *transport = opaque;
    g_autoptr(GError) error = NULL;
    int failure = write_some(transport);

    (void)fd;
    (void)condition;
    if (failure && transport->is_socket) {
        drop_source(&transport->writes); /* why the other side left is what there is to read */
    } else if (failure && transport->pid) {
        transport->failure = failure;
        wait_for_child(transport);
    } else if (failure) {
        transport_set_errno(&error, transport, failure);
        end(transport, error);
    } else if (transport_has_sent(transport)) {
        g_byte_array_set_size(transport->output, 0);
        transport->sent = 0;
        drop_source(&transport->writes);
        transport->handler->drained(transport->opaque);
    }
    return G_SOURCE_CONTINUE;
}

void transport_send(Transport *transport, const void *data, size_t size)
{
    g_byte_array_append(transport->output, data, (guint)size);
    write_some(transport); /* a failure is seen again, and dealt with, by the source */
    if (!transport->writes) {
        transport->writes = g_unix_fd_add(transport->fd, G_IO_OUT, on_writable, transport);
    }
}

/* ---- begin and end ---- */

void transport_attach(Transport *transport, int fd)
{
    transport->fd = fd;
    g_unix_set_fd_nonblocking(fd, TRUE, NULL);
    if (!transport->sends || transport->is_socket) {
        transport->reads = g_unix_fd_add(fd, G_IO_IN | G_IO_HUP, on_readable, transport);
    }
    transport->handler->opened(transport->opaque);
}

/* The file gets its name. */
static bool publish(Transport *transport, GError **error)
{
    if (!transport->temporary) {
        return true;
    }
    if (fsync(transport->fd) || g_rename(transport->temporary, transport->path)) {
        transport_set_errno(error, transport, errno);
        return false;
    }
    g_clear_pointer(&transport->temporary, g_free);
    return true;
}

void transport_finish(Transport *transport)
{
    g_autoptr(GError) error = NULL;

    if (transport->pid) {
        wait_for_child(transport);
        return;
    }
    publish(transport, &error);
    close_fd(transport);
    transport->handler->finished(transport->opaque, error);
}

static void on_reaped(GPid pid, gint status, gpointer opaque)
{
    (void)pid;
    (void)status;
    (void)opaque;
}

static void end_child(Transport *transport)
{
    drop_source(&transport->child);
    if (transport->pid) {
        kill(-transport->pid, SIGTERM);
        g_child_watch_add(transport->pid, on_reaped, NULL);
    }
}

void transport_free(Transport *transport)
{
    if (!transport) {
        return;
    }
    close_fd(transport);
    transport_close_listeners(transport);
    end_child(transport);
    if (transport->temporary) {
        unlink(transport->temporary);
    }
    transport_close_tcp(transport);
    g_byte_array_unref(transport->output);
    g_free(transport->temporary);
    g_free(transport->path);
    g_free(transport->uri);
    g_free(transport);
}

bool transport_is_two_way(const Transport *transport)
{
    return transport->is_socket;
}

bool transport_has_peer_left(const Transport *transport)
{
    char byte;
    ssize_t n = transport->is_socket ? recv(transport->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) : 1;

    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

uint64_t transport_moved(const Transport *transport)
{
    return transport->moved;
}

unsigned transport_port(const Transport *transport)
{
    return transport->port;
}
