/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Starting swtpm, and a bare client of its sockets; see swtpm-process.h. The messages are those of
 * swtpm's manual page swtpm_ioctls(3).
 */
#include "swtpm-process.h"

#include "command.h"
#include "swtpm-protocol.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

bool swtpm_is_installed(void)
{
    char *path = g_find_program_in_path("swtpm");

    g_free(path);
    return path != NULL;
}

/* In the child, before swtpm: it is to go when the benchmark does. */
static void die_with_parent(gpointer data)
{
    (void)data;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static int try_connect(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* It listens once a connection succeeds; that one is closed again, which swtpm takes well. */
static bool wait_until_it_listens(const char *path)
{
    int64_t deadline = bench_deadline_ns();
    int fd;

    while ((fd = try_connect(path)) < 0) {
        if (bench_now_ns() > deadline) {
            return bench_fail("swtpm does not listen at %s", path);
        }
        g_usleep(1000);
    }
    close(fd);
    return true;
}

bool swtpm_start(SwtpmProcess *swtpm, const char *directory, const char *name)
{
    char *state = g_build_filename(directory, name, NULL);
    GError *error = NULL;

    g_mkdir_with_parents(state, 0700);
    swtpm->path = g_strdup_printf("%s.ctrl", state);
    char *tpmstate = g_strdup_printf("dir=%s", state);
    char *ctrl = g_strdup_printf("type=unixio,path=%s", swtpm->path);
    char *argv[] = { "swtpm", "socket", "--tpm2", "--tpmstate", tpmstate, "--ctrl", ctrl, NULL };
    /* It says each time that its client is gone. */
    GSpawnFlags flags =
        G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL;
    bool good = g_spawn_async(NULL, argv, NULL, flags, die_with_parent, NULL, &swtpm->pid, &error);

    if (!good) {
        bench_fail("swtpm does not start: %s", error->message);
        g_clear_error(&error);
    }
    g_free(state);
    g_free(tpmstate);
    g_free(ctrl);
    return good && wait_until_it_listens(swtpm->path);
}

void swtpm_end(SwtpmProcess *swtpm)
{
    if (swtpm->pid > 0) {
        kill(swtpm->pid, SIGKILL);
        waitpid(swtpm->pid, NULL, 0);
        swtpm->pid = 0;
    }
    g_clear_pointer(&swtpm->path, g_free);
}

/* ---- the bare client ---- */

static bool send_with_fd(int fd, const void *message, size_t size, int passed)
{
    struct iovec part = { .iov_base = (void *)message, .iov_len = size };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { .bytes = { 0 } };
    struct msghdr header = { .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes) };
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);

    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(rights), &passed, sizeof(int));
    return sendmsg(fd, &header, MSG_NOSIGNAL) == (ssize_t)size;
}

/* Receive the reply of a control message whose reply is its result alone. */
static bool result_is_good(int fd, const char *what)
{
    uint8_t result[SWTPM_RESULT_SIZE];

    if (recv(fd, result, sizeof(result), MSG_WAITALL) != (ssize_t)sizeof(result)) {
        return bench_fail("swtpm does not answer %s", what);
    }
    uint32_t code = tpm_get_be32(result);

    return code == 0 || bench_fail("swtpm answers %s with %u", what, code);
}

static bool hand_over_data(BareClient *client)
{
    static const uint8_t set_data_fd[] = { 0, 0, 0, SWTPM_SET_DATAFD };
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return bench_fail("no pair of sockets: %s", g_strerror(errno));
    }
    client->data_fd = pair[0];
    bool sent = send_with_fd(client->control_fd, set_data_fd, sizeof(set_data_fd), pair[1]);

    close(pair[1]);
    return sent && result_is_good(client->control_fd, "SET_DATAFD");
}

bool bare_client_open(BareClient *client, const SwtpmProcess *swtpm)
{
    static const uint8_t init[] = { 0, 0, 0, SWTPM_INIT, 0, 0, 0, 0 };

    client->data_fd = -1;
    client->control_fd = try_connect(swtpm->path);
    return client->control_fd >= 0 && hand_over_data(client) &&
           send(client->control_fd, init, sizeof(init), MSG_NOSIGNAL) == (ssize_t)sizeof(init) &&
           result_is_good(client->control_fd, "INIT") && bare_client_run(client, &bench_startup);
}

void bare_client_close(BareClient *client)
{
    if (client->data_fd >= 0) {
        close(client->data_fd);
    }
    if (client->control_fd >= 0) {
        close(client->control_fd);
    }
}

bool bare_client_run(void *self, const BenchCommand *command)
{
    BareClient *client = self;
    uint8_t response[BENCH_RESPONSE_MAX];
    ssize_t got;

    if (send(client->data_fd, command->bytes, command->size, MSG_NOSIGNAL) !=
        (ssize_t)command->size) {
        return false;
    }
    /* swtpm writes a response at once, so one receive gets it all. */
    do {
        got = recv(client->data_fd, response, sizeof(response), client->spin ? MSG_DONTWAIT : 0);
    } while (got < 0 && (errno == EAGAIN || errno == EINTR));
    return got > 0 && bench_response_is_good(command, response, (size_t)got);
}
