/* SPDX-License-Identifier: BSD-3-Clause */
/* A swtpm that the library starts; see spawn-fixture.h. */
#include "spawn-fixture.h"

#include "children.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

void spawn_begin(Swtpm *swtpm)
{
    swtpm_attach(swtpm);
    swtpm_bind(swtpm);
    swtpm_start(swtpm);
}

void spawn_end(Swtpm *swtpm)
{
    swtpm_unbind(swtpm);
    swtpm->backend = tpmdev_backend_unref(swtpm->backend);
}

char *spawn_below(const Swtpm *swtpm, const char *name)
{
    return g_build_filename(swtpm->directory, name, NULL);
}

void spawn_script(const char *path, const char *text)
{
    assert_true(g_file_set_contents_full(path, text, -1, G_FILE_SET_CONTENTS_NONE, 0700, NULL));
}

void spawn_assert_contains(const char *text, const char *part)
{
    if (!text || !strstr(text, part)) {
        fail_msg("'%s' has no '%s'", text ? text : "(nothing)", part);
    }
}

int spawn_set_up_bare(void **state)
{
    Swtpm *swtpm = swtpm_new();
    g_autofree char *cwd = g_get_current_dir();
    char *directory = g_canonicalize_filename(swtpm->directory, cwd);

    g_free(swtpm->directory);
    swtpm->directory = directory;
    *state = swtpm;
    swtpm->config.spawn = true;
    swtpm->config.directory = directory;
    return 0;
}

int spawn_set_up(void **state)
{
    spawn_set_up_bare(state);
    spawn_begin(*state);
    return 0;
}

int spawn_tear_down(void **state)
{
    pid_t pid;

    swtpm_free(*state);
    if (children_count(&pid) > 0) {
        fail_msg("process %d is left", (int)pid);
    }
    assert_int_equal(children_count_threads("tpmdev-swtpm"), 0);
    return 0;
}
