/* SPDX-License-Identifier: BSD-3-Clause */
/* What transport.c and transport-open.c share. */
#ifndef TESTS_QTEST_TRANSPORT_INTERNAL_H
#define TESTS_QTEST_TRANSPORT_INTERNAL_H

#include "transport.h"

#include <netdb.h>

struct Transport {
    const TransportHandler *handler;
    void *opaque;
    char *uri;
    bool sends;
    bool is_socket;

    int fd;       /* -1 until it is opened */
    int listener; /* -1 unless it waits for somebody to come */
    guint starts; /* sources on the main loop, 0 when there is none: opening it */
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
    struct addrinfo *addresses; /* to connect to */
    struct addrinfo *address;   /* the next of them */
};

/* "URI: what errno means", with errno as the code. */
void transport_set_errno(GError **error, const Transport *transport, int number);

/* Watch nothing any more. */
void transport_stop(Transport *transport);

/* The descriptor to send to or receive from is there. */
void transport_attach(Transport *transport, int fd);

/* Nobody else may come. */
void transport_close_listener(Transport *transport);

#endif /* TESTS_QTEST_TRANSPORT_INTERNAL_H */
