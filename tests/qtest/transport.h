/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The way a migration takes: QEMU's URIs, none of which ever blocks the main loop.
 *
 *     unix:PATH         connects, or listens and takes the first who comes
 *     tcp:HOST:PORT     likewise; [HOST] for an IPv6 address, no HOST for all of them
 *     exec:COMMAND      the input, or the output, of a shell's command
 *     file:PATH         a file; one that is written has its name when it is whole, and not before
 *     fd:NAME           a descriptor that a monitor was given, or by its number one that the
 *                       program was started with
 *
 * migration.c uses one at a time.
 */
#ifndef TESTS_QTEST_TRANSPORT_H
#define TESTS_QTEST_TRANSPORT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* All of it comes from the main loop, and any of it may free the transport. */
typedef struct TransportHandler {
    /* It is connected, or open. */
    void (*opened)(void *opaque);
    void (*received)(void *opaque, const uint8_t *data, size_t size);
    /* All that was to be sent is. */
    void (*drained)(void *opaque);
    /* The other side has closed it, error NULL; or it failed. Nothing follows. */
    void (*ended)(void *opaque, const GError *error);
    /* After transport_finish(): what was sent is where it should be, error NULL, or not. */
    void (*finished)(void *opaque, const GError *error);
} TransportHandler;

/* Gives the descriptor of a name away, or -1 when there is none. */
typedef int (*TransportTakeFd)(void *opaque, const char *name);

typedef struct Transport Transport;

/*
 * For sending, or to receive from. NULL with error set for what can be told at once: a form that
 * is not known, a file that cannot be opened, an address that is taken.
 */
Transport *transport_open(const char *uri, bool sends, TransportTakeFd take_fd,
                          const TransportHandler *handler, void *opaque, GError **error);

/* Ends it, however far it is: a command is told to end, a file that is not whole is removed. */
void transport_free(Transport *transport);

/* Who reads can answer on it. Known once it is opened. */
bool transport_is_two_way(const Transport *transport);

/* Of one that is two-way: has the other side closed it? What it has sent is taken then. */
bool transport_has_peer_left(const Transport *transport);

/* Bytes to be sent, which are copied. */
void transport_send(Transport *transport, const void *data, size_t size);

/* Has it gone out, all of it? Whoever has read it may answer before drained() is called. */
bool transport_has_sent(const Transport *transport);

/* Nothing more will be sent: close it, and hear whether all is well. */
void transport_finish(Transport *transport);

/* How many bytes went either way until now. */
uint64_t transport_moved(const Transport *transport);

/* The port a listening tcp: has, or 0 until it listens. */
unsigned transport_port(const Transport *transport);

#endif /* TESTS_QTEST_TRANSPORT_H */
