#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""QMP of the machine: what it answers, what it says of itself, and that a stock QEMU says the
same where clients look."""
import argparse
import json
import os
import socket
import sys

import harness
from harness import Machine, Swtpm, Tap

NULL = ['-tpmdev', 'null,id=tpm0', '-device', 'tpm-tis,tpmdev=tpm0']

# Sent in this order, the first before negotiation. The answers are a stock QEMU's: there they
# must be the same, but for the text of parse errors.
CONVERSATION = [
    ('{"execute":"query-status"}',
     {'error': {'class': 'CommandNotFound',
                'desc': "Expecting capabilities negotiation with 'qmp_capabilities'"}}),
    ('{"execute":"nonesuch","id":1}',
     {'id': 1, 'error': {'class': 'CommandNotFound',
                         'desc': "Expecting capabilities negotiation with 'qmp_capabilities'"}}),
    ('{"execute":"qmp_capabilities","id":5}', {'return': {}, 'id': 5}),
    ('{"execute":"qmp_capabilities","id":[1,{"a":2}]}',
     {'id': [1, {'a': 2}],
      'error': {'class': 'CommandNotFound',
                'desc': 'Capabilities negotiation is already complete, command ignored'}}),
    ('{"execute":"query-tpm"}', {'return': []}),
    ('{"execute":"query-tpm","id":"x"}', {'return': [], 'id': 'x'}),
    ('{"execute":"query-tpm","arguments":{},"id":null}', {'return': [], 'id': None}),
    ('{"execute":"query-status"}',
     {'return': {'status': 'prelaunch', 'singlestep': False, 'running': False}}),
    ('{"execute":"nonesuch","id":7}',
     {'id': 7, 'error': {'class': 'CommandNotFound',
                         'desc': 'The command nonesuch has not been found'}}),
    ('{"foo":1}', {'error': {'class': 'GenericError',
                             'desc': "QMP input member 'foo' is unexpected"}}),
    ('{"arguments":{}}', {'error': {'class': 'GenericError',
                                    'desc': "QMP input lacks member 'execute'"}}),
    ('{"execute":1}', {'error': {'class': 'GenericError',
                                 'desc': "QMP input member 'execute' must be a string"}}),
    ('{"execute":"query-tpm","arguments":1}',
     {'error': {'class': 'GenericError',
                'desc': "QMP input member 'arguments' must be an object"}}),
    ('{"execute":"query-tpm","x":1,"id":9}',
     {'id': 9, 'error': {'class': 'GenericError',
                         'desc': "QMP input member 'x' is unexpected"}}),
    ('{"execute":"query-tpm","arguments":{"x":1}}',
     {'error': {'class': 'GenericError', 'desc': "Parameter 'x' is unexpected"}}),
    ('"text"', {'error': {'class': 'GenericError', 'desc': 'QMP input must be a JSON object'}}),
    ('[1]', {'error': {'class': 'GenericError', 'desc': 'QMP input must be a JSON object'}}),
    ('{bad}', {'error': {'class': 'GenericError', 'desc': 'JSON parse error, '}}),
    ('{"execute":"query-tpm",}', {'error': {'class': 'GenericError',
                                            'desc': 'JSON parse error, '}}),
    ('{"execute":"query-tpm"}', {'return': []}),
]


def same(expected, got):
    if 'JSON parse error' in json.dumps(expected):
        return (got['error']['class'] == expected['error']['class'] and
                got['error']['desc'].startswith(expected['error']['desc']))
    return expected == got


def conversation(argv):
    with Machine(argv, negotiate=False) as machine:
        for request, answer in CONVERSATION:
            got = machine.qmp.raw(request)
            assert same(answer, got), f'{request}: wanted {answer}, got {got}'


def conversation_with_qemu():
    harness.require_qemu()
    conversation(harness.STOCK_QEMU)


def greeting(program):
    with Machine([program] + NULL) as machine:
        version = machine.qmp.greeting['QMP']['version']
        assert set(version['qemu']) == {'major', 'minor', 'micro'}, version
        assert 'libtpmdev' in version['package'], version
        assert machine.qmp.execute('query-version')['return'] == version
        assert isinstance(machine.qmp.greeting['QMP']['capabilities'], list)


def query_status(program):
    for option, status in (([], 'running'), (['-S'], 'prelaunch')):
        with Machine([program] + option) as machine:
            reply = machine.qmp.execute('query-status')['return']
            assert reply['status'] == status and reply['running'] == (not option), reply


def query_tpm(program):
    with harness.temporary_directory() as directory, Swtpm('2.0', directory) as swtpm:
        chardev = ['-chardev', f'socket,id=chr,path={swtpm.socket}']
        device = ['-device', 'tpm-tis,tpmdev=t']
        for extra, options in (
                (['-tpmdev', f'libtpms,id=t,dir={directory}'],
                 {'type': 'libtpms', 'data': {'dir': directory}}),
                (['-tpmdev', 'null,id=t,version=1.2'],
                 {'type': 'null', 'data': {'version': '1.2'}}),
                (chardev + ['-tpmdev', 'emulator,id=t,chardev=chr'],
                 {'type': 'emulator', 'data': {'chardev': 'chr'}})):
            with Machine([program] + extra + device) as machine:
                reply = machine.qmp.execute('query-tpm')
                assert reply == {'return': [{'id': 't', 'model': 'tpm-tis',
                                             'options': options}]}, reply


def query_tpm_names_the_model(program):
    for model in ('tpm-tis', 'tpm-crb'):
        with Machine([program, '-tpmdev', 'null,id=t', '-device', f'{model},tpmdev=t']) as machine:
            reply = machine.qmp.execute('query-tpm')['return']
            assert [tpm['model'] for tpm in reply] == [model], reply


def tpmdev_without_device(program):
    with Machine([program, '-tpmdev', 'null,id=t']) as machine:
        assert machine.qmp.execute('query-tpm') == {'return': []}


def query_lists(program):
    with Machine([program]) as machine:
        models = machine.qmp.execute('query-tpm-models')['return']
        types = machine.qmp.execute('query-tpm-types')['return']
        assert models == ['tpm-tis', 'tpm-crb'], models
        assert {'libtpms', 'emulator'} <= set(types), types


# What a command must be given, of those that need something.
SNAPSHOT_JOB = {'job-id': 'j', 'tag': 'n', 'vmstate': 'd', 'devices': ['d']}
ARGUMENTS = {
    'getfd': {'fdname': 'f'}, 'closefd': {'fdname': 'f'}, 'migrate': {'uri': 'none:'},
    'migrate-incoming': {'uri': 'none:'}, 'human-monitor-command': {'command-line': 'info status'},
    'migrate-set-capabilities': {'capabilities': []}, 'x-snapshot-save': {'name': 'n'},
    'x-snapshot-load': {'name': 'n'}, 'x-snapshot-delete': {'name': 'n'},
    'snapshot-save': SNAPSHOT_JOB, 'snapshot-load': SNAPSHOT_JOB, 'job-cancel': {'id': 'j'},
    'snapshot-delete': {'job-id': 'k', 'tag': 'n', 'devices': ['d']}, 'job-dismiss': {'id': 'j'},
}


def query_commands(program):
    """Each that is listed is there, and says so even where it cannot do what it is asked."""
    with Machine([program]) as machine:
        names = [entry['name'] for entry in machine.qmp.execute('query-commands')['return']]
        assert len(set(names)) == len(names) and 'query-tpm' in names, names
        for name in names:
            if name not in ('quit', 'qmp_capabilities'):
                arguments = ARGUMENTS.get(name, {})
                reply = machine.qmp.execute(name, arguments=arguments)
                assert 'return' in reply or arguments and reply['error']['class'] == 'GenericError', \
                    f'{name}: {reply}'
                if arguments and name != 'human-monitor-command':
                    reply = machine.qmp.execute(name)
                    assert 'is missing' in reply['error']['desc'], f'{name}: {reply}'


def system_reset(program):
    with Machine([program] + NULL) as machine:
        machine.qtest.ok('writeb 0xfed40000 0x2')
        assert machine.qtest.number('readb 0xfed40000') == 0xA1
        assert machine.qmp.execute('system_reset') == {'return': {}}
        event = machine.qmp.wait_event()
        assert event['event'] == 'RESET', event
        assert event['data'] == {'guest': False, 'reason': 'host-qmp-system-reset'}, event
        assert set(event['timestamp']) == {'seconds', 'microseconds'}, event
        assert machine.qtest.number('readb 0xfed40000') == 0x81


def shutdown_event(program, how, reason):
    with Machine([program] + NULL) as machine:
        how(machine)
        event = machine.qmp.wait_event()
        assert event['event'] == 'SHUTDOWN', event
        assert event['data'] == {'guest': False, 'reason': reason}, event
        assert machine.process.wait(harness.DEADLINE_S) == 0


def no_events_before_negotiation(program):
    with Machine([program] + NULL, negotiate=False) as machine:
        machine.terminate()
        try:
            message = machine.qmp.receive()
        except EOFError:
            return
        raise AssertionError(message)


def two_monitors(program):
    """A second one, as a server: both hear of events, and clients come and go."""
    with harness.temporary_directory() as directory:
        path = os.path.join(directory, 'qmp')
        extra = ['-qmp', f'unix:{path},server=on,wait=off']
        with Machine([program] + extra + NULL) as machine:
            for _ in range(3):
                sock = socket.socket(socket.AF_UNIX)
                sock.connect(path)
                second = harness.Qmp(sock)
                assert machine.qmp.execute('system_reset') == {'return': {}}
                assert second.wait_event()['event'] == 'RESET'
                assert machine.qmp.wait_event()['event'] == 'RESET'
                sock.close()
            assert machine.qmp.execute('query-status')['return']['running']


def lines_in_pieces(program):
    """Requests arrive byte by byte, or many at once."""
    with Machine([program] + NULL) as machine:
        sock = machine.qmp.lines.sock
        for byte in b'{"execute":"query-status","id":1}\r\n':
            sock.sendall(bytes([byte]))
        assert machine.qmp.receive()['id'] == 1
        sock.sendall(b''.join(b'{"execute":"query-tpm","id":%d}\n' % i for i in range(500)))
        for i in range(500):
            assert machine.qmp.receive()['id'] == i


GET_RANDOM = '0x80010000000c0000017b0008'


def command(machine, data):
    """Through the TIS registers at locality 0; returns once there is a response."""
    qtest = machine.qtest
    qtest.ok('writeb 0xfed40000 0x2')
    qtest.ok('writeb 0xfed40018 0x40')
    for byte in bytes.fromhex(data[2:]):
        qtest.ok(f'writeb 0xfed40024 {byte}')
    qtest.ok('writeb 0xfed40018 0x20')
    for _ in range(10000):
        if qtest.number('readb 0xfed40018') & 0x10:
            return
    raise AssertionError('no response')


def statistics(machine):
    reply = machine.qmp.execute('x-query-tpm-stats')['return']
    assert len(reply) == 1, reply
    return reply[0]


def query_tpm_stats(program):
    with Machine([program]) as machine:
        assert machine.qmp.execute('x-query-tpm-stats') == {'return': []}
    with Machine([program] + NULL) as machine:
        command(machine, GET_RANDOM)
        command(machine, '0x80010000000a20000001')
        tpm = statistics(machine)
        device, backend = tpm.pop('device'), tpm.pop('backend')
        assert tpm == {'id': 'tpm0', 'type': 'null', 'model': 'tpm-tis', 'version': '2.0'}, tpm
        assert device['commands'] == 2 and device['resets'] == 1, device
        assert device['reads'] == 2 and device['writes'] == 28, device
        rows = backend.pop('by-ordinal')
        times = [row.pop('time-ns') for row in rows]
        assert rows == [{'ordinal': 0x17B, 'name': 'TPM2_GetRandom', 'commands': 1,
                         'error-codes': 1},
                        {'commands': 1, 'error-codes': 1}], rows
        for kind, time in zip(('short-commands', 'long-commands'), times):
            latency = backend.pop(kind)
            assert sum(latency['buckets']) == 1 and len(latency['buckets']) == 28, latency
            assert latency['sum-ns'] == latency['max-ns'] == time, latency
        assert backend.pop('last-response-ns-ago') >= 0
        assert backend == {
            'link': 'connected', 'failed': False, 'starts': 1, 'failures': 0, 'recoveries': 0,
            'commands': 2, 'responses': 2, 'error-codes': 2, 'failed-commands': 0,
            'unsent-commands': 0, 'cancels': 0, 'errors': {}}, backend


def tpm_link_changed(program):
    """A swtpm that goes: the event, and what the statistics then say."""
    with harness.temporary_directory() as directory, Swtpm('2.0', directory) as swtpm:
        with Machine([program, '-chardev', f'socket,id=chr,path={swtpm.socket}', '-tpmdev',
                      'emulator,id=tpm0,chardev=chr', '-device',
                      'tpm-tis,tpmdev=tpm0']) as machine:
            command(machine, GET_RANDOM)
            swtpm.stop()
            event = machine.qmp.wait_event()
            assert event['event'] == 'X_TPM_LINK_CHANGED', event
            assert event['data']['id'] == 'tpm0', event
            assert event['data']['link'] != 'connected' and event['data']['message'], event
            command(machine, GET_RANDOM)
            backend = statistics(machine)['backend']
            assert backend['link'] != 'connected' and backend['failed'], backend
            assert backend['failures'] >= 1 and sum(backend['errors'].values()) >= 1, backend
            assert backend['failed-commands'] + backend['unsent-commands'] == 1, backend
            assert backend['last-error'], backend


def tpm_with_a_fault(program):
    """It dies with the second command, and a reset brings it back."""
    tpm = 'fault,id=tpm0,backend=null,,id=inner,what=death,nth=2'
    with Machine([program, '-tpmdev', tpm, '-device', 'tpm-tis,tpmdev=tpm0']) as machine:
        for _ in range(3):
            command(machine, GET_RANDOM)
        event = machine.qmp.wait_event()
        assert event['event'] == 'X_TPM_LINK_CHANGED', event
        message = "TPM backend 'tpm0' has died, as it was told to"
        assert event['data'] == {'id': 'tpm0', 'link': 'gone', 'message': message}, event
        backend = statistics(machine)['backend']
        assert backend['failed'] and backend['last-error'] == message, backend
        assert backend['errors'] == {'tpm': 1} and backend['failures'] == 1, backend
        assert backend['commands'] == 2 and backend['responses'] == 1, backend
        assert backend['failed-commands'] == 1 and backend['unsent-commands'] == 1, backend
        assert machine.qmp.execute('system_reset') == {'return': {}}
        events = [machine.qmp.wait_event() for _ in range(2)]
        assert {'id': 'tpm0', 'link': 'connected'} in [event['data'] for event in events], events
        command(machine, GET_RANDOM)
        backend = statistics(machine)['backend']
        assert not backend['failed'] and backend['responses'] == 2, backend


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--machine', required=True, help='our tpmdev-system-x86_64')
    program = os.path.abspath(parser.parse_args().machine)
    tap = Tap()
    tap.run('greeting and query-version', greeting, program)
    tap.run('errors, ids and negotiation', conversation, [program, '-S'])
    tap.run('a stock QEMU says the same', conversation_with_qemu)
    tap.run('query-status', query_status, program)
    tap.run('query-tpm', query_tpm, program)
    tap.run('query-tpm names the model', query_tpm_names_the_model, program)
    tap.run('a TPM without a device is not listed', tpmdev_without_device, program)
    tap.run('query-tpm-models and query-tpm-types', query_lists, program)
    tap.run('query-commands', query_commands, program)
    tap.run('x-query-tpm-stats', query_tpm_stats, program)
    tap.run('X_TPM_LINK_CHANGED', tpm_link_changed, program)
    tap.run('a TPM with a fault', tpm_with_a_fault, program)
    tap.run('system_reset resets and tells so', system_reset, program)
    tap.run('quit tells why', shutdown_event, program,
            lambda machine: machine.qmp.execute('quit'), 'host-qmp-quit')
    tap.run('SIGTERM tells why', shutdown_event, program,
            lambda machine: machine.process.terminate(), 'host-signal')
    tap.run('no events before negotiation', no_events_before_negotiation, program)
    tap.run('two monitors', two_monitors, program)
    tap.run('requests in pieces and in heaps', lines_in_pieces, program)
    return tap.done()


if __name__ == '__main__':
    sys.exit(main())
