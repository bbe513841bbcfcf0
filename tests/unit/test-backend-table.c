/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The table of states and calls in <tpmdev/backend.h>, cell by cell: each test is a cell, named
 * after its call and its state.
 */
#include "backend-fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

typedef enum State {
    STOPPED,
    STARTING,
    READY,
    EXECUTING,
    OPEN,
    HASHING,
    MOVING_OUT, /* MOVING, by a save */
    MOVING_IN,  /* MOVING, by a load */
    FAILED
} State;
typedef enum Call {
    START,
    SUBMIT,
    HASH_START,
    HASH_DATA,
    HASH_END,
    CANCEL,
    STARTED,
    COMPLETE,
    COMPLETE_WITH_ERROR,
    HASHED,
    FAIL,
    RECOVER,
    SAVE,
    LOAD,
    SAVED,
    LOADED,
    REFUSED
} Call;

/* What a call must do in a state. */
typedef struct Cell {
    State state;
    Call call;
    const char *news; /* what the client is told */
    char class_call;  /* s start, x submit, h hash, c cancel, v save, l load, or 0 */
    State next;
    bool refused;
} Cell;

/* In the order of the table in the header. */
static const Cell table[] = {
    { STOPPED, START, "", 's', STARTING, false },
    { STARTING, START, "", 0, STARTING, true },
    { READY, START, "", 's', STARTING, false },
    { EXECUTING, START, "", 0, EXECUTING, true },
    { OPEN, START, "", 's', STARTING, false },
    { HASHING, START, "", 0, HASHING, true },
    { MOVING_OUT, START, "", 0, MOVING_OUT, true },
    { MOVING_IN, START, "", 0, MOVING_IN, true },
    { FAILED, START, "", 's', STARTING, false },

    { STOPPED, SUBMIT, "C", 0, STOPPED, false },
    { STARTING, SUBMIT, "", 0, STARTING, true },
    { READY, SUBMIT, "", 'x', EXECUTING, false },
    { EXECUTING, SUBMIT, "", 0, EXECUTING, true },
    { OPEN, SUBMIT, "", 0, OPEN, true },
    { HASHING, SUBMIT, "", 0, HASHING, true },
    { MOVING_OUT, SUBMIT, "", 0, MOVING_OUT, true },
    { MOVING_IN, SUBMIT, "", 0, MOVING_IN, true },
    { FAILED, SUBMIT, "C", 0, FAILED, false },

    { STOPPED, HASH_START, "h", 0, STOPPED, false },
    { STARTING, HASH_START, "", 0, STARTING, true },
    { READY, HASH_START, "", 'h', HASHING, false },
    { EXECUTING, HASH_START, "", 0, EXECUTING, true },
    { OPEN, HASH_START, "", 0, OPEN, true },
    { HASHING, HASH_START, "", 0, HASHING, true },
    { MOVING_OUT, HASH_START, "", 0, MOVING_OUT, true },
    { MOVING_IN, HASH_START, "", 0, MOVING_IN, true },
    { FAILED, HASH_START, "h", 0, FAILED, false },

    { STOPPED, HASH_DATA, "h", 0, STOPPED, false },
    { STARTING, HASH_DATA, "", 0, STARTING, true },
    { READY, HASH_DATA, "", 0, READY, true },
    { EXECUTING, HASH_DATA, "", 0, EXECUTING, true },
    { OPEN, HASH_DATA, "", 'h', HASHING, false },
    { HASHING, HASH_DATA, "", 0, HASHING, true },
    { MOVING_OUT, HASH_DATA, "", 0, MOVING_OUT, true },
    { MOVING_IN, HASH_DATA, "", 0, MOVING_IN, true },
    { FAILED, HASH_DATA, "h", 0, FAILED, false },

    { STOPPED, HASH_END, "h", 0, STOPPED, false },
    { STARTING, HASH_END, "", 0, STARTING, true },
    { READY, HASH_END, "", 0, READY, true },
    { EXECUTING, HASH_END, "", 0, EXECUTING, true },
    { OPEN, HASH_END, "", 'h', HASHING, false },
    { HASHING, HASH_END, "", 0, HASHING, true },
    { MOVING_OUT, HASH_END, "", 0, MOVING_OUT, true },
    { MOVING_IN, HASH_END, "", 0, MOVING_IN, true },
    { FAILED, HASH_END, "h", 0, FAILED, false },

    { STOPPED, CANCEL, "", 0, STOPPED, false },
    { STARTING, CANCEL, "", 0, STARTING, false },
    { READY, CANCEL, "", 0, READY, false },
    { EXECUTING, CANCEL, "", 'c', EXECUTING, false },
    { OPEN, CANCEL, "", 0, OPEN, false },
    { HASHING, CANCEL, "", 0, HASHING, false },
    { MOVING_OUT, CANCEL, "", 0, MOVING_OUT, false },
    { MOVING_IN, CANCEL, "", 0, MOVING_IN, false },
    { FAILED, CANCEL, "", 0, FAILED, false },

    { STOPPED, STARTED, "", 0, STOPPED, false },
    { STARTING, STARTED, "S", 0, READY, false },
    { READY, STARTED, "", 0, READY, false },
    { EXECUTING, STARTED, "", 0, EXECUTING, false },
    { OPEN, STARTED, "", 0, OPEN, false },
    { HASHING, STARTED, "", 0, HASHING, false },
    { MOVING_OUT, STARTED, "", 0, MOVING_OUT, false },
    { MOVING_IN, STARTED, "", 0, MOVING_IN, false },
    { FAILED, STARTED, "", 0, FAILED, false },

    { STOPPED, COMPLETE, "", 0, STOPPED, false },
    { STARTING, COMPLETE, "", 0, STARTING, false },
    { READY, COMPLETE, "", 0, READY, false },
    { EXECUTING, COMPLETE, "C", 0, READY, false },
    { OPEN, COMPLETE, "", 0, OPEN, false },
    { HASHING, COMPLETE, "", 0, HASHING, false },
    { MOVING_OUT, COMPLETE, "", 0, MOVING_OUT, false },
    { MOVING_IN, COMPLETE, "", 0, MOVING_IN, false },
    { FAILED, COMPLETE, "", 0, FAILED, false },

    { STOPPED, COMPLETE_WITH_ERROR, "", 0, STOPPED, false },
    { STARTING, COMPLETE_WITH_ERROR, "", 0, STARTING, false },
    { READY, COMPLETE_WITH_ERROR, "", 0, READY, false },
    { EXECUTING, COMPLETE_WITH_ERROR, "C", 0, READY, false },
    { OPEN, COMPLETE_WITH_ERROR, "", 0, OPEN, false },
    { HASHING, COMPLETE_WITH_ERROR, "", 0, HASHING, false },
    { MOVING_OUT, COMPLETE_WITH_ERROR, "", 0, MOVING_OUT, false },
    { MOVING_IN, COMPLETE_WITH_ERROR, "", 0, MOVING_IN, false },
    { FAILED, COMPLETE_WITH_ERROR, "", 0, FAILED, false },

    { STOPPED, HASHED, "", 0, STOPPED, false },
    { STARTING, HASHED, "", 0, STARTING, false },
    { READY, HASHED, "", 0, READY, false },
    { EXECUTING, HASHED, "", 0, EXECUTING, false },
    { OPEN, HASHED, "", 0, OPEN, false },
    { HASHING, HASHED, "H", 0, OPEN, false },
    { MOVING_OUT, HASHED, "", 0, MOVING_OUT, false },
    { MOVING_IN, HASHED, "", 0, MOVING_IN, false },
    { FAILED, HASHED, "", 0, FAILED, false },

    { STOPPED, FAIL, "F", 0, FAILED, false },
    { STARTING, FAIL, "s", 0, FAILED, false },
    { READY, FAIL, "F", 0, FAILED, false },
    { EXECUTING, FAIL, "C", 0, FAILED, false },
    { OPEN, FAIL, "F", 0, FAILED, false },
    { HASHING, FAIL, "h", 0, FAILED, false },
    { MOVING_OUT, FAIL, "v", 0, FAILED, false },
    { MOVING_IN, FAIL, "v", 0, FAILED, false },
    { FAILED, FAIL, "", 0, FAILED, false },

    { STOPPED, RECOVER, "", 0, STOPPED, false },
    { STARTING, RECOVER, "", 0, STARTING, false },
    { READY, RECOVER, "", 0, READY, false },
    { EXECUTING, RECOVER, "", 0, EXECUTING, false },
    { OPEN, RECOVER, "", 0, OPEN, false },
    { HASHING, RECOVER, "", 0, HASHING, false },
    { MOVING_OUT, RECOVER, "", 0, MOVING_OUT, false },
    { MOVING_IN, RECOVER, "", 0, MOVING_IN, false },
    { FAILED, RECOVER, "R", 0, READY, false },

    { STOPPED, SAVE, "v", 0, STOPPED, false },
    { STARTING, SAVE, "", 0, STARTING, true },
    { READY, SAVE, "", 'v', MOVING_OUT, false },
    { EXECUTING, SAVE, "", 0, EXECUTING, true },
    { OPEN, SAVE, "", 'v', MOVING_OUT, false },
    { HASHING, SAVE, "", 0, HASHING, true },
    { MOVING_OUT, SAVE, "", 0, MOVING_OUT, true },
    { MOVING_IN, SAVE, "", 0, MOVING_IN, true },
    { FAILED, SAVE, "v", 0, FAILED, false },

    { STOPPED, LOAD, "", 'l', MOVING_IN, false },
    { STARTING, LOAD, "", 0, STARTING, true },
    { READY, LOAD, "", 'l', MOVING_IN, false },
    { EXECUTING, LOAD, "", 0, EXECUTING, true },
    { OPEN, LOAD, "", 'l', MOVING_IN, false },
    { HASHING, LOAD, "", 0, HASHING, true },
    { MOVING_OUT, LOAD, "", 0, MOVING_OUT, true },
    { MOVING_IN, LOAD, "", 0, MOVING_IN, true },
    { FAILED, LOAD, "", 'l', MOVING_IN, false },

    { STOPPED, SAVED, "", 0, STOPPED, false },
    { STARTING, SAVED, "", 0, STARTING, false },
    { READY, SAVED, "", 0, READY, false },
    { EXECUTING, SAVED, "", 0, EXECUTING, false },
    { OPEN, SAVED, "", 0, OPEN, false },
    { HASHING, SAVED, "", 0, HASHING, false },
    { MOVING_OUT, SAVED, "V", 0, READY, false },
    { MOVING_IN, SAVED, "", 0, MOVING_IN, false },
    { FAILED, SAVED, "", 0, FAILED, false },

    { STOPPED, LOADED, "", 0, STOPPED, false },
    { STARTING, LOADED, "", 0, STARTING, false },
    { READY, LOADED, "", 0, READY, false },
    { EXECUTING, LOADED, "", 0, EXECUTING, false },
    { OPEN, LOADED, "", 0, OPEN, false },
    { HASHING, LOADED, "", 0, HASHING, false },
    { MOVING_OUT, LOADED, "", 0, MOVING_OUT, false },
    { MOVING_IN, LOADED, "L", 0, READY, false },
    { FAILED, LOADED, "", 0, FAILED, false },

    { STOPPED, REFUSED, "", 0, STOPPED, false },
    { STARTING, REFUSED, "", 0, STARTING, false },
    { READY, REFUSED, "", 0, READY, false },
    { EXECUTING, REFUSED, "", 0, EXECUTING, false },
    { OPEN, REFUSED, "", 0, OPEN, false },
    { HASHING, REFUSED, "", 0, HASHING, false },
    { MOVING_OUT, REFUSED, "v", 0, READY, false },
    { MOVING_IN, REFUSED, "v", 0, READY, false },
    { FAILED, REFUSED, "", 0, FAILED, false },
};

static const char *const state_names[] = { "stopped",    "starting",  "ready",
                                           "executing",  "open",      "hashing",
                                           "moving_out", "moving_in", "failed" };
static const char *const call_names[] = { "start",     "submit",   "hash_start",
                                          "hash_data", "hash_end", "cancel",
                                          "started",   "complete", "complete_with_error",
                                          "hashed",    "failed",   "recovered",
                                          "save",      "load",     "saved",
                                          "loaded",    "refused" };

static void complete_with_error(BackendFixture *fixture)
{
    GError *error = g_error_new(TPMDEV_ERROR, TPM_ERROR_IO, "out of order");

    tpmdev_backend_complete_with_error(fixture->backend, error);
    g_error_free(error);
}

static void make_call(BackendFixture *fixture, Call call)
{
    switch (call) {
    case START:
        tpm_backend_start(fixture->backend, FIXTURE_BUFFER_SIZE);
        break;
    case SUBMIT:
        fixture_submit(fixture);
        break;
    case HASH_START:
        fixture_hash(fixture, TPM_HASH_START);
        break;
    case HASH_DATA:
        fixture_hash(fixture, TPM_HASH_DATA);
        break;
    case HASH_END:
        fixture_hash(fixture, TPM_HASH_END);
        break;
    case CANCEL:
        tpm_backend_cancel(fixture->backend);
        break;
    case STARTED:
        tpmdev_backend_started(fixture->backend);
        break;
    case COMPLETE:
        fixture_complete(fixture, 20);
        break;
    case COMPLETE_WITH_ERROR:
        complete_with_error(fixture);
        break;
    case HASHED:
        tpmdev_backend_hashed(fixture->backend);
        break;
    case FAIL:
        fixture_fail(fixture, "out of order");
        break;
    case RECOVER:
        tpmdev_backend_recovered(fixture->backend);
        break;
    case SAVE:
        tpm_backend_save_state(fixture->backend, fixture->in_sequence);
        break;
    case LOAD:
        tpm_backend_load_state(fixture->backend, FIXTURE_BUFFER_SIZE, &fixture_state_of_tpm, false,
                               false);
        break;
    case SAVED:
        tpmdev_backend_saved(fixture->backend, &fixture_state_of_tpm);
        break;
    case LOADED:
        tpmdev_backend_loaded(fixture->backend);
        break;
    case REFUSED:
        fixture_refuse(fixture, "not now");
        break;
    }
}

static void bring_to(BackendFixture *fixture, State state)
{
    fixture_bind(fixture);
    switch (state) {
    case STOPPED:
        break;
    case STARTING:
        make_call(fixture, START);
        break;
    case READY:
    case EXECUTING:
    case OPEN:
    case HASHING:
    case MOVING_OUT:
    case MOVING_IN:
        make_call(fixture, START);
        make_call(fixture, STARTED);
        if (state == EXECUTING) {
            make_call(fixture, SUBMIT);
        } else if (state == MOVING_OUT) {
            make_call(fixture, SAVE);
        } else if (state == MOVING_IN) {
            make_call(fixture, LOAD);
        } else if (state != READY) {
            make_call(fixture, HASH_START);
        }
        if (state == OPEN) {
            make_call(fixture, HASHED);
        }
        break;
    case FAILED:
        make_call(fixture, FAIL);
        break;
    }
    fixture_forget(fixture);
}

/* The device side's own mistakes end the program, as an assertion: run them in a child. */
static bool is_refused(BackendFixture *fixture, Call call)
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO);
        close(STDOUT_FILENO);
        signal(SIGABRT, SIG_DFL);
        make_call(fixture, call);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

/* The state, by what the calls do that are not dropped in one state only. */
static State find_state(BackendFixture *fixture)
{
    fixture_forget(fixture);
    make_call(fixture, STARTED);
    if (strcmp(fixture->client.news, "S") == 0) {
        return STARTING;
    }
    make_call(fixture, COMPLETE);
    if (strcmp(fixture->client.news, "C") == 0) {
        return EXECUTING;
    }
    make_call(fixture, HASHED);
    if (strcmp(fixture->client.news, "H") == 0) {
        return HASHING;
    }
    make_call(fixture, SAVED);
    if (strcmp(fixture->client.news, "V") == 0) {
        return MOVING_OUT;
    }
    make_call(fixture, LOADED);
    if (strcmp(fixture->client.news, "L") == 0) {
        return MOVING_IN;
    }
    if (is_refused(fixture, SUBMIT)) {
        return OPEN;
    }
    make_call(fixture, SUBMIT);
    if (fixture->klass.submits > 0) {
        return READY;
    }
    fixture_forget(fixture);
    make_call(fixture, FAIL);
    return strcmp(fixture->client.news, "F") == 0 ? STOPPED : FAILED;
}

static void test_cell(void **state)
{
    BackendFixture *fixture;
    const Cell *cell = *state;
    void *fixture_state;

    fixture_setup(&fixture_state);
    fixture = fixture_state;
    bring_to(fixture, cell->state);
    if (cell->refused) {
        assert_true(is_refused(fixture, cell->call));
    } else {
        make_call(fixture, cell->call);
        assert_news(fixture, cell->news);
        assert_int_equal(fixture->klass.starts, cell->class_call == 's');
        assert_int_equal(fixture->klass.submits, cell->class_call == 'x');
        assert_int_equal(fixture->klass.hashes, cell->class_call == 'h');
        assert_int_equal(fixture->klass.cancels, cell->class_call == 'c');
        assert_int_equal(fixture->klass.saves, cell->class_call == 'v');
        assert_int_equal(fixture->klass.loads, cell->class_call == 'l');
    }
    assert_string_equal(state_names[find_state(fixture)], state_names[cell->next]);
    fixture_teardown(&fixture_state);
}

int main(void)
{
    struct CMUnitTest tests[G_N_ELEMENTS(table)] = { 0 };
    char names[G_N_ELEMENTS(table)][64];

    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        g_snprintf(names[i], sizeof(names[i]), "test_%s_while_%s", call_names[table[i].call],
                   state_names[table[i].state]);
        tests[i].name = names[i];
        tests[i].test_func = test_cell;
        tests[i].initial_state = (void *)&table[i];
    }
    return cmocka_run_group_tests_name("backend-table", tests, NULL, NULL);
}
