// Decoding against what the test itself knows: pixels are written, and read back by plain arithmetic. A damaged file is
// refused whatever the damage; nothing is ever filled in.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, describe, expect, test } from 'vitest';
import type { Extent } from './framing.ts';
import { BadPicture, pictureSize, readPicture } from './picture.ts';
import { centredView, unlessSized, usualShorterSide, type View } from './view.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-picture-'));
afterAll(() => rmSync(folder, { recursive: true }));

function put(name: string, content: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

type Size = Extent & { readonly channels: number };

/** Reads a file whole, at its own size. */
async function read(path: string, size: Size, view?: View): Promise<number[]> {
  const target = new Uint8Array(size.height * size.width * size.channels).fill(77);
  await readPicture(
    path,
    view ? () => view : unlessSized(size, centredView(size, Math.min(size.height, size.width))),
    size,
    target,
  );
  return [...target];
}

const height = 5;
const width = 7;
const value = (y: number, x: number, c: number) => (y * 41 + x * 13 + c * 90) % 256;
const pixelsOf = (channels: number, at = value) =>
  Uint8Array.from({ length: height * width * channels }, (_, k) => {
    const pixel = Math.floor(k / channels);
    return at(Math.floor(pixel / width), pixel % width, k % channels);
  });
const raw = (channels: 1 | 2 | 3 | 4) => sharp(pixelsOf(channels), { raw: { width, height, channels } });
const rgb = { height, width, channels: 3 };
const grey = { height, width, channels: 1 };
const threefold = [...pixelsOf(1)].flatMap((one) => [one, one, one]);

describe('pixels', () => {
  test('of PNG and lossless WebP are those that were stored', async () => {
    for (const [name, file] of [
      ['a.png', raw(3).png()],
      ['palette.png', raw(3).png({ palette: true, colours: 256 })],
      ['a.webp', raw(3).webp({ lossless: true })],
      ['png-named.jpg', raw(3).png()],
    ] as const) {
      expect(await read(put(name, await file.toBuffer()), rgb), name).toEqual([...pixelsOf(3)]);
    }
  });

  test('of grey pictures go to all channels, and colours to PIL’s luma', async () => {
    const path = put('grey.png', await raw(1).toColourspace('b-w').png().toBuffer());
    expect(await read(path, rgb)).toEqual(threefold);
    expect(await read(path, grey)).toEqual([...pixelsOf(1)]);
    expect(await pictureSize(path)).toEqual({ height, width, channels: 1 });
    const colours = pixelsOf(3);
    const luma = Array.from({ length: height * width }, (_, k) => {
      const [r, g, b] = colours.subarray(3 * k, 3 * k + 3);
      return (19595 * r! + 38470 * g! + 7471 * b! + 32768) >> 16;
    });
    expect(await read(join(folder, 'a.png'), grey)).toEqual(luma);
  });

  test('keep their colours under alpha, resized or not', async () => {
    const path = put('alpha.png', await raw(4).png().toBuffer());
    const stored = pixelsOf(4);
    expect(await read(path, rgb)).toEqual([...stored].filter((_, k) => k % 4 !== 3));
    // One colour under every alpha from none to all stays one colour when it is resized.
    const veil = Uint8Array.from({ length: 16 * 16 * 4 }, (_, k) => [200, 100, 50, (k >> 2) % 256][k % 4]!);
    const veiled = put(
      'veil.png',
      await sharp(veil, { raw: { width: 16, height: 16, channels: 4 } })
        .png()
        .toBuffer(),
    );
    const small = await read(veiled, { height: 4, width: 4, channels: 3 });
    expect(small).toEqual(Array.from({ length: 16 }, () => [200, 100, 50]).flat());
    const greyAlpha = put('grey-alpha.png', await raw(2).toColourspace('b-w').png().toBuffer());
    const plain = [...pixelsOf(2)].filter((_, k) => k % 2 === 0);
    expect(await read(greyAlpha, grey)).toEqual(plain);
  });

  test('of 16 bits are their high bytes', async () => {
    const words = Uint16Array.from(pixelsOf(3), (byte, k) => byte * 256 + ((k * 37) % 256));
    const image = sharp(words, { raw: { width, height, channels: 3 } }).toColourspace('rgb16');
    const path = put('deep.png', await image.png().toBuffer());
    expect((await sharp(path).metadata()).depth).toBe('ushort');
    expect(await read(path, rgb)).toEqual([...pixelsOf(3)]);
  });

  test('are turned upright as EXIF says, for all eight orientations', async () => {
    // Where pixel (y, x) of the upright picture stands in the stored one, by the EXIF standard's table.
    const stored = (orientation: number, y: number, x: number): readonly [number, number] => {
      const [h, w] = [height - 1, width - 1];
      return (
        [
          [y, x],
          [y, w - x],
          [h - y, w - x],
          [h - y, x],
          [x, y],
          [h - x, y],
          [h - x, w - y],
          [x, w - y],
        ] as const
      )[orientation - 1]!;
    };
    for (let orientation = 1; orientation <= 8; orientation++) {
      const image = raw(3).withMetadata({ orientation }).png();
      const path = put(`turned-${orientation}.png`, await image.toBuffer());
      const upright = orientation > 4 ? { height: width, width: height, channels: 3 } : rgb;
      const expected = Array.from({ length: height * width * 3 }, (_, k) => {
        const pixel = Math.floor(k / 3);
        const [y, x] = stored(orientation, Math.floor(pixel / upright.width), pixel % upright.width);
        return value(y, x, k % 3);
      });
      expect(await pictureSize(path), `${orientation}`).toEqual(upright);
      expect(await read(path, upright), `${orientation}`).toEqual(expected);
    }
  });

  test('of CMYK JPEGs are colours, not their inverse', async () => {
    const size = { height: 16, width: 16, channels: 3 };
    const patch = sharp({ create: { ...size, channels: 3, background: { r: 220, g: 60, b: 40 } } });
    const path = put('cmyk.jpg', await patch.toColourspace('cmyk').jpeg({ quality: 100 }).toBuffer());
    expect((await sharp(path).metadata()).space).toBe('cmyk');
    const [r, g, b] = await read(path, size);
    expect(Math.abs(r! - 220) + Math.abs(g! - 60) + Math.abs(b! - 40)).toBeLessThan(60);
  });

  test('are taken from the view alone', async () => {
    const path = join(folder, 'a.png');
    const part = { top: 1, left: 2, height: 3, width: 4 };
    const crop = { top: 1, left: 1 };
    const cut = Array.from({ length: 2 * 2 * 3 }, (_, k) => {
      const pixel = Math.floor(k / 3);
      return value(2 + Math.floor(pixel / 2), 3 + (pixel % 2), k % 3);
    });
    const size = { height: 2, width: 2, channels: 3 };
    expect(await read(path, size, { part, resized: { height: 3, width: 4 }, crop })).toEqual(cut);
    // Halving by the triangle kernel of a picture that is constant in blocks keeps the middle of each block's side.
    const steps = Uint8Array.from({ length: 32 * 32 * 3 }, (_, k) => (Math.floor(k / 3) % 32 < 16 ? 40 : 200));
    const wide = put(
      'steps.png',
      await sharp(steps, { raw: { width: 32, height: 32, channels: 3 } })
        .png()
        .toBuffer(),
    );
    const half = await read(wide, { height: 8, width: 8, channels: 3 });
    expect([half[0], half[3 * 2], half[3 * 5], half[3 * 7]]).toEqual([40, 40, 200, 200]);
  });
});

test('the centred view rounds as torchvision does', () => {
  const size = { height: 224, width: 224 };
  expect(usualShorterSide(size)).toBe(256);
  const view = centredView(size, 256);
  expect(view({ height: 375, width: 500 })).toMatchObject({
    resized: { height: 256, width: 341 },
    crop: { top: 16, left: 58 },
  });
  expect(view({ height: 224, width: 224 })).toMatchObject({
    resized: { height: 256, width: 256 },
    crop: { top: 16, left: 16 },
  });
  expect(unlessSized(size, view)({ height: 224, width: 224 })).toEqual({ resized: size, crop: { top: 0, left: 0 } });
  expect(view({ height: 500, width: 3 }).resized).toEqual({ height: 42666, width: 256 });
});

describe('a damaged file', () => {
  const noise = Uint8Array.from({ length: 64 * 64 * 3 }, (_, k) => (k * 7919) >> 3);
  const picture = sharp(noise, { raw: { width: 64, height: 64, channels: 3 } });
  const size = { height: 64, width: 64, channels: 3 };

  test('is refused wherever it is cut off', async () => {
    for (const [format, whole] of [
      ['jpg', await picture.clone().jpeg().toBuffer()],
      ['progressive.jpg', await picture.clone().jpeg({ progressive: true }).toBuffer()],
      ['png', await picture.clone().png().toBuffer()],
      ['webp', await picture.clone().webp().toBuffer()],
    ] as const) {
      expect((await read(put(`whole.${format}`, whole), size)).length).toBe(64 * 64 * 3);
      for (const share of [0.01, 0.3, 0.6, 0.9, 0.98]) {
        const path = put(`cut.${format}`, whole.subarray(0, Math.floor(share * whole.length)));
        await expect(read(path, size), `${format} ${share}`).rejects.toThrow(BadPicture);
      }
    }
  });

  test('is refused when its data are overwritten', async () => {
    const jpeg = await picture.clone().jpeg().toBuffer();
    jpeg.fill(0xff, jpeg.length >> 1, (jpeg.length >> 1) + 200);
    await expect(read(put('overwritten.jpg', jpeg), size)).rejects.toThrow(BadPicture);
    const png = await picture.clone().png().toBuffer();
    png[png.length >> 1]! ^= 0xff;
    await expect(read(put('overwritten.png', png), size)).rejects.toThrow(BadPicture);
  });

  test('many side by side have each its own reason', async () => {
    const noise = Uint8Array.from({ length: 64 * 64 * 3 }, (_, k) => (k * 7919) >> 3);
    const whole = sharp(noise, { raw: { width: 64, height: 64, channels: 3 } });
    const size = { height: 64, width: 64, channels: 3 };
    const jpeg = await whole.jpeg().toBuffer();
    const png = await whole.png().toBuffer();
    const kinds = [
      { path: put('cut.jpg', jpeg.subarray(0, jpeg.length >> 1)), reason: /premature end of JPEG image/ },
      { path: put('cut.png', png.subarray(0, png.length >> 1)), reason: /libpng read error/ },
      { path: put('text.webp', Buffer.from('text')), reason: /unsupported image format/ },
    ];
    await Promise.all(
      Array.from({ length: 120 }, (_, k) => {
        const { path, reason } = kinds[k % 3]!;
        return expect(read(path, size)).rejects.toThrow(reason);
      }),
    );
  });

  test('is refused with its reason when it is something else', async () => {
    const reason = async (path: string) => read(path, size).then(String, (error: Error) => error.message);
    expect(await reason(put('empty.jpg', new Uint8Array()))).toBe('the file is empty');
    expect(await reason(put('text.jpg', Buffer.from('no picture at all')))).toMatch(/unsupported image format/);
    expect(await reason(put('gif.jpg', await picture.clone().gif().toBuffer()))).toBe(
      'it is gif, not PNG, JPEG or WebP',
    );
    mkdirSync(join(folder, 'folder.jpg'));
    expect(await reason(join(folder, 'folder.jpg'))).toMatch(/it is a folder, a file was expected/);
    expect(await reason(join(folder, 'none.jpg'))).toMatch(/no such file/);
    // A header that claims 60000×60000 pixels.
    const png = await picture.clone().png().toBuffer();
    png.writeUInt32BE(60000, 16);
    png.writeUInt32BE(60000, 20);
    expect(await reason(put('huge.png', png))).not.toHaveLength(0);
    await expect(read(join(folder, 'huge.png'), size)).rejects.toThrow(BadPicture);
  });
});
