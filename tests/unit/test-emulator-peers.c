/* SPDX-License-Identifier: BSD-3-Clause */
/* Peers and sockets the `emulator` backend refuses when it is made, each with its reason. */
#include "emulator-fixture.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

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
      "did not answer SET_DATAFD within 1000 ms",
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
      { SET_DATAFD, "c! 00000000 00000000", "c eof" } },
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
      { SET_DATAFD, OK, PROBE_2_0, FAILURE_2_0, GET_CAPS, "c! 00000000 00003fbf 00", "c eof" } },
    { "never tells its buffer size",
      TPM_ERROR_TIMED_OUT,
      "did not answer SET_BUFFERSIZE",
      IMPATIENT_MS,
      { GREET("3fbf"), GET_SIZE, "c eof" } },
    { "speaks unasked on the data channel",
      TPM_ERROR_PROTOCOL,
      "sent bytes on the data channel that nobody asked for",
      PATIENT_MS,
      { SET_DATAFD, OK, PROBE_2_0, FAILURE_2_0, GET_CAPS, "d! 00", "c eof" } },
    { "lacks one capability",
      TPM_ERROR_UNSUPPORTED,
      "lacks what a TPM 2.0 needs: STOP",
      PATIENT_MS,
      { GREET("3bff"), "c eof" } },
    { "lacks them all",
      TPM_ERROR_UNSUPPORTED,
      "2.0 needs: INIT, SHUTDOWN, GET_TPMESTABLISHED, SET_LOCALITY, STOP, SET_DATAFD, "
      "SET_BUFFERSIZE, RESET_TPMESTABLISHED",
      PATIENT_MS,
      { GREET("0000"), "c eof" } },
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
        TPMBackend *backend =
            emulator_test_backend(fake_swtpm_path(fake), bad->deadline_ms, &error);
        g_autofree char *trouble = fake_swtpm_end(fake);

        if (backend || trouble) {
            fail_msg("a peer that %s: %s", bad->what, trouble ? trouble : "accepted");
        }
        if (!g_error_matches(error, TPMDEV_ERROR, bad->code) ||
            !strstr(error->message, bad->message)) {
            fail_msg("a peer that %s: '%s' (%d) has no '%s'", bad->what, error->message,
                     error->code, bad->message);
        }
        assert_contains(error->message, "TPM backend 'tpm0': ");
    }
}

/* ---- how large a command may be ---- */

static void expect_size(const char *reply, size_t size)
{
    const char *const script[] = { GREET("3fbf"), GET_SIZE, reply, GOODBYE, NULL };
    EmulatorTest test = { 0 };

    emulator_test_connect(&test, script);
    assert_int_equal(tpmdev_backend_get_buffer_size(test.backend), size);
    emulator_test_end(&test);
}

static void test_what_swtpm_takes_is_asked_and_never_exceeds_what_we_carry(void **state)
{
    (void)state;
    expect_size(SIZE_4096, 4096);
    expect_size("c! 00000000 00001000 00000b50 00001001", 4097);
    expect_size("c! 00000000 00001000 00000b50 00002000", 8192);
    expect_size("c! 00000000 00001000 00000b50 00002001", 8192);
    expect_size("c! 00000000 ffffffff 00000000 ffffffff", 8192);
}

static void test_a_size_that_is_too_small_or_not_told_is_left_to_the_start(void **state)
{
    (void)state;
    expect_size("c! 00000000 00000400 00000080 00000400", 4096);
    expect_size("c! 00000000 00000000 00000000 00000000", 4096);
    expect_size("c! 0000000a", 4096);
    expect_size("c! 0000000a 00002000 00000000 00002000", 4096);
}

static void test_a_response_of_8192_bytes_is_carried_when_swtpm_takes_that(void **state)
{
    static const char *const script[] = { GREET("3fbf"),
                                          GET_SIZE,
                                          "c! 00000000 00001000 00000b50 00002000",
                                          STOP,
                                          OK,
                                          GET_SIZE,
                                          "c! 00000000 00001000 00000b50 00002000",
                                          STOP,
                                          OK,
                                          "c? 00000011 00002000",
                                          "c! 00000000 00002000 00000b50 00002000",
                                          INIT,
                                          OK,
                                          GET_EST,
                                          CLEAR,
                                          AT_LOCALITY0,
                                          "d! 8001 00002000 00000000 77*8182",
                                          COMMAND,
                                          "d! 8001 00002001 00000000",
                                          "c eof",
                                          NULL };
    static EmulatorTest test;

    (void)state;
    emulator_test_connect(&test, script);
    emulator_test_bind(&test);
    assert_true(backend_client_start(&test.client, TPM_BUFFER_SIZE_MAX));
    emulator_test_run(&test, 0, 1, 0);
    assert_int_equal(test.client.response_size, 8192);
    assert_int_equal(test.client.response[8191], 0x77);
    emulator_test_run(&test, 0, 2, TPM2_RC_FAILURE);
    assert_contains(test.client.response_error, "header says 8193 bytes; it may have 10 to 8192");
    emulator_test_end(&test);
}

/* ---- what is no socket of swtpm ---- */

static void expect_refusal(const char *path, TPMError code, const char *message)
{
    g_autoptr(GError) error = NULL;

    assert_null(emulator_test_backend(path, IMPATIENT_MS, &error));
    assert_contains(error->message, message);
    assert_int_equal(error->code, code);
    assert_contains(error->message, "TPM backend 'tpm0': ");
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
    expect_refusal(path, TPM_ERROR_IN_USE, "is busy with other clients");
    close(other);
    close(fd);
    g_unlink(path);
    g_rmdir(directory);
}

static void test_a_config_that_lacks_something_is_refused(void **state)
{
    static const TPMEmulatorConfig configs[] = {
        { .size = 0, .id = "tpm0", .path = "/x" },
        { .size = sizeof(configs[0]), .id = NULL, .path = "/x" },
        { .size = sizeof(configs[0]), .id = "", .path = "/x" },
        { .size = sizeof(configs[0]), .id = "tpm0", .path = NULL },
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
    static const char *const script[] = { SHAKE("3fbf"), GOODBYE, NULL };
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_peer_that_is_no_swtpm_is_refused_with_the_reason),
        cmocka_unit_test(test_what_swtpm_takes_is_asked_and_never_exceeds_what_we_carry),
        cmocka_unit_test(test_a_size_that_is_too_small_or_not_told_is_left_to_the_start),
        cmocka_unit_test(test_a_response_of_8192_bytes_is_carried_when_swtpm_takes_that),
        cmocka_unit_test(test_what_is_no_socket_of_swtpm_is_refused_with_the_reason),
        cmocka_unit_test(test_a_busy_socket_is_refused),
        cmocka_unit_test(test_a_config_that_lacks_something_is_refused),
        cmocka_unit_test(test_an_option_string_names_path_or_chardev),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
