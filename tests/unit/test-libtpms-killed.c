/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The libtpms backend killed at random moments while its guest writes NV: the directory loads
 * always, and it holds what was acknowledged last or what was on its way then, whole.
 *
 * Each round is a process of its own, this program started anew: it takes the directory into use,
 * tells what it finds there, and writes ever higher numbers until it is killed. SIGKILL loses no
 * page the kernel has; what a loss of power may lose is the order of writes and syncs, which
 * test-state-directory.c watches.
 *
 * TPMDEV_TEST_SEED repeats the moments of a run, as far as the machine is as fast.
 */
#include "command.h"
#include "libtpms-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NEWS_FD    3 /* in the process that is killed: where it tells its news */
#define DEADLINE_S 60

/* The moment of the kill, in microseconds: mostly after some numbers, sometimes from the start. */
#define KILL_WRITING_US  3000u
#define KILL_STARTING_US 40000u

typedef enum NewsKind {
    NEWS_FOUND,   /* value: the number found in NV, 0 for none */
    NEWS_WRITTEN, /* value: the TPM has answered that this is written */
    NEWS_COUNTER, /* value: that of the state, as the host hears it */
    NEWS_BROKEN,  /* value: the step that went wrong */
} NewsKind;

typedef struct News {
    uint64_t kind;
    uint64_t value;
} News;

/* ---- the process that is killed ---- */

#define NV_SIZE_2_0 1024u
#define NV_SIZE_1_2 8u

/* The commands of the fixture, which are for eight bytes, for this size. */
typedef struct Nv {
    Fixture *fixture;
    TPMVersion version;
    size_t size;
} Nv;

static void tell(NewsKind kind, uint64_t value)
{
    News news = { kind, value };

    if (write(NEWS_FD, &news, sizeof(news)) != sizeof(news) || kind == NEWS_BROKEN) {
        _exit(1);
    }
}

static void must_be(uint32_t code, uint32_t wanted, uint64_t step)
{
    if (code != wanted) {
        fprintf(stderr, "step %" G_GUINT64_FORMAT ": code 0x%x\n", step, code);
        tell(NEWS_BROKEN, step);
    }
}

/* Every byte depends on the number and on its place. */
static void fill(uint8_t *data, size_t size, uint64_t number)
{
    for (size_t i = 0; i < size; i++) {
        uint64_t byte = i < 8 ? number >> (56 - 8 * i) : number * 31 + i;

        data[i] = (uint8_t)byte;
    }
}

/*
 * A TPM 1.2 nobody owns takes 64 writes (TPM_MAXNVWRITES) and forgets how many there were when
 * somebody present clears it. That disables and deactivates it, which is undone at once, and takes
 * effect with the next TPM_Startup.
 */
BYTES(enable_presence_1_2, BE16(0x00C1), BE32(12u), BE32(0x4000000Au), BE16(0x0020));
BYTES(assert_presence_1_2, BE16(0x00C1), BE32(12u), BE32(0x4000000Au), BE16(0x0008));
BYTES(force_clear_1_2, BE16(0x00C1), BE32(10u), BE32(0x5Du));
BYTES(physical_enable_1_2, BE16(0x00C1), BE32(10u), BE32(0x6Fu));
BYTES(activate_1_2, BE16(0x00C1), BE32(11u), BE32(0x72u), 0);

static void forget_writes_1_2(const Nv *nv)
{
    must_be(COMMAND(nv->fixture, enable_presence_1_2), 0, 10);
    must_be(COMMAND(nv->fixture, assert_presence_1_2), 0, 11);
    /* A kill may have come between the steps of the last time. */
    must_be(COMMAND(nv->fixture, physical_enable_1_2), 0, 12);
    must_be(COMMAND(nv->fixture, activate_1_2), 0, 13);
    start_tpm(nv->fixture);
    must_be(COMMAND(nv->fixture, startup_1_2), 0, 14);
    must_be(COMMAND(nv->fixture, assert_presence_1_2), 0, 15);
    must_be(COMMAND(nv->fixture, force_clear_1_2), 0, 16);
}

static uint32_t nv_write_number(const Nv *nv, uint64_t number)
{
    uint8_t command[sizeof(nv_write) + NV_SIZE_2_0];
    bool is_2_0 = nv->version == TPM_VERSION_2_0;
    size_t before = is_2_0 ? sizeof(nv_write) - 10 : sizeof(nv_write_1_2) - 8;
    size_t size = before + nv->size + (is_2_0 ? 2 : 0);

    memset(command, 0, sizeof(command));
    memcpy(command, is_2_0 ? nv_write : nv_write_1_2, before);
    tpm_put_be32(command + TPM_HEADER_LEN, (uint32_t)size);
    if (is_2_0) {
        tpm_put_be16(command + before - 2, (uint16_t)nv->size);
    }
    fill(command + before, nv->size, number);
    return backend_client_command(nv->fixture->client, command, size);
}

static uint32_t nv_define_index(const Nv *nv)
{
    uint8_t command[sizeof(nv_define)];
    uint8_t command_1_2[sizeof(nv_define_1_2)];

    if (nv->version == TPM_VERSION_1_2) {
        memcpy(command_1_2, nv_define_1_2, sizeof(command_1_2));
        tpm_put_be32(command_1_2 + 70, 1); /* TPM_NV_PER_PPWRITE: TPM_ForceClear leaves it */
        return COMMAND(nv->fixture, command_1_2);
    }
    memcpy(command, nv_define, sizeof(command));
    tpm_put_be16(command + sizeof(command) - 2, (uint16_t)nv->size);
    return backend_client_command(nv->fixture->client, command, sizeof(command));
}

static uint32_t nv_read_index(const Nv *nv)
{
    uint8_t command[sizeof(nv_read)];

    if (nv->version == TPM_VERSION_1_2) {
        return COMMAND(nv->fixture, nv_read_1_2);
    }
    memcpy(command, nv_read, sizeof(command));
    tpm_put_be16(command + sizeof(command) - 4, (uint16_t)nv->size);
    return backend_client_command(nv->fixture->client, command, sizeof(command));
}

/* The number in NV; 0 when nothing was written yet, after an index has been made for it. */
static uint64_t find_number(const Nv *nv)
{
    uint8_t wanted[NV_SIZE_2_0];
    const uint8_t *found =
        nv->fixture->client->response + (nv->version == TPM_VERSION_2_0 ? 16 : 14);
    uint64_t number = 0;
    uint32_t code = nv_read_index(nv);

    if (code == 0x18B || code == 0x2) { /* TPM_RC_HANDLE, TPM_BADINDEX: there is no index */
        must_be(nv_define_index(nv), 0, 1);
        return 0;
    }
    if (code == 0x14A) { /* TPM_RC_NV_UNINITIALIZED */
        return 0;
    }
    must_be(code, 0, 2);
    for (unsigned i = 0; i < 8; i++) {
        number = number << 8 | found[i];
    }
    if (nv->version == TPM_VERSION_1_2 && number == UINT64_MAX) {
        return 0; /* defined and never written */
    }
    fill(wanted, nv->size, number);
    must_be(memcmp(found, wanted, nv->size) != 0, 0, 3);
    return number;
}

static void on_counter_changed(void *opaque, uint64_t counter)
{
    (void)opaque;
    tell(NEWS_COUNTER, counter);
}

/* counter: what the host knows, who gives a key as well; NULL for one that does neither. */
static void make_killed_backend(Fixture *fixture, TPMVersion version, const char *counter)
{
    static const uint8_t key[TPM_LIBTPMS_KEY_SIZE] = "thirty-two bytes, known to all.";
    TPMLibtpmsConfig config = {
        .size = sizeof(config),
        .id = "tpm0",
        .directory = fixture->path,
        .version = version,
    };

    if (counter) {
        config.key = key;
        config.counter = g_ascii_strtoull(counter, NULL, 10);
        config.counter_changed = on_counter_changed;
    }
    fixture->backend = tpmdev_backend_libtpms_new(&config, &fixture->error);
    if (!fixture->backend) {
        fprintf(stderr, "%s\n", fixture->error->message);
        tell(NEWS_BROKEN, 0);
    }
    bind_client(fixture);
    start_tpm(fixture);
}

static void run_until_killed(const char *path, const char *version, const char *counter)
{
    Fixture fixture = { .path = g_strdup(path) };
    Nv nv = { &fixture, strcmp(version, "1.2") == 0 ? TPM_VERSION_1_2 : TPM_VERSION_2_0, 0 };

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    nv.size = nv.version == TPM_VERSION_2_0 ? NV_SIZE_2_0 : NV_SIZE_1_2;
    make_killed_backend(&fixture, nv.version, counter);
    must_be(nv.version == TPM_VERSION_2_0 ? COMMAND(&fixture, startup_clear)
                                          : COMMAND(&fixture, startup_1_2),
            0, 4);
    uint64_t number = find_number(&nv);

    tell(NEWS_FOUND, number);
    for (;;) {
        uint32_t code = nv_write_number(&nv, ++number);

        if (code == 0x48) { /* TPM_MAXNVWRITES */
            forget_writes_1_2(&nv);
            code = nv_write_number(&nv, number);
        }
        must_be(code, 0, 5);
        tell(NEWS_WRITTEN, number);
    }
}

/* ---- the one that kills ---- */

typedef struct Run {
    Fixture *fixture;
    GRand *random;
    const char *version;
    bool has_key;      /* the state is encrypted, and the host keeps its counter */
    uint64_t written;  /* the last number known to be written */
    uint64_t counter;  /* that of the state, as far as the host knows */
    unsigned overtook; /* rounds after which there was one more */
    unsigned cut;      /* rounds that left a store half done */
} Run;

/* A pipe that this program, started again, writes its news to. */
static pid_t start_round(const Run *run, int *news)
{
    g_autofree char *counter = g_strdup_printf("%" G_GUINT64_FORMAT, run->counter);
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t child = fork();

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (dup2(ends[1], NEWS_FD) == NEWS_FD) {
            fcntl(NEWS_FD, F_SETFD, 0); /* it may have been that number already */
            execl("/proc/self/exe", "test-libtpms-killed", run->fixture->path, run->version,
                  run->has_key ? counter : NULL, (char *)NULL);
        }
        _exit(1);
    }
    assert_true(child > 0);
    close(ends[1]);
    *news = ends[0];
    return child;
}

/* The next news; false when there is no more. */
static bool next_news(int fd, News *news)
{
    ssize_t n = read(fd, news, sizeof(*news));

    assert_true(n == 0 || n == sizeof(*news));
    return n > 0;
}

static void check_news(Run *run, const News *news)
{
    assert_int_not_equal(news->kind, NEWS_BROKEN);
    if (news->kind == NEWS_COUNTER) {
        assert_true(news->value > run->counter);
        run->counter = news->value;
        return;
    }
    if (news->kind == NEWS_FOUND) {
        /* What was acknowledged, or that and what was under way; never less. */
        assert_in_range(news->value, run->written, run->written + 1);
        run->overtook += news->value > run->written;
    } else {
        assert_int_equal(news->value, run->written + 1);
    }
    run->written = news->value;
}

/* Wait for the first number of this round, so that the kill falls among writes. */
static void wait_for_writes(Run *run, int fd)
{
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    News news = { NEWS_FOUND, 0 };

    while (news.kind != NEWS_WRITTEN) {
        assert_int_equal(poll(&ready, 1, DEADLINE_S * 1000), 1);
        assert_true(next_news(fd, &news));
        check_news(run, &news);
    }
}

static unsigned count_temporaries(const Fixture *fixture)
{
    GDir *dir = g_dir_open(fixture->path, 0, NULL);
    const char *name;
    unsigned count = 0;

    while ((name = g_dir_read_name(dir))) {
        count += g_str_has_prefix(name, "permall.tmp-");
    }
    g_dir_close(dir);
    return count;
}

static void kill_one(Run *run, bool while_starting)
{
    int fd;
    News news;
    pid_t child = start_round(run, &fd);

    if (!while_starting) {
        wait_for_writes(run, fd);
    }
    g_usleep((gulong)g_rand_int_range(run->random, 0,
                                      while_starting ? KILL_STARTING_US : KILL_WRITING_US));
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    while (next_news(fd, &news)) {
        check_news(run, &news);
    }
    close(fd);
    run->cut += count_temporaries(run->fixture) > 0;
}

/* What the last one left is found as well, and what it left half done is gone. */
static void check_last(Run *run)
{
    int fd;
    pid_t child = start_round(run, &fd);

    wait_for_writes(run, fd);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(fd);
    assert_in_range(count_temporaries(run->fixture), 0, 1);
}

/* Returns how many of the kills fell into a store, or between it and what was heard of it. */
static unsigned kill_rounds(Fixture *fixture, const char *version, bool has_key, unsigned rounds)
{
    const char *given = g_getenv("TPMDEV_TEST_SEED");
    guint32 seed = given ? (guint32)strtoul(given, NULL, 0) : g_random_int();
    Run run = {
        .fixture = fixture,
        .random = g_rand_new_with_seed(seed),
        .version = version,
        .has_key = has_key,
    };

    print_message("# TPM %s: TPMDEV_TEST_SEED=%u\n", version, seed);
    for (unsigned i = 0; i < rounds; i++) {
        kill_one(&run, i % 10 == 9);
    }
    check_last(&run);
    print_message("# %u rounds, %" G_GUINT64_FORMAT " writes, %u cut in a store, %u after it\n",
                  rounds, run.written, run.cut, run.overtook);
    g_rand_free(run.random);
    return run.cut + run.overtook;
}

/* In memory where that is possible: it is the order of things that is tested, not the disk. */
static int killed_set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    const char *parent = g_access("/dev/shm", W_OK) == 0 ? "/dev/shm" : g_get_tmp_dir();

    fixture->path = g_build_filename(parent, "tpmdev-killed-XXXXXX", NULL);
    *state = fixture;
    return g_mkdtemp(fixture->path) ? 0 : -1;
}

#define KILLED_TEST(name) cmocka_unit_test_setup_teardown(name, killed_set_up, fixture_tear_down)

static void test_a_tpm_2_0_killed_at_random_keeps_the_last_write_or_the_next(void **state)
{
    /* If none of the kills did, they would show nothing. */
    assert_true(kill_rounds(*state, "2.0", false, 100) > 0);
}

/* And the host, who keeps the counter, never finds the state older than what it was told. */
static void test_an_encrypted_tpm_2_0_killed_at_random_is_never_older_than_its_counter(void **state)
{
    assert_true(kill_rounds(*state, "2.0", true, 100) > 0);
}

static void test_a_tpm_1_2_killed_at_random_keeps_the_last_write_or_the_next(void **state)
{
    kill_rounds(*state, "1.2", true, 10); /* each start makes a key, half a second's work */
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        KILLED_TEST(test_a_tpm_2_0_killed_at_random_keeps_the_last_write_or_the_next),
        KILLED_TEST(test_an_encrypted_tpm_2_0_killed_at_random_is_never_older_than_its_counter),
        KILLED_TEST(test_a_tpm_1_2_killed_at_random_keeps_the_last_write_or_the_next),
    };

    if (argc >= 3) {
        run_until_killed(argv[1], argv[2], argv[3]); /* which is NULL in the end */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
