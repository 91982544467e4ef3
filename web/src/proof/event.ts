import { joined, utf8, type Bytes } from './bytes';
import { canonical, type Json } from './canonical';
import { sha256 } from './sha256';

/** Keeps the digests of events apart from every other use of SHA-256, and names the version of their making. */
const DOMAIN_TAG = utf8('almanac/event\0v1\0');

/** An event as a proof carries it. */
export interface ProvenEvent {
  ordinal: number;
  aggregate_type: string;
  aggregate_id: string;
  sequence: number;
  event_type: string;
  event_version: string;
  payload: Json;
  metadata: Json;
  event_id: string;
  recorded_at: string;
  /** What the service says its digest is, in hexadecimal. */
  hash: string;
  /** The path from the digest to the root of the checkpoint, in hexadecimal. */
  inclusion: string[];
}

/** The digest of an event, from everything it says. */
export function digest(event: ProvenEvent): Bytes {
  const form = canonical({
    aggregate_type: event.aggregate_type,
    aggregate_id: event.aggregate_id,
    sequence: event.sequence,
    event_type: event.event_type,
    event_version: event.event_version,
    payload: event.payload,
    metadata: event.metadata,
    event_id: event.event_id,
    recorded_at: inMicroseconds(event.recorded_at),
    ordinal: event.ordinal,
  });
  return sha256(joined(DOMAIN_TAG, utf8(form)));
}

/** A time in UTC with the six digits it is hashed with, however many it was sent with. */
const inMicroseconds = (time: string) =>
  time.replace(/(?:\.(\d{1,6}))?Z$/, (_, digits: string | undefined) => `.${(digits ?? '').padEnd(6, '0')}Z`);
