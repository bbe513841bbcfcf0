/* SPDX-License-Identifier: BSD-3-Clause */
/* The two sides of a directory that changes hands; see handover-fixture.h. */
#include "handover-fixture.h"

#include "libtpms-engine.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

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

unsigned count_waits(void)
{
    g_mutex_lock(&wait_lock);
    unsigned count = waits;
    g_mutex_unlock(&wait_lock);
    return count;
}

void begin_waiting(TPMStateDirectory *other, bool for_hurry)
{
    g_mutex_lock(&wait_lock);
    lets_go = other;
    waits_for_hurry = for_hurry;
    hurried = false;
    waits = 0;
    g_mutex_unlock(&wait_lock);
}

void wait_until_it_waits(void)
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

void end_waiting(void)
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

void fail_to_let_go(bool fails)
{
    g_atomic_int_set(&let_go_fails, fails);
}

void fail_to_store_saved_once(void)
{
    g_atomic_int_set(&store_of_saved_fails, TRUE);
}

int handover_tear_down(void **state)
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

/* ---- a backend ---- */

void make_with(Fixture *fixture, TPMLibtpmsConfig config)
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

void make_source(Fixture *fixture)
{
    make_with(fixture, (TPMLibtpmsConfig){ .release_lock_outgoing = true });
    start_tpm(fixture);
    assert_int_equal(COMMAND(fixture, startup_clear), 0);
    assert_int_equal(COMMAND(fixture, nv_define), 0);
    assert_int_equal(COMMAND(fixture, nv_write), 0);
    assert_int_equal(COMMAND(fixture, extend_16), 0);
}

void make_destination(Fixture *fixture)
{
    make_with(fixture, (TPMLibtpmsConfig){ .incoming = true });
}

void assert_load_refused(Fixture *fixture, const TPMState *state, TPMError code, const char *why)
{
    assert_false(backend_client_load(fixture->client, TPM_BUFFER_SIZE_COMMON, state));
    assert_message(fixture, fixture->client->move_error, why);
    assert_int_equal(fixture->client->move_code, code);
}

TPMState *saved_by_another(Fixture *fixture)
{
    make_source(fixture);
    TPMState *state = save_tpm(fixture);

    drop_backend(fixture);
    return state;
}

void resume(Fixture *fixture)
{
    tpm_backend_resume(fixture->backend);
}

void assert_failed(Fixture *fixture, const char *why)
{
    backend_client_wait_failed(fixture->client, 1);
    assert_message(fixture, fixture->client->failure, why);
    assert_int_equal(COMMAND(fixture, get_random), 0x101);
}

/* ---- the directory ---- */

void assert_file(const Fixture *fixture, const char *name, GBytes *wanted)
{
    g_autoptr(GBytes) found = state_file(fixture, name);

    assert_true(found && g_bytes_equal(found, wanted));
}

void assert_not_file(const Fixture *fixture, const char *name, GBytes *unwanted)
{
    g_autoptr(GBytes) found = state_file(fixture, name);

    assert_false(found && g_bytes_equal(found, unwanted));
}

TPMStateDirectory *another(Fixture *fixture)
{
    return tpm_state_directory_open(fixture->path, TPM_VERSION_2_0, NULL, NULL);
}

void assert_ours(Fixture *fixture)
{
    assert_null(another(fixture));
}

void assert_anybodys(Fixture *fixture)
{
    TPMStateDirectory *other = another(fixture);

    assert_non_null(other);
    tpm_state_directory_close(other);
}

void another_goes_on(Fixture *fixture)
{
    TPMStateDirectory *other = another(fixture);
    g_autoptr(GBytes) state = tpm_state_directory_load(other, TPM_STATE_PERMANENT, NULL);
    gsize size;
    const void *data = g_bytes_get_data(state, &size);

    assert_true(tpm_state_directory_store(other, TPM_STATE_PERMANENT, data, size, NULL));
    tpm_state_directory_close(other);
}
