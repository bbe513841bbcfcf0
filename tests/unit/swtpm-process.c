/* SPDX-License-Identifier: BSD-3-Clause */
/* A process of swtpm with a backend and a client; see swtpm-process.h. */
#include "swtpm-process.h"

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

static void die_with_the_test(gpointer data)
{
    (void)data;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

int swtpm_connect(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

void swtpm_launch(Swtpm *swtpm, bool is_1_2)
{
    g_autofree char *state = g_strdup_printf("dir=%s", swtpm->directory);
    g_autofree char *ctrl = g_strdup_printf("type=unixio,path=%s", swtpm->path);
    char *argv[12] = { "swtpm", "socket", "--tpmstate", state, "--ctrl", ctrl };
    unsigned argc = 6;
    gint64 deadline = g_get_monotonic_time() + CLIENT_DEADLINE_S * G_TIME_SPAN_SECOND;
    GError *error = NULL;
    int fd;

    if (!is_1_2) {
        argv[argc++] = "--tpm2";
    }
    if (swtpm->key) {
        argv[argc++] = "--key";
        argv[argc++] = (char *)swtpm->key;
    }
    if (swtpm->migration_key) {
        argv[argc++] = "--migration-key";
        argv[argc++] = (char *)swtpm->migration_key;
    }
    if (!g_spawn_async(NULL, argv, NULL,
                       G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDERR_TO_DEV_NULL,
                       die_with_the_test, NULL, &swtpm->pid, &error)) {
        fail_msg("%s", error->message);
    }
    while ((fd = swtpm_connect(swtpm->path)) < 0) {
        assert_true(g_get_monotonic_time() < deadline);
        g_usleep(1000);
    }
    close(fd);
}

int swtpm_wait_for_exit(Swtpm *swtpm)
{
    int status = 0;

    assert_int_equal(waitpid(swtpm->pid, &status, 0), swtpm->pid);
    swtpm->pid = 0;
    return status;
}

void swtpm_kill(Swtpm *swtpm)
{
    kill(swtpm->pid, SIGKILL);
    swtpm_wait_for_exit(swtpm);
}

void swtpm_stop(Swtpm *swtpm)
{
    int status;

    kill(swtpm->pid, SIGSTOP);
    assert_int_equal(waitpid(swtpm->pid, &status, WUNTRACED), swtpm->pid);
    assert_true(WIFSTOPPED(status));
}

Swtpm *swtpm_new(void)
{
    Swtpm *swtpm = g_new0(Swtpm, 1);

    swtpm->directory = g_dir_make_tmp("real-swtpm-XXXXXX", NULL);
    swtpm->path = g_build_filename(swtpm->directory, "ctrl", NULL);
    return swtpm;
}

void swtpm_attach(Swtpm *swtpm)
{
    GError *error = NULL;

    swtpm->config.size = sizeof(swtpm->config);
    swtpm->config.id = "tpm0";
    if (!swtpm->config.host && !swtpm->config.n_fds && !swtpm->config.spawn) {
        swtpm->config.path = swtpm->path;
    }
    swtpm->backend = tpmdev_backend_emulator_new(&swtpm->config, &error);
    if (!swtpm->backend) {
        fail_msg("%s", error->message);
    }
}

void swtpm_bind(Swtpm *swtpm)
{
    backend_client_bind(&swtpm->client, swtpm->backend, NULL);
    swtpm->bound = true;
}

void swtpm_unbind(Swtpm *swtpm)
{
    if (swtpm->bound) {
        backend_client_unbind(&swtpm->client);
        swtpm->bound = false;
    }
}

void swtpm_start(Swtpm *swtpm)
{
    if (!backend_client_start(&swtpm->client, TPM_BUFFER_SIZE_COMMON)) {
        fail_msg("%s", swtpm->client.start_error);
    }
}

static void remove_directory(const char *path)
{
    GDir *directory = g_dir_open(path, 0, NULL);
    const char *name;

    while (directory && (name = g_dir_read_name(directory))) {
        g_autofree char *file = g_build_filename(path, name, NULL);

        unlink(file);
    }
    if (directory) {
        g_dir_close(directory);
    }
    rmdir(path);
}

void swtpm_free(Swtpm *swtpm)
{
    if (swtpm->pid) {
        kill(swtpm->pid, SIGCONT);
    }
    swtpm_unbind(swtpm);
    tpmdev_backend_unref(swtpm->backend);
    if (swtpm->pid) {
        swtpm_kill(swtpm);
    }
    remove_directory(swtpm->directory);
    g_free(swtpm->directory);
    g_free(swtpm->path);
    g_free(swtpm);
}
