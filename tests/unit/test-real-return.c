/* SPDX-License-Identifier: BSD-3-Clause */
/* The `emulator` backend and a real swtpm that hangs, is killed, and comes back. */
#include "command.h"
#include "swtpm-process.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- commands ---- */

static const uint8_t startup_2_0[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0 };
static const uint8_t startup_state_2_0[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 1 };
static const uint8_t get_random_2_0[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 16 };
static const uint8_t startup_1_2[] = { 0x00, 0xC1, 0, 0, 0, 12, 0, 0, 0, 0x99, 0, 1 };
static const uint8_t get_random_1_2[] = { 0x00, 0xC1, 0, 0, 0, 14, 0, 0, 0, 0x46, 0, 0, 0, 16 };
static const uint8_t read_clock[] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x81 };

/* TPM2_CreatePrimary of an RSA key of 3072 bits. */
static const uint8_t create_rsa[] = {
    0x80, 0x02, 0,    0, 0,    0x43, 0,    0, 0x01, 0x31, 0x40, 0, 0,    0x07, 0,    0, 0,
    9,    0x40, 0,    0, 9,    0,    0,    0, 0,    0,    0,    4, 0,    0,    0,    0, 0,
    0x1A, 0,    1,    0, 0x0B, 0,    0x03, 0, 0x72, 0,    0,    0, 0x06, 0,    0x80, 0, 0x43,
    0,    0x10, 0x0C, 0, 0,    0,    0,    0, 0,    0,    0,    0, 0,    0,    0,    0,
};

static uint32_t command(Swtpm *swtpm, const void *bytes, size_t size)
{
    return backend_client_command(&swtpm->client, bytes, size);
}

#define COMMAND(swtpm, bytes) command(swtpm, bytes, sizeof(bytes))

static uint32_t extend(Swtpm *swtpm, uint8_t pcr)
{
    uint8_t bytes_2_0[33 + 32] = { 0x80, 0x02, 0,   0, 0, 65, 0, 0,    0x01, 0x82, 0,
                                   0,    0,    pcr, 0, 0, 0,  9, 0x40, 0,    0,    9,
                                   0,    0,    0,   0, 0, 0,  0, 0,    1,    0,    0x0B };

    return COMMAND(swtpm, bytes_2_0);
}

static uint32_t extend_1_2(Swtpm *swtpm, uint8_t pcr)
{
    uint8_t bytes_1_2[34] = { 0x00, 0xC1, 0, 0, 0, 34, 0, 0, 0, 0x14, 0, 0, 0, pcr };

    return COMMAND(swtpm, bytes_1_2);
}

/* Of the bank of this algorithm; a TPM 1.2 has SHA-1 alone. Returns the digest's size. */
static size_t read_pcr(Swtpm *swtpm, GChecksumType bank, uint8_t pcr, uint8_t value[64])
{
    uint8_t read_2_0[] = {
        0x80, 0x01, 0, 0, 0, 20, 0, 0, 0x01, 0x7E, 0, 0, 0, 1, 0, 0, 3, 0, 0, 0
    };
    uint8_t read_1_2[] = { 0x00, 0xC1, 0, 0, 0, 14, 0, 0, 0, 0x15, 0, 0, 0, pcr };
    size_t digest = (size_t)g_checksum_type_get_length(bank);

    read_2_0[15] = bank == G_CHECKSUM_SHA1     ? 0x04
                   : bank == G_CHECKSUM_SHA256 ? 0x0B
                   : bank == G_CHECKSUM_SHA384 ? 0x0C
                                               : 0x0D;
    read_2_0[17 + pcr / 8] = (uint8_t)(1u << pcr % 8);
    if (tpmdev_backend_get_version(swtpm->backend) == TPM_VERSION_1_2) {
        assert_int_equal(COMMAND(swtpm, read_1_2), 0);
    } else {
        assert_int_equal(COMMAND(swtpm, read_2_0), 0);
    }
    memcpy(value, swtpm->client.response + swtpm->client.response_size - digest, digest);
    return digest;
}

/* ---- life ---- */

static void wait_recovered(Swtpm *swtpm, unsigned n)
{
    backend_client_wait_recovered(&swtpm->client, n);
}

static void wait_failed(Swtpm *swtpm)
{
    backend_client_wait_failed(&swtpm->client, 1);
}

static int set_up(void **state, bool is_1_2, bool checkpoint)
{
    Swtpm *swtpm = swtpm_new();

    *state = swtpm;
    swtpm->config.checkpoint = checkpoint;
    swtpm->config.short_timeout_ms = 300;
    swtpm_launch(swtpm, is_1_2);
    swtpm_attach(swtpm);
    swtpm_bind(swtpm);
    swtpm_start(swtpm);
    return 0;
}

static int set_up_2_0(void **state)
{
    set_up(state, false, false);
    assert_int_equal(COMMAND(*state, startup_2_0), 0);
    return 0;
}

static int set_up_unstarted(void **state)
{
    return set_up(state, false, false);
}

static int set_up_checkpoint(void **state)
{
    set_up(state, false, true);
    assert_int_equal(COMMAND(*state, startup_2_0), 0);
    return 0;
}

static int set_up_1_2(void **state)
{
    set_up(state, true, false);
    assert_int_equal(COMMAND(*state, startup_1_2), 0);
    return 0;
}

static int set_up_checkpoint_1_2(void **state)
{
    set_up(state, true, true);
    assert_int_equal(COMMAND(*state, startup_1_2), 0);
    return 0;
}

static int tear_down(void **state)
{
    swtpm_free(*state);
    return 0;
}

/* ---- it hangs ---- */

static void test_a_stopped_swtpm_fails_the_command_and_goes_on_without_a_reset(void **state)
{
    Swtpm *swtpm = *state;
    uint8_t before[64], after[64];

    assert_int_equal(extend(swtpm, 7), 0);
    size_t size = read_pcr(swtpm, G_CHECKSUM_SHA256, 7, before);

    for (unsigned i = 1; i <= 3; i++) {
        swtpm_stop(swtpm);
        assert_int_equal(COMMAND(swtpm, get_random_2_0), TPM2_RC_FAILURE);
        assert_non_null(strstr(swtpm->client.response_error,
                               "did not answer the TPM command 17Bh within 300 ms"));
        assert_int_equal(COMMAND(swtpm, read_clock), TPM2_RC_FAILURE);
        kill(swtpm->pid, SIGCONT);
        wait_recovered(swtpm, i);
        assert_int_equal(read_pcr(swtpm, G_CHECKSUM_SHA256, 7, after), size);
        assert_memory_equal(before, after, size);
        /* The late answer, of 28 bytes, is no other command's. */
        assert_int_equal(COMMAND(swtpm, read_clock), 0);
        assert_int_equal(swtpm->client.response_size, 35);
    }
}

static void test_a_long_command_is_not_cut_off_by_the_short_deadline(void **state)
{
    Swtpm *swtpm = *state;
    unsigned before = swtpm->client.completed;

    backend_client_submit(&swtpm->client, 0, create_rsa, sizeof(create_rsa));
    swtpm_stop(swtpm);
    g_usleep(600 * 1000); /* twice as long as a short one may take */
    assert_int_equal(swtpm->client.completed, before);
    kill(swtpm->pid, SIGCONT);
    backend_client_wait_completed(&swtpm->client, before + 1);
    assert_int_equal(tpm_header_code(swtpm->client.response), 0);
}

static void test_a_start_of_a_stopped_swtpm_fails_and_is_made_up_for(void **state)
{
    Swtpm *swtpm = *state;

    swtpm_unbind(swtpm);
    tpmdev_backend_unref(swtpm->backend);
    swtpm_wait_for_exit(swtpm);
    swtpm->config.control_timeout_ms = 300;
    swtpm_launch(swtpm, false);
    swtpm_attach(swtpm);
    swtpm_bind(swtpm);
    swtpm_start(swtpm);
    swtpm_stop(swtpm);
    assert_false(backend_client_start(&swtpm->client, TPM_BUFFER_SIZE_COMMON));
    assert_non_null(strstr(swtpm->client.start_error, "did not answer STOP within 300 ms"));
    kill(swtpm->pid, SIGCONT);
    wait_recovered(swtpm, 1);
    assert_int_equal(COMMAND(swtpm, startup_2_0), 0);
}

/* ---- it is killed, and started again ---- */

static void restart(Swtpm *swtpm, bool is_1_2)
{
    unsigned recovered = swtpm->client.recovered;

    swtpm_kill(swtpm);
    swtpm_launch(swtpm, is_1_2);
    wait_recovered(swtpm, recovered + 1);
}

/* A PCR that was zeros, and then capped. */
static void assert_capped(Swtpm *swtpm, GChecksumType bank, uint8_t pcr)
{
    static const char event[] = "libtpmdev: this TPM was reset while its guest was running";
    g_autoptr(GChecksum) extended = g_checksum_new(bank);
    g_autoptr(GChecksum) measured = g_checksum_new(bank);
    uint8_t value[64], wanted[64] = { 0 }, digest[64];
    gsize size = sizeof(digest);

    g_checksum_update(measured, (const guchar *)event, -1);
    g_checksum_get_digest(measured, digest, &size);
    g_checksum_update(extended, wanted, (gssize)size);
    g_checksum_update(extended, digest, (gssize)size);
    g_checksum_get_digest(extended, wanted, &size);
    assert_int_equal(read_pcr(swtpm, bank, pcr, value), size);
    assert_memory_equal(value, wanted, size);
}

static void assert_all_capped(Swtpm *swtpm, bool is_1_2)
{
    static const GChecksumType banks[] = { G_CHECKSUM_SHA1, G_CHECKSUM_SHA256, G_CHECKSUM_SHA384,
                                           G_CHECKSUM_SHA512 };

    for (unsigned i = 0; i < (is_1_2 ? 1 : G_N_ELEMENTS(banks)); i++) {
        for (uint8_t pcr = 0; pcr <= 16; pcr++) {
            assert_capped(swtpm, banks[i], pcr);
        }
        assert_capped(swtpm, banks[i], 23);
        for (uint8_t pcr = 17; pcr <= 22; pcr++) {
            uint8_t value[64];
            size_t size = read_pcr(swtpm, banks[i], pcr, value);

            for (size_t j = 0; j < size; j++) {
                assert_int_equal(value[j], 0xFF);
            }
        }
    }
}

static void test_a_tpm_that_was_reset_under_its_guest_has_capped_pcrs(void **state)
{
    /* TPM2_Clear with the platform's authorization, which a reset makes empty. */
    static const uint8_t clear[] = { 0x80, 0x02, 0, 0, 0,    27, 0, 0, 0x01, 0x26, 0x40, 0, 0, 0x0C,
                                     0,    0,    0, 9, 0x40, 0,  0, 9, 0,    0,    0,    0, 0 };
    Swtpm *swtpm = *state;

    assert_int_equal(extend(swtpm, 7), 0);
    for (unsigned i = 0; i < 2; i++) {
        restart(swtpm, false);
        assert_all_capped(swtpm, false);
        assert_int_not_equal(COMMAND(swtpm, clear), 0);
        assert_int_equal(COMMAND(swtpm, get_random_2_0), 0);
        assert_int_equal(COMMAND(swtpm, startup_2_0), TPM2_RC_INITIALIZE);
    }
    swtpm_start(swtpm); /* a reset of the guest's machine is a good beginning */
    assert_int_equal(COMMAND(swtpm, startup_2_0), 0);
    uint8_t value[64];
    size_t size = read_pcr(swtpm, G_CHECKSUM_SHA256, 7, value);

    for (size_t i = 0; i < size; i++) {
        assert_int_equal(value[i], 0);
    }
}

static void test_a_tpm_1_2_that_was_reset_under_its_guest_has_capped_pcrs(void **state)
{
    Swtpm *swtpm = *state;

    assert_int_equal(extend_1_2(swtpm, 7), 0);
    restart(swtpm, true);
    assert_all_capped(swtpm, true);
    assert_int_equal(COMMAND(swtpm, get_random_1_2), 0);
}

static void test_a_tpm_that_was_not_started_is_left_so(void **state)
{
    Swtpm *swtpm = *state;

    restart(swtpm, false);
    assert_int_equal(COMMAND(swtpm, get_random_2_0), TPM2_RC_INITIALIZE);
    assert_int_equal(COMMAND(swtpm, startup_2_0), 0);
}

static void test_failures_last_as_long_as_swtpm_is_away(void **state)
{
    Swtpm *swtpm = *state;

    swtpm_kill(swtpm);
    wait_failed(swtpm);
    assert_int_equal(COMMAND(swtpm, get_random_2_0), TPM2_RC_FAILURE);
    swtpm_launch(swtpm, false);
    wait_recovered(swtpm, 1);
    assert_int_equal(COMMAND(swtpm, get_random_2_0), 0);
}

static void test_another_tpm_is_refused_until_the_guests_is_back(void **state)
{
    Swtpm *swtpm = *state;
    g_autofree char *aside = g_strconcat(swtpm->directory, "/aside", NULL);
    g_autofree char *permanent = g_strconcat(swtpm->directory, "/tpm2-00.permall", NULL);

    swtpm_kill(swtpm);
    wait_failed(swtpm);
    assert_int_equal(rename(permanent, aside), 0);
    swtpm_launch(swtpm, false);
    backend_client_wait_failed(&swtpm->client, 2);
    assert_non_null(
        strstr(swtpm->client.failure, "has come back with another TPM than the guest's"));
    assert_int_equal(COMMAND(swtpm, get_random_2_0), TPM2_RC_FAILURE);
    swtpm_kill(swtpm);
    assert_int_equal(rename(aside, permanent), 0);
    swtpm_launch(swtpm, false);
    wait_recovered(swtpm, 1);
    assert_all_capped(swtpm, false);
}

static void test_another_version_is_refused_until_the_guests_is_back(void **state)
{
    Swtpm *swtpm = *state;

    swtpm_kill(swtpm);
    swtpm_launch(swtpm, true);
    backend_client_wait_failed(&swtpm->client, 2);
    assert_non_null(strstr(swtpm->client.failure, "is a TPM 1.2 now"));
    swtpm_kill(swtpm);
    swtpm_launch(swtpm, false);
    wait_recovered(swtpm, 1);
    assert_int_equal(COMMAND(swtpm, get_random_2_0), 0);
}

/* ---- checkpoint=on ---- */

static void test_with_checkpoints_nothing_is_lost(void **state)
{
    Swtpm *swtpm = *state;
    uint8_t random[16];
    uint8_t before[64], after[64];

    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(extend(swtpm, 7), 0);
        size_t size = read_pcr(swtpm, G_CHECKSUM_SHA256, 7, before);

        assert_int_equal(COMMAND(swtpm, get_random_2_0), 0);
        memcpy(random, swtpm->client.response + 12, sizeof(random));
        restart(swtpm, false);
        assert_int_equal(read_pcr(swtpm, G_CHECKSUM_SHA256, 7, after), size);
        assert_memory_equal(before, after, size);
        /* Nor is a random number given twice. */
        assert_int_equal(COMMAND(swtpm, get_random_2_0), 0);
        assert_memory_not_equal(random, swtpm->client.response + 12, sizeof(random));
    }
}

static void test_with_checkpoints_nothing_of_a_tpm_1_2_is_lost(void **state)
{
    Swtpm *swtpm = *state;
    uint8_t before[64], after[64];

    assert_int_equal(extend_1_2(swtpm, 7), 0);
    size_t size = read_pcr(swtpm, G_CHECKSUM_SHA1, 7, before);

    restart(swtpm, true);
    assert_int_equal(read_pcr(swtpm, G_CHECKSUM_SHA1, 7, after), size);
    assert_memory_equal(before, after, size);
}

/* With a checkpoint there: it must not be what the TPM begins with. */
static void assert_reset(Swtpm *swtpm)
{
    uint8_t value[64];

    assert_int_equal(COMMAND(swtpm, get_random_2_0), TPM2_RC_INITIALIZE);
    assert_int_equal(COMMAND(swtpm, startup_2_0), 0);
    size_t size = read_pcr(swtpm, G_CHECKSUM_SHA256, 7, value);

    for (size_t i = 0; i < size; i++) {
        assert_int_equal(value[i], 0);
    }
}

static void test_with_checkpoints_a_start_is_a_power_cycle(void **state)
{
    Swtpm *swtpm = *state;

    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(extend(swtpm, 7), 0);
        swtpm_start(swtpm);
        assert_reset(swtpm);
    }
}

static void test_a_checkpoint_of_an_earlier_run_is_not_resumed(void **state)
{
    Swtpm *swtpm = *state;

    assert_int_equal(extend(swtpm, 7), 0);
    swtpm_kill(swtpm);
    swtpm_unbind(swtpm);
    tpmdev_backend_unref(swtpm->backend);
    swtpm->config.checkpoint = false;
    swtpm_launch(swtpm, false);
    swtpm_attach(swtpm);
    swtpm_bind(swtpm);
    swtpm_start(swtpm);
    assert_reset(swtpm);
}

static void test_an_orderly_end_leaves_no_checkpoint(void **state)
{
    Swtpm *swtpm = *state;
    g_autofree char *path = g_strconcat(swtpm->directory, "/tpm2-00.volatilestate", NULL);

    assert_true(g_file_test(path, G_FILE_TEST_EXISTS));
    swtpm_unbind(swtpm);
    swtpm->backend = tpmdev_backend_unref(swtpm->backend);
    swtpm_wait_for_exit(swtpm);
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

/* ---- TPM2_Shutdown ---- */

static void test_a_start_is_preceded_by_an_orderly_end(void **state)
{
    Swtpm *swtpm = *state;

    swtpm_start(swtpm);
    /* Only after TPM2_Shutdown(STATE) is there a state to start with. */
    assert_int_equal(COMMAND(swtpm, startup_state_2_0), 0);
}

static void test_destruction_is_an_orderly_end(void **state)
{
    Swtpm *swtpm = *state;

    swtpm_unbind(swtpm);
    swtpm->backend = tpmdev_backend_unref(swtpm->backend);
    swtpm_wait_for_exit(swtpm);
    swtpm_launch(swtpm, false);
    swtpm_attach(swtpm);
    swtpm_bind(swtpm);
    swtpm_start(swtpm);
    assert_int_equal(COMMAND(swtpm, startup_2_0), 0);
    assert_int_equal(COMMAND(swtpm, read_clock), 0);
    /* TPMS_CLOCK_INFO.safe: the clock has not been set back, for its end was orderly. */
    assert_int_equal(swtpm->client.response[34], 1);
}

#define TEST(name, set_up) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_stopped_swtpm_fails_the_command_and_goes_on_without_a_reset, set_up_2_0),
        TEST(test_a_long_command_is_not_cut_off_by_the_short_deadline, set_up_2_0),
        TEST(test_a_start_of_a_stopped_swtpm_fails_and_is_made_up_for, set_up_2_0),
        TEST(test_a_tpm_that_was_reset_under_its_guest_has_capped_pcrs, set_up_2_0),
        TEST(test_a_tpm_1_2_that_was_reset_under_its_guest_has_capped_pcrs, set_up_1_2),
        TEST(test_a_tpm_that_was_not_started_is_left_so, set_up_unstarted),
        TEST(test_failures_last_as_long_as_swtpm_is_away, set_up_2_0),
        TEST(test_another_tpm_is_refused_until_the_guests_is_back, set_up_2_0),
        TEST(test_another_version_is_refused_until_the_guests_is_back, set_up_2_0),
        TEST(test_with_checkpoints_nothing_is_lost, set_up_checkpoint),
        TEST(test_with_checkpoints_nothing_of_a_tpm_1_2_is_lost, set_up_checkpoint_1_2),
        TEST(test_with_checkpoints_a_start_is_a_power_cycle, set_up_checkpoint),
        TEST(test_a_checkpoint_of_an_earlier_run_is_not_resumed, set_up_checkpoint),
        TEST(test_an_orderly_end_leaves_no_checkpoint, set_up_checkpoint),
        TEST(test_a_start_is_preceded_by_an_orderly_end, set_up_2_0),
        TEST(test_destruction_is_an_orderly_end, set_up_2_0),
    };
    g_autofree char *swtpm = g_find_program_in_path("swtpm");

    if (!swtpm) {
        print_message("1..0 # SKIP swtpm is not installed (Debian package swtpm)\n");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
