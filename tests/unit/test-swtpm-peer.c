/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ways of the `emulator` backend to a real swtpm other than one unix socket: TCP, a unix socket
 * for data besides, and descriptors that are handed in.
 */
#include "command.h"
#include "emulator-channel.h"
#include "emulator-internal.h"
#include "spawn-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const uint8_t startup_2_0[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0 };
static const uint8_t get_random_2_0[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 16 };

#define RUN(swtpm, bytes) backend_client_command(&(swtpm)->client, bytes, sizeof(bytes))

/* ---- swtpm ---- */

static void die_with_the_test(gpointer data)
{
    (void)data;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* A swtpm with these options; descriptors without FD_CLOEXEC are passed on to it. */
static void launch(Swtpm *swtpm, const char *const *options)
{
    g_autofree char *state = g_strdup_printf("dir=%s", swtpm->directory);
    const char *argv[12] = { "swtpm", "socket", "--tpm2", "--tpmstate", state };
    GSpawnFlags flags = G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD |
                        G_SPAWN_LEAVE_DESCRIPTORS_OPEN | G_SPAWN_STDERR_TO_DEV_NULL;
    GError *error = NULL;

    for (size_t i = 0; options[i]; i++) {
        argv[5 + i] = options[i];
    }
    if (!g_spawn_async(NULL, (char **)argv, NULL, flags, die_with_the_test, NULL, &swtpm->pid,
                       &error)) {
        fail_msg("%s", error->message);
    }
}

/* Connect to it as soon as it listens. False when it has ended, which it does on a taken port. */
static bool attach(Swtpm *swtpm)
{
    gint64 deadline = g_get_monotonic_time() + CLIENT_DEADLINE_S * G_TIME_SPAN_SECOND;

    swtpm->config.size = sizeof(swtpm->config);
    swtpm->config.id = "tpm0";
    while (g_get_monotonic_time() < deadline) {
        swtpm->backend = tpmdev_backend_emulator_new(&swtpm->config, NULL);
        if (swtpm->backend) {
            return true;
        }
        if (waitpid(swtpm->pid, NULL, WNOHANG) != 0) {
            swtpm->pid = 0;
            return false;
        }
        g_usleep(2000);
    }
    fail_msg("swtpm does not listen");
    return false;
}

static void start_and_use(Swtpm *swtpm)
{
    swtpm_bind(swtpm);
    swtpm_start(swtpm);
    assert_int_equal(RUN(swtpm, startup_2_0), 0);
    assert_int_equal(RUN(swtpm, get_random_2_0), 0);
    assert_int_equal(swtpm->client.response_size, 12 + 16);
}

static int set_up(void **state)
{
    *state = swtpm_new();
    return 0;
}

static int tear_down(void **state)
{
    swtpm_free(*state);
    return 0;
}

/* ---- TCP ---- */

/* A socket of TCP at a port that was free; its number. */
static int bind_somewhere(const char *host, TPMChannelAddress *address)
{
    int fd;

    assert_true(tpm_channel_address_init(address, host, 1, NULL));
    /* A port is at the same place in both families. */
    ((struct sockaddr_in *)&address->bytes)->sin_port = 0;
    fd = socket(address->bytes.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address->bytes, address->size) != 0) {
        close(fd);
        return -1; /* no IPv6 here */
    }
    getsockname(fd, (struct sockaddr *)&address->bytes, &address->size);
    return fd;
}

static uint16_t port_of(const TPMChannelAddress *address)
{
    return ntohs(((const struct sockaddr_in *)&address->bytes)->sin_port);
}

/* Two ports that nobody uses at the moment; false when there is no such address. */
static bool find_ports(const char *host, uint16_t ports[2])
{
    TPMChannelAddress addresses[2];
    int fds[2];

    for (unsigned i = 0; i < 2; i++) {
        fds[i] = bind_somewhere(host, &addresses[i]);
        ports[i] = port_of(&addresses[i]);
    }
    for (unsigned i = 0; i < 2; i++) {
        tpm_channel_address_clear(&addresses[i]);
        tpm_channel_close(&fds[i]);
    }
    return ports[0] && ports[1];
}

static void launch_tcp(Swtpm *swtpm, const char *host)
{
    g_autofree char *server =
        g_strdup_printf("type=tcp,port=%u,bindaddr=%s", swtpm->config.port, host);
    g_autofree char *ctrl =
        g_strdup_printf("type=tcp,port=%u,bindaddr=%s", swtpm->config.control_port, host);
    const char *const options[] = { "--server", server, "--ctrl", ctrl, NULL };

    launch(swtpm, options);
}

/* A port may be taken by another test before swtpm has it: then others are tried. */
static bool connect_by_tcp(Swtpm *swtpm, const char *host)
{
    uint16_t ports[2];

    swtpm->config.host = host;
    for (unsigned i = 0; i < 20 && find_ports(host, ports); i++) {
        swtpm->config.port = ports[0];
        swtpm->config.control_port = ports[1];
        launch_tcp(swtpm, host);
        if (attach(swtpm)) {
            return true;
        }
    }
    return false;
}

static void test_tcp_carries_commands(void **state)
{
    Swtpm *swtpm = *state;

    assert_true(connect_by_tcp(swtpm, "127.0.0.1"));
    start_and_use(swtpm);
    /* All of it is there at once, a second time, too. */
    swtpm_start(swtpm);
    assert_int_equal(RUN(swtpm, startup_2_0), 0);
}

static void test_tcp_is_for_ipv6_too(void **state)
{
    Swtpm *swtpm = *state;
    uint16_t ports[2];

    if (!find_ports("::1", ports)) {
        skip();
    }
    assert_true(connect_by_tcp(swtpm, "::1"));
    start_and_use(swtpm);
}

static void test_tcp_ends_swtpm_with_the_backend(void **state)
{
    Swtpm *swtpm = *state;

    assert_true(connect_by_tcp(swtpm, "127.0.0.1"));
    swtpm->backend = tpmdev_backend_unref(swtpm->backend);
    assert_int_equal(swtpm_wait_for_exit(swtpm), 0);
}

static void test_tcp_finds_a_swtpm_that_was_started_again(void **state)
{
    Swtpm *swtpm = *state;

    assert_true(connect_by_tcp(swtpm, "127.0.0.1"));
    start_and_use(swtpm);
    swtpm_kill(swtpm);
    backend_client_wait_failed(&swtpm->client, 1);
    assert_int_equal(RUN(swtpm, get_random_2_0), TPM2_RC_FAILURE);
    launch_tcp(swtpm, "127.0.0.1");
    backend_client_wait_recovered(&swtpm->client, 1);
    assert_int_equal(RUN(swtpm, get_random_2_0), 0);
}

/* Its answer must be no other command's. */
static void test_tcp_what_is_late_gets_a_new_connection(void **state)
{
    Swtpm *swtpm = *state;

    swtpm->config.short_timeout_ms = 200;
    assert_true(connect_by_tcp(swtpm, "127.0.0.1"));
    start_and_use(swtpm);
    swtpm_stop(swtpm);
    assert_int_equal(RUN(swtpm, get_random_2_0), TPM2_RC_FAILURE);
    kill(swtpm->pid, SIGCONT);
    backend_client_wait_recovered(&swtpm->client, 1);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(RUN(swtpm, get_random_2_0), 0);
        assert_int_equal(swtpm->client.response_size, 12 + 16);
    }
}

static void expect_error(const TPMEmulatorConfig *config, TPMError code, const char *words)
{
    TPMEmulatorConfig whole = *config;
    g_autoptr(GError) error = NULL;

    whole.size = sizeof(whole);
    whole.id = "tpm0";
    assert_null(tpm_emulator_new(&whole, 500, NULL, &error));
    spawn_assert_contains(error->message, words);
    assert_int_equal(error->code, code);
}

static void test_tcp_where_nobody_listens_is_refused(void **state)
{
    TPMEmulatorConfig config = { .host = "127.0.0.1" };
    uint16_t ports[2];

    (void)state;
    assert_true(find_ports("127.0.0.1", ports));
    config.port = ports[0];
    config.control_port = ports[1];
    expect_error(&config, TPM_ERROR_IO, "Connection refused; start swtpm first, with --server");
}

/* Its queue is full, so the kernel answers nothing. */
static void test_tcp_where_nobody_accepts_is_not_waited_for(void **state)
{
    TPMEmulatorConfig config = { .host = "127.0.0.1" };
    TPMChannelAddress address;
    int fd = bind_somewhere("127.0.0.1", &address);
    int clients[4];

    (void)state;
    assert_int_equal(listen(fd, 0), 0);
    for (size_t i = 0; i < G_N_ELEMENTS(clients); i++) {
        clients[i] = tpm_channel_connect_tcp(&address, NULL);
    }
    config.port = port_of(&address);
    config.control_port = port_of(&address);
    expect_error(&config, TPM_ERROR_TIMED_OUT, "did not answer the connection within 500 ms");
    for (size_t i = 0; i < G_N_ELEMENTS(clients); i++) {
        tpm_channel_close(&clients[i]);
    }
    tpm_channel_address_clear(&address);
    close(fd);
}

static void test_tcp_is_never_connected_to_itself(void **state)
{
    TPMChannelAddress address;
    int fd = bind_somewhere("127.0.0.1", &address);
    g_autoptr(GError) error = NULL;

    (void)state;
    assert_int_equal(connect(fd, (struct sockaddr *)&address.bytes, address.size), 0);
    assert_int_equal(tpm_channel_is_connected(fd, &address, &error), -1);
    spawn_assert_contains(error->message, "Connection refused");
    tpm_channel_address_clear(&address);
    close(fd);
}

static void test_tcp_takes_addresses_and_no_names(void **state)
{
    static const char *const good[] = { "127.0.0.1", "::1",     "localhost",
                                        "LOCALHOST", "1.2.3.4", "fe80::1" };
    static const char *const bad[] = { "",      "example.org", "localhost.", "256.0.0.1",
                                       "127.1", "0x7f000001",  "::g",        "*" };
    TPMChannelAddress address = { .name = NULL };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(good); i++) {
        assert_true(tpm_channel_address_init(&address, good[i], 65535, NULL));
        assert_int_equal(port_of(&address), 65535);
        tpm_channel_address_clear(&address);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;

        if (tpm_channel_address_init(&address, bad[i], 1, &error)) {
            fail_msg("'%s' is taken for %s", bad[i], address.name);
        }
        spawn_assert_contains(error->message, "give an IPv4 or IPv6 address in numbers");
        assert_int_equal(error->code, TPM_ERROR_INVALID_OPTION);
    }
    assert_false(tpm_channel_address_init(&address, "127.0.0.1", 0, NULL));
}

/* ---- a unix socket for data ---- */

static void connect_with_server(Swtpm *swtpm, const char *data_path)
{
    g_autofree char *server = g_strdup_printf("type=unixio,path=%s", data_path);
    g_autofree char *ctrl = g_strdup_printf("type=unixio,path=%s", swtpm->path);
    const char *const options[] = { "--server", server, "--ctrl", ctrl, NULL };

    swtpm->config.path = swtpm->path;
    swtpm->config.server_path = data_path;
    launch(swtpm, options);
    assert_true(attach(swtpm));
}

static void test_a_unix_data_socket_carries_commands(void **state)
{
    Swtpm *swtpm = *state;
    g_autofree char *path = spawn_below(swtpm, "data");

    connect_with_server(swtpm, path);
    start_and_use(swtpm);
}

static void test_what_is_late_on_a_unix_data_socket_is_no_other_commands(void **state)
{
    Swtpm *swtpm = *state;
    g_autofree char *path = spawn_below(swtpm, "data");

    swtpm->config.short_timeout_ms = 200;
    connect_with_server(swtpm, path);
    start_and_use(swtpm);
    for (unsigned i = 1; i <= 2; i++) {
        swtpm_stop(swtpm);
        assert_int_equal(RUN(swtpm, get_random_2_0), TPM2_RC_FAILURE);
        kill(swtpm->pid, SIGCONT);
        backend_client_wait_recovered(&swtpm->client, i);
        assert_int_equal(RUN(swtpm, get_random_2_0), 0);
        assert_int_equal(swtpm->client.response_size, 12 + 16);
    }
}

static void test_a_unix_data_socket_that_is_not_there_is_named(void **state)
{
    Swtpm *swtpm = *state;
    g_autofree char *path = spawn_below(swtpm, "data");
    TPMEmulatorConfig config = { .path = swtpm->path, .server_path = path };

    swtpm_launch(swtpm, false);
    expect_error(&config, TPM_ERROR_NOT_FOUND, "start swtpm first, with --server type=unixio");
    config.server_path = swtpm->directory;
    expect_error(&config, TPM_ERROR_IO, "it must be the data socket of swtpm");
}

/* ---- descriptors ---- */

/* Launch a swtpm with a control channel and perhaps a data channel of ours. */
static void hand_over(Swtpm *swtpm, unsigned n)
{
    int ours[2] = { -1, -1 }, theirs[2] = { -1, -1 };
    g_autofree char *ctrl = NULL, *data = NULL;

    for (unsigned i = 0; i < n; i++) {
        int pair[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        ours[i] = pair[0];
        theirs[i] = fcntl(pair[1], F_DUPFD, 20);
        close(pair[1]);
    }
    ctrl = g_strdup_printf("type=unixio,clientfd=%d", theirs[0]);
    data = g_strdup_printf("%d", theirs[1]);
    const char *const options[] = { "--ctrl", ctrl, n > 1 ? "--fd" : NULL, data, NULL };

    launch(swtpm, options);
    for (unsigned i = 0; i < n; i++) {
        close(theirs[i]);
        swtpm->config.fds[i] = ours[i];
    }
    swtpm->config.n_fds = n;
}

static void check_descriptors(Swtpm *swtpm, unsigned n)
{
    hand_over(swtpm, n);
    assert_true(attach(swtpm));
    start_and_use(swtpm);
    swtpm_unbind(swtpm);
    swtpm->backend = tpmdev_backend_unref(swtpm->backend);
    assert_int_equal(swtpm_wait_for_exit(swtpm), 0);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(fcntl(swtpm->config.fds[i], F_GETFD), -1); /* it was the library's */
    }
}

static void test_a_control_channel_handed_in_carries_commands(void **state)
{
    check_descriptors(*state, 1);
}

static void test_both_channels_handed_in_carry_commands(void **state)
{
    check_descriptors(*state, 2);
}

static void test_a_channel_handed_in_outlives_a_late_command(void **state)
{
    Swtpm *swtpm = *state;

    hand_over(swtpm, 1);
    swtpm->config.short_timeout_ms = 200;
    assert_true(attach(swtpm));
    start_and_use(swtpm);
    swtpm_stop(swtpm);
    assert_int_equal(RUN(swtpm, get_random_2_0), TPM2_RC_FAILURE);
    kill(swtpm->pid, SIGCONT);
    backend_client_wait_recovered(&swtpm->client, 1);
    assert_int_equal(RUN(swtpm, get_random_2_0), 0);
}

static void test_what_was_handed_in_is_used_once(void **state)
{
    Swtpm *swtpm = *state;

    hand_over(swtpm, 1);
    assert_true(attach(swtpm));
    start_and_use(swtpm);
    swtpm_kill(swtpm);
    /* The host is told that there is no way back, and the guest's commands fail. */
    backend_client_wait_failed(&swtpm->client, 2);
    spawn_assert_contains(swtpm->client.failure, "a new one takes a new backend");
    assert_int_equal(RUN(swtpm, get_random_2_0), TPM2_RC_FAILURE);
    assert_false(backend_client_start(&swtpm->client, TPM_BUFFER_SIZE_COMMON));
    spawn_assert_contains(swtpm->client.start_error, "a new one takes a new backend");
}

static void test_what_is_handed_in_stays_the_callers_when_that_fails(void **state)
{
    int pair[2];
    TPMEmulatorConfig config = { .n_fds = 1 };

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    config.fds[0] = pair[0];
    expect_error(&config, TPM_ERROR_TIMED_OUT, "swtpm at 'descriptor ");
    assert_int_equal(fcntl(pair[0], F_GETFD), FD_CLOEXEC);
    close(pair[1]);
    expect_error(&config, TPM_ERROR_PROTOCOL, "closed the control channel");
    assert_int_equal(fcntl(pair[0], F_GETFD), FD_CLOEXEC);
    close(pair[0]);
}

static void expect_bad_fd(int fd, const char *words)
{
    TPMEmulatorConfig config = { .n_fds = 1, .fds = { fd } };
    TPMEmulatorConfig both = { .n_fds = 2, .fds = { -1, fd } };
    int pair[2];

    expect_error(&config, TPM_ERROR_INVALID_OPTION, words);
    expect_error(&config, TPM_ERROR_INVALID_OPTION, "TPM emulator: fd, which is ");
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    both.fds[0] = pair[0];
    expect_error(&both, TPM_ERROR_INVALID_OPTION, words);
    expect_error(&both, TPM_ERROR_INVALID_OPTION, "TPM emulator: data-fd, which is ");
    close(pair[0]);
    close(pair[1]);
}

static void test_a_descriptor_that_is_no_channel_is_refused(void **state)
{
    int pair[2];
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int unconnected = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    TPMChannelAddress address;
    int listener = bind_somewhere("127.0.0.1", &address);

    (void)state;
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
    expect_bad_fd(-1, "is no open descriptor");
    expect_bad_fd(1023, "is no open descriptor");
    expect_bad_fd(null_fd, "is no socket");
    expect_bad_fd(pair[0], "is no stream socket");
    expect_bad_fd(unconnected, "is not connected");
    expect_bad_fd(listener, "is not connected");
    close(null_fd);
    close(unconnected);
    close(pair[0]);
    close(pair[1]);

    /* TCP alone cannot carry a data channel; and one socket is not two. */
    int client = tpm_channel_connect_tcp(&address, NULL);
    TPMEmulatorConfig tcp = { .n_fds = 1, .fds = { client } };
    TPMEmulatorConfig twice = { .n_fds = 2, .fds = { client, client } };

    expect_error(&tcp, TPM_ERROR_INVALID_OPTION, "is no unix socket");
    expect_error(&twice, TPM_ERROR_INVALID_OPTION, "they must be two sockets");
    close(client);
    close(listener);
    tpm_channel_address_clear(&address);
}

/* ---- one way ---- */

static void test_there_is_one_way(void **state)
{
    static const struct {
        TPMEmulatorConfig config;
        const char *words;
    } cases[] = {
        { { .path = NULL }, "nothing says where swtpm is" },
        { { .path = "x", .host = "::1", .port = 1, .control_port = 2 }, "different ways" },
        { { .path = "x", .n_fds = 1 }, "different ways" },
        { { .path = "x", .spawn = true, .directory = "/" }, "different ways" },
        { { .host = "::1", .n_fds = 1 }, "different ways" },
        { { .host = "::1", .server_path = "x" }, "server-path is for" },
        { { .path = "x", .port = 1 }, "port and control-port are those of a host" },
        { { .path = "x", .control_port = 1 }, "port and control-port are those of a host" },
        { { .host = "::1", .port = 1 }, "a port from 1 to 65535" },
        { { .n_fds = 3 }, "two descriptors at most" },
        { { .path = "x", .directory = "/" }, "give spawn=on, too" },
        { { .path = "x", .version = TPM_VERSION_2_0 }, "give spawn=on, too" },
        { { .path = "x", .log_path = "/" }, "give spawn=on, too" },
        { { .path = "x", .log_level = 1 }, "give spawn=on, too" },
        { { .path = "x", .seccomp = TPM_SWTPM_SECCOMP_LOG }, "give spawn=on, too" },
        { { .path = "x", .program = "x" }, "give spawn=on, too" },
        { { .spawn = true, .directory = "/", .version = (TPMVersion)3 }, "must be 1.2 or 2.0" },
        { { .spawn = true, .directory = "/", .log_level = 21 }, "must be from 0 to 20" },
        { { .spawn = true, .directory = "/", .seccomp = (TPMSwtpmSeccomp)4 }, "kill, log or none" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        expect_error(&cases[i].config, TPM_ERROR_INVALID_OPTION, cases[i].words);
    }
}

/* ---- option strings ---- */

static void expect_option_error(const char *options, TPMError code, const char *words)
{
    g_autofree char *text = g_strconcat("emulator,id=tpm0,", options, NULL);
    g_autoptr(GError) error = NULL;

    assert_null(tpmdev_backend_new_from_string(text, NULL, NULL, &error));
    spawn_assert_contains(error->message, words);
    assert_int_equal(error->code, code);
}

static void test_option_strings_say_what_is_wrong(void **state)
{
    static const struct {
        const char *options;
        TPMError code;
        const char *words;
    } cases[] = {
        { "host=::1,port=1", TPM_ERROR_MISSING_OPTION, "'control-port' is missing" },
        { "host=::1,control-port=1", TPM_ERROR_MISSING_OPTION, "'port' is missing" },
        { "host=::1,port=0,control-port=1", TPM_ERROR_INVALID_OPTION, "from 1 to 65535" },
        { "host=::1,port=1,control-port=65536", TPM_ERROR_INVALID_OPTION, "from 1 to 65535" },
        { "host=a.b,port=1,control-port=2", TPM_ERROR_INVALID_OPTION, "'a.b' port 2 is no addr" },
        { "path=x,port=1", TPM_ERROR_INVALID_OPTION, "give host, too" },
        { "fd=x", TPM_ERROR_INVALID_OPTION, "parameter 'fd' is 'x'; it must be a number" },
        { "fd=-1", TPM_ERROR_INVALID_OPTION, "parameter 'fd' is '-1'; it must be a number" },
        { "data-fd=1", TPM_ERROR_MISSING_OPTION, "'fd' is missing" },
        { "fd=1023", TPM_ERROR_INVALID_OPTION, "fd, which is 1023, is no open descriptor" },
        { "fd=0,path=x", TPM_ERROR_INVALID_OPTION, "different ways" },
        { "spawn=yes", TPM_ERROR_INVALID_OPTION, "'spawn' is 'yes'; it must be on or off" },
        { "spawn=on", TPM_ERROR_MISSING_OPTION, "needs state-dir=DIR" },
        { "spawn=off", TPM_ERROR_MISSING_OPTION, "'chardev' is missing" },
        { "spawn=on,state-dir=/nowhere", TPM_ERROR_NOT_FOUND, "'/nowhere' is not there" },
        { "spawn=on,state-dir=/,version=3", TPM_ERROR_INVALID_OPTION, "must be 1.2 or 2.0" },
        { "spawn=on,state-dir=/,log-level=21", TPM_ERROR_INVALID_OPTION, "from 0 to 20" },
        { "spawn=on,state-dir=/,seccomp=off", TPM_ERROR_INVALID_OPTION, "kill, log or none" },
        { "spawn=on,state-dir=/,log=/nowhere/log", TPM_ERROR_IO, "the log '/nowhere/log'" },
        { "spawn=on,state-dir=/,swtpm=/nowhere", TPM_ERROR_NOT_FOUND, "program '/nowhere'" },
        { "path=x,state-dir=/", TPM_ERROR_INVALID_OPTION, "give spawn=on, too" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        expect_option_error(cases[i].options, cases[i].code, cases[i].words);
    }
}

static TPMBackend *from_string(const char *format, ...) G_GNUC_PRINTF(1, 2);

static TPMBackend *from_string(const char *format, ...)
{
    va_list arguments;
    GError *error = NULL;

    va_start(arguments, format);
    g_autofree char *text = g_strdup_vprintf(format, arguments);
    va_end(arguments);
    TPMBackend *backend = tpmdev_backend_new_from_string(text, NULL, NULL, &error);

    if (!backend) {
        fail_msg("%s: %s", text, error->message);
    }
    return backend;
}

static void test_option_strings_name_each_way(void **state)
{
    Swtpm *swtpm = *state;
    g_autofree char *log = spawn_below(swtpm, "log");

    hand_over(swtpm, 2);
    swtpm->backend = from_string("emulator,id=tpm0,fd=%d,data-fd=%d", swtpm->config.fds[0],
                                 swtpm->config.fds[1]);
    swtpm->backend = tpmdev_backend_unref(swtpm->backend);
    swtpm_wait_for_exit(swtpm);

    swtpm->backend = from_string("emulator,id=tpm0,spawn=on,state-dir=%s,version=2.0,log=%s,"
                                 "log-level=1,seccomp=none,swtpm=swtpm",
                                 swtpm->directory, log);
    start_and_use(swtpm);
    swtpm_unbind(swtpm);
    swtpm->backend = tpmdev_backend_unref(swtpm->backend);

    swtpm->config = (TPMEmulatorConfig){ .n_fds = 0 };
    assert_true(connect_by_tcp(swtpm, "127.0.0.1"));
    tpmdev_backend_unref(swtpm->backend);
    swtpm_wait_for_exit(swtpm);
    launch_tcp(swtpm, "127.0.0.1");
    assert_true(attach(swtpm)); /* it listens */
    tpmdev_backend_unref(swtpm->backend);
    swtpm->backend = NULL;
    swtpm_wait_for_exit(swtpm);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tcp_carries_commands),
        TEST(test_tcp_is_for_ipv6_too),
        TEST(test_tcp_ends_swtpm_with_the_backend),
        TEST(test_tcp_finds_a_swtpm_that_was_started_again),
        TEST(test_tcp_what_is_late_gets_a_new_connection),
        cmocka_unit_test(test_tcp_where_nobody_listens_is_refused),
        cmocka_unit_test(test_tcp_where_nobody_accepts_is_not_waited_for),
        cmocka_unit_test(test_tcp_is_never_connected_to_itself),
        cmocka_unit_test(test_tcp_takes_addresses_and_no_names),
        TEST(test_a_unix_data_socket_carries_commands),
        TEST(test_what_is_late_on_a_unix_data_socket_is_no_other_commands),
        TEST(test_a_unix_data_socket_that_is_not_there_is_named),
        TEST(test_a_control_channel_handed_in_carries_commands),
        TEST(test_both_channels_handed_in_carry_commands),
        TEST(test_a_channel_handed_in_outlives_a_late_command),
        TEST(test_what_was_handed_in_is_used_once),
        cmocka_unit_test(test_what_is_handed_in_stays_the_callers_when_that_fails),
        cmocka_unit_test(test_a_descriptor_that_is_no_channel_is_refused),
        cmocka_unit_test(test_there_is_one_way),
        cmocka_unit_test(test_option_strings_say_what_is_wrong),
        TEST(test_option_strings_name_each_way),
    };
    g_autofree char *swtpm = g_find_program_in_path("swtpm");

    if (!swtpm) {
        print_message("1..0 # SKIP swtpm is not installed (Debian package swtpm)\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
