/* SPDX-License-Identifier: BSD-3-Clause */
/* A directory of TPM state, for the tests of backends/tpm/state-directory.c. */
#ifndef STATE_FIXTURE_H
#define STATE_FIXTURE_H

#include "state-directory.h"

typedef struct StateFixture {
    char *path;
    TPMStateAccess access; /* what it is opened with; its keys are unreferenced at the end */
    TPMStateDirectory *directory;
    GError *error;
} StateFixture;

/* For cmocka: an empty directory; and nothing of it, also when the test has failed. */
int state_set_up(void **state);
int state_tear_down(void **state);

/* A path in the directory; free it with g_free(). */
char *state_file_path(const StateFixture *fixture, const char *name);

/* Take it into use, with error set in the fixture when that is refused; or fail the test. */
void open_directory_as(StateFixture *fixture, TPMVersion version);
void open_directory_2_0(StateFixture *fixture);

/* Store a text as state; see that it is what is loaded. */
void store_text(StateFixture *fixture, TPMStateKind kind, const char *text);
void assert_loads(StateFixture *fixture, TPMStateKind kind, const char *text);

/* Is this the fixture's error, where DIR stands for the directory's path? */
void assert_state_error(StateFixture *fixture, TPMError code, const char *expected);

/* The bytes of a file, and making a file of bytes. */
size_t get_state_file(StateFixture *fixture, const char *name, uint8_t **content);
void set_state_file(StateFixture *fixture, const char *name, const void *content, size_t size);

/* Names in the directory that begin so, but for that of the lock. */
unsigned count_state_files(StateFixture *fixture, const char *prefix);

#define STATE_TEST(name) cmocka_unit_test_setup_teardown(name, state_set_up, state_tear_down)

#endif /* STATE_FIXTURE_H */
