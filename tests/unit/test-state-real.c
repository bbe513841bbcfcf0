/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The streams of tests/data/state that have the state of real TPMs in them, of libtpms and of
 * swtpm, in the clear and encrypted: each is loaded by what is installed here, and the TPM has the
 * PCRs, the NV, the keys and the session of then, and unseals what was sealed.
 *
 * With TPMDEV_WRITE_STATE=DIRECTORY in the environment the program writes those of the present
 * version there in place of looking at them: tests/update-state.sh.
 */
#include "command.h"
#include "crb-driver.h"
#include "real-commands.h"
#include "swtpm-process.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define DEADLINE_NS G_GINT64_CONSTANT(30000000000)

/* ---- what there is ---- */

typedef struct Subject {
    const char *name; /* of the files, but for what follows it */
    bool is_swtpm;
    TPMVersion version;
    TPMInterface interface;
    bool key; /* given to swtpm as --key, and so the next */
    bool migration_key;
} Subject;

/* clang-format off */
static const Subject subjects[] = {
    { "libtpms-2.0--tis", false, TPM_VERSION_2_0, TPM_INTERFACE_TIS, false, false },
    { "libtpms-2.0--crb", false, TPM_VERSION_2_0, TPM_INTERFACE_CRB, false, false },
    { "libtpms-1.2--tis", false, TPM_VERSION_1_2, TPM_INTERFACE_TIS, false, false },
    { "swtpm-2.0--tis", true, TPM_VERSION_2_0, TPM_INTERFACE_TIS, false, false },
    { "swtpm-2.0--crb", true, TPM_VERSION_2_0, TPM_INTERFACE_CRB, false, false },
    { "swtpm-1.2--tis", true, TPM_VERSION_1_2, TPM_INTERFACE_TIS, false, false },
    { "swtpm-key-2.0--tis", true, TPM_VERSION_2_0, TPM_INTERFACE_TIS, true, false },
    { "swtpm-key-1.2--tis", true, TPM_VERSION_1_2, TPM_INTERFACE_TIS, true, false },
    { "swtpm-migration-key-2.0--crb", true, TPM_VERSION_2_0, TPM_INTERFACE_CRB, false, true },
    { "swtpm-both-keys-2.0--tis", true, TPM_VERSION_2_0, TPM_INTERFACE_TIS, true, true },
};
/* clang-format on */

/* ---- the machine: a TPM, the device in front of it, and its guest ---- */

typedef struct Machine {
    const Subject *subject;
    Swtpm *tpm;       /* process, directory and backend; of libtpms without a process */
    TISMachine guest; /* the device alone */
    char *key;
    char *migration_key;
} Machine;

/* Keys that are no secret: they stand beside the streams. */
static char *key_option(const char *name)
{
    return g_strdup_printf("file=%s/v1-real/%s,format=hex,mode=aes-cbc", STATE_DATA, name);
}

static void launch(Machine *machine, bool with_keys)
{
    const Subject *subject = machine->subject;
    Swtpm *tpm = machine->tpm;

    if (subject->key && with_keys) {
        tpm->key = machine->key = key_option("key.hex");
    }
    if (subject->migration_key && with_keys) {
        tpm->migration_key = machine->migration_key = key_option("migration-key.hex");
    }
    swtpm_launch(tpm, subject->version == TPM_VERSION_1_2);
    swtpm_attach(tpm);
}

static void open_libtpms(Machine *machine)
{
    TPMLibtpmsConfig config = {
        .size = sizeof(config),
        .id = "tpm0",
        .directory = machine->tpm->directory,
        .version = machine->subject->version,
    };
    GError *error = NULL;

    machine->tpm->backend = tpmdev_backend_libtpms_new(&config, &error);
    if (!machine->tpm->backend) {
        fail_msg("%s", error->message);
    }
}

static Machine *machine_new(const Subject *subject, bool incoming, bool with_keys)
{
    Machine *machine = g_new0(Machine, 1);
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    TPMHost host = TPM_HOST_INIT;
    GError *error = NULL;

    machine->subject = subject;
    machine->tpm = swtpm_new();
    if (subject->is_swtpm) {
        launch(machine, with_keys);
    } else {
        open_libtpms(machine);
    }
    config.interface = subject->interface;
    config.incoming = incoming;
    machine->guest.device = tpmdev_device_new(&config, machine->tpm->backend, &host, NULL, &error);
    if (!machine->guest.device) {
        fail_msg("%s", error->message);
    }
    return machine;
}

static void machine_free(Machine *machine)
{
    tpmdev_device_free(machine->guest.device);
    swtpm_free(machine->tpm);
    g_free(machine->key);
    g_free(machine->migration_key);
    g_free(machine);
}

/* ---- what a guest does ---- */

static bool is_crb(const Machine *machine)
{
    return machine->subject->interface == TPM_INTERFACE_CRB;
}

static void wait_for_response(Machine *machine)
{
    gint64 deadline = g_get_monotonic_time() + DEADLINE_NS / 1000;

    while (is_crb(machine) ? crb_is_running(&machine->guest, 0)
                           : !tis_has_response(&machine->guest, 0)) {
        assert_true(g_get_monotonic_time() < deadline);
        g_usleep(100);
    }
}

static GByteArray *read_response(Machine *machine)
{
    uint8_t response[BUFFER_BYTES];
    size_t size;

    if (is_crb(machine)) {
        crb_get(&machine->guest, 0, response, sizeof(response));
        size = tpm_header_len(response);
        crb_loc(&machine->guest, 0, LOC_RELINQUISH);
    } else {
        size = tis_response(&machine->guest, 0, response, sizeof(response));
        tis_access_set(&machine->guest, 0, ACCESS_RELINQUISH);
    }
    assert_in_range(size, TPM_HEADER_SIZE, sizeof(response));
    return g_byte_array_append(g_byte_array_new(), response, (guint)size);
}

/* The response to a command in hexadecimal. */
static GByteArray *run(Machine *machine, const char *text)
{
    g_autoptr(GByteArray) command = bytes_of_hex(text);

    assert_int_equal(tpm_header_len(command->data), command->len);
    if (is_crb(machine)) {
        crb_request(&machine->guest, 0);
        tis_write(&machine->guest, 0, REG_CTRL_REQ, 4, REQ_CMD_READY);
        crb_start(&machine->guest, 0, command->data, command->len);
    } else {
        tis_request(&machine->guest, 0);
        tis_start(&machine->guest, 0, command->data, command->len);
    }
    wait_for_response(machine);
    return read_response(machine);
}

static uint32_t code_of(Machine *machine, const char *text)
{
    g_autoptr(GByteArray) response = run(machine, text);

    return tpm_header_code(response->data);
}

static void do_it(Machine *machine, const char *text)
{
    uint32_t code = code_of(machine, text);

    if (code != 0) {
        fail_msg("%s: %x", text, code);
    }
}

static char *ask(Machine *machine, const char *text)
{
    g_autoptr(GByteArray) response = run(machine, text);
    GString *hex = g_string_new(NULL);

    for (guint i = 0; i < response->len; i++) {
        g_string_append_printf(hex, "%02x", response->data[i]);
    }
    return g_string_free(hex, FALSE);
}

static void wait_ready(Machine *machine)
{
    GError *error = NULL;

    if (!tpmdev_device_wait_ready(machine->guest.device, DEADLINE_NS, &error)) {
        fail_msg("%s", error->message);
    }
}

/* ---- what was, and what is there of it ---- */

static const char *const history_2_0[] = { STARTUP_2_0,    EXTEND_2_0,     DEFINE_SPACE,
                                           NV_WRITE,       CREATE_PRIMARY, SEAL,
                                           KEEP_SEALED,    FLUSH_SEALED,   START_SESSION,
                                           POLICY_LOCALITY };
static const char *const history_1_2[] = { STARTUP_1_2, EXTEND_1_2, DEFINE_SPACE_1_2, NV_WRITE_1_2,
                                           SAVE_STATE_1_2 };

static void make_history(Machine *machine)
{
    bool is_1_2 = machine->subject->version == TPM_VERSION_1_2;
    const char *const *history = is_1_2 ? history_1_2 : history_2_0;
    size_t n = is_1_2 ? G_N_ELEMENTS(history_1_2) : G_N_ELEMENTS(history_2_0);

    for (size_t i = 0; i < n; i++) {
        do_it(machine, history[i]);
    }
}

typedef struct Question {
    const char *name;
    const char *command;
    const char *known; /* in the answer, whoever gives it; NULL: it is each TPM's own */
} Question;

/* Each is answered in the same way, as often as it is asked. */
static const Question questions_2_0[] = {
    { "PCRs", PCRS_2_0, PCR_3_2_0 },    { "NV", NV_READ, "0102030405060708" },
    { "identity", IDENTITY_2_0, NULL }, { "primary key", READ_PUBLIC, NULL },
    { "session", POLICY_DIGEST, NULL },
};
static const Question questions_1_2[] = {
    { "PCR 3", PCR_1_2, PCR_3_1_2 },
    { "NV", NV_READ_1_2, "0102030405060708" },
};

static void assert_has(const char *name, const char *answer, const char *known)
{
    if (!strstr(answer, known)) {
        fail_msg("%s: '%s' has no '%s'", name, answer, known);
    }
}

/* The answers, a line for each. */
static char *questioning(Machine *machine)
{
    bool is_1_2 = machine->subject->version == TPM_VERSION_1_2;
    const Question *questions = is_1_2 ? questions_1_2 : questions_2_0;
    size_t n = is_1_2 ? G_N_ELEMENTS(questions_1_2) : G_N_ELEMENTS(questions_2_0);
    GString *text = g_string_new(NULL);

    for (size_t i = 0; i < n; i++) {
        g_autofree char *answer = ask(machine, questions[i].command);

        assert_has(questions[i].name, answer, questions[i].known ? questions[i].known : "");
        g_string_append_printf(text, "%s: %s\n", questions[i].name, answer);
    }
    return g_string_free(text, FALSE);
}

/* The session has nonces of the TPM's: its answers are another one each time. */
static void unseal(Machine *machine)
{
    do_it(machine, START_SESSION);
    do_it(machine, POLICY_PCR);
    g_autofree char *answer = ask(machine, UNSEAL);

    assert_has("secret", answer, SECRET);
}

/* ---- writing ---- */

static bool write_one(const Subject *subject, const char *directory)
{
    g_autofree char *stream_path = g_strdup_printf("%s/%s.state", directory, subject->name);
    g_autofree char *text_path = g_strdup_printf("%s/%s.txt", directory, subject->name);
    Machine *machine = machine_new(subject, false, true);
    GError *error = NULL;

    wait_ready(machine);
    make_history(machine);
    g_autoptr(GBytes) stream = tpmdev_device_save(machine->guest.device, DEADLINE_NS, &error);

    if (!stream) {
        fprintf(stderr, "%s: %s\n", subject->name, error->message);
        return false;
    }
    tpmdev_device_resume(machine->guest.device);
    g_autofree char *text = questioning(machine);
    bool good = g_file_set_contents(stream_path, g_bytes_get_data(stream, NULL),
                                    (gssize)g_bytes_get_size(stream), NULL) &&
                g_file_set_contents(text_path, text, -1, NULL);

    machine_free(machine);
    return good;
}

static int write_all(const char *directory)
{
    for (size_t i = 0; i < G_N_ELEMENTS(subjects); i++) {
        if (!write_one(&subjects[i], directory)) {
            return 1;
        }
    }
    return 0;
}

/* ---- loading ---- */

static GBytes *kept_stream(const Subject *subject)
{
    g_autofree char *path = g_strdup_printf("%s/v1-real/%s.state", STATE_DATA, subject->name);
    char *content;
    gsize size;
    GError *error = NULL;

    if (!g_file_get_contents(path, &content, &size, &error)) {
        fail_msg("%s", error->message);
    }
    return g_bytes_new_take(content, size);
}

static char *kept_text(const Subject *subject)
{
    g_autofree char *path = g_strdup_printf("%s/v1-real/%s.txt", STATE_DATA, subject->name);
    char *text;
    GError *error = NULL;

    if (!g_file_get_contents(path, &text, NULL, &error)) {
        fail_msg("%s", error->message);
    }
    return text;
}

static Machine *loaded_machine(const Subject *subject)
{
    Machine *machine = machine_new(subject, true, true);
    g_autoptr(GBytes) stream = kept_stream(subject);
    GError *error = NULL;

    if (!tpmdev_device_load(machine->guest.device, stream, DEADLINE_NS, &error)) {
        fail_msg("%s", error->message);
    }
    tpmdev_device_resume(machine->guest.device);
    return machine;
}

static void test_the_tpm_is_that_of_then(void **state)
{
    const Subject *subject = *state;
    Machine *machine = loaded_machine(subject);
    g_autofree char *wanted = kept_text(subject);
    g_autofree char *found = questioning(machine);

    assert_string_equal(found, wanted);
    if (subject->version == TPM_VERSION_2_0) {
        unseal(machine);
    }
    machine_free(machine);
}

/* The PCRs are gone with the power, and the secret is sealed to one of them. */
static void check_permanent_2_0(Machine *machine)
{
    g_autofree char *nv = NULL;

    do_it(machine, STARTUP_2_0);
    nv = ask(machine, NV_READ);
    assert_has("NV", nv, "0102030405060708");
    do_it(machine, START_SESSION);
    do_it(machine, START_SESSION);
    do_it(machine, POLICY_PCR);
    assert_int_equal(code_of(machine, UNSEAL), 0x99D); /* TPM_RC_POLICY_FAIL of session 1 */
    do_it(machine, FLUSH_SESSION);
    do_it(machine, EXTEND_2_0);
    unseal(machine);
}

/* What TPM_SaveState kept is there for this. */
static void check_permanent_1_2(Machine *machine)
{
    g_autofree char *pcr = NULL;
    g_autofree char *nv = NULL;

    do_it(machine, STARTUP_STATE_1_2);
    pcr = ask(machine, PCR_1_2);
    assert_has("PCR 3", pcr, PCR_3_1_2);
    nv = ask(machine, NV_READ_1_2);
    assert_has("NV", nv, "0102030405060708");
}

static void test_what_it_keeps_without_power_is_there_after_a_reset(void **state)
{
    const Subject *subject = *state;
    Machine *machine = loaded_machine(subject);

    tpmdev_device_reset(machine->guest.device);
    wait_ready(machine);
    if (subject->version == TPM_VERSION_1_2) {
        check_permanent_1_2(machine);
    } else {
        check_permanent_2_0(machine);
    }
    machine_free(machine);
}

/* ---- refusals ---- */

static const Subject *subject_named(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(subjects); i++) {
        if (strcmp(subjects[i].name, name) == 0) {
            return &subjects[i];
        }
    }
    fail_msg("there is no '%s'", name);
    return NULL;
}

/* And the target starts the TPM it has. */
static void refuse(const Subject *target, bool with_keys, const char *source, TPMError code,
                   const char *words)
{
    Machine *machine = machine_new(target, true, with_keys);
    g_autoptr(GBytes) stream = kept_stream(subject_named(source));
    g_autoptr(GError) error = NULL;

    assert_false(tpmdev_device_load(machine->guest.device, stream, DEADLINE_NS, &error));
    if (!strstr(error->message, words) || error->code != (int)code) {
        fail_msg("%d: '%s' has no '%s'", error->code, error->message, words);
    }
    tpmdev_device_resume(machine->guest.device);
    wait_ready(machine);
    do_it(machine, target->version == TPM_VERSION_1_2 ? STARTUP_1_2 : STARTUP_2_0);
    machine_free(machine);
}

static void test_without_its_key_a_state_is_refused(void **state)
{
    static const char *const names[] = { "swtpm-key-2.0--tis", "swtpm-key-1.2--tis",
                                         "swtpm-migration-key-2.0--crb",
                                         "swtpm-both-keys-2.0--tis" };

    (void)state;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        refuse(subject_named(names[i]), false, names[i], TPM_ERROR_STATE_MISMATCH,
               "it is encrypted and this swtpm has no key; give it the --key, or --migration-key");
    }
}

static void test_a_tpm_of_another_kind_refuses_it(void **state)
{
    (void)state;
    refuse(subject_named("swtpm-2.0--tis"), true, "libtpms-2.0--tis", TPM_ERROR_STATE_MISMATCH,
           "is that of a TPM of type libtpms and the TPM backend 'tpm0' is of type emulator");
    refuse(subject_named("libtpms-2.0--tis"), true, "swtpm-2.0--tis", TPM_ERROR_STATE_MISMATCH,
           "is that of a TPM of type emulator and the TPM backend 'tpm0' is of type libtpms");
    refuse(subject_named("swtpm-2.0--tis"), true, "swtpm-1.2--tis", TPM_ERROR_STATE_MISMATCH,
           "is that of a TPM 1.2 and this device has a TPM 2.0");
    refuse(subject_named("libtpms-1.2--tis"), true, "libtpms-2.0--tis", TPM_ERROR_STATE_MISMATCH,
           "is that of a TPM 2.0 and this device has a TPM 1.2");
}

int main(void)
{
    static const struct CMUnitTest refusals[] = {
        cmocka_unit_test(test_without_its_key_a_state_is_refused),
        cmocka_unit_test(test_a_tpm_of_another_kind_refuses_it),
    };
    const char *directory = g_getenv("TPMDEV_WRITE_STATE");
    struct CMUnitTest tests[2 * G_N_ELEMENTS(subjects) + G_N_ELEMENTS(refusals)];
    size_t n = 0;

    if (directory) {
        return write_all(directory);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(subjects); i++) {
        void *subject = (void *)&subjects[i];

        tests[n++] = (struct CMUnitTest){ g_strdup(subjects[i].name), test_the_tpm_is_that_of_then,
                                          NULL, NULL, subject };
        tests[n++] = (struct CMUnitTest){ g_strconcat(subjects[i].name, " after a reset", NULL),
                                          test_what_it_keeps_without_power_is_there_after_a_reset,
                                          NULL, NULL, subject };
    }
    memcpy(tests + n, refusals, sizeof(refusals));
    int failed =
        _cmocka_run_group_tests("state-real", tests, n + G_N_ELEMENTS(refusals), NULL, NULL);

    for (size_t i = 0; i < n; i++) {
        g_free((char *)tests[i].name);
    }
    return failed;
}
