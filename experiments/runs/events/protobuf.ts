/**
 * Protocol Buffers, as much of its wire format as an event takes: a message is its fields one after the other, each a key (number and
 * wire type) and a value.
 */

export type Field = Uint8Array;

const wireTypes = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

export function message(...fields: readonly Field[]): Uint8Array {
  return concatenated(fields);
}

/** An int64 or an enum that is not negative. */
export function integerField(number: number, value: number): Field {
  return concatenated([key(number, wireTypes.varint), varint(value)]);
}

export function doubleField(number: number, value: number): Field {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setFloat64(0, value, true);
  return concatenated([key(number, wireTypes.fixed64), bytes]);
}

export function floatField(number: number, value: number): Field {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setFloat32(0, value, true);
  return concatenated([key(number, wireTypes.fixed32), bytes]);
}

/** A string, bytes, or a message inside. */
export function bytesField(number: number, value: string | Uint8Array): Field {
  const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value;
  return concatenated([key(number, wireTypes.bytes), varint(bytes.length), bytes]);
}

function key(number: number, wireType: number): Uint8Array {
  return varint(number * 8 + wireType);
}

/** Seven bits a byte, the lowest first; no shifts, which would cut a step at 32 bits. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push(128 + (rest % 128));
  return Uint8Array.from([...bytes, rest]);
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
