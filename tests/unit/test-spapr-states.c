/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The states of the tpm-spapr device (hw/tpm/spapr.c): every event in every state, each a test of
 * its own; then the same with a TPM that is not ready, and commands no TPM would take.
 *
 * A state is also a moment: an event may come from another vCPU while the hypervisor copies the
 * command in or the response out, or has just put the answer into the queue. What is looked at:
 * the hypercall's code, every message of the queue, every DMA, what the TPM was asked, whether the
 * guest was blamed, and that the next command works.
 */
#include "made-tests.h"
#include "spapr-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define RESPONSE_SIZE 16u

typedef enum State {
    IDLE,
    COPY_IN,   /* within dma_read */
    EXECUTION, /* the TPM has the command */
    COPY_OUT,  /* within dma_write */
    ANNOUNCED, /* within send_crq: the guest can see the answer already */
    KEPT,      /* the queue was full when the answer came, and no longer is */
    N_STATES
} State;

static const char *const state_names[N_STATES] = { "idle",     "copy_in",   "execution",
                                                   "copy_out", "announced", "kept" };

typedef enum Event {
    INIT,
    INIT_COMPLETE,
    VERSION,
    COMMAND,
    RTCE_SIZE,
    SUSPEND,
    UNKNOWN,
    RESUME,
    RESET_CRQ,
    RESET,
    N_EVENTS
} Event;

static const struct {
    const char *name;
    uint64_t message;
} events[N_EVENTS] = {
    [INIT] = { "init", MESSAGE_INIT },
    [INIT_COMPLETE] = { "init_complete", MESSAGE_INIT_COMPLETE },
    [VERSION] = { "get_version", MESSAGE_VERSION },
    [COMMAND] = { "tpm_command", MESSAGE_COMMAND | ANSWER_LEN(12) | BUFFER },
    [RTCE_SIZE] = { "get_rtce_size", MESSAGE_RTCE_SIZE },
    [SUSPEND] = { "prepare_to_suspend", MESSAGE_SUSPEND },
    [UNKNOWN] = { "unknown_message", 0x8005000000000000u },
    [RESUME] = { "resume_crq", 0 },
    [RESET_CRQ] = { "reset_crq", 0 },
    [RESET] = { "device_reset", 0 },
};

/* What becomes of the command that is under way. */
typedef enum Fate {
    NONE,      /* there is none */
    ANSWERED,  /* the guest gets its response */
    UNSENT,    /* the TPM never sees it */
    CANCELLED, /* the TPM is asked to cancel it, and its response goes nowhere */
    WRITTEN,   /* its response is in memory, and not announced */
} Fate;

/* What else happens. */
#define STARTED 1u /* the TPM is power-cycled */
#define BLAMED  2u
#define TAKEN   4u /* a second command runs */

typedef struct Cell {
    int64_t code;
    uint64_t answer; /* 0: none */
    Fate fate;
    unsigned effects;
} Cell;

#define RTCE_4096 (ANSWER_RTCE_SIZE | ANSWER_LEN(4096))

/* clang-format off */
static const Cell table[N_STATES][N_EVENTS] = {
    [IDLE] = {
        [INIT]          = { SUCCESS, MESSAGE_INIT,          NONE, 0 },
        [INIT_COMPLETE] = { SUCCESS, MESSAGE_INIT_COMPLETE, NONE, 0 },
        [VERSION]       = { SUCCESS, ANSWER_VERSION | 2,    NONE, 0 },
        [COMMAND]       = { SUCCESS, 0,                     NONE, TAKEN },
        [RTCE_SIZE]     = { SUCCESS, RTCE_4096,             NONE, 0 },
        [SUSPEND]       = { SUCCESS, ANSWER_SUSPEND,        NONE, 0 },
        [UNKNOWN]       = { SUCCESS, 0,                     NONE, BLAMED },
        [RESUME]        = { SUCCESS, 0,                     NONE, 0 },
        [RESET_CRQ]     = { SUCCESS, 0,                     NONE, 0 },
        [RESET]         = { SUCCESS, 0,                     NONE, STARTED },
    },
    [COPY_IN] = {
        [INIT]          = { SUCCESS, MESSAGE_INIT,          ANSWERED, 0 },
        [INIT_COMPLETE] = { SUCCESS, MESSAGE_INIT_COMPLETE, ANSWERED, 0 },
        [VERSION]       = { SUCCESS, ANSWER_VERSION | 2,    ANSWERED, 0 },
        [COMMAND]       = { BUSY,    0,                     ANSWERED, 0 },
        [RTCE_SIZE]     = { SUCCESS, RTCE_4096,             ANSWERED, 0 },
        [SUSPEND]       = { SUCCESS, ANSWER_SUSPEND,        ANSWERED, 0 },
        [UNKNOWN]       = { SUCCESS, 0,                     ANSWERED, BLAMED },
        [RESUME]        = { SUCCESS, 0,                     ANSWERED, 0 },
        [RESET_CRQ]     = { SUCCESS, 0,                     UNSENT, 0 },
        [RESET]         = { SUCCESS, 0,                     UNSENT, STARTED },
    },
    [EXECUTION] = {
        [INIT]          = { SUCCESS, MESSAGE_INIT,          ANSWERED, 0 },
        [INIT_COMPLETE] = { SUCCESS, MESSAGE_INIT_COMPLETE, ANSWERED, 0 },
        [VERSION]       = { SUCCESS, ANSWER_VERSION | 2,    ANSWERED, 0 },
        [COMMAND]       = { BUSY,    0,                     ANSWERED, 0 },
        [RTCE_SIZE]     = { SUCCESS, RTCE_4096,             ANSWERED, 0 },
        [SUSPEND]       = { SUCCESS, ANSWER_SUSPEND,        ANSWERED, 0 },
        [UNKNOWN]       = { SUCCESS, 0,                     ANSWERED, BLAMED },
        [RESUME]        = { SUCCESS, 0,                     ANSWERED, 0 },
        [RESET_CRQ]     = { SUCCESS, 0,                     CANCELLED, 0 },
        [RESET]         = { SUCCESS, 0,                     CANCELLED, STARTED },
    },
    [COPY_OUT] = {
        [INIT]          = { SUCCESS, MESSAGE_INIT,          ANSWERED, 0 },
        [INIT_COMPLETE] = { SUCCESS, MESSAGE_INIT_COMPLETE, ANSWERED, 0 },
        [VERSION]       = { SUCCESS, ANSWER_VERSION | 2,    ANSWERED, 0 },
        [COMMAND]       = { BUSY,    0,                     ANSWERED, 0 },
        [RTCE_SIZE]     = { SUCCESS, RTCE_4096,             ANSWERED, 0 },
        [SUSPEND]       = { SUCCESS, ANSWER_SUSPEND,        ANSWERED, 0 },
        [UNKNOWN]       = { SUCCESS, 0,                     ANSWERED, BLAMED },
        [RESUME]        = { SUCCESS, 0,                     ANSWERED, 0 },
        [RESET_CRQ]     = { SUCCESS, 0,                     WRITTEN, 0 },
        [RESET]         = { SUCCESS, 0,                     WRITTEN, STARTED },
    },
    [ANNOUNCED] = {
        [INIT]          = { SUCCESS, MESSAGE_INIT,          ANSWERED, 0 },
        [INIT_COMPLETE] = { SUCCESS, MESSAGE_INIT_COMPLETE, ANSWERED, 0 },
        [VERSION]       = { SUCCESS, ANSWER_VERSION | 2,    ANSWERED, 0 },
        [COMMAND]       = { SUCCESS, 0,                     ANSWERED, TAKEN },
        [RTCE_SIZE]     = { SUCCESS, RTCE_4096,             ANSWERED, 0 },
        [SUSPEND]       = { SUCCESS, ANSWER_SUSPEND,        ANSWERED, 0 },
        [UNKNOWN]       = { SUCCESS, 0,                     ANSWERED, BLAMED },
        [RESUME]        = { SUCCESS, 0,                     ANSWERED, 0 },
        [RESET_CRQ]     = { SUCCESS, 0,                     ANSWERED, 0 },
        [RESET]         = { SUCCESS, 0,                     ANSWERED, STARTED },
    },
    [KEPT] = {
        [INIT]          = { SUCCESS, MESSAGE_INIT,          ANSWERED, 0 },
        [INIT_COMPLETE] = { SUCCESS, MESSAGE_INIT_COMPLETE, ANSWERED, 0 },
        [VERSION]       = { SUCCESS, ANSWER_VERSION | 2,    ANSWERED, 0 },
        [COMMAND]       = { SUCCESS, 0,                     ANSWERED, TAKEN },
        [RTCE_SIZE]     = { SUCCESS, RTCE_4096,             ANSWERED, 0 },
        [SUSPEND]       = { SUCCESS, ANSWER_SUSPEND,        ANSWERED, 0 },
        [UNKNOWN]       = { SUCCESS, 0,                     ANSWERED, BLAMED },
        [RESUME]        = { SUCCESS, 0,                     ANSWERED, 0 },
        [RESET_CRQ]     = { SUCCESS, 0,                     WRITTEN, 0 },
        [RESET]         = { SUCCESS, 0,                     WRITTEN, STARTED },
    },
};
/* clang-format on */

typedef struct Case {
    State state;
    Event event;
} Case;

/* Of the case that runs: a hook is given the machine alone. */
static Event event_now;
static int64_t code_now;

/* A command stands where the last response may be, as a guest does it that has one buffer. */
static void perform(SpaprMachine *machine)
{
    spapr_put(machine, spapr_command_2_0, sizeof(spapr_command_2_0));
    if (event_now == RESUME) {
        tpmdev_device_resume_crq(machine->device);
    } else if (event_now == RESET_CRQ) {
        tpmdev_device_reset_crq(machine->device);
    } else if (event_now == RESET) {
        tpmdev_device_reset(machine->device);
    } else {
        code_now = spapr_send(machine, events[event_now].message);
    }
}

static void start(SpaprMachine *machine)
{
    spapr_start(machine, spapr_command_2_0, sizeof(spapr_command_2_0));
}

/* Let the event happen in this state. */
static void perform_in(SpaprMachine *machine, State state)
{
    switch (state) {
    case IDLE:
        perform(machine);
        break;
    case COPY_IN:
        machine->on_read = perform;
        start(machine);
        break;
    case EXECUTION:
        start(machine);
        perform(machine);
        break;
    case COPY_OUT:
        start(machine);
        machine->on_write = perform;
        fake_backend_answer(machine->tpm);
        break;
    case ANNOUNCED:
        start(machine);
        machine->on_seen = perform;
        fake_backend_answer(machine->tpm);
        break;
    case KEPT:
        start(machine);
        machine->queue_full = true;
        fake_backend_answer(machine->tpm);
        machine->queue_full = false;
        perform(machine);
        break;
    case N_STATES:
        break;
    }
}

#define ANSWER_NOW (ANSWER_COMMAND | ANSWER_LEN(RESPONSE_SIZE) | BUFFER)

/* The queue's messages: what the guest was to see, in its order, and nothing else. */
static void assert_messages(SpaprMachine *machine, State state, const Cell *cell)
{
    uint64_t wanted[2];
    unsigned n = 0;
    bool old_first = state >= ANNOUNCED;

    if (cell->fate == ANSWERED && old_first) {
        wanted[n++] = ANSWER_NOW;
    }
    if (cell->answer) {
        wanted[n++] = cell->answer;
    }
    if (cell->fate == ANSWERED && !old_first) {
        wanted[n++] = ANSWER_NOW;
    }
    assert_int_equal(spapr_messages(machine), n);
    for (unsigned i = 0; i < n; i++) {
        spapr_assert_message(machine, i, wanted[i]);
    }
}

/* What was copied: the command, unless there was none; the response, unless it went nowhere. */
static void assert_copies(SpaprMachine *machine, const Cell *cell)
{
    unsigned n = 0;

    if (cell->fate != NONE) {
        spapr_assert_dma(machine, n++, false, BUFFER, sizeof(spapr_command_2_0));
    }
    if (cell->fate == ANSWERED || cell->fate == WRITTEN) {
        spapr_assert_dma(machine, n++, true, BUFFER, RESPONSE_SIZE);
    }
    if (cell->effects & TAKEN) {
        spapr_assert_dma(machine, n++, false, BUFFER, sizeof(spapr_command_2_0));
    }
    assert_int_equal(machine->dmas, n);
}

static void assert_effects(SpaprMachine *machine, const Cell *cell)
{
    bool sent = cell->fate != NONE && cell->fate != UNSENT;

    assert_int_equal(machine->tpm->submits, sent + !!(cell->effects & TAKEN));
    assert_int_equal(machine->tpm->cancels, cell->fate == CANCELLED);
    assert_int_equal(machine->tpm->starts, 1 + !!(cell->effects & STARTED));
    assert_int_equal(spapr_statistics(machine).guest_errors, !!(cell->effects & BLAMED));
}

/* Whatever happened, a command works now. */
static void assert_works(SpaprMachine *machine)
{
    unsigned messages = spapr_messages(machine);

    if (!machine->tpm->executing) {
        start(machine);
    }
    fake_backend_answer(machine->tpm);
    spapr_assert_last(machine, messages + 1, ANSWER_NOW);
    spapr_assert_buffer(machine, machine->tpm->response, RESPONSE_SIZE, 0xEE);
    spapr_send_ok(machine, MESSAGE_VERSION);
    spapr_assert_last(machine, messages + 2, ANSWER_VERSION | 2);
}

static void run_case(void **state)
{
    const Case *c = *state;
    const Cell *cell = &table[c->state][c->event];
    SpaprMachine *machine = spapr_machine_prepare_told();

    fake_backend_respond_with_size(machine->tpm, RESPONSE_SIZE);
    spapr_machine_plug(machine);
    event_now = c->event;
    code_now = SUCCESS;
    perform_in(machine, c->state);
    if (machine->tpm->executing && !(cell->effects & TAKEN)) {
        fake_backend_answer(machine->tpm);
    }
    assert_int_equal(code_now, cell->code);
    assert_messages(machine, c->state, cell);
    assert_copies(machine, cell);
    assert_effects(machine, cell);
    assert_works(machine);
    spapr_machine_free(machine);
}

/* ---- a TPM that is not ready ---- */

static void test_command_waits_for_the_tpms_start(void **state)
{
    SpaprMachine *machine = spapr_machine_prepare_told();

    (void)state;
    machine->tpm->start_when = FAKE_WHEN_TOLD;
    spapr_machine_plug(machine);
    spapr_send_ok(machine, MESSAGE_INIT);
    spapr_send_ok(machine, MESSAGE_RTCE_SIZE);
    spapr_assert_last(machine, 2, RTCE_4096);
    start(machine);
    assert_int_equal(spapr_send(machine, events[COMMAND].message), BUSY);
    assert_int_equal(machine->tpm->submits, 0);
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->submits, 1);
    fake_backend_answer(machine->tpm);
    spapr_assert_last(machine, 3, ANSWER_COMMAND | ANSWER_LEN(10) | BUFFER);
    spapr_machine_free(machine);
}

static void test_queue_that_begins_anew_forgets_a_command_that_waits_for_the_start(void **state)
{
    SpaprMachine *machine = spapr_machine_prepare_told();

    (void)state;
    machine->tpm->start_when = FAKE_WHEN_TOLD;
    spapr_machine_plug(machine);
    start(machine);
    tpmdev_device_reset_crq(machine->device);
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->submits, 0);
    assert_int_equal(machine->tpm->cancels, 0);
    assert_int_equal(spapr_messages(machine), 0);
    spapr_machine_free(machine);
}

/* Not BUSY: the guest of the new queue has no command under way. */
static void test_first_command_of_a_new_queue_waits_for_the_last_of_the_old_one(void **state)
{
    SpaprMachine *machine = *state;

    start(machine);
    tpmdev_device_reset_crq(machine->device);
    assert_int_equal(machine->tpm->cancels, 1);
    start(machine);
    assert_int_equal(machine->tpm->submits, 1);
    fake_backend_answer(machine->tpm);
    assert_int_equal(spapr_messages(machine), 0);
    assert_int_equal(machine->tpm->submits, 2);
    assert_int_equal(machine->tpm->starts, 1);
    fake_backend_answer(machine->tpm);
    spapr_assert_last(machine, 1, ANSWER_COMMAND | ANSWER_LEN(10) | BUFFER);
}

static void test_reset_while_a_command_is_abandoned_still_power_cycles(void **state)
{
    SpaprMachine *machine = *state;

    start(machine);
    tpmdev_device_reset_crq(machine->device);
    start(machine);
    tpmdev_device_reset(machine->device);
    assert_int_equal(machine->tpm->cancels, 1);
    fake_backend_answer(machine->tpm);
    assert_int_equal(machine->tpm->starts, 2);
    assert_int_equal(machine->tpm->submits, 1);
    assert_int_equal(spapr_messages(machine), 0);
    start(machine);
    assert_int_equal(machine->tpm->submits, 2);
}

static void test_dead_tpm_answers_with_the_failure_of_its_version(void **state)
{
    static const uint8_t failure[10] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0x01, 0x01 };
    SpaprMachine *machine = *state;

    machine->tpm->submit_fails = true;
    start(machine);
    fake_backend_answer(machine->tpm);
    spapr_assert_last(machine, 1, ANSWER_COMMAND | ANSWER_LEN(10) | BUFFER);
    spapr_assert_buffer(machine, failure, sizeof(failure), spapr_command_2_0[10]);
    assert_int_equal(spapr_statistics(machine).failures, 1);
}

static void test_free_with_a_command_under_way_is_silent(void **state)
{
    SpaprMachine *machine = spapr_machine_prepare_told();

    (void)state;
    spapr_machine_plug(machine);
    start(machine);
    spapr_machine_free(machine); /* the fakes would notice a callback */
}

#define TOLD(test) cmocka_unit_test_setup_teardown(test, spapr_setup_told, spapr_teardown)

static const struct CMUnitTest named_tests[] = {
    cmocka_unit_test(test_command_waits_for_the_tpms_start),
    cmocka_unit_test(test_queue_that_begins_anew_forgets_a_command_that_waits_for_the_start),
    TOLD(test_first_command_of_a_new_queue_waits_for_the_last_of_the_old_one),
    TOLD(test_reset_while_a_command_is_abandoned_still_power_cycles),
    TOLD(test_dead_tpm_answers_with_the_failure_of_its_version),
    cmocka_unit_test(test_free_with_a_command_under_way_is_silent),
};

int main(void)
{
    MadeTests *tests = made_tests_new();

    made_tests_add_named(tests, named_tests, G_N_ELEMENTS(named_tests));
    for (State state = IDLE; state < N_STATES; state++) {
        for (Event event = INIT; event < N_EVENTS; event++) {
            made_tests_add(tests, run_case, &(Case){ state, event }, sizeof(Case), "test_%s_in_%s",
                           events[event].name, state_names[state]);
        }
    }
    return made_tests_run(tests, "spapr-states");
}
