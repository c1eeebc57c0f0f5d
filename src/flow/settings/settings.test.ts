import { expectTypeOf, test } from 'vitest';
import type { z } from 'zod';
import type { configurationSchema } from './config.ts';
import type { ConfigurationInput } from './settings.ts';

type Schema = z.input<typeof configurationSchema>;

test('the documented settings are those of the schema', () => {
  // Checked by the compiler: the same keys with the same types, section by section.
  expectTypeOf<keyof ConfigurationInput>().toEqualTypeOf<keyof Schema>();
  type Sections = 'bits' | 'train' | 'quantize' | 'explore' | 'map' | 'recover';
  type Flat<T> = { [K in keyof T]: T[K] };
  type SectionOf<T, K extends keyof T> = Flat<NonNullable<T[K]>>;
  expectTypeOf<Omit<ConfigurationInput, Sections>>().toEqualTypeOf<Omit<Schema, Sections>>();
  expectTypeOf<SectionOf<ConfigurationInput, 'bits'>>().toEqualTypeOf<SectionOf<Schema, 'bits'>>();
  expectTypeOf<SectionOf<ConfigurationInput, 'train'>>().toEqualTypeOf<SectionOf<Schema, 'train'>>();
  expectTypeOf<SectionOf<ConfigurationInput, 'quantize'>>().toEqualTypeOf<SectionOf<Schema, 'quantize'>>();
  expectTypeOf<SectionOf<ConfigurationInput, 'explore'>>().toEqualTypeOf<SectionOf<Schema, 'explore'>>();
  expectTypeOf<SectionOf<ConfigurationInput, 'map'>>().toEqualTypeOf<SectionOf<Schema, 'map'>>();
  expectTypeOf<SectionOf<ConfigurationInput, 'recover'>>().toEqualTypeOf<SectionOf<Schema, 'recover'>>();
});
