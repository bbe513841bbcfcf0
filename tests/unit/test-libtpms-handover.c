/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TPM of libtpms whose directory changes hands: the source lets go of it when it is saved, the
 * destination takes it when it loads, and only one of the two goes on. libtpms is one to a process,
 * so of two that there are at once one is played by what it does to the directory.
 */
#include "libtpms-engine.h"
#include "libtpms-fixture.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define LET_GO "TPM state directory 'DIR' was let go of when its TPM was saved, and "
#define ONE    "; only one of the two may ever be resumed"

/* ---- a TPM that waits for its directory ---- */

static GMutex wait_lock; /* for all that follows */
static GCond wait_changed;
static TPMStateDirectory *lets_go; /* closed when the TPM has to wait for the first time */
static bool waits_for_hurry;       /* it waits until it is to hurry, and then once more */
static bool hurried;
static unsigned waits;

void __real_g_usleep(gulong microseconds);
void __wrap_g_usleep(gulong microseconds);
void __real_libtpms_engine_hurry(LibtpmsEngine *engine);
void __wrap_libtpms_engine_hurry(LibtpmsEngine *engine);

void __wrap_g_usleep(gulong microseconds)
{
    gint64 deadline = g_get_monotonic_time() + CLIENT_DEADLINE_S * G_TIME_SPAN_SECOND;

    g_mutex_lock(&wait_lock);
    TPMStateDirectory *other = g_steal_pointer(&lets_go);

    waits++;
    g_cond_signal(&wait_changed);
    while (waits_for_hurry && !hurried && g_cond_wait_until(&wait_changed, &wait_lock, deadline)) {
    }
    g_mutex_unlock(&wait_lock);
    tpm_state_directory_close(other);
    __real_g_usleep(microseconds);
}

void __wrap_libtpms_engine_hurry(LibtpmsEngine *engine)
{
    __real_libtpms_engine_hurry(engine);
    g_mutex_lock(&wait_lock);
    hurried = true;
    g_cond_signal(&wait_changed);
    g_mutex_unlock(&wait_lock);
}

static unsigned count_waits(void)
{
    g_mutex_lock(&wait_lock);
    unsigned count = waits;
    g_mutex_unlock(&wait_lock);
    return count;
}

static void begin_waiting(TPMStateDirectory *other, bool for_hurry)
{
    g_mutex_lock(&wait_lock);
    lets_go = other;
    waits_for_hurry = for_hurry;
    hurried = false;
    waits = 0;
    g_mutex_unlock(&wait_lock);
}

static void wait_until_it_waits(void)
{
    gint64 deadline = g_get_monotonic_time() + CLIENT_DEADLINE_S * G_TIME_SPAN_SECOND;
    bool in_time = true;

    g_mutex_lock(&wait_lock);
    while (waits == 0 && in_time) {
        in_time = g_cond_wait_until(&wait_changed, &wait_lock, deadline);
    }
    g_mutex_unlock(&wait_lock);
    assert_true(in_time);
}

/* The directory is free, or is to be tried for once more. */
static void end_waiting(void)
{
    g_mutex_lock(&wait_lock);
    waits_for_hurry = false;
    g_cond_signal(&wait_changed);
    g_mutex_unlock(&wait_lock);
}

/* ---- a directory on a disk that is sick ---- */

static gint let_go_fails; /* atomic; and so the next: it fails once */
static gint store_of_saved_fails;

bool __real_tpm_state_directory_let_go(TPMStateDirectory *directory, GError **error);
bool __wrap_tpm_state_directory_let_go(TPMStateDirectory *directory, GError **error);

bool __wrap_tpm_state_directory_let_go(TPMStateDirectory *directory, GError **error)
{
    if (g_atomic_int_get(&let_go_fails)) {
        g_set_error_literal(error, TPMDEV_ERROR, TPM_ERROR_IO, "the disk is sick");
        return false;
    }
    return __real_tpm_state_directory_let_go(directory, error);
}

bool __real_tpm_state_directory_store(TPMStateDirectory *directory, TPMStateKind kind,
                                      const void *data, size_t size, GError **error);
bool __wrap_tpm_state_directory_store(TPMStateDirectory *directory, TPMStateKind kind,
                                      const void *data, size_t size, GError **error);

bool __wrap_tpm_state_directory_store(TPMStateDirectory *directory, TPMStateKind kind,
                                      const void *data, size_t size, GError **error)
{
    if (kind == TPM_STATE_SAVED &&
        g_atomic_int_compare_and_exchange(&store_of_saved_fails, TRUE, FALSE)) {
        g_set_error_literal(error, TPMDEV_ERROR, TPM_ERROR_IO, "the disk is sick");
        return false;
    }
    return __real_tpm_state_directory_store(directory, kind, data, size, error);
}

/* Also when the test has failed. */
static int handover_tear_down(void **state)
{
    g_mutex_lock(&wait_lock);
    TPMStateDirectory *other = g_steal_pointer(&lets_go);
    g_mutex_unlock(&wait_lock);
    tpm_state_directory_close(other);
    begin_waiting(NULL, false);
    g_atomic_int_set(&let_go_fails, FALSE);
    g_atomic_int_set(&store_of_saved_fails, FALSE);
    return fixture_tear_down(state);
}

#define HANDOVER_TEST(name)                                                                        \
    cmocka_unit_test_setup_teardown(name, fixture_set_up, handover_tear_down)

/* ---- a backend ---- */

static void make_with(Fixture *fixture, TPMLibtpmsConfig config)
{
    config.size = sizeof(config);
    config.id = "tpm0";
    config.directory = fixture->path;
    config.version = config.version ? config.version : TPM_VERSION_2_0;
    drop_backend(fixture);
    fixture->backend = tpmdev_backend_libtpms_new(&config, &fixture->error);
    if (!fixture->backend) {
        fail_msg("new: %s", fixture->error->message);
    }
    bind_client(fixture);
}

static void make_source(Fixture *fixture)
{
    make_with(fixture, (TPMLibtpmsConfig){ .release_lock_outgoing = true });
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, nv_define), 0);
    assert_int_equal(COMMAND(fixture, nv_write), 0);
    assert_int_equal(COMMAND(fixture, extend_16), 0);
}

static void make_destination(Fixture *fixture)
{
    make_with(fixture, (TPMLibtpmsConfig){ .incoming = true });
}

static void assert_load_refused(Fixture *fixture, const TPMState *state, TPMError code,
                                const char *why)
{
    assert_false(backend_client_load(fixture->client, TPM_BUFFER_SIZE_COMMON, state));
    assert_message(fixture, fixture->client->move_error, why);
    assert_int_equal(fixture->client->move_code, code);
}

/* A TPM that was saved by a source that is gone. */
static TPMState *saved_by_another(Fixture *fixture)
{
    make_source(fixture);
    TPMState *state = save_tpm(fixture);

    drop_backend(fixture);
    return state;
}

static void resume(Fixture *fixture)
{
    tpm_backend_resume(fixture->backend);
}

/* It has failed, for this reason, and answers so. */
static void assert_failed(Fixture *fixture, const char *why)
{
    backend_client_wait_failed(fixture->client, 1);
    assert_message(fixture, fixture->client->failure, why);
    assert_int_equal(COMMAND(fixture, get_random), 0x101);
}

/* ---- the directory ---- */

static void assert_file(const Fixture *fixture, const char *name, GBytes *wanted)
{
    g_autoptr(GBytes) found = state_file(fixture, name);

    assert_true(found && g_bytes_equal(found, wanted));
}

static void assert_not_file(const Fixture *fixture, const char *name, GBytes *unwanted)
{
    g_autoptr(GBytes) found = state_file(fixture, name);

    assert_false(found && g_bytes_equal(found, unwanted));
}

/* Another user of it, or NULL while there is one. */
static TPMStateDirectory *another(Fixture *fixture)
{
    return tpm_state_directory_open(fixture->path, TPM_VERSION_2_0, NULL, NULL);
}

static void assert_ours(Fixture *fixture)
{
    assert_null(another(fixture));
}

static void assert_anybodys(Fixture *fixture)
{
    TPMStateDirectory *other = another(fixture);

    assert_non_null(other);
    tpm_state_directory_close(other);
}

/* Another goes on with the TPM there is; the first that it does is to store what there is. */
static void another_goes_on(Fixture *fixture)
{
    TPMStateDirectory *other = another(fixture);
    g_autoptr(GBytes) state = tpm_state_directory_load(other, TPM_STATE_PERMANENT, NULL);
    gsize size;
    const void *data = g_bytes_get_data(state, &size);

    assert_true(tpm_state_directory_store(other, TPM_STATE_PERMANENT, data, size, NULL));
    tpm_state_directory_close(other);
}

/* ---- the source ---- */

static void test_without_the_option_a_save_keeps_the_directory(void **state)
{
    Fixture *fixture = *state;

    make_running(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    g_autoptr(GBytes) before = state_file(fixture, "permall");

    assert_ours(fixture);
    resume(fixture);
    assert_random(fixture);
    assert_file(fixture, "permall", before);
    assert_ours(fixture);
}

static void test_from_a_save_on_another_may_have_the_directory(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    assert_ours(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    assert_anybodys(fixture);
}

static void test_what_the_source_leaves_is_what_it_has_saved(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *path = file_path(fixture, "permall");

    make_with(fixture, (TPMLibtpmsConfig){ .release_lock_outgoing = true });
    start_tpm(fixture);
    g_autoptr(GBytes) earlier = state_file(fixture, "permall");
    gsize size;
    const char *content = g_bytes_get_data(earlier, &size);

    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, nv_define), 0);
    assert_true(g_file_set_contents(path, content, (gssize)size, NULL));
    g_autofree TPMState *saved = save_tpm(fixture);
    TPMStateDirectory *other = another(fixture);
    g_autoptr(GBytes) stored = tpm_state_directory_load(other, TPM_STATE_PERMANENT, NULL);

    assert_int_equal(g_bytes_get_size(stored), saved->permanent.size);
    assert_memory_equal(g_bytes_get_data(stored, NULL), saved->permanent.data,
                        saved->permanent.size);
    tpm_state_directory_close(other);
}

static void test_nothing_is_written_to_what_was_let_go_of(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    g_autoptr(GBytes) before = state_file(fixture, "permall");

    drop_backend(fixture);
    assert_file(fixture, "permall", before);
}

/* The device waited no longer for the save: it goes on, and there is no resume. */
static void test_a_save_that_came_too_late_costs_nothing(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    assert_mark(fixture, before);
    assert_ours(fixture);
    g_autoptr(GBytes) stored = state_file(fixture, "permall");

    drop_backend(fixture);
    assert_not_file(fixture, "permall", stored); /* by TPM2_Shutdown */
}

static void test_a_command_is_not_sent_to_a_tpm_that_another_has(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    another_goes_on(fixture);
    assert_int_equal(COMMAND(fixture, get_random), 0x101);
    assert_message(fixture, fixture->client->response_error,
                   LET_GO "what is stored there has changed: another TPM has gone on with it" ONE);
}

static void test_a_source_that_is_resumed_goes_on(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    uint64_t counter = tpmdev_backend_libtpms_get_counter(fixture->backend);

    assert_anybodys(fixture);
    resume(fixture);
    assert_mark(fixture, before);
    assert_ours(fixture);
    assert_int_equal(tpmdev_backend_libtpms_get_counter(fixture->backend), counter + 1);
    assert_int_equal(COMMAND(fixture, nv_write), 0);
}

/* And it is powered off in an orderly way again. */
static void test_a_source_that_was_resumed_is_shut_down_in_the_end(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    resume(fixture);
    assert_random(fixture);
    g_autoptr(GBytes) before = state_file(fixture, "permall");

    drop_backend(fixture);
    assert_not_file(fixture, "permall", before);
}

static void test_a_source_does_not_go_on_while_another_has_the_directory(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    g_autoptr(GBytes) before = state_file(fixture, "permall");
    TPMStateDirectory *other = another(fixture);

    resume(fixture);
    assert_failed(fixture,
                  LET_GO "is in use by another TPM now, in this process or another one" ONE);
    assert_file(fixture, "permall", before);
    tpm_state_directory_close(other);

    /* A reset begins with whatever there is by then. */
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
}

static void test_a_source_waits_for_the_other_to_let_go(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    begin_waiting(another(fixture), false);
    resume(fixture);
    assert_mark(fixture, before);
    assert_true(count_waits() > 0);
    assert_ours(fixture);
}

static void test_a_source_that_waits_can_be_ended(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    TPMStateDirectory *other = another(fixture);

    begin_waiting(NULL, true);
    resume(fixture);
    wait_until_it_waits();
    drop_backend(fixture);
    assert_int_equal(count_waits(), 1);
    tpm_state_directory_close(other);
}

static void test_a_source_does_not_go_on_where_another_has(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    another_goes_on(fixture);
    g_autoptr(GBytes) others = state_file(fixture, "permall");

    resume(fixture);
    assert_failed(fixture, LET_GO "what is stored there has changed: another TPM has gone on with "
                                  "it" ONE);
    assert_file(fixture, "permall", others);
    assert_anybodys(fixture);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
    assert_ours(fixture);
}

static void test_a_source_may_be_saved_again(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *first = save_tpm(fixture);
    g_autofree TPMState *second = save_tpm(fixture);

    assert_anybodys(fixture);
    TPMStateDirectory *other = another(fixture);

    assert_null(backend_client_save(fixture->client));
    assert_int_equal(fixture->client->move_code, TPM_ERROR_IN_USE);
    tpm_state_directory_close(other);
    resume(fixture);
    assert_mark(fixture, before);
}

/* The state of before may be on its way to another, who is to have the directory. */
static void test_a_second_save_that_fails_keeps_no_directory(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    g_atomic_int_set(&let_go_fails, TRUE);
    assert_null(backend_client_save(fixture->client));
    g_atomic_int_set(&let_go_fails, FALSE);
    assert_string_equal(fixture->client->move_error, "the disk is sick");
    assert_anybodys(fixture);
    resume(fixture);
    assert_mark(fixture, before);
    assert_ours(fixture);
    g_atomic_int_set(&let_go_fails, TRUE);
    assert_null(backend_client_save(fixture->client));
    g_atomic_int_set(&let_go_fails, FALSE);
    assert_ours(fixture);
}

/* It is off, and nothing of it is in the way. */
static void test_a_source_that_could_not_go_on_loads_what_comes_back(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    another_goes_on(fixture);
    resume(fixture);
    backend_client_wait_failed(fixture->client, 1);
    load_tpm(fixture, saved);
    assert_mark(fixture, before);
    assert_ours(fixture);
}

/* For another device: the one that was saved is not to be resumed any more. */
static void test_a_start_takes_what_is_there(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    another_goes_on(fixture);
    g_autoptr(GBytes) others = state_file(fixture, "permall");

    unbind_client(fixture);
    bind_client(fixture);
    start_tpm(fixture);
    assert_file(fixture, "permall", others);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_ours(fixture);
}

/* ---- the destination ---- */

static void test_a_destination_is_made_while_another_has_the_directory(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);
    TPMStateDirectory *other = another(fixture);

    make_destination(fixture);
    assert_null(try_new(fixture, TPM_VERSION_2_0)); /* and is the one of its process all the same */
    assert_error(fixture, TPM_ERROR_IN_USE,
                 "type libtpms is in use: a process can have one TPM of it; use type emulator for "
                 "more");
    assert_int_equal(tpmdev_backend_libtpms_get_counter(fixture->backend), 0);
    tpm_state_directory_close(other);
    load_tpm(fixture, saved);
    assert_random(fixture);
}

static void test_a_destination_looks_at_nothing_when_it_is_made(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *lock = file_path(fixture, ".lock");

    make_destination(fixture);
    assert_false(g_file_test(lock, G_FILE_TEST_EXISTS));
    assert_anybodys(fixture);
    drop_backend(fixture);
    empty_directory(fixture);
}

static void test_a_directory_that_is_not_there_is_refused_at_once(void **state)
{
    Fixture *fixture = *state;
    TPMLibtpmsConfig config = { .size = sizeof(config),
                                .id = "tpm0",
                                .directory = "/nowhere/at-all",
                                .version = TPM_VERSION_2_0,
                                .incoming = true };

    assert_null(tpmdev_backend_libtpms_new(&config, &fixture->error));
    assert_error(fixture, TPM_ERROR_NOT_FOUND,
                 "cannot use TPM state directory '/nowhere/at-all': No such file or directory; "
                 "give an existing directory");
}

static void test_a_load_takes_the_directory(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    make_destination(fixture);
    load_tpm(fixture, saved);
    assert_ours(fixture);
    assert_mark(fixture, before);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
}

static void test_a_load_fails_while_another_has_the_directory(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);
    TPMStateDirectory *other = another(fixture);

    make_destination(fixture);
    assert_load_refused(fixture, saved, TPM_ERROR_IN_USE,
                        "TPM state directory 'DIR' is still in use by another TPM, in this process "
                        "or another one, and nothing can be loaded; end that first, or have it "
                        "made with release-lock-outgoing=on");
    tpm_state_directory_close(other);
    load_tpm(fixture, saved);
    assert_random(fixture);
}

static void test_a_destination_waits_for_the_source_to_let_go(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);

    begin_waiting(another(fixture), false);
    make_destination(fixture);
    load_tpm(fixture, saved);
    assert_true(count_waits() > 0);
    assert_random(fixture);
}

/* Until its guest does something with the TPM the source can have it back. */
static void test_a_load_leaves_the_directory_as_the_source_left_it(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);
    g_autoptr(GBytes) before = state_file(fixture, "permall");

    make_destination(fixture);
    load_tpm(fixture, saved);
    uint64_t counter = tpmdev_backend_libtpms_get_counter(fixture->backend);

    assert_true(counter > 0);
    assert_file(fixture, "permall", before);
    assert_random(fixture);
    assert_not_file(fixture, "permall", before);
    assert_int_equal(tpmdev_backend_libtpms_get_counter(fixture->backend), counter + 1);
    assert_random(fixture); /* once is enough */
    assert_int_equal(tpmdev_backend_libtpms_get_counter(fixture->backend), counter + 1);
}

static void test_a_destination_that_ends_unused_has_changed_nothing(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);
    g_autoptr(GBytes) before = state_file(fixture, "permall");

    make_destination(fixture);
    load_tpm(fixture, saved);
    drop_backend(fixture);
    assert_file(fixture, "permall", before);
    assert_anybodys(fixture);
}

static void test_a_hash_sequence_is_a_use(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);
    g_autoptr(GBytes) before = state_file(fixture, "permall");

    make_destination(fixture);
    load_tpm(fixture, saved);
    assert_true(backend_client_measure(fixture->client, (const uint8_t *)"abc", 3, 3));
    assert_not_file(fixture, "permall", before);
}

static void test_a_reset_is_a_use(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);
    g_autoptr(GBytes) before = state_file(fixture, "permall");

    make_destination(fixture);
    load_tpm(fixture, saved);
    start_tpm(fixture);
    assert_not_file(fixture, "permall", before);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
}

static void test_a_destination_that_cannot_store_fails_with_its_first_command(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);

    make_destination(fixture);
    load_tpm(fixture, saved);
    block_storage(fixture);
    assert_int_equal(COMMAND(fixture, get_random), 0x101);
    assert_non_null(strstr(fixture->client->response_error, "cannot read TPM state file"));
    unblock_storage(fixture);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
}

static void test_a_load_that_fails_gives_the_directory_back(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);
    g_autoptr(GBytes) before = state_file(fixture, "permall");
    uint8_t *byte = (uint8_t *)saved->volatile_state.data + 20;

    make_destination(fixture);
    *byte ^= 1;
    assert_false(backend_client_load(fixture->client, TPM_BUFFER_SIZE_COMMON, saved));
    assert_anybodys(fixture);
    assert_file(fixture, "permall", before);
    *byte ^= 1;
    load_tpm(fixture, saved);
    assert_ours(fixture);
    assert_random(fixture);
}

static void test_a_state_that_was_rolled_back_is_refused_at_the_load(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);

    make_with(fixture, (TPMLibtpmsConfig){ .incoming = true, .counter = 1000 });
    assert_false(backend_client_load(fixture->client, TPM_BUFFER_SIZE_COMMON, saved));
    assert_int_equal(fixture->client->move_code, TPM_ERROR_STATE_MISMATCH);
    assert_non_null(strstr(fixture->client->move_error, "was rolled back"));
    assert_anybodys(fixture);
}

/* It is not the one the source let go of, so there is nothing to be given back to anybody. */
static void test_a_directory_with_something_else_has_the_state_at_once(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);

    empty_directory(fixture);
    make_destination(fixture);
    load_tpm(fixture, saved);
    drop_backend(fixture);
    make_running(fixture);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
}

static void test_without_a_state_the_directory_is_taken_by_the_start(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);
    TPMStateDirectory *other = another(fixture);

    make_destination(fixture);
    assert_false(backend_client_start(fixture->client, TPM_BUFFER_SIZE_COMMON));
    assert_message(fixture, fixture->client->start_error,
                   "TPM state directory 'DIR' is in use by another TPM, in this process or another "
                   "one; end that first, or give another directory");
    tpm_state_directory_close(other);
    start_tpm(fixture);
    assert_ours(fixture);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, nv_read), 0);
}

static void test_a_destination_that_has_not_run_can_be_saved_on(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *first = save_tpm(fixture);
    g_autoptr(GBytes) stored = state_file(fixture, "permall");

    make_with(fixture, (TPMLibtpmsConfig){ .incoming = true, .release_lock_outgoing = true });
    load_tpm(fixture, first);
    g_autofree TPMState *second = save_tpm(fixture);

    assert_file(fixture, "permall", stored);
    assert_anybodys(fixture);
    make_destination(fixture);
    load_tpm(fixture, second);
    assert_mark(fixture, before);
}

/* There and back again: the one that was saved loads what the other one has saved. */
static void test_a_source_loads_what_comes_back(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    another_goes_on(fixture);
    load_tpm(fixture, saved);
    assert_ours(fixture);
    assert_random(fixture);
    g_autofree TPMState *again = save_tpm(fixture);

    assert_anybodys(fixture);
}

/* ---- a device that has gone while its TPM waited ---- */

/* What the TPM does then is for the next device, which loads this state. */
static void next_device_loads(Fixture *fixture, const TPMState *state)
{
    wait_until_it_waits();
    unbind_client(fixture);
    bind_client(fixture);
    tpm_backend_load_state(fixture->backend, TPM_BUFFER_SIZE_COMMON, state, false, false);
}

static void test_a_load_is_not_answered_with_the_save_of_the_last_device(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    TPMStateDirectory *other = another(fixture);

    begin_waiting(NULL, true);
    tpm_backend_save_state(fixture->backend, false);
    next_device_loads(fixture, saved);
    tpm_state_directory_close(other);
    another_goes_on(fixture); /* so that this save is refused */
    end_waiting();
    backend_client_wait_moved(fixture->client, 1);
    assert_null(fixture->client->move_error);
    assert_mark(fixture, before);
}

static void test_a_load_is_not_answered_with_that_of_the_last_device(void **state)
{
    Fixture *fixture = *state;

    for (unsigned i = 0; i < 2; i++) {
        bool is_good = i == 0;
        g_autofree TPMState *good = saved_by_another(fixture);
        g_autofree TPMState *bad = tpm_state_copy(good);
        TPMStateDirectory *other = another(fixture);

        ((uint8_t *)bad->volatile_state.data)[20] ^= 1;
        make_destination(fixture);
        begin_waiting(NULL, true);
        tpm_backend_load_state(fixture->backend, TPM_BUFFER_SIZE_COMMON, is_good ? bad : good,
                               false, false);
        next_device_loads(fixture, is_good ? good : bad);
        tpm_state_directory_close(other);
        end_waiting();
        backend_client_wait_moved(fixture->client, 1);
        assert_true(is_good == !fixture->client->move_error);
        drop_backend(fixture);
        empty_directory(fixture);
    }
}

/* ---- with what else there is ---- */

static const uint8_t key[TPM_LIBTPMS_KEY_SIZE] = { 1, 2, 3 };

static bool is_encrypted(const Fixture *fixture)
{
    const size_t protection_at = 23; /* state-file.h */
    g_autoptr(GBytes) content = state_file(fixture, "permall");

    return ((const uint8_t *)g_bytes_get_data(content, NULL))[protection_at] == 1;
}

static void test_encrypted_state_changes_hands(void **state)
{
    Fixture *fixture = *state;
    TPMLibtpmsConfig config = { .key = key, .release_lock_outgoing = true };

    make_with(fixture, config);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, extend_16), 0);
    g_autoptr(GBytes) before = tpm_mark(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    g_autoptr(GBytes) stored = state_file(fixture, "permall");

    make_destination(fixture); /* without the key */
    assert_false(backend_client_load(fixture->client, TPM_BUFFER_SIZE_COMMON, saved));
    assert_int_equal(fixture->client->move_code, TPM_ERROR_MISSING_OPTION);
    config.incoming = true;
    make_with(fixture, config);
    load_tpm(fixture, saved);
    assert_file(fixture, "permall", stored);
    assert_mark(fixture, before);
    assert_not_file(fixture, "permall", stored);
    assert_true(is_encrypted(fixture));
}

/* Else a source without the key could not go on any more. */
static void test_a_destination_encrypts_the_state_with_its_first_use(void **state)
{
    Fixture *fixture = *state;
    TPMLibtpmsConfig config = { .key = key, .convert = true, .incoming = true };
    g_autofree TPMState *saved = saved_by_another(fixture);

    make_with(fixture, config);
    load_tpm(fixture, saved);
    drop_backend(fixture);
    assert_false(is_encrypted(fixture));
    make_with(fixture, config);
    load_tpm(fixture, saved);
    assert_random(fixture);
    assert_true(is_encrypted(fixture));
    assert_int_equal(COMMAND(fixture, nv_write), 0);
    drop_backend(fixture);
    make_with(fixture, (TPMLibtpmsConfig){ .key = key });
}

static void test_a_start_without_a_state_encrypts_what_is_there(void **state)
{
    Fixture *fixture = *state;
    g_autofree TPMState *saved = saved_by_another(fixture);

    make_with(fixture, (TPMLibtpmsConfig){ .key = key, .convert = true, .incoming = true });
    assert_false(is_encrypted(fixture));
    start_tpm(fixture);
    assert_true(is_encrypted(fixture));
}

/* Another has gone on, and has encrypted the state with a key that this one does not have. */
static void test_a_source_does_not_go_on_with_what_it_cannot_read(void **state)
{
    Fixture *fixture = *state;
    uint8_t bytes[TPM_LIBTPMS_KEY_SIZE] = { 1 };
    TPMStateAccess access = { .key = tpm_state_key_new(bytes, "key", NULL), .convert = true };

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    tpm_state_directory_close(
        tpm_state_directory_open(fixture->path, TPM_VERSION_2_0, &access, NULL));
    tpm_state_key_unref(access.key);
    resume(fixture);
    backend_client_wait_failed(fixture->client, 1);
    assert_true(g_str_has_prefix(fixture->client->failure,
                                 "the TPM that was saved cannot go on with what is stored: TPM "
                                 "state file "));
    assert_true(is_encrypted(fixture));
}

static void note_counter(void *opaque, uint64_t counter)
{
    *(uint64_t *)opaque = counter;
}

/* What a host keeps of the counter goes on from one to the other. */
static void test_the_host_hears_of_the_counter_with_the_first_use(void **state)
{
    Fixture *fixture = *state;

    make_source(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);
    uint64_t counter = tpmdev_backend_libtpms_get_counter(fixture->backend);
    uint64_t heard = 0;

    make_with(fixture, (TPMLibtpmsConfig){ .incoming = true,
                                           .counter = counter,
                                           .counter_changed = note_counter,
                                           .opaque = &heard });
    load_tpm(fixture, saved);
    assert_int_equal(heard, 0);
    assert_random(fixture);
    assert_int_equal(heard, counter + 1);
    drop_backend(fixture);
}

/* TPM 1.2: the claim makes nothing stale that TPM_SaveState has kept. */
static void test_what_tpm_save_state_keeps_changes_hands(void **state)
{
    Fixture *fixture = *state;

    make_with(fixture,
              (TPMLibtpmsConfig){ .version = TPM_VERSION_1_2, .release_lock_outgoing = true });
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_1_2), 0);
    assert_int_equal(COMMAND(fixture, save_state_1_2), 0);
    g_autofree TPMState *saved = save_tpm(fixture);
    g_autoptr(GBytes) stored = state_file(fixture, "permall");

    assert_true(saved->saved.size > 0);
    resume(fixture);
    g_autofree TPMState *again = save_tpm(fixture);

    assert_int_equal(again->saved.size, saved->saved.size);
    make_with(fixture, (TPMLibtpmsConfig){ .version = TPM_VERSION_1_2, .incoming = true });
    g_autoptr(GBytes) left = state_file(fixture, "permall");

    load_tpm(fixture, again);
    assert_file(fixture, "permall", left);
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_state_1_2), 0);
}

/* It is put back beside the permanent state, for it is stale beside a later one. */
static void test_what_tpm_save_state_keeps_outlives_a_load_that_is_not_stored(void **state)
{
    Fixture *fixture = *state;

    make_with(fixture, (TPMLibtpmsConfig){ .version = TPM_VERSION_1_2 });
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_1_2), 0);
    assert_int_equal(COMMAND(fixture, save_state_1_2), 0);
    g_autofree TPMState *saved = save_tpm(fixture);

    g_atomic_int_set(&store_of_saved_fails, TRUE);
    assert_load_refused(fixture, saved, TPM_ERROR_IO, "the disk is sick");
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_state_1_2), 0);
}

/* ---- options ---- */

static void test_the_options_are_switches(void **state)
{
    Fixture *fixture = *state;
    static const char *const names[] = { "incoming", "release-lock-outgoing" };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *options =
            g_strdup_printf("libtpms,id=tpm0,dir=%s,%s=yes", fixture->path, names[i]);
        g_autofree char *expected =
            g_strdup_printf("parameter '%s' is 'yes'; it must be on or off", names[i]);

        assert_null(tpmdev_backend_new_from_string(options, NULL, NULL, &fixture->error));
        assert_error(fixture, TPM_ERROR_INVALID_OPTION, expected);
    }
}

static void test_option_strings_have_both(void **state)
{
    Fixture *fixture = *state;
    g_autofree char *source =
        g_strdup_printf("libtpms,id=tpm0,dir=%s,release-lock-outgoing=on", fixture->path);
    g_autofree char *destination =
        g_strdup_printf("libtpms,id=tpm0,dir=%s,incoming=on", fixture->path);

    fixture->backend = tpmdev_backend_new_from_string(source, NULL, NULL, NULL);
    bind_client(fixture);
    start_tpm(fixture);
    g_autofree TPMState *saved = save_tpm(fixture);

    assert_anybodys(fixture);
    drop_backend(fixture);
    TPMStateDirectory *other = another(fixture);

    fixture->backend = tpmdev_backend_new_from_string(destination, NULL, NULL, NULL);
    assert_non_null(fixture->backend);
    tpm_state_directory_close(other);
    bind_client(fixture);
    load_tpm(fixture, saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HANDOVER_TEST(test_without_the_option_a_save_keeps_the_directory),
        HANDOVER_TEST(test_from_a_save_on_another_may_have_the_directory),
        HANDOVER_TEST(test_what_the_source_leaves_is_what_it_has_saved),
        HANDOVER_TEST(test_nothing_is_written_to_what_was_let_go_of),
        HANDOVER_TEST(test_a_save_that_came_too_late_costs_nothing),
        HANDOVER_TEST(test_a_command_is_not_sent_to_a_tpm_that_another_has),
        HANDOVER_TEST(test_a_source_that_is_resumed_goes_on),
        HANDOVER_TEST(test_a_source_that_was_resumed_is_shut_down_in_the_end),
        HANDOVER_TEST(test_a_source_does_not_go_on_while_another_has_the_directory),
        HANDOVER_TEST(test_a_source_waits_for_the_other_to_let_go),
        HANDOVER_TEST(test_a_source_that_waits_can_be_ended),
        HANDOVER_TEST(test_a_destination_waits_for_the_source_to_let_go),
        HANDOVER_TEST(test_a_source_does_not_go_on_where_another_has),
        HANDOVER_TEST(test_a_source_may_be_saved_again),
        HANDOVER_TEST(test_a_second_save_that_fails_keeps_no_directory),
        HANDOVER_TEST(test_a_source_that_could_not_go_on_loads_what_comes_back),
        HANDOVER_TEST(test_a_source_does_not_go_on_with_what_it_cannot_read),
        HANDOVER_TEST(test_a_start_takes_what_is_there),
        HANDOVER_TEST(test_a_destination_is_made_while_another_has_the_directory),
        HANDOVER_TEST(test_a_destination_looks_at_nothing_when_it_is_made),
        HANDOVER_TEST(test_a_directory_that_is_not_there_is_refused_at_once),
        HANDOVER_TEST(test_a_load_takes_the_directory),
        HANDOVER_TEST(test_a_load_fails_while_another_has_the_directory),
        HANDOVER_TEST(test_a_load_leaves_the_directory_as_the_source_left_it),
        HANDOVER_TEST(test_a_destination_that_ends_unused_has_changed_nothing),
        HANDOVER_TEST(test_a_hash_sequence_is_a_use),
        HANDOVER_TEST(test_a_reset_is_a_use),
        HANDOVER_TEST(test_a_destination_that_cannot_store_fails_with_its_first_command),
        HANDOVER_TEST(test_a_load_that_fails_gives_the_directory_back),
        HANDOVER_TEST(test_a_state_that_was_rolled_back_is_refused_at_the_load),
        HANDOVER_TEST(test_a_directory_with_something_else_has_the_state_at_once),
        HANDOVER_TEST(test_without_a_state_the_directory_is_taken_by_the_start),
        HANDOVER_TEST(test_a_destination_that_has_not_run_can_be_saved_on),
        HANDOVER_TEST(test_a_source_loads_what_comes_back),
        HANDOVER_TEST(test_a_load_is_not_answered_with_the_save_of_the_last_device),
        HANDOVER_TEST(test_a_load_is_not_answered_with_that_of_the_last_device),
        HANDOVER_TEST(test_encrypted_state_changes_hands),
        HANDOVER_TEST(test_a_destination_encrypts_the_state_with_its_first_use),
        HANDOVER_TEST(test_a_start_without_a_state_encrypts_what_is_there),
        HANDOVER_TEST(test_the_host_hears_of_the_counter_with_the_first_use),
        HANDOVER_TEST(test_what_tpm_save_state_keeps_changes_hands),
        HANDOVER_TEST(test_what_tpm_save_state_keeps_outlives_a_load_that_is_not_stored),
        HANDOVER_TEST(test_the_options_are_switches),
        HANDOVER_TEST(test_option_strings_have_both),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
