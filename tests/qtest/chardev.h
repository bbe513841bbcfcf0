/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Character devices of the machine: unix sockets, as client or as server, and stdio. A Chardev
 * is what `-chardev` declares; a Channel is one of them in use by qtest or QMP, carrying lines.
 *
 * A socket that a `-tpmdev` names is only declared here: the library connects to it itself.
 */
#ifndef TESTS_QTEST_CHARDEV_H
#define TESTS_QTEST_CHARDEV_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct Chardev {
    char *id;
    char *path;  /* of the unix socket; NULL for stdio */
    bool server; /* listen there instead of connecting */
} Chardev;

void chardev_free(Chardev *chardev);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Chardev, chardev_free)

/* From the value of `-chardev`. */
Chardev *chardev_parse(const char *text, GError **error);

/*
 * From the value of `-qtest` or `-qmp`: `unix:PATH[,server=on][,wait=off]`, `stdio`, or
 * `chardev:ID` of one in the list.
 */
Chardev *chardev_parse_legacy(const char *text, const GPtrArray *declared, GError **error);

/* The one with this id, or NULL with error set. */
const Chardev *chardev_find(const GPtrArray *declared, const char *id, GError **error);

/* A longer line than this ends the connection. */
#define CHANNEL_LINE_MAX (160u << 20)

/* What the user of a channel hears of it, all on the main loop. */
typedef struct ChannelHandler {
    /* A peer is there. */
    void (*opened)(void *opaque);
    /* A line came, without its end. */
    void (*line)(void *opaque, char *line);
    /* The peer left. A server listens again; anything else is over. */
    void (*closed)(void *opaque);
} ChannelHandler;

typedef struct Channel Channel;

/* Connect or listen. The handler is called from the main loop only, never from in here. */
Channel *channel_open(const Chardev *chardev, const ChannelHandler *handler, void *opaque,
                      GError **error);

/* Send a line; its end is added. Without a peer it is dropped. */
void channel_send(Channel *channel, const char *line);

/* The same for any text, to which nothing is added. */
void channel_send_text(Channel *channel, const char *text);

/* While it is held, lines that come are kept, and handed over when it no longer is. */
void channel_hold(Channel *channel, bool held);

/* The descriptor that came last with what the peer sent, which is the caller's then, or -1. */
int channel_take_fd(Channel *channel);

/* True for a server, which outlives its peers. */
bool channel_listens(const Channel *channel);

/* Sends what is left, for a bounded time, closes and frees; NULL is fine. */
void channel_free(Channel *channel);

#endif /* TESTS_QTEST_CHARDEV_H */
