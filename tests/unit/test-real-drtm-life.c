/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The D-RTM hash sequence on real TPMs, when something comes between: commands, resets, the end of
 * the device or of swtpm, and more data than the TPM takes in. What each must come to is a PCR 17
 * that vouches for all of the data, or one that vouches for nothing.
 */
#include "command.h"
#include "real-tpm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- the sequence and commands ---- */

/* TPM2_CreatePrimary of an RSA-3072 key takes long, and can be cancelled in libtpms. */
static const uint8_t create_key[67] = {
    0x80, 0x02, 0, 0, 0,    67, 0,    0, 0x01, 0x31, 0x40, 0, 0,    0x01, 0,    0, 0,
    9,    0x40, 0, 0, 9,    0,  0,    0, 0,    0,    0,    4, 0,    0,    0,    0, 0,
    26,   0,    1, 0, 0x0B, 0,  0x04, 0, 0x72, 0,    0,    0, 0x10, 0,    0x10, 0, 3,
    0x0C, 0,    0, 0, 0,    0,  0,    4, 0,    0,    0,    0, 0,    0,    0,    0,
};

static void test_drtm_ends_a_command_of_another_locality(void **state)
{
    RealTPM *tpm = *state;
    g_autofree uint8_t *data = real_data(4000);

    real_command_begin(tpm, 0, create_key, sizeof(create_key));
    real_hash_start(tpm);
    assert_int_equal(real_read(tpm, 0, 0x000, 1) & 0x30, 0x10); /* beenSeized */
    assert_int_equal(real_read(tpm, 0, 0x018, 4), 0xFFFFFFFF);
    real_hash_data(tpm, data, 4000);
    real_hash_end(tpm);
    assert_true(real_hash_wait(tpm));
    real_write(tpm, 0, 0x000, 1, 0x02);
    assert_int_equal(real_read(tpm, 0, 0x018, 1) & 0x10, 0); /* no response to be had */
    real_write(tpm, 0, 0x000, 1, 0x20);
    real_assert_measured(tpm, 17, 0, data, 4000);
}

/* The guest asks for the device and writes a command meanwhile: it is none of the sequence's. */
static void test_drtm_keeps_commands_away_between_its_steps(void **state)
{
    RealTPM *tpm = *state;
    g_autofree uint8_t *data = real_data(2048);

    real_hash_start(tpm);
    for (unsigned i = 0; i < 2; i++) {
        real_hash_data(tpm, data + i * 1024, 1024);
        real_write(tpm, 0, 0x000, 1, 0x08);
        real_write(tpm, 0, 0x000, 1, 0x02);
        real_write(tpm, 0, 0x018, 1, 0x40);
        real_write(tpm, 0, 0x024, 4, 0x00000180);
        real_write(tpm, 0, 0x018, 1, 0x20);
    }
    real_hash_end(tpm);
    assert_true(real_hash_wait(tpm));
    assert_int_equal(real_read(tpm, 0, 0x000, 1) & 0x20, 0x20); /* it had asked for it */
    real_write(tpm, 0, 0x000, 1, 0x20);
    real_assert_measured(tpm, 17, 0, data, 2048);
}

/* ---- resets, and ends ---- */

/* Come to a point of a sequence: 0 before it, then after each thing that is written. */
static bool go_to_point(RealTPM *tpm, unsigned point, const uint8_t *data)
{
    if (point > 0) {
        real_hash_start(tpm);
    }
    if (point > 1) {
        real_hash_data(tpm, data, 10);
    }
    if (point > 2) {
        real_hash_data(tpm, data, 4000);
    }
    if (point > 3) {
        real_hash_end(tpm);
    }
    return point <= 4;
}

static void test_reset_at_any_point_forgets_the_sequence(void **state)
{
    RealTPM *tpm = *state;
    g_autofree uint8_t *data = real_data(4000);

    for (unsigned point = 0; go_to_point(tpm, point, data); point++) {
        tpmdev_device_reset(tpm->device);
        assert_int_equal(real_read(tpm, 4, 0x000, 1) & 0x20, 0);
        real_wait_ready(tpm);
        assert_int_equal(real_startup(tpm), 0);
        real_assert_all(tpm, 17, 0xFF);
        assert_true(real_measure(tpm, data, 100));
        real_assert_measured(tpm, 17, 0, data, 100);
    }
}

static void test_device_freed_at_any_point_leaves_a_good_tpm(void **state)
{
    RealTPM *tpm = *state;
    g_autofree uint8_t *data = real_data(4000);

    for (unsigned point = 0; go_to_point(tpm, point, data); point++) {
        real_tpm_unplug(tpm);
        real_tpm_plug(tpm);
        real_wait_ready(tpm);
        assert_int_equal(real_startup(tpm), 0);
        real_assert_all(tpm, 17, 0xFF);
        assert_true(real_measure(tpm, data, 100));
        real_assert_measured(tpm, 17, 0, data, 100);
    }
}

static void test_swtpm_killed_at_any_point_is_a_failure(void **state)
{
    RealTPM *tpm = *state;
    g_autofree uint8_t *data = real_data(4000);

    for (unsigned point = 0; point < 5; point++) {
        go_to_point(tpm, point, data);
        real_swtpm_stop(tpm); /* so that no more of it is done than is done now */
        real_swtpm_kill(tpm);
        if (point == 0) {
            real_hash_start(tpm);
        }
        real_hash_end(tpm);
        real_hash_wait(tpm);
        assert_int_equal(real_startup(tpm), TPM2_RC_FAILURE);
        real_swtpm_launch(tpm);
        tpmdev_device_reset(tpm->device);
        real_wait_ready(tpm);
        assert_int_equal(real_startup(tpm), 0);
        real_assert_all(tpm, 17, 0xFF);
    }
}

/* ---- more than the TPM can take ---- */

static void write_without_looking(RealTPM *tpm, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        real_write(tpm, 4, 0x024, 1, data[i]);
    }
}

/* What PCR 17 has after a sequence that wrote so much while swtpm stood still. */
static void measure_stopped(RealTPM *tpm, const uint8_t *data, size_t size, uint8_t value[64])
{
    real_swtpm_stop(tpm);
    real_hash_start(tpm);
    write_without_looking(tpm, data, size);
    real_hash_end(tpm);
    real_swtpm_continue(tpm);
    real_hash_wait(tpm);
    real_pcr(tpm, G_CHECKSUM_SHA256, 17, value);
}

static void test_data_beyond_the_burst_count_spoils_the_measurement(void **state)
{
    RealTPM *tpm = *state;
    g_autofree uint8_t *data = real_data(6000);
    uint8_t spoilt[2][64], wanted[64];

    /* swtpm stands still: the burst count is all there is */
    measure_stopped(tpm, data, 4096, spoilt[0]);
    real_assert_measured(tpm, 17, 0, data, 4096);
    assert_int_equal(g_atomic_int_get(&tpm->guest_errors), 0);
    for (unsigned i = 0; i < 2; i++) {
        measure_stopped(tpm, data, 4097, spoilt[i]);
        assert_int_equal(g_atomic_int_get(&tpm->guest_errors), i + 1);
    }
    assert_memory_not_equal(spoilt[0], spoilt[1], 32);
    for (size_t size = 0; size <= 6000; size++) {
        real_extended(G_CHECKSUM_SHA256, 0, data, size, wanted);
        assert_memory_not_equal(spoilt[0], wanted, 32);
        assert_memory_not_equal(spoilt[1], wanted, 32);
    }
    assert_int_equal(real_read(tpm, 0, 0x000, 1) & 1, 0); /* tpmEstablished */
    real_assert_all(tpm, 18, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(libtpms_2_0, test_drtm_ends_a_command_of_another_locality, real_setup_started),
        ON(swtpm_2_0, test_drtm_ends_a_command_of_another_locality, real_setup_started),
        ON_ALL(test_drtm_keeps_commands_away_between_its_steps, real_setup_started),
        ON_LIBTPMS(test_reset_at_any_point_forgets_the_sequence, real_setup_started),
        ON(swtpm_2_0, test_reset_at_any_point_forgets_the_sequence, real_setup_started),
        ON_LIBTPMS(test_device_freed_at_any_point_leaves_a_good_tpm, real_setup_started),
        ON(swtpm_2_0, test_device_freed_at_any_point_leaves_a_good_tpm, real_setup_started),
        ON(swtpm_2_0, test_swtpm_killed_at_any_point_is_a_failure, real_setup_started),
        ON(swtpm_2_0, test_data_beyond_the_burst_count_spoils_the_measurement, real_setup_started),
    };

    if (!real_swtpm_is_installed()) {
        print_message("1..0 # SKIP swtpm is not installed (Debian package swtpm)\n");
        return 0;
    }
    return cmocka_run_group_tests_name("real-drtm-life", tests, NULL, NULL);
}
