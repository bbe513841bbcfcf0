/* SPDX-License-Identifier: BSD-3-Clause */
/* A swtpm that falls ill when it is told to; see sick-swtpm.h. */
#include "sick-swtpm.h"
#include "peer-sockets.h"
#include "sick-tpm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_MAX 8192u

/* How many file descriptors it passes that nobody asked for. */
#define PASSED_FDS 3u

struct SickSwtpm {
    char *path;
    GMainContext *context;
    GSource *source;

    GMutex lock; /* for all below */
    int epoll_fd;
    int listen_fd;
    int control_fd;
    int data_fd;
    bool hung;

    SickFault fault;
    bool struck;
    SickBytes rest; /* of a reply that is yet to be sent */
    bool rest_is_data;

    SickTPM tpm;
    bool hold; /* responses to commands */
    SickBytes held;

    unsigned counts[SICK_EXCHANGES];
    unsigned lives;
};

static SickBytes bytes_of(const char *text)
{
    SickBytes bytes = { 0 };

    for (; text && text[0]; text += 2) {
        g_assert(g_ascii_isxdigit(text[0]) && g_ascii_isxdigit(text[1]));
        bytes.data[bytes.size++] =
            (uint8_t)(g_ascii_xdigit_value(text[0]) << 4 | g_ascii_xdigit_value(text[1]));
    }
    return bytes;
}

/* ---- the sockets ---- */

static void watch(SickSwtpm *peer, int fd, bool yes)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

    if (fd >= 0) {
        epoll_ctl(peer->epoll_fd, yes ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &event);
    }
}

static void start_listening(SickSwtpm *peer)
{
    unlink(peer->path);
    peer->listen_fd = peer_listen(peer->path, SOCK_NONBLOCK, 1);
    watch(peer, peer->listen_fd, true);
}

static void close_all(SickSwtpm *peer)
{
    peer_close(&peer->data_fd);
    peer_close(&peer->control_fd);
    peer_close(&peer->listen_fd);
}

static void set_hung(SickSwtpm *peer, bool hung)
{
    if (peer->hung != hung) {
        peer->hung = hung;
        watch(peer, peer->listen_fd, !hung);
        watch(peer, peer->control_fd, !hung);
        watch(peer, peer->data_fd, !hung);
    }
}

static void die(SickSwtpm *peer)
{
    close_all(peer);
    peer->hung = false;
    sick_tpm_forget(&peer->tpm);
    peer->hold = false;
    peer->held.size = 0;
    peer->rest.size = 0;
}

/* Sends all of it or, when the client has gone, nothing. */
static void send_bytes(int fd, const uint8_t *bytes, size_t size)
{
    if (fd >= 0 && size > 0) {
        ssize_t sent = send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT);

        g_assert(sent == (ssize_t)size || errno == EPIPE || errno == ECONNRESET);
    }
}

static void send_with_fds(int fd, const uint8_t *bytes, size_t size)
{
    int fds[PASSED_FDS];
    struct iovec part = { (void *)bytes, size };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(fds))];
    } control = { .bytes = { 0 } };
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };

    for (unsigned i = 0; i < PASSED_FDS; i++) {
        fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(fds));
    memcpy(CMSG_DATA(&control.header), fds, sizeof(fds));
    g_assert(sendmsg(fd, &message, MSG_NOSIGNAL) == (ssize_t)size);
    for (unsigned i = 0; i < PASSED_FDS; i++) {
        close(fds[i]);
    }
}

/* ---- the illness ---- */

static void strike(SickSwtpm *peer, bool data, const SickBytes *reply)
{
    const SickFault *fault = &peer->fault;
    SickBytes bytes = bytes_of(fault->bytes);
    SickBytes both = *reply;
    int *fd = data ? &peer->data_fd : &peer->control_fd;
    int other = data ? peer->control_fd : peer->data_fd;
    size_t position = MIN(fault->position, reply->size);

    peer->struck = true;
    peer->rest.size = 0;
    peer->rest_is_data = data;
    switch (fault->illness) {
    case SICK_WELL:
    case SICK_IS_REPLACED:
        send_bytes(*fd, reply->data, reply->size);
        break;
    case SICK_DIES:
        send_bytes(*fd, reply->data, position);
        die(peer);
        break;
    case SICK_DROPS:
        send_bytes(*fd, reply->data, position);
        peer_close(fd);
        break;
    case SICK_HANGS:
        send_bytes(*fd, reply->data, position);
        peer->rest.size = reply->size - position;
        memcpy(peer->rest.data, reply->data + position, peer->rest.size);
        set_hung(peer, true);
        break;
    case SICK_STOPS_SHORT:
        send_bytes(*fd, reply->data, position);
        break;
    case SICK_IS_LATE:
        peer->rest = *reply;
        break;
    case SICK_IS_LONG:
        memcpy(both.data + both.size, bytes.data, bytes.size);
        send_bytes(*fd, both.data, both.size + bytes.size);
        break;
    case SICK_SAYS:
        send_bytes(*fd, bytes.data, bytes.size);
        break;
    case SICK_INTERRUPTS:
        send_bytes(other, bytes.data, bytes.size);
        send_bytes(*fd, reply->data, reply->size);
        break;
    case SICK_ADDS:
        send_bytes(*fd, reply->data, reply->size);
        send_bytes(other, bytes.data, bytes.size);
        break;
    case SICK_PASSES_FDS:
        send_with_fds(*fd, reply->data, reply->size);
        break;
    }
    peer->fault.illness = SICK_WELL;
}

static void answer(SickSwtpm *peer, SickExchange exchange, const SickBytes *reply)
{
    bool data = sick_exchange_is_command(exchange);

    if (peer->fault.illness != SICK_WELL && peer->fault.exchange == exchange &&
        peer->fault.nth-- == 0) {
        strike(peer, data, reply);
    } else {
        send_bytes(data ? peer->data_fd : peer->control_fd, reply->data, reply->size);
    }
}

/* ---- the control channel ---- */

static uint32_t take_data_fd(SickSwtpm *peer, int passed)
{
    uint8_t byte;

    if (passed < 0) {
        return 3;
    }
    if (peer->data_fd >= 0 && recv(peer->data_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0) {
        close(passed);
        return 0x1F; /* swtpm has one data channel, and keeps the one it has */
    }
    peer_close(&peer->data_fd);
    peer->data_fd = passed;
    watch(peer, passed, true);
    return 0;
}

/* swtpm answers a cancel after the command it cancels. */
static void end_held_command(SickSwtpm *peer)
{
    send_bytes(peer->data_fd, peer->held.data, peer->held.size);
    peer->hold = false;
    peer->held.size = 0;
}

static void serve_control(SickSwtpm *peer)
{
    uint8_t message[MESSAGE_MAX] = { 0 };
    int passed;
    ssize_t got = peer_receive(peer->control_fd, message, sizeof(message), MSG_DONTWAIT, &passed);
    SickBytes reply = { 0 };

    if (got < 0 && errno == EAGAIN) {
        return;
    }
    if (got <= 0) {
        peer_close(&peer->control_fd);
        return;
    }
    SickExchange exchange = sick_tpm_message(message, (size_t)got);

    peer->counts[exchange]++;
    uint32_t result = exchange == SICK_SET_DATAFD ? take_data_fd(peer, passed) : 0;

    sick_tpm_reply(&peer->tpm, exchange, message, result, &reply);
    if (exchange == SICK_CANCEL_TPM_CMD) {
        end_held_command(peer);
    }
    answer(peer, exchange, &reply);
    if (exchange == SICK_SHUTDOWN && !peer->hung) {
        die(peer);
    }
}

/* ---- the data channel ---- */

static void serve_data(SickSwtpm *peer)
{
    uint8_t command[MESSAGE_MAX] = { 0 };
    ssize_t got = recv(peer->data_fd, command, sizeof(command), MSG_DONTWAIT);
    SickBytes response = { 0 };

    if (got < 0 && errno == EAGAIN) {
        return;
    }
    if (got <= 0) {
        peer_close(&peer->data_fd);
        return;
    }
    size_t header = sick_tpm_header(&peer->tpm, command);
    SickExchange exchange = sick_tpm_command(command + header);
    bool of_guest = exchange == SICK_COMMAND;

    sick_tpm_respond(&peer->tpm, exchange, command + header, &response);
    if (header > 0) {
        sick_tpm_wrap(&response);
        exchange = of_guest ? SICK_HEADED_COMMAND : exchange;
    }
    peer->counts[exchange]++;
    if (peer->hold && of_guest) {
        peer->held = response;
    } else {
        answer(peer, exchange, &response);
    }
}

/* ---- life ---- */

static void pump(SickSwtpm *peer)
{
    if (peer->control_fd < 0 && peer->listen_fd >= 0) {
        peer->control_fd = accept4(peer->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        watch(peer, peer->control_fd, true);
    }
    if (peer->data_fd >= 0 && !peer->hung) {
        serve_data(peer);
    }
    if (peer->control_fd >= 0 && !peer->hung) {
        serve_control(peer);
    }
}

typedef struct PeerSource {
    GSource source;
    SickSwtpm *peer;
} PeerSource;

static gboolean source_dispatch(GSource *source, GSourceFunc callback, gpointer data)
{
    SickSwtpm *peer = ((PeerSource *)source)->peer;

    (void)callback;
    (void)data;
    g_mutex_lock(&peer->lock);
    if (!peer->hung) {
        pump(peer);
    }
    g_mutex_unlock(&peer->lock);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs source_funcs = { .dispatch = source_dispatch };

SickSwtpm *sick_swtpm_new(GMainContext *context, const char *directory, TPMVersion version,
                          bool headers)
{
    static gint number;
    SickSwtpm *peer = g_new0(SickSwtpm, 1);

    peer->path = g_strdup_printf("%s/%d", directory, g_atomic_int_add(&number, 1));
    peer->tpm.version = version;
    peer->tpm.headers = headers;
    peer->context = g_main_context_ref(context);
    peer->control_fd = -1;
    peer->data_fd = -1;
    peer->tpm.buffer_size = 4096;
    peer->lives = 1;
    g_mutex_init(&peer->lock);
    peer->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    g_assert(peer->epoll_fd >= 0);
    start_listening(peer);
    peer->source = g_source_new(&source_funcs, sizeof(PeerSource));
    ((PeerSource *)peer->source)->peer = peer;
    /* First, so that no deadline passes only because this thread was kept from running. */
    g_source_set_priority(peer->source, G_PRIORITY_HIGH);
    g_source_add_unix_fd(peer->source, peer->epoll_fd, G_IO_IN);
    g_source_attach(peer->source, context);
    return peer;
}

/* To be called where its context runs, or when nobody runs that any more. */
void sick_swtpm_free(SickSwtpm *peer)
{
    g_source_destroy(peer->source);
    g_source_unref(peer->source);
    close_all(peer);
    close(peer->epoll_fd);
    unlink(peer->path);
    g_main_context_unref(peer->context);
    g_mutex_clear(&peer->lock);
    g_free(peer->path);
    g_free(peer);
}

const char *sick_swtpm_path(const SickSwtpm *peer)
{
    return peer->path;
}

/* ---- what a test does to it ---- */

void sick_swtpm_arm(SickSwtpm *peer, const SickFault *fault)
{
    g_mutex_lock(&peer->lock);
    peer->fault = *fault;
    peer->struck = false;
    g_mutex_unlock(&peer->lock);
}

void sick_swtpm_say(SickSwtpm *peer, bool data, const char *text)
{
    SickBytes bytes = bytes_of(text);

    g_mutex_lock(&peer->lock);
    send_bytes(data ? peer->data_fd : peer->control_fd, bytes.data, bytes.size);
    g_mutex_unlock(&peer->lock);
}

void sick_swtpm_drop(SickSwtpm *peer, bool data)
{
    g_mutex_lock(&peer->lock);
    peer_close(data ? &peer->data_fd : &peer->control_fd);
    g_mutex_unlock(&peer->lock);
}

void sick_swtpm_kill(SickSwtpm *peer)
{
    g_mutex_lock(&peer->lock);
    die(peer);
    g_mutex_unlock(&peer->lock);
}

void sick_swtpm_hang(SickSwtpm *peer)
{
    g_mutex_lock(&peer->lock);
    set_hung(peer, true);
    g_mutex_unlock(&peer->lock);
}

void sick_swtpm_revive(SickSwtpm *peer)
{
    g_mutex_lock(&peer->lock);
    die(peer);
    peer->lives++;
    start_listening(peer);
    g_mutex_unlock(&peer->lock);
}

static void send_rest(SickSwtpm *peer)
{
    send_bytes(peer->rest_is_data ? peer->data_fd : peer->control_fd, peer->rest.data,
               peer->rest.size);
    peer->rest.size = 0;
}

void sick_swtpm_wake(SickSwtpm *peer)
{
    g_mutex_lock(&peer->lock);
    send_rest(peer);
    set_hung(peer, false);
    g_mutex_unlock(&peer->lock);
}

void sick_swtpm_release(SickSwtpm *peer)
{
    g_mutex_lock(&peer->lock);
    send_rest(peer);
    g_mutex_unlock(&peer->lock);
}

void sick_swtpm_hold_commands(SickSwtpm *peer)
{
    g_mutex_lock(&peer->lock);
    peer->hold = true;
    g_mutex_unlock(&peer->lock);
}

void sick_swtpm_change_tpm(SickSwtpm *peer)
{
    g_mutex_lock(&peer->lock);
    peer->tpm.identity++;
    peer->tpm.stored = false;
    g_mutex_unlock(&peer->lock);
}

SickState sick_swtpm_state(SickSwtpm *peer)
{
    g_mutex_lock(&peer->lock);
    SickState state = {
        .struck = peer->struck,
        .dead = peer->listen_fd < 0,
        .hung = peer->hung,
        .lives = peer->lives,
        .session = peer->tpm.started ? peer->tpm.session : 0,
        .extended = peer->tpm.extended,
        .locked = peer->tpm.locked,
    };

    memcpy(state.counts, peer->counts, sizeof(state.counts));
    g_mutex_unlock(&peer->lock);
    return state;
}
