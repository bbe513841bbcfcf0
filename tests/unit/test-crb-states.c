/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The states of the CRB device (hw/tpm/crb.c): every event in every state, each a test of its
 * own; then what is executed and what is in the buffer afterwards, and the buffer on a page.
 *
 * What is looked at: CTRL_STS, CTRL_START, LOC_STATE, the buffer, what the TPM was asked, and
 * whether the guest was blamed.
 */
#include "crb-driver.h"
#include "made-tests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define RESPONSE_SIZE 16
#define WRITTEN       0x5A /* what the event buffer_write leaves in the last byte of a command */
#define WRITTEN_AT    11

typedef enum State { IDLE, READY, RECEPTION, EXECUTION, COMPLETION, N_STATES } State;

static const char *const state_names[N_STATES] = { "idle", "ready", "reception", "execution",
                                                   "completion" };

typedef enum Event {
    CMD_READY,
    GO_IDLE,
    START,
    CANCEL,
    WRITE,
    RELINQUISH,
    RESET,
    N_TABLE,
    /* What changes nothing in any state: it is done already, or not what the register takes. */
    REQUEST = N_TABLE,
    SEIZE,
    UNSET,
    LOC_THREE,
    REQ_ZERO,
    REQ_THREE,
    START_ZERO,
    START_TWO,
    START_THREE,
    CANCEL_ZERO,
    CANCEL_THREE,
    N_EVENTS
} Event;

static const struct {
    const char *name;
    uint32_t reg;
    uint32_t value;
} events[N_EVENTS] = {
    [CMD_READY] = { "cmd_ready", REG_CTRL_REQ, 1 },
    [GO_IDLE] = { "go_idle", REG_CTRL_REQ, 2 },
    [START] = { "start", REG_CTRL_START, 1 },
    [CANCEL] = { "cancel", REG_CTRL_CANCEL, 1 },
    [WRITE] = { "buffer_write", REG_BUFFER + WRITTEN_AT, WRITTEN },
    [RELINQUISH] = { "relinquish", REG_LOC_CTRL, 2 },
    [RESET] = { "device_reset", 0, 0 },
    [REQUEST] = { "request", REG_LOC_CTRL, 1 },
    [SEIZE] = { "seize", REG_LOC_CTRL, 4 },
    [UNSET] = { "reset_establishment", REG_LOC_CTRL, 8 },
    [LOC_THREE] = { "request_with_relinquish", REG_LOC_CTRL, 3 },
    [REQ_ZERO] = { "ctrl_req_0", REG_CTRL_REQ, 0 },
    [REQ_THREE] = { "cmd_ready_with_go_idle", REG_CTRL_REQ, 3 },
    [START_ZERO] = { "ctrl_start_0", REG_CTRL_START, 0 },
    [START_TWO] = { "ctrl_start_2", REG_CTRL_START, 2 },
    [START_THREE] = { "ctrl_start_3", REG_CTRL_START, 3 },
    [CANCEL_ZERO] = { "ctrl_cancel_0", REG_CTRL_CANCEL, 0 },
    [CANCEL_THREE] = { "ctrl_cancel_3", REG_CTRL_CANCEL, 3 },
};

/* What is in the buffer. */
typedef enum Content { EMPTY, COMMAND, RESPONSE, REJECTED } Content;

/* What else happens: calls of the TPM, and the guest being blamed. */
#define ASKED   1u
#define STOPPED 2u
#define STARTED 4u
#define BLAMED  8u

typedef struct Cell {
    bool idle;    /* CTRL_STS.tpmIdle */
    bool running; /* CTRL_START */
    Content content;
    unsigned effects;
} Cell;

/* As a state is found. */
static const Cell states[N_STATES] = {
    [IDLE] = { true, false, COMMAND, 0 },         [READY] = { false, false, EMPTY, 0 },
    [RECEPTION] = { false, false, COMMAND, 0 },   [EXECUTION] = { false, true, COMMAND, 0 },
    [COMPLETION] = { false, false, RESPONSE, 0 },
};

/* clang-format off */
static const Cell table[N_STATES][N_TABLE] = {
    [IDLE] = {
        [CMD_READY]  = { false, false, COMMAND, 0 },
        [GO_IDLE]    = { true, false, COMMAND, 0 },
        [START]      = { true, true, COMMAND, ASKED },
        [CANCEL]     = { true, false, COMMAND, 0 },
        [WRITE]      = { true, false, COMMAND, 0 },
        [RELINQUISH] = { true, false, COMMAND, 0 },
        [RESET]      = { true, false, EMPTY, STARTED },
    },
    [READY] = {
        [CMD_READY]  = { false, false, EMPTY, 0 },
        [GO_IDLE]    = { true, false, EMPTY, 0 },
        [START]      = { false, false, REJECTED, BLAMED },
        [CANCEL]     = { false, false, EMPTY, 0 },
        [WRITE]      = { false, false, EMPTY, 0 },
        [RELINQUISH] = { false, false, EMPTY, 0 },
        [RESET]      = { true, false, EMPTY, STARTED },
    },
    [RECEPTION] = {
        [CMD_READY]  = { false, false, COMMAND, 0 },
        [GO_IDLE]    = { true, false, COMMAND, 0 },
        [START]      = { false, true, COMMAND, ASKED },
        [CANCEL]     = { false, false, COMMAND, 0 },
        [WRITE]      = { false, false, COMMAND, 0 },
        [RELINQUISH] = { false, false, COMMAND, 0 },
        [RESET]      = { true, false, EMPTY, STARTED },
    },
    [EXECUTION] = {
        [CMD_READY]  = { false, true, COMMAND, 0 },
        [GO_IDLE]    = { true, true, COMMAND, 0 },
        [START]      = { false, true, COMMAND, 0 },
        [CANCEL]     = { false, true, COMMAND, STOPPED },
        [WRITE]      = { false, true, COMMAND, 0 },
        [RELINQUISH] = { false, true, COMMAND, 0 },
        [RESET]      = { true, false, EMPTY, STOPPED | STARTED },
    },
    [COMPLETION] = {
        [CMD_READY]  = { false, false, RESPONSE, 0 },
        [GO_IDLE]    = { true, false, RESPONSE, 0 },
        [START]      = { false, true, RESPONSE, ASKED },
        [CANCEL]     = { false, false, RESPONSE, 0 },
        [WRITE]      = { false, false, RESPONSE, 0 },
        [RELINQUISH] = { false, false, RESPONSE, 0 },
        [RESET]      = { true, false, EMPTY, STARTED },
    },
};
/* clang-format on */

typedef struct Case {
    State state;
    Event event;
} Case;

static void bring_to(TISMachine *machine, State state)
{
    crb_request(machine, 0);
    if (state != IDLE) {
        tis_write(machine, 0, REG_CTRL_REQ, 4, REQ_CMD_READY);
    }
    if (state != READY) {
        crb_put(machine, 0, command_2_0, sizeof(command_2_0));
    }
    if (state >= EXECUTION) {
        crb_go(machine, 0);
    }
    if (state >= COMPLETION) {
        fake_backend_answer(machine->tpm);
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

static void assert_content(TISMachine *machine, Content content, bool written)
{
    uint8_t bytes[RESPONSE_SIZE] = { 0 };

    switch (content) {
    case EMPTY:
        break;
    case COMMAND:
        memcpy(bytes, command_2_0, sizeof(command_2_0));
        break;
    case RESPONSE:
        memcpy(bytes, machine->tpm->response, RESPONSE_SIZE);
        break;
    case REJECTED:
        memcpy(bytes, command_size_2_0, sizeof(command_size_2_0));
        break;
    }
    if (written) {
        bytes[WRITTEN_AT] = WRITTEN;
    }
    crb_assert_buffer(machine, 0, bytes, sizeof(bytes));
}

static void assert_cell(TISMachine *machine, const Cell *cell, bool written)
{
    assert_int_equal(tis_read(machine, 0, REG_CTRL_STS, 4), cell->idle ? 2 : 0);
    assert_int_equal(tis_read(machine, 0, REG_CTRL_START, 4), cell->running);
    assert_int_equal(tis_read(machine, 0, REG_CTRL_REQ, 4), 0);
    assert_int_equal(tis_read(machine, 0, REG_CTRL_CANCEL, 4), 0);
    assert_content(machine, cell->content, written);
}

/* What the TPM was asked and the guest blamed for, since the state was reached. */
static unsigned effects_since(TISMachine *machine, const FakeBackend *before,
                              const TPMDeviceStatistics *statistics)
{
    const FakeBackend *tpm = machine->tpm;

    return (tpm->submits - before->submits) * ASKED | (tpm->cancels - before->cancels) * STOPPED |
           (tpm->starts - before->starts) * STARTED |
           (unsigned)(tis_statistics(machine).guest_errors - statistics->guest_errors) * BLAMED;
}

/* The TPM answers what it was asked; the response of a command before a reset is dropped. */
static void assert_end(TISMachine *machine, Cell cell, Event event)
{
    if (machine->tpm->executing) {
        fake_backend_answer(machine->tpm);
        cell.content = event == RESET ? EMPTY : RESPONSE;
        cell.running = false;
        assert_cell(machine, &cell, false);
    }
}

static void run_case(void **state)
{
    const Case *c = *state;
    TISMachine *machine = crb_machine_prepare_told();
    Cell cell = c->event < N_TABLE ? table[c->state][c->event] : states[c->state];
    bool has_locality = c->event != RELINQUISH && c->event != RESET;

    fake_backend_respond_with_size(machine->tpm, RESPONSE_SIZE);
    tis_machine_plug(machine);
    bring_to(machine, c->state);
    assert_cell(machine, &states[c->state], false);

    FakeBackend before = *machine->tpm;
    TPMDeviceStatistics statistics = tis_statistics(machine);

    perform(machine, c->event);
    assert_cell(machine, &cell, c->event == WRITE);
    assert_int_equal(crb_loc_state(machine), has_locality ? 0x83 : 0x81);
    assert_int_equal(crb_loc_sts(machine, 0), has_locality);
    assert_int_equal(machine->tpm->executing,
                     cell.running || (c->state == EXECUTION && c->event == RESET));
    assert_end(machine, cell, c->event);
    assert_int_equal(effects_since(machine, &before, &statistics), cell.effects);
    assert_int_equal(machine->tpm->established_resets, 0);
    tis_machine_free(machine);
}

/* ---- Start ---- */

static void test_start_without_a_locality_is_ignored(void **state)
{
    TISMachine *machine = *state;

    crb_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_false(crb_is_running(machine, 0));
    assert_int_equal(machine->tpm->submits, 0);
    crb_assert_buffer(machine, 0, command_2_0, sizeof(command_2_0));
    crb_request(machine, 0);
    crb_loc(machine, 0, LOC_RELINQUISH);
    crb_go(machine, 0);
    assert_int_equal(machine->tpm->submits, 0);
    assert_int_equal(tis_statistics(machine).commands, 0);
}

static void test_two_starts_in_a_row_need_no_cmd_ready(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 0);
    tis_write(machine, 0, REG_CTRL_REQ, 4, REQ_CMD_READY);
    crb_start(machine, 0, command_2_0, sizeof(command_2_0));
    fake_backend_respond_with_size(machine->tpm, 20);
    crb_start(machine, 0, command_long_2_0, sizeof(command_long_2_0));
    assert_true(fake_backend_has_command(machine->tpm, command_long_2_0, sizeof(command_long_2_0)));
    crb_assert_buffer(machine, 0, machine->tpm->response, 20);
    assert_int_equal(machine->tpm->submits, 2);
}

static void test_command_is_at_the_locality_that_started_it(void **state)
{
    TISMachine *machine = *state;

    crb_request(machine, 0);
    machine->tpm->locality = 9;
    crb_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_int_equal(machine->tpm->locality, 0);
}

static void test_cancelled_command_ends_with_the_tpms_answer(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    crb_request(machine, 0);
    crb_start(machine, 0, command_long_2_0, sizeof(command_long_2_0));
    tis_write(machine, 0, REG_CTRL_CANCEL, 4, 0);
    assert_true(crb_is_running(machine, 0));
    tis_write(machine, 0, REG_CTRL_CANCEL, 1, 1);
    assert_false(crb_is_running(machine, 0));
    assert_int_equal(machine->tpm->cancels, 1);
    crb_assert_buffer(machine, 0, machine->tpm->response, 10);
}

/* ---- sizes ---- */

static void put_size(TISMachine *machine, uint32_t size)
{
    for (unsigned i = 0; i < 4; i++) {
        tis_write(machine, 0, REG_BUFFER + 2 + i, 1, size >> (24 - 8 * i) & 0xFF);
    }
}

/* A command with this in its size field: is it forwarded, exactly, or answered here? */
static void assert_size(TISMachine *machine, uint32_t size, bool is_forwarded)
{
    uint8_t command[BUFFER_BYTES];
    unsigned submits = machine->tpm->submits;

    tis_make_command(TPM_VERSION_2_0, command, sizeof(command));
    command[2] = (uint8_t)(size >> 24);
    command[3] = (uint8_t)(size >> 16);
    command[4] = (uint8_t)(size >> 8);
    command[5] = (uint8_t)size;
    crb_start(machine, 0, command, sizeof(command));
    assert_int_equal(machine->tpm->submits, submits + is_forwarded);
    if (is_forwarded) {
        assert_true(fake_backend_has_command(machine->tpm, command, size));
        crb_assert_buffer(machine, 0, machine->tpm->response, machine->tpm->response_size);
    } else {
        crb_assert_buffer(machine, 0, command_size_2_0, sizeof(command_size_2_0));
    }
    assert_int_equal(tis_read(machine, 0, REG_CTRL_STS, 4), 2);
}

static void test_size_below_10_is_answered_142(void **state)
{
    crb_request(*state, 0);
    for (uint32_t size = 0; size < 10; size++) {
        assert_size(*state, size, false);
    }
    assert_int_equal(tis_statistics(*state).rejected_commands, 10);
}

static void test_size_10_is_forwarded(void **state)
{
    crb_request(*state, 0);
    assert_size(*state, 10, true);
}

static void test_size_3968_is_forwarded(void **state)
{
    crb_request(*state, 0);
    assert_size(*state, 3967, true);
    assert_size(*state, 3968, true);
}

static void test_size_3969_is_answered_142(void **state)
{
    crb_request(*state, 0);
    assert_size(*state, 3969, false);
    assert_size(*state, 4096, false);
}

static void test_size_of_all_ones_is_answered_142(void **state)
{
    crb_request(*state, 0);
    assert_size(*state, 0xFFFFFFFF, false);
    assert_size(*state, 0x80000000, false);
    assert_size(*state, 0x00010000, false);
}

static void test_tpm_is_told_of_3968_bytes(void **state)
{
    TISMachine *machine = *state;

    assert_int_equal(machine->tpm->start_buffer_size, 3968);
}

static void test_tpm_with_a_smaller_buffer_bounds_commands_not_the_window(void **state)
{
    TISMachine *machine = tis_machine_prepare(TPM_VERSION_2_0, FAKE_FULL, 1024);

    (void)state;
    machine->config.interface = TPM_INTERFACE_CRB;
    fake_backend_respond_with_size(machine->tpm, 1024);
    tis_machine_plug(machine);
    assert_int_equal(machine->tpm->start_buffer_size, 1024);
    assert_int_equal(tis_read(machine, 0, REG_CMD_SIZE, 4), 0xF80);
    crb_request(machine, 0);
    assert_size(machine, 1024, true);
    assert_size(machine, 1025, false);
    assert_size(machine, 3968, false);
    tis_machine_free(machine);
}

/* ---- the buffer ---- */

static void test_what_was_started_is_what_is_executed(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->start_when = FAKE_WHEN_TOLD;
    tpmdev_device_reset(machine->device); /* the command has to wait for this start */
    crb_request(machine, 0);
    crb_start(machine, 0, command_2_0, sizeof(command_2_0));
    tis_write(machine, 0, REG_BUFFER, 4, 0xFFFFFFFF);
    put_size(machine, 0xFFFF);
    tis_write(machine, 0, REG_BUFFER + 8, 4, 0xFFFFFFFF);
    assert_int_equal(machine->tpm->submits, 0);
    fake_backend_answer(machine->tpm);
    assert_true(fake_backend_has_command(machine->tpm, command_2_0, sizeof(command_2_0)));
    tis_write(machine, 0, REG_BUFFER + 8, 4, 0);
    assert_memory_equal(machine->tpm->data, command_2_0, sizeof(command_2_0));
    fake_backend_answer(machine->tpm);
    crb_assert_buffer(machine, 0, machine->tpm->response, 10);
}

static void test_response_leaves_nothing_of_the_command_behind_it(void **state)
{
    static const size_t sizes[] = { 10, 11, 3967, 3968, 10 };
    uint8_t command[BUFFER_BYTES];
    TISMachine *machine = *state;

    memset(command, 0xEE, sizeof(command));
    memcpy(command, command_2_0, sizeof(command_2_0));
    crb_request(machine, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        fake_backend_respond_with_size(machine->tpm, sizes[i]);
        crb_start(machine, 0, command, sizeof(command));
        crb_assert_buffer(machine, 0, machine->tpm->response, sizes[i]);
    }
}

static void test_response_larger_than_the_window_is_a_failure(void **state)
{
    TISMachine *machine = *state;

    fake_backend_respond_with_size(machine->tpm, 3969);
    crb_request(machine, 0);
    crb_start(machine, 0, command_2_0, sizeof(command_2_0));
    crb_assert_buffer(machine, 0, failure_2_0, sizeof(failure_2_0));
    assert_int_equal(tis_read(machine, 0, REG_CTRL_STS, 4), 2);
}

/* ---- the buffer on a page ---- */

#define PAGE_ADDRESS 0x1FED50000ull

static uint8_t *plug_page(TISMachine *machine)
{
    machine->config.buffer_address = PAGE_ADDRESS;
    tis_machine_plug(machine);
    uint8_t *page = tpmdev_device_get_page(machine->device);

    assert_non_null(page);
    return page;
}

static void assert_page(const uint8_t *page, const uint8_t *response, size_t size)
{
    assert_memory_equal(page, response, size);
    for (size_t i = size; i < 0x1000; i++) {
        assert_int_equal(page[i], 0);
    }
}

static void test_without_a_buffer_address_there_is_no_page(void **state)
{
    TISMachine *machine = *state;

    assert_null(tpmdev_device_get_page(machine->device));
    assert_int_equal(tpmdev_device_get_page_address(machine->device), 0);
}

static void test_page_is_aligned_and_where_the_registers_say(void **state)
{
    TISMachine *machine = crb_machine_prepare();
    uint8_t *page = plug_page(machine);

    (void)state;
    assert_int_equal((uintptr_t)page % 0x1000, 0);
    assert_int_equal(tpmdev_device_get_page_address(machine->device), PAGE_ADDRESS);
    assert_page(page, NULL, 0);
    assert_int_equal(tis_read(machine, 0, REG_CMD_SIZE, 4), 0x1000);
    assert_int_equal(tis_read(machine, 0, REG_RSP_SIZE, 4), 0x1000);
    assert_int_equal(tis_read(machine, 0, REG_CMD_LADDR, 4), 0xFED50000);
    assert_int_equal(tis_read(machine, 0, REG_CMD_HADDR, 4), 1);
    assert_int_equal(tis_read(machine, 0, REG_RSP_LADDR, 8), PAGE_ADDRESS);
    assert_int_equal(machine->tpm->start_buffer_size, 4096);
    tis_machine_free(machine);
}

static void test_command_and_response_are_on_the_page(void **state)
{
    TISMachine *machine = crb_machine_prepare();
    uint8_t *page = plug_page(machine);
    uint8_t command[4096];

    (void)state;
    tis_make_command(TPM_VERSION_2_0, command, sizeof(command));
    memcpy(page, command, sizeof(command));
    fake_backend_respond_with_size(machine->tpm, 100);
    crb_request(machine, 0);
    crb_go(machine, 0);
    assert_true(fake_backend_has_command(machine->tpm, command, sizeof(command)));
    assert_page(page, machine->tpm->response, 100);
    fake_backend_respond_with_size(machine->tpm, 4096);
    memcpy(page, command_2_0, sizeof(command_2_0));
    crb_go(machine, 0);
    assert_page(page, machine->tpm->response, 4096);
    /* one byte too many in the size field */
    command[5] = 1;
    memcpy(page, command, sizeof(command));
    crb_go(machine, 0);
    assert_page(page, command_size_2_0, sizeof(command_size_2_0));
    assert_int_equal(machine->tpm->submits, 2);
    tis_machine_free(machine);
}

static void test_page_written_while_a_command_runs_changes_nothing(void **state)
{
    TISMachine *machine = crb_machine_prepare_told();
    uint8_t *page = plug_page(machine);

    (void)state;
    memcpy(page, command_2_0, sizeof(command_2_0));
    crb_request(machine, 0);
    crb_go(machine, 0);
    memset(page, 0xFF, 0x1000);
    assert_memory_equal(machine->tpm->data, command_2_0, sizeof(command_2_0));
    fake_backend_answer(machine->tpm);
    assert_page(page, machine->tpm->response, 10);
    tis_machine_free(machine);
}

/* EDK2 looks there, and nowhere else. */
static void test_page_is_also_behind_the_registers(void **state)
{
    TISMachine *machine = crb_machine_prepare();
    uint8_t *page = plug_page(machine);

    (void)state;
    crb_request(machine, 0);
    memset(page, 0xEE, 0x1000);
    for (uint32_t i = 0; i < BUFFER_BYTES; i++) {
        assert_int_equal(tis_read(machine, 0, REG_BUFFER + i, 1), 0xEE);
    }
    for (uint32_t offset = REG_BUFFER; offset < 0x1000; offset += 8) {
        tis_write(machine, 0, offset, 8, 0x1111111111111111);
    }
    for (unsigned i = 0; i < 0x1000; i++) {
        assert_int_equal(page[i], i < BUFFER_BYTES ? 0x11 : 0xEE);
    }
    crb_start(machine, 0, command_2_0, sizeof(command_2_0));
    assert_true(fake_backend_has_command(machine->tpm, command_2_0, sizeof(command_2_0)));
    crb_assert_buffer(machine, 0, machine->tpm->response, 10);
    assert_page(page, machine->tpm->response, 10);
    tis_machine_free(machine);
}

static void test_reset_wipes_the_page_and_keeps_it(void **state)
{
    TISMachine *machine = crb_machine_prepare();
    uint8_t *page = plug_page(machine);

    (void)state;
    memset(page, 0xEE, 0x1000);
    tpmdev_device_reset(machine->device);
    assert_ptr_equal(tpmdev_device_get_page(machine->device), page);
    assert_page(page, NULL, 0);
    tis_machine_free(machine);
}

static void test_page_inside_the_device_is_refused(void **state)
{
    static const struct {
        uint64_t address;
        bool localities;
        bool is_good;
    } cases[] = {
        { CRB_BASE, false, false },         { CRB_BASE + 0x1000, false, true },
        { CRB_BASE - 0x1000, false, true }, { CRB_BASE + 0x4000, true, false },
        { CRB_BASE + 0x5000, true, true },  { CRB_BASE + 0x5800, true, false },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        TISMachine *machine = crb_machine_prepare();
        g_autoptr(GError) error = NULL;

        machine->config.buffer_address = cases[i].address;
        machine->config.localities = cases[i].localities;
        machine->device = tpmdev_device_new(&machine->config, machine->tpm->backend,
                                            &machine->host.host, &machine->host, &error);
        assert_int_equal(machine->device != NULL, cases[i].is_good);
        assert_int_equal(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_INVALID_OPTION),
                         !cases[i].is_good);
        tis_machine_free(machine);
    }
}

static void test_page_is_wiped_for_the_next_locality(void **state)
{
    TISMachine *machine = crb_machine_prepare_told();

    (void)state;
    machine->config.localities = true;
    uint8_t *page = plug_page(machine);

    crb_request(machine, 1);
    memcpy(page, command_2_0, sizeof(command_2_0));
    crb_go(machine, 1);
    crb_loc(machine, 3, LOC_SEIZE);
    memset(page, 0xEE, 0x1000);
    fake_backend_answer(machine->tpm);
    assert_page(page, NULL, 0);
    memset(page, 0xEE, 0x1000);
    crb_loc(machine, 4, LOC_SEIZE);
    assert_page(page, NULL, 0);
    tis_machine_free(machine);
}

static void test_device_with_a_page_is_freed_while_a_command_runs(void **state)
{
    TISMachine *machine = crb_machine_prepare_told();
    uint8_t *page = plug_page(machine);

    (void)state;
    memcpy(page, command_2_0, sizeof(command_2_0));
    crb_request(machine, 0);
    crb_go(machine, 0);
    tis_machine_unplug(machine);
    tis_machine_free(machine);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, crb_setup, tis_teardown)

static const struct CMUnitTest named_tests[] = {
    TEST(test_start_without_a_locality_is_ignored),
    TEST(test_two_starts_in_a_row_need_no_cmd_ready),
    TEST(test_command_is_at_the_locality_that_started_it),
    TEST(test_cancelled_command_ends_with_the_tpms_answer),
    TEST(test_size_below_10_is_answered_142),
    TEST(test_size_10_is_forwarded),
    TEST(test_size_3968_is_forwarded),
    TEST(test_size_3969_is_answered_142),
    TEST(test_size_of_all_ones_is_answered_142),
    TEST(test_tpm_is_told_of_3968_bytes),
    cmocka_unit_test(test_tpm_with_a_smaller_buffer_bounds_commands_not_the_window),
    TEST(test_what_was_started_is_what_is_executed),
    TEST(test_response_leaves_nothing_of_the_command_behind_it),
    TEST(test_response_larger_than_the_window_is_a_failure),
    TEST(test_without_a_buffer_address_there_is_no_page),
    cmocka_unit_test(test_page_is_aligned_and_where_the_registers_say),
    cmocka_unit_test(test_command_and_response_are_on_the_page),
    cmocka_unit_test(test_page_written_while_a_command_runs_changes_nothing),
    cmocka_unit_test(test_page_is_also_behind_the_registers),
    cmocka_unit_test(test_reset_wipes_the_page_and_keeps_it),
    cmocka_unit_test(test_page_inside_the_device_is_refused),
    cmocka_unit_test(test_page_is_wiped_for_the_next_locality),
    cmocka_unit_test(test_device_with_a_page_is_freed_while_a_command_runs),
};

int main(void)
{
    MadeTests *tests = made_tests_new();

    made_tests_add_named(tests, named_tests, G_N_ELEMENTS(named_tests));
    for (State state = IDLE; state < N_STATES; state++) {
        for (Event event = CMD_READY; event < N_EVENTS; event++) {
            made_tests_add(tests, run_case, &(Case){ state, event }, sizeof(Case), "test_%s_in_%s",
                           events[event].name, state_names[state]);
        }
    }
    return made_tests_run(tests, "crb-states");
}
