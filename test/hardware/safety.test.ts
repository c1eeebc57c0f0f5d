// What no Yosys is given. A stand-in for a Yosys of the system records what reaches it.

import { expect, test } from 'vitest';
import { synthesize } from '../../src/hardware/synthesize.ts';
import type { Yosys, YosysRequest } from '../../src/hardware/yosys/tool.ts';

function recorder(sandboxed: boolean) {
  const requests: YosysRequest[] = [];
  const yosys: Yosys = {
    sandboxed,
    run: (request) => {
      requests.push(request);
      return Promise.resolve({ ok: false, files: {}, log: 'ERROR: reached' });
    },
    version: () => Promise.resolve('none'),
    close: () => Promise.resolve(),
  };
  return { yosys, requests };
}

const dpi = 'import "DPI-C" function integer kill(integer a, integer b);';
const around = (text: string, before = '') =>
  `${before}module m (input a, output y);\n${text}\nassign y = a;\nendmodule\n`;

test.each([
  ['a foreign function', around(dpi)],
  ['one that a comment splits', around(dpi.replace('import ', 'import/* */'))],
  ['one behind a macro', around(dpi.replace('import', '`I'), '`define I import\n')],
  ['a foreign name behind a macro', around(dpi.replace('"DPI-C"', '`N'), '`define N "DPI-C"\n')],
  ['a whole declaration in a macro', around('`D(kill)', '`define D(f) import "DPI-C" function integer f();\n')],
  ['a word that a macro joins', around('`J(imp,ort) "DPI-C" function integer f();', '`define J(a,b) a``b\n')],
  ['one outside of a module', `${dpi}\n${around('')}`],
  ['one in a branch that a condition takes', around(`\`ifdef SYNTHESIS\n${dpi}\n\`endif`)],
  ['an export', around('export "DPI-C" function f;')],
  ['bind', `${around('')}bind m other u ();\n`],
  ['another file', around('`include "/etc/passwd"')],
])('%s reaches no Yosys', async (_, verilog) => {
  for (const sandboxed of [true, false]) {
    const { yosys, requests } = recorder(sandboxed);
    await expect(synthesize({ circuit: { verilog }, yosys })).rejects.toThrow(
      /^circuit\.v:\d+:\d+: .*(foreign|bind|include|joins)/,
    );
    expect(requests).toEqual([]);
  }
});

test.each([
  ['a file that is read', around('reg [7:0] m [0:1]; initial $readmemh("/etc/passwd", m);')],
  ['a file that is opened', around('integer f = $fopen("x");')],
  ['one in an attribute', around('(* x = $fopen("x") *) wire q;')],
  ['a name that holds a comment', around('wire \\a/*b ;')],
  ['a name that holds a directive', around('wire \\a`include ;')],
])('%s reaches no Yosys of the system', async (_, verilog) => {
  const { yosys, requests } = recorder(false);
  await expect(synthesize({ circuit: { verilog }, yosys })).rejects.toThrow(/system|reach outside/);
  expect(requests).toEqual([]);
});

test.each([
  ['a string that speaks of it', around('initial $display("import \\"DPI-C\\" bind");')],
  ['a comment that speaks of it', around(`// ${dpi}\n/* bind */`)],
  ['a branch that no condition takes', around(`\`ifdef NOT_SET\n${dpi}\n\`endif`)],
  ['a package', around('import numbers::*;')],
  ['an escaped name', around('wire \\import ; wire \\bind ;')],
])('%s is no foreign code', async (_, verilog) => {
  const { yosys, requests } = recorder(false);
  await expect(synthesize({ circuit: { verilog }, yosys })).rejects.toThrow(/reached/);
  expect(requests.length).toBeGreaterThan(0);
  for (const { files } of requests) expect(Object.values(files).join('')).not.toMatch(/`|import "DPI|^\s*\/\//m);
});
