/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The state machine of the TIS device: every event in every state, for TPM 2.0 and 1.2, each a
 * test of its own. The table below is the whole of it.
 *
 * What is looked at: TPM_STS with its burst count, the FIFO, what the TPM was asked, whether the
 * guest was blamed; and, where the locality lost the device, what it finds when it comes back.
 */
#include "made-tests.h"
#include "tis-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COMMAND_SIZE  12
#define RESPONSE_SIZE 16

/* The states, and what else a locality can be found in. */
typedef enum State {
    IDLE = 1,
    READY,
    RECEIVING,  /* 4 bytes of the command are in */
    RECEIVED,   /* all 12 are */
    EXECUTING,  /* the TPM has it */
    RESPONDING, /* 11 of 16 bytes of the response are read */
    RESPONDED,  /* all are */
    N_STATES,
    RECEIVING_0 = N_STATES, /* as RECEIVING, with the FIFO at its beginning */
    RECEIVING_1,            /* with one byte in */
    RECEIVING_5,            /* with five */
    RECEIVED_0,             /* as RECEIVED, with the FIFO at its beginning */
    RESPONDING_0,           /* none of the response is read */
    RESPONDING_12,          /* 12 bytes are */
    RESPONDED_0,            /* as RESPONDED, with the FIFO at its beginning */
    GONE,                   /* not the active locality */
    N_OUTCOMES
} State;

/* TPM_STS of a TPM 2.0, the next byte of the FIFO, and a name. */
static const struct {
    uint32_t sts;
    uint8_t fifo;
    const char *name;
} outcomes[N_OUTCOMES] = {
    [IDLE] = { 0x04100000, 0xFF, "idle" },
    [READY] = { 0x04100040, 0xFF, "ready" },
    [RECEIVING] = { 0x040FFC88, 0xFF, "reception_incomplete" },
    [RECEIVED] = { 0x040FF480, 0xFF, "reception_complete" },
    [EXECUTING] = { 0x040FF480, 0xFF, "execution" },
    [RESPONDING] = { 0x04000590, 0x0B, "completion_with_data" },
    [RESPONDED] = { 0x040FF080, 0xFF, "completion_all_read" },
    [RECEIVING_0] = { 0x04100088, 0xFF, "reception_rewound" },
    [RECEIVING_1] = { 0x040FFF88, 0xFF, "reception_of_byte_1" },
    [RECEIVING_5] = { 0x040FFB88, 0xFF, "reception_of_byte_5" },
    [RECEIVED_0] = { 0x04100080, 0xFF, "reception_complete_rewound" },
    [RESPONDING_0] = { 0x04001090, 0x80, "completion_from_the_start" },
    [RESPONDING_12] = { 0x04000490, 0x0C, "completion_one_byte_on" },
    [RESPONDED_0] = { 0x04100080, 0xFF, "completion_all_read_rewound" },
    [GONE] = { 0xFFFFFFFF, 0xFF, "gone" },
};

typedef enum Event {
    /* one bit of TPM_STS, then each two of them */
    CR,
    GO,
    RR,
    CC,
    RE,
    CR_GO,
    CR_RR,
    CR_CC,
    CR_RE,
    GO_RR,
    GO_CC,
    GO_RE,
    RR_CC,
    RR_RE,
    CC_RE,
    N_STS_EVENTS,
    WRITE = N_STS_EVENTS, /* a byte into the FIFO */
    READ,                 /* a byte out of it */
    RELINQUISH,
    SEIZE_ABOVE,
    SEIZE_BELOW,
    REQUEST,
    RESET,
    N_EVENTS
} Event;

#define BIT_CR STS_READY
#define BIT_GO STS_GO
#define BIT_RR STS_RETRY
#define BIT_CC STS_CANCEL
#define BIT_RE STS_RESET_ESTABLISHED

static const struct {
    const char *name;
    uint32_t sts;
} events[N_EVENTS] = {
    [CR] = { "command_ready", BIT_CR },
    [GO] = { "tpm_go", BIT_GO },
    [RR] = { "response_retry", BIT_RR },
    [CC] = { "command_cancel", BIT_CC },
    [RE] = { "reset_establishment", BIT_RE },
    [CR_GO] = { "command_ready_with_tpm_go", BIT_CR | BIT_GO },
    [CR_RR] = { "command_ready_with_response_retry", BIT_CR | BIT_RR },
    [CR_CC] = { "command_ready_with_command_cancel", BIT_CR | BIT_CC },
    [CR_RE] = { "command_ready_with_reset_establishment", BIT_CR | BIT_RE },
    [GO_RR] = { "tpm_go_with_response_retry", BIT_GO | BIT_RR },
    [GO_CC] = { "tpm_go_with_command_cancel", BIT_GO | BIT_CC },
    [GO_RE] = { "tpm_go_with_reset_establishment", BIT_GO | BIT_RE },
    [RR_CC] = { "response_retry_with_command_cancel", BIT_RR | BIT_CC },
    [RR_RE] = { "response_retry_with_reset_establishment", BIT_RR | BIT_RE },
    [CC_RE] = { "command_cancel_with_reset_establishment", BIT_CC | BIT_RE },
    [WRITE] = { "fifo_write", 0 },
    [READ] = { "fifo_read", 0 },
    [RELINQUISH] = { "relinquish", 0 },
    [SEIZE_ABOVE] = { "seizure_from_above", 0 },
    [SEIZE_BELOW] = { "seizure_from_below", 0 },
    [REQUEST] = { "request_by_another", 0 },
    [RESET] = { "device_reset", 0 },
};

/* What else happens: calls of the TPM, and the guest being blamed. */
#define SUBMIT 1u
#define CANCEL 2u
#define UNSET  4u /* reset_established() */
#define START  8u
#define BLAME  16u

typedef struct Cell {
    State outcome;
    unsigned effects;
    State then; /* after the TPM has answered, when it has a command */
    State back; /* after a new request, when the locality is gone by now */
} Cell;

/* clang-format off */
static const Cell table[N_STATES][N_EVENTS] = {
    [IDLE] = {
        [CR]    = { READY, 0, 0, 0 },
        [GO]    = { IDLE, BLAME, 0, 0 },
        [RR]    = { IDLE, 0, 0, 0 },
        [CC]    = { IDLE, 0, 0, 0 },
        [RE]    = { IDLE, UNSET, 0, 0 },
        [CR_GO] = { IDLE, 0, 0, 0 },
        [CR_RR] = { IDLE, 0, 0, 0 },
        [CR_CC] = { READY, 0, 0, 0 },
        [CR_RE] = { READY, UNSET, 0, 0 },
        [GO_RR] = { IDLE, 0, 0, 0 },
        [GO_CC] = { IDLE, BLAME, 0, 0 },
        [GO_RE] = { IDLE, BLAME | UNSET, 0, 0 },
        [RR_CC] = { IDLE, 0, 0, 0 },
        [RR_RE] = { IDLE, UNSET, 0, 0 },
        [CC_RE] = { IDLE, UNSET, 0, 0 },
        [WRITE] = { IDLE, BLAME, 0, 0 },
        [READ]  = { IDLE, 0, 0, 0 },
        [RELINQUISH]  = { GONE, 0, 0, IDLE },
        [SEIZE_ABOVE] = { GONE, 0, 0, IDLE },
        [SEIZE_BELOW] = { IDLE, BLAME, 0, 0 },
        [REQUEST]     = { IDLE, 0, 0, 0 },
        [RESET]       = { GONE, START, 0, IDLE },
    },
    [READY] = {
        [CR]    = { READY, 0, 0, 0 },
        [GO]    = { READY, BLAME, 0, 0 },
        [RR]    = { READY, 0, 0, 0 },
        [CC]    = { READY, 0, 0, 0 },
        [RE]    = { READY, UNSET, 0, 0 },
        [CR_GO] = { READY, 0, 0, 0 },
        [CR_RR] = { READY, 0, 0, 0 },
        [CR_CC] = { READY, 0, 0, 0 },
        [CR_RE] = { READY, UNSET, 0, 0 },
        [GO_RR] = { READY, 0, 0, 0 },
        [GO_CC] = { READY, BLAME, 0, 0 },
        [GO_RE] = { READY, BLAME | UNSET, 0, 0 },
        [RR_CC] = { READY, 0, 0, 0 },
        [RR_RE] = { READY, UNSET, 0, 0 },
        [CC_RE] = { READY, UNSET, 0, 0 },
        [WRITE] = { RECEIVING_1, 0, 0, 0 },
        [READ]  = { READY, 0, 0, 0 },
        [RELINQUISH]  = { GONE, 0, 0, READY },
        [SEIZE_ABOVE] = { GONE, 0, 0, READY },
        [SEIZE_BELOW] = { READY, BLAME, 0, 0 },
        [REQUEST]     = { READY, 0, 0, 0 },
        [RESET]       = { GONE, START, 0, IDLE },
    },
    [RECEIVING] = {
        [CR]    = { READY, 0, 0, 0 },
        [GO]    = { RECEIVING, BLAME, 0, 0 },
        [RR]    = { RECEIVING, 0, 0, 0 },
        [CC]    = { RECEIVING, 0, 0, 0 },
        [RE]    = { RECEIVING, UNSET, 0, 0 },
        [CR_GO] = { RECEIVING, 0, 0, 0 },
        [CR_RR] = { RECEIVING, 0, 0, 0 },
        [CR_CC] = { READY, 0, 0, 0 },
        [CR_RE] = { READY, UNSET, 0, 0 },
        [GO_RR] = { RECEIVING, 0, 0, 0 },
        [GO_CC] = { RECEIVING, BLAME, 0, 0 },
        [GO_RE] = { RECEIVING, BLAME | UNSET, 0, 0 },
        [RR_CC] = { RECEIVING, 0, 0, 0 },
        [RR_RE] = { RECEIVING, UNSET, 0, 0 },
        [CC_RE] = { RECEIVING, UNSET, 0, 0 },
        [WRITE] = { RECEIVING_5, 0, 0, 0 },
        [READ]  = { RECEIVING, 0, 0, 0 },
        [RELINQUISH]  = { GONE, 0, 0, RECEIVING },
        [SEIZE_ABOVE] = { GONE, 0, 0, RECEIVING_0 },
        [SEIZE_BELOW] = { RECEIVING, BLAME, 0, 0 },
        [REQUEST]     = { RECEIVING, 0, 0, 0 },
        [RESET]       = { GONE, START, 0, IDLE },
    },
    [RECEIVED] = {
        [CR]    = { READY, 0, 0, 0 },
        [GO]    = { EXECUTING, SUBMIT, RESPONDING_0, 0 },
        [RR]    = { RECEIVED, 0, 0, 0 },
        [CC]    = { RECEIVED, 0, 0, 0 },
        [RE]    = { RECEIVED, UNSET, 0, 0 },
        [CR_GO] = { RECEIVED, 0, 0, 0 },
        [CR_RR] = { RECEIVED, 0, 0, 0 },
        [CR_CC] = { READY, 0, 0, 0 },
        [CR_RE] = { READY, UNSET, 0, 0 },
        [GO_RR] = { RECEIVED, 0, 0, 0 },
        [GO_CC] = { EXECUTING, SUBMIT, RESPONDING_0, 0 },
        [GO_RE] = { EXECUTING, SUBMIT | UNSET, RESPONDING_0, 0 },
        [RR_CC] = { RECEIVED, 0, 0, 0 },
        [RR_RE] = { RECEIVED, UNSET, 0, 0 },
        [CC_RE] = { RECEIVED, UNSET, 0, 0 },
        [WRITE] = { RECEIVED, 0, 0, 0 },
        [READ]  = { RECEIVED, 0, 0, 0 },
        [RELINQUISH]  = { GONE, 0, 0, RECEIVED },
        [SEIZE_ABOVE] = { GONE, 0, 0, RECEIVED_0 },
        [SEIZE_BELOW] = { RECEIVED, BLAME, 0, 0 },
        [REQUEST]     = { RECEIVED, 0, 0, 0 },
        [RESET]       = { GONE, START, 0, IDLE },
    },
    [EXECUTING] = {
        [CR]    = { EXECUTING, CANCEL, READY, 0 },
        [GO]    = { EXECUTING, BLAME, RESPONDING_0, 0 },
        [RR]    = { EXECUTING, 0, RESPONDING_0, 0 },
        [CC]    = { EXECUTING, CANCEL, RESPONDING_0, 0 },
        [RE]    = { EXECUTING, UNSET, RESPONDING_0, 0 },
        [CR_GO] = { EXECUTING, 0, RESPONDING_0, 0 },
        [CR_RR] = { EXECUTING, 0, RESPONDING_0, 0 },
        [CR_CC] = { EXECUTING, CANCEL, READY, 0 },
        [CR_RE] = { EXECUTING, CANCEL | UNSET, READY, 0 },
        [GO_RR] = { EXECUTING, 0, RESPONDING_0, 0 },
        [GO_CC] = { EXECUTING, CANCEL | BLAME, RESPONDING_0, 0 },
        [GO_RE] = { EXECUTING, BLAME | UNSET, RESPONDING_0, 0 },
        [RR_CC] = { EXECUTING, CANCEL, RESPONDING_0, 0 },
        [RR_RE] = { EXECUTING, UNSET, RESPONDING_0, 0 },
        [CC_RE] = { EXECUTING, CANCEL | UNSET, RESPONDING_0, 0 },
        [WRITE] = { EXECUTING, BLAME, RESPONDING_0, 0 },
        [READ]  = { EXECUTING, 0, RESPONDING_0, 0 },
        [RELINQUISH]  = { GONE, 0, GONE, RESPONDING_0 },
        [SEIZE_ABOVE] = { EXECUTING, CANCEL, GONE, IDLE },
        [SEIZE_BELOW] = { EXECUTING, BLAME, RESPONDING_0, 0 },
        [REQUEST]     = { EXECUTING, 0, RESPONDING_0, 0 },
        [RESET]       = { GONE, CANCEL | START, GONE, IDLE },
    },
    [RESPONDING] = {
        [CR]    = { READY, 0, 0, 0 },
        [GO]    = { RESPONDING, BLAME, 0, 0 },
        [RR]    = { RESPONDING_0, 0, 0, 0 },
        [CC]    = { RESPONDING, 0, 0, 0 },
        [RE]    = { RESPONDING, UNSET, 0, 0 },
        [CR_GO] = { RESPONDING, 0, 0, 0 },
        [CR_RR] = { RESPONDING, 0, 0, 0 },
        [CR_CC] = { READY, 0, 0, 0 },
        [CR_RE] = { READY, UNSET, 0, 0 },
        [GO_RR] = { RESPONDING, 0, 0, 0 },
        [GO_CC] = { RESPONDING, BLAME, 0, 0 },
        [GO_RE] = { RESPONDING, BLAME | UNSET, 0, 0 },
        [RR_CC] = { RESPONDING_0, 0, 0, 0 },
        [RR_RE] = { RESPONDING_0, UNSET, 0, 0 },
        [CC_RE] = { RESPONDING, UNSET, 0, 0 },
        [WRITE] = { RESPONDING, BLAME, 0, 0 },
        [READ]  = { RESPONDING_12, 0, 0, 0 },
        [RELINQUISH]  = { GONE, 0, 0, RESPONDING },
        [SEIZE_ABOVE] = { GONE, 0, 0, RESPONDING_0 },
        [SEIZE_BELOW] = { RESPONDING, BLAME, 0, 0 },
        [REQUEST]     = { RESPONDING, 0, 0, 0 },
        [RESET]       = { GONE, START, 0, IDLE },
    },
    [RESPONDED] = {
        [CR]    = { READY, 0, 0, 0 },
        [GO]    = { RESPONDED, BLAME, 0, 0 },
        [RR]    = { RESPONDING_0, 0, 0, 0 },
        [CC]    = { RESPONDED, 0, 0, 0 },
        [RE]    = { RESPONDED, UNSET, 0, 0 },
        [CR_GO] = { RESPONDED, 0, 0, 0 },
        [CR_RR] = { RESPONDED, 0, 0, 0 },
        [CR_CC] = { READY, 0, 0, 0 },
        [CR_RE] = { READY, UNSET, 0, 0 },
        [GO_RR] = { RESPONDED, 0, 0, 0 },
        [GO_CC] = { RESPONDED, BLAME, 0, 0 },
        [GO_RE] = { RESPONDED, BLAME | UNSET, 0, 0 },
        [RR_CC] = { RESPONDING_0, 0, 0, 0 },
        [RR_RE] = { RESPONDING_0, UNSET, 0, 0 },
        [CC_RE] = { RESPONDED, UNSET, 0, 0 },
        [WRITE] = { RESPONDED, BLAME, 0, 0 },
        [READ]  = { RESPONDED, 0, 0, 0 },
        [RELINQUISH]  = { GONE, 0, 0, RESPONDED },
        [SEIZE_ABOVE] = { GONE, 0, 0, RESPONDED_0 },
        [SEIZE_BELOW] = { RESPONDED, BLAME, 0, 0 },
        [REQUEST]     = { RESPONDED, 0, 0, 0 },
        [RESET]       = { GONE, START, 0, IDLE },
    },
};
/* clang-format on */

/* ---- one cell ---- */

typedef struct Case {
    TPMVersion version;
    State state;
    Event event;
} Case;

/* TPM 1.2 has neither commandCancel nor resetEstablishment: which event is left? */
static Event left_in_1_2(Event event)
{
    uint32_t bits = events[event].sts & ~(BIT_CC | BIT_RE);

    if (events[event].sts == bits) {
        return event;
    }
    for (Event other = 0; other < N_STS_EVENTS; other++) {
        if (events[other].sts == bits) {
            return other;
        }
    }
    return N_EVENTS;
}

static Cell expected_of(TPMVersion version, State state, Event event)
{
    Event left = version == TPM_VERSION_1_2 ? left_in_1_2(event) : event;

    if (left == N_EVENTS) {
        return (Cell){ .outcome = state, .then = state == EXECUTING ? RESPONDING_0 : 0 };
    }
    return table[state][left];
}

/* The establishment flag is for localities 3 and 4, and 4 is not for software. */
static unsigned locality_of(Event event)
{
    return events[event].sts & BIT_RE ? 3 : 2;
}

static void bring_to(TISMachine *machine, unsigned locality, State state)
{
    uint8_t command[COMMAND_SIZE];
    size_t written = state == RECEIVING ? 4 : sizeof(command);

    tis_make_command(machine->tpm->version, command, sizeof(command));
    tis_request(machine, locality);
    if (state >= READY) {
        tis_sts_set(machine, locality, STS_READY);
    }
    if (state >= RECEIVING) {
        tis_fifo_write(machine, locality, command, written);
    }
    if (state >= EXECUTING) {
        tis_sts_set(machine, locality, STS_GO);
    }
    if (state >= RESPONDING) {
        fake_backend_answer(machine->tpm);
        for (unsigned i = 0; i < (state == RESPONDING ? 11 : RESPONSE_SIZE); i++) {
            tis_read(machine, locality, REG_FIFO, 1);
        }
    }
}

static void perform(TISMachine *machine, unsigned locality, State state, Event event)
{
    if (event < N_STS_EVENTS) {
        tis_sts_set(machine, locality, events[event].sts);
    } else if (event == WRITE) {
        tis_write(machine, locality, REG_FIFO, 1, 0);
    } else if (event == READ) {
        assert_int_equal(tis_read(machine, locality, REG_FIFO, 1), outcomes[state].fifo);
    } else if (event == RELINQUISH) {
        tis_access_set(machine, locality, ACCESS_RELINQUISH);
    } else if (event == SEIZE_ABOVE) {
        tis_access_set(machine, locality + 1, ACCESS_SEIZE);
    } else if (event == SEIZE_BELOW) {
        tis_access_set(machine, locality - 1, ACCESS_SEIZE);
    } else if (event == REQUEST) {
        tis_access_set(machine, locality - 1, ACCESS_REQUEST);
    } else {
        tpmdev_device_reset(machine->device);
    }
}

static void assert_sts(TISMachine *machine, unsigned locality, State outcome)
{
    uint32_t sts = outcomes[outcome].sts;

    if (machine->tpm->version == TPM_VERSION_1_2 && outcome != GONE) {
        sts &= ~0x04000000u;
    }
    assert_int_equal(tis_sts(machine, locality), sts);
}

/* Last of all, for it changes the state. */
static void assert_fifo(TISMachine *machine, unsigned locality, State outcome)
{
    uint8_t byte = outcomes[outcome].fifo;

    if (machine->tpm->version == TPM_VERSION_1_2 && outcome == RESPONDING_0) {
        byte = 0x00;
    }
    assert_int_equal(tis_read(machine, locality, REG_FIFO, 1), byte);
}

/* What the TPM was asked and the guest blamed for, since the state was reached. */
static unsigned effects_since(TISMachine *machine, const FakeBackend *before,
                              const TPMDeviceStatistics *statistics)
{
    const FakeBackend *tpm = machine->tpm;

    return (tpm->submits - before->submits) * SUBMIT | (tpm->cancels - before->cancels) * CANCEL |
           (tpm->established_resets - before->established_resets) * UNSET |
           (tpm->starts - before->starts) * START |
           (unsigned)(tis_statistics(machine).guest_errors - statistics->guest_errors) * BLAME;
}

static void come_back(TISMachine *machine, unsigned locality, Event event)
{
    if (event == SEIZE_ABOVE) {
        assert_int_equal(tis_access(machine, locality + 1), ACCESS_ACTIVE);
        assert_int_equal(tis_access(machine, locality) & ACCESS_BEEN_SEIZED, ACCESS_BEEN_SEIZED);
        assert_int_equal(tis_sts(machine, locality + 1), tis_sts(machine, locality + 1) & ~0xFFu);
        assert_int_equal(tis_read(machine, locality + 1, REG_FIFO, 1), 0xFF);
        tis_access_set(machine, locality + 1, ACCESS_RELINQUISH);
    }
    tis_request(machine, locality);
}

static void run_case(void **state)
{
    const Case *c = *state;
    TISMachine *machine = tis_machine_prepare(c->version, FAKE_FULL, TPM_BUFFER_SIZE_COMMON);
    unsigned locality = locality_of(c->event);
    Cell expected = expected_of(c->version, c->state, c->event);
    State now = expected.outcome;

    machine->config.completion_window_ns = 0;
    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    fake_backend_respond_with_size(machine->tpm, RESPONSE_SIZE);
    tis_machine_plug(machine);
    bring_to(machine, locality, c->state);
    assert_sts(machine, locality, c->state);

    FakeBackend before = *machine->tpm;
    TPMDeviceStatistics statistics = tis_statistics(machine);

    perform(machine, locality, c->state, c->event);
    assert_sts(machine, locality, now);
    assert_int_equal(machine->tpm->executing, expected.then != 0);
    if (machine->tpm->executing) {
        fake_backend_answer(machine->tpm);
        now = expected.then;
        assert_sts(machine, locality, now);
    }
    assert_int_equal(effects_since(machine, &before, &statistics), expected.effects);
    if (now == GONE) {
        come_back(machine, locality, c->event);
        now = expected.back;
        assert_sts(machine, locality, now);
    }
    assert_fifo(machine, locality, now);
    tis_machine_free(machine);
}

/* ---- what the table does not say ---- */

static void test_reset_establishment_is_for_locality_3_alone(void **state)
{
    TISMachine *machine = *state;

    for (unsigned locality = 0; locality < 4; locality++) {
        tis_request(machine, locality);
        tis_sts_set(machine, locality, STS_RESET_ESTABLISHED);
        assert_int_equal(machine->tpm->established_resets, locality == 3);
        tis_access_set(machine, locality, ACCESS_RELINQUISH);
    }
    assert_int_equal(machine->tpm->established_locality, 3);
}

static void test_three_events_at_once_mean_nothing(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_send(machine, 0, command_2_0, sizeof(command_2_0));
    tis_sts_set(machine, 0, STS_READY | STS_GO | STS_RETRY);
    assert_int_equal(tis_sts(machine, 0), 0x040FF480);
    assert_int_equal(machine->tpm->submits, 0);
}

static void test_other_bits_of_sts_do_not_disturb_an_event(void **state)
{
    TISMachine *machine = *state;

    tis_request(machine, 0);
    tis_sts_set(machine, 0, ~(STS_READY | STS_GO | STS_RETRY));
    assert_int_equal(tis_sts(machine, 0), 0x04100000);
    tis_sts_set(machine, 0, ~(STS_GO | STS_RETRY));
    assert_int_equal(tis_sts(machine, 0), 0x04100040);
}

static void test_two_cancellations_of_a_command_are_both_passed_on(void **state)
{
    TISMachine *machine = *state;

    machine->tpm->submit_when = FAKE_WHEN_TOLD;
    machine->tpm->cancel_when = FAKE_WHEN_TOLD;
    tis_request(machine, 0);
    tis_start(machine, 0, command_2_0, sizeof(command_2_0));
    tis_sts_set(machine, 0, STS_CANCEL);
    tis_sts_set(machine, 0, STS_CANCEL);
    assert_int_equal(machine->tpm->cancels, 2);
    fake_backend_answer(machine->tpm);
    tis_assert_response(machine, 0, machine->tpm->response, 10);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, tis_setup_2_0, tis_teardown)

static const struct CMUnitTest named_tests[] = {
    TEST(test_reset_establishment_is_for_locality_3_alone),
    TEST(test_three_events_at_once_mean_nothing),
    TEST(test_other_bits_of_sts_do_not_disturb_an_event),
    TEST(test_two_cancellations_of_a_command_are_both_passed_on),
};

static void add_case(MadeTests *tests, const Case *c)
{
    Cell cell = expected_of(c->version, c->state, c->event);
    State end = cell.then ? cell.then : cell.outcome;

    made_tests_add(tests, run_case, c, sizeof(*c), "test_%s_%s_in_%s_leads_to_%s",
                   c->version == TPM_VERSION_1_2 ? "1_2" : "2_0", events[c->event].name,
                   outcomes[c->state].name, outcomes[end].name);
}

int main(void)
{
    MadeTests *tests = made_tests_new();

    made_tests_add_named(tests, named_tests, G_N_ELEMENTS(named_tests));
    for (unsigned version = 0; version < 2; version++) {
        for (State state = IDLE; state < N_STATES; state++) {
            for (Event event = 0; event < N_EVENTS; event++) {
                add_case(tests,
                         &(Case){ version ? TPM_VERSION_1_2 : TPM_VERSION_2_0, state, event });
            }
        }
    }
    return made_tests_run(tests, "tis-states");
}
