import { expect, test } from 'vitest';
import { UserError } from '../../../tensor/errors.ts';
import { cudaBackend } from './backend.ts';
import { findCuda, formatVersion, openCuda } from './device.ts';

const finding = findCuda();

test('versions read as NVIDIA writes them', () => {
  expect([formatVersion(13000), formatVersion(12080)]).toEqual(['13.0', '12.8']);
});

test.runIf(finding.available)('where there is a GPU, its devices are told', () => {
  expect(openCuda().devices.length).toBeGreaterThan(0);
  expect(() => cudaBackend({ device: 99 })).toThrow('there is no GPU 99');
});

test.runIf(!finding.available)(
  'without a GPU the reason and what to do are told, as a finding and as one line of a UserError',
  () => {
    if (finding.available) return;
    expect(finding.reason).not.toBe('');
    expect(finding.hint).not.toBe('');
    expect(() => cudaBackend()).toThrow(UserError);
    expect(() => openCuda()).toThrow(`the device cuda cannot be used: ${finding.reason}; ${finding.hint}`);
  },
);
