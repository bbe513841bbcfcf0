/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An `emulator` backend with a swtpm that the library starts, and a client. For tests; everything
 * here fails the test when it does not go as said.
 */
#ifndef SPAWN_FIXTURE_H
#define SPAWN_FIXTURE_H

#include "swtpm-process.h"

/* Make the backend, bind a client, start the TPM; and let go of it all. */
void spawn_begin(Swtpm *swtpm);
void spawn_end(Swtpm *swtpm);

/* A path in its directory; free it with g_free(). */
char *spawn_below(const Swtpm *swtpm, const char *name);

/* A program of the shell, to be run instead of swtpm. */
void spawn_script(const char *path, const char *text);

/* text, which may be NULL, has part in it. */
void spawn_assert_contains(const char *text, const char *part);

/* ---- for cmocka: *state becomes a Swtpm, whose config says spawn=on and where ---- */

int spawn_set_up_bare(void **state);
int spawn_set_up(void **state);

/* Whatever a test does, no process and no thread is left. */
int spawn_tear_down(void **state);

#define SPAWN(name)      cmocka_unit_test_setup_teardown(name, spawn_set_up, spawn_tear_down)
#define SPAWN_BARE(name) cmocka_unit_test_setup_teardown(name, spawn_set_up_bare, spawn_tear_down)

#endif /* SPAWN_FIXTURE_H */
