/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The D-RTM hash sequence on real TPMs, of libtpms and of swtpm, 1.2 and 2.0: what becomes of
 * PCRs 17 to 22, of PCR 0 before TPM2_Startup, and of tpmEstablished. What a PCR must have is
 * worked out here, from the data alone.
 */
#include "command.h"
#include "real-tpm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- PCRs ---- */

static void test_drtm_measures_into_pcr_17_and_clears_the_others(void **state)
{
    RealTPM *tpm = *state;

    real_assert_all(tpm, 17, 0xFF);
    assert_true(real_measure(tpm, (const uint8_t *)"abc", 3));
    real_assert_measured(tpm, 17, 0, (const uint8_t *)"abc", 3);
    real_assert_all(tpm, 18, 0);
    assert_int_equal(g_atomic_int_get(&tpm->guest_errors), 0);
    assert_int_equal(g_atomic_int_get(&tpm->backend_errors), 0);
}

static void test_drtm_measures_data_of_any_size(void **state)
{
    static const size_t sizes[] = { 0, 1, 64, 1023, 1024, 1025, 4096, 4097, 65536 };
    RealTPM *tpm = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autofree uint8_t *data = real_data(sizes[i]);

        assert_true(real_measure(tpm, data, sizes[i]));
        real_assert_measured(tpm, 17, 0, data, sizes[i]);
    }
}

static void test_drtm_begun_anew_measures_the_second_alone(void **state)
{
    RealTPM *tpm = *state;
    g_autofree uint8_t *data = real_data(3000);

    real_hash_start(tpm);
    real_hash_data(tpm, data, 3000);
    assert_true(real_measure(tpm, (const uint8_t *)"second", 6));
    real_assert_measured(tpm, 17, 0, (const uint8_t *)"second", 6);
}

static void test_drtm_measures_anew_each_time(void **state)
{
    RealTPM *tpm = *state;

    for (unsigned i = 0; i < 3; i++) {
        uint8_t data[5] = { 1, 2, 3, 4, (uint8_t)i };

        assert_true(real_measure(tpm, data, sizeof(data)));
        real_assert_measured(tpm, 17, 0, data, sizeof(data));
    }
}

/* ---- before TPM2_Startup ---- */

static void test_h_crtm_measures_into_pcr_0(void **state)
{
    RealTPM *tpm = *state;
    g_autofree uint8_t *data = real_data(5000);

    assert_true(real_measure(tpm, data, 5000));
    assert_int_equal(real_startup(tpm), 0);
    real_assert_measured(tpm, 0, 4, data, 5000);
    real_assert_all(tpm, 17, 0xFF);
    /* and a D-RTM after it leaves PCR 0 alone */
    assert_true(real_measure(tpm, (const uint8_t *)"abc", 3));
    real_assert_measured(tpm, 0, 4, data, 5000);
    real_assert_measured(tpm, 17, 0, (const uint8_t *)"abc", 3);
}

static void test_h_crtm_begun_anew_measures_the_second_alone(void **state)
{
    RealTPM *tpm = *state;
    g_autofree uint8_t *data = real_data(2000);

    real_hash_start(tpm);
    real_hash_data(tpm, data, 2000);
    assert_true(real_measure(tpm, (const uint8_t *)"second", 6));
    assert_int_equal(real_startup(tpm), 0);
    real_assert_measured(tpm, 0, 4, (const uint8_t *)"second", 6);
}

/* TPM 1.2 has no such thing. Nobody may take the TPM for one that has measured. */
static void test_h_crtm_fails_a_tpm_1_2_until_it_is_reset(void **state)
{
    RealTPM *tpm = *state;

    assert_false(real_measure(tpm, (const uint8_t *)"abc", 3));
    assert_int_equal(real_startup(tpm), TPM12_FAIL);
    assert_true(g_atomic_int_get(&tpm->backend_errors) > 0);
    tpmdev_device_reset(tpm->device);
    real_wait_ready(tpm);
    assert_int_equal(real_startup(tpm), 0);
    real_assert_all(tpm, 17, 0xFF);
}

/* ---- tpmEstablished: bit 0 of TPM_ACCESS, inverted ---- */

/* All localities show the same; the flag may change while they are looked at, and then once more.
 */
static bool is_established(RealTPM *tpm)
{
    gint64 deadline = g_get_monotonic_time() + REAL_DEADLINE_S * G_TIME_SPAN_SECOND;
    unsigned set;

    do {
        assert_true(g_get_monotonic_time() < deadline);
        set = 0;
        for (unsigned locality = 0; locality < 5; locality++) {
            set += real_read(tpm, locality, 0x000, 1) & 1;
        }
    } while (set != 0 && set != 5);
    return set == 0;
}

static void reset_established(RealTPM *tpm, unsigned locality)
{
    real_write(tpm, locality, 0x000, 1, 0x02);
    real_write(tpm, locality, 0x018, 4, 0x02000000);
    real_write(tpm, locality, 0x000, 1, 0x20);
    /* A command, and the answer to what came before it is here. */
    assert_int_equal(real_pcr_reset(tpm, 0, 16), 0);
}

static void test_drtm_sets_established_and_locality_3_alone_resets_it(void **state)
{
    RealTPM *tpm = *state;
    gint64 deadline = g_get_monotonic_time() + REAL_DEADLINE_S * G_TIME_SPAN_SECOND;

    assert_false(is_established(tpm));
    assert_true(real_measure(tpm, (const uint8_t *)"abc", 3));
    assert_true(is_established(tpm));
    for (unsigned locality = 0; locality < 3; locality++) {
        reset_established(tpm, locality);
        assert_true(is_established(tpm));
    }
    reset_established(tpm, 4); /* not the processor: locality 4 has no TPM_STS to write */
    assert_true(is_established(tpm));
    reset_established(tpm, 3);
    while (is_established(tpm)) {
        assert_true(g_get_monotonic_time() < deadline);
        g_thread_yield();
    }
    real_assert_measured(tpm, 17, 0, (const uint8_t *)"abc", 3);
    assert_true(real_measure(tpm, (const uint8_t *)"abc", 3));
    assert_true(is_established(tpm));
}

/* As TPM 1.2 has it: a command, TSC_ResetEstablishmentBit, and the flag outlives a reset. */
static void test_drtm_sets_established_of_a_tpm_1_2_for_good(void **state)
{
    RealTPM *tpm = *state;

    assert_false(is_established(tpm));
    assert_true(real_measure(tpm, (const uint8_t *)"abc", 3));
    assert_true(is_established(tpm));
    tpmdev_device_reset(tpm->device);
    real_wait_ready(tpm);
    assert_int_equal(real_startup(tpm), 0);
    assert_true(is_established(tpm));
}

/* ---- who may reset which PCR: the TPM's rules, and the device tells it the locality ---- */

static void test_pcrs_of_a_drtm_are_reset_as_the_tpm_allows(void **state)
{
    /* Of PCRs 17 to 22, a bit for each locality that a guest has; 4 may reset them all. */
    static const uint8_t allowed[] = { 0, 0, 0, 1 << 2, 1 << 2, 1 << 2 };
    RealTPM *tpm = *state;
    uint32_t refusal =
        tpm->version == TPM_VERSION_1_2 ? 0x33 : 0x907; /* TPM_NOTLOCAL, _RC_LOCALITY */

    assert_true(real_measure(tpm, (const uint8_t *)"abc", 3));
    for (unsigned pcr = 17; pcr <= 22; pcr++) {
        for (unsigned locality = 0; locality < 4; locality++) {
            bool may = allowed[pcr - 17] & 1u << locality;

            assert_int_equal(real_pcr_reset(tpm, locality, pcr), may ? 0 : refusal);
        }
    }
    real_assert_measured(tpm, 17, 0, (const uint8_t *)"abc", 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ALL(test_drtm_measures_into_pcr_17_and_clears_the_others, real_setup_started),
        ON_ALL(test_drtm_measures_data_of_any_size, real_setup_started),
        ON_ALL(test_drtm_begun_anew_measures_the_second_alone, real_setup_started),
        ON_ALL(test_drtm_measures_anew_each_time, real_setup_started),
        ON(libtpms_2_0, test_h_crtm_measures_into_pcr_0, real_setup),
        ON(swtpm_2_0, test_h_crtm_measures_into_pcr_0, real_setup),
        ON(libtpms_2_0, test_h_crtm_begun_anew_measures_the_second_alone, real_setup),
        ON(swtpm_2_0, test_h_crtm_begun_anew_measures_the_second_alone, real_setup),
        ON(libtpms_1_2, test_h_crtm_fails_a_tpm_1_2_until_it_is_reset, real_setup),
        ON(swtpm_1_2, test_h_crtm_fails_a_tpm_1_2_until_it_is_reset, real_setup),
        ON(libtpms_2_0, test_drtm_sets_established_and_locality_3_alone_resets_it,
           real_setup_started),
        ON(swtpm_2_0, test_drtm_sets_established_and_locality_3_alone_resets_it,
           real_setup_started),
        ON(libtpms_1_2, test_drtm_sets_established_of_a_tpm_1_2_for_good, real_setup_started),
        ON(swtpm_1_2, test_drtm_sets_established_of_a_tpm_1_2_for_good, real_setup_started),
        ON_ALL(test_pcrs_of_a_drtm_are_reset_as_the_tpm_allows, real_setup_started),
    };

    if (!real_swtpm_is_installed()) {
        print_message("1..0 # SKIP swtpm is not installed (Debian package swtpm)\n");
        return 0;
    }
    return cmocka_run_group_tests_name("real-drtm", tests, NULL, NULL);
}
