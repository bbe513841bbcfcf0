/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ways to swtpm; see swtpm-peer.h. Each is a case of the switches below: a unix control socket
 * and perhaps one for data, two TCP connections, descriptors that were handed in, a process of our
 * own.
 *
 * Source: swtpm(8), `--ctrl` and `--server`.
 * Neighbours: emulator-start.c connects and goes on with the handshake; emulator-channel.c has the
 * sockets, swtpm-launch.c a swtpm of our own.
 */
#include "swtpm-peer.h"

#include "emulator-channel.h"
#include "swtpm-launch.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

/* How long a TCP connection may take. */
#define TCP_DEADLINE_S 10

/*
 * How long a unix socket may be busy: swtpm serves a client at a time, and needs a moment to see
 * that the one before has closed its connection.
 */
#define BUSY_DEADLINE_MS 500

typedef enum SwtpmWay {
    SWTPM_BY_PATH,
    SWTPM_BY_TCP,
    SWTPM_BY_FDS,
    SWTPM_BY_SPAWN,
} SwtpmWay;

struct SwtpmPeer {
    SwtpmWay way;
    char *name;

    /* by path; server_path may be NULL */
    char *path;
    char *server_path;
    gint64 busy_deadline; /* 0 when it was not busy when last tried */

    /* by TCP: the connections in progress, -1 where there is none */
    TPMChannelAddress addresses[2]; /* of the control and of the data channel */
    int connecting[2];
    gint64 tcp_deadline;

    /* by descriptors: the one or two that are there, the second -1 for none */
    int fds[2];
    bool used;

    /* by starting it; NULL otherwise */
    SwtpmLaunch *launch;
};

/* ---- what was said ---- */

/* What only a swtpm that is started has. */
static bool has_spawn_members(const TPMEmulatorConfig *config)
{
    return config->directory || config->version || config->log_path || config->log_level ||
           config->seccomp || config->program;
}

/* One way must be given, and nothing of another. NULL for nothing wrong. */
static const char *trouble_with_ways(const TPMEmulatorConfig *config)
{
    unsigned ways = (config->path != NULL) + (config->host != NULL) + (config->n_fds > 0) +
                    (unsigned)config->spawn;

    if (ways != 1) {
        return ways > 1 ? "path, host, fd and spawn=on are different ways to swtpm; give one"
                        : "nothing says where swtpm is; give path, the name of its control "
                          "socket, or host, fd or spawn=on";
    }
    if (config->server_path && !config->path) {
        return "server-path is for a swtpm with a unix control socket; give its path, too";
    }
    if ((config->port || config->control_port) && !config->host) {
        return "port and control-port are those of a host; give host, too";
    }
    if (config->n_fds > G_N_ELEMENTS(config->fds)) {
        return "there are two descriptors at most: the control and the data channel";
    }
    if (has_spawn_members(config) && !config->spawn) {
        return "state-dir, version, log, log-level, seccomp and swtpm are for a swtpm that the "
               "library starts; give spawn=on, too";
    }
    return NULL;
}

static bool ways_check(const TPMEmulatorConfig *config, GError **error)
{
    const char *trouble = trouble_with_ways(config);

    if (trouble) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION, "TPM emulator: %s", trouble);
    }
    return !trouble;
}

/* ---- by path ---- */

static void path_init(SwtpmPeer *peer, const TPMEmulatorConfig *config)
{
    peer->way = SWTPM_BY_PATH;
    peer->path = g_strdup(config->path);
    peer->server_path = g_strdup(config->server_path);
    peer->name = g_strdup(config->path);
}

static bool path_try(SwtpmPeer *peer, int *control_fd, int *data_fd, GError **error)
{
    int data = -1;

    if (peer->server_path &&
        (data = tpm_channel_connect(peer->server_path, "--server", error)) < 0) {
        return false;
    }
    int control = tpm_channel_connect(peer->path, "--ctrl", error);

    if (control < 0) {
        tpm_channel_close(&data);
        return false;
    }
    *control_fd = control;
    *data_fd = data;
    return true;
}

static SwtpmPeerOutcome path_connect(SwtpmPeer *peer, int *control_fd, int *data_fd, GError **error)
{
    gint64 now = g_get_monotonic_time();
    GError *cause = NULL;

    if (path_try(peer, control_fd, data_fd, &cause)) {
        peer->busy_deadline = 0;
        return SWTPM_PEER_CONNECTED;
    }
    if (g_error_matches(cause, TPMDEV_ERROR, TPM_ERROR_IN_USE)) {
        if (peer->busy_deadline == 0) {
            peer->busy_deadline = now + BUSY_DEADLINE_MS * G_TIME_SPAN_MILLISECOND;
        }
        if (now < peer->busy_deadline) {
            g_error_free(cause);
            return SWTPM_PEER_PENDING;
        }
    }
    peer->busy_deadline = 0;
    g_propagate_error(error, cause);
    return SWTPM_PEER_FAILED;
}

/* ---- by TCP ---- */

static bool tcp_init(SwtpmPeer *peer, const TPMEmulatorConfig *config, GError **error)
{
    peer->way = SWTPM_BY_TCP;
    if (!tpm_channel_address_init(&peer->addresses[0], config->host, config->control_port, error) ||
        !tpm_channel_address_init(&peer->addresses[1], config->host, config->port, error)) {
        g_prefix_error(error, "TPM emulator: host, port and control-port: ");
        return false;
    }
    peer->name = g_strdup(peer->addresses[0].name);
    return true;
}

static void tcp_give_up(SwtpmPeer *peer)
{
    tpm_channel_close(&peer->connecting[0]);
    tpm_channel_close(&peer->connecting[1]);
}

static bool tcp_begin(SwtpmPeer *peer, GError **error)
{
    for (unsigned i = 0; i < 2; i++) {
        peer->connecting[i] = tpm_channel_connect_tcp(&peer->addresses[i], error);
        if (peer->connecting[i] < 0) {
            return false;
        }
    }
    peer->tcp_deadline = g_get_monotonic_time() + TCP_DEADLINE_S * G_TIME_SPAN_SECOND;
    return true;
}

static SwtpmPeerOutcome tcp_look(SwtpmPeer *peer, GError **error)
{
    for (unsigned i = 0; i < 2; i++) {
        int connected = tpm_channel_is_connected(peer->connecting[i], &peer->addresses[i], error);

        if (connected < 0) {
            return SWTPM_PEER_FAILED;
        }
        if (connected == 0 && g_get_monotonic_time() < peer->tcp_deadline) {
            return SWTPM_PEER_PENDING;
        }
        if (connected == 0) {
            g_set_error(error, TPMDEV_ERROR, TPM_ERROR_TIMED_OUT,
                        "%s does not take the connection within %u s", peer->addresses[i].name,
                        TCP_DEADLINE_S);
            return SWTPM_PEER_FAILED;
        }
    }
    return SWTPM_PEER_CONNECTED;
}

static SwtpmPeerOutcome tcp_connect(SwtpmPeer *peer, int *control_fd, int *data_fd, GError **error)
{
    bool begun = peer->connecting[0] >= 0 || tcp_begin(peer, error);
    SwtpmPeerOutcome outcome = begun ? tcp_look(peer, error) : SWTPM_PEER_FAILED;

    switch (outcome) {
    case SWTPM_PEER_CONNECTED:
        *control_fd = peer->connecting[0];
        *data_fd = peer->connecting[1];
        peer->connecting[0] = -1;
        peer->connecting[1] = -1;
        break;
    case SWTPM_PEER_FAILED:
        tcp_give_up(peer);
        break;
    case SWTPM_PEER_PENDING:
        break;
    }
    return outcome;
}

/* ---- by descriptors ---- */

static bool fds_init(SwtpmPeer *peer, const TPMEmulatorConfig *config, GError **error)
{
    static const char *const names[] = { "TPM emulator: fd", "TPM emulator: data-fd" };

    peer->way = SWTPM_BY_FDS;
    for (unsigned i = 0; i < config->n_fds; i++) {
        if (!tpm_channel_check(config->fds[i], names[i], error)) {
            return false;
        }
        peer->fds[i] = config->fds[i];
    }
    if (peer->fds[0] == peer->fds[1]) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "TPM emulator: fd and data-fd are both %d; they must be two sockets",
                    peer->fds[0]);
        return false;
    }
    if (config->n_fds == 1 && !tpm_channel_is_unix(peer->fds[0])) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION,
                    "TPM emulator: fd, which is %d, is no unix socket, so that no data channel can "
                    "be handed over; give data-fd, too",
                    peer->fds[0]);
        return false;
    }
    peer->name = g_strdup_printf("descriptor %d", peer->fds[0]);
    return true;
}

/*
 * What is handed out is a duplicate: as long as the backend is not there, the caller keeps its
 * descriptors, whatever becomes of ours.
 */
static SwtpmPeerOutcome fds_connect(SwtpmPeer *peer, int *control_fd, int *data_fd, GError **error)
{
    int on = 1;

    if (peer->used) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED,
                    "the connection was handed in as a descriptor and has broken; a new one takes "
                    "a new backend");
        return SWTPM_PEER_FAILED;
    }
    peer->used = true;
    int control = fcntl(peer->fds[0], F_DUPFD_CLOEXEC, 0);
    int data = peer->fds[1] < 0 ? -1 : fcntl(peer->fds[1], F_DUPFD_CLOEXEC, 0);

    if (control < 0 || (peer->fds[1] >= 0 && data < 0)) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "cannot duplicate a descriptor: %s",
                    g_strerror(errno));
        tpm_channel_close(&control);
        tpm_channel_close(&data);
        return SWTPM_PEER_FAILED;
    }
    /* No effect and no harm on what is not TCP. */
    setsockopt(control, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(data, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    *control_fd = control;
    *data_fd = data;
    return SWTPM_PEER_CONNECTED;
}

void tpm_swtpm_peer_adopt(SwtpmPeer *peer)
{
    tpm_channel_close(&peer->fds[0]);
    tpm_channel_close(&peer->fds[1]);
}

/* ---- life ---- */

static bool peer_init(SwtpmPeer *peer, const TPMEmulatorConfig *config, GError **error)
{
    if (config->spawn) {
        peer->way = SWTPM_BY_SPAWN;
        peer->name = g_strdup(config->directory);
        peer->launch = tpm_swtpm_launch_new(config, error);
        return peer->launch != NULL;
    }
    if (config->n_fds > 0) {
        return fds_init(peer, config, error);
    }
    if (config->host) {
        return tcp_init(peer, config, error);
    }
    path_init(peer, config);
    return true;
}

SwtpmPeer *tpm_swtpm_peer_new(const TPMEmulatorConfig *config, GError **error)
{
    if (!ways_check(config, error)) {
        return NULL;
    }
    SwtpmPeer *peer = g_new0(SwtpmPeer, 1);

    peer->connecting[0] = -1;
    peer->connecting[1] = -1;
    peer->fds[0] = -1;
    peer->fds[1] = -1;
    if (!peer_init(peer, config, error)) {
        tpm_swtpm_peer_free(peer);
        return NULL;
    }
    return peer;
}

const char *tpm_swtpm_peer_name(const SwtpmPeer *peer)
{
    return peer->name;
}

SwtpmPeerOutcome tpm_swtpm_peer_connect(SwtpmPeer *peer, int *control_fd, int *data_fd,
                                        GError **error)
{
    switch (peer->way) {
    case SWTPM_BY_TCP:
        return tcp_connect(peer, control_fd, data_fd, error);
    case SWTPM_BY_FDS:
        return fds_connect(peer, control_fd, data_fd, error);
    case SWTPM_BY_SPAWN:
        return tpm_swtpm_launch_connect(peer->launch, control_fd, error);
    case SWTPM_BY_PATH:
        break;
    }
    return path_connect(peer, control_fd, data_fd, error);
}

bool tpm_swtpm_peer_comes_again(const SwtpmPeer *peer)
{
    return peer->way != SWTPM_BY_FDS;
}

void tpm_swtpm_peer_keep_data(SwtpmPeer *peer, int fd)
{
    if (peer->launch) {
        tpm_swtpm_launch_keep_data(peer->launch, fd);
    } else {
        close(fd);
    }
}

char *tpm_swtpm_peer_describe_end(SwtpmPeer *peer)
{
    return peer->launch ? tpm_swtpm_launch_describe_end(peer->launch) : NULL;
}

void tpm_swtpm_peer_free(SwtpmPeer *peer)
{
    g_clear_pointer(&peer->launch, tpm_swtpm_launch_free);
    tcp_give_up(peer);
    tpm_channel_address_clear(&peer->addresses[0]);
    tpm_channel_address_clear(&peer->addresses[1]);
    g_free(peer->path);
    g_free(peer->server_path);
    g_free(peer->name);
    g_free(peer);
}
