# SPDX-License-Identifier: BSD-3-Clause
"""A guest program that works with its TPM 2.0 without a pause, and knows what each response has to
be: it works out the same by itself. A command that is lost, or carried out twice, shows in a PCR,
in a counter, in the nonces of a session or in the number of a context, at the latest at the end."""
import hashlib
import hmac

import tpm2

KEY, SECRET, AUTH = b'a key of the guest program', b'the cat is out of the box', b'who counts'
NV_BYTES = 512
SEALED_PCR = 7
EXTENDED_PCRS = range(8, 16)


class Workload:
    """`run` carries a command out, `rng` decides what is done next."""

    def __init__(self, run, rng):
        self.run = run
        self.rng = rng
        self.commands = 0
        self.pcrs = {pcr: bytes(32) for pcr in EXTENDED_PCRS}
        tpm2.pcr_extend(run, SEALED_PCR, 'what it is sealed to')
        self.sealed_value = bytes.fromhex(tpm2.pcr_read(run, SEALED_PCR))
        self.sealed = tpm2.seal(run, SECRET, SEALED_PCR)
        self.policy = tpm2.start_session(run)
        self.policy_is_met = self.policy_is_stale = False
        self.key = tpm2.hmac_key(run, KEY)
        self.sequence, self.hashed = None, b''
        self.context_number = None
        self._set_up_nv()
        self.clock = tpm2.read_clock(run)
        self.last_random = b''
        self.primary = None
        self.wants_slow_command = False

    def _set_up_nv(self):
        self.nv = self.rng.randbytes(NV_BYTES)
        tpm2.nv_define(self.run, NV_BYTES)
        tpm2.nv_write(self.run, self.nv)
        index = tpm2.COUNTER_INDEX
        tpm2.nv_define(self.run, 8, index, tpm2.NV_COUNTER, AUTH)
        self.session = tpm2.HmacSession(self.run, lambda: self.rng.randbytes(32))
        tpm2.nv_increment(self.run, self.session, index, tpm2.nv_name(self.run, index), AUTH)
        self.counter = index, tpm2.nv_name(self.run, index), AUTH  # the name of a written one
        self.count = tpm2.nv_read_counter(self.run, self.session, *self.counter)

    def go_on(self):
        """The next thing, of one command or some."""
        self.commands += 1
        if self.wants_slow_command and self.sequence is None:
            self.wants_slow_command = False
            self._slow()
        elif self.wants_slow_command:
            self._end_hash()
        else:
            self.rng.choice(self.THINGS)(self)

    # ---- what there is to do ----

    def _extend(self):
        pcr, text = self.rng.choice(EXTENDED_PCRS), f'event {self.commands}'
        tpm2.pcr_extend(self.run, pcr, text)
        event = hashlib.sha256(text.encode()).digest()
        self.pcrs[pcr] = hashlib.sha256(self.pcrs[pcr] + event).digest()
        self.policy_is_stale = True

    def _read_pcr(self):
        self._check_pcr(self.rng.choice(EXTENDED_PCRS))

    def _check_pcr(self, pcr):
        value = tpm2.pcr_read(self.run, pcr)
        assert value == self.pcrs[pcr].hex(), f'PCR {pcr} is {value}, not {self.pcrs[pcr].hex()}'

    def _increment(self):
        tpm2.nv_increment(self.run, self.session, *self.counter)
        self.count += 1

    def _read_counter(self):
        value = tpm2.nv_read_counter(self.run, self.session, *self.counter)
        assert value == self.count, f'the counter is {value}, not {self.count}'

    def _write_nv(self):
        size = self.rng.randrange(1, NV_BYTES)
        offset, data = self.rng.randrange(NV_BYTES - size), self.rng.randbytes(size)
        tpm2.nv_write(self.run, data, offset)
        self.nv = self.nv[:offset] + data + self.nv[offset + size:]

    def _read_nv(self):
        size = self.rng.randrange(1, NV_BYTES)
        offset = self.rng.randrange(NV_BYTES - size)
        assert tpm2.nv_read(self.run, size, offset) == self.nv[offset:offset + size], 'NV memory'

    def _hmac(self):
        data = self.rng.randbytes(self.rng.randrange(1000))
        value = tpm2.hmac_of(self.run, self.key, data)
        assert value == hmac.digest(KEY, data, 'sha256'), 'HMAC of the key'

    def _swap_key(self):
        """Out of the TPM and in again; the TPM numbers what it lets out."""
        context = tpm2.context_save(self.run, self.key)
        tpm2.flush(self.run, self.key)
        self.key = tpm2.context_load(self.run, context)
        number = int.from_bytes(context[:8], 'big')
        assert self.context_number in (None, number - 1), f'{self.context_number}, then {number}'
        self.context_number = number

    def _swap_session(self):
        """So a session goes out, too, and is in the same place when it is back."""
        context = tpm2.context_save(self.run, self.session.handle)
        assert tpm2.context_load(self.run, context) == self.session.handle

    def _random(self):
        value = tpm2.get_random(self.run, 32)
        assert len(value) == 32 and value != self.last_random, f'random bytes: {value.hex()}'
        self.last_random = value

    def _hash(self):
        """A step of a sequence, which is never finished at once."""
        if self.sequence is None:
            self.sequence, self.hashed = tpm2.hash_start(self.run), b''
            return
        data = self.rng.randbytes(self.rng.randrange(1, 1024))
        tpm2.hash_update(self.run, self.sequence, data)
        self.hashed += data
        if len(self.hashed) > 2000:
            self._end_hash()

    def _end_hash(self):
        value = tpm2.hash_complete(self.run, self.sequence, b'the end')
        assert value == hashlib.sha256(self.hashed + b'the end').digest(), 'hash sequence'
        self.sequence = None

    def _unseal(self):
        """First the policy, another time the secret. No PCR may have been extended in between."""
        if not self.policy_is_met:
            tpm2.policy_pcr(self.run, self.policy, SEALED_PCR)
            self.policy_is_met, self.policy_is_stale = True, False
            return
        wanted = tpm2.policy_pcr_digest(SEALED_PCR, self.sealed_value)
        assert tpm2.policy_digest(self.run, self.policy) == wanted, 'digest of the policy'
        secret = tpm2.unseal_by(self.run, self.sealed, self.policy)
        assert secret == (None if self.policy_is_stale else SECRET), f'unsealed: {secret}'
        if self.policy_is_stale:
            tpm2.policy_restart(self.run, self.policy)
        self.policy_is_met = False

    def _read_clock(self):
        before, self.clock = self.clock, tpm2.read_clock(self.run)
        assert self.clock[1:] == before[1:], f'resets and restarts: {before}, then {self.clock}'
        assert self.clock[0] >= before[0], f'the clock: {before}, then {self.clock}'

    def _slow(self):
        """A key that takes the TPM a while, and always is the same one."""
        response = self.run(tpm2.CREATE_PRIMARY_RSA)
        assert tpm2.code_of(response) == 0, response.hex()
        tpm2.flush(self.run, int.from_bytes(response[10:14], 'big'))
        assert self.primary in (None, response), 'the primary key is another'
        self.primary = response

    THINGS = (_extend, _read_pcr, _increment, _read_counter, _write_nv, _read_nv, _hmac, _swap_key,
              _swap_session, _random, _hash, _unseal, _read_clock)

    def check_all(self):
        """What is there when all is done."""
        for pcr in EXTENDED_PCRS:
            self._check_pcr(pcr)
        self._read_counter()
        assert tpm2.nv_read(self.run, NV_BYTES) == self.nv, 'NV memory'
        self._hmac()
        self._swap_key()
        self._swap_session()
        while self.sequence is not None:
            self._hash()
        for _ in range(3):
            self._unseal()
        self._read_clock()
