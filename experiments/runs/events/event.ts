/**
 * TensorBoard's events as bytes: messages of `event.proto`, `summary.proto` and `tensor.proto`, whose field numbers stand here and nowhere
 * else.
 */
import { bytesField, doubleField, type Field, floatField, integerField, message } from './protobuf.ts';

export interface Scalar {
  /** TensorBoard shows what stands before a `/` as a group. */
  readonly tag: string;
  readonly value: number;
}

/** The first event of a file. */
export function versionEvent(timeS: number): Uint8Array {
  return event(timeS, 0, bytesField(3, 'brain.Event:2'));
}

/** A run that begins, or goes on: whatever earlier files say of this step and later ones does not count any more. */
export function startEvent(timeS: number, step: number): Uint8Array {
  const start = 1;
  return event(timeS, step, bytesField(7, message(integerField(1, start))));
}

export function scalarsEvent(timeS: number, step: number, scalars: readonly Scalar[]): Uint8Array {
  const values = scalars.map(({ tag, value }) => bytesField(1, message(bytesField(1, tag), floatField(2, value))));
  return event(timeS, step, bytesField(5, message(...values)));
}

/** Markdown, for TensorBoard's page of texts. */
export function textEvent(timeS: number, step: number, tag: string, text: string): Uint8Array {
  const stringType = 7;
  const shape = message(bytesField(2, message(integerField(1, 1))));
  const tensor = message(integerField(1, stringType), bytesField(2, shape), bytesField(8, text));
  const metadata = message(bytesField(1, message(bytesField(1, 'text'))));
  const value = message(bytesField(1, tag), bytesField(8, tensor), bytesField(9, metadata));
  return event(timeS, step, bytesField(5, message(bytesField(1, value))));
}

function event(timeS: number, step: number, what: Field): Uint8Array {
  return message(doubleField(1, timeS), integerField(2, step), what);
}
