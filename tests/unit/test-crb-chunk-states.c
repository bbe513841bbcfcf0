/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The states of the CRB device with chunk=on (hw/tpm/crb-chunk.c): every event in every state,
 * each a test of its own. Beside the states of test-crb-states.c there are those in which a
 * command is put together, and a response handed out, piece by piece.
 *
 * What is looked at: CTRL_STS, CTRL_START, the buffer, what the TPM was asked, whether the guest
 * was blamed; and then, by what crbRspRetry and another command do, what the device still held.
 */
#include "crb-driver.h"
#include "made-tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LARGE    5000u /* bytes of a command and a response that need two pieces */
#define SMALL    16u   /* of a response that needs one */
#define REST     (LARGE - BUFFER_BYTES)
#define WRITTEN  0x5A /* what the event buffer_write leaves */
#define WRITE_AT 11

typedef enum State {
    IDLE,      /* a small command is in the buffer */
    READY,     /* nothing is */
    RECEPTION, /* the first piece of a large command */
    ASSEMBLY,  /* and the device has taken it */
    EXECUTION, /* of the whole */
    COMPLETION,
    HANDOUT, /* the first piece of a large response is there */
    HANDED,  /* and now the last one */
    N_STATES
} State;

static const char *const state_names[N_STATES] = { "idle",     "ready",     "reception",
                                                   "assembly", "execution", "completion",
                                                   "hand_out", "handed_out" };

typedef enum Event {
    CMD_READY,
    GO_IDLE,
    START,
    NEXT,
    RETRY,
    CANCEL,
    WRITE,
    RELINQUISH,
    RESET,
    N_TABLE,
    /* Several bits of CTRL_START: the first of start, nextChunk and crbRspRetry counts. */
    START_3 = N_TABLE,
    START_5,
    START_6,
    START_7,
    START_F9,
    /* And those that are none of them. */
    START_0,
    START_8,
    START_100,
    N_EVENTS
} Event;

static const struct {
    const char *name;
    uint32_t reg;
    uint32_t value;
    Event as; /* what it is the same as; N_EVENTS: as nothing at all */
} events[N_EVENTS] = {
    [CMD_READY] = { "cmd_ready", REG_CTRL_REQ, 1, CMD_READY },
    [GO_IDLE] = { "go_idle", REG_CTRL_REQ, 2, GO_IDLE },
    [START] = { "start", REG_CTRL_START, 1, START },
    [NEXT] = { "next_chunk", REG_CTRL_START, 4, NEXT },
    [RETRY] = { "response_retry", REG_CTRL_START, 2, RETRY },
    [CANCEL] = { "cancel", REG_CTRL_CANCEL, 1, CANCEL },
    [WRITE] = { "buffer_write", REG_BUFFER + WRITE_AT, WRITTEN, WRITE },
    [RELINQUISH] = { "relinquish", REG_LOC_CTRL, 2, RELINQUISH },
    [RESET] = { "device_reset", 0, 0, RESET },
    [START_3] = { "start_with_response_retry", REG_CTRL_START, 3, START },
    [START_5] = { "start_with_next_chunk", REG_CTRL_START, 5, START },
    [START_6] = { "next_chunk_with_response_retry", REG_CTRL_START, 6, NEXT },
    [START_7] = { "all_three", REG_CTRL_START, 7, START },
    [START_F9] = { "start_with_reserved_bits", REG_CTRL_START, 0xFFFFFFF9, START },
    [START_0] = { "ctrl_start_0", REG_CTRL_START, 0, N_EVENTS },
    [START_8] = { "ctrl_start_8", REG_CTRL_START, 8, N_EVENTS },
    [START_100] = { "ctrl_start_100", REG_CTRL_START, 0x100, N_EVENTS },
};

/* What is in the buffer. */
typedef enum Content {
    EMPTY,
    COMMAND,  /* the small command */
    PIECE,    /* the first piece of the large one */
    LAST,     /* the last one, and behind it what is left of the first */
    RESPONSE, /* the small response */
    PIECE_1,  /* the first piece of the large one */
    PIECE_2,
    REJECTED,     /* TPM_RC_COMMAND_SIZE */
    REJECTED_TAG, /* TPM_RC_VALUE */
} Content;

/* What the device holds behind it. */
typedef enum Memory { NOTHING, PART, ANSWER } Memory;

/* What else happens: calls of the TPM, and the guest being blamed. */
#define ASKED   1u
#define STOPPED 2u
#define STARTED 4u
#define BLAMED  8u

typedef struct Cell {
    bool idle;    /* CTRL_STS.tpmIdle */
    bool running; /* CTRL_START */
    Content content;
    Memory memory; /* where the TPM has a command: once it has answered */
    unsigned effects;
} Cell;

/* As a state is found. */
static const Cell states[N_STATES] = {
    [IDLE] = { true, false, COMMAND, NOTHING, 0 },
    [READY] = { false, false, EMPTY, NOTHING, 0 },
    [RECEPTION] = { false, false, PIECE, NOTHING, 0 },
    [ASSEMBLY] = { false, false, PIECE, PART, 0 },
    [EXECUTION] = { false, true, LAST, ANSWER, 0 },
    [COMPLETION] = { false, false, RESPONSE, ANSWER, 0 },
    [HANDOUT] = { false, false, PIECE_1, ANSWER, 0 },
    [HANDED] = { false, false, PIECE_2, ANSWER, 0 },
};

/* clang-format off */
static const Cell table[N_STATES][N_TABLE] = {
    [IDLE] = {
        [CMD_READY]  = { false, false, COMMAND, NOTHING, 0 },
        [GO_IDLE]    = { true, false, COMMAND, NOTHING, 0 },
        [START]      = { true, true, COMMAND, ANSWER, ASKED },
        [NEXT]       = { true, false, COMMAND, PART, 0 },
        [RETRY]      = { true, false, COMMAND, NOTHING, 0 },
        [CANCEL]     = { true, false, COMMAND, NOTHING, 0 },
        [WRITE]      = { true, false, COMMAND, NOTHING, 0 },
        [RELINQUISH] = { true, false, COMMAND, NOTHING, 0 },
        [RESET]      = { true, false, EMPTY, NOTHING, STARTED },
    },
    [READY] = {
        [CMD_READY]  = { false, false, EMPTY, NOTHING, 0 },
        [GO_IDLE]    = { true, false, EMPTY, NOTHING, 0 },
        [START]      = { false, false, REJECTED, ANSWER, BLAMED },
        [NEXT]       = { false, false, EMPTY, PART, 0 },
        [RETRY]      = { false, false, EMPTY, NOTHING, 0 },
        [CANCEL]     = { false, false, EMPTY, NOTHING, 0 },
        [WRITE]      = { false, false, EMPTY, NOTHING, 0 },
        [RELINQUISH] = { false, false, EMPTY, NOTHING, 0 },
        [RESET]      = { true, false, EMPTY, NOTHING, STARTED },
    },
    [RECEPTION] = {
        [CMD_READY]  = { false, false, PIECE, NOTHING, 0 },
        [GO_IDLE]    = { true, false, PIECE, NOTHING, 0 },
        [START]      = { false, false, REJECTED, ANSWER, BLAMED },
        [NEXT]       = { false, false, PIECE, PART, 0 },
        [RETRY]      = { false, false, PIECE, NOTHING, 0 },
        [CANCEL]     = { false, false, PIECE, NOTHING, 0 },
        [WRITE]      = { false, false, PIECE, NOTHING, 0 },
        [RELINQUISH] = { false, false, PIECE, NOTHING, 0 },
        [RESET]      = { true, false, EMPTY, NOTHING, STARTED },
    },
    [ASSEMBLY] = {
        [CMD_READY]  = { false, false, PIECE, NOTHING, 0 },
        [GO_IDLE]    = { true, false, PIECE, NOTHING, 0 },
        [START]      = { false, true, PIECE, ANSWER, ASKED },
        [NEXT]       = { false, false, PIECE, PART, 0 },
        [RETRY]      = { false, false, PIECE, PART, 0 },
        [CANCEL]     = { false, false, PIECE, NOTHING, 0 },
        [WRITE]      = { false, false, PIECE, PART, 0 },
        [RELINQUISH] = { false, false, PIECE, NOTHING, 0 },
        [RESET]      = { true, false, EMPTY, NOTHING, STARTED },
    },
    [EXECUTION] = {
        [CMD_READY]  = { false, true, LAST, ANSWER, 0 },
        [GO_IDLE]    = { true, true, LAST, ANSWER, 0 },
        [START]      = { false, true, LAST, ANSWER, 0 },
        [NEXT]       = { false, true, LAST, ANSWER, 0 },
        [RETRY]      = { false, true, LAST, ANSWER, 0 },
        [CANCEL]     = { false, true, LAST, ANSWER, STOPPED },
        [WRITE]      = { false, true, LAST, ANSWER, 0 },
        [RELINQUISH] = { false, true, LAST, ANSWER, 0 },
        [RESET]      = { true, false, EMPTY, NOTHING, STOPPED | STARTED },
    },
    [COMPLETION] = {
        [CMD_READY]  = { false, false, RESPONSE, NOTHING, 0 },
        [GO_IDLE]    = { true, false, RESPONSE, NOTHING, 0 },
        [START]      = { false, true, RESPONSE, ANSWER, ASKED },
        [NEXT]       = { false, false, RESPONSE, PART, 0 },
        [RETRY]      = { false, false, RESPONSE, ANSWER, 0 },
        [CANCEL]     = { false, false, RESPONSE, NOTHING, 0 },
        [WRITE]      = { false, false, RESPONSE, ANSWER, 0 },
        [RELINQUISH] = { false, false, RESPONSE, NOTHING, 0 },
        [RESET]      = { true, false, EMPTY, NOTHING, STARTED },
    },
    [HANDOUT] = {
        [CMD_READY]  = { false, false, PIECE_1, NOTHING, 0 },
        [GO_IDLE]    = { true, false, PIECE_1, NOTHING, 0 },
        [START]      = { false, false, REJECTED, ANSWER, BLAMED },
        [NEXT]       = { false, false, PIECE_2, ANSWER, 0 },
        [RETRY]      = { false, false, PIECE_1, ANSWER, 0 },
        [CANCEL]     = { false, false, PIECE_1, NOTHING, 0 },
        [WRITE]      = { false, false, PIECE_1, ANSWER, 0 },
        [RELINQUISH] = { false, false, PIECE_1, NOTHING, 0 },
        [RESET]      = { true, false, EMPTY, NOTHING, STARTED },
    },
    [HANDED] = {
        [CMD_READY]  = { false, false, PIECE_2, NOTHING, 0 },
        [GO_IDLE]    = { true, false, PIECE_2, NOTHING, 0 },
        [START]      = { false, false, REJECTED_TAG, ANSWER, BLAMED },
        [NEXT]       = { false, false, PIECE_2, PART, 0 },
        [RETRY]      = { false, false, PIECE_1, ANSWER, 0 },
        [CANCEL]     = { false, false, PIECE_2, NOTHING, 0 },
        [WRITE]      = { false, false, PIECE_2, ANSWER, 0 },
        [RELINQUISH] = { false, false, PIECE_2, NOTHING, 0 },
        [RESET]      = { true, false, EMPTY, NOTHING, STARTED },
    },
};
/* clang-format on */

typedef struct Case {
    State state;
    Event event;
} Case;

static uint8_t large[LARGE];

static void control(TISMachine *machine, uint32_t value)
{
    tis_write(machine, 0, REG_CTRL_START, 4, value);
}

static void bring_to(TISMachine *machine, State state)
{
    crb_request(machine, 0);
    fake_backend_respond_with_size(machine->tpm, state >= HANDOUT ? LARGE : SMALL);
    if (state == IDLE) {
        crb_put(machine, 0, command_2_0, sizeof(command_2_0));
        return;
    }
    tis_write(machine, 0, REG_CTRL_REQ, 4, REQ_CMD_READY);
    if (state >= RECEPTION) {
        crb_put(machine, 0, large, BUFFER_BYTES);
    }
    if (state >= ASSEMBLY) {
        control(machine, START_NEXT);
    }
    if (state >= EXECUTION) {
        crb_start(machine, 0, large + BUFFER_BYTES, REST);
        assert_true(fake_backend_has_command(machine->tpm, large, LARGE));
    }
    if (state >= COMPLETION) {
        fake_backend_answer(machine->tpm);
    }
    if (state == HANDED) {
        control(machine, START_NEXT);
    }
}

static void perform(TISMachine *machine, Event event)
{
    if (event == RESET) {
        tpmdev_device_reset(machine->device);
    } else {
        unsigned width = event == WRITE ? 1 : 4;

        tis_write(machine, 0, events[event].reg, width, events[event].value);
    }
}

/* What the buffer is to hold; returns of how many bytes, zeros behind them. */
static size_t make_content(const TISMachine *machine, Content content, uint8_t *bytes)
{
    static const uint8_t tag[10] = { 0x80, 0x01, 0, 0, 0, 10, 0, 0, 0, 0x84 };
    const uint8_t *response = machine->tpm->response;
    const uint8_t *source = NULL;
    size_t size = 0;

    switch (content) {
    case EMPTY:
        break;
    case COMMAND:
        source = command_2_0, size = sizeof(command_2_0);
        break;
    case PIECE:
    case LAST:
        source = large, size = BUFFER_BYTES;
        break;
    case RESPONSE:
        source = response, size = SMALL;
        break;
    case PIECE_1:
        source = response, size = BUFFER_BYTES;
        break;
    case PIECE_2:
        source = response + BUFFER_BYTES, size = REST;
        break;
    case REJECTED:
        source = command_size_2_0, size = sizeof(command_size_2_0);
        break;
    case REJECTED_TAG:
        source = tag, size = sizeof(tag);
        break;
    }
    memset(bytes, 0, BUFFER_BYTES);
    if (size) {
        memcpy(bytes, source, size);
    }
    if (content == LAST) {
        memcpy(bytes, large + BUFFER_BYTES, REST);
    }
    return BUFFER_BYTES;
}

static void assert_cell(TISMachine *machine, const Cell *cell, bool written)
{
    uint8_t bytes[BUFFER_BYTES];
    size_t size = make_content(machine, cell->content, bytes);

    if (written) {
        bytes[WRITE_AT] = WRITTEN;
    }
    assert_int_equal(tis_read(machine, 0, REG_CTRL_STS, 4), cell->idle ? 2 : 0);
    assert_int_equal(tis_read(machine, 0, REG_CTRL_START, 4), cell->running);
    crb_assert_buffer(machine, 0, bytes, size);
}

/* What does the device hold? It shows the beginning of a response, or adds to a command. */
static Memory held(TISMachine *machine)
{
    static const uint8_t mark[4] = { 0xA5, 0x5A, 0xA5, 0x5A };
    uint8_t found[4];

    if (crb_loc_sts(machine, 0) != 1) {
        crb_request(machine, 0);
    }
    crb_put(machine, 0, mark, sizeof(mark));
    control(machine, START_RETRY);
    crb_get(machine, 0, found, sizeof(found));
    if (memcmp(found, mark, sizeof(mark)) != 0) {
        return ANSWER;
    }
    machine->tpm->submit_when = FAKE_AT_ONCE;
    crb_start(machine, 0, command_long_2_0, sizeof(command_long_2_0));
    return fake_backend_has_command(machine->tpm, command_long_2_0, sizeof(command_long_2_0))
               ? NOTHING
               : PART;
}

static unsigned effects_since(TISMachine *machine, const FakeBackend *before,
                              const TPMDeviceStatistics *statistics)
{
    const FakeBackend *tpm = machine->tpm;

    return (tpm->submits - before->submits) * ASKED | (tpm->cancels - before->cancels) * STOPPED |
           (tpm->starts - before->starts) * STARTED |
           (unsigned)(tis_statistics(machine).guest_errors - statistics->guest_errors) * BLAMED;
}

/* The state's row as it is for this event. */
static Cell cell_of(State state, Event event)
{
    return events[event].as == N_EVENTS ? states[state] : table[state][events[event].as];
}

static void run_case(void **state)
{
    const Case *c = *state;
    TISMachine *machine = crb_machine_prepare_chunk();
    Cell cell = cell_of(c->state, c->event);

    machine->config.completion_window_ns = 0;
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    tis_make_command(TPM_VERSION_2_0, large, LARGE);
    tis_machine_plug(machine);
    bring_to(machine, c->state);
    assert_cell(machine, &states[c->state], false);

    FakeBackend before = *machine->tpm;
    TPMDeviceStatistics statistics = tis_statistics(machine);

    perform(machine, c->event);
    assert_cell(machine, &cell, c->event == WRITE);
    if (machine->tpm->executing) {
        fake_backend_answer(machine->tpm);
    }
    assert_int_equal(effects_since(machine, &before, &statistics), cell.effects);
    assert_int_equal(held(machine), cell.memory);
    tis_machine_free(machine);
}

int main(void)
{
    MadeTests *tests = made_tests_new();

    for (State state = IDLE; state < N_STATES; state++) {
        for (Event event = CMD_READY; event < N_EVENTS; event++) {
            made_tests_add(tests, run_case, &(Case){ state, event }, sizeof(Case), "test_%s_in_%s",
                           events[event].name, state_names[state]);
        }
    }
    return made_tests_run(tests, "crb-chunk-states");
}
