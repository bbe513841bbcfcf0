/* SPDX-License-Identifier: BSD-3-Clause */
/* The `emulator` backend against scripted peers: every message, and every way to go wrong. */
#include "backend-client.h"
#include "command.h"
#include "emulator-internal.h"
#include "fake-swtpm.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* Creation's deadline: long for peers that answer, short for those that are known not to. */
#define PATIENT_MS   30000u
#define IMPATIENT_MS 30u

/* ---- what swtpm says, line by line ---- */

#define PROBE_2_0   "d? 8001 0000000a 00000181"
#define PROBE_1_2   "d? 00c1 0000000a 000000f1"
#define FAILURE_2_0 "d! 8001 0000000a 00000101"
#define FAILURE_1_2 "d! 00c4 0000000a 00000009"
#define SET_DATAFD  "c? 00000010 fd"
#define GET_CAPS    "c? 00000001"
#define STOP        "c? 0000000e"
#define GET_SIZE    "c? 00000011 00000000"
#define SET_SIZE    "c? 00000011 00001000"
#define SIZE_4096   "c! 00000000 00001000 00000080 00001000"
#define INIT        "c? 00000002 00000000"
#define GET_EST     "c? 00000004"
#define SET_LOC(l)  "c? 00000005 " l "000000"
#define CANCEL      "c? 00000009"
#define OK          "c! 00000000"
#define CLEAR       "c! 00000000 00 000000"
#define CAPS(c)     "c! 00000000 0000" c

#define SHAKE(caps) SET_DATAFD, OK, PROBE_2_0, FAILURE_2_0, GET_CAPS, CAPS(caps)
#define START       STOP, OK, GET_SIZE, SIZE_4096, STOP, OK, SET_SIZE, SIZE_4096, INIT, OK, GET_EST, CLEAR
#define READY       SHAKE("3fff"), START
#define GOODBYE     "c? 00000003", OK, "d eof", "c eof"

/* The command the tests send, and its response. */
#define COMMAND      "d? 8001 0000000c 0000017b 0004"
#define RESPONSE     "d! 8001 00000010 00000000 0004 01020304"
#define AT_LOCALITY0 SET_LOC("00"), OK, COMMAND

static const uint8_t command[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 4 };

/* ---- a peer, a backend, a client ---- */

typedef struct Bench {
    FakeSwtpm *fake;
    TPMBackend *backend;
    BackendClient client;
    bool bound;
} Bench;

static TPMBackend *connect_backend(const char *path, unsigned deadline_ms, GError **error)
{
    TPMEmulatorConfig config = { sizeof(config), "tpm0", path };

    return tpm_emulator_new(&config, deadline_ms, error);
}

static void bench_connect(Bench *bench, const char *const *script)
{
    GError *error = NULL;

    *bench = (Bench){ .fake = fake_swtpm_new(script) };
    bench->backend = connect_backend(fake_swtpm_path(bench->fake), PATIENT_MS, &error);
    if (!bench->backend) {
        g_autofree char *trouble = fake_swtpm_end(bench->fake);

        fail_msg("%s; the peer says: %s", error->message, trouble ? trouble : "nothing");
    }
}

static void bench_bind(Bench *bench)
{
    backend_client_bind(&bench->client, bench->backend, NULL);
    bench->bound = true;
}

static void bench_unbind(Bench *bench)
{
    if (bench->bound) {
        backend_client_unbind(&bench->client);
    }
    bench->bound = false;
}

/* Connect, bind, start. */
static void bench_start(Bench *bench, const char *const *script)
{
    bench_connect(bench, script);
    bench_bind(bench);
    if (!backend_client_start(&bench->client, TPM_BUFFER_SIZE_MAX)) {
        fail_msg("%s", bench->client.start_error);
    }
}

/* Let go of everything; the script must have been followed to its end. */
static void bench_end(Bench *bench)
{
    bench_unbind(bench);
    tpmdev_backend_unref(bench->backend);
    g_autofree char *trouble = fake_swtpm_end(bench->fake);

    if (trouble) {
        fail_msg("%s", trouble);
    }
}

static void send_command(Bench *bench, uint8_t locality)
{
    backend_client_submit(&bench->client, locality, command, sizeof(command));
}

static void expect_response(Bench *bench, unsigned nth, uint32_t code)
{
    backend_client_wait_completed(&bench->client, nth);
    assert_int_equal(tpm_header_code(bench->client.response), code);
}

static void run_command(Bench *bench, uint8_t locality, unsigned nth, uint32_t code)
{
    send_command(bench, locality);
    expect_response(bench, nth, code);
}

static unsigned completed(Bench *bench)
{
    g_mutex_lock(&bench->client.lock);
    unsigned n = bench->client.completed;
    g_mutex_unlock(&bench->client.lock);
    return n;
}

static void assert_has(const char *text, const char *part)
{
    if (!text || !strstr(text, part)) {
        fail_msg("'%s' has no '%s'", text ? text : "(nothing)", part);
    }
}

/* ---- the order and the bytes of messages ---- */

static void test_a_life_in_messages(void **state)
{
    static const char *const script[] = { READY, AT_LOCALITY0, RESPONSE, COMMAND, RESPONSE,
                                          START, AT_LOCALITY0, RESPONSE, GOODBYE, NULL };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    assert_int_equal(tpmdev_backend_get_version(bench.backend), TPM_VERSION_2_0);
    run_command(&bench, 0, 1, 0);
    assert_int_equal(bench.client.response_size, 16);
    run_command(&bench, 0, 2, 0);
    assert_true(backend_client_start(&bench.client, TPM_BUFFER_SIZE_MAX));
    run_command(&bench, 0, 3, 0);
    bench_end(&bench);
}

static void test_a_tpm_1_2_is_found_by_its_tag(void **state)
{
    /* All a TPM 1.2 needs: RESET_TPMESTABLISHED is not among it. */
    static const char *const script[] = { SET_DATAFD, OK,          PROBE_2_0, FAILURE_1_2,
                                          PROBE_1_2,  FAILURE_1_2, GET_CAPS,  CAPS("340f"),
                                          GOODBYE,    NULL };
    Bench bench;

    (void)state;
    bench_connect(&bench, script);
    assert_int_equal(tpmdev_backend_get_version(bench.backend), TPM_VERSION_1_2);
    bench_end(&bench);
}

static void test_locality_is_set_when_it_changes(void **state)
{
    static const char *const script[] = { READY,    AT_LOCALITY0,  RESPONSE, SET_LOC("03"),
                                          OK,       COMMAND,       RESPONSE, COMMAND,
                                          RESPONSE, SET_LOC("00"), OK,       COMMAND,
                                          RESPONSE, GOODBYE,       NULL };
    static const uint8_t localities[] = { 0, 3, 3, 0 };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    for (unsigned i = 0; i < G_N_ELEMENTS(localities); i++) {
        run_command(&bench, localities[i], i + 1, 0);
    }
    bench_end(&bench);
}

static void test_a_refused_locality_fails_the_command_alone(void **state)
{
    static const char *const script[] = { READY,    SET_LOC("04"), "c! 0000003d", AT_LOCALITY0,
                                          RESPONSE, GOODBYE,       NULL };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    run_command(&bench, 4, 1, TPM2_RC_FAILURE);
    run_command(&bench, 0, 2, 0);
    bench_end(&bench);
}

static void test_established_is_reported(void **state)
{
    static const char *const script[] = { SHAKE("3fff"),
                                          STOP,
                                          OK,
                                          GET_SIZE,
                                          SIZE_4096,
                                          STOP,
                                          OK,
                                          SET_SIZE,
                                          SIZE_4096,
                                          INIT,
                                          OK,
                                          GET_EST,
                                          "c! 00000000 01 000000",
                                          GOODBYE,
                                          NULL };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    backend_client_wait_established(&bench.client, true);
    bench_end(&bench);
}

static void test_established_is_reset_then_asked_for(void **state)
{
    static const char *const script[] = { SHAKE("3fff"),
                                          STOP,
                                          OK,
                                          GET_SIZE,
                                          SIZE_4096,
                                          STOP,
                                          OK,
                                          SET_SIZE,
                                          SIZE_4096,
                                          INIT,
                                          OK,
                                          GET_EST,
                                          "c! 00000000 01 000000",
                                          "c? 0000000b 03000000",
                                          OK,
                                          GET_EST,
                                          CLEAR,
                                          GOODBYE,
                                          NULL };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    backend_client_wait_established(&bench.client, true);
    tpm_backend_reset_established(bench.backend, 3);
    backend_client_wait_established(&bench.client, false);
    bench_end(&bench);
}

static void test_a_response_may_come_in_pieces(void **state)
{
    static const char *const script[] = { READY,
                                          AT_LOCALITY0,
                                          "d! 80",
                                          "wait",
                                          "d! 01 00000010 0000",
                                          "wait",
                                          "d! 0000 0004 0102",
                                          "wait",
                                          "d! 0304",
                                          COMMAND,
                                          RESPONSE,
                                          GOODBYE,
                                          NULL };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    send_command(&bench, 0);
    for (unsigned i = 1; i <= 3; i++) {
        assert_true(fake_swtpm_reached(bench.fake, i));
        assert_int_equal(completed(&bench), 0);
        fake_swtpm_go(bench.fake);
    }
    expect_response(&bench, 1, 0);
    assert_int_equal(bench.client.response[15], 4);
    run_command(&bench, 0, 2, 0);
    bench_end(&bench);
}

static void test_a_response_may_fill_the_buffer(void **state)
{
    static const char *const script[] = { READY, AT_LOCALITY0, "d! 8001 00001000 00000000 77*4086",
                                          GOODBYE, NULL };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    run_command(&bench, 0, 1, 0);
    assert_int_equal(bench.client.response_size, 4096);
    assert_int_equal(bench.client.response[4095], 0x77);
    bench_end(&bench);
}

/* ---- creation goes wrong ---- */

typedef struct BadPeer {
    const char *what;
    TPMError code;
    const char *message;
    unsigned deadline_ms;
    const char *script[14];
} BadPeer;

static const BadPeer bad_peers[] = {
    { "closes at once", TPM_ERROR_PROTOCOL, "is it swtpm?", PATIENT_MS, { "c close" } },
    { "closes instead of answering",
      TPM_ERROR_PROTOCOL,
      "channel while SET_DATAFD was under way; is it swtpm?",
      PATIENT_MS,
      { SET_DATAFD, "c close" } },
    { "never answers",
      TPM_ERROR_TIMED_OUT,
      "did not answer SET_DATAFD within 30 ms",
      IMPATIENT_MS,
      { SET_DATAFD, "c eof" } },
    { "answers half a word",
      TPM_ERROR_TIMED_OUT,
      "did not answer SET_DATAFD",
      IMPATIENT_MS,
      { SET_DATAFD, "c! 0000", "c eof" } },
    { "speaks another protocol",
      TPM_ERROR_PROTOCOL,
      "refused SET_DATAFD with result 48545450h",
      PATIENT_MS,
      { SET_DATAFD, "c! 485454502f312e31", "c eof" } },
    { "has a data channel already",
      TPM_ERROR_PROTOCOL,
      "refused SET_DATAFD with result 1Fh",
      PATIENT_MS,
      { SET_DATAFD, "c! 0000001f", "c eof" } },
    { "says too much",
      TPM_ERROR_PROTOCOL,
      "sent bytes on the control channel that nobody asked for",
      PATIENT_MS,
      { SET_DATAFD, "c! 00000000 00000000", PROBE_2_0, FAILURE_2_0, "c eof" } },
    { "never answers the probe",
      TPM_ERROR_TIMED_OUT,
      "did not answer a TPM command",
      IMPATIENT_MS,
      { SET_DATAFD, OK, PROBE_2_0, "c eof" } },
    { "closes the data channel",
      TPM_ERROR_PROTOCOL,
      "channel while the TPM command that asks for its version was under way",
      PATIENT_MS,
      { SET_DATAFD, OK, PROBE_2_0, "d close", "c eof" } },
    { "closes in the middle of a response",
      TPM_ERROR_PROTOCOL,
      "closed the data channel",
      PATIENT_MS,
      { SET_DATAFD, OK, PROBE_2_0, "d! 8001 0000000a 0000", "d close", "c eof" } },
    { "answers with size 9",
      TPM_ERROR_PROTOCOL,
      "header says 9 bytes",
      PATIENT_MS,
      { SET_DATAFD, OK, PROBE_2_0, "d! 8001 00000009 00000000", "c eof" } },
    { "answers with size 0",
      TPM_ERROR_PROTOCOL,
      "header says 0 bytes",
      PATIENT_MS,
      { SET_DATAFD, OK, PROBE_2_0, "d! 8001 00000000 00000000", "c eof" } },
    { "answers with size 4 GiB",
      TPM_ERROR_PROTOCOL,
      "header says 4294967295 bytes; it may have 10 to 4096",
      PATIENT_MS,
      { SET_DATAFD, OK, PROBE_2_0, "d! 8001 ffffffff 00000000", "c eof" } },
    { "answers with more than its size",
      TPM_ERROR_PROTOCOL,
      "sent more than the 10 bytes of its response",
      PATIENT_MS,
      { SET_DATAFD, OK, PROBE_2_0, "d! 8001 0000000a 00000101 00", "c eof" } },
    { "answers with no tag of a TPM",
      TPM_ERROR_PROTOCOL,
      "tag 4854h",
      PATIENT_MS,
      { SET_DATAFD, OK, PROBE_2_0, "d! 4854 0000000a 00000000", PROBE_1_2,
        "d! 4854 0000000a 00000000", "c eof" } },
    { "never tells its capabilities",
      TPM_ERROR_TIMED_OUT,
      "did not answer GET_CAPABILITY",
      IMPATIENT_MS,
      { SET_DATAFD, OK, PROBE_2_0, FAILURE_2_0, GET_CAPS, "c eof" } },
    { "tells half its capabilities",
      TPM_ERROR_TIMED_OUT,
      "did not answer GET_CAPABILITY",
      IMPATIENT_MS,
      { SET_DATAFD, OK, PROBE_2_0, FAILURE_2_0, GET_CAPS, "c! 00000000 00", "c eof" } },
    { "refuses to tell its capabilities",
      TPM_ERROR_PROTOCOL,
      "refused GET_CAPABILITY with result Ah",
      PATIENT_MS,
      { SET_DATAFD, OK, PROBE_2_0, FAILURE_2_0, GET_CAPS, "c! 0000000a", "c eof" } },
    { "tells more than its capabilities",
      TPM_ERROR_PROTOCOL,
      "sent bytes on the control channel that nobody asked for",
      PATIENT_MS,
      { SET_DATAFD, OK, PROBE_2_0, FAILURE_2_0, GET_CAPS, "c! 00000000 00003fff 00", "c eof" } },
    { "speaks unasked on the data channel",
      TPM_ERROR_PROTOCOL,
      "sent bytes on the data channel that nobody asked for",
      PATIENT_MS,
      { SET_DATAFD, OK, PROBE_2_0, FAILURE_2_0, GET_CAPS, "d! 00", CAPS("3fff"), "c eof" } },
    { "lacks one capability",
      TPM_ERROR_UNSUPPORTED,
      "lacks what a TPM 2.0 needs: STOP",
      PATIENT_MS,
      { SHAKE("3bff"), "c eof" } },
    { "lacks them all",
      TPM_ERROR_UNSUPPORTED,
      "2.0 needs: INIT, SHUTDOWN, GET_TPMESTABLISHED, SET_LOCALITY, STOP, SET_DATAFD, "
      "SET_BUFFERSIZE, RESET_TPMESTABLISHED",
      PATIENT_MS,
      { SHAKE("0000"), "c eof" } },
    { "is a TPM 1.2 that lacks two",
      TPM_ERROR_UNSUPPORTED,
      "lacks what a TPM 1.2 needs: SET_LOCALITY, SET_BUFFERSIZE",
      PATIENT_MS,
      { SET_DATAFD, OK, PROBE_2_0, FAILURE_1_2, PROBE_1_2, FAILURE_1_2, GET_CAPS, CAPS("1407"),
        "c eof" } },
};

static void test_a_peer_that_is_no_swtpm_is_refused_with_the_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(bad_peers); i++) {
        const BadPeer *bad = &bad_peers[i];
        FakeSwtpm *fake = fake_swtpm_new(bad->script);
        g_autoptr(GError) error = NULL;
        TPMBackend *backend = connect_backend(fake_swtpm_path(fake), bad->deadline_ms, &error);
        g_autofree char *trouble = fake_swtpm_end(fake);

        if (backend || trouble) {
            fail_msg("a peer that %s: %s", bad->what, trouble ? trouble : "accepted");
        }
        if (!g_error_matches(error, TPMDEV_ERROR, bad->code) ||
            !strstr(error->message, bad->message)) {
            fail_msg("a peer that %s: '%s' (%d) has no '%s'", bad->what, error->message,
                     error->code, bad->message);
        }
        assert_has(error->message, "TPM backend 'tpm0': ");
    }
}

/* ---- what is no socket of swtpm ---- */

static void expect_refusal(const char *path, TPMError code, const char *message)
{
    g_autoptr(GError) error = NULL;

    assert_null(connect_backend(path, IMPATIENT_MS, &error));
    assert_has(error->message, message);
    assert_int_equal(error->code, code);
    assert_has(error->message, "TPM backend 'tpm0': ");
}

static int socket_at(const char *path, int type)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void test_what_is_no_socket_of_swtpm_is_refused_with_the_reason(void **state)
{
    g_autofree char *directory = g_dir_make_tmp("emulator-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(directory, "ctrl", NULL);
    g_autofree char *below = g_build_filename(path, "below", NULL);
    char long_path[300];

    (void)state;
    memset(long_path, 'x', sizeof(long_path) - 1);
    long_path[sizeof(long_path) - 1] = '\0';
    expect_refusal(path, TPM_ERROR_NOT_FOUND, "there is no socket");
    expect_refusal(directory, TPM_ERROR_IO, "is a directory; it must be");
    expect_refusal("", TPM_ERROR_INVALID_OPTION, "has 1 to 107 bytes; this one has 0");
    expect_refusal(long_path, TPM_ERROR_INVALID_OPTION, "has 1 to 107 bytes; this one has 299");

    assert_true(g_file_set_contents(path, "x", 1, NULL));
    expect_refusal(path, TPM_ERROR_IO, "is a file and no socket; it must be");
    expect_refusal(below, TPM_ERROR_NOT_FOUND, "there is no socket");
    g_unlink(path);

    int fd = socket_at(path, SOCK_STREAM);

    expect_refusal(path, TPM_ERROR_IO, "nobody listens");
    assert_int_equal(listen(fd, 0), 0);
    expect_refusal(path, TPM_ERROR_TIMED_OUT, "did not answer SET_DATAFD");
    close(fd);
    g_unlink(path);
    fd = socket_at(path, SOCK_DGRAM);
    expect_refusal(path, TPM_ERROR_IO, "cannot connect to the socket");
    close(fd);
    g_unlink(path);
    g_rmdir(directory);
}

static void test_a_busy_socket_is_refused(void **state)
{
    g_autofree char *directory = g_dir_make_tmp("emulator-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(directory, "ctrl", NULL);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket_at(path, SOCK_STREAM);
    int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(connect(other, (struct sockaddr *)&address, sizeof(address)), 0);
    expect_refusal(path, TPM_ERROR_IO, "is busy with other clients");
    close(other);
    close(fd);
    g_unlink(path);
    g_rmdir(directory);
}

static void test_a_config_that_lacks_something_is_refused(void **state)
{
    static const TPMEmulatorConfig configs[] = {
        { 0, "tpm0", "/x" },
        { sizeof(configs[0]), NULL, "/x" },
        { sizeof(configs[0]), "", "/x" },
        { sizeof(configs[0]), "tpm0", NULL },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(configs); i++) {
        g_autoptr(GError) error = NULL;

        assert_null(tpmdev_backend_emulator_new(&configs[i], &error));
        assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION));
    }
}

static const char *look_up(void *opaque, const char *id)
{
    return strcmp(id, "chr") == 0 ? opaque : NULL;
}

static void test_an_option_string_names_path_or_chardev(void **state)
{
    static const char *const script[] = { SHAKE("3fff"), GOODBYE, NULL };
    g_autoptr(GError) error = NULL;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        FakeSwtpm *fake = fake_swtpm_new(script);
        char *path = (char *)fake_swtpm_path(fake);
        g_autofree char *options =
            g_strconcat("emulator,id=a,", i ? "path=" : "chardev=chr", i ? path : NULL, NULL);
        TPMBackend *backend = tpmdev_backend_new_from_string(options, look_up, path, NULL);

        assert_non_null(backend);
        tpmdev_backend_unref(backend);
        g_autofree char *trouble = fake_swtpm_end(fake);
        assert_null(trouble);
    }
    assert_null(tpmdev_backend_new_from_string("emulator,id=a", look_up, NULL, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_MISSING_OPTION));
}

/* ---- a start goes wrong ---- */

static void test_a_peer_that_dies_in_a_start_fails_it(void **state)
{
    static const char *const whole[] = { READY, NULL };
    const size_t first = 6; /* the start comes after SHAKE */

    (void)state;
    for (size_t n = first; n < G_N_ELEMENTS(whole) - 1; n += 2) {
        const char *script[G_N_ELEMENTS(whole) + 2] = { NULL };
        Bench bench;

        memcpy(script, whole, (n + 1) * sizeof(script[0]));
        script[n + 1] = "c close";
        bench_connect(&bench, script);
        bench_bind(&bench);
        assert_false(backend_client_start(&bench.client, TPM_BUFFER_SIZE_MAX));
        assert_has(bench.client.start_error, "closed the ");
        run_command(&bench, 0, 1, TPM2_RC_FAILURE);
        bench_end(&bench);
    }
}

static void test_a_tpm_that_does_not_start_may_do_so_later(void **state)
{
    static const char *const script[] = { SHAKE("3fff"), STOP,  OK,           GET_SIZE,  SIZE_4096,
                                          STOP,          OK,    SET_SIZE,     SIZE_4096, INIT,
                                          "c! 00000101", START, AT_LOCALITY0, RESPONSE,  GOODBYE,
                                          NULL };
    Bench bench;

    (void)state;
    bench_connect(&bench, script);
    bench_bind(&bench);
    assert_false(backend_client_start(&bench.client, TPM_BUFFER_SIZE_MAX));
    assert_has(bench.client.start_error, "refused INIT with result 101h (the TPM is in failure");
    assert_true(backend_client_start(&bench.client, TPM_BUFFER_SIZE_MAX));
    run_command(&bench, 0, 1, 0);
    bench_end(&bench);
}

static void test_an_error_reply_may_be_short_or_whole(void **state)
{
    static const char *const script[] = {
        SHAKE("3fff"), STOP,     OK,       GET_SIZE,
        "c! 0000000a", /* a word */
        STOP,          OK,       GET_SIZE, "c! 0000000a 00000000 00000000 00000000",
        STOP,          OK,       GET_SIZE, SIZE_4096,
        STOP,          OK,       SET_SIZE, SIZE_4096,
        INIT,          OK,       GET_EST,  "c! 0000000a",
        AT_LOCALITY0,  RESPONSE, GOODBYE,  NULL
    };
    Bench bench;

    (void)state;
    bench_connect(&bench, script);
    bench_bind(&bench);
    for (unsigned i = 0; i < 2; i++) {
        assert_false(backend_client_start(&bench.client, TPM_BUFFER_SIZE_MAX));
        assert_has(bench.client.start_error, "refused SET_BUFFERSIZE with result Ah");
    }
    assert_true(backend_client_start(&bench.client, TPM_BUFFER_SIZE_MAX));
    assert_false(bench.client.established);
    run_command(&bench, 0, 1, 0);
    bench_end(&bench);
}

static void test_a_buffer_of_another_size_fails_the_start(void **state)
{
    static const char *const script[] = { SHAKE("3fff"), STOP,    OK,  GET_SIZE,
                                          SIZE_4096,     STOP,    OK,  "c? 00000011 00000f80",
                                          SIZE_4096,     GOODBYE, NULL };
    Bench bench;

    (void)state;
    bench_connect(&bench, script);
    bench_bind(&bench);
    assert_false(backend_client_start(&bench.client, 0xF80));
    assert_has(bench.client.start_error, "made its buffer 4096 bytes instead of the 3968");
    bench_end(&bench);
}

static void test_a_buffer_too_small_for_any_tpm_fails_the_start(void **state)
{
    static const char *const script[] = {
        SHAKE("3fff"), STOP, OK, GET_SIZE, "c! 00000000 00001000 00000000 0000007f", "c eof", NULL
    };
    Bench bench;

    (void)state;
    bench_connect(&bench, script);
    bench_bind(&bench);
    assert_false(backend_client_start(&bench.client, TPM_BUFFER_SIZE_MAX));
    assert_has(bench.client.start_error, "at most 127 bytes; it must have 128 or more");
    bench_end(&bench);
}

static void test_a_command_larger_than_the_tpms_buffer_is_answered_here(void **state)
{
    static const char *const script[] = { SHAKE("3fff"),
                                          STOP,
                                          OK,
                                          GET_SIZE,
                                          "c! 00000000 00000400 00000080 00000400",
                                          STOP,
                                          OK,
                                          "c? 00000011 00000400",
                                          "c! 00000000 00000400 00000080 00000400",
                                          INIT,
                                          OK,
                                          GET_EST,
                                          CLEAR,
                                          AT_LOCALITY0,
                                          "d! 8001 00000401 00000000 00*4",
                                          "c eof",
                                          NULL };
    uint8_t large[1025] = { 0x80, 0x01, 0, 0, 0x04, 0x01, 0, 0, 0x01, 0x7B };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    assert_int_equal(backend_client_command(&bench.client, large, sizeof(large)),
                     TPM2_RC_COMMAND_SIZE);
    run_command(&bench, 0, 2, TPM2_RC_FAILURE); /* and so is a larger response */
    assert_has(bench.client.response_error, "header says 1025 bytes; it may have 10 to 1024");
    bench_end(&bench);
}

/* ---- a command goes wrong ---- */

static void test_a_response_that_is_none_fails_the_command(void **state)
{
    static const char *const bad[][3] = {
        { "d! 8001 00000009 00000000", "c eof", "header says 9 bytes" },
        { "d! 8001 00000000 00000000", "c eof", "header says 0 bytes" },
        { "d! 8001 ffffffff 00000000", "c eof", "header says 4294967295 bytes" },
        { "d! 8001 00001001 00000000", "c eof", "header says 4097 bytes; it may have 10 to 4096" },
        { "d! 8001 0000000c 00000000 00*3", "c eof", "sent more than the 12 bytes" },
        { "d! 8001 0000000c 00000000", "d close", "channel while a TPM command was under way" },
        { "d! 8001", "d close", "channel while a TPM command was under way" },
        { "d close", "c eof", "channel while a TPM command was under way" },
        { "c close", "d eof", "channel while a TPM command was under way" },
        { "c! 00", "c eof", "sent bytes on the control channel that nobody asked for" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        const char *script[] = { READY, AT_LOCALITY0, bad[i][0], bad[i][1], NULL };
        Bench bench;

        bench_start(&bench, script);
        run_command(&bench, 0, 1, TPM2_RC_FAILURE);
        assert_has(bench.client.response_error, bad[i][2]);
        run_command(&bench, 0, 2, TPM2_RC_FAILURE);
        bench_end(&bench);
    }
}

static void test_a_tpm_1_2_fails_in_its_own_shape(void **state)
{
    static const char *const script[] = { SET_DATAFD,    OK,           PROBE_2_0,
                                          FAILURE_1_2,   PROBE_1_2,    FAILURE_1_2,
                                          GET_CAPS,      CAPS("3fff"), START,
                                          SET_LOC("00"), "c close",    NULL };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    run_command(&bench, 0, 1, TPM12_FAIL);
    assert_int_equal(tpm_header_tag(bench.client.response), TPM12_TAG_RSP);
    assert_has(bench.client.response_error, "while SET_LOCALITY was under way");
    bench_end(&bench);
}

static void test_bytes_nobody_asked_for_are_noticed_while_idle(void **state)
{
    static const char *const lines[][2] = {
        { "c! 00000000", "sent bytes on the control channel" },
        { "d! 8001", "sent bytes on the data channel" },
        { "c close", "closed the control channel while nothing was under way" },
        { "d close", "closed the data channel while nothing was under way" },
    };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        const char *script[] = { READY, "wait", lines[i][0], "wait", NULL };
        Bench bench;

        bench_start(&bench, script);
        fake_swtpm_go(bench.fake);
        backend_client_wait_failed(&bench.client, 1);
        assert_has(bench.client.failure, lines[i][1]);
        fake_swtpm_go(bench.fake);
        bench_end(&bench);
    }
}

/* A stale response must not be taken for that of the next command. */
static void test_a_second_response_is_not_the_next_commands(void **state)
{
    static const char *const script[] = { READY,    AT_LOCALITY0, RESPONSE, "wait",
                                          RESPONSE, "wait",       "c eof",  NULL };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    tpm_backend_load(bench.backend, 0, command, sizeof(command));
    tpm_backend_submit(bench.backend, true); /* data is not watched from here on */
    while (completed(&bench) == 0) {
        tpm_backend_poll(bench.backend);
    }
    fake_swtpm_go(bench.fake);
    assert_true(fake_swtpm_reached(bench.fake, 2));
    run_command(&bench, 0, 2, TPM2_RC_FAILURE);
    assert_has(bench.client.response_error, "sent bytes on the data channel that nobody asked for");
    fake_swtpm_go(bench.fake);
    bench_end(&bench);
}

/* ---- lingering ---- */

static void test_lingering_sets_the_locality_and_completes_in_poll(void **state)
{
    static const char *const script[] = { READY,   AT_LOCALITY0, RESPONSE, SET_LOC("02"), OK,
                                          COMMAND, RESPONSE,     GOODBYE,  NULL };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    for (unsigned i = 0; i < 2; i++) {
        tpm_backend_load(bench.backend, i ? 2 : 0, command, sizeof(command));
        tpm_backend_submit(bench.backend, true);
        while (completed(&bench) == i) {
            tpm_backend_poll(bench.backend);
        }
        assert_ptr_equal(bench.client.completed_on, g_thread_self());
    }
    bench_end(&bench);
}

/* The control channel is watched all the time, but the news of it waits for the poll. */
static void test_a_failure_while_lingering_is_told_by_poll_or_by_its_end(void **state)
{
    static const char *const script[] = { READY, AT_LOCALITY0, "wait", "c close", "d eof", NULL };

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        Bench bench;

        bench_start(&bench, script);
        tpm_backend_load(bench.backend, 0, command, sizeof(command));
        tpm_backend_submit(bench.backend, true);
        /* The source alone sends the command, once the locality is set, and finds the end. */
        assert_true(fake_swtpm_reached(bench.fake, 1));
        fake_swtpm_go(bench.fake);
        g_autofree char *trouble = fake_swtpm_end(bench.fake);
        assert_null(trouble);
        assert_int_equal(completed(&bench), 0);
        (i ? tpm_backend_linger_end : tpm_backend_poll)(bench.backend);
        assert_int_equal(completed(&bench), 1);
        assert_ptr_equal(bench.client.completed_on, g_thread_self());
        assert_has(bench.client.response_error, "closed the control channel");
        bench_unbind(&bench);
        tpmdev_backend_unref(bench.backend);
    }
}

/* ---- cancel ---- */

static void test_the_command_after_a_cancelled_one_waits_for_the_cancels_reply(void **state)
{
    static const char *const script[] = { READY,    AT_LOCALITY0, "wait",    CANCEL, RESPONSE,
                                          "wait",   "c quiet",    "d quiet", OK,     COMMAND,
                                          RESPONSE, GOODBYE,      NULL };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    send_command(&bench, 0);
    assert_true(fake_swtpm_reached(bench.fake, 1));
    tpm_backend_cancel(bench.backend);
    tpm_backend_cancel(bench.backend); /* is under way */
    fake_swtpm_go(bench.fake);
    expect_response(&bench, 1, 0);
    assert_true(fake_swtpm_reached(bench.fake, 2));
    tpm_backend_cancel(bench.backend); /* there is nothing to cancel */
    send_command(&bench, 0);
    fake_swtpm_go(bench.fake);
    expect_response(&bench, 2, 0);
    bench_end(&bench);
}

static void test_cancel_needs_the_capability(void **state)
{
    static const char *const script[] = { SHAKE("3fdf"), START,    AT_LOCALITY0, "wait",
                                          "c quiet",     RESPONSE, GOODBYE,      NULL };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    send_command(&bench, 0);
    assert_true(fake_swtpm_reached(bench.fake, 1));
    tpm_backend_cancel(bench.backend);
    fake_swtpm_go(bench.fake);
    expect_response(&bench, 1, 0);
    bench_end(&bench);
}

static void test_a_command_not_sent_yet_is_cancelled_here(void **state)
{
    static const char *const script[] = { READY,    SET_LOC("00"), "wait", "d quiet",
                                          OK,       SET_LOC("03"), OK,     COMMAND,
                                          RESPONSE, GOODBYE,       NULL };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    send_command(&bench, 0);
    assert_true(fake_swtpm_reached(bench.fake, 1));
    tpm_backend_cancel(bench.backend);
    assert_int_equal(completed(&bench), 1);
    assert_int_equal(tpm_header_code(bench.client.response), TPM2_RC_CANCELED);
    send_command(&bench, 3); /* the answer to the first SET_LOCALITY is not its own */
    fake_swtpm_go(bench.fake);
    expect_response(&bench, 2, 0);
    bench_end(&bench);
}

/* A lingering device may be cancelled from another thread: poll() brings the answer. */
static void test_a_cancel_while_lingering_is_told_by_poll(void **state)
{
    static const char *const script[] = { READY, SET_LOC("00"), "wait", OK, GOODBYE, NULL };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    tpm_backend_load(bench.backend, 0, command, sizeof(command));
    tpm_backend_submit(bench.backend, true);
    tpm_backend_cancel(bench.backend);
    assert_int_equal(completed(&bench), 0);
    tpm_backend_poll(bench.backend);
    expect_response(&bench, 1, TPM2_RC_CANCELED);
    fake_swtpm_go(bench.fake);
    bench_end(&bench);
}

/* ---- starts that cross something ---- */

static void start_without_waiting(Bench *bench)
{
    tpm_backend_start(bench->backend, TPM_BUFFER_SIZE_MAX);
}

static void expect_started(Bench *bench)
{
    g_mutex_lock(&bench->client.lock);
    while (bench->client.started == 0) {
        g_cond_wait(&bench->client.changed, &bench->client.lock);
    }
    if (bench->client.start_error) {
        fail_msg("%s", bench->client.start_error);
    }
    g_mutex_unlock(&bench->client.lock);
}

static void test_a_start_lets_an_abandoned_command_end_first(void **state)
{
    static const char *const script[] = { READY,     AT_LOCALITY0, "wait", CANCEL, "wait",
                                          "c quiet", RESPONSE,     OK,     START,  AT_LOCALITY0,
                                          RESPONSE,  GOODBYE,      NULL };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    send_command(&bench, 0);
    assert_true(fake_swtpm_reached(bench.fake, 1));
    bench_unbind(&bench);
    fake_swtpm_go(bench.fake);
    bench_bind(&bench);
    assert_true(fake_swtpm_reached(bench.fake, 2));
    start_without_waiting(&bench);
    fake_swtpm_go(bench.fake);
    expect_started(&bench);
    run_command(&bench, 0, 1, 0);
    bench_end(&bench);
}

static void test_a_start_replaces_one_that_was_left_half_way(void **state)
{
    static const char *const script[] = { SHAKE("3fff"), STOP,         "wait",   "c quiet", OK,
                                          START,         AT_LOCALITY0, RESPONSE, GOODBYE,   NULL };
    Bench bench;

    (void)state;
    bench_connect(&bench, script);
    bench_bind(&bench);
    start_without_waiting(&bench);
    assert_true(fake_swtpm_reached(bench.fake, 1));
    bench_unbind(&bench);
    bench_bind(&bench);
    start_without_waiting(&bench);
    fake_swtpm_go(bench.fake);
    expect_started(&bench);
    run_command(&bench, 0, 1, 0);
    bench_end(&bench);
}

static void test_a_start_connects_again(void **state)
{
    static const char *const script[] = { READY,        "c close", "accept", READY,
                                          AT_LOCALITY0, RESPONSE,  GOODBYE,  NULL };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    backend_client_wait_failed(&bench.client, 1);
    run_command(&bench, 0, 1, TPM2_RC_FAILURE);
    assert_true(backend_client_start(&bench.client, TPM_BUFFER_SIZE_MAX));
    run_command(&bench, 0, 2, 0);
    bench_end(&bench);
}

static void test_a_start_connects_anew_after_half_a_handshake(void **state)
{
    static const char *const script[] = { READY,        "c close", "accept", SET_DATAFD,
                                          "wait",       "c eof",   "accept", READY,
                                          AT_LOCALITY0, RESPONSE,  GOODBYE,  NULL };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    backend_client_wait_failed(&bench.client, 1);
    start_without_waiting(&bench);
    assert_true(fake_swtpm_reached(bench.fake, 1));
    bench_unbind(&bench);
    bench_bind(&bench);
    start_without_waiting(&bench);
    fake_swtpm_go(bench.fake);
    expect_started(&bench);
    run_command(&bench, 0, 1, 0);
    bench_end(&bench);
}

static void test_another_version_after_a_reconnection_is_refused(void **state)
{
    static const char *const script[] = { READY,       "c close", "accept",    SET_DATAFD,
                                          OK,          PROBE_2_0, FAILURE_1_2, PROBE_1_2,
                                          FAILURE_1_2, "c eof",   NULL };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    backend_client_wait_failed(&bench.client, 1);
    assert_false(backend_client_start(&bench.client, TPM_BUFFER_SIZE_MAX));
    assert_has(bench.client.start_error, "is a TPM 1.2 now; it was a TPM 2.0");
    bench_end(&bench);
}

/* ---- the end ---- */

static void test_destroying_does_not_wait_for_a_goodbye_for_ever(void **state)
{
    static const char *const script[] = { READY, "c? 00000003", "d eof", "c eof", NULL };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    bench_end(&bench);
}

static void test_destroying_abandons_a_command(void **state)
{
    static const char *const script[] = { SHAKE("3fdf"), START,    AT_LOCALITY0, "wait",
                                          "c? 00000003", RESPONSE, OK,           "d eof",
                                          "c eof",       NULL };
    Bench bench;

    (void)state;
    bench_start(&bench, script);
    send_command(&bench, 0);
    assert_true(fake_swtpm_reached(bench.fake, 1));
    fake_swtpm_go(bench.fake);
    bench_end(&bench);
}

static void test_destroying_needs_no_context_that_runs(void **state)
{
    static const char *const script[] = { SHAKE("3fff"), STOP, OK, GOODBYE, NULL };
    GMainContext *context = g_main_context_new();
    Bench bench;

    (void)state;
    bench_connect(&bench, script);
    backend_client_bind(&bench.client, bench.backend, context);
    bench.bound = true;
    start_without_waiting(&bench);
    bench_end(&bench);
    g_main_context_unref(context);
}

/* ---- many at a time ---- */

/* The source is dispatching at any moment while the backend goes away. */
static void test_destroying_at_any_moment_of_a_start(void **state)
{
    FakeFarm *farm = fake_farm_new();
    TPMBackend *keeper = connect_backend(fake_farm_path(farm), PATIENT_MS, NULL);
    BackendClient client;

    (void)state;
    backend_client_bind(&client, keeper, NULL); /* keeps the I/O thread */
    for (unsigned i = 0; i < 300; i++) {
        Bench bench = { .backend = connect_backend(fake_farm_path(farm), PATIENT_MS, NULL) };

        bench_bind(&bench);
        start_without_waiting(&bench);
        for (unsigned spin = 0; spin < i * 20; spin++) {
            g_thread_yield();
        }
        bench_unbind(&bench);
        tpmdev_backend_unref(bench.backend);
    }
    backend_client_unbind(&client);
    tpmdev_backend_unref(keeper);
    fake_farm_free(farm);
}

/* One device: commands that linger, that linger too little and that do not, at two localities. */
static gpointer run_commands(gpointer data)
{
    Bench bench = { .backend = connect_backend(data, PATIENT_MS, NULL) };

    bench_bind(&bench);
    bool ready = backend_client_start(&bench.client, TPM_BUFFER_SIZE_MAX);

    for (unsigned i = 0; ready && i < 600; i++) {
        bool linger = i % 3 != 0;

        tpm_backend_load(bench.backend, i % 7 == 0, command, sizeof(command));
        tpm_backend_submit(bench.backend, linger);
        for (unsigned n = 0; linger && completed(&bench) == i && (i % 3 == 1 || n < 3); n++) {
            tpm_backend_poll(bench.backend);
        }
        if (linger && completed(&bench) == i) {
            tpm_backend_linger_end(bench.backend);
        }
        backend_client_wait_completed(&bench.client, i + 1);
        ready = bench.client.response_size == 16 && !bench.client.response_error;
    }
    bench_unbind(&bench);
    tpmdev_backend_unref(bench.backend);
    return GINT_TO_POINTER(ready);
}

static void test_many_devices_share_one_thread(void **state)
{
    FakeFarm *farm = fake_farm_new();
    GThread *threads[8];

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++) {
        threads[i] = g_thread_new("device", run_commands, (gpointer)fake_farm_path(farm));
    }
    for (size_t i = 0; i < G_N_ELEMENTS(threads); i++) {
        assert_true(GPOINTER_TO_INT(g_thread_join(threads[i])));
    }
    assert_int_equal(fake_farm_commands(farm), G_N_ELEMENTS(threads) * (600 + 1));
    fake_farm_free(farm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_life_in_messages),
        cmocka_unit_test(test_a_tpm_1_2_is_found_by_its_tag),
        cmocka_unit_test(test_locality_is_set_when_it_changes),
        cmocka_unit_test(test_a_refused_locality_fails_the_command_alone),
        cmocka_unit_test(test_established_is_reported),
        cmocka_unit_test(test_established_is_reset_then_asked_for),
        cmocka_unit_test(test_a_response_may_come_in_pieces),
        cmocka_unit_test(test_a_response_may_fill_the_buffer),
        cmocka_unit_test(test_a_peer_that_is_no_swtpm_is_refused_with_the_reason),
        cmocka_unit_test(test_what_is_no_socket_of_swtpm_is_refused_with_the_reason),
        cmocka_unit_test(test_a_busy_socket_is_refused),
        cmocka_unit_test(test_a_config_that_lacks_something_is_refused),
        cmocka_unit_test(test_an_option_string_names_path_or_chardev),
        cmocka_unit_test(test_a_peer_that_dies_in_a_start_fails_it),
        cmocka_unit_test(test_a_tpm_that_does_not_start_may_do_so_later),
        cmocka_unit_test(test_an_error_reply_may_be_short_or_whole),
        cmocka_unit_test(test_a_buffer_of_another_size_fails_the_start),
        cmocka_unit_test(test_a_buffer_too_small_for_any_tpm_fails_the_start),
        cmocka_unit_test(test_a_command_larger_than_the_tpms_buffer_is_answered_here),
        cmocka_unit_test(test_a_response_that_is_none_fails_the_command),
        cmocka_unit_test(test_a_tpm_1_2_fails_in_its_own_shape),
        cmocka_unit_test(test_bytes_nobody_asked_for_are_noticed_while_idle),
        cmocka_unit_test(test_a_second_response_is_not_the_next_commands),
        cmocka_unit_test(test_lingering_sets_the_locality_and_completes_in_poll),
        cmocka_unit_test(test_a_failure_while_lingering_is_told_by_poll_or_by_its_end),
        cmocka_unit_test(test_the_command_after_a_cancelled_one_waits_for_the_cancels_reply),
        cmocka_unit_test(test_cancel_needs_the_capability),
        cmocka_unit_test(test_a_command_not_sent_yet_is_cancelled_here),
        cmocka_unit_test(test_a_cancel_while_lingering_is_told_by_poll),
        cmocka_unit_test(test_a_start_lets_an_abandoned_command_end_first),
        cmocka_unit_test(test_a_start_replaces_one_that_was_left_half_way),
        cmocka_unit_test(test_a_start_connects_again),
        cmocka_unit_test(test_a_start_connects_anew_after_half_a_handshake),
        cmocka_unit_test(test_another_version_after_a_reconnection_is_refused),
        cmocka_unit_test(test_destroying_does_not_wait_for_a_goodbye_for_ever),
        cmocka_unit_test(test_destroying_abandons_a_command),
        cmocka_unit_test(test_destroying_needs_no_context_that_runs),
        cmocka_unit_test(test_destroying_at_any_moment_of_a_start),
        cmocka_unit_test(test_many_devices_share_one_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
