import { describe, expect, test } from 'vitest';
import { UserError } from './errors.ts';
import { type Builder, type Pickled, PickleGlobal, unpickle } from './pickle.ts';

const ordered: Builder = { build: () => new Map(), setState: () => {} };
const globals = new Map<string, Builder>([
  ['collections.OrderedDict', ordered],
  ['torch.FloatStorage', {}],
]);
const latin = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));
const read = (text: string): Pickled => unpickle(latin(text), { file: 'x.pkl', globals }).value;

describe('what Python writes', () => {
  // pickle.dumps({'a': [1, -2, 2.5, None, True, 'é', (1, (2,)), b'\x00\xff', 2**63, -2**40]}, protocol)
  const written = [
    'KGRwMApWYQpwMQoobHAyCkkxCmFJLTIKYUYyLjUKYU5hSTAxCmFW6QpwMwphKEkxCihJMgp0cDQKdHA1CmFjX2NvZGVjcwplbmNvZGUKcDYKKFZcdTAwMDD/CnA3ClZsYXRpbjEKcDgKdHA5ClJwMTAKYUw5MjIzMzcyMDM2ODU0Nzc1ODA4TAphTC0xMDk5NTExNjI3Nzc2TAphcy4=',
    'fXEAWAEAAABhcQFdcQIoSwFK/v///0dABAAAAAAAAE5JMDEKWAIAAADDqXEDKEsBKEsCdHEEdHEFY19jb2RlY3MKZW5jb2RlCnEGKFgDAAAAAMO/cQdYBgAAAGxhdGluMXEIdHEJUnEKTDkyMjMzNzIwMzY4NTQ3NzU4MDhMCkwtMTA5OTUxMTYyNzc3NkwKZXMu',
    'gAJ9cQBYAQAAAGFxAV1xAihLAUr+////R0AEAAAAAAAATohYAgAAAMOpcQNLAUsChXEEhnEFY19jb2RlY3MKZW5jb2RlCnEGWAMAAAAAw79xB1gGAAAAbGF0aW4xcQiGcQlScQqKCQAAAAAAAACAAIoGAAAAAAD/ZXMu',
    'gAN9cQBYAQAAAGFxAV1xAihLAUr+////R0AEAAAAAAAATohYAgAAAMOpcQNLAUsChXEEhnEFQwIA/3EGigkAAAAAAAAAgACKBgAAAAAA/2VzLg==',
    'gASVQwAAAAAAAAB9lIwBYZRdlChLAUr+////R0AEAAAAAAAAToiMAsOplEsBSwKFlIaUQwIA/5SKCQAAAAAAAACAAIoGAAAAAAD/ZXMu',
    'gAWVQwAAAAAAAAB9lIwBYZRdlChLAUr+////R0AEAAAAAAAAToiMAsOplEsBSwKFlIaUQwIA/5SKCQAAAAAAAACAAIoGAAAAAAD/ZXMu',
  ];

  test.each(written.map((base64, protocol) => [protocol, base64] as const))('protocol %i', (_, base64) => {
    const encode: Builder = { build: ([text]) => latin(text as string) };
    const bytes = Buffer.from(base64, 'base64');
    const { value, end } = unpickle(bytes, { file: 'x', globals: new Map([['_codecs.encode', encode]]) });
    expect(end).toBe(bytes.length);
    const list = [1, -2, 2.5, null, true, 'é', [1, [2]], latin('\x00\xff'), 2n ** 63n, -(2 ** 40)];
    expect(value).toEqual(new Map([['a', list]]));
  });

  test('integers are exact on both sides of 2^53', () => {
    expect(read('\x8a\x07\xff\xff\xff\xff\xff\xff\x1f.')).toBe(2 ** 53 - 1);
    expect(read('\x8a\x07\x01\x00\x00\x00\x00\x00\x20.')).toBe(2n ** 53n + 1n);
    expect(read('L-9007199254740993L\n.')).toBe(-(2n ** 53n) - 1n);
    expect(read('\x8a\x00.')).toBe(0);
    expect(read('J\xff\xff\xff\x7f.')).toBe(2 ** 31 - 1);
  });

  test('a text of Python 2 is a character for each byte', () => {
    expect(read('U\x04data.')).toBe('data');
    expect(read("S'a\\x00\\n\\'\\\\\\377'\n.")).toBe("a\0\n'\\\xff");
    expect(read('T\x03\x00\x00\x00\x00\x80\xff.')).toBe('\0\x80\xff');
  });

  test('a dictionary with attributes, the memo, and a list that holds itself', () => {
    expect(read('ccollections\nOrderedDict\nq\0)R}b(U\x01aK\x01U\x01bh\0u.')).toEqual(
      new Map<string, unknown>([
        ['a', 1],
        ['b', new PickleGlobal('collections.OrderedDict', ordered)],
      ]),
    );
    const list = read(']q\x05h\x05a.') as Pickled[];
    expect(list[0]).toBe(list);
  });

  test("persistent ids are the caller's", () => {
    const persistent = (id: Pickled) => ({ id });
    expect(unpickle(latin('U\x03abcQ.'), { file: 'x', globals, persistent }).value).toEqual({ id: 'abc' });
    expect(unpickle(latin('zzP7\n.rest'), { file: 'x', globals, persistent, start: 2 })).toEqual({
      value: { id: '7' },
      end: 6,
    });
  });
});

describe('what is refused, by name and place', () => {
  test.each([
    ["cos\nsystem\n(S'id'\ntR.", "byte 0: the global 'os.system' is refused"],
    ['\x8c\x02os\x8c\x06system\x93.', "byte 12: the global 'os.system' is refused"],
    ['ctorch\nFloatStorage\n)R.', "'torch.FloatStorage' can be named but not called"],
    ['(i__main__\nA\n.', 'the opcode INST is refused'],
    ['(o.', 'the opcode OBJ is refused'],
    ['\x82\x01.', 'the opcode EXT1 is refused'],
    ['\x8f.', 'the opcode EMPTY_SET is refused'],
    ['\x97.', 'the opcode NEXT_BUFFER is refused'],
    ['\xfe.', 'the opcode 0xfe is refused'],
    ['\x80\x06.', 'protocol 6, at most 5 is read'],
    ['X\xff\xff\xff\xffab', '4294967295 bytes were expected, 2 are left'],
    ['\x8d\xff\xff\xff\xff\xff\xff\xff\xff.', 'bytes were expected, 1 are left'],
    ['\x8b\xff\xff\xff\x7f.', 'an integer of 2147483647 bytes'],
    [`L${'9'.repeat(5000)}\n.`, 'is no whole number'],
    ['h\x01.', 'nothing was kept at the place 1 of the memo'],
    [')K\x01a.', 'a tuple cannot be appended to'],
    ['}]K\x01s.', 'a list cannot be a key'],
    ['](K\x01u.', 'a list takes no items'],
    ['}(K\x01u.', 'a key without a value'],
    ['}}b.', 'a dictionary takes no state'],
    ['K\x01)R.', 'a number cannot be called'],
    ['ccollections\nOrderedDict\nK\x01R.', 'the arguments of collections.OrderedDict are a number, no tuple'],
    ['U\x01aQ.', 'a persistent id is refused'],
    ['.', 'nothing is on the stack'],
    ['(.', 'nothing is on the stack'],
    ['t.', 'no mark is on the stack'],
    ['0.', 'nothing is on the stack'],
    ['K\x01', 'the file is cut off'],
    ['X\x01\x00\x00\x00\xff.', 'a text is not UTF-8'],
    ['I1x\n.', "'1x' is no whole number"],
    ['F1.2.3\n.', "'1.2.3' is no number"],
    ['F\n.', "'' is no number"],
    ['I1', 'a line without an end'],
  ])('%j', (text, message) => {
    expect(() => read(text)).toThrow(UserError);
    expect(() => read(text)).toThrow(message);
  });

  test('more containers than any checkpoint has', () => {
    const bytes = new Uint8Array(2 ** 20 + 1).fill(0x5d);
    expect(() => unpickle(bytes, { file: 'x', globals })).toThrow('more than 1048576 lists, tuples and dictionaries');
  });
});
