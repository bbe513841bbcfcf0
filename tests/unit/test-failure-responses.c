/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a guest is answered when there is no response of its TPM: for each thing that can go wrong,
 * each interface and each version one header, in the shape of the version and with the code that a
 * TPM of it gives. Linux and OVMF tell a TPM 1.2 from a 2.0 by nothing else.
 */
#include "crb-driver.h"
#include "spapr-driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef enum Interface { TIS, CRB, SPAPR } Interface;

typedef enum Trouble {
    DIES,            /* the TPM fails under the command */
    IS_DEAD,         /* it has failed before */
    DOES_NOT_START,  /* it has never been there */
    SAYS_NOTHING,    /* it ends the command without a response */
    SAYS_TOO_LITTLE, /* less than a header */
    LIES,            /* more bytes than the size field says */
    SAYS_TOO_MUCH,   /* more than the guest has room for */
    WRONG_TAG,       /* the command's tag is of the other version */
    WRONG_SIZE,      /* the command is shorter than a header, it says */
    CANCELLED,       /* before the TPM had it */
} Trouble;

typedef struct Row {
    Trouble trouble;
    const char *name;
    uint32_t code_1_2; /* 0: it cannot be */
    uint32_t code_2_0;
} Row;

/* TPM 2.0 Part 2 "TPM_RC", TPM 1.2 Part 2 "Return Codes". */
static const Row rows[] = {
    { DIES, "tpm_that_dies", 9, 0x101 },
    { IS_DEAD, "tpm_that_is_dead", 9, 0x101 },
    { DOES_NOT_START, "tpm_that_does_not_start", 9, 0x101 },
    { SAYS_NOTHING, "tpm_that_says_nothing", 9, 0x101 },
    { SAYS_TOO_LITTLE, "tpm_that_says_too_little", 9, 0x101 },
    { LIES, "tpm_that_lies_about_the_size", 9, 0x101 },
    { SAYS_TOO_MUCH, "tpm_that_says_too_much", 9, 0x101 },
    { WRONG_TAG, "tag_of_the_other_version", 0x1E, 0x084 },
    { WRONG_SIZE, "command_of_a_wrong_size", 0x19, 0x142 },
    { CANCELLED, "command_cancelled_before_the_tpm_had_it", 0, 0x909 },
};

typedef struct Case {
    char name[96];
    const Row *row;
    Interface interface;
    TPMVersion version;
} Case;

/* ---- what goes wrong ---- */

static void prepare_tpm(FakeBackend *tpm, Trouble trouble)
{
    uint8_t response[TPM_HEADER_SIZE + 1] = { 0x80, 0x01, 0, 0, 0, TPM_HEADER_SIZE };

    switch (trouble) {
    case DIES:
        tpm->submit_fails = true;
        break;
    case DOES_NOT_START:
        tpm->start_fails = true;
        break;
    case SAYS_NOTHING:
        fake_backend_respond(tpm, "", 0);
        break;
    case SAYS_TOO_LITTLE:
        fake_backend_respond(tpm, response, TPM_HEADER_SIZE - 1);
        break;
    case LIES:
        fake_backend_respond(tpm, response, TPM_HEADER_SIZE + 1);
        break;
    case SAYS_TOO_MUCH:
        fake_backend_respond_with_size(tpm, TPM_BUFFER_SIZE_MAX + 1);
        break;
    case CANCELLED:
        tpm->start_when = FAKE_WHEN_TOLD;
        break;
    case IS_DEAD:
    case WRONG_TAG:
    case WRONG_SIZE:
        break;
    }
}

/* Once there is a device. */
static void trouble_tpm(FakeBackend *tpm, Trouble trouble)
{
    if (trouble == IS_DEAD) {
        fake_backend_fail(tpm);
    }
}

static size_t make_command(const Case *test, uint8_t command[14])
{
    Trouble trouble = test->row->trouble;
    bool is_1_2 = (test->version == TPM_VERSION_1_2) != (trouble == WRONG_TAG);
    size_t size = is_1_2 ? sizeof(command_1_2) : sizeof(command_2_0);

    memcpy(command, is_1_2 ? command_1_2 : command_2_0, size);
    if (trouble == WRONG_SIZE) {
        command[5] = 3;
    }
    return size;
}

static void assert_header(const Case *test, const uint8_t response[TPM_HEADER_SIZE])
{
    bool is_1_2 = test->version == TPM_VERSION_1_2;
    uint32_t code = is_1_2 ? test->row->code_1_2 : test->row->code_2_0;
    const uint8_t expected[TPM_HEADER_SIZE] = {
        is_1_2 ? 0x00 : 0x80, is_1_2 ? 0xC4 : 0x01,  0, 0, 0, TPM_HEADER_SIZE, 0, 0,
        (uint8_t)(code >> 8), (uint8_t)(code & 0xFF)
    };

    assert_memory_equal(response, expected, sizeof(expected));
}

/* ---- each interface ---- */

static void check_tis(const Case *test)
{
    TISMachine *machine = tis_machine_prepare(test->version, FAKE_FULL, TPM_BUFFER_SIZE_COMMON);
    uint8_t command[14], response[64];
    size_t size = make_command(test, command);

    prepare_tpm(machine->tpm, test->row->trouble);
    tis_machine_plug(machine);
    trouble_tpm(machine->tpm, test->row->trouble);
    tis_request(machine, 0);
    tis_start(machine, 0, command, size);
    if (test->row->trouble == CANCELLED) {
        assert_false(tis_has_response(machine, 0));
        tis_sts_set(machine, 0, STS_CANCEL);
    }
    assert_int_equal(tis_response(machine, 0, response, sizeof(response)), TPM_HEADER_SIZE);
    assert_header(test, response);
    if (test->row->trouble == CANCELLED) {
        fake_backend_answer(machine->tpm);
        assert_int_equal(machine->tpm->submits, 0);
    }
    tis_machine_free(machine);
}

static void check_crb(const Case *test)
{
    TISMachine *machine = crb_machine_prepare();
    uint8_t command[14], response[TPM_HEADER_SIZE];
    size_t size = make_command(test, command);

    prepare_tpm(machine->tpm, test->row->trouble);
    tis_machine_plug(machine);
    trouble_tpm(machine->tpm, test->row->trouble);
    crb_request(machine, 0);
    crb_start(machine, 0, command, size);
    if (test->row->trouble == CANCELLED) {
        assert_true(crb_is_running(machine, 0));
        tis_write(machine, 0, REG_CTRL_CANCEL, 4, 1);
    }
    assert_false(crb_is_running(machine, 0));
    crb_get(machine, 0, response, sizeof(response));
    assert_header(test, response);
    if (test->row->trouble == CANCELLED) {
        fake_backend_answer(machine->tpm);
        assert_int_equal(machine->tpm->submits, 0);
    }
    tis_machine_free(machine);
}

static void check_spapr(const Case *test)
{
    SpaprMachine *machine = spapr_machine_prepare(test->version, TPM_BUFFER_SIZE_COMMON);
    uint8_t command[14];
    size_t size = make_command(test, command);

    prepare_tpm(machine->tpm, test->row->trouble);
    spapr_machine_plug(machine);
    trouble_tpm(machine->tpm, test->row->trouble);
    spapr_start(machine, command, size);
    assert_int_equal(spapr_messages(machine), 1);
    assert_header(test, machine->memory + (BUFFER - MEMORY));
    spapr_machine_free(machine);
}

static void test_case(void **state)
{
    const Case *test = *state;

    switch (test->interface) {
    case TIS:
        check_tis(test);
        break;
    case CRB:
        check_crb(test);
        break;
    case SPAPR:
        check_spapr(test);
        break;
    }
}

/* ---- every case there is ---- */

static const char *const interface_names[] = { [TIS] = "tis", [CRB] = "crb", [SPAPR] = "spapr" };

/* A CRB device has a TPM 2.0, and tpm-spapr no cancel. */
static bool can_be(const Row *row, Interface interface, TPMVersion version)
{
    return !(interface == CRB && version == TPM_VERSION_1_2) &&
           !(interface == SPAPR && row->trouble == CANCELLED) &&
           (version == TPM_VERSION_2_0 ? row->code_2_0 : row->code_1_2) != 0;
}

int main(void)
{
    static Case cases[G_N_ELEMENTS(rows) * 6];
    struct CMUnitTest tests[G_N_ELEMENTS(cases)] = { 0 };
    size_t n = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const Row *row = &rows[i / 6];
        Interface interface = (Interface)(i % 6 / 2);
        TPMVersion version = i % 2 ? TPM_VERSION_2_0 : TPM_VERSION_1_2;
        Case *test = &cases[n];

        if (!can_be(row, interface, version)) {
            continue;
        }
        *test = (Case){ .row = row, .interface = interface, .version = version };
        snprintf(test->name, sizeof(test->name), "test_%s_of_%s_%s", row->name,
                 interface_names[interface], version == TPM_VERSION_1_2 ? "1_2" : "2_0");
        tests[n].name = test->name;
        tests[n].test_func = test_case;
        tests[n].initial_state = test;
        n++;
    }
    return _cmocka_run_group_tests("failure-responses", tests, n, NULL, NULL);
}
