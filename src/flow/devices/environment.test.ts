// Ranks from environments as torchrun and srun set them, and every way in which one can be wrong.

import { describe, expect, it } from 'vitest';
import { firstHost, gpuOfRank, rankPlace } from './environment.ts';

const torchrun = {
  RANK: '5',
  LOCAL_RANK: '1',
  WORLD_SIZE: '8',
  LOCAL_WORLD_SIZE: '4',
  MASTER_ADDR: 'node0',
  MASTER_PORT: '29500',
  TORCHELASTIC_RUN_ID: 'none',
};
const slurm = {
  SLURM_PROCID: '3',
  SLURM_LOCALID: '1',
  SLURM_NTASKS: '4',
  SLURM_JOB_ID: '1234',
  SLURM_STEP_ID: '0',
  SLURM_JOB_NODELIST: 'gpu[03-04]',
  SLURM_LAUNCH_NODE_IPADDR: '10.0.0.9',
};

describe('the rank of a process', () => {
  it('is what torchrun says', () => {
    const place = { by: 'torchrun', rank: 5, ranks: 8, localRank: 1, host: 'node0', port: 29500 };
    expect(rankPlace(torchrun)).toEqual(place);
    // Where the agent's own store listens there, the next one is ours.
    expect(rankPlace({ ...torchrun, TORCHELASTIC_USE_AGENT_STORE: 'True' })).toEqual({ ...place, port: 29501 });
    expect(rankPlace({ ...torchrun, TORCHELASTIC_USE_AGENT_STORE: 'False' })).toEqual(place);
    expect(rankPlace({ ...torchrun, TRAM_MASTER_PORT: '4000' }).port).toBe(4000);
    // torchrun inside of srun, one task per node.
    expect(rankPlace({ ...slurm, SLURM_PROCID: '1', SLURM_NTASKS: '8', ...torchrun })).toEqual(place);
  });

  it('is what Slurm says', () => {
    expect(rankPlace(slurm)).toEqual({
      ...{ by: 'Slurm', rank: 3, ranks: 4, localRank: 1, host: 'gpu03' },
      port: 12_000 + ((1234 * 7) % 20_000),
    });
    expect(rankPlace({ ...slurm, SLURM_STEP_NODELIST: 'gpu04,gpu05' }).host).toBe('gpu04');
    expect(rankPlace({ ...slurm, MASTER_ADDR: 'head', MASTER_PORT: '5000' })).toMatchObject({
      host: 'head',
      port: 5000,
    });
    expect(rankPlace({ ...slurm, SLURM_STEP_NUM_TASKS: '6' }).ranks).toBe(6);
    expect(rankPlace({ ...slurm, SLURM_JOB_NODELIST: undefined }).host).toBe('10.0.0.9');
    const ports = ['0', '1'].map((step) => rankPlace({ ...slurm, SLURM_STEP_ID: step }).port);
    expect(new Set(ports).size).toBe(2);
  });

  it.each([
    [{}, /neither RANK nor SLURM_PROCID .*torchrun --no-python or srun.*cuda:all/],
    [{ RANK: '0' }, /RANK is set as torchrun does, but not WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT/],
    [{ ...torchrun, MASTER_PORT: ' ' }, /but not MASTER_PORT;/],
    [{ ...torchrun, RANK: '8' }, /RANK is 8, WORLD_SIZE is 8; ranks are counted from 0/],
    [{ ...torchrun, RANK: '-1' }, /RANK: expected a whole number from 0 to 65536, got '-1'/],
    [{ ...torchrun, LOCAL_RANK: '4' }, /LOCAL_RANK is 4, LOCAL_WORLD_SIZE is 4/],
    [{ ...torchrun, WORLD_SIZE: '0' }, /WORLD_SIZE: expected a whole number from 1/],
    [{ ...torchrun, MASTER_PORT: '70000' }, /MASTER_PORT: expected .* 65535, got '70000'/],
    [{ ...slurm, SLURM_LOCALID: undefined }, /set as Slurm does, but not SLURM_LOCALID/],
    [{ ...slurm, SLURM_PROCID: '4' }, /SLURM_PROCID is 4, SLURM_NTASKS is 4/],
    [{ ...slurm, SLURM_JOB_NODELIST: 'gpu[1' }, /SLURM_JOB_NODELIST: expected hosts such as/],
    [{ ...slurm, SLURM_JOB_ID: undefined }, /but not SLURM_JOB_ID|is incomplete/],
    [{ ...slurm, SLURM_JOB_NODELIST: undefined, SLURM_LAUNCH_NODE_IPADDR: undefined }, /set MASTER_ADDR to its host/],
    [
      { ...slurm, ...torchrun, RANK: '0', WORLD_SIZE: '4', LOCAL_RANK: '0', TORCHELASTIC_RUN_ID: undefined },
      /RANK is 0, SLURM_PROCID is 3, of 4 tasks; unset RANK/,
    ],
  ])('is refused where the environment is wrong: %j', (environment, message) => {
    expect(() => rankPlace(environment)).toThrow(message);
  });

  it('is met at the first host of a list in the short form', () => {
    const hosts = ['a', 'a,b', 'gpu[03-05,09],b', 'r[1-2]n[7,9]', 'n-1.example', 'x[12]y,z'];
    expect(hosts.map((list) => firstHost('L', list))).toEqual(['a', 'a', 'gpu03', 'r1n7', 'n-1.example', 'x12y']);
  });
});

describe('the GPU of a rank', () => {
  const [byTorchrun, bySlurm] = [rankPlace(torchrun), rankPlace(slurm)];

  it('is the one of its local number among those that it may see', () => {
    expect(gpuOfRank(byTorchrun, {})).toBe(1);
    expect(gpuOfRank(byTorchrun, { CUDA_VISIBLE_DEVICES: '4,6' })).toBe(1);
    expect(gpuOfRank(bySlurm, { CUDA_VISIBLE_DEVICES: '4,6' })).toBe(1);
  });

  it('is the only one that Slurm shows it', () => {
    expect(gpuOfRank(bySlurm, { CUDA_VISIBLE_DEVICES: '0' })).toBe(0);
  });

  it('is missed by name', () => {
    const alone = { CUDA_VISIBLE_DEVICES: '3' };
    expect(() => gpuOfRank(byTorchrun, alone)).toThrow(/local rank 1 has no GPU: CUDA_VISIBLE_DEVICES is '3'/);
    expect(() => gpuOfRank(bySlurm, { CUDA_VISIBLE_DEVICES: '' })).toThrow(/has no GPU/);
  });
});
