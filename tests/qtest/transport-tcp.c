/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tcp:HOST:PORT; see transport.h. A host that has a name is looked for by a thread, for no resolver
 * has a way to be asked that never blocks; the main loop hears of the answer, and a transport that
 * is freed does not wait for it.
 */
#include "keyval.h"
#include "transport-internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* HOST:PORT, [HOST]:PORT or :PORT. */
static bool split_address(const Transport *transport, const char *text, char **host, char **port,
                          GError **error)
{
    const char *colon = strrchr(text, ':');
    gsize length = colon ? (gsize)(colon - text) : 0;
    bool bracketed = length >= 2 && text[0] == '[' && text[length - 1] == ']';

    if (!colon || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1)) {
        g_set_error(error, MACHINE_ERROR, 0, "%s: write tcp:HOST:PORT, the port as a number",
                    transport->uri);
        return false;
    }
    *host = bracketed ? g_strndup(text + 1, length - 2) : g_strndup(text, length);
    *port = g_strdup(colon + 1);
    return true;
}

static unsigned port_of(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof(address);

    if (getsockname(fd, (struct sockaddr *)&address, &size)) {
        return 0;
    }
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

static void set_port(struct sockaddr *address, unsigned port)
{
    if (address->sa_family == AF_INET6) {
        ((struct sockaddr_in6 *)(void *)address)->sin6_port = htons((uint16_t)port);
    } else {
        ((struct sockaddr_in *)(void *)address)->sin_port = htons((uint16_t)port);
    }
}

/* Returns a descriptor, or -1 with errno set. */
static int bind_to(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;

    if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
                    bind(fd, address->ai_addr, address->ai_addrlen))) {
        int number = errno;

        close(fd);
        errno = number;
        return -1;
    }
    return fd;
}

/* At all of the host's addresses that are free, of which one will do; at the same port of each. */
static bool listen_tcp(Transport *transport, GError **error)
{
    int number = 0;

    for (struct addrinfo *at = transport->addresses; at && transport->n_listeners < LISTENERS_MAX;
         at = at->ai_next) {
        if (transport->port) {
            set_port(at->ai_addr, transport->port);
        }
        int fd = bind_to(at);

        if (fd < 0 || !transport_wait_for_peer(transport, fd, NULL, NULL)) {
            number = errno;
        } else if (!transport->port) {
            transport->port = port_of(fd);
        }
    }
    if (!transport->n_listeners) {
        transport_set_errno(error, transport, number);
    }
    return transport->n_listeners > 0;
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_ANY_INIT };
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool found = fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0;

    if (fd >= 0) {
        close(fd);
    }
    return found;
}

/*
 * Who listens everywhere does so by IPv6, which takes IPv4 as well, if there is any. Blocks, unless
 * the flags say that the host is a number; so it is for a thread, and touches nothing else.
 */
static int find_addresses(const char *host, const char *port, bool listens, int flags,
                          struct addrinfo **addresses)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags };

    if (listens) {
        hints.ai_flags |= AI_PASSIVE;
    }
    if (listens && !host && has_ipv6()) {
        hints.ai_family = AF_INET6;
    }
    return getaddrinfo(host, port, &hints, addresses);
}

static void set_unknown(GError **error, const char *uri, int code, int number)
{
    g_set_error(error, MACHINE_ERROR, 0, "%s: address resolution failed for %s: %s", uri,
                uri + strlen("tcp:"), code == EAI_SYSTEM ? g_strerror(number) : gai_strerror(code));
}

/* The addresses are there. */
static bool use_addresses(Transport *transport, GError **error)
{
    if (!transport->sends) {
        return listen_tcp(transport, error);
    }
    transport->address = transport->addresses;
    transport_connect_next(transport);
    return true;
}

/* ---- a host that has a name ---- */

/* What the thread is given; nothing of the transport, which may be gone before it ends. */
typedef struct Question {
    char *uri;
    char *host;
    char *port;
    bool listens;
} Question;

static void question_free(gpointer data)
{
    Question *question = data;

    g_free(question->uri);
    g_free(question->host);
    g_free(question->port);
    g_free(question);
}

static void free_addresses(gpointer addresses)
{
    freeaddrinfo(addresses);
}

/* In a thread. */
static void ask(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    const Question *question = data;
    struct addrinfo *addresses = NULL;
    GError *error = NULL;
    int code = find_addresses(question->host, question->port, question->listens, 0, &addresses);
    int number = errno;

    (void)source;
    (void)cancellable;
    if (code) {
        set_unknown(&error, question->uri, code, number);
        g_task_return_error(task, error);
    } else {
        g_task_return_pointer(task, addresses, free_addresses);
    }
}

/* On the main loop. The transport is gone when it was cancelled. */
static void on_answer(GObject *source, GAsyncResult *result, gpointer opaque)
{
    Transport *transport = opaque;
    g_autoptr(GError) error = NULL;
    struct addrinfo *addresses = g_task_propagate_pointer(G_TASK(result), &error);

    (void)source;
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        return;
    }
    g_clear_object(&transport->question);
    transport->addresses = addresses;
    if (!addresses || !use_addresses(transport, &error)) {
        transport->handler->ended(transport->opaque, error);
    }
}

static void find_name(Transport *transport, const char *host, const char *port)
{
    Question *question = g_new(Question, 1);

    *question =
        (Question){ g_strdup(transport->uri), g_strdup(host), g_strdup(port), !transport->sends };
    transport->question = g_cancellable_new();
    g_autoptr(GTask) task = g_task_new(NULL, transport->question, on_answer, transport);

    g_task_set_return_on_cancel(task, TRUE);
    g_task_set_task_data(task, question, question_free);
    g_task_run_in_thread(task, ask);
}

/* ---- open ---- */

bool transport_open_tcp(Transport *transport, const char *text, GError **error)
{
    g_autofree char *host = NULL, *port = NULL;

    transport->is_socket = true;
    if (!split_address(transport, text, &host, &port, error)) {
        return false;
    }
    int code = find_addresses(*host ? host : NULL, port, !transport->sends, AI_NUMERICHOST,
                              &transport->addresses);

    if (code == EAI_NONAME && *host) {
        find_name(transport, host, port);
        return true;
    }
    if (code) {
        set_unknown(error, transport->uri, code, errno);
        return false;
    }
    return use_addresses(transport, error);
}

/* Whoever still looks for it has nobody to tell. */
void transport_close_tcp(Transport *transport)
{
    if (transport->question) {
        g_cancellable_cancel(transport->question);
        g_clear_object(&transport->question);
    }
    if (transport->addresses) {
        freeaddrinfo(transport->addresses);
    }
}
