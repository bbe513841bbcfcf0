/* SPDX-License-Identifier: BSD-3-Clause */
/* What transport.c, transport-open.c, transport-socket.c and transport-tcp.c share. */
#ifndef TESTS_QTEST_TRANSPORT_INTERNAL_H
#define TESTS_QTEST_TRANSPORT_INTERNAL_H

#include "transport.h"

#include <gio/gio.h>
#include <netdb.h>
#include <sys/socket.h>

/* At so many addresses of a host somebody is waited for. */
#define LISTENERS_MAX 8u

typedef struct Listener {
    int fd;
    guint source; /* on the main loop: somebody comes */
} Listener;

struct Transport {
    const TransportHandler *handler;
    void *opaque;
    char *uri;
    bool sends;
    bool is_socket;

    int fd; /* -1 until it is opened */
    Listener listeners[LISTENERS_MAX];
    unsigned n_listeners; /* while it waits for somebody to come */
    guint starts;         /* sources on the main loop, 0 when there is none: opening it */
    guint reads;
    guint writes;
    GByteArray *output;
    size_t sent; /* of output */
    uint64_t moved;

    char *path;      /* of a file that is written, or of the socket listened on */
    char *temporary; /* the name such a file has until it is whole; else NULL */
    GPid pid;        /* of a command; 0 when there is none, or it has ended */
    guint child;     /* the source that waits for its end */
    int failure;     /* errno of the last connection that was tried, or of a command's pipe */
    unsigned port;
    GCancellable *question;     /* for a host's addresses, while there is no answer */
    struct addrinfo *addresses; /* to connect to, or to listen at */
    struct addrinfo *address;   /* the next of them */
};

/* "URI: what errno means", with errno as the code. */
void transport_set_errno(GError **error, const Transport *transport, int number);

/* Watch nothing any more. */
void transport_stop(Transport *transport);

/* The descriptor to send to or receive from is there. */
void transport_attach(Transport *transport, int fd);

/* Connect; the handler hears from the main loop whether it went well. */
void transport_connect(Transport *transport, int family, const struct sockaddr *address,
                       socklen_t size);

/* The same with the next of the addresses that a host has, if there is one. */
void transport_connect_next(Transport *transport);

/*
 * Listen on a bound socket, too; it is the transport's then, also when it fails. The first who
 * comes to any of them is the other side.
 */
bool transport_wait_for_peer(Transport *transport, int fd, const char *path, GError **error);

/* HOST:PORT; and the end of whatever that has begun. */
bool transport_open_tcp(Transport *transport, const char *text, GError **error);
void transport_close_tcp(Transport *transport);

/* Nobody else may come. */
void transport_close_listeners(Transport *transport);

#endif /* TESTS_QTEST_TRANSPORT_INTERNAL_H */
