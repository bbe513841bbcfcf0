/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The processes of a comparison's sides, and the two messages that go to and fro; see side.h.
 */
#include "side.h"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * What a process is told to do. It answers with that many times, or with -1 for the first; to an
 * order of no commands with its counters. It is a fork, so a constant is at the same address there.
 */
typedef struct Order {
    const BenchCommand *command;
    size_t n;
    int64_t gap_ns;
} Order;

static bool send_all(int fd, const void *bytes, size_t size)
{
    return send(fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static bool receive_all(int fd, void *bytes, size_t size)
{
    return recv(fd, bytes, size, MSG_WAITALL) == (ssize_t)size;
}

/* ---- in its process ---- */

/* Longer than a worker stays awake after a command, in microseconds. */
#define SETTLE_US 1000

static bool answer_counters(const Side *side, int fd)
{
    uint64_t counters[SIDE_COUNTERS] = { 0 };

    if (side->count) {
        side->count(side->self, counters);
    }
    return send_all(fd, counters, sizeof(counters));
}

/*
 * What a round woke is asleep before the next one begins, or the sides would take the processors
 * from one another.
 */
static bool answer_round(const Side *side, int fd, const Order *order)
{
    g_autofree int64_t *ns = g_new0(int64_t, order->n);

    if (!bench_time_round(side->run, side->self, order->command, order->n, order->gap_ns, ns)) {
        ns[0] = -1;
    }
    g_usleep(SETTLE_US);
    return send_all(fd, ns, order->n * sizeof(*ns));
}

/* Carry out orders until the other end is closed. */
static bool serve(const Side *side, int fd)
{
    bool good = side->open(side->self);
    Order order;

    while (good && receive_all(fd, &order, sizeof(order))) {
        good = order.n == 0 ? answer_counters(side, fd) : answer_round(side, fd, &order);
    }
    if (side->close) {
        side->close(side->self);
    }
    return good;
}

/* ---- in the process that compares ---- */

static bool start(Side *side)
{
    int pair[2] = { -1, -1 };
    bool good = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0;

    side->fd = pair[0];
    side->pid = good ? fork() : -1;
    if (side->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        _exit(serve(side, pair[1]) ? 0 : 1);
    }
    close(pair[1]);
    return side->pid > 0 || bench_fail("%s: no process", side->name);
}

bool sides_start(Side *sides, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        sides[i].pid = -1;
        sides[i].fd = -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (!start(&sides[i])) {
            return false;
        }
    }
    return true;
}

/* A process ends when its socket does. Returns whether it ended well. */
static bool end(Side *side)
{
    int status = -1;

    if (side->fd >= 0) {
        close(side->fd);
    }
    return side->pid > 0 && waitpid(side->pid, &status, 0) == side->pid && status == 0;
}

/* The last one first: later processes have copies of the earlier ones' sockets. */
bool sides_end(Side *sides, size_t n)
{
    bool good = true;

    while (n > 0) {
        good &= end(&sides[--n]);
    }
    return good;
}

static bool run_round(void *self, const BenchCommand *command, size_t n, int64_t *ns)
{
    Side *side = self;
    Order order = { command, n, side->gap_ns };

    return send_all(side->fd, &order, sizeof(order)) &&
           receive_all(side->fd, ns, n * sizeof(*ns)) && ns[0] >= 0;
}

BenchVariant side_variant(Side *side)
{
    return (BenchVariant){ .name = side->name, .round = run_round, .self = side };
}

bool side_count(Side *side, uint64_t counters[SIDE_COUNTERS])
{
    Order order = { NULL, 0, 0 };

    return send_all(side->fd, &order, sizeof(order)) &&
           receive_all(side->fd, counters, SIDE_COUNTERS * sizeof(*counters));
}
