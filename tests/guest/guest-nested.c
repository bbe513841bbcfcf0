/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A TPM within a TPM, inside the guest: the library's passthrough backend uses the guest's
 * /dev/tpm0, which is a device of the library in the hypervisor, and a second device of the library
 * stands before it. What is checked goes through registers, backend, kernel, registers and TPM.
 *
 * It also looks at what the guest's kernel does with a cancel and with O_NONBLOCK, and tells. These
 * lines, `note: `, are for docs/backends.rst: no time is ever a reason to fail.
 *
 * Argument: the TPM's version. One line a check goes to the serial line, as guest-check's.
 */
#include "guest-check.h"
#include "nested-tpm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEVICE "/dev/tpm0"

/* TPM 2.0 Part 2, TPM_CC; TPM 1.2 Part 2, ordinals. */
#define TPM2_CREATE_PRIMARY 0x131u
#define TPM2_FLUSH_CONTEXT  0x165u
#define TPM2_STARTUP        0x144u
#define TPM12_CREATE_EK     0x78u
#define TPM12_STARTUP       0x99u

#define DEADLINE_S 60

static TPMBackend *backend;

static gint64 now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

/* The command in guest->command ends with this code. */
static char *expect_code(Guest *guest, const char *what, uint32_t code)
{
    uint32_t found = tpm_char_run(guest->fd, &guest->command, &guest->response);

    if (found == TPM_CHAR_NO_RESPONSE) {
        return g_strdup_printf("%s: %s", what, g_strerror(errno));
    }
    return found == code ? NULL : g_strdup_printf("%s: the TPM answers 0x%x", what, found);
}

/* ---- what the backend says ---- */

static char *check_found(Guest *guest)
{
    TPMVersion version = guest->tpm2 ? TPM_VERSION_2_0 : TPM_VERSION_1_2;
    size_t size = tpmdev_backend_get_buffer_size(backend);

    if (tpmdev_backend_get_version(backend) != version) {
        return g_strdup("it is of the other version");
    }
    return size == TPM_CHAR_MAX ? NULL : g_strdup_printf("its buffer has %zu bytes", size);
}

/* By the kernel, and with what to do about it. */
static char *check_one_user(Guest *guest)
{
    char *wrong = NULL;
    TPMBackend *second = nested_backend_new(DEVICE, &wrong);
    bool good = !second && strstr(wrong, "Device or resource busy; it has one user at a time");

    (void)guest;
    tpmdev_backend_unref(second);
    if (good) {
        g_free(wrong);
        return NULL;
    }
    return wrong ? wrong : g_strdup("there are two");
}

/* Beside it the kernel's resource manager goes on: it has as many users as like. */
static char *check_shared(Guest *guest)
{
    char *wrong = NULL;
    TPMBackend *first = nested_backend_new("/dev/tpmrm0", &wrong);
    TPMBackend *second = first ? nested_backend_new("/dev/tpmrm0", &wrong) : NULL;

    if (second &&
        tpmdev_backend_get_version(second) != (guest->tpm2 ? TPM_VERSION_2_0 : TPM_VERSION_1_2)) {
        wrong = g_strdup("it is of the other version");
    }
    tpmdev_backend_unref(second);
    tpmdev_backend_unref(first);
    return wrong;
}

static char *check_cancel_file(Guest *guest)
{
    GError *error = NULL;
    bool can = tpmdev_backend_passthrough_can_cancel(backend, &error);

    printf("note: %s\n", can ? "there is a file for cancels" : error->message);
    bool named = can || strstr(error->message, "/sys/class/tpm/tpm0/device/cancel");

    g_clear_error(&error);
    if (!named) {
        return g_strdup("it does not tell what was looked for");
    }
    /* Linux has one for TPM 1.2 alone. */
    return can != guest->tpm2 ? NULL : g_strdup(can ? "there is one" : "there is none");
}

static char *check_migration(Guest *guest)
{
    GError *error = NULL;

    (void)guest;
    if (tpmdev_device_can_migrate(nested_device(), &error)) {
        return g_strdup("it can migrate");
    }
    g_error_free(error);
    return NULL;
}

/* ---- the TPM is the host's ---- */

static void startup_command(Guest *guest)
{
    tpm_command(&guest->command, guest->tpm2 ? TPM2_NO_SESSIONS : TPM12_REQUEST,
                guest->tpm2 ? TPM2_STARTUP : TPM12_STARTUP);
    tpm_put_u16(&guest->command, guest->tpm2 ? 0 : 1); /* CLEAR */
}

/* TPM_RC_INITIALIZE; TPM_INVALID_POSTINIT */
static char *check_was_started(Guest *guest)
{
    startup_command(guest);
    return expect_code(guest, "Startup", guest->tpm2 ? 0x100 : 0x26);
}

/* TPM_RC_LOCALITY; TPM_BAD_LOCALITY */
static char *check_locality(Guest *guest)
{
    nested_set_locality(1);
    startup_command(guest);
    char *wrong = expect_code(guest, "Startup at locality 1", guest->tpm2 ? 0x907 : 0x3D);

    nested_set_locality(0);
    return wrong;
}

static char *check_reset(Guest *guest)
{
    unsigned count;
    const Bank *bank = guest_banks(guest, &count);
    uint8_t before[DIGEST_MAX], after[DIGEST_MAX];
    char *wrong = guest_pcr_read(guest, bank, PCR_DEBUG, before);

    if (!wrong) {
        nested_reset();
        wrong = check_was_started(guest);
    }
    if (!wrong) {
        wrong = guest_pcr_read(guest, bank, PCR_DEBUG, after);
    }
    if (!wrong && memcmp(before, after, bank_digest_size(bank)) != 0) {
        wrong = g_strdup("a PCR has another value");
    }
    return wrong;
}

/* ---- cancels ---- */

/* A key generation, which takes the TPM a while. */
static void long_command(Guest *guest)
{
    static uint8_t seed;

    if (guest->tpm2) {
        static const uint8_t template[] = {
            0x00, 0x01, 0x00, 0x0B,             /* TPM_ALG_RSA, names by SHA-256 */
            0x00, 0x03, 0x00, 0x72, 0x00, 0x00, /* restricted, decrypt, made here; no policy */
            0x00, 0x06, 0x00, 0x80, 0x00, 0x43, /* AES-128, CFB */
            0x00, 0x10, 0x0C, 0x00,             /* no scheme, 3072 bits */
            0x00, 0x00, 0x00, 0x00,             /* the common exponent */
        };

        tpm_command(&guest->command, TPM2_SESSIONS, TPM2_CREATE_PRIMARY);
        tpm_put_u32(&guest->command, TPM2_RH_NULL);
        tpm_put_empty_password(&guest->command);
        tpm_put_u16(&guest->command, 4); /* no password, no data */
        tpm_put_u32(&guest->command, 0);
        tpm_put_u16(&guest->command, sizeof(template) + 2 + 1);
        tpm_put_bytes(&guest->command, template, sizeof(template));
        tpm_put_u16(&guest->command, 1); /* another key each time */
        tpm_put_u8(&guest->command, ++seed);
        tpm_put_u16(&guest->command, 0); /* outsideInfo */
        tpm_put_u32(&guest->command, 0); /* creationPCR */
    } else {
        static const uint8_t nonce[20];

        tpm_command(&guest->command, TPM12_REQUEST, TPM12_CREATE_EK);
        tpm_put_bytes(&guest->command, nonce, sizeof(nonce));
        tpm_put_u32(&guest->command, 1); /* TPM_ALG_RSA */
        tpm_put_u16(&guest->command, 3); /* OAEP */
        tpm_put_u16(&guest->command, 1); /* no signatures */
        tpm_put_u32(&guest->command, 12);
        tpm_put_u32(&guest->command, 2048);
        tpm_put_u32(&guest->command, 2); /* primes */
        tpm_put_u32(&guest->command, 0); /* the common exponent */
    }
}

/* Keys of the null hierarchy fill the TPM's memory unless they are flushed. */
static char *flush(Guest *guest, uint32_t handle)
{
    tpm_command(&guest->command, TPM2_NO_SESSIONS, TPM2_FLUSH_CONTEXT);
    tpm_put_u32(&guest->command, handle);
    return expect_code(guest, "FlushContext", 0);
}

/* Is the thread of this name in write()? The kernel says which system call it waits in. */
static bool is_writing(const char *name)
{
    GDir *tasks = g_dir_open("/proc/self/task", 0, NULL);
    const char *task;
    bool writing = false;

    while (tasks && !writing && (task = g_dir_read_name(tasks))) {
        char *comm_path = g_strdup_printf("/proc/self/task/%s/comm", task);
        char *call_path = g_strdup_printf("/proc/self/task/%s/syscall", task);
        char *comm = NULL, *call = NULL;

        writing = g_file_get_contents(comm_path, &comm, NULL, NULL) &&
                  g_str_has_prefix(comm, name) &&
                  g_file_get_contents(call_path, &call, NULL, NULL) && g_ascii_isdigit(*call) &&
                  strtoul(call, NULL, 10) == SYS_write;
        g_free(comm);
        g_free(call);
        g_free(comm_path);
        g_free(call_path);
    }
    g_dir_close(tasks);
    return writing;
}

#define WORKER    "tpmdev-host-tpm"
#define CANCELLER "tpmdev-cancel"

/*
 * Start it, and have the kernel seen with it; false with *wrong set when it does not begin. A key
 * is sometimes found so quickly that it is not seen: then it is another one's turn.
 */
static bool start_long_command(Guest *guest, char **wrong)
{
    for (unsigned turn = 0; turn < 20; turn++) {
        long_command(guest);
        if (!nested_start(&guest->command)) {
            *wrong = g_strdup_printf("the command does not begin: %s", g_strerror(errno));
            return false;
        }
        while (!nested_has_response()) {
            if (is_writing(WORKER)) {
                return true;
            }
        }
        uint32_t code = nested_finish(&guest->response);

        *wrong = code ? g_strdup_printf("the TPM answers 0x%x", code)
                      : flush(guest, tpm_get_u32(&guest->response));
        if (*wrong) {
            return false;
        }
    }
    *wrong = g_strdup("every command is over before it can be seen");
    return false;
}

/* Look on until the worker has left the kernel; true if the cancel waited there with it. */
static bool cancel_waits_with_it(void)
{
    bool waits = false;

    while (is_writing(WORKER)) {
        waits |= is_writing(CANCELLER);
    }
    return waits;
}

/* Nothing cancels it: a TPM 2.0 has no file for that, and it ends as it would have. */
static char *check_cancel_2_0(Guest *guest)
{
    char *wrong = NULL;

    if (!start_long_command(guest, &wrong)) {
        return wrong;
    }
    gint64 cancelled = now_ms();

    nested_cancel();
    gint64 returned = now_ms();
    uint32_t code = nested_finish(&guest->response);

    printf("note: the cancel of a key generation took %d ms, and it ended after %d ms\n",
           (int)(returned - cancelled), (int)(now_ms() - cancelled));
    if (code != 0) {
        return g_strdup_printf("the TPM answers 0x%x", code);
    }
    return flush(guest, tpm_get_u32(&guest->response));
}

/* The file is written, but Linux waits with it; then the TPM is ready for the next command. */
static char *check_cancel_1_2(Guest *guest)
{
    char *wrong = NULL;

    if (!start_long_command(guest, &wrong)) {
        return wrong;
    }
    gint64 aborted = now_ms();

    nested_abort();
    gint64 returned = now_ms();
    bool waits = cancel_waits_with_it();
    bool ready = nested_wait_ready();

    printf(
        "note: the abort of a key generation took %d ms, and it was ready after %d ms; the kernel "
        "%s\n",
        (int)(returned - aborted), (int)(now_ms() - aborted),
        waits ? "had the cancel wait for it" : "was not seen to have the cancel wait");
    return ready ? NULL : g_strdup("the device does not become ready");
}

static char *check_cancel(Guest *guest)
{
    char *wrong = guest->tpm2 ? check_cancel_2_0(guest) : check_cancel_1_2(guest);

    return wrong ? wrong : check_random(guest);
}

/* ---- the kernel's O_NONBLOCK ---- */

/*
 * On the device itself, when the backend is gone: how long does poll() take that must not wait,
 * while a command runs? It is what decides how the backend does its work.
 */
static char *check_nonblocking(Guest *guest)
{
    int fd = open(DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0) {
        return g_strdup_printf("open: %s", g_strerror(errno));
    }
    long_command(guest);
    tpm_command_end(&guest->command);
    gint64 start = now_ms(), longest = 0;
    struct pollfd events = { .fd = fd, .events = POLLIN };
    bool written =
        write(fd, guest->command.data, guest->command.size) == (ssize_t)guest->command.size;

    for (int ready = 0; written && ready == 0 && now_ms() - start < DEADLINE_S * 1000;) {
        gint64 before = now_ms();

        ready = poll(&events, 1, 0);
        longest = MAX(longest, now_ms() - before);
        g_usleep(1000);
    }
    gint64 took = now_ms() - start;
    ssize_t size = written ? read(fd, guest->response.data, sizeof(guest->response.data)) : -1;

    close(fd);
    printf("note: O_NONBLOCK: poll() without a time-out took up to %d ms of a command of %d ms\n",
           (int)longest, (int)took);
    return size >= 10 ? NULL : g_strdup("there is no response");
}

/* ---- the whole ---- */

typedef struct NestedCheck {
    const char *name;
    Check check;
    bool tpm2_only;
} NestedCheck;

static const NestedCheck backend_checks[] = {
    { "the backend finds version and buffer", check_found, false },
    { "the device has one user", check_one_user, false },
    { "the resource manager has several", check_shared, true },
    { "the file for cancels is told", check_cancel_file, false },
};

static const NestedCheck device_checks[] = {
    { "it was started, and says so", check_was_started, false },
    { "sysfs shows the PCRs it tells", check_sysfs_pcrs, false },
    { "GetRandom gives random bytes", check_random, false },
    { "a PCR extends as computed", check_extend, false },
    { "sysfs shows what was extended", check_sysfs_pcrs, false },
    { "a command of the largest size is answered", check_largest_command, false },
    { "a large valid command gives the right digest", check_large_valid_command, false },
    { "a large response arrives whole", check_large_response, true },
    { "2048 bytes of NV storage read back", check_nv_of_two_kib, true },
    { "a cancel keeps nobody waiting and harms nothing", check_cancel, false },
    { "a reset leaves its PCRs alone", check_reset, false },
    { "it cannot migrate", check_migration, false },
};

static bool run(Guest *guest, const char *prefix, const NestedCheck *checks, unsigned count)
{
    bool good = true;

    for (unsigned i = 0; i < count; i++) {
        char *name = g_strdup_printf("%s: %s", prefix, checks[i].name);

        if (guest->tpm2 || !checks[i].tpm2_only) {
            good = guest_report(name, checks[i].check(guest)) && good;
        }
        g_free(name);
    }
    return good;
}

static bool run_device(Guest *guest, const char *model, TPMInterface interface, unsigned largest)
{
    char *name = g_strdup_printf("%s: it is there", model);
    bool good = guest_report(name, nested_plug(backend, interface));

    guest->largest = largest;
    g_free(name);
    return good && run(guest, model, device_checks, G_N_ELEMENTS(device_checks));
}

int main(int argc, char **argv)
{
    static Guest guest;
    char *wrong = NULL;

    setvbuf(stdout, NULL, _IOLBF, 0);
    guest.tpm2 = argc < 2 || strcmp(argv[1], "2.0") == 0;
    backend = nested_backend_new(DEVICE, &wrong);
    if (!guest_report("passthrough: " DEVICE " is a TPM", wrong)) {
        return 1;
    }
    bool good = run(&guest, "passthrough", backend_checks, G_N_ELEMENTS(backend_checks));

    good &= run_device(&guest, "tpm-tis", TPM_INTERFACE_TIS, TPM_CHAR_MAX);
    good &= guest_report("tpm-tis: locality 1 is refused", check_locality(&guest));
    if (guest.tpm2) {
        good &= run_device(&guest, "tpm-crb", TPM_INTERFACE_CRB, CRB_BUFFER_SIZE);
    }
    nested_unplug();
    backend = tpmdev_backend_unref(backend);
    if (guest.tpm2) {
        good &= guest_report("the kernel's own device answers again", check_nonblocking(&guest));
    }
    return good ? 0 : 1;
}
