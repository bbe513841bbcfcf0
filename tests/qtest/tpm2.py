# SPDX-License-Identifier: BSD-3-Clause
"""Commands of a TPM 2.0 by which a test can tell one TPM from another: what is in its PCRs, its NV
memory, its objects and its sessions. `run` is a function that carries a command out."""
import hashlib
import hmac
import struct

OWNER, RS_PW, RH_NULL = 0x40000001, 0x40000009, 0x40000007
SHA256, ALG_NULL, KEYEDHASH = 0x000B, 0x0010, 0x0008
NV_INDEX, COUNTER_INDEX = 0x01500001, 0x01500002
# The owner's without a dictionary attack's lock-out; a counter whose own value authorises.
NV_BYTES, NV_COUNTER = 0x02020002, 0x02040014

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


def policy_restart(run, session):
    _ok(run(_command(0x180, [session], b'')))


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


def unseal_by(run, handle, session):
    """The secret, and the session's policy is empty then; or None."""
    response = run(_command(0x15E, [handle], b'', [session]))
    if code_of(response):
        return None
    size = int.from_bytes(response[14:16], 'big')
    return response[16:16 + size]


def unseal(run, handle, pcr, session=None):
    """The secret; None when the PCR is another."""
    session = session or start_session(run)
    policy_pcr(run, session, pcr)
    secret = unseal_by(run, handle, session)
    if secret is None:
        flush(run, session)
    return secret


def nv_define(run, size, index=NV_INDEX, attributes=NV_BYTES, auth=b''):
    public = struct.pack('>IHIHH', index, SHA256, attributes, 0, size)
    _ok(run(_command(0x12A, [OWNER], sized(auth) + sized(public), [RS_PW])))


def nv_write(run, data, offset=0):
    parameters = sized(data) + struct.pack('>H', offset)
    _ok(run(_command(0x137, [OWNER, NV_INDEX], parameters, [RS_PW])))


def nv_read(run, size, offset=0):
    parameters = struct.pack('>HH', size, offset)
    response = _ok(run(_command(0x14E, [OWNER, NV_INDEX], parameters, [RS_PW])))
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


# ---- what goes on for longer than a command ----

def get_random(run, size):
    return _ok(run(_command(0x17B, [], struct.pack('>H', size))))[2:]


def read_clock(run):
    """Milliseconds of the clock, and what counts resets and restarts."""
    return struct.unpack('>QII', _ok(run(_command(0x181, [], b'')))[8:24])


def policy_pcr_digest(pcr, value):
    """What a session's policy is after a policy_pcr() alone."""
    selected = hashlib.sha256(value).digest()
    return hashlib.sha256(bytes(32) + struct.pack('>I', 0x17F) + _selection(pcr)
                          + selected).digest()


def hmac_key(run, key):
    """Load a key of HMAC with SHA-256. Returns its handle."""
    public = (struct.pack('>HHI', KEYEDHASH, SHA256, 0x40452) + sized(b'')
              + struct.pack('>HH', 0x0005, SHA256) + sized(b''))
    parameters = sized(sized(b'') + sized(key)) + sized(public) + sized(b'') + bytes(4)
    return int.from_bytes(_ok(run(_command(0x131, [OWNER], parameters, [RS_PW])))[:4], 'big')


def hmac_of(run, handle, data):
    response = _ok(run(_command(0x155, [handle], sized(data) + struct.pack('>H', SHA256), [RS_PW])))
    return response[6:38]


def context_save(run, handle):
    return _ok(run(_command(0x162, [handle], b'')))


def context_load(run, context):
    return int.from_bytes(_ok(run(_command(0x161, [], context))), 'big')


def hash_start(run):
    parameters = sized(b'') + struct.pack('>H', SHA256)
    return int.from_bytes(_ok(run(_command(0x186, [], parameters))), 'big')


def hash_update(run, handle, data):
    _ok(run(_command(0x15C, [handle], sized(data), [RS_PW])))


def hash_complete(run, handle, data):
    parameters = sized(data) + struct.pack('>I', RH_NULL)
    return _ok(run(_command(0x13E, [handle], parameters, [RS_PW])))[6:38]


class HmacSession:
    """A session that authorises each command with nonces of its own, and proves each response: a
    command that was lost or carried out twice is the last one that it takes."""

    def __init__(self, run, make_nonce):
        self.make_nonce = make_nonce
        self.caller = make_nonce()
        parameters = sized(self.caller) + sized(b'') + struct.pack('>BHH', 0, ALG_NULL, SHA256)
        response = _ok(run(_command(0x176, [RH_NULL, RH_NULL], parameters)))
        self.handle = int.from_bytes(response[:4], 'big')
        self.tpm = response[6:]

    def command(self, run, code, handles, names, parameters, auth):
        """Carry out a command with the authorisation value of its first handle; returns the
        parameters of the response."""
        code_bytes, self.caller = struct.pack('>I', code), self.make_nonce()
        hashed = hashlib.sha256(code_bytes + b''.join(names) + parameters).digest()
        proof = self._proof(auth, hashed, self.caller, self.tpm)
        area = struct.pack('>I', self.handle) + sized(self.caller) + b'\1' + sized(proof)
        body = (b''.join(struct.pack('>I', handle) for handle in handles)
                + struct.pack('>I', len(area)) + area + parameters)
        response = _ok(run(struct.pack('>HII', 0x8002, 10 + len(body), code) + body))
        size = int.from_bytes(response[:4], 'big')
        result, area = response[4:4 + size], response[4 + size:]
        self.tpm = area[2:34]
        hashed = hashlib.sha256(bytes(4) + code_bytes + result).digest()
        proof = self._proof(auth, hashed, self.tpm, self.caller)
        assert area == sized(self.tpm) + b'\1' + sized(proof), 'a response that was not proved'
        return result

    @staticmethod
    def _proof(auth, hashed, newer, older):
        return hmac.digest(auth, hashed + newer + older + b'\1', 'sha256')


def nv_name(run, index=NV_INDEX):
    response = _ok(run(_command(0x169, [index], b'')))
    return response[4 + int.from_bytes(response[:2], 'big'):]


def nv_increment(run, session, index, name, auth):
    session.command(run, 0x134, [index, index], [name, name], b'', auth)


def nv_read_counter(run, session, index, name, auth):
    parameters = struct.pack('>HH', 8, 0)
    result = session.command(run, 0x14E, [index, index], [name, name], parameters, auth)
    return int.from_bytes(result[2:], 'big')
