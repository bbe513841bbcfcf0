/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest whose machine is saved, loaded or moved under it, which it must not notice: what was
 * sealed unseals, with a session that was begun before; handles, PCRs and the firmware's log are
 * what they were; a load of commands that is under way goes on without one lost or done twice.
 *
 * The guest cannot tell a machine that was loaded from one that went on. So run-guest's side says
 * when something was done, and here is looked what became of the TPM.
 *
 * A TPM 1.2 seals nothing before it has an owner. Of it a session is kept, and PCRs.
 *
 * Neighbours: guest-check.c runs these; checks-kept.c has what else is kept; guest_moves.py does
 * what they are about.
 */
#include "event-log.h"
#include "guest-check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* TPM 2.0 Part 2, "TPM_CC" and "TPM_SE". */
#define TPM2_PCR_RESET          0x13Du
#define TPM2_CREATE             0x153u
#define TPM2_LOAD               0x157u
#define TPM2_UNSEAL             0x15Eu
#define TPM2_FLUSH_CONTEXT      0x165u
#define TPM2_START_AUTH_SESSION 0x176u
#define TPM2_POLICY_PCR         0x17Fu
#define TPM2_POLICY_GET_DIGEST  0x189u
#define TPM2_SE_POLICY          0x01u
#define TPM2_SE_TRIAL           0x03u

#define TPM2_ALG_KEYEDHASH 0x0008u

/* What the policy of a sealed object says when PCRs are others than they were. */
#define TPM2_RC_POLICY_FAIL 0x99Du

/* fixedTPM, fixedParent; and no userWithAuth, so that the policy alone opens it */
#define TPM2_SEALED 0x00000012u

/* TPM 1.2 Part 2: ordinals, capabilities, resource types. */
#define TPM12_OIAP           0x0Au
#define TPM12_GET_CAPABILITY 0x65u
#define TPM12_FLUSH_SPECIFIC 0xBAu
#define TPM12_PCR_RESET      0xC8u
#define TPM12_CAP_HANDLE     0x14u
#define TPM12_RT_AUTH        0x02u

/*
 * The PCR that the secret is sealed to, besides 0 to 7: of applications, and so nobody else's. The
 * load extends PCR_DEBUG, which a guest may reset. Neither counts as a change to sessions.
 */
#define PCR_SEALED 23u

#define SECRET_SIZE 32u
#define NONCE_SIZE  16u
#define HASH_SIZE   1024u

/* Every so many rounds of the load something long is done, and a line of progress is written. */
#define ROUNDS_LONG     8u
#define ROUNDS_PROGRESS 16u

/* Physical presence memory of a PC, and in it the last request: a field no firmware here looks at.
 */
#define PPI_PAGE_ADDRESS 0xFED45000u
#define PPI_PAGE_SIZE    0x1000u
#define PPI_LPPR         0x111u

static struct {
    uint32_t parent;
    uint32_t sealed;
    uint32_t session; /* of the policy, satisfied; of a TPM 1.2 any */
} kept;

/* ---- sessions ---- */

static char *start_session(Guest *guest, unsigned type, uint32_t *session)
{
    uint8_t nonce[NONCE_SIZE];

    guest_fill_pattern(nonce, sizeof(nonce), 7);
    tpm_command(&guest->command, TPM2_NO_SESSIONS, TPM2_START_AUTH_SESSION);
    tpm_put_u32(&guest->command, TPM2_RH_NULL); /* no salt */
    tpm_put_u32(&guest->command, TPM2_RH_NULL); /* nor bound to an object */
    tpm_put_u16(&guest->command, sizeof(nonce));
    tpm_put_bytes(&guest->command, nonce, sizeof(nonce));
    tpm_put_u16(&guest->command, 0); /* encryptedSalt */
    tpm_put_u8(&guest->command, type);
    tpm_put_u16(&guest->command, TPM2_ALG_NULL);
    tpm_put_u16(&guest->command, TPM2_ALG_SHA256);
    char *wrong = guest_run(guest, "StartAuthSession");

    if (!wrong) {
        *session = tpm_get_u32(&guest->response);
    }
    return wrong;
}

static char *flush(Guest *guest, uint32_t handle)
{
    tpm_command(&guest->command, TPM2_NO_SESSIONS, TPM2_FLUSH_CONTEXT);
    tpm_put_u32(&guest->command, handle);
    return guest_run(guest, "FlushContext");
}

/* PCRs 0 to 7 and PCR_SEALED, as they are now. */
static char *policy_pcr(Guest *guest, uint32_t session)
{
    static const uint8_t selection[] = { 0xFF, 0, 1u << (PCR_SEALED - 16) };

    tpm_command(&guest->command, TPM2_NO_SESSIONS, TPM2_POLICY_PCR);
    tpm_put_u32(&guest->command, session);
    tpm_put_u16(&guest->command, 0); /* pcrDigest */
    tpm_put_u32(&guest->command, 1); /* selections */
    tpm_put_u16(&guest->command, TPM2_ALG_SHA256);
    tpm_put_u8(&guest->command, sizeof(selection));
    tpm_put_bytes(&guest->command, selection, sizeof(selection));
    return guest_run(guest, "PolicyPCR");
}

/* The digest of a policy that wants these PCRs. */
static char *policy_digest(Guest *guest, uint8_t digest[DIGEST_MAX])
{
    uint32_t trial;
    char *wrong = start_session(guest, TPM2_SE_TRIAL, &trial);

    if (wrong) {
        return wrong;
    }
    wrong = policy_pcr(guest, trial);
    if (!wrong) {
        tpm_command(&guest->command, TPM2_NO_SESSIONS, TPM2_POLICY_GET_DIGEST);
        tpm_put_u32(&guest->command, trial);
        wrong = guest_run(guest, "PolicyGetDigest");
    }
    if (!wrong) {
        const uint8_t *bytes = tpm_get_u16(&guest->response) == DIGEST_MAX
                                   ? tpm_get_bytes(&guest->response, DIGEST_MAX)
                                   : NULL;

        wrong = bytes ? NULL : g_strdup("PolicyGetDigest: there is no digest");
        memcpy(digest, bytes ? bytes : digest, DIGEST_MAX);
    }
    return wrong ? wrong : flush(guest, trial);
}

static char *start_policy(Guest *guest)
{
    char *wrong = start_session(guest, TPM2_SE_POLICY, &kept.session);

    return wrong ? wrong : policy_pcr(guest, kept.session);
}

/* ---- the secret ---- */

static void secret(uint8_t bytes[SECRET_SIZE])
{
    guest_fill_pattern(bytes, SECRET_SIZE, 11);
}

/* TPM2_Create; what it answers begins with both parts of the object as TPM2_Load wants them. */
static char *create_sealed(Guest *guest, const uint8_t policy[DIGEST_MAX])
{
    uint8_t bytes[SECRET_SIZE];

    secret(bytes);
    tpm_command(&guest->command, TPM2_SESSIONS, TPM2_CREATE);
    tpm_put_u32(&guest->command, kept.parent);
    tpm_put_empty_password(&guest->command);
    tpm_put_u16(&guest->command, 2 + 2 + SECRET_SIZE); /* bytes of inSensitive */
    tpm_put_u16(&guest->command, 0);                   /* no password */
    tpm_put_u16(&guest->command, SECRET_SIZE);
    tpm_put_bytes(&guest->command, bytes, SECRET_SIZE);
    tpm_put_u16(&guest->command, 2 + 2 + 4 + 2 + DIGEST_MAX + 2 + 2); /* of inPublic */
    tpm_put_u16(&guest->command, TPM2_ALG_KEYEDHASH);
    tpm_put_u16(&guest->command, TPM2_ALG_SHA256);
    tpm_put_u32(&guest->command, TPM2_SEALED);
    tpm_put_u16(&guest->command, DIGEST_MAX);
    tpm_put_bytes(&guest->command, policy, DIGEST_MAX);
    tpm_put_u16(&guest->command, TPM2_ALG_NULL); /* scheme */
    tpm_put_u16(&guest->command, 0);             /* unique */
    tpm_put_u16(&guest->command, 0);             /* outsideInfo */
    tpm_put_u32(&guest->command, 0);             /* creationPCR */
    return guest_run(guest, "Create");
}

static char *load_sealed(Guest *guest)
{
    TPMMessage *response = &guest->response;
    TPMMessage *command = &guest->command;

    tpm_get_u32(response); /* size of the parameters */
    tpm_command(command, TPM2_SESSIONS, TPM2_LOAD);
    tpm_put_u32(command, kept.parent);
    tpm_put_empty_password(command);
    for (unsigned part = 0; part < 2; part++) { /* private, public */
        unsigned size = tpm_get_u16(response);
        const uint8_t *bytes = tpm_get_bytes(response, size);

        if (!bytes) {
            return g_strdup("Create: the response is too short");
        }
        tpm_put_u16(command, size);
        tpm_put_bytes(command, bytes, size);
    }
    char *wrong = guest_run(guest, "Load");

    if (!wrong) {
        kept.sealed = tpm_get_u32(response);
    }
    return wrong;
}

/* TPM2_Unseal's response code, by the session that is kept. */
static uint32_t unseal(Guest *guest)
{
    tpm_command(&guest->command, TPM2_SESSIONS, TPM2_UNSEAL);
    tpm_put_u32(&guest->command, kept.sealed);
    tpm_put_u32(&guest->command, 9); /* bytes of the authorization */
    tpm_put_u32(&guest->command, kept.session);
    tpm_put_u16(&guest->command, 0); /* nonce */
    tpm_put_u8(&guest->command, 1);  /* the session goes on, without what it had satisfied */
    tpm_put_u16(&guest->command, 0); /* hmac */
    return tpm_char_run(guest->fd, &guest->command, &guest->response);
}

char *check_unseal(Guest *guest)
{
    uint8_t expected[SECRET_SIZE];
    uint32_t code = unseal(guest);

    if (code != 0) {
        return g_strdup_printf("Unseal: the TPM answers 0x%x", code);
    }
    tpm_get_u32(&guest->response); /* size of the parameters */
    unsigned size = tpm_get_u16(&guest->response);
    const uint8_t *bytes = tpm_get_bytes(&guest->response, SECRET_SIZE);

    secret(expected);
    if (size != SECRET_SIZE || !bytes || memcmp(bytes, expected, SECRET_SIZE) != 0) {
        return g_strdup("Unseal: this is not what was sealed");
    }
    return policy_pcr(guest, kept.session); /* for the next time */
}

char *check_seal(Guest *guest)
{
    uint8_t policy[DIGEST_MAX];
    char *wrong = policy_digest(guest, policy);

    if (!wrong) {
        wrong = guest_create_primary(guest, GUEST_STORAGE_KEY, &kept.parent);
    }
    wrong = wrong ? wrong : create_sealed(guest, policy);
    wrong = wrong ? wrong : load_sealed(guest);
    return wrong ? wrong : start_policy(guest);
}

/* ---- what else is kept ---- */

char *check_sealed_pcr_extended(Guest *guest)
{
    unsigned count;
    const Bank *bank = guest_banks(guest, &count);
    uint8_t digest[DIGEST_MAX];

    guest_fill_pattern(digest, sizeof(digest), 12);
    return guest_pcr_extend(guest, bank, PCR_SEALED, digest);
}

/* TPM_OIAP, and whether the TPM knows the session. */
char *check_session_begin(Guest *guest)
{
    tpm_command(&guest->command, TPM12_REQUEST, TPM12_OIAP);
    char *wrong = guest_run(guest, "OIAP");

    if (!wrong) {
        kept.session = tpm_get_u32(&guest->response);
    }
    return wrong;
}

char *check_session_kept(Guest *guest)
{
    tpm_command(&guest->command, TPM12_REQUEST, TPM12_GET_CAPABILITY);
    tpm_put_u32(&guest->command, TPM12_CAP_HANDLE);
    tpm_put_u32(&guest->command, 4); /* bytes of what follows */
    tpm_put_u32(&guest->command, TPM12_RT_AUTH);
    char *wrong = guest_run(guest, "GetCapability");

    if (wrong) {
        return wrong;
    }
    tpm_get_u32(&guest->response); /* size of the list */
    for (unsigned n = tpm_get_u16(&guest->response); n > 0; n--) {
        if (tpm_get_u32(&guest->response) == kept.session) {
            return NULL;
        }
    }
    return g_strdup_printf("the TPM does not know of session 0x%x", kept.session);
}

/* The memory of physical presence; what the guest writes there comes and goes with it. */
static char *access_ppi(bool write)
{
    static const uint8_t mark[] = { 0x21, 0x43, 0x65, 0x87 };
    int fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
    volatile uint8_t *page = fd < 0 ? MAP_FAILED
                                    : mmap(NULL, PPI_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
                                           fd, PPI_PAGE_ADDRESS);
    bool same = true;

    if (fd >= 0) {
        close(fd);
    }
    if (page == MAP_FAILED) {
        return g_strdup_printf("/dev/mem: %s", g_strerror(errno));
    }
    for (unsigned i = 0; i < sizeof(mark); i++) {
        if (write) {
            page[PPI_LPPR + i] = mark[i];
        }
        same &= page[PPI_LPPR + i] == mark[i];
    }
    munmap((void *)page, PPI_PAGE_SIZE);
    return same ? NULL : g_strdup("it holds another last request than was written");
}

char *check_ppi_mark(Guest *guest)
{
    (void)guest;
    return access_ppi(true);
}

char *check_ppi_marked(Guest *guest)
{
    (void)guest;
    return access_ppi(false);
}

/* ---- what a snapshot must undo ---- */

/* The session's handle is free again then; what is begun anew must not satisfy the policy. */
char *check_secret_locked(Guest *guest)
{
    char *wrong = flush(guest, kept.session);

    wrong = wrong ? wrong : start_policy(guest);
    if (wrong) {
        return wrong;
    }
    uint32_t code = unseal(guest);

    return code == TPM2_RC_POLICY_FAIL ? NULL
                                       : g_strdup_printf("Unseal: the TPM answers 0x%x, not 0x%x",
                                                         code, TPM2_RC_POLICY_FAIL);
}

char *check_session_flushed(Guest *guest)
{
    tpm_command(&guest->command, TPM12_REQUEST, TPM12_FLUSH_SPECIFIC);
    tpm_put_u32(&guest->command, kept.session);
    tpm_put_u32(&guest->command, TPM12_RT_AUTH);
    return guest_run(guest, "FlushSpecific");
}

/* ---- the load ---- */

static char *reset_debug_pcr(Guest *guest)
{
    static const uint8_t selection[] = { 0, 0, 1u << (PCR_DEBUG - 16) };

    if (guest->tpm2) {
        tpm_command(&guest->command, TPM2_SESSIONS, TPM2_PCR_RESET);
        tpm_put_u32(&guest->command, PCR_DEBUG);
        tpm_put_empty_password(&guest->command);
    } else {
        tpm_command(&guest->command, TPM12_REQUEST, TPM12_PCR_RESET);
        tpm_put_u16(&guest->command, sizeof(selection));
        tpm_put_bytes(&guest->command, selection, sizeof(selection));
    }
    return guest_run(guest, "PCR_Reset");
}

/* Data of a seed hashed, which is a long command and a short response. */
static char *hash(Guest *guest, unsigned seed)
{
    uint8_t data[HASH_SIZE];
    uint8_t expected[DIGEST_MAX];
    gsize size = sizeof(expected);
    GChecksum *checksum = g_checksum_new(G_CHECKSUM_SHA256);

    guest_fill_pattern(data, sizeof(data), seed);
    g_checksum_update(checksum, data, sizeof(data));
    g_checksum_get_digest(checksum, expected, &size);
    g_checksum_free(checksum);
    tpm_command(&guest->command, TPM2_NO_SESSIONS, TPM2_HASH);
    tpm_put_u16(&guest->command, sizeof(data));
    tpm_put_bytes(&guest->command, data, sizeof(data));
    tpm_put_u16(&guest->command, TPM2_ALG_SHA256);
    tpm_put_u32(&guest->command, TPM2_RH_NULL);
    char *wrong = guest_run(guest, "Hash");

    if (wrong) {
        return wrong;
    }
    unsigned given = tpm_get_u16(&guest->response);
    const uint8_t *digest = tpm_get_bytes(&guest->response, DIGEST_MAX);

    return given == DIGEST_MAX && digest && memcmp(digest, expected, DIGEST_MAX) == 0
               ? NULL
               : g_strdup("Hash: the digest is another");
}

/* A key is long under way; it leaves the TPM as it was. */
static char *make_and_flush_key(Guest *guest)
{
    uint32_t key;
    char *wrong = guest_create_primary(guest, GUEST_SIGNING_KEY, &key);

    return wrong ? wrong : flush(guest, key);
}

static char *load_round(Guest *guest, const Bank *bank, unsigned round, uint8_t *expected)
{
    uint8_t digest[DIGEST_MAX];
    char *wrong = guest_random(guest, digest, sizeof(digest));

    if (!wrong) {
        event_log_extend(bank->checksum, expected, digest);
        wrong = guest_pcr_extend(guest, bank, PCR_DEBUG, digest);
    }
    if (!wrong && guest->tpm2) {
        wrong = hash(guest, round);
    }
    if (!wrong && guest->tpm2 && round % ROUNDS_LONG == 0) {
        wrong = make_and_flush_key(guest);
    }
    return wrong;
}

static bool outside_speaks(void)
{
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

    return poll(&input, 1, 0) > 0;
}

char *check_load(Guest *guest)
{
    unsigned count;
    const Bank *bank = guest_banks(guest, &count);
    uint8_t expected[DIGEST_MAX];
    uint8_t found[DIGEST_MAX];
    char *wrong = guest_pcr_read(guest, bank, PCR_DEBUG, expected);
    unsigned round = 0;

    while (!wrong && !outside_speaks()) {
        wrong = load_round(guest, bank, round++, expected);
        if (round % ROUNDS_PROGRESS == 0) {
            printf("progress: %u rounds of the load\n", round);
        }
    }
    wrong = wrong ? wrong : guest_pcr_read(guest, bank, PCR_DEBUG, found);
    if (!wrong && memcmp(expected, found, bank_digest_size(bank)) != 0) {
        wrong = g_strdup_printf("after %u rounds the PCR is not what was computed", round);
    }
    return wrong ? wrong : reset_debug_pcr(guest);
}
