/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state of a TPM in one real swtpm that is loaded into another, or is refused there: what the
 * guest had is there, and what was refused has changed nothing.
 */
#include "command.h"
#include "real-commands.h"
#include "swtpm-process.h"
#include "swtpm-protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static uint32_t run(Swtpm *swtpm, const char *command)
{
    g_autoptr(GByteArray) bytes = bytes_of_hex(command);

    assert_int_equal(tpm_header_len(bytes->data), bytes->len);
    return backend_client_command(&swtpm->client, bytes->data, bytes->len);
}

static GBytes *ask(Swtpm *swtpm, const char *command)
{
    uint32_t code = run(swtpm, command);

    if (code != 0) {
        fail_msg("%s: %x", command, code);
    }
    return g_bytes_new(swtpm->client.response, swtpm->client.response_size);
}

/* ---- TPMs ---- */

#define SOME_KEY  "000102030405060708090a0b0c0d0e0f"
#define OTHER_KEY "100102030405060708090a0b0c0d0e0f"

static Swtpm *new_target(bool is_1_2, const char *key)
{
    Swtpm *swtpm = swtpm_new();

    if (key) {
        g_autofree char *path = g_build_filename(swtpm->directory, "key", NULL);

        assert_true(g_file_set_contents(path, key, -1, NULL));
        swtpm->key = g_strdup_printf("file=%s,format=hex,mode=aes-cbc", path);
    }
    swtpm_launch(swtpm, is_1_2);
    swtpm_attach(swtpm);
    swtpm_bind(swtpm);
    return swtpm;
}

static Swtpm *new_started(bool is_1_2, const char *key)
{
    Swtpm *swtpm = new_target(is_1_2, key);

    swtpm_start(swtpm);
    assert_int_equal(run(swtpm, is_1_2 ? STARTUP_1_2 : STARTUP_2_0), 0);
    return swtpm;
}

static void end(Swtpm *swtpm)
{
    g_autofree char *key = (char *)swtpm->key;

    swtpm_free(swtpm);
}

static TPMState *save(Swtpm *swtpm)
{
    TPMState *state = backend_client_save(&swtpm->client);

    if (!state) {
        fail_msg("%s", swtpm->client.move_error);
    }
    return state;
}

static bool try_load(Swtpm *swtpm, const TPMState *state)
{
    return backend_client_load(&swtpm->client, TPM_BUFFER_SIZE_COMMON, state);
}

static void load(Swtpm *swtpm, const TPMState *state)
{
    if (!try_load(swtpm, state)) {
        fail_msg("%s", swtpm->client.move_error);
    }
}

static void assert_refused(Swtpm *swtpm, const TPMState *state, const char *words)
{
    assert_false(try_load(swtpm, state));
    if (!strstr(swtpm->client.move_error, words)) {
        fail_msg("'%s' has no '%s'", swtpm->client.move_error, words);
    }
}

static void assert_same(GBytes *a, Swtpm *swtpm, const char *command)
{
    g_autoptr(GBytes) b = ask(swtpm, command);

    if (!g_bytes_equal(a, b)) {
        fail_msg("%s is answered in another way", command);
    }
}

/* ---- what moves ---- */

static const char *const questions[] = { PCRS_2_0, IDENTITY_2_0, READ_PUBLIC, POLICY_DIGEST,
                                         NV_READ };

static void make_history(Swtpm *swtpm)
{
    static const char *const history[] = { EXTEND_2_0,   CREATE_PRIMARY, START_SESSION,
                                           DEFINE_SPACE, NV_WRITE,       POLICY_LOCALITY };

    for (unsigned i = 0; i < G_N_ELEMENTS(history); i++) {
        g_bytes_unref(ask(swtpm, history[i]));
    }
}

static void move_and_compare(Swtpm *source, Swtpm *target)
{
    GBytes *before[G_N_ELEMENTS(questions)];

    make_history(source);
    for (unsigned i = 0; i < G_N_ELEMENTS(questions); i++) {
        before[i] = ask(source, questions[i]);
    }
    g_autofree TPMState *state = save(source);

    load(target, state);
    assert_int_equal(run(target, STARTUP_2_0), TPM2_RC_INITIALIZE);
    for (unsigned i = 0; i < G_N_ELEMENTS(questions); i++) {
        assert_same(before[i], target, questions[i]);
        g_bytes_unref(before[i]);
    }
}

static void test_a_tpm_2_0_goes_on_elsewhere(void **state)
{
    Swtpm *source = new_started(false, NULL);
    Swtpm *target = new_target(false, NULL);

    (void)state;
    move_and_compare(source, target);
    end(source);
    end(target);
}

static void test_a_tpm_that_ran_becomes_another(void **state)
{
    Swtpm *source = new_started(false, NULL);
    Swtpm *target = new_started(false, NULL);

    (void)state;
    assert_int_equal(run(target, EXTEND_2_0), 0);
    move_and_compare(source, target);
    end(source);
    end(target);
}

static void test_a_tpm_1_2_goes_on_elsewhere(void **state)
{
    Swtpm *source = new_started(true, NULL);
    Swtpm *target = new_target(true, NULL);

    (void)state;
    assert_int_equal(run(source, EXTEND_1_2), 0);
    g_autoptr(GBytes) pcr = ask(source, PCR_1_2);
    g_autofree TPMState *saved = save(source);

    load(target, saved);
    assert_int_equal(run(target, STARTUP_1_2), TPM12_INVALID_POSTINIT);
    assert_same(pcr, target, PCR_1_2);
    assert_non_null(strstr(saved->writer, " (TPM 1.2 revision 116)"));
    end(source);
    end(target);
}

/*
 * Moved twice between TPM_SaveState and what its guest does next, be that to go on, as here, or to
 * go to sleep: what was saved is there still.
 */
static void test_a_tpm_1_2_that_saved_its_state_moves(void **state)
{
    Swtpm *source = new_started(true, NULL);
    Swtpm *target = new_started(true, NULL);
    Swtpm *last = new_target(true, NULL);

    (void)state;
    assert_int_equal(run(source, EXTEND_1_2), 0);
    g_autoptr(GBytes) pcr = ask(source, PCR_1_2);
    g_autoptr(GBytes) session = ask(source, OIAP_1_2);
    g_autoptr(GBytes) sessions = ask(source, LOADED_SESSIONS_1_2);
    assert_int_equal(run(source, SAVE_STATE_1_2), 0);
    g_autofree TPMState *saved = save(source);

    assert_true(saved->saved.size > 0);
    load(target, saved);
    g_autofree TPMState *saved_again = save(target);

    assert_int_equal(saved_again->saved.size, saved->saved.size);
    assert_memory_equal(saved_again->saved.data, saved->saved.data, saved->saved.size);
    assert_int_equal(saved_again->volatile_state.size, saved->volatile_state.size);
    load(last, saved_again);
    assert_same(pcr, last, PCR_1_2);
    assert_same(sessions, last, LOADED_SESSIONS_1_2);
    tpm_backend_resume(target->backend);
    swtpm_start(target); /* its guest slept */
    assert_int_equal(run(target, STARTUP_STATE_1_2), 0);
    assert_same(pcr, target, PCR_1_2);
    end(source);
    end(target);
    end(last);
}

static void test_a_tpm_before_its_startup_moves(void **state)
{
    Swtpm *source = new_target(false, NULL);
    Swtpm *target = new_target(false, NULL);

    (void)state;
    swtpm_start(source);
    g_autofree TPMState *saved = save(source);

    load(target, saved);
    assert_int_equal(run(target, PCRS_2_0), TPM2_RC_INITIALIZE);
    assert_int_equal(run(target, STARTUP_2_0), 0);
    end(source);
    end(target);
}

static void test_a_snapshot_is_loaded_where_it_was_taken(void **state)
{
    Swtpm *tpm = new_started(false, NULL);

    (void)state;
    assert_int_equal(run(tpm, EXTEND_2_0), 0);
    g_autoptr(GBytes) pcrs = ask(tpm, PCRS_2_0);
    g_autofree TPMState *saved = save(tpm);

    tpm_backend_resume(tpm->backend);
    assert_same(pcrs, tpm, PCRS_2_0);
    assert_int_equal(run(tpm, EXTEND_2_0), 0);
    load(tpm, saved);
    assert_same(pcrs, tpm, PCRS_2_0);
    end(tpm);
}

static void wait_recovered(Swtpm *swtpm)
{
    backend_client_wait_recovered(&swtpm->client, 1);
}

/* What the backend knows of the TPM is right: it knows it again, and has it checkpointed. */
static void test_a_loaded_tpm_comes_back_after_its_swtpm_died(void **state)
{
    Swtpm *source = new_started(false, NULL);
    Swtpm *target = swtpm_new();

    (void)state;
    target->config.checkpoint = true;
    swtpm_launch(target, false);
    swtpm_attach(target);
    swtpm_bind(target);
    make_history(source);
    g_autoptr(GBytes) pcrs = ask(source, PCRS_2_0);
    g_autofree TPMState *saved = save(source);

    load(target, saved);
    swtpm_kill(target);
    backend_client_wait_failed(&target->client, 1);
    swtpm_launch(target, false);
    wait_recovered(target);
    assert_same(pcrs, target, PCRS_2_0);
    end(source);
    end(target);
}

/* To hand out the volatile part deletes the last checkpoint. */
static void test_a_saved_tpm_has_its_checkpoint_still(void **state)
{
    Swtpm *tpm = swtpm_new();

    (void)state;
    tpm->config.checkpoint = true;
    swtpm_launch(tpm, false);
    swtpm_attach(tpm);
    swtpm_bind(tpm);
    swtpm_start(tpm);
    assert_int_equal(run(tpm, STARTUP_2_0), 0);
    assert_int_equal(run(tpm, EXTEND_2_0), 0);
    g_autoptr(GBytes) pcrs = ask(tpm, PCRS_2_0);
    g_autofree TPMState *saved = save(tpm);

    tpm_backend_resume(tpm->backend);
    swtpm_kill(tpm);
    backend_client_wait_failed(&tpm->client, 1);
    swtpm_launch(tpm, false);
    wait_recovered(tpm);
    assert_same(pcrs, tpm, PCRS_2_0);
    end(tpm);
}

/* ---- encryption ---- */

static bool has_bytes(const TPMStateBlob *blob, const char *wanted)
{
    g_autoptr(GByteArray) bytes = bytes_of_hex(wanted);

    return memmem(blob->data, blob->size, bytes->data, bytes->len) != NULL;
}

static void test_an_encrypted_state_stays_so(void **state)
{
    Swtpm *source = new_started(false, SOME_KEY);
    Swtpm *target = new_target(false, SOME_KEY);

    (void)state;
    make_history(source);
    g_autoptr(GBytes) nv = ask(source, NV_READ);
    g_autofree TPMState *saved = save(source);

    assert_non_null(strstr(saved->writer, " (TPM 2.0 revision "));
    assert_int_equal(saved->permanent.flags, SWTPM_BLOB_FLAG_ENCRYPTED);
    assert_false(has_bytes(&saved->permanent, "ab364723"));
    load(target, saved);
    assert_same(nv, target, NV_READ);
    end(source);
    end(target);
}

/* ---- refusals ---- */

/* A target that never ran, and starts its own TPM; and one that ran, and goes on with it. */
static void refused_by_both(const TPMState *state, const char *key, const char *words)
{
    Swtpm *fresh = new_target(false, key);
    Swtpm *running = new_started(false, key);

    make_history(running);
    g_autoptr(GBytes) pcrs = ask(running, PCRS_2_0);
    g_autoptr(GBytes) identity = ask(running, IDENTITY_2_0);
    g_autoptr(GBytes) session = ask(running, POLICY_DIGEST);

    assert_refused(running, state, words);
    wait_recovered(running);
    assert_same(identity, running, IDENTITY_2_0);
    assert_same(pcrs, running, PCRS_2_0);
    assert_same(session, running, POLICY_DIGEST);
    end(running);

    swtpm_start(fresh);
    assert_int_equal(run(fresh, STARTUP_2_0), 0);
    g_autoptr(GBytes) before = ask(fresh, IDENTITY_2_0);

    end(fresh);
    fresh = new_target(false, key);
    assert_refused(fresh, state, words);
    swtpm_start(fresh);
    assert_int_equal(run(fresh, STARTUP_2_0), 0);
    g_autoptr(GBytes) after = ask(fresh, IDENTITY_2_0);
    assert_false(g_bytes_equal(before, after));   /* each has one of its own */
    assert_int_equal(run(fresh, NV_READ), 0x28B); /* and not the one that was refused */
    end(fresh);
}

static void test_the_state_of_another_key_is_refused(void **state)
{
    Swtpm *source = new_started(false, SOME_KEY);

    (void)state;
    make_history(source);
    g_autofree TPMState *saved = save(source);

    refused_by_both(saved, NULL, "it is encrypted and this swtpm has no key");
    refused_by_both(saved, OTHER_KEY, "cannot be decrypted with this swtpm's key");
    end(source);
}

/* swtpm has taken the permanent part, and refuses the other itself: libtpms has it still. */
static void test_parts_of_two_tpms_are_refused(void **state)
{
    Swtpm *source = new_started(false, NULL);
    Swtpm *other = new_started(false, NULL);
    Swtpm *locked = new_started(false, SOME_KEY);

    (void)state;
    make_history(source);
    g_autofree TPMState *saved = save(source);
    g_autofree TPMState *saved_other = save(other);
    g_autofree TPMState *saved_locked = save(locked);
    TPMState mixed = *saved;

    mixed.volatile_state = saved_other->volatile_state;
    refused_by_both(&mixed, NULL, "that of another TPM");
    mixed.volatile_state = saved_locked->volatile_state;
    refused_by_both(&mixed, NULL, "it is encrypted and this swtpm has no key");
    end(source);
    end(other);
    end(locked);
}

/* What its permanent part says is the least form to be known with it. */
static void test_a_state_of_a_later_libtpms_is_refused(void **state)
{
    Swtpm *source = new_started(false, NULL);

    (void)state;
    make_history(source);
    g_autofree TPMState *saved = save(source);

    ((uint8_t *)saved->permanent.data)[22 + 7] = 9;
    refused_by_both(saved, NULL, " wrote in form 3, readable from form 9 on; it is swtpm ");
    refused_by_both(saved, NULL,
                    "SET_STATEBLOB of the part permanent with result 2Eh (it was written by a "
                    "later version, or has a profile that this one does not know");
    end(source);
}

static void test_a_damaged_volatile_part_is_refused(void **state)
{
    Swtpm *source = new_started(false, NULL);

    (void)state;
    make_history(source);
    g_autofree TPMState *saved = save(source);

    ((uint8_t *)saved->volatile_state.data)[saved->volatile_state.size / 2] ^= 1;
    refused_by_both(saved, NULL,
                    "did not take the TPM's state, which swtpm before 0.8 (TPM 2.0 revision ");
    end(source);
}

/* One of the library's own is started anew for it. */
static void test_a_spawned_swtpm_survives_a_refusal(void **state)
{
    Swtpm *source = new_started(false, SOME_KEY);
    Swtpm *target = swtpm_new();

    (void)state;
    target->config.spawn = true;
    target->config.directory = target->directory;
    swtpm_attach(target);
    swtpm_bind(target);
    g_autofree TPMState *saved = save(source);

    assert_refused(target, saved, "it is encrypted and this swtpm has no key");
    swtpm_start(target);
    assert_int_equal(run(target, STARTUP_2_0), 0);
    make_history(target);
    g_autoptr(GBytes) pcrs = ask(target, PCRS_2_0);
    g_autoptr(GBytes) digest = ask(target, POLICY_DIGEST);

    assert_refused(target, saved, "it is encrypted and this swtpm has no key");
    wait_recovered(target);
    assert_same(pcrs, target, PCRS_2_0);
    assert_same(digest, target, POLICY_DIGEST);
    end(source);
    end(target);
}

/* There is no second connection through a descriptor, and it is kept. */
static void test_a_descriptor_survives_a_refusal(void **state)
{
    Swtpm *source = new_started(false, SOME_KEY);
    Swtpm *target = swtpm_new();

    (void)state;
    swtpm_launch(target, false);
    target->config.fds[0] = swtpm_connect(target->path);
    target->config.n_fds = 1;
    swtpm_attach(target);
    swtpm_bind(target);
    g_autofree TPMState *saved = save(source);
    TPMState mixed = *saved;

    assert_refused(target, saved, "it is encrypted and this swtpm has no key");
    swtpm_start(target);
    assert_int_equal(run(target, STARTUP_2_0), 0);
    g_autofree TPMState *before = save(target);

    tpm_backend_resume(target->backend);
    make_history(target);
    g_autoptr(GBytes) pcrs = ask(target, PCRS_2_0);
    g_autoptr(GBytes) digest = ask(target, POLICY_DIGEST);
    g_autoptr(GBytes) nv = ask(target, NV_READ);

    mixed.permanent = before->permanent; /* is taken, and has no NV */
    assert_refused(target, &mixed, "part volatile with result Dh");
    wait_recovered(target);
    assert_same(pcrs, target, PCRS_2_0);
    assert_same(digest, target, POLICY_DIGEST);
    assert_same(nv, target, NV_READ);
    end(source);
    end(target);
}

/* Nothing is sent: the TPM that is there goes on without a failure. */
static void refused_unsent(Swtpm *target, const TPMState *state, const char *words)
{
    g_autoptr(GBytes) pcrs = ask(target, PCRS_2_0);

    assert_refused(target, state, words);
    assert_int_equal(target->client.failed, 0);
    assert_same(pcrs, target, PCRS_2_0);
}

static void test_what_can_be_no_state_is_not_sent(void **state)
{
    /* A header and an outer part, with nothing in it. */
    static const uint8_t nothing[22] = { 2, 1, 0, 10, 0, 4, 0, 0, 0, 22, 0, 4, 0, 0, 0, 6, 0, 1 };
    Swtpm *tpm = new_started(false, NULL);
    Swtpm *old = new_started(true, NULL);

    (void)state;
    assert_int_equal(run(tpm, EXTEND_2_0), 0);
    g_autofree TPMState *saved = save(tpm);
    g_autofree TPMState *saved_old = save(old);
    TPMState bad = *saved;

    tpm_backend_resume(tpm->backend);
    bad.permanent = (TPMStateBlob){ 0 };
    refused_unsent(tpm, &bad, "whose seeds everybody knows");
    bad.permanent = (TPMStateBlob){ nothing, sizeof(nothing), 0 };
    refused_unsent(tpm, &bad, "permanent part has nothing in it");
    bad.permanent = (TPMStateBlob){ nothing, 10, 0 };
    refused_unsent(tpm, &bad, "permanent part has another size than its header says");
    bad.permanent = (TPMStateBlob){ nothing, 9, 0 };
    refused_unsent(tpm, &bad, "permanent part is cut short");
    g_autofree uint8_t *later = g_memdup2(saved->permanent.data, saved->permanent.size);

    later[0] = 3; /* swtpm 0.7.1 would find nothing in it, and take it for none */
    bad.permanent = (TPMStateBlob){ later, saved->permanent.size, 0 };
    refused_unsent(tpm, &bad, "permanent part is not of version 2");
    bad.permanent = saved->permanent;
    bad.volatile_state = (TPMStateBlob){ 0 };
    refused_unsent(tpm, &bad, "would lose its PCRs");
    bad.volatile_state = saved->volatile_state;
    bad.volatile_state.flags |= 1u << 31;
    refused_unsent(tpm, &bad, "flags that this library does not know");
    refused_unsent(tpm, saved_old, "is a TPM 2.0; the saved state is that of a TPM 1.2");
    end(tpm);
    end(old);
}

static void test_a_deleted_permanent_file_is_found_out(void **state)
{
    Swtpm *tpm = new_started(false, NULL);
    g_autofree char *file = g_build_filename(tpm->directory, "tpm2-00.permall", NULL);

    (void)state;
    assert_int_equal(remove(file), 0);
    assert_null(backend_client_save(&tpm->client));
    assert_non_null(strstr(tpm->client.move_error, "did not hand out the TPM's permanent state"));
    assert_int_equal(run(tpm, PCRS_2_0), 0);
    end(tpm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_tpm_2_0_goes_on_elsewhere),
        cmocka_unit_test(test_a_tpm_that_ran_becomes_another),
        cmocka_unit_test(test_a_tpm_1_2_goes_on_elsewhere),
        cmocka_unit_test(test_a_tpm_1_2_that_saved_its_state_moves),
        cmocka_unit_test(test_a_tpm_before_its_startup_moves),
        cmocka_unit_test(test_a_snapshot_is_loaded_where_it_was_taken),
        cmocka_unit_test(test_a_loaded_tpm_comes_back_after_its_swtpm_died),
        cmocka_unit_test(test_a_saved_tpm_has_its_checkpoint_still),
        cmocka_unit_test(test_an_encrypted_state_stays_so),
        cmocka_unit_test(test_the_state_of_another_key_is_refused),
        cmocka_unit_test(test_parts_of_two_tpms_are_refused),
        cmocka_unit_test(test_a_state_of_a_later_libtpms_is_refused),
        cmocka_unit_test(test_a_damaged_volatile_part_is_refused),
        cmocka_unit_test(test_a_spawned_swtpm_survives_a_refusal),
        cmocka_unit_test(test_a_descriptor_survives_a_refusal),
        cmocka_unit_test(test_what_can_be_no_state_is_not_sent),
        cmocka_unit_test(test_a_deleted_permanent_file_is_found_out),
    };

    return cmocka_run_group_tests_name("real-state", tests, NULL, NULL);
}
