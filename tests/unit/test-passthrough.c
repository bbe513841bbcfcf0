/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a passthrough backend does with the host's TPM: commands, cancels, failures, starts and its
 * end, before a kernel that the test is.
 */
#include "backend-client.h"
#include "fake-chardev.h"

#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <tpmdev/tpmdev.h>

#include <cmocka.h>

/* TPM2_GetRandom and TPM_GetRandom, of 8 bytes. */
static const uint8_t random_2_0[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 8 };
static const uint8_t random_1_2[] = { 0x00, 0xC1, 0, 0, 0, 14, 0, 0, 0x00, 0x46, 0, 0, 0, 8 };

/* TPM2_Startup(CLEAR). */
static const uint8_t startup_2_0[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0 };

typedef struct Fixture {
    FakeChardev *chardev;
    TPMBackend *backend;
    BackendClient client;
    bool bound;
} Fixture;

static Fixture *fixture_new(TPMVersion version)
{
    Fixture *fixture = g_new0(Fixture, 1);

    fixture->chardev = fake_chardev_new(version);
    return fixture;
}

static int setup_2_0(void **state)
{
    *state = fixture_new(TPM_VERSION_2_0);
    return 0;
}

static int setup_1_2(void **state)
{
    *state = fixture_new(TPM_VERSION_1_2);
    return 0;
}

/* A backend, bound, started, and none of its probes counted. */
static FakeChardev *make_ready(Fixture *fixture)
{
    FakeChardev *chardev = fixture->chardev;

    fixture->backend = fake_chardev_backend(chardev);
    backend_client_bind(&fixture->client, fixture->backend, NULL);
    fixture->bound = true;
    assert_true(backend_client_start(&fixture->client, 4096));
    chardev->writes = chardev->reads = 0;
    return chardev;
}

static void unplug(Fixture *fixture)
{
    if (fixture->bound) {
        backend_client_unbind(&fixture->client);
        fixture->bound = false;
    }
    fixture->backend = tpmdev_backend_unref(fixture->backend);
}

static int teardown(void **state)
{
    Fixture *fixture = *state;

    unplug(fixture);
    fake_chardev_free(fixture->chardev);
    g_free(fixture);
    return 0;
}

static void submit(Fixture *fixture)
{
    if (fixture->chardev->version == TPM_VERSION_1_2) {
        backend_client_submit(&fixture->client, 0, random_1_2, sizeof(random_1_2));
    } else {
        backend_client_submit(&fixture->client, 0, random_2_0, sizeof(random_2_0));
    }
}

/* Submit, with the kernel holding it. */
static void submit_and_hold(Fixture *fixture)
{
    fixture->chardev->holds = true;
    submit(fixture);
    fake_chardev_wait(fixture->chardev, fake_chardev_is_executing);
}

/* The n-th command has ended with this code, in the shape of the TPM's version. */
static void assert_code(Fixture *fixture, unsigned completed, uint32_t code)
{
    bool is_1_2 = fixture->chardev->version == TPM_VERSION_1_2;

    backend_client_wait_completed(&fixture->client, completed);
    assert_int_equal(fixture->client.response_size, TPM_HEADER_SIZE);
    assert_int_equal(tpm_header_tag(fixture->client.response), is_1_2 ? 0x00C4 : 0x8001);
    assert_int_equal(tpm_header_code(fixture->client.response), code);
}

/* The same for the failure response, and the host has been told this. */
static void assert_failure(Fixture *fixture, unsigned completed, const char *message)
{
    assert_code(fixture, completed, fixture->chardev->version == TPM_VERSION_1_2 ? 9 : 0x101);
    assert_non_null(fixture->client.response_error);
    assert_string_equal(fixture->client.response_error, message);
}

/* ---- commands ---- */

static void test_a_command_is_one_write_and_its_response_one_read(void **state)
{
    static const uint8_t reply[] = { 0x80, 0x01, 0, 0, 0, 20, 0,    0,    0,    0,
                                     0,    8,    1, 2, 3, 4,  0xFF, 0xFE, 0xFD, 0xFC };
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    chardev->reply = reply;
    chardev->reply_size = sizeof(reply);
    submit(fixture);
    backend_client_wait_completed(&fixture->client, 1);
    assert_null(fixture->client.response_error);
    assert_int_equal(fixture->client.response_size, sizeof(reply));
    assert_memory_equal(fixture->client.response, reply, sizeof(reply));
    assert_int_equal(chardev->command_size, sizeof(random_2_0));
    assert_memory_equal(chardev->command, random_2_0, sizeof(random_2_0));
    assert_int_equal(fake_chardev_count(chardev, &chardev->writes), 1);
    assert_int_equal(fake_chardev_count(chardev, &chardev->reads), 1);
}

static void test_a_command_that_runs_keeps_nobody_waiting(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    submit_and_hold(fixture); /* it has returned */
    assert_int_equal(fixture->client.completed, 0);
    fake_chardev_release(chardev);
    assert_code(fixture, 1, 0);
    assert_true(fixture->client.completed_on != g_thread_self());
}

static void test_responses_up_to_the_agreed_size_go_through(void **state)
{
    uint8_t reply[4097] = { 0x80, 0x01, 0, 0, 0x10, 0x00 };
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    chardev->reply = reply;
    chardev->reply_size = 4096;
    submit(fixture);
    backend_client_wait_completed(&fixture->client, 1);
    assert_int_equal(fixture->client.response_size, 4096);
    chardev->reply_size = 4097;
    reply[5] = 1;
    submit(fixture);
    assert_failure(fixture, 2,
                   "TPM backend 'tpm0' answered with 4097 bytes that are no response of at most "
                   "4096 bytes");
}

static void test_a_response_in_pieces_is_put_together(void **state)
{
    uint8_t reply[300] = { 0x80, 0x01, 0, 0, 0x01, 0x2C };
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    for (unsigned i = 10; i < sizeof(reply); i++) {
        reply[i] = (uint8_t)i;
    }
    chardev->reply = reply;
    chardev->reply_size = sizeof(reply);
    for (size_t piece = 1; piece < 12; piece += 5) {
        unsigned completed = fixture->client.completed + 1;

        chardev->read_gives = piece;
        submit(fixture);
        backend_client_wait_completed(&fixture->client, completed);
        assert_int_equal(fixture->client.response_size, sizeof(reply));
        assert_memory_equal(fixture->client.response, reply, sizeof(reply));
    }
}

/* Shorter than its header says, no header at all, nothing. */
static void test_what_is_no_response_becomes_a_failure_and_no_more(void **state)
{
    static const uint8_t reply[] = { 0x80, 0x01, 0, 0, 0, 20, 0, 0, 0, 0, 1, 2 };
    static const size_t sizes[] = { 12, 9, 0 };
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree char *message =
            g_strdup_printf("TPM backend 'tpm0' answered with %zu bytes that "
                            "are no response of at most 4096 bytes",
                            sizes[i]);

        chardev->reply = reply;
        chardev->reply_size = sizes[i];
        submit(fixture);
        assert_failure(fixture, 2 * i + 1, message);
        chardev->reply = NULL;
        submit(fixture);
        assert_code(fixture, 2 * i + 2, 0);
    }
}

static void test_a_command_of_another_locality_is_answered_and_not_sent(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);
    bool is_1_2 = chardev->version == TPM_VERSION_1_2;

    for (uint8_t locality = 1; locality <= 4; locality++) {
        backend_client_submit(&fixture->client, locality, is_1_2 ? random_1_2 : random_2_0,
                              is_1_2 ? sizeof(random_1_2) : sizeof(random_2_0));
        assert_code(fixture, locality, is_1_2 ? 0x3D : 0x907);
        assert_null(fixture->client.response_error);
    }
    assert_int_equal(chardev->writes, 0);
    submit(fixture);
    assert_code(fixture, 5, 0);
}

static void test_a_command_larger_than_the_kernel_takes_is_answered_as_too_large(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    chardev->write_errno = E2BIG;
    submit(fixture);
    assert_code(fixture, 1, chardev->version == TPM_VERSION_1_2 ? 0x19 : 0x142);
    assert_null(fixture->client.response_error);
    submit(fixture);
    assert_code(fixture, 2, 0);
}

/* ---- starts ---- */

static void test_a_start_sends_nothing_to_the_tpm(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    for (unsigned i = 0; i < 3; i++) {
        assert_true(backend_client_start(&fixture->client, 3968));
    }
    assert_int_equal(chardev->writes, 0);
    assert_int_equal(chardev->opens, 1);
    assert_false(fixture->client.established);
}

/* The host's firmware has sent its own; the guest's firmware takes this answer as good. */
static void test_the_guests_startup_goes_to_the_tpm_which_says_it_was_started(void **state)
{
    static const uint8_t initialize[] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x00 };
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    chardev->reply = initialize;
    chardev->reply_size = sizeof(initialize);
    backend_client_submit(&fixture->client, 0, startup_2_0, sizeof(startup_2_0));
    assert_code(fixture, 1, 0x100);
    assert_memory_equal(chardev->command, startup_2_0, sizeof(startup_2_0));
}

static void test_a_start_waits_for_the_command_that_runs_and_drops_its_response(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = fixture->chardev;

    fake_chardev_clear_sysfs(chardev); /* so that it cannot be cancelled */
    make_ready(fixture);
    submit_and_hold(fixture);
    backend_client_unbind(&fixture->client);
    backend_client_bind(&fixture->client, fixture->backend, NULL);
    tpm_backend_start(fixture->backend, 4096);
    assert_int_equal(fixture->client.started, 0);
    fake_chardev_release(chardev);
    backend_client_wait_started(&fixture->client, 1);
    assert_int_equal(fixture->client.completed, 0);
    submit(fixture);
    assert_code(fixture, 1, 0);
}

/* ---- cancels ---- */

static void test_a_cancel_takes_effect_while_the_command_runs(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    for (unsigned i = 1; i <= 3; i++) {
        submit_and_hold(fixture);
        tpm_backend_cancel(fixture->backend);
        assert_code(fixture, i, chardev->version == TPM_VERSION_1_2 ? 9 : 0x909);
        assert_null(fixture->client.response_error);
        assert_true(fake_chardev_count(chardev, &chardev->cancels) >= i);
    }
}

static void test_a_cancel_that_came_too_early_is_said_again(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    chardev->cancels_missed = 2;
    submit_and_hold(fixture);
    tpm_backend_cancel(fixture->backend);
    assert_code(fixture, 1, chardev->version == TPM_VERSION_1_2 ? 9 : 0x909);
    assert_true(fake_chardev_count(chardev, &chardev->cancels) >= 3);
}

/* As it is since about Linux 5.1: the file is written when the command has ended. */
static void test_a_cancel_that_has_to_wait_keeps_nobody_waiting(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    chardev->cancel = FAKE_CANCEL_WAITS;
    submit_and_hold(fixture);
    tpm_backend_cancel(fixture->backend); /* it has returned */
    tpm_backend_cancel(fixture->backend);
    fake_chardev_wait(chardev, fake_chardev_is_cancelling);
    assert_int_equal(fixture->client.completed, 0);
    fake_chardev_release(chardev);
    assert_code(fixture, 1, 0);
}

/* The fake kernel notes a breach if the next command comes while the byte is being written. */
static void test_a_late_cancel_does_not_hit_the_next_command(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    chardev->cancel = FAKE_CANCEL_STUCK;
    submit_and_hold(fixture);
    tpm_backend_cancel(fixture->backend);
    fake_chardev_wait(chardev, fake_chardev_is_cancelling);
    tpm_backend_cancel(fixture->backend); /* too late, as it turns out */
    fake_chardev_release(chardev);
    assert_code(fixture, 1, 0);
    submit(fixture);
    assert_int_equal(fake_chardev_count(chardev, &chardev->writes), 1);
    fake_chardev_release_cancel(chardev);
    assert_code(fixture, 2, 0);
    assert_int_equal(fake_chardev_count(chardev, &chardev->cancels), 1);
}

static void test_a_command_that_has_not_begun_never_begins(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    chardev->cancel = FAKE_CANCEL_STUCK;
    submit_and_hold(fixture);
    tpm_backend_cancel(fixture->backend);
    fake_chardev_wait(chardev, fake_chardev_is_cancelling);
    fake_chardev_release(chardev);
    assert_code(fixture, 1, 0);
    submit(fixture); /* it has to wait until the cancel is over */
    tpm_backend_cancel(fixture->backend);
    assert_code(fixture, 2, chardev->version == TPM_VERSION_1_2 ? 9 : 0x909);
    fake_chardev_release_cancel(chardev);
    submit(fixture);
    assert_code(fixture, 3, 0);
    assert_int_equal(fake_chardev_count(chardev, &chardev->writes), 2);
}

static void test_without_a_file_a_command_ends_when_it_ends(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = fixture->chardev;

    fake_chardev_clear_sysfs(chardev);
    make_ready(fixture);
    submit_and_hold(fixture);
    tpm_backend_cancel(fixture->backend);
    assert_int_equal(fixture->client.completed, 0);
    fake_chardev_release(chardev);
    assert_code(fixture, 1, 0);
    assert_int_equal(chardev->cancels, 0);
}

static void test_a_cancel_with_nothing_to_cancel_writes_nothing(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    tpm_backend_cancel(fixture->backend);
    submit(fixture);
    assert_code(fixture, 1, 0);
    tpm_backend_cancel(fixture->backend);
    submit(fixture);
    assert_code(fixture, 2, 0);
    assert_int_equal(fake_chardev_count(chardev, &chardev->cancels), 0);
}

/* ---- failures ---- */

static void test_a_command_that_fails_says_nothing_of_the_next(void **state)
{
    static const int failures[] = { EIO, ETIME, EBUSY, EINVAL, EFAULT };
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    for (unsigned i = 0; i < G_N_ELEMENTS(failures); i++) {
        g_autofree char *message =
            g_strdup_printf("TPM backend 'tpm0': the command was not carried "
                            "out: %s",
                            g_strerror(failures[i]));

        chardev->write_errno = failures[i];
        submit(fixture);
        assert_failure(fixture, 2 * i + 1, message);
        submit(fixture);
        assert_code(fixture, 2 * i + 2, 0);
    }
    assert_int_equal(chardev->opens, 1);
}

static void test_a_response_that_cannot_be_read_is_a_failure(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    chardev->read_errno = EIO;
    submit(fixture);
    assert_failure(fixture, 1,
                   "TPM backend 'tpm0': reading the response failed: Input/output error");
    submit(fixture);
    assert_code(fixture, 2, 0);
}

static void test_a_command_of_which_a_part_was_taken_is_a_failure(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    chardev->write_takes = 4;
    submit(fixture);
    assert_failure(fixture, 1, "TPM backend 'tpm0': only 4 of 12 bytes were taken");
}

static void test_calls_that_are_interrupted_are_made_again(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    chardev->write_errno = EINTR;
    chardev->read_errno = EINTR;
    submit(fixture);
    assert_code(fixture, 1, 0);
    assert_int_equal(chardev->writes, 2);
    assert_int_equal(chardev->reads, 2);
}

static const char *const gone_message =
    "TPM backend 'tpm0': the command was not carried out: No such device; the TPM is gone";

static void test_a_tpm_that_is_gone_fails_until_a_start_finds_it_again(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    chardev->gone = true;
    submit(fixture);
    assert_failure(fixture, 1, gone_message);
    assert_int_equal(fake_chardev_count(chardev, &chardev->closes), 1);
    submit(fixture);
    assert_failure(fixture, 2, "TPM backend 'tpm0' has failed; the command was not sent");
    assert_int_equal(chardev->writes, 1);

    /* It has come back, but not for a guest that may have measured into it before. */
    chardev->gone = false;
    submit(fixture);
    assert_failure(fixture, 3, "TPM backend 'tpm0' has failed; the command was not sent");
    assert_true(backend_client_start(&fixture->client, 4096));
    submit(fixture);
    assert_code(fixture, 4, 0);
    assert_int_equal(chardev->opens, 2);
    assert_int_equal(fixture->client.recovered, 0);
}

static void test_a_tpm_that_stays_away_fails_its_starts_and_says_why(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    chardev->gone = true;
    submit(fixture);
    assert_failure(fixture, 1, gone_message);
    chardev->open_errno = ENOENT;
    assert_false(backend_client_start(&fixture->client, 4096));
    assert_string_equal(fixture->client.start_error,
                        "TPM backend 'tpm0': cannot open the TPM device '/dev/tpm0': No such file "
                        "or directory; path= names the host's TPM, which has a driver, such as "
                        "/dev/tpm0");
    chardev->open_errno = 0;
    assert_false(backend_client_start(&fixture->client, 4096)); /* it does not answer */
    assert_string_equal(fixture->client.start_error,
                        "TPM backend 'tpm0': '/dev/tpm0' is not a TPM device: the command was not "
                        "carried out: No such device; the TPM is gone");
    chardev->gone = false;
    chardev->version = TPM_VERSION_1_2;
    assert_false(backend_client_start(&fixture->client, 4096));
    assert_string_equal(fixture->client.start_error,
                        "TPM backend 'tpm0': '/dev/tpm0' is a TPM 1.2 now; it was a TPM 2.0 when "
                        "the backend was made");
    assert_int_equal(chardev->descriptors, 1); /* that for cancels */
    chardev->version = TPM_VERSION_2_0;
    assert_true(backend_client_start(&fixture->client, 4096));
}

static void test_the_file_for_cancels_is_looked_for_again_with_the_device(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);
    GError *error = NULL;

    chardev->gone = true;
    submit(fixture);
    backend_client_wait_completed(&fixture->client, 1);
    chardev->gone = false;
    fake_chardev_clear_sysfs(chardev);
    assert_true(backend_client_start(&fixture->client, 4096));
    assert_false(tpmdev_backend_passthrough_can_cancel(fixture->backend, &error));
    assert_non_null(strstr(error->message, "class/misc/tpm0/device/cancel (No such file"));
    g_error_free(error);
}

static void test_a_descriptor_cannot_be_opened_again(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = fixture->chardev;

    chardev->config.fd = 100;
    make_ready(fixture);
    chardev->gone = true;
    submit(fixture);
    assert_failure(fixture, 1, gone_message);
    chardev->gone = false;
    assert_false(backend_client_start(&fixture->client, 4096));
    assert_string_equal(fixture->client.start_error,
                        "TPM backend 'tpm0': the TPM of the descriptor that was handed over is "
                        "gone; only path= can be opened again");
}

/* ---- its end ---- */

static void test_the_end_cancels_what_runs_and_waits_for_it(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = make_ready(fixture);

    submit_and_hold(fixture);
    unplug(fixture);
    assert_true(chardev->cancels > 0);
    assert_int_equal(chardev->descriptors, 0);
}

static void test_the_end_does_not_wait_for_ever(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = fixture->chardev;

    fake_chardev_clear_sysfs(chardev);
    chardev->deadlines.destroy = 1;
    make_ready(fixture);
    submit_and_hold(fixture);
    unplug(fixture);
    /* The thread that was left behind closes the device, when the kernel lets it. */
    assert_true(fake_chardev_count(chardev, &chardev->descriptors) > 0);
    fake_chardev_release(chardev);
    fake_chardev_wait(chardev, fake_chardev_is_closed);
}

static void test_the_end_does_not_wait_for_a_cancel_for_ever(void **state)
{
    Fixture *fixture = *state;
    FakeChardev *chardev = fixture->chardev;

    chardev->cancel = FAKE_CANCEL_STUCK;
    chardev->deadlines.destroy = 1;
    make_ready(fixture);
    submit_and_hold(fixture);
    tpm_backend_cancel(fixture->backend);
    fake_chardev_wait(chardev, fake_chardev_is_cancelling);
    unplug(fixture);
    fake_chardev_release(chardev);
    fake_chardev_release_cancel(chardev);
    fake_chardev_wait(chardev, fake_chardev_is_closed);
}

/* ---- what it cannot ---- */

static void test_migration_is_refused_with_the_reason(void **state)
{
    Fixture *fixture = *state;
    GError *error = NULL;

    fixture->backend = fake_chardev_backend(fixture->chardev);
    TPMDevice *device = tpmdev_device_new(NULL, fixture->backend, NULL, NULL, &error);

    assert_non_null(device);
    assert_false(tpmdev_device_can_migrate(device, NULL));
    assert_false(tpmdev_device_can_migrate(device, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED));
    assert_string_equal(error->message,
                        "TPM backend 'tpm0' is the host's own TPM, whose keys and PCRs cannot be "
                        "taken out of it; a machine that is to be saved or migrated takes an "
                        "emulator or libtpms");
    g_error_free(error);
    tpmdev_device_free(device);
}

static void test_a_d_rtm_is_refused(void **state)
{
    Fixture *fixture = *state;
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    GError *error = NULL;

    config.drtm = true;
    fixture->backend = fake_chardev_backend(fixture->chardev);
    assert_null(tpmdev_device_new(&config, fixture->backend, NULL, NULL, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED));
    g_error_free(error);
}

#define WITH_2_0(test) cmocka_unit_test_setup_teardown(test, setup_2_0, teardown)
#define WITH_1_2(test) cmocka_unit_test_setup_teardown(test, setup_1_2, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_2_0(test_a_command_is_one_write_and_its_response_one_read),
        WITH_2_0(test_a_command_that_runs_keeps_nobody_waiting),
        WITH_2_0(test_responses_up_to_the_agreed_size_go_through),
        WITH_2_0(test_a_response_in_pieces_is_put_together),
        WITH_2_0(test_what_is_no_response_becomes_a_failure_and_no_more),
        WITH_1_2(test_a_command_of_another_locality_is_answered_and_not_sent),
        WITH_2_0(test_a_command_of_another_locality_is_answered_and_not_sent),
        WITH_1_2(test_a_command_larger_than_the_kernel_takes_is_answered_as_too_large),
        WITH_2_0(test_a_command_larger_than_the_kernel_takes_is_answered_as_too_large),
        WITH_2_0(test_a_start_sends_nothing_to_the_tpm),
        WITH_2_0(test_the_guests_startup_goes_to_the_tpm_which_says_it_was_started),
        WITH_2_0(test_a_start_waits_for_the_command_that_runs_and_drops_its_response),
        WITH_1_2(test_a_cancel_takes_effect_while_the_command_runs),
        WITH_2_0(test_a_cancel_takes_effect_while_the_command_runs),
        WITH_1_2(test_a_cancel_that_came_too_early_is_said_again),
        WITH_1_2(test_a_cancel_that_has_to_wait_keeps_nobody_waiting),
        WITH_1_2(test_a_late_cancel_does_not_hit_the_next_command),
        WITH_1_2(test_a_command_that_has_not_begun_never_begins),
        WITH_2_0(test_a_command_that_has_not_begun_never_begins),
        WITH_2_0(test_without_a_file_a_command_ends_when_it_ends),
        WITH_1_2(test_a_cancel_with_nothing_to_cancel_writes_nothing),
        WITH_2_0(test_a_command_that_fails_says_nothing_of_the_next),
        WITH_1_2(test_a_command_that_fails_says_nothing_of_the_next),
        WITH_2_0(test_a_response_that_cannot_be_read_is_a_failure),
        WITH_2_0(test_a_command_of_which_a_part_was_taken_is_a_failure),
        WITH_2_0(test_calls_that_are_interrupted_are_made_again),
        WITH_2_0(test_a_tpm_that_is_gone_fails_until_a_start_finds_it_again),
        WITH_2_0(test_a_tpm_that_stays_away_fails_its_starts_and_says_why),
        WITH_2_0(test_the_file_for_cancels_is_looked_for_again_with_the_device),
        WITH_2_0(test_a_descriptor_cannot_be_opened_again),
        WITH_2_0(test_the_end_cancels_what_runs_and_waits_for_it),
        WITH_2_0(test_the_end_does_not_wait_for_ever),
        WITH_1_2(test_the_end_does_not_wait_for_a_cancel_for_ever),
        WITH_2_0(test_migration_is_refused_with_the_reason),
        WITH_2_0(test_a_d_rtm_is_refused),
    };

    return cmocka_run_group_tests_name("passthrough", tests, NULL, NULL);
}
