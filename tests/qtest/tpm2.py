# SPDX-License-Identifier: BSD-3-Clause
"""Commands of a TPM 2.0 by which a test can tell one TPM from another: what is in its PCRs, its NV
memory, its objects and its sessions. `run` is a function that carries a command out."""
import hashlib
import struct

OWNER, RS_PW, RH_NULL = 0x40000001, 0x40000009, 0x40000007
SHA256, ALG_NULL, KEYEDHASH = 0x000B, 0x0010, 0x0008
NV_INDEX = 0x01500001

# What is sealed for a test to find again.
SECRET = b'the cat is in the box'

STARTUP = bytes.fromhex('80010000000c000001440000')

# CreatePrimary of an RSA key of 2048 bits, which takes the TPM a while.
CREATE_PRIMARY_RSA = bytes.fromhex(
    '800200000043000001314000000100000009400000090000000000000400000000001a'
    '0001000b00030072000000060080004300100800000000000000000000000000')


def sized(data):
    return struct.pack('>H', len(data)) + data


def _command(code, handles, parameters, sessions=None):
    """With a password's empty authorisation, or the given session's, where the tag says so."""
    body = b''.join(struct.pack('>I', handle) for handle in handles)
    if sessions is not None:
        area = b''.join(struct.pack('>IHBH', session, 0, 1 if session != RS_PW else 0, 0)
                        for session in sessions)
        body += struct.pack('>I', len(area)) + area
    body += parameters
    tag = 0x8001 if sessions is None else 0x8002
    return struct.pack('>HII', tag, 10 + len(body), code) + body


def code_of(response):
    return int.from_bytes(response[6:10], 'big')


def _ok(response):
    assert code_of(response) == 0, f'response code {code_of(response):#x}'
    return response[10:]


def _selection(pcr):
    return struct.pack('>IHB', 1, SHA256, 3) + (1 << pcr).to_bytes(3, 'little')


def startup(run):
    _ok(run(STARTUP))


def pcr_extend(run, pcr, text):
    digest = hashlib.sha256(text.encode()).digest()
    _ok(run(_command(0x182, [pcr], struct.pack('>IH', 1, SHA256) + digest, [RS_PW])))


def pcr_read(run, pcr):
    return _ok(run(_command(0x17E, [], _selection(pcr))))[-32:].hex()


def start_session(run, kind=1):
    """A policy session, or a trial one (3). Returns its handle."""
    parameters = sized(bytes(16)) + sized(b'') + struct.pack('>BHH', kind, ALG_NULL, SHA256)
    response = _ok(run(_command(0x176, [RH_NULL, RH_NULL], parameters)))
    return int.from_bytes(response[:4], 'big')


def policy_pcr(run, session, pcr):
    _ok(run(_command(0x17F, [session], sized(b'') + _selection(pcr))))


def policy_digest(run, session):
    return _ok(run(_command(0x189, [session], b'')))[2:]


def flush(run, handle):
    _ok(run(_command(0x165, [], struct.pack('>I', handle))))


def seal(run, secret, pcr):
    """An object that gives the secret only while the PCR is as it is now. Returns its handle."""
    trial = start_session(run, 3)
    policy_pcr(run, trial, pcr)
    policy = policy_digest(run, trial)
    flush(run, trial)
    public = (struct.pack('>HHI', KEYEDHASH, SHA256, 0x412) + sized(policy)
              + struct.pack('>H', ALG_NULL) + sized(b''))
    sensitive = sized(b'') + sized(secret)
    parameters = sized(sensitive) + sized(public) + sized(b'') + struct.pack('>I', 0)
    response = _ok(run(_command(0x131, [OWNER], parameters, [RS_PW])))
    return int.from_bytes(response[:4], 'big')


def unseal(run, handle, pcr, session=None):
    """The secret; None when the PCR is another."""
    session = session or start_session(run)
    policy_pcr(run, session, pcr)
    response = run(_command(0x15E, [handle], b'', [session]))
    if code_of(response):
        flush(run, session)
        return None
    size = int.from_bytes(response[14:16], 'big')
    return response[16:16 + size]


def nv_define(run, size):
    public = struct.pack('>IHIHH', NV_INDEX, SHA256, 0x02020002, 0, size)
    _ok(run(_command(0x12A, [OWNER], sized(b'') + sized(public), [RS_PW])))


def nv_write(run, data):
    _ok(run(_command(0x137, [OWNER, NV_INDEX], sized(data) + struct.pack('>H', 0), [RS_PW])))


def nv_read(run, size):
    response = _ok(run(_command(0x14E, [OWNER, NV_INDEX], struct.pack('>HH', size, 0), [RS_PW])))
    return response[6:6 + size]


def read_public(run, handle):
    return _ok(run(_command(0x173, [handle], b'')))


def fill(run):
    """Something of every kind."""
    made = {}
    for pcr in (0, 7, 16):
        pcr_extend(run, pcr, f'event {pcr}')
    nv_define(run, 8)
    nv_write(run, b'nonsense')
    made['sealed'] = seal(run, SECRET, 7)
    made['session'] = start_session(run)
    policy_pcr(run, made['session'], 16)
    return made


def look(run, made):
    """All of it, to be compared."""
    return ([pcr_read(run, pcr) for pcr in range(24)], nv_read(run, 8),
            policy_digest(run, made['session']), read_public(run, made['sealed']))
