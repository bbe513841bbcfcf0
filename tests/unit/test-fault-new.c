/* SPDX-License-Identifier: BSD-3-Clause */
/* How a `fault` backend is made: option strings, their fields, and each message. */
#include "fault-fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

/* ---- construction ---- */

static const char *find_socket(void *opaque, const char *id)
{
    assert_string_equal(id, "chr");
    ++*(unsigned *)opaque;
    return "/nowhere";
}

static void test_a_string_describes_the_tpm_within_and_its_fault(void **state)
{
    static const char *const good[] = {
        "fault,id=f,backend=null,,id=n,what=delay,delay=100",
        "fault,id=f,backend=null,,id=n,what=delay,delay=100-2000,percent=10,seed=0x77",
        "fault,id=f,backend=null,,id=n,,version=1.2,what=truncated,bytes=4,ordinal=0x17b,nth=3",
        "fault,id=f,backend=null,,id=n,what=code,code=0x922",
        "fault,id=f,backend=null,,id=n,what=death,byte=123456789012",
        "fault,id=f,backend=fault,,id=g,,backend=null,,,,id=n,,what=hang,what=size",
        "fault,id=f,backend=null,,id=n,what=delay,on=command,delay=100",
        "fault,id=f,backend=null,,id=n,what=delay,on=save,delay=100-200,percent=3",
        "fault,id=f,backend=null,,id=n,what=hang,on=load,delay=100,nth=2",
        "fault,id=f,backend=null,,id=n,what=death,on=resume",
        "fault,id=f,backend=null,,id=n,what=refuse,on=can-migrate",
    };
    unsigned lookups = 0;
    GError *error = NULL;

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        TPMBackend *backend = tpmdev_backend_new_from_string(good[i], NULL, NULL, &error);

        if (!backend) {
            fail_msg("%s: %s", good[i], error->message);
        }
        assert_string_equal(tpmdev_backend_get_id(backend), "f");
        assert_int_equal(tpmdev_backend_get_version(backend),
                         i == 2 ? TPM_VERSION_1_2 : TPM_VERSION_2_0);
        tpmdev_backend_unref(backend);
    }
    assert_null(tpmdev_backend_new_from_string(
        "fault,id=f,backend=emulator,,id=e,,chardev=chr,what=hang", find_socket, &lookups, &error));
    assert_int_equal(lookups, 1);
    assert_non_null(strstr(error->message, "backend of 'fault': "));
    g_error_free(error);
}

static void test_each_bad_string_has_its_own_message(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "what=hang", "fault: parameter 'backend' is missing; give backend=VALUE" },
        { "backend=null,,id=n", "fault: parameter 'what' is missing; give what=VALUE" },
        { "backend=stone,,id=n,what=hang", "backend of 'fault': parameter 'type' is 'stone'" },
        { "backend=null,what=hang", "backend of 'fault': null: parameter 'id' is missing" },
        { "backend=null,,id=n,what=boom",
          "parameter 'what' is 'boom'; it must be delay, hang, size, truncated, longer, garbage, "
          "code, death, start or refuse" },
        { "backend=null,,id=n,what=hang,on=fire",
          "parameter 'on' is 'fire'; it must be command, save, load, resume or can-migrate" },
        { "backend=null,,id=n,what=code,on=save", "TPM fault: the fault cannot show on that; " },
        { "backend=null,,id=n,what=refuse", "TPM fault: the fault cannot show on that; " },
        { "backend=null,,id=n,what=code,code=x", "parameter 'code' is 'x'" },
        { "backend=null,,id=n,what=code,code=0x100000000",
          "parameter 'code' is '0x100000000'; it must be a number of 32 bits" },
        { "backend=null,,id=n,what=delay,delay=5-", "parameter 'delay' is '5-'; it must be micro" },
        { "backend=null,,id=n,what=delay,delay=5-4", "parameter 'delay' is '5-4'" },
        { "backend=null,,id=n,what=delay,delay=", "parameter 'delay' is ''" },
        { "backend=null,,id=n,what=delay,delay=3600000001", "parameter 'delay' is '36000000" },
        { "backend=null,,id=n,what=hang,percent=101", "parameter 'percent' is '101'" },
        { "backend=null,,id=n,what=longer,bytes=8193", "parameter 'bytes' is '8193'" },
        { "backend=null,,id=n,what=hang,color=red", "fault: invalid parameter 'color'" },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = g_strconcat("fault,id=f,", cases[i].text, NULL);
        GError *error = NULL;

        assert_null(tpmdev_backend_new_from_string(text, NULL, NULL, &error));
        if (!g_str_has_prefix(error->message, cases[i].message)) {
            fail_msg("%s: %s", text, error->message);
        }
        g_error_free(error);
    }
}

static void assert_refused(const TPMFaultConfig *config, int code, const char *message)
{
    GError *error = NULL;

    assert_null(tpmdev_backend_fault_new(config, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, code));
    assert_string_equal(error->message, message);
    g_error_free(error);
}

#define NOT_OF_A_COMMAND "TPM fault: ordinal and byte are for faults on command; leave them out"

static void test_each_bad_field_has_its_own_message(void **state)
{
    TISMachine *machine = *state;
    const TPMFaultConfig good = fault_config(machine, TPM_FAULT_HANG);
    TPMFaultConfig bad = good;

    bad.size = 0;
    assert_refused(&bad, TPM_ERROR_INVALID_OPTION,
                   "TPM fault: size must be sizeof(TPMFaultConfig)");
    bad = good;
    bad.fault = (TPMFault)10;
    assert_refused(&bad, TPM_ERROR_INVALID_OPTION, "TPM fault: the fault is none of TPMFault's");
    bad = good;
    bad.on = (TPMFaultOn)5;
    assert_refused(&bad, TPM_ERROR_INVALID_OPTION,
                   "TPM fault: what it shows on is none of TPMFaultOn's");
    bad = good;
    bad.on = TPM_FAULT_ON_SAVE;
    bad.ordinal = 0x17B;
    assert_refused(&bad, TPM_ERROR_INVALID_OPTION, NOT_OF_A_COMMAND);
    bad.ordinal = 0;
    bad.byte = 1;
    assert_refused(&bad, TPM_ERROR_INVALID_OPTION, NOT_OF_A_COMMAND);
    bad = good;
    bad.percent = 101;
    assert_refused(&bad, TPM_ERROR_INVALID_OPTION, "TPM fault: percent is above 100");
    bad = good;
    bad.bytes = TPM_BUFFER_SIZE_MAX + 1;
    assert_refused(&bad, TPM_ERROR_INVALID_OPTION, "TPM fault: bytes is above TPM_BUFFER_SIZE_MAX");
    bad = good;
    bad.delay_max_us = TPM_FAULT_DELAY_MAX + 1;
    assert_refused(&bad, TPM_ERROR_INVALID_OPTION,
                   "TPM fault: the delay is above TPM_FAULT_DELAY_MAX, an hour");
    bad = good;
    bad.delay_min_us = 2;
    bad.delay_max_us = 1;
    assert_refused(&bad, TPM_ERROR_INVALID_OPTION, "TPM fault: delay_max_us is below delay_min_us");
    bad = good;
    bad.backend = NULL;
    assert_refused(&bad, TPM_ERROR_MISSING_OPTION,
                   "TPM fault: the backend is missing; give the TPM that gets the fault");
    bad = good;
    bad.id = "";
    assert_refused(&bad, TPM_ERROR_INVALID_OPTION,
                   "TPM backend: the id is empty; give the backend a name");
}

/* Each fault with each thing it could show on: what goes together is what the table says. */
static void test_a_fault_shows_on_what_it_can_alone(void **state)
{
    /* command, save, load, resume, can-migrate */
    static const char *const together[] = {
        [TPM_FAULT_DELAY] = "yyy--",  [TPM_FAULT_HANG] = "yyy--",
        [TPM_FAULT_SIZE] = "y----",   [TPM_FAULT_TRUNCATED] = "y----",
        [TPM_FAULT_LONGER] = "y----", [TPM_FAULT_GARBAGE] = "y----",
        [TPM_FAULT_CODE] = "y----",   [TPM_FAULT_DEATH] = "yyyy-",
        [TPM_FAULT_START] = "y----",  [TPM_FAULT_REFUSE] = "-yy-y",
    };
    TISMachine *machine = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(together); i++) {
        for (unsigned on = 0; together[i][on]; on++) {
            TPMFaultConfig config = fault_config(machine, (TPMFault)i);

            config.on = (TPMFaultOn)on;
            TPMBackend *backend = tpmdev_backend_fault_new(&config, NULL);

            assert_int_equal(backend != NULL, together[i][on] == 'y');
            tpmdev_backend_unref(backend);
        }
    }
}

/* One built before there was the member, with something else behind its struct. */
static void test_a_program_that_knows_commands_alone_gets_faults_of_commands(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_CODE);

    config.size = offsetof(TPMFaultConfig, on);
    config.on = TPM_FAULT_ON_SAVE;
    fault_plug(machine, &config);
    fault_start_command(machine);
    fault_assert_failure(machine);
}

static void test_a_tpm_that_serves_a_device_is_not_to_be_had(void **state)
{
    TISMachine *machine = *state;
    TPMFaultConfig config = fault_config(machine, TPM_FAULT_HANG);
    GError *error = NULL;

    tis_machine_plug(machine);
    assert_null(tpmdev_backend_fault_new(&config, &error));
    assert_true(g_error_matches(error, TPMDEV_ERROR, TPM_ERROR_IN_USE));
    g_error_free(error);
}

#define TEST_2_0(test) cmocka_unit_test_setup_teardown(test, fault_setup_2_0, tis_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_string_describes_the_tpm_within_and_its_fault),
        cmocka_unit_test(test_each_bad_string_has_its_own_message),
        TEST_2_0(test_each_bad_field_has_its_own_message),
        TEST_2_0(test_a_fault_shows_on_what_it_can_alone),
        TEST_2_0(test_a_program_that_knows_commands_alone_gets_faults_of_commands),
        TEST_2_0(test_a_tpm_that_serves_a_device_is_not_to_be_had),
    };

    return cmocka_run_group_tests_name("fault-new", tests, NULL, NULL);
}
