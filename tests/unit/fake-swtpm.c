/* SPDX-License-Identifier: BSD-3-Clause */
/* Peers that stand in for swtpm; see fake-swtpm.h. */
#include "fake-swtpm.h"

#include "command.h"
#include "peer-sockets.h"
#include "swtpm-protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* ---- sockets ---- */

/* Listen in a new directory of our own; returns the socket and its path. */
static int listen_somewhere(char **directory, char **path)
{
    *directory = g_dir_make_tmp("fake-swtpm-XXXXXX", NULL);
    g_assert(*directory);
    *path = g_build_filename(*directory, "ctrl", NULL);
    return peer_listen(*path, 0, SOMAXCONN);
}

static void remove_socket(char *directory, char *path)
{
    unlink(path);
    rmdir(directory);
    g_free(directory);
    g_free(path);
}

/* ---- the scripted peer ---- */

struct FakeSwtpm {
    const char *const *script;
    char *directory;
    char *path;
    int listen_fd;
    int control_fd;
    int data_fd;
    GThread *thread;

    GMutex lock; /* for all below */
    GCond changed;
    unsigned reached; /* "wait" lines the script has come to */
    unsigned allowed; /* "wait" lines it may pass */
    gboolean ended;
    char *trouble;
};

/* "0011 22*3" → bytes; stops at a word that is no hexadecimal. */
static GByteArray *bytes_of(const char *text)
{
    GByteArray *bytes = g_byte_array_new();

    while (*text) {
        if (*text == ' ') {
            text++;
            continue;
        }
        int high = g_ascii_xdigit_value(text[0]);
        int low = high < 0 ? -1 : g_ascii_xdigit_value(text[1]);

        if (low < 0 || strcmp(text, "fd") == 0) {
            break;
        }
        guint8 byte = (guint8)(high << 4 | low);
        guint64 times = 1;

        text += 2;
        if (*text == '*') {
            times = g_ascii_strtoull(text + 1, (char **)&text, 10);
        }
        while (times-- > 0) {
            g_byte_array_append(bytes, &byte, 1);
        }
    }
    return bytes;
}

static char *hex_of(const guint8 *bytes, gsize size)
{
    GString *text = g_string_new(NULL);

    for (gsize i = 0; i < size && i < 32; i++) {
        g_string_append_printf(text, "%02x", bytes[i]);
    }
    return g_string_free(text, FALSE);
}

static char *expect_bytes(FakeSwtpm *fake, int fd, const char *text)
{
    g_autoptr(GByteArray) wanted = bytes_of(text);
    gboolean with_fd = g_str_has_suffix(text, "fd");
    guint8 buffer[8192];
    int passed;
    ssize_t got = peer_receive(fd, buffer, sizeof(buffer), 0, &passed);

    if (got < 0) {
        return g_strdup(g_strerror(errno));
    }
    if (passed >= 0 && with_fd) {
        peer_close(&fake->data_fd);
        fake->data_fd = passed;
        struct timeval timeout = { .tv_sec = FAKE_DEADLINE_S };
        setsockopt(passed, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    } else if (passed >= 0 || with_fd) {
        peer_close(&passed);
        return g_strdup(with_fd ? "no file descriptor came along" : "a file descriptor came along");
    }
    if ((gsize)got != wanted->len || memcmp(buffer, wanted->data, wanted->len) != 0) {
        g_autofree char *seen = hex_of(buffer, (gsize)got);

        return g_strdup_printf("got %zd bytes instead: %s", got, seen);
    }
    return NULL;
}

static char *send_bytes(int fd, const char *text)
{
    g_autoptr(GByteArray) bytes = bytes_of(text);

    return send(fd, bytes->data, bytes->len, MSG_NOSIGNAL) == (ssize_t)bytes->len
               ? NULL
               : g_strdup(g_strerror(errno));
}

static char *drain(int fd, guint64 size)
{
    guint8 buffer[8192];

    while (size > 0) {
        ssize_t got = recv(fd, buffer, MIN(size, sizeof(buffer)), 0);

        if (got <= 0) {
            return g_strdup(got == 0 ? "it is closed" : g_strerror(errno));
        }
        size -= (guint64)got;
    }
    return NULL;
}

static char *expect_end(int fd)
{
    guint8 buffer[32];
    ssize_t got = recv(fd, buffer, sizeof(buffer), 0);

    if (got > 0) {
        g_autofree char *seen = hex_of(buffer, (gsize)got);

        return g_strdup_printf("got bytes instead: %s", seen);
    }
    return got == 0 || errno == ECONNRESET ? NULL : g_strdup(g_strerror(errno));
}

static char *expect_nothing(int fd)
{
    guint8 buffer[32];
    ssize_t got = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);

    if (got > 0) {
        g_autofree char *seen = hex_of(buffer, (gsize)got);

        return g_strdup_printf("got bytes instead: %s", seen);
    }
    return got < 0 && errno == EAGAIN ? NULL : g_strdup("it is closed");
}

static char *take_connection(FakeSwtpm *fake)
{
    struct timeval timeout = { .tv_sec = FAKE_DEADLINE_S };

    setsockopt(fake->listen_fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    peer_close(&fake->control_fd);
    fake->control_fd = accept4(fake->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fake->control_fd < 0) {
        return g_strdup_printf("nobody connects: %s", g_strerror(errno));
    }
    setsockopt(fake->control_fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    return NULL;
}

static char *wait_for_go(FakeSwtpm *fake)
{
    gint64 deadline = g_get_monotonic_time() + FAKE_DEADLINE_S * G_TIME_SPAN_SECOND;
    gboolean in_time = TRUE;

    g_mutex_lock(&fake->lock);
    fake->reached++;
    g_cond_broadcast(&fake->changed);
    while (fake->allowed < fake->reached && in_time) {
        in_time = g_cond_wait_until(&fake->changed, &fake->lock, deadline);
    }
    g_mutex_unlock(&fake->lock);
    return in_time ? NULL : g_strdup("nobody lets it go on");
}

static char *do_line(FakeSwtpm *fake, const char *line)
{
    int *fd = line[0] == 'c' ? &fake->control_fd : &fake->data_fd;

    if (strcmp(line, "wait") == 0) {
        return wait_for_go(fake);
    }
    if (strcmp(line, "accept") == 0) {
        return take_connection(fake);
    }
    if (line[1] == '?') {
        return expect_bytes(fake, *fd, line + 2);
    }
    if (line[1] == '!') {
        return send_bytes(*fd, line + 2);
    }
    if (g_str_has_prefix(line + 1, " drain ")) {
        return drain(*fd, g_ascii_strtoull(line + 8, NULL, 10));
    }
    if (strcmp(line + 1, " eof") == 0) {
        return expect_end(*fd);
    }
    if (strcmp(line + 1, " quiet") == 0) {
        return expect_nothing(*fd);
    }
    if (strcmp(line + 1, " close") == 0) {
        peer_close(fd);
        return NULL;
    }
    return g_strdup("no such act");
}

static gpointer run_script(gpointer data)
{
    FakeSwtpm *fake = data;
    char *trouble = take_connection(fake);

    for (guint i = 0; !trouble && fake->script[i]; i++) {
        g_autofree char *cause = do_line(fake, fake->script[i]);

        if (cause) {
            trouble = g_strdup_printf("script line %u, \"%s\": %s", i + 1, fake->script[i], cause);
        }
    }
    peer_close(&fake->data_fd);
    peer_close(&fake->control_fd);
    peer_close(&fake->listen_fd);
    g_mutex_lock(&fake->lock);
    fake->trouble = trouble;
    fake->ended = TRUE;
    g_cond_broadcast(&fake->changed);
    g_mutex_unlock(&fake->lock);
    return NULL;
}

FakeSwtpm *fake_swtpm_new(const char *const *script)
{
    FakeSwtpm *fake = g_new0(FakeSwtpm, 1);

    fake->script = script;
    fake->control_fd = -1;
    fake->data_fd = -1;
    g_mutex_init(&fake->lock);
    g_cond_init(&fake->changed);
    fake->listen_fd = listen_somewhere(&fake->directory, &fake->path);
    fake->thread = g_thread_new("fake-swtpm", run_script, fake);
    return fake;
}

const char *fake_swtpm_path(const FakeSwtpm *fake)
{
    return fake->path;
}

gboolean fake_swtpm_reached(FakeSwtpm *fake, unsigned nth)
{
    g_mutex_lock(&fake->lock);
    while (fake->reached < nth && !fake->ended) {
        g_cond_wait(&fake->changed, &fake->lock);
    }
    gboolean reached = fake->reached >= nth;
    g_mutex_unlock(&fake->lock);
    return reached;
}

void fake_swtpm_go(FakeSwtpm *fake)
{
    g_mutex_lock(&fake->lock);
    fake->allowed++;
    g_cond_broadcast(&fake->changed);
    g_mutex_unlock(&fake->lock);
}

char *fake_swtpm_end(FakeSwtpm *fake)
{
    g_thread_join(fake->thread);
    char *trouble = fake->trouble;

    remove_socket(fake->directory, fake->path);
    g_mutex_clear(&fake->lock);
    g_cond_clear(&fake->changed);
    g_free(fake);
    return trouble;
}

/* ---- the farm ---- */

typedef struct FarmPeer FarmPeer;

/* What an epoll event points at. */
typedef struct FarmEnd {
    FarmPeer *peer; /* NULL: the listening socket, or the pipe that ends the farm */
    int fd;
} FarmEnd;

struct FarmPeer {
    FarmEnd control;
    FarmEnd data;
    gboolean ready; /* INIT has come */
    guint32 buffer_size;
};

struct FakeFarm {
    char *directory;
    char *path;
    FarmEnd listener;
    FarmEnd end;   /* readable when the farm is to end */
    int end_write; /* closing it ends the farm */
    int epoll_fd;
    GHashTable *peers; /* a set of FarmPeer */
    guint commands;
    GThread *thread;
};

static void farm_watch(FakeFarm *farm, FarmEnd *end)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = end };

    epoll_ctl(farm->epoll_fd, EPOLL_CTL_ADD, end->fd, &event);
}

static void farm_peer_free(gpointer data)
{
    FarmPeer *peer = data;

    peer_close(&peer->data.fd);
    peer_close(&peer->control.fd);
    g_free(peer);
}

static void farm_accept(FakeFarm *farm)
{
    FarmPeer *peer = g_new0(FarmPeer, 1);

    peer->control = (FarmEnd){ peer, accept4(farm->listener.fd, NULL, NULL, SOCK_CLOEXEC) };
    peer->data = (FarmEnd){ peer, -1 };
    peer->buffer_size = TPM_BUFFER_SIZE_COMMON;
    g_hash_table_add(farm->peers, peer);
    farm_watch(farm, &peer->control);
}

/* Write the reply to a control message; returns its size. */
static size_t farm_reply(FarmPeer *peer, const guint8 *message, guint8 reply[SWTPM_REPLY_MAX])
{
    guint32 number = tpm_get_be32(message);

    memset(reply, 0, SWTPM_REPLY_MAX);
    if (number == SWTPM_INIT) {
        peer->ready = TRUE;
    } else if (number == SWTPM_STOP) {
        peer->ready = FALSE;
    } else if (number == SWTPM_GET_CAPABILITY) {
        tpm_put_be32(reply + SWTPM_CAPABILITY_OFFSET, 0x3FFF);
    } else if (number == SWTPM_SET_BUFFERSIZE) {
        guint32 size = tpm_get_be32(message + 4);

        peer->buffer_size = size ? size : peer->buffer_size;
        tpm_put_be32(reply + SWTPM_BUFFERSIZE_OFFSET, peer->buffer_size);
        tpm_put_be32(reply + 8, TPM_BUFFER_SIZE_MIN);
        tpm_put_be32(reply + SWTPM_BUFFERSIZE_MAX_OFFSET, TPM_BUFFER_SIZE_COMMON);
    }
    return tpm_swtpm_reply_size((SwtpmCommand)number);
}

/* FALSE when the client has gone. */
static gboolean farm_control(FakeFarm *farm, FarmPeer *peer)
{
    guint8 message[64] = { 0 };
    guint8 reply[SWTPM_REPLY_MAX];
    int passed;
    ssize_t got = peer_receive(peer->control.fd, message, sizeof(message), 0, &passed);

    if (passed >= 0) {
        peer_close(&peer->data.fd);
        peer->data.fd = passed;
        farm_watch(farm, &peer->data);
    }
    if (got <= 0) {
        return FALSE;
    }
    size_t size = farm_reply(peer, message, reply);

    return send(peer->control.fd, reply, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static void farm_data(FakeFarm *farm, FarmPeer *peer)
{
    static const guint32 get_random = 0x17B;
    guint8 command[TPM_BUFFER_SIZE_COMMON];
    guint8 response[TPM_HEADER_SIZE + 2 + 64] = { 0 };
    ssize_t got = recv(peer->data.fd, command, sizeof(command), MSG_DONTWAIT);

    if (got <= 0) {
        peer_close(&peer->data.fd);
        return;
    }
    tpm_error_response(TPM_VERSION_2_0, peer->ready ? TPM2_RC_SUCCESS : TPM2_RC_FAILURE, response);
    if (peer->ready && got >= 12 && tpm_header_code(command) == get_random) {
        guint16 wanted = MIN(tpm_get_be16(command + TPM_HEADER_SIZE), 64);

        tpm_put_be32(response + TPM_HEADER_LEN, TPM_HEADER_SIZE + 2u + wanted);
        tpm_put_be16(response + TPM_HEADER_SIZE, wanted);
    }
    send(peer->data.fd, response, tpm_header_len(response), MSG_NOSIGNAL);
    g_atomic_int_inc(&farm->commands);
}

/* FALSE when the farm is to end. */
static gboolean farm_event(FakeFarm *farm, FarmEnd *end)
{
    if (end == &farm->end) {
        return FALSE;
    }
    if (end == &farm->listener) {
        farm_accept(farm);
    } else if (end == &end->peer->data) {
        farm_data(farm, end->peer);
    } else if (!farm_control(farm, end->peer)) {
        g_hash_table_remove(farm->peers, end->peer);
    }
    return TRUE;
}

static gpointer farm_run(gpointer data)
{
    FakeFarm *farm = data;
    struct epoll_event event;
    int n;

    /* One event at a time: it may free the peer that another one would point at. */
    do {
        n = epoll_wait(farm->epoll_fd, &event, 1, -1);
    } while (n < 1 || farm_event(farm, event.data.ptr));
    return NULL;
}

static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

FakeFarm *fake_farm_new(void)
{
    FakeFarm *farm = g_new0(FakeFarm, 1);
    int end[2];

    raise_file_limit();
    farm->listener.fd = listen_somewhere(&farm->directory, &farm->path);
    if (pipe2(end, O_CLOEXEC) != 0 || (farm->epoll_fd = epoll_create1(EPOLL_CLOEXEC)) < 0) {
        g_error("fake swtpm farm: %s", g_strerror(errno));
    }
    farm->end.fd = end[0];
    farm->end_write = end[1];
    farm_watch(farm, &farm->listener);
    farm_watch(farm, &farm->end);
    farm->peers = g_hash_table_new_full(NULL, NULL, farm_peer_free, NULL);
    farm->thread = g_thread_new("fake-farm", farm_run, farm);
    return farm;
}

const char *fake_farm_path(const FakeFarm *farm)
{
    return farm->path;
}

guint fake_farm_commands(FakeFarm *farm)
{
    return (guint)g_atomic_int_get(&farm->commands);
}

void fake_farm_free(FakeFarm *farm)
{
    peer_close(&farm->end_write);
    g_thread_join(farm->thread);
    g_hash_table_destroy(farm->peers);
    peer_close(&farm->end.fd);
    peer_close(&farm->listener.fd);
    peer_close(&farm->epoll_fd);
    remove_socket(farm->directory, farm->path);
    g_free(farm);
}
