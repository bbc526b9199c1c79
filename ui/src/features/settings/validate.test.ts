import { expect, it } from 'vitest';
import type { NetworkView } from '../../generated/bindings';
import { DICTIONARIES } from '../../i18n/index.svelte';
import { chosenNetwork, networkKey } from './networks';
import { bitrate, port, serverAddress, streamName } from './validate';

const t = DICTIONARIES.en;
const words = t.settings.invalid;
const PORTS = { rtmp: 1935, hls: 8888, webrtcHttp: 8889, webrtcUdp: 8189 };

it.each([
  ['doctorStream', null],
  ['clinic/room-2', null],
  ['a~b.c_d', null],
  ['', words.streamName],
  ['/room', words.streamName],
  ['room/', words.streamName],
  ['a//b', words.streamName],
  ['a/../b', words.streamName],
  ['诊室', words.streamName],
  ['two words', words.streamName],
  ['room/whip', words.streamReserved],
  ['patientStream', words.streamSame],
])('stream name %j', (name, problem) => expect(streamName(t, name, 'patientStream')).toBe(problem));

it.each([
  ['1935', null],
  ['1', null],
  ['65535', null],
  ['0', words.port],
  ['65536', words.port],
  ['19 35', words.port],
  ['', words.port],
  ['8888', words.portSame('Browser')],
  ['8189', null],
])('port %j', (text, problem) => expect(port(t, text, 'rtmp', PORTS)).toBe(problem));

it.each([
  ['clinic.example.org', null],
  ['10.0.0.5:8889', null],
  ['[fe80::1]:8889', null],
  ['https://clinic.example.org/whip', null],
  ['  10.0.0.5 ', null],
  ['', words.addressMissing],
  ['http://', words.address],
  ['rtmp://10.0.0.5', words.address],
  ['10.0.0.5:99999', words.address],
  ['two words', words.address],
])('server %j', (text, problem) => expect(serverAddress(t, text)).toBe(problem));

it.each([
  ['1200', null],
  ['99', words.bitrate],
  ['20001', words.bitrate],
  ['1.2', words.bitrate],
])('bitrate %j', (text, problem) => expect(bitrate(t, text)).toBe(problem));

it('knows a network by interface or address', () => {
  const n = (name: string, address: string, suggested = false): NetworkView => ({ interface: name, address, kind: 'cable', suggested });
  const networks = [n('eth0', '10.0.0.8'), n('wlan0', '192.168.1.23', true), n('eth1', '10.1.0.1'), n('eth1', '10.2.0.1')];
  expect(chosenNetwork(networks, null)).toBe(networks[1]);
  expect(chosenNetwork(networks, 'eth0')).toBe(networks[0]);
  expect(chosenNetwork(networks, '10.2.0.1')).toBe(networks[3]);
  expect(chosenNetwork(networks, 'gone0')).toBeNull();
  expect(networks.map((one) => networkKey(networks, one))).toEqual(['eth0', 'wlan0', '10.1.0.1', '10.2.0.1']);
});
