/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A child process that cannot become an orphan; see swtpm-spawn.h.
 *
 * vfork(), because fork() would copy the page tables of all of the guest's memory. Until the
 * child has its program it runs in our memory, on our stack, while the thread that made it waits:
 * it makes system calls and nothing else, all signals are blocked so that no handler of the
 * host's runs there, and what goes wrong is told over a pipe.
 *
 * PR_SET_PDEATHSIG is what ends it when this process ends, by SIGKILL, too. It hangs on the thread
 * that made it: that is why swtpm-child.c has one for it. A program with set-user-ID or file
 * capabilities would escape it; PR_SET_NO_NEW_PRIVS lets no program gain those.
 *
 * Sources: prctl(2), vfork(2), pidfd_open(2), signal-safety(7).
 * Neighbours: swtpm-child.c says what is to run and waits for its end.
 */
#include "swtpm-spawn.h"

#include "emulator-channel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tpmdev/error.h>
#include <unistd.h>

/* The child's own descriptors are below this, ours are moved above it: none gets into the way. */
#define FIRST_PARENT_FD 10

/* The child's descriptor of the pipe that tells what went wrong; closed by a successful exec. */
#define CHILD_REPORT_FD 4

#define REPORT_DEADLINE_MS 10000

/* How far the child came. */
typedef enum SpawnStage {
    STAGE_PARENT,
    STAGE_DIRECTORY,
    STAGE_DESCRIPTORS,
    STAGE_EXEC,
} SpawnStage;

typedef struct SpawnReport {
    SpawnStage stage;
    int error;
} SpawnReport;

/* What the child needs, with all descriptors out of its way. */
typedef struct SpawnPlan {
    char **argv;
    char **environment;
    pid_t parent;
    int directory_fd;
    int channel_fd;
    int output_fd;
    int null_fd;
    int report_fd;
} SpawnPlan;

bool tpm_swtpm_spawn_is_possible(GError **error)
{
    int self = pidfd_open(getpid(), 0);

    if (self < 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_UNSUPPORTED,
                    "swtpm cannot be watched here: pidfd_open: %s; it takes Linux 5.4 or later",
                    g_strerror(errno));
        return false;
    }
    close(self);
    return true;
}

/* ---- the child ---- */

static G_NORETURN void child_fail(SpawnStage stage)
{
    SpawnReport report = { stage, errno };
    ssize_t written = write(CHILD_REPORT_FD, &report, sizeof(report));

    _exit(written < 0 ? 126 : 127);
}

/* What has come before the report's descriptor is in its place. */
static G_NORETURN void child_fail_early(const SpawnPlan *plan, SpawnStage stage)
{
    int error = errno;

    dup2(plan->report_fd, CHILD_REPORT_FD);
    errno = error;
    child_fail(stage);
}

/* Where close_range() is not to be had, all that may be open is closed one by one. */
static void child_close_from(unsigned first)
{
    struct rlimit limit;

    if (close_range(first, ~0u, 0) != 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        for (rlim_t fd = first; fd < limit.rlim_cur && fd <= INT_MAX; fd++) {
            close((int)fd);
        }
    }
}

/* All signals as a new program expects them, pending ones first of all. */
static void child_reset_signals(void)
{
    struct sigaction action = { .sa_handler = SIG_DFL };
    sigset_t none;

    for (int number = 1; number < NSIG; number++) {
        sigaction(number, &action, NULL);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* What it leaves behind is for its owner alone, and its memory, with the TPM's keys, for nobody. */
static void child_limit(void)
{
    struct rlimit no_core = { 0, 0 };

    setsid(); /* the terminal's signals are for the host */
    umask(S_IRWXG | S_IRWXO);
    setrlimit(RLIMIT_CORE, &no_core);
}

static G_NORETURN void child_run(const SpawnPlan *plan)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        child_fail_early(plan, STAGE_PARENT);
    }
    if (getppid() != plan->parent) { /* it was killed before we asked to be told */
        errno = ESRCH;
        child_fail_early(plan, STAGE_PARENT);
    }
    child_limit();
    if (fchdir(plan->directory_fd) != 0) {
        child_fail_early(plan, STAGE_DIRECTORY);
    }
    if (dup2(plan->null_fd, STDIN_FILENO) < 0 || dup2(plan->output_fd, STDOUT_FILENO) < 0 ||
        dup2(plan->output_fd, STDERR_FILENO) < 0 ||
        dup2(plan->channel_fd, SWTPM_CHILD_CHANNEL_FD) < 0 ||
        dup3(plan->report_fd, CHILD_REPORT_FD, O_CLOEXEC) < 0) {
        child_fail_early(plan, STAGE_DESCRIPTORS);
    }
    child_close_from(CHILD_REPORT_FD + 1);
    child_reset_signals();
    execve(plan->argv[0], plan->argv, plan->environment);
    child_fail(STAGE_EXEC);
}

/* ---- the parent ---- */

/* A function of its own: after vfork() returns once, its variables are nobody's. */
static pid_t make_child(const SpawnPlan *plan)
{
    pid_t pid = vfork();

    if (pid == 0) {
        child_run(plan);
    }
    return pid;
}

static pid_t make_child_without_signals(const SpawnPlan *plan)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = make_child(plan);
    int error = errno;

    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return pid;
}

/* Does the child run its program? If not, what has it said? */
static bool child_is_running(int report_fd, SpawnReport *report)
{
    struct pollfd readable = { .fd = report_fd, .events = POLLIN };
    ssize_t got = 0;

    /* Its end is closed by now, unless a child of the host's has it open for a moment, too. */
    if (poll(&readable, 1, REPORT_DEADLINE_MS) > 0) {
        got = read(report_fd, report, sizeof(*report));
    }
    return got != (ssize_t)sizeof(*report);
}

static void set_report_error(const SpawnReport *report, const char *program, GError **error)
{
    const char *words = g_strerror(report->error);

    switch (report->stage) {
    case STAGE_PARENT:
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "cannot be tied to this process: %s", words);
        break;
    case STAGE_DIRECTORY:
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "cannot enter the state directory: %s",
                    words);
        break;
    case STAGE_DESCRIPTORS:
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "cannot pass the control channel: %s",
                    words);
        break;
    case STAGE_EXEC:
        g_set_error(error, TPMDEV_ERROR,
                    report->error == ENOENT ? TPM_ERROR_NOT_FOUND : TPM_ERROR_IO,
                    "cannot run '%s': %s", program, words);
        break;
    }
}

/* Out of the child's way, and closed in every other program this process starts. */
static int move_fd(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, FIRST_PARENT_FD);
}

/* Open what the plan needs. False with errno set when something could not be had. */
static bool plan_open(SpawnPlan *plan, const SwtpmSpawn *spawn, int *report_fd)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0) {
        return false;
    }
    *report_fd = ends[0];
    plan->report_fd = move_fd(ends[1]);
    close(ends[1]);
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    plan->null_fd = move_fd(null_fd);
    tpm_channel_close(&null_fd);
    plan->directory_fd = move_fd(spawn->directory_fd);
    plan->channel_fd = move_fd(spawn->channel_fd);
    plan->output_fd = move_fd(spawn->output_fd);
    return plan->report_fd >= 0 && plan->null_fd >= 0 && plan->directory_fd >= 0 &&
           plan->channel_fd >= 0 && plan->output_fd >= 0;
}

static void plan_close(SpawnPlan *plan)
{
    tpm_channel_close(&plan->report_fd);
    tpm_channel_close(&plan->null_fd);
    tpm_channel_close(&plan->directory_fd);
    tpm_channel_close(&plan->channel_fd);
    tpm_channel_close(&plan->output_fd);
}

/* Only for a child that is ending. */
static void reap(pid_t pid)
{
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
    }
}

/* The child is there: keep it if it runs its program. */
static bool take_child(SwtpmSpawned *spawned, int report_fd, const char *program, GError **error)
{
    SpawnReport report;

    spawned->pid_fd = pidfd_open(spawned->pid, 0);
    int trouble = errno;

    if (!child_is_running(report_fd, &report)) {
        set_report_error(&report, program, error);
        reap(spawned->pid);
        tpm_channel_close(&spawned->pid_fd);
        return false;
    }
    if (spawned->pid_fd < 0) {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "cannot be watched: %s",
                    g_strerror(trouble));
        if (trouble != ESRCH) { /* else it has ended, and the host has waited for it */
            kill(spawned->pid, SIGKILL);
            reap(spawned->pid);
        }
        return false;
    }
    return true;
}

bool tpm_swtpm_spawn(const SwtpmSpawn *spawn, SwtpmSpawned *spawned, GError **error)
{
    SpawnPlan plan = { .argv = spawn->argv,
                       .environment = spawn->environment,
                       .parent = getpid(),
                       .directory_fd = -1,
                       .channel_fd = -1,
                       .output_fd = -1,
                       .null_fd = -1,
                       .report_fd = -1 };
    int report_fd = -1;
    bool running = false;

    spawned->pid = plan_open(&plan, spawn, &report_fd) ? make_child_without_signals(&plan) : -1;
    int trouble = errno;

    plan_close(&plan);
    if (spawned->pid > 0) {
        running = take_child(spawned, report_fd, spawn->argv[0], error);
    } else {
        g_set_error(error, TPMDEV_ERROR, TPM_ERROR_IO, "cannot make a process: %s",
                    g_strerror(trouble));
    }
    tpm_channel_close(&report_fd);
    return running;
}
