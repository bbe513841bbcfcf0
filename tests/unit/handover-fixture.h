/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TPM of libtpms whose directory changes hands: the source lets go of it when it is saved, the
 * destination takes it when it loads, and only one of the two goes on. libtpms is one to a process,
 * so of two that there are at once one is played by what it does to the directory.
 *
 * A program that uses this wraps g_usleep(), libtpms_engine_hurry(), tpm_state_directory_let_go()
 * and tpm_state_directory_store(). Used by the tests of the source, of the destination, and of what
 * there is besides.
 */
#ifndef HANDOVER_FIXTURE_H
#define HANDOVER_FIXTURE_H

#include "libtpms-fixture.h"
#include "state-directory.h"

/* ---- a TPM that waits for its directory ---- */

/*
 * From now on: when it has to wait for the first time, `other` is closed, if there is one. With
 * `for_hurry` it waits until it is to hurry or end_waiting(), and then once more.
 */
void begin_waiting(TPMStateDirectory *other, bool for_hurry);
unsigned count_waits(void);
void wait_until_it_waits(void);

/* The directory is free, or is to be tried for once more. */
void end_waiting(void);

/* ---- a directory on a disk that is sick ---- */

/* Letting go of it fails, or no longer; storing the saved part fails once. */
void fail_to_let_go(bool fails);
void fail_to_store_saved_once(void);

/* For cmocka, after fixture_set_up(); also when the test has failed. */
int handover_tear_down(void **state);

#define HANDOVER_TEST(name)                                                                        \
    cmocka_unit_test_setup_teardown(name, fixture_set_up, handover_tear_down)

/* ---- a backend ---- */

/* Make one in the fixture's directory with this configuration; a source, started; a destination. */
void make_with(Fixture *fixture, TPMLibtpmsConfig config);
void make_source(Fixture *fixture);
void make_destination(Fixture *fixture);

/* A TPM that was saved by a source that is gone. */
TPMState *saved_by_another(Fixture *fixture);

void resume(Fixture *fixture);

void assert_load_refused(Fixture *fixture, const TPMState *state, TPMError code, const char *why);

/* It has failed, for this reason, and answers so. */
void assert_failed(Fixture *fixture, const char *why);

/* ---- the directory ---- */

void assert_file(const Fixture *fixture, const char *name, GBytes *wanted);
void assert_not_file(const Fixture *fixture, const char *name, GBytes *unwanted);

/* Another user of it, or NULL while there is one. */
TPMStateDirectory *another(Fixture *fixture);

void assert_ours(Fixture *fixture);
void assert_anybodys(Fixture *fixture);

/* Another goes on with the TPM there is; the first that it does is to store what there is. */
void another_goes_on(Fixture *fixture);

#endif /* HANDOVER_FIXTURE_H */
