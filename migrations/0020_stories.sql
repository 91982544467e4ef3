-- "What caused this, and what did it cause?" is asked of the log event by event: the causes lead up by the primary
-- key, the consequences down by `causation_id`, which holds the cause's key. A round causes a thousand predictions,
-- so the position stands in the index and the first of them are read without the rest. Told, too: who got a mail or
-- a call about an event.
create index events_causation on events (causation_id, position) where causation_id is not null;
create index events_event_id on events (event_id);
create index mail_outbox_ordinal on mail_outbox (ordinal);
create index webhook_deliveries_ordinal on webhook_deliveries (ordinal);
