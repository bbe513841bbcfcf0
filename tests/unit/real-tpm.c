/* SPDX-License-Identifier: BSD-3-Clause */
/* A device before a real TPM; see real-tpm.h. */
#include "real-tpm.h"
#include "command.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define REG_ACCESS     0x000u
#define REG_STS        0x018u
#define REG_FIFO       0x024u
#define REG_HASH_END   0x020u
#define REG_HASH_DATA  0x024u
#define REG_HASH_START 0x028u

static gint64 deadline_from_now(void)
{
    return g_get_monotonic_time() + REAL_DEADLINE_S * G_TIME_SPAN_SECOND;
}

/* ---- swtpm ---- */

bool real_swtpm_is_installed(void)
{
    g_autofree char *path = g_find_program_in_path("swtpm");

    return path != NULL;
}

static void die_with_the_test(gpointer data)
{
    (void)data;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

static bool listens(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    bool good = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;

    close(fd);
    return good;
}

void real_swtpm_launch(RealTPM *tpm)
{
    g_autofree char *state = g_strdup_printf("dir=%s", tpm->directory);
    g_autofree char *ctrl = g_strdup_printf("type=unixio,path=%s", tpm->path);
    char *argv[] = { "swtpm", "socket", "--tpmstate", state, "--ctrl", ctrl, NULL, NULL };
    GSpawnFlags flags =
        G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL;
    gint64 deadline = deadline_from_now();
    GError *error = NULL;

    argv[6] = tpm->version == TPM_VERSION_2_0 ? "--tpm2" : NULL;
    if (!g_spawn_async(NULL, argv, NULL, flags, die_with_the_test, NULL, &tpm->pid, &error)) {
        fail_msg("%s", error->message);
    }
    while (!listens(tpm->path)) {
        assert_true(g_get_monotonic_time() < deadline);
        g_usleep(1000);
    }
}

void real_swtpm_kill(RealTPM *tpm)
{
    kill(tpm->pid, SIGKILL);
    waitpid(tpm->pid, NULL, 0);
    tpm->pid = 0;
}

void real_swtpm_stop(RealTPM *tpm)
{
    int status;

    kill(tpm->pid, SIGSTOP);
    assert_int_equal(waitpid(tpm->pid, &status, WUNTRACED), tpm->pid);
}

void real_swtpm_continue(RealTPM *tpm)
{
    kill(tpm->pid, SIGCONT);
}

/* ---- life ---- */

static void note_guest_error(void *opaque, const char *message)
{
    (void)message;
    g_atomic_int_inc(&((RealTPM *)opaque)->guest_errors);
}

static void note_backend_error(void *opaque, const char *message)
{
    (void)message;
    g_atomic_int_inc(&((RealTPM *)opaque)->backend_errors);
}

void real_tpm_plug(RealTPM *tpm)
{
    TPMDeviceConfig config = TPM_DEVICE_CONFIG_INIT;
    TPMHost host = TPM_HOST_INIT;
    GError *error = NULL;

    config.drtm = true;
    host.guest_error = note_guest_error;
    host.backend_error = note_backend_error;
    tpm->device = tpmdev_device_new(&config, tpm->backend, &host, tpm, &error);
    if (!tpm->device) {
        fail_msg("%s", error->message);
    }
}

void real_tpm_unplug(RealTPM *tpm)
{
    tpm->device = tpmdev_device_free(tpm->device);
}

void real_wait_ready(RealTPM *tpm)
{
    GError *error = NULL;

    if (!tpmdev_device_wait_ready(tpm->device, REAL_DEADLINE_S * G_GINT64_CONSTANT(1000000000),
                                  &error)) {
        fail_msg("%s", error->message);
    }
}

static TPMBackend *new_backend(RealTPM *tpm, GError **error)
{
    TPMLibtpmsConfig libtpms = {
        .size = sizeof(libtpms),
        .id = "tpm0",
        .directory = tpm->directory,
        .version = tpm->version,
    };
    TPMEmulatorConfig emulator = { .size = sizeof(emulator), .id = "tpm0", .path = tpm->path };

    if (tpm->kind == REAL_LIBTPMS) {
        return tpmdev_backend_libtpms_new(&libtpms, error);
    }
    real_swtpm_launch(tpm);
    return tpmdev_backend_emulator_new(&emulator, error);
}

RealTPM *real_tpm_new(RealKind kind, TPMVersion version)
{
    RealTPM *tpm = g_new0(RealTPM, 1);
    GError *error = NULL;

    tpm->kind = kind;
    tpm->version = version;
    tpm->directory = g_dir_make_tmp("real-tpm-XXXXXX", NULL);
    tpm->path = g_build_filename(tpm->directory, "ctrl", NULL);
    tpm->backend = new_backend(tpm, &error);
    if (!tpm->backend) {
        fail_msg("%s", error->message);
    }
    real_tpm_plug(tpm);
    real_wait_ready(tpm);
    return tpm;
}

void real_remove_directory(const char *path)
{
    GDir *directory = g_dir_open(path, 0, NULL);
    const char *name;

    while (directory && (name = g_dir_read_name(directory))) {
        g_autofree char *file = g_build_filename(path, name, NULL);

        g_unlink(file);
    }
    if (directory) {
        g_dir_close(directory);
    }
    g_rmdir(path);
}

void real_tpm_free(RealTPM *tpm)
{
    if (tpm->pid) {
        real_swtpm_continue(tpm);
    }
    real_tpm_unplug(tpm);
    tpmdev_backend_unref(tpm->backend);
    if (tpm->pid) {
        real_swtpm_kill(tpm);
    }
    real_remove_directory(tpm->directory);
    g_free(tpm->directory);
    g_free(tpm->path);
    g_free(tpm);
}

/* ---- registers ---- */

uint32_t real_read(RealTPM *tpm, unsigned locality, uint32_t reg, unsigned width)
{
    uint64_t value;

    assert_int_equal(tpmdev_device_read(tpm->device, locality * 0x1000u + reg, width, &value),
                     TPM_ACCESS_OK);
    return (uint32_t)value;
}

void real_write(RealTPM *tpm, unsigned locality, uint32_t reg, unsigned width, uint32_t value)
{
    assert_int_equal(tpmdev_device_write(tpm->device, locality * 0x1000u + reg, width, value),
                     TPM_ACCESS_OK);
}

/* ---- the guest ---- */

void real_command_begin(RealTPM *tpm, unsigned locality, const void *command, size_t size)
{
    const uint8_t *byte = command;

    real_write(tpm, locality, REG_ACCESS, 1, 0x02);
    assert_int_equal(real_read(tpm, locality, REG_ACCESS, 1) & 0x20, 0x20);
    real_write(tpm, locality, REG_STS, 1, 0x40);
    for (size_t i = 0; i < size; i++) {
        real_write(tpm, locality, REG_FIFO, 1, byte[i]);
    }
    real_write(tpm, locality, REG_STS, 1, 0x20);
}

static size_t read_response(RealTPM *tpm, unsigned locality, uint8_t *response, size_t max)
{
    gint64 deadline = deadline_from_now();
    size_t size = 0;

    while (!(real_read(tpm, locality, REG_STS, 1) & 0x10)) {
        assert_true(g_get_monotonic_time() < deadline);
        g_thread_yield();
    }
    while (size < max && (real_read(tpm, locality, REG_STS, 1) & 0x10)) {
        response[size++] = (uint8_t)real_read(tpm, locality, REG_FIFO, 1);
    }
    return size;
}

static uint32_t run_command(RealTPM *tpm, unsigned locality, const void *command, size_t size,
                            uint8_t response[TPM_BUFFER_SIZE_MAX], size_t *response_size)
{
    real_command_begin(tpm, locality, command, size);
    *response_size = read_response(tpm, locality, response, TPM_BUFFER_SIZE_MAX);
    real_write(tpm, locality, REG_STS, 1, 0x40);
    real_write(tpm, locality, REG_ACCESS, 1, 0x20);
    assert_in_range(*response_size, TPM_HEADER_SIZE, TPM_BUFFER_SIZE_MAX);
    return tpm_header_code(response);
}

uint32_t real_command(RealTPM *tpm, unsigned locality, const void *command, size_t size)
{
    uint8_t response[TPM_BUFFER_SIZE_MAX];
    size_t response_size;

    return run_command(tpm, locality, command, size, response, &response_size);
}

uint32_t real_startup(RealTPM *tpm)
{
    static const uint8_t startup_2_0[] = { 0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x44, 0, 0 };
    static const uint8_t startup_1_2[] = { 0x00, 0xC1, 0, 0, 0, 12, 0, 0, 0, 0x99, 0, 1 };

    return real_command(tpm, 0, tpm->version == TPM_VERSION_1_2 ? startup_1_2 : startup_2_0, 12);
}

unsigned real_banks(const RealTPM *tpm, const GChecksumType **banks)
{
    static const GChecksumType all[] = { G_CHECKSUM_SHA1, G_CHECKSUM_SHA256, G_CHECKSUM_SHA384,
                                         G_CHECKSUM_SHA512 };

    *banks = all;
    return tpm->version == TPM_VERSION_1_2 ? 1 : G_N_ELEMENTS(all);
}

/* TPM_ALG_ID of TPM 2.0 Part 2. */
static uint8_t algorithm_of(GChecksumType bank)
{
    switch (bank) {
    case G_CHECKSUM_SHA1:
        return 0x04;
    case G_CHECKSUM_SHA256:
        return 0x0B;
    case G_CHECKSUM_SHA384:
        return 0x0C;
    case G_CHECKSUM_SHA512:
        return 0x0D;
    case G_CHECKSUM_MD5:
        break;
    }
    fail_msg("no TPM has a bank of MD5");
    return 0;
}

size_t real_pcr(RealTPM *tpm, GChecksumType bank, unsigned pcr, uint8_t value[64])
{
    uint8_t read_2_0[] = {
        0x80, 0x01, 0, 0, 0, 20, 0, 0, 0x01, 0x7E, 0, 0, 0, 1, 0, 0, 3, 0, 0, 0
    };
    uint8_t read_1_2[] = { 0x00, 0xC1, 0, 0, 0, 14, 0, 0, 0, 0x15, 0, 0, 0, (uint8_t)pcr };
    bool is_1_2 = tpm->version == TPM_VERSION_1_2;
    size_t digest = (size_t)g_checksum_type_get_length(bank);
    uint8_t response[TPM_BUFFER_SIZE_MAX];
    size_t size;

    read_2_0[15] = algorithm_of(bank);
    read_2_0[17 + pcr / 8] = (uint8_t)(1u << pcr % 8);
    assert_int_equal(run_command(tpm, 0, is_1_2 ? read_1_2 : read_2_0,
                                 is_1_2 ? sizeof(read_1_2) : sizeof(read_2_0), response, &size),
                     0);
    assert_int_equal(size, digest + (is_1_2 ? 10 : 30));
    memcpy(value, response + size - digest, digest);
    return digest;
}

uint32_t real_pcr_reset(RealTPM *tpm, unsigned locality, unsigned pcr)
{
    uint8_t reset_2_0[] = { 0x80, 0x02, 0, 0, 0,    27, 0, 0, 0x01, 0x3D, 0, 0, 0, (uint8_t)pcr,
                            0,    0,    0, 9, 0x40, 0,  0, 9, 0,    0,    0, 0, 0 };
    uint8_t reset_1_2[] = { 0x00, 0xC1, 0, 0, 0, 15, 0, 0, 0, 0xC8, 0, 3, 0, 0, 0 };

    reset_1_2[12 + pcr / 8] = (uint8_t)(1u << pcr % 8);
    if (tpm->version == TPM_VERSION_1_2) {
        return real_command(tpm, locality, reset_1_2, sizeof(reset_1_2));
    }
    return real_command(tpm, locality, reset_2_0, sizeof(reset_2_0));
}

/* ---- the processor ---- */

void real_hash_start(RealTPM *tpm)
{
    real_write(tpm, 4, REG_HASH_START, 1, 0);
}

void real_hash_end(RealTPM *tpm)
{
    real_write(tpm, 4, REG_HASH_END, 1, 0);
}

/* The next piece's bytes: as many as the turn, what is left and the burst count allow. */
static unsigned piece_width(RealTPM *tpm, size_t left, unsigned turn)
{
    static const unsigned widths[] = { 4, 1, 2, 4, 4, 2, 1 };
    unsigned width = widths[turn % G_N_ELEMENTS(widths)];
    gint64 deadline = deadline_from_now();

    while ((real_read(tpm, 4, REG_STS, 4) >> 8 & 0xFFFF) < width) {
        assert_true(g_get_monotonic_time() < deadline);
        g_thread_yield();
    }
    return left < width ? 1 : width;
}

void real_hash_data(RealTPM *tpm, const uint8_t *data, size_t size)
{
    unsigned turn = 0;

    for (size_t done = 0; done < size; turn++) {
        unsigned width = piece_width(tpm, size - done, turn);
        uint32_t value = 0;

        for (unsigned i = 0; i < width; i++) {
            value |= (uint32_t)data[done++] << 8 * i;
        }
        real_write(tpm, 4, REG_HASH_DATA, width, value);
    }
}

bool real_hash_wait(RealTPM *tpm)
{
    TPMDeviceStatistics statistics = { .size = sizeof(statistics) };
    gint64 deadline = deadline_from_now();

    while (real_read(tpm, 4, REG_ACCESS, 1) & 0x20) {
        assert_true(g_get_monotonic_time() < deadline);
        g_thread_yield();
    }
    tpmdev_device_get_statistics(tpm->device, &statistics);
    return statistics.failed_measurements == 0;
}

bool real_measure(RealTPM *tpm, const uint8_t *data, size_t size)
{
    real_hash_start(tpm);
    real_hash_data(tpm, data, size);
    real_hash_end(tpm);
    return real_hash_wait(tpm);
}

/* ---- what must come of it ---- */

size_t real_extended(GChecksumType bank, uint8_t last, const uint8_t *data, size_t size,
                     uint8_t value[64])
{
    g_autoptr(GChecksum) measured = g_checksum_new(bank);
    g_autoptr(GChecksum) extended = g_checksum_new(bank);
    uint8_t before[64] = { 0 };
    uint8_t digest[64];
    gsize length = sizeof(digest);

    g_checksum_update(measured, data, (gssize)size);
    g_checksum_get_digest(measured, digest, &length);
    before[length - 1] = last;
    g_checksum_update(extended, before, (gssize)length);
    g_checksum_update(extended, digest, (gssize)length);
    g_checksum_get_digest(extended, value, &length);
    return length;
}

/* ---- what PCRs must have ---- */

static void assert_pcr_is_all(RealTPM *tpm, GChecksumType bank, unsigned pcr, uint8_t byte)
{
    uint8_t value[64];
    size_t size = real_pcr(tpm, bank, pcr, value);

    for (size_t i = 0; i < size; i++) {
        assert_int_equal(value[i], byte);
    }
}

void real_assert_measured(RealTPM *tpm, unsigned pcr, uint8_t last, const uint8_t *data,
                          size_t size)
{
    const GChecksumType *banks;
    unsigned n = real_banks(tpm, &banks);

    for (unsigned i = 0; i < n; i++) {
        uint8_t value[64], wanted[64];
        size_t digest = real_pcr(tpm, banks[i], pcr, value);

        assert_int_equal(real_extended(banks[i], last, data, size, wanted), digest);
        assert_memory_equal(value, wanted, digest);
    }
}

void real_assert_all(RealTPM *tpm, unsigned first, uint8_t byte)
{
    const GChecksumType *banks;
    unsigned n = real_banks(tpm, &banks);

    for (unsigned pcr = first; pcr <= 22; pcr++) {
        for (unsigned i = 0; i < n; i++) {
            assert_pcr_is_all(tpm, banks[i], pcr, byte);
        }
    }
}

/* ---- cmocka ---- */

int real_setup(void **state)
{
    const RealSubject *subject = *state;

    *state = real_tpm_new(subject->kind, subject->version);
    return 0;
}

int real_setup_started(void **state)
{
    real_setup(state);
    return real_startup(*state) == 0 ? 0 : -1;
}

int real_teardown(void **state)
{
    real_tpm_free(*state);
    return 0;
}

uint8_t *real_data(size_t size)
{
    uint8_t *data = g_malloc(MAX(size, 1));

    for (size_t i = 0; i < size; i++) {
        data[i] = (uint8_t)(i * 7 + (i >> 8) * 13);
    }
    return data;
}
