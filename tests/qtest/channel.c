/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A Channel: lines over a unix socket or stdio, never blocking the main loop, on which the TPM's
 * own I/O runs too. A server serves one peer at a time, the next ones wait in the backlog.
 */
#include "chardev.h"
#include "keyval.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* While this much waits to be sent, no more is read: a peer that does not listen is not heard. */
#define OUTPUT_PAUSE (1u << 20)

/* How long channel_free() waits for a peer to take what is left, in milliseconds. */
#define FLUSH_DEADLINE_MS 1000

/* So many descriptors can come with one message. */
#define FDS_MAX 16u

struct Channel {
    const ChannelHandler *handler;
    void *opaque;
    char *path;    /* of a server's socket, which is its to unlink */
    int listener;  /* -1 unless a server */
    int in;        /* -1 while there is no peer */
    int out;       /* the same as in, but for stdio */
    int fd;        /* that the peer has sent, -1 when there is none */
    bool held;     /* nothing is handed over */
    guint accepts; /* sources on the main loop, 0 when there is none */
    guint reads;   /* at first the idle source that calls opened() */
    guint writes;
    GString *input; /* the line that is not complete yet */
    GString *output;
};

static gboolean on_readable(gint fd, GIOCondition condition, gpointer opaque);
static gboolean on_writable(gint fd, GIOCondition condition, gpointer opaque);
static gboolean on_peer(gint fd, GIOCondition condition, gpointer opaque);
static void hand_over_lines(Channel *channel);

/* ---- sources ---- */

static void drop_source(guint *source)
{
    if (*source) {
        g_source_remove(*source);
        *source = 0;
    }
}

static void watch(Channel *channel)
{
    bool paused = channel->output->len >= OUTPUT_PAUSE;

    if (channel->in >= 0 && !paused && !channel->reads) {
        channel->reads = g_unix_fd_add(channel->in, G_IO_IN | G_IO_HUP, on_readable, channel);
    } else if (paused) {
        drop_source(&channel->reads);
    }
    if (channel->out >= 0 && channel->output->len && !channel->writes) {
        channel->writes = g_unix_fd_add(channel->out, G_IO_OUT, on_writable, channel);
    }
}

static void set_nonblocking(int fd)
{
    g_unix_set_fd_nonblocking(fd, TRUE, NULL);
}

static void attach_peer(Channel *channel, int in, int out)
{
    channel->in = in;
    channel->out = out;
    g_string_truncate(channel->input, 0);
    g_string_truncate(channel->output, 0);
}

int channel_take_fd(Channel *channel)
{
    int fd = channel->fd;

    channel->fd = -1;
    return fd;
}

static void drop_fd(Channel *channel)
{
    int fd = channel_take_fd(channel);

    if (fd >= 0) {
        close(fd);
    }
}

static void detach_peer(Channel *channel)
{
    drop_fd(channel);
    drop_source(&channel->reads);
    drop_source(&channel->writes);
    if (channel->in > STDERR_FILENO) {
        close(channel->in);
    }
    channel->in = channel->out = -1;
    if (channel->listener >= 0 && !channel->accepts) {
        channel->accepts = g_unix_fd_add(channel->listener, G_IO_IN, on_peer, channel);
    }
    channel->handler->closed(channel->opaque);
}

/* ---- out ---- */

/* Returns false when the peer is gone. */
static bool write_some(Channel *channel)
{
    while (channel->output->len) {
        ssize_t n =
            channel->out > STDERR_FILENO
                ? send(channel->out, channel->output->str, channel->output->len, MSG_NOSIGNAL)
                : write(channel->out, channel->output->str, channel->output->len);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return errno == EAGAIN || errno == EWOULDBLOCK;
        }
        g_string_erase(channel->output, 0, n);
    }
    return true;
}

static gboolean on_writable(gint fd, GIOCondition condition, gpointer opaque)
{
    Channel *channel = opaque;

    (void)fd;
    (void)condition;
    if (!write_some(channel)) {
        detach_peer(channel);
        return G_SOURCE_CONTINUE; /* already removed */
    }
    if (!channel->output->len) {
        drop_source(&channel->writes);
    }
    hand_over_lines(channel); /* those that came while the peer was too slow */
    watch(channel);
    return G_SOURCE_CONTINUE;
}

static void send_output(Channel *channel)
{
    /* A failure here is seen again, and dealt with, by the source. */
    if (!channel->writes) {
        write_some(channel);
    }
    watch(channel);
}

void channel_send(Channel *channel, const char *line)
{
    if (channel->out >= 0) {
        g_string_append(channel->output, line);
        g_string_append_c(channel->output, '\n');
        send_output(channel);
    }
}

void channel_send_text(Channel *channel, const char *text)
{
    if (channel->out >= 0) {
        g_string_append(channel->output, text);
        send_output(channel);
    }
}

/* ---- in ---- */

static void hand_over_lines(Channel *channel)
{
    char *end;

    while (channel->in >= 0 && !channel->held && channel->output->len < OUTPUT_PAUSE &&
           (end = memchr(channel->input->str, '\n', channel->input->len))) {
        gsize length = (gsize)(end - channel->input->str);
        g_autofree char *line = g_strndup(channel->input->str, length);

        g_string_erase(channel->input, 0, (gssize)length + 1);
        g_strchomp(line);
        channel->handler->line(channel->opaque, line);
    }
}

void channel_hold(Channel *channel, bool held)
{
    channel->held = held;
    hand_over_lines(channel);
}

/* Of several descriptors in one message the last one is kept. */
static void keep_fds(Channel *channel, struct msghdr *message)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(message); at; at = CMSG_NXTHDR(message, at)) {
        size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        for (size_t i = 0; i < count && at->cmsg_type == SCM_RIGHTS; i++) {
            drop_fd(channel);
            memcpy(&channel->fd, CMSG_DATA(at) + i * sizeof(int), sizeof(int));
        }
    }
}

static ssize_t receive(Channel *channel, int fd, char *buffer, size_t size)
{
    union {
        struct cmsghdr head; /* for its alignment */
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control;
    struct iovec piece = { buffer, size };
    struct msghdr message = { .msg_iov = &piece,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof(control.bytes) };

    if (fd <= STDERR_FILENO) {
        return read(fd, buffer, size);
    }
    ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);

    if (n >= 0) {
        keep_fds(channel, &message);
    }
    return n;
}

/* Who has nothing more to say on standard input may still listen. */
static void end_stdin(Channel *channel)
{
    drop_source(&channel->reads);
    channel->in = -1;
    channel->handler->closed(channel->opaque);
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer opaque)
{
    Channel *channel = opaque;
    char buffer[16384];

    (void)condition;
    ssize_t n = receive(channel, fd, buffer, sizeof(buffer));

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return G_SOURCE_CONTINUE;
    }
    if (n > 0) {
        g_string_append_len(channel->input, buffer, n);
        hand_over_lines(channel);
    }
    if (n == 0 && channel->in == STDIN_FILENO) {
        end_stdin(channel);
    } else if (channel->in >= 0 && (n <= 0 || channel->input->len > CHANNEL_LINE_MAX)) {
        detach_peer(channel);
    }
    return G_SOURCE_CONTINUE; /* detach_peer() has removed it if need be */
}

static gboolean on_peer(gint fd, GIOCondition condition, gpointer opaque)
{
    Channel *channel = opaque;
    int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

    (void)condition;
    if (peer < 0) {
        return G_SOURCE_CONTINUE;
    }
    set_nonblocking(peer);
    attach_peer(channel, peer, peer);
    channel->handler->opened(channel->opaque);
    watch(channel);
    channel->accepts = 0;
    return G_SOURCE_REMOVE;
}

/* ---- life ---- */

static bool make_address(struct sockaddr_un *address, const char *path, GError **error)
{
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof(address->sun_path)) {
        g_set_error(error, MACHINE_ERROR, 0,
                    "UNIX socket path '%s' is too long; it can have %zu bytes", path,
                    sizeof(address->sun_path) - 1);
        return false;
    }
    memcpy(address->sun_path, path, strlen(path));
    return true;
}

static int open_socket(const Chardev *chardev, GError **error)
{
    struct sockaddr_un address;

    if (!make_address(&address, chardev->path, error)) {
        return -1;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool failed;

    if (chardev->server) {
        unlink(chardev->path);
        failed = fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 16);
    } else {
        failed = fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address));
    }
    if (failed) {
        g_set_error(error, MACHINE_ERROR, 0, "Failed to %s '%s': %s",
                    chardev->server ? "listen on" : "connect to", chardev->path, g_strerror(errno));
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    return fd;
}

static gboolean announce(gpointer opaque)
{
    Channel *channel = opaque;

    channel->reads = 0;
    channel->handler->opened(channel->opaque);
    watch(channel);
    return G_SOURCE_REMOVE;
}

Channel *channel_open(const Chardev *chardev, const ChannelHandler *handler, void *opaque,
                      GError **error)
{
    int fd = chardev->path ? open_socket(chardev, error) : STDIN_FILENO;

    if (fd < 0) {
        return NULL;
    }
    Channel *channel = g_new0(Channel, 1);

    channel->handler = handler;
    channel->opaque = opaque;
    channel->listener = channel->in = channel->out = channel->fd = -1;
    channel->input = g_string_new(NULL);
    channel->output = g_string_new(NULL);
    if (chardev->path) {
        set_nonblocking(fd); /* stdio is shared with whoever started us, and stays as it is */
    }
    if (chardev->server) {
        channel->path = g_strdup(chardev->path);
        channel->listener = fd;
        channel->accepts = g_unix_fd_add(fd, G_IO_IN, on_peer, channel);
    } else {
        attach_peer(channel, fd, chardev->path ? fd : STDOUT_FILENO);
        channel->reads = g_idle_add_full(G_PRIORITY_DEFAULT, announce, channel, NULL);
    }
    return channel;
}

bool channel_listens(const Channel *channel)
{
    return channel->listener >= 0;
}

static void flush(Channel *channel)
{
    gint64 deadline = g_get_monotonic_time() + FLUSH_DEADLINE_MS * G_TIME_SPAN_MILLISECOND;

    while (channel->output->len && write_some(channel) && channel->output->len) {
        struct pollfd wait = { .fd = channel->out, .events = POLLOUT };
        gint64 left = (deadline - g_get_monotonic_time()) / G_TIME_SPAN_MILLISECOND;

        if (left <= 0 || poll(&wait, 1, (int)left) <= 0) {
            return;
        }
    }
}

void channel_free(Channel *channel)
{
    if (!channel) {
        return;
    }
    if (channel->out >= 0) {
        flush(channel);
    }
    drop_fd(channel);
    drop_source(&channel->accepts);
    drop_source(&channel->reads);
    drop_source(&channel->writes);
    if (channel->in > STDERR_FILENO) {
        close(channel->in);
    }
    if (channel->listener >= 0) {
        close(channel->listener);
        unlink(channel->path);
    }
    g_string_free(channel->input, TRUE);
    g_string_free(channel->output, TRUE);
    g_free(channel->path);
    g_free(channel);
}
