/**
 * Event files read by a Protocol Buffers library from TensorFlow's own definitions (`event.proto`, `summary.proto`, `tensor.proto`, as
 * far as they are used here), the framing checked by a CRC bit by bit.
 *
 * The library is loaded untyped: what the definitions say is known only when they are parsed.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { z } from 'zod';
import { eventFileNames } from '../../../../experiments/runs/events/event-file.ts';

const proto = `
  syntax = "proto3";
  message Event {
    double wall_time = 1;
    int64 step = 2;
    oneof what { string file_version = 3; bytes graph_def = 4; Summary summary = 5; SessionLog session_log = 7; }
  }
  message SessionLog {
    enum SessionStatus { STATUS_UNSPECIFIED = 0; START = 1; STOP = 2; CHECKPOINT = 3; }
    SessionStatus status = 1;
    string checkpoint_path = 2;
    string msg = 3;
  }
  message Summary {
    message Value {
      string node_name = 7;
      string tag = 1;
      SummaryMetadata metadata = 9;
      oneof value { float simple_value = 2; TensorProto tensor = 8; }
    }
    repeated Value value = 1;
  }
  message SummaryMetadata {
    message PluginData { string plugin_name = 1; bytes content = 2; }
    PluginData plugin_data = 1;
  }
  message TensorProto { DataType dtype = 1; TensorShapeProto tensor_shape = 2; repeated bytes string_val = 8; }
  enum DataType { DT_INVALID = 0; DT_FLOAT = 1; DT_STRING = 7; }
  message TensorShapeProto { message Dim { int64 size = 1; string name = 2; } repeated Dim dim = 2; }
`;

interface MessageType {
  decode(bytes: Uint8Array): unknown;
  toObject(message: unknown, options: object): unknown;
}
const { parse } = createRequire(import.meta.url)('protobufjs') as {
  parse(text: string, options: object): { root: { lookupType(name: string): MessageType } };
};
const eventType = parse(proto, { keepCase: true }).root.lookupType('Event');

const eventSchema = z.object({
  wall_time: z.number(),
  step: z.number().default(0),
  file_version: z.string().optional(),
  session_log: z.object({ status: z.string() }).optional(),
  summary: z
    .object({
      value: z.array(
        z.object({
          tag: z.string(),
          simple_value: z.number().optional(),
          /** Texts in base64. */
          tensor: z.looseObject({ string_val: z.array(z.string()) }).optional(),
          metadata: z.unknown().optional(),
        }),
      ),
    })
    .optional(),
});
export type ReadEvent = z.infer<typeof eventSchema>;

export function readEvents(path: string): readonly ReadEvent[] {
  return recordsOf(readFileSync(path)).map((bytes) =>
    eventSchema.parse(eventType.toObject(eventType.decode(bytes), { longs: Number, enums: String, bytes: String })),
  );
}

/** What TensorBoard keeps of a tag of a run, by step: a start takes back its step and later ones. A file that was killed may end in a torn record. */
export function shownScalars(folder: string, tag: string): readonly (readonly [number, number])[] {
  let kept: (readonly [number, number])[] = [];
  for (const { step, session_log, summary } of eventFileNames(folder).flatMap((name) =>
    readEvents(join(folder, name)),
  )) {
    if (session_log?.status === 'START') kept = kept.filter(([earlier]) => earlier < step);
    for (const value of summary?.value ?? []) if (value.tag === tag) kept.push([step, value.simple_value as number]);
  }
  return kept;
}

/** The records of a file, up to one that is not all there. Throws where a length or a checksum is wrong. */
export function recordsOf(file: Buffer): readonly Uint8Array[] {
  const records: Uint8Array[] = [];
  for (let at = 0; at + 12 <= file.length; ) {
    const length = Number(file.readBigUInt64LE(at));
    if (at + 16 + length > file.length) break;
    const data = file.subarray(at + 12, at + 12 + length);
    const isLength = file.readUInt32LE(at + 8) === masked(file.subarray(at, at + 8));
    if (!isLength || file.readUInt32LE(at + 12 + length) !== masked(data)) {
      throw new Error(`no record at byte ${at}`);
    }
    records.push(data);
    at += 16 + length;
  }
  return records;
}

/** As TensorFlow's `crc32c.h` has it, in whole numbers without a limit. */
function masked(bytes: Uint8Array): number {
  let crc = 0xffffffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >> 1n) ^ ((crc & 1n) * 0x82f63b78n);
  }
  crc ^= 0xffffffffn;
  const rotated = (crc >> 15n) | ((crc << 17n) & 0xffffffffn);
  return Number((rotated + 0xa282ead8n) & 0xffffffffn);
}
