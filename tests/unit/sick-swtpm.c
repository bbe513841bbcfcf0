/* SPDX-License-Identifier: BSD-3-Clause */
/* A swtpm that falls ill when it is told to; see sick-swtpm.h. */
#include "sick-swtpm.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGE_MAX 8192u
#define REPLY_MAX   512u

/* How many file descriptors it passes that nobody asked for. */
#define PASSED_FDS 3u

typedef struct Bytes {
    size_t size;
    uint8_t data[REPLY_MAX];
} Bytes;

struct SickSwtpm {
    char *path;
    TPMVersion version;
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
    Bytes rest; /* of a reply that is yet to be sent */
    bool rest_is_data;

    /* What a process keeps. */
    bool running;     /* INIT came last, not STOP */
    bool started;     /* TPM2_Startup */
    uint32_t session; /* which TPM2_Startup it was */
    bool locked;
    uint32_t extended;
    uint32_t buffer_size;
    bool established;
    bool hold;
    Bytes held;

    /* What is in files. */
    bool stored; /* volatile state of a TPM that was started */
    uint32_t stored_session;
    uint32_t starts; /* TPM2_Startup, in all lives */
    uint8_t tpm;     /* which TPM it is */

    unsigned counts[SICK_EXCHANGES];
};

/* ---- numbers ---- */

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put_be32(Bytes *bytes, uint32_t value)
{
    for (unsigned shift = 32; shift > 0; shift -= 8) {
        bytes->data[bytes->size++] = (uint8_t)(value >> (shift - 8));
    }
}

static void put_be16(Bytes *bytes, unsigned value)
{
    bytes->data[bytes->size++] = (uint8_t)(value >> 8);
    bytes->data[bytes->size++] = (uint8_t)value;
}

static Bytes bytes_of(const char *text)
{
    Bytes bytes = { 0 };

    for (; text && text[0]; text += 2) {
        g_assert(g_ascii_isxdigit(text[0]) && g_ascii_isxdigit(text[1]));
        bytes.data[bytes.size++] =
            (uint8_t)(g_ascii_xdigit_value(text[0]) << 4 | g_ascii_xdigit_value(text[1]));
    }
    return bytes;
}

/* clang-format off */
static const struct {
    const char *name;
    size_t size;
} exchanges[SICK_EXCHANGES] = {
    [SICK_SET_DATAFD] = { "SET_DATAFD", 4 },
    [SICK_PROBE_2_0] = { "probe 2.0", 10 },
    [SICK_PROBE_1_2] = { "probe 1.2", 10 },
    [SICK_GET_CAPABILITY] = { "GET_CAPABILITY", 8 },
    [SICK_GET_BUFFERSIZE] = { "SET_BUFFERSIZE(0)", 16 },
    [SICK_STOP] = { "STOP", 4 },
    [SICK_SET_BUFFERSIZE] = { "SET_BUFFERSIZE(n)", 16 },
    [SICK_INIT] = { "INIT", 4 },
    [SICK_GET_TPMESTABLISHED] = { "GET_TPMESTABLISHED", 8 },
    [SICK_SET_LOCALITY] = { "SET_LOCALITY", 4 },
    [SICK_HASH_START] = { "HASH_START", 4 },
    [SICK_HASH_DATA] = { "HASH_DATA", 4 },
    [SICK_HASH_END] = { "HASH_END", 4 },
    [SICK_CANCEL_TPM_CMD] = { "CANCEL_TPM_CMD", 4 },
    [SICK_RESET_TPMESTABLISHED] = { "RESET_TPMESTABLISHED", 4 },
    [SICK_STORE_VOLATILE] = { "STORE_VOLATILE", 4 },
    [SICK_SHUTDOWN] = { "SHUTDOWN", 4 },
    [SICK_UNKNOWN_MESSAGE] = { "an unknown message", 4 },
    [SICK_COMMAND] = { "a command", 0 },
    [SICK_TPM_STARTUP] = { "Startup", 10 },
    [SICK_TPM_SHUTDOWN] = { "Shutdown", 10 },
    [SICK_TPM_EXTEND] = { "PCR_Event", 10 },
    [SICK_TPM_HASH] = { "Hash", 14 },
    [SICK_TPM_LOCK] = { "HierarchyControl", 10 },
    [SICK_TPM_SELF_TEST] = { "ContinueSelfTest", 10 },
};
/* clang-format on */

const char *sick_exchange_name(SickExchange exchange)
{
    return exchanges[exchange].name;
}

/* The first GetRandom of a test is of four bytes. */
size_t sick_exchange_size(SickExchange exchange, TPMVersion version)
{
    if (exchange == SICK_COMMAND) {
        return version == TPM_VERSION_1_2 ? 18 : 16;
    }
    return exchanges[exchange].size;
}

bool sick_exchange_is_command(SickExchange exchange)
{
    return exchange >= SICK_COMMAND || exchange == SICK_PROBE_2_0 || exchange == SICK_PROBE_1_2;
}

/* ---- the sockets ---- */

static void watch(SickSwtpm *peer, int fd, bool yes)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

    if (fd >= 0) {
        epoll_ctl(peer->epoll_fd, yes ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, fd, &event);
    }
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void start_listening(SickSwtpm *peer)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    unlink(peer->path);
    peer->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    g_strlcpy(address.sun_path, peer->path, sizeof(address.sun_path));
    if (peer->listen_fd < 0 ||
        bind(peer->listen_fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(peer->listen_fd, 1) != 0) {
        g_error("sick swtpm at %s: %s", peer->path, g_strerror(errno));
    }
    watch(peer, peer->listen_fd, true);
}

static void close_all(SickSwtpm *peer)
{
    close_fd(&peer->data_fd);
    close_fd(&peer->control_fd);
    close_fd(&peer->listen_fd);
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
    peer->running = false;
    peer->started = false;
    peer->extended = 0;
    peer->established = false;
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

static void strike(SickSwtpm *peer, bool data, const Bytes *reply)
{
    const SickFault *fault = &peer->fault;
    Bytes bytes = bytes_of(fault->bytes);
    Bytes both = *reply;
    int *fd = data ? &peer->data_fd : &peer->control_fd;
    int other = data ? peer->control_fd : peer->data_fd;
    size_t position = MIN(fault->position, reply->size);

    peer->struck = true;
    peer->rest.size = 0;
    peer->rest_is_data = data;
    switch (fault->illness) {
    case SICK_WELL:
        send_bytes(*fd, reply->data, reply->size);
        break;
    case SICK_DIES:
        send_bytes(*fd, reply->data, position);
        die(peer);
        break;
    case SICK_DROPS:
        send_bytes(*fd, reply->data, position);
        close_fd(fd);
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

static void answer(SickSwtpm *peer, SickExchange exchange, const Bytes *reply)
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

/* Receive once, with the file descriptor that came along or -1. */
static ssize_t receive_with_fd(int fd, void *buffer, size_t size, int *passed)
{
    struct iovec part = { buffer, size };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { .bytes = { 0 } };
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    struct cmsghdr *rights = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;

    *passed = -1;
    if (rights && rights->cmsg_type == SCM_RIGHTS) {
        memcpy(passed, CMSG_DATA(rights), sizeof(int));
    }
    return got;
}

static SickExchange exchange_of_message(const uint8_t *message, size_t size)
{
    static const SickExchange numbers[] = {
        [0x01] = SICK_GET_CAPABILITY,
        [0x02] = SICK_INIT,
        [0x03] = SICK_SHUTDOWN,
        [0x04] = SICK_GET_TPMESTABLISHED,
        [0x05] = SICK_SET_LOCALITY,
        [0x06] = SICK_HASH_START,
        [0x07] = SICK_HASH_DATA,
        [0x08] = SICK_HASH_END,
        [0x09] = SICK_CANCEL_TPM_CMD,
        [0x0A] = SICK_STORE_VOLATILE,
        [0x0B] = SICK_RESET_TPMESTABLISHED,
        [0x0C] = SICK_UNKNOWN_MESSAGE,
        [0x0D] = SICK_UNKNOWN_MESSAGE,
        [0x0E] = SICK_STOP,
        [0x0F] = SICK_UNKNOWN_MESSAGE,
        [0x10] = SICK_SET_DATAFD,
        [0x11] = SICK_SET_BUFFERSIZE,
    };
    uint32_t number = size >= 4 ? be32(message) : 0;

    if (number == 0 || number >= G_N_ELEMENTS(numbers)) {
        return SICK_UNKNOWN_MESSAGE;
    }
    if (number == 0x11 && size >= 8 && be32(message + 4) == 0) {
        return SICK_GET_BUFFERSIZE;
    }
    return numbers[number];
}

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
    close_fd(&peer->data_fd);
    peer->data_fd = passed;
    watch(peer, passed, true);
    return 0;
}

static uint32_t init(SickSwtpm *peer, const uint8_t *message)
{
    peer->running = true;
    peer->started = peer->stored;
    peer->session = peer->stored_session;
    peer->extended = 0;
    peer->locked = false;
    peer->established = false;
    if (be32(message + 4) & 1) {
        peer->stored = false;
    }
    return 0;
}

static void reply_to(SickSwtpm *peer, SickExchange exchange, const uint8_t *message, int passed,
                     Bytes *reply)
{
    uint32_t result = 0;
    size_t size = exchanges[exchange].size;

    switch (exchange) {
    case SICK_SET_DATAFD:
        result = take_data_fd(peer, passed);
        break;
    case SICK_STOP:
        peer->running = false;
        break;
    case SICK_INIT:
        result = init(peer, message);
        break;
    case SICK_SET_BUFFERSIZE:
        peer->buffer_size = be32(message + 4);
        break;
    case SICK_STORE_VOLATILE:
        peer->stored = peer->started;
        peer->stored_session = peer->session;
        break;
    case SICK_HASH_END:
        peer->established = true;
        break;
    case SICK_RESET_TPMESTABLISHED:
        peer->established = false;
        break;
    case SICK_UNKNOWN_MESSAGE:
        result = 0x0A;
        break;
    case SICK_GET_CAPABILITY:
    case SICK_GET_BUFFERSIZE:
    case SICK_GET_TPMESTABLISHED:
    case SICK_SET_LOCALITY:
    case SICK_HASH_START:
    case SICK_HASH_DATA:
    case SICK_CANCEL_TPM_CMD:
    case SICK_SHUTDOWN:
    case SICK_PROBE_2_0:
    case SICK_PROBE_1_2:
    case SICK_COMMAND:
    case SICK_TPM_STARTUP:
    case SICK_TPM_SHUTDOWN:
    case SICK_TPM_EXTEND:
    case SICK_TPM_HASH:
    case SICK_TPM_LOCK:
    case SICK_TPM_SELF_TEST:
    case SICK_EXCHANGES:
        break;
    }
    put_be32(reply, result);
    if (size == 8) {
        put_be32(reply, exchange == SICK_GET_CAPABILITY ? 0xFFFF : peer->established << 24);
    } else if (size == 16) {
        put_be32(reply, peer->buffer_size);
        put_be32(reply, 128);
        put_be32(reply, 4096);
    }
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
    ssize_t got = receive_with_fd(peer->control_fd, message, sizeof(message), &passed);
    Bytes reply = { 0 };

    if (got < 0 && errno == EAGAIN) {
        return;
    }
    if (got <= 0) {
        close_fd(&peer->control_fd);
        return;
    }
    SickExchange exchange = exchange_of_message(message, (size_t)got);

    peer->counts[exchange]++;
    reply_to(peer, exchange, message, passed, &reply);
    if (exchange == SICK_CANCEL_TPM_CMD) {
        end_held_command(peer);
    }
    answer(peer, exchange, &reply);
    if (exchange == SICK_SHUTDOWN && !peer->hung) {
        die(peer);
    }
}

/* ---- the data channel ---- */

static SickExchange exchange_of_command(const uint8_t *command)
{
    bool is_1_2 = command[0] == 0;

    switch (be32(command + 6)) {
    case 0x181: /* TPM2_ReadClock */
        return SICK_PROBE_2_0;
    case 0xF1: /* TPM_GetTicks */
        return SICK_PROBE_1_2;
    case 0x144: /* TPM2_Startup */
    case 0x99:  /* TPM_Startup */
        return SICK_TPM_STARTUP;
    case 0x145: /* TPM2_Shutdown */
    case 0x98:  /* TPM_SaveState */
        return SICK_TPM_SHUTDOWN;
    case 0x182: /* TPM2_PCR_Extend */
    case 0x13C: /* TPM2_PCR_Event */
        return SICK_TPM_EXTEND;
    case 0x14: /* TPM_Extend */
        return is_1_2 ? SICK_TPM_EXTEND : SICK_COMMAND;
    case 0x17D: /* TPM2_Hash */
        return SICK_TPM_HASH;
    case 0x121:      /* TPM2_HierarchyControl */
    case 0x4000000A: /* TSC_PhysicalPresence */
        return SICK_TPM_LOCK;
    case 0x53: /* TPM_ContinueSelfTest */
        return SICK_TPM_SELF_TEST;
    default:
        return SICK_COMMAND;
    }
}

/* The code of the response. */
static uint32_t carry_out(SickSwtpm *peer, SickExchange exchange, const uint8_t *command)
{
    bool is_1_2 = peer->version == TPM_VERSION_1_2;

    if (is_1_2 != (command[0] == 0)) {
        return is_1_2 ? 0x1E : 0x84;
    }
    if (!peer->running) {
        return is_1_2 ? 9 : 0x101;
    }
    if (peer->started == (exchange == SICK_TPM_STARTUP)) {
        return is_1_2 ? 0x26 : 0x100;
    }
    if (exchange == SICK_TPM_STARTUP) {
        peer->started = true;
        peer->session = ++peer->starts;
    } else if (exchange == SICK_TPM_LOCK) {
        peer->locked = true;
    } else if (exchange == SICK_TPM_EXTEND) {
        peer->extended |= 1u << (command[13] & 31);
    }
    return 0;
}

/* TPMS_TIME_INFO: time and clock, the counts of resets and of restarts, safe. */
static void put_clock(const SickSwtpm *peer, Bytes *response)
{
    for (unsigned i = 0; i < 2; i++) {
        put_be32(response, 0);
        put_be32(response, 1000);
    }
    put_be32(response, peer->session);
    put_be32(response, 0);
    response->data[response->size++] = 1;
}

/* TPM_CURRENT_TICKS: tag, ticks, their rate and the nonce. */
static void put_ticks(const SickSwtpm *peer, Bytes *response)
{
    put_be16(response, 0x14);
    put_be32(response, 0);
    put_be32(response, 1000);
    put_be16(response, 1);
    memset(response->data + response->size, (int)peer->session, 20);
    response->size += 20;
}

/* What is behind the header of a response that tells of success. */
static void put_body(const SickSwtpm *peer, SickExchange exchange, const uint8_t *command,
                     Bytes *response)
{
    bool is_1_2 = peer->version == TPM_VERSION_1_2;
    unsigned n = command[is_1_2 ? 13 : 11];

    if (exchange == SICK_PROBE_2_0) {
        put_clock(peer, response);
    } else if (exchange == SICK_PROBE_1_2) {
        put_ticks(peer, response);
    } else if (exchange == SICK_TPM_HASH) {
        put_be32(response, peer->tpm);
    } else if (exchange == SICK_COMMAND) {
        is_1_2 ? put_be32(response, n) : put_be16(response, n);
        memset(response->data + response->size, (int)n, n);
        response->size += n;
    }
}

static void respond(SickSwtpm *peer, SickExchange exchange, const uint8_t *command, Bytes *response)
{
    uint32_t code = carry_out(peer, exchange, command);

    put_be16(response, peer->version == TPM_VERSION_1_2 ? 0x00C4 : 0x8001);
    put_be32(response, 0);
    put_be32(response, code);
    if (code == 0) {
        put_body(peer, exchange, command, response);
    }
    response->data[5] = (uint8_t)response->size;
}

static void serve_data(SickSwtpm *peer)
{
    uint8_t command[MESSAGE_MAX] = { 0 };
    ssize_t got = recv(peer->data_fd, command, sizeof(command), MSG_DONTWAIT);
    Bytes response = { 0 };

    if (got < 0 && errno == EAGAIN) {
        return;
    }
    if (got <= 0) {
        close_fd(&peer->data_fd);
        return;
    }
    SickExchange exchange = exchange_of_command(command);

    peer->counts[exchange]++;
    respond(peer, exchange, command, &response);
    if (peer->hold && exchange == SICK_COMMAND) {
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

SickSwtpm *sick_swtpm_new(GMainContext *context, const char *directory, TPMVersion version)
{
    static gint number;
    SickSwtpm *peer = g_new0(SickSwtpm, 1);

    peer->path = g_strdup_printf("%s/%d", directory, g_atomic_int_add(&number, 1));
    peer->version = version;
    peer->context = g_main_context_ref(context);
    peer->control_fd = -1;
    peer->data_fd = -1;
    peer->buffer_size = 4096;
    g_mutex_init(&peer->lock);
    peer->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    g_assert(peer->epoll_fd >= 0);
    start_listening(peer);
    peer->source = g_source_new(&source_funcs, sizeof(PeerSource));
    ((PeerSource *)peer->source)->peer = peer;
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
    Bytes bytes = bytes_of(text);

    g_mutex_lock(&peer->lock);
    send_bytes(data ? peer->data_fd : peer->control_fd, bytes.data, bytes.size);
    g_mutex_unlock(&peer->lock);
}

void sick_swtpm_drop(SickSwtpm *peer, bool data)
{
    g_mutex_lock(&peer->lock);
    close_fd(data ? &peer->data_fd : &peer->control_fd);
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

/* ---- what a test asks of it ---- */

bool sick_swtpm_has_struck(SickSwtpm *peer)
{
    g_mutex_lock(&peer->lock);
    bool struck = peer->struck;
    g_mutex_unlock(&peer->lock);
    return struck;
}

bool sick_swtpm_is_dead(SickSwtpm *peer)
{
    g_mutex_lock(&peer->lock);
    bool dead = peer->listen_fd < 0;
    g_mutex_unlock(&peer->lock);
    return dead;
}

bool sick_swtpm_is_hung(SickSwtpm *peer)
{
    g_mutex_lock(&peer->lock);
    bool hung = peer->hung;
    g_mutex_unlock(&peer->lock);
    return hung;
}

unsigned sick_swtpm_count(SickSwtpm *peer, SickExchange exchange)
{
    g_mutex_lock(&peer->lock);
    unsigned count = peer->counts[exchange];
    g_mutex_unlock(&peer->lock);
    return count;
}

uint32_t sick_swtpm_extended(SickSwtpm *peer)
{
    g_mutex_lock(&peer->lock);
    uint32_t extended = peer->extended;
    g_mutex_unlock(&peer->lock);
    return extended;
}

void sick_swtpm_change_tpm(SickSwtpm *peer)
{
    g_mutex_lock(&peer->lock);
    peer->tpm++;
    peer->stored = false;
    g_mutex_unlock(&peer->lock);
}

bool sick_swtpm_is_locked(SickSwtpm *peer)
{
    g_mutex_lock(&peer->lock);
    bool locked = peer->locked;
    g_mutex_unlock(&peer->lock);
    return locked;
}

bool sick_swtpm_is_started(SickSwtpm *peer)
{
    g_mutex_lock(&peer->lock);
    bool started = peer->started;
    g_mutex_unlock(&peer->lock);
    return started;
}
